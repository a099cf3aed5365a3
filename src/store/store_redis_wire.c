/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_wire.c - see store_redis_wire.h. */
#include "store/store_redis_wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_fmt.h"
#include "store/store_redis_resp.h"

#define SIZE_FIRST 16384
#define KEY_MAX                                                                                    \
    (STORE_REDIS_RESP_TEXT_MAX(STORE_REDIS_PREFIX_MAX + 5 + STORE_REDIS_KEY_TEXT_BYTES) +          \
     STORE_REDIS_RESP_TEXT_MAX(STORE_REDIS_CLAIM_BYTES_MAX))
_Static_assert(STORE_REDIS_KEYS_MAX < 10, "put_call writes the number of keys as one digit");

#define CALL_MAX 128 /* "*19\r\n$7\r\nEVALSHA\r\n", the hash, the number of keys */

void store_redis_wire_fini(struct store_redis_wire *wire)
{
    free(wire->bytes);
    *wire = (struct store_redis_wire){0};
}

void store_redis_wire_clear(struct store_redis_wire *wire)
{
    wire->begin = wire->end = 0;
}

void store_redis_wire_sent(struct store_redis_wire *wire, size_t bytes)
{
    wire->begin += bytes;
    assert(wire->begin <= wire->end);
    if (wire->begin == wire->end)
        wire->begin = wire->end = 0;
}

/* Room for so many bytes at wire->end. */
static enum err reserve(struct store_redis_wire *wire, size_t bytes)
{
    if (wire->size - wire->end >= bytes)
        return ERR_OK;
    if (wire->begin != 0) {
        memmove(wire->bytes, wire->bytes + wire->begin, wire->end - wire->begin);
        wire->end -= wire->begin;
        wire->begin = 0;
    }
    size_t size = wire->size == 0 ? SIZE_FIRST : wire->size;
    while (size - wire->end < bytes)
        size *= 2;
    if (size == wire->size)
        return ERR_OK;
    char *grown = realloc(wire->bytes, size);
    if (grown == NULL)
        return ERR_NOMEM;
    wire->bytes = grown;
    wire->size = size;
    return ERR_OK;
}

enum err store_redis_wire_add(struct store_redis_wire *wire, struct span bytes)
{
    if (reserve(wire, bytes.len) != ERR_OK)
        return ERR_NOMEM;
    wire->end = (size_t)(fmt_span(wire->bytes + wire->end, bytes) - wire->bytes);
    return ERR_OK;
}

/* All up to the keys. */
static char *put_call(char *out, bool is_whole, struct span script, const char *sha, unsigned keys,
                      unsigned arguments)
{
    out = store_redis_resp_length(out, '*', 3 + keys + arguments);
    if (is_whole) {
        out = store_redis_resp_text(FMT_LIT(out, "$4\r\nEVAL\r\n"), script);
    } else {
        out = FMT_LIT(out, "$7\r\nEVALSHA\r\n");
        out = store_redis_resp_text(out, (struct span){sha, STORE_REDIS_SHA_BYTES});
    }
    out = FMT_LIT(out, "$1\r\n");
    *out++ = (char)('0' + keys);
    return FMT_LIT(out, "\r\n");
}

enum err store_redis_wire_charge(struct store_redis_wire *wire, const struct store_redis *redis,
                                 const struct store_redis_server *server, bool is_whole,
                                 const struct store_redis_claim *claims, unsigned count)
{
    struct span script = is_whole ? span_of(STORE_REDIS_CHARGE_LUA) : SPAN_NONE;
    assert(count != 0 && count <= STORE_REDIS_KEYS_MAX);
    if (reserve(wire, CALL_MAX + script.len + (size_t)count * KEY_MAX) != ERR_OK)
        return ERR_NOMEM;
    char *out =
        put_call(wire->bytes + wire->end, is_whole, script, server->charge_sha, count, count);
    for (unsigned i = 0; i < count; i++) {
        out = fmt_span(out, redis->key_head);
        out = fmt_base64url(out, claims[i].key, sizeof(claims[i].key));
        out = FMT_LIT(out, "}\r\n");
    }
    for (unsigned i = 0; i < count; i++) {
        out = store_redis_resp_length(out, '$', store_redis_claim_bytes(&claims[i]));
        out = store_redis_claim_write(out, &claims[i], server->epoch);
        out = FMT_LIT(out, "\r\n");
    }
    wire->end = (size_t)(out - wire->bytes);
    return ERR_OK;
}

