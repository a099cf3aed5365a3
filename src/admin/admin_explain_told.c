/* SPDX-License-Identifier: Apache-2.0 */
/* admin_explain_told.c - see admin_explain_told.h.  Never: prints a control character of a client's text. */
#include "admin/admin_explain_told.h"

#include <string.h>

#include "admin/admin_explain.h"
#include "admin/admin_words.h"
#include "config/config_json.h"

#define NUMBER "%" JSON_INTEGER_FORMAT

static void put(FILE *out, const json_t *json, const char *key)
{
    admin_explain_put_escaped(out, span_of(admin_words_text(json, key)));
}

static json_int_t number(const json_t *json, const char *key)
{
    return admin_words_number(json, key);
}

static bool has_text(const json_t *json, const char *key)
{
    return json_is_string(json_object_get(json, key));
}

static void put_route(FILE *out, const json_t *json)
{
    if (!has_text(json, "route"))
        return;
    fputs("route       ", out);
    put(out, json, "route");
    if (has_text(json, "upstream")) {
        fputs(" -> upstream ", out);
        put(out, json, "upstream");
    } else {
        fprintf(out, " -> answered here with " NUMBER, number(json, "respond"));
    }
    fprintf(out, "   cost " NUMBER "\n", number(json, "cost"));
}

static void put_subject(FILE *out, const json_t *subject)
{
    static const struct {
        const char *result, *sentence;
    } missing[] = {
        {"skipped", "missing: its quotas do not count this request"},
        {"refused", "missing: refused"},
        {"repeated", "there twice: refused"},
    };
    const char *result = admin_words_text(subject, "result");
    fputs("identity    ", out);
    put(out, subject, "identity");
    for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++)
        if (strcmp(result, missing[i].result) == 0)
            fprintf(out, " is %s", missing[i].sentence);
    if (has_text(subject, "subject")) {
        fputs(" = ", out);
        put(out, subject, "subject");
        fputs(has_text(subject, "source") ? "   from " : "   missing: one bucket for all", out);
        put(out, subject, "source");
    }
    fputc('\n', out);
}

static void put_window(FILE *out, const json_t *quota, const json_t *window)
{
    const json_int_t used = number(window, "used"), limit = number(window, "limit");
    fprintf(out, "  %-10s " NUMBER "/" NUMBER "  remaining " NUMBER, admin_words_text(window, "w"),
            used, limit, number(window, "remaining"));
    if (number(window, "resets_in_s") > 0) {
        fputs("  resets in ", out);
        admin_words_duration(out, number(window, "resets_in_s"));
    }
    if (!json_is_true(json_object_get(window, "exceeded"))) {
        fputc('\n', out);
        return;
    }
    const json_int_t cost = number(quota, "cost");
    if (strcmp(admin_words_text(quota, "algorithm"), "token_bucket") == 0 || used + cost <= limit)
        fprintf(out, "  <- would be exceeded: " NUMBER " needed\n", cost);
    else
        fprintf(out, "  <- would be exceeded: " NUMBER " + " NUMBER " > " NUMBER "\n", used, cost,
                limit);
}

static void put_slots(FILE *out, const json_t *slots)
{
    if (!json_is_object(slots))
        return;
    fprintf(out, "  %-10s " NUMBER "/" NUMBER "%s\n", "in flight", number(slots, "used"),
            number(slots, "limit"),
            json_is_true(json_object_get(slots, "exceeded")) ? "  <- all are taken" : "");
}

