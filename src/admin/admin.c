/* SPDX-License-Identifier: Apache-2.0 */
/* admin.c - connections of the admin socket: accept, read one head, send one answer, close.  Takes:
 * listening descriptors.  Gives: heads to admin_answer.c, bodies to admin_body.c.  Never keeps a peer longer
 * than its deadline. */
#include "admin/admin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/admin_private.h"
#include "admin/admin_tail.h"

static void conn_free(struct admin_conn *conn)
{
    loop_timer_cancel(&conn->deadline);
    admin_job_free(conn->job);
    admin_explain_job_free(conn->explain);
    admin_tail_free(conn->tail);
    admin_body_end(conn);
    net_stream_close(&conn->stream);
    list_remove(&conn->node);
    conn->port->conn_count--;
    free(conn->out);
    free(conn);
}

/* What a response could not say before the peer's bytes were read would be lost in a reset, so the end is
 * sent first and the rest is read away until the peer closes or the deadline comes. */
static void conn_linger(struct admin_conn *conn)
{
    conn->state = ADMIN_CONN_LINGERING;
    net_stream_shutdown(&conn->stream);
}

/* The three return false when the connection is gone. */
static bool conn_write(struct admin_conn *conn)
{
    while (conn->out_done < conn->out_len) {
        ssize_t n = net_stream_write(&conn->stream, conn->out + conn->out_done,
                                     conn->out_len - conn->out_done);
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n < 0) {
            conn_free(conn);
            return false;
        }
        conn->out_done += (size_t)n;
    }
    conn_linger(conn);
    return true;
}

static void conn_on_deadline(void *arg)
{
    struct admin_conn *conn = arg;
    if (conn->state != ADMIN_CONN_WAITING) {
        conn_free(conn);
        return;
    }
    if (conn->explain != NULL) {
        loop_timer_set(conn->admin->env.loop, &conn->deadline,
                       conn->admin->env.loop->mono_us + ADMIN_DEADLINE_US);
        admin_explain_give_up(conn->explain);
        return;
    }
    conn->ticket = 0;
    char late[96];
    snprintf(late, sizeof(late), "%s has not ended in time; `sluice status` will tell",
             conn->awaited);
    admin_send_problem(conn, 504, conn->job != NULL ? "the store has not answered in time" : late);
    admin_job_free(conn->job);
    conn->job = NULL;
    loop_timer_set(conn->admin->env.loop, &conn->deadline,
                   conn->admin->env.loop->mono_us + ADMIN_DEADLINE_US);
    (void)conn_write(conn);
}

void admin_conn_go(struct admin_conn *conn)
{
    (void)conn_write(conn);
}

void admin_conn_drop(struct admin_conn *conn)
{
    conn_free(conn);
}

static bool conn_discard(struct admin_conn *conn)
{
    for (;;) {
        ssize_t n =
            net_stream_read(&conn->stream, conn->admin->env.loop->scratch, LOOP_SCRATCH_BYTES);
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0) {
            conn_free(conn);
            return false;
        }
    }
}

static void conn_judge(struct admin_conn *conn)
{
    static const struct http_head_limits limits = {
        .line_max_bytes = 4096,
        .field_max_bytes = 8192,
        .head_max_bytes = ADMIN_HEAD_MAX,
        .field_max = ADMIN_FIELDS_MAX,
    };
    struct http_field fields[ADMIN_FIELDS_MAX];
    struct http_head head = {.fields = fields, .field_max = ADMIN_FIELDS_MAX};
    struct http_fault fault = {0};
    switch (
        http_head_parse_request(&head, conn->in, conn->in_len, &conn->scanned, &limits, &fault)) {
    case HTTP_PARSE_OK:
        admin_answer(conn, &head);
        break;
    case HTTP_PARSE_BAD:
        admin_send_problem(conn, http_fault_status(fault.id), http_fault_sentence(fault.id));
        break;
    case HTTP_PARSE_INCOMPLETE:
        if (conn->in_len == sizeof(conn->in))
            admin_send_problem(conn, 431, "the head of the request is longer than 16 KiB");
        break;
    }
}

static bool conn_is_reading(const struct admin_conn *conn)
{
    return conn->state == ADMIN_CONN_READING || conn->state == ADMIN_CONN_BODY;
}

static bool conn_read(struct admin_conn *conn)
{
    while (conn_is_reading(conn)) {
        bool is_body = conn->state == ADMIN_CONN_BODY;
        char *to = is_body ? conn->body.bytes + conn->body.len : conn->in + conn->in_len;
        size_t room = is_body ? conn->body.whole - conn->body.len : sizeof(conn->in) - conn->in_len;
        ssize_t n = net_stream_read(&conn->stream, to, room);
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0) {
            conn_free(conn);
            return false;
        }
        if (is_body) {
            admin_body_add(conn, (size_t)n);
        } else {
            conn->in_len += (size_t)n;
            conn_judge(conn);
        }
    }
    return true;
}

