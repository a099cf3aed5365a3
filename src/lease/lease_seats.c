/* SPDX-License-Identifier: Apache-2.0 */
/* lease_seats.c - see lease_seats.h.
 *
 * A seat is due when Redis does not know what it should: at the end of the turn it is told, once for all that happened in
 * the turn.  A request's slot is asked for at once, unless a command of its subject is in the air: then with all
 * that come meanwhile, when that one is answered. */
#include "lease/lease_seats.h"

#include <stdlib.h>
#include <string.h>

#include "base/base_rng.h"
#include "lease/lease_private.h"

#define HASH_SIZE 4096 /* a power of two */
#define SPARE_MAX 1024
#define LOOK_US   500000 /* between two looks for seats that must be said again */
#define LOOK_MAX  2048   /* of them, in one look */
#define FORGOTTEN_US                                                                               \
    12000000 /* after that what nobody holds is over in Redis, whatever has become of the command */
#define UNKNOWN UINT32_MAX
/* A server that was started anew has to be told by everybody what they hold before it may grant more: links are
 * back within their longest wait between two attempts. */
#define ANEW_US 3000000

/* Owner: lease_seats.  Freed by: itself, when Redis knows that nothing is held.  Thread: the worker's. */
struct lease_seat {
    struct store_redis_slots_op op; /* first: found from it */
    struct lease_seats *seats;
    struct list same_hash;
    struct list said;    /* in seats->said */
    struct list due;     /* in seats->due */
    struct list waiters; /* lease_slot; those that are asked for first */
    uint32_t held;       /* by exchanges of this worker */
    uint32_t told;       /* what Redis counts for this worker; UNKNOWN: something else, perhaps */
    uint64_t said_at_us;
    bool is_asking; /* its command is in the air */
};

/* Owner: lease_worker.  Freed by: lease_seats_free.  Thread: the worker's. */
struct lease_seats {
    struct lease_worker *worker;
    struct loop *loop;
    uint8_t holder[STORE_REDIS_SLOTS_HOLDER];
    uint32_t sequence;
    struct list said; /* all seats; the one that was said longest ago first */
    struct list due;
    struct list spare;
    unsigned spare_count;
    struct list waiting, ready; /* lease_hold */
    struct loop_alarm *alarm;   /* the decision timeout of the hold that waits longest */
    struct loop_task flush;
    struct loop_timer look;
    struct list hash[HASH_SIZE];
};

/* ---- seats ---- */

static struct list *hash_of(struct lease_seats *seats, const uint8_t key[16])
{
    uint32_t hash;
    memcpy(&hash, key, sizeof(hash)); /* a mac: spread evenly, and not to be steered */
    return &seats->hash[hash % HASH_SIZE];
}

static struct lease_seat *seat_new(struct lease_seats *seats, const uint8_t key[16])
{
    struct lease_seat *seat;
    if (list_is_empty(&seats->spare)) {
        seat = malloc(sizeof(*seat));
        if (seat == NULL)
            return NULL;
    } else {
        seat = LIST_OF(seats->spare.next, struct lease_seat, said);
        list_remove(&seat->said);
        seats->spare_count--;
    }
    *seat = (struct lease_seat){.seats = seats, .said_at_us = seats->loop->mono_us};
    memcpy(seat->op.claim.key, key, sizeof(seat->op.claim.key));
    memcpy(seat->op.claim.holder, seats->holder, sizeof(seats->holder));
    list_init(&seat->due);
    list_init(&seat->waiters);
    list_push_back(hash_of(seats, key), &seat->same_hash);
    if (list_is_empty(&seats->said))
        loop_timer_set(seats->loop, &seats->look, seats->loop->mono_us + LOOK_US);
    list_push_back(&seats->said, &seat->said);
    return seat;
}

static struct lease_seat *seat_of(struct lease_seats *seats, const uint8_t key[16])
{
    LIST_EACH (node, hash_of(seats, key)) {
        struct lease_seat *seat = LIST_OF(node, struct lease_seat, same_hash);
        if (memcmp(seat->op.claim.key, key, sizeof(seat->op.claim.key)) == 0)
            return seat;
    }
    return seat_new(seats, key);
}

