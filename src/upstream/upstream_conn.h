/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_conn.h - one HTTP/1.1 connection to a server: writing requests, reading responses.  Takes:
 * heads and data from an exchange.  Gives: a response as events.  What the kernel does not take at once
 * waits here, and the user must pause while it does. */
#ifndef SLUICE_UPSTREAM_CONN_H
#define SLUICE_UPSTREAM_CONN_H

#include "base/base_arena.h"
#include "base/base_buf.h"
#include "http/http_body.h"
#include "http/http_head.h"
#include "net/net_pipe.h"
#include "net/net_stream.h"
#include "upstream/upstream.h"

#define UPSTREAM_CORK_BYTES 4096 /* messages up to this leave in one gathered send */

enum upstream_conn_state {
    UPSTREAM_CONN_CONNECTING,
    UPSTREAM_CONN_BUSY, /* an exchange has it */
    UPSTREAM_CONN_IDLE, /* in its server's list of kept connections */
};

enum {
    UPSTREAM_NOTE_HEALTH = 1, /* whether it answers matters for its server's health */
    UPSTREAM_NOTE_EXTRA = 2,  /* the try was an extra one, which an answer gives back */
};

/* Owner: the exchange that took it, or its server while idle.  Thread: the worker's. */
struct upstream_conn {
    struct net_stream stream;
    struct upstream_server *server; /* a reference */
    struct list node;               /* in the server's idle list */
    struct loop_timer timer;
    struct upstream_user user;
    struct span server_name; /* in the configuration of the pool that it was taken from last */
    const struct upstream_health_conf *health; /* of that pool, where notes has HEALTH */
    uint32_t address_id;                       /* see upstream_names.h */
    uint8_t notes;
    enum upstream_conn_state state;
    bool is_reused;
    bool is_counted;   /* as busy, in its server's tally */
    bool is_broken;    /* a write failed: what the server said before is still read */
    bool sent_all;     /* the whole request has been handed over */
    bool body_chunked; /* of the request */
    bool got_bytes;    /* of this response */
    uint64_t turn;     /* of the loop, when the request was sent */
    bool in_body;
    bool keep_alive; /* the response lets the connection live */
    enum http_method method_id;
    struct buf out;                   /* unsent */
    struct net_pipe *pipe;            /* unsent, before `out`; NULL: nothing */
    struct upstream_proxied *proxied; /* it begins with a PROXY header; NULL: it does not */
    struct buf in;                    /* a response head that is not complete yet */
    size_t scanned;
    char *
        at; /* received and not yet looked at: in the loop's scratch (this callback only) or in `in` */
    size_t left;
    bool at_is_kept; /* at points into `in` */
    struct http_body body;
};

/* Has the connect been settled, with its TLS?  ERR_OK, ERR_AGAIN, or ERR_SYSTEM with errno. */
MUST_USE enum err upstream_conn_established(struct upstream_conn *conn);
/* Why its TLS has failed, as a sentence and as a word; NULL when that is not the reason. */
const char *upstream_conn_tls_why(const struct upstream_conn *conn);
const char *upstream_conn_tls_word(const struct upstream_conn *conn);

/* Send a request: head is "METHOD target HTTP/1.1\r\n" and all fields with the framing's, and the empty
 * line.  Small heads wait for data or flush.  False: the connection is broken and nothing of this request
 * can have arrived. */
void upstream_conn_begin(struct upstream_conn *conn, enum http_method method, bool body_chunked);
bool upstream_conn_send(struct upstream_conn *conn, struct span head, struct span data);
bool upstream_conn_send_data(struct upstream_conn *conn, struct span data);
/* Data of the request in a pipe, which stays the caller's (empty) unless some of it has to wait.  Only while
 * upstream_conn_takes_pipe. */
