/* SPDX-License-Identifier: Apache-2.0 */
/* admin_audit.c - see admin_audit.h. */
#include "admin/admin_audit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "admin/admin_json.h"
#include "base/base_log.h"
#include "config/config_json.h"

struct admin_peer admin_peer_of(const struct admin_conn *conn)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (conn->port->is_tcp ||
        getsockopt(conn->stream.fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return (struct admin_peer){-1, -1};
    return (struct admin_peer){(json_int_t)peer.uid, (json_int_t)peer.pid};
}

/* Where somebody is who came over TCP; "" behind a Unix socket. */
static void find_place(const struct admin_conn *conn, char out[NET_ADDRESS_TEXT_MAX + 1])
{
    struct net_address own, peer;
    size_t len = 0;
    if (conn->port->is_tcp) {
        net_stream_ends(&conn->stream, &own, &peer);
        len = peer.len == 0 ? 0 : net_address_format(out, &peer);
    }
    out[len] = '\0';
}

void admin_audit_change(const struct admin_conn *conn, const char *verb, const char *target,
                        json_t *before, json_t *after)
{
    const struct admin_peer peer = admin_peer_of(conn);
    const char *name = target == NULL ? "" : target;
    char place[NET_ADDRESS_TEXT_MAX + 1];
    find_place(conn, place);
    if (place[0] != '\0')
        log_info("%s%s%s: asked by %s with the token", verb, name[0] == '\0' ? "" : " ", name,
                 place);
    else
        log_info("%s%s%s: asked by uid %" JSON_INTEGER_FORMAT ", pid %" JSON_INTEGER_FORMAT, verb,
                 name[0] == '\0' ? "" : " ", name, peer.uid, peer.pid);
    json_t *json = json_pack("{s:s, s:s}", "event", "admin", "verb", verb);
    if (name[0] != '\0')
        config_json_set(&json, "target", admin_json_text(span_of(name)));
    if (before != NULL)
        config_json_set(&json, "before", before);
    if (after != NULL)
        config_json_set(&json, "after", after);
    config_json_set(&json, "by", json_integer(peer.uid));
    config_json_set(&json, "pid", json_integer(peer.pid));
    if (place[0] != '\0')
        config_json_set(&json, "from", json_string(place));
    char *text = config_json_text(json, JSON_COMPACT);
    if (text != NULL) {
        text[strlen(text) - 1] = '\0'; /* the inside of the object */
        loop_log_event(conn->admin->env.log, text + 1);
    }
    free(text);
    json_decref(json);
}

void admin_audit(const struct admin_conn *conn, const char *verb)
{
    admin_audit_change(conn, verb, NULL, NULL, NULL);
}
