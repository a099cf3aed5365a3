/* SPDX-License-Identifier: Apache-2.0 */
/* test_route_table.c - the first rule in file order wins, whatever tree it lives in; held against a
 * plain linear matcher on random rules and queries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/base_rng.h"
#include "route/route.h"

#define RULES(...)                                                                                 \
    (const struct route_rule[])                                                                    \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define NONE (-1)

static const struct span post[] = {SPAN("POST")};
static const struct span get_head[] = {SPAN("GET"), SPAN("HEAD")};

static int find(const struct route_table *table, const char *listener, const char *host,
                const char *path, const char *method, struct route_match *match)
{
    struct route_query query = {span_of(listener), span_of(host), span_of(path), span_of(method)};
    struct route_match own;
    if (match == NULL)
        match = &own;
    return route_table_find(table, &query, match) ? (int)match->index : NONE;
}

static void assert_span(struct span got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.ptr, want, got.len);
}

static void test_file_order(void **state)
{
    (void)state;
    const struct route_rule *rules =
        RULES({.path = SPAN("/v3/auth/tokens"), .methods = post, .method_count = 1},
              {.path = SPAN("/v1/{project}/search")},
              {.host = SPAN("images.example.com"), .prefix = SPAN("/v1/")},
              {.host = SPAN("*.example.com"), .prefix = SPAN("/v1")},
              {.path = SPAN("/v1/alice/search")}, /* hidden by 1 */
              {.prefix = SPAN("/v3"), .methods = get_head, .method_count = 2},
              {.listener = SPAN("admin"), .prefix = SPAN("/")}, {.path = SPAN("/ping")});
    struct route_table *table = route_table_new(rules, 8);
    assert_non_null(table);
    static const struct {
        const char *listener, *host, *path, *method;
        int want;
    } rows[] = {
        {"public", "h", "/v3/auth/tokens", "POST", 0},
        {"public", "h", "/v3/auth/tokens", "GET", 5},
        {"public", "h", "/v3/auth/tokens", "PUT", NONE},
        {"admin", "h", "/v3/auth/tokens", "PUT", 6},
        {"public", "h", "/v3/auth/tokens", "post", NONE},
        {"public", "h", "/v3/auth/tokens/", "POST", NONE},
        {"public", "h", "/v1/alice/search", "GET", 1},
        {"public", "images.example.com", "/v1/alice/search", "GET", 1},
        {"public", "images.example.com", "/v1/alice", "GET", 2},
        {"public", "images.example.com", "/v1/", "GET", 2},
        {"public", "images.example.com", "/v1", "GET", 3},
        {"public", "images.example.com", "/v1x", "GET", NONE},
        {"public", "IMAGES.Example.COM", "/v1/a", "GET", 2},
        {"public", "images.example.com.", "/v1/a", "GET", 2},
        {"public", "images.example.com..", "/v1/a", "GET", NONE},
        {"public", "a.b.example.com", "/v1/a", "GET", 3},
        {"public", "A.B.EXAMPLE.com.", "/v1/a", "GET", 3},
        {"public", "example.com", "/v1/a", "GET", NONE},
        {"public", ".example.com", "/v1/a", "GET", NONE},
        {"public", "badexample.com", "/v1/a", "GET", NONE},
        {"public", "", "/v1/a", "GET", NONE},
        {"public", ".", "/v1/a", "GET", NONE},
        {"public", "h", "/ping", "BREW", 7},
        {"admin", "h", "/ping", "BREW", 6},
        {"", "h", "/ping", "GET", 7},
        {"nobody", "h", "/ping", "GET", 7},
        {"public", "h", "*", "OPTIONS", NONE},
        {"admin", "h", "*", "OPTIONS", NONE},
        {"public", "h", "", "GET", NONE},
        {"admin", "h", "/", "GET", 6},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int got = find(table, rows[i].listener, rows[i].host, rows[i].path, rows[i].method, NULL);
        if (got != rows[i].want)
            print_error("row %zu: %d\n", i, got);
        assert_int_equal(got, rows[i].want);
    }
    route_table_free(table);
}

