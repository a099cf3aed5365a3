/* SPDX-License-Identifier: Apache-2.0 */
/* admin_explain.h - what a configuration does with a request.  Takes: a plan, a parsed request, an address.  Gives: the
 * route, the subjects and the quotas that would be asked.  Asks no store: there is no verdict (admin_explain_live.c has one). */
#ifndef SLUICE_ADMIN_EXPLAIN_H
#define SLUICE_ADMIN_EXPLAIN_H

#include <stdio.h>

#include "exchange/exchange_end.h"
#include "exchange/exchange_verified.h"
#include "http/http_path.h"
#include "admin/admin_explain_request.h"
#include "plan/plan.h"
#include "quota/quota_tier.h"

/* One identity of the request. */
struct admin_explain_subject {
    const struct identity *identity;
    enum identity_result result;
    struct identity_value value;
    uint8_t mac[IDENTITY_KEY_BYTES];
    bool is_claimed;  /* a client can make it up, and its identity has a bucket */
    bool is_verified; /* and a server has accepted it from this address; of a running instance */
    bool has_gate;    /* its bucket is among the quotas */
};

/* One quota of the route, or the bucket of an identity. */
struct admin_explain_quota {
    const struct quota *quota; /* with the limits that apply; the base when nothing is counted */
    const struct quota *base;  /* as the route names it */
    const struct quota_tier *tier; /* the default one where members are looked up in Redis */
    bool is_live;                  /* they are */
    bool is_told;                  /* and the running instance knows the tier */
    bool has_key;                  /* its subject is known */
    bool is_counted; /* else it is skipped (no identity), exempt, or unlimited (by its tier) */
    bool is_exempt;
    bool is_bucket;              /* of an identity: asked until a server has accepted its subject */
    bool is_passed;              /* the bucket: a server has; of a running instance */
    bool has_claims, is_guarded; /* as struct quota_charge has it */
    uint8_t parts[QUOTA_KEY_MAX]; /* of the key, unless exempt: numbers of subjects */
    uint8_t key[IDENTITY_KEY_BYTES];
};

/* What only a running instance knows.  Borrowed. */
struct admin_explain_facts {
    const struct exchange_verified *verified;
    uint64_t mono_us;
    struct span project; /* of the request's token; empty: none is known */
};

/* Owner: the caller; borrows from plan, request and facts. */
struct admin_explanation {
    const struct plan *plan;
    const struct admin_explain_request *request;
    const struct plan_listener *listener;
    const struct admin_explain_facts *facts; /* NULL: from the configuration alone */
    struct ip peer_ip, client_ip;
    enum exchange_end end;   /* END_OK: it comes to the quotas, and then to its upstream */
    struct http_fault fault; /* of a malformed request */
    struct http_path path;
    char *path_room;
    struct route_match match;
    const struct plan_route *route;
    struct arena arena;
    struct admin_explain_subject subjects[QUOTA_MAX_PER_ROUTE * QUOTA_KEY_MAX];
    unsigned subject_count;
    struct admin_explain_quota quotas[2 * QUOTA_MAX_PER_ROUTE];
    unsigned quota_count;
};

/* facts: NULL when nothing runs.  False: out of memory.  admin_explain_fini in any case. */
bool admin_explain(struct admin_explanation *explanation, const struct plan *plan,
                   const struct plan_listener *listener,
                   const struct admin_explain_request *request, const struct ip *peer,
                   const struct admin_explain_facts *facts);
/* A quota with live members has this tier for the caller. */
void admin_explain_set_tier(struct admin_explain_quota *row, const struct quota_tier *tier);
void admin_explain_fini(struct admin_explanation *explanation);

/* The same for people and for programs. */
void admin_explain_text(FILE *out, const struct admin_explanation *explanation);
void admin_explain_json(FILE *out, const struct admin_explanation *explanation);
/* Of both, the part about what the route changes of what it passes on; nothing when it changes nothing. */
void admin_explain_rewrite_text(FILE *out, const struct admin_explanation *explanation);
void admin_explain_rewrite_json(FILE *out, const struct admin_explanation *explanation);

/* What logs show of the client's text, with controls and the like escaped. */
void admin_explain_put_escaped(FILE *out, struct span text);
/* What logs show of a subject; `hash` may be used for that. */
struct span admin_explain_subject_text(const struct admin_explain_subject *subject,
                                       char hash[IDENTITY_TEXT_LEN]);

#endif
