/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_directives.c - takes: the Redis members of the store in the file.  Gives: a struct
 * store_redis_conf.  Never: resolves a name, or shows a password. */
#include "store/store_redis_directives.h"

#include <ctype.h>

#include "config/config_doc.h"
#include "quota/quota_conf.h"
#include "store/store_redis_conf.h"
#include "store/store_redis_tls_conf.h"

#define DURABLE_REPLICAS   1 /* as the table says */
#define DURABLE_TIMEOUT_US 20000

static const char *take_server(const struct config_take *take)
{
    struct store_redis_conf *conf = take->base;
    struct store_redis_server_conf *server = &conf->servers[conf->server_count];
    struct span host;
    for (unsigned i = 0; i < conf->server_count; i++) {
        if (span_eq_nocase(conf->servers[i].text, take->text))
            return "it is there already";
    }
    if (conf->server_count == STORE_REDIS_SERVERS_MAX)
        return NULL; /* said by the table */
    server->text = take->text;
    conf->server_count++;
    return net_address_parse(&server->address, take->text, &host);
}

static const char *take_prefix(const struct config_take *take)
{
    struct store_redis_conf *conf = take->base;
    for (size_t i = 0; i < take->text.len; i++) {
        char c = take->text.ptr[i];
        if (!isalnum((unsigned char)c) && memchr("._:-", c, 4) == NULL)
            return "letters, digits, \".\", \"_\", \":\" and \"-\" are allowed";
    }
    conf->prefix = take->text;
    return NULL;
}

static void check_timeouts(struct config_doc *doc, const struct config_node *node, void *base)
{
    const struct store_redis_conf *conf = base;
    const struct config_node *decision = config_find(node, "decision_timeout");
    const struct config_node *command = config_find(node, "command_timeout");
    if (conf->decision_timeout_us <= conf->command_timeout_us ||
        (decision == NULL && command == NULL))
        return;
    config_error(
        doc, decision != NULL ? decision : command,
        "a decision cannot wait longer (decision_timeout) than a command (command_timeout)");
}

/* What a dump shows of it without `durable` is what it would be. */
static void check_not_durable(struct config_doc *doc, const struct config_node *timeout,
                              const struct config_node *replicas,
                              const struct store_redis_conf *conf)
{
    const struct config_node *wrong = NULL;
    if (timeout != NULL && conf->durable_timeout_us != DURABLE_TIMEOUT_US)
        wrong = timeout;
    else if (replicas != NULL && conf->durable_replicas != DURABLE_REPLICAS)
        wrong = replicas;
    if (wrong != NULL)
        config_key_error(doc, wrong, "only with \"durable\": true");
}

static void check_durable(struct config_doc *doc, const struct config_node *node, void *base)
{
    const struct store_redis_conf *conf = base;
    const struct config_node *timeout = config_find(node, "durable_timeout");
    const struct config_node *replicas = config_find(node, "durable_replicas");
    if (!conf->is_durable)
        check_not_durable(doc, timeout, replicas, conf);
    else if (timeout != NULL && conf->durable_timeout_us >= conf->command_timeout_us)
        config_error(doc, timeout, "must be shorter than a command may take (command_timeout)");
    else if (conf->durable_timeout_us >= conf->command_timeout_us)
        config_error(doc, config_find(node, "command_timeout"),
                     "must be longer than replicas may take (durable_timeout)");
    else if (timeout != NULL && conf->durable_timeout_us % 1000 != 0)
        config_error(doc, timeout, "a whole number of milliseconds is expected");
}

