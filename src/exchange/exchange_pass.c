/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_pass.c - large bodies that nobody looks at pass from one connection to the other through a pipe, where the
 * kernel moves pages instead of copying bytes.  Takes: readiness.  Gives: what reading and sending would, counted
 * alike.  Where a pipe cannot be had or does not fit, the body is copied (see exchange_relay.c). */
#include "exchange/exchange_private.h"

static bool pass_is_allowed(const struct exchange *x)
{
    return !x->is_copied && x->snapshot->plan->passes_bodies;
}

/* Gives the pipe back; what it still holds has no reader. */
static bool pass_over(struct exchange *x, struct net_pipe **pipe)
{
    x->is_copied = x->is_copied || (*pipe != NULL && (*pipe)->is_unfit);
    net_pipe_give(pipe);
    return !x->is_copied;
}

bool exchange_pass_response(struct exchange *x, enum upstream_event *event)
{
    if (!upstream_conn_gives_pipe(x->conn) || !pass_is_allowed(x) || x->learning != NULL ||
        !x->ops->takes_pipe(x->client))
        return false;
    struct net_pipe *pipe = net_pipe_take(&x->env->pipes);
    if (pipe == NULL)
        return false;
    *event = upstream_conn_read_pipe(x->conn, pipe);
    if (*event == UPSTREAM_DATA) {
        metrics_add(x->env->loop->metrics, METRICS_BODY_BYTES_SPLICED, pipe->held_bytes);
        x->ops->send_pipe(x->client, &pipe);
    }
    return pass_over(x, &pipe);
}

bool exchange_pass_request(struct exchange *x, enum exchange_body *body)
{
    if (!x->ops->gives_pipe(x->client) || !pass_is_allowed(x) || !upstream_conn_takes_pipe(x->conn))
        return false;
    struct net_pipe *pipe = net_pipe_take(&x->env->pipes);
    if (pipe == NULL)
        return false;
    *body = x->ops->read_pipe(x->client, pipe);
    if (*body == EXCHANGE_BODY_DATA) {
        metrics_add(x->env->loop->metrics, METRICS_BODY_BYTES_SPLICED, pipe->held_bytes);
        x->body_bytes += pipe->held_bytes;
        (void)upstream_conn_send_pipe(x->conn, &pipe);
    }
    return pass_over(x, &pipe);
}
