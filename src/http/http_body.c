/* SPDX-License-Identifier: Apache-2.0 */
/* http_body.c - the chunk reader.  Data is moved in whole pieces, framing is read byte by byte; each
 * byte is looked at once, whatever way the body is cut. */
#include "http/http_body.h"

#include <assert.h>
#include <string.h>

#include "base/base_parse.h"
#include "http/http_scan.h"

#define SIZE_DIGITS_MAX 16
#define SIZE_MAX_BYTES  ((uint64_t)INT64_MAX)
#define TRAILERS_FIRST  256

/* What the next byte is.  The extension states follow RFC 9112 section 7.1.1 without its BWS, which
 * must not be generated. */
enum chunk_state {
    CHUNK_SIZE_FIRST, /* the first digit of a size */
    CHUNK_SIZE,
    CHUNK_EXT_NAME_FIRST,
    CHUNK_EXT_NAME,
    CHUNK_EXT_VALUE_FIRST,
    CHUNK_EXT_TOKEN,
    CHUNK_EXT_QUOTED,
    CHUNK_EXT_ESCAPED,
    CHUNK_EXT_QUOTE_END,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER_FIRST, /* the first byte of a trailer line, or of the last CRLF */
    CHUNK_TRAILER,
    CHUNK_END_LF,
    CHUNK_DONE,
    CHUNK_BAD,
};

/* One call's reading place. */
struct reader {
    struct http_body *body;
    const struct http_body_limits *limits;
    struct arena *arena;
    char *buf;
    size_t len, at;
    size_t data_len;
};

void http_body_init(struct http_body *body, const struct http_framing *framing)
{
    *body = (struct http_body){.kind = framing->kind, .state = CHUNK_SIZE_FIRST};
    if (framing->kind == HTTP_BODY_LENGTH)
        body->left_bytes = framing->length_bytes;
}

static void refuse(struct http_body *body, enum http_fault_id fault)
{
    body->fault = fault;
    body->state = CHUNK_BAD;
}

/* One byte of a chunk size. */
static void read_size(struct http_body *body, char byte)
{
    int digit = parse_hex_digit(byte);
    if (digit >= 0) {
        if (body->line_bytes++ == SIZE_DIGITS_MAX || body->left_bytes > SIZE_MAX_BYTES >> 4) {
            refuse(body, HTTP_FAULT_BAD_CHUNK_SIZE);
            return;
        }
        body->left_bytes = body->left_bytes << 4 | (unsigned)digit;
        body->state = CHUNK_SIZE;
    } else if (body->state == CHUNK_SIZE_FIRST) {
        refuse(body, HTTP_FAULT_BAD_CHUNK_SIZE);
    } else if (byte == ';') {
        body->line_bytes = 1;
        body->state = CHUNK_EXT_NAME_FIRST;
    } else if (byte == '\r') {
        body->state = CHUNK_SIZE_LF;
    } else {
        refuse(body, HTTP_FAULT_BAD_CHUNK_SIZE);
    }
}

/* One byte of a chunk extension; the extension is not kept. */
static void read_extension(struct http_body *body, char byte, uint32_t max_bytes)
{
    const bool is_token = http_byte_is(byte, HTTP_BYTE_TOKEN);
    uint8_t next = CHUNK_BAD;
    switch (body->state) {
    case CHUNK_EXT_NAME_FIRST:
        next = is_token ? CHUNK_EXT_NAME : CHUNK_BAD;
        break;
    case CHUNK_EXT_NAME:
        if (is_token)
            next = CHUNK_EXT_NAME;
        else if (byte == '=')
            next = CHUNK_EXT_VALUE_FIRST;
        break;
    case CHUNK_EXT_VALUE_FIRST:
        next = is_token ? CHUNK_EXT_TOKEN : byte == '"' ? CHUNK_EXT_QUOTED : CHUNK_BAD;
        break;
    case CHUNK_EXT_TOKEN:
        next = is_token ? CHUNK_EXT_TOKEN : CHUNK_BAD;
        break;
    case CHUNK_EXT_QUOTED:
        if (byte == '"')
            next = CHUNK_EXT_QUOTE_END;
        else if (byte == '\\')
            next = CHUNK_EXT_ESCAPED;
        else if (http_byte_is(byte, HTTP_BYTE_VALUE))
            next = CHUNK_EXT_QUOTED;
        break;
    case CHUNK_EXT_ESCAPED:
        next = http_byte_is(byte, HTTP_BYTE_VALUE) ? CHUNK_EXT_QUOTED : CHUNK_BAD;
        break;
    default:
        break;
    }

    const bool may_end = body->state == CHUNK_EXT_NAME || body->state == CHUNK_EXT_TOKEN ||
                         body->state == CHUNK_EXT_QUOTE_END;
    if (may_end && byte == ';')
        next = CHUNK_EXT_NAME_FIRST;
    else if (may_end && byte == '\r')
        next = CHUNK_SIZE_LF;
    body->state = next;
    if (next == CHUNK_BAD)
        body->fault = HTTP_FAULT_BAD_CHUNK_EXTENSION;
    else if (next != CHUNK_SIZE_LF && ++body->line_bytes > max_bytes)
        refuse(body, HTTP_FAULT_CHUNK_EXTENSION_TOO_LONG);
}

