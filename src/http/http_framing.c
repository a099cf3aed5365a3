/* SPDX-License-Identifier: Apache-2.0 */
/* http_framing.c - the tables of http_framing.h, rule by rule. */
#include "http/http_framing.h"

#include "http/http_connection.h"
#include "http/http_fields.h"
#include "http/http_write.h"

/* More digits than any body has bytes; fewer than 2^64 has. */
#define LENGTH_DIGITS_MAX 18

static enum http_parse bad(struct http_fault *fault, enum http_fault_id id, uint32_t offset)
{
    fault->id = id;
    fault->offset = offset;
    return HTTP_PARSE_BAD;
}

/* At the first field with this id, for the offset of the fault. */
static enum http_parse bad_field(const struct http_head *head, struct http_fault *fault,
                                 enum http_fault_id fault_id, enum http_field_id field_id)
{
    const struct http_field *field = http_head_first(head, field_id);
    return bad(fault, fault_id, field != NULL ? field->name_off : 0);
}

/* Plain digits, no leading zero, no list: what every reader reads alike (RFC 9110 section 8.6). */
static bool read_length(struct span text, uint64_t *length_bytes)
{
    if (text.len == 0 || text.len > LENGTH_DIGITS_MAX || (text.len > 1 && text.ptr[0] == '0'))
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned char)text.ptr[i] - (unsigned)'0';
        if (digit > 9)
            return false;
        value = value * 10 + digit;
    }
    *length_bytes = value;
    return true;
}

static bool has_two(const struct http_head *head, enum http_field_id id)
{
    return (head->repeated & HTTP_FIELD_BIT(id)) != 0;
}

/* The value of the one field with this id, empty when there are two or it stands between HTABs. */
static struct span value_of(const struct http_head *head, enum http_field_id id)
{
    const struct http_field *field = http_head_first(head, id);
    if (has_two(head, id) || !http_field_is_plain(head, field))
        return SPAN_NONE;
    return http_field_value(head, field);
}

/* Rows 2 to 6 of both tables: Transfer-Encoding and Content-Length.  Leaves NONE when there is
 * neither. */
static enum http_parse read_framing_fields(const struct http_head *head,
                                           struct http_framing *framing, struct http_fault *fault)
{
    const uint64_t both =
        HTTP_FIELD_BIT(HTTP_FIELD_TRANSFER_ENCODING) | HTTP_FIELD_BIT(HTTP_FIELD_CONTENT_LENGTH);
    if ((head->present & both) == 0)
        return HTTP_PARSE_OK;

    if (http_head_has(head, HTTP_FIELD_TRANSFER_ENCODING)) {
        if (head->minor == 0)
            return bad_field(head, fault, HTTP_FAULT_TRANSFER_ENCODING_IN_1_0,
                             HTTP_FIELD_TRANSFER_ENCODING);
        if ((head->present & both) == both)
            return bad_field(head, fault, HTTP_FAULT_LENGTH_AND_CHUNKED, HTTP_FIELD_CONTENT_LENGTH);
        if (!span_eq_nocase(value_of(head, HTTP_FIELD_TRANSFER_ENCODING), SPAN("chunked")))
            return bad_field(head, fault, HTTP_FAULT_BAD_TRANSFER_ENCODING,
                             HTTP_FIELD_TRANSFER_ENCODING);
        framing->kind = HTTP_BODY_CHUNKED;
        return HTTP_PARSE_OK;
    }

    if (!read_length(value_of(head, HTTP_FIELD_CONTENT_LENGTH), &framing->length_bytes))
        return bad_field(head, fault, HTTP_FAULT_BAD_CONTENT_LENGTH, HTTP_FIELD_CONTENT_LENGTH);
    framing->has_length = true;
    framing->kind = framing->length_bytes != 0 ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
    return HTTP_PARSE_OK;
}

/* What a request's Connection may nominate of the known fields.  Everything else there is meant for
 * the one who answers; to have it removed on the way is an attack or a mistake (RFC 9110 section
 * 7.6.1: a sender MUST NOT). */
static bool may_nominate(uint64_t nominated)
{
    const uint64_t allowed = HTTP_HOP_BY_HOP | HTTP_FIELD_BIT(HTTP_FIELD_TRANSFER_ENCODING) |
                             HTTP_FIELD_BIT(HTTP_FIELD_TRAILER);
    return (nominated & ~allowed) == 0;
}

