/* SPDX-License-Identifier: Apache-2.0 */
/* client_work.c - see client_work.h.  Takes and gives: objects of a worker's free list.  Never reads, never writes. */
#include "client/client_work.h"

#include <stdlib.h>

#define CLIENT_WORK_SPARE_MAX 256

static struct client_work *work_object(struct client_env *env)
{
    if (list_is_empty(&env->spare_work))
        return calloc(1, sizeof(struct client_work));
    struct client_work *work = LIST_OF(env->spare_work.next, struct client_work, node);
    list_remove(&work->node);
    env->spare_work_count--;
    return work;
}

struct client_work *client_work_take(struct client_env *env, void (*on_task)(void *arg), void *arg)
{
    struct client_work *work = work_object(env);
    if (work == NULL)
        return NULL;
    loop_task_init(&work->task, on_task, arg);
    work->request_done = true;
    work->will_close = false;
    work->waiting_us = 0;
    return work;
}

void client_work_give(struct client_env *env, struct client_work **taken)
{
    struct client_work *work = *taken;
    *taken = NULL;
    if (work == NULL)
        return;
    loop_task_cancel(&work->task);
    if (work->at_is_kept)
        client_work_drop_input(env, work);
    work->left = 0;
    if (work->out.bytes != NULL)
        buf_free(&work->out);
    if (env->spare_work_count >= CLIENT_WORK_SPARE_MAX) {
        free(work);
        return;
    }
    list_push_front(&env->spare_work, &work->node);
    env->spare_work_count++;
}

bool client_work_is_over(const struct client_work *work)
{
    return work->left == 0 && buf_len(&work->out) == 0 && list_is_empty(&work->task.node);
}

void client_work_count_held(struct client_env *env, struct client_work *work, size_t bytes)
{
    if (bytes == work->held_bytes)
        return;
    atomic_fetch_add_explicit(env->shared.head_bytes, (uint64_t)bytes - work->held_bytes,
                              memory_order_relaxed);
    work->held_bytes = bytes;
}

void client_work_drop_input(struct client_env *env, struct client_work *work)
{
    buf_free(&work->in);
    client_work_count_held(env, work, 0);
    work->at_is_kept = false;
    work->left = 0;
}
