/* SPDX-License-Identifier: Apache-2.0 */
/* admin_explain_verdict.c - see admin_explain_verdict.h.  Quotas that are enforced are judged together, each in shadow by itself,
 * as an exchange does it. */
#include "admin/admin_explain_verdict.h"

#include <stdio.h>
#include <stdlib.h>

#include "admin/admin_explain_judge.h"
#include "config/config_json.h"
#include "exchange/exchange_end.h"
#include "reply/reply.h"

/* ---- what is told of one quota ---- */

static json_t *window_json(const struct admin_explain_finding *found, unsigned w)
{
    char name[QUOTA_WINDOW_TEXT_MAX];
    const struct quota_charge *use = found->use;
    size_t len = quota_window_text(name, &use->quota->limits[w], false);
    struct quota_standing standing = quota_window_standing(use, w);
    uint64_t reset_s = standing.end_s > found->now_s ? standing.end_s - found->now_s : 0;
    return json_pack("{s:s%, s:I, s:I, s:I, s:I, s:b}", "w", name, len, "used",
                     (json_int_t)use->readings[w].used, "limit", (json_int_t)standing.limit,
                     "remaining", (json_int_t)standing.remaining, "resets_in_s",
                     (json_int_t)reset_s, "exceeded", (int)found->charge->readings[w].refused);
}

static json_t *windows_json(const struct admin_explain_finding *found)
{
    json_t *list = json_array();
    for (unsigned w = 0; w < found->use->quota->limit_count; w++)
        config_json_append(&list, window_json(found, w));
    return list;
}

static json_t *slot_json(const struct quota_slot *slot)
{
    return json_pack("{s:I, s:I, s:b}", "used", (json_int_t)slot->used, "limit",
                     (json_int_t)slot->limit, "exceeded", (int)slot->is_refused);
}

/* Put into the row of the explanation what was found out about it. */
static void tell_row(json_t **row, const struct admin_explain_finding *found)
{
    static const char *const sources[] = {
        [QUOTA_SOURCE_STORE] = "store",
        [QUOTA_SOURCE_LEASE] = "lease",
        [QUOTA_SOURCE_LOCAL] = "local",
    };
    config_json_set(row, "verdict", json_string(found->verdict));
    if (found->charge != NULL) {
        config_json_set(row, "cost", json_integer((json_int_t)found->charge->cost));
        config_json_set(row, "source", json_string(sources[found->charge->source]));
        config_json_set(row, "held", json_integer((json_int_t)found->held));
        if (found->has_numbers)
            config_json_set(row, "windows", windows_json(found));
    }
    if (found->slot != NULL && !found->slot->is_skipped)
        config_json_set(row, "slots", slot_json(found->slot));
}

/* ---- the verdict ---- */

static void name_refuser(json_t **list, const struct quota *quota, const char *window, size_t len)
{
    json_t *text = window == NULL ? json_stringn(quota->name.ptr, quota->name.len)
                                  : json_sprintf("%.*s/%.*s", (int)quota->name.len, quota->name.ptr,
                                                 (int)len, window);
    config_json_append(list, text);
}

/* As log lines have it: "quota/window", or "quota" alone where the store was away. */
static json_t *refusers_json(const struct lease_foresight *f)
{
    const bool is_away = f->decision.verdict == QUOTA_UNAVAILABLE;
    char window[QUOTA_WINDOW_TEXT_MAX];
    json_t *list = json_array();
    for (unsigned i = 0; i < f->count; i++) {
        const struct quota_charge *charge = &f->charges[i];
        if (is_away && charge->quota->on_failure == QUOTA_FAIL_DENY)
            name_refuser(&list, charge->quota, NULL, 0);
        for (unsigned w = 0; !is_away && w < charge->quota->limit_count; w++) {
            if (charge->is_skipped || !charge->readings[w].refused)
                continue;
            size_t len = quota_window_text(window, &charge->quota->limits[w], false);
            name_refuser(&list, charge->quota, window, len);
        }
    }
    for (unsigned k = 0; k < f->slot_count; k++) {
        const struct quota_slot *slot = &f->slots[k];
        if (is_away && slot->is_degraded)
            name_refuser(&list, slot->quota, NULL, 0);
        else if (!is_away && slot->is_refused)
            name_refuser(&list, slot->quota, "in_flight", sizeof("in_flight") - 1);
    }
    return list;
}

/* The most that Retry-After says: the jitter lengthens it by chance. */
static uint32_t retry_after_most(const struct reply_headers *headers, uint32_t seconds)
{
    uint64_t most_us = headers->jitter_percent != 0
                           ? (uint64_t)seconds * headers->jitter_percent * 10000
                           : headers->jitter_us;
    return reply_retry_after(headers, seconds, most_us);
}

static void tell_retry(json_t **verdict, const struct admin_explanation *explanation,
                       const struct quota_decision *decision)
{
    const struct reply_headers *headers = &explanation->route->headers;
    uint32_t most_s = decision->retry_after_s;
    if (most_s == 0)
        return;
    if (decision->verdict == QUOTA_UNAVAILABLE)
        most_s = LEASE_UNAVAILABLE_RETRY_S;
    config_json_set(verdict, "retry_after_s", json_integer((json_int_t)decision->retry_after_s));
    config_json_set(verdict, "retry_after_max_s",
                    json_integer((json_int_t)retry_after_most(headers, most_s)));
}

