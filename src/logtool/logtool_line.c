/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_line.c - see logtool_line.h.  A table says which member goes where. */
#include "logtool/logtool_line.h"

#include <stddef.h>

#include "base/base_fmt.h"
#include "base/base_parse.h"

const struct span LOGTOOL_DECISION_WORDS[LOGTOOL_DECISIONS] = {
    [LOGTOOL_NONE] = {"none", 4},
    [LOGTOOL_ALLOW] = {"allow", 5},
    [LOGTOOL_REFUSE] = {"refuse", 6},
    [LOGTOOL_EXEMPT] = {"exempt", 6},
    [LOGTOOL_DEGRADED_ALLOW] = {"degraded_allow", 14},
    [LOGTOOL_DEGRADED_REFUSE] = {"degraded_refuse", 15},
};

/* A member is put by a function: into the place, which is in the line or in one of its windows. */
typedef bool (*put_fn)(struct logtool_line *line, const struct logtool_value *value, void *place);

struct row {
    struct span name;
    put_fn put;
    size_t offset;
};

/* Members come in the order of their table, so the search begins behind the last one found. */
struct rows {
    const struct row *rows;
    unsigned count, next;
};

static const struct row *rows_find(struct rows *rows, struct span name)
{
    for (unsigned i = 0; i < rows->count; i++) {
        unsigned at = rows->next + i < rows->count ? rows->next + i : rows->next + i - rows->count;
        if (span_eq(rows->rows[at].name, name)) {
            rows->next = at + 1 < rows->count ? at + 1 : 0;
            return &rows->rows[at];
        }
    }
    return NULL;
}

static bool put_all(struct logtool_line *line, struct span text, const struct row *table,
                    unsigned count, void *base)
{
    struct rows rows = {.rows = table, .count = count};
    struct logtool_scan scan;
    struct logtool_value value;
    struct span name;
    logtool_scan_open(&scan, text);
    while (logtool_scan_member(&scan, &name, &value)) {
        const struct row *row = rows_find(&rows, name);
        if (row != NULL && !row->put(line, &value, (char *)base + row->offset))
            return false;
    }
    return logtool_scan_is_done(&scan);
}

static bool put_text(struct logtool_line *line, const struct logtool_value *value, void *place)
{
    struct span *text = place;
    if (value->kind != LOGTOOL_STRING)
        return false;
    *text = value->text;
    if (!value->is_escaped)
        return true;
    if (value->text.len > sizeof(line->texts) - line->texts_len)
        return false;
    text->ptr = line->texts + line->texts_len;
    text->len = logtool_scan_unescape(value, line->is_bytes, line->texts + line->texts_len);
    line->texts_len += text->len;
    return true;
}

static bool put_number(struct logtool_line *line, const struct logtool_value *value, void *place)
{
    (void)line;
    return logtool_scan_number(value, place);
}

static bool put_truth(struct logtool_line *line, const struct logtool_value *value, void *place)
{
    (void)line;
    *(bool *)place = value->kind == LOGTOOL_TRUE;
    return value->kind == LOGTOOL_TRUE || value->kind == LOGTOOL_FALSE;
}

static bool put_decision(struct logtool_line *line, const struct logtool_value *value, void *place)
{
    (void)place;
    for (unsigned i = 0; i < LOGTOOL_DECISIONS; i++) {
        if (value->kind == LOGTOOL_STRING && span_eq(value->text, LOGTOOL_DECISION_WORDS[i])) {
            line->decision = (enum logtool_decision)i;
            return true;
        }
    }
    return false;
}

static bool put_subjects(struct logtool_line *line, const struct logtool_value *value, void *place)
{
    struct logtool_scan scan;
    struct logtool_value text;
    struct span name;
    (void)place;
    line->subject_count = 0;
    logtool_scan_open(&scan, value->text);
    if (value->kind != LOGTOOL_OBJECT)
        return false;
    while (logtool_scan_member(&scan, &name, &text)) {
        if (line->subject_count == LOGTOOL_SUBJECTS_MAX)
            return false;
        struct span_pair *pair = &line->subjects[line->subject_count++];
        pair->name = name;
        if (!put_text(line, &text, &pair->value))
            return false;
    }
    return logtool_scan_is_done(&scan);
}

