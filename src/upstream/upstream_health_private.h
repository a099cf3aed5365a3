/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_health_private.h - what is known of each server, for upstream_health.c, which learns it, and
 * upstream_standing.c, which tells of it and takes orders. */
#ifndef SLUICE_UPSTREAM_HEALTH_PRIVATE_H
#define SLUICE_UPSTREAM_HEALTH_PRIVATE_H

#include <pthread.h>

#include "base/base_list.h"
#include "upstream/upstream_health.h"

#define UPSTREAM_REASON_BYTES 128

/* Owner: its group; counted.  Freed by: upstream_health.c.  Thread: any, under the lock, but for the words of vital. */
struct upstream_health_server {
    struct upstream_vital vital; /* first: what others hold */
    struct list node;
    unsigned refs;
    char *name;
    bool is_named;  /* by the plan in force, which holds a reference */
    bool was_named; /* by the plan before */
    bool takes;     /* requests, as far as its weight says */
    metrics_slot slot_usable, slot_ordered;
    struct upstream_trial trial;
    struct upstream_ejection ejection;
    struct upstream_ordered ordered;
    char check_reason[UPSTREAM_REASON_BYTES], eject_reason[UPSTREAM_REASON_BYTES];
    struct upstream_checked checked; /* the last one; at_us 0: there was none */
    bool is_told_down, was_ejected;
};

/* All servers of one upstream.  Owner: the process's list.  Freed by: its last server.  Thread: as above. */
struct upstream_health_group {
    struct upstream_health *health;
    struct list node, servers;
    char *name;
    struct upstream_health_conf conf; /* of the plan in force */
    struct upstream_budget budget;
    unsigned named; /* servers of the plan in force */
    metrics_slot slot_servers, slot_usable;
    bool is_panic, is_told_panic;
    bool is_empty, is_told_empty; /* all who took requests are ordered away */
};

struct upstream_health {
    pthread_mutex_t lock;
    struct list groups;
    struct upstream_orders *orders; /* borrowed; NULL: orders end with the process */
    bool is_stirred;                /* on_stir has been called since the last tick */
    bool (*on_stir)(void *arg);
    void *arg;
};

/* All of these under the lock. */
struct upstream_health_group *upstream_group_find(struct upstream_health *health, struct span name);
struct upstream_health_server *upstream_group_server(struct upstream_health_group *group,
                                                     struct span name);
/* Neither checks nor failures speak against it; orders have no say in this. */
static inline bool upstream_health_server_is_well(const struct upstream_health_server *server)
{
    return !server->trial.is_down && !server->ejection.is_out;
}
/* Well, and not ordered away. */
unsigned upstream_group_usable(const struct upstream_health_group *group);
/* Of the plan in force, and not ordered away: those of which shares are taken. */
unsigned upstream_group_counted(const struct upstream_health_group *group);
/* Something has changed: what do workers see of it?  The main thread is to tell of it. */
void upstream_group_judge(struct upstream_health_group *group);

extern const char *const UPSTREAM_FAILURE_SENTENCES[UPSTREAM_FAILURES];

#endif
