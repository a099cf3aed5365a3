/* SPDX-License-Identifier: Apache-2.0 */
/* exchange.h - one request and its response, from parsed head to logged record.  Takes: a request from a
 * client that speaks through struct exchange_client.  Gives: a response through the same.  Knows nothing
 * of how the client's protocol frames messages. */
#ifndef SLUICE_EXCHANGE_EXCHANGE_H
#define SLUICE_EXCHANGE_EXCHANGE_H

#include "base/base_arena.h"
#include "exchange/exchange_env.h"
#include "http/http_framing.h"
#include "http/http_hops.h"
#include "http/http_upgrade.h"
#include "lease/lease.h"
#include "net/net_proxy.h"
#include "record/record.h"
#include "route/route.h"
#include "upstream/upstream_conn.h"

#define EXCHANGE_ARENA_FIRST_BYTES 8192       /* a head with a token of 4 KiB fits */
#define EXCHANGE_ARENA_MAX_BYTES   (2u << 20) /* the largest heads, composed twice when sent again */
/* Bytes that may be written behind the end of its head, in which case it needs no copy to be sent (exchange_send.c). */
#define EXCHANGE_HEAD_MORE         1024
#define EXCHANGE_LANDING_BYTES     (EXCHANGE_ARENA_FIRST_BYTES - EXCHANGE_HEAD_MORE)

#define EXCHANGE_PEER_TEXT         (IP_TEXT_MAX + 34) /* see EXCHANGE_BEHIND */
#define EXCHANGE_ID_LINE_MAX       (RECORD_ID_MAX + 20)
#define EXCHANGE_ID_LINE_USUAL                                                                     \
    96 /* bytes that are copied whatever counts of them: that needs no call */

/* A response as the exchange hands it to the client's side. */
struct exchange_response {
    struct span fields; /* "Name: value\r\n" lines, Content-Length among them, no hop-by-hop ones */
    enum http_body_kind kind;
    struct span upgrade; /* TUNNEL: the protocol that follows */
    bool is_interim;     /* 1xx, but for TUNNEL */
    bool must_close;     /* the connection cannot be used after it */
};

enum exchange_body {
    EXCHANGE_BODY_WAIT,
    EXCHANGE_BODY_DATA,
    EXCHANGE_BODY_DONE, /* *data are the trailer lines */
    EXCHANGE_BODY_BAD,  /* *fault */
    EXCHANGE_BODY_GONE, /* the client ended before its body did */
};

enum exchange_after {
    EXCHANGE_KEEP,  /* the connection may serve another request */
    EXCHANGE_CLOSE, /* let the client read what was sent, then close */
    EXCHANGE_ABORT, /* end it visibly: the response is not whole */
};

/* After so long the client of an exchange is looked at once (exchange_look.c): whoever had gone by then may not have been
 * told.  A tick: most exchanges are over before, and cost no look. */
#define EXCHANGE_LOOK_US LOOP_TICK_US

/* The client's side.  Nothing here calls back into the exchange. */
struct exchange_client {
    /* Where the fields of the response that send_head sends next are to be written: at most so many bytes, with the name
     * of an upgrade.  Nothing else is sent between the two.  NULL: it is too long, and the connection lost. */
    char *(*begin_head)(void *client, unsigned status, struct span reason, size_t bytes);
    void (*send_head)(void *client, const struct exchange_response *response);
    void (*send_data)(void *client, struct span data);
    void (*send_end)(void *client, struct span trailers);
    void (*flush)(void *client);
    /* Unsent bytes wait: send no data until they are gone.  Or nothing can be sent any more, and
     * exchange_stop will be called. */
    bool (*is_blocked)(const void *client);
    enum exchange_body (*read_body)(void *client, struct span *data, struct http_fault *fault,
                                    struct arena *arena);
    /* The exchange has lasted EXCHANGE_LOOK_US: is the client still there?  Nothing happens before the end of the turn. */
    void (*look)(void *client);
    /* Between whom its connection is, as far as is known. */
    void (*ends)(const void *client, struct net_proxy_ends *ends);
    /* Large bodies may be passed on in pipes.  takes_pipe: send_pipe may follow at once; the pipe stays the caller's
     * (empty) unless some of it has to wait.  gives_pipe: read_pipe may follow at once; its data are in the (empty)
     * pipe; WAIT and pipe->is_unfit: read_body instead. */
    bool (*takes_pipe)(const void *client);
    void (*send_pipe)(void *client, struct net_pipe **pipe);
    bool (*gives_pipe)(const void *client);
    enum exchange_body (*read_pipe)(void *client, struct net_pipe *pipe);
    /* Behind a response of kind HTTP_BODY_TUNNEL.  WAIT, DATA, DONE: the client's side has ended, GONE: it was
     * reset.  May be called again after DONE, to see a reset. */
    enum exchange_body (*read_tunnel)(void *client, struct span *data);
    /* Our side of the tunnel ends behind what was sent.  Only while nothing is unsent. */
    void (*end_tunnel)(void *client);
    /* The exchange is over and gone; the last call that it makes. */
    void (*finished)(void *client, enum exchange_after after);
};

