/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_peer.c - see store_redis_peer.h. */
#include "store/store_redis_peer.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/base_fmt_json.h"
#include "base/base_hash.h"
#include "base/base_log.h"
#include "store/store_redis.h"

#define EVENT_BYTES      1024
#define FAILOVER_ONCE_US 10000000 /* workers see the same one within this */

static const struct hash_key REASON_KEY = {1, 2}; /* only to tell our own sentences apart */

/* ---- the table ---- */

static bool is_named(const struct store_redis_peer *peer, enum store_redis_duty duty,
                     struct span name)
{
    return peer->duty == duty && span_eq(peer->name, name);
}

static void begin(struct store_redis_peer *peer, enum store_redis_duty duty, struct span name)
{
    memset(peer, 0, sizeof(*peer));
    peer->duty = duty;
    if (name.len != 0)
        memcpy(peer->text, name.ptr, name.len);
    peer->name = (struct span){peer->text, name.len};
}

struct store_redis_peer *store_redis_peer_take(struct store_redis *redis,
                                               enum store_redis_duty duty, struct span name)
{
    struct store_redis_peer *found = NULL, *spare = NULL;
    if (name.len > NET_ADDRESS_TEXT_MAX)
        return NULL;
    pthread_mutex_lock(&redis->lock);
    for (unsigned i = 0; i < redis->peer_count && found == NULL; i++) {
        struct store_redis_peer *peer = &redis->peers[i];
        if (is_named(peer, duty, name))
            found = peer;
        else if (peer->links == 0)
            spare = peer;
    }
    /* What is over is remembered (when it was lost) while there is room. */
    if (found == NULL && redis->peer_count < STORE_REDIS_PEERS_MAX)
        spare = &redis->peers[redis->peer_count++];
    if (found == NULL && spare != NULL) {
        begin(spare, duty, name);
        found = spare;
    }
    if (found != NULL)
        found->links++;
    pthread_mutex_unlock(&redis->lock);
    return found;
}

void store_redis_peer_leave(struct store_redis *redis, struct store_redis_peer *peer)
{
    if (peer == NULL)
        return;
    pthread_mutex_lock(&redis->lock);
    peer->links--;
    pthread_mutex_unlock(&redis->lock);
}

/* ---- telling ---- */

struct member {
    const char *name;
    struct span value;
};

static void tell(const struct store_redis *redis, const char *event, struct member one,
                 struct member other)
{
    char json[EVENT_BYTES];
    const char *end = json + sizeof(json) - 64;
    bool cut = false, bytes = false;
    if (redis->on_event == NULL)
        return;
    char *out = json + snprintf(json, sizeof(json),
                                "\"event\":\"%s\",\"store\":\"redis\",\"%s\":\"", event, one.name);
    out = fmt_json_text(out, json + EVENT_BYTES / 2, one.value, &cut, &bytes);
    out += snprintf(out, (size_t)(json + sizeof(json) - out), "\",\"%s\":\"", other.name);
    out = fmt_json_text(out, end, other.value, &cut, &bytes);
    memcpy(out, "\"", 2);
    redis->on_event(redis->event_arg, json);
}

void store_redis_peer_up(struct store_redis *redis, struct store_redis_peer *peer, struct span at,
                         uint64_t now_us, const char *version, const char *policy)
{
    if (!store_redis_duty_counts(peer->duty) || atomic_fetch_add(&peer->links_up, 1) != 0)
        return;
    uint64_t lost_at_us = atomic_exchange(&peer->lost_at_us, 0);
    for (unsigned i = 0; i < STORE_REDIS_SAID; i++)
        atomic_store(&peer->said[i], 0);
    if (lost_at_us == 0) {
        log_info("redis %.*s answers (version %s)", (int)at.len, at.ptr, version);
    } else {
        uint64_t away_ms = (now_us - lost_at_us) / 1000;
        log_info("redis %.*s is back after %llu ms (version %s)", (int)at.len, at.ptr,
                 (unsigned long long)away_ms, version);
        tell(redis, "store_back", (struct member){"address", at},
             (struct member){"version", span_of(version)});
    }
    if (policy[0] != '\0' && strcmp(policy, "noeviction") != 0)
        log_warn(
            "redis %.*s: its maxmemory-policy is %s: a subject whose key is evicted starts anew "
            "unless a proxy has seen it; set noeviction",
            (int)at.len, at.ptr, policy);
}

/* Many attempts fail for one reason: it is said once. */
static bool was_said(struct store_redis_peer *peer, struct span at, const char *reason)
{
    uint64_t hash = hash_sip64(REASON_KEY, reason, strlen(reason)) ^
                    hash_sip64(REASON_KEY, at.len == 0 ? "" : at.ptr, at.len);
    hash |= 1;
    for (unsigned i = 0; i < STORE_REDIS_SAID; i++) {
        if (atomic_load(&peer->said[i]) == hash)
            return true;
    }
    unsigned place = atomic_fetch_add(&peer->said_next, 1) % STORE_REDIS_SAID;
    return atomic_exchange(&peer->said[place], hash) == hash;
}

void store_redis_peer_down(struct store_redis *redis, struct store_redis_peer *peer, struct span at,
                           uint64_t now_us, bool was_up, const char *reason)
{
    if (!store_redis_duty_counts(peer->duty)) {
        const char *what = peer->duty == STORE_REDIS_SENTINEL ? "where the master is"
                                                              : "which node has which slots";
        if (!was_said(peer, at, reason))
            log_warn("redis %.*s cannot be asked %s: %s", (int)at.len, at.ptr, what, reason);
        return;
    }
    bool was_last = was_up && atomic_fetch_sub(&peer->links_up, 1) == 1;
    if (atomic_load(&peer->links_up) != 0) {
        if (was_up)
            log_info("redis %.*s: one connection of several was lost: %s", (int)at.len, at.ptr,
                     reason);
        return;
    }
    if (was_said(peer, at, reason) && !was_last)
        return;
    log_warn("redis %.*s is away: %s; quotas do as their \"on_failure\" says until it is back",
             (int)at.len, at.ptr, reason);
    uint64_t never = 0;
    if (atomic_compare_exchange_strong(&peer->lost_at_us, &never, now_us))
        tell(redis, "store_lost", (struct member){"address", at},
             (struct member){"reason", span_of(reason)});
}

bool store_redis_peer_failover(struct store_redis *redis, uint64_t now_us, struct span from,
                               struct span to)
{
    uint64_t hash =
        hash_sip64(REASON_KEY, from.ptr, from.len) * 31 + hash_sip64(REASON_KEY, to.ptr, to.len);
    bool is_known = false;
    pthread_mutex_lock(&redis->lock);
    for (unsigned i = 0; i < STORE_REDIS_FAILOVERS; i++)
        is_known |= redis->failovers[i].hash == hash &&
                    now_us < redis->failovers[i].at_us + FAILOVER_ONCE_US;
    if (!is_known) {
        unsigned place = redis->failover_next++ % STORE_REDIS_FAILOVERS;
        redis->failovers[place].hash = hash;
        redis->failovers[place].at_us = now_us;
    }
    pthread_mutex_unlock(&redis->lock);
    if (is_known)
        return false;
    log_warn("redis %.*s has taken over from %.*s", (int)to.len, to.ptr, (int)from.len, from.ptr);
    tell(redis, "failover", (struct member){"from", from}, (struct member){"to", to});
    return true;
}