static void test_names(void **state)
{
    (void)state;
    const struct route_rule *rules =
        RULES({.path = SPAN("/v1/{project}/a/{id}")}, {.prefix = SPAN("/v2/{tenant}/")},
              {.prefix = SPAN("/")});
    struct route_table *table = route_table_new(rules, 3);
    assert_non_null(table);
    struct route_match match;
    assert_int_equal(find(table, "", "", "/v1/p%20q/a/7", "GET", &match), 0);
    assert_int_equal(match.name_count, 2);
    assert_span(match.names[0].name, "project");
    assert_span(match.names[0].value, "p%20q");
    assert_span(match.names[1].name, "id");
    assert_span(match.names[1].value, "7");
    assert_int_equal(find(table, "", "", "/v2/t/x/y", "GET", &match), 1);
    assert_int_equal(match.name_count, 1);
    assert_span(match.names[0].value, "t");
    /* An empty segment is no value. */
    assert_int_equal(find(table, "", "", "/v1/p/a/", "GET", &match), 2);
    assert_int_equal(match.name_count, 0);
    assert_int_equal(find(table, "", "", "/v2/t", "GET", &match), 2);
    route_table_free(table);
}

static void test_any_path(void **state)
{
    (void)state;
    const struct route_rule *rules = RULES(
        {.path = SPAN("/a")}, {.methods = get_head, .method_count = 2}, {.name = SPAN("rest")});
    struct route_table *table = route_table_new(rules, 3);
    assert_int_equal(find(table, "", "", "/a", "GET", NULL), 0);
    assert_int_equal(find(table, "", "", "/b", "GET", NULL), 1);
    assert_int_equal(find(table, "", "", "*", "OPTIONS", NULL), 2);
    route_table_free(table);

    table = route_table_new(NULL, 0);
    assert_non_null(table);
    assert_int_equal(find(table, "l", "h", "/", "GET", NULL), NONE);
    route_table_free(table);
    route_table_free(NULL);
}

static void test_refuses_faulty_rules(void **state)
{
    (void)state;
    assert_null(route_table_new(RULES({.path = SPAN("/a")}, {.path = SPAN("b")}), 2));
}

/* Long hosts, long segments, thousands of segments: no over-read, no match that is not one. */
static void test_hostile_sizes(void **state)
{
    (void)state;
    const struct route_rule *rules =
        RULES({.path = SPAN("/a/{x}/b")}, {.host = SPAN("*.example.com"), .prefix = SPAN("/")},
              {.host = SPAN("h"), .prefix = SPAN("/a")});
    struct route_table *table = route_table_new(rules, 3);
    size_t len = 1 << 20;
    char *text = malloc(len + 1);
    assert_non_null(text);
    text[len] = '\0';

    memset(text, '/', len);
    assert_int_equal(find(table, "", "h", text, "GET", NULL), NONE);
    for (size_t i = 0; i < len; i += 2)
        text[i + 1] = 'a';
    assert_int_equal(find(table, "", "h", text, "GET", NULL), 2);
    memset(text + 1, 'a', len - 1);
    assert_int_equal(find(table, "", "h", text, "GET", NULL), NONE);
    text[2] = '/';
    assert_int_equal(find(table, "", "h", text, "GET", NULL), 2);
    memcpy(text + len - 2, "/b", 2);
    assert_int_equal(find(table, "", "", text, "GET", NULL), 0);

    memset(text, '.', len);
    assert_int_equal(find(table, "", text, "/", "GET", NULL), NONE);
    memcpy(text + len - 12, ".example.com", 12);
    assert_int_equal(find(table, "", text, "/", "GET", NULL), 1);
    memset(text, 'x', len);
    assert_int_equal(find(table, "", text, "/", text, NULL), NONE);
    free(text);
    route_table_free(table);
}

/* ---- the property: the table agrees with a plain reading of route.h, rule by rule ---- */

static bool naive_segment(struct span pattern, struct span segment)
{
    if (pattern.len > 0 && pattern.ptr[0] == '{')
        return segment.len > 0;
    return span_eq(pattern, segment);
}

static struct span cut(struct span *rest)
{
    size_t len = span_find(*rest, '/');
    struct span first = {rest->ptr, len};
    *rest = len < rest->len ? (struct span){rest->ptr + len + 1, rest->len - len - 1} : SPAN_NONE;
    return first;
}

