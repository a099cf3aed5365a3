/* SPDX-License-Identifier: Apache-2.0 */
/* main_reload.c - the parent's part of a reload: read, build, compare, open what is new, send, and adopt
 * it when the child serves it.  Takes: a ticket (0: by signal).  Gives: the new configuration in force, or
 * nothing changed and a report. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base_clock.h"
#include "base/base_log.h"
#include "main/main_notify.h"
#include "main/main_parent_private.h"
#include "main/main_report.h"

#define RELOAD_DEADLINE_US 30000000

void main_parent_tell_file(struct parent *parent)
{
    const struct main_message message = {.kind = MAIN_MESSAGE_FILE, .value = parent->file.is_stale};
    if (parent->is_ready)
        (void)main_parent_tell(parent, &message);
}

void main_parent_look_at_file(struct parent *parent)
{
    if (main_file_look(&parent->file, parent->path))
        main_parent_tell_file(parent);
}

static void reload_remember(struct parent *parent, bool was_refused)
{
    parent->reload.was_refused = was_refused;
    parent->reload.ended_us = clock_wall_us();
    main_parent_look_at_file(parent);
}

/* Nothing changed.  The child tells the one who asked, the log and the counters. */
static void reload_refuse(struct parent *parent, uint32_t ticket, struct span report)
{
    const struct main_message message = {
        .kind = MAIN_MESSAGE_REFUSED, .ticket = ticket, .text = report};
    struct span rest = report, line = SPAN_NONE;
    log_error("reload refused, the configuration of generation %u stays in force",
              (unsigned)parent->generation);
    while (main_report_next(&rest, &line))
        log_error("%.*s", (int)line.len, line.ptr);
    reload_remember(parent, true);
    if (parent->is_ready)
        (void)main_parent_tell(parent, &message);
}

static void reload_save_sooner(struct parent *parent)
{
    uint64_t at_us = clock_mono_us() + parent->config.plan->store_state_interval_us;
    if (parent->checkpoint_at_us > at_us)
        parent->checkpoint_at_us = at_us;
}

static void reload_adopt(struct parent *parent)
{
    struct parent_config *next = &parent->reload.next;
    main_sockets_replace(&parent->config.sockets, &next->sockets, true);
    main_parent_config_fini(&parent->config);
    parent->config.bundle = next->bundle;
    parent->config.plan = next->plan;
    *next = (struct parent_config){0};
    parent->generation = parent->config.plan->generation;
    main_level_configure(&parent->level, parent->config.plan->log_level);
    parent->file.running = main_bundle_hash(&parent->config.bundle);
    parent->file.is_stale = false; /* as the child believes */
    reload_save_sooner(parent);
    reload_remember(parent, false);
    log_info("reloaded: generation %u", (unsigned)parent->generation);
}

static void reload_abandon(struct parent *parent)
{
    main_sockets_abandon(&parent->reload.next.sockets);
    main_parent_config_fini(&parent->reload.next);
}

void main_parent_reload_waiting(struct parent *parent)
{
    if (!parent->reload.is_again || parent->reload.is_active)
        return;
    parent->reload.is_again = false;
    main_parent_reload(parent, parent->reload.again_ticket);
}

static void reload_end(struct parent *parent)
{
    parent->reload.is_active = false;
    parent->reload.deadline_us = 0;
    main_notify_ready(parent->generation);
    main_parent_reload_waiting(parent);
}

/* A sentence, or NULL when the next configuration may be served from now on. */
static const char *reload_judge(struct parent *parent, char why[PLAN_CHANGE_FAULT_MAX])
{
    const struct plan *old = parent->config.plan;
    struct parent_config *next = &parent->reload.next;
    const char *fault = plan_change_fault(old, next->plan, why);
    if (fault == NULL)
        fault = main_parent_log_fault(parent, next->plan, why);
    if (fault != NULL)
        return fault;
    if (!main_sockets_open(&next->sockets, &parent->config.sockets, next->plan, parent->workers,
                           why))
        return why;
    main_user_own_sockets(&parent->user, &next->sockets);
    if (!main_parent_clamp(parent, next->plan))
        return "too few file descriptors for 64 connections";
    return NULL;
}

