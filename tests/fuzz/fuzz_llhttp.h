/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_llhttp.h - what llhttp, built strict, reads in a message: the other opinion for the HTTP
 * targets.  It is looser than Sluice in ways that are known, so only what Sluice accepts is compared. */
#ifndef SLUICE_TESTS_FUZZ_LLHTTP_H
#define SLUICE_TESTS_FUZZ_LLHTTP_H

#ifdef FUZZ_HAS_LLHTTP
#include <llhttp.h>

#include "fuzz.h"

#include "base/base_span.h"

#define OPINION_FIELDS_MAX 256

struct opinion {
    llhttp_t parser;
    llhttp_settings_t settings;
    struct span url, names[OPINION_FIELDS_MAX], values[OPINION_FIELDS_MAX];
    unsigned name_count, value_count;
    size_t head_bytes; /* 0 until the head is complete */
    char *data;        /* of the body, when `room` is not 0 */
    size_t data_len, room;
    size_t message_bytes; /* 0 until the message is complete */
    const char *begin;
    bool stop_after_head;
};

static inline struct opinion *opinion_of(llhttp_t *parser)
{
    return parser->data;
}

/* A span may come in pieces that touch each other. */
static inline void opinion_extend(struct span *span, const char *at, size_t len)
{
    if (span->ptr == NULL)
        span->ptr = at;
    FUZZ_CHECK(span->ptr + span->len == at);
    span->len += len;
}

static inline int opinion_url(llhttp_t *parser, const char *at, size_t len)
{
    opinion_extend(&opinion_of(parser)->url, at, len);
    return 0;
}

static inline int opinion_name(llhttp_t *parser, const char *at, size_t len)
{
    struct opinion *o = opinion_of(parser);
    if (o->name_count == OPINION_FIELDS_MAX)
        return -1;
    opinion_extend(&o->names[o->name_count], at, len);
    return 0;
}

static inline int opinion_name_complete(llhttp_t *parser)
{
    opinion_of(parser)->name_count++;
    return 0;
}

static inline int opinion_value(llhttp_t *parser, const char *at, size_t len)
{
    struct opinion *o = opinion_of(parser);
    if (o->value_count == OPINION_FIELDS_MAX)
        return -1;
    opinion_extend(&o->values[o->value_count], at, len);
    return 0;
}

static inline int opinion_value_complete(llhttp_t *parser)
{
    opinion_of(parser)->value_count++;
    return 0;
}

static inline int opinion_head(llhttp_t *parser)
{
    return opinion_of(parser)->stop_after_head ? HPE_PAUSED : 0;
}

static inline int opinion_body(llhttp_t *parser, const char *at, size_t len)
{
    struct opinion *o = opinion_of(parser);
    FUZZ_CHECK(o->data_len + len <= o->room);
    memcpy(o->data + o->data_len, at, len);
    o->data_len += len;
    return 0;
}

static inline int opinion_message(llhttp_t *parser)
{
    (void)parser;
    return HPE_PAUSED;
}

/* Reads one message, or its head alone.  Owner of everything: the caller. */
static inline llhttp_errno_t opinion_read(struct opinion *o, bool is_request, const char *bytes,
                                          size_t len)
{
    llhttp_settings_init(&o->settings);
    o->settings.on_url = opinion_url;
    o->settings.on_header_field = opinion_name;
    o->settings.on_header_field_complete = opinion_name_complete;
    o->settings.on_header_value = opinion_value;
    o->settings.on_header_value_complete = opinion_value_complete;
    o->settings.on_headers_complete = opinion_head;
    o->settings.on_body = opinion_body;
    o->settings.on_message_complete = opinion_message;
    llhttp_init(&o->parser, is_request ? HTTP_REQUEST : HTTP_RESPONSE, &o->settings);
    o->parser.data = o;
    o->begin = bytes;
    llhttp_errno_t err = llhttp_execute(&o->parser, bytes, len);
    if (err == HPE_PAUSED) {
        size_t at = (size_t)(llhttp_get_error_pos(&o->parser) - bytes);
        if (o->stop_after_head)
            o->head_bytes = at;
        else
            o->message_bytes = at;
    }
    return err;
}

#endif
#endif
