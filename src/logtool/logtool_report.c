/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_report.c - see logtool_report.h: the counting. */
#include "logtool/logtool_report.h"

#include <stdlib.h>

static bool rows_init(struct logtool_rows *rows)
{
    rows->rows = calloc(LOGTOOL_ROWS_MAX, sizeof(*rows->rows));
    return rows->rows != NULL;
}

static void rows_fini(struct logtool_rows *rows)
{
    for (unsigned i = 0; i < rows->count; i++)
        free(rows->rows[i].times);
    free(rows->rows);
}

enum err logtool_report_init(struct logtool_report *report, const struct plan *plan)
{
    *report = (struct logtool_report){.plan = plan};
    report->quotas = calloc(LOGTOOL_ROWS_MAX, sizeof(*report->quotas));
    report->room = malloc(LOGTOOL_LINE_MAX);
    bool is_made = rows_init(&report->routes);
    is_made = rows_init(&report->windows) && is_made;
    is_made = rows_init(&report->tiers) && is_made;
    is_made = rows_init(&report->ends) && is_made;
    return is_made && report->quotas != NULL && report->room != NULL ? ERR_OK : ERR_NOMEM;
}

void logtool_report_fini(struct logtool_report *report)
{
    logtool_names_fini(&report->names);
    logtool_seq_fini(&report->seq);
    logtool_books_fini(&report->books);
    rows_fini(&report->routes);
    rows_fini(&report->windows);
    rows_fini(&report->tiers);
    rows_fini(&report->ends);
    free(report->quotas);
    free(report->room);
    *report = (struct logtool_report){0};
}

static enum err too_much(struct logtool_report *report, enum err err, const char *what)
{
    if (err == ERR_LIMIT)
        report->limit = what;
    return err;
}

static enum err take_name(struct logtool_report *report, struct span text, uint32_t *name)
{
    return too_much(report, logtool_names_take(&report->names, text, name),
                    "more than 4,000,000 subjects, or 256 MiB of their names");
}

/* The row of this name; of few, so that a walk is enough. */
static enum err find_row(struct logtool_report *report, struct logtool_rows *rows, struct span text,
                         struct logtool_row **row)
{
    uint32_t name;
    enum err err = take_name(report, text, &name);
    if (err != ERR_OK)
        return err;
    for (unsigned i = 0; i < rows->count; i++) {
        *row = &rows->rows[i];
        if ((*row)->name == name)
            return ERR_OK;
    }
    if (rows->count == LOGTOOL_ROWS_MAX)
        return too_much(report, ERR_LIMIT,
                        "more than 1,024 routes, windows of quotas, tiers or endings");
    *row = &rows->rows[rows->count++];
    (*row)->name = name;
    return ERR_OK;
}

static bool is_refused(const struct logtool_line *line)
{
    return line->decision == LOGTOOL_REFUSE || line->decision == LOGTOOL_DEGRADED_REFUSE;
}

static enum err count_row(struct logtool_report *report, struct logtool_rows *rows,
                          struct span text, const struct logtool_line *line,
                          struct logtool_row **row)
{
    enum err err = find_row(report, rows, text, row);
    if (err != ERR_OK)
        return err;
    (*row)->requests++;
    (*row)->refused += is_refused(line);
    (*row)->near += line->is_near;
    (*row)->errors += line->status >= 500 && line->status <= 599;
    return ERR_OK;
}

static enum err count_route(struct logtool_report *report, const struct logtool_line *line)
{
    struct logtool_row *row;
    struct span route = line->route.len != 0 ? line->route : SPAN("(none)");
    enum err err = count_row(report, &report->routes, route, line, &row);
    if (err != ERR_OK || line->t_total_us == UINT64_MAX)
        return err;
    if (row->times == NULL)
        row->times = calloc(1, sizeof(*row->times));
    if (row->times == NULL)
        return ERR_NOMEM;
    logtool_histogram_add(row->times, line->t_total_us);
    return ERR_OK;
}

