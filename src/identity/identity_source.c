/* SPDX-License-Identifier: Apache-2.0 */
/* identity_source.c - takes: "header:X-Api-Key" and the like.  Gives: what they mean, or what is wrong
 * with them.  Never: copies a name. */
#include "identity/identity_source.h"

#include "base/base_ascii.h"
#include "http/http_write.h"

static const struct kind_row {
    struct span spelling;
    bool takes_name, is_clear;
} kinds[IDENTITY_KINDS] = {
#define KIND(id, spelling, takes_name, is_clear)                                                   \
    [IDENTITY_##id] = {{spelling, sizeof(spelling) - 1}, takes_name, is_clear},
#include "identity/identity_kinds.def"
#undef KIND
};

struct span identity_source_spelling(enum identity_kind kind)
{
    return kinds[kind].spelling;
}

bool identity_is_clear(enum identity_kind kind)
{
    return kinds[kind].is_clear;
}

static bool is_like_hash(struct span text)
{
    bool is_like = text.len == IDENTITY_TEXT_LEN;
    for (size_t i = 0; is_like && i < text.len; i++) {
        char byte = text.ptr[i];
        is_like = ascii_is_word(byte) || byte == '-' || byte == '_';
    }
    return is_like;
}

bool identity_is_like_sign(struct span text)
{
    struct ip ip;
    struct ip_net net;
    return is_like_hash(text) || ip_parse(&ip, text) || ip_net_parse(&net, text);
}

bool identity_is_like_another(const struct identity *identity, const struct identity_value *value)
{
    bool has_signs = identity->missing == IDENTITY_MISSING_IP;
    if (value->kind == IDENTITY_IP || !identity_is_clear(value->kind))
        return false;
    for (unsigned i = 0; i < identity->from_count; i++) {
        const enum identity_kind kind = identity->from[i].kind;
        has_signs = has_signs || kind == IDENTITY_IP || !identity_is_clear(kind);
    }
    return has_signs && identity_is_like_sign(value->value);
}

bool identity_is_claim(enum identity_kind kind)
{
    switch (kind) {
    case IDENTITY_HEADER:
    case IDENTITY_COOKIE:
    case IDENTITY_QUERY:
    case IDENTITY_BEARER:
    case IDENTITY_BASIC_USER:
    case IDENTITY_ACCESS_KEY:
        return true;
    default:
        return false;
    }
}

static bool is_path_name(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.ptr[i];
        if (!ascii_is_word(byte) && byte != '_' && byte != '-')
            return false;
    }
    return true;
}

static const char *name_fault(enum identity_kind kind, struct span name)
{
    if (name.len == 0)
        return "a name must follow the \":\"";
    if (name.len > IDENTITY_NAME_MAX)
        return "the name is longer than 128 bytes";
    if (kind == IDENTITY_HEADER && !http_is_token(name))
        return "the name is not that of a header";
    if (kind == IDENTITY_COOKIE && !http_is_token(name))
        return "the name is not that of a cookie";
    if (kind == IDENTITY_PATH && !is_path_name(name))
        return "the name is not that of a {name}: letters, digits, \"_\" and \"-\"";
    return NULL;
}

/* A server could not tell whether such a header is made up: it ends here, or is written anew. */
static bool ends_here(enum http_field_id id)
{
    return id != HTTP_FIELD_OTHER &&
           ((HTTP_HOP_BY_HOP | HTTP_FIELD_BIT(HTTP_FIELD_TRANSFER_ENCODING) |
             HTTP_FIELD_BIT(HTTP_FIELD_X_REQUEST_ID)) &
            HTTP_FIELD_BIT(id)) != 0;
}

const char *identity_source_parse(struct identity_source *source, struct span text)
{
    size_t colon = span_find(text, ':');
    struct span word = {text.ptr, colon};
    unsigned kind = 0;
    while (kind < IDENTITY_KINDS && !span_eq(kinds[kind].spelling, word))
        kind++;
    if (kind == IDENTITY_KINDS)
        return "no such source: there are ip, header:NAME, cookie:NAME, query:NAME, bearer, "
               "basic_user, access_key, jwt:CLAIM, certificate, token_project, path:NAME, host, "
               "method and route";
    if (!kinds[kind].takes_name && colon < text.len)
        return "this source takes no name";
    if (kinds[kind].takes_name && colon == text.len)
        return "this source needs a name, as in \"header:X-Api-Key\"";

    *source = (struct identity_source){.kind = kind};
    if (!kinds[kind].takes_name)
        return NULL;
    struct span name = {text.ptr + colon + 1, text.len - colon - 1};
    const char *fault = name_fault(kind, name);
    if (fault != NULL)
        return fault;
    source->name = name;
    if (kind == IDENTITY_HEADER)
        source->field_id = (uint8_t)http_field_id_of(name);
    if (kind == IDENTITY_HEADER && ends_here((enum http_field_id)source->field_id))
        return "this header is not passed on as the client sends it: no server would know who is "
               "counted";
    return NULL;
}
