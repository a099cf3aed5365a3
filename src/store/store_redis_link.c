/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_link.c - see store_redis_link.h.
 *
 *   WAITING --retry--> CONNECTING --connected--> GREETING --all answers right--> UP
 *      ^_______________________ store_redis_link_fail _______________________________|
 *
 * Replies come in the order of the commands: `flights` is the queue of those that have no reply yet. */
#include "store/store_redis_link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_redis_door.h"
#include "store/store_redis_link_private.h"

#define RETRY_FIRST_US 100000
#define RETRY_LAST_US  2000000 /* a store that is back is asked again within this */
#define RETRY_SOON_US  500000  /* nodes of a cluster, and sentinels: a failover is short */
#define BEAT_LOOK_US   500000
#define PING_IDLE_US   10000000 /* so that a path that died unseen is found before a request does */

static void link_connect(struct store_redis_link *link);

static bool link_counts(const struct store_redis_link *link)
{
    return store_redis_duty_counts(link->use.duty);
}

static void link_set_state(struct store_redis_link *link, enum link_state state)
{
    struct metrics_block *metrics = link->loop->metrics;
    if (link_counts(link) && (state == LINK_UP) != (link->state == LINK_UP)) {
        metrics_add(metrics, METRICS_STORE_NODES_UP, state == LINK_UP ? 1 : UINT64_MAX);
        metrics_add(metrics, METRICS_STORE_BREAKER_OPEN, state == LINK_UP ? UINT64_MAX : 1);
    }
    link->state = state;
}

static void link_on_flush(void *arg)
{
    store_redis_link_write(arg);
}

/* ---- failing ---- */

static uint64_t link_retry_us(struct store_redis_link *link)
{
    uint64_t most_us = RETRY_FIRST_US;
    bool is_soon = link->use.duty == STORE_REDIS_SHARD || link->use.duty == STORE_REDIS_SENTINEL;
    uint64_t last_us = is_soon ? RETRY_SOON_US : RETRY_LAST_US;
    unsigned rounds = link->failures / (link->place_count == 0 ? 1 : link->place_count);
    for (unsigned i = 0; i < rounds && most_us < last_us; i++)
        most_us *= 2;
    if (most_us > last_us)
        most_us = last_us;
    return 1 + rng_below(&link->loop->rng, most_us);
}

static void link_close(struct store_redis_link *link)
{
    net_stream_close(&link->stream);
    store_redis_parser_fini(&link->parser);
    store_redis_wire_clear(&link->wire);
    loop_task_cancel(&link->flush);
    loop_task_cancel(&link->resume);
    loop_timer_cancel(&link->beat);
}

void store_redis_link_fail(struct store_redis_link *link, const char *reason)
{
    bool was_up = link->state == LINK_UP;
    link_close(link);
    link_set_state(link, LINK_WAITING);
    loop_alarm_set(link->alarm, link->loop->mono_us + link_retry_us(link));
    link->failures++;
    if (was_up && link_counts(link))
        metrics_add(link->loop->metrics, METRICS_STORE_LOST, 1);
    /* One of several servers that does not answer is no reason to do without the store. */
    if (was_up || link->failures >= link->place_count)
        link->is_started = true;
    store_redis_peer_down(link->redis, link->peer, link->place.name, link->loop->mono_us, was_up,
                          reason);
    store_redis_link_end_flights(link);
    if (link->use.on_change != NULL)
        link->use.on_change(link->use.arg, link, false);
}

void store_redis_link_fail_errno(struct store_redis_link *link)
{
    char why[STORE_REDIS_WHY_BYTES];
    store_redis_door_why(&link->stream, errno, why);
    store_redis_link_fail(link, why);
}

static void link_fail_late(struct store_redis_link *link, const char *what, uint64_t timeout_us)
{
    char reason[160];
    snprintf(reason, sizeof(reason), "%s within %llu ms", what,
             (unsigned long long)(timeout_us / 1000));
    store_redis_link_fail(link, reason);
}

/* ---- connecting and the handshake ---- */