static void check_topology(struct config_doc *doc, const struct config_node *node, void *base)
{
    const struct store_redis_conf *conf = base;
    bool is_sentinel = conf->topology == STORE_REDIS_SENTINELS;
    static const char *const keys[] = {"master", "sentinel_username", "sentinel_password"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const struct config_node *key = config_find(node, keys[i]);
        if (key != NULL && !is_sentinel)
            config_key_error(doc, key, "only with \"topology\": \"sentinel\"");
    }
    if (is_sentinel && config_find(node, "master") == NULL)
        config_error(doc, node, "\"master\" is missing: the name that the sentinels know it by");
    const struct config_node *tls = config_find(node, "tls");
    const struct config_node *asked = tls == NULL ? NULL : config_find(tls, "sentinels");
    if (asked != NULL && !is_sentinel && !conf->tls.is_for_sentinels)
        config_warning(doc, asked, "not used: only with \"topology\": \"sentinel\"");
    const struct config_node *database = config_find(node, "database");
    if (conf->topology == STORE_REDIS_CLUSTER && database != NULL && conf->database != 0)
        config_error(doc, database, "a cluster has database 0 only");
}

/* Without a password nobody logs in, so that a name alone would be another user's rights: the default one's. */
static void check_names(struct config_doc *doc, const struct config_node *node, void *base)
{
    static const char *const keys[][2] = {{"username", "password"},
                                          {"sentinel_username", "sentinel_password"}};
    (void)base;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const struct config_node *name = config_find(node, keys[i][0]);
        if (name != NULL && config_find(node, keys[i][1]) == NULL)
            config_key_error(doc, name, "\"%s\" is missing: without it nobody logs in as this user",
                             keys[i][1]);
    }
}

static void check_tls_addresses(struct config_doc *doc, const struct config_node *node, void *base)
{
    const struct store_redis_conf *conf = base;
    const struct config_node *tls = config_find(node, "tls");
    for (unsigned i = 0; tls != NULL && i < conf->server_count; i++) {
        if (conf->servers[i].address.is_unix)
            config_key_error(doc, tls, "a Unix socket (in \"servers\") has no TLS");
    }
}

static void check_all(struct config_doc *doc, const struct config_node *node, void *base)
{
    check_timeouts(doc, node, base);
    check_topology(doc, node, base);
    check_durable(doc, node, base);
    check_names(doc, node, base);
    check_tls_addresses(doc, node, base);
}

const char *const STORE_REDIS_TOPOLOGIES[] = {
    [STORE_REDIS_STANDALONE] = "standalone",
    [STORE_REDIS_SENTINELS] = "sentinel",
    [STORE_REDIS_CLUSTER] = "cluster",
    NULL,
};

