/* SPDX-License-Identifier: Apache-2.0 */
/* plan_table.c - the tables of the whole file and of what belongs to no module below.  Takes: the file.
 * Gives: a struct plan_draft.  Never: a second list of keys. */
#include "base/base_log.h"
#include "identity/identity_conf.h"
#include "plan/plan_draft.h"
#include "quota/quota_conf.h"
#include "quota/quota_tier.h"
#include "reply/reply_conf.h"
#include "route/route_conf.h"
#include "store/store_redis_directives.h"
#include "upstream/upstream_directives.h"

#define RESTART(what) (what " cannot change without a restart")

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
    const char *sentence = net_address_parse(&address, take->text, NULL);
    if (sentence != NULL)
        return sentence;
    return address.is_unix ? NULL : "the admin socket is a Unix socket (unix:/path)";
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
    {.key = "tls", .type = CONFIG_LATER},
    {.key = "proxy_protocol", .type = CONFIG_LATER},
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

static const struct config_directive respond_rows[] = {
    {.key = "status",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct plan_route_draft, respond.status),
     .fallback = "200",
     .min = 200,
     .max = 599,
     .doc = "The status code."},
    {.key = "json",
     .type = CONFIG_ANY,
     CONFIG_AT(struct plan_route_draft, respond_json),
     .absent = "no JSON body",
     .doc = "The body, any JSON value; sent without white space."},
    {.key = "text",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct plan_route_draft, respond_text),
     .max = 65536,
     .absent = "no text body",
     .doc = "The body as plain text; not together with json."},
};

static const struct config_pair respond_pairs[] = {{"json", "text", false, false}};

static void check_respond(struct config_doc *doc, const struct config_node *node, void *base)
{
    const struct plan_route_draft *route = base;
    const struct config_node *json = config_find(node, "json"), *text = config_find(node, "text");
    if (route->respond_json.len > 65536)
        config_error(doc, json, "at most 65536 bytes are allowed");
    else if ((route->respond.status == 204 || route->respond.status == 304 ||
              route->respond.status == 205) &&
             (json != NULL || text != NULL))
        config_key_error(doc, json != NULL ? json : text, "a %u response has no body",
                         route->respond.status);
}

static const struct config_table respond_table = {
    .title = "A fixed response",
    .noun = "response",
    CONFIG_ROWS_OF(respond_rows),
    .pairs = respond_pairs,
    .pair_count = 1,
    .size = sizeof(struct plan_route_draft),
    .check = check_respond,
};

static const char *take_upgrade(const struct config_take *take)
{
    struct plan_route_draft *route = take->base;
    const char *sentence = http_upgrade_protocol_fault(take->text);
    if (sentence != NULL)
        return sentence;
    return config_take_into(take, &route->upgrades.protocols, &route->upgrades.count);
}

static const char *take_cost_header(const struct config_take *take)
{
    struct plan_cost *cost = take->base;
    if (!http_is_token(take->text))
        return "not a header's name";
    cost->header = take->text;
    cost->header_id = (uint8_t)http_field_id_of(take->text);
    return NULL;
}

static const struct config_directive cost_rows[] = {
    {.key = "estimate",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct plan_cost, estimate),
     .fallback = "1",
     .min = 1,
     .max = 2147483647,
     .doc = "What a request is charged to each of its quotas when it comes."},
    {.key = "response_header",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct plan_cost, header),
     .min = 1,
     .max = 255,
     .absent = "the estimate is the cost",
     .take = take_cost_header,
     .doc =
         "The response header in which the backend says what the request cost, a whole number; the "
         "difference is charged, even over a limit, or given back. Without it, or when it is no "
         "such "
         "number, the estimate stands."},
    {.key = "max",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct plan_cost, max),
     .min = 1,
     .max = 2147483647,
     .absent = "required with response_header",
     .doc = "The most that a request is charged, whatever the header says."},
};

static void check_plan_cost(struct config_doc *doc, const struct config_node *node, void *base)
{
    const struct plan_cost *cost = base;
    const struct config_node *header = config_find(node, "response_header"),
                             *max = config_find(node, "max");
    if (header != NULL && max == NULL)
        config_missing_error(doc, node,
                             "\"max\" is missing: the most that a request may be charged");
    else if (header == NULL && max != NULL)
        config_key_error(doc, max, "only with \"response_header\"");
    else if (max != NULL && cost->max < cost->estimate)
        config_error(doc, max, "is below the estimate, %u", cost->estimate);
}

