/* SPDX-License-Identifier: Apache-2.0 */
/* admin_door.c - see admin_door.h.  Never: says what was wrong with a token, or how long it is compared. */
#include "admin/admin_door.h"

#include "base/base_log.h"

struct span admin_door_field(const struct http_head *head, struct span name, bool *is_there)
{
    struct span found = SPAN_NONE;
    unsigned count = 0;
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (!span_eq_nocase(http_field_name(head, field), name))
            continue;
        found = http_field_value(head, field);
        count++;
    }
    *is_there = count != 0;
    return count == 1 ? found : SPAN_NONE;
}

bool admin_door_is_of_a_page(const struct http_head *head)
{
    bool has_origin, has_site;
    (void)admin_door_field(head, SPAN("origin"), &has_origin);
    struct span site = admin_door_field(head, SPAN("sec-fetch-site"), &has_site);
    return has_origin ||
           (has_site && !span_eq(site, SPAN("none")) && !span_eq(site, SPAN("same-origin")));
}

/* "NAME" of a list is meant with our port too. */
static bool is_named(struct span host, struct span name, struct span address)
{
    size_t colon = address.len;
    while (colon > 0 && address.ptr[colon - 1] != ':')
        colon--;
    struct span port = {address.ptr + colon, address.len - colon};
    if (span_eq_nocase(host, name))
        return true;
    return host.len == name.len + 1 + port.len &&
           span_eq_nocase((struct span){host.ptr, name.len}, name) && host.ptr[name.len] == ':' &&
           span_eq((struct span){host.ptr + name.len + 1, port.len}, port);
}

static bool is_our_host(const struct http_head *head, const struct plan *plan)
{
    bool is_there;
    struct span host = admin_door_field(head, SPAN("host"), &is_there);
    if (host.len == 0)
        return false;
    if (span_eq_nocase(host, plan->admin_address))
        return true;
    for (unsigned i = 0; i < plan->admin_host_count; i++)
        if (is_named(host, plan->admin_hosts[i], plan->admin_address))
            return true;
    return false;
}

bool admin_door_is_secret(struct span given, struct span secret)
{
    unsigned difference = given.len != secret.len;
    if (secret.len == 0)
        return false;
    for (size_t i = 0; i < given.len; i++)
        difference |=
            (unsigned char)given.ptr[i] ^ (unsigned char)secret.ptr[i < secret.len ? i : 0];
    return difference == 0;
}

static bool has_token(const struct http_head *head, const struct plan *plan)
{
    static const size_t scheme_len = sizeof("Bearer ") - 1;
    bool is_there;
    struct span value = admin_door_field(head, SPAN("authorization"), &is_there);
    if (value.len < scheme_len ||
        !span_eq_nocase((struct span){value.ptr, scheme_len}, SPAN("Bearer ")))
        return false;
    return admin_door_is_secret((struct span){value.ptr + scheme_len, value.len - scheme_len},
                                plan->admin_token);
}

bool admin_door_admits(struct admin_conn *conn, const struct http_head *head)
{
    struct admin_facts facts = {0};
    if (conn->port->is_metrics_only)
        return true;
    if (admin_door_is_of_a_page(head)) {
        log_warn("a web page has asked the admin address for something: refused");
        admin_send_problem(conn, 403, "requests of web pages are refused (Origin, Sec-Fetch-Site)");
        return false;
    }
    if (!conn->port->is_tcp)
        return true;
    conn->admin->env.hooks.facts(conn->admin->env.hooks.arg, &facts);
    if (!is_our_host(head, facts.plan)) {
        log_warn("the admin address was asked under a Host that is not its own: refused");
        admin_send_problem(conn, 403,
                           "Host is neither admin.address nor one of \"admin\": {\"hosts\"}");
        return false;
    }
    if (!has_token(head, facts.plan)) {
        log_warn("the admin address was asked without the right token: refused");
        admin_send_unauthorized(conn);
        return false;
    }
    return true;
}
