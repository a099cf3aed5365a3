/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_sentinel.c - see store_redis_sentinel.h. */
#include "store/store_redis_sentinel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_fmt.h"
#include "base/base_parse.h"
#include "store/store_redis_fault.h"
#include "store/store_redis_map.h"
#include "store/store_redis_reply.h"
#include "store/store_redis_seeds.h"
#include "store/store_redis_spot.h"

#define CONNECT_US  250000 /* then the next sentinel is tried */
#define ASK_DOWN_US 100000
#define ASK_UP_US   10000000
#define STALE_MAX   5 /* answers that name a master that is away; then another sentinel is asked */
#define SILENT_US   500000 /* no answer while the master is away; the same */
#define HEAD        "*3\r\n$8\r\nSENTINEL\r\n$23\r\nget-master-addr-by-name\r\n$"

/* Owner: a route.  Freed by: store_redis_sentinel_free.  Thread: the loop's. */
struct store_redis_sentinel {
    struct store_redis *redis;
    struct loop *loop;
    struct net_resolver *resolver;
    struct store_redis_link *master, *guide;
    struct store_redis_seeds *seeds;
    struct store_redis_question question; /* found from it */
    char *command;
    struct loop_alarm *alarm; /* the next question; the coarse timers are too late for it */
    bool is_master_up;
    unsigned stale;
    uint64_t asked_at_us;
    struct store_redis_spot spot;
    char names[2][NET_ADDRESS_TEXT_MAX]; /* of the master that is, and that was */
    unsigned name, name_len;
};

static bool is_silent(const struct store_redis_sentinel *sentinel)
{
    return sentinel->question.is_asked && !sentinel->is_master_up &&
           sentinel->loop->mono_us >= sentinel->asked_at_us + SILENT_US;
}

static void sentinel_ask(struct store_redis_sentinel *sentinel)
{
    uint64_t wait_us = sentinel->is_master_up ? ASK_UP_US : ASK_DOWN_US;
    loop_alarm_set(sentinel->alarm, sentinel->loop->mono_us + wait_us);
    if (is_silent(sentinel)) /* perhaps it is we who were late */
        store_redis_link_poll(sentinel->guide);
    if (is_silent(sentinel))
        store_redis_link_drop(sentinel->guide, "it does not answer");
    if (sentinel->question.is_asked || !store_redis_link_ask(sentinel->guide, &sentinel->question))
        return;
    sentinel->asked_at_us = sentinel->loop->mono_us;
    metrics_add(sentinel->loop->metrics, METRICS_STORE_REFRESHES, 1);
}

static void on_time(void *arg)
{
    sentinel_ask(arg);
}

static void take_master(struct store_redis_sentinel *sentinel, struct span text)
{
    struct span old = {sentinel->names[sentinel->name], sentinel->name_len};
    unsigned next = !sentinel->name;
    memcpy(sentinel->names[next], text.ptr, text.len);
    struct span name = {sentinel->names[next], text.len};
    sentinel->name = next;
    sentinel->name_len = (unsigned)text.len;
    sentinel->stale = 0;
    if (old.len != 0 &&
        store_redis_peer_failover(sentinel->redis, sentinel->loop->mono_us, old, name))
        metrics_add(sentinel->loop->metrics, METRICS_STORE_FAILOVERS, 1);
    store_redis_spot_end(&sentinel->spot);
    if (!store_redis_spot_begin(&sentinel->spot, sentinel->master, sentinel->resolver, name,
                                "a sentinel names another master"))
        sentinel->name_len = 0; /* asked again in time */
}

static void drop_for_error(struct store_redis_sentinel *sentinel, struct span error)
{
    char why[STORE_REDIS_WHY_BYTES];
    int shown = (int)(error.len < 200 ? error.len : 200);
    snprintf(why, sizeof(why), "it does not answer as a sentinel: %.*s", shown, error.ptr);
    store_redis_link_drop(sentinel->guide, why);
}