static const struct config_table cost_table = {
    .title = "A cost",
    .noun = "cost",
    CONFIG_ROWS_OF(cost_rows),
    .size = sizeof(struct plan_cost),
    .short_key = "estimate",
    .check = check_plan_cost,
};

static const char *const learns_words[] = {"token_project", NULL};

static const char *take_learns(const struct config_take *take)
{
    struct plan_route_draft *route = take->base;
    if (!span_eq(take->text, span_of(learns_words[0])))
        return "only \"token_project\" can be learned";
    route->learns = true;
    return NULL;
}

static const struct config_directive route_rows[] = {
    {.key = "",
     .type = CONFIG_MERGE,
     CONFIG_AT(struct plan_route_draft, rule),
     .nested = &ROUTE_CONF},
    {.key = "",
     .type = CONFIG_MERGE,
     CONFIG_AT(struct plan_route_draft, addresses),
     .nested = &PLAN_ADDRESSES},
    {.key = "quotas",
     .type = CONFIG_TEXTS,
     .min = 0,
     .max = QUOTA_MAX_PER_ROUTE,
     .absent = "none",
     .doc = "Names of the quotas that a request is charged to, all or none."},
    {.key = "cost",
     .type = CONFIG_OBJECT,
     CONFIG_AT(struct plan_route_draft, cost),
     .nested = &cost_table,
     .doc =
         "What one request is charged to each of its quotas: a number, or what its response says."},
    {.key = "upstream",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct plan_route_draft, upstream),
     .min = 1,
     .absent = "respond",
     .doc = "Name of the upstream that requests are forwarded to."},
    {.key = "respond",
     .type = CONFIG_OBJECT,
     .flags = CONFIG_OPTIONAL,
     .nested = &respond_table,
     .absent = "upstream",
     .doc = "Answer with a fixed response instead of forwarding."},
    {.key = "headers",
     .type = CONFIG_OBJECT,
     .flags = CONFIG_INHERITED,
     CONFIG_AT(struct plan_route_draft, headers),
     .nested = &REPLY_CONF,
     .absent = "as for all routes",
     .doc = "Rate-limit headers of this route, where they differ from the rest."},
    {.key = "errors",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct plan_route_draft, errors),
     .min = 1,
     .max = 64,
     .absent = "`errors.default`",
     .doc = "The dialect of the bodies with which Sluice answers by itself."},
    {.key = "learns",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct plan_route_draft, learns),
     .min = 1,
     .words = learns_words,
     .take = take_learns,
     .pattern = "^token_project$",
     .absent = "nothing",
     .doc = "\"token_project\": a 201 response with X-Subject-Token tells the project of the token "
            "that it issues, for the source of that name."},
    {.key = "upgrade",
     .type = CONFIG_TEXTS,
     .min = 0,
     .max = HTTP_UPGRADE_PROTOCOLS_MAX,
     .absent = "none",
     .take = take_upgrade,
     .doc = "Protocols that a connection may be upgraded to, such as \"websocket\"; then it is "
            "an opaque tunnel."},
};

static const struct config_pair route_pairs[] = {{"upstream", "respond", true, false},
                                                 {"learns", "respond", false, false},
                                                 {"upgrade", "respond", false, false}};

