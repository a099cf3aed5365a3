/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_logtool_line.c - any bytes as a line of an access log.  Checked: what jansson reads as an object is read here too, with
 * all its members, and with the same texts and whole numbers, unless it is nested deeper than is read; what a record borrows
 * lies in the line or in its own texts. */
#include "fuzz.h"

#include <jansson.h>

#include "logtool/logtool_line.h"

static void check_span(const struct logtool_line *line, struct span all, struct span text)
{
    bool is_in_line =
        text.len == 0 || (text.ptr >= all.ptr && text.ptr + text.len <= all.ptr + all.len);
    bool is_in_texts =
        text.ptr >= line->texts && text.ptr + text.len <= line->texts + line->texts_len;
    FUZZ_CHECK(is_in_line || is_in_texts);
}

static void check_borrowed(const struct logtool_line *line, struct span bytes)
{
    const struct span texts[] = {
        line->boot,      line->event,  line->subject,  line->identity, line->quota,
        line->id,        line->method, line->host,     line->path,     line->previous_boot,
        line->client_ip, line->route,  line->upstream, line->server,   line->listener,
        line->tier,      line->end,    line->from_boot};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        check_span(line, bytes, texts[i]);
    FUZZ_CHECK(line->subject_count <= LOGTOOL_SUBJECTS_MAX);
    for (unsigned i = 0; i < line->subject_count; i++) {
        check_span(line, bytes, line->subjects[i].name);
        check_span(line, bytes, line->subjects[i].value);
    }
    FUZZ_CHECK(line->refused_by_count <= LOGTOOL_WINDOWS_MAX);
    for (unsigned i = 0; i < line->refused_by_count; i++)
        check_span(line, bytes, line->refused_by[i]);
}

static void check_line(struct span bytes)
{
    struct logtool_line *line = malloc(sizeof(*line));
    const char *why = NULL;
    FUZZ_CHECK(line != NULL);
    if (logtool_line_parse(line, bytes, &why)) {
        check_borrowed(line, bytes);
        FUZZ_CHECK(line->window_count <= LOGTOOL_WINDOWS_MAX);
        for (unsigned i = 0; i < line->window_count; i++) {
            const struct logtool_window *window = &line->windows[i];
            check_span(line, bytes, window->quota);
            check_span(line, bytes, window->window);
            FUZZ_CHECK(window->has_numbers || window->is_slot || window->charged == 0);
        }
        FUZZ_CHECK(line->boot.len != 0 && line->seq != UINT64_MAX && line->ts_us != UINT64_MAX);
    } else {
        FUZZ_CHECK(why != NULL);
    }
    free(line);
}

static void check_value(const struct logtool_value *value, const json_t *json)
{
    uint64_t number;
    FUZZ_CHECK((value->kind == LOGTOOL_STRING) == json_is_string(json));
    FUZZ_CHECK((value->kind == LOGTOOL_OBJECT) == json_is_object(json));
    FUZZ_CHECK((value->kind == LOGTOOL_LIST) == json_is_array(json));
    if (logtool_scan_number(value, &number))
        FUZZ_CHECK(json_is_integer(json) && (uint64_t)json_integer_value(json) == number);
    if (value->kind != LOGTOOL_STRING)
        return;
    char *room = malloc(value->text.len + 1);
    FUZZ_CHECK(room != NULL);
    size_t len = logtool_scan_unescape(value, false, room);
    FUZZ_CHECK(len == json_string_length(json));
    FUZZ_CHECK(memcmp(room, json_string_value(json), len) == 0);
    free(room);
}

/* 1: nothing is within it. */
static unsigned depth_of(json_t *json)
{
    unsigned deepest = 0;
    const char *name;
    json_t *value;
    size_t i;
    json_object_foreach(json, name, value)
    {
        unsigned depth = depth_of(value);
        deepest = depth > deepest ? depth : deepest;
    }
    json_array_foreach(json, i, value)
    {
        unsigned depth = depth_of(value);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

/* Of doubled members jansson keeps the last, so those are passed over: JSON_REJECT_DUPLICATES.  And behind a number it passes
 * over a NUL. */
static void check_scan(struct span bytes)
{
    bool has_nul = memchr(bytes.ptr, '\0', bytes.len) != NULL;
    json_t *json =
        has_nul ? NULL
                : json_loadb(bytes.ptr, bytes.len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    struct logtool_scan scan;
    struct logtool_value value;
    struct span name;
    size_t count = 0;
    logtool_scan_open(&scan, bytes);
    while (logtool_scan_member(&scan, &name, &value)) {
        bool is_plain = memchr(name.ptr, '\\', name.len) == NULL;
        if (json_is_object(json) && is_plain) {
            const json_t *same = json_object_getn(json, name.ptr, name.len);
            FUZZ_CHECK(same != NULL);
            check_value(&value, same);
        }
        count++;
    }
    if (json_is_object(json)) {
        bool is_shallow = depth_of(json) <= 1 + LOGTOOL_DEPTH_MAX; /* the object around it all */
        FUZZ_CHECK(logtool_scan_is_done(&scan) == is_shallow);
        FUZZ_CHECK(!is_shallow || count == json_object_size(json));
    }
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *bytes = fuzz_copy(data, size);
    check_line((struct span){bytes, size});
    check_scan((struct span){bytes, size});
    free(bytes);
    return 0;
}
