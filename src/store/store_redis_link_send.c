/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_link_send.c - commands on their way: written to the wire, numbered, and ended when the connection is
 * lost.  Takes: cargo.  Gives: bytes in the order of `flights`.  Never: reads. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_redis_fault.h"
#include "store/store_redis_link_private.h"

struct flight *store_redis_link_add(struct store_redis_link *link, enum flight_kind kind)
{
    struct flight *flight = &link->flights[link->next % STORE_REDIS_FLIGHTS];
    assert(store_redis_link_inflight(link) < STORE_REDIS_FLIGHTS);
    if (link->state == LINK_UP && link->first == link->next)
        loop_alarm_set(link->alarm, link->loop->mono_us + link->redis->conf.command_timeout_us);
    link->next++;
    *flight = (struct flight){.kind = (uint8_t)kind, .sent_at_us = link->loop->mono_us};
    metrics_add(link->loop->metrics, METRICS_STORE_COMMANDS, 1);
    loop_task_schedule(link->loop, &link->flush);
    return flight;
}

/* Should this script be sent whole?  The first that meets NOSCRIPT takes it along; what was sent before
 * that one arrived needs only to be sent again. */
static bool link_is_whole(struct store_redis_link *link, enum link_script script, uint64_t number)
{
    bool is_whole = number >= link->whole[script];
    if (is_whole)
        link->whole[script] = link->next;
    return is_whole;
}

static enum err link_write_cargo(struct store_redis_link *link,
                                 const struct store_redis_cargo *cargo, bool is_whole)
{
    if (cargo->kind == STORE_REDIS_CARGO_OP)
        return store_redis_wire_charge(&link->wire, link->redis, &link->server, is_whole,
                                       cargo->op->claims, cargo->op->count);
    if (cargo->kind == STORE_REDIS_CARGO_SLOTS)
        return store_redis_wire_slots(&link->wire, link->redis, &link->server, is_whole,
                                      &cargo->slots->claim);
    return store_redis_query_write(&link->wire, link->redis, cargo->query);
}

/* ASKING is for the very next command, so the two stand together or not at all. */
static enum err link_load(struct store_redis_link *link, const struct store_redis_cargo *cargo,
                          bool is_asking, bool is_whole)
{
    size_t end = link->wire.end, begin = link->wire.begin;
    if (is_asking && store_redis_wire_add(&link->wire, SPAN("*1\r\n$6\r\nASKING\r\n")) != ERR_OK)
        return ERR_NOMEM;
    enum err err = link_write_cargo(link, cargo, is_whole);
    if (err != ERR_OK) {
        link->wire.end = end - (begin - link->wire.begin);
        return err;
    }
    if (is_asking)
        store_redis_link_add(link, FLIGHT_ASKING);
    struct flight *flight = store_redis_link_add(link, FLIGHT_CARGO);
    flight->cargo = *cargo;
    flight->is_asking = is_asking;
    if (cargo->kind == STORE_REDIS_CARGO_OP) {
        cargo->op->sent_at_us = flight->sent_at_us;
        store_redis_link_note_charge(link, cargo->op);
    } else if (cargo->kind == STORE_REDIS_CARGO_SLOTS) {
        cargo->slots->sent_at_us = flight->sent_at_us;
    } else {
        store_redis_link_note_query(link, cargo->query);
    }
    return ERR_OK;
}

void store_redis_link_beat(struct store_redis_link *link, bool is_whole)
{
    if (store_redis_wire_beat(&link->wire, link->redis, &link->server, is_whole) == ERR_OK)
        store_redis_link_add(link, FLIGHT_BEAT);
}

void store_redis_link_ping(struct store_redis_link *link)
{
    if (store_redis_wire_add(&link->wire, SPAN("*1\r\n$4\r\nPING\r\n")) == ERR_OK)
        store_redis_link_add(link, FLIGHT_PING);
}

void store_redis_link_show(struct store_redis_link *link)
{
    uint64_t inflight = store_redis_link_inflight(link);
    metrics_add(link->loop->metrics, METRICS_STORE_INFLIGHT, inflight - link->shown);
    link->shown = inflight;
}

