/* SPDX-License-Identifier: Apache-2.0 */
/* admin_top.c - who takes most of each quota.  Takes: the tables of all workers, looked at on their threads.  Gives: JSON, per
 * quota the subjects that were admitted or refused most.  See metrics_top.h for what the numbers promise. */
#include <stdlib.h>
#include <string.h>

#include "admin/admin_json.h"
#include "admin/admin_private.h"
#include "admin/admin_query.h"
#include "base/base_clock.h"
#include "base/base_parse.h"
#include "config/config_json.h"
#include "exchange/exchange_env.h"
#include "identity/identity_source.h"
#include "worker/worker.h"

#define TOP_LIMIT_DEFAULT 10
#define TOP_LIMIT_MAX     METRICS_TOP_KEYS

/* One quota, from all workers.  Owner: struct looked. */
struct tops {
    metrics_slot slot;
    uint64_t seen, since_us; /* of the oldest pane; 0: nothing was seen */
    uint64_t floor;          /* at most so many decisions of a subject that is not listed */
    size_t count, size;
    struct metrics_top_row *rows;
    uint32_t *floors; /* of the pane that each row is from */
    bool is_short;    /* of memory */
};

static bool tops_grow(struct tops *tops, size_t more)
{
    struct metrics_top_row *rows = realloc(tops->rows, (tops->count + more) * sizeof(*rows));
    if (rows != NULL)
        tops->rows = rows;
    uint32_t *floors = realloc(tops->floors, (tops->count + more) * sizeof(*floors));
    if (floors != NULL)
        tops->floors = floors;
    return rows != NULL && floors != NULL;
}

static void tops_take(struct tops *tops, const struct metrics_top_pane *pane)
{
    const uint32_t floor = metrics_top_floor(pane);
    if (pane->count == 0)
        return;
    if (!tops_grow(tops, pane->count)) {
        tops->is_short = true;
        return;
    }
    if (tops->since_us == 0 || pane->began_us < tops->since_us)
        tops->since_us = pane->began_us;
    memcpy(tops->rows + tops->count, pane->rows, pane->count * sizeof(*pane->rows));
    for (unsigned i = 0; i < pane->count; i++)
        tops->floors[tops->count++] = floor;
    tops->seen += pane->seen;
    tops->floor += floor;
}

/* The quotas that were asked for, and what all workers have of them.  Owner: admin_top_quotas. */
struct looked {
    unsigned count;
    const struct quota **quotas;
    struct tops *tops; /* likewise */
};

static void looked_fini(struct looked *looked)
{
    for (unsigned i = 0; looked->tops != NULL && i < looked->count; i++) {
        free(looked->tops[i].rows);
        free(looked->tops[i].floors);
    }
    free(looked->tops);
    free(looked->quotas);
}

/* On the worker's thread. */
static void looked_take(const struct exchange_env *exchanges, void *arg)
{
    const struct looked *looked = arg;
    for (unsigned k = 0; k < looked->count; k++) {
        struct tops *tops = &looked->tops[k];
        struct metrics_top *top = exchange_top_of(exchanges->top, tops->slot);
        if (top == NULL)
            continue;
        metrics_top_turn(top, exchanges->loop->mono_us);
        for (unsigned i = 0; i < METRICS_TOP_PANES; i++)
            tops_take(tops, &top->panes[i]);
    }
}

/* Every worker is asked once, whatever there is to tell.  False: no memory. */
static bool looked_init(struct looked *looked, const struct admin_facts *facts, struct span only)
{
    const struct plan *plan = facts->plan;
    looked->count = 0;
    looked->quotas = malloc((plan->quota_count + 1) * sizeof(*looked->quotas));
    looked->tops = calloc(plan->quota_count + 1, sizeof(*looked->tops));
    if (looked->quotas == NULL || looked->tops == NULL)
        return false;
    for (unsigned i = 0; i < plan->quota_count; i++) {
        if (only.len != 0 && !span_eq(only, plan->quotas[i].name))
            continue;
        looked->tops[looked->count].slot = plan->quotas[i].slot_allow;
        looked->quotas[looked->count++] = &plan->quotas[i];
    }
    for (unsigned i = 0; looked->count != 0 && i < facts->workers; i++) {
        if (worker_look(facts->worker_list[i], looked_take, looked) != ERR_OK)
            return false;
    }
    return true;
}

