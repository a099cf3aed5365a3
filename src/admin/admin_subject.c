/* SPDX-License-Identifier: Apache-2.0 */
/* admin_subject.c - subjects looked at, reset and granted more.  Takes: a request's query.  Gives: what the store holds of
 * everything that the name may mean, or an order carried out and an event line that says by whom.
 *
 * An order goes two ways: the store is asked first which of the subjects it knows; if they are one and the same (under
 * however many quotas), it is carried out for each. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin_json.h"
#include "admin/admin_private.h"
#include "admin/admin_query.h"
#include "base/base_parse.h"
#include "config/config_json.h"
#include "lease/lease_operate.h"
#include "plan/plan_subject.h"

/* Owner: its connection.  Freed by: admin_job_free.  Thread: the main loop's. */
struct admin_job {
    struct admin_conn *conn;
    struct plan *plan; /* a reference: it may be replaced meanwhile */
    struct store_order order;
    bool is_ordered; /* the second way */
    struct plan_subjects subjects;
    struct lease_inquiry inquiry;
    /* A question about each subject; behind them, one about the tier of each live member. */
    struct lease_question questions[2 * PLAN_SUBJECTS_MAX];
    unsigned tier_of[PLAN_SUBJECTS_MAX]; /* index of its question; 0: none */
};

_Static_assert(2 * PLAN_SUBJECTS_MAX <= LEASE_QUESTIONS_MAX, "one inquiry is enough");

static const char *const ORDER_NAMES[] = {
    [STORE_ORDER_SHOW] = "show",
    [STORE_ORDER_RESET] = "reset",
    [STORE_ORDER_GRANT] = "grant",
};

void admin_job_free(struct admin_job *job)
{
    if (job == NULL)
        return;
    lease_inquiry_cancel(&job->inquiry);
    plan_subjects_fini(&job->subjects);
    plan_unref(&job->plan);
    free(job);
}

/* ---- what is told ---- */

static const struct quota_tier *tier_of(const struct admin_job *job, unsigned i)
{
    const struct plan_subject *subject = &job->subjects.list[i];
    const struct lease_question *live = &job->questions[job->tier_of[i]];
    const struct quota_tier *named = NULL;
    if (job->tier_of[i] != 0 && live->told == LEASE_TOLD_FOUND)
        named = quota_tiers_named(subject->quota->tiers, span_of(live->text));
    return named != NULL ? named : subject->tier;
}

static json_t *window_json(const struct quota_charge *charge, unsigned w, uint64_t now_s)
{
    char name[QUOTA_WINDOW_TEXT_MAX];
    size_t len = quota_window_text(name, &charge->quota->limits[w], false);
    struct quota_standing standing = quota_window_standing(charge, w);
    uint64_t reset_s = standing.end_s > now_s ? standing.end_s - now_s : 0;
    return json_pack("{s:s%, s:I, s:I, s:I, s:I}", "w", name, len, "used",
                     (json_int_t)charge->readings[w].used, "limit", (json_int_t)standing.limit,
                     "remaining", (json_int_t)standing.remaining, "resets_in_s",
                     (json_int_t)reset_s);
}

static json_t *windows_json(const struct quota *quota, const struct store_subject *stored)
{
    struct quota_charge charge = {.quota = quota};
    json_t *list = json_array();
    store_subject_read(stored, &charge);
    for (unsigned w = 0; w < quota->limit_count; w++)
        config_json_append(&list, window_json(&charge, w, stored->now_us / 1000000));
    return list;
}

static json_t *grant_json(const struct store_subject *stored)
{
    uint32_t extra = store_subject_extra(stored);
    if (extra == 0)
        return json_null();
    return json_pack("{s:I, s:I}", "extra", (json_int_t)extra, "expires_in_s",
                     (json_int_t)(stored->expires_s - stored->now_us / 1000000));
}

/* Whose it is, without what the store says. */
static json_t *name_json(const struct plan_subject *subject)
{
    json_t *json = json_object();
    config_json_set(&json, "subject", admin_json_text(subject->shown));
    config_json_set(&json, "identity", admin_json_text(subject->identity->name));
    config_json_set(&json, "source", admin_json_text(subject->source));
    config_json_set(&json, "quota", admin_json_text(subject->quota->name));
    return json;
}

