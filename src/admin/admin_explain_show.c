/* SPDX-License-Identifier: Apache-2.0 */
/* admin_explain_show.c - an explanation as text and as JSON.  Never: shows a value that logs do not show. */
#include "base/base_fmt.h"
#include "config/config_load.h"
#include "identity/identity_conf.h"
#include "admin/admin_explain.h"
#include "quota/quota_conf.h"
#include "reply/reply.h"
#include "reply/reply_conf.h"

#define PIECE_BYTES 256

/* The name of the first set bit from *bit on, NULL behind the last. */
static const char *next_dialect(const struct reply_headers *headers, unsigned *bit)
{
    const struct config_directive *row = config_row(&REPLY_CONF, SPAN("dialects"), NULL);
    while (row->words[*bit] != NULL) {
        unsigned at = (*bit)++;
        if ((headers->dialects & 1u << at) != 0)
            return row->words[at];
    }
    return NULL;
}

struct span admin_explain_subject_text(const struct admin_explain_subject *subject,
                                       char hash[IDENTITY_TEXT_LEN])
{
    if (subject->value.is_shared)
        return SPAN("shared");
    if (identity_is_clear(subject->value.kind))
        return subject->value.value;
    fmt_base64url(hash, subject->mac, IDENTITY_KEY_BYTES);
    return (struct span){hash, IDENTITY_TEXT_LEN};
}

void admin_explain_put_escaped(FILE *out, struct span text)
{
    char piece[6 * PIECE_BYTES];
    bool cut = false, bytes = false;
    while (text.len > 0) {
        struct span head = {text.ptr, text.len < PIECE_BYTES ? text.len : PIECE_BYTES};
        while (head.len < text.len && head.len > PIECE_BYTES - 4 &&
               ((unsigned char)text.ptr[head.len] & 0xc0) == 0x80)
            head.len--; /* no character is torn */
        char *end = fmt_json_text(piece, piece + sizeof(piece), head, &cut, &bytes);
        fwrite(piece, 1, (size_t)(end - piece), out);
        text.ptr += head.len;
        text.len -= head.len;
    }
}

/* How the file spells it. */
static const char *word_of(const char *key, unsigned index)
{
    return config_row(&QUOTA_CONF, span_of(key), NULL)->words[index];
}

static void put_address(FILE *out, const struct ip *ip)
{
    char text[IP_TEXT_MAX];
    fprintf(out, "%.*s", (int)ip_format(text, ip), text);
}

static unsigned status_of(enum exchange_end end)
{
    return reply_error_status((enum reply_error_id)exchange_ending(end)->error);
}

static void put_key(FILE *out, const struct admin_explain_quota *quota)
{
    char key[IDENTITY_TEXT_LEN];
    fmt_base64url(key, quota->key, IDENTITY_KEY_BYTES);
    fprintf(out, "%.*s", IDENTITY_TEXT_LEN, key);
}

static void put_window(FILE *out, const struct quota_limit *limit)
{
    char window[QUOTA_WINDOW_TEXT_MAX];
    fprintf(out, "%.*s", (int)quota_window_text(window, limit, false), window);
}

/* What errors of Sluice's own are written in. */
static const struct reply_body_dialect *errors_of(const struct admin_explanation *explanation)
{
    return explanation->route != NULL ? explanation->route->errors : explanation->plan->errors;
}

/* ---- for people ---- */

static void text_end(FILE *out, const struct admin_explanation *explanation)
{
    const struct exchange_ending *ending = exchange_ending(explanation->end);
    fprintf(out, "refused     %u, %s: %s", status_of(explanation->end), ending->name.ptr,
            ending->sentence);
    if (explanation->fault.id != HTTP_FAULT_NONE)
        fprintf(out, " (%s: %s)", http_fault_name(explanation->fault.id),
                http_fault_sentence(explanation->fault.id));
    fputc('\n', out);
}