/* ---- adding up ---- */

/* A subject in several panes.  What may be missing: of each pane that has it, what is said there; of each other, its floor. */
struct top_sum {
    const struct metrics_top_row *row;
    uint64_t admitted, refused, missing;
};

static int by_key(const void *a, const void *b)
{
    const struct metrics_top_row *const *x = a, *const *y = b;
    return memcmp((*x)->key, (*y)->key, METRICS_TOP_KEY_BYTES);
}

static int by_refused(const void *a, const void *b)
{
    const struct top_sum *x = a, *y = b;
    if (x->refused != y->refused)
        return x->refused < y->refused ? 1 : -1;
    return x->admitted != y->admitted ? (x->admitted < y->admitted ? 1 : -1)
                                      : memcmp(x->row->key, y->row->key, METRICS_TOP_KEY_BYTES);
}

static int by_admitted(const void *a, const void *b)
{
    const struct top_sum *x = a, *y = b;
    if (x->admitted != y->admitted)
        return x->admitted < y->admitted ? 1 : -1;
    return x->refused != y->refused ? (x->refused < y->refused ? 1 : -1)
                                    : memcmp(x->row->key, y->row->key, METRICS_TOP_KEY_BYTES);
}

/* Malloc'ed, *count of them, unordered; NULL: no memory. */
static struct top_sum *tops_add_up(const struct tops *tops, size_t *count)
{
    const struct metrics_top_row **order =
        malloc((tops->count + 1) * sizeof(struct metrics_top_row *));
    struct top_sum *sums = malloc((tops->count + 1) * sizeof(*sums));
    *count = 0;
    for (size_t i = 0; order != NULL && i < tops->count; i++)
        order[i] = &tops->rows[i];
    if (order != NULL && sums != NULL && tops->count != 0)
        qsort(order, tops->count, sizeof(struct metrics_top_row *), by_key);
    for (size_t i = 0; order != NULL && sums != NULL && i < tops->count; i++) {
        const struct metrics_top_row *row = order[i];
        if (i == 0 || memcmp(row->key, order[i - 1]->key, METRICS_TOP_KEY_BYTES) != 0)
            sums[(*count)++] = (struct top_sum){.row = row, .missing = tops->floor};
        struct top_sum *sum = &sums[*count - 1];
        sum->admitted += row->admitted;
        sum->refused += row->refused;
        sum->missing += row->missing;
        sum->missing -= tops->floors[row - tops->rows];
    }
    free(order);
    return sums;
}

/* ---- telling ---- */

static json_t *subject_json(const struct top_sum *sum, const struct quota *quota, uint64_t seen)
{
    const struct metrics_top_row *row = sum->row;
    json_t *json = json_object();
    const struct span kind = identity_source_spelling((enum identity_kind)row->tag);
    config_json_set(&json, "subject", admin_json_text((struct span){row->text, row->text_len}));
    if (row->is_cut)
        config_json_set(&json, "cut", json_true());
    if (quota->key_count == 1)
        config_json_set(&json, "kind", admin_json_text(kind));
    config_json_set(&json, "admitted", admin_json_number(sum->admitted));
    config_json_set(&json, "refused", admin_json_number(sum->refused));
    config_json_set(&json, "missing_at_most", admin_json_number(sum->missing));
    config_json_set(
        &json, "share",
        json_real(seen == 0 ? 0 : (double)(sum->admitted + sum->refused) / (double)seen));
    return json;
}

static json_t *identities_json(const struct plan *plan, const struct quota *quota)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < quota->key_count; i++) {
        const struct span name = plan->identities[quota->key[i]].name;
        config_json_append(&list, admin_json_text(name));
    }
    return list;
}

