/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_admin_filter.c - an expression up to the first newline, and behind it a line of a log.  Checked: an expression is taken or
 * refused with a place in it; nothing beyond either is read; the same expression between spaces means the same; two expressions
 * joined with & take what both take. */
#include "cursor.h"

#include "admin/admin_filter.h"

static bool parse(struct admin_filter *filter, const char *text, size_t len)
{
    char why[256] = "";
    bool is_good = admin_filter_parse(filter, (struct span){text, len}, why);
    size_t place = 0;
    FUZZ_CHECK(is_good == (why[0] == '\0'));
    if (!is_good) {
        FUZZ_CHECK(sscanf(why, "at byte %zu: ", &place) == 1);
        FUZZ_CHECK(place >= 1 && place <= len + 1);
    } else {
        FUZZ_CHECK(filter->count <= ADMIN_FILTER_CONDITIONS);
        FUZZ_CHECK(filter->value_count <= ADMIN_FILTER_VALUES);
        FUZZ_CHECK(filter->text_len <= sizeof(filter->text));
    }
    return is_good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor cursor = {data, size};
    struct span given = cursor_line(&cursor, '\n');
    char *text = fuzz_copy((const uint8_t *)given.ptr, given.len);
    char *line = fuzz_copy(cursor.at, cursor.left);
    struct span whole = {line, cursor.left};
    struct admin_filter *filter = malloc(sizeof(*filter)), *other = malloc(sizeof(*other));
    FUZZ_CHECK(filter != NULL && other != NULL);
    if (parse(filter, text, given.len)) {
        bool has = admin_filter_has(filter, whole);
        FUZZ_CHECK(filter->count != 0 || has);
        char *more = malloc(2 * given.len + 8);
        FUZZ_CHECK(more != NULL);
        size_t len = (size_t)sprintf(more, " %.*s ", (int)given.len, text);
        if (len <= ADMIN_FILTER_TEXT_MAX && len == given.len + 2) {
            FUZZ_CHECK(parse(other, more, len));
            FUZZ_CHECK(admin_filter_has(other, whole) == has);
        }
        len = (size_t)sprintf(more, "%.*s&%.*s", (int)given.len, text, (int)given.len, text);
        if (len <= ADMIN_FILTER_TEXT_MAX && len == 2 * given.len + 1 && filter->count > 0 &&
            filter->count <= ADMIN_FILTER_CONDITIONS / 2 &&
            filter->value_count <= ADMIN_FILTER_VALUES / 2) {
            FUZZ_CHECK(parse(other, more, len));
            FUZZ_CHECK(admin_filter_has(other, whole) == has);
        }
        free(more);
    }
    free(filter);
    free(other);
    free(text);
    free(line);
    return 0;
}
