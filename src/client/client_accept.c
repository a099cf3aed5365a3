/* SPDX-License-Identifier: Apache-2.0 */
/* client_accept.c - which connections a worker serves.  Takes: accepted sockets.  Gives: connections that are counted
 * as long as they live, and a short 503 to those that are one too many.  Nothing waits for the latter: what does
 * not fit into the socket's buffer at once is not sent. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base_log.h"
#include "client/client_private.h"
#include "exchange/exchange_refusal.h"
#include "identity/identity.h"
#include "net/net_tls_server.h"

#define REFUSED_LINGER_US 1000000

static void client_on_refused_timer(void *arg);

/* ---- doors and env ---- */

struct client_door *client_door_new(const struct plan_listener *listener)
{
    struct client_door *door =
        calloc(1, sizeof(*door) + listener->name.len + listener->address_text.len);
    if (door == NULL)
        return NULL;
    char *text = (char *)(door + 1);
    door->refs = 1;
    door->listener.address = listener->address;
    memcpy(text, listener->name.ptr, listener->name.len);
    door->listener.name = (struct span){text, listener->name.len};
    text += listener->name.len;
    memcpy(text, listener->address_text.ptr, listener->address_text.len);
    door->listener.address_text = (struct span){text, listener->address_text.len};
    door->listener.tls = net_tls_server_ref(listener->tls);
    door->listener.takes_proxy = listener->takes_proxy;
    return door;
}

void client_door_unref(struct client_door *door)
{
    if (door == NULL || --door->refs != 0)
        return;
    net_tls_server_free(door->listener.tls);
    free(door);
}

enum err client_env_init(struct client_env *env, struct exchange_env *exchanges,
                         const struct client_shared *shared)
{
    *env = (struct client_env){
        .exchanges = exchanges, .shared = *shared, .cork = malloc(CLIENT_CORK_BYTES)};
    list_init(&env->conns);
    list_init(&env->spare);
    list_init(&env->handshakes);
    loop_timer_init(&env->refused_timer, client_on_refused_timer, env);
    for (unsigned i = 0; i < CLIENT_REFUSED_MAX; i++)
        env->refused[i].fd = -1;
    return env->cork == NULL ? ERR_NOMEM : ERR_OK;
}

void client_env_fini(struct client_env *env)
{
    loop_timer_cancel(&env->refused_timer);
    for (unsigned i = 0; i < CLIENT_REFUSED_MAX; i++) {
        if (env->refused[i].fd >= 0)
            close(env->refused[i].fd);
    }
    LIST_EACH_SAFE (node, &env->spare)
        free(LIST_OF(node, struct client_conn, node));
    client_work_free_spare(env, 0);
    free(env->cork);
}

/* ---- refusing ---- */

/* A socket closed with unread bytes in it resets its connection, and what the client has not read is lost: read
 * away what is there.  Only once: who goes on sending is not waited for. */
static void client_close_refused(struct client_env *env, struct client_refused *refused)
{
    if (refused->fd < 0)
        return;
    (void)recv(refused->fd, env->exchanges->loop->scratch, LOOP_SCRATCH_BYTES, MSG_DONTWAIT);
    close(refused->fd);
    refused->fd = -1;
}

static void client_on_refused_timer(void *arg)
{
    struct client_env *env = arg;
    struct loop *loop = env->exchanges->loop;
    bool has_more = false;
    for (unsigned i = 0; i < CLIENT_REFUSED_MAX; i++) {
        struct client_refused *refused = &env->refused[i];
        if (refused->fd >= 0 && refused->until_us <= loop->mono_us)
            client_close_refused(env, refused);
        has_more |= refused->fd >= 0;
    }
    if (has_more)
        loop_timer_set(loop, &env->refused_timer, loop->mono_us + REFUSED_LINGER_US / 2);
}

/* The last few stay half-closed for a moment, so that a request on its way does not meet a reset; the oldest
 * makes room for the newest. */
static void client_linger_refused(struct client_env *env, int fd)
{
    struct loop *loop = env->exchanges->loop;
    struct client_refused *refused = &env->refused[env->refused_next++ % CLIENT_REFUSED_MAX];
    client_close_refused(env, refused);
    (void)shutdown(fd, SHUT_WR);
    *refused = (struct client_refused){fd, loop->mono_us + REFUSED_LINGER_US};
    if (env->refused_timer.due_us == 0)
        loop_timer_set(loop, &env->refused_timer, refused->until_us);
}

/* The lines name no client: they would differ, and could not be folded.  The access log has the addresses. */
static void client_say_refused(const struct client_env *env, enum exchange_end end)
{
    static const struct {
        enum metrics_id metric;
        size_t limit; /* where it stands in the limits */
        const char *before, *behind;
    } refusals[] = {
        [END_TOO_MANY_CONNECTIONS] = {METRICS_CONNECTIONS_REFUSED_LIMIT,
                                      offsetof(struct plan_limits, connections_max),
                                      "limits.connections", " is reached"},
        [END_ADDRESS_CONNECTIONS] = {METRICS_CONNECTIONS_REFUSED_ADDRESS,
                                     offsetof(struct plan_limits, address_connections_max),
                                     "its address has limits.connections_per_address", ""},
    };
    const char *limits = (const char *)&env->exchanges->snapshot->plan->limits;
    uint32_t most;
    memcpy(&most, limits + refusals[end].limit, sizeof(most));
    metrics_add(env->exchanges->loop->metrics, refusals[end].metric, 1);
    log_warn("a connection was refused: %s (%u)%s", refusals[end].before, (unsigned)most,
             refusals[end].behind);
}