static void on_answer(struct store_redis_question *question, const struct store_redis_reply *reply)
{
    struct store_redis_sentinel *sentinel =
        LIST_OF(question, struct store_redis_sentinel, question);
    char text[NET_ADDRESS_TEXT_MAX];
    uint64_t port = 0;
    if (reply == NULL)
        return;
    if (reply->types[0] == STORE_REDIS_ERROR) {
        drop_for_error(sentinel, store_redis_reply_text(reply, 0));
        return;
    }
    if (reply->types[0] != STORE_REDIS_ARRAY || reply->count != 3 ||
        !parse_u64(store_redis_reply_text(reply, 2), &port)) {
        store_redis_link_drop(sentinel->guide, "it knows no master of this name");
        return;
    }
    unsigned len = store_redis_map_join(text, store_redis_reply_text(reply, 1), port);
    const struct span told = {text, len};
    const struct span known = {sentinel->names[sentinel->name], sentinel->name_len};
    if (len == 0)
        store_redis_link_drop(sentinel->guide, "it tells no address");
    else if (!span_eq(told, known))
        take_master(sentinel, told);
    else if (sentinel->is_master_up)
        sentinel->stale = 0;
    else if (++sentinel->stale == STALE_MAX)
        store_redis_link_drop(sentinel->guide, "it names a master that does not answer");
}

static void on_guide(void *arg, struct store_redis_link *link, bool is_up)
{
    struct store_redis_sentinel *sentinel = arg;
    (void)link;
    sentinel->stale = 0;
    if (is_up)
        sentinel_ask(sentinel);
    else
        store_redis_seeds_hurry(sentinel->seeds);
}

static void on_seeds(void *arg)
{
    struct store_redis_sentinel *sentinel = arg;
    struct store_redis_place places[STORE_REDIS_PLACES_MAX];
    unsigned count = store_redis_seeds_places(sentinel->seeds, places, STORE_REDIS_PLACES_MAX);
    store_redis_link_aim(sentinel->guide, places, count, NULL);
}

static bool make_command(struct store_redis_sentinel *sentinel)
{
    struct span master = sentinel->redis->conf.master;
    char *out = sentinel->command = malloc(sizeof(HEAD) + FMT_U64_MAX + master.len + 4);
    if (out == NULL)
        return false;
    out = FMT_LIT(fmt_u64(FMT_LIT(out, HEAD), master.len), "\r\n");
    out = FMT_LIT(fmt_span(out, master), "\r\n");
    sentinel->question.command =
        (struct span){sentinel->command, (size_t)(out - sentinel->command)};
    sentinel->question.done = on_answer;
    return true;
}

struct store_redis_sentinel *store_redis_sentinel_new(struct store_redis *redis, struct loop *loop,
                                                      struct net_resolver *resolver,
                                                      struct store_redis_link *master)
{
    struct store_redis_sentinel *sentinel = calloc(1, sizeof(*sentinel));
    uint64_t timeout_us = redis->conf.connect_timeout_us;
    if (sentinel == NULL)
        return NULL;
    sentinel->redis = redis;
    sentinel->loop = loop;
    sentinel->resolver = resolver;
    sentinel->master = master;
    sentinel->alarm = loop_alarm_new(loop, on_time, sentinel);
    const struct store_redis_link_use use = {
        .duty = STORE_REDIS_SENTINEL,
        .connect_timeout_us = timeout_us < CONNECT_US ? timeout_us : CONNECT_US,
        .on_change = on_guide,
        .arg = sentinel,
    };
    struct store_redis_peer *peer = store_redis_peer_take(redis, STORE_REDIS_SENTINEL, SPAN_NONE);
    if (peer != NULL)
        sentinel->guide = store_redis_link_new(redis, loop, peer, &use);
    sentinel->seeds = store_redis_seeds_new(redis, resolver, on_seeds, sentinel);
    if (!make_command(sentinel) || sentinel->alarm == NULL || sentinel->guide == NULL ||
        sentinel->seeds == NULL) {
        store_redis_sentinel_free(sentinel);
        return NULL;
    }
    on_seeds(sentinel);
    return sentinel;
}

void store_redis_sentinel_free(struct store_redis_sentinel *sentinel)
{
    if (sentinel == NULL)
        return;
    store_redis_seeds_free(sentinel->seeds);
    store_redis_link_free(sentinel->guide);
    loop_alarm_free(sentinel->alarm);
    store_redis_spot_end(&sentinel->spot);
    free(sentinel->command);
    free(sentinel);
}

void store_redis_sentinel_on_change(struct store_redis_sentinel *sentinel, bool is_up)
{
    bool is_lost = sentinel->is_master_up && !is_up;
    sentinel->is_master_up = is_up;
    if (is_lost)
        sentinel_ask(sentinel);
}

void store_redis_sentinel_poll(struct store_redis_sentinel *sentinel)
{
    store_redis_link_poll(sentinel->guide);
}
