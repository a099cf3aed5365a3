/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls_server.c - the contexts of one listener: a certificate by the name that a client asks for, the protocol spoken
 * inside, tickets, clients' certificates.  Gives: constant contexts that all workers share.
 *
 * All contexts of a listener ask the same of clients, and a ticket is good only where the same was asked (the session's
 * id context): so no choice of a name lets anybody in who has not shown a certificate. */
#include "net/net_tls_server.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_ascii.h"
#include "base/base_clock.h"
#include "base/base_map.h"
#include "net/net_tls_private.h"

#define SERVER_NAME_MAX 255
#define SERVER_CLOCK_S  60 /* a ticket may come from this much of a future: clocks are set */
#define SERVER_GROUPS   "X25519:P-256:P-384"

/* The certificate of one pair.  Pairs with the same names and another kind of key share a context. */
struct server_pair {
    SSL_CTX *context; /* a reference */
    int key_type;
    unsigned names; /* for which it is taken */
};

struct net_tls_server {
    atomic_uint refs;
    BIO_METHOD *method;
    X509_STORE *client_ca; /* NULL: clients show no certificates */
    STACK_OF(X509_NAME) * client_ca_names;
    struct map
        names; /* to the pair's context; lower case, "*.example.com" as it stands in the certificate */
    struct server_pair *pairs;
    unsigned pair_count;
    uint64_t session_s; /* after the whole handshake that began a session, it is resumed no more */
    unsigned char id[32]; /* of sessions: what was asked of clients */
};

/* ---- what clients ask for ---- */

static SSL_CTX *server_find(const struct net_tls_server *server, const char *asked)
{
    char name[SERVER_NAME_MAX + 1];
    size_t len = strlen(asked);
    if (len > 0 && asked[len - 1] == '.')
        len--;
    if (len == 0 || len > SERVER_NAME_MAX)
        return NULL;
    ascii_copy_lower(name, asked, len);
    SSL_CTX *context = map_find(&server->names, (struct span){name, len});
    size_t dot = span_find((struct span){name, len}, '.');
    if (context != NULL || dot == 0 || dot == len)
        return context;
    name[dot - 1] = '*'; /* one label, the first (RFC 6125 section 6.4.3) */
    return map_find(&server->names, (struct span){name + dot - 1, len - dot + 1});
}

static int server_on_name(SSL *ssl, int *alert, void *arg)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    SSL_CTX *context = name == NULL ? NULL : server_find(arg, name);
    *alert = SSL_AD_INTERNAL_ERROR;
    if (context == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    if (SSL_get_SSL_CTX(ssl) != context && SSL_set_SSL_CTX(ssl, context) == NULL)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    return SSL_TLSEXT_ERR_OK;
}

/* Who speaks none of ours is told so (RFC 7301 section 3.2), rather than left to guess. */
static int server_on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                          const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1\x08http/1.0";
    unsigned char *chosen = NULL;
    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours) - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* ---- tickets ---- */

