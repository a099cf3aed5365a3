/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_rights.h - what the Redis user of a proxy must be allowed, from the table store_redis_rights.def.  Takes: a
 * configuration.  Gives: ACL lines, commands that try one right each, and whether a reply says that it is missing.
 * Pure. */
#ifndef SLUICE_STORE_REDIS_RIGHTS_H
#define SLUICE_STORE_REDIS_RIGHTS_H

#include <stdbool.h>
#include <stddef.h>

#include "store/store_redis_conf.h"

#define STORE_REDIS_RIGHT_TEXT 512
#define STORE_REDIS_RIGHT_LINE 8192

enum store_redis_right_where {
    STORE_REDIS_RIGHT_ALWAYS,
    STORE_REDIS_RIGHT_CLUSTER,
    STORE_REDIS_RIGHT_DURABLE,
    STORE_REDIS_RIGHT_LISTEN, /* tried last: the connection only listens from then on */
    STORE_REDIS_RIGHT_SENTINEL,
};

struct store_redis_right {
    const char *rule; /* with {p} for the prefix */
    enum store_redis_right_where where;
    const char *what; /* it is for */
    const char *probe;
};
extern const struct store_redis_right STORE_REDIS_RIGHTS[];
extern const unsigned STORE_REDIS_RIGHT_COUNT;

/* Does a server need it, or (is_sentinel) a sentinel? */
bool store_redis_right_is_needed(const struct store_redis_right *right,
                                 const struct store_redis_conf *conf, bool is_sentinel);

/* {p}, {db} and {m} replaced; a longer text is cut. */
void store_redis_right_fill(char out[STORE_REDIS_RIGHT_TEXT], const char *text,
                            const struct store_redis_conf *conf);

/* "ACL SETUSER name reset on >PASSWORD ~... &... +..." without a newline. */
void store_redis_rights_line(char out[STORE_REDIS_RIGHT_LINE], const struct store_redis_conf *conf,
                             bool is_sentinel);

/* Does this reply to the right's probe (its text; empty unless it is an error) say that the right is missing? */
bool store_redis_right_is_missing(const struct store_redis_right *right, struct span error);

#endif
