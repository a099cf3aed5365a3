/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_directives.c - takes: the members of an upstream in the file.  Gives: a struct upstream_conf.
 * Never: resolves a name. */
#include "upstream/upstream_directives.h"

#include "config/config_doc.h"
#include "upstream/upstream_pick.h"

static const char *take_address(const struct config_take *take)
{
    struct upstream_server_conf *server = take->base;
    server->address_text = take->text;
    return net_address_parse(&server->address, take->text, &server->host);
}

int upstream_draft_finish(struct upstream_draft *draft)
{
    struct upstream_server_conf *servers = draft->servers.items;
    draft->conf.servers = servers;
    draft->conf.server_count = (uint16_t)draft->servers.count;
    for (unsigned i = 0; i < draft->servers.count; i++) {
        for (unsigned j = 0; j < i; j++) {
            if (servers[i].address_text.len != 0 &&
                span_eq_nocase(servers[i].address_text, servers[j].address_text))
                return (int)i;
        }
    }
    return -1;
}

static const struct config_directive server_rows[] = {
    {.key = "address",
     .type = CONFIG_TEXT,
     .flags = CONFIG_REQUIRED,
     CONFIG_AT(struct upstream_server_conf, address_text),
     .min = 1,
     .max = 300,
     .take = take_address,
     .doc = "Where the server listens: \"10.0.0.7:9000\", \"[2001:db8::7]:9000\", \"name:9000\" or "
            "\"unix:/path\"."},
    {.key = "weight",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct upstream_server_conf, weight),
     .fallback = "1",
     .min = 0,
     .max = UPSTREAM_WEIGHT_MAX,
     .doc = "Its share, measured by the weights of the others; 0: it takes no new requests, and "
            "finishes those that it has."},
    {.key = "backup",
     .type = CONFIG_BOOL,
     CONFIG_AT(struct upstream_server_conf, is_backup),
     .fallback = "false",
     .doc = "Whether it takes requests only while no other server is usable."},
    {.key = "max_connections",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct upstream_server_conf, max_connections),
     .fallback = "\"unlimited\"",
     .min = 1,
     .max = 1000000,
     .unit = "connections",
     .word = "unlimited",
     .word_value = 0,
     .doc = "How many connections this proxy has to it at most, all workers together and kept ones "
            "counted; who finds all servers full waits in the queue."},
};

static const struct config_table server_table = {
    .title = "A server",
    .noun = "server",
    CONFIG_ROWS_OF(server_rows),
    .size = sizeof(struct upstream_server_conf),
    .name_key = "address",
    .short_key = "address",
};

#define TIMEOUT(name, member, standard, sentence)                                                  \
    {                                                                                              \
        .key = (name), .type = CONFIG_DURATION, CONFIG_AT(struct upstream_conf, member),           \
        .fallback = "\"" standard "\"", .min = 1000, .max = UINT64_C(86400000000),                 \
        .doc = (sentence)                                                                          \
    }

static const struct config_directive timeout_rows[] = {
    TIMEOUT("connect", connect_timeout_us, "1s", "How long connecting to a server may take."),
    TIMEOUT(
        "first_byte", first_byte_timeout_us, "30s",
        "How long a server may take from the end of the request, or of its head while the client "
        "waits for 100 Continue, to the first byte of its answer."),
    TIMEOUT("read_idle", read_idle_timeout_us, "60s",
            "How long a server may pause within a response."),
    TIMEOUT(
        "pool_idle", pool_idle_us, "4s",
        "How long an unused connection is kept; less than the server's own keep-alive timeout."),
    {.key = "tunnel_idle",
     .type = CONFIG_DURATION,
     CONFIG_AT(struct upstream_conf, tunnel_idle_us),
     .fallback = "\"1h\"",
     .min = 1000000,
     .max = UINT64_C(86400000000),
     .doc = "How long neither side of an upgraded connection may say anything."},
};

static const struct config_table timeout_table = {
    .title = "Timeouts of an upstream",
    .noun = "timeouts",
    CONFIG_ROWS_OF(timeout_rows),
    .size = sizeof(struct upstream_conf),
};

