/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls_session.c - the secured side of one stream.  OpenSSL reads and writes through the stream, which knows when it
 * is worth asking the kernel; whatever it waits for, the stream's next readiness is when to try again. */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "net/net_tls_private.h"

/* ---- between OpenSSL and the stream ---- */

int net_tls_bio_write(BIO *bio, const char *bytes, int len)
{
    ssize_t n = net_stream_write_raw(BIO_get_data(bio), bytes, (size_t)len);
    BIO_clear_retry_flags(bio);
    if (n < 0 && errno == EAGAIN)
        BIO_set_retry_write(bio);
    return (int)n;
}

int net_tls_bio_read(BIO *bio, char *bytes, int len)
{
    ssize_t n = net_stream_read_raw(BIO_get_data(bio), bytes, (size_t)len);
    BIO_clear_retry_flags(bio);
    if (n < 0 && errno == EAGAIN)
        BIO_set_retry_read(bio);
    if (n == 0)
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    return (int)n;
}

long net_tls_bio_control(BIO *bio, int command, long number, void *arg)
{
    (void)number;
    (void)arg;
    if (command == BIO_CTRL_EOF)
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    return command == BIO_CTRL_FLUSH;
}

/* ---- the handshake ---- */

/* Whom the peer must prove to be, and whom we ask for (RFC 6066 section 3: never an address). */
static bool set_name(struct net_tls_session *session, struct span name)
{
    unsigned char address[sizeof(struct in6_addr)];
    if (name.len >= sizeof(session->name))
        return false;
    if (name.len != 0)
        memcpy(session->name, name.ptr, name.len);
    bool is_address = inet_pton(AF_INET, session->name, address) == 1 ||
                      inet_pton(AF_INET6, session->name, address) == 1;
    X509_VERIFY_PARAM *param = SSL_get0_param(session->ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (is_address)
        return X509_VERIFY_PARAM_set1_ip_asc(param, session->name) == 1;
    return SSL_set1_host(session->ssl, session->name) == 1 &&
           SSL_set_tlsext_host_name(session->ssl, session->name) == 1;
}

enum err net_tls_begin(struct net_stream *stream, const struct net_tls *tls, struct span name)
{
    struct net_tls_session *session = calloc(1, sizeof(*session));
    BIO *bio = BIO_new(tls->method);
    if (session != NULL)
        session->ssl = SSL_new(tls->context);
    if (bio == NULL || session == NULL || session->ssl == NULL)
        goto fail;
    BIO_set_data(bio, stream);
    BIO_set_init(bio, 1);
    SSL_set_bio(session->ssl, bio, bio);
    bio = NULL; /* the SSL's */
    if (!set_name(session, name))
        goto fail;
    SSL_set_connect_state(session->ssl);
    stream->tls = session;
    return ERR_OK;
fail:
    BIO_free(bio);
    if (session != NULL)
        SSL_free(session->ssl);
    free(session);
    ERR_clear_error();
    return ERR_NOMEM;
}

void net_tls_end(struct net_stream *stream)
{
    struct net_tls_session *session = stream->tls;
    stream->tls = NULL;
    if (session == NULL)
        return;
    SSL_free(session->ssl);
    free(session);
}

/* What a call of OpenSSL that did nothing means: -1 with errno, or 0 for the end. */
static ssize_t outcome(struct net_tls_session *session, int result)
{
    int error = errno;
    int kind = SSL_get_error(session->ssl, result);
    if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) {
        errno = EAGAIN;
        return -1;
    }
    if (kind == SSL_ERROR_ZERO_RETURN)
        return 0;
    net_tls_explain(session, kind == SSL_ERROR_SYSCALL ? error : 0);
    ERR_clear_error();
    errno = EPROTO;
    return -1;
}

enum err net_tls_shake(struct net_stream *stream)
{
    struct net_tls_session *session = stream->tls;
    if (session->is_shaken)
        return ERR_OK;
    ERR_clear_error();
    errno = 0;
    int result = SSL_do_handshake(session->ssl);
    if (result == 1) {
        session->is_shaken = true;
        return ERR_OK;
    }
    ssize_t n = outcome(session, result);
    if (n < 0 && errno == EAGAIN)
        return ERR_AGAIN;
    if (n == 0)
        net_tls_explain(session, 0);
    return ERR_SYSTEM;
}

const char *net_tls_why(const struct net_stream *stream)
{
    return stream->tls == NULL || stream->tls->why[0] == '\0' ? NULL : stream->tls->why;
}

/* ---- bytes ---- */

ssize_t net_tls_read(struct net_stream *stream, void *buf, size_t len)
{
    size_t n = 0;
    ERR_clear_error();
    errno = 0;
    int result = SSL_read_ex(stream->tls->ssl, buf, len, &n);
    return result == 1 ? (ssize_t)n : outcome(stream->tls, result);
}

ssize_t net_tls_write(struct net_stream *stream, const void *buf, size_t len)
{
    size_t n = 0;
    ERR_clear_error();
    errno = 0;
    int result = SSL_write_ex(stream->tls->ssl, buf, len, &n);
    if (result == 1)
        return (ssize_t)n;
    ssize_t outcome_of = outcome(stream->tls, result);
    if (outcome_of == 0)
        errno = EPIPE;
    return -1;
}
