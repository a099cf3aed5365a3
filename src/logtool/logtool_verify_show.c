/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_verify_show.c - what `sluice verify` says.  Takes: a judgement.  Gives: text or JSON.  Every sentence about what was
 * not judged is a row of a table, so that both forms say the same. */
#include <inttypes.h>
#include <stdlib.h>

#include "config/config_json.h"
#include "logtool/logtool_show.h"
#include "logtool/logtool_verify.h"

static const char *const VERDICT_WORDS[] = {
    [LOGTOOL_CLEAN] = "clean",
    [LOGTOOL_INCOMPLETE] = "incomplete",
    [LOGTOOL_EXCESS] = "excess",
    [LOGTOOL_NOTHING] = "nothing",
};

static const char *const VERDICT_SENTENCES[] = {
    [LOGTOOL_CLEAN] = "clean: every window that can be judged admitted no more than its limit, "
                      "and no line is missing",
    [LOGTOOL_INCOMPLETE] = "incomplete: no window in these lines admitted more than its limit, but "
                           "lines or charges are missing",
    [LOGTOOL_EXCESS] = "excess: more was admitted than the limit",
    [LOGTOOL_NOTHING] = "nothing: there is no line to judge",
};

/* ---- what is not judged, or only in part ---- */

static uint64_t count_local(const struct logtool_series *series)
{
    return series->local;
}

static uint64_t count_bucket(const struct logtool_series *series)
{
    bool is_unjudged = series->is_bucket && series->counted.quota == NULL;
    return is_unjudged ? series->charges : 0;
}

static uint64_t count_odd(const struct logtool_series *series)
{
    return series->period_s == 0 && !series->is_slot ? series->charges : 0;
}

static uint64_t count_unnamed(const struct logtool_series *series)
{
    return series->unnamed;
}

static uint64_t count_astray(const struct logtool_series *series)
{
    return series->astray;
}

static uint64_t count_guess(const struct logtool_series *series)
{
    return series->is_guess ? series->charges : 0;
}

static uint64_t count_shadow(const struct logtool_series *series)
{
    return series->is_shadow ? series->charges : 0;
}

static uint64_t count_sliding(const struct logtool_series *series)
{
    const struct quota *quota = series->counted.quota;
    return quota != NULL && quota->algorithm == QUOTA_SLIDING ? series->charges : 0;
}

static uint64_t count_slot(const struct logtool_series *series)
{
    return series->is_slot ? series->charges : 0;
}

static const struct {
    const char *name, *sentence;
    uint64_t (*count)(const struct logtool_series *series);
} DOUBTS[] = {
    {"local", "were admitted without the store: their bound is the proxy's share, not the limit",
     count_local},
    {"bucket", "are of a token bucket, whose size only a configuration tells (-c FILE)",
     count_bucket},
    {"window", "are of a window that is none of the calendar", count_odd},
    {"start",
     "began within a window, like those of a token bucket, which the configuration says it is not",
     count_astray},
    {"unnamed", "stand in lines that do not show the subject", count_unnamed},
    {"key",
     "are of a quota that no configuration has: judged by all identities of the line together, so "
     "that an excess is one, but a subject may have had more (-c FILE)",
     count_guess},
    {"shadow", "are of a quota in shadow: what the store answered after the line is not in it",
     count_shadow},
    {"sliding", "are of a sliding window: judged by calendar windows alone", count_sliding},
    {"in_flight", "are slots: judged by the count in each line alone", count_slot},
};
#define DOUBT_COUNT (sizeof(DOUBTS) / sizeof(DOUBTS[0]))

/* ---- text ---- */

static size_t show_series_name(FILE *out, const struct logtool_verify *verify,
                               const struct logtool_series *series)
{
    size_t width = logtool_show_text(out, logtool_names_text(&verify->names, series->quota));
    fputc('/', out);
    return width + 1 + logtool_show_text(out, logtool_names_text(&verify->names, series->window));
}

static struct span subject_shown(const struct logtool_verify *verify,
                                 const struct logtool_book *book)
{
    return logtool_subject_show(verify->room, logtool_names_text(&verify->names, book->subject));
}

