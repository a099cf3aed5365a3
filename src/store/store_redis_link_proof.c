/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_link_proof.c - grants that are spent only when replicas have them ("durable").  Takes: answers to charges,
 * and to orders.  Gives: them on once WAIT says that enough replicas acknowledged.  Else a charge ends with STORE_AWAY: it
 * stays charged, so nothing is admitted twice; and an order is told that it is short, since it was carried out.
 *
 * WAIT holds up its connection, so one is on its way at a time, behind all that was charged since the one before: what is
 * charged while it waits shares the next one. */
#include <stdlib.h>
#include <string.h>

#include "base/base_log.h"
#include "store/store_redis_link_private.h"

#define PROOFS_FIRST   64
#define TEXT_MAX       320 /* of an order's answer: a value of 16 windows, and the time */
#define SAY_AGAIN_US   UINT64_C(10000000)
#define SHORT_IN_A_ROW 16 /* then this server is as good as away */

/* A grant or an order that waits. */
struct link_proof {
    struct store_redis_op *op; /* NULL: an order */
    struct store_redis_query *query;
    union {
        struct store_redis_answer answer;
        struct {
            size_t len;
            char bytes[TEXT_MAX];
        } text;
    };
};

bool store_redis_link_must_prove(const struct store_redis_link *link,
                                 const struct store_redis_answer *answer, unsigned count)
{
    if (!link->redis->conf.is_durable)
        return false;
    for (unsigned k = 0; k < count; k++) {
        if (answer->keys[k].granted != 0)
            return true;
    }
    return false;
}

void store_redis_link_note_charge(struct store_redis_link *link, const struct store_redis_op *op)
{
    for (unsigned k = 0; k < op->count && link->redis->conf.is_durable; k++)
        link->wants_proof |= op->claims[k].cost != 0 || op->claims[k].want != 0;
}

void store_redis_link_note_query(struct store_redis_link *link, struct store_redis_query *query)
{
    query->is_short = false;
    link->wants_proof |= query->is_durable && link->redis->conf.is_durable;
}

void store_redis_link_write_proof(struct store_redis_link *link)
{
    if (!link->wants_proof || link->is_proving || link->state != LINK_UP ||
        store_redis_wire_add(&link->wire, link->redis->wait_command) != ERR_OK)
        return;
    link->wants_proof = false;
    link->is_proving = true;
    store_redis_link_add(link, FLIGHT_PROOF);
}

/* NULL: no memory. */
static struct link_proof *add_proof(struct store_redis_link *link)
{
    if (link->proof_count == link->proof_room) {
        unsigned room = link->proof_room == 0 ? PROOFS_FIRST : 2 * link->proof_room;
        struct link_proof *grown = realloc(link->proofs, room * sizeof(*grown));
        if (grown == NULL)
            return NULL;
        link->proofs = grown;
        link->proof_room = room;
    }
    return &link->proofs[link->proof_count++];
}

void store_redis_link_prove(struct store_redis_link *link, struct store_redis_op *op,
                            const struct store_redis_answer *answer)
{
    struct link_proof *proof = add_proof(link);
    if (proof == NULL) {
        op->done(op, STORE_AWAY, NULL);
        return;
    }
    proof->op = op;
    proof->answer = *answer;
}

bool store_redis_link_prove_query(struct store_redis_link *link, struct store_redis_query *query,
                                  struct span text)
{
    if (!query->is_durable || !link->redis->conf.is_durable)
        return false;
    query->is_short = true; /* until it is known better */
    struct link_proof *proof = text.len > TEXT_MAX ? NULL : add_proof(link);
    if (proof == NULL)
        return false;
    proof->op = NULL;
    proof->query = query;
    proof->text.len = text.len;
    if (text.len != 0)
        memcpy(proof->text.bytes, text.ptr, text.len);
    return true;
}

static void end_proof(const struct link_proof *proof, bool is_proven)
{
    if (proof->op == NULL) {
        proof->query->is_short = !is_proven;
        proof->query->done(proof->query, STORE_REDIS_VALUE,
                           (struct span){proof->text.bytes, proof->text.len});
    } else if (!is_proven) {
        proof->op->done(proof->op, STORE_AWAY, NULL);
    } else {
        proof->op->done(proof->op, proof->answer.granted ? STORE_CHARGED : STORE_REFUSED,
                        &proof->answer);
    }
}

/* An ending may end the link, which loses those that are left. */
static void end_proofs(struct store_redis_link *link, bool is_proven)
{
    unsigned ended = link->proof_first;
    while (link->proof_first != link->proof_count) {
        struct link_proof proof = link->proofs[link->proof_first++];
        end_proof(&proof, is_proven);
        ended += proof.op != NULL;
    }
    link->proof_first = link->proof_count = 0;
    metrics_add(link->loop->metrics,
                is_proven ? METRICS_STORE_DURABLE_PROVEN : METRICS_STORE_DURABLE_SHORT, ended);
}

void store_redis_link_lose_proofs(struct store_redis_link *link)
{
    link->wants_proof = link->is_proving = false;
    link->shorts = 0;
    if (link->proof_first != link->proof_count)
        end_proofs(link, false);
}

static void say_short(struct store_redis_link *link, uint64_t replicas)
{
    struct store_redis *redis = link->redis;
    uint64_t now_us = link->loop->mono_us, due_us = atomic_load(&redis->durable_said_us);
    if (now_us < due_us ||
        !atomic_compare_exchange_strong(&redis->durable_said_us, &due_us, now_us + SAY_AGAIN_US))
        return;
    log_warn(
        "redis %.*s: a grant was acknowledged by %llu replicas within %llu ms and %u are wanted "
        "(\"durable\"): it is not spent, and its quota does as its \"on_failure\" says",
        (int)link->place.name.len, link->place.name.ptr, (unsigned long long)replicas,
        (unsigned long long)(redis->conf.durable_timeout_us / 1000), redis->conf.durable_replicas);
}

void store_redis_link_on_proof(struct store_redis_link *link)
{
    const struct store_redis_reply *reply = &link->parser.reply;
    bool is_error = reply->types[0] == STORE_REDIS_ERROR;
    uint64_t replicas = is_error || reply->numbers[0] < 0 ? 0 : (uint64_t)reply->numbers[0];
    link->is_proving = false;
    if (!is_error && reply->types[0] != STORE_REDIS_INTEGER) {
        store_redis_link_fail(link, "it answered WAIT with something else");
        return;
    }
    bool is_proven = replicas >= link->redis->conf.durable_replicas;
    if (is_proven) {
        link->shorts = 0;
    } else {
        link->shorts++;
        if (!is_error)
            say_short(link, replicas);
    }
    end_proofs(link, is_proven);
    if (link->state != LINK_UP)
        return;
    if (link->shorts >= SHORT_IN_A_ROW)
        store_redis_link_fail(link, "too few of its replicas acknowledge what is granted");
    else if (link->wants_proof)
        loop_task_schedule(link->loop, &link->flush);
}
