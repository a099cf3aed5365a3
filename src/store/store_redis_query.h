/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_query.h - one small command beside the counting: what a key or a field of a hash says, a key that is
 * set with its end, or a script over one key.  Takes: names behind the prefix.  Gives: the command's bytes, and what a reply to it means.  Pure:
 * no socket. */
#ifndef SLUICE_STORE_REDIS_QUERY_H
#define SLUICE_STORE_REDIS_QUERY_H

#include "store/store_redis_reply.h"
#include "store/store_redis_wire.h"

#define STORE_REDIS_QUERY_KEY_MAX    80 /* bytes of a key behind the prefix and its colon */
#define STORE_REDIS_QUERY_VALUE_MAX  256
#define STORE_REDIS_QUERY_SCRIPT_MAX 4096

enum store_redis_verb {
    STORE_REDIS_GET,
    STORE_REDIS_HGET,
    STORE_REDIS_SET,
    STORE_REDIS_EVAL,
};

enum store_redis_found {
    STORE_REDIS_VALUE,   /* the text, which may be empty; after SET: done */
    STORE_REDIS_NOTHING, /* there is no such key or field */
    STORE_REDIS_UNKNOWN, /* refused, failed, or nobody knows; after EVAL the text may say why */
};

/* Owner: who asks; it must stay until done has run.  The spans may go once the query is sent.  done is called from the
 * loop, never from inside the call that sends; text lives until it returns. */
struct store_redis_query {
    enum store_redis_verb verb;
    struct span key;    /* behind "<prefix>:" */
    struct span value;  /* HGET: the field; SET: the value; EVAL: the argument */
    uint32_t ttl_s;     /* SET; at least 1 */
    const char *script; /* EVAL; it answers a string */
    bool is_durable;    /* EVAL, where grants are durable: the answer waits for the replicas */
    bool is_short;      /* out: then too few of them have it, as far as is known */
    void (*done)(struct store_redis_query *query, enum store_redis_found found, struct span text);
    uint8_t hops; /* the store's own */
};

/* ERR_NOMEM leaves the wire as it was; ERR_LIMIT: the key or the value is too long. */
MUST_USE enum err store_redis_query_write(struct store_redis_wire *wire,
                                          const struct store_redis *redis,
                                          const struct store_redis_query *query);

/* False: no reply to such a command looks like this.  An error reply is STORE_REDIS_UNKNOWN. */
bool store_redis_query_judge(enum store_redis_verb verb, const struct store_redis_reply *reply,
                             enum store_redis_found *found, struct span *text);

#endif
