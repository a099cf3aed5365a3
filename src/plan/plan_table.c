/* SPDX-License-Identifier: Apache-2.0 */
/* plan_table.c - the table of the whole file, and those of listeners, the store, headers, logs and administration.  Takes:
 * the file.  Gives: a struct plan_draft.  Never: a second list of keys. */
#include "base/base_log.h"
#include "identity/identity_conf.h"
#include "net/net_tls_directives.h"
#include "plan/plan_draft.h"
#include "quota/quota_conf.h"
#include "quota/quota_tier.h"
#include "reply/reply_conf.h"
#include "store/store_redis_directives.h"
#include "upstream/upstream_directives.h"

/* What takes over what a running process cannot: another one. */
#define BY_UPGRADE "`sluice upgrade` or a restart takes it over"
#define BY_RESTART "only a restart takes it over"

static const char *take_listen(const struct config_take *take)
{
    struct plan_listener *listener = take->base;
    listener->address_text = take->text;
    return net_address_parse(&listener->address, take->text, NULL);
}

static const char *take_admin(const struct config_take *take)
{
    struct plan *plan = take->base;
    struct net_address address;
    plan->admin_address = take->text;
    return net_address_parse(&address, take->text, NULL);
}

static const char *take_admin_host(const struct config_take *take)
{
    struct plan *plan = take->base;
    if (take->text.len == 0 || take->text.len > 255)
        return "a name has 1 to 255 bytes";
    if (plan->admin_hosts == NULL)
        plan->admin_hosts = arena_take(take->arena, take->count * sizeof(*plan->admin_hosts));
    if (plan->admin_hosts == NULL)
        return "out of memory";
    plan->admin_hosts[plan->admin_host_count++] = take->text;
    return NULL;
}

static const char *take_metrics(const struct config_take *take)
{
    struct plan *plan = take->base;
    struct net_address address;
    plan->metrics_address = take->text;
    return net_address_parse(&address, take->text, NULL);
}

static const char *take_request_id_host(const struct config_take *take)
{
    struct plan *plan = take->base;
    if (!http_is_token(take->text))
        return "letters, digits and \"-._\" are allowed";
    plan->request_id_host = take->text;
    return NULL;
}

/* Only the form; who that is, the machine knows that it runs on. */
static const char *take_user(const struct config_take *take)
{
    struct plan_draft *draft = take->base;
    size_t colon = span_find(take->text, ':');
    struct span group = colon < take->text.len
                            ? (struct span){take->text.ptr + colon + 1, take->text.len - colon - 1}
                            : SPAN("-");
    for (size_t i = 0; i < take->text.len; i++)
        if (take->text.ptr[i] <= ' ' || take->text.ptr[i] > '~')
            return "a user's name is of visible ASCII characters";
    if (colon == 0 || group.len == 0 || span_find(group, ':') < group.len)
        return "\"name\" or \"name:group\" is needed";
    draft->plan.user = take->text;
    return NULL;
}

static const struct config_directive listener_rows[] = {
    {.key = "name",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct plan_listener, name),
     .min = 1,
     .max = 255,
     .absent = "the address",
     .doc = "The listener's name, for routes and logs."},
    {.key = "address",
     .type = CONFIG_TEXT,
     .flags = CONFIG_REQUIRED,
     CONFIG_AT(struct plan_listener, address_text),
     .min = 1,
     .max = 255,
     .take = take_listen,
     .doc = "Where to listen: \"0.0.0.0:8080\", \"[::]:8080\" or \"unix:PATH\" (a relative path is "
            "relative to the working directory)."},
    {.key = "tls",
     .type = CONFIG_OBJECT,
     .flags = CONFIG_OPTIONAL,
     CONFIG_AT(struct plan_listener, tls_draft),
     .nested = &NET_TLS_SERVER_DIRECTIVES,
     .absent = "plain HTTP",
     .doc = "TLS, and with which certificates."},
    {.key = "proxy_protocol",
     .type = CONFIG_BOOL,
     CONFIG_AT(struct plan_listener, takes_proxy),
     .fallback = "false",
     .doc =
         "Do the \"trusted_proxies\" begin their connections with a PROXY header (version 1 or 2)? "
         "Others must not."},
};

static const struct config_table listener_table = {
    .title = "A listener",
    .noun = "listener",
    CONFIG_ROWS_OF(listener_rows),
    .size = sizeof(struct plan_listener),
    .name_key = "name",
};

/* The index is plan.store_is_memory. */
static const char *const store_types[] = {"redis", "memory", NULL};