static bool put_refused_by(struct logtool_line *line, const struct logtool_value *value,
                           void *place)
{
    struct logtool_scan scan;
    struct logtool_value text;
    (void)place;
    line->refused_by_count = 0;
    logtool_scan_open(&scan, value->text);
    if (value->kind != LOGTOOL_LIST)
        return false;
    while (logtool_scan_item(&scan, &text)) {
        if (line->refused_by_count == LOGTOOL_WINDOWS_MAX ||
            !put_text(line, &text, &line->refused_by[line->refused_by_count++]))
            return false;
    }
    return logtool_scan_is_done(&scan);
}

static bool put_source(struct logtool_line *line, const struct logtool_value *value, void *place)
{
    (void)line;
    *(bool *)place = span_eq(value->text, SPAN("local"));
    return value->kind == LOGTOOL_STRING;
}

static bool put_mode(struct logtool_line *line, const struct logtool_value *value, void *place)
{
    (void)line;
    *(bool *)place = span_eq(value->text, SPAN("shadow"));
    return value->kind == LOGTOOL_STRING;
}

#define ROW(type, name, put, member)                                                               \
    {                                                                                              \
        {name, sizeof(name) - 1}, put, offsetof(struct type, member)                               \
    }

static const struct row WINDOW_ROWS[] = {
    ROW(logtool_window, "q", put_text, quota),
    ROW(logtool_window, "w", put_text, window),
    ROW(logtool_window, "start", put_number, start_s),
    ROW(logtool_window, "charged", put_number, charged),
    ROW(logtool_window, "used", put_number, used),
    ROW(logtool_window, "limit", put_number, limit),
    ROW(logtool_window, "reset_s", put_number, reset_s),
    ROW(logtool_window, "source", put_source, is_local),
    ROW(logtool_window, "refunded", put_number, refunded),
    ROW(logtool_window, "added", put_number, added),
    ROW(logtool_window, "refused", put_truth, is_refused),
    ROW(logtool_window, "mode", put_mode, is_shadow),
};

static bool put_window(struct logtool_line *line, struct span text)
{
    struct logtool_window *window = &line->windows[line->window_count++];
    *window = (struct logtool_window){.used = UINT64_MAX, .limit = UINT64_MAX};
    window->start_s = UINT64_MAX;
    if (!put_all(line, text, WINDOW_ROWS, sizeof(WINDOW_ROWS) / sizeof(WINDOW_ROWS[0]), window) ||
        window->quota.len == 0 || window->window.len == 0)
        return false;
    window->is_slot = span_eq(window->window, SPAN("in_flight"));
    window->has_numbers = window->used != UINT64_MAX && window->limit != UINT64_MAX &&
                          (window->is_slot || window->start_s <= UINT32_MAX);
    if (window->charged > INT32_MAX || window->refunded > INT32_MAX || window->added > INT32_MAX)
        return false;
    /* What a quota in shadow was told to add may stand without what the store had answered. */
    bool is_untouched = window->charged == 0 && (window->added == 0 || window->is_shadow);
    return window->has_numbers || window->is_slot || is_untouched;
}

static bool put_windows(struct logtool_line *line, const struct logtool_value *value, void *place)
{
    struct logtool_scan scan;
    struct logtool_value window;
    (void)place;
    line->window_count = 0;
    logtool_scan_open(&scan, value->text);
    if (value->kind != LOGTOOL_LIST)
        return false;
    while (logtool_scan_item(&scan, &window)) {
        if (line->window_count == LOGTOOL_WINDOWS_MAX || window.kind != LOGTOOL_OBJECT ||
            !put_window(line, window.text))
            return false;
    }
    return logtool_scan_is_done(&scan);
}

/* As Sluice writes it, to the millisecond. */
static bool put_ts(struct logtool_line *line, const struct logtool_value *value, void *place)
{
    (void)place;
    return value->kind == LOGTOOL_STRING && value->text.len == FMT_RFC3339_MAX &&
           value->text.ptr[FMT_RFC3339_MAX - 5] == '.' &&
           parse_rfc3339_us(value->text, &line->ts_us);
}

static bool put_version(struct logtool_line *line, const struct logtool_value *value, void *place)
{
    (void)line;
    (void)place;
    return span_eq(value->text, SPAN("1"));
}

