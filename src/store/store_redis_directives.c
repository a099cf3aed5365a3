/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_directives.c - takes: the Redis members of the store in the file.  Gives: a struct
 * store_redis_conf.  Never: resolves a name, or shows a password. */
#include "store/store_redis_directives.h"

#include <ctype.h>

#include "config/config_doc.h"
#include "quota/quota_conf.h"
#include "store/store_redis_conf.h"

static const char *take_server(const struct config_take *take)
{
    struct store_redis_conf *conf = take->base;
    struct span host;
    conf->address_text = take->text;
    return net_address_parse(&conf->address, take->text, &host);
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

static const struct config_directive rows[] = {
    {.key = "servers",
     .type = CONFIG_TEXTS,
     .flags = CONFIG_REQUIRED,
     .min = 1,
     .max = 1,
     .take = take_server,
     .doc = "Where Redis listens, one address: \"10.0.0.5:6379\", \"[2001:db8::5]:6379\", "
            "\"name:6379\" "
            "or \"unix:/path\"."},
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
     CONFIG_AT(struct store_redis_conf, on_failure),
     .fallback = "\"local\"",
     .words = QUOTA_CONF_ON_FAILURE,
     .doc =
         "What quotas do while Redis is away: this proxy's own share, let everything through, or "
         "answer 503; a quota may say otherwise."},
    {.key = "topology", .type = CONFIG_LATER},
    {.key = "durable", .type = CONFIG_LATER},
    {.key = "tls", .type = CONFIG_LATER},
};

const struct config_table STORE_REDIS_DIRECTIVES = {
    .title = "Redis",
    .noun = "store",
    CONFIG_ROWS_OF(rows),
    .size = sizeof(struct store_redis_conf),
    .check = check_timeouts,
};