static const struct config_directive store_rows[] = {
    {.key = "type",
     .type = CONFIG_CHOICE,
     CONFIG_AT(struct plan, store_is_memory),
     .fallback = "\"memory\"",
     .words = store_types,
     .doc =
         "Where counters live: in this proxy's memory, or in a Redis that the whole fleet shares."},
    {.key = "state_file",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct plan, store_state_file),
     .min = 1,
     .absent = "counters are lost when Sluice stops",
     .when = "memory",
     .doc = "The file that counters are saved to, and read from at start."},
    {.key = "state_interval",
     .type = CONFIG_DURATION,
     .flags = CONFIG_RELOADABLE,
     CONFIG_AT(struct plan, store_state_interval_us),
     .fallback = "\"10s\"",
     .min = 100000,
     .max = UINT64_C(86400000000),
     .when = "memory",
     .doc = "How often counters are saved."},
    {.key = "subjects",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct plan, store_subjects),
     .fallback = "1000000",
     .min = 16,
     .max = 100000000,
     .unit = "subjects",
     .when = "memory",
     .restart = BY_RESTART,
     .doc = "How many subjects are counted at once; newcomers to a full table share one bucket per "
            "quota."},
    {.key = "",
     .type = CONFIG_MERGE,
     CONFIG_AT(struct plan, redis),
     .when = "redis",
     .nested = &STORE_REDIS_DIRECTIVES},
};

static const struct config_table store_table = {
    .title = "The store",
    .noun = "store",
    CONFIG_ROWS_OF(store_rows),
    .size = sizeof(struct plan),
};

static const char *const request_id_words[] = {"documented", "short", NULL};

static const struct config_directive headers_rows[] = {
    {.key = "", .type = CONFIG_MERGE, CONFIG_AT(struct plan, headers), .nested = &REPLY_CONF},
    {.key = "request_id",
     .type = CONFIG_CHOICE,
     CONFIG_AT(struct plan, request_id_short),
     .fallback = "\"documented\"",
     .words = request_id_words,
     .doc = "X-request-id as documented (hex, milliseconds and host's name), or its hex alone."},
    {.key = "request_id_host",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct plan, request_id_host),
     .min = 1,
     .max = 64,
     .absent = "the host's name",
     .take = take_request_id_host,
     .doc = "The name at the end of X-request-id."},
};

static const struct config_table headers_table = {
    .title = "Headers of responses",
    .noun = "headers",
    CONFIG_ROWS_OF(headers_rows),
    .size = sizeof(struct plan),
};

static const char *const level_words[] = {
    [LOG_LEVEL_DEBUG] = "debug",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_ERROR] = "error",
    NULL,
};

static const struct config_directive log_rows[] = {
    {.key = "access",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct plan, log.access),
     .fallback = "\"stdout\"",
     .min = 1,
     .doc = "Where access lines go: \"stdout\", \"stderr\", \"syslog\" (logs.md), \"off\" or a "
            "file."},
    {.key = "error",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct plan, log.error),
     .fallback = "\"stderr\"",
     .min = 1,
     .doc = "Where error lines go: \"stderr\", \"stdout\", \"syslog\" (logs.md), \"off\" or a "
            "file."},
    {.key = "level",
     .type = CONFIG_CHOICE,
     CONFIG_AT(struct plan, log_level),
     .fallback = "\"info\"",
     .words = level_words,
     .doc = "The least level of error lines."},
};

static const struct config_table log_table = {
    .title = "Logs",
    .noun = "log",
    CONFIG_ROWS_OF(log_rows),
    .size = sizeof(struct plan),
};

static const struct config_directive admin_rows[] = {
    {.key = "address",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct plan, admin_address),
     .min = 1,
     .absent = "no admin socket",
     .take = take_admin,
     .restart = BY_UPGRADE,
     .doc =
         "Where verbs such as `sluice status` and `sluice reload` ask the running service: a Unix "
         "socket (\"unix:PATH\"; a relative path is relative to the working directory), or, "
         "together with a \"token\", \"ADDRESS:PORT\"."},
    {.key = "token",
     .type = CONFIG_SECRET,
     CONFIG_AT(struct plan, admin_token),
     .absent = "none; only for a Unix socket",
     .doc =
         "What every request to a TCP \"address\" has to bring (Authorization: Bearer TOKEN): at "
         "least 16 characters, none of them a space."},
    {.key = "hosts",
     .type = CONFIG_TEXTS,
     CONFIG_AT(struct plan, admin_hosts),
     .min = 1,
     .max = 32,
     .absent = "only \"address\" as it is written",
     .take = take_admin_host,
     .doc = "Other names, with or without the port, under which a TCP \"address\" may be asked "
            "(Host)."},
    {.key = "metrics",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct plan, metrics_address),
     .min = 1,
     .absent = "no metrics page",
     .take = take_metrics,
     .restart = BY_UPGRADE,
     .doc = "Where Prometheus finds /metrics, and load balancers /healthz and /readyz."},
};