static bool ticket_use(const struct net_tls_ticket_key *key, const unsigned char *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int is_sealing)
{
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->mac,
                                          sizeof(key->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, is_sealing) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 1 good, 2 good and to be replaced, 0 a whole handshake, negative: failed. */
static int server_on_ticket(SSL *ssl, unsigned char name[NET_TLS_TICKET_NAME_BYTES],
                            unsigned char iv[EVP_MAX_IV_LENGTH], EVP_CIPHER_CTX *cipher,
                            EVP_MAC_CTX *mac, int is_sealing)
{
    const struct net_stream *stream = SSL_get_app_data(ssl);
    const struct net_tls_tickets *tickets = stream->tls->tickets;
    struct net_tls_ticket_key key;
    bool is_newest = true, is_good;
    if (tickets == NULL)
        return 0;
    if (is_sealing) {
        if (!net_tls_tickets_newest(tickets, &key) || RAND_bytes(iv, 16) != 1)
            return 0;
        memcpy(name, key.name, sizeof(key.name));
    } else if (!net_tls_tickets_find(tickets, name, &key, &is_newest)) {
        return 0;
    }
    is_good = ticket_use(&key, iv, cipher, mac, is_sealing);
    OPENSSL_cleanse(&key, sizeof(key));
    if (!is_good)
        return -1;
    /* Of 1.3 one is used once only, so that nobody sees who comes back: each connection brings another (RFC 8446 C.4). */
    return is_newest && (is_sealing || SSL_version(ssl) != TLS1_3_VERSION) ? 1 : 2;
}

/* OpenSSL counts the life of a session from its last ticket, and each resumption gives the next one: what a client has
 * shown once would be good for ever.  So a ticket says when the handshake was in which it was shown. */
static int server_on_seal(SSL *ssl, void *arg)
{
    SSL_SESSION *session = SSL_get_session(ssl);
    uint64_t now_s = clock_wall_us() / 1000000;
    (void)arg;
    return SSL_session_reused(ssl) ||
           SSL_SESSION_set1_ticket_appdata(session, &now_s, sizeof(now_s)) == 1;
}

static bool session_is_in_time(SSL_SESSION *session, uint64_t session_s)
{
    uint64_t began_s, now_s = clock_wall_us() / 1000000;
    void *data = NULL;
    size_t len = 0;
    if (SSL_SESSION_get0_ticket_appdata(session, &data, &len) != 1 || len != sizeof(began_s))
        return false;
    memcpy(&began_s, data, sizeof(began_s));
    return began_s <= now_s + SERVER_CLOCK_S && now_s < began_s + session_s;
}

static bool session_has_valid_peer(SSL_SESSION *session)
{
    const X509 *peer = SSL_SESSION_get0_peer(session);
    return peer == NULL || X509_cmp_current_time(X509_get0_notAfter(peer)) > 0;
}

static SSL_TICKET_RETURN server_on_open(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                        size_t name_len, SSL_TICKET_STATUS status, void *arg)
{
    const struct net_tls_server *server = arg;
    bool is_open = status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW;
    (void)ssl;
    (void)name;
    (void)name_len;
    if (!is_open || !session_is_in_time(session, server->session_s) ||
        !session_has_valid_peer(session))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

/* ---- making ---- */

static bool server_say(struct net_tls_server_fault *fault, enum net_tls_server_part part,
                       const char *sentence)
{
    if (sentence == NULL)
        return true;
    fault->part = part;
    snprintf(fault->why, sizeof(fault->why), "%s", sentence);
    return false;
}

static bool server_set_up(const struct net_tls_server *server, SSL_CTX *context,
                          const struct net_tls_server_conf *conf)
{
    net_tls_set_up(context, conf->is_1_3);
    /* A chain is what the file says; authorities of clients have no place in it. */
    SSL_CTX_set_mode(context, SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(context, (long)conf->session_s);
    if (!conf->has_tickets) {
        SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(context, 0);
    }
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, server_on_ticket);
    SSL_CTX_set_session_ticket_cb(context, server_on_seal, server_on_open,
                                  (void *)(uintptr_t)server);
    SSL_CTX_set_alpn_select_cb(context, server_on_alpn, NULL);
    SSL_CTX_set_tlsext_servername_callback(context, server_on_name);
    SSL_CTX_set_tlsext_servername_arg(context, (void *)(uintptr_t)server);
    return SSL_CTX_set1_groups_list(context, SERVER_GROUPS) == 1 &&
           SSL_CTX_set_session_id_context(context, server->id, sizeof(server->id)) == 1;
}

static bool server_set_verify(const struct net_tls_server *server, SSL_CTX *context,
                              const struct net_tls_server_conf *conf)
{
    int mode = SSL_VERIFY_PEER;
    if (conf->verify == NET_TLS_VERIFY_OFF)
        return true;
    if (conf->verify == NET_TLS_VERIFY_REQUIRED)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    STACK_OF(X509_NAME) *names = SSL_dup_CA_list(server->client_ca_names);
    if (names == NULL)
        return false;
    SSL_CTX_set_client_CA_list(context, names);
    SSL_CTX_set_verify(context, mode, NULL);
    SSL_CTX_set_verify_depth(context, (int)conf->depth);
    SSL_CTX_set1_cert_store(context, server->client_ca);
    return true;
}

static SSL_CTX *server_context(const struct net_tls_server *server,
                               const struct net_tls_server_conf *conf,
                               struct net_tls_server_fault *fault)
{
    const char *ciphers = conf->ciphers.len == 0 ? NET_TLS_CIPHERS : conf->ciphers.ptr;
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    bool is_good = context != NULL && server_set_up(server, context, conf) &&
                   server_set_verify(server, context, conf);
    if (is_good && SSL_CTX_set_cipher_list(context, ciphers) == 1)
        return context;
    if (is_good)
        (void)server_say(fault, NET_TLS_SERVER_CIPHERS,
                         "not a list of ciphers as `openssl ciphers` takes it");
    SSL_CTX_free(context);
    return NULL;
}

/* ---- names ---- */

/* Calls fn for every name of the certificate until it says false: those of the extension, or, without one, the common
 * name, which is all that certificates of one's own making often have. */
static bool server_each_name(X509 *certificate, bool (*fn)(void *arg, struct span name), void *arg)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool goes_on = true, has_dns = false;
    for (int i = 0; goes_on && names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_DNS)
            continue;
        has_dns = true;
        goes_on = fn(arg, (struct span){(const char *)ASN1_STRING_get0_data(name->d.dNSName),
                                        (size_t)ASN1_STRING_length(name->d.dNSName)});
    }
    GENERAL_NAMES_free(names);
    char common[SERVER_NAME_MAX + 1];
    int len = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, common,
                                        sizeof(common));
    if (goes_on && !has_dns && len > 0)
        goes_on = fn(arg, (struct span){common, (size_t)len});
    return goes_on;
}

