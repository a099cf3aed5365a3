/* SPDX-License-Identifier: Apache-2.0 */
/* lease_hold.c - the way of a request's slots.
 *
 *   lease_decide --the store refused its charges lately--> refused, nothing is asked
 *        |-------- slots counted here, or answered by Redis --.
 *        |                                                    |--one is refused--> the others are given back
 *        |                                                    `--all are held--> the charges are decided
 *        |                                                             `--refused--> all are given back
 *        `-------- the store is away, or too late ---> by each quota's on_failure, and on as above
 *
 * Slots come first since they can be given back without loss; a charge that is given back may be lost on its way.  So a
 * request that its windows refuse holds its slots for as long as these are asked. */
#include "lease/lease_hold.h"

#include <assert.h>
#include <string.h>

#include "lease/lease_private.h"
#include "lease/lease_seats.h"

enum outcome {
    OUTCOME_HELD,
    OUTCOME_REFUSED,
    OUTCOME_UNAVAILABLE,
};

size_t lease_hold_bytes(unsigned slots)
{
    return sizeof(struct lease_hold) + slots * sizeof(struct lease_slot);
}

void lease_hold_init(struct lease_hold *hold)
{
    *hold = (struct lease_hold){0};
    list_init(&hold->node);
}

void lease_hold_add(struct lease_hold *hold, const struct quota *quota, const uint8_t key[16])
{
    struct lease_slot *slot = &hold->slots[hold->count++];
    assert(hold->count <= QUOTA_MAX_PER_ROUTE && quota->in_flight != 0);
    *slot = (struct lease_slot){.told.quota = quota, .hold = hold};
    memcpy(slot->told.key, key, sizeof(slot->told.key));
    list_init(&slot->node);
}

/* ---- one slot ---- */

static void take(struct lease_slot *slot, uint32_t limit)
{
    const struct lease_worker *worker = slot->hold->worker;
    slot->place = (uint8_t)lease_slots_take(&worker->lease->slots, &slot->told, limit,
                                            worker->loop->wall_us / 1000000);
    if (slot->place == LEASE_SLOTS_OVERFLOW)
        metrics_add(worker->loop->metrics, METRICS_STORE_OVERFLOW, 1);
}

static void become_held(struct lease_slot *slot)
{
    slot->state = LEASE_SLOT_HELD;
    slot->told.is_granted = true;
    metrics_add(slot->hold->worker->loop->metrics, METRICS_SLOTS_HELD, 1);
}

static enum outcome take_up_to(struct lease_slot *slot, uint32_t limit)
{
    slot->told.limit = limit;
    take(slot, limit);
    if (slot->place == LEASE_SLOTS_NOWHERE)
        return slot->told.is_refused ? OUTCOME_REFUSED : OUTCOME_UNAVAILABLE;
    become_held(slot);
    return OUTCOME_HELD;
}

/* By the quota's on_failure: see lease_local.c.  What is taken here is told to Redis when it is back. */
static enum outcome take_without_store(struct lease_slot *slot)
{
    struct lease_worker *worker = slot->hold->worker;
    const struct quota *quota = slot->told.quota;
    uint32_t proxies = lease_proxies(worker->lease);
    enum outcome outcome = OUTCOME_HELD;
    slot->told.is_degraded = true;
    slot->told.source = QUOTA_SOURCE_LOCAL;
    slot->told.limit = 0; /* nothing is known yet */
    if (quota->on_failure == QUOTA_FAIL_DENY ||
        (quota->on_failure == QUOTA_FAIL_LOCAL && proxies == 0))
        return OUTCOME_UNAVAILABLE;
    if (quota->on_failure == QUOTA_FAIL_LOCAL) {
        outcome = take_up_to(slot, quota->in_flight / proxies);
    } else {
        slot->told.is_skipped = true;
        take(slot, LEASE_SLOTS_ALL);
        become_held(slot);
    }
    if (outcome == OUTCOME_HELD)
        lease_seats_add(worker->seats, slot);
    return outcome;
}

static void give_back(struct lease_slot *slot)
{
    struct lease_worker *worker = slot->hold->worker;
    uint8_t state = slot->state;
    slot->state = LEASE_SLOT_FREE;
    if (state == LEASE_SLOT_WAITING)
        lease_seats_forget(slot);
    if (state != LEASE_SLOT_HELD)
        return;
    lease_slots_give_back(&worker->lease->slots, &slot->told, (enum lease_slots_place)slot->place);
    metrics_sub(worker->loop->metrics, METRICS_SLOTS_HELD, 1);
    if (worker->seats != NULL)
        lease_seats_remove(worker->seats, slot);
}

/* ---- the request ---- */

/* What the request gets is all or nothing; what it was granted in between is nothing. */
static void give_up(struct lease_hold *hold)
{
    for (unsigned i = 0; i < hold->count; i++) {
        struct quota_slot *told = &hold->slots[i].told;
        give_back(&hold->slots[i]);
        told->used -= told->is_granted;
        told->is_granted = false;
    }
}

static void refuse(struct lease_hold *hold, enum outcome outcome)
{
    struct lease_ask *ask = hold->ask;
    unsigned by = 0;
    give_up(hold);
    if (outcome == OUTCOME_UNAVAILABLE) {
        lease_decide_unavailable(hold->worker->loop, ask);
        return;
    }
    while (!hold->slots[by].told.is_refused)
        by++;
    const struct quota_slot *told = &hold->slots[by].told;
    ask->decision = (struct quota_decision){
        .verdict = told->is_degraded ? QUOTA_DEGRADED_REFUSE : QUOTA_REFUSE,
        .in_flight = told->quota,
        .limit = told->limit,
        .retry_after_s = LEASE_HOLD_RETRY_S,
        .now_s = lease_now_us(hold->worker->lease, hold->worker->loop) / 1000000,
    };
}

