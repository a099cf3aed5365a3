/* SPDX-License-Identifier: Apache-2.0 */
/* client_work.h - what a connection needs only while it is at work: from the first byte of a request until its
 * response has been taken.  Idle connections are many and pay for none of it; those at work take theirs from a
 * free list, so a request allocates nothing. */
#ifndef SLUICE_CLIENT_WORK_H
#define SLUICE_CLIENT_WORK_H

#include "base/base_buf.h"
#include "client/client.h"
#include "http/http_body.h"
#include "net/net_pipe.h"

#define CLIENT_WORK_SPARE_MAX 256

struct client_conn;

/* Owner: a connection, or env->spare_work.  Freed by: client_work_give, client_work_free_spare.  Thread: the worker's. */
struct client_work {
    struct client_work *next; /* in env->spare_work */
    struct client_conn *conn;
    struct loop_task task; /* after a failed write, at the end of the turn; its arg is this */
    bool has_ended;        /* the client's side of a tunnel */
    bool
        at_is_kept; /* at points into `in`, else into the loop's scratch or the exchanges' landing (this callback
                      * only) */
    struct buf in, out;
    struct net_pipe *pipe; /* unsent, before `out`; NULL: nothing */
    size_t held_bytes;     /* counted in env->shared.head_bytes */
    size_t scanned;
    char *at;
    size_t left;
    uint64_t began_us;   /* first byte of the head */
    uint64_t waiting_us; /* since when the body is waited for; 0: it is not */
    uint64_t waited_us;  /* for this body, before that */
    /* While bytes are unsent (see client_pace.c): */
    uint64_t stalled_us;          /* when a client that takes nothing more has had its time */
    uint64_t blocked_us;          /* when it was looked at first; 0: not yet */
    uint64_t blocked_taken_bytes; /* what it had taken then, */
    uint64_t taken_bytes;         /* and at the last look */
    uint64_t sent_bytes;          /* what the kernel took; begins anywhere */
    uint64_t linger_until_us, linger_left_bytes;
    struct http_body body;
};

/* NULL: no memory. */
struct client_work *client_work_new(void (*on_task)(void *work));
/* Forgets what waits in it in either direction, and its task. */
void client_work_clear(struct client_env *env, struct client_work *work);
/* Keeps so many. */
void client_work_free_spare(struct client_env *env, unsigned keep);

/* What was read is forgotten. */
void client_work_drop_input(struct client_env *env, struct client_work *work);
/* What was to be sent is forgotten. */
void client_work_drop_output(struct client_work *work);
/* `in` has this size: counted for the whole process. */
void client_work_count_held(struct client_env *env, struct client_work *work, size_t bytes);

/* Holds no bytes and waits for nothing.  NULL: no memory. */
static inline struct client_work *client_work_take(struct client_env *env, struct client_conn *conn,
                                                   void (*on_task)(void *work))
{
    struct client_work *work = env->spare_work;
    if (work != NULL) {
        env->spare_work = work->next;
        env->spare_work_count--;
    } else if ((work = client_work_new(on_task)) == NULL) {
        return NULL;
    }
    work->conn = conn;
    work->waiting_us = 0;
    return work;
}

static inline bool client_work_has_unsent(const struct client_work *work)
{
    return buf_len(&work->out) != 0 || work->pipe != NULL;
}

/* No byte waits in it in either direction, and no task. */
static inline bool client_work_is_over(const struct client_work *work)
{
    return work->left == 0 && !client_work_has_unsent(work) && list_is_empty(&work->task.node);
}

static inline void client_work_give(struct client_env *env, struct client_work **taken)
{
    struct client_work *work = *taken;
    *taken = NULL;
    if (work == NULL)
        return;
    if (work->at_is_kept || !client_work_is_over(work))
        client_work_clear(env, work);
    work->next = env->spare_work;
    env->spare_work = work;
    if (++env->spare_work_count > CLIENT_WORK_SPARE_MAX)
        client_work_free_spare(env, CLIENT_WORK_SPARE_MAX);
}

#endif
