/* SPDX-License-Identifier: Apache-2.0 */
/* main_parent.c - start, loop and end of the supervising process.  Takes: signals, the child's words, time.
 * Gives: orders.  What it holds open (listeners, counters, log rings) outlives every child. */
#include "main/main_parent.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base_clock.h"
#include "base/base_log.h"
#include "main/main_exit.h"
#include "main/main_limits.h"
#include "main/main_notify.h"
#include "main/main_parent_private.h"
#include "main/main_sandbox.h"

static const int PARENT_SIGNALS[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};

void main_parent_config_fini(struct parent_config *config)
{
    main_bundle_fini(&config->bundle);
    plan_unref(&config->plan);
}

char *main_parent_config_read(struct parent_config *config, const char *path, uint32_t generation,
                              int *exit_code)
{
    struct plan_report report = {0};
    char why[256], *text = NULL;
    *exit_code = MAIN_EXIT_CONFIG;
    if (!main_bundle_read(&config->bundle, path, why))
        return asprintf(&text, "%s (name the configuration with -c FILE)\n", why) < 0 ? NULL : text;
    config->plan = plan_build(&config->bundle.files[0], main_bundle_fetch, &config->bundle, NULL,
                              generation, &report);
    if (report.errors > 0 && report.errors == report.secret_errors)
        *exit_code = MAIN_EXIT_UNAVAILABLE;
    if (config->plan == NULL || report.warnings > 0) {
        text = report.text;
        report.text = NULL;
    }
    plan_report_fini(&report);
    return text;
}

bool main_parent_clamp(struct parent *parent, const struct plan *plan)
{
    uint64_t descriptors = main_limits_raise();
    uint64_t cap = main_limits_connections(descriptors, parent->workers, plan->listener_count);
    parent->connections_cap = cap > UINT32_MAX ? UINT32_MAX : (unsigned)cap;
    if (cap < MAIN_LIMITS_CONNECTIONS_MIN)
        return false;
    if (plan->limits.connections_max > cap && plan->limits.connections_max != parent->warned_max) {
        parent->warned_max = plan->limits.connections_max;
        log_warn("limits.connections is lowered from %u to %llu: only %llu descriptors may be open "
                 "(raise ulimit -n, or LimitNOFILE= in the unit)",
                 (unsigned)plan->limits.connections_max, (unsigned long long)cap,
                 (unsigned long long)descriptors);
    }
    return true;
}

/* --- start --------------------------------------------------------------------------------------- */

static bool parent_fail(struct parent *parent, int exit_code, const char *text)
{
    fprintf(stderr, "sluice: %s\n", text);
    main_succeed_fail(parent, text);
    parent->exit_code = exit_code;
    return false;
}

static bool parent_start_config(struct parent *parent)
{
    int exit_code;
    parent->generation++;
    char *report =
        main_parent_config_read(&parent->config, parent->path, parent->generation, &exit_code);
    if (report != NULL)
        fputs(report, stderr);
    else if (parent->config.plan == NULL)
        fputs("sluice: out of memory\n", stderr);
    if (parent->config.plan == NULL)
        main_succeed_fail(parent, report == NULL ? "out of memory" : report);
    free(report);
    if (parent->config.plan == NULL) {
        parent->exit_code = exit_code;
        return false;
    }
    parent->file.running = main_bundle_hash(&parent->config.bundle);
    main_level_configure(&parent->level, parent->config.plan->log_level);
    parent->workers = parent->config.plan->workers;
    if (parent->workers == 0)
        parent->workers = main_limits_cpus();
    return true;
}

static bool parent_start_user(struct parent *parent)
{
    char why[512];
    const char *fault =
        main_user_find(&parent->user, parent->config.plan->user, parent->is_sandboxed, why);
    if (fault != NULL)
        return parent_fail(parent, MAIN_EXIT_CONFIG, fault);
    fault = main_user_prepare(&parent->user, why);
    return fault == NULL || parent_fail(parent, MAIN_EXIT_PERMISSION, fault);
}