/* Both begin with "/". */
static bool naive_path(struct span pattern, struct span path, bool is_prefix)
{
    while (pattern.ptr != NULL) {
        if (is_prefix && pattern.len == 0 && path.ptr != NULL)
            return true; /* the pattern ended with "/" */
        if (path.ptr == NULL || !naive_segment(cut(&pattern), cut(&path)))
            return false;
    }
    return is_prefix || path.ptr == NULL;
}

static bool naive_host(struct span pattern, struct span host)
{
    if (host.len > 0 && host.ptr[host.len - 1] == '.')
        host.len--;
    if (pattern.len == 0)
        return true;
    if (pattern.ptr[0] != '*')
        return span_eq_nocase(pattern, host);
    pattern.ptr++;
    pattern.len--;
    return host.len > pattern.len &&
           span_eq_nocase(pattern, (struct span){host.ptr + host.len - pattern.len, pattern.len});
}

static bool naive_rule(const struct route_rule *rule, const struct route_query *query)
{
    if (rule->listener.len > 0 && !span_eq(rule->listener, query->listener))
        return false;
    if (!naive_host(rule->host, query->host))
        return false;
    if (rule->path.len > 0 && !naive_path(rule->path, query->path, false))
        return false;
    if (rule->prefix.len > 0 && !naive_path(rule->prefix, query->path, true))
        return false;
    if (rule->methods == NULL)
        return true;
    for (unsigned i = 0; i < rule->method_count; i++) {
        if (span_eq(rule->methods[i], query->method))
            return true;
    }
    return false;
}

static int naive_find(const struct route_rule *rules, unsigned count,
                      const struct route_query *query)
{
    for (unsigned i = 0; i < count; i++) {
        if (naive_rule(&rules[i], query))
            return (int)i;
    }
    return NONE;
}

static const struct span words[] = {SPAN("a"), SPAN("b"), SPAN("cc"), SPAN("longer-than-eight"),
                                    SPAN("longer-than-eighT")};
static const struct span hosts[] = {SPAN(""),        SPAN("a.com"),     SPAN("b.a.com"),
                                    SPAN("*.a.com"), SPAN("*.b.a.com"), SPAN("*.com")};
static const struct span query_hosts[] = {
    SPAN(""),          SPAN("a.com"), SPAN("A.com."), SPAN("b.a.com"), SPAN("x.a.com"),
    SPAN("x.b.A.com"), SPAN("com"),   SPAN("x.com."), SPAN("."),       SPAN("xa.com")};
static const struct span listeners[] = {SPAN(""), SPAN(""), SPAN("l"), SPAN("m")};
static const struct span methods[] = {SPAN("GET"), SPAN("PUT"), SPAN("BREW"),
                                      SPAN("LONGER-THAN-OTHERS")};

#define PICK(rng, array) (array)[rng_below(rng, sizeof(array) / sizeof((array)[0]))]

/* "/x/y", sometimes with {names}, sometimes with "/" at the end. */
static struct span random_path(struct rng *rng, char *out, size_t room, bool has_names)
{
    size_t len = 0;
    unsigned count = (unsigned)rng_below(rng, 5);
    for (unsigned i = 0; i < count; i++) {
        struct span word = PICK(rng, words);
        if (has_names && rng_below(rng, 3) == 0)
            len += (size_t)snprintf(out + len, room - len, "/{n%u}", i);
        else
            len += (size_t)snprintf(out + len, room - len, "/%.*s", (int)word.len, word.ptr);
    }
    if (count == 0 || rng_below(rng, 3) == 0)
        out[len++] = '/';
    return (struct span){out, len};
}

#define MANY      40
#define PATH_ROOM 160

static void random_rule(struct rng *rng, struct route_rule *rule, char *room)
{
    *rule = (struct route_rule){.name = SPAN("r"), .listener = PICK(rng, listeners)};
    if (rng_below(rng, 2) == 0)
        rule->host = PICK(rng, hosts);
    struct span path = random_path(rng, room, PATH_ROOM, true);
    unsigned form = (unsigned)rng_below(rng, 20);
    if (form < 10)
        rule->path = path;
    else if (form < 19)
        rule->prefix = path;
    if (rng_below(rng, 2) == 0) {
        rule->method_count = 1 + (unsigned)rng_below(rng, 2);
        rule->methods = &methods[rng_below(rng, 3)];
    }
}

