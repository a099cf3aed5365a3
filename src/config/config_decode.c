/* SPDX-License-Identifier: Apache-2.0 */
/* config_decode.c - the one place where jansson reads.  Takes: one token at a time, so that a key that
 * is given twice can be seen before jansson would drop one of the two. */
#include "config/config_decode.h"

#include <assert.h>
#include <jansson.h>
#include <stdlib.h>

static json_t *decode(struct span token)
{
    json_error_t error;
    return json_loadb(token.ptr, token.len, JSON_DECODE_ANY, &error);
}

bool config_decode_text(struct span token, struct arena *arena, struct span *text)
{
    assert(token.len >= 2 && token.ptr[0] == '"');
    struct span inside = {token.ptr + 1, token.len - 2};
    json_t *json = NULL;
    if (inside.len != 0 && memchr(inside.ptr, '\\', inside.len) != NULL) {
        json = decode(token);
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
    json_t *json = decode(token);
    enum config_number result = CONFIG_TOO_LARGE;
    if (json_is_integer(json)) {
        *number = json_integer_value(json);
        result = CONFIG_WHOLE;
    } else if (json_is_real(json)) {
        result = CONFIG_FRACTION;
    }
    json_decref(json);
    return result;
}

bool config_decode_compact(struct span token, struct arena *arena, struct span *text)
{
    json_t *json = decode(token);
    char *compact = json == NULL ? NULL : json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(json);
    if (compact == NULL)
        return false;
    *text = arena_copy(arena, span_of(compact));
    free(compact);
    return text->ptr != NULL;
}