/* With what the store says, and after an order how it was before. */
static json_t *row_json(const struct admin_job *job, unsigned i)
{
    const struct plan_subject *subject = &job->subjects.list[i];
    const struct quota_tier *tier = tier_of(job, i);
    const struct quota *quota = tier != NULL ? tier->quota : subject->quota;
    struct store_subject stored = job->questions[i].subject;
    json_t *json = name_json(subject), *was = NULL;
    if (job->is_ordered) {
        was = quota == NULL ? json_array() : windows_json(quota, &stored);
        store_subject_apply(&stored, &job->order);
    }
    config_json_set(&json, "store", json_string(job->plan->store_is_memory ? "memory" : "redis"));
    config_json_set(&json, "tier", tier == NULL ? json_null() : admin_json_text(tier->name));
    config_json_set(&json, "unlimited", json_boolean(quota == NULL));
    config_json_set(&json, "generation", json_integer((json_int_t)stored.generation));
    config_json_set(&json, "grant", grant_json(&stored));
    config_json_set(&json, "held", json_integer((json_int_t)job->questions[i].held));
    config_json_set(&json, "windows", quota == NULL ? json_array() : windows_json(quota, &stored));
    if (job->is_ordered)
        config_json_set(&json, "was", was);
    if (job->questions[i].is_proven || job->questions[i].is_short)
        config_json_set(&json, "durable", json_boolean(job->questions[i].is_proven));
    return json;
}

static bool is_known(const struct admin_job *job, unsigned i)
{
    return job->questions[i].told == LEASE_TOLD_FOUND;
}

static json_t *rows_json(const struct admin_job *job)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < job->subjects.count; i++) {
        if (is_known(job, i))
            config_json_append(&list, row_json(job, i));
    }
    return list;
}

static void log_order(const struct admin_job *job, unsigned i)
{
    const struct admin_peer peer = admin_peer_of(job->conn);
    json_t *json = json_pack("{s:s}", "event", ORDER_NAMES[job->order.verb]);
    json_t *row = row_json(job, i);
    static const char *const members[] = {"subject", "identity", "quota", "generation", "was"};
    for (size_t k = 0; k < sizeof(members) / sizeof(members[0]); k++)
        config_json_set(&json, members[k], json_incref(json_object_get(row, members[k])));
    if (json_object_get(row, "durable") != NULL)
        config_json_set(&json, "durable", json_incref(json_object_get(row, "durable")));
    if (job->order.verb == STORE_ORDER_GRANT) {
        config_json_set(&json, "extra", json_integer((json_int_t)job->order.extra));
        config_json_set(&json, "for_s", json_integer((json_int_t)job->order.for_s));
    }
    config_json_set(&json, "by", json_integer(peer.uid));
    config_json_set(&json, "pid", json_integer(peer.pid));
    char *text = config_json_text(json, JSON_COMPACT);
    if (text != NULL) {
        text[strlen(text) - 1] = '\0'; /* the inside of the object */
        loop_log_event(job->conn->admin->env.log, text + 1);
    }
    free(text);
    json_decref(json);
    json_decref(row);
}

/* ---- the two ways ---- */

static void job_say(struct admin_job *job, unsigned status, json_t *json)
{
    struct admin_conn *conn = job->conn;
    conn->job = NULL;
    admin_send_json(conn, status, json);
    admin_job_free(job);
}

static void job_fail(struct admin_job *job, unsigned status, const char *detail)
{
    struct admin_conn *conn = job->conn;
    char text[LEASE_TOLD_TEXT + 64];
    snprintf(text, sizeof(text), "%s", detail); /* it may be the job's */
    conn->job = NULL;
    admin_job_free(job);
    admin_send_problem(conn, status, text);
}

static const char *find_fault(const struct admin_job *job)
{
    for (unsigned i = 0; i < job->subjects.count; i++) {
        if (job->questions[i].told == LEASE_TOLD_FAULT)
            return job->questions[i].text;
        if (job->questions[i].told == LEASE_TOLD_AWAY)
            return "the store does not answer; what was asked may or may not have been done";
    }
    return NULL;
}

/* Keep those that the store knows.  How many different subjects they are (2: or more). */
static unsigned keep_known(struct admin_job *job)
{
    unsigned different = 0, kept = 0;
    for (unsigned i = 0; i < job->subjects.count; i++) {
        struct plan_subject *list = job->subjects.list;
        if (!is_known(job, i))
            continue;
        bool is_same = kept != 0 && memcmp(list[i].mac, list[0].mac, sizeof(list[i].mac)) == 0;
        different += !is_same;
        list[kept] = list[i];
        job->questions[kept] = job->questions[i];
        job->tier_of[kept++] = job->tier_of[i];
    }
    job->subjects.count = kept;
    return different;
}

static bool job_order(struct admin_job *job)
{
    job->is_ordered = true;
    for (unsigned i = 0; i < job->subjects.count; i++)
        job->questions[i].order = job->order;
    job->inquiry.count = job->subjects.count;
    return lease_inquire(job->conn->admin->orders, &job->inquiry);
}

static void job_ordered(struct admin_job *job)
{
    const char *fault = find_fault(job);
    for (unsigned i = 0; i < job->subjects.count; i++) {
        if (is_known(job, i))
            log_order(job, i);
    }
    if (fault != NULL)
        job_fail(job, 503, fault);
    else
        job_say(job, 200,
                json_pack("{s:s, s:o}", "done", ORDER_NAMES[job->order.verb], "subjects",
                          rows_json(job)));
}