static const struct config_directive queue_rows[] = {
    {.key = "max",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct upstream_conf, queue_max),
     .fallback = "1024",
     .min = 0,
     .max = 1000000,
     .unit = "requests",
     .doc = "How many may wait, of all workers together; the next one is answered with 503 at "
            "once."},
    {.key = "timeout",
     .type = CONFIG_DURATION,
     CONFIG_AT(struct upstream_conf, queue_timeout_us),
     .fallback = "\"5s\"",
     .min = 1000,
     .max = UINT64_C(86400000000),
     .doc = "How long a request may wait; then it is answered with 503."},
};

static const struct config_table queue_table = {
    .title = "The queue of an upstream",
    .noun = "queue",
    CONFIG_ROWS_OF(queue_rows),
    .size = sizeof(struct upstream_conf),
};

static const char *const BALANCES[] = {
    [UPSTREAM_ROUND_ROBIN] = "round_robin",
    [UPSTREAM_LEAST_CONNECTIONS] = "least_connections",
    [UPSTREAM_HASH] = "hash",
    NULL,
};

/* What belongs together, and what is of no use. */
static void check_upstream(struct config_doc *doc, const struct config_node *node, void *base)
{
    const struct upstream_draft *draft = base;
    const struct config_node *hash_by = config_find(node, "hash_by");
    const struct config_node *balance = config_find(node, "balance");
    const bool is_hash = draft->conf.balance == UPSTREAM_HASH;
    if (is_hash && hash_by == NULL)
        config_error(doc, balance, "\"hash_by\" is missing: the identity that is hashed");
    if (!is_hash && hash_by != NULL)
        config_error(doc, hash_by, "\"hash_by\" only with \"balance\": \"hash\"");
}

const char *const UPSTREAM_CHECK_METHODS[] = {"GET", "HEAD", NULL};

static const char *take_path(const struct config_take *take)
{
    struct upstream_check_conf *check = take->base;
    check->path = take->text;
    if (take->text.ptr[0] != '/')
        return "must begin with \"/\"";
    for (size_t i = 0; i < take->text.len; i++) {
        if (take->text.ptr[i] <= ' ' || take->text.ptr[i] >= 0x7f || take->text.ptr[i] == '#')
            return "must be a path as it is sent: no spaces, no fragment, other bytes escaped";
    }
    return NULL;
}

static const char *take_host(const struct config_take *take)
{
    struct upstream_check_conf *check = take->base;
    check->host = take->text;
    for (size_t i = 0; i < take->text.len; i++) {
        if (take->text.ptr[i] <= ' ' || take->text.ptr[i] >= 0x7f || take->text.ptr[i] == '/')
            return "must be a host, and a port behind it if need be";
    }
    return NULL;
}

static const char *take_expect(const struct config_take *take)
{
    struct upstream_check_conf *check = take->base;
    return statuses_add(&check->expect, take->text);
}

static const char *take_eject_on(const struct config_take *take)
{
    struct upstream_health_conf *health = take->base;
    return statuses_add(&health->eject_on, take->text);
}

static const struct config_directive check_rows[] = {
    {.key = "path",
     .type = CONFIG_TEXT,
     .flags = CONFIG_REQUIRED,
     CONFIG_AT(struct upstream_check_conf, path),
     .min = 1,
     .max = 1024,
     .take = take_path,
     .doc = "What is asked for, with its query."},
    {.key = "host",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct upstream_check_conf, host),
     .absent = "the server's address",
     .min = 1,
     .max = 255,
     .take = take_host,
     .doc = "The host that is named."},
    {.key = "method",
     .type = CONFIG_CHOICE,
     CONFIG_AT(struct upstream_check_conf, method),
     .fallback = "\"GET\"",
     .words = UPSTREAM_CHECK_METHODS,
     .doc = "The method."},
    {.key = "interval",
     .type = CONFIG_DURATION,
     CONFIG_AT(struct upstream_check_conf, interval_us),
     .fallback = "\"2s\"",
     .min = 250000,
     .max = UINT64_C(3600000000),
     .doc = "How often, give or take a tenth so that checks of several proxies spread out."},
    {.key = "timeout",
     .type = CONFIG_DURATION,
     CONFIG_AT(struct upstream_check_conf, timeout_us),
     .fallback = "\"1s\"",
     .min = 250000,
     .max = UINT64_C(3600000000),
     .doc = "How long one may take, from connecting to the status."},
    {.key = "rise",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct upstream_check_conf, rise),
     .fallback = "2",
     .min = 1,
     .max = 100,
     .unit = "checks",
     .doc = "How many in a row must be good to bring a server back."},
    {.key = "fall",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct upstream_check_conf, fall),
     .fallback = "3",
     .min = 1,
     .max = 100,
     .unit = "checks",
     .doc =
         "How many in a row must be bad to take a server out; the very first one does it alone."},
    {.key = "expect",
     .type = CONFIG_TEXTS,
     CONFIG_AT(struct upstream_check_conf, expect),
     .fallback = "[\"2xx\", \"3xx\"]",
     .min = 1,
     .max = STATUSES_CODES_MAX + 5,
     .take = take_expect,
     .doc = "Statuses that are good: classes (\"2xx\") and single ones (\"404\")."},
};

