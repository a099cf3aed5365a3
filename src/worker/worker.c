/* SPDX-License-Identifier: Apache-2.0 */
/* worker.c - one serving thread.  Takes: orders by mail, each answered before the caller goes on, but for drain.
 * Gives: traffic served.  The main thread never touches what a worker owns. */
#include "worker/worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base_log.h"
#include "client/client.h"
#include "loop/loop_thread.h"
#include "net/net_listener.h"

/* One listening socket and the door its connections remember.  Owner: the worker's list.  Freed by:
 * worker_listener_free.  Thread: the worker's. */
struct worker_listener {
    struct worker *worker;
    struct list node;
    struct net_listener *listener;
    struct client_door *door;
    int fd;
    struct client_door *next_door; /* by the prepared plan; NULL: it has no such listener */
};

/* Owner: the main thread.  Freed by: worker_stop.  Thread: the worker's, but for `shared` and what is
 * const after worker_start. */
struct worker {
    unsigned index;
    struct worker_env env;
    pthread_t thread;
    struct loop *loop;
    struct net_resolver *resolver;
    struct upstream_set *upstreams;
    struct lease_worker *lease;
    struct exchange_env exchanges;
    struct client_env clients;
    struct list listeners;
    bool is_held; /* nothing is accepted yet */
    struct {
        struct exchange_snapshot *snapshot; /* NULL: nothing is prepared */
        struct list listeners;              /* those that are opened for it */
        bool is_wanted;
    } next;
    /* the main thread's until they are posted */
    struct loop_letter *settle_letter, *drain_letter, *give_way_letter, *go_letter;
    struct loop_timer drain_timer;
    struct {
        pthread_mutex_t lock;
        pthread_cond_t answered;
        bool is_answered;
        enum err answer;
    } shared;
    atomic_bool is_draining, is_idle;
    atomic_uint owed;
    _Atomic uint32_t ping, pong;
};

/* An order and its arguments; lives on the caller's stack until it is answered. */
struct worker_order {
    struct worker *worker;
    struct plan *plan;
    const struct worker_listeners *listeners;
};

/* ---- listeners ---- */

static void worker_on_accept(void *arg, int fd, const struct net_address *peer)
{
    struct worker_listener *listener = arg;
    client_accept(&listener->worker->clients, listener->door, fd, peer);
}

static void worker_on_closed(void *arg)
{
    struct worker *worker = arg;
    LIST_EACH (node, &worker->listeners)
        net_listener_resume(LIST_OF(node, struct worker_listener, node)->listener);
}

static void worker_listener_free(struct worker_listener *listener)
{
    list_remove(&listener->node);
    net_listener_free(listener->listener);
    client_door_unref(listener->door);
    free(listener);
}

static struct worker_listener *worker_find_listener(struct worker *worker, int fd)
{
    LIST_EACH (node, &worker->listeners) {
        struct worker_listener *listener = LIST_OF(node, struct worker_listener, node);
        if (listener->fd == fd)
            return listener;
    }
    return NULL;
}

/* It accepts from now on, unless the worker is held, so that nothing can fail later; what comes before the plan is settled is
 * served by the old. */
static enum err worker_open_listener(struct worker *worker, int fd,
                                     const struct plan_listener *conf)
{
    struct worker_listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL)
        return ERR_NOMEM;
    list_init(&listener->node);
    listener->worker = worker;
    listener->fd = fd;
    listener->door = client_door_new(conf);
    if (listener->door != NULL)
        listener->listener = net_listener_new(worker->loop, fd, worker_on_accept, listener);
    if (listener->listener == NULL) {
        client_door_unref(listener->door);
        free(listener);
        return ERR_NOMEM;
    }
    if (worker->is_held)
        net_listener_hold(listener->listener);
    list_push_back(&worker->next.listeners, &listener->node);
    return ERR_OK;
}

/* ---- the next plan ---- */

