/* SPDX-License-Identifier: Apache-2.0 */
/* loop_log_ring.c - see loop_log_ring.h.  A record is its length (4 bytes), 4 spare bytes and the line,
 * padded to 8; a record never lies across the ring's end, a mark there says "go on at the beginning".
 * Takes: lines.  Gives: lines.  Never blocks, never allocates. */
#include "loop/loop_log_ring.h"

#include <errno.h>
#include <unistd.h>

#include "loop/loop_log.h"

#define RING_HEAD_BYTES 8
#define RING_WRAP       UINT32_MAX

static uint64_t ring_round(uint64_t bytes)
{
    return (bytes + 7) & ~UINT64_C(7);
}

size_t loop_log_ring_size(uint32_t bytes)
{
    return sizeof(struct loop_log_ring) + bytes;
}

void loop_log_ring_init(struct loop_log_ring *ring, uint32_t bytes, int wake_fd)
{
    memset(ring, 0, sizeof(*ring));
    ring->bytes = bytes;
    ring->wake_fd = wake_fd;
}

static bool ring_is_sound(const struct loop_log_ring *ring, uint64_t head, uint64_t tail)
{
    struct span line;
    if (head - tail > ring->bytes || (head | tail) % 8 != 0)
        return false;
    while (tail < head)
        if (!loop_log_ring_next(ring, &tail, head, &line))
            return false;
    return true;
}

void loop_log_ring_recover(struct loop_log_ring *ring)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (!ring_is_sound(ring, head, tail)) {
        head = ring_round(head);
        atomic_store_explicit(&ring->head, head, memory_order_relaxed);
        atomic_store_explicit(&ring->tail, head, memory_order_release);
        atomic_fetch_add_explicit(&ring->dropped, 1, memory_order_relaxed);
    }
    ring->left_until = head;
    atomic_store_explicit(&ring->is_woken, false, memory_order_relaxed);
}

/* The place of a position in data. */
static inline uint64_t ring_place(const struct loop_log_ring *ring, uint64_t position)
{
    return position & (ring->bytes - 1);
}

char *loop_log_begin(struct loop_log_ring *ring, size_t max)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t want = ring_round(RING_HEAD_BYTES + max);
    uint64_t to_end = ring->bytes - ring_place(ring, head);
    uint64_t need = want <= to_end ? want : to_end + want;
    if (want > ring->bytes / 2)
        goto full;
    if (ring->bytes - (head - ring->tail_seen) < need) {
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (ring->bytes - (head - ring->tail_seen) < need)
            goto full;
    }
    ring->begun = head;
    if (want > to_end) {
        const uint32_t wrap = RING_WRAP;
        memcpy(ring->data + ring_place(ring, head), &wrap, sizeof(wrap));
        ring->begun += to_end;
    }
    return ring->data + ring_place(ring, ring->begun) + RING_HEAD_BYTES;
full:
    atomic_fetch_add_explicit(&ring->dropped, 1, memory_order_relaxed);
    return NULL;
}

static inline uint64_t ring_wakes_at(const struct loop_log_ring *ring)
{
    return ring->bytes / 8;
}

static __attribute__((noinline)) void ring_wake(struct loop_log_ring *ring)
{
    const uint64_t one = 1;
    atomic_store_explicit(&ring->is_woken, true, memory_order_relaxed);
    while (write(ring->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
}

void loop_log_commit(struct loop_log_ring *ring, size_t len)
{
    uint32_t stored = (uint32_t)len;
    uint64_t head = ring->begun + ring_round(RING_HEAD_BYTES + len);
    memcpy(ring->data + ring_place(ring, ring->begun), &stored, sizeof(stored));
    atomic_store_explicit(&ring->head, head, memory_order_release);
    /* A system call for some hundred lines, and only under a burst: what is left of the ring is for the time that
     * the reader waits for a processor. */
    if (head - ring->tail_seen > ring_wakes_at(ring) &&
        !atomic_load_explicit(&ring->is_woken, memory_order_relaxed)) {
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (head - ring->tail_seen > ring_wakes_at(ring))
            ring_wake(ring);
    }
}

void loop_log_ring_rest(struct loop_log_ring *ring)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (head - tail <= ring_wakes_at(ring))
        atomic_store_explicit(&ring->is_woken, false, memory_order_relaxed);
}

bool loop_log_ring_next(const struct loop_log_ring *ring, uint64_t *at, uint64_t until,
                        struct span *line)
{
    while (*at < until) {
        uint64_t place = ring_place(ring, *at);
        uint32_t len;
        memcpy(&len, ring->data + place, sizeof(len));
        if (len == RING_WRAP) {
            *at += ring->bytes - place;
            continue;
        }
        if (len > ring->bytes - place - RING_HEAD_BYTES ||
            ring_round(RING_HEAD_BYTES + (uint64_t)len) > until - *at) {
            *at = until; /* damaged: nothing behind it can be trusted */
            return false;
        }
        *line = (struct span){ring->data + place + RING_HEAD_BYTES, len};
        *at += ring_round(RING_HEAD_BYTES + (uint64_t)len);
        return true;
    }
    return false;
}