/* The size line is complete. */
static void end_size_line(struct http_body *body, const struct http_body_limits *limits)
{
    uint64_t allowed = body->data_bytes + limits->overhead_max_bytes;
    if (allowed < body->data_bytes)
        allowed = UINT64_MAX;
    if (body->frame_bytes > allowed) {
        refuse(body, HTTP_FAULT_CHUNK_OVERHEAD);
        return;
    }
    body->line_bytes = 0;
    body->state = body->left_bytes != 0 ? CHUNK_DATA : CHUNK_TRAILER_FIRST;
}

/* Takes as much data as there is, moved to the front of the buffer. */
static void take_data(struct reader *r)
{
    struct http_body *body = r->body;
    size_t room = r->len - r->at;
    size_t take = body->left_bytes < room ? (size_t)body->left_bytes : room;
    if (r->at != r->data_len)
        memmove(r->buf + r->data_len, r->buf + r->at, take);
    r->at += take;
    r->data_len += take;
    body->data_bytes += take;
    body->left_bytes -= take;
    if (body->left_bytes == 0)
        body->state = CHUNK_DATA_CR;
}

/* Fields that may not come after the body: every field that Sluice knows by number is for framing,
 * routing, authentication or the like, and so are these (RFC 9110 section 6.5.1). */
static bool may_be_trailer(struct span name, enum http_field_id id)
{
    static const struct span REFUSED[] = {
        {"range", 5},
        {"if-match", 8},
        {"if-none-match", 13},
        {"if-modified-since", 17},
        {"if-unmodified-since", 19},
        {"if-range", 8},
        {"location", 8},
        {"vary", 4},
        {"expires", 7},
        {"pragma", 6},
        {"www-authenticate", 16},
        {"content-location", 16},
        {"content-language", 16},
    };
    if (id != HTTP_FIELD_OTHER)
        return false;
    for (size_t i = 0; i < sizeof(REFUSED) / sizeof(REFUSED[0]); i++)
        if (span_eq_nocase(name, REFUSED[i]))
            return false;
    return true;
}

/* Appends to the kept trailers; false when they are too long or memory is at its cap. */
static bool keep_trailer(struct http_body *body, const char *bytes, size_t len,
                         const struct http_body_limits *limits, struct arena *arena)
{
    if (len > limits->trailers_max_bytes - body->trailers_len)
        return false;
    uint32_t needed = body->trailers_len + (uint32_t)len;
    if (needed > body->trailers_cap) {
        uint64_t cap = body->trailers_cap != 0 ? body->trailers_cap : TRAILERS_FIRST;
        while (cap < needed)
            cap *= 2;
        if (cap > limits->trailers_max_bytes)
            cap = limits->trailers_max_bytes;
        char *grown = arena_take(arena, (size_t)cap);
        if (grown == NULL)
            return false;
        if (body->trailers_len != 0)
            memcpy(grown, body->trailers, body->trailers_len);
        body->trailers = grown;
        body->trailers_cap = (uint32_t)cap;
    }
    memcpy(body->trailers + body->trailers_len, bytes, len);
    body->trailers_len = needed;
    return true;
}

/* Takes the bytes of a trailer line up to its LF, and judges the line when it is whole.  A CR at the
 * beginning of a line is that of the last CRLF. */
static void take_trailer(struct reader *r)
{
    struct http_body *body = r->body;
    const char *from = r->buf + r->at;
    if (body->state == CHUNK_TRAILER_FIRST && *from == '\r') {
        body->state = CHUNK_END_LF;
        r->at++;
        return;
    }
    size_t room = r->len - r->at;
    const char *line_end = memchr(from, '\n', room);
    size_t take = line_end != NULL ? (size_t)(line_end - from) + 1 : room;
    r->at += take;
    body->state = CHUNK_TRAILER;
    if (!keep_trailer(body, from, take, r->limits, r->arena)) {
        refuse(body, HTTP_FAULT_TRAILERS_TOO_LONG);
        return;
    }
    body->line_bytes += (uint32_t)take;
    if (line_end == NULL)
        return;

    size_t begin = body->trailers_len - body->line_bytes, next;
    struct http_field field;
    struct http_fault fault;
    if (http_head_parse_field(body->trailers, body->trailers_len, begin, &field, &next, &fault) !=
            HTTP_PARSE_OK ||
        !may_be_trailer((struct span){body->trailers + begin, field.name_len},
                        (enum http_field_id)field.id)) {
        refuse(body, HTTP_FAULT_BAD_TRAILER);
        return;
    }
    body->line_bytes = 0;
    body->state = CHUNK_TRAILER_FIRST;
}