static const struct config_table route_table = {
    .title = "A route",
    .noun = "route",
    CONFIG_ROWS_OF(route_rows),
    .size = sizeof(struct plan_route_draft),
    .name_key = "name",
    .pairs = route_pairs,
    .pair_count = 3,
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

#define LIMITS(member) CONFIG_AT(struct plan_limits, member)
#define KIB(n)         ((uint64_t)(n) << 10)
#define SECONDS(n)     (UINT64_C(1000000) * (n))

static const struct config_directive limits_rows[] = {
    {.key = "request_line",
     .type = CONFIG_SIZE,
     LIMITS(head.line_max_bytes),
     .fallback = "\"32KiB\"",
     .min = 256,
     .max = KIB(64),
     .doc = "The longest request line; longer ones are answered 414."},
    {.key = "header",
     .type = CONFIG_SIZE,
     LIMITS(head.field_max_bytes),
     .fallback = "\"32KiB\"",
     .min = 256,
     .max = KIB(128),
     .doc = "The longest single header; longer ones are answered 431."},
    {.key = "headers",
     .type = CONFIG_SIZE,
     LIMITS(head.head_max_bytes),
     .fallback = "\"128KiB\"",
     .min = 256,
     .max =
         KIB(160), /* twice a head must fit into an exchange's arena, once into a client's cork */
     .doc = "The most bytes that all headers of a request may have."},
    {.key = "header_count",
     .type = CONFIG_INTEGER,
     LIMITS(head.field_max),
     .fallback = "100",
     .min = 1,
     .max = 1024,
     .unit = "headers",
     .doc = "The most headers that a request may have."},
    {.key = "body",
     .type = CONFIG_SIZE,
     LIMITS(body_max_bytes),
     .fallback = "\"unlimited\"",
     .min = 0,
     .max = UINT64_C(1) << 50,
     .word = "unlimited",
     .word_value = UINT64_MAX,
     .doc = "The largest body of a request; larger ones are answered 413."},
    {.key = "chunk_extension",
     .type = CONFIG_SIZE,
     LIMITS(chunks.extension_max_bytes),
     .fallback = "\"4KiB\"",
     .min = 0,
     .max = KIB(64),
     .doc = "The longest extensions of one chunk of a body; longer ones are answered 400."},
    {.key = "chunk_overhead",
     .type = CONFIG_SIZE,
     LIMITS(chunks.overhead_max_bytes),
     .fallback = "\"64KiB\"", /* refused are chunks of one byte after 16 thousand of them */
     .min = 256,
     .max = UINT64_C(1) << 50,
     .doc = "How many bytes more than its data the framing of a body in chunks may have; more are "
            "answered 400."},
    {.key = "trailers",
     .type = CONFIG_SIZE,
     LIMITS(chunks.trailers_max_bytes),
     .fallback = "\"128KiB\"",
     .min = 0,
     .max = KIB(160), /* as for headers */
     .doc = "The most bytes that the trailers of a body may have; more are answered 431."},
    {.key = "connections",
     .type = CONFIG_INTEGER,
     LIMITS(connections_max),
     .fallback = "10000",
     .min = 1,
     .max = 10000000,
     .unit = "connections",
     .doc = "The most client connections at once; others are answered 503 and closed."},
    {.key = "connections_per_address",
     .type = CONFIG_INTEGER,
     LIMITS(address_connections_max),
     .fallback = "\"unlimited\"",
     .min = 1,
     .max = 10000000,
     .unit = "connections",
     .word = "unlimited",
     .word_value = 0,
     .doc = "The most connections of one client address at once (IPv6: of one /64); others are "
            "answered 503 and closed. Unix sockets and `trusted_proxies` are exempt, and "
            "connections that "
            "were open before the limit was set do not count."},
    {.key = "requests_per_connection",
     .type = CONFIG_INTEGER,
     LIMITS(requests_max),
     .fallback = "10000",
     .min = 1,
     .max = 2147483647,
     .unit = "requests",
     .word = "unlimited",
     .word_value = UINT32_MAX,
     .doc =
         "How many requests a connection may carry; the response to the last one says `Connection: "
         "close`."},
    {.key = "header_timeout",
     .type = CONFIG_DURATION,
     LIMITS(header_timeout_us),
     .fallback = "\"10s\"",
     .min = 10000,
     .max = SECONDS(3600),
     .doc = "How long a request's head may take from its first byte, however it trickles."},
    {.key = "body_min_rate",
     .type = CONFIG_RATE,
     LIMITS(body_min_rate_per_s),
     .fallback = "\"1KiB/s\"",
     .min = 1,
     .max = UINT64_C(1) << 30,
     .word = "off",
     .word_value = 0,
     .doc = "How fast a request's body must come on average, once the grace is over."},
    {.key = "body_grace",
     .type = CONFIG_DURATION,
     LIMITS(body_grace_us),
     .fallback = "\"5s\"",
     .min = 0,
     .max = SECONDS(3600),
     .doc = "How long a body may be slower than that at first."},
    {.key = "write_stall",
     .type = CONFIG_DURATION,
     LIMITS(write_stall_us),
     .fallback = "\"30s\"",
     .min = 10000,
     .max = SECONDS(86400),
     .doc =
         "How long a client may take nothing of its response, or pause within the body it sends."},
    {.key = "read_min_rate",
     .type = CONFIG_RATE,
     LIMITS(read_min_rate_per_s),
     .fallback = "\"256B/s\"",
     .min = 1,
     .max = UINT64_C(1) << 30,
     .word = "off",
     .word_value = 0,
     .doc = "How fast a client must take a response on average while Sluice waits for it; it has "
            "the time of `write_stall` beyond that."},
    {.key = "linger",
     .type = CONFIG_DURATION,
     LIMITS(linger_us),
     .fallback = "\"10s\"",
     .min = 0,
     .max = SECONDS(3600),
     .doc = "How long a client that still sends when its connection ends may go on, so that it "
            "gets to read the response; 2 s without a byte end it too."},
    {.key = "linger_size",
     .type = CONFIG_SIZE,
     LIMITS(linger_max_bytes),
     .fallback = "\"64MiB\"",
     .min = 0,
     .max = UINT64_C(1) << 50,
     .doc = "How many bytes a client may send while its connection lingers."},
    {.key = "keepalive",
     .type = CONFIG_DURATION,
     LIMITS(keepalive_us),
     .fallback = "\"60s\"",
     .min = 10000,
     .max = SECONDS(86400),
     .doc = "How long a client's connection may be idle between requests."},
    {.key = "drain_timeout",
     .type = CONFIG_DURATION,
     LIMITS(drain_us),
     .fallback = "\"30s\"",
     .min = 0,
     .max = SECONDS(86400),
     .doc = "How long responses in flight may take after Sluice was told to stop."},
    {.key = "head_memory",
     .type = CONFIG_SIZE,
     LIMITS(head_budget_bytes),
     .fallback = "\"64MiB\"",
     .min = KIB(1024),
     .max = KIB(64) << 20,
     .doc = "Memory for incomplete heads and pipelined requests of all connections; beyond it they "
            "are answered 503."},
};

static const struct config_table limits_table = {
    .title = "Limits on clients",
    .noun = "limits",
    CONFIG_ROWS_OF(limits_rows),
    .size = sizeof(struct plan_limits),
};

static const char *const level_words[] = {
    [LOG_LEVEL_DEBUG] = "debug",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_ERROR] = "error",
    NULL,
};
static const char *const later_logs[] = {"syslog", NULL};

