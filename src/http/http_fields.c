/* SPDX-License-Identifier: Apache-2.0 */
/* http_fields.c - names to numbers: the known fields and methods. */
#include "http/http_fields.h"

#include <string.h>

#include "http/http_scan.h"

#define NAME_MAX_BYTES  19
#define SAME_LENGTH_MAX 4

struct name {
    char text[NAME_MAX_BYTES + 1];
};

static const struct name NAMES[HTTP_FIELDS] = {
#define FIELD(id, name) [HTTP_FIELD_##id] = {name},
#include "http/http_fields.def"
#undef FIELD
};

#define F(id) HTTP_FIELD_##id
/* The ids whose names have this many bytes; most lengths have none or two.  A row of http_fields.def
 * that is missing here fails test_http_fields. */
static const uint8_t BY_LENGTH[NAME_MAX_BYTES + 1][SAME_LENGTH_MAX] = {
    [2] = {F(TE)},
    [3] = {F(VIA), F(AGE)},
    [4] = {F(HOST), F(DATE)},
    [6] = {F(EXPECT), F(COOKIE), F(SERVER)},
    [7] = {F(TRAILER), F(UPGRADE)},
    [9] = {F(FORWARDED), F(X_REAL_IP)},
    [10] = {F(CONNECTION), F(KEEP_ALIVE), F(SET_COOKIE)},
    [11] = {F(X_RATELIMIT), F(RETRY_AFTER)},
    [12] = {F(CONTENT_TYPE), F(X_REQUEST_ID), F(X_AUTH_TOKEN), F(MAX_FORWARDS)},
    [13] = {F(AUTHORIZATION), F(CACHE_CONTROL), F(CONTENT_RANGE)},
    [14] = {F(CONTENT_LENGTH), F(HTTP2_SETTINGS)},
    [15] = {F(X_FORWARDED_FOR)},
    [16] = {F(CONTENT_ENCODING), F(X_FORWARDED_HOST), F(X_RATELIMIT_USED), F(PROXY_CONNECTION)},
    [17] = {F(TRANSFER_ENCODING), F(X_FORWARDED_PROTO)},
    [18] = {F(X_RATELIMIT_WINDOW), F(PROXY_AUTHENTICATE)},
    [19] = {F(PROXY_AUTHORIZATION)},
};
#undef F

/* Setting bit 5 makes letters lower case and leaves the other bytes of the known names as they are;
 * no other token byte becomes one of theirs by it. */
#define LOWER64 UINT64_C(0x2020202020202020)

static inline uint64_t load64(const char *at)
{
    uint64_t word;
    memcpy(&word, at, 8);
    return word | LOWER64;
}

static inline uint64_t load32(const char *at)
{
    uint32_t word;
    memcpy(&word, at, 4);
    return word | (uint32_t)LOWER64;
}

/* The first and the last bytes of a name, overlapping: all of them when there are 2 to 16. */
struct words {
    uint64_t first, last;
};

static inline struct words words_of(const char *name, size_t len)
{
    if (len >= 8)
        return (struct words){load64(name), load64(name + len - 8)};
    if (len >= 4)
        return (struct words){load32(name), load32(name + len - 4)};
    return (struct words){(uint8_t)(name[0] | 0x20) | (uint64_t)(uint8_t)(name[1] | 0x20) << 8,
                          (uint8_t)(name[len - 1] | 0x20)};
}

enum http_field_id http_field_lookup(const char *name, size_t len)
{
    if (len < 2 || len > NAME_MAX_BYTES)
        return HTTP_FIELD_OTHER;

    const uint8_t *ids = BY_LENGTH[len];
    if (ids[0] == HTTP_FIELD_OTHER)
        return HTTP_FIELD_OTHER;

    struct words words = words_of(name, len);
    for (unsigned i = 0; i < SAME_LENGTH_MAX && ids[i] != HTTP_FIELD_OTHER; i++) {
        const char *known = NAMES[ids[i]].text;
        struct words candidate = words_of(known, len);
        if (words.first != candidate.first || words.last != candidate.last)
            continue;
        if (len <= 16 || load64(name + 8) == load64(known + 8))
            return (enum http_field_id)ids[i];
    }
    return HTTP_FIELD_OTHER;
}

enum http_field_id http_field_id_of(struct span name)
{
    return http_is_token(name) ? http_field_lookup(name.ptr, name.len) : HTTP_FIELD_OTHER;
}

bool http_field_is_alias(struct span name)
{
    if (name.len > NAME_MAX_BYTES)
        return false;
    char dashed[NAME_MAX_BYTES];
    bool has_underscore = false;
    for (size_t i = 0; i < name.len; i++) {
        has_underscore |= name.ptr[i] == '_';
        dashed[i] = name.ptr[i];
        if (name.ptr[i] == '_')
            dashed[i] = '-';
    }
    return has_underscore && http_field_lookup(dashed, name.len) != HTTP_FIELD_OTHER;
}

enum http_method http_method_of(struct span method)
{
    static const struct {
        enum http_method id;
        struct span name;
    } METHODS[] = {
        {HTTP_METHOD_GET, {"GET", 3}},         {HTTP_METHOD_PUT, {"PUT", 3}},
        {HTTP_METHOD_POST, {"POST", 4}},       {HTTP_METHOD_HEAD, {"HEAD", 4}},
        {HTTP_METHOD_PATCH, {"PATCH", 5}},     {HTTP_METHOD_TRACE, {"TRACE", 5}},
        {HTTP_METHOD_DELETE, {"DELETE", 6}},   {HTTP_METHOD_OPTIONS, {"OPTIONS", 7}},
        {HTTP_METHOD_CONNECT, {"CONNECT", 7}},
    };
    for (size_t i = 0; i < sizeof(METHODS) / sizeof(METHODS[0]); i++)
        if (span_eq(METHODS[i].name, method))
            return METHODS[i].id;
    return HTTP_METHOD_OTHER;
}

bool http_is_token(struct span text)
{
    return text.len != 0 && http_scan_set(text.ptr, 0, text.len, HTTP_BYTE_TOKEN) == text.len;
}

const struct http_field *http_head_next(const struct http_head *head, enum http_field_id id,
                                        unsigned *from)
{
    if (id != HTTP_FIELD_OTHER && !http_head_has(head, id))
        return NULL;
    for (unsigned i = *from; i < head->field_count; i++) {
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
