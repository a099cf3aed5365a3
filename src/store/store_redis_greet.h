/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_greet.h - the handshake: what is asked of a server before it is trusted with quotas, in one
 * pipeline, and what its answers must be.  Takes: configuration and replies.  Gives: commands, or the
 * sentence that says why this server will not do.  Pure: no socket. */
#ifndef SLUICE_STORE_REDIS_GREET_H
#define SLUICE_STORE_REDIS_GREET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_err.h"
#include "store/store_redis_conf.h"
#include "store/store_redis_fault.h"
#include "store/store_redis_peer.h"
#include "store/store_redis_reply.h"

#define STORE_REDIS_SHA_BYTES  40
#define STORE_REDIS_PREFIX_MAX 128
#define STORE_REDIS_OTHER_SECRET                                                                   \
    "the other proxies of this prefix have another subject_secret: their counters and ours would " \
    "not meet (give all the same; after a change on purpose the old one is forgotten when no "     \
    "proxy "                                                                                       \
    "has used it for 2 minutes)"

enum store_redis_step {
    STORE_REDIS_AUTH,
    STORE_REDIS_SELECT,
    STORE_REDIS_SETNAME,
    STORE_REDIS_INFO,
    STORE_REDIS_ROLE,
    STORE_REDIS_POLICY,
    STORE_REDIS_SECRET_SET,
    STORE_REDIS_SECRET_GET,
    STORE_REDIS_LOAD_CHARGE,
    STORE_REDIS_LOAD_BEAT,
    STORE_REDIS_LOAD_SLOTS,
    STORE_REDIS_WAIT,
    STORE_REDIS_PING,
    STORE_REDIS_STEPS
};

/* What the server said of itself.  Owner: a link; filled anew by each handshake. */
struct store_redis_server {
    uint32_t epoch; /* hash of its run id */
    char version[16];
    char charge_sha[STORE_REDIS_SHA_BYTES], beat_sha[STORE_REDIS_SHA_BYTES],
        slots_sha[STORE_REDIS_SHA_BYTES];
    char policy[32]; /* maxmemory-policy; empty: not told */
};

/* The command of a step, malloc'ed; len 0 when the configuration or the duty does not need it.  name: how the
 * connection is shown in CLIENT LIST. */
MUST_USE enum err store_redis_greet_format(enum store_redis_step step, enum store_redis_duty duty,
                                           const struct store_redis_conf *conf, struct span name,
                                           char **command, size_t *len);

/* NULL, or what is wrong, in why. */
const char *store_redis_greet_judge(enum store_redis_step step, const struct store_redis_conf *conf,
                                    const struct store_redis_reply *reply,
                                    struct store_redis_server *server,
                                    char why[STORE_REDIS_WHY_BYTES]);

#endif
