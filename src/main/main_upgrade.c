/* SPDX-License-Identifier: Apache-2.0 */
/* main_upgrade.c - another program takes over, as the parent sees it that is running: start it, hand it what must outlive us,
 * wait until it could serve, and only then let it, and our own child end.
 *
 *   fork, exec -- description --> main_succeed.c: configuration, sockets, memory, its own child
 *              <-- READY -------- the child has its sockets, and accepts nobody yet
 *              -- GO -----------> to its child, which accepts beside ours: there is never nobody who does
 *   commit     <-- SERVES -------
 *              -- DONE ---------> in charge: saves counters, tells systemd
 *   GIVE_WAY, DRAIN to our child; exit when it has ended
 *
 * Whatever goes wrong before the commit, and whoever dies, changes nothing: the other one is killed and the reason is told.
 * All clients are our child's until GO; those that wait in a queue are his who lives, since both have the sockets.  (Not
 * those of an address that only the other one listens on: to it nobody could connect before.)  When we die before the commit,
 * the other one goes on without DONE. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base_clock.h"
#include "base/base_log.h"
#include "main/main_notify.h"
#include "main/main_parent_private.h"
#include "main/main_takeover.h"

#define UPGRADE_DEADLINE_US    30000000
#define UPGRADE_GRACE_US       1000000 /* for clients to hear "Connection: close" with a response */
#define UPGRADE_DRAIN_EXTRA_US 5000000

#define STATUS_OK              200
#define STATUS_CONFLICT        409
#define STATUS_DEADLINE        504

extern char **environ;

/* --- the program ---------------------------------------------------------------------------------- */

bool main_upgrade_learn(struct parent *parent, char *const *words)
{
    const char *path = (const char *)(uintptr_t)getauxval(AT_EXECFN);
    char *folder = NULL;
    parent->upgrade.channel = -1;
    parent->upgrade.words = words;
    if (path == NULL || path[0] == '\0')
        path = "/proc/self/exe";
    if (path[0] == '/')
        return (parent->upgrade.program = strdup(path)) != NULL;
    folder = getcwd(NULL, 0);
    bool is_known = folder != NULL && asprintf(&parent->upgrade.program, "%s/%s", folder, path) > 0;
    if (!is_known)
        parent->upgrade.program = NULL;
    free(folder);
    return is_known;
}

static void upgrade_close(struct parent *parent)
{
    if (parent->upgrade.channel >= 0)
        close(parent->upgrade.channel);
    parent->upgrade.channel = -1;
}

void main_upgrade_fini(struct parent *parent)
{
    upgrade_close(parent);
    free(parent->upgrade.program);
    parent->upgrade.program = NULL;
}

/* --- the answer ----------------------------------------------------------------------------------- */

static void upgrade_answer(struct parent *parent, uint32_t ticket, uint32_t status,
                           const char *text)
{
    const struct main_message message = {
        .kind = MAIN_MESSAGE_UPGRADED, .ticket = ticket, .value = status, .text = span_of(text)};
    if (ticket != 0 && parent->channel >= 0)
        (void)main_parent_tell(parent, &message);
}

static void upgrade_refuse(struct parent *parent, uint32_t ticket, uint32_t status, const char *why)
{
    log_error("upgrade refused, version " SLUICE_VERSION " goes on serving: %s", why);
    upgrade_answer(parent, ticket, status, why);
}

const char *main_upgrade_obstacle(const struct parent *parent)
{
    if (parent->upgrade.pid != 0 && !parent->upgrade.is_committed)
        return "an upgrade is under way: try again when it is over";
    if (parent->takeover_channel >= 0 && !parent->is_in_charge)
        return "this process has not taken over yet: try again";
    return NULL;
}