static const struct config_table admin_table = {
    .title = "Administration",
    .noun = "admin",
    CONFIG_ROWS_OF(admin_rows),
    .size = sizeof(struct plan),
};

#define DRAFT(member) CONFIG_AT(struct plan_draft, member)

static const struct config_directive rows[] = {
    {.key = "listen",
     .type = CONFIG_LIST,
     .flags = CONFIG_REQUIRED,
     DRAFT(listeners),
     .min = 1,
     .max = 64,
     .nested = &listener_table,
     .doc = "Where clients connect."},
    {.key = "", .type = CONFIG_MERGE, DRAFT(plan.trust), .nested = &IDENTITY_CONF_TRUST},
    {.key = "workers",
     .type = CONFIG_INTEGER,
     DRAFT(plan.workers),
     .fallback = "\"auto\"",
     .min = 1,
     .max = 256,
     .unit = "threads",
     .word = "auto",
     .word_value = 0,
     .restart = BY_UPGRADE,
     .doc = "How many threads serve; \"auto\" is one per CPU that the process may use."},
    {.key = "user",
     .type = CONFIG_TEXT,
     DRAFT(plan.user),
     .min = 1,
     .max = 128,
     .absent = "who has started it",
     .take = take_user,
     .restart = BY_RESTART,
     .doc = "Started as root: who serves, \"name\" or \"name:group\" (or numbers). What is written "
            "is written as that user."},
    {.key = "splice",
     .type = CONFIG_BOOL,
     DRAFT(plan.passes_bodies),
     .fallback = "true",
     .doc = "Whether bodies of 256 KiB and more whose length is known pass from one connection to "
            "the other inside "
            "the kernel; false: they are copied, as all others are."},
    {.key = "store",
     .type = CONFIG_OBJECT,
     DRAFT(plan),
     .nested = &store_table,
     .restart = BY_UPGRADE,
     .doc = "Where counters live."},
    {.key = "subject_secret",
     .type = CONFIG_SECRET,
     DRAFT(subject_secret),
     .absent = "derived from the store's prefix",
     .restart = BY_UPGRADE,
     .doc = "The key under which subjects are hashed; the same for the whole fleet."},
    {.key = "upstreams",
     .type = CONFIG_MAP,
     DRAFT(upstreams),
     .max = 1024,
     .absent = "none",
     .nested = &UPSTREAM_DIRECTIVES,
     .doc = "The backends, by name."},
    {.key = "identities",
     .type = CONFIG_MAP,
     DRAFT(identities),
     .max = 1024,
     .absent = "none",
     .nested = &IDENTITY_CONF,
     .doc = "Ways to name a caller, by name."},
    {.key = "tiers",
     .type = CONFIG_MAP,
     DRAFT(tiers),
     .max = QUOTA_TIERS_MAX,
     .absent = "none",
     .nested = &QUOTA_CONF_TIER,
     .doc = "Limits by name, for quotas with \"limits\": \"tier\"; \"unlimited\" counts nothing."},
    {.key = "quotas",
     .type = CONFIG_MAP,
     DRAFT(quotas),
     .max = 1024,
     .absent = "none",
     .nested = &QUOTA_CONF,
     .doc = "Limits on identities, by name."},
    {.key = "routes",
     .type = CONFIG_LIST,
     .flags = CONFIG_REQUIRED,
     DRAFT(routes),
     .min = 1,
     .max = 10000,
     .nested = &PLAN_TABLE_ROUTE,
     .doc = "What happens to a request: the first match wins."},
    {.key = "headers",
     .type = CONFIG_OBJECT,
     DRAFT(plan),
     .nested = &headers_table,
     .doc = "What responses carry beside what the backend said."},
    {.key = "limits",
     .type = CONFIG_OBJECT,
     DRAFT(plan.limits),
     .nested = &PLAN_TABLE_LIMITS,
     .doc = "How much and how slowly clients may send and take."},
    {.key = "log", .type = CONFIG_OBJECT, DRAFT(plan), .nested = &log_table, .doc = "Logs."},
    {.key = "admin",
     .type = CONFIG_OBJECT,
     DRAFT(plan),
     .nested = &admin_table,
     .doc = "Doors for operators."},
    {.key = "errors",
     .type = CONFIG_OBJECT,
     DRAFT(errors),
     .nested = &REPLY_CONF_ERRORS,
     .doc = "What Sluice answers when it refuses or fails."},
};

const struct config_table PLAN_TABLE = {
    .title = "The file",
    .noun = "configuration",
    CONFIG_ROWS_OF(rows),
    .size = sizeof(struct plan_draft),
};
