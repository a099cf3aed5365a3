/* SPDX-License-Identifier: Apache-2.0 */
/* request.h - requests for the tests of identity, from the lines of their head. */
#ifndef SLUICE_TESTS_IDENTITY_REQUEST_H
#define SLUICE_TESTS_IDENTITY_REQUEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/base_ip.h"
#include "identity/identity.h"

#define REQUEST_FIELDS 64

struct request {
    char *text;
    struct http_field fields[REQUEST_FIELDS];
    struct http_head head;
    struct http_target target;
    struct arena arena;
    struct identity_input input;
};

static inline void request_init(struct request *request)
{
    request->text = NULL;
    arena_init(&request->arena, NULL, 0, 1 << 20);
    request->input = (struct identity_input){
        .head = &request->head,
        .target = &request->target,
        .arena = &request->arena,
    };
}

/* As the proxy would: parsed by our own parser.  lines: "Name: value\r\n"...; has no Host of its own. */
static inline void request_parse(struct request *request, const char *target, const char *host,
                                 const char *lines)
{
    static const struct http_head_limits limits = {1 << 20, 1 << 20, 1 << 20, REQUEST_FIELDS};
    request_init(request);
    int len =
        asprintf(&request->text, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", target, host, lines);
    assert_true(len > 0);
    struct http_fault fault = {HTTP_FAULT_NONE, 0};
    size_t scanned = 0;
    request->head = (struct http_head){.fields = request->fields, .field_max = REQUEST_FIELDS};
    enum http_parse parse = http_head_parse_request(&request->head, request->text, (size_t)len,
                                                    &scanned, &limits, &fault);
    if (parse != HTTP_PARSE_OK)
        print_error("%s: %s\n", http_fault_name(fault.id), lines);
    assert_int_equal(parse, HTTP_PARSE_OK);
    assert_int_equal(http_target_parse(&request->head, &request->target, &fault), HTTP_PARSE_OK);
}

/* One field with any bytes, also those that our parser refuses. */
static inline void request_raw(struct request *request, const char *name, struct span value)
{
    request_init(request);
    size_t name_len = strlen(name);
    request->text = malloc(name_len + value.len + 1);
    assert_non_null(request->text);
    memcpy(request->text, name, name_len);
    if (value.len > 0)
        memcpy(request->text + name_len, value.ptr, value.len);
    enum http_field_id id = http_field_id_of(span_of(name));
    request->fields[0] = (struct http_field){
        .name_len = (uint16_t)name_len,
        .value_off = (uint32_t)name_len,
        .value_len = (uint32_t)value.len,
        .id = (uint8_t)id,
    };
    request->head = (struct http_head){
        .base = request->text,
        .fields = request->fields,
        .field_count = 1,
        .field_max = REQUEST_FIELDS,
        .present = HTTP_FIELD_BIT(id),
    };
    request->target = (struct http_target){.path = SPAN("/")};
}

static inline void request_free(struct request *request)
{
    arena_fini(&request->arena);
    free(request->text);
}

static inline struct ip address(const char *text)
{
    struct ip ip;
    if (!ip_parse(&ip, span_of(text)))
        fail_msg("not an address: %s", text);
    return ip;
}

/* sources: "header:X-A|ip". */
static inline struct identity identity_of(const char *sources, enum identity_missing missing)
{
    struct identity identity = {
        .name = SPAN("test"), .missing = (uint8_t)missing, .ipv4_prefix = 32, .ipv6_prefix = 64};
    struct span rest = span_of(sources);
    while (rest.len > 0) {
        size_t len = span_find(rest, '|');
        const char *fault = identity_source_parse(&identity.from[identity.from_count],
                                                  (struct span){rest.ptr, len});
        if (fault != NULL)
            fail_msg("%s: %s", sources, fault);
        identity.from_count++;
        size_t skip = len < rest.len ? len + 1 : len;
        rest.ptr += skip;
        rest.len -= skip;
    }
    return identity;
}

static inline void assert_span(struct span got, const char *want)
{
    if (!span_eq(got, span_of(want)))
        print_error("got '%.*s', want '%s'\n", (int)got.len, got.ptr, want == NULL ? "" : want);
    assert_true(span_eq(got, span_of(want)));
}

#endif
