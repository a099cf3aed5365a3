/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_tls_conf.c - takes: the members of "tls" in the store.  Gives: a struct store_redis_tls_conf whose
 * certificates and key were tried.  Never shows a key. */
#include "store/store_redis_tls_conf.h"

#include "config/config_doc.h"
#include "net/net_tls_certificate.h"
#include "net/net_tls_directives.h"

struct net_tls_conf store_redis_tls_conf_net(const struct store_redis_tls_conf *conf)
{
    return (struct net_tls_conf){
        .ca = conf->ca,
        .certificate = conf->certificate,
        .key = conf->key,
        .is_unverified = !conf->is_verified,
        .is_1_3 = conf->min_version == STORE_REDIS_TLS_1_3,
    };
}

/* A file that could not be read was told already. */
static bool is_unread(const struct config_node *node, const char *key, struct span text)
{
    return config_find(node, key) != NULL && text.len == 0;
}

static void check_files(struct config_doc *doc, const struct config_node *node,
                        const struct store_redis_tls_conf *conf)
{
    static const char *const keys[] = {
        [NET_TLS_CA] = "ca", [NET_TLS_CERTIFICATE] = "certificate", [NET_TLS_KEY] = "key"};
    const struct net_tls_conf tls = store_redis_tls_conf_net(conf);
    enum net_tls_part part;
    char why[NET_TLS_WHY_BYTES];
    struct net_tls *tried = net_tls_new(&tls, &part, why);
    if (tried == NULL) {
        const struct config_node *file =
            part == NET_TLS_MEMORY ? NULL : config_find(node, keys[part]);
        config_error(doc, file == NULL ? node : file, "%s", why);
    }
    unsigned index;
    if (tried != NULL && net_tls_certificate_is_leaf(conf->ca, &index))
        config_warning(doc, config_find(node, "ca"), NET_TLS_LEAF_WORDS, index + 1);
    net_tls_free(tried);
}

static void check(struct config_doc *doc, const struct config_node *node, void *base)
{
    struct store_redis_tls_conf *conf = base;
    const struct config_node *verify = config_find(node, "verify");
    const struct config_node *name = config_find(node, "server_name");
    const char *fault = net_tls_name_fault(conf->server_name);
    if (name != NULL && fault != NULL)
        config_warning(doc, name, "%s", fault);
    conf->is_on = true;
    bool has_certificate = config_find(node, "certificate") != NULL;
    if (has_certificate != (config_find(node, "key") != NULL)) {
        config_error(doc, node, "\"%s\" is missing: \"certificate\" and \"key\" stand together",
                     has_certificate ? "key" : "certificate");
        return;
    }
    if (!conf->is_verified && verify != NULL)
        config_warning(doc, verify,
                       "whoever answers is believed to be the Redis server, and gets its password");
    if (!conf->is_verified && config_find(node, "ca") != NULL)
        config_error(doc, config_find(node, "ca"), "nobody looks at it with \"verify\": false");
    else if (!is_unread(node, "ca", conf->ca) &&
             !is_unread(node, "certificate", conf->certificate) &&
             !is_unread(node, "key", conf->key))
        check_files(doc, node, conf);
}

/* In the order of enum store_redis_tls_version. */
static const char *const versions[] = {"1.2", "1.3", NULL};

static const struct config_directive rows[] = {
    {.key = "ca",
     .type = CONFIG_FILE,
     CONFIG_AT(struct store_redis_tls_conf, ca),
     .absent = "the system's",
     .doc = "The file with the certificates (PEM) of the authorities that may sign for Redis."},
    {.key = "verify",
     .type = CONFIG_BOOL,
     CONFIG_AT(struct store_redis_tls_conf, is_verified),
     .fallback = "true",
     .doc = "A server must have a certificate that such an authority has signed, for its name."},
    {.key = "server_name",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct store_redis_tls_conf, server_name),
     .min = 1,
     .max = 253,
     .absent = "each server's own",
     .doc = "The name or address that must stand in every server's certificate, where that is not "
            "the one by which it is reached."},
    {.key = "certificate",
     .type = CONFIG_FILE,
     CONFIG_AT(struct store_redis_tls_conf, certificate),
     .absent = "none",
     .doc = "The file with our own certificate (PEM), its chain behind it, for servers that want "
            "one."},
    {.key = "key",
     .type = CONFIG_FILE,
     CONFIG_AT(struct store_redis_tls_conf, key),
     .absent = "none",
     .doc = "The file with the private key (PEM, not encrypted) of \"certificate\"."},
    {.key = "min_version",
     .type = CONFIG_CHOICE,
     CONFIG_AT(struct store_redis_tls_conf, min_version),
     .fallback = "\"1.2\"",
     .words = versions,
     .doc = "The oldest version of TLS that is good enough."},
    {.key = "sentinels",
     .type = CONFIG_BOOL,
     CONFIG_AT(struct store_redis_tls_conf, is_for_sentinels),
     .fallback = "true",
     .doc = "The sentinels are asked over TLS too."},
};

const struct config_table STORE_REDIS_TLS = {
    .title = "TLS to Redis",
    .noun = "tls",
    CONFIG_ROWS_OF(rows),
    .size = sizeof(struct store_redis_tls_conf),
    .check = check,
};