static void worker_forget_next(struct worker *worker)
{
    LIST_EACH (node, &worker->listeners) {
        struct worker_listener *listener = LIST_OF(node, struct worker_listener, node);
        client_door_unref(listener->next_door);
        listener->next_door = NULL;
    }
    LIST_EACH_SAFE (node, &worker->next.listeners) {
        struct worker_listener *listener = LIST_OF(node, struct worker_listener, node);
        list_remove(&listener->node);
        net_listener_give_back(listener->listener);
        client_door_unref(listener->door);
        free(listener);
    }
    exchange_snapshot_unref(&worker->next.snapshot);
}

/* A kept listener may have a new name: its later connections come through a new door. */
static enum err worker_make_next(struct worker *worker, struct plan *plan,
                                 const struct worker_listeners *listeners)
{
    worker->next.snapshot = exchange_snapshot_new(plan, worker->upstreams);
    if (worker->next.snapshot == NULL)
        return ERR_NOMEM;
    for (unsigned i = 0; i < listeners->count; i++) {
        struct worker_listener *open = worker_find_listener(worker, listeners->fds[i]);
        enum err err = ERR_OK;
        if (open == NULL)
            err = worker_open_listener(worker, listeners->fds[i], &plan->listeners[i]);
        else if ((open->next_door = client_door_new(&plan->listeners[i])) == NULL)
            err = ERR_NOMEM;
        if (err != ERR_OK) {
            worker_forget_next(worker);
            return err;
        }
    }
    return ERR_OK;
}

static void worker_take_next(struct worker *worker)
{
    if (worker->exchanges.snapshot != NULL)
        lease_worker_return_all(worker->lease);
    exchange_snapshot_unref(&worker->exchanges.snapshot);
    worker->exchanges.snapshot = worker->next.snapshot;
    worker->next.snapshot = NULL;
    exchange_snapshot_enter(worker->exchanges.snapshot);
    exchange_top_adopt(worker->exchanges.top, worker->exchanges.snapshot->plan);
    LIST_EACH_SAFE (node, &worker->listeners) {
        struct worker_listener *listener = LIST_OF(node, struct worker_listener, node);
        if (listener->next_door == NULL) {
            worker_listener_free(listener);
            continue;
        }
        client_door_unref(listener->door);
        listener->door = listener->next_door;
        listener->next_door = NULL;
    }
    LIST_EACH_SAFE (node, &worker->next.listeners) {
        list_remove(node);
        list_push_back(&worker->listeners, node);
    }
}

/* ---- orders ---- */

static void worker_answer(struct worker *worker, enum err answer)
{
    pthread_mutex_lock(&worker->shared.lock);
    worker->shared.is_answered = true;
    worker->shared.answer = answer;
    pthread_cond_signal(&worker->shared.answered);
    pthread_mutex_unlock(&worker->shared.lock);
}

static enum err worker_ask(struct worker *worker, struct loop_letter **letter)
{
    worker->shared.is_answered = false;
    loop_letter_post(worker->loop, letter);
    pthread_mutex_lock(&worker->shared.lock);
    while (!worker->shared.is_answered)
        pthread_cond_wait(&worker->shared.answered, &worker->shared.lock);
    pthread_mutex_unlock(&worker->shared.lock);
    return worker->shared.answer;
}

static void worker_on_prepare(void *arg)
{
    struct worker_order *order = arg;
    worker_answer(order->worker, worker_make_next(order->worker, order->plan, order->listeners));
}

static void worker_on_settle(void *arg)
{
    struct worker *worker = arg;
    if (worker->next.is_wanted)
        worker_take_next(worker);
    else
        worker_forget_next(worker);
    worker_answer(worker, ERR_OK);
}

enum err worker_prepare(struct worker *worker, struct plan *plan,
                        const struct worker_listeners *listeners)
{
    struct worker_order order = {worker, plan, listeners};
    struct loop_letter *letter = loop_letter_new(worker_on_prepare, &order);
    worker->settle_letter = loop_letter_new(worker_on_settle, worker);
    enum err err =
        letter == NULL || worker->settle_letter == NULL ? ERR_NOMEM : worker_ask(worker, &letter);
    loop_letter_free(letter);
    if (err != ERR_OK) {
        loop_letter_free(worker->settle_letter);
        worker->settle_letter = NULL;
    }
    return err;
}

void worker_settle(struct worker *worker, bool is_wanted)
{
    worker->next.is_wanted = is_wanted;
    (void)worker_ask(worker, &worker->settle_letter);
}

