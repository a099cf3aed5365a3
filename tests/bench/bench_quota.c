/* SPDX-License-Identifier: Apache-2.0 */
/* bench_quota.c - what a quota's decision costs in the embedded store: the charge and the verdict, for one caller and for
 * random ones of a hundred thousand, with one quota of one window and with two of three. */
#include "bench_rows.h"

#include <string.h>

#include "base/base_rng.h"
#include "store/store_memory.h"

#define NOW_US   UINT64_C(1795305600000000)
#define SUBJECTS 100000u
#define HIGH     2000000000u

static struct store_memory *store;
static struct quota one_window, three_windows[2], spent;
static struct rng rng = {{1, 2, 3, 4}};

static struct quota make_quota(uint8_t id, unsigned windows, uint32_t limit)
{
    return (struct quota){.id = {id},
                          .limit_count = (uint8_t)windows,
                          .limits = {{limit, 60, 1, QUOTA_MINUTE},
                                     {limit, 3600, 1, QUOTA_HOUR},
                                     {limit, 86400, 1, QUOTA_DAY}}};
}

static bool decide(const struct quota *quotas, unsigned count, uint64_t subject,
                   enum quota_verdict expected)
{
    struct quota_charge charges[2];
    struct quota_decision decision;
    unsigned overflowed;
    for (unsigned i = 0; i < count; i++) {
        uint64_t words[2] = {(subject + 1) * UINT64_C(0x9e3779b97f4a7c15), quotas[i].id[0]};
        charges[i] = (struct quota_charge){.quota = &quotas[i], .cost = 1};
        memcpy(charges[i].key, words, sizeof(words));
    }
    store_memory_charge(store, charges, count, NOW_US, &overflowed);
    quota_decide(&decision, charges, count, NOW_US);
    return decision.verdict == expected;
}

static bool decide_one(void)
{
    return decide(&one_window, 1, 7, QUOTA_ALLOW);
}

static bool decide_random(void)
{
    return decide(&one_window, 1, rng_below(&rng, SUBJECTS), QUOTA_ALLOW);
}

static bool decide_six(void)
{
    return decide(three_windows, 2, 7, QUOTA_ALLOW);
}

static bool refuse(void)
{
    return decide(&spent, 1, 7, QUOTA_REFUSE);
}

int main(int argc, char **argv)
{
    static const struct bench_row rows[] = {
        {"decide by a quota of one window", decide_one},
        {"the same, random callers of 100,000", decide_random},
        {"decide by two quotas of three windows", decide_six},
        {"refuse by a quota of one window", refuse},
    };
    one_window = make_quota(1, 1, HIGH);
    three_windows[0] = make_quota(2, 3, HIGH);
    three_windows[1] = make_quota(3, 3, HIGH);
    spent = make_quota(4, 1, 0);
    store = store_memory_new(SUBJECTS * 2);
    if (store == NULL)
        return EXIT_FAILURE;
    for (uint64_t subject = 0; subject < SUBJECTS; subject++) { /* nobody is new when it counts */
        if (!decide(&one_window, 1, subject, QUOTA_ALLOW))
            return EXIT_FAILURE;
    }
    int code = bench_main(argc, argv, rows, sizeof(rows) / sizeof(rows[0]));
    store_memory_free(store);
    return code;
}
