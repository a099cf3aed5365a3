/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_route_pattern.c - any text as routes and as a request.  Input: lines; the first is the request (method, host,
 * path, listener, with spaces between), each other one a rule ("p" path or "x" prefix, host, methods, listener).
 * Checked: the compiled table finds what a plain walk over the rules finds, the {names} are the path's
 * segments, and a rule that is said to be covered is never the first to match. */
#include "cursor.h"
#include "http/http_head.h"
#include "route/route.h"

#define RULES_MAX    24
#define METHODS_MAX  4
#define SEGMENTS_MAX 4096

struct rule {
    struct route_rule rule;
    struct span methods[METHODS_MAX];
};

/* One segment of "/a/b": "a", "b"; false at the end. */
static bool next_segment(struct span *rest, struct span *segment)
{
    if (rest->len == 0 || rest->ptr[0] != '/')
        return false;
    struct span tail = {rest->ptr + 1, rest->len - 1};
    size_t len = tail.len != 0 ? span_find(tail, '/') : 0;
    *segment = (struct span){tail.ptr, len};
    *rest = (struct span){tail.ptr + len, tail.len - len};
    return true;
}

static bool is_name(struct span segment)
{
    return segment.len > 2 && segment.ptr[0] == '{';
}

/* The sentences of route.h, word by word. */
static bool path_matches(const struct route_rule *rule, struct span path)
{
    bool is_exact = rule->path.len != 0;
    struct span pattern = is_exact ? rule->path : rule->prefix, ours, theirs;
    bool is_below = !is_exact && pattern.len != 0 && pattern.ptr[pattern.len - 1] == '/';
    if (pattern.len == 0)
        return true;
    if (path.ptr[0] != '/')
        return false;
    if (is_below)
        pattern.len--;
    while (next_segment(&pattern, &ours)) {
        if (!next_segment(&path, &theirs))
            return false;
        if (is_name(ours) ? theirs.len == 0 : !span_eq(ours, theirs))
            return false;
    }
    if (is_exact)
        return path.len == 0;
    return is_below ? path.len != 0 : true;
}

static struct span without_dot(struct span host)
{
    if (host.len > 0 && host.ptr[host.len - 1] == '.')
        host.len--;
    return host;
}

static bool host_matches(struct span rule, struct span host)
{
    rule = without_dot(rule);
    host = without_dot(host);
    if (rule.len == 0)
        return true;
    if (rule.ptr[0] != '*')
        return span_eq_nocase(rule, host);
    struct span suffix = {rule.ptr + 1, rule.len - 1};
    return host.len > suffix.len &&
           span_eq_nocase((struct span){host.ptr + host.len - suffix.len, suffix.len}, suffix);
}

static bool rule_matches(const struct route_rule *rule, const struct route_query *query)
{
    if (rule->listener.len != 0 && !span_eq(rule->listener, query->listener))
        return false;
    if (!host_matches(rule->host, query->host) || !path_matches(rule, query->path))
        return false;
    for (unsigned i = 0; i < rule->method_count; i++)
        if (span_eq(rule->methods[i], query->method))
            return true;
    return rule->methods == NULL;
}

static bool read_rule(struct rule *rule, struct span line)
{
    struct cursor cursor = {(const uint8_t *)line.ptr, line.len};
    struct span pattern = cursor_line(&cursor, ' ');
    memset(rule, 0, sizeof(*rule));
    rule->rule.name = SPAN("r");
    if (pattern.len > 1 && pattern.ptr[0] == 'p')
        rule->rule.path = (struct span){pattern.ptr + 1, pattern.len - 1};
    else if (pattern.len > 1 && pattern.ptr[0] == 'x')
        rule->rule.prefix = (struct span){pattern.ptr + 1, pattern.len - 1};
    rule->rule.host = cursor_line(&cursor, ' ');
    struct span methods = cursor_line(&cursor, ' ');
    rule->rule.listener = cursor_line(&cursor, ' ');
    struct cursor list = {(const uint8_t *)methods.ptr, methods.len};
    while (list.left > 0 && rule->rule.method_count < METHODS_MAX)
        rule->methods[rule->rule.method_count++] = cursor_line(&list, ',');
    if (rule->rule.method_count != 0)
        rule->rule.methods = rule->methods;
    return route_rule_fault(&rule->rule) == NULL;
}

static void check_names(const struct route_match *match, const struct route_rule *rule,
                        struct span path)
{
    struct span pattern = rule->path.len != 0 ? rule->path : rule->prefix, ours, theirs;
    unsigned count = 0;
    while (next_segment(&pattern, &ours) && next_segment(&path, &theirs)) {
        if (!is_name(ours))
            continue;
        FUZZ_CHECK(count < match->name_count);
        struct span_pair pair = match->names[count++];
        FUZZ_CHECK(pair.name.ptr == ours.ptr + 1 && pair.name.len == ours.len - 2);
        FUZZ_CHECK(pair.value.ptr == theirs.ptr && pair.value.len == theirs.len);
    }
    FUZZ_CHECK(count == match->name_count);
}

/* A rule that an earlier one covers matches nothing that the earlier one does not. */
static void check_covers(const struct route_rule *rules, unsigned count,
                         const struct route_query *query)
{
    for (unsigned later = 0; later < count; later++) {
        if (!rule_matches(&rules[later], query))
            continue;
        for (unsigned earlier = 0; earlier < count; earlier++)
            if (route_rule_covers(&rules[earlier], &rules[later]))
                FUZZ_CHECK(rule_matches(&rules[earlier], query));
    }
    for (unsigned i = 0; i < count; i++)
        FUZZ_CHECK(route_rule_covers(&rules[i], &rules[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rule read[RULES_MAX];
    struct route_rule rules[RULES_MAX];
    struct cursor cursor = {data, size};
    if (size > 8192)
        return 0;
    struct span request = cursor_line(&cursor, '\n');
    struct cursor words = {(const uint8_t *)request.ptr, request.len};
    struct route_query query;
    query.method = cursor_line(&words, ' ');
    query.host = cursor_line(&words, ' ');
    query.path = cursor_line(&words, ' ');
    query.listener = cursor_line(&words, ' ');
    unsigned count = 0;
    while (cursor.left > 0 && count < RULES_MAX) {
        if (read_rule(&read[count], cursor_line(&cursor, '\n'))) {
            rules[count] = read[count].rule;
            count++;
        }
    }
    /* A judged path begins with "/" or is "*", and a request has a method. */
    if (count == 0 || query.method.len == 0 || query.path.len == 0 ||
        (query.path.ptr[0] != '/' && !span_eq(query.path, SPAN("*"))))
        return 0;
    struct route_table *table = route_table_new(rules, count);
    FUZZ_CHECK(table != NULL);
    unsigned first = 0;
    while (first < count && !rule_matches(&rules[first], &query))
        first++;
    struct route_match match;
    FUZZ_CHECK(route_table_find(table, &query, &match) == (first < count));
    if (first < count) {
        FUZZ_CHECK(match.index == first);
        check_names(&match, &rules[first], query.path);
    }
    check_covers(rules, count, &query);
    route_table_free(table);
    return 0;
}
