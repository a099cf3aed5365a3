/* SPDX-License-Identifier: Apache-2.0 */
/* identity_secret.c - takes: the fleet's secret and values.  Gives: macs, and from them the keys under
 * which quotas count.  Never: shows the secret, fetches an algorithm or locks per call. */
#include "identity/identity_secret.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>

/* SHA-256 by value: an EVP context would be allocated seven times for every subject that is new. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "base/base_ascii.h"
#include "identity/identity_source.h"

#define FEED_BYTES 512 /* pieces up to this are gathered before they are hashed */

/* Owner: the plan.  Freed by: identity_secret_free.  Thread: any; only read once made. */
struct identity_secret {
    SHA256_CTX inner, outer; /* of HMAC (RFC 2104), behind the key; copied for each mac */
    struct hash_key print;
};

/* One mac being computed. */
struct feed {
    const struct identity_secret *secret;
    SHA256_CTX inner;
    size_t len;
    char bytes[FEED_BYTES];
};

static void feed_begin(struct feed *feed, const struct identity_secret *secret)
{
    feed->secret = secret;
    feed->inner = secret->inner;
    feed->len = 0;
}

static void feed_flush(struct feed *feed)
{
    SHA256_Update(&feed->inner, feed->bytes, feed->len);
    feed->len = 0;
}

static void feed_bytes(struct feed *feed, const void *bytes, size_t len)
{
    if (len > FEED_BYTES - feed->len)
        feed_flush(feed);
    if (len > FEED_BYTES) {
        SHA256_Update(&feed->inner, bytes, len);
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
        char byte = ascii_lower(text.ptr[i]);
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

/* What is left on the stack tells nothing of the values. */
static void feed_end(struct feed *feed, uint8_t mac[IDENTITY_KEY_BYTES])
{
    uint8_t whole[SHA256_DIGEST_LENGTH];
    SHA256_CTX outer = feed->secret->outer;
    feed_flush(feed);
    SHA256_Final(whole, &feed->inner);
    SHA256_Update(&outer, whole, sizeof(whole));
    SHA256_Final(whole, &outer);
    memcpy(mac, whole, IDENTITY_KEY_BYTES);
    OPENSSL_cleanse(feed->bytes, sizeof(feed->bytes));
}

/* RFC 2104 section 2: a key of more than a block is hashed first. */
static void key_contexts(struct identity_secret *made, struct span secret)
{
    unsigned char block[SHA256_CBLOCK] = {0};
    if (secret.len > sizeof(block))
        SHA256((const unsigned char *)secret.ptr, secret.len, block);
    else
        memcpy(block, secret.ptr, secret.len);
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] ^= 0x36;
    SHA256_Init(&made->inner);
    SHA256_Update(&made->inner, block, sizeof(block));
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] ^= 0x36 ^ 0x5c;
    SHA256_Init(&made->outer);
    SHA256_Update(&made->outer, block, sizeof(block));
    OPENSSL_cleanse(block, sizeof(block));
}

static struct hash_key key_of(const uint8_t bytes[IDENTITY_KEY_BYTES])
{
    struct hash_key key;
    memcpy(&key.k0, bytes, 8);
    memcpy(&key.k1, bytes + 8, 8);
    return (struct hash_key){le64toh(key.k0), le64toh(key.k1)};
}

/* Before a worker gives up reading files. */
static bool load_crypto(void)
{
    return OSSL_LIB_CTX_get0_global_default() != NULL &&
           OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL) == 1;
}

struct identity_secret *identity_secret_new(struct span secret)
{
    struct identity_secret *made = calloc(1, sizeof(*made));
    if (made == NULL || secret.len == 0 || !load_crypto()) {
        free(made);
        return NULL;
    }
    key_contexts(made, secret);
    struct feed feed;
    uint8_t print[IDENTITY_KEY_BYTES];
    feed_begin(&feed, made);
    feed_text(&feed, SPAN("print"));
    feed_end(&feed, print);
    made->print = key_of(print);
    return made;
}

void identity_secret_free(struct identity_secret *secret)
{
    if (secret == NULL)
        return;
    OPENSSL_cleanse(secret, sizeof(*secret));
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
    feed_begin(&feed, secret);
    for (unsigned i = 0; i < count; i++)
        feed_value(&feed, &values[i]);
    feed_end(&feed, mac);
    return ERR_OK;
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