static char *put_name(char *out, const struct store_redis *redis, struct span suffix)
{
    struct span prefix = redis->conf.prefix;
    out = store_redis_resp_length(out, '$', prefix.len + suffix.len);
    out = fmt_span(fmt_span(out, prefix), suffix);
    return FMT_LIT(out, "\r\n");
}

enum err store_redis_wire_beat(struct store_redis_wire *wire, const struct store_redis *redis,
                               const struct store_redis_server *server, bool is_whole)
{
    struct span script = is_whole ? span_of(STORE_REDIS_BEAT_LUA) : SPAN_NONE;
    struct span fingerprint = redis->conf.secret_fingerprint;
    size_t bytes = CALL_MAX + script.len + 2 * KEY_MAX +
                   STORE_REDIS_RESP_TEXT_MAX(redis->name.len) +
                   STORE_REDIS_RESP_TEXT_MAX(fingerprint.len);
    if (reserve(wire, bytes) != ERR_OK)
        return ERR_NOMEM;
    char *out = put_call(wire->bytes + wire->end, is_whole, script, server->beat_sha, 2, 2);
    out = put_name(out, redis, SPAN(STORE_REDIS_PROXIES_KEY));
    out = put_name(out, redis, SPAN(STORE_REDIS_SECRET_KEY));
    out = store_redis_resp_text(out, redis->name);
    out = store_redis_resp_text(out, fingerprint);
    wire->end = (size_t)(out - wire->bytes);
    return ERR_OK;
}

enum err store_redis_wire_slots(struct store_redis_wire *wire, const struct store_redis *redis,
                                const struct store_redis_server *server, bool is_whole,
                                const struct store_redis_slots_claim *claim)
{
    struct span script = is_whole ? span_of(STORE_REDIS_SLOTS_LUA) : SPAN_NONE;
    char key[STORE_REDIS_KEY_TEXT_BYTES + 5] = ":f:{";
    _Static_assert(STORE_REDIS_SLOTS_CLAIM_BYTES <= STORE_REDIS_CLAIM_BYTES_MAX,
                   "KEY_MAX is enough");
    if (reserve(wire, CALL_MAX + script.len + KEY_MAX) != ERR_OK)
        return ERR_NOMEM;
    char *out = put_call(wire->bytes + wire->end, is_whole, script, server->slots_sha, 1, 1);
    *fmt_base64url(key + 4, claim->key, sizeof(claim->key)) = '}';
    out = put_name(out, redis, (struct span){key, sizeof(key)});
    out = store_redis_resp_length(out, '$', STORE_REDIS_SLOTS_CLAIM_BYTES);
    out = FMT_LIT(store_redis_slots_write(out, claim), "\r\n");
    wire->end = (size_t)(out - wire->bytes);
    return ERR_OK;
}

enum err store_redis_wire_publish(struct store_redis_wire *wire, const struct store_redis *redis,
                                  const uint8_t key[16], bool is_lost)
{
    struct span sender = store_redis_sender(redis);
    if (reserve(wire, CALL_MAX + 2 * KEY_MAX) != ERR_OK)
        return ERR_NOMEM;
    char *out = FMT_LIT(wire->bytes + wire->end, "*3\r\n$7\r\nPUBLISH\r\n");
    out = put_name(out, redis, SPAN(":recall"));
    out = store_redis_resp_length(out, '$', STORE_REDIS_KEY_TEXT_BYTES + 1 + sender.len);
    out = fmt_base64url(out, key, 16);
    *out++ = is_lost ? STORE_REDIS_SAYS_LOST : STORE_REDIS_SAYS_RECALL;
    out = FMT_LIT(fmt_span(out, sender), "\r\n");
    wire->end = (size_t)(out - wire->bytes);
    return ERR_OK;
}

enum err store_redis_wire_subscribe(struct store_redis_wire *wire, const struct store_redis *redis)
{
    if (reserve(wire, CALL_MAX + KEY_MAX) != ERR_OK)
        return ERR_NOMEM;
    char *out = FMT_LIT(wire->bytes + wire->end, "*2\r\n$9\r\nSUBSCRIBE\r\n");
    out = put_name(out, redis, SPAN(":recall"));
    wire->end = (size_t)(out - wire->bytes);
    return ERR_OK;
}