static bool reload_send_sockets(struct parent *parent)
{
    struct main_message message = {.kind = MAIN_MESSAGE_SOCKETS};
    unsigned count, at = 0;
    int *fds;
    bool is_good = main_sockets_fresh(&parent->reload.next.sockets, &fds, &count) == ERR_OK;
    while (is_good && at < count) {
        message.fd_count = count - at;
        if (message.fd_count > MAIN_CHANNEL_FDS_MAX)
            message.fd_count = MAIN_CHANNEL_FDS_MAX;
        memcpy(message.fds, fds + at, message.fd_count * sizeof(*fds));
        is_good = main_parent_tell(parent, &message);
        at += message.fd_count;
    }
    free(fds);
    return is_good;
}

/* Sockets first, then what they are for.  False: the child does not take it. */
static bool reload_send(struct parent *parent, uint32_t ticket)
{
    struct main_message message = {
        .kind = MAIN_MESSAGE_APPLY,
        .ticket = ticket,
        .value = parent->reload.next.plan->generation,
        .fd_count = 1,
    };
    message.fds[0] = main_bundle_pack(&parent->reload.next.bundle);
    bool is_good =
        message.fds[0] >= 0 && reload_send_sockets(parent) && main_parent_tell(parent, &message);
    if (message.fds[0] >= 0)
        close(message.fds[0]);
    return is_good;
}

/* One reload at a time; one more may wait, for the end of it or for a child that is starting. */
static void reload_wait(struct parent *parent, uint32_t ticket)
{
    if (!parent->reload.is_again)
        parent->reload.again_ticket = 0;
    if (parent->reload.again_ticket != 0 && ticket != 0) {
        reload_refuse(parent, ticket, SPAN("another reload is waiting already: try again"));
        return;
    }
    parent->reload.is_again = true;
    if (ticket != 0)
        parent->reload.again_ticket = ticket;
}

void main_parent_reload(struct parent *parent, uint32_t ticket)
{
    char why[PLAN_CHANGE_FAULT_MAX];
    int exit_code;
    if (parent->state != PARENT_RUNNING) {
        reload_refuse(parent, ticket, SPAN("the service is ending"));
        return;
    }
    const char *obstacle = main_upgrade_obstacle(parent);
    if (obstacle != NULL) {
        reload_refuse(parent, ticket, span_of(obstacle));
        return;
    }
    if (parent->reload.is_active || (parent->child != 0 && !parent->is_ready)) {
        reload_wait(parent, ticket);
        return;
    }
    parent->reload.next = (struct parent_config){0};
    char *report = main_parent_config_read(&parent->reload.next, parent->path,
                                           parent->generation + 1, &exit_code);
    const char *fault = parent->reload.next.plan == NULL ? report : reload_judge(parent, why);
    if (fault != NULL || parent->reload.next.plan == NULL) {
        reload_refuse(parent, ticket, span_of(fault == NULL ? "out of memory" : fault));
        reload_abandon(parent);
    } else if (!parent->is_ready) {
        reload_adopt(parent); /* the next child begins with it */
    } else if (reload_send(parent, ticket)) {
        main_notify_reloading();
        parent->reload.is_active = true;
        parent->reload.ticket = ticket;
        parent->reload.deadline_us = clock_mono_us() + RELOAD_DEADLINE_US;
    } else {
        reload_refuse(parent, ticket, SPAN("the serving process does not take it"));
        reload_abandon(parent);
        main_parent_kill(parent, "it does not take orders");
    }
    free(report);
}

void main_parent_reload_on_answer(struct parent *parent, const struct main_message *message)
{
    if (!parent->reload.is_active || message->ticket != parent->reload.ticket)
        return;
    if (message->kind == MAIN_MESSAGE_APPLIED) {
        reload_adopt(parent);
    } else {
        log_error("reload refused, the configuration of generation %u stays in force: %.*s",
                  (unsigned)parent->generation, (int)message->text.len, message->text.ptr);
        reload_abandon(parent);
        reload_remember(parent, true);
    }
    reload_end(parent);
}

void main_parent_reload_break(struct parent *parent, const char *why)
{
    if (!parent->reload.is_active)
        return;
    log_error("reload refused, the configuration of generation %u stays in force: %s",
              (unsigned)parent->generation, why);
    reload_abandon(parent);
    reload_remember(parent, true);
    parent->reload.again_ticket = 0; /* who asked is gone with the child */
    reload_end(parent);
}
