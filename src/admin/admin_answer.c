/* SPDX-License-Identifier: Apache-2.0 */
/* admin_answer.c - the table of endpoints, and answers.  Takes: one request's head.  Gives: a complete
 * response, or the beginning of a reload.  Errors are RFC 9457 problems. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "admin/admin_audit.h"
#include "admin/admin_door.h"
#include "admin/admin_gauges.h"
#include "admin/admin_log.h"
#include "admin/admin_private.h"
#include "admin/admin_tail.h"
#include "admin/admin_upstreams.h"
#include "config/config_json.h"
#include "http/http_framing.h"
#include "http/http_write.h"

#define TYPE_JSON    "application/json; charset=UTF-8"
#define TYPE_PROBLEM "application/problem+json"
#define TYPE_TEXT    "text/plain; charset=UTF-8"
#define TYPE_METRICS "text/plain; version=0.0.4; charset=UTF-8"

#define HEAD_MAX     2048 /* of a response */

/* body (malloc'ed, taken; NULL: out of memory) becomes the response. */
static void send_body(struct admin_conn *conn, unsigned status, const char *type, const char *extra,
                      char *body, size_t len)
{
    struct span reason = http_status_reason(status);
    char head[HEAD_MAX];
    if (body == NULL) {
        status = 500;
        reason = http_status_reason(status);
        len = 0;
    }
    int head_len = snprintf(head, sizeof(head),
                            "HTTP/1.1 %u %.*s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                            "Cache-Control: no-store\r\n%sConnection: close\r\n\r\n",
                            status, (int)reason.len, reason.ptr, type, len, extra);
    if (conn->is_head)
        len = 0;
    conn->state = ADMIN_CONN_WRITING;
    conn->out = malloc((size_t)head_len + len);
    if (conn->out != NULL) {
        memcpy(conn->out, head, (size_t)head_len);
        if (len > 0)
            memcpy(conn->out + head_len, body, len);
        conn->out_len = (size_t)head_len + len;
    }
    free(body);
}

static void send_json(struct admin_conn *conn, unsigned status, const char *type, const char *extra,
                      json_t *json)
{
    char *text = config_json_text(json, JSON_COMPACT);
    json_decref(json);
    send_body(conn, status, type, extra, text, text == NULL ? 0 : strlen(text));
}

void admin_send_page(struct admin_conn *conn, const char *type, const char *extra, char *body,
                     size_t len)
{
    send_body(conn, 200, type, extra, body, len);
}

void admin_send_json(struct admin_conn *conn, unsigned status, json_t *json)
{
    send_json(conn, status, status < 400 ? TYPE_JSON : TYPE_PROBLEM, "", json);
}

static void send_problem(struct admin_conn *conn, unsigned status, const char *extra,
                         const char *detail, struct span report)
{
    struct span title = http_status_reason(status);
    json_t *json = json_pack("{s:s, s:s%, s:i, s:s}", "type", "about:blank", "title", title.ptr,
                             title.len, "status", (int)status, "detail", detail);
    if (report.len > 0) {
        json_t *text = json_stringn(report.ptr, report.len);
        config_json_set(&json, "report",
                        text != NULL ? text : json_string("(bytes that are no text)"));
    }
    send_json(conn, status, TYPE_PROBLEM, extra, json);
}

void admin_send_problem(struct admin_conn *conn, unsigned status, const char *detail)
{
    send_problem(conn, status, "", detail, SPAN_NONE);
}

void admin_send_report(struct admin_conn *conn, unsigned status, const char *detail,
                       struct span report)
{
    send_problem(conn, status, "", detail, report);
}

void admin_send_unauthorized(struct admin_conn *conn)
{
    send_problem(conn, 401, "WWW-Authenticate: Bearer\r\n",
                 "the token of admin.token is needed: Authorization: Bearer TOKEN", SPAN_NONE);
}

