/* SPDX-License-Identifier: Apache-2.0 */
/* main_supervise.c - the child's life as the parent sees it: fork, readiness, death, restart with
 * back-off, end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base_clock.h"
#include "base/base_log.h"
#include "main/main_child.h"
#include "main/main_exit.h"
#include "main/main_notify.h"
#include "main/main_parent_private.h"
#include "main/main_sandbox.h"

#define SUPERVISE_BACKOFF_MIN_US 100000
#define SUPERVISE_BACKOFF_MAX_US 5000000
#define SUPERVISE_HEALTHY_US     10000000 /* a child that served so long may be restarted at once */
#define SUPERVISE_DRAIN_EXTRA_US 5000000
#define SUPERVISE_STOP_US        2000000
#define SUPERVISE_FIRST_TRIES    5 /* for a child that is killed before it ever served */

/* Everything is inherited; what is the parent's alone is closed.  A signal to the whole group (Ctrl-C) is the
 * parent's to answer. */
static int child_run(struct parent *parent, int channel, pid_t parent_pid)
{
    static const int ignored[] = {SIGTERM, SIGINT,  SIGQUIT, SIGHUP,
                                  SIGUSR1, SIGUSR2, SIGPIPE, SIGXFSZ};
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    sigprocmask(SIG_SETMASK, &parent->old_mask, NULL);
    if (!main_user_become(&parent->user, !parent->is_sandboxed)) {
        log_error("the serving process cannot be user %s: %s", parent->user.name, strerror(errno));
        return MAIN_EXIT_PERMISSION;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* behind the change of user, which ends it */
    if (getppid() != parent_pid)
        return MAIN_EXIT_INTERNAL; /* it died before we asked to be told */
    loop_log_adopt_errors(parent->log, false);
    close(parent->signal_fd);
    parent->signal_fd = -1;
    if (parent->takeover_channel >= 0)
        close(parent->takeover_channel);
    parent->takeover_channel = -1;
    main_upgrade_fini(parent);
    struct main_child_env env = {
        .bundle = parent->config.bundle,
        .sockets = parent->config.sockets,
        .log = parent->log,
        .memory = parent->memory,
        .tickets = parent->tickets,
        .orders = parent->orders,
        .workers = parent->workers,
        .connections_cap = parent->connections_cap,
        .generation = parent->generation,
        .restarts = parent->restarts,
        .level = parent->level,
        .is_stale = parent->file.is_stale,
        .was_reload_refused = parent->reload.was_refused,
        .reload_ended_us = parent->reload.ended_us,
        .service_started_at_us = parent->started_at_us,
        .is_held = !parent->is_in_charge,
        .channel = channel,
    };
    const char *lacking = parent->is_sandboxed ? main_sandbox_enter() : NULL;
    if (lacking != NULL)
        log_warn("the serving process goes on without %s: %s", lacking, strerror(errno));
    int exit_code = main_child_run(&env);
    /* The workers have closed the sockets; what remains is memory. */
    parent->config.bundle = env.bundle;
    parent->config.sockets = env.sockets;
    main_sockets_forget(&parent->config.sockets);
    return exit_code;
}

int main_parent_fork(struct parent *parent)
{
    int fds[2] = {-1, -1};
    pid_t self = getpid();
    parent->restart_at_us = 0;
    if (parent->memory != NULL)
        parent->memory_life = store_memory_begin_life(parent->memory, parent->memory_beside);
    main_watchdog_begin(&parent->watchdog);
    enum err err = main_channel_open(fds);
    pid_t pid = err == ERR_OK ? fork() : -1;
    if (pid == 0) {
        close(fds[0]);
        return child_run(parent, fds[1], self) + 1;
    }
    if (pid < 0) {
        log_error("the serving process cannot be started: %s", strerror(errno));
        if (fds[0] >= 0)
            close(fds[0]);
        if (parent->was_ready)
            parent->restart_at_us = clock_mono_us() + SUPERVISE_BACKOFF_MAX_US;
        else
            parent->exit_code = MAIN_EXIT_INTERNAL;
    } else {
        parent->child = pid;
        parent->channel = fds[0];
        parent->is_ready = false;
        parent->was_let_go = false;
    }
    if (fds[1] >= 0)
        close(fds[1]);
    return 0;
}

const char *main_parent_child_reason(int status, char out[64])
{
    if (WIFSIGNALED(status))
        snprintf(out, 64, "killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(out, 64, "exited with code %d", WEXITSTATUS(status));
    return out;
}

static void child_plan_restart(struct parent *parent, pid_t pid, const char *reason)
{
    char event[256];
    uint64_t now_us = clock_mono_us();
    parent->restart_at_us = now_us + parent->backoff_us;
    parent->restarts++;
    log_error("the serving process (pid %d) %s; restart in %llu ms", (int)pid, reason,
              (unsigned long long)(parent->backoff_us / 1000));
    snprintf(event, sizeof(event),
             "\"event\":\"child_restart\",\"pid\":%d,\"reason\":\"%s\",\"restarts\":%u", (int)pid,
             reason, parent->restarts);
    loop_log_event(parent->log, event);
    parent->backoff_us =
        parent->backoff_us == 0 ? SUPERVISE_BACKOFF_MIN_US : parent->backoff_us * 2;
    if (parent->backoff_us > SUPERVISE_BACKOFF_MAX_US)
        parent->backoff_us = SUPERVISE_BACKOFF_MAX_US;
}

void main_parent_on_child_end(struct parent *parent, int status)
{
    char reason[64], why[128];
    pid_t pid = parent->child;
    if (parent->is_ready && clock_mono_us() - parent->ready_at_us >= SUPERVISE_HEALTHY_US)
        parent->backoff_us = 0;
    parent->child = 0;
    parent->is_ready = false;
    parent->kill_at_us = 0;
    if (parent->channel >= 0)
        close(parent->channel);
    parent->channel = -1;
    main_parent_child_reason(status, reason);
    main_upgrade_break(parent, "the serving process died meanwhile");
    main_parent_reload_break(parent, "the serving process died while it was applied");
    snprintf(why, sizeof(why), "its serving process: %s; see the error log", reason);
    main_succeed_fail(parent, why);
    bool is_hopeless = WIFEXITED(status) || parent->restarts + 1 >= SUPERVISE_FIRST_TRIES;
    if (!parent->was_ready && parent->state == PARENT_RUNNING && is_hopeless) {
        parent->exit_code = WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status)
                                                                          : MAIN_EXIT_INTERNAL;
        log_error("the serving process could not start: %s", reason);
    } else if (parent->state == PARENT_RUNNING) {
        child_plan_restart(parent, pid, reason);
    } else if (WIFEXITED(status) && WEXITSTATUS(status) == MAIN_EXIT_DEADLINE) {
        parent->exit_code = MAIN_EXIT_DEADLINE; /* it has said why */
    } else if (status != 0 && parent->exit_code == MAIN_EXIT_OK) {
        parent->exit_code = MAIN_EXIT_INTERNAL;
        log_error("the serving process %s while it was ending", reason);
    }
}

static void child_on_ready(struct parent *parent)
{
    parent->is_ready = true;
    parent->ready_at_us = clock_mono_us();
    if (!parent->was_ready) {
        parent->was_ready = true;
        loop_log_adopt_errors(parent->log, true);
        if (main_user_is_missing(&parent->user))
            log_warn(MAIN_USER_MISSING);
        if (parent->is_in_charge)
            main_notify_ready(parent->generation);
        main_succeed_on_ready(parent);
    }
    main_parent_tell_file(parent);
    main_parent_reload_waiting(parent);
}

void main_parent_on_message(struct parent *parent, struct main_message *message)
{
    switch (message->kind) {
    case MAIN_MESSAGE_DRAIN_ASK:
        main_farewell_on_ask(parent, message);
        break;
    case MAIN_MESSAGE_DIFF_ASK:
        main_parent_diff(parent, message);
        break;
    case MAIN_MESSAGE_DRAINED:
        parent->farewell.unfinished = message->value;
        break;
    case MAIN_MESSAGE_READY:
        child_on_ready(parent);
        break;
    case MAIN_MESSAGE_RELOAD_ASK:
        main_parent_reload(parent, message->ticket);
        break;
    case MAIN_MESSAGE_UPGRADE_ASK:
        main_upgrade_begin(parent, message->ticket, message->value);
        break;
    case MAIN_MESSAGE_PONG:
        main_watchdog_on_pong(parent, message->value);
        break;
    case MAIN_MESSAGE_APPLIED:
    case MAIN_MESSAGE_FAULT:
        main_parent_reload_on_answer(parent, message);
        break;
    case MAIN_MESSAGE_LEVEL:
        main_level_set(&parent->level, message->ticket, message->value, clock_mono_us());
        break;
    default:
        log_error("the serving process sent a message of kind %d that is not known",
                  (int)message->kind);
        break;
    }
}

bool main_parent_tell(struct parent *parent, const struct main_message *message)
{
    if (parent->channel < 0)
        return false;
    enum err err = main_channel_send(parent->channel, message);
    if (err != ERR_OK)
        log_error("the serving process cannot be told: %s", err_sentence(err));
    return err == ERR_OK;
}

void main_parent_kill(struct parent *parent, const char *why)
{
    parent->kill_at_us = 0;
    parent->reload.deadline_us = 0;
    if (parent->child == 0)
        return;
    log_error("the serving process (pid %d) is killed: %s", (int)parent->child, why);
    kill(parent->child, SIGKILL);
}

static void supervise_order(struct parent *parent, const struct main_message *message)
{
    if (parent->child != 0 && !main_parent_tell(parent, message))
        main_parent_kill(parent, "it does not take orders");
}

void main_parent_drain(struct parent *parent, uint32_t drain_ms_and_1)
{
    const struct plan_limits *limits = &parent->config.plan->limits;
    const struct main_message message = {
        .kind = MAIN_MESSAGE_DRAIN,
        .ticket = drain_ms_and_1,
        .value = (uint32_t)(limits->drain_announce_us / 1000),
    };
    uint64_t drain_us =
        drain_ms_and_1 == 0 ? limits->drain_us : UINT64_C(1000) * (drain_ms_and_1 - 1);
    uint64_t longest_us = limits->drain_announce_us + drain_us + SUPERVISE_DRAIN_EXTRA_US;
    bool is_first = parent->state == PARENT_RUNNING;
    if (parent->state == PARENT_STOPPING || (!is_first && drain_ms_and_1 == 0))
        return;
    if (is_first) {
        main_upgrade_break(parent, "the service is ending");
        main_succeed_fail(parent, "it was told to end");
        parent->restart_at_us = 0;
        parent->state = PARENT_DRAINING;
        main_sockets_close_traffic(&parent->config.sockets);
    }
    if (parent->is_in_charge)
        main_notify_stopping(longest_us + SUPERVISE_STOP_US);
    parent->kill_at_us = clock_mono_us() + longest_us;
    supervise_order(parent, &message);
}

void main_parent_stop(struct parent *parent)
{
    const struct main_message message = {.kind = MAIN_MESSAGE_STOP};
    if (parent->state == PARENT_RUNNING) {
        main_parent_drain(parent, 0);
        return;
    }
    if (parent->state == PARENT_STOPPING)
        return; /* it may be ending, and hear nothing more */
    parent->restart_at_us = 0;
    main_upgrade_break(parent, "the service is ending");
    parent->state = PARENT_STOPPING;
    parent->kill_at_us = clock_mono_us() + SUPERVISE_STOP_US;
    supervise_order(parent, &message);
}