static struct route_query random_query(struct rng *rng, char *room)
{
    struct route_query query = {
        .listener = PICK(rng, listeners),
        .host = PICK(rng, query_hosts),
        .path = random_path(rng, room, PATH_ROOM, false),
        .method = PICK(rng, methods),
    };
    if (rng_below(rng, 30) == 0)
        query.path = SPAN("*");
    return query;
}

static void check_match(const struct route_rule *rule, const struct route_match *match)
{
    struct span pattern = rule->path.len > 0 ? rule->path : rule->prefix;
    unsigned names = 0;
    for (size_t i = 0; i < pattern.len; i++)
        names += pattern.ptr[i] == '{';
    assert_int_equal(match->name_count, names);
    for (unsigned i = 0; i < names; i++)
        assert_true(match->names[i].value.len > 0);
}

static void test_agrees_with_linear(void **state)
{
    (void)state;
    struct rng rng = {{1, 2, 3, 4}};
    static char rule_room[MANY][PATH_ROOM];
    char query_room[PATH_ROOM];
    struct route_rule rules[MANY];
    unsigned found = 0;
    for (unsigned round = 0; round < 300; round++) {
        unsigned count = 1 + (unsigned)rng_below(&rng, MANY);
        for (unsigned i = 0; i < count; i++)
            random_rule(&rng, &rules[i], rule_room[i]);
        struct route_table *table = route_table_new(rules, count);
        assert_non_null(table);
        for (unsigned i = 0; i < 200; i++) {
            struct route_query query = random_query(&rng, query_room);
            struct route_match match;
            int want = naive_find(rules, count, &query);
            bool got = route_table_find(table, &query, &match);
            assert_int_equal(got ? (int)match.index : NONE, want);
            if (got)
                check_match(&rules[want], &match);
            found += got;
        }
        route_table_free(table);
    }
    assert_true(found > 1000);
}

/* Where one rule covers another, no query may reach only the later one. */
static void test_covers_is_sound(void **state)
{
    (void)state;
    struct rng rng = {{5, 6, 7, 8}};
    char rooms[3][PATH_ROOM];
    unsigned covered = 0;
    for (unsigned round = 0; round < 20000; round++) {
        struct route_rule earlier, later;
        random_rule(&rng, &earlier, rooms[0]);
        random_rule(&rng, &later, rooms[1]);
        if (!route_rule_covers(&earlier, &later))
            continue;
        covered++;
        for (unsigned i = 0; i < 100; i++) {
            struct route_query query = random_query(&rng, rooms[2]);
            if (naive_rule(&later, &query))
                assert_true(naive_rule(&earlier, &query));
        }
    }
    assert_true(covered > 100);
}

/* Ten thousand rules in one table: each is found, with the first of equals. */
static void test_ten_thousand(void **state)
{
    (void)state;
    enum {
        COUNT = 10000
    };
    char(*texts)[48] = calloc(COUNT, sizeof(*texts));
    struct route_rule *rules = calloc(COUNT + 1, sizeof(*rules));
    assert_non_null(texts);
    assert_non_null(rules);
    for (unsigned i = 0; i < COUNT; i++) {
        int len = snprintf(texts[i], sizeof(texts[i]), "/v1/{project}/service-%u/items", i);
        rules[i] = (struct route_rule){.name = SPAN("r"), .path = {texts[i], (size_t)len}};
    }
    rules[COUNT] = rules[17];
    struct route_table *table = route_table_new(rules, COUNT + 1);
    assert_non_null(table);
    for (unsigned i = 0; i < COUNT; i++) {
        char path[64];
        snprintf(path, sizeof(path), "/v1/alice/service-%u/items", i);
        struct route_match match;
        assert_int_equal(find(table, "", "h", path, "GET", &match), (int)i);
        assert_span(match.names[0].value, "alice");
    }
    route_table_free(table);
    free(rules);
    free(texts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_order),      cmocka_unit_test(test_names),
        cmocka_unit_test(test_any_path),        cmocka_unit_test(test_refuses_faulty_rules),
        cmocka_unit_test(test_hostile_sizes),   cmocka_unit_test(test_agrees_with_linear),
        cmocka_unit_test(test_covers_is_sound), cmocka_unit_test(test_ten_thousand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