void admin_send_reload(struct admin_conn *conn, uint32_t generation, struct span text,
                       const char *difference)
{
    if (difference == NULL) {
        send_problem(conn, 409, "", "the reload was refused; the old configuration stays in force",
                     text);
        return;
    }
    send_json(conn, 200, TYPE_JSON, "",
              json_pack("{s:b, s:I, s:s%, s:o}", "applied", 1, "generation", (json_int_t)generation,
                        "changes", text.len == 0 ? "" : text.ptr, text.len, "difference",
                        json_loads(difference, 0, NULL)));
}

static void send_text(struct admin_conn *conn, unsigned status, const char *text)
{
    char *copy = strdup(text);
    send_body(conn, status, TYPE_TEXT, "", copy, strlen(text));
}

static void answer_status(struct admin_conn *conn, struct span query)
{
    (void)query;
    char *json = admin_status_json(conn->admin);
    send_body(conn, 200, TYPE_JSON, "", json, json == NULL ? 0 : strlen(json));
}

static void answer_metrics(struct admin_conn *conn, struct span query)
{
    (void)query;
    size_t len = 0;
    admin_gauges_set(conn->admin);
    char *page = metrics_registry_render(conn->admin->env.metrics, &len);
    send_body(conn, 200, TYPE_METRICS, "", page, len);
}

static void answer_healthz(struct admin_conn *conn, struct span query)
{
    (void)query;
    send_text(conn, 200, "ok\n");
}

static void answer_readyz(struct admin_conn *conn, struct span query)
{
    (void)query;
    const struct admin_hooks *hooks = &conn->admin->env.hooks;
    struct admin_facts facts = {0};
    hooks->facts(hooks->arg, &facts);
    if (facts.is_draining)
        send_text(conn, 503, "draining\n");
    else
        send_text(conn, 200, "ready\n");
}

void admin_conn_wait(struct admin_conn *conn, const char *what)
{
    struct admin *admin = conn->admin;
    conn->state = ADMIN_CONN_WAITING;
    conn->awaited = what;
    conn->ticket = ++admin->last_ticket == 0 ? ++admin->last_ticket : admin->last_ticket;
    loop_timer_set(admin->env.loop, &conn->deadline, admin->env.loop->mono_us + ADMIN_WAIT_US);
}

static void answer_reload(struct admin_conn *conn, struct span query)
{
    (void)query;
    struct admin *admin = conn->admin;
    struct admin_facts facts = {0};
    admin->env.hooks.facts(admin->env.hooks.arg, &facts);
    admin_audit_change(conn, "reload", facts.config_path,
                       json_pack("{s:I}", "gen", (json_int_t)facts.plan->generation), NULL);
    admin_conn_wait(conn, "the reload");
    if (admin->env.hooks.reload(admin->env.hooks.arg, conn->ticket))
        return;
    conn->ticket = 0;
    admin_send_problem(conn, 503, "the parent process cannot be asked: try again");
}

static void answer_show(struct admin_conn *conn, struct span query)
{
    admin_subject_answer(conn, query, STORE_ORDER_SHOW);
}

static void answer_reset(struct admin_conn *conn, struct span query)
{
    admin_subject_answer(conn, query, STORE_ORDER_RESET);
}

static void answer_grant(struct admin_conn *conn, struct span query)
{
    admin_subject_answer(conn, query, STORE_ORDER_GRANT);
}

struct endpoint {
    const char *path; /* with a slash at its end: and what stands below it */
    enum http_method method;
    bool is_for_machines; /* the metrics port has it too: it changes nothing and needs no right */
    bool takes_body;
    void (*answer)(struct admin_conn *conn, struct span query);
};

