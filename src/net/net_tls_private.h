/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls_private.h - what net_tls*.c share with net_stream.c, and nobody else. */
#ifndef SLUICE_NET_TLS_PRIVATE_H
#define SLUICE_NET_TLS_PRIVATE_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "net/net_tls.h"

struct net_tls_server;
struct net_tls_tickets;

struct net_tls {
    atomic_uint refs;
    SSL_CTX *context;
    BIO_METHOD *method;
    bool is_verified;
    unsigned char id[32]; /* SHA-256 of all that it was made of */
};

/* Owner: a stream.  Freed by: net_tls_end.  Thread: the stream's. */
struct net_tls_session {
    SSL *ssl;                              /* as a server: NULL until the first byte has come */
    struct net_tls_server *server;         /* a reference; NULL: we are the client */
    const struct net_tls_tickets *tickets; /* as a server; borrowed */
    struct net_tls *client;                /* a reference */
    struct net_tls_kept *kept;             /* as a client; borrowed; may be NULL */
    bool is_shaken;                        /* the handshake is over */
    bool is_dead;   /* OpenSSL has given up: nothing may be asked of it any more */
    bool saw_end;   /* the peer's bytes have ended */
    bool is_cut;    /* there is more to read, but not in this turn */
    bool is_ending; /* close_notify is due, once it can be written */
    bool has_ended; /* close_notify has been written, or nothing can be any more */
    bool read_waits_for_write, write_waits_for_read;
    bool has_fingerprint;
    unsigned reads;            /* of the kernel, since the last call from above */
    unsigned chatter;          /* messages that carry no data, since */
    uint64_t chatter_since_us; /* this moment */
    char *name;                /* that the peer must have; as a client */
    char *why;
    const char *why_word;
    char *record;
    size_t record_len;
    char fingerprint[NET_TLS_FINGERPRINT_BYTES];
};

/* ---- net_tls_session.c: for net_stream.c ---- */

ssize_t net_tls_read(struct net_stream *stream, void *buf, size_t len);
ssize_t net_tls_write(struct net_stream *stream, const void *buf, size_t len);
ssize_t net_tls_writev(struct net_stream *stream, const struct iovec *iov, int count);
bool net_tls_has_input(struct net_stream *stream);
bool net_tls_is_over(struct net_stream *stream);
/* Readiness of the descriptor has been noted: what was waiting for it? */
void net_tls_on_event(struct net_stream *stream, short what);
/* Say goodbye, then end our side. */
void net_tls_shutdown(struct net_stream *stream);
/* is_clean: the peer is told that this is the end and no accident. */
void net_tls_end(struct net_stream *stream, bool is_clean);

/* ---- net_tls_bio.c ---- */

/* How OpenSSL reads and writes a stream; NULL: no memory. */
BIO_METHOD *net_tls_bio_method(void);
/* False: no memory. */
bool net_tls_bio_attach(SSL *ssl, const BIO_METHOD *method, struct net_stream *stream);

/* ---- net_tls_chatter.c ---- */

/* Whoever sends many messages that carry no data is cut off. */
void net_tls_limit_chatter(SSL_CTX *context);

/* ---- net_tls_words.c ---- */

/* Notes in words what OpenSSL says of a handshake or a connection that failed.  error: errno, or 0. */
void net_tls_explain(struct net_tls_session *session, int error);
void net_tls_say(struct net_tls_session *session, const char *word, const char *sentence);

/* ---- net_tls_server.c ---- */

/* The object of one connection; NULL: no memory. */
SSL *net_tls_server_ssl(const struct net_tls_server *server, struct net_stream *stream);

/* ---- net_tls_pem.c ---- */

/* The certificates of a text, one after the other; NULL: no memory; no other, or none that can be read. */
BIO *net_tls_pem_open(struct span text);
X509 *net_tls_pem_next(BIO *bio);
/* The modes and options that every context has. */
void net_tls_set_up(SSL_CTX *context, bool is_1_3);
/* NULL, or what is wrong with it. */
const char *net_tls_take_authorities(X509_STORE *store, struct span pem);
/* Their names, for a server to ask for; false: no memory. */
bool net_tls_list_authorities(STACK_OF(X509_NAME) * names, struct span pem);
const char *net_tls_take_certificate(SSL_CTX *context, struct span pem);
const char *net_tls_take_key(SSL_CTX *context, struct span pem);

/* ---- net_stream.c: the stream's own bytes ---- */

ssize_t net_stream_read_raw(struct net_stream *stream, void *buf, size_t len);
ssize_t net_stream_write_raw(struct net_stream *stream, const void *buf, size_t len);
void net_stream_shutdown_raw(struct net_stream *stream);

#endif
