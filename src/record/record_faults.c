/* SPDX-License-Identifier: Apache-2.0 */
/* record_faults.c - see record_faults.h.  What may be shown of a message that nobody could parse. */
#include "record/record_faults.h"

#include <string.h>

#include "base/base_ascii.h"

/* Values of these say how a message is framed, and are no secret. */
static const char *const OPEN_FIELDS[] = {
    "host",   "content-length", "transfer-encoding", "connection", "proxy-connection", "keep-alive",
    "te",     "trailer",        "upgrade",           "expect",     "content-type",     "date",
    "server", "max-forwards",
};

bool record_faults_may(struct record_faults *faults, uint64_t wall_us)
{
    const uint64_t second = wall_us / 1000000;
    if (faults->second != second) {
        faults->second = second;
        faults->in_second = 0;
    }
    if (faults->in_second >= RECORD_FAULTS_PER_S) {
        faults->skipped++;
        return false;
    }
    faults->in_second++;
    return true;
}

/* ---- masking ---- */

/* The part of a message that is looked at, and which of its bytes are hidden. */
struct view {
    const char *bytes; /* of the message */
    size_t from, to;
    uint64_t masked;
};

static bool is_break(char byte)
{
    return byte == '\r' || byte == '\n';
}

static bool is_visible(char byte)
{
    return (unsigned char)byte > ' ' && byte != 0x7f;
}

static void mask(struct view *view, size_t from, size_t to)
{
    for (size_t i = from > view->from ? from : view->from; i < to && i < view->to; i++) {
        if (is_visible(view->bytes[i]))
            view->masked |= UINT64_C(1) << (i - view->from);
    }
}

/* Who a URL or an authority names before its "@". */
static void mask_user(struct view *view, size_t from, size_t to)
{
    for (size_t i = to; i > from; i--) {
        if (view->bytes[i - 1] == '@') {
            mask(view, from, i - 1);
            return;
        }
    }
}

static size_t version_at(const struct view *view, size_t from, size_t to)
{
    for (size_t i = to; i >= from + 6; i--) {
        if (memcmp(view->bytes + i - 6, " HTTP/", 6) == 0)
            return i - 6;
    }
    return to;
}

/* "METHOD target HTTP/1.1" or "HTTP/1.1 200 OK". */
static void mask_first_line(struct view *view, size_t to)
{
    const char *bytes = view->bytes;
    size_t method = 0;
    if (to >= 5 && memcmp(bytes, "HTTP/", 5) == 0)
        return;
    while (method < to && ascii_is_letter(bytes[method]))
        method++;
    size_t target = method + 1;
    bool is_request = method != 0 && method <= 16 && target < to && bytes[method] == ' ' &&
                      (bytes[target] == '/' || bytes[target] == '*' ||
                       memcmp(bytes + target, "http", to - target < 4 ? to - target : 4) == 0);
    if (!is_request) {
        mask(view, 0, to);
        return;
    }
    size_t end = version_at(view, target, to), query = target;
    while (query < end && bytes[query] != '?' && bytes[query] != '#')
        query++;
    mask(view, query < end ? query + 1 : end, end);
    mask_user(view, target, query);
}

static void mask_field(struct view *view, size_t from, size_t to)
{
    size_t colon = from;
    while (colon < to && view->bytes[colon] != ':')
        colon++;
    if (colon == from || colon == to || view->bytes[from] == ' ' || view->bytes[from] == '\t') {
        mask(view, from, to); /* a part of the field before it, or nobody knows what */
        return;
    }
    struct span name = {view->bytes + from, colon - from};
    while (name.len != 0 && (name.ptr[name.len - 1] == ' ' || name.ptr[name.len - 1] == '\t'))
        name.len--;
    for (size_t i = 0; i < sizeof(OPEN_FIELDS) / sizeof(OPEN_FIELDS[0]); i++) {
        if (span_eq_nocase(name, span_of(OPEN_FIELDS[i]))) {
            mask_user(view, colon + 1, to);
            return;
        }
    }
    mask(view, colon + 1, to);
}

/* Line by line; a line ends at CR or LF, together or alone. */
static void mask_lines(struct view *view, size_t len)
{
    size_t from = view->from, to;
    while (from > 0 && !is_break(view->bytes[from - 1]))
        from--;
    for (; from < view->to; from = to + 1) {
        for (to = from; to < len && !is_break(view->bytes[to]);)
            to++;
        if (from == 0)
            mask_first_line(view, to);
        else if (to != from)
            mask_field(view, from, to);
    }
}

/* A letter or digit at fault may be part of a secret; what separates is what one looks for. */
static void show_byte(struct view *view, size_t at)
{
    if (at >= view->from && at < view->to && !ascii_is_word(view->bytes[at]))
        view->masked &= ~(UINT64_C(1) << (at - view->from));
}

static void add_window(struct record_faults_row *row, struct span seen)
{
    struct view view = {.bytes = seen.ptr};
    const size_t at = row->offset < seen.len ? row->offset : seen.len;
    view.from = at > RECORD_FAULTS_BEFORE ? at - RECORD_FAULTS_BEFORE : 0;
    view.to =
        seen.len - view.from > RECORD_FAULTS_WINDOW ? view.from + RECORD_FAULTS_WINDOW : seen.len;
    mask_lines(&view, seen.len);
    show_byte(&view, at);
    row->from = (uint32_t)view.from;
    row->len = (uint8_t)(view.to - view.from);
    row->masked = view.masked;
    for (size_t i = 0; i < row->len; i++)
        row->bytes[i] = (view.masked >> i & 1) != 0 ? '*' : seen.ptr[view.from + i];
}

void record_faults_add(struct record_faults *faults, uint64_t wall_us, bool is_response,
                       const struct http_fault *fault, struct span sender, const char *id,
                       struct span seen)
{
    struct record_faults_row *row = &faults->rows[faults->count++ % RECORD_FAULTS];
    *row = (struct record_faults_row){
        .wall_us = wall_us,
        .is_response = is_response,
        .fault = (uint16_t)fault->id,
        .offset = fault->offset,
    };
    row->sender_len =
        (uint8_t)(sender.len < sizeof(row->sender) ? sender.len : sizeof(row->sender));
    if (row->sender_len != 0)
        memcpy(row->sender, sender.ptr, row->sender_len);
    memcpy(row->id, id, sizeof(row->id));
    if (seen.len != 0)
        add_window(row, seen);
}
