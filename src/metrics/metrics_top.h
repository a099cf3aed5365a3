/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_top.h - who takes most of one quota, in bounded memory.  Takes: a key for each decision, and whether it was
 * refused.  Gives: the keys that came most often, each with counts that are never too high and with the most that may be
 * missing in them.  Pure: the time is an argument.  Never: allocates after metrics_top_new, locks.
 *
 * It is Space-Saving (A. Metwally, D. Agrawal, A. El Abbadi: "Efficient computation of frequent and top-k elements in data
 * streams", ICDT 2005): a key that is not in the full table takes the place of one with the least weight, and that weight is
 * what may be missing in its counts.  With N decisions seen and M = METRICS_TOP_KEYS places:
 *   - every key that came more than N / M times is in the table;
 *   - counted <= true number <= counted + missing, and missing <= N / M.
 * Tables of several workers add up (P. Agarwal et al., "Mergeable summaries", PODS 2012): so do their bounds.
 *
 * Old decisions leave by panes: counts go to one table for METRICS_TOP_PANE_US, then to another that is empty, and the one
 * before is still read.  So what is told is of the last 1 to 2 panes, in whole requests that can be found in a log, where a
 * count that decays by halves could not. */
#ifndef SLUICE_METRICS_METRICS_TOP_H
#define SLUICE_METRICS_METRICS_TOP_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/base_span.h"

#define METRICS_TOP_KEYS      256 /* M */
#define METRICS_TOP_HEADS     512 /* a power of two */
#define METRICS_TOP_KEY_BYTES 16
#define METRICS_TOP_TEXT_MAX  80 /* of a subject; a longer one is cut */
#define METRICS_TOP_PANES     2
#define METRICS_TOP_PANE_US   150000000
#define METRICS_TOP_NOBODY    UINT16_MAX

/* What is known of one key. */
struct metrics_top_row {
    uint8_t key[METRICS_TOP_KEY_BYTES];
    uint32_t admitted, refused; /* since it is in the table */
    uint32_t missing;           /* at most so many more came before */
    uint16_t next;              /* of its chain */
    uint8_t tag;                /* the caller's word for it */
    bool is_cut;
    uint8_t text_len;
    char text[METRICS_TOP_TEXT_MAX];
};

struct metrics_top_pane {
    uint64_t seen; /* N */
    uint64_t began_us;
    uint32_t least; /* no weight is below it */
    uint32_t next_least;
    uint16_t count, hand; /* the hand goes round the weights */
    uint16_t heads[METRICS_TOP_HEADS];
    uint32_t weights[METRICS_TOP_KEYS]; /* admitted + refused + missing */
    struct metrics_top_row rows[METRICS_TOP_KEYS];
};

/* Owner: a worker.  Freed by: metrics_top_free.  Thread: the worker's. */
struct metrics_top {
    uint64_t until_us; /* monotonic: the pane in use is full then; 0: none is in use */
    unsigned now;      /* index of the pane in use */
    struct metrics_top_pane panes[METRICS_TOP_PANES];
};

/* NULL: no memory. */
struct metrics_top *metrics_top_new(void);
void metrics_top_free(struct metrics_top *top);

/* Forget what is too old.  Before it is read; counting does it by itself. */
void metrics_top_turn(struct metrics_top *top, uint64_t mono_us);

/* Keys are keyed hashes: any bits of them are as good as others. */
static inline unsigned metrics_top_head(const uint8_t *key)
{
    uint16_t bits;
    memcpy(&bits, key, sizeof(bits));
    return bits % METRICS_TOP_HEADS;
}

/* One more decision of this key.  False: it is not known, nothing was counted: call metrics_top_admit. */
static inline bool metrics_top_count(struct metrics_top *top, const uint8_t *key, bool is_refused,
                                     uint64_t mono_us)
{
    uint64_t want[2], have[2];
    if (mono_us >= top->until_us)
        return false;
    struct metrics_top_pane *pane = &top->panes[top->now];
    memcpy(want, key, sizeof(want));
    for (unsigned i = pane->heads[metrics_top_head(key)]; i != METRICS_TOP_NOBODY;
         i = pane->rows[i].next) {
        struct metrics_top_row *row = &pane->rows[i];
        memcpy(have, row->key, sizeof(have));
        if (((have[0] ^ want[0]) | (have[1] ^ want[1])) != 0)
            continue;
        pane->seen++;
        pane->weights[i]++;
        row->refused += is_refused;
        row->admitted += !is_refused;
        return true;
    }
    return false;
}

/* The same for a key that is not known, with the name to show for it.  O(1) amortised over all decisions. */
void metrics_top_admit(struct metrics_top *top, const uint8_t *key, bool is_refused,
                       struct span text, uint8_t tag, uint64_t mono_us);

/* At most so often did a key come that is not in this pane. */
static inline uint32_t metrics_top_floor(const struct metrics_top_pane *pane)
{
    return pane->count == METRICS_TOP_KEYS ? pane->least : 0;
}

/* In all panes together. */
static inline uint64_t metrics_top_missing(const struct metrics_top *top)
{
    uint64_t missing = 0;
    for (unsigned i = 0; i < METRICS_TOP_PANES; i++)
        missing += metrics_top_floor(&top->panes[i]);
    return missing;
}

#endif
