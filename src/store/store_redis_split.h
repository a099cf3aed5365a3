/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_split.h - one step whose keys are on several nodes: a step for each, all or none.  Takes: the step.  Gives:
 * one answer made of all.  When one part refuses or fails, what the others were granted is given back at once, once and
 * never again: what is lost on that way is quota, never more. */
#ifndef SLUICE_STORE_REDIS_SPLIT_H
#define SLUICE_STORE_REDIS_SPLIT_H

#include "base/base_list.h"
#include "loop/loop.h"
#include "store/store_redis_cargo.h"

/* Owner: a route.  Freed by: store_redis_splits_fini, after its links.  Thread: the loop's. */
struct store_redis_splits {
    struct loop *loop;
    struct list spare;
    /* Sends a step of one key. */
    enum store_answer (*send)(void *arg, struct store_redis_op *op);
    void *arg;
};

void store_redis_splits_init(struct store_redis_splits *splits, struct loop *loop,
                             enum store_answer (*send)(void *arg, struct store_redis_op *op),
                             void *arg);
void store_redis_splits_fini(struct store_redis_splits *splits);

/* As store_redis_link_send. */
MUST_USE enum store_answer store_redis_split_charge(struct store_redis_splits *splits,
                                                    struct store_redis_op *op);

#endif
