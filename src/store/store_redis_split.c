/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_split.c - see store_redis_split.h. */
#include "store/store_redis_split.h"

#include <stdlib.h>
#include <string.h>

#include "quota/quota_algorithm.h"

enum part_state {
    PART_ASKED,
    PART_CHARGED,
    PART_REFUSED,
    PART_AWAY,
};

struct part {
    struct store_redis_op op; /* first: found from it */
    struct split *split;
    enum part_state state;
};

/* Owner: store_redis_splits.  Thread: the loop's. */
struct split {
    struct store_redis_splits *splits;
    struct list node;
    struct store_redis_op *whole;
    unsigned count, left; /* left: parts without an ending */
    struct store_redis_answer answer;
    struct part parts[STORE_REDIS_KEYS_MAX];
};

static struct split *split_take(struct store_redis_splits *splits)
{
    struct split *split;
    if (list_is_empty(&splits->spare)) {
        split = malloc(sizeof(*split));
        if (split == NULL)
            return NULL;
        split->splits = splits;
        list_init(&split->node);
        return split;
    }
    split = LIST_OF(splits->spare.next, struct split, node);
    list_remove(&split->node);
    return split;
}

static void split_return(struct split *split)
{
    list_push_front(&split->splits->spare, &split->node);
}

/* ---- giving back ---- */

static void on_given_back(struct store_redis_op *op, enum store_answer result,
                          const struct store_redis_answer *answer)
{
    struct split *split = ((struct part *)(void *)op)->split;
    (void)result;
    (void)answer;
    if (--split->left == 0)
        split_return(split);
}

/* The claim that takes the part's charge back, from what the node has answered to it. */
static void claim_back(struct store_redis_claim *claim, const struct store_redis_result *result)
{
    claim->cost = claim->least = claim->want = claim->divisor = 0;
    claim->lineage = result->lineage;
    claim->generation = result->generation;
    for (unsigned w = 0; w < claim->window_count; w++) {
        struct store_redis_window *window = &claim->windows[w];
        unsigned kind = quota_code_kind(window->period_s);
        window->start_s = result->windows[w].start_s;
        window->seen = window->returned = window->floor = window->debt = window->back = 0;
        /* A node that has lost the charge by then gives nothing back that others were charged. */
        if (kind != QUOTA_KIND_BUCKET) {
            window->seen = store_redis_charged(&result->windows[w]);
            window->returned = result->windows[w].returned;
        }
        if (kind != QUOTA_KIND_BEFORE)
            window->back = result->granted;
        if (kind == QUOTA_KIND_BUCKET)
            window->mark_s = result->windows[w].start_s;
    }
}

/* What the answer says of a part as if it had not been charged. */
static void uncharge(struct store_redis_result *result, const struct store_redis_claim *claim)
{
    for (unsigned w = 0; w < claim->window_count; w++) {
        uint32_t *used = &result->windows[w].used;
        if (quota_code_kind(claim->windows[w].period_s) == QUOTA_KIND_COUNT)
            *used -= *used < result->granted ? *used : result->granted;
    }
    result->is_granted = false;
    result->granted = 0;
}

static void give_back(struct split *split)
{
    struct store_redis_splits *splits = split->splits;
    for (unsigned i = 0; i < split->count; i++) {
        struct part *part = &split->parts[i];
        if (part->state != PART_CHARGED || split->answer.keys[i].granted == 0 ||
            part->op.claims[0].is_apart)
            continue;
        const struct store_redis_claim charged = part->op.claims[0];
        claim_back(&part->op.claims[0], &split->answer.keys[i]);
        uncharge(&split->answer.keys[i], &charged);
        part->op.done = on_given_back;
        if (splits->send(splits->arg, &part->op) != STORE_PENDING)
            continue;
        split->left++;
        metrics_add(splits->loop->metrics, METRICS_STORE_GIVEN_BACK, 1);
    }
}

/* ---- the answer ---- */

static bool has_state(const struct split *split, enum part_state state)
{
    for (unsigned i = 0; i < split->count; i++) {
        if (split->parts[i].state == state)
            return true;
    }
    return false;
}

static void split_end(struct split *split)
{
    struct store_redis_op *whole = split->whole;
    const struct store_redis_answer *answer = &split->answer;
    bool is_away = has_state(split, PART_AWAY), is_refused = has_state(split, PART_REFUSED);
    split->answer.granted = !is_away && !is_refused;
    split->left = 1; /* this function's */
    if (!split->answer.granted)
        give_back(split);
    if (is_away)
        whole->done(whole, STORE_AWAY, NULL);
    else
        whole->done(whole, is_refused ? STORE_REFUSED : STORE_CHARGED, answer);
    if (--split->left == 0)
        split_return(split);
}

static void on_part(struct store_redis_op *op, enum store_answer result,
                    const struct store_redis_answer *answer)
{
    struct part *part = (struct part *)(void *)op;
    struct split *split = part->split;
    (void)result;
    part->state = PART_AWAY;
    if (answer != NULL) {
        bool is_charged = answer->keys[0].is_granted || op->claims[0].is_apart;
        part->state = is_charged ? PART_CHARGED : PART_REFUSED;
        split->answer.keys[part - split->parts] = answer->keys[0];
        /* Of several clocks the one that is ahead: what is granted ends early, if anything. */
        if (answer->now_us > split->answer.now_us)
            split->answer.now_us = answer->now_us;
    }
    if (--split->left == 0)
        split_end(split);
}

enum store_answer store_redis_split_charge(struct store_redis_splits *splits,
                                           struct store_redis_op *op)
{
    struct split *split = split_take(splits);
    if (split == NULL)
        return STORE_AWAY;
    unsigned sent = 0;
    split->whole = op;
    split->count = op->count;
    split->answer.now_us = 0;
    split->left = op->count + 1; /* nobody ends it while it is sent */
    for (unsigned i = 0; i < op->count; i++) {
        struct part *part = &split->parts[i];
        part->split = split;
        part->state = PART_ASKED;
        part->op.count = 1;
        part->op.done = on_part;
        part->op.claims[0] = op->claims[i];
        if (splits->send(splits->arg, &part->op) == STORE_PENDING) {
            sent++;
            op->sent_at_us = part->op.sent_at_us;
        } else {
            part->state = PART_AWAY;
            split->left--;
        }
    }
    split->left--;
    if (sent != 0)
        return STORE_PENDING;
    split_return(split);
    return STORE_AWAY;
}

/* ---- making ---- */

void store_redis_splits_init(struct store_redis_splits *splits, struct loop *loop,
                             enum store_answer (*send)(void *arg, struct store_redis_op *op),
                             void *arg)
{
    splits->loop = loop;
    splits->send = send;
    splits->arg = arg;
    list_init(&splits->spare);
}

void store_redis_splits_fini(struct store_redis_splits *splits)
{
    LIST_EACH_SAFE (node, &splits->spare)
        free(LIST_OF(node, struct split, node));
}
