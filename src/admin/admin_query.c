/* SPDX-License-Identifier: Apache-2.0 */
/* admin_query.c - see admin_query.h.  "+" is itself: a grant is written with one. */
#include "admin/admin_query.h"

#include "base/base_ascii.h"
#include "base/base_parse.h"

bool admin_query_decode(struct span text, char out[ADMIN_QUERY_VALUE_MAX], size_t *len)
{
    *len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.ptr[i];
        if (*len == ADMIN_QUERY_VALUE_MAX - 1)
            return false;
        if (byte == '%') {
            if (text.len - i < 3)
                return false;
            int upper = parse_hex_digit(text.ptr[i + 1]), lower = parse_hex_digit(text.ptr[i + 2]);
            if (upper < 0 || lower < 0)
                return false;
            byte = (char)(upper * 16 + lower);
            i += 2;
        }
        out[(*len)++] = byte;
    }
    out[*len] = '\0';
    return true;
}

bool admin_query_find(struct span query, const char *name, char out[ADMIN_QUERY_VALUE_MAX],
                      size_t *len)
{
    bool is_found = false;
    out[0] = '\0';
    *len = 0;
    while (query.len != 0) {
        size_t end = span_find(query, '&');
        struct span pair = {query.ptr, end};
        size_t equals = span_find(pair, '=');
        size_t taken = end < query.len ? end + 1 : end;
        query = (struct span){query.ptr + taken, query.len - taken};
        if (equals == pair.len || !span_eq((struct span){pair.ptr, equals}, span_of(name)))
            continue;
        if (is_found || !admin_query_decode(
                            (struct span){pair.ptr + equals + 1, pair.len - equals - 1}, out, len))
            return false;
        is_found = true;
    }
    return true;
}

bool admin_query_duration(struct span query, const char *name, uint64_t min_us, uint64_t max_us,
                          uint64_t *us)
{
    char text[ADMIN_QUERY_VALUE_MAX];
    uint64_t found_us;
    size_t len;
    if (!admin_query_find(query, name, text, &len))
        return false;
    if (len == 0)
        return true;
    if (!parse_duration_us((struct span){text, len}, &found_us) || found_us < min_us ||
        found_us > max_us)
        return false;
    *us = found_us;
    return true;
}

char *admin_query_escape(char *out, struct span text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];
        if (ascii_is_word((char)byte)) {
            *out++ = (char)byte;
            continue;
        }
        *out++ = '%';
        *out++ = digits[byte >> 4];
        *out++ = digits[byte & 15];
    }
    return out;
}
