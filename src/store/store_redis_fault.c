/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_fault.c - see store_redis_fault.h and the table store_redis_faults.def. */
#include "store/store_redis_fault.h"

static const struct store_redis_fault FAULTS[] = {
#define FAULT(word, remedy, advice) {{word, sizeof(word) - 1}, STORE_REDIS_##remedy, advice},
#include "store/store_redis_faults.def"
#undef FAULT
};

#define FAULT_COUNT (sizeof(FAULTS) / sizeof(FAULTS[0]))

static struct span first_word(struct span error)
{
    return (struct span){error.ptr, span_find(error, ' ')};
}

const struct store_redis_fault *store_redis_fault_of(struct span error)
{
    struct span word = first_word(error);
    for (unsigned i = 0; i < FAULT_COUNT - 1; i++) {
        if (span_eq(word, FAULTS[i].word))
            return &FAULTS[i];
    }
    return &FAULTS[FAULT_COUNT - 1];
}

bool store_redis_fault_is_noscript(struct span error)
{
    return span_eq(first_word(error), SPAN("NOSCRIPT"));
}

bool store_redis_fault_is_noperm(struct span error)
{
    return span_eq(first_word(error), SPAN("NOPERM"));
}

bool store_redis_fault_is_redirect(struct span error)
{
    struct span word = first_word(error);
    return span_eq(word, SPAN("MOVED")) || span_eq(word, SPAN("ASK"));
}

bool store_redis_fault_is_cluster(struct span error)
{
    struct span word = first_word(error);
    return span_eq(word, SPAN("CLUSTERDOWN")) || span_eq(word, SPAN("TRYAGAIN"));
}
