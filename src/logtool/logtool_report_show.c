/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_report_show.c - what `sluice report` says, as text and as JSON. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/base_fmt.h"
#include "config/config_json.h"
#include "logtool/logtool_report.h"
#include "logtool/logtool_show.h"

#define NAME_WIDTH 28
#define BAR_WIDTH  40

static double percent(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : 100.0 * (double)part / (double)whole;
}

static struct span name_of(const struct logtool_report *report, uint32_t name)
{
    return logtool_names_text(&report->names, name);
}

static struct span subject_of(const struct logtool_report *report, const struct logtool_book *book)
{
    return logtool_subject_show(report->room, name_of(report, book->subject));
}

/* ---- text ---- */

/* "950us", "12.3ms", "1.25s" */
static void show_time(FILE *out, uint64_t us)
{
    char room[32];
    if (us < 1000)
        snprintf(room, sizeof(room), "%" PRIu64 "us", us);
    else if (us < 1000000)
        snprintf(room, sizeof(room), "%.1fms", (double)us / 1e3);
    else
        snprintf(room, sizeof(room), "%.2fs", (double)us / 1e6);
    fprintf(out, "%10s", room);
}

static const struct {
    const char *name, *json;
    uint32_t of_100000;
} PERCENTILES[] = {
    {"p50", "p50_us", 50000},    {"p90", "p90_us", 90000},      {"p99", "p99_us", 99000},
    {"p99.9", "p999_us", 99900}, {"slowest", "max_us", 100000},
};
#define PERCENTILE_COUNT (sizeof(PERCENTILES) / sizeof(PERCENTILES[0]))

static void show_times(FILE *out, const char *name, const struct logtool_histogram *histogram)
{
    if (histogram->count == 0)
        return;
    fprintf(out, "  %-*s", NAME_WIDTH, name);
    for (size_t i = 0; i < PERCENTILE_COUNT; i++)
        show_time(out, logtool_histogram_percentile(histogram, PERCENTILES[i].of_100000));
    fputc('\n', out);
}

static void show_histogram(FILE *out, const struct logtool_histogram *histogram)
{
    uint64_t most = 1;
    unsigned first = 64, last = 0;
    for (unsigned power = 0; power < 38; power++) {
        uint64_t count = logtool_histogram_octave(histogram, power);
        if (count == 0)
            continue;
        first = power < first ? power : first;
        last = power;
        most = count > most ? count : most;
    }
    if (first == 64)
        return;
    fputs("\n  how long requests took, in all\n", out);
    for (unsigned power = first; power <= last; power++) {
        uint64_t count = logtool_histogram_octave(histogram, power);
        unsigned bar = (unsigned)((count * BAR_WIDTH + most - 1) / most);
        fputs("    up to", out);
        show_time(out, UINT64_C(2) << power);
        fprintf(out, " %10" PRIu64 " %.*s\n", count, (int)bar,
                "########################################");
    }
}

static void show_rows(FILE *out, const struct logtool_report *report,
                      const struct logtool_rows *rows, const char *head, bool has_errors)
{
    if (rows->count == 0)
        return;
    fprintf(out, "\n  %-*s%10s%10s%8s%10s", NAME_WIDTH, head, "requests", "refused", "", "near");
    fprintf(out, has_errors ? "%10s\n" : "\n", "5xx");
    for (unsigned i = 0; i < rows->count; i++) {
        const struct logtool_row *row = &rows->rows[i];
        fputs("  ", out);
        logtool_show_column(out, name_of(report, row->name), NAME_WIDTH);
        fprintf(out, "%10" PRIu64 "%10" PRIu64 "%7.1f%%%10" PRIu64, row->requests, row->refused,
                percent(row->refused, row->requests), row->near);
        if (has_errors)
            fprintf(out, "%10" PRIu64, row->errors);
        fputc('\n', out);
    }
}

static void show_quota(FILE *out, const struct logtool_report *report,
                       const struct logtool_report_quota *quota)
{
    fputs("\n  quota ", out);
    logtool_show_column(out, name_of(report, quota->name), NAME_WIDTH - 6);
    fprintf(out, "%10s%10s%10s   %" PRIu64 " subjects, %" PRIu64 " refused\n", "admitted",
            "refused", "near", quota->subjects, quota->refused_subjects);
    for (unsigned i = 0; i < quota->top_count; i++) {
        const struct logtool_book *book = logtool_books_at(&report->books, quota->top[i]);
        fputs("    ", out);
        logtool_show_column(out, subject_of(report, book), NAME_WIDTH - 2);
        fprintf(out, "%10" PRIu64 "%10" PRIu32 "%10" PRIu32 "\n", book->kept, book->refused,
                book->near);
    }
}

