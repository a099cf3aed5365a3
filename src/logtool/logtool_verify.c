/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_verify.c - see logtool_verify.h: the books are written here, logtool_judge.c reads them. */
#include "logtool/logtool_verify.h"

#include <stdlib.h>

#include "store/store_subject.h"

enum err logtool_verify_init(struct logtool_verify *verify, const struct plan *plan)
{
    *verify = (struct logtool_verify){.plan = plan};
    verify->series = calloc(LOGTOOL_SERIES_MAX, sizeof(*verify->series));
    verify->resets.list = calloc(LOGTOOL_ORDERS_MAX, sizeof(*verify->resets.list));
    verify->grants.list = calloc(LOGTOOL_ORDERS_MAX, sizeof(*verify->grants.list));
    verify->room = malloc(LOGTOOL_LINE_MAX);
    bool has_all = verify->series != NULL && verify->resets.list != NULL &&
                   verify->grants.list != NULL && verify->room != NULL;
    return has_all ? ERR_OK : ERR_NOMEM;
}

void logtool_verify_fini(struct logtool_verify *verify)
{
    logtool_names_fini(&verify->names);
    logtool_books_fini(&verify->books);
    logtool_seq_fini(&verify->seq);
    free(verify->series);
    free(verify->resets.list);
    free(verify->grants.list);
    free(verify->room);
    *verify = (struct logtool_verify){0};
}

static enum err too_much(struct logtool_verify *verify, enum err err, const char *what)
{
    if (err == ERR_LIMIT)
        verify->limit = what;
    return err;
}

static enum err take_name(struct logtool_verify *verify, struct span text, uint32_t *name)
{
    return too_much(verify, logtool_names_take(&verify->names, text, name),
                    "more than 4,000,000 subjects, or 256 MiB of their names");
}

static void series_begin(struct logtool_verify *verify, struct logtool_series *series,
                         const struct logtool_window *window)
{
    struct quota_limit limit;
    series->counted = logtool_counted_find(verify->plan, window->quota);
    series->is_slot = window->is_slot;
    series->is_bucket =
        series->counted.quota != NULL && series->counted.quota->algorithm == QUOTA_BUCKET;
    if (!window->is_slot && quota_limit_parse(&limit, window->window) == NULL)
        series->period_s = limit.period_s;
}

static enum err find_series(struct logtool_verify *verify, const struct logtool_window *window,
                            struct logtool_series **found)
{
    uint32_t quota, name;
    enum err err = take_name(verify, window->quota, &quota);
    if (err == ERR_OK)
        err = take_name(verify, window->window, &name);
    if (err != ERR_OK)
        return err;
    for (unsigned i = 0; i < verify->series_count; i++) {
        *found = &verify->series[i];
        if ((*found)->quota == quota && (*found)->window == name)
            return ERR_OK;
    }
    if (verify->series_count == LOGTOOL_SERIES_MAX)
        return too_much(verify, ERR_LIMIT, "more than 1,024 windows of quotas");
    *found = &verify->series[verify->series_count++];
    **found = (struct logtool_series){.quota = quota, .window = name};
    series_begin(verify, *found, window);
    return ERR_OK;
}

/* What began on no calendar window is a bucket, whose start is the second of the decision.  False: the configuration has
 * none there. */
static bool find_begin(struct logtool_series *series, const struct logtool_window *window,
                       uint32_t *begin_s)
{
    uint32_t start_s = (uint32_t)window->start_s;
    *begin_s = series->period_s == 0 ? start_s : quota_window_start(series->period_s, start_s);
    if (*begin_s == start_s || series->is_bucket)
        return true;
    series->is_bucket = series->counted.quota == NULL;
    series->astray += !series->is_bucket;
    return series->is_bucket;
}

