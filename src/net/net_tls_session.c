/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls_session.c - the secured side of one stream: handshake, bytes, end.  Takes: plain bytes.  Gives: the same
 * contract as a plain stream: is_readable and is_writable say whether a call is worth it.
 *
 * Inside a call they say so of the descriptor, as the BIO moves them; at the end of a call is_readable is set again
 * where OpenSSL still holds something.  The queue of errors is emptied before every call: what another connection left
 * there would be taken for this one's (SSL_get_error(3)). */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/base_ascii.h"
#include "base/base_fmt.h"
#include "net/net_tls_private.h"
#include "net/net_tls_server.h"

#define SESSION_RECORD_BYTES                                                                       \
    16384                      /* the most that one record of TLS carries (RFC 8446 section 5.1) */
#define SESSION_HANDSHAKE 0x16 /* how a record begins that carries a ClientHello */
#define SESSION_NAME_MAX  255
#define SESSION_LOG_MAX   (SESSION_NAME_MAX * 3 + 256)

/* ---- what OpenSSL says ---- */

static int session_say(struct net_stream *stream, int result, int error)
{
    struct net_tls_session *session = stream->tls;
    int kind = SSL_get_error(session->ssl, result);
    session->read_waits_for_write = session->write_waits_for_read = false;
    if (kind == SSL_ERROR_ZERO_RETURN || kind == SSL_ERROR_WANT_READ ||
        kind == SSL_ERROR_WANT_WRITE)
        return kind;
    session->is_dead = true;
    if (session->why == NULL)
        net_tls_explain(session, kind == SSL_ERROR_SYSCALL ? error : 0);
    ERR_clear_error();
    return kind;
}

/* More has come than was read in this turn, and no event will tell of it. */
static void session_go_on_later(struct net_stream *stream)
{
    if (stream->tls->is_cut)
        event_active(&stream->event, EV_READ, 1);
    stream->tls->is_cut = false;
}

static void session_begin_call(struct net_tls_session *session)
{
    session->reads = 0;
    ERR_clear_error();
    errno = 0;
}

/* ---- beginning ---- */