static void show_series(FILE *out, const struct logtool_verify *verify,
                        const struct logtool_series *series)
{
    fputs("  ", out);
    size_t width = show_series_name(out, verify, series);
    fprintf(out, "%*s %10" PRIu64, width < 28 ? (int)(28 - width) : 1, "", series->windows);
    if (series->fullest.limit != 0) {
        char fullest[48];
        snprintf(fullest, sizeof(fullest), "%" PRIu64 "/%" PRIu32, series->fullest.kept,
                 series->fullest.limit);
        fprintf(out, "  %14s  ", fullest);
        logtool_show_text(out, subject_shown(verify, &series->fullest));
    }
    if (series->excess != 0)
        fprintf(out, "  EXCESS in %" PRIu64, series->excess);
    fputc('\n', out);
}

static void show_excess(FILE *out, const struct logtool_verify *verify)
{
    for (unsigned i = 0; i < LOGTOOL_EXCESS_SHOWN && i < verify->excess_count; i++) {
        const struct logtool_excess *excess = &verify->excess[i];
        fputs("excess: ", out);
        show_series_name(out, verify, &verify->series[excess->book.series]);
        fputs(" from ", out);
        logtool_show_second(out, excess->book.start_s);
        fputs(": ", out);
        logtool_show_text(out, subject_shown(verify, &excess->book));
        fprintf(out, " was admitted %" PRIu64 " of %" PRIu64 ": %" PRIu64 " too many\n",
                excess->book.kept, excess->allowed, excess->book.kept - excess->allowed);
    }
    if (verify->excess_count > LOGTOOL_EXCESS_SHOWN)
        fprintf(out, "excess: in %" PRIu64 " windows in all\n", verify->excess_count);
}

/* Where the numbers are known, dropped lines are among the lost ones. */
static void show_incomplete(FILE *out, const struct logtool_verify *verify)
{
    if (verify->seq.told_lost != 0)
        fprintf(out, "dropped: the log says that %" PRIu64 " lines were not written%s\n",
                verify->seq.told_lost,
                verify->seq.told_apart == 0 ? ": they are among the lost ones" : "");
    if (logtool_seq_killed(&verify->seq) != 0)
        fprintf(out,
                "killed: %u boots ended with parent and child killed at once: what they had not "
                "written yet is lost\n",
                logtool_seq_killed(&verify->seq));
    if (verify->cut != 0)
        fprintf(out,
                "cut: %" PRIu64
                " lines may have had no room for all that was charged, and to whom\n",
                verify->cut);
}

static void show_doubts(FILE *out, const struct logtool_verify *verify)
{
    for (unsigned i = 0; i < verify->series_count; i++) {
        const struct logtool_series *series = &verify->series[i];
        for (size_t k = 0; k < DOUBT_COUNT; k++) {
            uint64_t count = DOUBTS[k].count(series);
            if (count == 0)
                continue;
            fputs("note: ", out);
            show_series_name(out, verify, series);
            fprintf(out, ": %" PRIu64 " charges %s\n", count, DOUBTS[k].sentence);
        }
        if (series->unsure == 0)
            continue;
        fputs("note: ", out);
        show_series_name(out, verify, series);
        fprintf(out,
                ": %" PRIu64 " windows are at their limit only if what was given back after their "
                "end still counted in them\n",
                series->unsure);
    }
}

struct shown {
    const struct logtool_verify *verify;
    const struct logtool_reading *reading;
    enum logtool_verdict verdict;
};

static void show_judgement(FILE *out, const void *arg)
{
    const struct shown *shown = arg;
    const struct logtool_verify *verify = shown->verify;
    logtool_show_reading(out, shown->reading);
    if (verify->series_count != 0)
        fprintf(out, "\n  %-28s %10s  %14s\n", "quota/window", "windows", "fullest");
    for (unsigned i = 0; i < verify->series_count; i++)
        show_series(out, verify, &verify->series[i]);
    if (verify->series_count != 0)
        fputc('\n', out);
    show_excess(out, verify);
    logtool_show_gaps(out, verify->gaps, LOGTOOL_GAPS_SHOWN, verify->gap_count, verify->missing);
    show_incomplete(out, verify);
    if (verify->seq.duplicates != 0)
        fprintf(out, "twice: %" PRIu64 " lines, counted once\n", verify->seq.duplicates);
    show_doubts(out, verify);
    fprintf(out, "%s\n", VERDICT_SENTENCES[shown->verdict]);
}