struct exchange_request {
    const struct http_head
        *head;     /* NULL when none could be parsed; copied unless it has landed alone */
    bool is_alone; /* nothing that is still to be read stands behind it */
    struct http_framing framing; /* where there is a head */
    struct http_target target;   /* the same */
    struct http_fault fault;     /* id != NONE: refuse it */
    enum exchange_end refuse;    /* END_OK, or how to refuse at once what is not malformed */
    const struct plan_listener *listener;
    struct ip peer_ip;
    bool peer_is_unix;
    struct span tls_record; /* what the log says of the connection's TLS; empty: plain */
    struct span
        certificate; /* the fingerprint of the client's; empty: none.  Both outlive the exchange */
    bool is_last;    /* that the connection may carry, by limits.requests_per_connection */
    bool is_after_refusal; /* by a quota, on the same connection */
    uint64_t began_us;     /* first byte of the head, monotonic */
};

enum exchange_step_id {
#define STEP(id, function) EXCHANGE_STEP_##id,
#include "exchange/exchange_steps.def"
#undef STEP
    EXCHANGE_STEPS
};

/* Who has to move before a relayed exchange can go on. */
enum exchange_waits {
    EXCHANGE_WAITS_NOBODY,
    EXCHANGE_WAITS_CLIENT,
    EXCHANGE_WAITS_FIRST,  /* the server: begin to answer */
    EXCHANGE_WAITS_MORE,   /* the server: go on with its answer */
    EXCHANGE_WAITS_EITHER, /* of a tunnel's sides: say something */
};

/* One identity of a request, for its quotas and the log. */
struct exchange_subject {
    uint16_t identity; /* index in the plan */
    enum identity_result result;
    bool has_mark;
    bool is_claimed;  /* where its identity has a bucket: a client can make it up */
    bool is_verified; /* a server has accepted it from this address */
    int8_t gate;      /* the bucket's charge; -1: not asked */
    struct hash128 pair;
    struct identity_value value;
    struct identity_mark mark; /* of this value alone */
};

/* Who has ended its side of a tunnel, and whether the client has been told of the server's end. */
struct exchange_tunnel {
    bool is_open; /* stays set until the exchange is recorded */
    bool client_ended, server_ended, client_told;
};

struct exchange_lookups;
struct exchange_waiting;
struct exchange_buffered;
struct exchange_learning;

