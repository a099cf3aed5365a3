/* SPDX-License-Identifier: Apache-2.0 */
/* plan.h - the whole configuration, parsed, checked and linked: the immutable snapshot that workers
 * serve.  Takes: a bundle (the file's text and the secrets it names).  Gives: a counted plan, or every
 * error at once.  Opens nothing but the files of the bundle, and those only through the caller's
 * reader. */
#ifndef SLUICE_PLAN_PLAN_H
#define SLUICE_PLAN_PLAN_H

#include <stdatomic.h>
#include <stdio.h>

#include "base/base_arena.h"
#include "http/http_body.h"
#include "http/http_head.h"
#include "http/http_upgrade.h"
#include "identity/identity.h"
#include "loop/loop_log.h"
#include "metrics/metrics.h"
#include "net/net_address.h"
#include "net/net_tls_directives.h"
#include "plan/plan_addresses.h"
#include "plan/plan_rewrite.h"
#include "quota/quota.h"
#include "reply/reply.h"
#include "route/route.h"
#include "store/store_redis_conf.h"
#include "upstream/upstream_conf.h"

struct plan_listener {
    struct span name; /* as configured, else the address */
    struct span address_text;
    struct net_address address;
    struct net_tls_server *tls; /* a reference; NULL: plain */
    struct net_tls_server_draft tls_draft;
    bool takes_proxy; /* trusted proxies begin with a PROXY header */
};

struct plan_respond {
    uint16_t status;
    struct span body;
    struct span content_type; /* "application/json; charset=UTF-8", "text/plain; charset=UTF-8" */
};

/* What a request costs.  With a header the response tells, at most max. */
struct plan_cost {
    uint32_t estimate;
    uint32_t max;
    struct span header; /* empty: the estimate is the cost */
    uint8_t header_id;  /* enum http_field_id */
};

struct plan_route {
    const struct route_rule *rule;
    const struct quota *quotas[QUOTA_MAX_PER_ROUTE];
    unsigned quota_count;
    bool has_buckets; /* an identity of one of them has one */
    struct plan_cost cost;
    int upstream;                            /* index, or -1: respond */
    uint8_t upstream_id[IDENTITY_KEY_BYTES]; /* of its name; zero: respond */
    int hash_identity;                       /* by which its upstream is balanced; -1: by none */
    const struct plan_respond *respond;
    struct http_upgrade_list upgrades;
    struct plan_address_rule addresses;              /* who may use it */
    const struct plan_rewrite *rewrite;              /* of requests; NULL: nothing is changed */
    const struct plan_rewrite_rules *response_rules; /* the same */
    uint64_t buffer_bytes;        /* of a body, read before a server is asked; 0: none */
    bool learns_tokens;           /* from 201 responses: the projects of their tokens */
    bool looks_up_project;        /* some quota counts by token_project */
    bool looks_up_members;        /* some quota has live members */
    bool may_wait_project;        /* ... and does not only try it in shadow */
    struct reply_headers headers; /* the route's own or the default */
    const struct reply_body_dialect *errors;
    metrics_slot slot_requests; /* sluice_route_requests_total{route} */
    metrics_slot slot_class[6]; /* sluice_route_responses_total{route,class}; [1]..[5] */
    metrics_slot slot_duration; /* sluice_route_duration_seconds{route} */
    bool is_folded;             /* the first two count other routes too */
};

struct plan_limits {
    struct http_head_limits head;
    struct http_body_limits chunks;
    uint64_t body_max_bytes; /* UINT64_MAX: unlimited */
    uint32_t connections_max;
    uint32_t address_connections_max; /* 0: unlimited */
    uint32_t requests_max;            /* of one connection; UINT32_MAX: unlimited */
    uint64_t header_timeout_us, write_stall_us, keepalive_us;
    uint64_t tls_handshake_timeout_us;
    uint32_t tls_handshakes_max;  /* in progress, of one worker */
    uint64_t read_min_rate_per_s; /* of responses; 0: off */
    uint64_t linger_us, linger_max_bytes;
    uint64_t body_min_rate_per_s, body_grace_us;
    uint64_t drain_announce_us; /* how long TERM only makes unready */
    uint64_t drain_us;          /* how long responses in flight may take after TERM */
    uint64_t head_budget_bytes; /* process-wide memory for incomplete heads */
    uint64_t body_budget_bytes; /* the same for bodies that are buffered */
};

