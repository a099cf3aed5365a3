/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_door.c - see store_redis_door.h. */
#include "store/store_redis_door.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/net_tls.h"
#include "net/net_tls_directives.h"
#include "store/store_redis_map.h"

#define TLS_ALERT 0x15 /* RFC 8446 section 5.1 */

enum err store_redis_door_secure(const struct store_redis_tls_conf *conf, const struct net_tls *tls,
                                 enum store_redis_duty duty, struct net_stream *stream,
                                 struct span name)
{
    if (tls == NULL || (duty == STORE_REDIS_SENTINEL && !conf->is_for_sentinels))
        return ERR_OK;
    struct span host = conf->server_name.len != 0 ? conf->server_name
                                                  : net_tls_name_of(store_redis_map_host(name));
    if (stream->tls == NULL && net_tls_begin(stream, tls, host) != ERR_OK) {
        errno = ENOMEM;
        return ERR_NOMEM;
    }
    return net_tls_shake(stream);
}

enum err store_redis_door_pass(const struct store_redis *redis, enum store_redis_duty duty,
                               struct net_stream *stream, struct span name)
{
    enum err err = net_stream_connected(stream);
    return err != ERR_OK
               ? err
               : store_redis_door_secure(&redis->conf.tls, redis->tls, duty, stream, name);
}

void store_redis_door_why(const struct net_stream *stream, int error,
                          char why[STORE_REDIS_WHY_BYTES])
{
    const char *sentence = net_tls_why(stream);
    snprintf(why, STORE_REDIS_WHY_BYTES, "%s", sentence != NULL ? sentence : strerror(error));
}

const char *store_redis_door_late(const struct net_stream *stream)
{
    return stream->tls != NULL
               ? "it took a connection but did not finish the TLS handshake (is it its port "
                 "without TLS?)"
               : "it took no connection";
}

const char *store_redis_door_closed(const struct net_stream *stream, bool has_heard)
{
    bool is_suspect = stream->tls == NULL && !has_heard;
    return is_suspect ? "it closed the connection without a word: if it speaks TLS, set \"tls\""
                      : "it closed the connection";
}

const char *store_redis_door_alien(const struct net_stream *stream, const char *bytes, size_t len)
{
    bool is_tls = stream->tls == NULL && len != 0 && bytes[0] == TLS_ALERT;
    return is_tls ? "it speaks TLS: set \"tls\", or name its port without"
                  : "it does not speak the Redis protocol";
}
