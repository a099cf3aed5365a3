/* SPDX-License-Identifier: Apache-2.0 */
/* opinion.c - see opinion.h. */
#include "opinion.h"

struct only_llhttp {
    unsigned where;
    enum http_fault_id fault;
    const char *bytes; /* what may stand at the fault's offset; "" for any byte, or none */
    const char *rfc, *why;
};

static const struct only_llhttp ONLY_LLHTTP[] = {
#define ROW(where, fault, bytes, rfc, why)                                                         \
    {OPINION_##where, HTTP_FAULT_##fault, (bytes), (rfc), (why)},
#include "only_llhttp.def"
#undef ROW
};

struct only_sluice {
    unsigned where;
    const char *error, *bytes /* that llhttp may stop behind; "" for any */, *rfc, *why;
};

static const struct only_sluice ONLY_SLUICE[] = {
#define ROW(where, error, bytes, rfc, why) {OPINION_##where, "HPE_" #error, (bytes), (rfc), (why)},
#include "only_sluice.def"
#undef ROW
};

void opinion_check_only_llhttp(enum opinion_where where, const struct http_fault *fault,
                               const char *bytes, size_t len)
{
    for (size_t i = 0; i < sizeof(ONLY_LLHTTP) / sizeof(ONLY_LLHTTP[0]); i++) {
        const struct only_llhttp *row = &ONLY_LLHTTP[i];
        if ((row->where & where) == 0 || row->fault != fault->id)
            continue;
        if (row->bytes[0] == '\0' || (fault->offset < len && bytes[fault->offset] != '\0' &&
                                      strchr(row->bytes, bytes[fault->offset]) != NULL))
            return;
    }
    fprintf(stderr, "only llhttp accepts: %s at %u, byte %d, where %d\n",
            http_fault_name(fault->id), fault->offset,
            fault->offset < len ? (unsigned char)bytes[fault->offset] : -1, (int)where);
    FUZZ_CHECK(!"a row of only_llhttp.def");
}

void opinion_check_only_sluice(enum opinion_where where, const struct opinion *o)
{
    if (o->state == OPINION_REFUSED) {
        for (size_t i = 0; i < sizeof(ONLY_SLUICE) / sizeof(ONLY_SLUICE[0]); i++) {
            const struct only_sluice *row = &ONLY_SLUICE[i];
            if ((row->where & where) == 0 || strcmp(row->error, o->error) != 0)
                continue;
            if (row->bytes[0] == '\0' ||
                (o->error_byte > 0 && strchr(row->bytes, o->error_byte) != NULL))
                return;
        }
    }
    fprintf(stderr, "only Sluice accepts: state %d, %s behind byte %d, where %d\n", (int)o->state,
            o->error != NULL ? o->error : "no error", o->error_byte, (int)where);
    FUZZ_CHECK(!"a row of only_sluice.def");
}

void opinion_check_head(const struct opinion *o, const struct http_head *head)
{
    FUZZ_CHECK(!o->has_fold && o->major == 1 && o->minor == head->minor);
    /* More: trailers, the last of which may not be complete. */
    FUZZ_CHECK(o->name_count >= head->field_count && o->value_count >= head->field_count);
    for (unsigned i = 0; i < head->field_count; i++) {
        FUZZ_CHECK(span_eq(o->names[i], http_field_name(head, &head->fields[i])));
        FUZZ_CHECK(span_eq(span_trim(o->values[i]), http_field_value(head, &head->fields[i])));
    }
    if (o->is_request) {
        FUZZ_CHECK(span_eq(o->method, http_head_span(head, head->method)));
        FUZZ_CHECK(span_eq(o->url, http_head_span(head, head->target)));
    } else {
        FUZZ_CHECK(o->status == head->status);
        FUZZ_CHECK(span_eq(o->reason, http_head_span(head, head->reason)));
    }
    if (o->is_head_only)
        FUZZ_CHECK(o->name_count == head->field_count && o->bytes == head->bytes);
}

#ifdef FUZZ_HAS_LLHTTP
#include <llhttp.h>

static struct opinion *opinion_of(llhttp_t *parser)
{
    return parser->data;
}

/* A span may come in pieces; only those of a folded value do not touch each other.  (Trailers behind the head are
 * not compared.) */
static int extend(struct opinion *o, struct span *span, const char *at, size_t len)
{
    if (span->ptr == NULL)
        span->ptr = at;
    if (span->ptr + span->len != at && !o->has_head)
        o->has_fold = true;
    span->len = (size_t)(at + len - span->ptr);
    return 0;
}

static int on_method(llhttp_t *parser, const char *at, size_t len)
{
    return extend(opinion_of(parser), &opinion_of(parser)->method, at, len);
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    return extend(opinion_of(parser), &opinion_of(parser)->url, at, len);
}

static int on_status(llhttp_t *parser, const char *at, size_t len)
{
    return extend(opinion_of(parser), &opinion_of(parser)->reason, at, len);
}

static int on_name(llhttp_t *parser, const char *at, size_t len)
{
    struct opinion *o = opinion_of(parser);
    return o->name_count == OPINION_FIELDS_MAX ? -1 : extend(o, &o->names[o->name_count], at, len);
}

static int on_name_complete(llhttp_t *parser)
{
    opinion_of(parser)->name_count++;
    return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t len)
{
    struct opinion *o = opinion_of(parser);
    return o->value_count == OPINION_FIELDS_MAX ? -1
                                                : extend(o, &o->values[o->value_count], at, len);
}

static int on_value_complete(llhttp_t *parser)
{
    opinion_of(parser)->value_count++;
    return 0;
}

/* The facts are taken here: the end of a message clears the flags. */
static int on_head(llhttp_t *parser)
{
    struct opinion *o = opinion_of(parser);
    o->has_head = true;
    o->is_chunked = (parser->flags & F_CHUNKED) != 0;
    o->has_length = (parser->flags & F_CONTENT_LENGTH) != 0;
    o->length_bytes = parser->content_length;
    if (o->is_head_only)
        return HPE_PAUSED;
    /* 1: there is no body, whatever the fields say.  llhttp leaves it to its caller to know that of
     * responses to HEAD and, when they have a length, of 304 (RFC 9112 section 6.3 (1)). */
    return o->is_for_head || (!o->is_request && parser->status_code == 304) ? 1 : 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct opinion *o = opinion_of(parser);
    memcpy(o->data + o->data_len, at, len);
    o->data_len += len;
    return 0;
}

static int on_message(llhttp_t *parser)
{
    (void)parser;
    return HPE_PAUSED;
}

void opinion_read(struct opinion *o, enum opinion_where where, bool is_for_head, const char *bytes,
                  size_t len, char *data)
{
    llhttp_t parser;
    llhttp_settings_t settings;
    memset(o, 0, sizeof(*o));
    o->is_request = (where & (OPINION_REQUEST_HEAD | OPINION_CHUNKS | OPINION_REQUEST)) != 0;
    o->is_head_only = (where & OPINION_HEAD) != 0;
    o->is_for_head = is_for_head;
    o->data = data;
    llhttp_settings_init(&settings);
    settings.on_method = on_method;
    settings.on_url = on_url;
    settings.on_status = on_status;
    settings.on_header_field = on_name;
    settings.on_header_field_complete = on_name_complete;
    settings.on_header_value = on_value;
    settings.on_header_value_complete = on_value_complete;
    settings.on_headers_complete = on_head;
    settings.on_body = on_body;
    settings.on_message_complete = on_message;
    llhttp_init(&parser, o->is_request ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
    parser.data = o;

    llhttp_errno_t err = llhttp_execute(&parser, bytes, len);
    o->error = llhttp_errno_name(err);
    o->major = parser.http_major;
    o->minor = parser.http_minor;
    o->status = parser.status_code;
    o->state = err == HPE_OK ? OPINION_MORE : err == HPE_PAUSED ? OPINION_DONE : OPINION_REFUSED;
    /* It takes PRI for the beginning of HTTP/2, whatever stands behind it (RFC 9113 section 3.4). */
    if (o->is_request && span_eq(o->method, SPAN("PRI"))) {
        o->state = OPINION_REFUSED;
        o->error = "HPE_INVALID_METHOD";
    }
    const char *stop = llhttp_get_error_pos(&parser);
    bool is_inside = stop != NULL && stop > bytes && stop <= bytes + len;
    o->error_byte = is_inside ? (unsigned char)stop[-1] : -1;
    if (err == HPE_PAUSED)
        o->bytes = (size_t)(stop - bytes);
}

#else

void opinion_read(struct opinion *o, enum opinion_where where, bool is_for_head, const char *bytes,
                  size_t len, char *data)
{
    (void)where;
    (void)is_for_head;
    (void)bytes;
    (void)len;
    (void)data;
    memset(o, 0, sizeof(*o));
}

#endif
