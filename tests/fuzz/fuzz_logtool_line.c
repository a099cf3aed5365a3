/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_logtool_line.c - any bytes as a line of an access log.  Checked: what jansson reads as an object is read here too, with
 * the same members, texts and whole numbers; what a record borrows lies in the line or in its own texts. */
#include "fuzz.h"

#include <jansson.h>

#include "logtool/logtool_line.h"

static void check_span(const struct logtool_line *line, struct span all, struct span text)
{
    bool is_in_line =
        text.len == 0 || (text.ptr >= all.ptr && text.ptr + text.len <= all.ptr + all.len);
    bool is_in_texts =
        text.ptr >= line->texts && text.ptr + text.len <= line->texts + sizeof(line->texts);
    FUZZ_CHECK(is_in_line || is_in_texts);
}

static void check_line(struct span bytes)
{
    struct logtool_line *line = malloc(sizeof(*line));
    const char *why = NULL;
    FUZZ_CHECK(line != NULL);
    if (logtool_line_parse(line, bytes, &why)) {
        const struct span texts[] = {line->boot, line->event, line->subject, line->quota,
                                     line->id,   line->route, line->host,    line->path,
                                     line->end,  line->tier};
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
            check_span(line, bytes, texts[i]);
        FUZZ_CHECK(line->subject_count <= LOGTOOL_SUBJECTS_MAX);
        for (unsigned i = 0; i < line->subject_count; i++)
            check_span(line, bytes, line->subjects[i].value);
        FUZZ_CHECK(line->window_count <= LOGTOOL_WINDOWS_MAX);
        for (unsigned i = 0; i < line->window_count; i++) {
            const struct logtool_window *window = &line->windows[i];
            check_span(line, bytes, window->quota);
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
    bool is_plain = true;
    logtool_scan_open(&scan, bytes);
    while (logtool_scan_member(&scan, &name, &value)) {
        is_plain = is_plain && memchr(name.ptr, '\\', name.len) == NULL;
        const json_t *same =
            json_is_object(json) && is_plain ? json_object_getn(json, name.ptr, name.len) : NULL;
        if (same != NULL)
            check_value(&value, same);
        count++;
    }
    /* Fewer were met where one is nested deeper than is read here. */
    if (json_is_object(json) && json_object_size(json) == count)
        FUZZ_CHECK(logtool_scan_is_done(&scan));
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
