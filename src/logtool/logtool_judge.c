/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_judge.c - takes: the books of logtool_verify.h.  Gives: for each window whether more was admitted than the limit. */
#include <stdlib.h>

#include "logtool/logtool_verify.h"
#include "store/store_subject.h"

#define SKEW_US 2000000 /* between the clocks of a proxy, which dates an order, and of the store */

/* In memory, boots of one service write into the same cells: their books become one. */
static enum err merge_domains(struct logtool_verify *verify)
{
    struct logtool_books merged = {0};
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < verify->books.count && err == ERR_OK; i++) {
        const struct logtool_book *from = logtool_books_at(&verify->books, i);
        struct logtool_book of = *from, *to;
        of.domain = (uint16_t)verify->seq.boots[from->domain].root;
        err = logtool_books_take(&merged, &of, &to);
        if (err != ERR_OK)
            break;
        to->kept += from->kept;
        to->late += from->late;
        to->added += from->added;
        to->local += from->local;
        to->limit = from->limit > to->limit ? from->limit : to->limit;
    }
    struct logtool_books over = err == ERR_OK ? verify->books : merged;
    if (err == ERR_OK)
        verify->books = merged;
    logtool_books_fini(&over);
    return err;
}

static int compare_orders(const void *one, const void *other)
{
    const struct logtool_order *a = one, *b = other;
    if (a->quota != b->quota)
        return a->quota < b->quota ? -1 : 1;
    if (a->subject != b->subject)
        return a->subject < b->subject ? -1 : 1;
    return a->at_us < b->at_us ? -1 : a->at_us > b->at_us;
}

