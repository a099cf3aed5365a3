/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls_directives.c - the tables of TLS towards clients and towards servers.  Takes: the file.  Gives: drafts. */
#include "net/net_tls_directives.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/base_ascii.h"
#include "config/config_doc.h"

#define SESSION_US  UINT64_C(3600000000) /* as the table says */
#define ADDRESS_MAX 45                   /* of IPv6 as text */

static const char *const versions[] = {"1.2", "1.3", NULL};
static const char *const verify_words[] = {
    [NET_TLS_VERIFY_OFF] = "off",
    [NET_TLS_VERIFY_OPTIONAL] = "optional",
    [NET_TLS_VERIFY_REQUIRED] = "required",
    NULL,
};

#define PAIR(member)   CONFIG_AT(struct net_tls_pair, member)
#define SERVER(member) CONFIG_AT(struct net_tls_server_draft, member)
#define CLIENT(member) CONFIG_AT(struct net_tls_client_draft, member)

/* ---- names ---- */

static bool is_address(struct span name)
{
    char text[ADDRESS_MAX + 1] = "";
    unsigned char address[sizeof(struct in6_addr)];
    if (name.len > ADDRESS_MAX)
        return false;
    memcpy(text, name.ptr, name.len);
    return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

const char *net_tls_name_fault(struct span name)
{
    if (name.len == 0 || is_address(name))
        return NULL;
    if (span_starts_with(name, SPAN("*.")))
        return "a pattern stands in certificates, and none has this for a name: give the name "
               "itself";
    if (span_find(name, ':') < name.len)
        return "no certificate has a port in its name: give the name alone";
    if (name.ptr[name.len - 1] == '.')
        return "no certificate has a point at the end of its name: leave it out";
    for (size_t i = 0; i < name.len; i++) {
        if (!ascii_is_word(name.ptr[i]) && memchr("-._", name.ptr[i], 3) == NULL)
            return "no certificate has such a name: letters, digits, points and hyphens stand in "
                   "one (others as \"xn--\")";
    }
    return NULL;
}

/* The point at the end of a name has it looked up as it stands; none is asked for with it (RFC 6066 section 3), or certified. */
struct span net_tls_name_of(struct span host)
{
    if (host.len > 1 && host.ptr[host.len - 1] == '.')
        host.len--;
    return host;
}

/* ---- towards clients ---- */

static const struct config_directive pair_rows[] = {
    {.key = "certificate",
     .type = CONFIG_FILE,
     .flags = CONFIG_REQUIRED,
     PAIR(certificate),
     .doc = "The file of a certificate with its chain behind it (PEM); its names say who gets it."},
    {.key = "key",
     .type = CONFIG_FILE,
     .flags = CONFIG_REQUIRED,
     PAIR(key),
     .doc = "The file of its private key (PEM, not encrypted)."},
};

static const struct config_table pair_table = {
    .title = "A certificate of a listener",
    .noun = "certificate",
    CONFIG_ROWS_OF(pair_rows),
    .size = sizeof(struct net_tls_pair),
    .name_key = "certificate",
};

static const struct config_directive clients_rows[] = {
    {.key = "verify",
     .type = CONFIG_CHOICE,
     CONFIG_AT(struct net_tls_clients_draft, verify),
     .fallback = "\"required\"",
     .words = verify_words,
     .doc = "Whether clients must show a certificate, may show one (it must be good then), or are "
            "not asked."},
    {.key = "ca",
     .type = CONFIG_FILE,
     .flags = CONFIG_REQUIRED,
     CONFIG_AT(struct net_tls_clients_draft, ca),
     .doc = "The file of the authorities that sign clients' certificates (PEM)."},
    {.key = "depth",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct net_tls_clients_draft, depth),
     .fallback = "3",
     .min = 0,
     .max = 20,
     .unit = "certificates",
     .doc = "How many certificates may stand between a client's and an authority's."},
};

static const struct config_table clients_table = {
    .title = "Certificates of clients",
    .noun = "client_certificates",
    CONFIG_ROWS_OF(clients_rows),
    .size = sizeof(struct net_tls_clients_draft),
};

