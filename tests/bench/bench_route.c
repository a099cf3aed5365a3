/* SPDX-License-Identifier: Apache-2.0 */
/* bench_route.c - what route_table_find costs with 1, 100 and 10,000 routes.  Each table mixes exact paths, templates
 * and prefixes on 50 hosts; queries hit random rules, or none ("miss"), or are hostile (thousands of segments).  Cost may
 * rise with cache misses, not with the number of rules. */
#include "bench_rows.h"

#include "base/base_rng.h"
#include "route/route.h"

#define HOSTS   50u
#define QUERIES 4096u
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

/* Owner: this program; made when it is first asked. */
struct setting {
    unsigned count;
    struct route_table *table;
    struct route_query hits[QUERIES], misses[QUERIES], hostile;
    unsigned at;
};

static struct setting settings[] = {{.count = 1}, {.count = 100}, {.count = 10000}};
static char hostile_path[32768];

static struct setting *prepare(struct setting *setting)
{
    struct rng rng = {{1, 2, 3, 4}};
    if (setting->table != NULL)
        return setting;
    struct route_rule *rules = calloc(setting->count, sizeof(*rules));
    struct texts *texts = calloc(setting->count + QUERIES, sizeof(*texts));
    if (rules == NULL || texts == NULL)
        exit(EXIT_FAILURE);
    for (unsigned i = 0; i < setting->count; i++)
        make_rule(&rules[i], &texts[i], i);
    setting->table = route_table_new(rules, setting->count);
    if (setting->table == NULL)
        exit(EXIT_FAILURE);
    for (unsigned i = 0; i < QUERIES; i++) {
        make_hit(&setting->hits[i], &texts[setting->count + i],
                 (unsigned)rng_below(&rng, setting->count));
        setting->misses[i] = setting->hits[i];
        setting->misses[i].host = SPAN("nobody.example.org");
    }
    for (unsigned i = 0; i < sizeof(hostile_path); i++)
        hostile_path[i] = i % 2 == 0 ? '/' : 'a';
    setting->hostile = setting->hits[0];
    setting->hostile.host = SPAN("h1.example.com");
    setting->hostile.path = (struct span){hostile_path, sizeof(hostile_path)};
    return setting;
}

static bool hit(struct setting *setting)
{
    struct route_match match;
    prepare(setting);
    return route_table_find(setting->table, &setting->hits[setting->at++ % QUERIES], &match);
}

static bool miss(struct setting *setting)
{
    struct route_match match;
    prepare(setting);
    return !route_table_find(setting->table, &setting->misses[setting->at++ % QUERIES], &match);
}

static bool hit_1(void)
{
    return hit(&settings[0]);
}

static bool hit_100(void)
{
    return hit(&settings[1]);
}

static bool hit_10000(void)
{
    return hit(&settings[2]);
}

static bool miss_10000(void)
{
    return miss(&settings[2]);
}

static bool hostile_10000(void)
{
    struct route_match match;
    struct setting *setting = prepare(&settings[2]);
    return !route_table_find(setting->table, &setting->hostile, &match);
}

int main(int argc, char **argv)
{
    static const struct bench_row rows[] = {
        {"find a route among 1", hit_1},
        {"find a route among 100", hit_100},
        {"find a route among 10,000", hit_10000},
        {"find none among 10,000", miss_10000},
        {"find none among 10,000 for a path of 16,384 segments", hostile_10000},
    };
    return bench_main(argc, argv, rows, sizeof(rows) / sizeof(rows[0]));
}