static __attribute__((noinline)) enum http_parse
read_options(const struct http_head *head, struct http_framing *framing, struct http_fault *fault)
{
    struct http_connection connection;
    if (!http_connection_read(head, &connection))
        return bad_field(head, fault, HTTP_FAULT_BAD_CONNECTION, HTTP_FIELD_CONNECTION);
    if (connection.has_close)
        framing->keep_alive = false;
    else if (connection.nominated & HTTP_FIELD_BIT(HTTP_FIELD_KEEP_ALIVE))
        framing->keep_alive = true;
    framing->nominated = connection.nominated;
    return HTTP_PARSE_OK;
}

/* keep_alive by version and Connection (RFC 9112 section 9.3). */
static inline enum http_parse read_connection(const struct http_head *head,
                                              struct http_framing *framing,
                                              struct http_fault *fault)
{
    framing->keep_alive = head->minor != 0;
    return http_head_has(head, HTTP_FIELD_CONNECTION) ? read_options(head, framing, fault)
                                                      : HTTP_PARSE_OK;
}

/* RFC 9110 section 10.1.1; in HTTP/1.0 the one known expectation is ignored. */
static enum http_parse read_expect(const struct http_head *head, struct http_framing *framing,
                                   struct http_fault *fault)
{
    if (!http_head_has(head, HTTP_FIELD_EXPECT))
        return HTTP_PARSE_OK;
    if (!span_eq_nocase(value_of(head, HTTP_FIELD_EXPECT), SPAN("100-continue")))
        return bad_field(head, fault, HTTP_FAULT_BAD_EXPECT, HTTP_FIELD_EXPECT);
    framing->expect_continue = head->minor != 0 && framing->kind != HTTP_BODY_NONE;
    return HTTP_PARSE_OK;
}

enum http_parse http_framing_request(const struct http_head *head, struct http_framing *framing,
                                     struct http_fault *fault)
{
    *framing = (struct http_framing){.kind = HTTP_BODY_NONE};
    if (head->method_id == HTTP_METHOD_CONNECT)
        return bad(fault, HTTP_FAULT_CONNECT_REFUSED, head->method.off);

    enum http_parse parse = read_framing_fields(head, framing, fault);
    if (parse != HTTP_PARSE_OK)
        return parse;
    parse = read_connection(head, framing, fault);
    if (parse != HTTP_PARSE_OK)
        return parse;
    if (!may_nominate(framing->nominated))
        return bad_field(head, fault, HTTP_FAULT_BAD_CONNECTION, HTTP_FIELD_CONNECTION);
    return read_expect(head, framing, fault);
}

/* Responses that never have a body although the framing fields may be read (RFC 9110 section 6.4.1). */
static bool is_bodiless(unsigned status, enum http_method request_method)
{
    return status < 200 || status == 204 || status == 304 || request_method == HTTP_METHOD_HEAD;
}

enum http_parse http_framing_response(const struct http_head *head, enum http_method request_method,
                                      struct http_framing *framing, struct http_fault *fault)
{
    *framing = (struct http_framing){.kind = HTTP_BODY_NONE};
    enum http_parse parse = read_framing_fields(head, framing, fault);
    if (parse != HTTP_PARSE_OK)
        return parse;
    parse = read_connection(head, framing, fault);
    if (parse != HTTP_PARSE_OK)
        return parse;

    if (head->status < 200 || head->status == 204) {
        if (framing->kind == HTTP_BODY_CHUNKED)
            return bad_field(head, fault, HTTP_FAULT_BAD_TRANSFER_ENCODING,
                             HTTP_FIELD_TRANSFER_ENCODING);
        if (framing->kind == HTTP_BODY_LENGTH)
            return bad_field(head, fault, HTTP_FAULT_BAD_CONTENT_LENGTH, HTTP_FIELD_CONTENT_LENGTH);
    }
    if (head->status == 205 && framing->kind == HTTP_BODY_LENGTH)
        return bad_field(head, fault, HTTP_FAULT_BAD_CONTENT_LENGTH, HTTP_FIELD_CONTENT_LENGTH);
    if (head->status == 101) {
        framing->kind = HTTP_BODY_TUNNEL;
        framing->keep_alive = false;
        return HTTP_PARSE_OK;
    }
    if (is_bodiless(head->status, request_method)) {
        framing->kind = HTTP_BODY_NONE;
        return HTTP_PARSE_OK;
    }
    if (framing->kind == HTTP_BODY_NONE && !framing->has_length) {
        framing->kind = HTTP_BODY_CLOSE;
        framing->keep_alive = false;
    }
    return HTTP_PARSE_OK;
}
