/* SPDX-License-Identifier: Apache-2.0 */
/* quota_conf.c - takes: the members of one quota in the file.  Gives: a struct quota without its key.
 * Never: two windows of one period. */
#include "quota/quota_conf.h"

#include "config/config_doc.h"
#include "quota/quota_algorithm.h"

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

static const char *const algorithms[] = {
    [QUOTA_FIXED] = "fixed",
    [QUOTA_SLIDING] = "sliding",
    [QUOTA_BUCKET] = "token_bucket",
    NULL,
};

static const char *const modes[] = {
    [QUOTA_ENFORCE] = "enforce",
    [QUOTA_SHADOW] = "shadow",
    NULL,
};

static const char *take_status(const struct config_take *take)
{
    return quota_status_add(take->base, take->text);
}

static const struct config_directive charge_rows[] = {
    {.key = "on",
     .type = CONFIG_TEXTS,
     .flags = CONFIG_REQUIRED,
     .min = 1,
     .max = QUOTA_STATUSES_MAX + 5,
     .take = take_status,
     .doc =
         "Statuses whose requests stay charged: classes (\"2xx\") and single ones (\"404\"); the "
         "others, and requests without a response, are given back."},
};

static const struct config_table charge_table = {
    .title = "What is charged",
    .noun = "charge",
    CONFIG_ROWS_OF(charge_rows),
    .size = sizeof(struct quota_statuses),
};

static const char *take_exempt_address(const struct config_take *take)
{
    struct quota_exempt *exempt = take->base;
    struct ip_net net;
    if (!ip_net_parse(&net, take->text))
        return "not a network such as \"10.0.0.0/8\" (no bits behind the prefix), or an address";
    /* Room for all at the first; nets are written once. */
    struct ip_net *nets = (struct ip_net *)(void *)(uintptr_t)exempt->nets;
    if (nets == NULL)
        nets = arena_take(take->arena, take->count * sizeof(*nets));
    if (nets == NULL)
        return "out of memory";
    nets[exempt->net_count++] = net;
    exempt->nets = nets;
    return NULL;
}

static const char *take_exempt_subject(const struct config_take *take)
{
    struct quota_exempt *exempt = take->base;
    struct span hash = SPAN("hash:"), text = take->text;
    if (text.len == 0)
        return "must not be empty";
    if (span_starts_with(text, hash)) {
        text = (struct span){text.ptr + hash.len, text.len - hash.len};
        if (text.len != 22)
            return "must be \"hash:\" and the 22 characters that logs show";
    }
    struct span *subjects = (struct span *)(void *)(uintptr_t)exempt->subjects;
    if (subjects == NULL)
        subjects = arena_take(take->arena, take->count * sizeof(*subjects));
    if (subjects == NULL)
        return "out of memory";
    subjects[exempt->subject_count++] = text;
    exempt->subjects = subjects;
    return NULL;
}

static const struct config_directive exempt_rows[] = {
    {.key = "addresses",
     .type = CONFIG_TEXTS,
     .max = 10000,
     .absent = "none",
     .take = take_exempt_address,
     .doc = "Networks and addresses of clients that this quota does not count."},
    {.key = "subjects",
     .type = CONFIG_TEXTS,
     .max = 10000,
     .absent = "none",
     .take = take_exempt_subject,
     .doc =
         "Subjects that it does not count, as logs show them: a clear value, or \"hash:\" and the "
         "22 characters."},
    {.key = "preflight",
     .type = CONFIG_BOOL,
     CONFIG_AT(struct quota_exempt, has_preflight),
     .fallback = "false",
     .doc = "Do not count CORS preflights: OPTIONS with Origin and Access-Control-Request-Method."},
};

static const struct config_table exempt_table = {
    .title = "What a quota does not count",
    .noun = "exemption",
    CONFIG_ROWS_OF(exempt_rows),
    .size = sizeof(struct quota_exempt),
};

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
    {.key = "algorithm",
     .type = CONFIG_CHOICE,
     CONFIG_AT(struct quota, algorithm),
     .fallback = "\"fixed\"",
     .words = algorithms,
     .doc =
         "How windows are counted: by the UTC calendar, over the last period (estimated from this "
         "window and the one before), or as a bucket that fills evenly."},
    {.key = "burst",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct quota, burst),
     .min = 1,
     .max = 2147483647,
     .unit = "requests",
     .absent = "the limit",
     .doc = "Of a token bucket: how many requests it holds when it is full."},
    {.key = "mode",
     .type = CONFIG_CHOICE,
     CONFIG_AT(struct quota, mode),
     .fallback = "\"enforce\"",
     .words = modes,
     .doc = "Enforce it, or try it in its shadow: counted, logged and measured, but no request is "
            "refused or delayed by it and no header shows it."},
    {.key = "accuracy", .type = CONFIG_LATER},
    {.key = "exempt",
     .type = CONFIG_OBJECT,
     .flags = CONFIG_OPTIONAL,
     CONFIG_AT(struct quota, exempt),
     .nested = &exempt_table,
     .absent = "everything counts",
     .doc = "Requests that this quota does not count."},
    {.key = "charge",
     .type = CONFIG_OBJECT,
     .flags = CONFIG_OPTIONAL,
     CONFIG_AT(struct quota, charge_on),
     .nested = &charge_table,
     .absent = "every request",
     .doc = "Which requests stay charged once their response is known."},
    {.key = "in_flight", .type = CONFIG_LATER},
    {.key = "default_tier", .type = CONFIG_LATER},
    {.key = "members", .type = CONFIG_LATER},
    {.key = "durable", .type = CONFIG_LATER},
};

/* NULL, or what a token bucket cannot be. */
static const char *bucket_fault(const struct quota *quota, const struct quota_limit *limit)
{
    uint64_t most = quota->burst != 0 ? quota->burst : limit->limit;
    if (limit->limit == 0)
        return NULL;
    if (limit->limit / limit->period_s >= QUOTA_BUCKET_RATE)
        return "a token bucket gives less than 1000000 requests a second";
    if (most * limit->period_s / limit->limit > QUOTA_BUCKET_FILL_S)
        return "this bucket would take more than 10 days to fill; set a smaller \"burst\"";
    return NULL;
}

static void check_quota(struct config_doc *doc, const struct config_node *node, void *base)
{
    const struct quota *quota = base;
    const struct config_node *limits = config_find(node, "limits"),
                             *burst = config_find(node, "burst");
    if (burst != NULL && quota->algorithm != QUOTA_BUCKET)
        config_key_error(doc, burst, "only with \"algorithm\": \"token_bucket\"");
    else if (burst != NULL && quota->limit_count > 1)
        config_key_error(doc, burst, "only with a single limit");
    if (quota->algorithm == QUOTA_SLIDING && quota->limit_count > QUOTA_SLIDING_MAX)
        config_error(doc, limits, "with \"algorithm\": \"sliding\" a quota has at most 2 windows");
    for (unsigned i = 0; quota->algorithm == QUOTA_BUCKET && i < quota->limit_count; i++) {
        const char *sentence = bucket_fault(quota, &quota->limits[i]);
        if (sentence != NULL) {
            config_error(doc, limits, "%s", sentence);
            return;
        }
    }
}

const struct config_table QUOTA_CONF = {
    .title = "A quota",
    .noun = "quota",
    CONFIG_ROWS_OF(rows),
    .size = sizeof(struct quota),
    .has_name = true,
    .name_offset = offsetof(struct quota, name),
    .check = check_quota,
};