static enum err find_quota(struct logtool_report *report, struct span text,
                           struct logtool_report_quota **quota)
{
    uint32_t name;
    enum err err = take_name(report, text, &name);
    if (err != ERR_OK)
        return err;
    for (unsigned i = 0; i < report->quota_count; i++) {
        *quota = &report->quotas[i];
        if ((*quota)->name == name)
            return ERR_OK;
    }
    if (report->quota_count == LOGTOOL_ROWS_MAX)
        return too_much(report, ERR_LIMIT, "more than 1,024 quotas");
    *quota = &report->quotas[report->quota_count++];
    (*quota)->name = name;
    (*quota)->counted = logtool_counted_find(report->plan, text);
    return ERR_OK;
}

/* "quota/window" in two halves; the quota's name may have slashes. */
static bool is_refuser(const struct logtool_line *line, const struct logtool_window *window)
{
    for (unsigned i = 0; i < line->refused_by_count; i++) {
        struct span by = line->refused_by[i];
        size_t quota = window->quota.len;
        if (by.len == quota && span_eq(by, window->quota))
            return true; /* the store was away */
        if (by.len == quota + 1 + window->window.len && by.ptr[quota] == '/' &&
            span_eq((struct span){by.ptr, quota}, window->quota) &&
            span_eq((struct span){by.ptr + quota + 1, window->window.len}, window->window))
            return true;
    }
    return window->is_shadow && window->is_refused;
}

static bool is_near(const struct logtool_window *window)
{
    return window->has_numbers && window->charged != 0 && window->used * 5 >= window->limit * 4;
}

/* All windows of one quota, which stand together from `from` on; where the next begins. */
static enum err count_quota(struct logtool_report *report, const struct logtool_line *line,
                            unsigned *from)
{
    const struct logtool_window *first = &line->windows[*from];
    struct logtool_report_quota *quota;
    struct logtool_book of = {0}, *book;
    struct span subject;
    bool is_guess, has_refused = false, has_near = false;
    while (*from < line->window_count && span_eq(line->windows[*from].quota, first->quota)) {
        has_refused = has_refused || is_refuser(line, &line->windows[*from]);
        has_near = has_near || is_near(&line->windows[*from]);
        ++*from;
    }
    enum err err = find_quota(report, first->quota, &quota);
    if (err != ERR_OK ||
        !logtool_subject_of(&quota->counted, report->plan, line, report->room, &subject, &is_guess))
        return err;
    err = take_name(report, subject, &of.subject);
    if (err != ERR_OK)
        return err;
    of.series = (uint16_t)(quota - report->quotas);
    err = too_much(report, logtool_books_take(&report->books, &of, &book),
                   "more than 8,000,000 subjects of quotas");
    if (err != ERR_OK)
        return err;
    book->kept += first->charged;
    book->refused += has_refused;
    book->near += has_near;
    return ERR_OK;
}

static enum err count_window(struct logtool_report *report, const struct logtool_line *line,
                             const struct logtool_window *window)
{
    struct logtool_row *row;
    size_t len = window->quota.len + 1 + window->window.len;
    if (len > LOGTOOL_LINE_MAX)
        return ERR_OK;
    memcpy(report->room, window->quota.ptr, window->quota.len);
    report->room[window->quota.len] = '/';
    memcpy(report->room + window->quota.len + 1, window->window.ptr, window->window.len);
    enum err err = find_row(report, &report->windows, (struct span){report->room, len}, &row);
    if (err != ERR_OK)
        return err;
    row->requests++;
    row->refused += is_refuser(line, window);
    row->near += is_near(window);
    return ERR_OK;
}

