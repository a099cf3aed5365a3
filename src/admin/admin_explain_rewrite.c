/* SPDX-License-Identifier: Apache-2.0 */
/* admin_explain_rewrite.c - what would be changed of a request and of its response, as text and as JSON.  Takes: an
 * explanation of a request that comes through.  Gives: the target that is forwarded, and header lines with the values that are
 * known without serving; others stand as ${name}.  Never shows what rules for requests say themselves, which may be a credential of a
 * server, nor values of a query. */
#include <stdlib.h>

#include "base/base_fmt.h"
#include "admin/admin_explain.h"

/* Values, and the texts of some. */
struct values {
    struct span values[PLAN_REWRITE_VALUES];
    char client_ip[IP_TEXT_MAX], peer_ip[IP_TEXT_MAX];
    char hashes[PLAN_REWRITE_IDENTITIES][IDENTITY_TEXT_LEN];
};

/* As exchange_rewrite.c has it. */
static struct span identity_text(const struct identity *identity,
                                 const struct admin_explain_subject *subject,
                                 char hash[IDENTITY_TEXT_LEN])
{
    if (!identity_is_like_another(identity, &subject->value))
        return admin_explain_subject_text(subject, hash);
    fmt_base64url(hash, subject->mac, IDENTITY_KEY_BYTES);
    return (struct span){hash, IDENTITY_TEXT_LEN};
}

