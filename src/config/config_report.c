/* SPDX-License-Identifier: Apache-2.0 */
/* config_report.c - takes: notes in any order.  Gives: them sorted, with line, column, source line and
 * caret.  Never: writes a control byte or broken UTF-8 that came from the file. */
#include "config/config_report.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/base_fmt.h"
#include "config/config_utf8.h"

#define REPORT_BYTES_MAX   ((size_t)8 << 20)
#define REPORT_COLUMNS_MAX 120 /* of a source line that is shown */

void config_report_init(struct config_report *report)
{
    *report = (struct config_report){0};
    report->hidden_end = &report->hidden;
    arena_init(&report->arena, NULL, 0, REPORT_BYTES_MAX);
}

void config_report_fini(struct config_report *report)
{
    arena_fini(&report->arena);
}

void config_report_add(struct config_report *report, enum config_severity severity, size_t off,
                       size_t len, struct span pointer, struct span message)
{
    unsigned order = report->errors + report->warnings;
    if (severity == CONFIG_ERROR)
        report->errors++;
    else
        report->warnings++;
    if (report->notes == NULL)
        report->notes = arena_take(&report->arena, CONFIG_NOTES_MAX * sizeof(*report->notes));
    if (report->notes == NULL) {
        report->is_out_of_memory = true;
        return;
    }
    if (report->note_count == CONFIG_NOTES_MAX)
        return;
    struct config_note note = {severity, order, off, len, SPAN_NONE, SPAN_NONE};
    note.pointer = arena_copy(&report->arena, pointer);
    note.message = arena_copy(&report->arena, message);
    if (note.pointer.ptr == NULL || note.message.ptr == NULL) {
        report->is_out_of_memory = true;
        return;
    }
    report->notes[report->note_count++] = note;
}

void config_report_hide(struct config_report *report, size_t off, size_t len)
{
    struct config_hidden *hidden = arena_take(&report->arena, sizeof(*hidden));
    if (hidden == NULL) {
        report->is_out_of_memory = true;
        return;
    }
    *hidden = (struct config_hidden){.off = off, .len = len};
    *report->hidden_end = hidden;
    report->hidden_end = &hidden->next;
}

