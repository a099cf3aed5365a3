/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_look.c - clients that may have gone unseen.  Takes: the exchanges in progress.  Gives: one look at the client of each
 * that has lasted a tick.  Never ends one: what the client's side finds out it tells as ever.
 *
 * The kernel tells a reset that comes together with the last bytes of a request once, with them, and to libevent it is
 * readiness like any other: a short read ends it.  To look behind every request would be a system call for each; so only
 * those that are still awaited after a tick are looked at, of which there are few. */
#include "exchange/exchange_private.h"

/* The newest are last: those of the last look and before are not reached. */
static void look_on_tick(void *arg)
{
    struct exchange_env *env = arg;
    const uint64_t now_us = env->loop->mono_us;
    const uint64_t until_us = now_us - EXCHANGE_LOOK_US;
    for (struct list *node = env->live.prev; node != &env->live; node = node->prev) {
        const struct exchange *x = LIST_OF(node, struct exchange, node);
        if (x->headed_us <= env->looked_us)
            break;
        if (x->headed_us <= until_us)
            x->ops->look(x->client);
    }
    env->looked_us = until_us;
    loop_timer_set(env->loop, &env->look, now_us + EXCHANGE_LOOK_US);
}

void exchange_look_init(struct exchange_env *env)
{
    list_init(&env->live);
    env->looked_us = env->loop->mono_us - EXCHANGE_LOOK_US;
    loop_timer_init(&env->look, look_on_tick, env);
    loop_timer_set(env->loop, &env->look, env->loop->mono_us + EXCHANGE_LOOK_US);
}

void exchange_look_fini(struct exchange_env *env)
{
    loop_timer_cancel(&env->look);
}
