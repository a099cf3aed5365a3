/* SPDX-License-Identifier: Apache-2.0 */
/* plan_draft.h - a plan in the making: what the tables fill, before names are linked.  For this module
 * alone.  The plan is its first member, so the finished plan and its draft are one piece of memory. */
#ifndef SLUICE_PLAN_DRAFT_H
#define SLUICE_PLAN_DRAFT_H

#include "base/base_map.h"
#include "config/config_compare.h"
#include "config/config_load.h"
#include "plan/plan.h"
#include "reply/reply_conf.h"

/* What one route of the file says. */
struct plan_route_draft {
    struct route_rule rule;
    struct plan_cost cost;
    struct plan_addresses addresses;
    struct plan_rewrite_draft rewrite;
    struct span upstream;
    bool learns;
    struct http_upgrade_list upgrades;
    uint64_t buffer_bytes;
    struct reply_headers headers;
    struct span errors;
    struct plan_respond respond;
    struct span respond_json, respond_text;
};

/* Owner: whoever holds references to the plan.  Freed by: plan_unref.  Thread: const once built. */
struct plan_draft {
    struct plan plan;
    struct config_items listeners, upstreams, identities, tiers, quotas, routes;
    struct reply_errors_conf errors;
    struct span subject_secret;
    struct span text;                    /* the file, for plan_compare */
    const struct config_secret *secrets; /* the same */
};

/* Each difference of the two files.  False: no memory. */
bool plan_compare(const struct plan *old, const struct plan *next, config_change_fn on_change,
                  void *arg);

/* The table of the whole file; fills a struct plan_draft.  And of what it nests that is long. */
extern const struct config_table PLAN_TABLE, PLAN_TABLE_ROUTE, PLAN_TABLE_LIMITS;

/* Names to indices of the arrays below; filled by plan_link. */
struct plan_names {
    struct map listeners, upstreams, identities, sources, tiers, quotas, routes, dialects;
};

/* A plan being built. */
struct plan_work {
    struct plan_draft *draft;
    struct config_load *load;
    struct metrics_registry *registry; /* may be NULL */
    struct plan_names names;
    bool told_dialects; /* the warning about two dialects of headers for all routes */
};

/* Resolve every name, make the arrays that workers read.  Faults go to the report. */
void plan_link(struct plan_work *work);
/* The parts of plan_link. */
void plan_link_quotas(struct plan_work *work);
/* The identity that a key names, made when it is a source; -1 after a fault. */
int plan_link_key(struct plan_work *work, const struct config_node *node);
/* What upstreams hash, behind plan_link_quotas. */
void plan_link_hashes(struct plan_work *work);
/* The names of the tiers, and what they make of each quota that has them; before and after plan_link_quotas. */
void plan_link_tier_names(struct plan_work *work);
void plan_link_tiers(struct plan_work *work);
/* The buckets of identities, behind plan_link_quotas; and what they mean for a route with its quotas and upstream. */
void plan_link_buckets(struct plan_work *work);
void plan_link_route_buckets(struct plan_work *work, struct plan_route *route,
                             const struct config_node *node);
void plan_link_errors(struct plan_work *work);
/* What a route changes, once its rule and its quotas are linked. */
void plan_link_rewrite(struct plan_work *work, struct plan_route *route,
                       const struct plan_rewrite_draft *draft, const struct config_node *node);
/* Certificates into contexts, of listeners and of upstreams. */
void plan_link_tls(struct plan_work *work);
void plan_link_routes(struct plan_work *work);

/* Does the path of a route have a {name}? */
bool plan_path_has(struct span path, struct span name);

/* The dialect of error bodies that the node names; a fault and NULL when there is none. */
const struct reply_body_dialect *plan_find_dialect(struct plan_work *work,
                                                   const struct config_node *node);

/* What no single directive can see: doubles, routes that never match, quotas that anybody can slip. */
void plan_check(struct plan_work *work);
/* The parts of it about limits, how servers share what comes, and who may ask the admin
 * address. */
void plan_check_limits(struct plan_work *work);
void plan_check_balance(struct plan_work *work);
void plan_check_admin(struct plan_work *work);

/* A name into its map; an error at the node when it is taken. */
void plan_name_add(struct plan_work *work, struct map *map, struct span name, unsigned index,
                   const struct config_node *at, const char *noun);
/* The index behind a name, -1 when there is none. */
int plan_name_find(const struct map *map, struct span name);

/* A slot of the registry, or METRICS_SLOT_LOST without one. */
metrics_slot plan_slot(const struct plan_work *work, enum metrics_family family, struct span value1,
                       struct span value2);
/* Is it shared with others?  False without a registry. */
bool plan_slot_is_folded(const struct plan_work *work, metrics_slot slot);

#endif
