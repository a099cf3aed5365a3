/* SPDX-License-Identifier: Apache-2.0 */
/* plan_link_rewrite.c - what a route changes of what it passes on.  Takes: a draft, the route's rule and quotas.  Gives:
 * prefixes that can match, header rules that are compiled.  Never: a rule for a header that frames, or one that a caller who
 * is counted is told by. */
#include <string.h>

#include "config/config_near.h"
#include "http/http_path.h"
#include "plan/plan_draft.h"

#define PARTS_MAX 17 /* of one value: 16 variables and what stands behind the last */

static const struct {
    struct span name;
    bool in_request, in_response;
    const char *why;
} refused[] = {
#define REFUSED(name, in_request, in_response, why)                                                \
    {{name, sizeof(name) - 1}, in_request, in_response, why},
#include "plan/plan_rewrite_refused.def"
#undef REFUSED
};

static const bool is_late[PLAN_REWRITE_VARIABLES] = {
#define VARIABLE(id, name, max, late, what) [PLAN_REWRITE_##id] = (late),
#include "plan/plan_rewrite_variables.def"
#undef VARIABLE
};

/* Rules that are being linked. */
struct linking {
    struct plan_work *work;
    const struct plan_route *route;
    struct plan_rewrite_rules *rules;
    bool is_request;
};

/* ---- prefixes ---- */

static struct span segment_at(struct span path, size_t at)
{
    struct span segment = {path.ptr + at + 1, path.len - at - 1};
    segment.len = span_find(segment, '/');
    return segment;
}

/* Can a path that the rule matches begin with strip? */
static bool may_begin(const struct route_rule *rule, struct span strip)
{
    const bool is_exact = rule->path.len != 0;
    const struct span pattern = is_exact ? rule->path : rule->prefix;
    size_t at = 0;
    for (size_t want = 0; want < strip.len;) {
        if (at == pattern.len || (!is_exact && at + 1 == pattern.len))
            return !is_exact;
        const struct span ours = segment_at(strip, want), theirs = segment_at(pattern, at);
        const bool is_any = http_segment_is_name(ours) || http_segment_is_name(theirs);
        if (theirs.len == 0 || !(is_any || span_eq(ours, theirs)))
            return false;
        want += 1 + ours.len;
        at += 1 + theirs.len;
    }
    return true;
}

/* What is put before paths is read as it stands by every server. */
static const char *added_fault(struct span text)
{
    const struct route_rule rule = {.prefix = text};
    if (memchr(text.ptr, '{', text.len) != NULL)
        return "a {name} is not filled in here";
    return route_rule_fault(&rule) == NULL ? NULL
                                           : "not a path that begins with \"/\" and is read alike "
                                             "by all servers: no \"//\", \".\", "
                                             "\"..\", \";\" and \"\\\", unreserved bytes plain, "
                                             "other percent-escapes in upper case";
}

/* Without the "/" at its end, which does not count; a fault, and then empty. */
static struct span link_prefix(struct plan_work *work, const struct config_node *node,
                               struct span text, const char *fault)
{
    if (node == NULL || text.len == 0)
        return SPAN_NONE;
    if (fault == NULL && text.ptr[text.len - 1] == '/')
        text.len--;
    if (fault == NULL && text.len == 0)
        fault = "\"/\" is how every path begins: it changes nothing";
    if (fault == NULL)
        return text;
    config_error(work->load->doc, node, "%s", fault);
    return SPAN_NONE;
}

static void link_prefixes(struct plan_work *work, const struct plan_route *route,
                          struct http_prefix *prefix, const struct config_node *node)
{
    struct config_doc *doc = work->load->doc;
    const struct route_rule *rule = route->rule;
    const struct config_node *strip = config_find(node, "strip_prefix"),
                             *add = config_find(node, "add_prefix");
    const struct route_rule stripped = {.prefix = prefix->strip, .allow_path = rule->allow_path};
    prefix->strip = link_prefix(work, strip, prefix->strip, route_rule_fault(&stripped));
    prefix->add =
        link_prefix(work, add, prefix->add, prefix->add.len == 0 ? NULL : added_fault(prefix->add));
    if (prefix->strip.len == 0)
        return;
    if (!may_begin(rule, prefix->strip))
        config_error(doc, strip, "no path of this route can begin so");
    else if ((rule->allow_path & HTTP_PATH_BIT(HTTP_PATH_DOT_SEGMENTS)) != 0)
        config_error(doc, strip,
                     "not with \"dot_segments\" in \"allow_path\": a \"..\" behind the prefix "
                     "could reach over where it was cut");
}

