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

const struct http_field_name HTTP_FIELD_NAMES[HTTP_FIELDS] = {
#define FIELD(id, name)                                                                            \
    [HTTP_FIELD_##id] = {.first = WORD(name, 0, WIDTH(name)),                                      \
                         .last = WORD(name, LEN(name) - WIDTH(name), WIDTH(name)),                 \
                         .middle = LEN(name) > 16 ? WORD(name, LEN(name) > 16 ? 8 : 0, 8) : 0,     \
                         .len = LEN(name)},
#include "http/http_fields.def"
#undef FIELD
};

/* By length and the last two letters.  Two rows in one slot do not compile without a warning, and a row of
 * http_fields.def that is missing here fails test_http_fields: take other factors then. */
#define ROW(len, before_last, last, id)                                                            \
    [HTTP_FIELD_SLOT(len, (before_last) | (last) << 8)] = {HTTP_FIELD_##id, len}
const struct http_field_slot HTTP_FIELD_BY_SLOT[HTTP_FIELD_SLOTS] = {
    ROW(2, 't', 'e', TE),
    ROW(3, 'i', 'a', VIA),
    ROW(3, 'g', 'e', AGE),
    ROW(4, 's', 't', HOST),
    ROW(4, 't', 'e', DATE),
    ROW(6, 'c', 't', EXPECT),
    ROW(6, 'i', 'e', COOKIE),
    ROW(6, 'e', 'r', SERVER),
    ROW(7, 'e', 'r', TRAILER),
    ROW(7, 'd', 'e', UPGRADE),
    ROW(9, 'e', 'd', FORWARDED),
    ROW(9, 'i', 'p', X_REAL_IP),
    ROW(9, 'i', 't', RATELIMIT),
    ROW(10, 'o', 'n', CONNECTION),
    ROW(10, 'v', 'e', KEEP_ALIVE),
    ROW(10, 'i', 'e', SET_COOKIE),
    ROW(11, 'i', 't', X_RATELIMIT),
    ROW(11, 'e', 'r', RETRY_AFTER),
    ROW(12, 'd', 's', MAX_FORWARDS),
    ROW(12, 'i', 'd', X_REQUEST_ID),
    ROW(12, 'e', 'n', X_AUTH_TOKEN),
    ROW(12, 'p', 'e', CONTENT_TYPE),
    ROW(13, 'o', 'n', AUTHORIZATION),
    ROW(13, 'g', 'e', CONTENT_RANGE),
    ROW(13, 'o', 'l', CACHE_CONTROL),
    ROW(14, 't', 'h', CONTENT_LENGTH),
    ROW(14, 'g', 's', HTTP2_SETTINGS),
    ROW(15, 'o', 'r', X_FORWARDED_FOR),
    ROW(16, 'o', 'n', PROXY_CONNECTION),
    ROW(16, 's', 't', X_FORWARDED_HOST),
    ROW(16, 'e', 'd', X_RATELIMIT_USED),
    ROW(16, 'c', 'y', RATELIMIT_POLICY),
    ROW(16, 'i', 't', X_APIG_RATELIMIT),
    ROW(16, 'n', 'g', CONTENT_ENCODING),
    ROW(17, 'n', 'g', TRANSFER_ENCODING),
    ROW(17, 't', 'o', X_FORWARDED_PROTO),
    ROW(17, 'i', 't', X_RATELIMIT_LIMIT),
    ROW(17, 'e', 't', X_RATELIMIT_RESET),
    ROW(18, 't', 'e', PROXY_AUTHENTICATE),
    ROW(18, 'o', 'w', X_RATELIMIT_WINDOW),
    ROW(19, 'o', 'n', PROXY_AUTHORIZATION),
    ROW(21, 'n', 'g', X_RATELIMIT_REMAINING),
};
#undef ROW

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

bool http_field_names_alike(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (folded(a.ptr[i]) != folded(b.ptr[i]))
            return false;
    return true;
}

bool http_field_names_clash(struct span a, struct span b)
{
    return http_field_names_alike(a, b) && !span_eq_nocase(a, b);
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

bool http_is_value(struct span text)
{
    return http_scan_set(text.ptr, 0, text.len, HTTP_BYTE_VALUE) == text.len &&
           span_trim(text).len == text.len;
}

bool http_is_token(struct span text)
{
    return text.len != 0 && http_scan_set(text.ptr, 0, text.len, HTTP_BYTE_TOKEN) == text.len;
}

void http_head_count(struct http_head *head, unsigned index)
{
    const unsigned id = head->fields[index].id;
    if (id == HTTP_FIELD_OTHER)
        return;
    if (head->present & HTTP_FIELD_BIT(id))
        head->repeated |= HTTP_FIELD_BIT(id);
    else
        head->first[id] = (uint16_t)index;
    head->present |= HTTP_FIELD_BIT(id);
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

const struct http_field *http_head_only(const struct http_head *head, enum http_field_id id,
                                        struct span name)
{
    unsigned from = 0;
    const struct http_field *field = http_head_next_named(head, id, name, &from);
    bool is_only = field != NULL && http_head_next_named(head, id, name, &from) == NULL;
    return is_only ? field : NULL;
}

void http_head_mark(struct http_head *head, struct span prefix, enum http_field_id id)
{
    for (unsigned i = 0; i < head->field_count; i++) {
        struct span name = http_field_name(head, &head->fields[i]);
        if (name.len < prefix.len || !span_eq_nocase((struct span){name.ptr, prefix.len}, prefix))
            continue;
        head->fields[i].id = (uint8_t)id;
        http_head_count(head, i);
    }
}
