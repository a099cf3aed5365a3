/* SPDX-License-Identifier: Apache-2.0 */
/* bench_route - nanoseconds per route_table_find with 1, 100 and 10,000 routes.  Each table mixes exact
 * paths, templates and prefixes on 50 hosts; queries hit random rules, or none ("miss"), or are hostile
 * (thousands of segments).  Cost may rise with cache misses, not with the number of rules. */
#include <stdio.h>
#include <stdlib.h>

#include "base/base_clock.h"
#include "base/base_rng.h"
#include "route/route.h"

#define HOSTS   50u
#define QUERIES 4096u
#define ROUNDS  64u
#define TEXT    64u

struct texts {
    char path[TEXT], host[TEXT];
};

static struct span write_path(char *out, unsigned i, bool is_query)
{
    int len = 0;
    if (i % 3 == 0)
        len = snprintf(out, TEXT, "/v1/items-%u/list", i);
    else if (i % 3 == 1)
        len = snprintf(out, TEXT, "/v1/%s/items-%u", is_query ? "alice" : "{project}", i);
    else
        len = snprintf(out, TEXT, "/v2/items-%u/%s", i, is_query ? "a/b" : "");
    return (struct span){out, (size_t)len};
}

static struct span write_host(char *out, unsigned i, bool is_query)
{
    const char *first = i % 7 != 0 ? "" : is_query ? "www." : "*.";
    int len = snprintf(out, TEXT, "%sh%u.example.com", first, i % HOSTS);
    return (struct span){out, (size_t)len};
}

static void make_rule(struct route_rule *rule, struct texts *text, unsigned i)
{
    static const struct span methods[] = {SPAN("GET"), SPAN("POST")};
    struct span path = write_path(text->path, i, false);
    *rule = (struct route_rule){.name = SPAN("r"), .host = write_host(text->host, i, false)};
    if (i % 3 == 2)
        rule->prefix = path;
    else
        rule->path = path;
    if (i % 5 == 0) {
        rule->methods = methods;
        rule->method_count = 2;
    }
}

static void make_hit(struct route_query *query, struct texts *text, unsigned i)
{
    *query = (struct route_query){
        .listener = SPAN("public"),
        .host = write_host(text->host, i, true),
        .path = write_path(text->path, i, true),
        .method = SPAN("GET"),
    };
}

static double run(const struct route_table *table, const struct route_query *queries,
                  unsigned *found)
{
    uint64_t best_us = UINT64_MAX;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t begin_us = clock_mono_us();
        for (unsigned i = 0; i < QUERIES; i++) {
            struct route_match match;
            *found += route_table_find(table, &queries[i], &match);
        }
        uint64_t took_us = clock_mono_us() - begin_us;
        if (took_us < best_us)
            best_us = took_us;
    }
    return (double)best_us * 1000.0 / QUERIES;
}

static int bench(unsigned count, struct rng *rng)
{
    struct route_rule *rules = calloc(count, sizeof(*rules));
    struct texts *texts = calloc(count + QUERIES, sizeof(*texts));
    struct route_query *queries = calloc(QUERIES, sizeof(*queries));
    struct route_table *table = NULL;
    int code = EXIT_FAILURE;
    if (rules == NULL || texts == NULL || queries == NULL)
        goto out;
    for (unsigned i = 0; i < count; i++)
        make_rule(&rules[i], &texts[i], i);
    uint64_t begin_us = clock_mono_us();
    table = route_table_new(rules, count);
    if (table == NULL)
        goto out;
    double build_ms = (double)(clock_mono_us() - begin_us) / 1000.0;

    unsigned hits = 0, misses = 0, hostile = 0;
    for (unsigned i = 0; i < QUERIES; i++)
        make_hit(&queries[i], &texts[count + i], (unsigned)rng_below(rng, count));
    double hit_ns = run(table, queries, &hits);
    for (unsigned i = 0; i < QUERIES; i++)
        queries[i].host = SPAN("nobody.example.org");
    double miss_ns = run(table, queries, &misses);
    static char path[32768];
    for (unsigned i = 0; i < sizeof(path); i++)
        path[i] = i % 2 == 0 ? '/' : 'a';
    for (unsigned i = 0; i < QUERIES; i++) {
        queries[i].path = (struct span){path, sizeof(path)};
        queries[i].host = SPAN("h1.example.com");
    }
    double hostile_ns = run(table, queries, &hostile);
    printf("%6u routes: build %8.2f ms, hit %6.1f ns, miss %6.1f ns, hostile %6.1f ns\n", count,
           build_ms, hit_ns, miss_ns, hostile_ns);
    code = hits == ROUNDS * QUERIES && misses + hostile == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
out:
    route_table_free(table);
    free(rules);
    free(texts);
    free(queries);
    return code;
}

int main(void)
{
    struct rng rng = {{1, 2, 3, 4}};
    int code = EXIT_SUCCESS;
    static const unsigned counts[] = {1, 100, 10000};
    for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        if (bench(counts[i], &rng) != EXIT_SUCCESS)
            code = EXIT_FAILURE;
    }
    return code;
}