/* ---- names ---- */

/* Why no rule may name this header; NULL: one may. */
static const char *why_refused(struct span name, bool is_request)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        const struct span known = refused[i].name;
        struct span begin = name;
        if (known.ptr[known.len - 1] == '-' && name.len > known.len)
            begin.len = known.len;
        if ((is_request ? refused[i].in_request : refused[i].in_response) &&
            http_field_names_alike(begin, known))
            return refused[i].why;
    }
    return NULL;
}

/* The header that a source reads and a server can judge; empty: there is none.  What a JWT says was proven here. */
static struct span header_of(const struct identity_source *source)
{
    switch (source->kind) {
    case IDENTITY_HEADER:
        return source->name;
    case IDENTITY_BEARER:
    case IDENTITY_BASIC_USER:
    case IDENTITY_ACCESS_KEY:
        return SPAN("authorization");
    case IDENTITY_COOKIE:
        return SPAN("cookie");
    case IDENTITY_TOKEN_PROJECT:
        return SPAN("x-auth-token");
    default:
        return SPAN_NONE;
    }
}

static bool identity_reads(const struct identity *identity, struct span name)
{
    for (unsigned i = 0; i < identity->from_count; i++) {
        if (http_field_names_alike(header_of(&identity->from[i]), name))
            return true;
    }
    return false;
}

/* The quota of the route that counts by what this header says; NULL: none does. */
static const struct quota *find_counting(const struct linking *l, struct span name)
{
    const struct plan *plan = &l->work->draft->plan;
    for (unsigned i = 0; i < l->route->quota_count; i++) {
        const struct quota *quota = l->route->quotas[i];
        for (unsigned k = 0; k < quota->key_count; k++) {
            if (identity_reads(&plan->identities[quota->key[k]], name))
                return quota;
        }
    }
    return NULL;
}

/* At its key, or at an item of a list. */
static void name_error(const struct linking *l, const struct config_node *node, struct span name,
                       const char *why)
{
    if (node->key_token.ptr != NULL)
        config_key_error(l->work->load->doc, node, "%s may not be changed: %s",
                         config_quote(name).text, why);
    else
        config_error(l->work->load->doc, node, "%s may not be changed: %s", config_quote(name).text,
                     why);
}

static void check_name(const struct linking *l, const struct config_node *node, struct span name)
{
    const char *why = why_refused(name, l->is_request);
    const struct quota *quota = l->is_request ? find_counting(l, name) : NULL;
    if (why == NULL && quota != NULL)
        why = "a quota of this route counts by it, and the server would judge somebody else than "
              "who is counted";
    if (why != NULL)
        name_error(l, node, name, why);
}

/* A name whose lines are not passed on. */
static void add_gone(const struct linking *l, const struct config_node *node, struct span name)
{
    struct http_names *gone = &l->rules->gone;
    for (unsigned i = 0; i < gone->count; i++) {
        if (!http_field_names_alike(gone->names[i], name))
            continue;
        config_error(l->work->load->doc, node, "%s is set or removed twice",
                     config_quote(name).text);
        return;
    }
    ((struct span *)(uintptr_t)gone->names)[gone->count++] = name;
}

/* ---- values ---- */

/* A value in the making. */
struct compiling {
    const struct config_node *node;
    struct plan_rewrite_part parts[PARTS_MAX];
    unsigned count;
    size_t max_bytes;
    bool is_bad;
};

static void value_error(const struct linking *l, struct compiling *c, struct span name,
                        const char *why)
{
    if (!c->is_bad)
        config_error(l->work->load->doc, c->node, "%s: %s", config_quote(name).text, why);
    c->is_bad = true;
}