struct plan {
    atomic_uint refs;
    atomic_uint *living; /* see plan_count_in; may be NULL */
    uint32_t generation;
    struct arena arena; /* everything below lives here */

    struct plan_listener *listeners;
    unsigned listener_count;
    struct identity *identities;
    unsigned identity_count;
    struct quota *quotas;
    unsigned quota_count;
    const struct quota **buckets; /* "unverified" by identity, or NULL; NULL when none has one */
    struct upstream_conf *upstreams;
    unsigned upstream_count;
    struct plan_route *routes;
    unsigned route_count;
    bool has_cost_headers; /* of some route: a response may correct what was charged */
    struct route_table *route_table;
    struct identity_trust trust;
    struct identity_headers identity_headers; /* all that identities and trust are read from */
    struct identity_secret *secret;
    struct reply_headers headers;
    struct reply_body_dialect *dialects; /* of error bodies: the built-in ones, then the file's */
    unsigned dialect_count;
    const struct reply_body_dialect *errors; /* of routes that name none */
    bool request_id_short;
    struct span request_id_host; /* the override, else the host's name */
    struct plan_limits limits;

    bool passes_bodies;  /* large ones, through pipes */
    uint64_t tickets_us; /* how often keys of TLS sessions are replaced; 0: there are none */
    unsigned workers;    /* 0: auto */
    struct span user;    /* that serves, "name" or "name:group"; empty: who has started it */
    bool store_is_memory;
    uint32_t store_subjects;
    struct span store_state_file; /* NUL-terminated; empty: none */
    uint64_t store_state_interval_us;
    struct store_redis_conf redis;
    struct loop_log_targets log;
    unsigned log_level;                         /* enum log_level */
    struct span admin_address, metrics_address; /* empty: off */
    struct span admin_token;                    /* of a TCP address; empty: none */
    uint64_t certificates_until_s; /* wall clock: the first of the file expires; 0: it has none */
    struct span *admin_hosts;      /* more names of it */
    unsigned admin_host_count;
};

/* The files a configuration is made of; [0] is the configuration itself.  Text is not NUL-terminated. */
struct plan_file {
    struct span name; /* as the configuration spells it; [0]: the path shown in messages */
    struct span text;
};

/* Fetch the secret file `name` (relative to $CREDENTIALS_DIRECTORY when that is set); false and a
 * sentence in why when it cannot.  The text must stay until plan_build returns. */
typedef bool (*plan_read_fn)(void *arg, struct span name, struct span *text, char why[256]);

/* What plan_build has to say: lines "file:line:column: error: /pointer: ..." with source and caret, and
 * a last line with the count; empty when there is nothing to say.  malloc'ed text, NULL when out of
 * memory (then errors is at least 1).  Freed by: plan_report_fini. */
struct plan_report {
    unsigned errors, warnings;
    /* Of the errors: secrets that could not be had; the file itself may be right. */
    unsigned secret_errors;
    char *text; /* for people; a secret in plain text shows as asterisks */
    /* {"file", "errors", "warnings", "messages": [{"severity", "line", "column", "pointer",
     * "message"}]} */
    char *json;
};

/* Parse, check everything, link.  NULL when there were errors.  registry may be NULL (check): then all
 * slots are METRICS_SLOT_LOST; else metrics_registry_settle follows when the plan is in force. */
struct plan *plan_build(const struct plan_file *file, plan_read_fn read, void *arg,
                        struct metrics_registry *registry, uint32_t generation,
                        struct plan_report *report);
void plan_report_fini(struct plan_report *report);

struct plan *plan_ref(struct plan *plan);
void plan_unref(struct plan **plan);
/* Of how many plans there are: this one is counted until its last reference is gone.  Once, before others have it. */
void plan_count_in(struct plan *plan, atomic_uint *living);

#define PLAN_CHANGE_FAULT_MAX 1024

/* May a running process change from `old` to `next`?  NULL, or which keys it cannot take over ("workers cannot change
 * in a running process: ..."). */
const char *plan_change_fault(const struct plan *old, const struct plan *next,
                              char why[PLAN_CHANGE_FAULT_MAX]);

/* The effective configuration with defaults, as JSON (secrets shown as "***"); malloc'ed. */
char *plan_dump(const struct plan *plan);
/* The JSON Schema of the file; malloc'ed. */
char *plan_schema(void);
/* docs/configuration.md's reference table, Markdown; malloc'ed. */
char *plan_reference(void);

#endif
