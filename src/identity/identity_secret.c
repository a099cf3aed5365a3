/* SPDX-License-Identifier: Apache-2.0 */
/* identity_secret.c - takes: the fleet's secret and values.  Gives: macs, and from them the keys under
 * which quotas count.  Never: shows the secret, fetches an algorithm or locks per call. */
#include "identity/identity_secret.h"

#include <assert.h>
#include <endian.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "identity/identity_source.h"

#define MAC_BYTES  32  /* of HMAC-SHA-256 */
#define FEED_BYTES 512 /* pieces up to this are gathered before they are hashed */

/* Owner: the plan.  Freed by: identity_secret_free.  Thread: any; only read once made. */
struct identity_secret {
    EVP_MAC_CTX *keyed; /* copied for each mac */
    struct hash_key print;
};

/* One mac being computed. */
struct feed {
    EVP_MAC_CTX *context;
    bool is_good;
    size_t len;
    char bytes[FEED_BYTES];
};

static bool feed_begin(struct feed *feed, const struct identity_secret *secret)
{
    feed->context = EVP_MAC_CTX_dup(secret->keyed);
    feed->is_good = feed->context != NULL;
    feed->len = 0;
    return feed->is_good;
}

static void feed_flush(struct feed *feed)
{
    if (feed->is_good && feed->len > 0)
        feed->is_good =
            EVP_MAC_update(feed->context, (const unsigned char *)feed->bytes, feed->len) == 1;
    feed->len = 0;
}

static void feed_bytes(struct feed *feed, const void *bytes, size_t len)
{
    if (len > FEED_BYTES - feed->len)
        feed_flush(feed);
    if (len > FEED_BYTES) {
        feed->is_good = feed->is_good && EVP_MAC_update(feed->context, bytes, len) == 1;
        return;
    }
    if (len > 0)
        memcpy(feed->bytes + feed->len, bytes, len);
    feed->len += len;
}

static void feed_length(struct feed *feed, size_t len)
{
    uint32_t big = htobe32((uint32_t)len);
    feed_bytes(feed, &big, sizeof(big));
}

static void feed_text(struct feed *feed, struct span text)
{
    feed_length(feed, text.len);
    feed_bytes(feed, text.ptr, text.len);
}

static void feed_lower(struct feed *feed, struct span text)
{
    feed_length(feed, text.len);
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.ptr[i];
        byte = (char)(byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte);
        feed_bytes(feed, &byte, 1);
    }
}

static void feed_value(struct feed *feed, const struct identity_value *value)
{
    if (value->is_shared) {
        feed_text(feed, SPAN("shared"));
        feed_text(feed, SPAN_NONE);
        feed_text(feed, SPAN_NONE);
        return;
    }
    feed_text(feed, identity_source_spelling(value->kind));
    if (value->kind == IDENTITY_HEADER)
        feed_lower(feed, value->source_name);
    else
        feed_text(feed, value->source_name);
    feed_text(feed, value->value);
}

static enum err feed_end(struct feed *feed, uint8_t mac[IDENTITY_KEY_BYTES])
{
    uint8_t whole[MAC_BYTES];
    size_t len = 0;
    feed_flush(feed);
    feed->is_good = feed->is_good &&
                    EVP_MAC_final(feed->context, whole, &len, sizeof(whole)) == 1 &&
                    len == sizeof(whole);
    EVP_MAC_CTX_free(feed->context);
    if (!feed->is_good)
        return ERR_NOMEM;
    memcpy(mac, whole, IDENTITY_KEY_BYTES);
    return ERR_OK;
}

static EVP_MAC_CTX *keyed_context(struct span secret)
{
    if (OSSL_LIB_CTX_get0_global_default() == NULL ||
        OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL) != 1)
        return NULL;
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = hmac == NULL ? NULL : EVP_MAC_CTX_new(hmac);
    EVP_MAC_free(hmac); /* the context holds its own reference */
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    if (context != NULL &&
        EVP_MAC_init(context, (const unsigned char *)secret.ptr, secret.len, params) == 1)
        return context;
    EVP_MAC_CTX_free(context);
    return NULL;
}

static struct hash_key key_of(const uint8_t bytes[IDENTITY_KEY_BYTES])
{
    struct hash_key key;
    memcpy(&key.k0, bytes, 8);
    memcpy(&key.k1, bytes + 8, 8);
    return (struct hash_key){le64toh(key.k0), le64toh(key.k1)};
}

struct identity_secret *identity_secret_new(struct span secret)
{
    struct identity_secret *made = calloc(1, sizeof(*made));
    if (made == NULL || secret.len == 0)
        goto fail;
    made->keyed = keyed_context(secret);
    struct feed feed;
    uint8_t print[IDENTITY_KEY_BYTES];
    if (made->keyed == NULL || !feed_begin(&feed, made))
        goto fail;
    feed_text(&feed, SPAN("print"));
    if (feed_end(&feed, print) != ERR_OK)
        goto fail;
    made->print = key_of(print);
    return made;

fail:
    identity_secret_free(made);
    return NULL;
}

void identity_secret_free(struct identity_secret *secret)
{
    if (secret == NULL)
        return;
    EVP_MAC_CTX_free(secret->keyed);
    free(secret);
}

struct hash_key identity_secret_print(const struct identity_secret *secret)
{
    return secret->print;
}

enum err identity_mac(const struct identity_secret *secret, const struct identity_value *values,
                      unsigned count, uint8_t mac[IDENTITY_KEY_BYTES])
{
    struct feed feed;
    if (!feed_begin(&feed, secret))
        return ERR_NOMEM;
    for (unsigned i = 0; i < count; i++)
        feed_value(&feed, &values[i]);
    return feed_end(&feed, mac);
}

static void write_hash(uint8_t out[IDENTITY_KEY_BYTES], struct hash128 hash)
{
    uint64_t words[2] = {htole64(hash.lo), htole64(hash.hi)};
    memcpy(out, words, sizeof(words));
}

void identity_quota_id(struct span quota_name, uint8_t id[IDENTITY_KEY_BYTES])
{
    /* Any key does, as long as every proxy of a fleet has the same: names are the operator's. */
    static const struct hash_key key = {UINT64_C(0x71756f7461206964), UINT64_C(0x736c756963652031)};
    write_hash(id, hash_sip128(key, quota_name.ptr, quota_name.len));
}

void identity_quota_key(const uint8_t mac[IDENTITY_KEY_BYTES],
                        const uint8_t quota_id[IDENTITY_KEY_BYTES], uint8_t key[IDENTITY_KEY_BYTES])
{
    write_hash(key, hash_sip128(key_of(mac), quota_id, IDENTITY_KEY_BYTES));
}