const char *main_parent_log_fault(const struct parent *parent, const struct plan *plan,
                                  char why[MAIN_PARENT_WHY_BYTES])
{
    char told[256];
    bool was_bared = main_user_assume_child(&parent->user);
    const char *fault = loop_log_target_fault(plan->log.access, told);
    if (fault == NULL)
        fault = loop_log_target_fault(plan->log.error, told);
    main_user_resume_child(&parent->user, was_bared);
    if (fault == NULL)
        return NULL;
    const struct main_user *user = &parent->user;
    snprintf(why, MAIN_PARENT_WHY_BYTES, "%s%s%s", fault,
             user->is_other  ? ", as user "
             : user->is_bare ? ", as root without its capabilities"
                             : "",
             user->is_other ? user->name : "");
    return why;
}

static bool parent_start_log(struct parent *parent)
{
    char why[MAIN_PARENT_WHY_BYTES], text[2 * MAIN_PARENT_WHY_BYTES];
    const char *fault = main_parent_log_fault(parent, parent->config.plan, why);
    if (fault != NULL) {
        snprintf(text, sizeof(text), "log: %s (change \"log\" in %s, or make the folder writable)",
                 fault, parent->path);
        return parent_fail(parent, MAIN_EXIT_UNAVAILABLE, text);
    }
    parent->log = loop_log_new(parent->workers + 1);
    if (parent->log == NULL)
        return parent_fail(parent, MAIN_EXIT_INTERNAL, "the log has no memory");
    if (parent->takeover_channel >= 0)
        loop_log_begin_beside(parent->log);
    return true;
}

static void parent_checkpoint(struct parent *parent)
{
    const struct plan *plan = parent->config.plan;
    char why[256];
    if (parent->memory == NULL || plan->store_state_file.len == 0)
        return;
    parent->checkpoint_at_us = clock_mono_us() + plan->store_state_interval_us;
    main_user_assume(&parent->user);
    enum err err =
        store_memory_save(parent->memory, plan->store_state_file.ptr, clock_wall_us(), why);
    main_user_resume(&parent->user);
    if (err != ERR_OK)
        log_error("the counters are not saved: %s", why);
}

/* A damaged file is kept for who wants to look at it: the next save would replace it. */
static void parent_set_aside(const char *path, const char *why)
{
    char aside[PATH_MAX];
    int len = snprintf(aside, sizeof(aside), "%s.damaged", path);
    bool is_kept = len < (int)sizeof(aside) && rename(path, aside) == 0;
    log_error("counters begin at 0: %s%s%s", why, is_kept ? "; the file is kept as " : "",
              is_kept ? aside : "");
}

/* Restores the counters, and sees that they can be saved: better to learn now than in ten seconds. */
static enum err parent_restore(struct parent *parent, char why[256])
{
    const char *path = parent->config.plan->store_state_file.ptr;
    enum err loaded = store_memory_load(parent->memory, path, clock_wall_us(), why);
    if (loaded == ERR_INVALID)
        parent_set_aside(path, why);
    else if (loaded == ERR_LIMIT)
        log_error("not all counters are restored: %s", why);
    enum err saved = loaded;
    if (loaded != ERR_SYSTEM && loaded != ERR_NOMEM && parent->is_in_charge)
        saved = store_memory_save(parent->memory, path, clock_wall_us(), why);
    if (saved == ERR_OK && loaded == ERR_NOTFOUND)
        log_info("%s is new: counters begin at 0", path);
    return saved;
}