static const char *upgrade_fault(const struct parent *parent)
{
    const char *obstacle = main_upgrade_obstacle(parent);
    if (parent->state != PARENT_RUNNING)
        return "the service is ending";
    if (obstacle != NULL)
        return obstacle;
    if (parent->takeover_channel >= 0)
        return "the process before this one still has requests to finish: try again when it has "
               "ended";
    if (parent->reload.is_active || parent->reload.is_again)
        return "a reload is under way: try again when it is over";
    if (!parent->is_ready)
        return "the serving process is just being started: try again";
    if (getpid() == 1)
        return "this is process 1, and what it runs in would end with it: start another container "
               "instead";
    return NULL;
}

/* --- start ---------------------------------------------------------------------------------------- */

static bool upgrade_describe(struct parent *parent, struct main_takeover *takeover)
{
    struct loop_log_status log;
    *takeover =
        (struct main_takeover){.memory = -1, .pid = getpid(), .generation = parent->generation};
    loop_log_get_status(parent->log, &log);
    memcpy(takeover->boot, log.boot, sizeof(takeover->boot));
    if (parent->memory != NULL) {
        takeover->memory = store_memory_descriptor(parent->memory, &takeover->memory_subjects);
        takeover->memory_layout = STORE_MEMORY_LAYOUT;
        takeover->memory_life = parent->memory_life;
    }
    unsigned place = 0;
    while (takeover->order_count < UPSTREAM_ORDERS_MAX &&
           upstream_orders_next(parent->orders, &place, &takeover->orders[takeover->order_count]))
        takeover->order_count++;
    return net_tls_tickets_export(parent->tickets, takeover->tickets) &&
           main_inherit_list(&takeover->sockets, &parent->config.sockets) == ERR_OK;
}

/* Between fork and exec, in a process of one thread.  What it says goes where the next parent would say it. */
static _Noreturn void upgrade_exec(struct parent *parent, const struct main_takeover *takeover,
                                   int description, int channel)
{
    char why[512], pid[24];
    struct main_message message = {.kind = MAIN_MESSAGE_TAKEOVER_FAULT};
    sigprocmask(SIG_SETMASK, &parent->old_mask, NULL);
    signal(SIGPIPE, SIG_DFL);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    bool is_good = main_takeover_export(takeover, description, channel);
    if (getenv("WATCHDOG_PID") != NULL)
        is_good &= setenv("WATCHDOG_PID", pid, 1) == 0;
    if (is_good)
        execve(parent->upgrade.program, parent->upgrade.words, environ);
    snprintf(why, sizeof(why), "%.400s cannot be started: %s", parent->upgrade.program,
             strerror(errno));
    message.text = span_of(why);
    _exit(main_channel_send(channel, &message) == ERR_OK ? 127 : 126);
}

/* False: errno. */
static bool upgrade_fork(struct parent *parent, struct main_takeover *takeover)
{
    int fds[2] = {-1, -1};
    int description = main_takeover_write(takeover);
    pid_t pid = -1;
    if (description >= 0 && main_channel_open(fds) == ERR_OK)
        pid = fork();
    if (pid == 0)
        upgrade_exec(parent, takeover, description, fds[1]);
    int error = errno;
    if (description >= 0)
        close(description);
    if (fds[1] >= 0)
        close(fds[1]);
    if (pid < 0 && fds[0] >= 0)
        close(fds[0]);
    if (pid > 0) {
        parent->upgrade.pid = pid;
        parent->upgrade.channel = fds[0];
    }
    errno = error;
    return pid > 0;
}

void main_upgrade_begin(struct parent *parent, uint32_t ticket, uint32_t deadline_ms)
{
    struct main_takeover takeover;
    const char *fault = upgrade_fault(parent);
    if (fault != NULL) {
        upgrade_refuse(parent, ticket, STATUS_CONFLICT, fault);
        return;
    }
    errno = ENOMEM; /* not each of them says why */
    if (!upgrade_describe(parent, &takeover) || !upgrade_fork(parent, &takeover)) {
        upgrade_refuse(parent, ticket, STATUS_CONFLICT, strerror(errno));
    } else {
        parent->upgrade.ticket = ticket;
        parent->upgrade.is_let_go = false;
        parent->upgrade.deadline_us =
            clock_mono_us() + (deadline_ms != 0 ? deadline_ms * 1000ULL : UPGRADE_DEADLINE_US);
        log_info("upgrade: %s begins as pid %d", parent->upgrade.program, (int)parent->upgrade.pid);
    }
    explicit_bzero(takeover.tickets, sizeof(takeover.tickets));
    free(takeover.sockets.list); /* the descriptors are ours */
}

