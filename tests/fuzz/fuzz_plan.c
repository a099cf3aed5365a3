/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_plan.c - any bytes as a whole configuration.  Checked: a plan or errors, never both; the dump of a plan is a
 * configuration that loads to the same dump and differs in nothing; header lines are whole, whatever their values. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "plan/plan.h"
#include "plan/plan_difference.h"

static bool read_secret(void *arg, struct span name, struct span *text, char why[256])
{
    (void)arg;
    (void)why;
    *text = name; /* its own name is the secret */
    return true;
}

static struct plan *build(struct span text)
{
    struct plan_file file = {SPAN("f"), text};
    struct plan_report report;
    struct plan *plan = plan_build(&file, read_secret, NULL, NULL, 1, &report);
    FUZZ_CHECK((plan == NULL) == (report.errors != 0));
    FUZZ_CHECK(report.text != NULL && report.json != NULL);
    plan_report_fini(&report);
    return plan;
}

/* With the input itself for every value. */
static void check_rules(const struct plan_rewrite_rules *rules, struct span value)
{
    struct span values[PLAN_REWRITE_VALUES];
    unsigned lines = 0;
    if (rules == NULL)
        return;
    FUZZ_CHECK(rules->max_bytes <= PLAN_REWRITE_LINES_MAX);
    for (unsigned i = 0; i < PLAN_REWRITE_VALUES; i++)
        values[i] = i % 2 == 0 ? value : SPAN("v");
    char *out = malloc(rules->max_bytes + 1);
    FUZZ_CHECK(out != NULL);
    const char *end = plan_rewrite_write(out, rules, values);
    FUZZ_CHECK((size_t)(end - out) <= rules->max_bytes);
    for (const char *at = out; at < end; lines++) {
        const struct span rest = {at, (size_t)(end - at)};
        const size_t colon = span_find(rest, ':'), len = span_find(rest, '\n') + 1;
        FUZZ_CHECK(len <= rest.len && http_is_token((struct span){at, colon}));
        FUZZ_CHECK(at[colon + 1] == ' ' && at[len - 2] == '\r');
        FUZZ_CHECK(http_is_value(span_trim((struct span){at + colon + 2, len - colon - 4})));
        at += len;
    }
    FUZZ_CHECK(lines <= rules->line_count);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct plan *plan = build((struct span){(const char *)data, size});
    if (plan == NULL)
        return 0;
    for (unsigned i = 0; i < plan->route_count; i++) {
        if (plan->routes[i].rewrite != NULL)
            check_rules(&plan->routes[i].rewrite->headers, (struct span){(const char *)data, size});
        check_rules(plan->routes[i].response_rules, (struct span){(const char *)data, size});
    }
    char *dump = plan_dump(plan);
    FUZZ_CHECK(dump != NULL);
    struct plan *again = build(span_of(dump));
    FUZZ_CHECK(again != NULL);
    char *second = plan_dump(again), why[PLAN_CHANGE_FAULT_MAX];
    struct plan_difference difference;
    FUZZ_CHECK(second != NULL && strcmp(dump, second) == 0);
    FUZZ_CHECK(plan_difference_make(&difference, again, again) && difference.count == 0);
    FUZZ_CHECK(plan_change_fault(again, again, why) == NULL);
    free(dump);
    free(second);
    plan_difference_fini(&difference);
    plan_unref(&plan);
    plan_unref(&again);
    return 0;
}