struct naming {
    struct net_tls_server *server;
    struct server_pair *pair;
    const SSL_CTX *found; /* that has the first name already */
    struct map own;       /* names that were compared: each once, however often it stands there */
    bool is_short;        /* of memory */
};

static struct span server_lower(struct span name, char out[SERVER_NAME_MAX])
{
    size_t len = name.len < SERVER_NAME_MAX ? name.len : SERVER_NAME_MAX;
    ascii_copy_lower(out, name.ptr, len);
    return (struct span){out, len};
}

static bool server_add_name(void *arg, struct span name)
{
    struct naming *naming = arg;
    char lower[SERVER_NAME_MAX];
    enum err err =
        map_add(&naming->server->names, server_lower(name, lower), naming->pair->context);
    if (err == ERR_OK)
        naming->pair->names++;
    return err == ERR_OK || err == ERR_EXISTS;
}

/* Is there one context that has all the names? */
static bool server_compare_name(void *arg, struct span name)
{
    struct naming *naming = arg;
    char lower[SERVER_NAME_MAX];
    const struct span key = server_lower(name, lower);
    const SSL_CTX *found = map_find(&naming->server->names, key);
    if (naming->own.count == 0)
        naming->found = found;
    if (found == NULL || found != naming->found)
        return false;
    naming->is_short = map_add(&naming->own, key, naming->server) == ERR_NOMEM;
    return !naming->is_short;
}

/* The pair of this context, if it has just so many names and no key of this kind. */
static struct server_pair *server_match(struct net_tls_server *server, const SSL_CTX *context,
                                        size_t names, int key_type)
{
    struct server_pair *match = NULL;
    for (unsigned i = 0; i < server->pair_count; i++) {
        struct server_pair *pair = &server->pairs[i];
        if (pair->context != context)
            continue;
        if (pair->key_type == key_type || pair->names != names)
            return NULL;
        match = pair;
    }
    return match;
}

/* The earlier pair whose context has exactly these names and no key of this kind, or NULL: a name more, and who asks for it
 * would get a certificate without it.  False: no memory. */
static bool server_find_twin(struct net_tls_server *server, X509 *certificate, int key_type,
                             struct server_pair **twin)
{
    struct naming naming = {.server = server};
    map_init(&naming.own);
    const bool is_one = server_each_name(certificate, server_compare_name, &naming);
    *twin = is_one && naming.found != NULL
                ? server_match(server, naming.found, naming.own.count, key_type)
                : NULL;
    map_fini(&naming.own);
    return !naming.is_short;
}

/* ---- pairs ---- */

static bool server_fill(SSL_CTX *context, const struct net_tls_pair *conf,
                        struct net_tls_server_fault *fault)
{
    return server_say(fault, NET_TLS_SERVER_CERTIFICATE,
                      net_tls_take_certificate(context, conf->certificate)) &&
           server_say(fault, NET_TLS_SERVER_KEY, net_tls_take_key(context, conf->key));
}

static bool server_add_pair(struct net_tls_server *server, const struct net_tls_server_conf *conf,
                            unsigned index, struct net_tls_server_fault *fault)
{
    struct server_pair *pair = &server->pairs[index];
    pair->context = server_context(server, conf, fault);
    if (pair->context == NULL || !server_fill(pair->context, &conf->pairs[index], fault))
        return false;
    X509 *certificate = SSL_CTX_get0_certificate(pair->context);
    const EVP_PKEY *key = X509_get0_pubkey(certificate);
    pair->key_type = key == NULL ? 0 : EVP_PKEY_get_base_id(key);
    struct server_pair *twin;
    if (!server_find_twin(server, certificate, pair->key_type, &twin))
        return false;
    if (twin != NULL) {
        if (!server_fill(twin->context, &conf->pairs[index], fault))
            return false;
        SSL_CTX_free(pair->context);
        SSL_CTX_up_ref(twin->context);
        pair->context = twin->context;
        pair->names = twin->names;
        return true;
    }
    struct naming naming = {.server = server, .pair = pair};
    return server_each_name(certificate, server_add_name, &naming);
}