/* Whom the peer must prove to be, and whom we ask for (RFC 6066 section 3: never an address). */
static bool session_set_name(struct net_tls_session *session, struct span name)
{
    unsigned char address[sizeof(struct in6_addr)];
    X509_VERIFY_PARAM *param = SSL_get0_param(session->ssl);
    if (name.len > SESSION_NAME_MAX)
        return false;
    session->name = strndup(name.ptr == NULL ? "" : name.ptr, name.len);
    if (session->name == NULL)
        return false;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (name.len == 0)
        return true;
    if (inet_pton(AF_INET, session->name, address) == 1 ||
        inet_pton(AF_INET6, session->name, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(param, session->name) == 1;
    return SSL_set1_host(session->ssl, session->name) == 1 &&
           SSL_set_tlsext_host_name(session->ssl, session->name) == 1;
}

enum err net_tls_begin(struct net_stream *stream, const struct net_tls *tls, struct span name)
{
    struct net_tls_session *session = calloc(1, sizeof(*session));
    if (session == NULL)
        return ERR_NOMEM;
    stream->tls = session;
    session->client = net_tls_ref((struct net_tls *)(uintptr_t)tls); /* only its count changes */
    ERR_clear_error();
    session->ssl = SSL_new(tls->context);
    if (session->ssl == NULL || !net_tls_bio_attach(session->ssl, tls->method, stream) ||
        SSL_set_app_data(session->ssl, stream) != 1 || !session_set_name(session, name))
        goto fail;
    SSL_set_connect_state(session->ssl);
    return ERR_OK;
fail:
    net_tls_end(stream, false);
    ERR_clear_error();
    return ERR_NOMEM;
}

void net_tls_keep(struct net_stream *stream, struct net_tls_kept *kept)
{
    struct net_tls_session *session = stream->tls;
    session->kept = kept;
    SSL_SESSION *copy = kept->session == NULL ? NULL : SSL_SESSION_dup(kept->session);
    if (copy != NULL)
        (void)SSL_set_session(session->ssl, copy); /* refused: a whole handshake */
    SSL_SESSION_free(copy);
    ERR_clear_error();
}

void net_tls_kept_drop(struct net_tls_kept *kept)
{
    SSL_SESSION_free(kept->session);
    kept->session = NULL;
}

enum err net_tls_serve(struct net_stream *stream, struct net_tls_server *server,
                       const struct net_tls_tickets *tickets)
{
    struct net_tls_session *session = calloc(1, sizeof(*session));
    if (session == NULL)
        return ERR_NOMEM;
    session->server = net_tls_server_ref(server);
    session->tickets = tickets;
    stream->tls = session;
    return ERR_OK;
}

/* ---- the handshake ---- */

/* Names have letters, digits, points and hyphens (RFC 6066 section 3); anything else has no place in a log. */
static char *record_text(char *at, const char *before, const char *text)
{
    at = fmt_span(at, span_of(before));
    for (unsigned i = 0; i < SESSION_NAME_MAX && text[i] != '\0'; i++) {
        char byte = text[i];
        bool is_plain = ascii_is_word(byte) || byte == '.' || byte == '-' || byte == '_';
        *at++ = is_plain ? byte : '?';
    }
    *at++ = '"';
    return at;
}

/* What the log says of each request of this connection is made once.  The name is the client's word. */
static bool session_make_record(struct net_tls_session *session)
{
    char text[SESSION_LOG_MAX], *at = text;
    const char *name = SSL_get_servername(session->ssl, TLSEXT_NAMETYPE_host_name);
    at = record_text(at, ",\"tls\":\"", SSL_get_version(session->ssl));
    at = record_text(at, ",\"tls_cipher\":\"", SSL_get_cipher_name(session->ssl));
    if (name != NULL)
        at = record_text(at, ",\"tls_name\":\"", name);
    if (SSL_session_reused(session->ssl))
        at = FMT_LIT(at, ",\"tls_resumed\":true");
    session->record_len = (size_t)(at - text);
    session->record = malloc(session->record_len);
    if (session->record == NULL)
        return false;
    memcpy(session->record, text, session->record_len);
    return true;
}

static bool session_note_peer(struct net_tls_session *session)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    const X509 *certificate = SSL_get0_peer_certificate(session->ssl);
    if (certificate == NULL)
        return true;
    if (X509_digest(certificate, EVP_sha256(), digest, &len) != 1 ||
        len * 2 != sizeof(session->fingerprint))
        return false;
    (void)fmt_hex(session->fingerprint, digest, len);
    session->has_fingerprint = true;
    return true;
}

static ssize_t session_peek_raw(const struct net_stream *stream, unsigned char *byte)
{
    ssize_t n;
    do
        n = recv(stream->fd, byte, 1, MSG_PEEK | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n;
}

/* The first byte tells TLS from everything else, before a client has cost more than a socket. */
static enum err session_first_byte(struct net_stream *stream)
{
    struct net_tls_session *session = stream->tls;
    unsigned char byte;
    ssize_t n = session_peek_raw(stream, &byte);
    if (n < 0 && errno == EAGAIN) {
        stream->is_readable = false;
        return ERR_AGAIN;
    }
    if (n <= 0) {
        net_tls_say(session, "closed", "the peer closed the connection before it said anything");
        return ERR_SYSTEM;
    }
    if (byte != SESSION_HANDSHAKE) {
        net_tls_end(stream, false);
        return ERR_INVALID;
    }
    session->ssl = net_tls_server_ssl(session->server, stream);
    if (session->ssl != NULL)
        return ERR_OK;
    ERR_clear_error();
    net_tls_say(session, "memory", "out of memory");
    return ERR_SYSTEM;
}

static enum err session_shaken(struct net_stream *stream)
{
    struct net_tls_session *session = stream->tls;
    session->is_shaken = true;
    stream->is_readable = true; /* something may have been read along */
    stream->is_writable = true;
    if (session->server == NULL || (session_note_peer(session) && session_make_record(session)))
        return ERR_OK;
    ERR_clear_error();
    net_tls_say(session, "memory", "out of memory");
    return ERR_SYSTEM;
}

enum err net_tls_shake(struct net_stream *stream)
{
    struct net_tls_session *session = stream->tls;
    if (session->is_shaken)
        return ERR_OK;
    if (session->is_dead)
        return ERR_SYSTEM;
    if (session->ssl == NULL) {
        enum err err = session_first_byte(stream);
        if (err != ERR_OK)
            return err;
    }
    session_begin_call(session);
    int result = SSL_do_handshake(session->ssl);
    if (result == 1)
        return session_shaken(stream);
    int kind = session_say(stream, result, errno);
    session_go_on_later(stream);
    /* A reset that comes together with bytes is reported once, with them. */
    const bool was_reset =
        kind == SSL_ERROR_WANT_READ && session->reads > 0 && net_stream_has_failed(stream);
    if ((kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) && !was_reset)
        return ERR_AGAIN;
    if (session->why == NULL)
        net_tls_say(session, "closed", "the peer closed the connection during the handshake");
    return ERR_SYSTEM;
}

/* ---- facts ---- */

const char *net_tls_why(const struct net_stream *stream)
{
    return stream->tls == NULL ? NULL : stream->tls->why;
}

const char *net_tls_why_word(const struct net_stream *stream)
{
    return stream->tls == NULL ? NULL : stream->tls->why_word;
}

bool net_tls_is_resumed(const struct net_stream *stream)
{
    return stream->tls != NULL && stream->tls->ssl != NULL && SSL_session_reused(stream->tls->ssl);
}

struct span net_tls_record(const struct net_stream *stream)
{
    if (stream->tls == NULL)
        return SPAN_NONE;
    return (struct span){stream->tls->record, stream->tls->record_len};
}

struct span net_tls_fingerprint(const struct net_stream *stream)
{
    if (stream->tls == NULL || !stream->tls->has_fingerprint)
        return SPAN_NONE;
    return (struct span){stream->tls->fingerprint, sizeof(stream->tls->fingerprint)};
}

/* ---- bytes ---- */

static ssize_t session_dead(void)
{
    errno = EPROTO;
    return -1;
}

/* As much as there is: whole records until the buffer is full or the kernel has no more, so that nothing is left behind
 * in OpenSSL that no event would tell of. */
ssize_t net_tls_read(struct net_stream *stream, void *buf, size_t len)
{
    struct net_tls_session *session = stream->tls;
    size_t got = 0, n;
    int kind = SSL_ERROR_NONE;
    if (session->is_dead || !session->is_shaken)
        return session_dead();
    session_begin_call(session);
    while (got < len && kind == SSL_ERROR_NONE) {
        int result = SSL_read_ex(session->ssl, (char *)buf + got, len - got, &n);
        if (result == 1)
            got += n;
        else
            kind = session_say(stream, result, errno);
        if (kind == SSL_ERROR_NONE && !stream->is_readable && !SSL_has_pending(session->ssl))
            break;
    }
    session->read_waits_for_write = kind == SSL_ERROR_WANT_WRITE;
    session_go_on_later(stream);
    if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) {
        stream->is_readable = false;
        errno = EAGAIN;
        return got != 0 ? (ssize_t)got : -1;
    }
    /* The end, or an error, is told by the next call too. */
    if (kind != SSL_ERROR_NONE || got == len)
        stream->is_readable = true;
    if (got != 0 || kind == SSL_ERROR_ZERO_RETURN)
        return (ssize_t)got;
    return session_dead();
}

/* A peer that hangs up may have said before why it does: a server its answer, as on a plain stream, which is read on until
 * its end or the reset; with TLS 1.3 it refuses our certificate only when we are writing already, and its alert stands in
 * front of the reset that our write has met (RFC 8446 section 4.4.2.4). */
static ssize_t session_cut_off(struct net_stream *stream, int error)
{
    struct net_tls_session *session = stream->tls;
    unsigned char byte;
    size_t n;
    stream->is_readable = true; /* ask the kernel */
    session_begin_call(session);
    int result = SSL_peek_ex(session->ssl, &byte, 1, &n);
    if (result == 1 || SSL_get_error(session->ssl, result) == SSL_ERROR_ZERO_RETURN) {
        session->has_ended = true;
        stream->is_readable = true; /* what OpenSSL holds brings no event */
        errno = error;
        return -1;
    }
    unsigned long fault = ERR_peek_last_error();
    bool is_alert =
        ERR_GET_LIB(fault) == ERR_LIB_SSL && ERR_GET_REASON(fault) >= SSL_AD_REASON_OFFSET;
    if (!is_alert)
        ERR_clear_error();
    if (session->why == NULL)
        net_tls_explain(session, error);
    ERR_clear_error();
    session->is_dead = true;
    return session_dead();
}

/* 1 byte or more: how many are taken; 0: none now; negative: dead. */
static ssize_t session_write(struct net_stream *stream, const char *bytes, size_t len)
{
    struct net_tls_session *session = stream->tls;
    size_t n = 0;
    session_begin_call(session);
    int result = SSL_write_ex(session->ssl, bytes, len, &n);
    if (result == 1)
        return (ssize_t)n;
    int error = errno;
    if (SSL_get_error(session->ssl, result) == SSL_ERROR_SYSCALL)
        return session_cut_off(stream, error);
    int kind = session_say(stream, result, error);
    if (kind != SSL_ERROR_WANT_READ && kind != SSL_ERROR_WANT_WRITE)
        return session_dead();
    session->write_waits_for_read = kind == SSL_ERROR_WANT_READ;
    stream->is_writable = false;
    return 0;
}

__attribute__((noinline)) ssize_t net_tls_write(struct net_stream *stream, const void *buf,
                                                size_t len)
{
    const struct iovec iov = {(void *)(uintptr_t)buf, len};
    return net_tls_writev(stream, &iov, 1);
}

/* The bytes at `at` of the parts, in one piece: as they are where a part holds a whole record, else copied. */
static const char *session_gather(const struct iovec *iov, int count, size_t at, char *room,
                                  size_t *len)
{
    *len = 0;
    for (int i = 0; i < count && *len < SESSION_RECORD_BYTES; i++) {
        size_t part = iov[i].iov_len;
        if (at >= part) {
            at -= part;
            continue;
        }
        const char *bytes = (const char *)iov[i].iov_base + at;
        part -= at;
        at = 0;
        bool is_last = i == count - 1;
        if (*len == 0 && (is_last || part >= SESSION_RECORD_BYTES)) {
            *len = part;
            return bytes;
        }
        if (part > SESSION_RECORD_BYTES - *len)
            part = SESSION_RECORD_BYTES - *len;
        memcpy(room + *len, bytes, part);
        *len += part;
    }
    return room;
}

/* Head and body share a record: each one costs the peer a tag to check and both of us a call of the kernel. */
ssize_t net_tls_writev(struct net_stream *stream, const struct iovec *iov, int count)
{
    char room[SESSION_RECORD_BYTES];
    size_t done = 0, len;
    ssize_t n;
    if (stream->tls->is_dead || stream->tls->has_ended || !stream->tls->is_shaken)
        return session_dead();
    for (;;) {
        const char *bytes = session_gather(iov, count, done, room, &len);
        if (len == 0)
            return (ssize_t)done;
        n = session_write(stream, bytes, len);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    if (n < 0)
        return -1;
    errno = EAGAIN;
    return done != 0 ? (ssize_t)done : -1;
}

/* Tickets and key updates are no input: only what OpenSSL would hand out is. */
static int session_peek(struct net_stream *stream)
{
    struct net_tls_session *session = stream->tls;
    unsigned char byte;
    size_t n;
    if (session->is_dead)
        return SSL_ERROR_SSL;
    if (session->ssl == NULL)
        return session_peek_raw(stream, &byte) < 0 ? SSL_ERROR_WANT_READ : SSL_ERROR_NONE;
    if (!session->is_shaken) /* somebody is saying something */
        return SSL_ERROR_NONE;
    stream->is_readable = true; /* ask the kernel */
    session_begin_call(session);
    int result = SSL_peek_ex(session->ssl, &byte, 1, &n);
    int kind = result == 1 ? SSL_ERROR_NONE : session_say(stream, result, errno);
    bool waits = kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE;
    session->read_waits_for_write = kind == SSL_ERROR_WANT_WRITE;
    session_go_on_later(stream);
    stream->is_readable = !waits;
    return waits ? SSL_ERROR_WANT_READ : kind;
}

bool net_tls_has_input(struct net_stream *stream)
{
    return session_peek(stream) != SSL_ERROR_WANT_READ;
}

bool net_tls_is_over(struct net_stream *stream)
{
    int kind = session_peek(stream);
    return kind != SSL_ERROR_NONE && kind != SSL_ERROR_WANT_READ;
}

/* ---- the end ---- */

/* True when nothing more is to be done about it. */
static bool session_say_goodbye(struct net_stream *stream)
{
    struct net_tls_session *session = stream->tls;
    if (session->is_dead || !session->is_shaken || session->has_ended)
        return true;
    session_begin_call(session);
    int result = SSL_shutdown(session->ssl);
    session->has_ended = result >= 0;
    if (result >= 0)
        return true;
    int error = errno;
    int kind = SSL_get_error(session->ssl, result);
    ERR_clear_error();
    errno = error;
    return kind != SSL_ERROR_WANT_WRITE;
}

void net_tls_shutdown(struct net_stream *stream)
{
    stream->tls->is_ending = !session_say_goodbye(stream);
    if (!stream->tls->is_ending)
        net_stream_shutdown_raw(stream);
}

/* Not inlined, like net_tls_write: plain streams would save registers for it. */
__attribute__((noinline)) void net_tls_on_event(struct net_stream *stream, short what)
{
    struct net_tls_session *session = stream->tls;
    if ((what & EV_WRITE) != 0 && session->read_waits_for_write)
        stream->is_readable = true;
    if ((what & EV_READ) != 0 && session->write_waits_for_read)
        stream->is_writable = true;
    if ((what & EV_WRITE) != 0 && session->is_ending)
        net_tls_shutdown(stream);
}

void net_tls_end(struct net_stream *stream, bool is_clean)
{
    struct net_tls_session *session = stream->tls;
    if (is_clean)
        (void)session_say_goodbye(stream);
    stream->tls = NULL;
    if (session->ssl != NULL) {
        /* Else OpenSSL forgets the session of a connection that broke off; it is as good as before. */
        SSL_set_shutdown(session->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(session->ssl);
    }
    net_tls_free(session->client);
    net_tls_server_free(session->server);
    free(session->name);
    free(session->why);
    free(session->record);
    free(session);
}

void net_tls_drop(struct net_stream *stream)
{
    net_tls_end(stream, false);
}
