/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_fault.h - what an error reply of Redis means for us, and what an operator can do. */
#ifndef SLUICE_STORE_REDIS_FAULT_H
#define SLUICE_STORE_REDIS_FAULT_H

#include <stdbool.h>

#include "base/base_span.h"
#include "metrics/metrics.h"

#define STORE_REDIS_WHY_BYTES 512

enum store_redis_remedy {
    STORE_REDIS_DROP,  /* nothing can be expected of this server: the breaker opens */
    STORE_REDIS_KEEP,  /* it is about this key only */
    STORE_REDIS_COUNT, /* about this command, unless it says so many times in a row */
};

struct store_redis_fault {
    struct span word;
    enum store_redis_remedy remedy;
    metrics_slot slot; /* counts them */
    const char *advice;
};

/* By the first word of the error's text; never NULL. */
const struct store_redis_fault *store_redis_fault_of(struct span error);

/* NOSCRIPT: not executed, send it whole. */
bool store_redis_fault_is_noscript(struct span error);

/* MOVED or ASK: not executed, another server has the key. */
bool store_redis_fault_is_redirect(struct span error);

/* The error and the advice, in one line. */
void store_redis_fault_say(const struct store_redis_fault *fault, struct span error,
                           char why[STORE_REDIS_WHY_BYTES]);

/* CLUSTERDOWN: a node of a cluster cannot serve this slot; perhaps it serves others. */
bool store_redis_fault_is_slot(struct span error);

/* NOPERM: the user may not do this; perhaps it may do the rest. */
bool store_redis_fault_is_noperm(struct span error);

#endif
