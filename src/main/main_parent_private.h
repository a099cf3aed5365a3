/* SPDX-License-Identifier: Apache-2.0 */
/* main_parent_private.h - what the files of the parent share: main_parent.c (start, loop, end),
 * main_supervise.c (the child's life), main_reload.c, main_upgrade.c and main_succeed.c. */
#ifndef SLUICE_MAIN_PARENT_PRIVATE_H
#define SLUICE_MAIN_PARENT_PRIVATE_H

#include <signal.h>
#include <sys/types.h>

#include "loop/loop_log.h"
#include "main/main_bundle.h"
#include "main/main_channel.h"
#include "main/main_farewell.h"
#include "main/main_file.h"
#include "main/main_level.h"
#include "main/main_sockets.h"
#include "main/main_takeover.h"
#include "main/main_user.h"
#include "main/main_watchdog.h"
#include "net/net_tls_tickets.h"
#include "store/store_memory.h"

#define MAIN_PARENT_WHY_BYTES 512

enum parent_state {
    PARENT_RUNNING,
    PARENT_DRAINING, /* the child was told to end when its responses are sent */
    PARENT_STOPPING, /* the child was told to end now */
};

/* A configuration: in force, or on its way to be. */
struct parent_config {
    struct main_bundle bundle;
    struct plan *plan;
    struct main_sockets sockets;
};

/* Owner: main_parent_run.  Thread: the only one. */
struct parent {
    const char *path;
    bool is_sandboxed;     /* the child is */
    struct main_user user; /* the child is, when we are root */
    enum parent_state state;
    int exit_code;
    struct parent_config config;
    uint32_t generation;
    unsigned workers, connections_cap;
    unsigned warned_max; /* the limits.connections that was last found too high */
    struct loop_log *log;
    struct store_memory *memory; /* NULL: the store is Redis */
    uint64_t started_at_us;      /* wall clock; all others are monotonic, 0: never */
    uint64_t checkpoint_at_us;
    uint32_t memory_life, memory_beside; /* see store_memory_begin_life */
    struct net_tls_tickets *tickets;
    uint64_t tickets_at_us; /* when their key is replaced */
    struct upstream_orders *orders;
    struct main_level level;
    sigset_t old_mask;
    int signal_fd;
    char *buffer; /* of the channel */

    /* the child */
    pid_t child; /* 0: none */
    int channel; /* -1: none */
    bool is_ready, was_ready;
    unsigned restarts;
    uint64_t ready_at_us, restart_at_us, kill_at_us, backoff_us;

    struct main_watchdog watchdog;
    struct main_farewell farewell; /* who waits for the end */

    /* the parent before this one */
    struct main_takeover takeover;
    int takeover_channel; /* -1: there is none any more */
    bool is_in_charge;    /* counters, socket files and systemd are ours */
    bool was_let_go;      /* the child accepts, though it was started while another process did */

    /* the parent after this one */
    struct {
        char *program;      /* where it lies; the file of today, not the one that runs */
        char *const *words; /* of our own command line */
        pid_t pid;          /* 0: none is under way */
        int channel;        /* -1: none */
        uint32_t ticket;
        uint64_t deadline_us, drain_at_us;
        char version[64]; /* as it says */
        bool is_let_go, is_committed;
    } upgrade;

    /* a reload on its way */
    struct {
        bool is_active, is_again;
        uint32_t ticket, again_ticket;
        uint64_t deadline_us;
        struct parent_config next;
        bool was_refused;  /* the last one */
        uint64_t ended_us; /* that, as wall clock; 0: there was none */
    } reload;
    struct main_file file; /* the configuration's, on disk */
};

/* main_parent.c */
void main_parent_config_fini(struct parent_config *config);
/* Read and build.  Malloc'ed: the report, or the warnings, or NULL.  No plan: *exit_code tells. */
char *main_parent_config_read(struct parent_config *config, const char *path, uint32_t generation,
                              int *exit_code);
/* Why the logs of this plan cannot be written by who serves, or NULL. */
const char *main_parent_log_fault(const struct parent *parent, const struct plan *plan,
                                  char why[MAIN_PARENT_WHY_BYTES]);
/* How many connections the descriptors carry for this plan; false when too few. */
bool main_parent_clamp(struct parent *parent, const struct plan *plan);

/* main_supervise.c */
/* 0 in the parent; in the child the exit code + 1, when it has ended. */
int main_parent_fork(struct parent *parent);
void main_parent_on_child_end(struct parent *parent, int status);
/* What it leaves of the message's descriptors is the caller's. */
void main_parent_on_message(struct parent *parent, struct main_message *message);
/* As TERM does, once; later only a deadline of its own changes something.  See MAIN_MESSAGE_DRAIN. */
void main_parent_drain(struct parent *parent, uint32_t drain_ms_and_1);
/* Now, if it is draining already. */
void main_parent_stop(struct parent *parent);
bool main_parent_tell(struct parent *parent, const struct main_message *message);
void main_parent_kill(struct parent *parent, const char *why);

/* "exited with code 3". */
const char *main_parent_child_reason(int status, char out[64]);

/* main_diff.c: what would a reload change? */
void main_parent_diff(struct parent *parent, const struct main_message *message);

/* main_farewell.c: somebody asks for the end, and waits for it. */
void main_farewell_on_ask(struct parent *parent, struct main_message *message);

/* main_upgrade.c: we are the one that leaves. */
bool main_upgrade_learn(struct parent *parent, char *const *words); /* at start */
void main_upgrade_fini(struct parent *parent);
void main_upgrade_begin(struct parent *parent, uint32_t ticket, uint32_t deadline_ms); /* 0: 30 s */
/* Why nothing else may be changed just now; NULL: it may. */
const char *main_upgrade_obstacle(const struct parent *parent);
/* One that is under way ends without effect. */
void main_upgrade_break(struct parent *parent, const char *why);
void main_upgrade_on_channel(struct parent *parent);
void main_upgrade_on_child(struct parent *parent);
void main_upgrade_on_time(struct parent *parent, uint64_t now_us);

/* main_succeed.c: we are the one that comes. */
bool main_succeed_begin(struct parent *parent, char why[512]);
/* Go on with the counters.  NULL, or why not. */
const char *main_succeed_memory(struct parent *parent, char why[512]);
/* Tell the one before, if it is still in charge: it goes on, and ends us.  If its DONE is on the way already, that counts. */
void main_succeed_fail(struct parent *parent, const char *why);
void main_succeed_on_ready(struct parent *parent);
void main_succeed_on_channel(struct parent *parent);

/* main_reload.c */
/* Is the file on disk still what runs?  The child hears of it. */
void main_parent_look_at_file(struct parent *parent);
void main_parent_tell_file(struct parent *parent); /* what was seen last */
void main_parent_reload(struct parent *parent, uint32_t ticket);
/* One that had to wait, if there is one. */
void main_parent_reload_waiting(struct parent *parent);
void main_parent_reload_on_answer(struct parent *parent, const struct main_message *message);
/* The child that was to apply it is gone, or does not answer. */
void main_parent_reload_break(struct parent *parent, const char *why);

#endif
