/* SPDX-License-Identifier: Apache-2.0 */
/* client_work.c - see client_work.h.  Never reads, never writes. */
#include "client/client_work.h"

#include <stdlib.h>

struct client_work *client_work_new(void (*on_task)(void *work))
{
    struct client_work *work = calloc(1, sizeof(*work));
    if (work != NULL)
        loop_task_init(&work->task, on_task, work);
    return work;
}

void client_work_clear(struct client_env *env, struct client_work *work)
{
    loop_task_cancel(&work->task);
    client_work_drop_input(env, work);
    client_work_drop_output(work);
}

void client_work_drop_output(struct client_work *work)
{
    buf_free(&work->out);
    net_pipe_give(&work->pipe);
}

void client_work_free_spare(struct client_env *env, unsigned keep)
{
    while (env->spare_work_count > keep) {
        struct client_work *work = env->spare_work;
        env->spare_work = work->next;
        env->spare_work_count--;
        free(work);
    }
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