static void text_route(FILE *out, const struct admin_explanation *explanation)
{
    const struct plan_route *route = explanation->route;
    fprintf(out, "route       %.*s", (int)route->rule->name.len, route->rule->name.ptr);
    if (route->upstream >= 0)
        fprintf(out, " -> upstream %s", explanation->plan->upstreams[route->upstream].name.ptr);
    else
        fprintf(out, " -> answered here with %u", (unsigned)route->respond->status);
    fprintf(out, "   cost %u", route->cost.estimate);
    if (route->cost.header.len != 0)
        fprintf(out, " until the response's %.*s says, at most %u", (int)route->cost.header.len,
                route->cost.header.ptr, route->cost.max);
    fputc('\n', out);
}

/* Only the store knows projects. */
static bool is_looked_up(const struct admin_explanation *explanation,
                         const struct admin_explain_subject *subject)
{
    return explanation->facts == NULL &&
           identity_has_kind(subject->identity, IDENTITY_TOKEN_PROJECT);
}

static void text_subject(FILE *out, const struct admin_explain_subject *subject)
{
    static const char *const results[] = {
        [IDENTITY_SKIPPED] = "missing: its quotas do not count this request",
        [IDENTITY_REFUSED] = "missing: refused",
        [IDENTITY_REPEATED] = "there twice: refused",
        [IDENTITY_EXHAUSTED] = "",
    };
    char hash[IDENTITY_TEXT_LEN];
    fprintf(out, "identity    %s ", subject->identity->name.ptr);
    if (subject->result != IDENTITY_FOUND) {
        fprintf(out, "is %s\n", results[subject->result]);
        return;
    }
    fputs("= ", out);
    admin_explain_put_escaped(out, admin_explain_subject_text(subject, hash));
    if (subject->value.is_shared)
        fputs("   missing: one bucket for all\n", out);
    else
        fprintf(out, "   from %s%s%.*s\n", IDENTITY_CONF_KINDS[subject->value.kind],
                subject->value.source_name.len == 0 ? "" : ":", (int)subject->value.source_name.len,
                subject->value.source_name.len == 0 ? "" : subject->value.source_name.ptr);
}

static void text_quota(FILE *out, const struct admin_explain_quota *quota)
{
    fprintf(out, "quota       %s", quota->quota->name.ptr);
    if (quota->tier != NULL)
        fprintf(out, "   tier %s%s", quota->tier->name.ptr,
                quota->is_live ? " by default, looked up in redis" : "");
    if (!quota->is_counted) {
        fprintf(out, "   %s\n",
                quota->is_exempt      ? "exempt"
                : quota->tier != NULL ? "unlimited"
                                      : "not counted");
        return;
    }
    if (quota->quota->mode == QUOTA_SHADOW)
        fputs("   in shadow", out);
    fputs("   key ", out);
    put_key(out, quota);
    fputs(quota->is_bucket ? "   until a server has accepted the subject from this address\n"
                           : "\n",
          out);
    for (unsigned i = 0; i < quota->quota->limit_count; i++) {
        fprintf(out, "              %u per ", quota->quota->limits[i].limit);
        put_window(out, &quota->quota->limits[i]);
        if (quota->quota->algorithm != QUOTA_FIXED)
            fprintf(out, ", %s", word_of("algorithm", quota->quota->algorithm));
        if (quota->quota->burst != 0)
            fprintf(out, ", at once %u", quota->quota->burst);
        fputc('\n', out);
    }
    if (quota->quota->in_flight != 0)
        fprintf(out, "              %u in flight\n", quota->quota->in_flight);
}

static void text_errors(FILE *out, const struct reply_body_dialect *dialect)
{
    fputs("errors      ", out);
    admin_explain_put_escaped(out, dialect->name);
    if (dialect->like.len == 0)
        fputs("   a template", out);
    else if (!span_eq(dialect->like, dialect->name))
        fprintf(out, "   like %s", dialect->like.ptr);
    fprintf(out, "   prefix %.*s   %.*s%s\n", (int)dialect->prefix.len, dialect->prefix.ptr,
            (int)dialect->type.len, dialect->type.ptr, dialect->has_xml ? " or XML" : "");
}

