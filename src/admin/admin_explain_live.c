/* SPDX-License-Identifier: Apache-2.0 */
/* admin_explain_live.c - what a request would be answered at this moment.  Takes: a description of the request as JSON.
 * Gives: the explanation of the configuration in force, with what is used and a verdict.  Never: counts anything, makes a
 * subject known, logs what was asked.
 *
 * The store is asked twice at most: for the project of the request's token, where its route counts by that, then for all
 * tiers and counts at once.  When it does not answer in time, what this process knows decides, as it would for the request. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin_explain.h"
#include "admin/admin_explain_verdict.h"
#include "admin/admin_private.h"
#include "base/base_clock.h"
#include "identity/identity_token.h"

#define PATIENCE_US 3000000 /* with the store; far beyond any decision timeout */

enum stage {
    STAGE_PROJECT,
    STAGE_COUNTS,
};

/* Owner: its connection.  Freed by: admin_explain_job_free.  Thread: the main loop's. */
struct admin_explain_job {
    struct admin_conn *conn;
    struct plan *plan; /* a reference: it may be replaced meanwhile */
    bool is_draining;
    const struct plan_listener *listener;
    struct ip peer;
    enum stage stage;
    bool has_explained;
    struct admin_explain_request request;
    struct admin_explain_facts facts;
    struct admin_explanation explanation;
    struct lease_inquiry inquiry;
    struct lease_question project;
    struct admin_explain_questions asked;
};

void admin_explain_job_free(struct admin_explain_job *job)
{
    if (job == NULL)
        return;
    lease_inquiry_cancel(&job->inquiry);
    if (job->has_explained)
        admin_explain_fini(&job->explanation);
    if (job->request.text != NULL)
        explicit_bzero(job->request.text, strlen(job->request.text));
    admin_explain_request_fini(&job->request);
    plan_unref(&job->plan);
    free(job);
}

/* ---- ends ---- */

static void job_fail(struct admin_explain_job *job, unsigned status, const char *detail)
{
    struct admin_conn *conn = job->conn;
    conn->explain = NULL;
    admin_send_problem(conn, status, detail);
    admin_explain_job_free(job);
}

/* Everything that can be known is. */
static void job_tell(struct admin_explain_job *job)
{
    struct admin_conn *conn = job->conn;
    const struct admin_explain_moment moment = {
        .lease = conn->admin->env.lease,
        .loop = conn->admin->env.loop,
        .is_draining = job->is_draining,
    };
    json_t *json = admin_explain_verdict(&job->explanation, &job->asked, &moment);
    conn->explain = NULL;
    if (json == NULL)
        admin_send_problem(conn, 500, "out of memory");
    else
        admin_send_json(conn, 200, json);
    admin_explain_job_free(job);
}

/* ---- the way there ---- */

/* False: it has failed. */
static bool job_explain(struct admin_explain_job *job)
{
    if (job->has_explained)
        admin_explain_fini(&job->explanation);
    job->has_explained = true;
    if (admin_explain(&job->explanation, job->plan, job->listener, &job->request, &job->peer,
                      &job->facts))
        return true;
    job_fail(job, 500, "out of memory");
    return false;
}

/* The request's token, if its project matters. */
static struct span token_of(const struct admin_explain_job *job)
{
    const struct plan_route *route = job->explanation.route;
    const struct http_head *head = &job->request.head;
    if (route == NULL || !route->looks_up_project)
        return SPAN_NONE;
    const struct http_field *field =
        http_head_only(head, HTTP_FIELD_X_AUTH_TOKEN, SPAN("x-auth-token"));
    return field == NULL ? SPAN_NONE : http_field_value(head, field);
}

/* True: it is answered. */
static bool job_ask(struct admin_explain_job *job, struct lease_question *questions, unsigned count)
{
    job->inquiry.questions = questions;
    job->inquiry.count = count;
    return count == 0 || lease_inquire(job->conn->admin->orders, &job->inquiry);
}