static bool route_counts_by(const struct linking *l, unsigned identity)
{
    for (unsigned i = 0; i < l->route->quota_count; i++) {
        for (unsigned k = 0; k < l->route->quotas[i]->key_count; k++) {
            if (l->route->quotas[i]->key[k] == identity)
                return true;
        }
    }
    return false;
}

/* What stands behind "identity:"; the value's number. */
static unsigned find_identity(const struct linking *l, struct compiling *c, struct span name)
{
    const struct plan *plan = &l->work->draft->plan;
    struct plan_rewrite_rules *rules = l->rules;
    unsigned i = 0, k = 0;
    while (i < plan->identity_count && !span_eq(plan->identities[i].name, name))
        i++;
    if (i == plan->identity_count || !route_counts_by(l, i)) {
        value_error(l, c, name, "no quota of this route counts by an identity of this name");
        return PLAN_REWRITE_VALUES;
    }
    while (k < rules->identity_count && rules->identities[k] != i)
        k++;
    if (k == PLAN_REWRITE_IDENTITIES) {
        value_error(l, c, name, "at most 4 identities can be named");
        return PLAN_REWRITE_VALUES;
    }
    if (k == rules->identity_count)
        rules->identities[rules->identity_count++] = (uint16_t)i;
    return PLAN_REWRITE_VARIABLES + k;
}

static unsigned find_value(const struct linking *l, struct compiling *c, struct span name)
{
    const struct span prefix = SPAN("identity:");
    struct config_near near = config_near_to(name);
    bool is_too_early = false;
    if (span_starts_with(name, prefix))
        return find_identity(l, c, (struct span){name.ptr + prefix.len, name.len - prefix.len});
    for (unsigned i = 0; i < PLAN_REWRITE_VARIABLES; i++) {
        const struct span known = plan_rewrite_name((enum plan_rewrite_variable)i);
        if (is_late[i] && l->is_request) {
            is_too_early = is_too_early || span_eq(name, known);
            continue;
        }
        if (span_eq(name, known))
            return i;
        config_near_try(&near, known, false);
    }
    if (!c->is_bad)
        config_error(l->work->load->doc, c->node, "no value has the name %s%s%s",
                     config_quote(name).text, is_too_early ? " in a request" : "",
                     config_suggestion(&near).text);
    c->is_bad = true;
    return PLAN_REWRITE_VALUES;
}

static void add_part(const struct linking *l, struct compiling *c, struct span before,
                     unsigned value)
{
    if (c->count == PARTS_MAX) {
        value_error(l, c, before, "at most 16 values can be named");
        return;
    }
    c->parts[c->count++] = (struct plan_rewrite_part){before, (uint8_t)value};
    c->max_bytes += before.len;
    if (value == PLAN_REWRITE_VALUES)
        return;
    c->max_bytes += plan_rewrite_max(value);
    l->rules->needs |= 1u << value;
}

static void compile(const struct linking *l, struct compiling *c, struct span text)
{
    size_t from = 0;
    if (!http_is_value(text))
        value_error(l, c, text,
                    "a header's value has no control bytes, and no white space at either end");
    for (size_t at = 0; at + 1 < text.len && !c->is_bad; at++) {
        if (text.ptr[at] != '$' || text.ptr[at + 1] != '{')
            continue;
        struct span name = {text.ptr + at + 2, text.len - at - 2};
        name.len = span_find(name, '}');
        if (at + 2 + name.len == text.len) {
            value_error(l, c, text, "a \"${\" without \"}\"");
            return;
        }
        const unsigned value = find_value(l, c, name);
        if (!c->is_bad)
            add_part(l, c, (struct span){text.ptr + from, at - from}, value);
        at += 2 + name.len;
        from = at + 1;
    }
    if (!c->is_bad)
        add_part(l, c, (struct span){text.ptr + from, text.len - from}, PLAN_REWRITE_VALUES);
}