static void text_headers(FILE *out, const struct reply_headers *headers)
{
    unsigned bit = 0;
    const char *dialect = next_dialect(headers, &bit);
    fprintf(out, "headers    %s", dialect == NULL ? " none" : "");
    for (; dialect != NULL; dialect = next_dialect(headers, &bit))
        fprintf(out, " %s", dialect);
    fputc('\n', out);
}

void admin_explain_text(FILE *out, const struct admin_explanation *explanation)
{
    fputs("client      ", out);
    put_address(out, &explanation->client_ip);
    fprintf(out, "   listener %s\n", explanation->listener->name.ptr);
    if (explanation->path.judged.len != 0) {
        fputs("path        ", out);
        admin_explain_put_escaped(out, explanation->path.judged);
        fputc('\n', out);
    }
    if (explanation->route != NULL)
        text_route(out, explanation);
    for (unsigned i = 0; i < explanation->subject_count; i++)
        text_subject(out, &explanation->subjects[i]);
    for (unsigned i = 0; i < explanation->subject_count; i++) {
        if (is_looked_up(explanation, &explanation->subjects[i]))
            fprintf(out,
                    "            %s: token_project is looked up in the store; here it is "
                    "missing\n",
                    explanation->subjects[i].identity->name.ptr);
    }
    if (explanation->end != END_OK) {
        text_end(out, explanation);
        text_errors(out, errors_of(explanation));
        return;
    }
    for (unsigned i = 0; i < explanation->quota_count; i++)
        text_quota(out, &explanation->quotas[i]);
    if (explanation->quota_count == 0)
        fputs("quota       none\n", out);
    text_headers(out, &explanation->route->headers);
    admin_explain_rewrite_text(out, explanation);
    text_errors(out, errors_of(explanation));
}

/* ---- for programs ---- */

static void json_text(FILE *out, const char *name, struct span text)
{
    fprintf(out, "\"%s\":\"", name);
    admin_explain_put_escaped(out, text);
    fputc('"', out);
}

static void json_subject(FILE *out, const struct admin_explanation *explanation,
                         const struct admin_explain_subject *subject)
{
    static const char *const results[] = {
        [IDENTITY_FOUND] = "found",       [IDENTITY_SKIPPED] = "skipped",
        [IDENTITY_REFUSED] = "refused",   [IDENTITY_REPEATED] = "repeated",
        [IDENTITY_EXHAUSTED] = "refused",
    };
    char hash[IDENTITY_TEXT_LEN];
    fputc('{', out);
    json_text(out, "identity", subject->identity->name);
    fprintf(out, ",\"result\":\"%s\"", results[subject->result]);
    if (is_looked_up(explanation, subject))
        fputs(",\"token_project\":\"looked up in the store\"", out);
    if (subject->result == IDENTITY_FOUND) {
        fputc(',', out);
        json_text(out, "subject", admin_explain_subject_text(subject, hash));
    }
    if (subject->result == IDENTITY_FOUND && !subject->value.is_shared) {
        fprintf(out, ",\"source\":\"%s%s", IDENTITY_CONF_KINDS[subject->value.kind],
                subject->value.source_name.len == 0 ? "" : ":");
        admin_explain_put_escaped(out, subject->value.source_name);
        fputc('"', out);
    }
    fputc('}', out);
}

