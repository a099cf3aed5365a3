/* SPDX-License-Identifier: Apache-2.0 */
/* net_resolve.c - a few threads that ask getaddrinfo, one query at a time each.  Takes: names to watch.  Gives:
 * changed answers, by mail, on the loop.  A failed query keeps the last good answer. */
#include "net/net_resolve.h"

#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_log.h"
#include "loop/loop_thread.h"

/* A name that is being watched.  Owner: who made it.  Freed by: net_watch_free, or by the answer that
 * comes after that.  Thread: the loop's. */
struct net_watch {
    struct net_resolver *resolver;
    struct list node;
    struct loop_timer timer;
    char *host;
    uint16_t port;
    uint64_t interval_us;
    bool is_asked;   /* a query is with the thread */
    bool is_hurried; /* the timer is set for a second */
    bool is_gone;    /* freed by its owner while a query was with the thread */
    net_watch_fn on_change;
    void *arg;
    unsigned count;
    struct net_address addresses[NET_LOOKUP_ADDRESSES_MAX];
};

/* One question and its answer.  Owner: the thread while it asks, the loop before and after. */
struct resolve_query {
    struct list node;
    struct net_watch *watch;
    char *host; /* a copy: the thread never looks at the watch */
    uint16_t port;
    int result;
    unsigned count;
    struct net_address addresses[NET_LOOKUP_ADDRESSES_MAX];
};

/* What the threads see of a resolver: one that still asks when it is freed must not hold up who frees it.  Owner: counted.
 * Freed by: the last of the resolver and its threads.  Thread: any, under the lock. */
struct resolve_shared {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    unsigned refs;
    struct list queries;           /* waiting */
    unsigned waiting;              /* as many */
    unsigned idle;                 /* threads that wait for one */
    struct list answers;           /* done; each has a letter on its way */
    struct net_resolver *resolver; /* NULL: it is gone */
};

/* Owner: a worker.  Freed by: net_resolver_free.  Thread: the loop's. */
struct net_resolver {
    struct loop *loop;
    unsigned thread_count;
    struct list watches;
    struct resolve_shared *shared;
};

static void query_free(struct resolve_query *query)
{
    free(query->host);
    free(query);
}

static void resolver_take_answers(void *arg);

/* With the lock, which is gone afterwards. */
static void shared_unref(struct resolve_shared *shared)
{
    const bool is_last = --shared->refs == 0;
    pthread_mutex_unlock(&shared->lock);
    if (!is_last)
        return;
    LIST_EACH_SAFE (query, &shared->queries)
        query_free(LIST_OF(query, struct resolve_query, node));
    LIST_EACH_SAFE (answer, &shared->answers)
        query_free(LIST_OF(answer, struct resolve_query, node));
    pthread_mutex_destroy(&shared->lock);
    pthread_cond_destroy(&shared->wake);
    free(shared);
}

static void *resolver_thread(void *arg)
{
    struct resolve_shared *shared = arg;
    pthread_mutex_lock(&shared->lock);
    while (shared->resolver != NULL) {
        if (list_is_empty(&shared->queries)) {
            shared->idle++;
            pthread_cond_wait(&shared->wake, &shared->lock);
            shared->idle--;
            continue;
        }
        struct resolve_query *query = LIST_OF(shared->queries.next, struct resolve_query, node);
        list_remove(&query->node);
        shared->waiting--;
        pthread_mutex_unlock(&shared->lock);
        query->result = net_lookup_name(query->host, query->port, query->addresses, &query->count);
        pthread_mutex_lock(&shared->lock);
        list_push_back(&shared->answers, &query->node);
        /* Out of memory: the answer waits in the list for the next letter. */
        if (shared->resolver != NULL)
            (void)!loop_post(shared->resolver->loop, resolver_take_answers, shared->resolver);
    }
    shared_unref(shared);
    return NULL;
}

static void watch_free_now(struct net_watch *watch)
{
    list_remove(&watch->node);
    loop_timer_cancel(&watch->timer);
    free(watch->host);
    free(watch);
}

static bool watch_has(const struct net_watch *watch, const struct net_address *addresses,
                      unsigned count)
{
    bool is_same = watch->count == count;
    for (unsigned i = 0; is_same && i < count; i++)
        is_same = net_address_eq(&watch->addresses[i], &addresses[i]);
    return is_same;
}

/* Who has no address cannot wait. */
static uint64_t watch_pause_us(const struct net_watch *watch, bool is_answered)
{
    const bool is_urgent = !is_answered && watch->count == 0;
    return is_urgent && watch->interval_us > NET_RESOLVE_INTERVAL_US ? NET_RESOLVE_INTERVAL_US
                                                                     : watch->interval_us;
}

static void watch_answer(struct net_watch *watch, const struct resolve_query *query)
{
    watch->is_asked = false;
    if (watch->is_gone) {
        watch_free_now(watch);
        return;
    }
    loop_timer_set(watch->resolver->loop, &watch->timer,
                   watch->resolver->loop->mono_us + watch_pause_us(watch, query->count != 0));
    if (query->result != 0 || query->count == 0) {
        log_warn("cannot resolve %s: %s (%s)", watch->host, gai_strerror(query->result),
                 watch->count == 0 ? "no address known yet" : "the last good addresses are kept");
        return;
    }
    net_watch_tell(watch, query->addresses, query->count);
}

static void resolver_take_answers(void *arg)
{
    struct net_resolver *resolver = arg;
    for (;;) {
        struct resolve_query *query = NULL;
        pthread_mutex_lock(&resolver->shared->lock);
        if (!list_is_empty(&resolver->shared->answers)) {
            query = LIST_OF(resolver->shared->answers.next, struct resolve_query, node);
            list_remove(&query->node);
        }
        pthread_mutex_unlock(&resolver->shared->lock);
        if (query == NULL)
            return;
        watch_answer(query->watch, query);
        query_free(query);
    }
}

