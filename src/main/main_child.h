/* SPDX-License-Identifier: Apache-2.0 */
/* main_child.h - the serving process: its main thread, beside N workers and the log's writer.  Takes:
 * everything from the parent (descriptors, file contents, shared memory) and orders over the channel.
 * Opens no files but its logs. */
#ifndef SLUICE_MAIN_CHILD_H
#define SLUICE_MAIN_CHILD_H

#include "loop/loop_log.h"
#include "main/main_bundle.h"
#include "main/main_level.h"
#include "main/main_sockets.h"
#include "net/net_tls_tickets.h"
#include "store/store_memory.h"
#include "upstream/upstream_orders.h"

/* What the parent hands over by forking.  Owner: the parent; the child uses its copy. */
struct main_child_env {
    struct main_bundle bundle;
    struct main_sockets sockets;
    struct loop_log *log;
    struct store_memory *memory; /* NULL: the store is Redis */
    const struct net_tls_tickets *tickets;
    struct upstream_orders *orders; /* of operators about servers */
    unsigned workers;
    unsigned connections_cap; /* what descriptors allow */
    uint32_t generation;
    unsigned restarts;
    struct main_level level;        /* of the error log, as it stands */
    uint64_t service_started_at_us; /* wall clock */
    bool is_stale;                  /* the configuration's file is not what runs */
    bool was_reload_refused;        /* the last one */
    uint64_t reload_ended_us;       /* that; wall clock; 0: there was none */
    bool is_held;                   /* another process serves: accept nothing until GO */
    int channel;                    /* taken */
};

/* Serve until told to end.  Gives the exit code. */
int main_child_run(struct main_child_env *env);

#endif