/* Owner: the worker's env.  Freed by: itself, at its end.  Thread: the worker's. */
struct exchange {
    /* cleared at the beginning, up to `env` */
    const struct plan_route *route;
    struct upstream_conn *conn;
    enum exchange_step_id step;
    enum exchange_after after;
    enum exchange_waits waits;
    uint16_t status;
    uint32_t retry_after_s; /* of a 503 that no decision made */
    uint64_t tried;         /* servers asked since CONNECT was entered; upstream_take marks them */
    uint64_t queue_us;      /* how long it waited for a server to have room */
    struct exchange_waiting *waiting; /* it does so now; NULL: it does not */
    /* Of the request's body, not sent for good; NULL: nothing. */
    struct exchange_buffered *buffered;
    uint64_t buffer_us; /* how long the body was waited for before a server was asked */
    unsigned tries;     /* connections that were begun or taken, for the log */
    unsigned interims;
    bool has_head;
    bool is_deciding, is_decided, is_retry, was_reused;
    bool response_begun, response_done, is_discarding;
    bool is_body_due;  /* the client was told to send its body, or has begun to */
    bool is_body_late; /* it was too slow, and the response had begun: only that is waited for */
    struct exchange_tunnel tunnel;
    struct http_hops hops;
    struct http_upgrade_offer offer; /* what the request asks for beside HTTP */
    bool is_copied;                  /* no pipe passes its bodies any more */
    bool is_exempt;                  /* some quota of the route does not count this request */
    bool is_settled;                 /* what was charged is corrected */
    bool has_cost;                   /* the response said what it cost */
    bool has_claims;                 /* a subject is claimed */
    uint8_t peer_text_len;           /* 0: not made yet */
    uint64_t bytes_in, bytes_out;    /* kept by the client's side */
    uint64_t body_bytes;             /* of the request, so far */
    uint64_t connect_us, connected_us, sent_us, first_us;
    struct span judged, server, upstream_id, parent_id;
    const char *tls_fault; /* why the last server could not be spoken to; or NULL */
    size_t room_bytes;
    struct exchange_lookups *lookups;   /* NULL: nothing was looked up */
    struct exchange_learning *learning; /* NULL: nothing is learned from the response */
    struct exchange_subject *subjects;
    unsigned subject_count, shadow_count;
    struct span tier;               /* of the first quota that has tiers */
    struct lease_shadow *shadows;   /* quotas in shadow */
    struct lease_hold *shadow_hold; /* slots of quotas in shadow; NULL: none */

    /* set at the beginning */
    struct exchange_env *env;
    struct list node; /* in env->live; then in env->spare */
    const struct exchange_client *ops;
    void *client;
    struct exchange_snapshot *snapshot; /* a reference */
    const struct plan_listener *listener;
    struct loop_task task; /* goes on next turn, for fairness */
    enum exchange_end end;
    struct http_fault fault;
    bool peer_is_unix, is_trusted, is_last, is_after_refusal, must_close, request_done;
    struct ip peer_ip, client_ip;
    uint64_t began_us, headed_us;
    struct span tls_record, certificate; /* of the client's connection, as in the request */
    unsigned id_line_len;
    struct record_id id;
    char id_line[EXCHANGE_ID_LINE_MAX]; /* "X-request-id: ...\r\n" */

    /* set before use */
    uint64_t store_us; /* where is_decided */
    uint32_t cost;     /* where has_cost */
    uint32_t orders;   /* lease_orders before the decision, where is_after_refusal */
    char *room;        /* room_bytes of the arena, for heads that env->out is too small for */
    struct lease_ask ask;
    struct route_match match;
    struct http_head head;
    struct http_framing framing;
    struct http_target target;
    char peer_text[EXCHANGE_PEER_TEXT];
    struct arena arena;
    _Alignas(16) char first[EXCHANGE_ARENA_FIRST_BYTES];
};

/* Room of EXCHANGE_LANDING_BYTES for what a client says next, in this callback: a head that begins there and has nothing
 * behind it need not be copied.  NULL: no memory for that. */
char *exchange_make_landing(struct exchange_env *env);
static inline char *exchange_landing(struct exchange_env *env)
{
    return env->landing != NULL ? env->landing->first : exchange_make_landing(env);
}

/* A new exchange; exchange_run begins it.  NULL when out of memory. */
struct exchange *exchange_new(struct exchange_env *env, const struct exchange_client *ops,
                              void *client, const struct exchange_request *request);

/* Go on as far as possible.  The exchange may be over and gone afterwards (finished has been called). */
void exchange_run(struct exchange *x);

/* The client waits with its body until a server says "100 Continue" (RFC 9110 section 10.1.1): that server is waited for. */
static inline bool exchange_holds_body(const struct exchange *x)
{
    return x->framing.expect_continue && !x->is_body_due;
}

/* The client is gone or too slow: end now, with this ending.  finished is called. */
void exchange_stop(struct exchange *x, enum exchange_end end);

/* x->fault says that a message was refused: keep what it was, with the bytes that were seen of its head. */
void exchange_note_fault(struct exchange *x, bool is_response, struct span seen);

#endif