static void seat_free(struct lease_seat *seat)
{
    struct lease_seats *seats = seat->seats;
    list_remove(&seat->same_hash);
    list_remove(&seat->said);
    list_remove(&seat->due);
    if (seats->spare_count == SPARE_MAX) {
        free(seat);
        return;
    }
    list_push_front(&seats->spare, &seat->said);
    seats->spare_count++;
}

static void seat_make_due(struct lease_seat *seat)
{
    if (list_is_empty(&seat->due))
        list_push_back(&seat->seats->due, &seat->due);
    loop_task_schedule(seat->seats->loop, &seat->seats->flush);
}

/* Something has changed.  The seat may be gone afterwards.  What is unknown is said again in its time: a server that
 * answers with errors is not asked without end. */
static void seat_settle(struct lease_seat *seat)
{
    if (seat->is_asking)
        return;
    bool is_known = seat->told == seat->held || (seat->told == UNKNOWN && seat->held != 0);
    if (!list_is_empty(&seat->waiters) || (seat->told != UNKNOWN && seat->told != seat->held))
        seat_make_due(seat);
    else if (is_known && seat->held == 0)
        seat_free(seat);
}

/* ---- asking ---- */

/* A waiter's answer: it waits no longer. */
static void answer_waiter(struct lease_slot *slot, enum lease_slot_state state)
{
    list_remove(&slot->node);
    slot->is_asked = false;
    slot->state = (uint8_t)state;
    if (state != LEASE_SLOT_HELD)
        slot->seat = NULL;
    lease_hold_answered(slot);
}

static void run_ready(struct lease_seats *seats)
{
    while (!list_is_empty(&seats->ready)) {
        struct lease_hold *hold = LIST_OF(seats->ready.next, struct lease_hold, node);
        list_remove(&hold->node);
        lease_hold_go_on(hold);
    }
}

static void end_waiting(struct lease_seat *seat, bool asked_only)
{
    LIST_EACH_SAFE (node, &seat->waiters) {
        struct lease_slot *slot = LIST_OF(node, struct lease_slot, node);
        if (slot->is_asked || !asked_only)
            answer_waiter(slot, LEASE_SLOT_HERE);
    }
}

static void on_answer(struct store_redis_slots_op *op,
                      const struct store_redis_slots_answer *answer)
{
    struct lease_seat *seat = (struct lease_seat *)(void *)op;
    struct lease_seats *seats = seat->seats;
    seat->is_asking = false;
    /* Were we so late ourselves (stopped, starved) that what was granted may be over by now? */
    if (answer != NULL && seats->loop->mono_us - op->sent_at_us >= STORE_REDIS_SLOTS_TRUST_US)
        answer = NULL;
    if (answer == NULL) {
        end_waiting(seat, true);
    } else {
        uint32_t left = answer->granted;
        seat->told = op->claim.held + answer->granted;
        LIST_EACH_SAFE (node, &seat->waiters) {
            struct lease_slot *slot = LIST_OF(node, struct lease_slot, node);
            if (!slot->is_asked)
                break;
            bool is_granted = left != 0;
            left -= is_granted;
            seat->held += is_granted;
            slot->told.used = answer->used - left;
            slot->told.is_refused = !is_granted;
            answer_waiter(slot, is_granted ? LEASE_SLOT_HELD : LEASE_SLOT_FREE);
        }
    }
    seat_settle(seat);
    run_ready(seats);
}

/* Say what is held, and ask for those that wait, as far as they know of one limit (a reload changes it). */
static void seat_send(struct lease_seat *seat)
{
    struct lease_seats *seats = seat->seats;
    struct store_redis_slots_claim *claim = &seat->op.claim;
    claim->sequence = ++seats->sequence;
    claim->held = seat->held;
    claim->want = claim->limit = 0;
    LIST_EACH (node, &seat->waiters) {
        struct lease_slot *slot = LIST_OF(node, struct lease_slot, node);
        if (claim->want != 0 && claim->limit != slot->told.limit)
            break;
        claim->limit = slot->told.limit;
        claim->want++;
        slot->is_asked = true;
    }
    list_remove(&seat->due);
    list_remove(&seat->said);
    list_push_back(&seats->said, &seat->said);
    seat->said_at_us = seats->loop->mono_us;
    seat->op.done = on_answer;
    seat->told = UNKNOWN;
    seat->is_asking = true;
    if (store_redis_route_slots(seats->worker->route, &seat->op) == STORE_PENDING)
        return;
    seat->is_asking = false;
    end_waiting(seat, true);
    loop_task_schedule(seats->loop, &seats->flush); /* for those that are ready */
}

