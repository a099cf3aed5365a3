/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_fault.c - see store_redis_fault.h and the table store_redis_faults.def. */
#include "store/store_redis_fault.h"

#include <stdio.h>

#define ERROR_SHOWN_MAX 200

static const struct store_redis_fault FAULTS[] = {
#define FAULT(word, remedy, slot, advice)                                                          \
    {{word, sizeof(word) - 1}, STORE_REDIS_##remedy, METRICS_STORE_FAULT_##slot, advice},
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

void store_redis_fault_say(const struct store_redis_fault *fault, struct span error,
                           char why[STORE_REDIS_WHY_BYTES])
{
    snprintf(why, STORE_REDIS_WHY_BYTES, "%.*s (%s)",
             (int)(error.len < ERROR_SHOWN_MAX ? error.len : ERROR_SHOWN_MAX), error.ptr,
             fault->advice);
}

bool store_redis_fault_is_slot(struct span error)
{
    return span_eq(first_word(error), SPAN("CLUSTERDOWN"));
}
