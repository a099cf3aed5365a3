/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_orders.c - see upstream_orders.h.  A row holds once its order is written, which is last; so a process that dies
 * in between leaves no half of one. */
#include "upstream/upstream_orders.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

/* Names of servers are no secret and come from the configuration alone. */
static const struct hash_key ORDERS_KEY = {UINT64_C(0x736c756963650002),
                                           UINT64_C(0x6f72646572730000)};

struct row {
    _Atomic uint64_t lo, hi, at_us;
    atomic_uint order; /* NONE: the row is free */
};

struct upstream_orders {
    struct row rows[UPSTREAM_ORDERS_MAX];
};

struct upstream_orders *upstream_orders_new(void)
{
    void *memory = mmap(NULL, sizeof(struct upstream_orders), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void upstream_orders_free(struct upstream_orders *orders)
{
    if (orders != NULL)
        (void)munmap(orders, sizeof(*orders));
}

struct hash128 upstream_orders_key(struct span upstream, struct span server)
{
    const struct hash128 begin = hash_sip128(ORDERS_KEY, upstream.ptr, upstream.len);
    return hash_sip128((struct hash_key){begin.lo, begin.hi}, server.ptr, server.len);
}

/* What another process has written is looked at before it is believed. */
static bool row_read(const struct row *shared, struct upstream_orders_row *out)
{
    /* Loads of atomics want no const. */
    struct row *row = (struct row *)(uintptr_t)shared;
    const unsigned order = atomic_load_explicit(&row->order, memory_order_acquire);
    if (order == UPSTREAM_ORDER_NONE || order >= UPSTREAM_ORDER_COUNT)
        return false;
    out->key.lo = atomic_load_explicit(&row->lo, memory_order_relaxed);
    out->key.hi = atomic_load_explicit(&row->hi, memory_order_relaxed);
    out->ordered.order = (enum upstream_order)order;
    out->ordered.at_us = atomic_load_explicit(&row->at_us, memory_order_relaxed);
    return true;
}

bool upstream_orders_next(const struct upstream_orders *orders, unsigned *place,
                          struct upstream_orders_row *row)
{
    while (*place < UPSTREAM_ORDERS_MAX) {
        if (row_read(&orders->rows[(*place)++], row))
            return true;
    }
    return false;
}

/* The row of this key, or a free one; NULL: neither is there. */
static struct row *row_of(struct upstream_orders *orders, struct hash128 key)
{
    struct row *free_row = NULL;
    for (unsigned i = 0; i < UPSTREAM_ORDERS_MAX; i++) {
        struct upstream_orders_row row;
        const bool is_taken = row_read(&orders->rows[i], &row);
        if (is_taken && row.key.lo == key.lo && row.key.hi == key.hi)
            return &orders->rows[i];
        if (!is_taken && free_row == NULL)
            free_row = &orders->rows[i];
    }
    return free_row;
}

struct upstream_ordered upstream_orders_find(const struct upstream_orders *orders,
                                             struct hash128 key)
{
    struct upstream_orders_row row;
    unsigned place = 0;
    while (upstream_orders_next(orders, &place, &row)) {
        if (row.key.lo == key.lo && row.key.hi == key.hi)
            return row.ordered;
    }
    return (struct upstream_ordered){.order = UPSTREAM_ORDER_NONE};
}

bool upstream_orders_set(struct upstream_orders *orders, struct hash128 key,
                         struct upstream_ordered ordered)
{
    struct row *row = row_of(orders, key);
    if (row == NULL)
        return ordered.order == UPSTREAM_ORDER_NONE; /* it is not there, as it should be */
    atomic_store_explicit(&row->order, UPSTREAM_ORDER_NONE, memory_order_relaxed);
    atomic_store_explicit(&row->lo, key.lo, memory_order_release);
    atomic_store_explicit(&row->hi, key.hi, memory_order_release);
    atomic_store_explicit(&row->at_us, ordered.at_us, memory_order_release);
    atomic_store_explicit(&row->order, (unsigned)ordered.order, memory_order_release);
    return true;
}

void upstream_orders_keep(struct upstream_orders *orders,
                          bool (*is_known)(void *arg, struct hash128 key), void *arg)
{
    for (unsigned i = 0; i < UPSTREAM_ORDERS_MAX; i++) {
        struct upstream_orders_row row;
        if (row_read(&orders->rows[i], &row) && !is_known(arg, row.key))
            atomic_store_explicit(&orders->rows[i].order, UPSTREAM_ORDER_NONE,
                                  memory_order_release);
    }
}