/* The window that the headers of the answer would show, with the request counted. */
static json_t *binding_json(const struct lease_foresight *f)
{
    char window[QUOTA_WINDOW_TEXT_MAX];
    const struct quota_decision *decision = &f->decision;
    const struct quota *quota = f->charges[decision->charge].quota;
    if (!decision->has_binding)
        return json_null();
    size_t len = quota_window_text(window, &quota->limits[decision->window], false);
    return json_pack("{s:s%, s:s%, s:I, s:I, s:I}", "quota", quota->name.ptr, quota->name.len, "w",
                     window, len, "limit", (json_int_t)decision->limit, "remaining",
                     (json_int_t)decision->remaining, "resets_in_s", (json_int_t)decision->reset_s);
}

static void tell_end(json_t **verdict, enum exchange_end end)
{
    const struct exchange_ending *ending = exchange_ending(end);
    config_json_set(verdict, "end", json_stringn(ending->name.ptr, ending->name.len));
    config_json_set(verdict, "status",
                    json_integer(reply_error_status((enum reply_error_id)ending->error)));
}

/* The same words as in log lines. */
static const char *const DECISIONS[] = {
    [QUOTA_NONE] = "none",
    [QUOTA_ALLOW] = "allow",
    [QUOTA_REFUSE] = "refuse",
    [QUOTA_EXEMPT] = "exempt",
    [QUOTA_DEGRADED_ALLOW] = "degraded_allow",
    [QUOTA_DEGRADED_REFUSE] = "degraded_refuse",
    [QUOTA_UNAVAILABLE] = "degraded_refuse",
};

static json_t *verdict_json(const struct admin_explanation *explanation,
                            const struct admin_explain_judgement *judgement)
{
    const struct lease_foresight *f = &judgement->enforced;
    const struct quota_decision *decision = &f->decision;
    const enum quota_verdict said = decision->verdict;
    const bool is_limited = said == QUOTA_REFUSE || said == QUOTA_DEGRADED_REFUSE;
    const bool is_admitted = explanation->end == END_OK && !is_limited && said != QUOTA_UNAVAILABLE;
    json_t *json = json_pack("{s:b, s:i}", "admitted", (int)is_admitted, "consumed", 0);
    if (explanation->end != END_OK) {
        tell_end(&json, explanation->end);
        return json;
    }
    config_json_set(&json, "decision", json_string(DECISIONS[said]));
    config_json_set(&json, "refused_by", is_admitted ? json_array() : refusers_json(f));
    config_json_set(&json, "binding", binding_json(f));
    if (!is_admitted) {
        tell_end(&json, is_limited ? END_LIMITED : END_STORE_UNAVAILABLE);
        tell_retry(&json, explanation, decision);
    } else if (explanation->route->respond != NULL) {
        config_json_set(&json, "status", json_integer(explanation->route->respond->status));
    }
    return json;
}

/* ---- what may be otherwise ---- */

static json_t *notes_json(const struct admin_explanation *explanation,
                          const struct admin_explain_judgement *judgement,
                          const struct admin_explain_moment *moment)
{
    json_t *list = json_array();
    const uint32_t proxies = lease_foresee_others(moment->lease);
    if (moment->is_draining)
        config_json_append(&list, json_string("this instance is about to end, and is not ready"));
    if (judgement->is_away)
        config_json_append(&list,
                           json_string("the store has not answered: every quota's on_failure "
                                       "decides, by what this proxy has seen last"));
    if (judgement->has_leased && proxies != 0)
        config_json_append(
            &list, json_sprintf(
                       "%u proxies share the store: what others hold of a leased quota counts as "
                       "used; they are asked for it when it is refused, and then there may be room",
                       (unsigned)proxies));
    if (judgement->is_moving)
        config_json_append(&list, json_string("a lease is on its way to this proxy: a moment later "
                                              "a request may be told otherwise"));
    if (explanation->route != NULL && explanation->route->cost.header.len != 0)
        config_json_append(&list, json_sprintf("the response's %.*s may correct the cost, up to %u",
                                               (int)explanation->route->cost.header.len,
                                               explanation->route->cost.header.ptr,
                                               explanation->route->cost.max));
    return list;
}

/* ---- everything ---- */

/* The explanation as it is without a store. */
static json_t *explanation_json(const struct admin_explanation *explanation)
{
    char *text = NULL;
    size_t len = 0;
    json_t *json = NULL;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL)
        return NULL;
    admin_explain_json(out, explanation);
    bool is_whole = ferror(out) == 0;
    if (fclose(out) == 0 && is_whole)
        json = json_loadb(text, len, 0, NULL);
    free(text);
    return json;
}

json_t *admin_explain_verdict(struct admin_explanation *explanation,
                              const struct admin_explain_questions *questions,
                              const struct admin_explain_moment *moment)
{
    struct admin_explain_judgement *judgement = calloc(1, sizeof(*judgement));
    if (judgement == NULL)
        return NULL;
    admin_explain_judge(judgement, explanation, questions, moment);
    json_t *json = explanation_json(explanation);
    json_t *rows = json_object_get(json, "quotas");
    for (unsigned i = 0; json != NULL && i < judgement->count; i++) {
        json_t *row = json_incref(json_array_get(rows, i));
        tell_row(&row, &judgement->findings[i]);
        if (row == NULL) {
            json_decref(json);
            json = NULL;
        }
        json_decref(row);
    }
    config_json_set(&json, "generation", json_integer(explanation->plan->generation));
    config_json_set(&json, "store",
                    json_pack("{s:s, s:b}", "type",
                              explanation->plan->store_is_memory ? "memory" : "redis", "answers",
                              (int)!judgement->is_away));
    config_json_set(&json, "verdict", verdict_json(explanation, judgement));
    config_json_set(&json, "notes", notes_json(explanation, judgement, moment));
    free(judgement);
    return json;
}
