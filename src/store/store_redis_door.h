/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_door.h - through to a server: connected, and secured where "tls" says so.  Takes: a stream that was told to
 * connect.  Gives: when commands may be written to it, or in words why they may not.  Never blocks. */
#ifndef SLUICE_STORE_REDIS_DOOR_H
#define SLUICE_STORE_REDIS_DOOR_H

#include "net/net_stream.h"
#include "store/store_redis.h"
#include "store/store_redis_greet.h"

/* Called at each readiness.  name: of the server, "host:port".  ERR_OK: go on; ERR_AGAIN: wait; else it has failed, with
 * errno for store_redis_door_why. */
MUST_USE enum err store_redis_door_pass(const struct store_redis *redis, enum store_redis_duty duty,
                                        struct net_stream *stream, struct span name);

/* The same for a stream that is connected.  tls: made from conf; NULL: plain. */
MUST_USE enum err store_redis_door_secure(const struct store_redis_tls_conf *conf,
                                          const struct net_tls *tls, enum store_redis_duty duty,
                                          struct net_stream *stream, struct span name);

/* Why the stream failed, from errno; why may outlive the stream. */
void store_redis_door_why(const struct net_stream *stream, int error,
                          char why[STORE_REDIS_WHY_BYTES]);

/* What it does that is not over: for a timeout. */
const char *store_redis_door_late(const struct net_stream *stream);

/* It has closed the connection.  has_heard: not before its first answer. */
const char *store_redis_door_closed(const struct net_stream *stream, bool has_heard);

/* What did not speak the protocol, by its first bytes. */
const char *store_redis_door_alien(const struct net_stream *stream, const char *bytes, size_t len);

#endif
