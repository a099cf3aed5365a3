/* SPDX-License-Identifier: Apache-2.0 */
/* net_lookup.c - takes: names.  Gives: answers of getaddrinfo, from threads that live as long as there are questions.  One that
 * waits for a dead name server is left behind, and cleans up when it is through. */
#include "net/net_lookup.h"

#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "loop/loop_thread.h"

/* How many threads live, those that were left behind too.  Owner: counted.  Freed by: the last of the owner and them. */
struct net_lookups {
    atomic_uint refs, living;
};

/* One question.  Owner: the batch, the host too.  Thread: who asks it; any, under the lock, once it is answered. */
struct lookup_question {
    char *host;
    struct net_lookup lookup;
};

/* Owner: counted.  Freed by: the last of the asker and the threads.  Thread: any, under the lock. */
struct lookup_batch {
    struct net_lookups *lookups; /* counted, one for each thread */
    pthread_mutex_t lock;
    pthread_cond_t answered;
    unsigned refs;
    unsigned count, next, open; /* questions; the first that nobody asks; those without an answer */
    struct lookup_question questions[];
};

int net_lookup_name(const char *host, uint16_t port,
                    struct net_address addresses[NET_LOOKUP_ADDRESSES_MAX], unsigned *count)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    const int result = getaddrinfo(host, NULL, &hints, &list);
    *count = 0;
    for (struct addrinfo *a = list; a != NULL && *count < NET_LOOKUP_ADDRESSES_MAX;
         a = a->ai_next) {
        net_address_from(&addresses[*count], a->ai_addr, a->ai_addrlen);
        net_address_set_port(&addresses[(*count)++], port);
    }
    if (list != NULL)
        freeaddrinfo(list);
    return result;
}

/* With the lock, which is gone afterwards. */
static void batch_unref(struct lookup_batch *batch)
{
    const bool is_last = --batch->refs == 0;
    pthread_mutex_unlock(&batch->lock);
    if (!is_last)
        return;
    for (unsigned i = 0; i < batch->count; i++)
        free(batch->questions[i].host);
    pthread_mutex_destroy(&batch->lock);
    pthread_cond_destroy(&batch->answered);
    free(batch);
}

static void *lookup_thread(void *arg)
{
    struct lookup_batch *batch = arg;
    pthread_mutex_lock(&batch->lock);
    while (batch->next < batch->count) {
        struct lookup_question *question = &batch->questions[batch->next++];
        struct net_lookup *lookup = &question->lookup;
        pthread_mutex_unlock(&batch->lock);
        const int result = net_lookup_name(question->host, 0, lookup->addresses, &lookup->count);
        pthread_mutex_lock(&batch->lock);
        lookup->result = result;
        lookup->is_answered = true;
        if (--batch->open == 0)
            pthread_cond_signal(&batch->answered);
    }
    struct net_lookups *lookups = batch->lookups;
    batch_unref(batch);
    atomic_fetch_sub(&lookups->living, 1);
    net_lookups_free(lookups);
    return NULL;
}

static struct lookup_batch *batch_new(struct net_lookups *lookups, const struct net_lookup *list,
                                      unsigned count)
{
    struct lookup_batch *batch = calloc(1, sizeof(*batch) + count * sizeof(batch->questions[0]));
    pthread_condattr_t attr;
    if (batch == NULL)
        return NULL;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&batch->lock, NULL);
    pthread_cond_init(&batch->answered, &attr);
    pthread_condattr_destroy(&attr);
    batch->refs = 1;
    batch->lookups = lookups;
    for (; batch->count < count; batch->count++) {
        struct lookup_question *question = &batch->questions[batch->count];
        question->host = strndup(list[batch->count].host.ptr, list[batch->count].host.len);
        if (question->host == NULL)
            break; /* the others are asked */
    }
    batch->open = batch->count;
    return batch;
}

/* False: none of its threads runs. */
static bool batch_start(struct lookup_batch *batch)
{
    struct net_lookups *lookups = batch->lookups;
    for (unsigned i = 0; i < batch->count; i++) {
        pthread_t thread;
        if (atomic_fetch_add(&lookups->living, 1) >= NET_LOOKUP_THREADS_MAX)
            goto enough;
        batch->refs++;
        atomic_fetch_add(&lookups->refs, 1);
        if (loop_thread_start(&thread, "sluice-lookup", lookup_thread, batch) != ERR_OK)
            goto failed;
        pthread_detach(thread);
    }
    return true;
failed:
    batch->refs--;
    atomic_fetch_sub(&lookups->refs, 1);
enough:
    atomic_fetch_sub(&lookups->living, 1);
    return batch->refs > 1;
}

static void batch_wait(struct lookup_batch *batch, uint64_t patience_us)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    const uint64_t nsec = (uint64_t)until.tv_nsec + patience_us % 1000000 * 1000;
    until.tv_sec += (time_t)(patience_us / 1000000 + nsec / 1000000000);
    until.tv_nsec = (long)(nsec % 1000000000);
    while (batch->open != 0 && pthread_cond_timedwait(&batch->answered, &batch->lock, &until) == 0)
        continue;
}

void net_lookup_all(struct net_lookups *lookups, struct net_lookup *list, unsigned count,
                    uint64_t patience_us)
{
    struct lookup_batch *batch = count == 0 ? NULL : batch_new(lookups, list, count);
    for (unsigned i = 0; i < count; i++) {
        list[i].is_answered = false;
        list[i].count = 0;
    }
    if (batch == NULL)
        return;
    pthread_mutex_lock(&batch->lock); /* no thread asks before all are counted */
    if (batch_start(batch))
        batch_wait(batch, patience_us);
    for (unsigned i = 0; i < batch->count; i++) {
        if (!batch->questions[i].lookup.is_answered)
            continue;
        const struct span host = list[i].host;
        list[i] = batch->questions[i].lookup;
        list[i].host = host;
    }
    batch->next = batch->count; /* what nobody has asked yet nobody wants */
    batch_unref(batch);
}

struct net_lookups *net_lookups_new(void)
{
    struct net_lookups *lookups = calloc(1, sizeof(*lookups));
    if (lookups != NULL)
        atomic_init(&lookups->refs, 1);
    return lookups;
}

void net_lookups_free(struct net_lookups *lookups)
{
    if (lookups != NULL && atomic_fetch_sub(&lookups->refs, 1) == 1)
        free(lookups);
}