char *logtool_verify_text(const struct logtool_verify *verify,
                          const struct logtool_reading *reading, enum logtool_verdict verdict)
{
    return logtool_show_whole(show_judgement, &(struct shown){verify, reading, verdict});
}

/* ---- JSON ---- */

static void set_name(json_t **json, const char *key, const struct logtool_verify *verify,
                     uint32_t name)
{
    config_json_set(json, key, logtool_show_string(logtool_names_text(&verify->names, name)));
}

static json_t *doubts_json(const struct logtool_series *series)
{
    json_t *json = json_object();
    for (size_t k = 0; k < DOUBT_COUNT; k++) {
        uint64_t count = DOUBTS[k].count(series);
        if (count != 0)
            logtool_show_number(&json, DOUBTS[k].name, count);
    }
    if (series->unsure != 0)
        logtool_show_number(&json, "late_windows", series->unsure);
    return json;
}

static json_t *series_json(const struct logtool_verify *verify, const struct logtool_series *series)
{
    json_t *json = json_object();
    set_name(&json, "quota", verify, series->quota);
    set_name(&json, "window", verify, series->window);
    logtool_show_number(&json, "charges", series->charges);
    logtool_show_number(&json, "windows", series->windows);
    logtool_show_number(&json, "excess", series->excess);
    logtool_show_number(&json, "reset_windows", series->resets);
    logtool_show_number(&json, "settled_windows", series->settled);
    if (series->fullest.limit != 0) {
        json_t *fullest = json_object();
        config_json_set(&fullest, "subject",
                        logtool_show_string(subject_shown(verify, &series->fullest)));
        logtool_show_number(&fullest, "start", series->fullest.start_s);
        logtool_show_number(&fullest, "admitted", series->fullest.kept);
        logtool_show_number(&fullest, "limit", series->fullest.limit);
        config_json_set(&json, "fullest", fullest);
    }
    config_json_set(&json, "not_judged", doubts_json(series));
    return json;
}

static json_t *excess_json(const struct logtool_verify *verify)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < LOGTOOL_EXCESS_SHOWN && i < verify->excess_count; i++) {
        const struct logtool_excess *excess = &verify->excess[i];
        const struct logtool_series *series = &verify->series[excess->book.series];
        json_t *json = json_object();
        set_name(&json, "quota", verify, series->quota);
        set_name(&json, "window", verify, series->window);
        logtool_show_number(&json, "start", excess->book.start_s);
        config_json_set(&json, "subject",
                        logtool_show_string(subject_shown(verify, &excess->book)));
        logtool_show_number(&json, "admitted", excess->book.kept);
        logtool_show_number(&json, "limit", excess->allowed);
        logtool_show_number(&json, "over", excess->book.kept - excess->allowed);
        config_json_append(&list, json);
    }
    return list;
}

char *logtool_verify_json(const struct logtool_verify *verify,
                          const struct logtool_reading *reading, enum logtool_verdict verdict)
{
    json_t *json = logtool_show_reading_json(reading), *list = json_array();
    config_json_set(&json, "verdict", json_string(VERDICT_WORDS[verdict]));
    logtool_show_number(&json, "requests", verify->requests);
    logtool_show_number(&json, "windows", verify->windows);
    logtool_show_number(&json, "excess_windows", verify->excess_count);
    for (unsigned i = 0; i < verify->series_count; i++)
        config_json_append(&list, series_json(verify, &verify->series[i]));
    config_json_set(&json, "quotas", list);
    config_json_set(&json, "excess", excess_json(verify));
    config_json_set(&json, "missing",
                    logtool_show_gaps_json(verify->gaps, LOGTOOL_GAPS_SHOWN, verify->gap_count,
                                           verify->missing));
    logtool_show_number(&json, "told_lost", verify->seq.told_lost);
    logtool_show_number(&json, "killed", logtool_seq_killed(&verify->seq));
    logtool_show_number(&json, "cut", verify->cut);
    logtool_show_number(&json, "duplicates", verify->seq.duplicates);
    return logtool_show_line(json);
}