/* False: it waits. */
static bool job_looked(struct admin_job *job)
{
    const char *fault = find_fault(job);
    if (fault != NULL) {
        job_fail(job, 503, fault);
        return true;
    }
    unsigned different = keep_known(job);
    if (different == 0) {
        job_fail(job, 404, "nothing is counted for such a subject");
    } else if (job->order.verb == STORE_ORDER_SHOW) {
        job_say(job, 200, json_pack("{s:o}", "subjects", rows_json(job)));
    } else if (different > 1) {
        job_say(job, 409,
                json_pack("{s:s, s:s, s:i, s:s, s:o}", "type", "about:blank", "title", "Conflict",
                          "status", 409, "detail",
                          "the name means several subjects: write IDENTITY:NAME or SOURCE:NAME",
                          "subjects", rows_json(job)));
    } else {
        if (!job_order(job))
            return false;
        job_ordered(job);
    }
    return true;
}

static void job_done(struct lease_inquiry *inquiry)
{
    struct admin_job *job =
        (struct admin_job *)((char *)inquiry - offsetof(struct admin_job, inquiry));
    struct admin_conn *conn = job->conn;
    if (job->is_ordered)
        job_ordered(job);
    else if (!job_looked(job))
        return;
    admin_conn_go(conn);
}

/* ---- the request ---- */

static void make_questions(struct admin_job *job)
{
    unsigned count = job->subjects.count;
    for (unsigned i = 0; i < job->subjects.count; i++) {
        const struct plan_subject *subject = &job->subjects.list[i];
        memcpy(job->questions[i].key, subject->key, sizeof(subject->key));
        if (subject->member.len == 0)
            continue;
        job->tier_of[i] = count;
        job->questions[count++] = (struct lease_question){
            .kind = LEASE_ASK_TIER, .quota = subject->quota, .member = subject->member};
    }
    job->inquiry.count = count;
    job->inquiry.questions = job->questions;
    job->inquiry.done = job_done;
}

/* NULL, or what is wrong with the query. */
static const char *read_order(struct span query, struct store_order *order)
{
    char text[ADMIN_QUERY_VALUE_MAX];
    size_t len;
    uint64_t extra, for_us = 0;
    if (order->verb != STORE_ORDER_GRANT)
        return NULL;
    if (!admin_query_find(query, "extra", text, &len) ||
        !parse_u64((struct span){text, len}, &extra) || extra > INT32_MAX)
        return "\"extra\" must be a number from 0 to 2147483647";
    if (!admin_query_duration(query, "for", 1000000, STORE_GRANT_S_MAX * UINT64_C(1000000),
                              &for_us) ||
        for_us == 0 || for_us % 1000000 != 0)
        return "\"for\" must be a time of whole seconds such as 2h, from 1s to 8784h";
    order->extra = (uint32_t)extra;
    order->for_s = (uint32_t)(for_us / 1000000);
    return NULL;
}

/* NULL, or what is wrong. */
static const char *job_begin(struct admin_job *job, struct span query)
{
    char name[ADMIN_QUERY_VALUE_MAX], quota[ADMIN_QUERY_VALUE_MAX];
    size_t name_len, quota_len;
    if (!admin_query_find(query, "name", name, &name_len) || name_len == 0)
        return "\"name\" must name a subject, once";
    if (!admin_query_find(query, "quota", quota, &quota_len))
        return "\"quota\" must name a quota, once";
    const char *fault = read_order(query, &job->order);
    if (fault == NULL)
        fault = plan_subjects_find(&job->subjects, job->plan, (struct span){name, name_len},
                                   (struct span){quota, quota_len});
    return fault;
}

void admin_subject_answer(struct admin_conn *conn, struct span query, enum store_order_verb verb)
{
    struct admin *admin = conn->admin;
    struct admin_job *job = calloc(1, sizeof(*job));
    struct admin_facts facts = {0};
    if (job == NULL) {
        admin_send_problem(conn, 500, "out of memory");
        return;
    }
    admin->env.hooks.facts(admin->env.hooks.arg, &facts);
    job->conn = conn;
    job->plan = plan_ref(facts.plan);
    job->order.verb = verb;
    conn->job = job;
    const char *fault = job_begin(job, query);
    if (fault != NULL) {
        job_fail(job, 400, fault);
        return;
    }
    make_questions(job);
    /* Only this changes something; whoever only looks is not in the log. */
    if (verb != STORE_ORDER_SHOW)
        admin_audit(conn, ORDER_NAMES[verb]);
    bool is_done = lease_inquire(admin->orders, &job->inquiry) && job_looked(job);
    if (!is_done)
        conn->state = ADMIN_CONN_WAITING;
}