/* --- nothing changes ------------------------------------------------------------------------------ */

/* The other parent is dead, and its child with it, which the kernel kills first. */
static void upgrade_forget(struct parent *parent, uint32_t status, const char *why)
{
    uint32_t ticket = parent->upgrade.ticket;
    upgrade_close(parent);
    parent->upgrade.pid = 0;
    parent->upgrade.ticket = 0;
    parent->upgrade.deadline_us = 0;
    if (parent->memory != NULL)
        store_memory_outlive(parent->memory, parent->memory_life);
    upgrade_refuse(parent, ticket, status, why);
    main_parent_reload_waiting(parent);
}

static void upgrade_abort(struct parent *parent, uint32_t status, const char *why)
{
    int ignored;
    kill(parent->upgrade.pid, SIGKILL);
    while (waitpid(parent->upgrade.pid, &ignored, 0) < 0 && errno == EINTR)
        continue;
    upgrade_forget(parent, status, why);
}

void main_upgrade_break(struct parent *parent, const char *why)
{
    if (parent->upgrade.pid != 0 && !parent->upgrade.is_committed)
        upgrade_abort(parent, STATUS_CONFLICT, why);
}

/* --- commit --------------------------------------------------------------------------------------- */

static void upgrade_tell(struct parent *parent, const char *version)
{
    char text[512];
    snprintf(text, sizeof(text),
             "{\"upgraded\":true,\"pid\":%d,\"version\":\"%s\",\"from\":\"%s\"}",
             (int)parent->upgrade.pid, version, SLUICE_VERSION);
    upgrade_answer(parent, parent->upgrade.ticket, STATUS_OK, text);
    snprintf(text, sizeof(text), "\"event\":\"upgrade\",\"to_pid\":%d,\"version\":\"%s\"",
             (int)parent->upgrade.pid, version);
    loop_log_event(parent->log, text);
    log_info("upgraded: version %s serves as pid %d; what is in progress is finished here", version,
             (int)parent->upgrade.pid);
}

/* From here on it is the other one's service: its counters to save, its files, its word to systemd. */
static void upgrade_commit(struct parent *parent)
{
    const struct main_message done = {.kind = MAIN_MESSAGE_TAKEOVER_DONE};
    const struct main_message give_way = {.kind = MAIN_MESSAGE_GIVE_WAY};
    char notice[64];
    uint64_t now_us = clock_mono_us();
    snprintf(notice, sizeof(notice), "MAINPID=%d", (int)parent->upgrade.pid);
    main_notify(notice); /* the last that systemd takes from us */
    if (main_channel_send(parent->upgrade.channel, &done) != ERR_OK) {
        snprintf(notice, sizeof(notice), "MAINPID=%d", (int)getpid());
        main_notify(notice);
        upgrade_abort(parent, STATUS_CONFLICT, "it does not take over");
        return;
    }
    parent->upgrade.is_committed = true;
    parent->upgrade.deadline_us = 0;
    parent->is_in_charge = false;
    parent->checkpoint_at_us = 0;
    main_watchdog_stop(&parent->watchdog);
    parent->state = PARENT_DRAINING;
    main_sockets_close_traffic(&parent->config.sockets);
    parent->upgrade.drain_at_us = now_us + UPGRADE_GRACE_US;
    parent->kill_at_us =
        now_us + UPGRADE_GRACE_US + parent->config.plan->limits.drain_us + UPGRADE_DRAIN_EXTRA_US;
    bool is_told = main_parent_tell(parent, &give_way);
    /* Behind it: who hears of the upgrade and asks again is answered by the other one. */
    upgrade_tell(parent, parent->upgrade.version);
    if (!is_told)
        main_parent_kill(parent, "it does not take orders");
}