/* One byte that must be this one. */
static void expect_byte(struct http_body *body, char byte, char expected, uint8_t next,
                        enum http_fault_id fault)
{
    if (byte == expected)
        body->state = next;
    else
        refuse(body, fault);
}

static void read_frame_byte(struct reader *r)
{
    struct http_body *body = r->body;
    char byte = r->buf[r->at++];
    body->frame_bytes++;
    switch (body->state) {
    case CHUNK_SIZE_FIRST:
    case CHUNK_SIZE:
        read_size(body, byte);
        break;
    case CHUNK_SIZE_LF:
        expect_byte(body, byte, '\n', CHUNK_DATA, HTTP_FAULT_BAD_CHUNK_SIZE);
        if (body->state != CHUNK_BAD)
            end_size_line(body, r->limits);
        break;
    case CHUNK_DATA_CR:
        expect_byte(body, byte, '\r', CHUNK_DATA_LF, HTTP_FAULT_BAD_CHUNK_END);
        break;
    case CHUNK_DATA_LF:
        expect_byte(body, byte, '\n', CHUNK_SIZE_FIRST, HTTP_FAULT_BAD_CHUNK_END);
        break;
    case CHUNK_END_LF:
        expect_byte(body, byte, '\n', CHUNK_DONE, HTTP_FAULT_BAD_TRAILER);
        break;
    default:
        read_extension(body, byte, r->limits->extension_max_bytes);
        break;
    }
    if (body->state == CHUNK_BAD)
        r->at--;
}

static enum http_body_state read_chunked(struct reader *r)
{
    struct http_body *body = r->body;
    while (r->at < r->len && body->state < CHUNK_DONE) {
        switch (body->state) {
        case CHUNK_DATA:
            take_data(r);
            break;
        case CHUNK_TRAILER_FIRST:
        case CHUNK_TRAILER:
            take_trailer(r);
            break;
        default:
            read_frame_byte(r);
            break;
        }
    }
    if (body->state == CHUNK_BAD)
        return HTTP_BODY_BAD;
    return body->state == CHUNK_DONE ? HTTP_BODY_DONE : HTTP_BODY_MORE;
}

bool http_body_is_done(const struct http_body *body)
{
    switch (body->kind) {
    case HTTP_BODY_NONE:
        return true;
    case HTTP_BODY_LENGTH:
        return body->left_bytes == 0;
    case HTTP_BODY_CHUNKED:
        return body->state == CHUNK_DONE;
    default:
        return false;
    }
}

enum http_body_state http_body_read(struct http_body *body, char *buf, size_t len, size_t *consumed,
                                    size_t *data_len, const struct http_body_limits *limits,
                                    struct arena *arena)
{
    enum http_body_state state = HTTP_BODY_MORE;
    size_t take = 0;
    switch (body->kind) {
    case HTTP_BODY_NONE:
        state = HTTP_BODY_DONE;
        break;
    case HTTP_BODY_LENGTH:
        take = body->left_bytes < len ? (size_t)body->left_bytes : len;
        body->left_bytes -= take;
        state = body->left_bytes == 0 ? HTTP_BODY_DONE : HTTP_BODY_MORE;
        break;
    case HTTP_BODY_CLOSE:
    case HTTP_BODY_TUNNEL:
        take = len;
        break;
    case HTTP_BODY_CHUNKED: {
        struct reader reader = {
            .body = body, .limits = limits, .arena = arena, .buf = buf, .len = len};
        state = read_chunked(&reader);
        *consumed = reader.at;
        *data_len = reader.data_len;
        return state;
    }
    }
    body->data_bytes += take;
    *consumed = *data_len = take;
    return state;
}

void http_body_pass(struct http_body *body, uint64_t bytes)
{
    assert(body->kind == HTTP_BODY_LENGTH && bytes <= body->left_bytes);
    body->left_bytes -= bytes;
    body->data_bytes += bytes;
}

char *http_body_chunk_head(char *out, uint64_t n)
{
    static const char digits[] = "0123456789abcdef";
    assert(n > 0);
    unsigned shift = 60 - ((unsigned)__builtin_clzll(n) & ~3U);
    for (;; shift -= 4) {
        *out++ = digits[(n >> shift) & 15];
        if (shift == 0)
            break;
    }
    *out++ = '\r';
    *out++ = '\n';
    return out;
}