static const struct endpoint ENDPOINTS[] = {
    {"/v1/status", HTTP_METHOD_GET, false, false, answer_status},
    {"/v1/reload", HTTP_METHOD_POST, false, false, answer_reload},
    {"/v1/upgrade", HTTP_METHOD_POST, false, false, admin_upgrade_ask},
    {"/v1/drain", HTTP_METHOD_POST, false, false, admin_drain_ask},
    {"/v1/config:diff", HTTP_METHOD_POST, false, true, admin_diff_ask},
    {"/v1/log:reopen", HTTP_METHOD_POST, false, false, admin_log_reopen},
    {"/v1/log:level", HTTP_METHOD_POST, false, false, admin_log_level},
    {"/v1/tail", HTTP_METHOD_GET, false, false, admin_tail_answer},
    {"/v1/subject", HTTP_METHOD_GET, false, false, answer_show},
    {"/v1/subject:reset", HTTP_METHOD_POST, false, false, answer_reset},
    {"/v1/subject:grant", HTTP_METHOD_POST, false, false, answer_grant},
    {"/v1/top", HTTP_METHOD_GET, false, false, admin_top_answer},
    {"/v1/errors", HTTP_METHOD_GET, false, false, admin_errors_answer},
    {"/v1/upstreams", HTTP_METHOD_GET, false, false, admin_upstreams_answer},
    {ADMIN_UPSTREAMS_PATH, HTTP_METHOD_POST, false, false, admin_upstreams_order},
    {"/v1/explain", HTTP_METHOD_POST, false, true, admin_explain_answer},
    {"/v1/live", HTTP_METHOD_GET, false, false, admin_live_answer},
    {"/dashboard", HTTP_METHOD_GET, false, false, admin_dashboard_answer},
    {"/metrics", HTTP_METHOD_GET, true, false, answer_metrics},
    {"/healthz", HTTP_METHOD_GET, true, false, answer_healthz},
    {"/readyz", HTTP_METHOD_GET, true, false, answer_readyz},
};

static bool endpoint_has(const struct endpoint *endpoint, struct span path)
{
    const struct span own = span_of(endpoint->path);
    return own.ptr[own.len - 1] == '/' ? span_starts_with(path, own) : span_eq(path, own);
}

static const struct endpoint *endpoint_of(struct span path, bool is_metrics_only)
{
    for (size_t i = 0; i < sizeof(ENDPOINTS) / sizeof(ENDPOINTS[0]); i++)
        if (endpoint_has(&ENDPOINTS[i], path) && (!is_metrics_only || ENDPOINTS[i].is_for_machines))
            return &ENDPOINTS[i];
    return NULL;
}

void admin_answer(struct admin_conn *conn, const struct http_head *head)
{
    struct http_target target;
    struct http_framing framing;
    struct http_fault fault = {0};
    unsigned method = head->method_id;
    conn->is_head = method == HTTP_METHOD_HEAD;
    if (conn->is_head)
        method = HTTP_METHOD_GET;
    if (http_target_parse(head, &target, &fault) != HTTP_PARSE_OK ||
        http_framing_request(head, &framing, &fault) != HTTP_PARSE_OK) {
        admin_send_problem(conn, http_fault_status(fault.id), http_fault_sentence(fault.id));
        return;
    }
    if (!admin_door_admits(conn, head))
        return;
    conn->path = target.path;
    const struct endpoint *endpoint = endpoint_of(target.path, conn->port->is_metrics_only);
    if (endpoint == NULL)
        admin_send_problem(conn, 404, "there is nothing at this path");
    else if (endpoint->method != method)
        send_problem(conn, 405,
                     endpoint->method == HTTP_METHOD_GET ? "Allow: GET, HEAD\r\n"
                                                         : "Allow: POST\r\n",
                     "this path does not take this method", SPAN_NONE);
    else if (framing.kind == HTTP_BODY_LENGTH && endpoint->takes_body)
        admin_body_begin(conn, head, framing.length_bytes, target.query, endpoint->answer);
    else if (framing.kind == HTTP_BODY_CHUNKED ||
             (framing.kind == HTTP_BODY_LENGTH && framing.length_bytes > 0))
        admin_send_problem(conn, 413, "this path takes no body");
    else
        endpoint->answer(conn, target.query);
}
