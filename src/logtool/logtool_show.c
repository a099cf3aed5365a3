/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_show.c - see logtool_show.h. */
#include "logtool/logtool_show.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/base_fmt.h"
#include "config/config_json.h"

#define CHARACTER_BYTES 4 /* of the longest one in UTF-8 */

size_t logtool_show_text(FILE *out, struct span text)
{
    char room[CHARACTER_BYTES * FMT_CLEAN_TIMES];
    size_t width = 0;
    while (text.len > 0) {
        const size_t found = span_utf8_len(text), len = found == 0 ? 1 : found;
        const char *end = fmt_clean(room, room + sizeof(room), (struct span){text.ptr, len});
        const size_t shown = (size_t)(end - room);
        fwrite(room, 1, shown, out);
        width += shown == len ? 1 : shown; /* as it is, or \xNN for each byte */
        text.ptr += len;
        text.len -= len;
    }
    return width;
}

void logtool_show_column(FILE *out, struct span text, size_t width)
{
    size_t used = logtool_show_text(out, text);
    fprintf(out, "%*s", used < width ? (int)(width - used) : 1, "");
}

void logtool_show_second(FILE *out, uint64_t second)
{
    char room[FMT_RFC3339_MAX + 1];
    fmt_rfc3339_ms(room, second * 1000000);
    fprintf(out, "%.19sZ", room);
}

void logtool_show_number(json_t **json, const char *key, uint64_t number)
{
    config_json_set(json, key, json_integer((json_int_t)number));
}

json_t *logtool_show_string(struct span text)
{
    static const char stranger[] = "\xef\xbf\xbd";
    char *room = malloc(3 * text.len + 1), *out = room;
    if (room == NULL)
        return NULL;
    for (size_t at = 0; at < text.len;) {
        struct span rest = {text.ptr + at, text.len - at};
        size_t len = span_utf8_len(rest);
        out =
            len == 0 ? fmt_span(out, SPAN(stranger)) : fmt_span(out, (struct span){rest.ptr, len});
        at += len == 0 ? 1 : len;
    }
    json_t *json = json_stringn(room, (size_t)(out - room));
    free(room);
    return json;
}

json_t *logtool_show_when(uint64_t us)
{
    char room[FMT_RFC3339_MAX + 1];
    if (us == 0 || us == UINT64_MAX)
        return json_null();
    return json_stringn(room, (size_t)(fmt_rfc3339_ms(room, us) - room));
}

void logtool_show_reading(FILE *out, const struct logtool_reading *reading)
{
    fprintf(out, "%" PRIu64 " %s, %" PRIu64 " lines", reading->files,
            reading->files == 1 ? "file" : "files", reading->lines);
    if (reading->lines != 0) {
        fputs(" from ", out);
        logtool_show_second(out, reading->from_us / 1000000);
        fputs(" to ", out);
        logtool_show_second(out, reading->to_us / 1000000);
    }
    fputc('\n', out);
    for (unsigned i = 0; i < LOGTOOL_UNREADABLE_SHOWN && i < reading->unreadable; i++) {
        fputs("unreadable: ", out);
        logtool_show_text(out, span_of(reading->first[i].file));
        fprintf(out, ":%" PRIu64 ": %s\n", reading->first[i].line, reading->first[i].why);
    }
    if (reading->unreadable > LOGTOOL_UNREADABLE_SHOWN)
        fprintf(out, "unreadable: %" PRIu64 " lines in all\n", reading->unreadable);
}

json_t *logtool_show_reading_json(const struct logtool_reading *reading)
{
    json_t *json = json_object(), *unreadable = json_object(), *first = json_array();
    config_json_set(&json, "files", json_integer((json_int_t)reading->files));
    config_json_set(&json, "lines", json_integer((json_int_t)reading->lines));
    config_json_set(&json, "bytes", json_integer((json_int_t)reading->bytes));
    config_json_set(&json, "from", logtool_show_when(reading->from_us));
    config_json_set(&json, "to", logtool_show_when(reading->to_us));
    config_json_set(&unreadable, "lines", json_integer((json_int_t)reading->unreadable));
    for (unsigned i = 0; i < LOGTOOL_UNREADABLE_SHOWN && i < reading->unreadable; i++) {
        json_t *place = json_object();
        config_json_set(&place, "file", logtool_show_string(span_of(reading->first[i].file)));
        config_json_set(&place, "line", json_integer((json_int_t)reading->first[i].line));
        config_json_set(&place, "why", json_string(reading->first[i].why));
        config_json_append(&first, place);
    }
    config_json_set(&unreadable, "first", first);
    config_json_set(&json, "unreadable", unreadable);
    return json;
}

void logtool_show_gaps(FILE *out, const struct logtool_gap *gaps, unsigned room, uint64_t count,
                       uint64_t missing)
{
    for (unsigned i = 0; i < room && i < count; i++) {
        const struct logtool_gap *gap = &gaps[i];
        fputs("lost: boot ", out);
        logtool_show_text(out, (struct span){gap->boot->id, gap->boot->id_len});
        fprintf(out, ": seq %" PRIu64 " to %" PRIu64 " (%" PRIu64 " lines)\n", gap->from, gap->to,
                gap->to - gap->from + 1);
    }
    if (count > room)
        fprintf(out, "lost: %" PRIu64 " lines in %" PRIu64 " gaps in all\n", missing, count);
}

json_t *logtool_show_gaps_json(const struct logtool_gap *gaps, unsigned room, uint64_t count,
                               uint64_t missing)
{
    json_t *json = json_object(), *list = json_array();
    for (unsigned i = 0; i < room && i < count; i++) {
        json_t *gap = json_object();
        config_json_set(&gap, "boot",
                        logtool_show_string((struct span){gaps[i].boot->id, gaps[i].boot->id_len}));
        config_json_set(&gap, "from_seq", json_integer((json_int_t)gaps[i].from));
        config_json_set(&gap, "to_seq", json_integer((json_int_t)gaps[i].to));
        config_json_append(&list, gap);
    }
    config_json_set(&json, "lines", json_integer((json_int_t)missing));
    config_json_set(&json, "count", json_integer((json_int_t)count));
    config_json_set(&json, "gaps", list);
    return json;
}

char *logtool_show_line(json_t *json)
{
    char *text = config_json_text(json, JSON_COMPACT), *line = NULL;
    json_decref(json);
    if (text != NULL && asprintf(&line, "%s\n", text) < 0)
        line = NULL;
    free(text);
    return line;
}

char *logtool_show_whole(logtool_show_fn show, const void *arg)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL)
        return NULL;
    show(out, arg);
    bool is_whole = ferror(out) == 0;
    if (fclose(out) == 0 && is_whole)
        return text;
    free(text);
    return NULL;
}