static void write_book(struct logtool_book *book, const struct logtool_series *series,
                       const struct logtool_window *window, const struct logtool_line *line)
{
    uint64_t back = window->refunded < window->charged ? window->refunded : window->charged;
    uint64_t added = book->added + window->added;
    uint64_t end_us = ((uint64_t)book->start_s + series->period_s) * 1000000;
    book->added = added < UINT32_MAX ? (uint32_t)added : UINT32_MAX;
    if (window->is_local) {
        uint64_t local = book->local + window->charged - back;
        book->local = local < UINT32_MAX ? (uint32_t)local : UINT32_MAX;
        return;
    }
    book->kept += window->charged - back;
    if (line->ts_us >= end_us)
        book->late += back;
    if (window->limit > book->limit)
        book->limit = window->limit < UINT32_MAX ? (uint32_t)window->limit : UINT32_MAX;
}

/* A slot is judged at once: how many others there were stands in the line. */
static void note_slot(struct logtool_series *series, const struct logtool_window *window)
{
    series->windows++;
    if (window->is_local)
        series->local++;
    else if (window->has_numbers && window->used > window->limit)
        series->excess++;
}

static enum err take_window(struct logtool_verify *verify, const struct logtool_line *line,
                            const struct logtool_window *window, unsigned boot)
{
    struct logtool_series *series;
    struct logtool_book of = {0}, *book;
    struct span subject;
    bool is_guess;
    enum err err = find_series(verify, window, &series);
    if (err != ERR_OK)
        return err;
    series->is_shadow = series->is_shadow || window->is_shadow;
    if (window->charged == 0 && window->added == 0)
        return ERR_OK;
    series->charges++;
    if (window->is_slot) {
        note_slot(series, window);
        return ERR_OK;
    }
    series->local += window->is_local;
    if (!window->has_numbers || !find_begin(series, window, &of.start_s))
        return ERR_OK;
    if (!logtool_subject_of(&series->counted, verify->plan, line, verify->room, &subject,
                            &is_guess)) {
        series->unnamed++;
        return ERR_OK;
    }
    series->is_guess = series->is_guess || is_guess;
    err = take_name(verify, subject, &of.subject);
    if (err != ERR_OK)
        return err;
    of.series = (uint16_t)(series - verify->series);
    if (verify->plan != NULL && verify->plan->store_is_memory)
        of.domain = (uint16_t)boot;
    err = too_much(verify, logtool_books_take(&verify->books, &of, &book),
                   "more than 8,000,000 windows of subjects: give fewer files at a time");
    if (err == ERR_OK)
        write_book(book, series, window, line);
    return err;
}

static enum err note_order(struct logtool_verify *verify, struct logtool_orders *orders,
                           const struct logtool_line *line)
{
    if (orders->count == LOGTOOL_ORDERS_MAX)
        return too_much(verify, ERR_LIMIT, "more than 65,536 resets or as many grants");
    struct logtool_order *order = &orders->list[orders->count];
    enum err err = take_name(verify, line->quota, &order->quota);
    if (err == ERR_OK)
        err = take_name(verify, line->subject, &order->subject);
    order->at_us = line->ts_us;
    order->extra = line->extra > INT32_MAX ? 0 : (uint32_t)line->extra;
    order->for_s = line->for_s > STORE_GRANT_S_MAX ? 0 : (uint32_t)line->for_s;
    orders->count += err == ERR_OK;
    return err;
}

static enum err take_event(struct logtool_verify *verify, const struct logtool_line *line)
{
    if (span_eq(line->event, SPAN("reset")))
        return note_order(verify, &verify->resets, line);
    if (span_eq(line->event, SPAN("grant")))
        return note_order(verify, &verify->grants, line);
    return ERR_OK;
}

enum err logtool_verify_take(void *arg, const struct logtool_line *line)
{
    struct logtool_verify *verify = arg;
    unsigned boot;
    bool is_new;
    enum err err = logtool_seq_take(&verify->seq, line, &boot, &is_new);
    if (err != ERR_OK)
        return too_much(verify, err, LOGTOOL_SEQ_TOO_MUCH);
    if (!is_new)
        return ERR_OK;
    if (line->event.len != 0)
        return take_event(verify, line);
    verify->requests++;
    verify->charged_lines += line->window_count != 0;
    verify->cut += line->is_cut && !line->has_all_charges &&
                   (line->window_count != 0 || line->decision != LOGTOOL_NONE);
    for (unsigned i = 0; i < line->window_count && err == ERR_OK; i++)
        err = take_window(verify, line, &line->windows[i], boot);
    return err;
}