/* The charges are decided. */
static void conclude(struct lease_hold *hold)
{
    struct quota_decision *decision = &hold->ask->decision;
    bool is_degraded = false;
    for (unsigned i = 0; i < hold->count; i++)
        is_degraded = is_degraded || hold->slots[i].told.is_degraded;
    if (decision->verdict == QUOTA_REFUSE || decision->verdict == QUOTA_DEGRADED_REFUSE ||
        decision->verdict == QUOTA_UNAVAILABLE)
        give_up(hold);
    else
        decision->verdict = is_degraded || decision->verdict == QUOTA_DEGRADED_ALLOW
                                ? QUOTA_DEGRADED_ALLOW
                                : QUOTA_ALLOW;
}

static void on_charges(struct lease_ask *ask, void *arg)
{
    struct lease_hold *hold = arg;
    ask->done = hold->done;
    ask->arg = hold->arg;
    conclude(hold);
    ask->done(ask, ask->arg);
}

/* Every slot has its answer.  True: the request is decided. */
static bool judge(struct lease_hold *hold)
{
    struct lease_worker *worker = hold->worker;
    struct lease_ask *ask = hold->ask;
    enum outcome outcome = OUTCOME_HELD;
    for (unsigned i = 0; i < hold->count; i++) {
        if (hold->slots[i].told.is_refused)
            outcome = OUTCOME_REFUSED;
    }
    for (unsigned i = 0; i < hold->count; i++) { /* all, so that the log names all that refuse */
        struct lease_slot *slot = &hold->slots[i];
        enum outcome one = OUTCOME_HELD;
        if (slot->state == LEASE_SLOT_HERE)
            one = worker->lease->memory != NULL ? take_up_to(slot, slot->told.quota->in_flight)
                                                : take_without_store(slot);
        if (one > outcome)
            outcome = one;
    }
    if (outcome != OUTCOME_HELD) {
        refuse(hold, outcome);
        return true;
    }
    ask->decision =
        (struct quota_decision){.now_s = lease_now_us(worker->lease, worker->loop) / 1000000};
    if (lease_decide_charges(worker, ask)) {
        conclude(hold);
        return true;
    }
    hold->done = ask->done;
    hold->arg = ask->arg;
    ask->done = on_charges;
    ask->arg = hold;
    return false;
}

static void ask_for(struct lease_slot *slot)
{
    struct lease_hold *hold = slot->hold;
    slot->state = LEASE_SLOT_HERE;
    if (hold->worker->lease->memory != NULL)
        return;
    slot->state = LEASE_SLOT_WAITING;
    hold->waiting++;
    if (lease_seats_ask(hold->worker->seats, slot))
        return;
    slot->state = LEASE_SLOT_HERE;
    hold->waiting--;
}

bool lease_hold_decide(struct lease_worker *worker, struct lease_ask *ask)
{
    struct lease_hold *hold = ask->hold;
    hold->worker = worker;
    hold->ask = ask;
    /* A flood over the limit of a window costs the store nothing. */
    if (worker->lease->memory == NULL && ask->count != 0 && lease_is_refused_lately(worker, ask))
        return true;
    hold->waiting = 1;
    for (unsigned i = 0; i < hold->count; i++)
        ask_for(&hold->slots[i]);
    if (--hold->waiting == 0)
        return judge(hold);
    lease_seats_wait(worker->seats, hold);
    return false;
}

void lease_hold_go_on(struct lease_hold *hold)
{
    struct lease_ask *ask = hold->ask;
    if (judge(hold))
        ask->done(ask, ask->arg);
}

/* ---- in shadow ---- */

static void tell_shadow(struct lease_slot *slot)
{
    const struct quota *quota = slot->told.quota;
    metrics_slot counted = quota->slot_degraded;
    if (slot->state == LEASE_SLOT_HELD)
        counted = quota->slot_allow;
    else if (slot->told.is_refused)
        counted = quota->slot_refuse;
    else
        slot->told.is_skipped = true;
    metrics_add(slot->hold->worker->loop->metrics, counted, 1);
}

void lease_hold_try(struct lease_worker *worker, struct lease_hold *hold)
{
    hold->worker = worker;
    for (unsigned i = 0; i < hold->count; i++) {
        struct lease_slot *slot = &hold->slots[i];
        ask_for(slot);
        if (slot->state != LEASE_SLOT_HERE || slot->told.is_skipped)
            continue; /* it waits, or was answered already */
        slot->state = LEASE_SLOT_FREE;
        if (worker->lease->memory != NULL)
            (void)take_up_to(slot, slot->told.quota->in_flight);
        tell_shadow(slot);
    }
}

/* ---- answers and ends ---- */

void lease_hold_answered(struct lease_slot *slot)
{
    struct lease_hold *hold = slot->hold;
    if (slot->state == LEASE_SLOT_HELD) {
        uint32_t used = slot->told.used; /* of all proxies */
        take(slot, LEASE_SLOTS_ALL);
        slot->told.used = used;
        become_held(slot);
    }
    if (--hold->waiting == 0 && hold->ask != NULL)
        lease_seats_ready(hold->worker->seats, hold);
    if (hold->ask == NULL)
        tell_shadow(slot);
}

void lease_release(struct lease_hold *hold)
{
    if (hold->worker == NULL)
        return;
    list_remove(&hold->node);
    for (unsigned i = 0; i < hold->count; i++) {
        bool is_unknown = hold->slots[i].state == LEASE_SLOT_WAITING;
        give_back(&hold->slots[i]);
        if (is_unknown && hold->ask == NULL)
            tell_shadow(&hold->slots[i]);
    }
}
