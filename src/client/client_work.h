/* SPDX-License-Identifier: Apache-2.0 */
/* client_work.h - what a connection needs only while it is at work: from the first byte of a request until its
 * response has been taken.  Idle connections are many and pay for none of it; those at work take theirs from a
 * free list, so a request allocates nothing. */
#ifndef SLUICE_CLIENT_WORK_H
#define SLUICE_CLIENT_WORK_H

#include "base/base_buf.h"
#include "client/client.h"
#include "http/http_body.h"

/* How the body of the response in progress is written. */
enum client_framing {
    CLIENT_RAW,
    CLIENT_CHUNKED,
    CLIENT_NOTHING, /* HEAD, 204, 304: data is left away */
};

/* Owner: a connection, or env->spare_work.  Freed by: client_work_give, client_env_fini.  Thread: the worker's. */
struct client_work {
    struct list node;      /* in env->spare_work */
    struct loop_task task; /* after a failed write, at the end of the turn */
    enum client_framing framing;
    bool keep_alive; /* the client's wish */
    bool is_1_0;
    bool will_close;   /* the response in progress says so */
    bool request_done; /* the request in progress has been read whole */
    bool at_is_kept;   /* at points into `in`, else into the loop's scratch (this callback only) */
    struct buf in, out;
    size_t held_bytes; /* counted in env->head_bytes */
    size_t scanned;
    char *at;
    size_t left;
    uint64_t began_us;   /* first byte of the head */
    uint64_t waiting_us; /* since when the body is waited for; 0: it is not */
    uint64_t waited_us;  /* for this body, before that */
    /* While bytes wait in `out` (see client_pace.c): */
    uint64_t stalled_us;          /* when a client that takes nothing more has had its time */
    uint64_t blocked_us;          /* when it was looked at first; 0: not yet */
    uint64_t blocked_taken_bytes; /* what it had taken then, */
    uint64_t taken_bytes;         /* and at the last look */
    uint64_t sent_bytes;          /* what the kernel took; begins anywhere */
    uint64_t linger_until_us, linger_left_bytes;
    struct http_body body;
};

/* Holds no bytes and waits for nothing.  NULL: no memory. */
struct client_work *client_work_take(struct client_env *env, void (*on_task)(void *arg), void *arg);

/* Takes it back, with the buffers that it has. */
void client_work_give(struct client_env *env, struct client_work **taken);

/* No byte waits in it in either direction, and no task. */
bool client_work_is_over(const struct client_work *work);

/* What was read is forgotten. */
void client_work_drop_input(struct client_env *env, struct client_work *work);
/* `in` has this size: counted for the whole process. */
void client_work_count_held(struct client_env *env, struct client_work *work, size_t bytes);

#endif
