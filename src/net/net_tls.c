/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls.c - see net_tls.h.  Takes: certificates and keys.  Gives: the context that sessions begin with. */
#include "net/net_tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/net_tls_private.h"

/* An encrypted key has nobody here to ask for its password. */
static int no_password(char *buf, int size, int for_writing, void *arg)
{
    bool *was_asked = arg;
    (void)buf;
    (void)size;
    (void)for_writing;
    *was_asked = true;
    return -1;
}

static void say(char why[NET_TLS_WHY_BYTES], const char *sentence)
{
    snprintf(why, NET_TLS_WHY_BYTES, "%s", sentence);
}

static X509 *next_certificate(BIO *bio)
{
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    return certificate;
}

/* Did the text end there, rather than break off? */
static bool is_at_end(void)
{
    unsigned long error = ERR_peek_last_error();
    bool is_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    return is_end;
}

static bool take_authorities(struct net_tls *tls, struct span text, char why[NET_TLS_WHY_BYTES])
{
    X509_STORE *store = SSL_CTX_get_cert_store(tls->context);
    unsigned count = 0;
    X509 *certificate;
    if (text.len == 0) {
        /* One file, read here: what is looked for in a folder is looked for during a handshake. */
        if (SSL_CTX_set_default_verify_file(tls->context) == 1)
            return true;
        say(why, "the system's list of authorities cannot be read");
        return false;
    }
    BIO *bio = BIO_new_mem_buf(text.ptr, (int)text.len);
    bool is_good = bio != NULL;
    while (is_good && (certificate = next_certificate(bio)) != NULL) {
        is_good = X509_STORE_add_cert(store, certificate) == 1;
        X509_free(certificate);
        count++;
    }
    is_good = is_good && is_at_end() && count != 0;
    BIO_free(bio);
    if (!is_good)
        say(why, "not certificates in PEM (\"-----BEGIN CERTIFICATE-----\")");
    return is_good;
}

static bool take_certificate(struct net_tls *tls, struct span text, char why[NET_TLS_WHY_BYTES])
{
    BIO *bio = BIO_new_mem_buf(text.ptr, (int)text.len);
    X509 *certificate = bio == NULL ? NULL : next_certificate(bio);
    bool is_good = certificate != NULL && SSL_CTX_use_certificate(tls->context, certificate) == 1;
    X509_free(certificate);
    while (is_good && (certificate = next_certificate(bio)) != NULL) {
        is_good = SSL_CTX_add1_chain_cert(tls->context, certificate) == 1;
        X509_free(certificate);
    }
    is_good = is_good && is_at_end();
    BIO_free(bio);
    if (!is_good)
        say(why, "not a certificate in PEM (\"-----BEGIN CERTIFICATE-----\") with its chain");
    return is_good;
}

static bool take_key(struct net_tls *tls, struct span text, char why[NET_TLS_WHY_BYTES])
{
    bool was_asked = false;
    BIO *bio = BIO_new_mem_buf(text.ptr, (int)text.len);
    EVP_PKEY *key =
        bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_password, &was_asked);
    BIO_free(bio);
    bool is_ours = key != NULL && SSL_CTX_use_PrivateKey(tls->context, key) == 1 &&
                   SSL_CTX_check_private_key(tls->context) == 1;
    if (was_asked)
        say(why, "the key is encrypted, and there is nobody to ask for its password");
    else if (key == NULL)
        say(why, "not a private key in PEM (\"-----BEGIN PRIVATE KEY-----\")");
    else if (!is_ours)
        say(why, "it is not the key of the certificate");
    EVP_PKEY_free(key);
    return is_ours;
}

static bool set_up(struct net_tls *tls, const struct net_tls_conf *conf)
{
    tls->context = SSL_CTX_new(TLS_client_method());
    tls->method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    if (tls->context == NULL || tls->method == NULL)
        return false;
    BIO_meth_set_write(tls->method, net_tls_bio_write);
    BIO_meth_set_read(tls->method, net_tls_bio_read);
    BIO_meth_set_ctrl(tls->method, net_tls_bio_control);
    SSL_CTX_set_min_proto_version(tls->context, conf->is_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    /* What is sent says itself where it ends, so that an end without a goodbye hides nothing. */
    SSL_CTX_set_options(tls->context, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(tls->context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                       SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(tls->context, 1); /* who reads, reads until there is nothing more */
    SSL_CTX_set_session_cache_mode(tls->context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(tls->context, conf->is_unverified ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    tls->is_verified = !conf->is_unverified;
    return true;
}

struct net_tls *net_tls_new(const struct net_tls_conf *conf, enum net_tls_part *part,
                            char why[NET_TLS_WHY_BYTES])
{
    struct net_tls *tls = calloc(1, sizeof(*tls));
    ERR_clear_error();
    *part = NET_TLS_MEMORY;
    say(why, "out of memory");
    if (tls == NULL || !set_up(tls, conf))
        goto fail;
    *part = NET_TLS_CA;
    if (!conf->is_unverified && !take_authorities(tls, conf->ca, why))
        goto fail;
    *part = NET_TLS_CERTIFICATE;
    if (conf->certificate.len != 0 && !take_certificate(tls, conf->certificate, why))
        goto fail;
    *part = NET_TLS_KEY;
    if (conf->certificate.len != 0 && !take_key(tls, conf->key, why))
        goto fail;
    ERR_clear_error();
    return tls;
fail:
    ERR_clear_error();
    net_tls_free(tls);
    return NULL;
}

void net_tls_free(struct net_tls *tls)
{
    if (tls == NULL)
        return;
    SSL_CTX_free(tls->context);
    BIO_meth_free(tls->method);
    free(tls);
}