static void link_on_up(struct store_redis_link *link)
{
    link_set_state(link, LINK_UP);
    link->is_started = true;
    link->errors = 0;
    if (link->server.epoch != link->life && (link->life != 0 || link->use.is_later))
        link->anew_at_us = link->loop->mono_us;
    link->life = link->server.epoch;
    loop_alarm_set(link->alarm, 0);
    loop_timer_set(link->loop, &link->beat, link->loop->mono_us + BEAT_LOOK_US);
    store_redis_peer_up(link->redis, link->peer, link->place.name, link->loop->mono_us,
                        link->server.version, link->server.policy);
    if (link->is_beating && store_redis_take_beat(link->redis, link->loop->mono_us))
        store_redis_link_beat(link, false);
    store_redis_link_send_held(link);
    if (link->use.on_change != NULL)
        link->use.on_change(link->use.arg, link, true);
}

static void link_greet(struct store_redis_link *link)
{
    link_set_state(link, LINK_GREETING);
    link->server = (struct store_redis_server){0};
    link->has_heard = false;
    memset(link->whole, 0, sizeof(link->whole));
    if (store_redis_parser_init(&link->parser) != ERR_OK)
        goto fail;
    for (unsigned step = 0; step < STORE_REDIS_STEPS; step++) {
        char *command;
        size_t len;
        enum err err =
            store_redis_greet_format((enum store_redis_step)step, link->use.duty,
                                     &link->redis->conf, link->redis->name, &command, &len);
        if (err == ERR_OK && len != 0)
            err = store_redis_wire_add(&link->wire, (struct span){command, len});
        if (command != NULL)
            explicit_bzero(command, len); /* AUTH's has the password */
        free(command);
        if (err != ERR_OK)
            goto fail;
        if (len != 0)
            store_redis_link_add(link, FLIGHT_GREET)->step = (uint8_t)step;
    }
    store_redis_link_write(link);
    return;
fail:
    store_redis_link_fail(link, err_sentence(ERR_NOMEM));
}

void store_redis_link_on_greeting(struct store_redis_link *link, unsigned step)
{
    char why[STORE_REDIS_WHY_BYTES];
    const char *fault = store_redis_greet_judge((enum store_redis_step)step, &link->redis->conf,
                                                &link->parser.reply, &link->server, why);
    if (fault != NULL && link->parser.reply.types[0] == STORE_REDIS_ERROR)
        store_redis_link_count_error(link);
    if (fault != NULL)
        store_redis_link_fail(link, fault);
    else if (step == STORE_REDIS_PING)
        link_on_up(link);
}

static void link_on_connecting(struct store_redis_link *link)
{
    enum err err =
        store_redis_door_pass(link->redis, link->use.duty, &link->stream, link->place.name);
    if (err == ERR_OK)
        link_greet(link);
    else if (err != ERR_AGAIN)
        store_redis_link_fail_errno(link);
}

static void link_on_ready(struct net_stream *stream, void *arg);

static void link_connect(struct store_redis_link *link)
{
    if (link->place_count == 0 && !link->has_waited_for_place) {
        link->has_waited_for_place = true;
        loop_alarm_set(link->alarm, link->loop->mono_us + link->redis->conf.connect_timeout_us);
        return;
    }
    if (link->place_count == 0) {
        const char *nowhere = link->use.nowhere;
        store_redis_link_fail(link, nowhere != NULL ? nowhere : "its name is not resolved (yet)");
        return;
    }
    link->place = link->places[link->place_next++ % link->place_count];
    const struct net_address *address = &link->place.address;
    metrics_add(link->loop->metrics, METRICS_STORE_CONNECTS, 1);
    loop_alarm_set(link->alarm, link->loop->mono_us + link->use.connect_timeout_us);
    link_set_state(link, LINK_CONNECTING);
    if (net_stream_connect(&link->stream, link->loop, address, link_on_ready, link) != ERR_OK)
        store_redis_link_fail(link, strerror(errno));
}

static void link_on_resume(void *arg)
{
    store_redis_link_read(arg);
}