struct worker_looking {
    struct worker *worker;
    void (*look)(const struct exchange_env *exchanges, void *arg);
    void *arg;
};

static void worker_on_look(void *arg)
{
    const struct worker_looking *looking = arg;
    looking->look(&looking->worker->exchanges, looking->arg);
    worker_answer(looking->worker, ERR_OK);
}

enum err worker_look(struct worker *worker,
                     void (*look)(const struct exchange_env *exchanges, void *arg), void *arg)
{
    struct worker_looking looking = {worker, look, arg};
    struct loop_letter *letter = loop_letter_new(worker_on_look, &looking);
    return letter == NULL ? ERR_NOMEM : worker_ask(worker, &letter);
}

/* ---- signs of life ---- */

static void worker_on_ping(void *arg)
{
    struct worker *worker = arg;
    atomic_store(&worker->pong, atomic_load(&worker->ping));
}

bool worker_ping(struct worker *worker, uint32_t number)
{
    struct loop_letter *letter = loop_letter_new(worker_on_ping, worker);
    if (letter == NULL)
        return false;
    atomic_store(&worker->ping, number);
    loop_letter_post(worker->loop, &letter);
    return true;
}

uint32_t worker_pong(const struct worker *worker)
{
    return atomic_load(&worker->pong);
}

/* ---- accepting ---- */

static void worker_on_go(void *arg)
{
    struct worker *worker = arg;
    worker->is_held = false;
    LIST_EACH (node, &worker->listeners)
        net_listener_go(LIST_OF(node, struct worker_listener, node)->listener);
    LIST_EACH (node, &worker->next.listeners)
        net_listener_go(LIST_OF(node, struct worker_listener, node)->listener);
}

void worker_go(struct worker *worker)
{
    if (worker->go_letter != NULL)
        loop_letter_post(worker->loop, &worker->go_letter);
}

/* ---- draining ---- */

static void worker_on_give_way(void *arg)
{
    struct worker *worker = arg;
    worker->clients.is_draining = worker->clients.is_patient = true;
    LIST_EACH_SAFE (node, &worker->listeners) {
        struct worker_listener *listener = LIST_OF(node, struct worker_listener, node);
        net_listener_give_back(listener->listener);
        listener->listener = NULL;
        close(listener->fd);
        worker_listener_free(listener);
    }
}

void worker_give_way(struct worker *worker)
{
    if (worker->give_way_letter != NULL)
        loop_letter_post(worker->loop, &worker->give_way_letter);
}

static void worker_look_if_idle(struct worker *worker)
{
    if (worker->clients.count == 0 && lease_worker_leave(worker->lease))
        atomic_store(&worker->is_idle, true);
}

static void worker_on_drain_tick(void *arg)
{
    struct worker *worker = arg;
    atomic_store(&worker->owed, client_owed(&worker->clients));
    worker_look_if_idle(worker);
    if (!atomic_load(&worker->is_idle))
        loop_timer_set(worker->loop, &worker->drain_timer,
                       worker->loop->mono_us + LOOP_TICK_US / 2);
}

static void worker_on_drain(void *arg)
{
    struct worker *worker = arg;
    worker->clients.is_draining = true;
    LIST_EACH_SAFE (node, &worker->listeners)
        worker_listener_free(LIST_OF(node, struct worker_listener, node));
    client_drain(&worker->clients);
    worker_on_drain_tick(worker);
}

void worker_drain(struct worker *worker)
{
    if (!atomic_exchange(&worker->is_draining, true))
        loop_letter_post(worker->loop, &worker->drain_letter);
}

bool worker_is_idle(const struct worker *worker)
{
    return atomic_load(&worker->is_idle);
}

unsigned worker_owed(const struct worker *worker)
{
    return atomic_load(&worker->owed);
}

/* ---- the thread ---- */

static void *worker_thread(void *arg)
{
    struct worker *worker = arg;
    loop_run(worker->loop);
    client_close_all(&worker->clients);
    return NULL;
}

