/* SPDX-License-Identifier: Apache-2.0 */
/* http_target.c - Host and target, judged together. */
#include "http/http_framing.h"

#include "base/base_ip.h"
#include "http/http_fields.h"
#include "http/http_scan.h"

#define HOST_MAX_BYTES 255
#define PORT_MAX       65535

static enum http_parse bad(struct http_fault *fault, enum http_fault_id id, uint32_t offset)
{
    fault->id = id;
    fault->offset = offset;
    return HTTP_PARSE_BAD;
}

/* 1 to 65535 without leading zeros. */
static bool is_port(struct span text)
{
    if (text.len == 0 || text.len > 5 || text.ptr[0] == '0')
        return false;
    unsigned value = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned char)text.ptr[i] - (unsigned)'0';
        if (digit > 9)
            return false;
        value = value * 10 + digit;
    }
    return value <= PORT_MAX;
}

/* Length of the IPv6 literal with its brackets that the text begins with, 0 when it is none.  Zones
 * and IPvFuture are refused. */
static size_t literal_len(struct span text)
{
    size_t close = span_find(text, ']');
    if (close == text.len)
        return 0;
    struct span inside = {text.ptr + 1, close - 1};
    struct ip ip;
    if (span_find(inside, ':') == inside.len || !ip_parse(&ip, inside))
        return 0;
    return close + 1;
}

/* Length of the name or IPv4 address that the text begins with, 0 when a label is empty (but the one
 * after a last dot). */
static size_t name_len(struct span text)
{
    size_t label = 0, at = 0;
    for (; at < text.len && http_byte_is(text.ptr[at], HTTP_BYTE_HOST); at++) {
        if (text.ptr[at] != '.')
            continue;
        if (at == label)
            return 0;
        label = at + 1;
    }
    return at <= HOST_MAX_BYTES ? at : 0;
}

/* authority = host [":" port], without userinfo. */
static bool read_authority(struct span authority, struct span *host)
{
    if (authority.len == 0)
        return false;
    size_t len = authority.ptr[0] == '[' ? literal_len(authority) : name_len(authority);
    if (len == 0)
        return false;
    *host = (struct span){authority.ptr, len};
    if (len == authority.len)
        return true;
    return authority.ptr[len] == ':' &&
           is_port((struct span){authority.ptr + len + 1, authority.len - len - 1});
}

/* Length of "http://" or "https://" at the beginning, 0 when there is neither. */
static size_t scheme_len(struct span target)
{
    static const struct span SCHEMES[] = {{"http://", 7}, {"https://", 8}};
    for (size_t i = 0; i < sizeof(SCHEMES) / sizeof(SCHEMES[0]); i++) {
        struct span begin = {target.ptr, SCHEMES[i].len};
        if (target.len >= begin.len && span_eq_nocase(begin, SCHEMES[i]))
            return begin.len;
    }
    return 0;
}

/* At its first "?", or text.len. */
static inline void split_query(struct span text, size_t mark, struct http_target *target)
{
    target->path = (struct span){text.ptr, mark};
    if (mark < text.len)
        target->query = (struct span){text.ptr + mark + 1, text.len - mark - 1};
}

/* RFC 9112 section 3.2.2.  An empty path becomes "/", or "*" for OPTIONS without a query (3.2.4). */
static __attribute__((noinline)) bool
read_absolute(struct span text, size_t mark, enum http_method method, struct http_target *target)
{
    size_t scheme = scheme_len(text);
    if (scheme == 0)
        return false;
    text.ptr += scheme;
    text.len -= scheme;
    mark -= scheme;

    size_t end = 0;
    while (end < text.len && text.ptr[end] != '/' && text.ptr[end] != '?')
        end++;
    const struct span authority = {text.ptr, end};
    target->is_absolute = true;
    if (!read_authority(authority, &target->host))
        return false; /* nothing of it is kept: it may have a password */
    target->authority = authority;

    split_query((struct span){text.ptr + end, text.len - end}, mark - end, target);
    if (target->path.len == 0)
        target->path =
            method == HTTP_METHOD_OPTIONS && target->query.ptr == NULL ? SPAN("*") : SPAN("/");
    return true;
}

static inline bool read_target(struct span text, size_t mark, enum http_method method,
                               struct http_target *target)
{
    if (text.ptr[0] == '/') {
        split_query(text, mark, target);
        return true;
    }
    if (text.len == 1 && text.ptr[0] == '*') {
        target->path = text;
        return method == HTTP_METHOD_OPTIONS;
    }
    return read_absolute(text, mark, method, target);
}

/* As read_authority. */
static bool read_host(struct span value, struct http_host_memo *memo, struct span *host)
{
    if (value.len == memo->len && value.len != 0 && span_same(value.ptr, memo->text, value.len)) {
        *host = (struct span){value.ptr, memo->host_len};
        return true;
    }
    if (!read_authority(value, host))
        return false;
    if (value.ptr != NULL && value.len <= sizeof(memo->text)) {
        memcpy(memo->text, value.ptr, value.len);
        memo->len = (uint8_t)value.len;
        memo->host_len = (uint8_t)host->len;
    }
    return true;
}

enum http_parse http_target_parse_next(const struct http_head *head, struct http_host_memo *memo,
                                       struct http_target *target, struct http_fault *fault)
{
    *target = (struct http_target){.authority = SPAN_NONE};
    enum http_method method = (enum http_method)head->method_id;
    if (method == HTTP_METHOD_CONNECT)
        return bad(fault, HTTP_FAULT_CONNECT_REFUSED, head->method.off);
    if (!read_target(http_head_span(head, head->target), head->query_at, method, target))
        return bad(fault, HTTP_FAULT_BAD_TARGET, head->target.off);

    const struct http_field *field = http_head_first(head, HTTP_FIELD_HOST);
    if (field == NULL) {
        if (head->minor != 0)
            return bad(fault, HTTP_FAULT_BAD_HOST, head->fields_off);
        return HTTP_PARSE_OK;
    }
    struct span value = http_field_value(head, field), host;
    if ((head->repeated & HTTP_FIELD_BIT(HTTP_FIELD_HOST)) != 0 ||
        !http_field_is_plain(head, field) || !read_host(value, memo, &host))
        return bad(fault, HTTP_FAULT_BAD_HOST, field->name_off);
    if (target->is_absolute) {
        if (!span_eq_nocase(value, target->authority))
            return bad(fault, HTTP_FAULT_HOST_MISMATCH, field->name_off);
        return HTTP_PARSE_OK;
    }
    target->authority = value;
    target->host = host;
    return HTTP_PARSE_OK;
}

enum http_parse http_target_parse(const struct http_head *head, struct http_target *target,
                                  struct http_fault *fault)
{
    struct http_host_memo none;
    none.len = 0;
    return http_target_parse_next(head, &none, target, fault);
}