/* What a row says in one word, as a sentence; nothing of one that lets the request pass. */
static const char *sentence_of(const char *verdict)
{
    static const struct {
        const char *verdict, *sentence;
    } rows[] = {
        {"exempt", "exempt"},
        {"unlimited", "unlimited"},
        {"not_counted", "not counted"},
        {"passed", "not asked: a server has accepted the subject from this address"},
        {"skipped", "not asked"},
        {"not_tried", "not tried until a server has accepted the subject"},
        {"unavailable", "cannot decide: the store is away and on_failure is deny"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(verdict, rows[i].verdict) == 0)
            return rows[i].sentence;
    return NULL;
}

static void put_quota(FILE *out, const json_t *quota)
{
    const char *sentence = sentence_of(admin_words_text(quota, "verdict"));
    const json_t *window;
    size_t i;
    fputs("quota       ", out);
    put(out, quota, "quota");
    if (has_text(quota, "tier")) {
        fputs("   tier ", out);
        put(out, quota, "tier");
    }
    if (strcmp(admin_words_text(quota, "mode"), "shadow") == 0)
        fputs("   in shadow: decides nothing", out);
    if (strcmp(admin_words_text(quota, "source"), "local") == 0)
        fputs("   by this proxy's share", out);
    fprintf(out, "%s%s\n", sentence == NULL ? "" : "   ", sentence == NULL ? "" : sentence);
    json_array_foreach(json_object_get(quota, "windows"), i, window) put_window(out, quota, window);
    put_slots(out, json_object_get(quota, "slots"));
    if (number(quota, "held") > 0)
        fprintf(out, "  held here  " NUMBER " more, leased to be spent by this proxy\n",
                number(quota, "held"));
}

static void put_refusal(FILE *out, const json_t *json, const json_t *verdict)
{
    const json_t *refusers = json_object_get(verdict, "refused_by"), *one;
    const json_int_t first = number(verdict, "retry_after_s"),
                     last = number(verdict, "retry_after_max_s");
    size_t i;
    fprintf(out, NUMBER ", ", number(verdict, "status"));
    if (strcmp(admin_words_text(verdict, "end"), "limited") != 0) {
        put(out, verdict, "end");
        if (has_text(json, "reason")) {
            fputs(" (", out);
            put(out, json, "reason");
            fputc(')', out);
        }
    }
    if (first > 0)
        fprintf(out, "Retry-After " NUMBER, first);
    if (last > first)
        fprintf(out, " to " NUMBER, last);
    if (first > 0)
        fputs(" s", out);
    else if (json_array_size(refusers) != 0)
        fputs("no Retry-After: waiting does not help", out);
    json_array_foreach(refusers, i, one)
    {
        fputs(i == 0 ? ", refused_by " : ", ", out);
        admin_explain_put_escaped(out, span_of(json_string_value(one)));
    }
}

static void put_verdict(FILE *out, const json_t *json)
{
    const json_t *verdict = json_object_get(json, "verdict");
    fputs("verdict     ", out);
    if (!json_is_true(json_object_get(verdict, "admitted"))) {
        put_refusal(out, json, verdict);
    } else {
        fprintf(out, "admitted (%s)", admin_words_text(verdict, "decision"));
        if (number(verdict, "status") != 0)
            fprintf(out, ", " NUMBER, number(verdict, "status"));
    }
    fputs(". Nothing was consumed.\n", out);
}

static void put_all(FILE *out, const json_t *json, const void *arg)
{
    const json_t *one;
    size_t i;
    (void)arg;
    if (has_text(json, "detail")) {
        fprintf(out, "%s\n", admin_words_text(json, "detail"));
        return;
    }
    fputs("client      ", out);
    put(out, json, "client_ip");
    fputs("   listener ", out);
    put(out, json, "listener");
    fprintf(out, "   generation " NUMBER "\n", number(json, "generation"));
    if (has_text(json, "path")) {
        fputs("path        ", out);
        put(out, json, "path");
        fputc('\n', out);
    }
    put_route(out, json);
    json_array_foreach(json_object_get(json, "subjects"), i, one) put_subject(out, one);
    json_array_foreach(json_object_get(json, "quotas"), i, one) put_quota(out, one);
    put_verdict(out, json);
    json_array_foreach(json_object_get(json, "notes"), i, one)
    {
        fputs("note        ", out);
        admin_explain_put_escaped(out, span_of(json_string_value(one)));
        fputc('\n', out);
    }
}

char *admin_explain_told(struct span answer)
{
    return admin_words_of(answer, put_all, NULL);
}

char *admin_explain_body(const struct admin_explain_words *words, const char *ip,
                         const char *listener)
{
    json_t *headers = json_array();
    for (unsigned i = 0; i < words->header_count; i++)
        config_json_append(&headers, json_string(words->headers[i]));
    json_t *json = json_pack("{s:s, s:s, s:o}", "method", words->method, "url", words->url,
                             "headers", headers);
    if (ip != NULL)
        config_json_set(&json, "ip", json_string(ip));
    if (listener != NULL)
        config_json_set(&json, "listener", json_string(listener));
    char *text = config_json_text(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

bool admin_explain_is_admitted(struct span answer)
{
    json_t *json = json_loadb(answer.ptr, answer.len, 0, NULL);
    bool is_admitted = json_is_true(json_object_get(json_object_get(json, "verdict"), "admitted"));
    json_decref(json);
    return is_admitted;
}
