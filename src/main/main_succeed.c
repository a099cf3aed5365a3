/* SPDX-License-Identifier: Apache-2.0 */
/* main_succeed.c - a parent that takes over from a running one, which started it (main_upgrade.c).  Takes: what is handed over.
 * Gives: word that it could serve, or why it cannot.  Until it is told (or the one before is dead) its child accepts nobody;
 * until it is told that it is in charge it saves nothing, removes nothing and says nothing to systemd. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base_clock.h"
#include "base/base_log.h"
#include "main/main_notify.h"
#include "main/main_parent_private.h"

static void succeed_say(struct parent *parent, enum main_message_kind kind, const char *text)
{
    const struct main_message message = {.kind = kind, .text = span_of(text)};
    if (parent->takeover_channel >= 0 &&
        main_channel_send(parent->takeover_channel, &message) != ERR_OK)
        log_error("the process before this one cannot be told"); /* it finds out by its deadline */
}

void main_succeed_fail(struct parent *parent, const char *why)
{
    if (!parent->is_in_charge)
        succeed_say(parent, MAIN_MESSAGE_TAKEOVER_FAULT, why);
}

bool main_succeed_begin(struct parent *parent, char why[512])
{
    char fault[256];
    int found = main_takeover_import(&parent->takeover, &parent->takeover_channel, fault);
    parent->is_in_charge = parent->takeover_channel < 0;
    parent->generation = parent->takeover.generation;
    if (found >= 0)
        return true;
    snprintf(why, 512, "%s", fault);
    return false;
}

const char *main_succeed_memory(struct parent *parent, char why[512])
{
    struct main_takeover *takeover = &parent->takeover;
    uint32_t subjects = parent->config.plan->store_subjects;
    if (takeover->memory_layout != STORE_MEMORY_LAYOUT)
        return "this program lays out counters in memory in another way: stop the service and "
               "start it again (store.state_file keeps them)";
    if (takeover->memory_subjects != subjects) {
        snprintf(why, 512,
                 "store.subjects is %u in the running service and %u in the file: stop the service "
                 "and start it again to change it",
                 (unsigned)takeover->memory_subjects, (unsigned)subjects);
        return why;
    }
    parent->memory = store_memory_open(takeover->memory, subjects);
    if (parent->memory == NULL)
        return "the counters that are handed over cannot be used";
    takeover->memory = -1;
    parent->memory_beside = takeover->memory_life;
    return NULL;
}

/* The child has accepted nothing so far: had we died, every client would have been the other one's.  False: there is none
 * that accepts. */
static bool succeed_go(struct parent *parent)
{
    const struct main_message go = {.kind = MAIN_MESSAGE_GO};
    if (parent->child == 0 || parent->was_let_go)
        return parent->child != 0;
    parent->was_let_go = main_parent_tell(parent, &go);
    if (!parent->was_let_go)
        main_parent_kill(parent, "it does not take orders");
    return parent->was_let_go;
}

static void succeed_take_charge(struct parent *parent)
{
    char event[128];
    uint64_t every_us = parent->config.plan->store_state_interval_us;
    parent->is_in_charge = true;
    (void)succeed_go(parent); /* one that is started later need not be told */
    if (parent->memory != NULL && parent->config.plan->store_state_file.len > 0)
        parent->checkpoint_at_us = clock_mono_us() + every_us;
    main_watchdog_start(&parent->watchdog, clock_mono_us());
    snprintf(event, sizeof(event), "\"event\":\"takeover\",\"from_pid\":%d,\"from_boot\":\"%s\"",
             parent->takeover.pid, parent->takeover.boot);
    loop_log_event(parent->log, event);
    log_info("took over from pid %d", parent->takeover.pid);
    if (parent->is_ready)
        main_notify_ready(parent->generation);
}

/* The one before is gone, with its child. */
static void succeed_alone(struct parent *parent)
{
    if (!parent->is_in_charge) { /* it was killed: somebody has to serve */
        log_warn("the process before this one is gone before it handed over");
        succeed_take_charge(parent);
    }
    close(parent->takeover_channel);
    parent->takeover_channel = -1;
    parent->memory_beside = 0;
    if (parent->memory != NULL && parent->memory_life != 0)
        store_memory_outlive(parent->memory, parent->memory_life);
    log_info("the process before this one has ended");
}

void main_succeed_on_ready(struct parent *parent)
{
    if (!parent->is_in_charge)
        succeed_say(parent, MAIN_MESSAGE_TAKEOVER_READY, SLUICE_VERSION);
}

void main_succeed_on_channel(struct parent *parent)
{
    struct main_message message;
    while (parent->takeover_channel >= 0) {
        enum err err = main_channel_receive(parent->takeover_channel, &message, parent->buffer);
        if (err == ERR_AGAIN)
            return;
        while (err == ERR_OK && message.fd_count > 0)
            close(message.fds[--message.fd_count]);
        if (err == ERR_OK && message.kind == MAIN_MESSAGE_TAKEOVER_GO && succeed_go(parent))
            succeed_say(parent, MAIN_MESSAGE_TAKEOVER_SERVES, SLUICE_VERSION);
        if (err == ERR_OK && message.kind == MAIN_MESSAGE_TAKEOVER_DONE && !parent->is_in_charge)
            succeed_take_charge(parent);
        if (err != ERR_OK)
            succeed_alone(parent);
    }
}
