/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_places.c - see upstream_places.h.  Takes: who waits, and that something is free.  Gives: letters to the
 * workers.  Never knows what a server is, nor whether it works. */
#include "upstream/upstream_places.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Owner: the main thread.  Freed by: upstream_places_free.  Thread: any, under the lock. */
struct upstream_places {
    pthread_mutex_t lock;
    struct list tallies, queues, bells;
};

struct upstream_places *upstream_places_new(void)
{
    struct upstream_places *places = calloc(1, sizeof(*places));
    if (places == NULL)
        return NULL;
    pthread_mutex_init(&places->lock, NULL);
    list_init(&places->tallies);
    list_init(&places->queues);
    list_init(&places->bells);
    return places;
}

void upstream_places_free(struct upstream_places *places)
{
    if (places == NULL)
        return;
    pthread_mutex_destroy(&places->lock);
    free(places);
}

/* ---- tallies ---- */

static void tally_free(struct upstream_tally *tally)
{
    list_remove(&tally->node);
    free(tally->upstream);
    free(tally->server);
    free(tally);
}

static struct upstream_tally *tally_new(struct upstream_places *places, struct span upstream,
                                        struct span server)
{
    struct upstream_tally *tally = calloc(1, sizeof(*tally));
    if (tally == NULL)
        return NULL;
    list_init(&tally->node);
    tally->places = places;
    tally->upstream = strndup(upstream.ptr, upstream.len);
    tally->server = strndup(server.ptr, server.len);
    if (tally->upstream == NULL || tally->server == NULL) {
        tally_free(tally);
        return NULL;
    }
    list_push_back(&places->tallies, &tally->node);
    return tally;
}

static struct upstream_tally *tally_find(const struct upstream_places *places, struct span upstream,
                                         struct span server)
{
    LIST_EACH (node, &places->tallies) {
        struct upstream_tally *tally = LIST_OF(node, struct upstream_tally, node);
        if (span_eq(span_of(tally->upstream), upstream) && span_eq(span_of(tally->server), server))
            return tally;
    }
    return NULL;
}

struct upstream_tally *upstream_tally_ref(struct upstream_places *places, struct span upstream,
                                          struct span server)
{
    pthread_mutex_lock(&places->lock);
    struct upstream_tally *tally = tally_find(places, upstream, server);
    if (tally == NULL)
        tally = tally_new(places, upstream, server);
    if (tally != NULL)
        tally->refs++;
    pthread_mutex_unlock(&places->lock);
    return tally;
}

void upstream_tally_unref(struct upstream_tally *tally)
{
    if (tally == NULL)
        return;
    struct upstream_places *places = tally->places;
    pthread_mutex_lock(&places->lock);
    if (--tally->refs == 0)
        tally_free(tally);
    pthread_mutex_unlock(&places->lock);
}

/* ---- bells ---- */

/* Each called waiter of this worker tries; what it does may call others. */
static void bell_answer(struct upstream_bell *bell)
{
    struct upstream_places *places = bell->places;
    pthread_mutex_lock(&places->lock);
    while (!list_is_empty(&bell->called)) {
        struct upstream_waiter *waiter =
            LIST_OF(bell->called.next, struct upstream_waiter, called_node);
        list_remove(&waiter->called_node);
        pthread_mutex_unlock(&places->lock);
        waiter->on_ready(waiter->arg); /* the worker's own: nobody else takes it away */
        pthread_mutex_lock(&places->lock);
    }
    pthread_mutex_unlock(&places->lock);
}

static void bell_on_letter(void *arg)
{
    struct upstream_bell *bell = arg;
    pthread_mutex_lock(&bell->places->lock);
    const bool is_asked = bell->is_asked;
    bell->is_rung = bell->is_asked = false;
    pthread_mutex_unlock(&bell->places->lock);
    if (is_asked)
        bell->let_go(bell->arg);
    bell_answer(bell);
}

/* The lock is held.  Without memory for a letter the worker finds out when it stirs. */
static void bell_ring(struct upstream_bell *bell)
{
    if (!bell->is_rung)
        bell->is_rung = loop_post(bell->loop, bell_on_letter, bell) == ERR_OK;
}

void upstream_bell_open(struct upstream_bell *bell, struct upstream_places *places,
                        struct loop *loop, void (*let_go)(void *arg), void *arg)
{
    *bell = (struct upstream_bell){.places = places, .loop = loop, .let_go = let_go, .arg = arg};
    list_init(&bell->called);
    pthread_mutex_lock(&places->lock);
    list_push_back(&places->bells, &bell->node);
    pthread_mutex_unlock(&places->lock);
}

void upstream_bell_close(struct upstream_bell *bell)
{
    pthread_mutex_lock(&bell->places->lock);
    list_remove(&bell->node);
    pthread_mutex_unlock(&bell->places->lock);
}

/* ---- queues ---- */

static struct upstream_queue *queue_find(const struct upstream_places *places, struct span upstream)
{
    LIST_EACH (node, &places->queues) {
        struct upstream_queue *queue = LIST_OF(node, struct upstream_queue, node);
        if (span_eq(span_of(queue->upstream), upstream))
            return queue;
    }
    return NULL;
}

static struct upstream_queue *queue_new(struct upstream_places *places, struct span upstream)
{
    struct upstream_queue *queue = calloc(1, sizeof(*queue));
    if (queue == NULL)
        return NULL;
    queue->places = places;
    list_init(&queue->waiters);
    queue->upstream = strndup(upstream.ptr, upstream.len);
    if (queue->upstream == NULL) {
        free(queue);
        return NULL;
    }
    list_push_back(&places->queues, &queue->node);
    return queue;
}

