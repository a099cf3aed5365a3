/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls_chatter.c - messages of TLS that carry no data, behind the handshake.  Takes: what OpenSSL tells of each message.
 * Gives: the end to a peer that sends many of them.  OpenSSL works off all that came together within one call: a new key
 * costs the peer 27 bytes and us 30 us, so half a megabyte of them kept a worker busy for a second (measured). */
#include <openssl/ssl3.h>

#include "base/base_clock.h"
#include "net/net_tls_private.h"

#define CHATTER_MAX 32 /* a second; nobody needs a new key for less than gigabytes */
#define CHATTER_US  1000000

static void on_message(int is_written, int version, int type, const void *bytes, size_t len,
                       SSL *ssl, void *arg)
{
    (void)version;
    (void)bytes;
    (void)len;
    (void)arg;
    if (is_written || type != SSL3_RT_HANDSHAKE)
        return;
    const struct net_stream *stream = SSL_get_app_data(ssl);
    struct net_tls_session *session = stream->tls;
    if (!session->is_shaken)
        return;
    /* Verbs of the command line have streams of no loop. */
    uint64_t now_us = stream->loop != NULL ? stream->loop->mono_us : clock_mono_us();
    if (now_us - session->chatter_since_us >= CHATTER_US) {
        session->chatter_since_us = now_us;
        session->chatter = 0;
    }
    if (++session->chatter <= CHATTER_MAX)
        return;
    net_tls_say(session, "protocol", "it sends many messages of TLS that carry no data");
    SSL_set_shutdown(ssl, SSL_RECEIVED_SHUTDOWN); /* the rest of what came is thrown away unseen */
}

void net_tls_limit_chatter(SSL_CTX *context)
{
    SSL_CTX_set_msg_callback(context, on_message);
}
