/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_talk.h - a conversation with one server of Redis for verbs of the command line: connects,
 * secured where "tls" says so, and says one command after the other.  Takes: an address and words.  Gives: replies.  Blocks, up to its deadlines; never used by a
 * service. */
#ifndef SLUICE_STORE_REDIS_TALK_H
#define SLUICE_STORE_REDIS_TALK_H

#include <stdbool.h>

#include "base/base_err.h"
#include "net/net_stream.h"
#include "store/store_redis_conf.h"
#include "store/store_redis_peer.h"
#include "store/store_redis_reply.h"

#define STORE_REDIS_TALK_WORDS 8
#define STORE_REDIS_TALK_WHY   400

struct net_tls;

/* Owner: the caller.  Freed by: store_redis_talk_fini. */
struct store_redis_talk {
    const struct store_redis_conf *conf;
    struct net_tls *tls; /* NULL: plain */
    struct store_redis_parser parser;
    struct net_stream stream; /* of no loop; fd -1: not connected */
    bool has_heard;           /* a reply, on this connection */
    char head;                /* the first byte of what was read last */
    bool is_broken;           /* the connection is of no more use: why says why */
    char why[STORE_REDIS_TALK_WHY];
};

MUST_USE enum err store_redis_talk_init(struct store_redis_talk *talk,
                                        const struct store_redis_conf *conf);
void store_redis_talk_fini(struct store_redis_talk *talk);

/* Connect to "host:port" or "unix:/path", shake hands for TLS, and AUTH as a link of this duty does; an earlier connection is closed.  False:
 * talk->why says why; *is_reached: it is there, and did not let us in. */
bool store_redis_talk_open(struct store_redis_talk *talk, struct span address,
                           enum store_redis_duty duty, bool *is_reached);

/* Words with single spaces between them.  The reply is in talk->parser.reply.  False: there is none, and the connection is
 * broken. */
bool store_redis_talk_say(struct store_redis_talk *talk, const char *words);

static inline bool store_redis_talk_is_error(const struct store_redis_talk *talk)
{
    return talk->parser.reply.types[0] == STORE_REDIS_ERROR;
}
static inline struct span store_redis_talk_text(const struct store_redis_talk *talk)
{
    return store_redis_reply_text(&talk->parser.reply, 0);
}

#endif
