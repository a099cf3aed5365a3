/* SPDX-License-Identifier: Apache-2.0 */
/* admin_log.c - see admin_log.h.  A level always ends: who forgets it fills no disk. */
#include "admin/admin_log.h"

#include "admin/admin_audit.h"
#include "admin/admin_query.h"
#include "base/base_log.h"

#define FOR_DEFAULT_US UINT64_C(600000000)
#define FOR_MAX_US     UINT64_C(86400000000)

static const char *const LEVELS[] = {
    [LOG_LEVEL_DEBUG] = "debug",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_ERROR] = "error",
};
#define LEVEL_COUNT (sizeof(LEVELS) / sizeof(LEVELS[0]))

static const char *level_name(unsigned level)
{
    return level < LEVEL_COUNT ? LEVELS[level] : "?";
}

void admin_log_reopen(struct admin_conn *conn, struct span query)
{
    const struct admin_hooks *hooks = &conn->admin->env.hooks;
    char why[ADMIN_WHY_MAX];
    (void)query;
    bool is_good = hooks->reopen(hooks->arg, why);
    admin_audit_change(conn, "log:reopen", NULL, NULL,
                       json_pack("{s:b}", "reopened", is_good ? 1 : 0));
    if (is_good)
        admin_send_json(conn, 200, json_pack("{s:b}", "reopened", 1));
    else
        admin_send_problem(conn, 500, why);
}

/* NULL, or what is wrong.  *for_us 0: the configured level, at once. */
static const char *read_order(struct span query, unsigned configured, unsigned *level,
                              uint64_t *for_us)
{
    char text[ADMIN_QUERY_VALUE_MAX];
    size_t len;
    bool is_found = false;
    if (!admin_query_find(query, "level", text, &len))
        return "\"level\" must be given once";
    for (unsigned i = 0; i < LEVEL_COUNT; i++) {
        if (span_eq((struct span){text, len}, span_of(LEVELS[i]))) {
            *level = i;
            is_found = true;
        }
    }
    *for_us = FOR_DEFAULT_US;
    if (!is_found && span_eq((struct span){text, len}, SPAN("configured"))) {
        *level = configured;
        *for_us = 0;
        return NULL;
    }
    if (!is_found)
        return "\"level\" must be debug, info, warn, error or configured";
    if (!admin_query_duration(query, "for", 1000000, FOR_MAX_US, for_us))
        return "\"for\" must be a time such as 10m, from 1s to 24h";
    return NULL;
}

void admin_log_level(struct admin_conn *conn, struct span query)
{
    const struct admin_hooks *hooks = &conn->admin->env.hooks;
    struct admin_facts facts = {0};
    unsigned level = 0;
    uint64_t for_us = 0;
    hooks->facts(hooks->arg, &facts);
    const char *fault = read_order(query, facts.plan->log_level, &level, &for_us);
    if (fault != NULL) {
        admin_send_problem(conn, 400, fault);
        return;
    }
    const json_int_t for_s = (json_int_t)(for_us / 1000000);
    const char *before = level_name(facts.log_level);
    if (!hooks->set_level(hooks->arg, level, (uint32_t)for_s)) {
        admin_send_problem(conn, 503, "the parent process cannot be told: try again");
        return;
    }
    admin_audit_change(conn, "log:level", NULL, json_pack("{s:s}", "level", before),
                       json_pack("{s:s, s:I}", "level", level_name(level), "for_s", for_s));
    admin_send_json(conn, 200,
                    json_pack("{s:s, s:s, s:s, s:I}", "level", level_name(level), "was", before,
                              "configured", level_name(facts.plan->log_level), "for_s", for_s));
}
