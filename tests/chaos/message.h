/* SPDX-License-Identifier: Apache-2.0 */
/* message.h - reads HTTP/1.1 messages of the chaos tests as they arrive, and judges their bodies: every body
 * that these programs write is the pattern below, so a lost, doubled or foreign byte shows.  Takes: bytes in
 * pieces.  Gives: where the message stands.  Never: keeps a body. */
#ifndef SLUICE_TESTS_CHAOS_MESSAGE_H
#define SLUICE_TESTS_CHAOS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_HEAD_MAX     8192
#define MESSAGE_PATTERN_STEP 23 /* a prime, so that no power of two hides a shift */

enum message_phase {
    MESSAGE_HEAD,
    MESSAGE_LENGTH,     /* in a body of known length */
    MESSAGE_CHUNK_SIZE, /* in the line before a chunk */
    MESSAGE_CHUNK,
    MESSAGE_CHUNK_END, /* in the CR LF after a chunk */
    MESSAGE_TRAILER,
    MESSAGE_DONE,
    MESSAGE_BROKEN,
};

/* Owner: its connection.  message_begin before each message. */
struct message {
    enum message_phase phase;
    char head[MESSAGE_HEAD_MAX]; /* with the empty line, ended by a NUL when complete */
    size_t head_len;
    char line[64]; /* of a chunk's size, or of a trailer */
    unsigned line_len;
    uint64_t left;      /* bytes of the body or of the chunk still to come */
    uint64_t body_seen; /* bytes of the body so far */
    bool is_pattern;    /* all of them are the pattern's */
};

static inline char message_pattern(uint64_t at)
{
    return (char)('a' + at % MESSAGE_PATTERN_STEP);
}

void message_begin(struct message *message);

/* Feeds what was received; gives how many bytes belong to this message.  Stops at its end. */
size_t message_feed(struct message *message, const char *data, size_t len);

/* The value of a field in a complete head: its begin and, in *len, its length; NULL without the field. */
const char *message_field(const struct message *message, const char *name, size_t *len);

/* The value of a field that is a number; -1 without the field or when it is none. */
int64_t message_number(const struct message *message, const char *name);

/* A body of `bytes` bytes, as it is or in chunks, to `out`, which has room for message_body_room of them.
 * Gives the length written. */
size_t message_body_room(size_t bytes);
size_t message_body_write(char *out, size_t bytes, bool is_chunked);

#endif
