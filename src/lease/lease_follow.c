/* SPDX-License-Identifier: Apache-2.0 */
/* lease_follow.c - requests that wait for a lease that is on its way already: one lease of a subject is asked for at
 * a time, by one worker of the process.  Takes: those who wait, in the order in which they came.  Gives: each another
 * look when a lease has come; the first that finds none asks for one, for all behind it.  Never: keeps anybody longer
 * than the decision timeout.
 *
 * A letter that is lost for want of memory lets its worker's followers wait until then. */
#include <string.h>

#include "lease/lease_private.h"

static struct list *list_of(struct lease_worker *worker, const uint8_t key[16])
{
    uint32_t at;
    memcpy(&at, key, sizeof(at)); /* a mac: spread evenly */
    return &worker->followers[at & (LEASE_FOLLOW_LISTS - 1)];
}

void lease_follow(struct lease_pending *pending, const uint8_t key[16])
{
    struct lease_worker *worker = pending->worker;
    memcpy(pending->followed, key, sizeof(pending->followed));
    pending->is_following = true;
    list_push_back(list_of(worker, key), &pending->follow);
    metrics_add(worker->loop->metrics, METRICS_LEASE_FOLLOWED, 1);
}

static uint64_t wanted_by(const struct lease_pending *pending)
{
    const struct lease_ask *ask = pending->ask;
    uint64_t cost = 0;
    for (unsigned i = 0; i < ask->count; i++) {
        if (memcmp(ask->charges[i].key, pending->followed, sizeof(pending->followed)) == 0)
            cost += ask->charges[i].cost;
    }
    return cost;
}

/* key: NULL, all of the list. */
static void gather(struct list *from, const uint8_t *key, struct list *to, uint64_t *wanted)
{
    LIST_EACH_SAFE (node, from) {
        struct lease_pending *pending = LIST_OF(node, struct lease_pending, follow);
        if (key != NULL && memcmp(pending->followed, key, sizeof(pending->followed)) != 0)
            continue;
        list_remove(node);
        list_push_back(to, node);
        *wanted += wanted_by(pending);
    }
}

/* Whoever is decided may cancel others of the list: they leave it. */
static void look_again(struct list *list, uint64_t wanted)
{
    while (!list_is_empty(list)) {
        struct lease_pending *pending = LIST_OF(list->next, struct lease_pending, follow);
        uint64_t own = wanted_by(pending);
        list_remove(&pending->follow);
        pending->is_following = false;
        wanted -= own < wanted ? own : wanted;
        if (!lease_fetch(pending, wanted))
            continue;
        lease_ask_done(pending);
        lease_pending_return(pending);
    }
}

void lease_follow_landed(struct lease_worker *worker, const uint8_t key[16])
{
    struct list list;
    uint64_t wanted = 0;
    list_init(&list);
    gather(list_of(worker, key), key, &list, &wanted);
    look_again(&list, wanted);
}

static void look_at_all(struct lease_worker *worker)
{
    for (unsigned i = 0; i < LEASE_FOLLOW_LISTS; i++) {
        struct list list;
        uint64_t wanted = 0;
        list_init(&list);
        gather(&worker->followers[i], NULL, &list, &wanted);
        look_again(&list, 0);
    }
}

static void read_mail(void *arg)
{
    struct lease_worker *worker = arg;
    struct lease *lease = worker->lease;
    uint8_t keys[LEASE_MAIL_MAX][16];
    pthread_mutex_lock(&lease->desk_lock);
    unsigned count = worker->mail.count;
    bool is_over = worker->mail.is_over;
    memcpy(keys, worker->mail.keys, count * sizeof(keys[0]));
    worker->mail.count = 0;
    worker->mail.is_over = worker->mail.is_posted = false;
    pthread_mutex_unlock(&lease->desk_lock);
    if (is_over)
        look_at_all(worker);
    for (unsigned i = 0; i < count && !is_over; i++)
        lease_follow_landed(worker, keys[i]);
}

/* Under desk_lock. */
static void put_mail(struct lease_worker *to, const uint8_t key[16])
{
    if (to->mail.count == LEASE_MAIL_MAX)
        to->mail.is_over = true;
    else
        memcpy(to->mail.keys[to->mail.count++], key, 16);
}

void lease_follow_tell(struct lease_worker *worker, const uint8_t key[16], uint64_t waiters)
{
    struct lease *lease = worker->lease;
    pthread_mutex_lock(&lease->desk_lock);
    for (unsigned i = 0; i < LEASE_WORKERS_MAX; i++) {
        struct lease_worker *to = lease->desks[i];
        if ((waiters >> i & 1) == 0 || to == NULL)
            continue;
        put_mail(to, key);
        if (to == worker)
            loop_task_schedule(worker->loop, &worker->read_mail);
        else if (!to->mail.is_posted)
            to->mail.is_posted = loop_post(to->loop, read_mail, to) == ERR_OK;
    }
    pthread_mutex_unlock(&lease->desk_lock);
}

void lease_follow_begin(struct lease_worker *worker)
{
    struct lease *lease = worker->lease;
    for (unsigned i = 0; i < LEASE_FOLLOW_LISTS; i++)
        list_init(&worker->followers[i]);
    loop_task_init(&worker->read_mail, read_mail, worker);
    pthread_mutex_lock(&lease->desk_lock);
    unsigned desk = 0;
    while (desk < LEASE_WORKERS_MAX && lease->desks[desk] != NULL)
        desk++;
    if (desk < LEASE_WORKERS_MAX)
        lease->desks[desk] = worker;
    worker->desk = desk;
    pthread_mutex_unlock(&lease->desk_lock);
}

void lease_follow_end(struct lease_worker *worker)
{
    struct lease *lease = worker->lease;
    pthread_mutex_lock(&lease->desk_lock);
    if (worker->desk < LEASE_WORKERS_MAX && lease->desks[worker->desk] == worker)
        lease->desks[worker->desk] = NULL;
    pthread_mutex_unlock(&lease->desk_lock);
    loop_task_cancel(&worker->read_mail);
}