/* ---- the whole ---- */

static bool server_take_client_ca(struct net_tls_server *server,
                                  const struct net_tls_server_conf *conf,
                                  struct net_tls_server_fault *fault)
{
    const unsigned char what[] = {(unsigned char)conf->verify, (unsigned char)conf->depth};
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool is_good = digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
                   EVP_DigestUpdate(digest, what, sizeof(what)) == 1 &&
                   EVP_DigestUpdate(digest, conf->client_ca.ptr, conf->client_ca.len) == 1 &&
                   EVP_DigestFinal_ex(digest, server->id, NULL) == 1;
    EVP_MD_CTX_free(digest);
    if (!is_good || conf->verify == NET_TLS_VERIFY_OFF)
        return is_good;
    server->client_ca = X509_STORE_new();
    server->client_ca_names = sk_X509_NAME_new_null();
    return server->client_ca != NULL && server->client_ca_names != NULL &&
           server_say(fault, NET_TLS_SERVER_CLIENT_CA,
                      net_tls_take_authorities(server->client_ca, conf->client_ca)) &&
           net_tls_list_authorities(server->client_ca_names, conf->client_ca);
}

struct net_tls_server *net_tls_server_new(const struct net_tls_server_conf *conf,
                                          struct net_tls_server_fault *fault)
{
    struct net_tls_server *server = calloc(1, sizeof(*server));
    bool is_good = false;
    *fault = (struct net_tls_server_fault){.part = NET_TLS_SERVER_MEMORY, .why = "out of memory"};
    if (server == NULL)
        return NULL;
    ERR_clear_error();
    atomic_init(&server->refs, 1);
    map_init(&server->names);
    server->session_s = conf->session_s;
    server->method = net_tls_bio_method();
    server->pairs = calloc(conf->pair_count + 1u, sizeof(*server->pairs));
    if (server->method != NULL && server->pairs != NULL)
        is_good = server_take_client_ca(server, conf, fault);
    for (unsigned i = 0; is_good && i < conf->pair_count; i++) {
        fault->pair = i;
        is_good = server_add_pair(server, conf, i, fault);
        server->pair_count++;
    }
    ERR_clear_error();
    if (is_good)
        return server;
    net_tls_server_free(server);
    return NULL;
}

struct net_tls_server *net_tls_server_ref(struct net_tls_server *server)
{
    if (server != NULL)
        atomic_fetch_add_explicit(&server->refs, 1, memory_order_relaxed);
    return server;
}

void net_tls_server_free(struct net_tls_server *server)
{
    if (server == NULL || atomic_fetch_sub_explicit(&server->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned i = 0; i < server->pair_count; i++)
        SSL_CTX_free(server->pairs[i].context);
    sk_X509_NAME_pop_free(server->client_ca_names, X509_NAME_free);
    X509_STORE_free(server->client_ca);
    map_fini(&server->names);
    BIO_meth_free(server->method);
    free(server->pairs);
    free(server);
}

SSL *net_tls_server_ssl(const struct net_tls_server *server, struct net_stream *stream)
{
    SSL *ssl = SSL_new(server->pairs[0].context);
    if (ssl == NULL)
        return NULL;
    if (!net_tls_bio_attach(ssl, server->method, stream) || SSL_set_app_data(ssl, stream) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_accept_state(ssl);
    return ssl;
}

unsigned net_tls_server_names(const struct net_tls_server *server, unsigned pair)
{
    return server->pairs[pair].names;
}

const char *net_tls_weak_cipher(const struct net_tls_server *server)
{
    const STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(server->pairs[0].context);
    for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
        const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(ciphers, i);
        int exchange = SSL_CIPHER_get_kx_nid(cipher);
        if (!SSL_CIPHER_is_aead(cipher) || SSL_CIPHER_get_auth_nid(cipher) == NID_auth_null ||
            (exchange != NID_kx_any && exchange != NID_kx_ecdhe && exchange != NID_kx_dhe))
            return SSL_CIPHER_get_name(cipher);
    }
    return NULL;
}

bool net_tls_server_has_cipher(const struct net_tls_server *server, unsigned pair,
                               const char **kind)
{
    const STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(server->pairs[pair].context);
    int key_type = server->pairs[pair].key_type;
    bool is_rsa = key_type == EVP_PKEY_RSA || key_type == EVP_PKEY_RSA_PSS;
    *kind = is_rsa ? "RSA" : "ECDSA";
    for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
        if (SSL_CIPHER_get_auth_nid(sk_SSL_CIPHER_value(ciphers, i)) ==
            (is_rsa ? NID_auth_rsa : NID_auth_ecdsa))
            return true;
    }
    return false;
}