/* The first of them; who has none of what is asked for is not listed. */
static json_t *subjects_json(struct top_sum *sums, size_t count, const struct quota *quota,
                             uint64_t seen, bool is_refused, uint64_t limit)
{
    json_t *list = json_array();
    qsort(sums, count, sizeof(*sums), is_refused ? by_refused : by_admitted);
    for (size_t i = 0; i < count && i < limit; i++) {
        if ((is_refused ? sums[i].refused : sums[i].admitted) == 0)
            break;
        config_json_append(&list, subject_json(&sums[i], quota, seen));
    }
    return list;
}

static json_t *tops_json(const struct admin_facts *facts, const struct quota *quota,
                         const struct admin_top_query *query, const struct tops *tops)
{
    size_t count;
    struct top_sum *sums = tops->is_short ? NULL : tops_add_up(tops, &count);
    if (sums == NULL)
        return NULL;
    json_t *list = subjects_json(sums, count, quota, tops->seen, query->by_refused, query->limit);
    json_t *others = query->has_both ? subjects_json(sums, count, quota, tops->seen,
                                                     !query->by_refused, query->limit)
                                     : NULL;
    free(sums);
    const uint64_t now_us = clock_mono_us();
    json_t *json = json_object();
    config_json_set(&json, "quota", admin_json_text(quota->name));
    config_json_set(&json, "identities", identities_json(facts->plan, quota));
    config_json_set(&json, "shadow", json_boolean(quota->mode == QUOTA_SHADOW));
    config_json_set(&json, "over_s",
                    json_integer(tops->since_us == 0 || now_us < tops->since_us
                                     ? 0
                                     : (json_int_t)((now_us - tops->since_us) / 1000000)));
    config_json_set(&json, "decisions", json_integer((json_int_t)tops->seen));
    config_json_set(&json, "unlisted_at_most", json_integer((json_int_t)tops->floor));
    config_json_set(&json, "subjects", list);
    if (query->has_both)
        config_json_set(&json, query->by_refused ? "used" : "refused", others);
    return json;
}

json_t *admin_top_quotas(const struct admin_facts *facts, const struct admin_top_query *query)
{
    struct looked looked;
    const struct span only = {query->quota, query->quota_len};
    json_t *list = NULL;
    if (looked_init(&looked, facts, only)) {
        list = json_array();
        for (unsigned i = 0; i < looked.count; i++)
            config_json_append(&list, tops_json(facts, looked.quotas[i], query, &looked.tops[i]));
    }
    looked_fini(&looked);
    return list;
}

/* NULL, or what is wrong. */
static const char *read_query(struct span query, struct admin_top_query *out)
{
    char text[ADMIN_QUERY_VALUE_MAX];
    size_t len;
    out->by_refused = out->has_both = false;
    out->limit = TOP_LIMIT_DEFAULT;
    if (!admin_query_find(query, "quota", out->quota, &out->quota_len))
        return "\"quota\" must name a quota, once";
    if (!admin_query_find(query, "by", text, &len) ||
        (len != 0 && strcmp(text, "used") != 0 && strcmp(text, "refused") != 0))
        return "\"by\" must be used or refused";
    out->by_refused = strcmp(text, "refused") == 0;
    if (!admin_query_find(query, "limit", text, &len) ||
        (len != 0 && (!parse_u64((struct span){text, len}, &out->limit) || out->limit == 0 ||
                      out->limit > TOP_LIMIT_MAX)))
        return "\"limit\" must be a number from 1 to 256";
    return NULL;
}

void admin_top_answer(struct admin_conn *conn, struct span query)
{
    struct admin_top_query asked;
    struct admin_facts facts = {0};
    const char *fault = read_query(query, &asked);
    if (fault != NULL) {
        admin_send_problem(conn, 400, fault);
        return;
    }
    conn->admin->env.hooks.facts(conn->admin->env.hooks.arg, &facts);
    json_t *list = admin_top_quotas(&facts, &asked);
    if (asked.quota_len != 0 && list != NULL && json_array_size(list) == 0) {
        json_decref(list);
        admin_send_problem(conn, 404, "there is no quota of this name");
        return;
    }
    json_t *json = json_object();
    config_json_set(&json, "by", json_string(asked.by_refused ? "refused" : "used"));
    config_json_set(&json, "quotas", list);
    admin_send_json(conn, 200, json);
}
