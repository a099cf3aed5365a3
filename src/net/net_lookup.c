/* SPDX-License-Identifier: Apache-2.0 */
/* net_lookup.c - takes: names.  Gives: answers of getaddrinfo, from threads that live as long as there are questions.  One that
 * waits for a dead name server is left behind, and cleans up when it is through. */
#include "net/net_lookup.h"

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "loop/loop_thread.h"

/* One question.  host: the batch's. */
struct lookup_question {
    char *host;
    bool is_answered;
    struct net_lookup lookup;
};

/* Owner: counted.  Freed by: the last of the asker and the threads.  Thread: any, under the lock. */
struct lookup_batch {
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
        struct sockaddr_storage sockaddr = {0};
        memcpy(&sockaddr, a->ai_addr, a->ai_addrlen);
        if (sockaddr.ss_family == AF_INET)
            ((struct sockaddr_in *)&sockaddr)->sin_port = htons(port);
        else
            ((struct sockaddr_in6 *)&sockaddr)->sin6_port = htons(port);
        net_address_from(&addresses[(*count)++], (struct sockaddr *)&sockaddr, a->ai_addrlen);
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
        const int result =
            net_lookup_name(question->host, lookup->port, lookup->addresses, &lookup->count);
        pthread_mutex_lock(&batch->lock);
        lookup->result = result;
        question->is_answered = true;
        if (--batch->open == 0)
            pthread_cond_signal(&batch->answered);
    }
    batch_unref(batch);
    return NULL;
}

static struct lookup_batch *batch_new(const struct net_lookup *lookups, unsigned count)
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
    for (; batch->count < count; batch->count++) {
        struct lookup_question *question = &batch->questions[batch->count];
        question->host = strndup(lookups[batch->count].host.ptr, lookups[batch->count].host.len);
        question->lookup.port = lookups[batch->count].port;
        if (question->host == NULL)
            break; /* the others are asked */
    }
    batch->open = batch->count;
    return batch;
}

/* False: no thread runs. */
static bool batch_start(struct lookup_batch *batch)
{
    const unsigned most =
        batch->count < NET_LOOKUP_THREADS_MAX ? batch->count : NET_LOOKUP_THREADS_MAX;
    for (unsigned i = 0; i < most; i++) {
        pthread_t thread;
        batch->refs++;
        if (loop_thread_start(&thread, "sluice-lookup", lookup_thread, batch) != ERR_OK) {
            batch->refs--;
            return i != 0;
        }
        pthread_detach(thread);
    }
    return true;
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

void net_lookup_all(struct net_lookup *lookups, unsigned count, uint64_t patience_us)
{
    struct lookup_batch *batch = count == 0 ? NULL : batch_new(lookups, count);
    for (unsigned i = 0; i < count; i++) {
        lookups[i].result = EAI_AGAIN;
        lookups[i].count = 0;
    }
    if (batch == NULL)
        return;
    pthread_mutex_lock(&batch->lock); /* no thread asks before all are counted */
    if (batch_start(batch))
        batch_wait(batch, patience_us);
    for (unsigned i = 0; i < batch->count; i++) {
        if (!batch->questions[i].is_answered)
            continue;
        const struct span host = lookups[i].host;
        lookups[i] = batch->questions[i].lookup;
        lookups[i].host = host;
    }
    batch->next = batch->count; /* what nobody has asked yet nobody wants */
    batch_unref(batch);
}