static void find_values(const struct admin_explanation *explanation,
                        const struct plan_rewrite_rules *rules, struct values *found)
{
    static const struct span unknown[] = {
        [PLAN_REWRITE_REQUEST_ID] = {"${request_id}", 13},
        [PLAN_REWRITE_CERTIFICATE] = {"${certificate}", 14},
        [PLAN_REWRITE_SERVER] = {"${server}", 9},
    };
    const struct admin_explain_request *request = explanation->request;
    const struct plan_route *route = explanation->route;
    for (unsigned i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        found->values[i] = unknown[i];
    found->values[PLAN_REWRITE_CLIENT_IP] =
        (struct span){found->client_ip, ip_format(found->client_ip, &explanation->client_ip)};
    found->values[PLAN_REWRITE_PEER_IP] =
        (struct span){found->peer_ip, ip_format(found->peer_ip, &explanation->peer_ip)};
    found->values[PLAN_REWRITE_SCHEME] =
        explanation->listener->tls == NULL ? SPAN("http") : SPAN("https");
    found->values[PLAN_REWRITE_HOST] = request->target.host;
    found->values[PLAN_REWRITE_METHOD] = http_head_span(&request->head, request->head.method);
    found->values[PLAN_REWRITE_PATH] = explanation->path.judged;
    found->values[PLAN_REWRITE_LISTENER] = explanation->listener->name;
    found->values[PLAN_REWRITE_ROUTE] = route->rule->name;
    if (route->upstream >= 0)
        found->values[PLAN_REWRITE_UPSTREAM] = explanation->plan->upstreams[route->upstream].name;
    for (unsigned i = 0; i < rules->identity_count; i++) {
        const struct identity *identity = &explanation->plan->identities[rules->identities[i]];
        for (unsigned k = 0; k < explanation->subject_count; k++) {
            const struct admin_explain_subject *subject = &explanation->subjects[k];
            if (subject->identity == identity && subject->result == IDENTITY_FOUND &&
                !subject->value.is_shared)
                found->values[PLAN_REWRITE_VARIABLES + i] =
                    identity_text(identity, subject, found->hashes[i]);
        }
    }
}

/* Any client sees what the rules for responses say.  All lines; malloc'ed, ptr NULL: out of memory. */
static struct span make_lines(const struct admin_explanation *explanation,
                              const struct plan_rewrite_rules *rules)
{
    struct values found = {0};
    char *text = malloc(rules->max_bytes + 1), *end;
    if (text == NULL)
        return SPAN_NONE;
    find_values(explanation, rules, &found);
    if (rules == explanation->route->response_rules)
        end = plan_rewrite_write(text, rules, found.values);
    else
        end = plan_rewrite_show(text, rules, found.values);
    return (struct span){text, (size_t)(end - text)};
}

static bool next_line(struct span *lines, struct span *line)
{
    if (lines->len == 0)
        return false;
    *line = (struct span){lines->ptr, span_find(*lines, '\r')};
    lines->ptr += line->len + 2;
    lines->len -= line->len + 2;
    return true;
}

/* "name=***" of each parameter.  A text of `len` bytes becomes one of 4 * len at most. */
static char *put_query(char *out, struct span query)
{
    while (query.len != 0) {
        struct span param = {query.ptr, span_find(query, '&')};
        size_t name = span_find(param, '=');
        out = fmt_span(out, (struct span){param.ptr, name});
        if (name + 1 < param.len)
            out = FMT_LIT(out, "=***");
        else if (name < param.len)
            *out++ = '=';
        if (param.len < query.len)
            *out++ = '&';
        query.ptr += param.len + (param.len < query.len);
        query.len -= param.len + (param.len < query.len);
    }
    return out;
}

/* Path and query that are forwarded; malloc'ed, ptr NULL: they are the client's, or out of memory. */
static struct span make_target(const struct admin_explanation *explanation)
{
    const struct plan_rewrite *rewrite = explanation->route->rewrite;
    const struct span path = explanation->request->target.path;
    const struct span query = explanation->request->target.query;
    if (rewrite == NULL || (rewrite->prefix.strip.len == 0 && rewrite->prefix.add.len == 0))
        return SPAN_NONE;
    char *text = malloc(path.len + rewrite->prefix.add.len + 4 * query.len + 1);
    if (text == NULL)
        return SPAN_NONE;
    char *end = http_prefix_write(text, &rewrite->prefix, path, explanation->path.judged);
    if (query.ptr != NULL) {
        *end++ = '?';
        end = put_query(end, query);
    }
    return (struct span){text, (size_t)(end - text)};
}

static const struct plan_rewrite_rules *request_rules(const struct admin_explanation *explanation)
{
    const struct plan_rewrite *rewrite = explanation->route->rewrite;
    bool has_rules =
        rewrite != NULL && (rewrite->headers.gone.count != 0 || rewrite->headers.line_count != 0);
    return has_rules ? &rewrite->headers : NULL;
}

/* ---- for people ---- */

static void text_rules(FILE *out, const struct admin_explanation *explanation, const char *title,
                       const struct plan_rewrite_rules *rules)
{
    if (rules == NULL)
        return;
    for (unsigned i = 0; i < rules->gone.count; i++) {
        fprintf(out, "%-11s less ", title);
        admin_explain_put_escaped(out, rules->gone.names[i]);
        fputc('\n', out);
    }
    struct span whole = make_lines(explanation, rules), rest = whole, line;
    while (next_line(&rest, &line)) {
        fprintf(out, "%-11s with ", title);
        admin_explain_put_escaped(out, line);
        fputc('\n', out);
    }
    free((char *)(uintptr_t)whole.ptr);
}

void admin_explain_rewrite_text(FILE *out, const struct admin_explanation *explanation)
{
    struct span target = make_target(explanation);
    if (target.ptr != NULL) {
        fputs("forwarded   ", out);
        admin_explain_put_escaped(out, target);
        fputc('\n', out);
    }
    free((char *)(uintptr_t)target.ptr);
    text_rules(out, explanation, "request", request_rules(explanation));
    text_rules(out, explanation, "response", explanation->route->response_rules);
}

/* ---- for programs ---- */

static void json_item(FILE *out, const char *before, struct span text)
{
    fprintf(out, "%s\"", before);
    admin_explain_put_escaped(out, text);
    fputc('"', out);
}

static void json_rules(FILE *out, const struct admin_explanation *explanation, const char *name,
                       const struct plan_rewrite_rules *rules)
{
    if (rules == NULL)
        return;
    fprintf(out, ",\"%s\":{\"less\":[", name);
    for (unsigned i = 0; i < rules->gone.count; i++)
        json_item(out, i == 0 ? "" : ",", rules->gone.names[i]);
    fputs("],\"with\":[", out);
    struct span whole = make_lines(explanation, rules), rest = whole, line;
    while (next_line(&rest, &line))
        json_item(out, line.ptr == whole.ptr ? "" : ",", line);
    fputs("]}", out);
    free((char *)(uintptr_t)whole.ptr);
}

void admin_explain_rewrite_json(FILE *out, const struct admin_explanation *explanation)
{
    struct span target = make_target(explanation);
    if (target.ptr != NULL)
        json_item(out, ",\"forwarded\":", target);
    free((char *)(uintptr_t)target.ptr);
    json_rules(out, explanation, "request_headers", request_rules(explanation));
    json_rules(out, explanation, "response_headers", explanation->route->response_rules);
}
