/* SPDX-License-Identifier: Apache-2.0 */
/* loop_log_ring.h - lines from one producer to one reader through shared memory; used by the log alone.
 * What is committed is visible whole or not at all, so a producer killed at any instruction leaves a
 * ring that can be read and written on. */
#ifndef SLUICE_LOOP_LOG_RING_H
#define SLUICE_LOOP_LOG_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base_span.h"

/* Positions run on and never wrap; a place in data is position % bytes.  Owner: the shared mapping.
 * Thread: one producer, one reader, each with its own cache line. */
struct loop_log_ring {
    uint32_t bytes; /* a power of two */
    int wake_fd;    /* eventfd: the reader is woken when an eighth is full */

    _Alignas(64) _Atomic uint64_t head;
    _Atomic uint64_t dropped;
    uint64_t begun;     /* where the line that is being written begins */
    uint64_t tail_seen; /* never ahead of tail */

    _Alignas(64) _Atomic uint64_t tail;
    uint64_t tail_next;                  /* what tail becomes when the reader commits */
    uint64_t dropped_told, dropped_next; /* of `dropped`, how many are accounted for */
    uint64_t left_until;                 /* what a previous process wrote ends here */
    atomic_bool is_woken;                /* and has not been at rest since */

    _Alignas(64) char data[];
};

size_t loop_log_ring_size(uint32_t bytes);
void loop_log_ring_init(struct loop_log_ring *ring, uint32_t bytes, int wake_fd);

/* A crashed process may have scribbled over anything: give up what cannot be read. */
void loop_log_ring_recover(struct loop_log_ring *ring);

/* The reader is about to wait: from here on it is woken again, unless it leaves more behind than it is woken for (then
 * its target is stalled, or it comes back soon by itself). */
void loop_log_ring_rest(struct loop_log_ring *ring);

/* How many bytes the reader has not taken yet.  Any thread. */
static inline uint64_t loop_log_ring_waiting(const struct loop_log_ring *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    return atomic_load_explicit(&ring->head, memory_order_acquire) - tail;
}

/* The line at *at, which is moved behind it; false when there is none before `until`. */
bool loop_log_ring_next(const struct loop_log_ring *ring, uint64_t *at, uint64_t until,
                        struct span *line);

#endif