static void on_flush(void *arg)
{
    struct lease_seats *seats = arg;
    while (!list_is_empty(&seats->due) && store_redis_route_is_open(seats->worker->route)) {
        struct lease_seat *seat = LIST_OF(seats->due.next, struct lease_seat, due);
        list_remove(&seat->due);
        if (!seat->is_asking)
            seat_send(seat);
    }
    run_ready(seats);
}

static bool is_trusted(const struct lease_seats *seats, const uint8_t key[16])
{
    uint64_t anew_at_us = store_redis_route_anew_at_us(seats->worker->route, key);
    return store_redis_route_is_open(seats->worker->route) &&
           (anew_at_us == 0 || seats->loop->mono_us >= anew_at_us + ANEW_US);
}

bool lease_seats_ask(struct lease_seats *seats, struct lease_slot *slot)
{
    bool is_open = is_trusted(seats, slot->told.key);
    if (!is_open && !store_redis_route_is_starting(seats->worker->route))
        return false;
    struct lease_seat *seat = seat_of(seats, slot->told.key);
    if (seat == NULL)
        return false;
    slot->seat = seat;
    slot->told.limit = slot->told.quota->in_flight;
    slot->told.source = QUOTA_SOURCE_STORE;
    list_push_back(&seat->waiters, &slot->node);
    if (is_open && !seat->is_asking)
        seat_send(seat);
    return true;
}

void lease_seats_forget(struct lease_slot *slot)
{
    struct lease_seat *seat = slot->seat;
    list_remove(&slot->node);
    slot->is_asked = false;
    slot->seat = NULL;
    if (seat != NULL)
        seat_settle(seat);
}

void lease_seats_add(struct lease_seats *seats, struct lease_slot *slot)
{
    slot->seat = seat_of(seats, slot->told.key);
    if (slot->seat == NULL)
        return; /* no memory: it counts in this process alone */
    slot->seat->held++;
    seat_settle(slot->seat);
}

void lease_seats_remove(struct lease_seats *seats, struct lease_slot *slot)
{
    struct lease_seat *seat = slot->seat;
    (void)seats;
    slot->seat = NULL;
    if (seat == NULL)
        return;
    seat->held--;
    seat_settle(seat);
}

/* ---- time ---- */

static void set_alarm(struct lease_seats *seats)
{
    const struct lease_hold *hold = LIST_OF(seats->waiting.next, struct lease_hold, node);
    uint64_t timeout_us = seats->worker->lease->redis->conf.decision_timeout_us;
    if (!list_is_empty(&seats->waiting))
        loop_alarm_set(seats->alarm, hold->ask->asked_at_us + timeout_us);
}

/* Who has waited before, for its tier or its project, is due earlier. */
static bool is_due_later(const struct list *one, const struct list *other)
{
    return LIST_OF(one, struct lease_hold, node)->ask->asked_at_us >
           LIST_OF(other, struct lease_hold, node)->ask->asked_at_us;
}

void lease_seats_wait(struct lease_seats *seats, struct lease_hold *hold)
{
    list_push_ordered(&seats->waiting, &hold->node, is_due_later);
    if (seats->waiting.next == &hold->node)
        set_alarm(seats);
}

void lease_seats_ready(struct lease_seats *seats, struct lease_hold *hold)
{
    list_remove(&hold->node);
    list_push_back(&seats->ready, &hold->node);
}