static bool job_count(struct admin_explain_job *job)
{
    job->stage = STAGE_COUNTS;
    admin_explain_ask(&job->explanation, &job->asked);
    if (!job_ask(job, job->asked.list, job->asked.count))
        return false;
    job_tell(job);
    return true;
}

/* The project is there, or there is none. */
static bool job_take_project(struct admin_explain_job *job)
{
    if (job->project.told == LEASE_TOLD_FOUND)
        job->facts.project = span_of(job->project.text);
    return !job_explain(job) || job_count(job);
}

static bool job_begin(struct admin_explain_job *job)
{
    struct span token;
    if (!job_explain(job))
        return true;
    token = token_of(job);
    if (token.len == 0)
        return job_count(job);
    job->stage = STAGE_PROJECT;
    job->project = (struct lease_question){.kind = LEASE_ASK_PROJECT, .as_request = true};
    if (identity_token_mac(NULL, job->plan->secret, token, job->project.key) != ERR_OK) {
        job_fail(job, 500, "out of memory");
        return true;
    }
    return job_ask(job, &job->project, 1) && job_take_project(job);
}

static void job_done(struct lease_inquiry *inquiry)
{
    struct admin_explain_job *job =
        (struct admin_explain_job *)(void *)((char *)inquiry -
                                             offsetof(struct admin_explain_job, inquiry));
    struct admin_conn *conn = job->conn;
    bool is_answered = true;
    if (job->stage == STAGE_PROJECT)
        is_answered = job_take_project(job);
    else
        job_tell(job);
    if (is_answered)
        admin_conn_go(conn);
}

void admin_explain_give_up(struct admin_explain_job *job)
{
    struct admin_conn *conn = job->conn;
    lease_inquiry_cancel(&job->inquiry);
    if (job->stage == STAGE_PROJECT) { /* what is remembered of it, and nothing else */
        if (job->project.told == LEASE_TOLD_FOUND)
            job->facts.project = span_of(job->project.text);
        if (!job_explain(job)) {
            admin_conn_go(conn);
            return;
        }
        admin_explain_ask(&job->explanation, &job->asked);
    }
    job_tell(job);
    admin_conn_go(conn);
}

/* ---- the question ---- */

/* A member's text; *why says what is wrong with it. */
static const char *text_member(const json_t *body, const char *name, const char *fallback,
                               const char **why)
{
    static const struct {
        const char *name, *fault;
    } faults[] = {
        {"method", "\"method\" must be a string, such as \"GET\""},
        {"url", "\"url\" must be a string: http://HOST/PATH or /PATH"},
        {"ip", "\"ip\" must be a string: the address that the connection comes from"},
        {"listener", "\"listener\" must be a string: the name of one"},
    };
    const json_t *json = json_object_get(body, name);
    const char *text = json == NULL ? fallback : json_string_value(json);
    for (size_t i = 0; text == NULL && *why == NULL && i < sizeof(faults) / sizeof(faults[0]); i++)
        if (strcmp(name, faults[i].name) == 0)
            *why = faults[i].fault;
    return text;
}

/* NULL, or what is wrong with the members' names. */
static const char *check_names(json_t *body, char why[ADMIN_EXPLAIN_WHY])
{
    static const char *const names[] = {"method", "url", "headers", "ip", "listener"};
    const char *key;
    json_t *value;
    json_object_foreach(body, key, value)
    {
        size_t i = 0;
        while (i < sizeof(names) / sizeof(names[0]) && strcmp(key, names[i]) != 0)
            i++;
        if (i < sizeof(names) / sizeof(names[0]))
            continue;
        snprintf(why, ADMIN_EXPLAIN_WHY,
                 "there is no member \"%.60s\": method, url, headers, ip and listener are", key);
        return why;
    }
    return NULL;
}

