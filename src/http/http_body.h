/* SPDX-License-Identifier: Apache-2.0 */
/* http_body.h - reading a body off a connection.  Takes: bytes as they come.  Gives: how many belong
 * to the body, and the data in them (chunk framing taken away).  Pure, strict (RFC 9112 section 7.1),
 * incremental; never allocates. */
#ifndef SLUICE_HTTP_BODY_H
#define SLUICE_HTTP_BODY_H

#include "base/base_arena.h"
#include "http/http_framing.h"

enum http_body_state {
    HTTP_BODY_MORE, /* wants more bytes */
    HTTP_BODY_DONE, /* the body and its trailers are complete */
    HTTP_BODY_BAD,
};

struct http_body_limits {
    uint32_t extension_max_bytes; /* of one chunk */
    uint32_t trailers_max_bytes;
    uint64_t overhead_max_bytes; /* framing bytes allowed beyond the data bytes (plus this) */
};

/* Embedded in an exchange, one per direction.  Thread: the exchange's. */
struct http_body {
    enum http_body_kind kind;
    uint8_t state; /* of the chunk reader; http_body.c names them */
    enum http_fault_id fault;
    uint64_t left_bytes;  /* of the length, or of the chunk being read */
    uint64_t data_bytes;  /* data seen so far */
    uint64_t frame_bytes; /* framing seen so far */
    uint32_t line_bytes;  /* of the size, the extension or the trailer line being read */
    char *
        trailers; /* trailer lines as "Name: value\r\n"..., in the arena; NULL when there are none */
    uint32_t trailers_len, trailers_cap;
};

void http_body_init(struct http_body *body, const struct http_framing *framing);

/* Read from buf[0..len).  Data bytes are compacted to the front of buf: afterwards buf[0..*data_len)
 * is data, and *consumed input bytes belong to this message; what follows them (buf + *consumed) is
 * untouched and belongs to the next.  After BAD *consumed is where the fault shows, and the data before
 * it is given still.
 * Chunk sizes have 1 to 16 hexadecimal digits and are below 2^63; extensions are judged and dropped.
 * Trailers are collected into the arena (validated like fields; those that may not be trailers are
 * refused: framing, routing, authentication, RFC 9110 section 6.5.1); when the arena is full that is
 * TRAILERS_TOO_LONG.  With framing->kind NONE this is DONE at once.
 * HTTP_BODY_CLOSE and HTTP_BODY_TUNNEL never get DONE here: the caller ends them with the
 * connection. */
enum http_body_state http_body_read(struct http_body *body, char *buf, size_t len, size_t *consumed,
                                    size_t *data_len, const struct http_body_limits *limits,
                                    struct arena *arena);

/* Is nothing more to be read?  True at once for HTTP_BODY_NONE and a length of 0. */
bool http_body_is_done(const struct http_body *body);

/* How many bytes may be passed on without being read here: the rest of a large body of known length.  0: read it.
 * http_body_pass takes as many of them as were passed on. */
#define HTTP_BODY_PASS_MIN_BYTES                                                                   \
    262144 /* of the whole body; for less reading is as cheap (measured) */
#define HTTP_BODY_PASS_REST_BYTES 16384 /* what is left of it */
static inline uint64_t http_body_passable(const struct http_body *body)
{
    bool is_worth_it = body->kind == HTTP_BODY_LENGTH &&
                       body->left_bytes >= HTTP_BODY_PASS_REST_BYTES &&
                       body->left_bytes + body->data_bytes >= HTTP_BODY_PASS_MIN_BYTES;
    return is_worth_it ? body->left_bytes : 0;
}
void http_body_pass(struct http_body *body, uint64_t bytes);

/* The chunk head for n > 0 data bytes: "1f40\r\n"; returns the byte after it.  At most 18 bytes. */
#define HTTP_CHUNK_HEAD_MAX 18
char *http_body_chunk_head(char *out, uint64_t n);

#endif