struct upstream_queue *upstream_queue_ref(struct upstream_places *places, struct span upstream)
{
    pthread_mutex_lock(&places->lock);
    struct upstream_queue *queue = queue_find(places, upstream);
    if (queue == NULL)
        queue = queue_new(places, upstream);
    if (queue != NULL)
        queue->refs++;
    pthread_mutex_unlock(&places->lock);
    return queue;
}

struct upstream_queue *upstream_queue_ref_again(struct upstream_queue *queue)
{
    pthread_mutex_lock(&queue->places->lock);
    queue->refs++;
    pthread_mutex_unlock(&queue->places->lock);
    return queue;
}

void upstream_queue_unref(struct upstream_queue *queue)
{
    if (queue == NULL)
        return;
    struct upstream_places *places = queue->places;
    pthread_mutex_lock(&places->lock);
    if (--queue->refs == 0) {
        list_remove(&queue->node);
        free(queue->upstream);
        free(queue);
    }
    pthread_mutex_unlock(&places->lock);
}

/* The first from here on who was not called; NULL: there is none.  The lock is held, as in all that follow. */
static struct upstream_waiter *queue_next(const struct upstream_queue *queue, struct list *node)
{
    for (; node != &queue->waiters; node = node->next) {
        struct upstream_waiter *waiter = LIST_OF(node, struct upstream_waiter, node);
        if (!waiter->is_called)
            return waiter;
    }
    return NULL;
}

static void queue_call_from(struct upstream_queue *queue, struct list *node)
{
    struct upstream_waiter *waiter = queue_next(queue, node);
    if (waiter == NULL)
        return;
    waiter->is_called = true;
    queue->called++;
    list_push_back(&waiter->bell->called, &waiter->called_node);
    bell_ring(waiter->bell);
}

static void queue_uncall(struct upstream_waiter *waiter)
{
    if (!waiter->is_called)
        return;
    waiter->is_called = false;
    waiter->queue->called--;
    list_remove(&waiter->called_node);
}

static bool waiter_is_later(const struct list *one, const struct list *other)
{
    return LIST_OF(one, const struct upstream_waiter, node)->since_us >
           LIST_OF(other, const struct upstream_waiter, node)->since_us;
}

bool upstream_queue_enter(struct upstream_queue *queue, struct upstream_waiter *waiter,
                          struct upstream_bell *bell, unsigned max)
{
    bool has_room = false;
    pthread_mutex_lock(&queue->places->lock);
    if (atomic_load(&queue->waiting) < max) {
        has_room = true;
        waiter->queue = queue;
        waiter->bell = bell;
        waiter->is_called = queue->called == 0;
        queue->called += waiter->is_called;
        list_init(&waiter->called_node);
        list_push_ordered(&queue->waiters, &waiter->node, waiter_is_later);
        /* Before the places are looked at again, as a place is given up before this is looked at: one of the two
         * sees the other. */
        atomic_fetch_add(&queue->waiting, 1);
    }
    pthread_mutex_unlock(&queue->places->lock);
    return has_room;
}

void upstream_queue_leave(struct upstream_waiter *waiter, bool has_used)
{
    struct upstream_queue *queue = waiter->queue;
    pthread_mutex_lock(&queue->places->lock);
    const bool was_called = waiter->is_called;
    queue_uncall(waiter);
    list_remove(&waiter->node);
    atomic_fetch_sub(&queue->waiting, 1);
    waiter->queue = NULL;
    if (was_called && !has_used)
        queue_call_from(queue, queue->waiters.next);
    pthread_mutex_unlock(&queue->places->lock);
}

void upstream_queue_pass(struct upstream_waiter *waiter)
{
    struct upstream_queue *queue = waiter->queue;
    pthread_mutex_lock(&queue->places->lock);
    if (waiter->is_called) {
        queue_uncall(waiter);
        queue_call_from(queue, waiter->node.next);
    }
    pthread_mutex_unlock(&queue->places->lock);
}

bool upstream_waiter_may_try(struct upstream_waiter *waiter)
{
    pthread_mutex_lock(&waiter->queue->places->lock);
    const bool is_called = waiter->is_called;
    pthread_mutex_unlock(&waiter->queue->places->lock);
    return is_called;
}

void upstream_queue_call(struct upstream_queue *queue)
{
    pthread_mutex_lock(&queue->places->lock);
    queue_call_from(queue, queue->waiters.next);
    pthread_mutex_unlock(&queue->places->lock);
}

void upstream_queue_stir(struct upstream_queue *queue, struct upstream_bell *bell)
{
    pthread_mutex_lock(&queue->places->lock);
    if (queue->called == 0)
        queue_call_from(queue, queue->waiters.next);
    const bool is_unanswered = !list_is_empty(&bell->called) && !bell->is_rung;
    pthread_mutex_unlock(&queue->places->lock);
    if (is_unanswered)
        bell_answer(bell);
}

bool upstream_queue_goes_elsewhere(struct upstream_queue *queue, const struct upstream_bell *bell)
{
    pthread_mutex_lock(&queue->places->lock);
    const struct upstream_waiter *waiter = queue_next(queue, queue->waiters.next);
    const bool is_elsewhere = waiter != NULL && waiter->bell != bell;
    pthread_mutex_unlock(&queue->places->lock);
    return is_elsewhere;
}

void upstream_queue_ask_others(struct upstream_queue *queue, const struct upstream_bell *bell)
{
    struct upstream_places *places = queue->places;
    pthread_mutex_lock(&places->lock);
    LIST_EACH (node, &places->bells) {
        struct upstream_bell *other = LIST_OF(node, struct upstream_bell, node);
        if (other == bell)
            continue;
        other->is_asked = true;
        bell_ring(other);
    }
    pthread_mutex_unlock(&places->lock);
}