static bool parent_start_store(struct parent *parent)
{
    const struct plan *plan = parent->config.plan;
    char why[256] = "", text[512];
    if (!plan->store_is_memory)
        return true;
    if (parent->takeover.memory >= 0) {
        const char *fault = main_succeed_memory(parent, text);
        return fault == NULL || parent_fail(parent, MAIN_EXIT_UNAVAILABLE, fault);
    }
    parent->memory = store_memory_new(plan->store_subjects);
    if (parent->memory == NULL)
        return parent_fail(parent, MAIN_EXIT_UNAVAILABLE,
                           "no memory for the counters: lower store.subjects");
    if (plan->store_state_file.len == 0)
        return true;
    main_user_assume(&parent->user);
    enum err err = parent_restore(parent, why);
    main_user_resume(&parent->user);
    if (err != ERR_OK) {
        bool is_other = parent->user.is_other;
        snprintf(text, sizeof(text), "store.state_file: %s%s%s", why, is_other ? ", as user " : "",
                 is_other ? parent->user.name : "");
        return parent_fail(parent, MAIN_EXIT_UNAVAILABLE, text);
    }
    if (parent->is_in_charge)
        parent->checkpoint_at_us = clock_mono_us() + plan->store_state_interval_us;
    return true;
}

/* Those that are open already, and what is missing. */
static bool parent_inherit_sockets(struct parent *parent, char why[512])
{
    struct main_inheritance *inheritance = &parent->takeover.sockets;
    struct main_sockets inherited, all;
    if (parent->takeover.pid == 0 && !main_inherit_systemd(inheritance, why))
        return false;
    if (main_inherit_sockets(inheritance, parent->config.plan, parent->workers, &inherited) !=
        ERR_OK) {
        snprintf(why, 512, "cannot listen: out of memory");
        return false;
    }
    if (main_inherit_is_left(inheritance, why) ||
        !main_sockets_open(&all, &inherited, parent->config.plan, parent->workers, why)) {
        main_sockets_fini(&inherited, false);
        return false;
    }
    main_user_own_sockets(&parent->user, &all);
    main_sockets_replace(&inherited, &all, true);
    parent->config.sockets = inherited;
    return true;
}

static bool parent_start_sockets(struct parent *parent)
{
    char why[512];
    if (!main_parent_clamp(parent, parent->config.plan))
        return parent_fail(parent, MAIN_EXIT_LISTEN,
                           "too few file descriptors for 64 connections: raise the limit (ulimit "
                           "-n, or LimitNOFILE= in the unit)");
    if (!parent_inherit_sockets(parent, why))
        return parent_fail(parent, MAIN_EXIT_LISTEN, why);
    main_takeover_fini(&parent->takeover); /* what nobody wanted must not be listened on */
    return true;
}

/* Made whether or not a listener has them: one that comes with a reload finds the child forked already. */
static bool parent_start_tickets(struct parent *parent)
{
    parent->tickets = net_tls_tickets_new();
    if (parent->tickets == NULL)
        return parent_fail(parent, MAIN_EXIT_INTERNAL, "no memory for the keys of TLS sessions");
    if (parent->takeover.pid != 0)
        (void)net_tls_tickets_import(parent->tickets, parent->takeover.tickets);
    return true;
}

/* What operators have ordered of servers; from the parent before, if there was one. */
static bool parent_start_orders(struct parent *parent)
{
    parent->orders = upstream_orders_new();
    if (parent->orders == NULL)
        return parent_fail(parent, MAIN_EXIT_INTERNAL, "no memory for orders about servers");
    for (unsigned i = 0; i < parent->takeover.order_count; i++) {
        const struct upstream_orders_row *row = &parent->takeover.orders[i];
        (void)upstream_orders_set(parent->orders, row->key, row->ordered);
    }
    return true;
}

static bool parent_start_signals(struct parent *parent)
{
    sigset_t mask;
    sigemptyset(&mask);
    for (size_t i = 0; i < sizeof(PARENT_SIGNALS) / sizeof(PARENT_SIGNALS[0]); i++)
        sigaddset(&mask, PARENT_SIGNALS[i]);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file as large as it may be is a full disk */
    sigprocmask(SIG_BLOCK, &mask, &parent->old_mask);
    parent->signal_fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    parent->buffer = malloc(MAIN_CHANNEL_BUFFER_BYTES);
    if (parent->signal_fd < 0 || parent->buffer == NULL)
        return parent_fail(parent, MAIN_EXIT_INTERNAL, strerror(errno));
    return true;
}

