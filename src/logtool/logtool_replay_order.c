/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_replay_order.c - see logtool_replay_order.h.  A fixed window without refunds only fills: of two requests that it
 * admitted the one with the smaller number was first, and who was refused came behind all that had filled it until then. */
#include "logtool/logtool_replay_order.h"

#include <stdlib.h>

/* Times of lines are whole milliseconds of several machines' clocks, and a decision is reckoned back from them. */
#define ORDER_NEAR_US   20000
/* So many places one moves at most: a damaged log may have millions of lines of one instant. */
#define ORDER_MOVES_MAX 1000

struct order_place {
    uint32_t subject, start_s;
    uint16_t quota;
    bool is_refunded;
    uint32_t index; /* of the request */
    uint64_t rank;  /* what had been used, and who was refused behind who was admitted */
    uint64_t at_us;
};

void logtool_replay_order_note(struct logtool_request *request, const struct quota *quota,
                               const struct logtool_window *window)
{
    if (request->has_place || quota == NULL || quota->algorithm != QUOTA_FIXED ||
        !window->has_numbers || window->start_s > UINT32_MAX || window->used > UINT32_MAX)
        return;
    request->has_place = true;
    request->place_item = request->item_count[LOGTOOL_OLD] - 1;
    request->place_start_s = (uint32_t)window->start_s;
    request->place_used = (uint32_t)window->used;
}

static struct order_place place_of(const struct logtool_replay *replay, uint32_t index)
{
    const struct logtool_request *request = &replay->requests[index];
    const struct logtool_item *item = &replay->items[request->items + request->place_item];
    return (struct order_place){
        .subject = item->subject,
        .start_s = request->place_start_s,
        .quota = item->quota,
        .is_refunded = item->delta != 0,
        .index = index,
        .rank = 2 * (uint64_t)request->place_used + request->is_logged_refused,
        .at_us = request->at_us,
    };
}

static int compare_windows(const struct order_place *one, const struct order_place *other)
{
    if (one->quota != other->quota)
        return one->quota < other->quota ? -1 : 1;
    if (one->subject != other->subject)
        return one->subject < other->subject ? -1 : 1;
    return one->start_s < other->start_s ? -1 : one->start_s > other->start_s;
}

static int compare_places(const void *a, const void *b)
{
    const struct order_place *one = a, *other = b;
    int order = compare_windows(one, other);
    if (order != 0)
        return order;
    if (one->at_us != other->at_us)
        return one->at_us < other->at_us ? -1 : 1;
    return one->index < other->index ? -1 : one->index > other->index;
}

/* Within a second, and so within every window that the line names. */
static bool may_move(uint64_t from_us, uint64_t to_us)
{
    return from_us / 1000000 == to_us / 1000000 &&
           (from_us > to_us ? from_us - to_us : to_us - from_us) <= ORDER_NEAR_US;
}

/* The times stay where they are, in order; who stands at them is exchanged. */
static void order_window(struct logtool_replay *replay, struct order_place *places, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (places[i].is_refunded)
            return;
    for (size_t i = 1; i < count; i++) {
        const size_t first = i > ORDER_MOVES_MAX ? i - ORDER_MOVES_MAX : 0;
        for (size_t k = i; k > first && places[k - 1].rank > places[k].rank; k--) {
            struct order_place *before = &places[k - 1], *behind = &places[k], moved = *before;
            const uint64_t early_us = replay->requests[before->index].at_us;
            const uint64_t late_us = replay->requests[behind->index].at_us;
            if (!may_move(before->at_us, late_us) || !may_move(behind->at_us, early_us))
                break;
            replay->requests[before->index].at_us = late_us;
            replay->requests[behind->index].at_us = early_us;
            *before = *behind;
            *behind = moved;
        }
    }
}

enum err logtool_replay_order(struct logtool_replay *replay)
{
    struct order_place *places = calloc((size_t)replay->request_count + 1, sizeof(*places));
    size_t count = 0;
    if (places == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < replay->request_count; i++)
        if (replay->requests[i].has_place)
            places[count++] = place_of(replay, i);
    qsort(places, count, sizeof(*places), compare_places);
    for (size_t from = 0, to; from < count; from = to) {
        for (to = from + 1; to < count && compare_windows(&places[from], &places[to]) == 0;)
            to++;
        order_window(replay, &places[from], to - from);
    }
    free(places);
    return ERR_OK;
}
