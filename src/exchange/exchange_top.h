/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_top.h - who takes most of each quota, of one worker.  Takes: decisions.  Gives: a metrics_top for each quota in
 * force, by its name.  Never: counts quotas in shadow, which decide nothing.
 *
 * A quota keeps its table over a reload.  Bounded: EXCHANGE_TOP_QUOTAS_MAX tables; quotas beyond have none, nor have those
 * that are folded into one series with others. */
#ifndef SLUICE_EXCHANGE_EXCHANGE_TOP_H
#define SLUICE_EXCHANGE_EXCHANGE_TOP_H

#include "loop/loop.h"
#include "metrics/metrics.h"
#include "metrics/metrics_top.h"

#define EXCHANGE_TOP_QUOTAS_MAX 64
#define EXCHANGE_TOP_TELL_US    2000000 /* how often metrics are told what the tables may miss */

struct exchange;
struct plan;

struct exchange_top_quota {
    metrics_slot slot; /* slot_allow of the quota: the same for the same name, whatever the plan */
    metrics_slot slot_missing;
    bool is_in_force;
    struct metrics_top *top;
};

/* Owner: the worker's env.  Freed by: exchange_top_free.  Thread: the worker's. */
struct exchange_top {
    struct loop *loop;
    struct loop_timer timer;
    uint8_t of[METRICS_SLOTS_MAX]; /* index in list + 1; 0: none */
    unsigned count;
    struct exchange_top_quota list[EXCHANGE_TOP_QUOTAS_MAX];
};

/* NULL: no memory. */
struct exchange_top *exchange_top_new(struct loop *loop);
void exchange_top_free(struct exchange_top *top);
/* The quotas of this plan are counted from here on; those that it does not have are forgotten.  Without memory some of them
 * are not counted. */
void exchange_top_adopt(struct exchange_top *top, const struct plan *plan);

static inline struct metrics_top *exchange_top_of(const struct exchange_top *top, metrics_slot slot)
{
    const unsigned index = top->of[slot];
    return index == 0 ? NULL : top->list[index - 1].top;
}

#endif
