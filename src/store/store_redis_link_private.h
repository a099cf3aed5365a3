/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_link_private.h - what store_redis_link*.c share, and nobody else. */
#ifndef SLUICE_STORE_REDIS_LINK_PRIVATE_H
#define SLUICE_STORE_REDIS_LINK_PRIVATE_H

#include "net/net_resolve.h"
#include "net/net_stream.h"
#include "store/store_redis_greet.h"
#include "store/store_redis_link.h"
#include "store/store_redis_reply.h"
#include "store/store_redis_wire.h"

#define STORE_REDIS_FLIGHTS 8192 /* a power of two: operations, handshake and heartbeats */

enum link_state {
    LINK_WAITING,
    LINK_CONNECTING,
    LINK_GREETING,
    LINK_UP,
};

enum flight_kind {
    FLIGHT_GREET,
    FLIGHT_CHARGE,
    FLIGHT_BEAT,
    FLIGHT_SLOTS,
    FLIGHT_PING,
    FLIGHT_QUERY,
    FLIGHT_PUBLISH,
};

/* A command without its reply. */
struct flight {
    uint8_t kind, step; /* enum flight_kind; enum store_redis_step of FLIGHT_GREET */
    uint64_t sent_at_us;
    struct store_redis_op *op;          /* FLIGHT_CHARGE */
    struct store_redis_slots_op *slots; /* FLIGHT_SLOTS */
    struct store_redis_query *query;    /* FLIGHT_QUERY */
};

/* Owner: a worker's lease.  Freed by: store_redis_link_free.  Thread: the loop's. */
struct store_redis_link {
    struct store_redis *redis;
    struct loop *loop;
    store_redis_change_fn on_change;
    void *arg;

    enum link_state state;
    bool is_started; /* the first attempt is decided */
    struct net_stream stream;
    struct loop_alarm *alarm; /* retry; connect and handshake; the oldest command */
    struct loop_task flush, resume;
    struct loop_timer beat;
    struct store_redis_wire wire;
    struct store_redis_parser parser;
    struct store_redis_server server;

    struct flight *flights; /* ring of FLIGHTS */
    uint64_t first, next;   /* numbers of the oldest and of the next command */
    uint64_t whole[3];      /* number of the last EVAL, by charge, beat and slots */
    unsigned failures;      /* attempts in a row, for the back-off */
    unsigned errors;        /* error replies in a row */
    uint64_t graced;        /* number of a command that got a second timeout */
    uint64_t heard_at_us;   /* the last reply; monotonic */

    struct net_resolver *resolver; /* when a name is configured */
    struct net_watch *watch;
    struct net_address addresses[NET_RESOLVE_ADDRESSES_MAX];
    unsigned address_count, address_next;
    bool has_waited_for_name;
};

static inline unsigned store_redis_link_inflight(const struct store_redis_link *link)
{
    return (unsigned)(link->next - link->first);
}

/* Are there, or will there be, replies to read?  (More than store_redis_link_is_open: also before UP.) */
static inline bool store_redis_link_is_talking(const struct store_redis_link *link)
{
    return link->state >= LINK_GREETING;
}

/* store_redis_link.c */
void store_redis_link_fail(struct store_redis_link *link, const char *reason);
void store_redis_link_on_greeting(struct store_redis_link *link, unsigned step);

/* store_redis_link_send.c: a command that was written to the wire is in flight from now on. */
struct flight *store_redis_link_add(struct store_redis_link *link, enum flight_kind kind);
void store_redis_link_beat(struct store_redis_link *link, bool is_whole);
void store_redis_link_ping(struct store_redis_link *link);
/* Its reply was NOSCRIPT, so nothing was executed and it is sent again.  True: it was. */
bool store_redis_link_again(struct store_redis_link *link, const struct flight *flight,
                            uint64_t number);
/* Send what is unsent, as far as it goes. */
void store_redis_link_write(struct store_redis_link *link);
/* Give every operation in flight its ending.  The link takes no new ones while this runs. */
void store_redis_link_end_flights(struct store_redis_link *link);

/* store_redis_link_reply.c: read, and do what the replies say. */
void store_redis_link_read(struct store_redis_link *link);

#endif