static const struct config_directive rows[] = {
    {.key = "servers",
     .type = CONFIG_TEXTS,
     .flags = CONFIG_REQUIRED,
     .min = 1,
     .max = STORE_REDIS_SERVERS_MAX,
     .take = take_server,
     .doc =
         "Where to begin: \"10.0.0.5:6379\", \"[2001:db8::5]:6379\", \"name:6379\" "
         "or \"unix:/path\". Standalone: the servers are tried in this order, the next one when "
         "one does not answer or is no master. Sentinel: the sentinels. Cluster: some nodes; the "
         "others are found by asking them."},
    {.key = "topology",
     .type = CONFIG_CHOICE,
     CONFIG_AT(struct store_redis_conf, topology),
     .fallback = "\"standalone\"",
     .words = STORE_REDIS_TOPOLOGIES,
     .doc = "One server at a time, the master that sentinels name, or a Redis Cluster."},
    {.key = "master",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct store_redis_conf, master),
     .min = 1,
     .max = 256,
     .absent = "none",
     .doc = "The name that the sentinels know the master by."},
    {.key = "sentinel_username",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct store_redis_conf, sentinel_username),
     .min = 1,
     .max = 256,
     .absent = "the default user",
     .doc = "The ACL user to AUTH as at the sentinels."},
    {.key = "sentinel_password",
     .type = CONFIG_SECRET,
     CONFIG_AT(struct store_redis_conf, sentinel_password),
     .absent = "no AUTH",
     .doc = "The password to AUTH with at the sentinels; the master's own is \"password\"."},
    {.key = "database",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct store_redis_conf, database),
     .fallback = "0",
     .min = 0,
     .max = 65535,
     .doc = "The database to SELECT."},
    {.key = "username",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct store_redis_conf, username),
     .min = 1,
     .max = 256,
     .absent = "the default user",
     .doc = "The ACL user to AUTH as."},
    {.key = "password",
     .type = CONFIG_SECRET,
     CONFIG_AT(struct store_redis_conf, password),
     .absent = "no AUTH",
     .doc = "The password to AUTH with."},
    {.key = "prefix",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct store_redis_conf, prefix),
     .fallback = "\"" STORE_REDIS_PREFIX "\"",
     .min = 1,
     .max = 64,
     .take = take_prefix,
     .doc =
         "What every key in Redis begins with; proxies with the same prefix share their counters."},
    {.key = "decision_timeout",
     .type = CONFIG_DURATION,
     CONFIG_AT(struct store_redis_conf, decision_timeout_us),
     .fallback = "\"50ms\"",
     .min = 1000,
     .max = 10000000,
     .doc = "How long a request waits for the store before on_failure decides."},
    {.key = "command_timeout",
     .type = CONFIG_DURATION,
     CONFIG_AT(struct store_redis_conf, command_timeout_us),
     .fallback = "\"250ms\"",
     .min = 1000,
     .max = 60000000,
     .doc = "How long Redis may take to answer before the connection is given up."},
    {.key = "connect_timeout",
     .type = CONFIG_DURATION,
     CONFIG_AT(struct store_redis_conf, connect_timeout_us),
     .fallback = "\"1s\"",
     .min = 1000,
     .max = 60000000,
     .doc = "How long connecting to Redis may take."},
    {.key = "fleet_size",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct store_redis_conf, fleet_size),
     .absent = "not stated",
     .min = 1,
     .max = 10000,
     .unit = "proxies",
     .doc =
         "How many proxies share this Redis: with on_failure \"local\" each admits its share while "
         "Redis is away."},
    {.key = "on_failure",
     .type = CONFIG_CHOICE,
     .flags = CONFIG_RELOADABLE,
     CONFIG_AT(struct store_redis_conf, on_failure),
     .fallback = "\"local\"",
     .words = QUOTA_CONF_ON_FAILURE,
     .doc =
         "What quotas do while Redis is away: this proxy's own share, let everything through, or "
         "answer 503; a quota may say otherwise."},
    {.key = "durable",
     .type = CONFIG_BOOL,
     CONFIG_AT(struct store_redis_conf, is_durable),
     .fallback = "false",
     .doc = "What Redis grants is spent only when durable_replicas replicas have acknowledged it "
            "(WAIT): a master that is lost takes nothing along. Else, and when they do not within "
            "durable_timeout, on_failure decides, and the grant is lost."},
    {.key = "durable_replicas",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct store_redis_conf, durable_replicas),
     .fallback = "1",
     .min = 1,
     .max = 16,
     .unit = "replicas",
     .doc = "How many replicas of a master must have a grant, with durable."},
    {.key = "durable_timeout",
     .type = CONFIG_DURATION,
     CONFIG_AT(struct store_redis_conf, durable_timeout_us),
     .fallback = "\"20ms\"",
     .min = 1000,
     .max = 10000000,
     .doc = "How long the replicas may take for that; shorter than command_timeout."},
    {.key = "tls",
     .type = CONFIG_OBJECT,
     .flags = CONFIG_OPTIONAL,
     CONFIG_AT(struct store_redis_conf, tls),
     .nested = &STORE_REDIS_TLS,
     .absent = "plain connections",
     .doc = "Secures every connection to Redis; {} does so by the system's authorities."},
};

const struct config_table STORE_REDIS_DIRECTIVES = {
    .title = "Redis",
    .noun = "store",
    CONFIG_ROWS_OF(rows),
    .size = sizeof(struct store_redis_conf),
    .check = check_all,
};
