/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls_pem.c - certificates and keys as text (PEM) into OpenSSL's contexts, and what all contexts have in common.
 * Gives: what is wrong with the text as a sentence.  Never asks anybody for a password. */
#include <openssl/err.h>
#include <openssl/pem.h>

#include "net/net_tls_private.h"

void net_tls_set_up(SSL_CTX *context, bool is_1_3)
{
    SSL_CTX_set_min_proto_version(context, is_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1); /* who reads, reads until there is nothing more */
    net_tls_limit_chatter(context);
}

BIO *net_tls_pem_open(struct span text)
{
    ERR_clear_error();
    return BIO_new_mem_buf(text.ptr, text.len > INT32_MAX ? INT32_MAX : (int)text.len);
}

/* An encrypted key has nobody here to ask for its password. */
static int pem_no_password(char *buf, int size, int for_writing, void *arg)
{
    bool *was_asked = arg;
    (void)buf;
    (void)size;
    (void)for_writing;
    if (was_asked != NULL)
        *was_asked = true;
    return -1;
}

X509 *net_tls_pem_next(BIO *bio)
{
    return PEM_read_bio_X509(bio, NULL, pem_no_password, NULL);
}

/* Did the text end there, rather than break off? */
static bool pem_is_at_end(void)
{
    unsigned long error = ERR_peek_last_error();
    bool is_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    return is_end;
}

const char *net_tls_take_authorities(X509_STORE *store, struct span pem)
{
    BIO *bio = net_tls_pem_open(pem);
    X509 *certificate;
    unsigned count = 0;
    bool is_good = bio != NULL;
    while (is_good && (certificate = net_tls_pem_next(bio)) != NULL) {
        is_good = X509_STORE_add_cert(store, certificate) == 1;
        X509_free(certificate);
        count++;
    }
    is_good = is_good && pem_is_at_end() && count != 0;
    BIO_free(bio);
    ERR_clear_error();
    return is_good ? NULL : "not certificates in PEM (\"-----BEGIN CERTIFICATE-----\")";
}

bool net_tls_list_authorities(STACK_OF(X509_NAME) * names, struct span pem)
{
    BIO *bio = net_tls_pem_open(pem);
    X509 *certificate;
    bool is_good = bio != NULL;
    while (is_good && (certificate = net_tls_pem_next(bio)) != NULL) {
        X509_NAME *name = X509_NAME_dup(X509_get_subject_name(certificate));
        X509_free(certificate);
        is_good = name != NULL && sk_X509_NAME_push(names, name) != 0;
        if (!is_good)
            X509_NAME_free(name);
    }
    BIO_free(bio);
    ERR_clear_error();
    return is_good;
}

/* OpenSSL's own words, for what has none of ours; the queue of errors is emptied by who says it. */
static const char *pem_reason(const char *otherwise)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    return reason == NULL ? otherwise : reason;
}

const char *net_tls_take_certificate(SSL_CTX *context, struct span pem)
{
    static const char malformed[] =
        "not a certificate in PEM (\"-----BEGIN CERTIFICATE-----\") with its chain behind it";
    BIO *bio = net_tls_pem_open(pem);
    X509 *certificate = bio == NULL ? NULL : net_tls_pem_next(bio);
    const char *fault = certificate == NULL ? malformed : NULL;
    if (fault == NULL && SSL_CTX_use_certificate(context, certificate) != 1)
        fault = pem_reason("it is not accepted"); /* a key that is too short, say */
    X509_free(certificate);
    if (fault == NULL)
        SSL_CTX_clear_chain_certs(context);
    while (fault == NULL && (certificate = net_tls_pem_next(bio)) != NULL) {
        if (SSL_CTX_add1_chain_cert(context, certificate) != 1)
            fault = pem_reason("a certificate of its chain is not accepted");
        X509_free(certificate);
    }
    if (fault == NULL && !pem_is_at_end())
        fault = malformed;
    BIO_free(bio);
    ERR_clear_error();
    return fault;
}

const char *net_tls_take_key(SSL_CTX *context, struct span pem)
{
    bool was_asked = false;
    BIO *bio = net_tls_pem_open(pem);
    EVP_PKEY *key =
        bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, pem_no_password, &was_asked);
    bool is_ours = key != NULL && SSL_CTX_use_PrivateKey(context, key) == 1 &&
                   SSL_CTX_check_private_key(context) == 1;
    BIO_free(bio);
    EVP_PKEY_free(key);
    ERR_clear_error();
    if (was_asked)
        return "the key is encrypted, and there is nobody to ask for its password";
    if (key == NULL)
        return "not a private key in PEM (\"-----BEGIN PRIVATE KEY-----\")";
    return is_ours ? NULL : "it is not the key of the certificate that comes first in the file";
}