/* --- loop ---------------------------------------------------------------------------------------- */

static void parent_read_channel(struct parent *parent)
{
    struct main_message message;
    while (parent->channel >= 0) {
        enum err err = main_channel_receive(parent->channel, &message, parent->buffer);
        if (err == ERR_AGAIN)
            return;
        if (err != ERR_OK) { /* SIGCHLD tells the rest */
            close(parent->channel);
            parent->channel = -1;
            return;
        }
        main_parent_on_message(parent, &message);
        while (message.fd_count > 0)
            close(message.fds[--message.fd_count]);
    }
}

static void parent_on_signal(struct parent *parent, int number)
{
    const struct main_message reopen = {.kind = MAIN_MESSAGE_REOPEN};
    int status;
    switch (number) {
    case SIGTERM:
    case SIGINT:
    case SIGQUIT:
        main_parent_stop(parent);
        break;
    case SIGHUP:
        main_parent_reload(parent, 0);
        break;
    case SIGUSR1:
        log_info("logs are opened again");
        (void)main_parent_tell(parent, &reopen);
        break;
    case SIGUSR2:
        main_upgrade_begin(parent, 0, 0);
        break;
    case SIGCHLD:
        parent_read_channel(parent); /* what it said before it ended */
        if (parent->child != 0 && waitpid(parent->child, &status, WNOHANG) == parent->child)
            main_parent_on_child_end(parent, status);
        main_upgrade_on_child(parent);
        break;
    default:
        break;
    }
}

