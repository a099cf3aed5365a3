/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis.c - see store_redis.h. */
#include "store/store_redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base_fmt.h"
#include "base/base_hash.h"
#include "base/base_log.h"
#include "base/base_rng.h"
#include "store/store_redis_greet.h"
#include "store/store_redis_script.h"

#define ARENA_BYTES_MAX 65536
#define EVENT_BYTES     1024

static const struct hash_key REASON_KEY = {1, 2}; /* only to tell our own sentences apart */

static bool copy_conf(struct store_redis *redis, const struct store_redis_conf *conf)
{
    struct span *texts[] = {&redis->conf.address_text, &redis->conf.username, &redis->conf.password,
                            &redis->conf.prefix, &redis->conf.secret_fingerprint};
    redis->conf = *conf;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        *texts[i] = arena_copy(&redis->arena, *texts[i]);
        if (texts[i]->ptr == NULL)
            return false;
    }
    return conf->prefix.len <= STORE_REDIS_PREFIX_MAX;
}

/* A program without configuration text (a test) may leave times out. */
static void set_defaults(struct store_redis_conf *conf)
{
    if (conf->decision_timeout_us == 0)
        conf->decision_timeout_us = 50000;
    if (conf->command_timeout_us == 0)
        conf->command_timeout_us = 250000;
    if (conf->connect_timeout_us == 0)
        conf->connect_timeout_us = 1000000;
}

static bool set_names(struct store_redis *redis)
{
    char host[65] = "";
    uint64_t random;
    if (gethostname(host, sizeof(host) - 1) != 0)
        memcpy(host, "unknown", sizeof("unknown"));
    /* CLIENT SETNAME takes no spaces, and nobody's host name should have any. */
    for (char *c = host; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~')
            *c = '_';
    }
    rng_secret(&random, sizeof(random));
    redis->name = arena_printf(&redis->arena, "sluice:%s:%d:%08x", host, (int)getpid(),
                               (unsigned)(random & UINT32_MAX));
    redis->key_head = arena_printf(
        &redis->arena, "$%zu\r\n%.*s:q:", redis->conf.prefix.len + 3 + STORE_REDIS_KEY_TEXT_BYTES,
        (int)redis->conf.prefix.len, redis->conf.prefix.ptr);
    return redis->name.ptr != NULL && redis->key_head.ptr != NULL;
}

static bool set_host(struct store_redis *redis)
{
    if (redis->conf.address.len != 0)
        return true;
    const char *fault =
        net_address_parse(&redis->conf.address, redis->conf.address_text, &redis->host);
    return fault == NULL;
}

struct store_redis *store_redis_new(const struct store_redis_conf *conf)
{
    struct store_redis *redis = calloc(1, sizeof(*redis));
    if (redis == NULL)
        return NULL;
    arena_init(&redis->arena, NULL, 0, ARENA_BYTES_MAX);
    if (!copy_conf(redis, conf) || !set_names(redis) || !set_host(redis)) {
        store_redis_free(redis);
        return NULL;
    }
    set_defaults(&redis->conf);
    return redis;
}

void store_redis_free(struct store_redis *redis)
{
    if (redis == NULL)
        return;
    if (redis->conf.password.len != 0)
        explicit_bzero((char *)(uintptr_t)redis->conf.password.ptr, redis->conf.password.len);
    arena_fini(&redis->arena);
    free(redis);
}

static void tell(const struct store_redis *redis, const char *event, const char *member,
                 struct span value)
{
    char json[EVENT_BYTES];
    const char *end = json + sizeof(json) - 64;
    bool cut = false, bytes = false;
    if (redis->on_event == NULL)
        return;
    char *out = json + snprintf(json, sizeof(json),
                                "\"event\":\"%s\",\"store\":\"redis\",\"address\":\"", event);
    out = fmt_json_text(out, json + EVENT_BYTES / 2, redis->conf.address_text, &cut, &bytes);
    out += snprintf(out, (size_t)(json + sizeof(json) - out), "\",\"%s\":\"", member);
    out = fmt_json_text(out, end, value, &cut, &bytes);
    memcpy(out, "\"", 2);
    redis->on_event(redis->event_arg, json);
}

void store_redis_said_up(struct store_redis *redis, uint64_t now_us, const char *version,
                         const char *policy)
{
    const struct span *at = &redis->conf.address_text;
    if (atomic_fetch_add(&redis->links_up, 1) != 0)
        return;
    uint64_t lost_at_us = atomic_exchange(&redis->lost_at_us, 0);
    atomic_store(&redis->said, 0);
    if (lost_at_us == 0) {
        log_info("redis %.*s answers (version %s)", (int)at->len, at->ptr, version);
    } else {
        uint64_t away_ms = (now_us - lost_at_us) / 1000;
        log_info("redis %.*s is back after %llu ms (version %s)", (int)at->len, at->ptr,
                 (unsigned long long)away_ms, version);
        tell(redis, "store_back", "version", span_of(version));
    }
    if (policy[0] != '\0' && strcmp(policy, "noeviction") != 0)
        log_warn(
            "redis %.*s: its maxmemory-policy is %s: a subject whose key is evicted starts anew "
            "unless a proxy has seen it; set noeviction",
            (int)at->len, at->ptr, policy);
}

void store_redis_said_down(struct store_redis *redis, uint64_t now_us, bool was_up,
                           const char *reason)
{
    const struct span *at = &redis->conf.address_text;
    bool was_last = was_up && atomic_fetch_sub(&redis->links_up, 1) == 1;
    if (atomic_load(&redis->links_up) != 0) {
        if (was_up)
            log_info("redis %.*s: one connection of several was lost: %s", (int)at->len, at->ptr,
                     reason);
        return;
    }
    /* Many attempts fail for one reason: it is said once. */
    uint64_t hash = hash_sip64(REASON_KEY, reason, strlen(reason)) | 1;
    if (atomic_exchange(&redis->said, hash) == hash && !was_last)
        return;
    log_warn("redis %.*s is away: %s; quotas do as their \"on_failure\" says until it is back",
             (int)at->len, at->ptr, reason);
    uint64_t never = 0;
    if (atomic_compare_exchange_strong(&redis->lost_at_us, &never, now_us))
        tell(redis, "store_lost", "reason", span_of(reason));
}

bool store_redis_take_beat(struct store_redis *redis, uint64_t now_us)
{
    uint64_t due_us = atomic_load_explicit(&redis->beat_due_us, memory_order_relaxed);
    if (now_us < due_us)
        return false;
    return atomic_compare_exchange_strong(&redis->beat_due_us, &due_us,
                                          now_us + STORE_REDIS_BEAT_US);
}
