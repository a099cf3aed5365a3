/* SPDX-License-Identifier: Apache-2.0 */
/* plan_link_tls.c - certificates and keys of listeners and upstreams into the contexts that connections begin with.  Takes:
 * drafts, with the files' bytes.  Gives: contexts, and every fault of a certificate that can be seen before a client sees
 * it.  Opens no file but the system's list of authorities, and that through the caller's reader. */
#include <stdlib.h>

#include "base/base_clock.h"
#include "net/net_tls_certificate.h"
#include "plan/plan_draft.h"

#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt" /* of Debian's ca-certificates */

static const struct config_node *find_or(const struct config_node *node, const char *key)
{
    const struct config_node *member = config_find(node, key);
    return member != NULL ? member : node;
}

/* ---- judging ---- */

/* The child has no say: a certificate that expires while it is served must not keep a crashed child from coming back. */
static void judge_age(struct plan_work *work, const struct config_node *node, struct span pem)
{
    char date[16];
    struct config_doc *doc = work->load->doc;
    if (work->registry != NULL)
        return;
    switch (net_tls_certificate_age(pem, clock_wall_us() / 1000000, date)) {
    case NET_TLS_AGE_GOOD:
        break;
    case NET_TLS_AGE_SOON:
        config_warning(doc, node, "the certificate expires soon, on %s", date);
        break;
    case NET_TLS_AGE_EXPIRED:
        config_error(doc, node, "the certificate has expired on %s", date);
        break;
    case NET_TLS_AGE_EARLY:
        config_error(doc, node, "the certificate is not valid before %s", date);
        break;
    }
}

static void note_until(struct plan *plan, struct span pem)
{
    uint64_t until_s = net_tls_certificate_until_s(pem);
    if (until_s != 0 && (plan->certificates_until_s == 0 || until_s < plan->certificates_until_s))
        plan->certificates_until_s = until_s;
}

static void judge_chain(struct plan_work *work, const struct config_node *node, struct span pem)
{
    unsigned index;
    if (!net_tls_certificate_is_ordered(pem, &index))
        config_error(work->load->doc, node,
                     "the chain is out of order: certificate %u in the file has not signed "
                     "certificate %u",
                     index + 1, index);
    judge_age(work, node, pem);
    note_until(&work->draft->plan, pem);
}

static void judge_authorities(struct plan_work *work, const struct config_node *node,
                              struct span pem)
{
    unsigned index;
    if (net_tls_certificate_is_leaf(pem, &index))
        config_warning(work->load->doc, node, NET_TLS_LEAF_WORDS, index + 1);
}

/* ---- listeners ---- */

/* Where a part of the pair stands in the file. */
static const struct config_node *pair_node(const struct net_tls_server_draft *draft,
                                           const struct config_node *tls, unsigned pair,
                                           const char *key)
{
    return find_or(draft->pairs.count == 0 ? tls : draft->pairs.nodes[pair], key);
}

static const struct config_node *server_node(const struct net_tls_server_draft *draft,
                                             const struct config_node *tls,
                                             const struct net_tls_server_fault *fault)
{
    switch (fault->part) {
    case NET_TLS_SERVER_CERTIFICATE:
        return pair_node(draft, tls, fault->pair, "certificate");
    case NET_TLS_SERVER_KEY:
        return pair_node(draft, tls, fault->pair, "key");
    case NET_TLS_SERVER_CIPHERS:
        return find_or(tls, "ciphers");
    case NET_TLS_SERVER_CLIENT_CA:
        return find_or(find_or(tls, "client_certificates"), "ca");
    default:
        return tls;
    }
}

static void judge_server(struct plan_work *work, const struct net_tls_server *server,
                         const struct net_tls_server_conf *conf,
                         const struct net_tls_server_draft *draft, const struct config_node *tls)
{
    const char *weak = net_tls_weak_cipher(server), *kind;
    judge_authorities(work, find_or(find_or(tls, "client_certificates"), "ca"), conf->client_ca);
    if (weak != NULL)
        config_warning(work->load->doc, find_or(tls, "ciphers"),
                       "%s has no forward secrecy, is no AEAD or proves nobody: it is not safe",
                       weak);
    for (unsigned i = 0; i < conf->pair_count; i++) {
        const struct config_node *node = pair_node(draft, tls, i, "certificate");
        judge_chain(work, node, conf->pairs[i].certificate);
        if (!conf->is_1_3 && !net_tls_server_has_cipher(server, i, &kind))
            config_warning(work->load->doc, find_or(tls, "ciphers"),
                           "none of them is for the key of certificate %u (%s), so that nobody "
                           "gets it over TLS 1.2: add one that is",
                           i + 1, kind);
        if (net_tls_certificate_wants_ocsp(conf->pairs[i].certificate))
            config_warning(work->load->doc, node,
                           "the certificate demands an answer of OCSP along with it, which is not "
                           "given: clients that insist refuse it; get one without must-staple");
        if (i > 0 && net_tls_server_names(server, i) == 0)
            config_warning(work->load->doc, node,
                           "no client gets this certificate: others before it have all its names");
    }
}