static void parent_read_signals(struct parent *parent)
{
    struct signalfd_siginfo info;
    while (read(parent->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        parent_on_signal(parent, (int)info.ssi_signo);
}

static int parent_timeout_ms(const struct parent *parent, uint64_t now_us)
{
    const uint64_t instants[] = {parent->checkpoint_at_us,    parent->restart_at_us,
                                 parent->kill_at_us,          parent->reload.deadline_us,
                                 parent->tickets_at_us,       parent->watchdog.at_us,
                                 parent->upgrade.deadline_us, parent->upgrade.drain_at_us,
                                 parent->level.until_us,      parent->file.at_us};
    uint64_t first_us = UINT64_MAX;
    for (size_t i = 0; i < sizeof(instants) / sizeof(instants[0]); i++)
        if (instants[i] != 0 && instants[i] < first_us)
            first_us = instants[i];
    if (first_us == UINT64_MAX)
        return -1;
    if (first_us <= now_us)
        return 0;
    uint64_t ms = (first_us - now_us) / 1000 + 1;
    return ms > 3600000 ? 3600000 : (int)ms;
}

static void parent_look_at_tickets(struct parent *parent, uint64_t now_us)
{
    uint64_t every_us = parent->config.plan->tickets_us;
    if (parent->upgrade.pid != 0 || !parent->is_in_charge) { /* who takes over has a copy */
        parent->tickets_at_us = 0;
        return;
    }
    bool is_due = parent->tickets_at_us != 0 && now_us >= parent->tickets_at_us;
    if (is_due && !net_tls_tickets_rotate(parent->tickets))
        log_error("the key of TLS sessions is not replaced: no random numbers");
    if (every_us == 0)
        parent->tickets_at_us = 0;
    else if (is_due || parent->tickets_at_us == 0 || parent->tickets_at_us > now_us + every_us)
        parent->tickets_at_us = now_us + every_us;
}

/* What is due.  As main_parent_fork. */
static int parent_on_time(struct parent *parent, uint64_t now_us)
{
    if (parent->checkpoint_at_us != 0 && now_us >= parent->checkpoint_at_us)
        parent_checkpoint(parent);
    parent_look_at_tickets(parent, now_us);
    (void)main_level_on_time(&parent->level, parent->config.plan->log_level, now_us);
    if (now_us >= parent->file.at_us)
        main_parent_look_at_file(parent);
    main_watchdog_on_time(parent, now_us);
    main_upgrade_on_time(parent, now_us);
    if (parent->reload.deadline_us != 0 && now_us >= parent->reload.deadline_us)
        main_parent_kill(parent, "it has not answered to a reload");
    if (parent->kill_at_us != 0 && now_us >= parent->kill_at_us) {
        parent->exit_code = MAIN_EXIT_DEADLINE;
        main_parent_kill(parent, "it has not ended in time");
    }
    if (parent->restart_at_us != 0 && now_us >= parent->restart_at_us)
        return main_parent_fork(parent);
    return 0;
}

/* As main_parent_fork. */
static int parent_loop(struct parent *parent)
{
    if (parent->is_in_charge)
        main_watchdog_start(&parent->watchdog, clock_mono_us());
    int ended = main_parent_fork(parent);
    while (ended == 0 && (parent->child != 0 || parent->restart_at_us != 0)) {
        struct pollfd fds[] = {
            {.fd = parent->signal_fd, .events = POLLIN},
            {.fd = parent->channel, .events = POLLIN},
            {.fd = parent->takeover_channel, .events = POLLIN},
            {.fd = parent->upgrade.is_committed ? -1 : parent->upgrade.channel, .events = POLLIN}};
        (void)poll(fds, sizeof(fds) / sizeof(fds[0]), parent_timeout_ms(parent, clock_mono_us()));
        parent_read_channel(parent);
        main_succeed_on_channel(parent);
        main_upgrade_on_channel(parent);
        parent_read_signals(parent);
        log_flush_folded();
        ended = parent_on_time(parent, clock_mono_us());
    }
    return ended;
}

static void parent_end(struct parent *parent, bool is_parent)
{
    if (is_parent && parent->was_ready && parent->is_in_charge)
        parent_checkpoint(parent);
    if (is_parent && parent->log != NULL) {
        main_user_assume(&parent->user);
        loop_log_finish(parent->log, &parent->config.plan->log);
        main_user_resume(&parent->user);
        loop_log_adopt_errors(parent->log, false);
    }
    main_sockets_fini(&parent->config.sockets, is_parent && parent->is_in_charge);
    main_takeover_fini(&parent->takeover);
    loop_log_free(parent->log);
    store_memory_free(parent->memory);
    net_tls_tickets_free(parent->tickets);
    upstream_orders_free(parent->orders);
    main_parent_config_fini(&parent->config);
    if (parent->channel >= 0)
        close(parent->channel);
    if (parent->signal_fd >= 0)
        close(parent->signal_fd);
    main_upgrade_fini(parent);
    if (parent->takeover_channel >= 0)
        close(parent->takeover_channel);
    free(parent->buffer);
}

static bool parent_start_upgrades(struct parent *parent, char *const *words)
{
    char why[512];
    if (!main_succeed_begin(parent, why))
        return parent_fail(parent, MAIN_EXIT_INTERNAL, why);
    return main_upgrade_learn(parent, words) ||
           parent_fail(parent, MAIN_EXIT_INTERNAL, "out of memory");
}

int main_parent_run(const char *path, char *const *words, bool is_sandboxed)
{
    struct parent parent = {
        .path = path,
        .is_sandboxed = is_sandboxed && main_sandbox_is_possible(),
        .channel = -1,
        .signal_fd = -1,
        .takeover = {.memory = -1},
        .takeover_channel = -1,
        .upgrade = {.channel = -1},
        .started_at_us = clock_wall_us(),
    };
    int ended = 0;
    if (parent_start_upgrades(&parent, words) && parent_start_config(&parent) &&
        parent_start_user(&parent) && parent_start_log(&parent) && parent_start_store(&parent) &&
        parent_start_tickets(&parent) && parent_start_orders(&parent) &&
        parent_start_sockets(&parent) && parent_start_signals(&parent))
        ended = parent_loop(&parent);
    parent_end(&parent, ended == 0);
    if (ended == 0)
        main_farewell_say(&parent.farewell, parent.exit_code, parent.state == PARENT_STOPPING);
    return ended == 0 ? parent.exit_code : ended - 1;
}
