/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_link_send.c - commands on their way: written to the wire, numbered, and ended when the connection is
 * lost.  Takes: operations.  Gives: bytes in the order of `flights`.  Never: reads. */
#include <assert.h>
#include <errno.h>
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
static bool link_is_whole(struct store_redis_link *link, unsigned script, uint64_t number)
{
    bool is_whole = number >= link->whole[script];
    if (is_whole)
        link->whole[script] = link->next;
    return is_whole;
}

static enum err link_send_charge(struct store_redis_link *link, struct store_redis_op *op,
                                 bool is_whole)
{
    enum err err = store_redis_wire_charge(&link->wire, link->redis, &link->server, is_whole,
                                           op->claims, op->count);
    if (err != ERR_OK)
        return err;
    struct flight *flight = store_redis_link_add(link, FLIGHT_CHARGE);
    flight->op = op;
    op->sent_at_us = flight->sent_at_us;
    return ERR_OK;
}

void store_redis_link_beat(struct store_redis_link *link, bool is_whole)
{
    if (store_redis_wire_beat(&link->wire, link->redis, &link->server, is_whole) == ERR_OK)
        store_redis_link_add(link, FLIGHT_BEAT);
}

static enum err link_send_slots(struct store_redis_link *link, struct store_redis_slots_op *op,
                                bool is_whole)
{
    enum err err =
        store_redis_wire_slots(&link->wire, link->redis, &link->server, is_whole, &op->claim);
    if (err != ERR_OK)
        return err;
    struct flight *flight = store_redis_link_add(link, FLIGHT_SLOTS);
    flight->slots = op;
    op->sent_at_us = flight->sent_at_us;
    return ERR_OK;
}

void store_redis_link_ping(struct store_redis_link *link)
{
    if (store_redis_wire_add(&link->wire, SPAN("*1\r\n$4\r\nPING\r\n")) == ERR_OK)
        store_redis_link_add(link, FLIGHT_PING);
}

void store_redis_link_write(struct store_redis_link *link)
{
    struct store_redis_wire *wire = &link->wire;
    while (link->state >= LINK_GREETING && store_redis_wire_unsent(wire) != 0) {
        ssize_t n = net_stream_write(&link->stream, wire->bytes + wire->begin,
                                     store_redis_wire_unsent(wire));
        if (n < 0 && errno != EAGAIN) {
            store_redis_link_fail(link, strerror(errno));
            return;
        }
        if (n <= 0)
            break;
        store_redis_wire_sent(wire, (size_t)n);
    }
    metrics_set(link->loop->metrics, METRICS_STORE_INFLIGHT, store_redis_link_inflight(link));
}

/* NOSCRIPT means that nothing was executed, so it is sent again.  True: it was. */
bool store_redis_link_again(struct store_redis_link *link, const struct flight *flight,
                            uint64_t number)
{
    const struct store_redis_reply *reply = &link->parser.reply;
    bool has_script = flight->kind >= FLIGHT_CHARGE && flight->kind <= FLIGHT_SLOTS;
    unsigned script = flight->kind - FLIGHT_CHARGE;
    if (reply->types[0] != STORE_REDIS_ERROR || !has_script || link->whole[script] == number ||
        !store_redis_fault_is_noscript(store_redis_reply_text(reply, 0)))
        return false;
    bool is_whole = link_is_whole(link, script, number);
    if (flight->kind == FLIGHT_CHARGE)
        return link_send_charge(link, flight->op, is_whole) == ERR_OK;
    if (flight->kind == FLIGHT_SLOTS)
        return link_send_slots(link, flight->slots, is_whole) == ERR_OK;
    store_redis_link_beat(link, is_whole);
    return true;
}

/* Give every operation in flight its ending.  The link takes no new ones while this runs. */
void store_redis_link_end_flights(struct store_redis_link *link)
{
    while (link->first != link->next) {
        struct flight flight = link->flights[link->first++ % STORE_REDIS_FLIGHTS];
        if (flight.kind == FLIGHT_CHARGE)
            flight.op->done(flight.op, STORE_AWAY, NULL);
        else if (flight.kind == FLIGHT_QUERY)
            flight.query->done(flight.query, STORE_REDIS_UNKNOWN, SPAN_NONE);
        else if (flight.kind == FLIGHT_SLOTS)
            flight.slots->done(flight.slots, NULL);
    }
    metrics_set(link->loop->metrics, METRICS_STORE_INFLIGHT, 0);
}

/* ---- the doors ---- */

enum store_answer store_redis_link_charge(struct store_redis_link *link, struct store_redis_op *op)
{
    if (!store_redis_link_is_open(link) || link_send_charge(link, op, false) != ERR_OK)
        return STORE_AWAY;
    return STORE_PENDING;
}

enum store_answer store_redis_link_query(struct store_redis_link *link,
                                         struct store_redis_query *query)
{
    if (!store_redis_link_is_open(link) ||
        store_redis_query_write(&link->wire, link->redis, query) != ERR_OK)
        return STORE_AWAY;
    store_redis_link_add(link, FLIGHT_QUERY)->query = query;
    return STORE_PENDING;
}

enum store_answer store_redis_link_slots(struct store_redis_link *link,
                                         struct store_redis_slots_op *op)
{
    if (!store_redis_link_is_open(link) || link_send_slots(link, op, false) != ERR_OK)
        return STORE_AWAY;
    return STORE_PENDING;
}

bool store_redis_link_publish(struct store_redis_link *link, const uint8_t key[16], bool is_lost)
{
    if (!store_redis_link_is_open(link) ||
        store_redis_wire_publish(&link->wire, link->redis, key, is_lost) != ERR_OK)
        return false;
    store_redis_link_add(link, FLIGHT_PUBLISH);
    return true;
}
