/* SPDX-License-Identifier: Apache-2.0 */
/* plan_bench.h - building plans from texts in tests.  Texts are written with ' for ", and a part of a
 * good configuration is replaced by something else. */
#ifndef SLUICE_TESTS_PLAN_BENCH_H
#define SLUICE_TESTS_PLAN_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plan/plan.h"

#define BENCH_TEXT_MAX 65536

/* Uses every section; nothing in it is warned about. */
static const char bench_good[] =
    "// A configuration that uses every section.\n"
    "{\n"
    "  'listen': [{ 'name': 'public', 'address': '127.0.0.1:8080' },\n"
    "             { 'address': 'unix:/tmp/s.sock' }],\n"
    "  'trusted_proxies': ['10.0.0.0/8', 'unix'],\n"
    "  'client_address': 'x-forwarded-for',\n"
    "  'workers': 2,\n"
    "  'store': { 'type': 'memory', 'state_file': '/tmp/state', 'subjects': 1000 },\n"
    "  'subject_secret': { 'env': 'BENCH_SECRET' },\n"
    "  'upstreams': {\n"
    "    'app': { 'servers': ['127.0.0.1:9000', { 'address': 'app.internal:9001' }],\n"
    "             'timeouts': { 'connect': '2s', 'first_byte': '10s' }, 'pool_max': 8 },\n"
    "    'other': { 'servers': ['[::1]:9000'] }\n"
    "  },\n"
    "  'identities': {\n"
    "    'user': { 'from': ['header:X-Auth-Token', 'access_key'], 'missing': 'skip' },\n"
    "    'project': { 'from': ['path:project'] }\n"
    "  },\n"
    "  'quotas': {\n"
    "    'user': { 'key': ['user'], 'limits': { 'minute': 60, 'day': 1000 } },\n"
    "    'ip': { 'key': ['ip'], 'limits': { 'minute': 100, '5 minutes': 300 }, 'on_failure': "
    "'deny' },\n"
    "    'project': { 'key': ['project', 'route'], 'limits': { 'second': 10 } }\n"
    "  },\n"
    "  'routes': [\n"
    "    { 'name': 'search', 'path': '/v1/{project}/search', 'quotas': ['user', 'ip', 'project'],\n"
    "      'cost': 5, 'upstream': 'app' },\n"
    "    { 'name': 'api', 'listener': 'public', 'host': 'API.example.com', 'prefix': '/v1/',\n"
    "      'methods': ['GET', 'POST'], 'quotas': ['ip', 'user'], 'upstream': 'other',\n"
    "      'headers': { 'used': 'consumed' } },\n"
    "    { 'path': '/ping', 'respond': { 'status': 201, 'json': { 'ok' : true, 'n': 1.50 } } },\n"
    "    { 'prefix': '/', 'respond': { 'status': 404, 'text': 'nothing here' } }\n"
    "  ],\n"
    "  'headers': { 'dialects': ['x-ratelimit'], 'used': 'remaining', 'request_id': 'short',\n"
    "               'request_id_host': 'edge-1' },\n"
    "  'limits': { 'request_line': '8KiB', 'body': '12MiB', 'connections': 500,\n"
    "              'header_timeout': '5s', 'body_min_rate': '2KiB/s' },\n"
    "  'log': { 'access': 'off', 'error': 'stderr', 'level': 'warn' },\n"
    "  'admin': { 'address': 'unix:/tmp/admin.sock', 'metrics': '127.0.0.1:9180' }\n"
    "}\n";

/* ' to ", and a malloc'ed copy of exact size, so that ASan sees a byte read too far. */
static inline struct span bench_text(const char *text)
{
    size_t len = strlen(text);
    char *copy = malloc(len == 0 ? 1 : len);
    assert_non_null(copy);
    for (size_t i = 0; i < len; i++)
        copy[i] = text[i] == '\'' ? '"' : text[i];
    return (struct span){copy, len};
}

/* The good text with its only `part` replaced. */
static inline struct span bench_replace(const char *part, const char *with)
{
    char text[BENCH_TEXT_MAX];
    const char *at = strstr(bench_good, part);
    assert_non_null(at);
    assert_null(strstr(at + 1, part));
    snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - bench_good), bench_good, with,
             at + strlen(part));
    return bench_text(text);
}

/* Secret files: "good", "newline", "empty", all others are missing. */
static inline bool bench_read(void *arg, struct span name, struct span *text, char why[256])
{
    static const struct {
        const char *name, *text;
    } files[] = {{"good", "s3cret"},
                 {"newline", "s3cret\n"},
                 {"two", "s3cret\n\n"},
                 {"empty", ""},
                 {"blank", "\n"}};
    (void)arg;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (!span_eq(name, span_of(files[i].name)))
            continue;
        *text = span_of(files[i].text);
        return true;
    }
    snprintf(why, 256, "No such file or directory");
    return false;
}

static inline struct plan *bench_build(struct span text, struct plan_report *report)
{
    struct plan_file file = {SPAN("t.json"), text};
    setenv("BENCH_SECRET", "0123456789abcdef", 1);
    unsetenv("BENCH_UNSET");
    setenv("BENCH_EMPTY", "", 1);
    return plan_build(&file, bench_read, NULL, NULL, 7, report);
}

/* A plan that must be without fault. */
static inline struct plan *bench_plan(struct span text)
{
    struct plan_report report;
    struct plan *plan = bench_build(text, &report);
    if (plan == NULL)
        print_error("%s", report.text);
    assert_non_null(plan);
    plan_report_fini(&report);
    free((char *)(uintptr_t)text.ptr);
    return plan;
}

#endif
