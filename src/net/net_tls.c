/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls.c - TLS as a client: the context that connections to one kind of server begin with.  Takes: certificates and
 * keys.  Gives: a counted, constant context, and the sessions that servers give to be kept. */
#include "net/net_tls.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/net_tls_private.h"

static const unsigned char HTTP_1_1[] = "\x08http/1.1";

static bool say(char why[NET_TLS_WHY_BYTES], const char *sentence)
{
    if (sentence != NULL)
        snprintf(why, NET_TLS_WHY_BYTES, "%s", sentence);
    return sentence == NULL;
}

/* What a server gives is for the next connection to the same one; of TLS 1.3 it may give several, the last one is kept.
 * A copy: OpenSSL spoils the session of a connection that breaks off, and servers that just close are many. */
static int take_session(SSL *ssl, SSL_SESSION *given)
{
    const struct net_stream *stream = SSL_get_app_data(ssl);
    struct net_tls_kept *kept = stream->tls == NULL ? NULL : stream->tls->kept;
    if (kept != NULL) {
        net_tls_kept_drop(kept);
        kept->session = SSL_SESSION_dup(given); /* NULL: a whole handshake next time */
    }
    return 0; /* no reference is taken */
}

static bool take_authorities(struct net_tls *tls, struct span pem, char why[NET_TLS_WHY_BYTES])
{
    if (pem.len != 0)
        return say(why, net_tls_take_authorities(SSL_CTX_get_cert_store(tls->context), pem));
    /* One file, read here: what is looked for in a folder is looked for during a handshake. */
    if (SSL_CTX_set_default_verify_file(tls->context) == 1)
        return true;
    return say(why, "the system's list of authorities cannot be read");
}

static bool set_up(struct net_tls *tls, const struct net_tls_conf *conf)
{
    tls->context = SSL_CTX_new(TLS_client_method());
    tls->method = net_tls_bio_method();
    if (tls->context == NULL || tls->method == NULL)
        return false;
    net_tls_set_up(tls->context, conf->is_1_3);
    SSL_CTX_set_session_cache_mode(tls->context,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(tls->context, take_session);
    SSL_CTX_set_verify(tls->context, conf->is_unverified ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    tls->is_verified = !conf->is_unverified;
    return !conf->is_http ||
           SSL_CTX_set_alpn_protos(tls->context, HTTP_1_1, sizeof(HTTP_1_1) - 1) == 0;
}

/* Each text behind its length, so that what moves from one to the next is something else. */
static bool set_id(struct net_tls *tls, const struct net_tls_conf *conf)
{
    const struct span texts[] = {conf->ca, conf->certificate, conf->key};
    const unsigned char flags[] = {conf->is_unverified, conf->is_1_3, conf->is_http};
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool is_good = digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
                   EVP_DigestUpdate(digest, flags, sizeof(flags)) == 1;
    for (size_t i = 0; is_good && i < sizeof(texts) / sizeof(texts[0]); i++)
        is_good = EVP_DigestUpdate(digest, &texts[i].len, sizeof(texts[i].len)) == 1 &&
                  EVP_DigestUpdate(digest, texts[i].ptr, texts[i].len) == 1;
    is_good = is_good && EVP_DigestFinal_ex(digest, tls->id, NULL) == 1;
    EVP_MD_CTX_free(digest);
    return is_good;
}

struct net_tls *net_tls_new(const struct net_tls_conf *conf, enum net_tls_part *part,
                            char why[NET_TLS_WHY_BYTES])
{
    struct net_tls *tls = calloc(1, sizeof(*tls));
    ERR_clear_error();
    *part = NET_TLS_MEMORY;
    (void)say(why, "out of memory");
    if (tls != NULL)
        atomic_init(&tls->refs, 1);
    if (tls == NULL || !set_up(tls, conf) || !set_id(tls, conf))
        goto fail;
    *part = NET_TLS_CA;
    if (!conf->is_unverified && !take_authorities(tls, conf->ca, why))
        goto fail;
    *part = NET_TLS_CERTIFICATE;
    if (conf->certificate.len != 0 &&
        !say(why, net_tls_take_certificate(tls->context, conf->certificate)))
        goto fail;
    *part = NET_TLS_KEY;
    if (conf->certificate.len != 0 && !say(why, net_tls_take_key(tls->context, conf->key)))
        goto fail;
    ERR_clear_error();
    return tls;
fail:
    ERR_clear_error();
    net_tls_free(tls);
    return NULL;
}

struct net_tls *net_tls_ref(struct net_tls *tls)
{
    if (tls != NULL)
        atomic_fetch_add_explicit(&tls->refs, 1, memory_order_relaxed);
    return tls;
}

void net_tls_free(struct net_tls *tls)
{
    if (tls == NULL || atomic_fetch_sub_explicit(&tls->refs, 1, memory_order_acq_rel) != 1)
        return;
    SSL_CTX_free(tls->context);
    BIO_meth_free(tls->method);
    free(tls);
}

bool net_tls_is_same(const struct net_tls *one, const struct net_tls *other)
{
    if (one == NULL || other == NULL)
        return one == other;
    return memcmp(one->id, other->id, sizeof(one->id)) == 0;
}
