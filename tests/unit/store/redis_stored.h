/* SPDX-License-Identifier: Apache-2.0 */
/* redis_stored.h - a subject's value in a real Redis, written and read by hand: an oracle for the layout that
 * store/store_redis_script.h describes. */
#ifndef TESTS_STORE_REDIS_STORED_H
#define TESTS_STORE_REDIS_STORED_H

#include <stdbool.h>
#include <stdint.h>

#include "store/redis_testing.h"

#define REDIS_STORED_VERSION 2
#define REDIS_STORED_HEAD    24
#define REDIS_STORED_WINDOW  20

struct redis_stored_window {
    uint32_t code, start_s, base, since, returned;
};

struct redis_stored {
    uint32_t epoch, lineage, generation, extra, expires;
    unsigned count;
    struct redis_stored_window windows[16];
    long long ttl_s; /* as read */
};

static inline void redis_stored_put(uint8_t *at, uint32_t number)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(number >> (8 * i));
}

static inline uint32_t redis_stored_get(const char *at)
{
    uint32_t number = 0;
    for (unsigned i = 0; i < 4; i++)
        number |= (uint32_t)(uint8_t)at[i] << (8 * i);
    return number;
}

static inline void redis_stored_write(struct redis_testing *redis, const char *key,
                                      const struct redis_stored *value)
{
    uint8_t bytes[REDIS_STORED_HEAD + 16 * REDIS_STORED_WINDOW] = {REDIS_STORED_VERSION,
                                                                   (uint8_t)value->count};
    const uint32_t head[] = {value->epoch, value->lineage, value->generation, value->extra,
                             value->expires};
    size_t len = REDIS_STORED_HEAD;
    for (unsigned i = 0; i < 5; i++)
        redis_stored_put(bytes + 4 + 4 * i, head[i]);
    for (unsigned w = 0; w < value->count; w++) {
        const struct redis_stored_window *window = &value->windows[w];
        const uint32_t fields[] = {window->code, window->start_s, window->base, window->since,
                                   window->returned};
        for (unsigned i = 0; i < 5; i++, len += 4)
            redis_stored_put(bytes + len, fields[i]);
    }
    freeReplyObject(redisCommand(redis->client, "SET %s %b EX 1000", key, bytes, len));
}

/* False: there is none. */
static inline bool redis_stored_read(struct redis_testing *redis, const char *key,
                                     struct redis_stored *value)
{
    redisReply *reply = redisCommand(redis->client, "GET %s", key);
    bool is_there = reply->type == REDIS_REPLY_STRING;
    *value = (struct redis_stored){0};
    if (is_there) {
        uint32_t *const head[] = {&value->epoch, &value->lineage, &value->generation, &value->extra,
                                  &value->expires};
        assert_int_equal(reply->str[0], REDIS_STORED_VERSION);
        value->count = (uint8_t)reply->str[1];
        assert_int_equal(reply->len, REDIS_STORED_HEAD + REDIS_STORED_WINDOW * value->count);
        for (unsigned i = 0; i < 5; i++)
            *head[i] = redis_stored_get(reply->str + 4 + 4 * i);
        for (unsigned w = 0; w < value->count; w++) {
            const char *at = reply->str + REDIS_STORED_HEAD + REDIS_STORED_WINDOW * w;
            value->windows[w] = (struct redis_stored_window){
                redis_stored_get(at), redis_stored_get(at + 4), redis_stored_get(at + 8),
                redis_stored_get(at + 12), redis_stored_get(at + 16)};
        }
        redisReply *ttl = redisCommand(redis->client, "TTL %s", key);
        value->ttl_s = ttl->integer;
        freeReplyObject(ttl);
    }
    freeReplyObject(reply);
    return is_there;
}

#endif
