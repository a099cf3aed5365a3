/* SPDX-License-Identifier: Apache-2.0 */
/* http_hops.c - Max-Forwards as RFC 9110 section 7.6.2 says, TE as section 10.1.4 does. */
#include "http/http_hops.h"

#include "base/base_parse.h"
#include "http/http_connection.h"
#include "http/http_fields.h"

#define MAX_FORWARDS_DIGITS_MAX 9

static bool read_count(struct span text, uint32_t *count)
{
    uint64_t value;
    if (text.len > MAX_FORWARDS_DIGITS_MAX || !parse_u64(text, &value))
        return false;
    *count = (uint32_t)value;
    return true;
}

static enum http_parse read_max_forwards(const struct http_head *head, struct http_hops *hops,
                                         struct http_fault *fault)
{
    unsigned from = 0;
    const struct http_field *field = http_head_next(head, HTTP_FIELD_MAX_FORWARDS, &from);
    bool is_repeated = (head->repeated & HTTP_FIELD_BIT(HTTP_FIELD_MAX_FORWARDS)) != 0;
    if (is_repeated || !http_field_is_plain(head, field) ||
        !read_count(http_field_value(head, field), &hops->max_forwards)) {
        *fault = (struct http_fault){HTTP_FAULT_BAD_MAX_FORWARDS, field->name_off};
        return HTTP_PARSE_BAD;
    }
    hops->has_max_forwards = true;
    return HTTP_PARSE_OK;
}

static bool takes_trailers(const struct http_head *head)
{
    unsigned from = 0;
    const struct http_field *field;
    while ((field = http_head_next(head, HTTP_FIELD_TE, &from)) != NULL) {
        struct span list = http_field_value(head, field), element;
        while (http_list_next(&list, &element)) {
            if (span_eq_nocase(element, SPAN("trailers")))
                return true;
        }
    }
    return false;
}

enum http_parse http_hops_read(const struct http_head *head, struct http_hops *hops,
                               struct http_fault *fault)
{
    const uint64_t both = HTTP_FIELD_BIT(HTTP_FIELD_MAX_FORWARDS) | HTTP_FIELD_BIT(HTTP_FIELD_TE);
    *hops = (struct http_hops){.has_max_forwards = false};
    if ((head->present & both) == 0)
        return HTTP_PARSE_OK;
    hops->takes_trailers = takes_trailers(head);
    bool counts = head->method_id == HTTP_METHOD_OPTIONS || head->method_id == HTTP_METHOD_TRACE;
    if (!counts || !http_head_has(head, HTTP_FIELD_MAX_FORWARDS))
        return HTTP_PARSE_OK;
    return read_max_forwards(head, hops, fault);
}
