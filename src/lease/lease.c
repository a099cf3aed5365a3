/* SPDX-License-Identifier: Apache-2.0 */
/* lease.c - the door to quotas: the embedded store is asked at once. */
#include "lease/lease.h"

#include <stdlib.h>

#include "store/store_memory.h"

struct lease {
    struct store_memory *memory;
};

struct lease_worker {
    struct lease *lease;
    struct loop *loop;
};

struct lease *lease_new(struct store_memory *memory, const struct store_redis_conf *redis)
{
    struct lease *lease = calloc(1, sizeof(*lease));
    (void)redis;
    if (lease != NULL)
        lease->memory = memory;
    return lease;
}

void lease_free(struct lease *lease)
{
    free(lease);
}

struct lease_worker *lease_worker_new(struct lease *lease, struct loop *loop)
{
    struct lease_worker *worker = calloc(1, sizeof(*worker));
    if (worker != NULL) {
        worker->lease = lease;
        worker->loop = loop;
    }
    return worker;
}

void lease_worker_free(struct lease_worker *worker)
{
    free(worker);
}

bool lease_decide(struct lease_worker *worker, struct lease_ask *ask)
{
    unsigned overflowed = 0;
    uint64_t now_us = worker->loop->wall_us;
    (void)store_memory_charge(worker->lease->memory, ask->charges, ask->count, now_us, &overflowed);
    if (overflowed != 0)
        metrics_add(worker->loop->metrics, METRICS_STORE_OVERFLOW, overflowed);
    quota_decide(&ask->decision, ask->charges, ask->count, now_us);
    return true;
}

void lease_cancel(struct lease_worker *worker, struct lease_ask *ask)
{
    (void)worker;
    (void)ask;
}

void lease_get_status(struct lease *lease, struct lease_status *status)
{
    *status = (struct lease_status){0};
    status->subjects = store_memory_subjects(lease->memory, &status->subjects_max);
}