static void link_on_ready(struct net_stream *stream, void *arg)
{
    struct store_redis_link *link = arg;
    (void)stream;
    if (link->state == LINK_CONNECTING)
        link_on_connecting(link);
    if (store_redis_link_is_talking(link))
        store_redis_link_read(link);
    if (store_redis_link_is_talking(link))
        store_redis_link_write(link);
}

/* ---- time ---- */

/* Before a deadline is judged: it may be we who were late.  The event that tells of input may stand
 * behind this one in the reactor's queue, so the kernel is asked. */
static void link_read_anyway(struct store_redis_link *link)
{
    net_stream_look_again(&link->stream);
    store_redis_link_read(link);
}

static void link_on_oldest(struct store_redis_link *link)
{
    uint64_t timeout_us = link->redis->conf.command_timeout_us;
    link_read_anyway(link);
    if (link->state != LINK_UP || link->first == link->next)
        return;
    uint64_t now_us = link->loop->mono_us;
    uint64_t due_us = link->flights[link->first % STORE_REDIS_FLIGHTS].sent_at_us + timeout_us;
    if (due_us + timeout_us / 2 < now_us && link->graced != link->first) {
        /* The loop stood still; the command may have left it just now.  Once more, for this one. */
        link->graced = link->first;
        due_us = now_us + timeout_us;
    }
    if (due_us > now_us)
        loop_alarm_set(link->alarm, due_us);
    else
        link_fail_late(link, "a command was not answered", timeout_us);
}

static void link_on_alarm(void *arg)
{
    struct store_redis_link *link = arg;
    uint64_t timeout_us = link->use.connect_timeout_us;
    switch (link->state) {
    case LINK_WAITING:
        link_connect(link);
        break;
    case LINK_CONNECTING:
        link_fail_late(link, store_redis_door_late(&link->stream), timeout_us);
        break;
    case LINK_GREETING:
        link_read_anyway(link);
        if (link->state == LINK_GREETING)
            link_fail_late(link, "it took a connection but did not finish the handshake",
                           timeout_us);
        break;
    case LINK_UP:
        link_on_oldest(link);
        break;
    }
}

static void link_on_beat_time(void *arg)
{
    struct store_redis_link *link = arg;
    loop_timer_set(link->loop, &link->beat, link->loop->mono_us + BEAT_LOOK_US);
    if (!store_redis_link_is_open(link))
        return;
    if (link->is_beating && store_redis_take_beat(link->redis, link->loop->mono_us))
        store_redis_link_beat(link, false);
    else if (link->first == link->next && link->loop->mono_us - link->heard_at_us >= PING_IDLE_US)
        store_redis_link_ping(link);
}

/* ---- where to ---- */

static bool link_has_place(const struct store_redis_link *link)
{
    for (unsigned i = 0; i < link->place_count; i++) {
        if (net_address_eq(&link->places[i].address, &link->place.address))
            return true;
    }
    return false;
}

void store_redis_link_aim(struct store_redis_link *link, const struct store_redis_place *places,
                          unsigned count, const char *reason)
{
    bool was_nowhere = link->place_count == 0;
    count = count < STORE_REDIS_PLACES_MAX ? count : STORE_REDIS_PLACES_MAX;
    if (count != 0)
        memcpy(link->places, places, count * sizeof(*places));
    link->place_count = count;
    bool is_elsewhere = link->state != LINK_WAITING && !link_has_place(link);
    if (is_elsewhere && reason != NULL) {
        link->place_next = 0;
        store_redis_link_fail(link, reason);
    }
    bool is_new = was_nowhere || (reason != NULL && !link_has_place(link));
    if (is_new)
        link->failures = 0;
    if (is_new && link->state == LINK_WAITING && !link->is_resting)
        loop_alarm_set(link->alarm, link->loop->mono_us);
}

void store_redis_link_drop(struct store_redis_link *link, const char *reason)
{
    if (link->state != LINK_WAITING)
        store_redis_link_fail(link, reason);
}