static void json_quota(FILE *out, const struct admin_explain_quota *quota)
{
    fputc('{', out);
    json_text(out, "quota", quota->quota->name);
    if (quota->tier != NULL) {
        fputc(',', out);
        json_text(out, "tier", quota->tier->name);
        if (quota->is_live)
            fputs(",\"members\":\"redis\"", out);
    }
    fprintf(out, ",\"counted\":%s,\"exempt\":%s,\"mode\":\"%s\",\"algorithm\":\"%s\"",
            quota->is_counted ? "true" : "false", quota->is_exempt ? "true" : "false",
            word_of("mode", quota->quota->mode), word_of("algorithm", quota->quota->algorithm));
    if (quota->is_bucket)
        fprintf(out, ",\"until_verified\":true%s", quota->is_passed ? ",\"verified\":true" : "");
    if (quota->is_counted) {
        fputs(",\"key\":\"", out);
        put_key(out, quota);
        fputs("\",\"limits\":[", out);
        for (unsigned i = 0; i < quota->quota->limit_count; i++) {
            fprintf(out, "%s{\"window\":\"", i == 0 ? "" : ",");
            put_window(out, &quota->quota->limits[i]);
            fprintf(out, "\",\"limit\":%u}", quota->quota->limits[i].limit);
        }
        fputc(']', out);
        if (quota->quota->in_flight != 0)
            fprintf(out, ",\"in_flight\":%u", quota->quota->in_flight);
    }
    fputc('}', out);
}

static void json_errors(FILE *out, const struct reply_body_dialect *dialect)
{
    fputs(",\"errors\":{", out);
    json_text(out, "dialect", dialect->name);
    if (dialect->like.len != 0) {
        fputc(',', out);
        json_text(out, "like", dialect->like);
    }
    fputc(',', out);
    json_text(out, "prefix", dialect->prefix);
    fputc(',', out);
    json_text(out, "content_type", dialect->type);
    fprintf(out, ",\"template\":%s,\"xml\":%s}", dialect->like.len == 0 ? "true" : "false",
            dialect->has_xml ? "true" : "false");
}

static void json_route(FILE *out, const struct admin_explanation *explanation)
{
    const struct plan_route *route = explanation->route;
    fputc(',', out);
    json_text(out, "route", route->rule->name);
    fprintf(out, ",\"cost\":%u", route->cost.estimate);
    if (route->cost.header.len != 0) {
        fputc(',', out);
        json_text(out, "cost_header", route->cost.header);
        fprintf(out, ",\"cost_max\":%u", route->cost.max);
    }
    if (route->upstream >= 0) {
        fputc(',', out);
        json_text(out, "upstream", explanation->plan->upstreams[route->upstream].name);
    } else {
        fprintf(out, ",\"respond\":%u", (unsigned)route->respond->status);
    }
    fputs(",\"headers\":[", out);
    unsigned bit = 0, count = 0;
    for (const char *dialect; (dialect = next_dialect(&route->headers, &bit)) != NULL; count++)
        fprintf(out, "%s\"%s\"", count == 0 ? "" : ",", dialect);
    fputc(']', out);
}

void admin_explain_json(FILE *out, const struct admin_explanation *explanation)
{
    fputs("{\"client_ip\":\"", out);
    put_address(out, &explanation->client_ip);
    fputs("\",", out);
    json_text(out, "listener", explanation->listener->name);
    if (explanation->path.judged.len != 0) {
        fputc(',', out);
        json_text(out, "path", explanation->path.judged);
    }
    if (explanation->route != NULL)
        json_route(out, explanation);
    json_errors(out, errors_of(explanation));
    if (explanation->end == END_OK)
        admin_explain_rewrite_json(out, explanation);
    if (explanation->end != END_OK)
        fprintf(out, ",\"refused\":\"%s\",\"status\":%u",
                exchange_ending(explanation->end)->name.ptr, status_of(explanation->end));
    if (explanation->fault.id != HTTP_FAULT_NONE)
        fprintf(out, ",\"reason\":\"%s\"", http_fault_name(explanation->fault.id));
    fputs(",\"subjects\":[", out);
    for (unsigned i = 0; i < explanation->subject_count; i++) {
        fputs(i == 0 ? "" : ",", out);
        json_subject(out, explanation, &explanation->subjects[i]);
    }
    fputs("],\"quotas\":[", out);
    for (unsigned i = 0; explanation->end == END_OK && i < explanation->quota_count; i++) {
        fputs(i == 0 ? "" : ",", out);
        json_quota(out, &explanation->quotas[i]);
    }
    fputs("]}\n", out);
}