void store_redis_link_write(struct store_redis_link *link)
{
    struct store_redis_wire *wire = &link->wire;
    store_redis_link_write_proof(link);
    while (link->state >= LINK_GREETING && store_redis_wire_unsent(wire) != 0) {
        ssize_t n = net_stream_write(&link->stream, wire->bytes + wire->begin,
                                     store_redis_wire_unsent(wire));
        if (n < 0 && errno != EAGAIN) {
            store_redis_link_fail_errno(link);
            return;
        }
        if (n <= 0)
            break;
        store_redis_wire_sent(wire, (size_t)n);
    }
    store_redis_link_show(link);
}

static bool find_script(const struct flight *flight, enum link_script *script)
{
    if (flight->kind == FLIGHT_BEAT)
        *script = LINK_BEAT;
    else if (flight->kind == FLIGHT_CARGO && flight->cargo.kind != STORE_REDIS_CARGO_QUERY)
        *script = flight->cargo.kind == STORE_REDIS_CARGO_OP ? LINK_CHARGE : LINK_SLOTS;
    else
        return false;
    return true;
}

bool store_redis_link_again(struct store_redis_link *link, const struct flight *flight,
                            uint64_t number)
{
    const struct store_redis_reply *reply = &link->parser.reply;
    enum link_script script;
    if (reply->types[0] != STORE_REDIS_ERROR || !find_script(flight, &script) ||
        link->whole[script] == number ||
        !store_redis_fault_is_noscript(store_redis_reply_text(reply, 0)))
        return false;
    bool is_whole = link_is_whole(link, script, number);
    /* The number is the command's own, also when an ASKING goes before it. */
    if (is_whole && flight->is_asking)
        link->whole[script]++;
    if (script != LINK_BEAT)
        return link_load(link, &flight->cargo, flight->is_asking, is_whole) == ERR_OK;
    store_redis_link_beat(link, is_whole);
    return true;
}

void store_redis_link_end_flights(struct store_redis_link *link)
{
    store_redis_link_lose_proofs(link);
    while (link->first != link->next) {
        struct flight flight = link->flights[link->first++ % STORE_REDIS_FLIGHTS];
        if (flight.kind == FLIGHT_CARGO) {
            store_redis_cargo_lose(&flight.cargo);
        } else if (flight.kind == FLIGHT_QUESTION) {
            flight.question->is_asked = false;
            flight.question->done(flight.question, NULL);
        }
    }
    while (link->is_started && link->held_count != 0) {
        struct store_redis_cargo cargo = link->held[--link->held_count].cargo;
        store_redis_cargo_lose(&cargo);
    }
    store_redis_link_show(link);
}

/* ---- the doors ---- */

enum store_answer store_redis_link_send(struct store_redis_link *link,
                                        const struct store_redis_cargo *cargo, bool is_asking)
{
    bool can_wait = link->use.duty == STORE_REDIS_SHARD && !link->is_started;
    if (link->state == LINK_UP || !can_wait) {
        bool is_loaded =
            store_redis_link_is_open(link) && link_load(link, cargo, is_asking, false) == ERR_OK;
        return is_loaded ? STORE_PENDING : STORE_AWAY;
    }
    if (link->held == NULL)
        link->held = malloc(STORE_REDIS_HELD_MAX * sizeof(*link->held));
    if (link->held == NULL || link->held_count == STORE_REDIS_HELD_MAX)
        return STORE_AWAY;
    link->held[link->held_count++] = (struct link_held){*cargo, is_asking};
    return STORE_PENDING;
}

void store_redis_link_send_held(struct store_redis_link *link)
{
    unsigned count = link->held_count;
    for (unsigned i = 0; i < count; i++) {
        const struct link_held *held = &link->held[i];
        if (link_load(link, &held->cargo, held->is_asking, false) != ERR_OK)
            store_redis_cargo_lose(&held->cargo);
    }
    link->held_count = 0;
}

bool store_redis_link_ask(struct store_redis_link *link, struct store_redis_question *question)
{
    if (!store_redis_link_is_open(link) ||
        store_redis_wire_add(&link->wire, question->command) != ERR_OK)
        return false;
    store_redis_link_add(link, FLIGHT_QUESTION)->question = question;
    question->is_asked = true;
    return true;
}

bool store_redis_link_publish(struct store_redis_link *link, const uint8_t key[16], bool is_lost)
{
    if (!store_redis_link_is_open(link) ||
        store_redis_wire_publish(&link->wire, link->redis, key, is_lost) != ERR_OK)
        return false;
    store_redis_link_add(link, FLIGHT_PUBLISH);
    return true;
}
