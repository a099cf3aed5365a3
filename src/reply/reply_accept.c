/* SPDX-License-Identifier: Apache-2.0 */
/* reply_accept.c - takes: the Accept fields of a request.  Gives: whether XML is preferred.  Never: guesses what a
 * malformed field was to mean. */
#include "reply/reply.h"

#define QUALITY_MAX 1000u

/* How much a media type is wanted, and how closely the range that says so names it. */
struct wish {
    struct span type, subtype;
    unsigned quality;
    unsigned closeness; /* 0: nothing said, 1: any, 2: type/any, 3: itself */
};

/* A place in one field's value. */
struct cursor {
    struct span rest;
    bool is_bad;
};

static void skip(struct cursor *at, size_t bytes)
{
    at->rest.ptr += bytes;
    at->rest.len -= bytes;
}

static void skip_space(struct cursor *at)
{
    while (at->rest.len != 0 && (*at->rest.ptr == ' ' || *at->rest.ptr == '\t'))
        skip(at, 1);
}

static bool take_byte(struct cursor *at, char byte)
{
    if (at->rest.len == 0 || *at->rest.ptr != byte)
        return false;
    skip(at, 1);
    return true;
}

static struct span take_token(struct cursor *at)
{
    struct span token = {at->rest.ptr, 0};
    while (token.len < at->rest.len && http_is_token((struct span){token.ptr + token.len, 1}))
        token.len++;
    skip(at, token.len);
    at->is_bad = at->is_bad || token.len == 0;
    return token;
}

/* RFC 9110 section 5.6.4 */
static void skip_quoted(struct cursor *at)
{
    while (at->rest.len != 0 && *at->rest.ptr != '"')
        skip(at, *at->rest.ptr == '\\' && at->rest.len > 1 ? 2 : 1);
    at->is_bad = at->is_bad || !take_byte(at, '"');
}

/* RFC 9110 section 12.4.2: "0" or "1" and at most three digits behind a point, those of 1 all zero. */
static bool read_quality(struct span text, unsigned *quality)
{
    unsigned unit = QUALITY_MAX;
    *quality = 0;
    if (text.len == 0 || text.len > 5 || (text.len > 1 && text.ptr[1] != '.'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (i == 1)
            continue;
        if (text.ptr[i] < '0' || text.ptr[i] > (i == 0 ? '1' : '9'))
            return false;
        *quality += (unsigned)(text.ptr[i] - '0') * unit;
        unit /= 10;
    }
    return *quality <= QUALITY_MAX;
}

/* ;name=value ...: the quality, 1 without one, and whether the range asks for more than a type. */
static unsigned take_parameters(struct cursor *at, bool *has_others)
{
    unsigned quality = QUALITY_MAX;
    bool has_quality = false;
    *has_others = false;
    for (;;) {
        skip_space(at);
        if (!take_byte(at, ';'))
            return quality;
        skip_space(at);
        if (at->rest.len == 0 || *at->rest.ptr == ';' || *at->rest.ptr == ',')
            continue; /* RFC 9110 section 5.6.6 allows an empty one */
        struct span name = take_token(at);
        bool is_quality = span_eq_nocase(name, SPAN("q"));
        bool has_value = take_byte(at, '=');
        bool is_quoted = has_value && take_byte(at, '"');
        struct span value = SPAN_NONE;
        if (is_quoted)
            skip_quoted(at);
        else if (has_value)
            value = take_token(at);
        if (is_quality) {
            at->is_bad = at->is_bad || has_quality || !read_quality(value, &quality);
            has_quality = true;
        } else if (
            !has_quality) { /* what follows it was meant for nobody (RFC 9110 section 12.5.1) */
            at->is_bad = at->is_bad || !has_value;
            *has_others = *has_others || !span_eq_nocase(name, SPAN("charset"));
        }
    }
}

static void apply(struct wish *wish, struct span type, struct span subtype, unsigned quality)
{
    bool is_any = span_eq(subtype, SPAN("*"));
    unsigned closeness = 0;
    if (span_eq(type, SPAN("*")))
        closeness = 1;
    else if (span_eq_nocase(type, wish->type))
        closeness = is_any ? 2 : span_eq_nocase(subtype, wish->subtype) ? 3 : 0;
    if (closeness == 0 || closeness < wish->closeness)
        return;
    /* Said twice, the greater counts. */
    if (closeness > wish->closeness || quality > wish->quality)
        wish->quality = quality;
    wish->closeness = closeness;
}

static void read_field(struct cursor *at, struct wish *xml, struct wish *own)
{
    while (!at->is_bad) {
        bool has_others;
        skip_space(at);
        if (at->rest.len == 0)
            return;
        if (take_byte(at, ','))
            continue; /* RFC 9110 section 5.6.1.2: empty elements are passed over */
        struct span type = take_token(at);
        at->is_bad = at->is_bad || !take_byte(at, '/');
        struct span subtype = take_token(at);
        bool is_odd = span_eq(type, SPAN("*")) && !span_eq(subtype, SPAN("*"));
        unsigned quality = take_parameters(at, &has_others);
        at->is_bad = at->is_bad || is_odd || (at->rest.len != 0 && *at->rest.ptr != ',');
        if (at->is_bad || has_others)
            continue; /* a range for other representations than ours */
        apply(xml, type, subtype, quality);
        apply(own, type, subtype, quality);
    }
}

bool reply_prefers_xml(const struct http_head *request, struct span type)
{
    size_t slash = span_find(type, '/');
    size_t end = span_find((struct span){type.ptr, span_find(type, '\r')}, ';');
    struct wish xml = {.type = SPAN("application"), .subtype = SPAN("xml")};
    struct wish own = {.type = {type.ptr, slash}};
    if (slash < end)
        own.subtype = (struct span){type.ptr + slash + 1, end - slash - 1};
    unsigned from = 0;
    const struct http_field *field;
    while ((field = http_head_next_named(request, HTTP_FIELD_OTHER, SPAN("accept"), &from)) !=
           NULL) {
        struct cursor at = {http_field_value(request, field), false};
        read_field(&at, &xml, &own);
        if (at.is_bad)
            return false;
    }
    return xml.closeness != 0 && xml.quality > own.quality;
}
