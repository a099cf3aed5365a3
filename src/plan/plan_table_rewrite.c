/* SPDX-License-Identifier: Apache-2.0 */
/* plan_table_rewrite.c - the tables of what a route changes of what it passes on.  Takes: members of a route.  Gives: a
 * struct plan_rewrite_draft. */
#include "config/config_take.h"
#include "http/http_head.h"
#include "plan/plan_rewrite.h"

/* Credentials for servers stand here. */
static const struct config_directive header_row = {
    .type = CONFIG_TEXT,
    .flags = CONFIG_PRIVATE,
    CONFIG_AT(struct plan_rewrite_header, text),
    .min = 0,
    .max = PLAN_REWRITE_TEXT_MAX,
};

static const struct config_table header_table = {
    .title = "Headers",
    .noun = "header",
    .item = &header_row,
    .size = sizeof(struct plan_rewrite_header),
    .has_name = true,
    .name_offset = offsetof(struct plan_rewrite_header, name),
};

static const char *take_removed(const struct config_take *take)
{
    struct plan_rewrite_draft_rules *rules = take->base;
    if (!http_is_token(take->text))
        return "not a header's name";
    return config_take_into(take, &rules->remove.names, &rules->remove.count);
}

static const struct config_directive request_rows[] = {
    {.key = "set",
     .type = CONFIG_MAP,
     CONFIG_AT(struct plan_rewrite_draft_rules, set),
     .nested = &header_table,
     .max = PLAN_REWRITE_RULES_MAX,
     .absent = "none",
     .doc = "Headers with their values, in place of every line of that name; a value may name "
            "`${variables}`."},
    {.key = "add",
     .type = CONFIG_MAP,
     CONFIG_AT(struct plan_rewrite_draft_rules, add),
     .nested = &header_table,
     .max = PLAN_REWRITE_RULES_MAX,
     .absent = "none",
     .doc = "The same beside what is there."},
    {.key = "remove",
     .type = CONFIG_TEXTS,
     .min = 0,
     .max = PLAN_REWRITE_RULES_MAX,
     .absent = "none",
     .take = take_removed,
     .doc = "Names of headers that are not passed on, in whatever case, with \"-\" or \"_\"."},
};

static const struct config_table request_table = {
    .title = "Rules for request headers",
    .noun = "rule",
    CONFIG_ROWS_OF(request_rows),
    .size = sizeof(struct plan_rewrite_draft_rules),
};

static const struct config_directive response_rows[] = {
    {.key = "", .type = CONFIG_MERGE, .offset = 0, .nested = &request_table},
    {.key = "always",
     .type = CONFIG_BOOL,
     CONFIG_AT(struct plan_rewrite_draft_rules, is_always),
     .fallback = "false",
     .doc = "Also in what Sluice answers by itself once the route is known: errors and refusals."},
};

static const struct config_table response_table = {
    .title = "Rules for response headers",
    .noun = "rule",
    CONFIG_ROWS_OF(response_rows),
    .size = sizeof(struct plan_rewrite_draft_rules),
};

static const struct config_directive rows[] = {
    {.key = "strip_prefix",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct plan_rewrite_draft, prefix.strip),
     .min = 1,
     .max = 1024,
     .absent = "nothing",
     .doc = "What is taken from the beginning of the path before it is forwarded, at a segment's "
            "end; a segment {name} stands for any one."},
    {.key = "add_prefix",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct plan_rewrite_draft, prefix.add),
     .min = 1,
     .max = 1024,
     .absent = "nothing",
     .doc = "What is put before the path that is forwarded, in place of strip_prefix."},
    {.key = "request_headers",
     .type = CONFIG_OBJECT,
     .flags = CONFIG_OPTIONAL,
     CONFIG_AT(struct plan_rewrite_draft, request),
     .nested = &request_table,
     .absent = "as they came",
     .doc = "What is changed of the headers that are forwarded to servers."},
    {.key = "response_headers",
     .type = CONFIG_OBJECT,
     .flags = CONFIG_OPTIONAL,
     CONFIG_AT(struct plan_rewrite_draft, response),
     .nested = &response_table,
     .absent = "as they came",
     .doc = "What is changed of the headers that clients get."},
};

const struct config_table PLAN_REWRITE = {
    .title = "What a route changes",
    .noun = "rule",
    CONFIG_ROWS_OF(rows),
    .size = sizeof(struct plan_rewrite_draft),
};