/* A thread is started when none is free for this name: a configuration of addresses has none. */
static bool resolver_start(struct net_resolver *resolver)
{
    struct resolve_shared *shared = resolver->shared;
    pthread_t thread;
    pthread_mutex_lock(&shared->lock);
    const bool is_enough =
        shared->idle > shared->waiting || resolver->thread_count == NET_RESOLVE_THREADS_MAX;
    shared->refs += !is_enough;
    pthread_mutex_unlock(&shared->lock);
    if (is_enough)
        return true;
    const bool is_started =
        loop_thread_start(&thread, "sluice-names", resolver_thread, shared) == ERR_OK;
    if (is_started) {
        pthread_detach(thread);
        resolver->thread_count++;
    } else {
        pthread_mutex_lock(&shared->lock);
        shared_unref(shared); /* the resolver has one still */
    }
    return resolver->thread_count != 0;
}

static void watch_ask(void *arg)
{
    struct net_watch *watch = arg;
    struct net_resolver *resolver = watch->resolver;
    struct resolve_query *query = calloc(1, sizeof(*query));
    watch->is_hurried = false;
    if (query != NULL)
        query->host = strdup(watch->host);
    if (query == NULL || query->host == NULL || !resolver_start(resolver)) {
        free(query != NULL ? query->host : NULL);
        free(query);
        loop_timer_set(resolver->loop, &watch->timer,
                       resolver->loop->mono_us + watch_pause_us(watch, false));
        return;
    }
    list_init(&query->node);
    query->watch = watch;
    query->port = watch->port;
    watch->is_asked = true;
    pthread_mutex_lock(&resolver->shared->lock);
    list_push_back(&resolver->shared->queries, &query->node);
    resolver->shared->waiting++;
    pthread_cond_signal(&resolver->shared->wake);
    pthread_mutex_unlock(&resolver->shared->lock);
}

struct net_watch *net_watch_new(struct net_resolver *resolver, struct span host, uint16_t port,
                                net_watch_fn on_change, void *arg)
{
    struct net_watch *watch = calloc(1, sizeof(*watch));
    if (watch == NULL)
        return NULL;
    watch->host = strndup(host.ptr, host.len);
    if (watch->host == NULL) {
        free(watch);
        return NULL;
    }
    watch->resolver = resolver;
    watch->port = port;
    watch->interval_us = NET_RESOLVE_INTERVAL_US;
    watch->on_change = on_change;
    watch->arg = arg;
    loop_timer_init(&watch->timer, watch_ask, watch);
    list_push_back(&resolver->watches, &watch->node);
    watch_ask(watch);
    return watch;
}

void net_watch_know(struct net_watch *watch, const struct net_address *addresses, unsigned count)
{
    if (watch == NULL)
        return;
    watch->count = count < NET_LOOKUP_ADDRESSES_MAX ? count : NET_LOOKUP_ADDRESSES_MAX;
    for (unsigned i = 0; i < watch->count; i++)
        watch->addresses[i] = addresses[i];
}

void net_watch_tell(struct net_watch *watch, const struct net_address *addresses, unsigned count)
{
    if (watch == NULL || watch_has(watch, addresses, count))
        return;
    net_watch_know(watch, addresses, count);
    watch->on_change(watch->arg, watch->addresses, watch->count);
}

void net_watch_set_interval(struct net_watch *watch, uint64_t interval_us)
{
    if (watch == NULL)
        return;
    const uint64_t latest_us = watch->resolver->loop->mono_us + interval_us;
    watch->interval_us = interval_us;
    /* The interval before may be an hour, of which most is still to come. */
    if (!watch->is_asked && watch->timer.due_us > latest_us)
        loop_timer_set(watch->resolver->loop, &watch->timer, latest_us);
}

void net_watch_hurry(struct net_watch *watch)
{
    if (watch == NULL || watch->is_asked || watch->is_hurried)
        return;
    watch->is_hurried = true;
    loop_timer_set(watch->resolver->loop, &watch->timer,
                   watch->resolver->loop->mono_us + NET_RESOLVE_HURRY_US);
}

void net_watch_free(struct net_watch *watch)
{
    if (watch == NULL)
        return;
    if (watch->is_asked)
        watch->is_gone = true;
    else
        watch_free_now(watch);
}

struct net_resolver *net_resolver_new(struct loop *loop)
{
    struct net_resolver *resolver = calloc(1, sizeof(*resolver));
    struct resolve_shared *shared = calloc(1, sizeof(*shared));
    if (resolver == NULL || shared == NULL) {
        free(resolver);
        free(shared);
        return NULL;
    }
    resolver->loop = loop;
    resolver->shared = shared;
    list_init(&resolver->watches);
    shared->refs = 1;
    shared->resolver = resolver;
    list_init(&shared->queries);
    list_init(&shared->answers);
    pthread_mutex_init(&shared->lock, NULL);
    pthread_cond_init(&shared->wake, NULL);
    return resolver;
}

void net_resolver_free(struct net_resolver *resolver)
{
    if (resolver == NULL)
        return;
    pthread_mutex_lock(&resolver->shared->lock);
    resolver->shared->resolver = NULL;
    pthread_cond_broadcast(&resolver->shared->wake);
    shared_unref(resolver->shared);
    LIST_EACH_SAFE (watch, &resolver->watches)
        watch_free_now(LIST_OF(watch, struct net_watch, node));
    free(resolver);
}
