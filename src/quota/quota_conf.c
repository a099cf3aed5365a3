/* SPDX-License-Identifier: Apache-2.0 */
/* quota_conf.c - takes: what the file says of one quota or tier.  Gives: a draft without its key and members.
 * Never: two windows of one period. */
#include "quota/quota_conf.h"

#include "config/config_doc.h"
#include "config/config_take.h"
#include "quota/quota_algorithm.h"
#include "quota/quota_tier.h"

const char *const QUOTA_CONF_ON_FAILURE[] = {
    [QUOTA_FAIL_LOCAL] = "local",
    [QUOTA_FAIL_ALLOW] = "allow",
    [QUOTA_FAIL_DENY] = "deny",
    NULL,
};

#define QUOTA_LIMIT_MAX        2147483647
#define QUOTA_MEMBER_BYTES_MAX 1024
#define QUOTA_NETWORKS_MAX     100000
#define UNITS_PATTERN          "^[0-9]+ (seconds?|minutes?|hours?|days?)$"

static const char *const units[] = {"second", "minute", "hour", "day", NULL};
static const char *const tier_units[] = {"second", "minute", "hour", "day", "in_flight", NULL};

static const char *add_limit(struct quota *quota, const struct config_take *take)
{
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

static const char *const accuracies[] = {
    [QUOTA_EXACT] = "exact",
    [QUOTA_LEASED] = "leased",
    NULL,
};

static const char *const modes[] = {
    [QUOTA_ENFORCE] = "enforce",
    [QUOTA_SHADOW] = "shadow",
    NULL,
};

static const char *take_status(const struct config_take *take)
{
    return statuses_add(take->base, take->text);
}

static const struct config_directive charge_rows[] = {
    {.key = "on",
     .type = CONFIG_TEXTS,
     .flags = CONFIG_REQUIRED,
     .min = 1,
     .max = STATUSES_CODES_MAX + 5,
     .take = take_status,
     .doc =
         "Statuses whose requests stay charged: classes (\"2xx\") and single ones (\"404\"); the "
         "others, and requests without a response, are given back."},
};

static const struct config_table charge_table = {
    .title = "What is charged",
    .noun = "charge",
    CONFIG_ROWS_OF(charge_rows),
    .size = sizeof(struct statuses),
};

static const char *take_exempt_address(const struct config_take *take)
{
    struct quota_exempt *exempt = take->base;
    return config_take_network(take, &exempt->nets, &exempt->net_count, NULL);
}

/* What it means depends on the quota's key: the plan reads it again. */
static const char *take_member(const struct config_take *take)
{
    return take->text.len > QUOTA_MEMBER_BYTES_MAX ? "longer than 1024 bytes" : NULL;
}

static const struct config_directive exempt_rows[] = {
    {.key = "addresses",
     .type = CONFIG_TEXTS,
     .max = QUOTA_NETWORKS_MAX,
     .absent = "none",
     .take = take_exempt_address,
     .doc = "Networks and addresses of clients that this quota does not count."},
    {.key = "subjects",
     .type = CONFIG_TEXTS,
     .flags = CONFIG_PRIVATE, /* it names people */
     .max = 10000,
     .absent = "none",
     .take = take_member,
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

static const char *take_limit(const struct config_take *take)
{
    struct quota_draft *draft = take->base;
    return add_limit(&draft->quota, take);
}

static const char *take_tier_limit(const struct config_take *take)
{
    struct quota_tier_draft *draft = take->base;
    if (!span_eq(take->text, SPAN("in_flight")))
        return add_limit(&draft->limits, take);
    if (take->number == 0)
        return "at least 1";
    draft->limits.in_flight = take->number;
    return NULL;
}

static const struct config_directive members_row = {
    .type = CONFIG_TEXTS,
    .min = 0,
    .max = QUOTA_MEMBERS_MAX,
    .take = take_member,
};

static const struct config_table members_table = {
    .title = "Members",
    .noun = "members",
    .item = &members_row,
    .size = sizeof(struct quota_members_draft),
    .has_name = true,
    .name_offset = offsetof(struct quota_members_draft, name),
};

static const struct config_directive tier_row = {
    .type = CONFIG_AMOUNTS,
    CONFIG_AT(struct quota_tier_draft, is_unlimited),
    .min = 0,
    .max = QUOTA_LIMIT_MAX,
    .unit = "requests",
    .words = tier_units,
    .word = "unlimited",
    .word_value = true,
    .take = take_tier_limit,
    .pattern = UNITS_PATTERN,
};

const struct config_table QUOTA_CONF_TIER = {
    .title = "A tier",
    .noun = "tier",
    .item = &tier_row,
    .size = sizeof(struct quota_tier_draft),
    .has_name = true,
    .name_offset = offsetof(struct quota_tier_draft, name),
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
     CONFIG_AT(struct quota_draft, is_by_tier),
     .min = 0,
     .max = QUOTA_LIMIT_MAX,
     .unit = "requests",
     .words = units,
     .word = "tier",
     .word_value = true,
     .take = take_limit,
     .pattern = UNITS_PATTERN,
     .absent = "required without \"in_flight\"",
     .doc = "How many requests per window: \"second\", \"minute\", \"hour\", \"day\" or \"5 "
            "minutes\"; at most 4, charged all or none.  \"tier\": those of the subject's tier."},
    {.key = "default_tier",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct quota_draft, default_tier),
     .min = 1,
     .max = 64,
     .absent = "required with \"limits\": \"tier\"",
     .doc = "The tier of subjects that are no members of another."},
    {.key = "members",
     .type = CONFIG_MAP,
     CONFIG_AT(struct quota_draft, members),
     .max = QUOTA_TIERS_MAX,
     .nested = &members_table,
     .word = QUOTA_CONF_LIVE,
     .absent = "none",
     .doc = "The subjects of each tier, as logs show them: clear values, or \"hash:\" and the 22 "
            "characters that `sluice hash` prints. \"redis\": they are looked up in Redis, in the "
            "hash PREFIX:members:QUOTA."},
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
    {.key = "accuracy",
     .type = CONFIG_CHOICE,
     CONFIG_AT(struct quota, accuracy),
     .fallback = "\"leased\"",
     .words = accuracies,
     .doc =
         "How a fleet shares the count in Redis: each proxy leases requests in advance (never more "
         "than the limit in all; \"remaining\" is an estimate when several proxies are busy), or "
         "Redis is asked for every request.  A token bucket is always exact."},
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
    {.key = "in_flight",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct quota, in_flight),
     .min = 1,
     .max = QUOTA_LIMIT_MAX,
     .unit = "requests",
     .absent = "as many as come",
     .doc = "How many requests of one subject may be in flight at once, each until its response is "
            "sent or its connection is gone.  Alone, or beside \"limits\"."},
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

const char *quota_conf_fault(const struct quota *quota)
{
    const char *sentence = NULL;
    if (quota->algorithm == QUOTA_SLIDING && quota->limit_count > QUOTA_SLIDING_MAX)
        return "with \"algorithm\": \"sliding\" a quota has at most 2 windows";
    if (quota->burst != 0 && quota->limit_count > 1)
        return "with \"burst\" a quota has a single limit";
    if (quota->mode == QUOTA_SHADOW && quota->in_flight != 0 && quota->limit_count != 0)
        return "with \"mode\": \"shadow\" a quota has windows or \"in_flight\", not both: write "
               "two";
    for (unsigned i = 0; quota->algorithm == QUOTA_BUCKET && i < quota->limit_count; i++) {
        if (sentence == NULL)
            sentence = bucket_fault(quota, &quota->limits[i]);
    }
    return sentence;
}

/* What says something about windows needs some. */
static void check_without_limits(struct config_doc *doc, const struct config_node *node)
{
    static const char *const keys[] = {"algorithm", "charge"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const struct config_node *at = config_find(node, keys[i]);
        if (at != NULL)
            config_key_error(doc, at, "only with \"limits\"");
    }
}

static void check_quota(struct config_doc *doc, const struct config_node *node, void *base)
{
    const struct quota_draft *draft = base;
    const struct quota *quota = &draft->quota;
    const struct config_node *limits = config_find(node, "limits"),
                             *burst = config_find(node, "burst");
    if (limits == NULL)
        check_without_limits(doc, node);
    if (burst != NULL && quota->algorithm != QUOTA_BUCKET)
        config_key_error(doc, burst, "only with \"algorithm\": \"token_bucket\"");
    else if (burst != NULL && quota->limit_count > 1)
        config_key_error(doc, burst, "only with a single limit");
    else if (quota_conf_fault(quota) != NULL)
        config_error(doc, limits != NULL ? limits : node, "%s", quota_conf_fault(quota));
}

static const struct config_pair pairs[] = {
    {.one = "limits", .other = "in_flight", .is_required = true, .may_both = true},
};

const struct config_table QUOTA_CONF = {
    .title = "A quota",
    .noun = "quota",
    CONFIG_ROWS_OF(rows),
    .pairs = pairs,
    .pair_count = sizeof(pairs) / sizeof(pairs[0]),
    .size = sizeof(struct quota_draft),
    .has_name = true,
    .name_offset = offsetof(struct quota_draft, quota.name),
    .check = check_quota,
};