static const char *take_headers(const json_t *body, const char *headers[ADMIN_EXPLAIN_HEADERS],
                                unsigned *count)
{
    const json_t *list = json_object_get(body, "headers"), *one;
    size_t i;
    *count = 0;
    if (list == NULL)
        return NULL;
    if (!json_is_array(list))
        return "\"headers\" must be a list of strings: \"Name: value\"";
    if (json_array_size(list) > ADMIN_EXPLAIN_HEADERS)
        return "\"headers\" has more than 100 of them";
    json_array_foreach(list, i, one)
    {
        if (!json_is_string(one))
            return "\"headers\" must be a list of strings: \"Name: value\"";
        headers[(*count)++] = json_string_value(one);
    }
    return NULL;
}

static const struct plan_listener *find_listener(const struct plan *plan, const char *name)
{
    for (unsigned i = 0; i < plan->listener_count; i++) {
        if (name[0] == '\0' || span_eq(plan->listeners[i].name, span_of(name)))
            return &plan->listeners[i];
    }
    return NULL;
}

/* NULL, or what is wrong. */
static const char *job_read(struct admin_explain_job *job, json_t *body,
                            char why[ADMIN_EXPLAIN_WHY])
{
    const char *headers[ADMIN_EXPLAIN_HEADERS], *fault = check_names(body, why);
    struct admin_explain_words words = {.headers = headers};
    if (fault == NULL)
        fault = take_headers(body, headers, &words.header_count);
    words.method = text_member(body, "method", NULL, &fault);
    words.url = text_member(body, "url", NULL, &fault);
    const char *ip = text_member(body, "ip", "127.0.0.1", &fault);
    const char *listener = text_member(body, "listener", "", &fault);
    if (fault != NULL)
        return fault;
    job->listener = find_listener(job->plan, listener);
    if (job->listener == NULL) {
        snprintf(why, ADMIN_EXPLAIN_WHY, "no listener has the name \"%.100s\"", listener);
        return why;
    }
    if (!ip_parse(&job->peer, span_of(ip))) {
        snprintf(why, ADMIN_EXPLAIN_WHY, "\"%.100s\" is not an address", ip);
        return why;
    }
    bool is_made = admin_explain_request_make(&job->request, &words, &job->plan->limits.head, why);
    return is_made ? NULL : why;
}

static const char *job_parse(struct admin_explain_job *job, const struct admin_conn *conn,
                             char why[ADMIN_EXPLAIN_WHY])
{
    json_error_t error;
    if (conn->body.bytes == NULL)
        return "a body is needed: {\"method\": ..., \"url\": ...}";
    json_t *body = json_loadb(conn->body.bytes, conn->body.len, JSON_REJECT_DUPLICATES, &error);
    const char *fault = NULL;
    if (body == NULL) {
        snprintf(why, ADMIN_EXPLAIN_WHY, "the body is no JSON: line %d, column %d: %.120s",
                 error.line, error.column, error.text);
        fault = why;
    } else if (!json_is_object(body)) {
        fault = "the body must be an object: {\"method\": ..., \"url\": ...}";
    } else {
        fault = job_read(job, body, why);
    }
    json_decref(body);
    return fault;
}

void admin_explain_answer(struct admin_conn *conn, struct span query)
{
    struct admin *admin = conn->admin;
    struct admin_explain_job *job = calloc(1, sizeof(*job));
    struct admin_facts facts = {0};
    char why[ADMIN_EXPLAIN_WHY];
    (void)query;
    if (job == NULL) {
        admin_send_problem(conn, 500, "out of memory");
        return;
    }
    admin->env.hooks.facts(admin->env.hooks.arg, &facts);
    job->conn = conn;
    job->plan = plan_ref(facts.plan);
    job->is_draining = facts.is_draining;
    job->facts.verified = admin->env.verified;
    job->facts.mono_us = clock_mono_us();
    job->inquiry.done = job_done;
    conn->explain = job;
    const char *fault = job_parse(job, conn, why);
    if (fault != NULL) {
        job_fail(job, 400, fault);
        return;
    }
    if (job_begin(job))
        return;
    conn->state = ADMIN_CONN_WAITING;
    loop_timer_set(admin->env.loop, &conn->deadline, admin->env.loop->mono_us + PATIENCE_US);
}
