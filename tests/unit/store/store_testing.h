/* SPDX-License-Identifier: Apache-2.0 */
/* store_testing.h - quotas and charges for the tests of the embedded store. */
#ifndef TESTS_STORE_TESTING_H
#define TESTS_STORE_TESTING_H

#include <stdint.h>
#include <string.h>

#include "quota/quota.h"
#include "store/store_memory.h"

#define T0_S     UINT64_C(1795305600) /* 2026-11-22T00:00:00Z: every window begins */
#define US(at_s) ((uint64_t)(at_s)*1000000)
#define MINUTE(n)                                                                                  \
    {                                                                                              \
        (n), 60, 1, QUOTA_MINUTE                                                                   \
    }
#define HOUR(n)                                                                                    \
    {                                                                                              \
        (n), 3600, 1, QUOTA_HOUR                                                                   \
    }
#define DAY(n)                                                                                     \
    {                                                                                              \
        (n), 86400, 1, QUOTA_DAY                                                                   \
    }
#define SECOND(n)                                                                                  \
    {                                                                                              \
        (n), 1, 1, QUOTA_SECOND                                                                    \
    }

/* Keys are MACs in life; here any spread-out number will do. */
static inline void testing_key(uint8_t key[16], uint32_t quota, uint64_t subject)
{
    uint64_t words[2] = {(subject + 1) * UINT64_C(0x9e3779b97f4a7c15),
                         ((uint64_t)quota << 40) + subject};
    memcpy(key, words, sizeof(words));
}

static inline struct quota_charge testing_charge(const struct quota *quota, uint64_t subject,
                                                 uint32_t cost)
{
    struct quota_charge charge = {.quota = quota, .cost = cost};
    testing_key(charge.key, quota->id[0], subject);
    return charge;
}

static inline enum store_answer testing_ask(struct store_memory *store, const struct quota *quota,
                                            uint64_t subject, uint64_t now_s,
                                            struct quota_charge *charge)
{
    *charge = testing_charge(quota, subject, 1);
    return store_memory_charge(store, charge, 1, US(now_s), NULL);
}

#endif
