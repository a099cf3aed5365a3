/* SPDX-License-Identifier: Apache-2.0 */
/* route_conf.c - takes: the matching members of a route in the file.  Gives: a struct route_rule whose
 * name may still be empty.  Never: a rule that route_rule_fault refuses. */
#include "route/route_conf.h"

#include "base/base_ascii.h"
#include "config/config_doc.h"
#include "config/config_take.h"
#include "http/http_path.h"
#include "route/route.h"

static const char *take_host(const struct config_take *take)
{
    struct route_rule *rule = take->base;
    char *copy = arena_take(take->arena, take->text.len + 1);
    if (copy == NULL)
        return "out of memory";
    for (size_t i = 0; i < take->text.len; i++) {
        char c = take->text.ptr[i];
        if (c <= ' ' || c == 0x7f || c == '/' || c == '@')
            return "not a host name (ASCII; other names in their xn-- form)";
        copy[i] = ascii_lower(c);
    }
    copy[take->text.len] = '\0';
    rule->host = (struct span){copy, take->text.len};
    return NULL;
}

static const char *take_method(const struct config_take *take)
{
    struct route_rule *rule = take->base;
    if (!http_is_token(take->text))
        return "not a method";
    for (size_t i = 0; i < take->text.len; i++) {
        if (take->text.ptr[i] >= 'a' && take->text.ptr[i] <= 'z')
            return "methods are written in upper case";
    }
    return config_take_into(take, &rule->methods, &rule->method_count);
}

static void check_rule(struct config_doc *doc, const struct config_node *node, void *base)
{
    const struct route_rule *rule = base;
    const struct config_node *path = config_find(node, "path"),
                             *prefix = config_find(node, "prefix");
    if (path != NULL && prefix != NULL)
        return; /* told already */
    bool has_host = rule->host.len != 0;
    if (path == NULL && prefix == NULL && !has_host)
        return;
    const char *sentence = route_rule_fault(rule);
    if (sentence == NULL)
        return;
    const struct config_node *at = path != NULL     ? path
                                   : prefix != NULL ? prefix
                                                    : config_find(node, "host");
    /* A host's fault is the host's: the rule without it has none. */
    struct route_rule bare = *rule;
    bare.host = SPAN_NONE;
    if (has_host && route_rule_fault(&bare) == NULL)
        at = config_find(node, "host");
    /* A value of the wrong type was told before and is empty here. */
    if (at != NULL && at->kind == CONFIG_KIND_STRING)
        config_error(doc, at, "%s", sentence);
}

/* Word i is bit i of route_rule.allow_path. */
static const char *const path_doubts[] = {
#define DOUBT(id, word, fault) word,
#include "http/http_path_doubts.def"
#undef DOUBT
    NULL,
};

static const struct config_directive rows[] = {
    {.key = "name",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct route_rule, name),
     .min = 1,
     .max = ROUTE_NAME_MAX_BYTES,
     .absent = "what it matches",
     .doc = "The route's name in logs, metrics and messages."},
    {.key = "listener",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct route_rule, listener),
     .min = 1,
     .absent = "any",
     .doc = "Only requests that came in by this listener."},
    {.key = "host",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct route_rule, host),
     .min = 1,
     .max = 255,
     .absent = "any",
     .take = take_host,
     .doc =
         "Only requests for this host, without port; \"*.example.com\" stands for its subdomains."},
    {.key = "path",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct route_rule, path),
     .min = 1,
     .max = 1024,
     .absent = "any",
     .doc = "Only this path; a segment {name} matches any one segment and can be an identity."},
    {.key = "prefix",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct route_rule, prefix),
     .min = 1,
     .max = 1024,
     .absent = "any",
     .doc = "Only paths that begin so, at a segment's end; not together with path."},
    {.key = "methods",
     .type = CONFIG_TEXTS,
     .min = 1,
     .max = 32,
     .absent = "any",
     .take = take_method,
     .doc = "Only these methods."},
    {.key = "allow_path",
     .type = CONFIG_FLAGS,
     CONFIG_AT(struct route_rule, allow_path),
     .fallback = "[]",
     .words = path_doubts,
     .doc =
         "What paths may have that servers read differently and that is 400 elsewhere: only what "
         "this route's servers read as Sluice does."},
};

static const struct config_pair pairs[] = {{"path", "prefix", false, false}};

const struct config_table ROUTE_CONF = {
    .title = "What a route matches",
    .noun = "route",
    CONFIG_ROWS_OF(rows),
    .size = sizeof(struct route_rule),
    .pairs = pairs,
    .pair_count = 1,
    .check = check_rule,
};
