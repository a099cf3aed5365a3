/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_link_reply.c - what comes back: each reply is the oldest command's.  Takes: bytes.  Gives: operations
 * their endings, and a reason to give the connection up.  Never: believes a reply that cannot be one. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base_log.h"
#include "store/store_redis_door.h"
#include "store/store_redis_fault.h"
#include "store/store_redis_link_private.h"

#define READS_PER_TURN  32 /* so that a server that talks without end cannot hold the loop */
#define ERRORS_IN_A_ROW 16 /* of one command each; then it is the server's fault */

const struct store_redis_fault *store_redis_link_count_error(struct store_redis_link *link)
{
    const struct store_redis_fault *fault =
        store_redis_fault_of(store_redis_reply_text(&link->parser.reply, 0));
    metrics_add(link->loop->metrics, METRICS_STORE_ERRORS, 1);
    metrics_add(link->loop->metrics, fault->slot, 1);
    return fault;
}

static void link_on_error(struct store_redis_link *link, struct store_redis_op *op, bool is_query)
{
    char why[STORE_REDIS_WHY_BYTES];
    struct span error = store_redis_reply_text(&link->parser.reply, 0);
    const struct store_redis_fault *fault = store_redis_link_count_error(link);
    store_redis_fault_say(fault, error, why);
    link->errors += fault->remedy == STORE_REDIS_COUNT;
    /* What may not be asked beside the counting is no reason to count without the store, and a slot that a node does
     * not serve none to do without its others. */
    bool is_drop = fault->remedy == STORE_REDIS_DROP &&
                   !(is_query && store_redis_fault_is_noperm(error)) &&
                   !(link->use.on_redirect != NULL && store_redis_fault_is_slot(error));
    if (is_drop || link->errors >= ERRORS_IN_A_ROW)
        store_redis_link_fail(link, why);
    else
        log_warn("redis %.*s: %s", (int)link->place.name.len, link->place.name.ptr, why);
    if (op != NULL)
        op->done(op, STORE_AWAY, NULL);
}

static void link_on_charge(struct store_redis_link *link, struct store_redis_op *op)
{
    struct store_redis_reply *reply = &link->parser.reply;
    struct store_redis_answer answer;
    if (reply->types[0] == STORE_REDIS_ERROR) {
        link_on_error(link, op, false);
        return;
    }
    if (!store_redis_reply_is_numbers(reply) ||
        !store_redis_answer_read(&answer, reply->numbers + 1, reply->count - 1, op->claims,
                                 op->count)) {
        store_redis_link_fail(link, "it answered a charge with something else");
        op->done(op, STORE_AWAY, NULL);
        return;
    }
    link->failures = link->errors = 0;
    if (store_redis_link_must_prove(link, &answer, op->count)) {
        store_redis_link_prove(link, op, &answer);
        return;
    }
    op->done(op, answer.granted ? STORE_CHARGED : STORE_REFUSED, &answer);
}

static void link_on_query(struct store_redis_link *link, struct store_redis_query *query)
{
    const struct store_redis_reply *reply = &link->parser.reply;
    enum store_redis_found found;
    struct span text;
    char error[STORE_REDIS_WHY_BYTES];
    bool is_good = store_redis_query_judge(query->verb, reply, &found, &text);
    if (!is_good) {
        found = STORE_REDIS_UNKNOWN;
        store_redis_link_fail(link, "it answered a question with something else");
    } else if (found == STORE_REDIS_UNKNOWN) {
        /* The link may fail, and the reply be gone, before it is told. */
        text.len = text.len < sizeof(error) ? text.len : sizeof(error);
        text.ptr = text.len == 0 ? error : memcpy(error, text.ptr, text.len);
        link_on_error(link, NULL, true);
    } else {
        link->failures = link->errors = 0;
        if (found == STORE_REDIS_VALUE && store_redis_link_prove_query(link, query, text))
            return;
    }
    query->done(query, found, text);
}

static void link_on_slots(struct store_redis_link *link, struct store_redis_slots_op *op)
{
    const struct store_redis_reply *reply = &link->parser.reply;
    struct store_redis_slots_answer answer;
    if (reply->types[0] == STORE_REDIS_ERROR) {
        link_on_error(link, NULL, false);
        op->done(op, NULL);
    } else if (!store_redis_reply_is_numbers(reply) ||
               !store_redis_slots_read(&answer, reply->numbers + 1, reply->count - 1, &op->claim)) {
        store_redis_link_fail(link, "it answered a claim of slots with something else");
        op->done(op, NULL);
    } else {
        link->failures = link->errors = 0;
        op->done(op, &answer);
    }
}

/* Without the right to publish everything else goes on. */
static void link_on_published(struct store_redis_link *link)
{
    struct span error = store_redis_reply_text(&link->parser.reply, 0);
    if (link->parser.reply.types[0] != STORE_REDIS_ERROR)
        return;
    store_redis_link_count_error(link);
    if (!atomic_exchange(&link->redis->has_said_publish, true))
        log_warn("redis %.*s: leases of other proxies cannot be recalled: %.*s",
                 (int)link->place.name.len, link->place.name.ptr,
                 (int)(error.len < 200 ? error.len : 200), error.ptr);
}

static void link_on_proof(struct store_redis_link *link)
{
    if (link->parser.reply.types[0] == STORE_REDIS_ERROR)
        link_on_error(link, NULL, false);
    if (link->state == LINK_UP)
        store_redis_link_on_proof(link);
}