static const struct config_directive server_rows[] = {
    {.key = "certificate",
     .type = CONFIG_FILE,
     SERVER(pair.certificate),
     .absent = "see `certificates`",
     .doc = "The file of the only certificate, with its chain behind it (PEM)."},
    {.key = "key",
     .type = CONFIG_FILE,
     SERVER(pair.key),
     .absent = "see `certificates`",
     .doc = "The file of its private key (PEM, not encrypted)."},
    {.key = "certificates",
     .type = CONFIG_LIST,
     SERVER(pairs),
     .min = 1,
     .max = NET_TLS_CERTIFICATES_MAX,
     .absent = "see `certificate`",
     .nested = &pair_table,
     .doc = "Several certificates: a client gets the one that has the name it asks for, else one "
            "for `*.` and the rest of it, else the first."},
    {.key = "min_version",
     .type = CONFIG_CHOICE,
     SERVER(min_version),
     .fallback = "\"1.2\"",
     .words = versions,
     .doc = "The least version of TLS."},
    {.key = "ciphers",
     .type = CONFIG_TEXT,
     SERVER(ciphers),
     .min = 1,
     .max = 4000,
     .absent = "those with forward secrecy and AEAD",
     .doc = "The ciphers of TLS 1.2 in the order of preference, as `openssl ciphers` takes them; "
            "those of TLS 1.3 are all good."},
    {.key = "client_certificates",
     .type = CONFIG_OBJECT,
     .flags = CONFIG_OPTIONAL,
     SERVER(clients),
     .nested = &clients_table,
     .absent = "clients are not asked",
     .doc = "Certificates of clients, for the identity `certificate`."},
    {.key = "session_tickets",
     .type = CONFIG_BOOL,
     SERVER(has_tickets),
     .fallback = "true",
     .doc = "Whether clients may resume a session, with any worker."},
    {.key = "session_lifetime",
     .type = CONFIG_DURATION,
     SERVER(session_us),
     .fallback = "\"1h\"",
     .min = 1000000,
     .max = UINT64_C(86400000000),
     .doc = "How long a session may be resumed; its key is replaced as often as the longest of "
            "all listeners says."},
};

static void check_server(struct config_doc *doc, const struct config_node *node, void *base)
{
    const struct config_node *one = config_find(node, "certificate"),
                             *key = config_find(node, "key"),
                             *several = config_find(node, "certificates"),
                             *ciphers = config_find(node, "ciphers"),
                             *lifetime = config_find(node, "session_lifetime");
    const struct net_tls_server_draft *draft = base;
    if (ciphers != NULL && draft->min_version == 1)
        config_warning(doc, ciphers,
                       "not used: they are those of TLS 1.2, and \"min_version\" is 1.3; leave "
                       "them out");
    if (lifetime != NULL && !draft->has_tickets && draft->session_us != SESSION_US)
        config_warning(doc, lifetime,
                       "not used: with \"session_tickets\": false no session is resumed; leave it "
                       "out");
    if (several != NULL && (one != NULL || key != NULL))
        config_key_error(doc, several,
                         "\"certificates\" stand instead of one \"certificate\" "
                         "and \"key\"");
    else if (several == NULL && (one == NULL || key == NULL))
        config_missing_error(doc, node, "\"%s\" is missing: TLS needs a certificate and its key",
                             one == NULL ? "certificate" : "key");
}

const struct config_table NET_TLS_SERVER_DIRECTIVES = {
    .title = "TLS of a listener",
    .noun = "tls",
    CONFIG_ROWS_OF(server_rows),
    .size = sizeof(struct net_tls_server_draft),
    .check = check_server,
};

/* ---- towards servers ---- */

static const struct config_directive client_rows[] = {
    {.key = "verify",
     .type = CONFIG_BOOL,
     CLIENT(is_verified),
     .fallback = "true",
     .doc = "Whether a server must prove who it is; without that anybody between can read along."},
    {.key = "ca",
     .type = CONFIG_FILE,
     CLIENT(ca),
     .absent = "the system's authorities",
     .doc = "The file of the authorities that sign the servers' certificates (PEM)."},
    {.key = "server_name",
     .type = CONFIG_TEXT,
     CLIENT(server_name),
     .min = 1,
     .max = 255,
     .absent = "the host in the server's address",
     .doc = "The name that servers are asked for, and that must stand in their certificates."},
    {.key = "certificate",
     .type = CONFIG_FILE,
     CLIENT(certificate),
     .absent = "none is shown",
     .doc = "The file of our certificate with its chain behind it (PEM), for servers that ask."},
    {.key = "key",
     .type = CONFIG_FILE,
     CLIENT(key),
     .absent = "none",
     .doc = "The file of its private key (PEM, not encrypted)."},
    {.key = "min_version",
     .type = CONFIG_CHOICE,
     CLIENT(min_version),
     .fallback = "\"1.2\"",
     .words = versions,
     .doc = "The least version of TLS."},
};

static void check_client(struct config_doc *doc, const struct config_node *node, void *base)
{
    const struct config_node *certificate = config_find(node, "certificate"),
                             *key = config_find(node, "key"), *verify = config_find(node, "verify"),
                             *ca = config_find(node, "ca"),
                             *name = config_find(node, "server_name");
    const struct net_tls_client_draft *draft = base;
    const char *fault = net_tls_name_fault(draft->server_name);
    if (name != NULL && fault != NULL)
        config_warning(doc, name, "%s", fault);
    if ((certificate == NULL) != (key == NULL))
        config_key_error(doc, certificate == NULL ? key : certificate,
                         "\"certificate\" and \"key\" belong together");
    if (verify != NULL && !draft->is_verified && verify->kind == CONFIG_KIND_FALSE) {
        config_warning(doc, verify,
                       "servers are not verified: whoever stands between reads and changes all "
                       "that is sent");
        if (ca != NULL)
            config_warning(doc, ca, "not used: servers are not verified");
    }
}

const struct config_table NET_TLS_CLIENT_DIRECTIVES = {
    .title = "TLS towards servers",
    .noun = "tls",
    CONFIG_ROWS_OF(client_rows),
    .size = sizeof(struct net_tls_client_draft),
    .check = check_client,
};