static void worker_free(struct worker *worker)
{
    if (worker->loop != NULL)
        LIST_EACH_SAFE (node, &worker->listeners)
            worker_listener_free(LIST_OF(node, struct worker_listener, node));
    if (worker->clients.exchanges != NULL) {
        client_close_all(&worker->clients);
        client_env_fini(&worker->clients);
        exchange_env_fini(&worker->exchanges);
    }
    lease_worker_free(worker->lease);
    if (worker->upstreams != NULL)
        upstream_set_close_idle(worker->upstreams);
    upstream_set_free(worker->upstreams);
    net_resolver_free(worker->resolver);
    loop_letter_free(worker->drain_letter);
    loop_letter_free(worker->give_way_letter);
    loop_letter_free(worker->go_letter);
    loop_free(worker->loop);
    pthread_mutex_destroy(&worker->shared.lock);
    pthread_cond_destroy(&worker->shared.answered);
    free(worker);
}

static enum err worker_init(struct worker *worker, struct plan *plan,
                            const struct worker_listeners *listeners)
{
    struct metrics_block *metrics = metrics_registry_add_block(worker->env.metrics);
    if (metrics != NULL)
        worker->loop = loop_new(metrics);
    if (worker->loop == NULL)
        return ERR_NOMEM;
    loop_timer_init(&worker->drain_timer, worker_on_drain_tick, worker);
    worker->resolver = net_resolver_new(worker->loop);
    if (worker->resolver != NULL)
        worker->upstreams = upstream_set_new(worker->loop, worker->resolver, worker->env.places,
                                             worker->env.health);
    worker->lease = lease_worker_new(worker->env.lease, worker->loop);
    if (worker->upstreams == NULL || worker->lease == NULL)
        return ERR_NOMEM;
    enum err err = exchange_env_init(&worker->exchanges, worker->loop, worker->env.metrics);
    if (err != ERR_OK)
        return err;
    worker->exchanges.ring = loop_log_ring(worker->env.log, worker->index);
    worker->exchanges.lease = worker->lease;
    worker->exchanges.upstreams = worker->upstreams;
    worker->exchanges.verified = worker->env.verified;
    worker->exchanges.body_bytes = worker->env.body_bytes;
    const struct client_shared shared = {worker->env.connections, worker->env.head_bytes,
                                         worker->env.addresses, worker->env.tickets};
    err = client_env_init(&worker->clients, &worker->exchanges, &shared);
    if (err != ERR_OK)
        return err;
    worker->clients.on_closed = worker_on_closed;
    worker->clients.on_closed_arg = worker;
    worker->drain_letter = loop_letter_new(worker_on_drain, worker);
    worker->give_way_letter = loop_letter_new(worker_on_give_way, worker);
    worker->go_letter = loop_letter_new(worker_on_go, worker);
    bool has_letters = worker->drain_letter != NULL && worker->give_way_letter != NULL &&
                       worker->go_letter != NULL;
    err = has_letters ? worker_make_next(worker, plan, listeners) : ERR_NOMEM;
    if (err == ERR_OK)
        worker_take_next(worker);
    return err;
}

struct worker *worker_start(unsigned index, const struct worker_env *env, struct plan *plan,
                            const struct worker_listeners *listeners)
{
    char name[16];
    struct worker *worker = calloc(1, sizeof(*worker));
    if (worker == NULL)
        return NULL;
    worker->index = index;
    worker->env = *env;
    worker->is_held = env->is_held;
    list_init(&worker->listeners);
    list_init(&worker->next.listeners);
    pthread_mutex_init(&worker->shared.lock, NULL);
    pthread_cond_init(&worker->shared.answered, NULL);
    if (worker_init(worker, plan, listeners) != ERR_OK) {
        worker_free(worker);
        return NULL;
    }
    snprintf(name, sizeof(name), "sluice-%u", index);
    if (loop_thread_start(&worker->thread, name, worker_thread, worker) != ERR_OK) {
        log_error("cannot start worker %u: %s", index, strerror(errno));
        worker_free(worker);
        return NULL;
    }
    return worker;
}

void worker_stop(struct worker **taken)
{
    struct worker *worker = *taken;
    if (worker == NULL)
        return;
    *taken = NULL;
    loop_stop(worker->loop);
    pthread_join(worker->thread, NULL);
    worker_free(worker);
}