/* How many come before it. */
static unsigned orders_before(const struct logtool_orders *orders, const struct logtool_order *key)
{
    unsigned low = 0, high = orders->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (compare_orders(&orders->list[middle], key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A part of a list. */
struct part {
    unsigned from, to;
};

/* What was ordered for the book's subject in its window, or up to so long before it, as far as the log says. */
static struct part orders_of(const struct logtool_verify *verify,
                             const struct logtool_orders *orders, const struct logtool_book *book,
                             uint64_t before_us)
{
    const struct logtool_series *series = &verify->series[book->series];
    struct span text = logtool_names_text(&verify->names, book->subject);
    struct logtool_order first = {.quota = series->quota}, behind;
    uint64_t from_us = (uint64_t)book->start_s * 1000000;
    uint64_t to_us = from_us + (uint64_t)series->period_s * 1000000;
    before_us += SKEW_US;
    if (orders->count == 0)
        return (struct part){0};
    first.subject = logtool_names_find(&verify->names, logtool_subject_show(verify->room, text));
    if (first.subject == UINT32_MAX)
        return (struct part){0};
    first.at_us = from_us > before_us ? from_us - before_us : 0;
    behind = first;
    behind.at_us = to_us + SKEW_US + 1;
    return (struct part){orders_before(orders, &first), orders_before(orders, &behind)};
}

static uint64_t resets_of(const struct logtool_verify *verify, const struct logtool_book *book)
{
    struct part part = orders_of(verify, &verify->resets, book, 0);
    return part.to - part.from;
}

/* By how much grants made a bucket larger.  One takes the place of the one before, but what that let pass may be forgiven
 * when it ends (fill_bucket in quota_algorithm.c), so each counts. */
static uint64_t granted_to(const struct logtool_verify *verify, const struct logtool_book *book)
{
    uint64_t begin_us = (uint64_t)book->start_s * 1000000, sum = 0;
    struct part part =
        orders_of(verify, &verify->grants, book, (uint64_t)STORE_GRANT_S_MAX * 1000000);
    for (unsigned i = part.from; i < part.to; i++) {
        const struct logtool_order *grant = &verify->grants.list[i];
        if (grant->at_us + (uint64_t)grant->for_s * 1000000 + SKEW_US >= begin_us)
            sum += grant->extra;
    }
    return sum;
}

/* What a window may let pass at once: the most with nothing used, which a reset brings back. */
static uint64_t whole_of(const struct logtool_series *series, const struct logtool_book *book)
{
    uint32_t burst = series->is_bucket ? series->counted.quota->burst : 0;
    return burst != 0 ? burst : book->limit;
}

static void note_excess(struct logtool_verify *verify, const struct logtool_book *book,
                        uint64_t allowed)
{
    struct logtool_excess *list = verify->excess;
    unsigned last = verify->excess_count < LOGTOOL_EXCESS_SHOWN ? (unsigned)verify->excess_count
                                                                : LOGTOOL_EXCESS_SHOWN - 1;
    verify->excess_count++;
    uint64_t over = book->kept - allowed;
    if (verify->excess_count > LOGTOOL_EXCESS_SHOWN &&
        over <= list[last].book.kept - list[last].allowed)
        return;
    for (; last > 0 && list[last - 1].book.kept - list[last - 1].allowed < over; last--)
        list[last] = list[last - 1];
    list[last] = (struct logtool_excess){*book, allowed};
}

/* Fuller than the other; among equals the first in time and in name, whatever the order of the files. */
static bool is_fuller(const struct logtool_verify *verify, const struct logtool_book *a,
                      const struct logtool_book *b)
{
    if (a->limit == 0 || b->limit == 0)
        return a->limit != 0;
    unsigned __int128 one = (unsigned __int128)a->kept * b->limit;
    unsigned __int128 other = (unsigned __int128)b->kept * a->limit;
    if (one != other)
        return one > other;
    if (a->start_s != b->start_s)
        return a->start_s < b->start_s;
    struct span name = logtool_names_text(&verify->names, a->subject);
    struct span than = logtool_names_text(&verify->names, b->subject);
    int order = memcmp(name.ptr, than.ptr, name.len < than.len ? name.len : than.len);
    return order != 0 ? order < 0 : name.len < than.len;
}

static void judge_book(struct logtool_verify *verify, const struct logtool_book *book)
{
    struct logtool_series *series = &verify->series[book->series];
    series->settled += book->added != 0;
    if (series->period_s == 0 || (series->is_bucket && series->counted.quota == NULL) ||
        (book->kept == 0 && book->late == 0))
        return;
    uint64_t whole = whole_of(series, book);
    uint64_t allowed = series->is_bucket ? whole + book->limit : whole;
    series->windows++;
    verify->windows++;
    if (is_fuller(verify, book, &series->fullest))
        series->fullest = *book;
    if (book->kept + book->late <= allowed)
        return;
    uint64_t resets = resets_of(verify, book);
    /* The limit in a line of any other quota has the grant in it; a bucket's is what comes in a period. */
    uint64_t granted = series->is_bucket ? granted_to(verify, book) : 0;
    series->resets += resets != 0;
    allowed += granted + resets * (whole + granted);
    if (book->kept > allowed) {
        series->excess++;
        note_excess(verify, book, allowed);
    } else if (book->kept + book->late > allowed) {
        series->unsure++;
        verify->unsure++;
    }
}

enum err logtool_verify_judge(struct logtool_verify *verify, const struct logtool_reading *reading,
                              enum logtool_verdict *verdict)
{
    logtool_seq_link(&verify->seq, verify->plan != NULL && verify->plan->store_state_file.len > 0);
    if (verify->plan != NULL && verify->plan->store_is_memory) {
        enum err err = merge_domains(verify);
        if (err != ERR_OK)
            return err;
    }
    qsort(verify->resets.list, verify->resets.count, sizeof(*verify->resets.list), compare_orders);
    qsort(verify->grants.list, verify->grants.count, sizeof(*verify->grants.list), compare_orders);
    for (uint32_t i = 0; i < verify->books.count; i++)
        judge_book(verify, logtool_books_at(&verify->books, i));
    verify->gap_count =
        logtool_seq_gaps(&verify->seq, verify->gaps, LOGTOOL_GAPS_SHOWN, &verify->missing);
    bool has_excess = verify->excess_count != 0;
    bool is_incomplete = verify->missing != 0 || verify->seq.told_lost != 0 || verify->cut != 0 ||
                         logtool_seq_killed(&verify->seq) != 0 || reading->unreadable != 0;
    for (unsigned i = 0; i < verify->series_count; i++)
        has_excess = has_excess || verify->series[i].excess != 0;
    *verdict = has_excess            ? LOGTOOL_EXCESS
               : is_incomplete       ? LOGTOOL_INCOMPLETE
               : reading->lines == 0 ? LOGTOOL_NOTHING
                                     : LOGTOOL_CLEAN;
    return ERR_OK;
}
