/* SPDX-License-Identifier: Apache-2.0 */
/* lease.c - what the workers of one process share: which store, its clock, the table of subjects. */
#include "lease/lease.h"

#include <assert.h>
#include <stdlib.h>

#include "lease/lease_private.h"
#include "store/store_memory.h"

struct lease *lease_new(struct store_memory *memory, const struct store_redis_conf *redis)
{
    assert((memory == NULL) != (redis == NULL));
    struct lease *lease = calloc(1, sizeof(*lease));
    if (lease == NULL)
        return NULL;
    pthread_mutex_init(&lease->desk_lock, NULL);
    pthread_mutex_init(&lease->sweep.lock, NULL);
    pthread_mutex_init(&lease->anew.lock, NULL);
    lease->memory = memory;
    if (lease_slots_init(&lease->slots, LEASE_SLOTS_SUBJECTS) != ERR_OK) {
        lease_free(lease);
        return NULL;
    }
    if (memory != NULL)
        return lease;
    lease->redis = store_redis_new(redis);
    if (lease->redis == NULL || lease_table_init(&lease->table, LEASE_SUBJECTS) != ERR_OK ||
        lease_notes_init(&lease->notes) != ERR_OK || !lease_sweep_init(lease)) {
        lease_free(lease);
        return NULL;
    }
    return lease;
}

void lease_free(struct lease *lease)
{
    if (lease == NULL)
        return;
    lease_slots_fini(&lease->slots);
    lease_sweep_fini(lease);
    lease_table_fini(&lease->table);
    lease_notes_fini(&lease->notes);
    store_redis_free(lease->redis);
    pthread_mutex_destroy(&lease->desk_lock);
    pthread_mutex_destroy(&lease->sweep.lock);
    pthread_mutex_destroy(&lease->anew.lock);
    free(lease);
}

void lease_on_event(struct lease *lease, void (*fn)(void *arg, const char *json), void *arg)
{
    if (lease->redis == NULL)
        return;
    lease->redis->on_event = fn;
    lease->redis->event_arg = arg;
}

uint64_t lease_subjects(const struct lease *lease, uint64_t *max)
{
    return lease->memory != NULL ? store_memory_subjects(lease->memory, max)
                                 : store_cells_count(&lease->table.subjects, max);
}

int64_t lease_clock_ahead_us(const struct lease *lease, const struct loop *loop)
{
    if (!atomic_load_explicit(&lease->has_clock, memory_order_acquire))
        return 0;
    return (int64_t)lease_now_us(lease, loop) - (int64_t)loop->wall_us;
}

void lease_get_status(struct lease *lease, struct lease_status *status)
{
    *status = (struct lease_status){0};
    status->subjects = lease_subjects(lease, &status->subjects_max);
    if (lease->memory != NULL) {
        status->workers = status->workers_up = atomic_load(&lease->workers);
        return;
    }
    status->workers = atomic_load(&lease->redis->routes);
    status->workers_up = atomic_load(&lease->redis->routes_up);
    status->fleet = atomic_load(&lease->redis->fleet);
    lease_sweep_count(lease, &status->leases, &status->leased);
}
