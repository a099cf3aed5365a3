/* SPDX-License-Identifier: Apache-2.0 */
/* lease_correct.c - charges that turned out to be more or less.  Takes: a charge that was granted, and the
 * difference.  Gives: it to the embedded store at once, to Redis with the debts of the subject (a
 * give-back is sent at most once: what is lost on the way is lost quota, never made one), or to what is held of a
 * lease. */
#include "base/base_clock.h"
#include "lease/lease_private.h"
#include "store/store_memory.h"

static int32_t correct_in_memory(struct lease_worker *worker, const struct quota_charge *charge,
                                 int32_t delta)
{
    return store_memory_correct(worker->lease->memory, charge, delta, worker->loop->wall_us);
}

/* Tokens that are held stand for others of the same windows: less goes to them, more comes from them.  Returns what
 * is still to be corrected. */
static int32_t correct_held(struct lease_cell *cell, const struct quota_charge *charge,
                            int32_t delta)
{
    if (charge->is_degraded || lease_tokens_held(cell, clock_mono_us()) == 0 ||
        !lease_tokens_match(cell, charge))
        return delta;
    if (delta < 0 && cell->held <= (uint32_t)(INT32_MAX + delta)) {
        cell->held += (uint32_t)-delta;
        return 0;
    }
    if (delta < 0)
        return delta;
    uint32_t more = cell->held < (uint32_t)delta ? cell->held : (uint32_t)delta;
    cell->held -= more;
    cell->spent += more;
    return delta - (int32_t)more;
}

static int32_t correct_in_cell(struct lease_worker *worker, const struct quota_charge *charge,
                               int32_t delta)
{
    uint64_t now_s = lease_now_us(worker->lease, worker->loop) / 1000000;
    struct store_cell *held = lease_table_find(&worker->lease->table, charge->key);
    if (held == NULL)
        return 0;
    struct lease_cell *cell = store_cell_body(held);
    lease_cell_settle(cell, charge->quota, now_s);
    int32_t rest = correct_held(cell, charge, delta);
    bool is_done = rest == 0 || lease_cell_correct(cell, charge, rest);
    if (rest != 0 && is_done)
        lease_settle_note(worker, charge->key, cell);
    store_cell_unlock(held);
    return is_done ? delta : 0;
}

int32_t lease_correct(struct lease_worker *worker, const struct quota_charge *charge, int32_t delta)
{
    if (!charge->is_charged || charge->is_skipped || delta == 0)
        return 0;
    if (delta < 0 && (uint32_t)-delta > charge->cost)
        delta = -(int32_t)charge->cost;
    int32_t done = worker->lease->memory != NULL ? correct_in_memory(worker, charge, delta)
                                                 : correct_in_cell(worker, charge, delta);
    if (done < 0)
        metrics_add(worker->loop->metrics, METRICS_QUOTA_REFUNDED, (uint64_t)-done);
    else if (done > 0)
        metrics_add(worker->loop->metrics, METRICS_QUOTA_ADDED, (uint64_t)done);
    return done;
}