bool upstream_conn_send_pipe(struct upstream_conn *conn, struct net_pipe **pipe);
bool upstream_conn_send_end(struct upstream_conn *conn, struct span trailers);
/* After a 101: our side ends behind what was sent.  Only while nothing is unsent. */
void upstream_conn_shutdown(struct upstream_conn *conn);
/* After UPSTREAM_END: has the server reset the connection since? */
bool upstream_conn_has_failed(struct upstream_conn *conn);
/* Send what waits; false when broken. */
bool upstream_conn_flush(struct upstream_conn *conn);

static inline bool upstream_conn_is_blocked(const struct upstream_conn *conn)
{
    return conn->out.end != conn->out.begin || conn->pipe != NULL;
}

static inline bool upstream_conn_takes_pipe(const struct upstream_conn *conn)
{
    return !conn->body_chunked && !conn->is_broken && !upstream_conn_is_blocked(conn) &&
           net_stream_is_plain(&conn->stream);
}

/* Could upstream_conn_read say anything but UPSTREAM_WAIT?  Before an answer begins: only when the kernel has told of
 * something. */
static inline bool upstream_conn_may_have_event(const struct upstream_conn *conn)
{
    return conn->got_bytes || conn->left != 0 || conn->stream.is_readable;
}

/* The response has begun with this status; it may last. */
void upstream_note_answer(struct upstream_conn *conn, unsigned status);
static inline void upstream_answered(struct upstream_conn *conn, unsigned status)
{
    if (conn->notes != 0)
        upstream_note_answer(conn, status);
}

enum upstream_event {
    UPSTREAM_WAIT,
    UPSTREAM_HEAD, /* *head, *framing */
    UPSTREAM_DATA, /* *data, valid until the next call */
    UPSTREAM_END, /* the response is complete, *data are its trailer lines; the server's side of a tunnel ended */
    UPSTREAM_GONE, /* the connection ended before the response did */
    UPSTREAM_BAD,  /* not HTTP as it should be: *fault */
};

struct upstream_reading {
    struct http_head head; /* the caller sets fields and field_max; UPSTREAM_HEAD sets the rest */
    struct http_framing framing;
    struct http_fault fault;
    struct span
        seen; /* UPSTREAM_BAD: of the head at fault, what is there; left alone: it is in no head */
    struct span data;
    const struct http_head_limits *head_limits;
    const struct http_body_limits *body_limits;
    struct arena *arena; /* for trailers */
};

/* Bytes that were read but not looked at move out of the scratch, which is everybody's.  False: no memory. */
MUST_USE bool upstream_conn_keep_rest(struct upstream_conn *conn);

/* The two halves of upstream_conn_read: the response is complete, and it is not. */
enum upstream_event upstream_conn_end(struct upstream_conn *conn, struct upstream_reading *reading);
enum upstream_event upstream_conn_read_on(struct upstream_conn *conn,
                                          struct upstream_reading *reading);

/* The next event of the response. */
static inline enum upstream_event upstream_conn_read(struct upstream_conn *conn,
                                                     struct upstream_reading *reading)
{
    if (conn->in_body && http_body_is_done(&conn->body))
        return upstream_conn_end(conn, reading);
    return upstream_conn_read_on(conn, reading);
}

/* Can what comes next of the response be passed on unseen? */
static inline bool upstream_conn_gives_pipe(const struct upstream_conn *conn)
{
    return conn->in_body && conn->left == 0 && http_body_passable(&conn->body) != 0 &&
           net_stream_is_plain(&conn->stream);
}
/* The same as upstream_conn_read, but UPSTREAM_DATA is in the (empty) pipe.  WAIT and pipe->is_unfit: read it instead. */
enum upstream_event upstream_conn_read_pipe(struct upstream_conn *conn, struct net_pipe *pipe);

/* May it serve another exchange?  The response is complete, the request was sent whole, nothing was
 * sent beyond it, and both sides agreed to go on. */
bool upstream_conn_is_reusable(const struct upstream_conn *conn);

/* Call user.on_deadline when nothing resets this before; 0: never. */
void upstream_conn_set_deadline(struct upstream_conn *conn, uint64_t due_us);

#endif
