/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls_private.h - what net_tls*.c share with net_stream.c, and nobody else. */
#ifndef SLUICE_NET_TLS_PRIVATE_H
#define SLUICE_NET_TLS_PRIVATE_H

#include <openssl/ssl.h>

#include "net/net_tls.h"

struct net_tls {
    SSL_CTX *context;
    BIO_METHOD *method; /* how OpenSSL reads and writes a stream */
    bool is_verified;
};

/* Owner: a stream.  Freed by: net_tls_end.  Thread: the stream's. */
struct net_tls_session {
    SSL *ssl;
    bool is_shaken; /* the handshake is over */
    char name[256]; /* that the peer must have */
    char why[NET_TLS_WHY_BYTES];
};

/* net_tls_session.c: as net_stream_read and net_stream_write. */
ssize_t net_tls_read(struct net_stream *stream, void *buf, size_t len);
ssize_t net_tls_write(struct net_stream *stream, const void *buf, size_t len);
void net_tls_end(struct net_stream *stream);
int net_tls_bio_write(BIO *bio, const char *bytes, int len);
int net_tls_bio_read(BIO *bio, char *bytes, int len);
long net_tls_bio_control(BIO *bio, int command, long number, void *arg);

/* net_tls_words.c: in words, what OpenSSL says of a handshake or a connection that failed. */
void net_tls_explain(struct net_tls_session *session, int error);

/* net_stream.c: the stream's own bytes. */
ssize_t net_stream_read_raw(struct net_stream *stream, void *buf, size_t len);
ssize_t net_stream_write_raw(struct net_stream *stream, const void *buf, size_t len);

#endif
