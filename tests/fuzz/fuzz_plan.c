/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_plan.c - any bytes as a whole configuration.  Checked: a plan or errors, never both; the dump of a plan is a
 * configuration that loads to the same dump and differs in nothing. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "plan/plan.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct plan *plan = build((struct span){(const char *)data, size});
    if (plan == NULL)
        return 0;
    char *dump = plan_dump(plan);
    FUZZ_CHECK(dump != NULL);
    struct plan *again = build(span_of(dump));
    FUZZ_CHECK(again != NULL);
    char *second = plan_dump(again), *diff = plan_diff(again, again);
    FUZZ_CHECK(second != NULL && strcmp(dump, second) == 0);
    FUZZ_CHECK(diff != NULL && diff[0] == '\0');
    FUZZ_CHECK(plan_change_fault(again, again) == NULL);
    free(dump);
    free(second);
    free(diff);
    plan_unref(&plan);
    plan_unref(&again);
    return 0;
}