/* Not waiting any longer: a slot that is granted late goes back. */
static void end_late(struct lease_hold *hold)
{
    for (unsigned i = 0; i < hold->count; i++) {
        struct lease_slot *slot = &hold->slots[i];
        struct lease_seat *seat = slot->seat;
        if (slot->state != LEASE_SLOT_WAITING)
            continue;
        answer_waiter(slot, LEASE_SLOT_HERE);
        seat_settle(seat);
    }
}

static void on_decision_time(void *arg)
{
    struct lease_seats *seats = arg;
    uint64_t timeout_us = seats->worker->lease->redis->conf.decision_timeout_us;
    store_redis_route_poll(seats->worker->route); /* it may be we who were late */
    while (!list_is_empty(&seats->waiting)) {
        struct lease_hold *hold = LIST_OF(seats->waiting.next, struct lease_hold, node);
        if (hold->ask->asked_at_us + timeout_us > seats->loop->mono_us)
            break;
        metrics_add(seats->loop->metrics, METRICS_STORE_TIMEOUTS, 1);
        end_late(hold);
    }
    set_alarm(seats);
    run_ready(seats);
}

/* What is held is said again in time, and what nobody holds is forgotten. */
static void on_look(void *arg)
{
    struct lease_seats *seats = arg;
    uint64_t now_us = seats->loop->mono_us;
    unsigned looks = 0;
    LIST_EACH_SAFE (node, &seats->said) {
        struct lease_seat *seat = LIST_OF(node, struct lease_seat, said);
        uint64_t since_us = now_us - seat->said_at_us;
        if (since_us < STORE_REDIS_SLOTS_RENEW_US || looks++ == LOOK_MAX)
            break;
        if (seat->is_asking)
            continue;
        if (seat->held == 0 && list_is_empty(&seat->waiters) && since_us > FORGOTTEN_US)
            seat_free(seat);
        else if (store_redis_route_is_open(seats->worker->route))
            seat_send(seat);
    }
    if (!list_is_empty(&seats->due))
        loop_task_schedule(seats->loop, &seats->flush);
    if (!list_is_empty(&seats->said))
        loop_timer_set(seats->loop, &seats->look, now_us + LOOK_US);
}

void lease_seats_on_change(struct lease_seats *seats, bool is_up)
{
    LIST_EACH_SAFE (node, &seats->said) {
        struct lease_seat *seat = LIST_OF(node, struct lease_seat, said);
        if (is_up) {
            seat->told = UNKNOWN;
            seat_make_due(seat);
        } else {
            end_waiting(seat, false);
            seat_settle(seat);
        }
    }
    run_ready(seats);
}

/* ---- making ---- */

struct lease_seats *lease_seats_new(struct lease_worker *worker)
{
    struct lease_seats *seats = calloc(1, sizeof(*seats));
    if (seats == NULL)
        return NULL;
    seats->worker = worker;
    seats->loop = worker->loop;
    rng_secret(seats->holder, sizeof(seats->holder));
    list_init(&seats->said);
    list_init(&seats->due);
    list_init(&seats->spare);
    list_init(&seats->waiting);
    list_init(&seats->ready);
    for (unsigned i = 0; i < HASH_SIZE; i++)
        list_init(&seats->hash[i]);
    loop_task_init(&seats->flush, on_flush, seats);
    loop_timer_init(&seats->look, on_look, seats);
    seats->alarm = loop_alarm_new(worker->loop, on_decision_time, seats);
    if (seats->alarm == NULL) {
        lease_seats_free(seats);
        return NULL;
    }
    return seats;
}

void lease_seats_leave(struct lease_seats *seats)
{
    if (seats == NULL || seats->worker->route == NULL)
        return;
    on_flush(seats);
    store_redis_route_flush(seats->worker->route);
}

void lease_seats_free(struct lease_seats *seats)
{
    if (seats == NULL)
        return;
    loop_task_cancel(&seats->flush);
    loop_timer_cancel(&seats->look);
    loop_alarm_free(seats->alarm);
    LIST_EACH_SAFE (node, &seats->said)
        free(LIST_OF(node, struct lease_seat, said));
    LIST_EACH_SAFE (node, &seats->spare)
        free(LIST_OF(node, struct lease_seat, said));
    free(seats);
}