static void link_on_beat(struct store_redis_link *link)
{
    const struct store_redis_reply *reply = &link->parser.reply;
    if (reply->types[0] == STORE_REDIS_ERROR) {
        link_on_error(link, NULL, false);
    } else if (!store_redis_reply_is_numbers(reply) || reply->count != 3) {
        store_redis_link_fail(link, "it answered a heartbeat with something else");
    } else if (reply->numbers[1] != 1) {
        atomic_store(&link->redis->has_other_secret, true);
        store_redis_link_fail(link, STORE_REDIS_OTHER_SECRET);
    } else {
        atomic_store(&link->redis->has_other_secret, false);
        link->failures = link->errors = 0;
        atomic_store(&link->redis->fleet, (uint32_t)reply->numbers[2]);
        if (reply->numbers[2] > 1)
            atomic_store(&link->redis->has_company, true);
    }
}

static void link_on_cargo(struct store_redis_link *link, const struct store_redis_cargo *cargo)
{
    if (cargo->kind == STORE_REDIS_CARGO_OP)
        link_on_charge(link, cargo->op);
    else if (cargo->kind == STORE_REDIS_CARGO_SLOTS)
        link_on_slots(link, cargo->slots);
    else
        link_on_query(link, cargo->query);
}

/* Not executed: it belongs to another server, or to none. */
static bool link_redirect(struct store_redis_link *link, const struct flight *flight)
{
    struct span error = store_redis_reply_text(&link->parser.reply, 0);
    return link->parser.reply.types[0] == STORE_REDIS_ERROR && link->use.on_redirect != NULL &&
           (store_redis_fault_is_redirect(error) || store_redis_fault_is_slot(error)) &&
           link->use.on_redirect(link->use.arg, link,
                                 flight->kind == FLIGHT_CARGO ? &flight->cargo : NULL, error);
}

static void link_on_question(struct store_redis_link *link, struct store_redis_question *question)
{
    if (link->parser.reply.types[0] != STORE_REDIS_ERROR)
        link->failures = 0;
    else
        store_redis_link_count_error(link);
    question->is_asked = false;
    question->done(question, &link->parser.reply);
}

static void link_on_reply(struct store_redis_link *link)
{
    if (link->first == link->next) {
        store_redis_link_fail(link, "it sent a reply that nobody asked for");
        return;
    }
    uint64_t number = link->first++;
    struct flight flight = link->flights[number % STORE_REDIS_FLIGHTS];
    link->heard_at_us = link->loop->mono_us;
    link->has_heard = true;
    if (flight.kind != FLIGHT_PROOF) /* which waits for replicas by what it asks */
        metrics_observe_us(link->loop->metrics, METRICS_STORE_COMMAND,
                           link->loop->mono_us - flight.sent_at_us);
    if (flight.kind == FLIGHT_GREET)
        store_redis_link_on_greeting(link, flight.step);
    else if (flight.kind == FLIGHT_QUESTION)
        link_on_question(link, flight.question);
    else if (store_redis_link_again(link, &flight, number) || link_redirect(link, &flight))
        return;
    else if (flight.kind == FLIGHT_CARGO)
        link_on_cargo(link, &flight.cargo);
    else if (flight.kind == FLIGHT_BEAT)
        link_on_beat(link);
    else if (flight.kind == FLIGHT_PUBLISH)
        link_on_published(link);
    else if (flight.kind == FLIGHT_PROOF)
        link_on_proof(link);
    else if (link->parser.reply.types[0] == STORE_REDIS_ERROR)
        link_on_error(link, NULL, false);
}

/* The elements of the next reply go where its question wants them. */
static void link_set_sink(struct store_redis_link *link)
{
    const struct flight *flight = &link->flights[link->first % STORE_REDIS_FLIGHTS];
    bool is_question = link->first != link->next && flight->kind == FLIGHT_QUESTION;
    link->parser.reply.sink = is_question ? flight->question->sink : NULL;
}

/* Feed what was read.  An operation's done may queue new ones, and any reply may end the link. */
static void link_take(struct store_redis_link *link, const char *bytes, size_t len)
{
    enum err err = store_redis_parser_feed(&link->parser, bytes, len);
    while (err == ERR_OK && store_redis_link_is_talking(link)) {
        link_set_sink(link);
        err = store_redis_parser_next(&link->parser);
        if (err == ERR_OK)
            link_on_reply(link);
    }
    if (store_redis_link_is_talking(link) && err != ERR_AGAIN)
        store_redis_link_fail(link, store_redis_door_alien(&link->stream, bytes, len));
}

void store_redis_link_read(struct store_redis_link *link)
{
    for (unsigned i = 0; store_redis_link_is_talking(link); i++) {
        if (i == READS_PER_TURN) {
            loop_task_schedule(link->loop, &link->resume);
            return;
        }
        ssize_t n = net_stream_read(&link->stream, link->loop->scratch, STORE_REDIS_FEED_MAX);
        if (n > 0)
            link_take(link, link->loop->scratch, (size_t)n);
        else if (n == 0)
            store_redis_link_fail(link, store_redis_door_closed(&link->stream, link->has_heard));
        else if (errno == ECONNRESET && !link->has_heard)
            store_redis_link_fail(link, store_redis_door_closed(&link->stream, false));
        else if (errno != EAGAIN)
            store_redis_link_fail_errno(link);
        else
            break;
    }
    store_redis_link_show(link);
}
