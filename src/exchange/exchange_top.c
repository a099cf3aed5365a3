/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_top.c - see exchange_top.h.  What is counted of whom. */
#include "exchange/exchange_top.h"

#include <stdlib.h>

#include "exchange/exchange_private.h"

/* A number that is shown grows old where nobody comes any more. */
static void top_on_timer(void *arg)
{
    struct exchange_top *top = arg;
    for (unsigned i = 0; i < top->count; i++) {
        const struct exchange_top_quota *quota = &top->list[i];
        metrics_top_turn(quota->top, top->loop->mono_us);
        metrics_set(top->loop->metrics, quota->slot_missing, metrics_top_missing(quota->top));
    }
    loop_timer_set(top->loop, &top->timer, top->loop->mono_us + EXCHANGE_TOP_TELL_US);
}

struct exchange_top *exchange_top_new(struct loop *loop)
{
    struct exchange_top *top = calloc(1, sizeof(*top));
    if (top == NULL)
        return NULL;
    top->loop = loop;
    loop_timer_init(&top->timer, top_on_timer, top);
    top_on_timer(top);
    return top;
}

void exchange_top_free(struct exchange_top *top)
{
    if (top == NULL)
        return;
    loop_timer_cancel(&top->timer);
    for (unsigned i = 0; i < top->count; i++)
        metrics_top_free(top->list[i].top);
    free(top);
}

static void top_add(struct exchange_top *top, const struct quota *quota)
{
    if (quota->slot_allow == METRICS_SLOT_LOST || top->count == EXCHANGE_TOP_QUOTAS_MAX)
        return;
    struct exchange_top_quota *added = &top->list[top->count];
    *added = (struct exchange_top_quota){quota->slot_allow, quota->slot_top_missing, true,
                                         metrics_top_new()};
    if (added->top != NULL)
        top->of[added->slot] = (uint8_t)++top->count;
}

static void top_drop(const struct exchange_top *top, const struct exchange_top_quota *quota)
{
    metrics_set(top->loop->metrics, quota->slot_missing, 0);
    metrics_top_free(quota->top);
}

void exchange_top_adopt(struct exchange_top *top, const struct plan *plan)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < top->count; i++)
        top->list[i].is_in_force = false;
    for (unsigned i = 0; i < plan->quota_count; i++) {
        const unsigned index = top->of[plan->quotas[i].slot_allow];
        if (index != 0)
            top->list[index - 1].is_in_force = true;
    }
    for (unsigned i = 0; i < top->count; i++) {
        struct exchange_top_quota *quota = &top->list[i];
        top->of[quota->slot] = 0;
        if (quota->is_in_force)
            top->list[kept++] = *quota;
        else
            top_drop(top, quota);
    }
    top->count = kept;
    for (unsigned i = 0; i < kept; i++)
        top->of[top->list[i].slot] = (uint8_t)(i + 1);
    for (unsigned i = 0; i < plan->quota_count; i++) {
        const struct quota *quota = &plan->quotas[i];
        if (quota->mode != QUOTA_SHADOW && !quota->is_folded && top->of[quota->slot_allow] == 0)
            top_add(top, quota);
    }
}

struct span exchange_name_caller(struct exchange *x, const struct quota *quota,
                                 char room[EXCHANGE_CALLER_BYTES], uint8_t *tag)
{
    size_t len = 0;
    struct span text = SPAN_NONE;
    *tag = 0;
    for (unsigned i = 0; i < quota->key_count; i++) {
        struct exchange_subject *subject = exchange_subject(x, quota->key[i]);
        bool is_known = subject->result == IDENTITY_FOUND && exchange_subject_mark(x, subject);
        text = is_known ? exchange_subject_text(&subject->value, &subject->mark) : SPAN_NONE;
        *tag = (uint8_t)subject->value.kind;
        if (quota->key_count == 1)
            break;
        if (len + 1 >= EXCHANGE_CALLER_BYTES)
            break; /* far longer than what is shown */
        if (i != 0)
            room[len++] = ',';
        if (text.len > EXCHANGE_CALLER_BYTES - len)
            text.len = EXCHANGE_CALLER_BYTES - len;
        if (text.ptr != NULL)
            memcpy(room + len, text.ptr, text.len);
        len += text.len;
    }
    return quota->key_count > 1 ? (struct span){room, len} : text;
}

void exchange_top_admit(struct exchange *x, struct metrics_top *top, const struct quota *quota,
                        const uint8_t *key, bool is_refused)
{
    char room[EXCHANGE_CALLER_BYTES];
    uint8_t tag;
    const struct span text = exchange_name_caller(x, quota, room, &tag);
    metrics_top_admit(top, key, is_refused, text, tag, x->env->loop->mono_us);
}