static const struct config_table check_table = {
    .title = "Checks of servers",
    .noun = "check",
    CONFIG_ROWS_OF(check_rows),
    .size = sizeof(struct upstream_check_conf),
    .short_key = "path",
};

static const struct config_directive ejection_rows[] = {
    {.key = "failures",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct upstream_health_conf, failures),
     .fallback = "5",
     .min = 0,
     .max = 1000,
     .unit = "failures",
     .doc = "How many in a row eject a server; 0: none is ejected."},
    {.key = "eject_on",
     .type = CONFIG_TEXTS,
     CONFIG_AT(struct upstream_health_conf, eject_on),
     .fallback = "[]",
     .min = 0,
     .max = STATUSES_CODES_MAX + 5,
     .take = take_eject_on,
     .doc = "Statuses of answers that count as failures (\"5xx\", \"503\")."},
    {.key = "eject_base",
     .type = CONFIG_DURATION,
     CONFIG_AT(struct upstream_health_conf, eject_base_us),
     .fallback = "\"10s\"",
     .min = 1000000,
     .max = UINT64_C(86400000000),
     .doc = "How long the first ejection lasts; the second one twice as long, and so on."},
    {.key = "eject_max",
     .type = CONFIG_DURATION,
     CONFIG_AT(struct upstream_health_conf, eject_max_us),
     .fallback = "\"5m\"",
     .min = 1000000,
     .max = UINT64_C(86400000000),
     .doc = "How long an ejection lasts at most."},
    {.key = "eject_percent",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct upstream_health_conf, eject_percent),
     .fallback = "50",
     .min = 0,
     .max = 100,
     .unit = "percent",
     .doc = "How many of the upstream's servers may be ejected at once."},
    {.key = "panic_percent",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct upstream_health_conf, panic_percent),
     .fallback = "50",
     .min = 0,
     .max = 100,
     .unit = "percent",
     .doc = "When fewer of the servers are usable, all are used; 0: never."},
};

static const struct config_table ejection_table = {
    .title = "Ejection",
    .noun = "ejection",
    CONFIG_ROWS_OF(ejection_rows),
    .size = sizeof(struct upstream_health_conf),
};

static const struct config_directive health_rows[] = {
    {.key = "check",
     .type = CONFIG_OBJECT,
     .flags = CONFIG_OPTIONAL,
     CONFIG_AT(struct upstream_conf, check),
     .nested = &check_table,
     .absent = "servers are not checked",
     .doc = "Ask each server whether it is well; a bare string is the path."},
    {.key = "",
     .type = CONFIG_MERGE,
     CONFIG_AT(struct upstream_conf, health),
     .nested = &ejection_table},
};

static const struct config_table health_table = {
    .title = "Health of an upstream's servers",
    .noun = "health",
    CONFIG_ROWS_OF(health_rows),
    .size = sizeof(struct upstream_conf),
};

static const struct config_directive retry_rows[] = {
    {.key = "percent",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct upstream_retry_conf, percent),
     .fallback = "20",
     .min = 0,
     .max = 1000,
     .unit = "percent",
     .doc = "How many extra tries may fail, and how many may be in progress, as a share of the "
            "requests."},
    {.key = "minimum",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct upstream_retry_conf, minimum),
     .fallback = "3",
     .min = 0,
     .max = 1000000,
     .unit = "tries",
     .doc = "How many may in ten seconds, however few requests there are."},
};