static void link_listener(struct plan_work *work, struct plan_listener *listener,
                          const struct config_node *tls)
{
    const struct net_tls_server_draft *draft = &listener->tls_draft;
    const struct net_tls_server_conf conf = {
        .pairs = draft->pairs.count == 0 ? &draft->pair : draft->pairs.items,
        .pair_count = draft->pairs.count == 0 ? 1 : draft->pairs.count,
        .is_1_3 = draft->min_version == 1,
        .ciphers = draft->ciphers,
        .verify = (enum net_tls_verify)draft->clients.verify,
        .client_ca = draft->clients.ca,
        .depth = draft->clients.depth,
        .has_tickets = draft->has_tickets,
        .session_s = draft->session_us / 1000000,
    };
    struct net_tls_server_fault fault;
    struct plan *plan = &work->draft->plan;
    listener->tls = net_tls_server_new(&conf, &fault);
    if (listener->tls == NULL && fault.part == NET_TLS_SERVER_MEMORY) {
        config_out_of_memory(work->load->doc);
    } else if (listener->tls == NULL) {
        config_error(work->load->doc, server_node(draft, tls, &fault), "%s", fault.why);
    } else {
        judge_server(work, listener->tls, &conf, draft, tls);
        if (draft->has_tickets && draft->session_us > plan->tickets_us)
            plan->tickets_us = draft->session_us;
    }
}

/* ---- upstreams ---- */

static struct span system_ca(struct plan_work *work, const struct config_node *node)
{
    const char *name = getenv("SSL_CERT_FILE"); /* as OpenSSL's own programs have it */
    struct span text = SPAN_NONE;
    char why[256] = "files cannot be read here";
    if (name == NULL || *name != '/')
        name = SYSTEM_CA;
    if (work->load->read == NULL || !work->load->read(work->load->arg, span_of(name), &text, why)) {
        config_error(
            work->load->doc, node,
            "the system's authorities cannot be read: %s (install ca-certificates, or give "
            "\"ca\")",
            why);
        return SPAN_NONE;
    }
    return text;
}

/* What a server's certificate must be for; a fault when nothing is known. */
static void link_name(struct plan_work *work, const struct upstream_conf *conf,
                      struct upstream_server_conf *server, const struct config_node *tls)
{
    char text[IP_TEXT_MAX];
    struct ip ip;
    if (conf->tls_draft.server_name.len != 0) {
        server->tls_name = conf->tls_draft.server_name;
    } else if (server->host.len != 0) {
        server->tls_name = net_tls_name_of(server->host);
    } else if (!server->address.is_unix) {
        ip = net_address_ip(&server->address);
        server->tls_name =
            arena_copy(&work->draft->plan.arena, (struct span){text, ip_format(text, &ip)});
        if (server->tls_name.ptr == NULL)
            config_out_of_memory(work->load->doc);
    } else if (conf->tls_draft.is_verified) {
        config_error(work->load->doc, tls,
                     "a server on a Unix socket has no name to verify: give \"server_name\"");
    }
}

static bool is_as_before(const struct net_tls_conf *one, const struct net_tls_conf *other)
{
    return span_eq(one->ca, other->ca) && span_eq(one->certificate, other->certificate) &&
           span_eq(one->key, other->key) && one->is_unverified == other->is_unverified &&
           one->is_1_3 == other->is_1_3;
}

static void tell_client_fault(struct plan_work *work, const struct config_node *tls,
                              enum net_tls_part part, const char *why)
{
    static const char *const keys[] = {
        [NET_TLS_CA] = "ca", [NET_TLS_CERTIFICATE] = "certificate", [NET_TLS_KEY] = "key"};
    if (part == NET_TLS_MEMORY)
        config_out_of_memory(work->load->doc);
    else
        config_error(work->load->doc, find_or(tls, keys[part]), "%s", why);
}

/* `last` is what the upstream before was made of: mostly it is the same, and a hundred authorities are read once. */
static void link_upstream(struct plan_work *work, struct upstream_conf *conf,
                          const struct config_node *tls, struct net_tls_conf *last,
                          struct net_tls **last_tls)
{
    const struct net_tls_client_draft *draft = &conf->tls_draft;
    char why[NET_TLS_WHY_BYTES];
    enum net_tls_part part;
    struct net_tls_conf made_of = {
        .ca = draft->ca,
        .certificate = draft->certificate,
        .key = draft->key,
        .is_unverified = !draft->is_verified,
        .is_1_3 = draft->min_version == 1,
        .is_http = true,
    };
    if (draft->is_verified && draft->ca.len == 0)
        made_of.ca = system_ca(work, tls);
    for (unsigned i = 0; i < conf->server_count; i++)
        link_name(work, conf, &conf->servers[i], tls);
    if (draft->is_verified && made_of.ca.len == 0)
        return;
    conf->tls = *last_tls != NULL && is_as_before(last, &made_of)
                    ? net_tls_ref(*last_tls)
                    : net_tls_new(&made_of, &part, why);
    if (conf->tls == NULL)
        tell_client_fault(work, tls, part, why);
    else if (draft->certificate.len != 0)
        judge_chain(work, find_or(tls, "certificate"), draft->certificate);
    judge_authorities(work, find_or(tls, "ca"), draft->ca);
    *last = made_of;
    *last_tls = conf->tls;
}

void plan_link_tls(struct plan_work *work)
{
    struct plan *plan = &work->draft->plan;
    struct net_tls_conf last = {.is_http = true};
    struct net_tls *last_tls = NULL;
    for (unsigned i = 0; i < plan->listener_count; i++) {
        const struct config_node *tls = config_find(work->draft->listeners.nodes[i], "tls");
        if (tls != NULL)
            link_listener(work, &plan->listeners[i], tls);
    }
    for (unsigned i = 0; i < plan->upstream_count; i++) {
        const struct config_node *tls = config_find(work->draft->upstreams.nodes[i], "tls");
        if (tls != NULL)
            link_upstream(work, &plan->upstreams[i], tls, &last, &last_tls);
    }
}
