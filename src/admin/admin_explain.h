/* SPDX-License-Identifier: Apache-2.0 */
/* admin_explain.h - what a configuration does with a request.  Takes: a plan, a parsed request, an address.  Gives: the
 * route, the subjects and the quotas that would be asked.  Asks no store: there is no verdict. */
#ifndef SLUICE_ADMIN_EXPLAIN_H
#define SLUICE_ADMIN_EXPLAIN_H

#include <stdio.h>

#include "exchange/exchange_end.h"
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
};

/* One quota of the route, or the bucket of an identity. */
struct admin_explain_quota {
    const struct quota *quota; /* with the limits that apply; the base when nothing is counted */
    const struct quota_tier *tier; /* the default one where members are looked up in Redis */
    bool is_live;                  /* they are */
    bool is_counted; /* else it is skipped (no identity), exempt, or unlimited (by its tier) */
    bool is_exempt;
    bool is_bucket; /* of an identity: asked until a server has accepted its subject */
    uint8_t key[IDENTITY_KEY_BYTES];
};

/* Owner: the caller; borrows from plan and request. */
struct admin_explanation {
    const struct plan *plan;
    const struct admin_explain_request *request;
    const struct plan_listener *listener;
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

/* False: out of memory.  admin_explain_fini in any case. */
bool admin_explain(struct admin_explanation *explanation, const struct plan *plan,
                   const struct plan_listener *listener,
                   const struct admin_explain_request *request, const struct ip *peer);
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