static void conn_on_ready(struct net_stream *stream, void *arg)
{
    struct admin_conn *conn = arg;
    (void)stream;
    if (conn_is_reading(conn) && !conn_read(conn))
        return;
    if (conn->state == ADMIN_CONN_WRITING && !conn_write(conn))
        return;
    if (conn->state == ADMIN_CONN_TAILING && !admin_tail_flush(conn->tail)) {
        conn_free(conn);
        return;
    }
    if (conn->state == ADMIN_CONN_LINGERING || conn->state == ADMIN_CONN_TAILING)
        (void)conn_discard(conn);
}

/* Whoever holds connections and says nothing must not lock out who has something to say. */
static void port_make_room(struct admin_port *port)
{
    if (port->conn_count < ADMIN_CONNECTIONS_MAX)
        return;
    LIST_EACH (node, &port->conns) {
        struct admin_conn *conn = LIST_OF(node, struct admin_conn, node);
        if (conn->state == ADMIN_CONN_WAITING || conn->state == ADMIN_CONN_TAILING)
            continue;
        conn_free(conn);
        return;
    }
}

static void admin_on_accept(void *arg, int fd, const struct net_address *peer)
{
    struct admin_port *port = arg;
    struct admin *admin = port->admin;
    struct admin_conn *conn = NULL;
    (void)peer;
    port_make_room(port);
    if (port->conn_count < ADMIN_CONNECTIONS_MAX)
        conn = calloc(1, sizeof(*conn));
    if (conn == NULL) {
        close(fd);
        return;
    }
    if (net_stream_open(&conn->stream, admin->env.loop, fd, conn_on_ready, conn) != ERR_OK) {
        close(fd);
        free(conn);
        return;
    }
    conn->admin = admin;
    conn->port = port;
    list_push_back(&port->conns, &conn->node);
    port->conn_count++;
    loop_timer_init(&conn->deadline, conn_on_deadline, conn);
    loop_timer_set(admin->env.loop, &conn->deadline, admin->env.loop->mono_us + ADMIN_DEADLINE_US);
}

struct admin *admin_new(const struct admin_env *env)
{
    struct admin *admin = calloc(1, sizeof(*admin));
    if (admin == NULL)
        return NULL;
    admin->env = *env;
    list_init(&admin->ports);
    list_init(&admin->tails);
    admin->orders = lease_operator_new(env->lease, env->loop);
    if (admin->orders == NULL) {
        free(admin);
        return NULL;
    }
    return admin;
}

static void port_free(struct admin_port *port)
{
    list_remove(&port->node);
    net_listener_free(port->listener);
    LIST_EACH_SAFE (node, &port->conns)
        conn_free(LIST_OF(node, struct admin_conn, node));
    free(port);
}

void admin_free(struct admin *admin)
{
    if (admin == NULL)
        return;
    LIST_EACH_SAFE (node, &admin->ports)
        port_free(LIST_OF(node, struct admin_port, node));
    loop_alarm_free(admin->tail_alarm);
    lease_operator_free(admin->orders);
    free(admin);
}

/* ERR_SYSTEM: it cannot be told, and who may ask would be a guess. */
static enum err port_see_family(struct admin_port *port)
{
    struct sockaddr_storage own = {0};
    socklen_t len = sizeof(own);
    if (getsockname(port->fd, (struct sockaddr *)&own, &len) != 0)
        return ERR_SYSTEM;
    port->is_tcp = own.ss_family != AF_UNIX;
    return ERR_OK;
}

enum err admin_listen(struct admin *admin, int fd, bool is_metrics_only)
{
    struct admin_port *port = calloc(1, sizeof(*port));
    if (port == NULL)
        return ERR_NOMEM;
    port->admin = admin;
    port->fd = fd;
    list_init(&port->conns);
    port->is_metrics_only = is_metrics_only;
    enum err err = port_see_family(port);
    if (err == ERR_OK) {
        port->listener = net_listener_new(admin->env.loop, fd, admin_on_accept, port);
        err = port->listener == NULL ? ERR_NOMEM : ERR_OK;
    }
    if (err != ERR_OK) {
        free(port);
        return err;
    }
    if (admin->env.is_held)
        net_listener_hold(port->listener);
    list_push_back(&admin->ports, &port->node);
    return ERR_OK;
}

struct admin_conn *admin_conn_of(struct admin *admin, uint32_t ticket)
{
    LIST_EACH (node, &admin->ports) {
        struct admin_port *port = LIST_OF(node, struct admin_port, node);
        LIST_EACH (at, &port->conns) {
            struct admin_conn *conn = LIST_OF(at, struct admin_conn, node);
            if (ticket != 0 && conn->ticket == ticket)
                return conn;
        }
    }
    return NULL;
}

void admin_reload_answer(struct admin *admin, uint32_t ticket, uint32_t generation,
                         struct span text, const char *difference)
{
    struct admin_conn *conn = admin_conn_of(admin, ticket);
    if (conn == NULL)
        return;
    conn->ticket = 0;
    admin_send_reload(conn, generation, text, difference);
    (void)conn_write(conn);
}
