/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_check.h - asking servers whether they are well: one check a server and process, on the main thread's loop,
 * so that no worker has anything to do with it.  Takes: the upstreams in force.  Gives: results to upstream_health.h, and
 * its changes as event lines and in the error log.  Never waits, never counts as a request. */
#ifndef SLUICE_UPSTREAM_CHECK_H
#define SLUICE_UPSTREAM_CHECK_H

#include "base/base_err.h"
#include "loop/loop.h"
#include "loop/loop_log.h"
#include "upstream/upstream_health.h"

/* Owner: who made it.  Freed by: upstream_checker_free.  Thread: the loop's. */
struct upstream_checker;

/* Borrows all three.  NULL: no memory. */
struct upstream_checker *upstream_checker_new(struct loop *loop, struct loop_log *log,
                                              struct upstream_health *health);
void upstream_checker_free(struct upstream_checker *checker);

/* These are in force from now on; nothing of them is needed afterwards.  When it fails the checks are as before. */
MUST_USE enum err upstream_checker_serve(struct upstream_checker *checker,
                                         const struct upstream_conf *upstreams, unsigned count);

/* The status of an answer that begins like that; 0: not enough to tell; -1: it is no HTTP/1. */
int upstream_check_status(struct span answer);

#endif