static void client_refuse_connection(struct client_env *env, const struct client_door *door, int fd,
                                     const struct net_address *peer, enum exchange_end end)
{
    struct exchange_refusal refusal = {
        .listener = &door->listener,
        .peer_ip = net_address_ip(peer),
        .peer_is_unix = peer->is_unix,
        .end = end,
    };
    struct span response = exchange_refusal_write(env->exchanges, &refusal);
    ssize_t sent = -1;
    if (door->listener.tls ==
        NULL) /* under TLS it would be no answer, and a handshake costs too much */
        sent = send(fd, response.ptr, response.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    client_say_refused(env, end);
    exchange_refusal_record(env->exchanges, &refusal, sent < 0 ? 0 : (size_t)sent);
    client_linger_refused(env, fd);
}

/* ---- counting ---- */

/* A trusted proxy stands for many clients, and so does a Unix socket. */
static bool client_has_own_address(const struct client_env *env, const struct ip *ip, bool is_unix)
{
    return !is_unix && !identity_trust_has(&env->exchanges->snapshot->plan->trust, ip, is_unix);
}

/* False: it has too many; in *is_counted whether it is counted. */
static bool client_count_address(const struct client_env *env, const struct ip *ip, bool is_unix,
                                 bool *is_counted)
{
    uint32_t max = env->exchanges->snapshot->plan->limits.address_connections_max;
    if (max == 0 || !client_has_own_address(env, ip, is_unix))
        return true;
    *is_counted = client_addresses_enter(env->shared.addresses, ip, max);
    return *is_counted;
}

/* END_OK: counted, and in *is_counted whether by its address too. */
static enum exchange_end client_enter(struct client_env *env, const struct net_address *peer,
                                      bool *is_counted)
{
    const struct plan_limits *limits = &env->exchanges->snapshot->plan->limits;
    const struct client_shared *shared = &env->shared;
    struct ip ip = net_address_ip(peer);
    *is_counted = false;
    if (atomic_fetch_add_explicit(shared->connections, 1, memory_order_relaxed) >=
        limits->connections_max) {
        atomic_fetch_sub_explicit(shared->connections, 1, memory_order_relaxed);
        return END_TOO_MANY_CONNECTIONS;
    }
    if (client_count_address(env, &ip, peer->is_unix, is_counted))
        return END_OK;
    atomic_fetch_sub_explicit(shared->connections, 1, memory_order_relaxed);
    return END_ADDRESS_CONNECTIONS;
}

bool client_enter_address(struct client_conn *conn)
{
    bool is_counted = false;
    bool may_stay = client_count_address(conn->env, &conn->peer_ip, false, &is_counted);
    conn->is_counted = is_counted;
    if (!may_stay)
        client_say_refused(conn->env, END_ADDRESS_CONNECTIONS);
    return may_stay;
}

void client_leave(struct client_conn *conn)
{
    struct client_env *env = conn->env;
    if (conn->is_counted)
        client_addresses_leave(env->shared.addresses, &conn->peer_ip);
    atomic_fetch_sub_explicit(env->shared.connections, 1, memory_order_relaxed);
    client_door_unref(conn->door);
    list_push_front(&env->spare, &conn->node);
    if (env->on_closed != NULL)
        env->on_closed(env->on_closed_arg);
}

/* ---- accepting ---- */

static struct client_conn *client_take_object(struct client_env *env)
{
    struct client_conn *conn;
    if (list_is_empty(&env->spare))
        return malloc(sizeof(*conn));
    conn = LIST_OF(env->spare.next, struct client_conn, node);
    list_remove(&conn->node);
    return conn;
}

void client_accept(struct client_env *env, struct client_door *door, int fd,
                   const struct net_address *peer)
{
    bool is_counted;
    metrics_add(env->exchanges->loop->metrics, METRICS_CONNECTIONS_ACCEPTED, 1);
    struct client_conn *conn = client_take_object(env);
    if (conn == NULL) {
        close(fd);
        return;
    }
    enum exchange_end refused = client_enter(env, peer, &is_counted);
    if (refused != END_OK) {
        list_push_front(&env->spare, &conn->node);
        client_refuse_connection(env, door, fd, peer, refused);
        return;
    }
    memset(conn, 0, sizeof(*conn));
    conn->env = env;
    conn->door = door;
    door->refs++;
    conn->is_counted = is_counted;
    conn->peer_ip = net_address_ip(peer);
    conn->peer_is_unix = peer->is_unix;
    client_begin_serving(conn, fd);
}
