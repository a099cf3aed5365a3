/* SPDX-License-Identifier: Apache-2.0 */
/* loop_log_tap.c - see loop_log_tap.h.  The ring is the one that workers have; it wakes nobody, since who watches comes by
 * himself. */
#include "loop/loop_log_tap.h"

#include <stdlib.h>
#include <string.h>

#include "loop/loop_log_private.h"

enum err loop_log_tap_open(struct loop_log *log)
{
    struct loop_log_tap *tap = &log->tap;
    if (tap->ring == NULL) {
        size_t bytes = (loop_log_ring_size(LOOP_LOG_TAP_BYTES) + 63) & ~(size_t)63;
        tap->ring = aligned_alloc(64, bytes);
        if (tap->ring == NULL)
            return ERR_NOMEM;
        loop_log_ring_init(tap->ring, LOOP_LOG_TAP_BYTES, -1);
        atomic_store_explicit(&tap->ring->is_woken, true, memory_order_relaxed);
    }
    if (atomic_load_explicit(&tap->is_open, memory_order_relaxed))
        return ERR_OK;
    /* What is left of the last time is of no interest. */
    loop_log_tap_done(log, atomic_load_explicit(&tap->ring->head, memory_order_acquire));
    tap->told = atomic_load_explicit(&tap->ring->dropped, memory_order_relaxed);
    atomic_store_explicit(&tap->is_open, true, memory_order_release);
    return ERR_OK;
}

void loop_log_tap_close(struct loop_log *log)
{
    atomic_store_explicit(&log->tap.is_open, false, memory_order_relaxed);
}

bool loop_log_tap_next(struct loop_log *log, uint64_t *at, struct span *line)
{
    struct loop_log_ring *ring = log->tap.ring;
    if (*at == 0)
        *at = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    return loop_log_ring_next(ring, at, atomic_load_explicit(&ring->head, memory_order_acquire),
                              line);
}

void loop_log_tap_done(struct loop_log *log, uint64_t at)
{
    if (at != 0)
        atomic_store_explicit(&log->tap.ring->tail, at, memory_order_release);
}

uint64_t loop_log_tap_lost(struct loop_log *log)
{
    uint64_t dropped = atomic_load_explicit(&log->tap.ring->dropped, memory_order_relaxed);
    uint64_t lost = dropped - log->tap.told;
    log->tap.told = dropped;
    return lost;
}

void loop_log_tap_put(struct loop_log_tap *tap, struct span line)
{
    if (!atomic_load_explicit(&tap->is_open, memory_order_acquire))
        return;
    char *at = loop_log_begin(tap->ring, line.len);
    if (at == NULL)
        return;
    memcpy(at, line.ptr, line.len);
    loop_log_commit(tap->ring, line.len);
}

void loop_log_tap_fini(struct loop_log_tap *tap)
{
    free(tap->ring);
    tap->ring = NULL;
}
