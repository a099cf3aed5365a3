/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_tunnel.c - leaving HTTP: what a client may ask for, which 101 answers it, and the bytes that follow.
 * Takes: readiness of either side.  Gives: each side's bytes and its end to the other, at the speed of the slower
 * one.  Never looks at what passes.
 *
 *     both open --- one side ends ---> half open --- the other ends ---> over: ok
 *         |                                |
 *         +---- a side is reset, nobody says anything, the client takes nothing, the proxy stops: both are reset
 */
#include "base/base_log.h"
#include "exchange/exchange_private.h"

#define TUNNEL_BUDGET 4 /* buffers of 64 KiB a turn and direction */

/* ---- the handshake ---- */

bool exchange_offer_upgrade(struct exchange *x)
{
    return http_upgrade_request(&x->head, &x->framing, &x->route->upgrades, &x->offer, &x->fault) ==
           HTTP_PARSE_OK;
}

char *exchange_write_offer(const struct exchange *x, char *out)
{
    return http_upgrade_write(out, &x->route->upgrades, &x->offer);
}

enum http_fault_id exchange_judge_upgrade(struct exchange *x, const struct http_head *response,
                                          struct span *protocol)
{
    return http_upgrade_response(response, &x->head, &x->route->upgrades, &x->offer, protocol);
}

void exchange_open_tunnel(struct exchange *x)
{
    x->tunnel.is_open = true;
    metrics_add(x->env->loop->metrics, METRICS_TUNNELS_OPEN, 1);
    metrics_add(x->env->loop->metrics, METRICS_TUNNELS_BEGUN, 1);
}

/* ---- client to server ---- */

/* A server that takes nothing more may have said why before: its side is read on, and tells how it ends. */
static enum step_result tunnel_up(struct exchange *x)
{
    struct upstream_conn *conn = x->conn;
    unsigned left = TUNNEL_BUDGET;
    (void)upstream_conn_flush(conn);
    while (left != 0 && !conn->is_broken && !upstream_conn_is_blocked(conn)) {
        struct span data;
        switch (x->ops->read_tunnel(x->client, &data)) {
        case EXCHANGE_BODY_DATA:
            (void)upstream_conn_send_data(conn, data);
            left--;
            break;
        case EXCHANGE_BODY_WAIT:
            return STEP_WAIT;
        case EXCHANGE_BODY_DONE:
            if (!x->tunnel.client_ended)
                upstream_conn_shutdown(conn);
            x->tunnel.client_ended = true;
            return STEP_WAIT;
        default:
            return exchange_fail(x, END_CLIENT_ABORT);
        }
    }
    if (left == 0)
        loop_task_schedule(x->env->loop, &x->task);
    return STEP_WAIT;
}

/* ---- server to client ---- */

static enum step_result tunnel_server_reset(struct exchange *x)
{
    x->ops->flush(x->client); /* what it said before its reset */
    return exchange_fail(x, END_UPSTREAM_ABORT);
}

static enum step_result tunnel_read_server(struct exchange *x, struct upstream_reading *reading)
{
    for (unsigned left = TUNNEL_BUDGET; !x->ops->is_blocked(x->client); left--) {
        if (left == 0) {
            loop_task_schedule(x->env->loop, &x->task);
            return STEP_WAIT;
        }
        switch (upstream_conn_read(x->conn, reading)) {
        case UPSTREAM_DATA:
            x->ops->send_data(x->client, reading->data);
            break;
        case UPSTREAM_WAIT:
            return x->conn->is_broken ? tunnel_server_reset(x) : STEP_WAIT;
        case UPSTREAM_END:
            x->tunnel.server_ended = true;
            return STEP_WAIT;
        default:
            return tunnel_server_reset(x);
        }
    }
    return STEP_WAIT;
}

/* The end of the server's side is passed on once all that came before it has been taken. */
static enum step_result tunnel_down(struct exchange *x)
{
    struct upstream_reading reading = {
        .body_limits = &x->snapshot->plan->limits.chunks,
        .arena = &x->arena,
    };
    if (!x->tunnel.server_ended) {
        enum step_result result = tunnel_read_server(x, &reading);
        if (result != STEP_WAIT)
            return result;
        if (!upstream_conn_keep_rest(x->conn))
            return exchange_fail(x, END_SHED);
        x->ops->flush(x->client);
    }
    if (x->tunnel.server_ended && upstream_conn_has_failed(x->conn))
        return tunnel_server_reset(x);
    if (x->tunnel.server_ended && !x->tunnel.client_told && !x->ops->is_blocked(x->client)) {
        x->ops->end_tunnel(x->client);
        x->tunnel.client_told = true;
    }
    return STEP_WAIT;
}

/* ---- TUNNEL ---- */

/* A client that takes nothing has a deadline of its own, see client. */
static void tunnel_set_deadline(struct exchange *x, bool has_progress)
{
    uint64_t idle_us = x->snapshot->pools[x->route->upstream]->conf->tunnel_idle_us;
    enum exchange_waits waits =
        x->ops->is_blocked(x->client) ? EXCHANGE_WAITS_CLIENT : EXCHANGE_WAITS_EITHER;
    if (waits == x->waits && !has_progress)
        return;
    x->waits = waits;
    upstream_conn_set_deadline(
        x->conn, waits == EXCHANGE_WAITS_CLIENT ? 0 : x->env->loop->mono_us + idle_us);
}

enum step_result exchange_step_tunnel(struct exchange *x)
{
    uint64_t moved_bytes = x->bytes_in + x->bytes_out;
    size_t unsent_bytes = buf_len(&x->conn->out);
    enum step_result result = tunnel_up(x);
    if (result == STEP_WAIT)
        result = tunnel_down(x);
    if (result != STEP_WAIT)
        return result;
    if (x->tunnel.client_ended && x->tunnel.client_told) {
        x->response_done = true;
        x->must_close = true;
        exchange_leave_upstream(x);
        return STEP_NEXT;
    }
    tunnel_set_deadline(x, moved_bytes != x->bytes_in + x->bytes_out ||
                               unsent_bytes != buf_len(&x->conn->out));
    return STEP_WAIT;
}
