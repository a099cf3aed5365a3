/* SPDX-License-Identifier: Apache-2.0 */
/* admin.h - the admin socket and the metrics page: a small HTTP/1.1 server on the main thread's loop.
 * Takes: facts and hooks from the caller.  Gives: answers.  Bounded in connections, bytes and time; never
 * touches traffic. */
#ifndef SLUICE_ADMIN_ADMIN_H
#define SLUICE_ADMIN_ADMIN_H

#include <stdatomic.h>

#include "base/base_err.h"
#include "lease/lease.h"
#include "loop/loop.h"
#include "loop/loop_log.h"
#include "metrics/metrics.h"
#include "plan/plan.h"

struct admin;
struct exchange_verified;
struct upstream_health;
struct worker;

#define ADMIN_WHY_MAX 1024

enum admin_reload_result {
    ADMIN_RELOAD_NONE, /* there was none yet */
    ADMIN_RELOAD_APPLIED,
    ADMIN_RELOAD_REFUSED,
};

/* What the main thread knows, at the moment of asking; everything borrowed. */
struct admin_facts {
    struct plan *plan; /* in force */
    const char *config_path;
    uint64_t config_hash;
    unsigned workers, restarts;
    struct worker *const *worker_list; /* so many */
    unsigned connections_open;
    uint64_t started_at_us;         /* wall clock; of this serving process */
    uint64_t service_started_at_us; /* of the parent */
    bool is_draining;
    bool is_stale; /* the configuration's file on disk is not what runs */
    enum admin_reload_result reload;
    uint64_t reload_at_us; /* wall clock */
    const char *reload_text;
    unsigned log_level; /* in force; plan->log_level is the configured one */
};

struct admin_hooks {
    void (*facts)(void *arg, struct admin_facts *facts);
    /* To be answered later with admin_reload_answer, never from within; false: it never will be. */
    bool (*reload)(void *arg, uint32_t ticket);
    /* The same, with admin_upgrade_answer.  deadline_ms 0: as usual. */
    bool (*upgrade)(void *arg, uint32_t ticket, uint32_t deadline_ms);
    /* False: `why` says which file cannot be opened; the others are. */
    bool (*reopen)(void *arg, char why[ADMIN_WHY_MAX]);
    /* enum log_level, and for how long; 0 s: until it is changed.  False: the parent cannot be told. */
    bool (*set_level)(void *arg, unsigned level, uint32_t for_s);
    void *arg;
    /* End the service; the connection is answered when it has ended, by the other process.  deadline_ms < 0: as
     * configured.  False: nobody will. */
    bool (*drain)(void *arg, int fd, int64_t deadline_ms);
    /* As reload, with admin_diff_answer.  Without a text: the file on disk; else it is called so in messages. */
    bool (*diff)(void *arg, uint32_t ticket, struct span name, struct span text);
};

struct admin_env {
    struct loop *loop;
    struct metrics_registry *metrics;
    struct loop_log *log;
    struct lease *lease;
    struct upstream_health *health;
    const struct exchange_verified *verified;
    struct admin_hooks hooks;
    bool is_held; /* it accepts from admin_go on, not before */
};

/* Borrows what env names.  NULL when out of memory. */
struct admin *admin_new(const struct admin_env *env);
void admin_free(struct admin *admin);

/* It is held no longer: serve who waits, and who comes. */
void admin_go(struct admin *admin);

/* Serve nobody else: another process goes on with the listening sockets, and with who waits in their queues. */
void admin_give_way(struct admin *admin);

/* The outcome of an upgrade that was asked for with this ticket: 200 and the text (JSON), or another status and why. */
void admin_upgrade_answer(struct admin *admin, uint32_t ticket, unsigned status, struct span text);

/* What the other configuration would change (200, JSON), or what is wrong with it (422, a report). */
void admin_diff_answer(struct admin *admin, uint32_t ticket, unsigned status, struct span text);

/* Serve on this listening descriptor (taken): everything, or what machines ask for: the metrics page, /healthz, /readyz. */
MUST_USE enum err admin_listen(struct admin *admin, int fd, bool is_metrics_only);

/* The outcome of a reload that was asked for with this ticket; an asker that is gone is no error.  difference: see
 * plan_difference.h; NULL: it was refused, and the text says why. */
void admin_reload_answer(struct admin *admin, uint32_t ticket, uint32_t generation,
                         struct span text, const char *difference);

#endif
