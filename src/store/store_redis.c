/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis.c - see store_redis.h. */
#include "store/store_redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base_log.h"
#include "base/base_rng.h"
#include "net/net_tls.h"
#include "store/store_redis_greet.h"
#include "store/store_redis_script.h"
#include "store/store_redis_tls_conf.h"

#define ARENA_BYTES_MAX 65536

static bool copy_conf(struct store_redis *redis, const struct store_redis_conf *conf)
{
    struct span *texts[] = {&redis->conf.username,
                            &redis->conf.password,
                            &redis->conf.sentinel_username,
                            &redis->conf.sentinel_password,
                            &redis->conf.master,
                            &redis->conf.prefix,
                            &redis->conf.secret_fingerprint,
                            &redis->conf.tls.server_name};
    redis->conf = *conf;
    redis->conf.tls.ca = redis->conf.tls.certificate = redis->conf.tls.key = SPAN_NONE;
    for (unsigned i = 0; i < conf->server_count; i++) {
        struct span *text = &redis->conf.servers[i].text;
        *text = arena_copy(&redis->arena, *text);
        if (text->ptr == NULL)
            return false;
    }
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
    redis->key_head = arena_printf(&redis->arena, "$%zu\r\n%.*s:q:{",
                                   redis->conf.prefix.len + 5 + STORE_REDIS_KEY_TEXT_BYTES,
                                   (int)redis->conf.prefix.len, redis->conf.prefix.ptr);
    return redis->name.ptr != NULL && redis->key_head.ptr != NULL;
}

static bool set_wait(struct store_redis *redis)
{
    const struct store_redis_conf *conf = &redis->conf;
    char replicas[16], timeout_ms[24];
    int replicas_len = snprintf(replicas, sizeof(replicas), "%u", conf->durable_replicas);
    int timeout_len = snprintf(timeout_ms, sizeof(timeout_ms), "%llu",
                               (unsigned long long)(conf->durable_timeout_us / 1000));
    redis->wait_command =
        arena_printf(&redis->arena, "*3\r\n$4\r\nWAIT\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", replicas_len,
                     replicas, timeout_len, timeout_ms);
    return redis->wait_command.ptr != NULL;
}

static bool set_hosts(struct store_redis *redis)
{
    for (unsigned i = 0; i < redis->conf.server_count; i++) {
        struct store_redis_server_conf *server = &redis->conf.servers[i];
        if (server->address.len == 0 &&
            net_address_parse(&server->address, server->text, &redis->hosts[i]) != NULL)
            return false;
    }
    return redis->conf.server_count != 0;
}

static bool set_tls(struct store_redis *redis, const struct store_redis_tls_conf *conf)
{
    enum net_tls_part part;
    char why[NET_TLS_WHY_BYTES];
    if (!conf->is_on)
        return true;
    const struct net_tls_conf tls = store_redis_tls_conf_net(conf);
    redis->tls = net_tls_new(&tls, &part, why);
    if (redis->tls == NULL)
        log_error("TLS to redis cannot be set up: %s", why);
    return redis->tls != NULL;
}

struct store_redis *store_redis_new(const struct store_redis_conf *conf)
{
    struct store_redis *redis = calloc(1, sizeof(*redis));
    if (redis == NULL)
        return NULL;
    arena_init(&redis->arena, NULL, 0, ARENA_BYTES_MAX);
    pthread_mutex_init(&redis->lock, NULL);
    if (!copy_conf(redis, conf) || !set_names(redis) || !set_hosts(redis) || !set_wait(redis) ||
        !set_tls(redis, &conf->tls)) {
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
    const struct span secrets[] = {redis->conf.password, redis->conf.sentinel_password};
    for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        if (secrets[i].len != 0)
            explicit_bzero((char *)(uintptr_t)secrets[i].ptr, secrets[i].len);
    }
    net_tls_free(redis->tls);
    pthread_mutex_destroy(&redis->lock);
    arena_fini(&redis->arena);
    free(redis);
}

bool store_redis_take_beat(struct store_redis *redis, uint64_t now_us)
{
    uint64_t due_us = atomic_load_explicit(&redis->beat_due_us, memory_order_relaxed);
    if (now_us < due_us)
        return false;
    return atomic_compare_exchange_strong(&redis->beat_due_us, &due_us,
                                          now_us + STORE_REDIS_BEAT_US);
}
