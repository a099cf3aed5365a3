/* SPDX-License-Identifier: Apache-2.0 */
/* plan_show.c - plans for people: the effective file, what differs, the schema, the reference.  Takes:
 * plans, which keep their file's text.  Never: shows a secret. */
#include "config/config_effective.h"
#include "config/config_schema.h"
#include "config/config_reference.h"
#include "plan/plan_draft.h"

/* A plan's file, read again. */
struct reading {
    struct config_report report;
    struct config_doc doc;
    struct config_version version;
};

/* Names that plan_link gave to listeners and routes. */
static struct span given_name(const void *arg, struct span key, unsigned index)
{
    const struct plan *plan = arg;
    if (span_eq(key, SPAN("routes")) && index < plan->route_count)
        return plan->routes[index].rule->name;
    if (span_eq(key, SPAN("listen")) && index < plan->listener_count)
        return plan->listeners[index].name;
    return SPAN_NONE;
}

static bool reading_open(struct reading *reading, const struct plan *plan)
{
    const struct plan_draft *draft = (const struct plan_draft *)(const void *)plan;
    config_report_init(&reading->report);
    config_doc_init(&reading->doc, &reading->report, draft->text);
    reading->version = (struct config_version){&reading->doc, draft->secrets, given_name, plan};
    return reading->doc.root != NULL && !reading->report.is_out_of_memory;
}

static void reading_close(struct reading *reading)
{
    config_doc_fini(&reading->doc);
    config_report_fini(&reading->report);
}

char *plan_dump(const struct plan *plan)
{
    struct reading reading;
    char *text = reading_open(&reading, plan) ? config_dump(&PLAN_TABLE, &reading.version) : NULL;
    reading_close(&reading);
    return text;
}

bool plan_compare(const struct plan *old, const struct plan *next, config_change_fn on_change,
                  void *arg)
{
    struct reading before, after;
    bool is_good = reading_open(&before, old);
    is_good = reading_open(&after, next) && is_good;
    is_good =
        is_good && config_compare(&PLAN_TABLE, &before.version, &after.version, on_change, arg);
    reading_close(&before);
    reading_close(&after);
    return is_good;
}

const char *plan_change_fault(const struct plan *old, const struct plan *next,
                              char why[PLAN_CHANGE_FAULT_MAX])
{
    struct reading before, after;
    const char *sentence = "there is no memory to compare the two";
    bool is_read = reading_open(&before, old);
    if (reading_open(&after, next) && is_read)
        sentence = config_restart_fault(&PLAN_TABLE, &before.version, &after.version, why);
    reading_close(&before);
    reading_close(&after);
    return sentence;
}

char *plan_schema(void)
{
    return config_schema(&PLAN_TABLE, "Configuration of Sluice");
}

char *plan_reference(void)
{
    return config_reference(&PLAN_TABLE);
}
