/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_rules.c - takes: outcomes of checks and requests, with the time.  Gives: who is down, ejected, or may be
 * tried once more.  Never: knows of a server. */
#include "upstream/upstream_rules.h"

#define BUDGET_ONE 1000

bool upstream_trial_note(struct upstream_trial *trial, bool is_good, uint32_t rise, uint32_t fall)
{
    const uint32_t needed = trial->is_down ? rise : fall;
    const bool is_first = !trial->is_begun;
    trial->is_begun = true;
    if (is_good != trial->is_down) { /* as it is */
        trial->run = 0;
        return false;
    }
    if (++trial->run < needed && !is_first)
        return false;
    trial->is_down = !trial->is_down;
    trial->run = 0;
    return true;
}

unsigned upstream_ejection_max(unsigned servers, uint32_t percent)
{
    return (unsigned)((uint64_t)servers * percent / 100);
}

void upstream_ejection_begin(struct upstream_ejection *ejection,
                             const struct upstream_health_conf *conf, uint64_t now_us)
{
    const uint64_t quiet_us =
        now_us > ejection->returned_at_us ? now_us - ejection->returned_at_us : 0;
    const uint64_t forgiven = conf->eject_base_us == 0 ? 0 : quiet_us / conf->eject_base_us;
    ejection->count = forgiven < ejection->count ? ejection->count - (uint32_t)forgiven + 1 : 1;
    uint64_t long_us = conf->eject_max_us;
    if (ejection->count <= long_us / (conf->eject_base_us == 0 ? 1 : conf->eject_base_us))
        long_us = conf->eject_base_us * ejection->count;
    ejection->until_us = now_us + long_us;
    ejection->is_out = true;
}

void upstream_ejection_end(struct upstream_ejection *ejection, uint64_t now_us)
{
    ejection->is_out = false;
    ejection->returned_at_us = now_us;
}

bool upstream_is_panic(unsigned usable, unsigned servers, uint32_t percent)
{
    return (uint64_t)usable * 100 < (uint64_t)servers * percent;
}

/* Of requests that were counted since since_us those behind from_us, as if they had come evenly, and no older ones than
 * count. */
static uint64_t budget_behind(uint64_t requests, uint64_t since_us, uint64_t from_us,
                              uint64_t now_us)
{
    const uint64_t counted_us = now_us > since_us ? now_us - since_us : 0;
    uint64_t part_us = now_us > from_us ? now_us - from_us : 0;
    if (part_us > UPSTREAM_BUDGET_US)
        part_us = UPSTREAM_BUDGET_US;
    if (from_us > since_us && part_us == 0)
        return 0;
    if (part_us >= counted_us)
        return requests;
    return (uint64_t)((double)requests * (double)part_us / (double)counted_us);
}

void upstream_budget_fill(struct upstream_budget *budget, const struct upstream_retry_conf *conf,
                          uint64_t requests, uint64_t since_us, uint64_t now_us)
{
    const uint64_t least = (uint64_t)conf->minimum * BUDGET_ONE;
    const bool is_first = budget->at_us == 0;
    uint64_t elapsed_us = now_us > budget->at_us ? now_us - budget->at_us : 0;
    if (is_first || elapsed_us > UPSTREAM_BUDGET_US)
        elapsed_us = UPSTREAM_BUDGET_US;
    const uint64_t percent = (uint64_t)conf->percent * BUDGET_ONE / 100;
    const uint64_t share = budget_behind(requests, since_us, since_us, now_us) * percent;
    /* Those before failures were left to the full went well, and such are not saved up for, whoever counted them. */
    const uint64_t unsaved = budget_behind(requests, since_us, budget->full_us, now_us) * percent;
    const uint64_t allowed = least * elapsed_us / UPSTREAM_BUDGET_US;
    const uint64_t earned = share > allowed ? share : allowed;
    if (earned == 0 && !is_first)
        return; /* asked so soon that nothing has come: the time goes on to count */
    const double kept = 1.0 - (double)elapsed_us / UPSTREAM_BUDGET_US;
    const int64_t most = (int64_t)(least > BUDGET_ONE ? least : BUDGET_ONE);
    budget->room_milli = (uint64_t)((double)budget->room_milli * kept) + earned;
    if (is_first && share > allowed)
        budget->room_milli += least;
    budget->left_milli += (int64_t)(unsaved > allowed ? unsaved : allowed);
    if (budget->left_milli >= most) {
        budget->left_milli = most;
        budget->full_us = now_us;
    }
    budget->at_us = now_us;
}

bool upstream_budget_take(struct upstream_budget *budget)
{
    const int64_t open_milli = (int64_t)budget->open * BUDGET_ONE;
    if ((uint64_t)open_milli + BUDGET_ONE > budget->room_milli)
        return false;
    if (budget->left_milli + open_milli < BUDGET_ONE)
        return false;
    budget->left_milli -= BUDGET_ONE;
    budget->open++;
    return true;
}

void upstream_budget_end(struct upstream_budget *budget, bool is_answered)
{
    budget->open--;
    if (is_answered)
        budget->left_milli += BUDGET_ONE;
}
