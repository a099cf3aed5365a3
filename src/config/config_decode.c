/* SPDX-License-Identifier: Apache-2.0 */
/* config_decode.c - the one place where jansson reads.  Takes: one token at a time, so that a key that
 * is given twice can be seen before jansson would drop one of the two. */
#include "config/config_decode.h"

#include <assert.h>
#include <jansson.h>

/* The scanner has accepted the token, so what can fail are numbers and memory. */
static json_t *decode(struct span token, bool *overflows)
{
    json_error_t error = {0};
    json_t *json = json_loadb(token.ptr, token.len, JSON_DECODE_ANY, &error);
    *overflows = json == NULL && json_error_code(&error) == json_error_numeric_overflow;
    return json;
}

bool config_decode_text(struct span token, struct arena *arena, struct span *text)
{
    assert(token.len >= 2 && token.ptr[0] == '"');
    struct span inside = {token.ptr + 1, token.len - 2};
    json_t *json = NULL;
    bool overflows;
    if (inside.len != 0 && memchr(inside.ptr, '\\', inside.len) != NULL) {
        json = decode(token, &overflows);
        if (json == NULL)
            return false;
        inside = (struct span){json_string_value(json), json_string_length(json)};
    }
    *text = arena_copy(arena, inside);
    json_decref(json);
    return text->ptr != NULL;
}

enum config_number config_decode_number(struct span token, int64_t *number)
{
    bool overflows;
    json_t *json = decode(token, &overflows);
    enum config_number result = overflows ? CONFIG_TOO_LARGE : CONFIG_UNREAD;
    if (json_is_integer(json)) {
        *number = json_integer_value(json);
        result = CONFIG_WHOLE;
    } else if (json_is_real(json)) {
        result = CONFIG_FRACTION;
    }
    json_decref(json);
    return result;
}

bool config_decode_overflows(struct span token)
{
    bool overflows;
    json_decref(decode(token, &overflows));
    return overflows;
}

bool config_decode_compact(struct span token, struct arena *arena, struct span *text)
{
    char *out = arena_take(arena, token.len + 1);
    size_t len = 0;
    bool in_string = false;
    if (out == NULL)
        return false;
    for (size_t i = 0; i < token.len; i++) {
        char c = token.ptr[i];
        if (!in_string && memchr(" \t\r\n", c, 4) != NULL)
            continue;
        out[len++] = c;
        if (in_string && c == '\\')
            out[len++] = token.ptr[++i]; /* a string never ends with a backslash */
        else if (c == '"')
            in_string = !in_string;
    }
    out[len] = '\0';
    *text = (struct span){out, len};
    return true;
}
