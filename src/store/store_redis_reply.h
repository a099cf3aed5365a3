/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_reply.h - RESP in, one flat reply at a time out.  Takes: bytes of the server, in any
 * pieces.  Gives: replies as a list of nodes in the order of the bytes.  hiredis' reader does the
 * parsing under our object functions, so that nothing is allocated per reply; its traps (sticky errors,
 * no cap on sizes, a copy of all that waits for each reply) are kept in here.
 *
 * The server is believed no further than needed: an array of more than 65,536 elements, a string of more
 * than 64 KiB, nesting of more than 7 and RESP3 are errors. */
#ifndef SLUICE_STORE_REDIS_REPLY_H
#define SLUICE_STORE_REDIS_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base_err.h"
#include "base/base_span.h"

#define STORE_REDIS_NODES_MAX 160  /* kept of a reply; ours have at most 132 */
#define STORE_REDIS_TEXT_MAX  8192 /* kept of the strings of a reply */
#define STORE_REDIS_FEED_MAX  16384

enum store_redis_type {
    STORE_REDIS_NIL,
    STORE_REDIS_INTEGER,
    STORE_REDIS_STRING, /* bulk or status */
    STORE_REDIS_ERROR,
    STORE_REDIS_ARRAY,
};

/* An element of an array, as it is read.  path: its place in the array, and those of the arrays around it, from the
 * outermost on; depth of them.  The text is gone afterwards. */
#define STORE_REDIS_DEPTH 4
struct store_redis_piece {
    enum store_redis_type type;
    unsigned depth;
    uint32_t path[STORE_REDIS_DEPTH];
    int64_t number;
    struct span text;
};
struct store_redis_sink {
    void (*take)(void *arg, const struct store_redis_piece *piece);
    void *arg;
};

/* What did not fit is cut, and said. */
struct store_redis_reply {
    unsigned count; /* nodes; [0] is the reply itself, an array's elements follow it */
    bool is_cut;
    uint8_t types[STORE_REDIS_NODES_MAX];   /* enum store_redis_type */
    int64_t numbers[STORE_REDIS_NODES_MAX]; /* the integer, or the number of elements or of bytes */
    uint32_t texts[STORE_REDIS_NODES_MAX];  /* where a string begins */
    uint32_t text_bytes;
    const struct store_redis_sink
        *sink; /* takes what is not the reply itself, however much; NULL: kept here */
    char text[STORE_REDIS_TEXT_MAX];
};

struct redisReader;

/* Owner: a link.  Freed by: store_redis_parser_fini.  Thread: the link's. */
struct store_redis_parser {
    struct redisReader *reader;
    struct store_redis_reply reply; /* the last complete one, until the next call */
};

MUST_USE enum err store_redis_parser_init(struct store_redis_parser *parser);
void store_redis_parser_fini(struct store_redis_parser *parser);

/* Give it bytes, at most STORE_REDIS_FEED_MAX; then take replies until ERR_AGAIN.  ERR_INVALID: the
 * server does not speak RESP2, the parser must be made anew; ERR_NOMEM likewise. */
MUST_USE enum err store_redis_parser_feed(struct store_redis_parser *parser, const char *bytes,
                                          size_t len);
MUST_USE enum err store_redis_parser_next(struct store_redis_parser *parser);

/* A string or an error; empty for all else. */
struct span store_redis_reply_text(const struct store_redis_reply *reply, unsigned node);

/* Is it an array of integers only?  They stand in numbers[1] and on. */
bool store_redis_reply_is_numbers(const struct store_redis_reply *reply);

#endif