static void show_ends(FILE *out, const struct logtool_report *report)
{
    if (report->ends.count == 0)
        return;
    fprintf(out, "\n  %-*s%10s\n", NAME_WIDTH, "how they ended", "requests");
    for (unsigned i = 0; i < report->ends.count; i++) {
        fputs("  ", out);
        logtool_show_column(out, name_of(report, report->ends.rows[i].name), NAME_WIDTH);
        fprintf(out, "%10" PRIu64 "\n", report->ends.rows[i].requests);
    }
}

static void show_sums(FILE *out, const struct logtool_report *report)
{
    fprintf(out, "%" PRIu64 " requests:", report->requests);
    for (unsigned i = 0; i < LOGTOOL_DECISIONS; i++)
        if (report->decisions[i] != 0)
            fprintf(out, " %s %" PRIu64, LOGTOOL_DECISION_WORDS[i].ptr, report->decisions[i]);
    fputs("; status", out);
    for (unsigned i = 1; i < 6; i++)
        if (report->statuses[i] != 0)
            fprintf(out, " %uxx %" PRIu64, i, report->statuses[i]);
    if (report->statuses[0] != 0)
        fprintf(out, " none %" PRIu64, report->statuses[0]);
    fputc('\n', out);
}

static void show_all_times(FILE *out, const struct logtool_report *report)
{
    if (report->total.count == 0)
        return;
    fprintf(out, "\n  %-*s", NAME_WIDTH, "times");
    for (size_t i = 0; i < PERCENTILE_COUNT; i++)
        fprintf(out, "%10s", PERCENTILES[i].name);
    fputc('\n', out);
    show_times(out, "in all", &report->total);
    show_times(out, "store", &report->store);
    show_times(out, "server, to its first byte", &report->first);
    for (unsigned i = 0; i < report->routes.count; i++) {
        struct span route = name_of(report, report->routes.rows[i].name);
        if (report->routes.rows[i].times == NULL)
            continue;
        fputs("  ", out);
        logtool_show_column(out, route, NAME_WIDTH);
        for (size_t k = 0; k < PERCENTILE_COUNT; k++)
            show_time(out, logtool_histogram_percentile(report->routes.rows[i].times,
                                                        PERCENTILES[k].of_100000));
        fputc('\n', out);
    }
    show_histogram(out, &report->total);
}

static void show_report(FILE *out, const void *arg)
{
    const struct logtool_report_shown *shown = arg;
    const struct logtool_report *report = shown->report;
    logtool_show_reading(out, shown->reading);
    show_sums(out, report);
    logtool_show_gaps(out, report->gaps, LOGTOOL_GAPS_TOLD, report->gap_count, report->missing);
    if (report->seq.duplicates != 0)
        fprintf(out, "twice: %" PRIu64 " lines, counted once\n", report->seq.duplicates);
    show_rows(out, report, &report->routes, "route", true);
    show_rows(out, report, &report->windows, "quota/window", false);
    show_rows(out, report, &report->tiers, "tier", false);
    for (unsigned i = 0; i < report->quota_count; i++)
        show_quota(out, report, &report->quotas[i]);
    show_ends(out, report);
    show_all_times(out, report);
}

char *logtool_report_text(const struct logtool_report *report,
                          const struct logtool_reading *reading)
{
    return logtool_show_whole(show_report, &(struct logtool_report_shown){report, reading});
}

/* ---- JSON ---- */

static json_t *times_json(const struct logtool_histogram *histogram)
{
    json_t *json = json_object();
    logtool_show_number(&json, "count", histogram->count);
    for (size_t i = 0; i < PERCENTILE_COUNT; i++)
        logtool_show_number(&json, PERCENTILES[i].json,
                            logtool_histogram_percentile(histogram, PERCENTILES[i].of_100000));
    return json;
}

/* [[2, 17], ...]: so many took less than so many us, and not less than half of it. */
static json_t *octaves_json(const struct logtool_histogram *histogram)
{
    json_t *list = json_array();
    for (unsigned power = 0; power < 38; power++) {
        uint64_t count = logtool_histogram_octave(histogram, power);
        if (count == 0)
            continue;
        config_json_append(
            &list, json_pack("[II]", (json_int_t)(UINT64_C(2) << power), (json_int_t)count));
    }
    return list;
}

