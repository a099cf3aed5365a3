/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_link_private.h - what store_redis_link*.c share, and nobody else. */
#ifndef SLUICE_STORE_REDIS_LINK_PRIVATE_H
#define SLUICE_STORE_REDIS_LINK_PRIVATE_H

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
    FLIGHT_CARGO,
    FLIGHT_BEAT,
    FLIGHT_PING,
    FLIGHT_ASKING,
    FLIGHT_QUESTION,
    FLIGHT_PUBLISH,
    FLIGHT_PROOF,
};

/* Scripts that may have to be sent whole. */
enum link_script {
    LINK_CHARGE,
    LINK_SLOTS,
    LINK_BEAT,
    LINK_SCRIPTS,
};

/* A command without its reply. */
struct flight {
    uint8_t kind, step; /* enum flight_kind; enum store_redis_step of FLIGHT_GREET */
    bool is_asking;     /* FLIGHT_CARGO behind an ASKING */
    uint64_t sent_at_us;
    union {
        struct store_redis_cargo cargo;
        struct store_redis_question *question;
    };
};

/* Cargo that waits for the first handshake. */
struct link_held {
    struct store_redis_cargo cargo;
    bool is_asking;
};

/* Owner: a route.  Freed by: store_redis_link_free.  Thread: the loop's. */
struct store_redis_link {
    struct store_redis *redis;
    struct loop *loop;
    struct store_redis_peer *peer;
    struct store_redis_link_use use;

    enum link_state state;
    bool is_started; /* every place was tried once */
    bool is_resting, is_beating;
    bool has_heard; /* a reply, on this connection */
    struct net_stream stream;
    struct loop_alarm *alarm; /* retry; connect and handshake; the oldest command */
    struct loop_task flush, resume;
    struct loop_timer beat;
    struct store_redis_wire wire;
    struct store_redis_parser parser;
    struct store_redis_server server;
    uint32_t life; /* the server's epoch when it was up last; 0: never */
    uint64_t anew_at_us;

    struct flight *flights;       /* ring of STORE_REDIS_FLIGHTS */
    uint64_t first, next;         /* numbers of the oldest and of the next command */
    uint64_t whole[LINK_SCRIPTS]; /* number of the last EVAL */
    uint64_t shown;               /* in flight, in the metrics */
    struct link_held *held;       /* NULL: none yet */
    unsigned held_count;
    struct link_proof *proofs; /* grants that wait for replicas: proof_first..proof_count */
    unsigned proof_first, proof_count, proof_room;
    unsigned shorts;              /* times in a row that too few replicas had them */
    bool wants_proof, is_proving; /* charged since the last WAIT; one is on its way */
    unsigned failures;            /* attempts in a row, for the back-off */
    unsigned errors;              /* error replies in a row */
    uint64_t graced;              /* number of a command that got a second timeout */
    uint64_t heard_at_us;         /* the last reply; monotonic */

    struct store_redis_place places[STORE_REDIS_PLACES_MAX], place; /* place: in use, or last */
    unsigned place_count, place_next;
    bool has_waited_for_place;
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
/* The same, for what errno or the stream's TLS says. */
void store_redis_link_fail_errno(struct store_redis_link *link);
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
void store_redis_link_send_held(struct store_redis_link *link);
/* Give all cargo its ending.  The link takes no more while this runs. */
void store_redis_link_end_flights(struct store_redis_link *link);
void store_redis_link_show(struct store_redis_link *link);

/* store_redis_link_proof.c */
bool store_redis_link_must_prove(const struct store_redis_link *link,
                                 const struct store_redis_answer *answer, unsigned count);
/* A charge is written. */
void store_redis_link_note_charge(struct store_redis_link *link, const struct store_redis_op *op);
void store_redis_link_note_query(struct store_redis_link *link, struct store_redis_query *query);
/* WAIT, if it is time for one. */
void store_redis_link_write_proof(struct store_redis_link *link);
/* Keep the answer until the next WAIT is answered. */
void store_redis_link_prove(struct store_redis_link *link, struct store_redis_op *op,
                            const struct store_redis_answer *answer);
/* The same for what a query was told, if it wants it; false: it does not. */
bool store_redis_link_prove_query(struct store_redis_link *link, struct store_redis_query *query,
                                  struct span text);
/* WAIT was answered, perhaps with an error. */
void store_redis_link_on_proof(struct store_redis_link *link);
void store_redis_link_lose_proofs(struct store_redis_link *link);

/* store_redis_link_reply.c: read, and do what the replies say. */
void store_redis_link_read(struct store_redis_link *link);
/* The last reply is an error: counted, and what it means. */
const struct store_redis_fault *store_redis_link_count_error(struct store_redis_link *link);

#endif
