/* SPDX-License-Identifier: Apache-2.0 */
/* http_fields.c - names to numbers: the known fields and methods. */
#include "http/http_fields.h"

#include <string.h>

#include "http/http_scan.h"

/* The words of a literal, made by the compiler as http_field_load makes them. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define PLACE(i) (8 * (i))
#else
#define PLACE(i) (56 - 8 * (i))
#endif
#define BYTE(text, at)      ((uint64_t)(unsigned char)(text)[(at) < sizeof(text) ? (at) : 0])
#define PUT(text, at, i, w) ((i) < (w) ? BYTE(text, (at) + (i)) << PLACE(i) : 0)
#define WORD(text, at, w)                                                                          \
    (PUT(text, at, 0, w) | PUT(text, at, 1, w) | PUT(text, at, 2, w) | PUT(text, at, 3, w) |       \
     PUT(text, at, 4, w) | PUT(text, at, 5, w) | PUT(text, at, 6, w) | PUT(text, at, 7, w) |       \
     HTTP_FIELD_LOWER)
#define LEN(text)   (sizeof(text) - 1)
#define WIDTH(text) (LEN(text) >= 8 ? 8U : LEN(text) >= 4 ? 4U : 2U)

const struct http_field_words HTTP_FIELD_WORDS[HTTP_FIELDS] = {
#define FIELD(id, name)                                                                            \
    [HTTP_FIELD_##                                                                                 \
        id] = {WORD(name, 0, WIDTH(name)), WORD(name, LEN(name) - WIDTH(name), WIDTH(name))},
#include "http/http_fields.def"
#undef FIELD
};

const uint64_t HTTP_FIELD_MIDDLES[HTTP_FIELDS] = {
#define FIELD(id, name)                                                                            \
    [HTTP_FIELD_##id] = LEN(name) > 16 ? WORD(name, LEN(name) > 16 ? 8 : 0, 8) : 0,
#include "http/http_fields.def"
#undef FIELD
};

/* A row of http_fields.def that is missing here fails test_http_fields. */
#define F(id) HTTP_FIELD_##id
const uint8_t HTTP_FIELDS_BY_LENGTH[HTTP_FIELD_NAME_MAX + 1][HTTP_FIELD_SAME_LENGTH + 1] = {
    [2] = {F(TE)},
    [3] = {F(VIA), F(AGE)},
    [4] = {F(HOST), F(DATE)},
    [6] = {F(EXPECT), F(COOKIE), F(SERVER)},
    [7] = {F(TRAILER), F(UPGRADE)},
    [9] = {F(FORWARDED), F(X_REAL_IP), F(RATELIMIT)},
    [10] = {F(CONNECTION), F(KEEP_ALIVE), F(SET_COOKIE)},
    [11] = {F(X_RATELIMIT), F(RETRY_AFTER)},
    [12] = {F(CONTENT_TYPE), F(X_REQUEST_ID), F(X_AUTH_TOKEN), F(MAX_FORWARDS)},
    [13] = {F(AUTHORIZATION), F(CACHE_CONTROL), F(CONTENT_RANGE)},
    [14] = {F(CONTENT_LENGTH), F(HTTP2_SETTINGS)},
    [15] = {F(X_FORWARDED_FOR)},
    [16] = {F(CONTENT_ENCODING), F(X_FORWARDED_HOST), F(X_RATELIMIT_USED), F(PROXY_CONNECTION),
            F(RATELIMIT_POLICY), F(X_APIG_RATELIMIT)},
    [17] = {F(TRANSFER_ENCODING), F(X_FORWARDED_PROTO), F(X_RATELIMIT_LIMIT), F(X_RATELIMIT_RESET)},
    [18] = {F(X_RATELIMIT_WINDOW), F(PROXY_AUTHENTICATE)},
    [19] = {F(PROXY_AUTHORIZATION)},
    [21] = {F(X_RATELIMIT_REMAINING)},
};
#undef F

enum http_field_id http_field_id_of(struct span name)
{
    return http_is_token(name) ? http_field_lookup(name.ptr, name.len) : HTTP_FIELD_OTHER;
}

bool http_field_is_alias(struct span name)
{
    if (name.len > HTTP_FIELD_NAME_MAX)
        return false;
    char dashed[HTTP_FIELD_NAME_MAX];
    bool has_underscore = false;
    for (size_t i = 0; i < name.len; i++) {
        has_underscore |= name.ptr[i] == '_';
        dashed[i] = name.ptr[i];
        if (name.ptr[i] == '_')
            dashed[i] = '-';
    }
    return has_underscore && http_field_lookup(dashed, name.len) != HTTP_FIELD_OTHER;
}

static char folded(char byte)
{
    if (byte == '_')
        return '-';
    return byte >= 'A' && byte <= 'Z' ? (char)(byte | 0x20) : byte;
}

bool http_field_names_clash(struct span a, struct span b)
{
    if (a.len != b.len || span_eq_nocase(a, b))
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (folded(a.ptr[i]) != folded(b.ptr[i]))
            return false;
    return true;
}

bool http_field_is_plain(const struct http_head *head, const struct http_field *field)
{
    for (uint32_t at = field->name_off + field->name_len + 1U; at < field->value_off; at++)
        if (head->base[at] == '\t')
            return false;
    for (uint32_t at = field->value_off + field->value_len; head->base[at] != '\r'; at++)
        if (head->base[at] == '\t')
            return false;
    return true;
}

enum http_method http_method_of(struct span method)
{
#define IS(name)                                                                                   \
    if (memcmp(method.ptr, #name, sizeof(#name) - 1) == 0)                                         \
    return HTTP_METHOD_##name
    switch (method.len) {
    case 3:
        IS(GET);
        IS(PUT);
        break;
    case 4:
        IS(POST);
        IS(HEAD);
        break;
    case 5:
        IS(PATCH);
        IS(TRACE);
        break;
    case 6:
        IS(DELETE);
        break;
    case 7:
        IS(OPTIONS);
        IS(CONNECT);
        break;
    default:
        break;
    }
#undef IS
    return HTTP_METHOD_OTHER;
}

bool http_is_token(struct span text)
{
    return text.len != 0 && http_scan_set(text.ptr, 0, text.len, HTTP_BYTE_TOKEN) == text.len;
}

const struct http_field *http_head_next(const struct http_head *head, enum http_field_id id,
                                        unsigned *from)
{
    unsigned i = *from;
    if (id != HTTP_FIELD_OTHER) {
        if (!http_head_has(head, id))
            return NULL;
        if (i < head->first[id])
            i = head->first[id];
    }
    for (; i < head->field_count; i++) {
        if (head->fields[i].id != id)
            continue;
        *from = i + 1;
        return &head->fields[i];
    }
    *from = head->field_count;
    return NULL;
}

const struct http_field *http_head_next_named(const struct http_head *head, enum http_field_id id,
                                              struct span name, unsigned *from)
{
    const struct http_field *field;
    while ((field = http_head_next(head, id, from)) != NULL)
        if (id != HTTP_FIELD_OTHER || span_eq_nocase(http_field_name(head, field), name))
            return field;
    return NULL;
}

void http_head_mark(const struct http_head *head, struct span prefix, enum http_field_id id)
{
    for (unsigned i = 0; i < head->field_count; i++) {
        struct span name = http_field_name(head, &head->fields[i]);
        if (name.len >= prefix.len && span_eq_nocase((struct span){name.ptr, prefix.len}, prefix))
            head->fields[i].id = (uint8_t)id;
    }
}
