/* SPDX-License-Identifier: Apache-2.0 */
/* identity_jwt_key.c - see identity_jwt_key.h.  A key has one algorithm: a public key is never anybody's HMAC
 * secret (RFC 8725 section 3.1). */
#include "identity/identity_jwt_key.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#define HMAC_BYTES  32
#define ES256_BYTES 64 /* r and s, RFC 7518 section 3.4 */
#define DER_MAX     80

struct span identity_algorithm_name(enum identity_algorithm algorithm)
{
    static const struct span names[IDENTITY_ALGORITHMS] = {
        [IDENTITY_HS256] = {"HS256", 5},
        [IDENTITY_RS256] = {"RS256", 5},
        [IDENTITY_ES256] = {"ES256", 5},
    };
    return names[algorithm];
}

static const char *take_secret(struct identity_jwt_key *key, struct span text)
{
    if (text.len < IDENTITY_HS256_MIN)
        return "a secret for HS256 has at least 32 bytes";
    if (span_starts_with(text, SPAN("-----BEGIN ")))
        return "a key in PEM is no secret: its algorithm is RS256 or ES256";
    key->secret = malloc(text.len);
    if (key->secret == NULL)
        return "out of memory";
    memcpy(key->secret, text.ptr, text.len);
    key->secret_len = text.len;
    return NULL;
}

static const char *take_public(struct identity_jwt_key *key, struct span text)
{
    char group[32] = "";
    BIO *bio = BIO_new_mem_buf(text.ptr, (int)text.len);
    key->public_key = bio == NULL ? NULL : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    ERR_clear_error();
    if (key->public_key == NULL)
        return "not a public key in PEM (\"-----BEGIN PUBLIC KEY-----\")";
    if (key->algorithm == IDENTITY_RS256) {
        if (!EVP_PKEY_is_a(key->public_key, "RSA"))
            return "not an RSA key";
        if (EVP_PKEY_get_bits(key->public_key) < IDENTITY_RS256_MIN)
            return "an RSA key has at least 2048 bits";
        return NULL;
    }
    if (!EVP_PKEY_is_a(key->public_key, "EC") ||
        EVP_PKEY_get_group_name(key->public_key, group, sizeof(group), NULL) != 1 ||
        strcmp(group, "prime256v1") != 0)
        return "not a key on the curve P-256";
    return NULL;
}

const char *identity_jwt_key_init(struct identity_jwt_key *key, enum identity_algorithm algorithm,
                                  struct span text, const struct identity_jwt_terms *terms)
{
    *key = (struct identity_jwt_key){.algorithm = algorithm, .terms = *terms};
    const char *sentence =
        algorithm == IDENTITY_HS256 ? take_secret(key, text) : take_public(key, text);
    if (sentence != NULL)
        identity_jwt_key_fini(key);
    return sentence;
}

void identity_jwt_key_fini(struct identity_jwt_key *key)
{
    EVP_PKEY_free(key->public_key);
    if (key->secret != NULL)
        OPENSSL_cleanse(key->secret, key->secret_len);
    free(key->secret);
    key->public_key = NULL;
    key->secret = NULL;
}

static bool is_mac(const struct identity_jwt_key *key, struct span text, struct span signature)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    return signature.len == HMAC_BYTES &&
           HMAC(EVP_sha256(), key->secret, (int)key->secret_len, (const unsigned char *)text.ptr,
                text.len, mac, &len) != NULL &&
           len == HMAC_BYTES && CRYPTO_memcmp(mac, signature.ptr, HMAC_BYTES) == 0;
}

/* r and s as OpenSSL wants them; 0: they are none. */
static int to_der(struct span signature, unsigned char der[DER_MAX])
{
    const unsigned char *bytes = (const unsigned char *)signature.ptr;
    int len = 0;
    if (signature.len != ES256_BYTES)
        return 0;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(bytes, ES256_BYTES / 2, NULL);
    BIGNUM *s = BN_bin2bn(bytes + ES256_BYTES / 2, ES256_BYTES / 2, NULL);
    if (pair == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(pair, r, s) != 1) {
        BN_free(r);
        BN_free(s);
    } else {
        unsigned char *end = der;
        len = i2d_ECDSA_SIG(pair, &end);
    }
    ECDSA_SIG_free(pair);
    return len > 0 ? len : 0;
}

static bool is_signed(const struct identity_jwt_key *key, struct span text,
                      const unsigned char *signature, size_t len)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_good =
        context != NULL &&
        EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key->public_key) == 1 &&
        EVP_DigestVerify(context, signature, len, (const unsigned char *)text.ptr, text.len) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return is_good;
}

bool identity_jwt_key_signed(const struct identity_jwt_key *key, struct span text,
                             struct span signature)
{
    unsigned char der[DER_MAX];
    switch (key->algorithm) {
    case IDENTITY_HS256:
        return is_mac(key, text, signature);
    case IDENTITY_RS256: /* the default padding of an RSA key is that of PKCS #1 v1.5 */
        return is_signed(key, text, (const unsigned char *)signature.ptr, signature.len);
    case IDENTITY_ES256: {
        int len = to_der(signature, der);
        return len != 0 && is_signed(key, text, der, (size_t)len);
    }
    default:
        return false;
    }
}