static int compare_notes(const void *left, const void *right)
{
    const struct config_note *a = left, *b = right;
    if (a->off != b->off)
        return a->off < b->off ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

/* Where a reading of the file stands.  Notes come sorted, so the file is walked once. */
struct place {
    struct span text;
    size_t at, line_begin;
    unsigned line;
    const struct config_hidden *hidden; /* the first that ends behind line_begin */
};

static void place_move(struct place *place, size_t off)
{
    while (place->at < off) {
        if (place->text.ptr[place->at++] != '\n')
            continue;
        place->line++;
        place->line_begin = place->at;
    }
    while (place->hidden != NULL && place->hidden->off + place->hidden->len <= place->line_begin)
        place->hidden = place->hidden->next;
}

static bool is_hidden(const struct place *place, size_t off)
{
    const struct config_hidden *hidden = place->hidden;
    while (hidden != NULL && hidden->off + hidden->len <= off)
        hidden = hidden->next;
    return hidden != NULL && off >= hidden->off;
}

static struct span place_line(const struct place *place)
{
    struct span rest = {place->text.ptr + place->line_begin, place->text.len - place->line_begin};
    rest.len = span_find(rest, '\n');
    if (rest.len > 0 && rest.ptr[rest.len - 1] == '\r')
        rest.len--;
    return rest;
}

/* Characters, as editors count them; a byte that is not UTF-8 counts as one. */
static unsigned count_columns(struct span text)
{
    unsigned columns = 0;
    for (size_t i = 0; i < text.len; columns++)
        i += config_utf8_step((struct span){text.ptr + i, text.len - i});
    return columns;
}

/* One character of the file as one column of a terminal. */
static void put_char(FILE *out, struct span text, size_t len)
{
    unsigned char c = (unsigned char)text.ptr[0];
    if (len == 1 && (c < 0x20 || c >= 0x7f))
        fputc(c == '\t' ? ' ' : '?', out);
    else if (c == 0xc2 && (unsigned char)text.ptr[1] < 0xa0) /* U+0080..U+009F, C1 controls */
        fputc('?', out);
    else
        fwrite(text.ptr, 1, len, out);
}

/* The source line around the note and the caret under it. */
static void put_source(FILE *out, const struct place *place, size_t off, size_t len)
{
    struct span line = place_line(place);
    struct span before = {line.ptr, off < line.len ? off : line.len};
    struct span marked = {line.ptr + before.len, line.len - before.len};
    if (marked.len > len)
        marked.len = len;
    unsigned column = count_columns(before), width = count_columns(marked);
    unsigned first = 0, last = REPORT_COLUMNS_MAX;
    if (column + (width < 40 ? width : 40) > REPORT_COLUMNS_MAX - 3) {
        first = column - REPORT_COLUMNS_MAX / 3;
        last = first + REPORT_COLUMNS_MAX;
    }

    fprintf(out, "%5u | %s", place->line, first > 0 ? "..." : "");
    unsigned at = 0;
    for (size_t i = 0; i < line.len; at++) {
        struct span rest = {line.ptr + i, line.len - i};
        size_t step = config_utf8_step(rest);
        if (at >= first && at < last && is_hidden(place, place->line_begin + i))
            fputc('*', out);
        else if (at >= first && at < last)
            put_char(out, rest, step);
        i += step;
    }
    fprintf(out, "%s\n      | %*s", at > last ? "..." : "",
            (int)(column - first + (first > 0 ? 3 : 0)), "");
    fputc('^', out);
    for (unsigned i = 1; i < width && column + i < last; i++)
        fputc('~', out);
    fputc('\n', out);
}

static void put_count(FILE *out, unsigned count, const char *noun)
{
    fprintf(out, "%u %s%s", count, noun, count == 1 ? "" : "s");
}

static void put_text(FILE *out, const struct config_report *report, struct span name,
                     struct span text)
{
    struct place place = {.text = text, .line = 1, .hidden = report->hidden};
    for (unsigned i = 0; i < report->note_count; i++) {
        const struct config_note *note = &report->notes[i];
        place_move(&place, note->off);
        struct span before = {text.ptr + place.line_begin, note->off - place.line_begin};
        fprintf(out, "%.*s:%u:%u: %s: %s: %.*s\n", (int)name.len, name.ptr, place.line,
                count_columns(before) + 1, note->severity == CONFIG_ERROR ? "error" : "warning",
                note->pointer.len == 0 ? "/" : note->pointer.ptr, (int)note->message.len,
                note->message.ptr);
        put_source(out, &place, before.len, note->len);
    }
    unsigned unshown = report->errors + report->warnings - report->note_count;
    if (unshown > 0)
        fprintf(out, "... and %u more.\n", unshown);
    if (report->errors + report->warnings == 0)
        return;
    put_count(out, report->errors, "error");
    fputs(", ", out);
    put_count(out, report->warnings, "warning");
    fputs(".\n", out);
}

static void put_json_string(FILE *out, struct span text)
{
    bool cut = false, bytes = false;
    char piece[6 * 64];
    fputc('"', out);
    while (text.len != 0) {
        /* Pieces end between characters, so none is escaped for having been split. */
        size_t len = 0;
        while (len < text.len && len < 60)
            len += config_utf8_step((struct span){text.ptr + len, text.len - len});
        char *end =
            fmt_json_text(piece, piece + sizeof(piece), (struct span){text.ptr, len}, &cut, &bytes);
        fwrite(piece, 1, (size_t)(end - piece), out);
        text = (struct span){text.ptr + len, text.len - len};
    }
    fputc('"', out);
}

static void put_json(FILE *out, const struct config_report *report, struct span name,
                     struct span text)
{
    struct place place = {.text = text, .line = 1};
    fputs("{\"file\":", out);
    put_json_string(out, name);
    fprintf(out, ",\"errors\":%u,\"warnings\":%u,\"messages\":[", report->errors, report->warnings);
    for (unsigned i = 0; i < report->note_count; i++) {
        const struct config_note *note = &report->notes[i];
        place_move(&place, note->off);
        struct span before = {text.ptr + place.line_begin, note->off - place.line_begin};
        fprintf(out, "%s\n{\"severity\":\"%s\",\"line\":%u,\"column\":%u,\"pointer\":",
                i == 0 ? "" : ",", note->severity == CONFIG_ERROR ? "error" : "warning", place.line,
                count_columns(before) + 1);
        put_json_string(out, note->pointer);
        fputs(",\"message\":", out);
        put_json_string(out, note->message);
        fputc('}', out);
    }
    fputs("]}\n", out);
}

static char *render(struct config_report *report, struct span name, struct span text,
                    void (*put)(FILE *, const struct config_report *, struct span, struct span))
{
    char *rendered = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&rendered, &len);
    if (out == NULL)
        return NULL;
    if (report->note_count > 1)
        qsort(report->notes, report->note_count, sizeof(*report->notes), compare_notes);
    put(out, report, name, text);
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(rendered);
        return NULL;
    }
    return rendered;
}

char *config_report_text(struct config_report *report, struct span file_name, struct span file_text)
{
    return render(report, file_name, file_text, put_text);
}

char *config_report_json(struct config_report *report, struct span file_name, struct span file_text)
{
    return render(report, file_name, file_text, put_json);
}

size_t config_credentials(struct span text)
{
    const char *at = text.len == 0 ? NULL : memrchr(text.ptr, '@', text.len);
    const size_t len = at == NULL ? 0 : (size_t)(at - text.ptr);
    return len != 0 && memchr(text.ptr, ':', len) != NULL ? len : 0;
}

struct config_quoted config_quote(struct span text)
{
    struct config_quoted quoted;
    char *out = quoted.text;
    const char *end = quoted.text + sizeof(quoted.text) - 8;
    size_t i = config_credentials(text);
    *out++ = '"';
    if (i != 0)
        out = FMT_LIT(out, "***");
    while (i < text.len) {
        struct span rest = {text.ptr + i, text.len - i};
        size_t step = config_utf8_step(rest);
        unsigned char c = (unsigned char)rest.ptr[0];
        if (out + step > end)
            break;
        bool is_plain = step == 1 ? c >= 0x20 && c < 0x7f : c != 0xc2;
        out = is_plain ? fmt_span(out, (struct span){rest.ptr, step}) : FMT_LIT(out, "?");
        i += step;
    }
    if (i < text.len)
        out = FMT_LIT(out, "...");
    *out++ = '"';
    *out = '\0';
    return quoted;
}