static void add_line(const struct linking *l, const struct config_node *node,
                     const struct plan_rewrite_header *header)
{
    struct arena *arena = l->work->load->arena;
    struct plan_rewrite_rules *rules = l->rules;
    struct compiling c = {.node = node};
    compile(l, &c, header->text);
    if (c.is_bad || header->text.len == 0)
        return;
    struct plan_rewrite_part *parts = arena_take(arena, c.count * sizeof(*parts));
    struct span name = arena_printf(arena, "%.*s: ", (int)header->name.len, header->name.ptr);
    if (parts == NULL || name.ptr == NULL) {
        config_out_of_memory(l->work->load->doc);
        return;
    }
    memcpy(parts, c.parts, c.count * sizeof(*parts));
    ((struct plan_rewrite_line *)(uintptr_t)rules->lines)[rules->line_count++] =
        (struct plan_rewrite_line){name, parts, c.count};
    rules->max_bytes += name.len + c.max_bytes + 2;
}

/* ---- rules ---- */

static void link_headers(const struct linking *l, const struct config_items *items, bool is_set)
{
    const struct plan_rewrite_header *headers = items->items;
    for (unsigned i = 0; i < items->count; i++) {
        if (!http_is_token(headers[i].name))
            continue; /* its fault was told */
        check_name(l, items->nodes[i], headers[i].name);
        if (is_set)
            add_gone(l, items->nodes[i], headers[i].name);
        add_line(l, items->nodes[i], &headers[i]);
    }
}

static void link_rules(struct plan_work *work, const struct plan_route *route,
                       struct plan_rewrite_rules *rules,
                       const struct plan_rewrite_draft_rules *draft, const struct config_node *node,
                       bool is_request)
{
    const struct linking l = {work, route, rules, is_request};
    const unsigned gone = draft->remove.count + draft->set.count;
    const unsigned lines = draft->set.count + draft->add.count;
    rules->is_always = draft->is_always;
    rules->gone.names = arena_take_zeroed(work->load->arena, (gone + 1) * sizeof(struct span));
    rules->lines =
        arena_take_zeroed(work->load->arena, (lines + 1) * sizeof(struct plan_rewrite_line));
    if (rules->gone.names == NULL || rules->lines == NULL) {
        config_out_of_memory(work->load->doc);
        return;
    }
    unsigned i = 0;
    CONFIG_EACH(child, config_find(node, "remove"))
    {
        /* The list has what could be taken; where something could not, nothing is built. */
        if (i == draft->remove.count)
            break;
        check_name(&l, child, draft->remove.names[i]);
        add_gone(&l, child, draft->remove.names[i++]);
    }
    rules->removed_count = rules->gone.count;
    link_headers(&l, &draft->set, true);
    link_headers(&l, &draft->add, false);
    if (rules->max_bytes > PLAN_REWRITE_LINES_MAX)
        config_error(work->load->doc, node,
                     "the headers of one message could become longer than %d bytes",
                     PLAN_REWRITE_LINES_MAX);
}

void plan_link_rewrite(struct plan_work *work, struct plan_route *route,
                       const struct plan_rewrite_draft *draft, const struct config_node *node)
{
    struct plan_rewrite *rewrite = arena_take_zeroed(work->load->arena, sizeof(*rewrite));
    struct plan_rewrite_rules *response = arena_take_zeroed(work->load->arena, sizeof(*response));
    const struct config_node *request_node = config_find(node, "request_headers"),
                             *response_node = config_find(node, "response_headers");
    if (rewrite == NULL || response == NULL) {
        config_out_of_memory(work->load->doc);
        return;
    }
    rewrite->prefix = draft->prefix;
    link_prefixes(work, route, &rewrite->prefix, node);
    if (request_node != NULL)
        link_rules(work, route, &rewrite->headers, &draft->request, request_node, true);
    if (response_node != NULL)
        link_rules(work, route, response, &draft->response, response_node, false);
    const struct plan_rewrite_rules *request = &rewrite->headers;
    if (rewrite->prefix.strip.len != 0 || rewrite->prefix.add.len != 0 ||
        request->gone.count != 0 || request->line_count != 0)
        route->rewrite = rewrite;
    if (response->gone.count != 0 || response->line_count != 0)
        route->response_rules = response;
}