void store_redis_link_rest(struct store_redis_link *link)
{
    bool was_up = link->state == LINK_UP;
    link->is_resting = link->is_started = true;
    link_close(link);
    link_set_state(link, LINK_WAITING);
    if (link->alarm != NULL) /* else it is not quite made */
        loop_alarm_set(link->alarm, 0);
    if (was_up && link_counts(link))
        atomic_fetch_sub(&link->peer->links_up, 1);
    store_redis_link_end_flights(link);
}

void store_redis_link_wake(struct store_redis_link *link)
{
    if (!link->is_resting)
        return;
    link->is_resting = false;
    loop_alarm_set(link->alarm, link->loop->mono_us);
}

void store_redis_link_set_beating(struct store_redis_link *link, bool is_beating)
{
    link->is_beating = is_beating;
}

/* ---- making ---- */

struct store_redis_link *store_redis_link_new(struct store_redis *redis, struct loop *loop,
                                              struct store_redis_peer *peer,
                                              const struct store_redis_link_use *use)
{
    struct store_redis_link *link = calloc(1, sizeof(*link));
    if (link == NULL) {
        store_redis_peer_leave(redis, peer);
        return NULL;
    }
    link->redis = redis;
    link->loop = loop;
    link->peer = peer;
    link->use = *use;
    if (use->connect_timeout_us == 0)
        link->use.connect_timeout_us = redis->conf.connect_timeout_us;
    link->is_beating = use->duty == STORE_REDIS_STORE;
    link->place.name = peer->name.len != 0 ? peer->name : redis->conf.servers[0].text;
    link->stream.fd = -1;
    link->graced = UINT64_MAX;
    loop_task_init(&link->flush, link_on_flush, link);
    loop_task_init(&link->resume, link_on_resume, link);
    loop_timer_init(&link->beat, link_on_beat_time, link);
    link->flights = malloc(STORE_REDIS_FLIGHTS * sizeof(*link->flights));
    link->alarm = loop_alarm_new(loop, link_on_alarm, link);
    if (link_counts(link)) {
        metrics_add(loop->metrics, METRICS_STORE_NODES, 1);
        metrics_add(loop->metrics, METRICS_STORE_BREAKER_OPEN, 1);
    }
    if (link->flights == NULL || link->alarm == NULL) {
        store_redis_link_free(link);
        return NULL;
    }
    loop_alarm_set(link->alarm, loop->mono_us);
    return link;
}

void store_redis_link_free(struct store_redis_link *link)
{
    if (link == NULL)
        return;
    store_redis_link_rest(link);
    if (link_counts(link)) {
        metrics_sub(link->loop->metrics, METRICS_STORE_NODES, 1);
        metrics_sub(link->loop->metrics, METRICS_STORE_BREAKER_OPEN, 1);
    }
    store_redis_peer_leave(link->redis, link->peer);
    loop_alarm_free(link->alarm);
    store_redis_wire_fini(&link->wire);
    free(link->proofs);
    free(link->held);
    free(link->flights);
    free(link);
}

bool store_redis_link_is_up(const struct store_redis_link *link)
{
    return link->state == LINK_UP;
}

unsigned store_redis_link_load(const struct store_redis_link *link)
{
    return store_redis_link_inflight(link) + link->held_count;
}

const struct store_redis_place *store_redis_link_place(const struct store_redis_link *link)
{
    return &link->place;
}

bool store_redis_link_is_open(const struct store_redis_link *link)
{
    return link->state == LINK_UP && store_redis_link_inflight(link) < STORE_REDIS_INFLIGHT_MAX &&
           store_redis_wire_unsent(&link->wire) < STORE_REDIS_UNSENT_MAX;
}

bool store_redis_link_is_starting(const struct store_redis_link *link)
{
    return !link->is_started;
}

uint64_t store_redis_link_anew_at_us(const struct store_redis_link *link)
{
    return link->anew_at_us;
}

void store_redis_link_flush(struct store_redis_link *link)
{
    if (link->state == LINK_UP)
        store_redis_link_write(link);
}

void store_redis_link_poll(struct store_redis_link *link)
{
    if (link->state == LINK_UP)
        link_read_anyway(link);
}
