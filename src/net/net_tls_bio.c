/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls_bio.c - between OpenSSL and the stream.  Takes: ciphertext.  Gives: it to the kernel, through the stream, which
 * knows when asking is worth it: OpenSSL's own way costs two calls of the kernel more for each record (measured). */
#include <errno.h>

#include "net/net_tls_private.h"

/* A peer that sends without end what carries no data must not keep a turn of the loop to itself. */
#define BIO_READS_MAX 16

static int bio_read(BIO *bio, char *bytes, size_t len, size_t *got)
{
    struct net_stream *stream = BIO_get_data(bio);
    struct net_tls_session *session = stream->tls;
    *got = 0;
    BIO_clear_retry_flags(bio);
    if (session->reads == BIO_READS_MAX) {
        session->is_cut = true;
        BIO_set_retry_read(bio);
        return 0;
    }
    session->reads += stream->is_readable ? 1 : 0;
    ssize_t n = net_stream_read_raw(stream, bytes, len);
    if (n < 0 && errno == EAGAIN)
        BIO_set_retry_read(bio);
    session->saw_end = session->saw_end || n == 0;
    *got = n > 0 ? (size_t)n : 0;
    return n > 0;
}

static int bio_write(BIO *bio, const char *bytes, size_t len, size_t *put)
{
    ssize_t n = net_stream_write_raw(BIO_get_data(bio), bytes, len);
    *put = n > 0 ? (size_t)n : 0;
    BIO_clear_retry_flags(bio);
    if (n < 0 && errno == EAGAIN)
        BIO_set_retry_write(bio);
    return n > 0;
}

static long bio_control(BIO *bio, int command, long number, void *arg)
{
    const struct net_stream *stream = BIO_get_data(bio);
    (void)number;
    (void)arg;
    if (command == BIO_CTRL_EOF)
        return stream->tls->saw_end;
    return command == BIO_CTRL_FLUSH;
}

/* The type is only a name: a number of its own for each context would be used up after a hundred reloads. */
BIO_METHOD *net_tls_bio_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | 127, "stream");
    if (method == NULL)
        return NULL;
    BIO_meth_set_read_ex(method, bio_read);
    BIO_meth_set_write_ex(method, bio_write);
    BIO_meth_set_ctrl(method, bio_control);
    return method;
}

bool net_tls_bio_attach(SSL *ssl, const BIO_METHOD *method, struct net_stream *stream)
{
    BIO *bio = BIO_new(method);
    if (bio == NULL)
        return false;
    BIO_set_data(bio, stream);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    return true;
}
