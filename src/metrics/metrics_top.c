/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_top.c - see metrics_top.h.
 *
 * Who has the least weight is found by a hand that goes round the weights.  `least` is never above the least weight, so one that
 * is not above it is the least.  In each round the hand takes all that are, after which `least` can grow by 1 at least; since M
 * times `least` is at most N, there are at most N / M rounds of M steps: one step for each decision. */
#include "metrics/metrics_top.h"

#include <stdlib.h>

static void pane_clear(struct metrics_top_pane *pane, uint64_t mono_us)
{
    pane->seen = 0;
    pane->began_us = mono_us;
    pane->least = 0;
    pane->next_least = UINT32_MAX;
    pane->count = pane->hand = 0;
    memset(pane->heads, 0xff, sizeof(pane->heads)); /* METRICS_TOP_NOBODY */
}

struct metrics_top *metrics_top_new(void)
{
    struct metrics_top *top = malloc(sizeof(*top));
    if (top == NULL)
        return NULL;
    top->until_us = 0;
    top->now = 0;
    for (unsigned i = 0; i < METRICS_TOP_PANES; i++)
        pane_clear(&top->panes[i], 0);
    return top;
}

void metrics_top_free(struct metrics_top *top)
{
    free(top);
}

void metrics_top_turn(struct metrics_top *top, uint64_t mono_us)
{
    if (mono_us < top->until_us)
        return;
    uint64_t began_us = top->until_us;
    if (mono_us - began_us >= METRICS_TOP_PANE_US) { /* nobody came for so long */
        pane_clear(&top->panes[top->now], mono_us);
        began_us = mono_us;
    }
    top->now = (top->now + 1) % METRICS_TOP_PANES;
    pane_clear(&top->panes[top->now], began_us);
    top->until_us = began_us + METRICS_TOP_PANE_US;
}

static unsigned pane_find_least(struct metrics_top_pane *pane)
{
    for (;;) {
        for (; pane->hand < METRICS_TOP_KEYS; pane->hand++) {
            if (pane->weights[pane->hand] <= pane->least)
                return pane->hand;
            if (pane->weights[pane->hand] < pane->next_least)
                pane->next_least = pane->weights[pane->hand];
        }
        pane->least = pane->next_least;
        pane->next_least = UINT32_MAX;
        pane->hand = 0;
    }
}

static void pane_unlink(struct metrics_top_pane *pane, unsigned gone)
{
    uint16_t *link = &pane->heads[metrics_top_head(pane->rows[gone].key)];
    while (*link != gone)
        link = &pane->rows[*link].next;
    *link = pane->rows[gone].next;
}

void metrics_top_admit(struct metrics_top *top, const uint8_t *key, bool is_refused,
                       struct span text, uint8_t tag, uint64_t mono_us)
{
    metrics_top_turn(top, mono_us);
    struct metrics_top_pane *pane = &top->panes[top->now];
    unsigned at = pane->count;
    uint32_t missing = 0;
    if (at < METRICS_TOP_KEYS) {
        pane->count++;
    } else {
        at = pane_find_least(pane);
        missing = pane->weights[at];
        pane_unlink(pane, at);
    }
    struct metrics_top_row *row = &pane->rows[at];
    uint16_t *head = &pane->heads[metrics_top_head(key)];
    memcpy(row->key, key, sizeof(row->key));
    row->admitted = !is_refused;
    row->refused = is_refused;
    row->missing = missing;
    row->tag = tag;
    row->is_cut = text.len > METRICS_TOP_TEXT_MAX;
    row->text_len = (uint8_t)(row->is_cut ? METRICS_TOP_TEXT_MAX : text.len);
    if (text.len != 0)
        memcpy(row->text, text.ptr, row->text_len);
    row->next = *head;
    *head = (uint16_t)at;
    pane->weights[at] = missing + 1;
    pane->seen++;
}