/* What offline tools look at, in the order of a line; other members are passed over. */
static const struct row LINE_ROWS[] = {
    ROW(logtool_line, "v", put_version, texts),
    ROW(logtool_line, "boot", put_text, boot),
    ROW(logtool_line, "seq", put_number, seq),
    ROW(logtool_line, "ts", put_ts, ts_us),
    ROW(logtool_line, "gen", put_number, generation),
    ROW(logtool_line, "id", put_text, id),
    ROW(logtool_line, "client_ip", put_text, client_ip),
    ROW(logtool_line, "method", put_text, method),
    ROW(logtool_line, "host", put_text, host),
    ROW(logtool_line, "path", put_text, path),
    ROW(logtool_line, "listener", put_text, listener),
    ROW(logtool_line, "route", put_text, route),
    ROW(logtool_line, "upstream", put_text, upstream),
    ROW(logtool_line, "server", put_text, server),
    ROW(logtool_line, "decision", put_decision, decision),
    ROW(logtool_line, "refused_by", put_refused_by, refused_by),
    ROW(logtool_line, "tier", put_text, tier),
    ROW(logtool_line, "near", put_truth, is_near),
    ROW(logtool_line, "cost", put_number, cost),
    ROW(logtool_line, "subjects", put_subjects, subjects),
    ROW(logtool_line, "quotas", put_windows, windows),
    ROW(logtool_line, "status", put_number, status),
    ROW(logtool_line, "end", put_text, end),
    ROW(logtool_line, "t_header", put_number, t_header_us),
    ROW(logtool_line, "t_store", put_number, t_store_us),
    ROW(logtool_line, "t_queue", put_number, t_queue_us),
    ROW(logtool_line, "t_connect", put_number, t_connect_us),
    ROW(logtool_line, "t_first", put_number, t_first_us),
    ROW(logtool_line, "t_total", put_number, t_total_us),
    ROW(logtool_line, "cut", put_truth, is_cut),
    ROW(logtool_line, "charges_whole", put_truth, has_all_charges),
    ROW(logtool_line, "event", put_text, event),
    ROW(logtool_line, "subject", put_text, subject),
    ROW(logtool_line, "identity", put_text, identity),
    ROW(logtool_line, "quota", put_text, quota),
    ROW(logtool_line, "extra", put_number, extra),
    ROW(logtool_line, "for_s", put_number, for_s),
    ROW(logtool_line, "previous_boot", put_text, previous_boot),
    ROW(logtool_line, "previous_seq", put_number, previous_seq),
    ROW(logtool_line, "previous", put_text, previous),
    ROW(logtool_line, "n", put_number, lost),
    ROW(logtool_line, "from_seq", put_number, from_seq),
    ROW(logtool_line, "from_boot", put_text, from_boot),
};

static void line_clear(struct logtool_line *line)
{
    memset(line, 0, offsetof(struct logtool_line, subjects));
    line->subject_count = line->window_count = line->refused_by_count = 0;
    line->texts_len = 0;
    line->seq = line->ts_us = line->generation = UINT64_MAX;
    line->lost = line->from_seq = line->previous_seq = UINT64_MAX;
    line->extra = line->for_s = UINT64_MAX;
    line->cost = line->status = UINT64_MAX;
    line->t_header_us = line->t_store_us = line->t_queue_us = UINT64_MAX;
    line->t_connect_us = line->t_first_us = line->t_total_us = UINT64_MAX;
}

bool logtool_line_parse(struct logtool_line *line, struct span bytes, const char **why)
{
    static const char bytes_end[] = ",\"bytes\":true}";
    const size_t tail = sizeof(bytes_end) - 1;
    line_clear(line);
    *why = "it is too long for a line of Sluice";
    if (bytes.len > LOGTOOL_LINE_MAX)
        return false;
    /* Said at the end, but meant of all before. */
    line->is_bytes = bytes.len > tail && memcmp(bytes.ptr + bytes.len - tail, bytes_end, tail) == 0;
    *why = "it is no JSON object with the fields of an access log";
    if (!put_all(line, bytes, LINE_ROWS, sizeof(LINE_ROWS) / sizeof(LINE_ROWS[0]), line))
        return false;
    *why = "\"boot\", \"seq\" or \"ts\" is missing";
    return line->boot.len != 0 && line->boot.len <= LOGTOOL_BOOT_MAX && line->seq != UINT64_MAX &&
           line->ts_us != UINT64_MAX;
}