/* {"step_s", "steps": [[since 1970, requests, refused], ...]}; steps without requests are left out. */
static json_t *over_time_json(const struct logtool_timeline *line)
{
    json_t *json = json_object(), *list = json_array();
    for (unsigned i = line->first; line->width_s != 0 && i <= line->last; i++) {
        const struct logtool_timeline_step *step = &line->steps[i];
        const uint64_t begin_s = line->from_s + i * line->width_s;
        if (step->requests != 0)
            config_json_append(&list,
                               json_pack("[III]", (json_int_t)begin_s, (json_int_t)step->requests,
                                         (json_int_t)step->refused));
    }
    logtool_show_number(&json, "step_s", line->width_s);
    config_json_set(&json, "steps", list);
    return json;
}

static json_t *rows_json(const struct logtool_report *report, const struct logtool_rows *rows)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < rows->count; i++) {
        const struct logtool_row *row = &rows->rows[i];
        json_t *json = json_object();
        config_json_set(&json, "name", logtool_show_string(name_of(report, row->name)));
        logtool_show_number(&json, "requests", row->requests);
        logtool_show_number(&json, "refused", row->refused);
        logtool_show_number(&json, "near", row->near);
        logtool_show_number(&json, "errors", row->errors);
        if (row->times != NULL)
            config_json_set(&json, "t_total", times_json(row->times));
        config_json_append(&list, json);
    }
    return list;
}

static json_t *top_json(const struct logtool_report *report,
                        const struct logtool_report_quota *quota)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < quota->top_count; i++) {
        const struct logtool_book *book = logtool_books_at(&report->books, quota->top[i]);
        json_t *json = json_object();
        config_json_set(&json, "subject", logtool_show_string(subject_of(report, book)));
        logtool_show_number(&json, "admitted", book->kept);
        logtool_show_number(&json, "refused", book->refused);
        logtool_show_number(&json, "near", book->near);
        config_json_append(&list, json);
    }
    return list;
}

static json_t *quotas_json(const struct logtool_report *report)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < report->quota_count; i++) {
        const struct logtool_report_quota *quota = &report->quotas[i];
        json_t *json = json_object();
        config_json_set(&json, "quota", logtool_show_string(name_of(report, quota->name)));
        logtool_show_number(&json, "subjects", quota->subjects);
        logtool_show_number(&json, "refused_subjects", quota->refused_subjects);
        config_json_set(&json, "top", top_json(report, quota));
        config_json_append(&list, json);
    }
    return list;
}

char *logtool_report_json(const struct logtool_report *report,
                          const struct logtool_reading *reading)
{
    json_t *json = logtool_show_reading_json(reading);
    json_t *decisions = json_object(), *statuses = json_object(), *times = json_object();
    for (unsigned i = 0; i < LOGTOOL_DECISIONS; i++)
        logtool_show_number(&decisions, LOGTOOL_DECISION_WORDS[i].ptr, report->decisions[i]);
    static const char *const classes[] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
    for (unsigned i = 0; i < 6; i++)
        logtool_show_number(&statuses, classes[i], report->statuses[i]);
    config_json_set(&times, "t_total", times_json(&report->total));
    config_json_set(&times, "t_store", times_json(&report->store));
    config_json_set(&times, "t_first", times_json(&report->first));
    logtool_show_number(&json, "requests", report->requests);
    config_json_set(&json, "decisions", decisions);
    config_json_set(&json, "statuses", statuses);
    config_json_set(&json, "routes", rows_json(report, &report->routes));
    config_json_set(&json, "windows", rows_json(report, &report->windows));
    config_json_set(&json, "tiers", rows_json(report, &report->tiers));
    config_json_set(&json, "ends", rows_json(report, &report->ends));
    config_json_set(&json, "quotas", quotas_json(report));
    config_json_set(&json, "times", times);
    config_json_set(&json, "histogram", octaves_json(&report->total));
    config_json_set(&json, "over_time", over_time_json(&report->over_time));
    logtool_show_number(&json, "killed", logtool_seq_killed(&report->seq));
    config_json_set(&json, "missing",
                    logtool_show_gaps_json(report->gaps, LOGTOOL_GAPS_TOLD, report->gap_count,
                                           report->missing));
    logtool_show_number(&json, "duplicates", report->seq.duplicates);
    return logtool_show_line(json);
}
