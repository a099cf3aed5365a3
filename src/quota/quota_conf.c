/* SPDX-License-Identifier: Apache-2.0 */
/* quota_conf.c - takes: the members of one quota in the file.  Gives: a struct quota without its key.
 * Never: two windows of one period. */
#include "quota/quota_conf.h"

#include "quota/quota.h"

const char *const QUOTA_CONF_ON_FAILURE[] = {
    [QUOTA_FAIL_LOCAL] = "local",
    [QUOTA_FAIL_ALLOW] = "allow",
    [QUOTA_FAIL_DENY] = "deny",
    NULL,
};

static const char *const units[] = {"second", "minute", "hour", "day", NULL};
static const char *const later_limits[] = {"tier", "unlimited", NULL};

static const char *take_limit(const struct config_take *take)
{
    struct quota *quota = take->base;
    if (quota->limit_count == QUOTA_WINDOWS_MAX)
        return "a quota has at most 4 windows";
    struct quota_limit limit = {0};
    const char *sentence = quota_limit_parse(&limit, take->text);
    if (sentence != NULL)
        return sentence;
    limit.limit = take->number;
    for (unsigned i = 0; i < quota->limit_count; i++) {
        if (quota->limits[i].period_s == limit.period_s)
            return "another window of this quota is just as long";
    }
    quota->limits[quota->limit_count++] = limit;
    return NULL;
}

static const struct config_directive rows[] = {
    {.key = "key",
     .type = CONFIG_TEXTS,
     .flags = CONFIG_REQUIRED,
     .min = 1,
     .max = QUOTA_KEY_MAX,
     .doc = "Who is counted: names of identities or sources such as \"ip\"; the combination is the "
            "subject."},
    {.key = "limits",
     .type = CONFIG_AMOUNTS,
     .flags = CONFIG_REQUIRED,
     .min = 0,
     .max = 2147483647,
     .unit = "requests",
     .words = units,
     .later = later_limits,
     .take = take_limit,
     .pattern = "^[0-9]+ (seconds?|minutes?|hours?|days?)$",
     .doc = "How many requests per window: \"second\", \"minute\", \"hour\", \"day\" or \"5 "
            "minutes\"; "
            "at most 4, charged all or none."},
    {.key = "on_failure",
     .type = CONFIG_CHOICE,
     CONFIG_AT(struct quota, on_failure),
     .absent = "the store's",
     .words = QUOTA_CONF_ON_FAILURE,
     .doc =
         "What happens while the store is away: this proxy's own share, let everything through, or "
         "answer 503."},
    {.key = "algorithm", .type = CONFIG_LATER},
    {.key = "mode", .type = CONFIG_LATER},
    {.key = "accuracy", .type = CONFIG_LATER},
    {.key = "exempt", .type = CONFIG_LATER},
    {.key = "charge", .type = CONFIG_LATER},
    {.key = "in_flight", .type = CONFIG_LATER},
    {.key = "burst", .type = CONFIG_LATER},
    {.key = "default_tier", .type = CONFIG_LATER},
    {.key = "members", .type = CONFIG_LATER},
    {.key = "durable", .type = CONFIG_LATER},
};

const struct config_table QUOTA_CONF = {
    .title = "A quota",
    .noun = "quota",
    CONFIG_ROWS_OF(rows),
    .size = sizeof(struct quota),
    .has_name = true,
    .name_offset = offsetof(struct quota, name),
};