static const struct config_directive log_rows[] = {
    {.key = "access",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct plan, log.access),
     .fallback = "\"stdout\"",
     .min = 1,
     .later = later_logs,
     .doc = "Where access lines go: \"stdout\", \"stderr\", \"off\" or a file."},
    {.key = "error",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct plan, log.error),
     .fallback = "\"stderr\"",
     .min = 1,
     .later = later_logs,
     .doc = "Where error lines go: \"stderr\", \"stdout\", \"off\" or a file."},
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
     .restart = RESTART("the address of the admin socket"),
     .doc = "The Unix socket that `sluice status` and `sluice reload` talk to (a relative path is "
            "relative to the working directory)."},
    {.key = "metrics",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct plan, metrics_address),
     .min = 1,
     .absent = "no metrics page",
     .take = take_metrics,
     .restart = RESTART("the address of the metrics page"),
     .doc = "Where Prometheus finds /metrics."},
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
     .restart = RESTART("the number of workers"),
     .doc = "How many threads serve; \"auto\" is one per CPU that the process may use."},
    {.key = "store",
     .type = CONFIG_OBJECT,
     DRAFT(plan),
     .nested = &store_table,
     .restart = RESTART("the store"),
     .doc = "Where counters live."},
    {.key = "subject_secret",
     .type = CONFIG_SECRET,
     DRAFT(subject_secret),
     .absent = "derived from the store's prefix",
     .restart = RESTART("the subject secret"),
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
     .nested = &route_table,
     .doc = "What happens to a request: the first match wins."},
    {.key = "headers",
     .type = CONFIG_OBJECT,
     DRAFT(plan),
     .nested = &headers_table,
     .doc = "What responses carry beside what the backend said."},
    {.key = "limits",
     .type = CONFIG_OBJECT,
     DRAFT(plan.limits),
     .nested = &limits_table,
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