/* It is alive, and lets its child go, or the deadline ends it: who hangs now takes nobody along but who came to it meanwhile. */
static void upgrade_let_go(struct parent *parent)
{
    const struct main_message go = {.kind = MAIN_MESSAGE_TAKEOVER_GO};
    parent->upgrade.is_let_go = true;
    if (main_channel_send(parent->upgrade.channel, &go) != ERR_OK)
        upgrade_abort(parent, STATUS_CONFLICT, "it does not take over");
}

/* What it says of itself goes into JSON: nothing but what a version is made of. */
static void upgrade_version(struct span text, char version[64])
{
    size_t len = 0;
    for (size_t i = 0; i < text.len && len < 63; i++) {
        char c = text.ptr[i];
        bool is_good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '.' || c == '-' || c == '+' || c == '~';
        if (is_good)
            version[len++] = c;
    }
    version[len] = '\0';
}

/* --- events --------------------------------------------------------------------------------------- */

/* READY and SERVES are good for nothing when there is more behind them: a fault, or the end. */
void main_upgrade_on_channel(struct parent *parent)
{
    struct main_message message;
    char why[1024];
    bool is_ready = false, serves = false;
    while (parent->upgrade.channel >= 0 && !parent->upgrade.is_committed) {
        enum err err = main_channel_receive(parent->upgrade.channel, &message, parent->buffer);
        if (err == ERR_CLOSED) /* SIGCHLD or the deadline tells the rest */
            upgrade_close(parent);
        else if (err == ERR_AGAIN && serves)
            upgrade_commit(parent);
        else if (err == ERR_AGAIN && is_ready)
            upgrade_let_go(parent);
        if (err == ERR_AGAIN || err == ERR_CLOSED)
            return;
        while (err == ERR_OK && message.fd_count > 0)
            close(message.fds[--message.fd_count]);
        if (err == ERR_OK && message.kind == MAIN_MESSAGE_TAKEOVER_READY) {
            upgrade_version(message.text, parent->upgrade.version);
            is_ready = true;
        } else if (err == ERR_OK && message.kind == MAIN_MESSAGE_TAKEOVER_SERVES &&
                   parent->upgrade.is_let_go) {
            serves = true;
        } else if (err == ERR_OK && message.kind == MAIN_MESSAGE_TAKEOVER_FAULT) {
            snprintf(why, sizeof(why), "%.*s", (int)message.text.len, message.text.ptr);
            upgrade_abort(parent, STATUS_CONFLICT, why);
        } else {
            upgrade_abort(parent, STATUS_CONFLICT, "it says what is not understood");
        }
    }
}

void main_upgrade_on_child(struct parent *parent)
{
    char why[128], reason[64];
    int status;
    if (parent->upgrade.pid == 0)
        return;
    main_upgrade_on_channel(parent); /* it may have said why */
    pid_t pid = parent->upgrade.pid;
    if (pid == 0 || waitpid(pid, &status, WNOHANG) != pid)
        return;
    main_parent_child_reason(status, reason);
    if (parent->upgrade.is_committed) {
        log_error("the process that took over (pid %d) %s", (int)pid, reason);
        parent->upgrade.pid = 0;
        return;
    }
    snprintf(why, sizeof(why), "%s before it served", reason);
    upgrade_forget(parent, STATUS_CONFLICT, why);
}

void main_upgrade_on_time(struct parent *parent, uint64_t now_us)
{
    struct main_message drain = {.kind = MAIN_MESSAGE_DRAIN};
    if (parent->upgrade.deadline_us != 0 && now_us >= parent->upgrade.deadline_us)
        upgrade_abort(parent, STATUS_DEADLINE, "it did not serve before the deadline");
    if (parent->upgrade.drain_at_us == 0 || now_us < parent->upgrade.drain_at_us)
        return;
    parent->upgrade.drain_at_us = 0;
    if (parent->child != 0 && !main_parent_tell(parent, &drain))
        main_parent_kill(parent, "it does not take orders");
}