static void count_times(struct logtool_report *report, const struct logtool_line *line)
{
    if (line->t_total_us != UINT64_MAX)
        logtool_histogram_add(&report->total, line->t_total_us);
    if (line->t_store_us != UINT64_MAX)
        logtool_histogram_add(&report->store, line->t_store_us);
    if (line->t_first_us != UINT64_MAX)
        logtool_histogram_add(&report->first, line->t_first_us);
}

static enum err count_request(struct logtool_report *report, const struct logtool_line *line)
{
    struct logtool_row *row;
    report->requests++;
    report->decisions[line->decision]++;
    report->statuses[line->status < 600 ? line->status / 100 : 0]++;
    count_times(report, line);
    logtool_timeline_add(&report->over_time, line->ts_us / 1000000, is_refused(line));
    enum err err = count_route(report, line);
    if (err == ERR_OK && line->end.len != 0)
        err = count_row(report, &report->ends, line->end, line, &row);
    if (err == ERR_OK && line->tier.len != 0)
        err = count_row(report, &report->tiers, line->tier, line, &row);
    for (unsigned i = 0; i < line->window_count && err == ERR_OK; i++)
        err = count_window(report, line, &line->windows[i]);
    for (unsigned i = 0; i < line->window_count && err == ERR_OK;)
        err = count_quota(report, line, &i);
    return err;
}

enum err logtool_report_take(void *arg, const struct logtool_line *line)
{
    struct logtool_report *report = arg;
    unsigned boot;
    bool is_new;
    enum err err = logtool_seq_take(&report->seq, line, &boot, &is_new);
    if (err != ERR_OK)
        return too_much(report, err, LOGTOOL_SEQ_TOO_MUCH);
    return is_new && line->event.len == 0 ? count_request(report, line) : ERR_OK;
}

/* Is one more of an offender than the other?  Among equals the one that asked more, then by name. */
static bool is_worse(const struct logtool_report *report, const struct logtool_book *a,
                     const struct logtool_book *b)
{
    if (a->refused != b->refused)
        return a->refused > b->refused;
    if (a->kept != b->kept)
        return a->kept > b->kept;
    struct span one = logtool_names_text(&report->names, a->subject);
    struct span other = logtool_names_text(&report->names, b->subject);
    int order = memcmp(one.ptr, other.ptr, one.len < other.len ? one.len : other.len);
    return order != 0 ? order < 0 : one.len < other.len;
}

static void rank(const struct logtool_report *report, struct logtool_report_quota *quota,
                 uint32_t number)
{
    const struct logtool_book *book = logtool_books_at(&report->books, number);
    unsigned at = quota->top_count;
    while (at > 0 && is_worse(report, book, logtool_books_at(&report->books, quota->top[at - 1])))
        at--;
    if (at == LOGTOOL_TOP)
        return;
    if (quota->top_count < LOGTOOL_TOP)
        quota->top_count++;
    for (unsigned i = quota->top_count - 1; i > at; i--)
        quota->top[i] = quota->top[i - 1];
    quota->top[at] = number;
}

static int compare_rows(const void *a, const void *b)
{
    const struct logtool_row *one = a, *other = b;
    if (one->requests != other->requests)
        return one->requests > other->requests ? -1 : 1;
    return one->name < other->name ? -1 : one->name > other->name;
}

void logtool_report_end(struct logtool_report *report)
{
    struct logtool_rows *const lists[] = {&report->routes, &report->windows, &report->tiers,
                                          &report->ends};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        qsort(lists[i]->rows, lists[i]->count, sizeof(*lists[i]->rows), compare_rows);
    for (uint32_t i = 0; i < report->books.count; i++) {
        const struct logtool_book *book = logtool_books_at(&report->books, i);
        struct logtool_report_quota *quota = &report->quotas[book->series];
        quota->subjects++;
        quota->refused_subjects += book->refused != 0;
        rank(report, quota, i);
    }
    report->gap_count =
        logtool_seq_gaps(&report->seq, report->gaps, LOGTOOL_GAPS_TOLD, &report->missing);
}