static const struct config_table retry_table = {
    .title = "Extra tries",
    .noun = "retries",
    CONFIG_ROWS_OF(retry_rows),
    .size = sizeof(struct upstream_retry_conf),
};

static const char *const PROXIES[] = {
    [NET_PROXY_NONE] = "off", [NET_PROXY_V1] = "v1", [NET_PROXY_V2] = "v2", NULL};

static const struct config_directive rows[] = {
    {.key = "servers",
     .type = CONFIG_LIST,
     .flags = CONFIG_REQUIRED,
     CONFIG_AT(struct upstream_draft, servers),
     .min = 1,
     .max = UPSTREAM_SERVERS_MAX,
     .nested = &server_table,
     .doc = "The servers; a bare string is a server's address."},
    {.key = "timeouts",
     .type = CONFIG_OBJECT,
     CONFIG_AT(struct upstream_draft, conf),
     .nested = &timeout_table,
     .doc = "How long to wait for a server."},
    {.key = "pool_max",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct upstream_draft, conf.pool_max),
     .fallback = "1024",
     .min = 0,
     .max = 65535,
     .unit = "connections",
     .doc = "How many unused connections each worker keeps to each server."},
    {.key = "balance",
     .type = CONFIG_CHOICE,
     CONFIG_AT(struct upstream_draft, conf.balance),
     .fallback = "\"round_robin\"",
     .words = BALANCES,
     .doc = "Who gets the next request: each server in turn, the one with the fewest requests in "
            "progress, or the one that the hash of `hash_by` names."},
    {.key = "hash_by",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct upstream_draft, conf.hash_by),
     .min = 1,
     .max = 300,
     .absent = "none",
     .doc =
         "The identity, or source of one, whose requests go to the same server; those without it "
         "are taken in turn."},
    {.key = "slow_start",
     .type = CONFIG_DURATION,
     CONFIG_AT(struct upstream_draft, conf.slow_start_us),
     .fallback = "\"off\"",
     .min = 1000,
     .max = UINT64_C(3600000000),
     .word = "off",
     .word_value = 0,
     .doc = "How long the share of a server that came back grows until it has its whole weight."},
    {.key = "queue",
     .type = CONFIG_OBJECT,
     CONFIG_AT(struct upstream_draft, conf),
     .nested = &queue_table,
     .doc = "Where requests wait while every server has its `max_connections`."},
    {.key = "health",
     .type = CONFIG_OBJECT,
     CONFIG_AT(struct upstream_draft, conf),
     .nested = &health_table,
     .doc = "When a server is left alone."},
    {.key = "retries",
     .type = CONFIG_OBJECT,
     CONFIG_AT(struct upstream_draft, conf.retries),
     .nested = &retry_table,
     .doc = "How often requests may be tried once more."},
    {.key = "resolve",
     .type = CONFIG_DURATION,
     CONFIG_AT(struct upstream_draft, conf.resolve_us),
     .fallback = "\"10s\"",
     .min = 250000,
     .max = UINT64_C(86400000000),
     .doc = "How often names of servers are looked up again."},
    {.key = "tls",
     .type = CONFIG_OBJECT,
     .flags = CONFIG_OPTIONAL,
     CONFIG_AT(struct upstream_draft, conf.tls_draft),
     .nested = &NET_TLS_CLIENT_DIRECTIVES,
     .absent = "plain HTTP",
     .doc = "TLS towards the servers; {} verifies them by the system's authorities."},
    {.key = "proxy_protocol",
     .type = CONFIG_CHOICE,
     CONFIG_AT(struct upstream_draft, conf.proxy),
     .fallback = "\"off\"",
     .words = PROXIES,
     .doc = "Begin each connection with a PROXY header of this version, which names the client; a "
            "connection then serves no other client."},
};

const struct config_table UPSTREAM_DIRECTIVES = {
    .title = "An upstream",
    .noun = "upstream",
    CONFIG_ROWS_OF(rows),
    .size = sizeof(struct upstream_draft),
    .has_name = true,
    .name_offset = offsetof(struct upstream_draft, conf.name),
    .check = check_upstream,
};
