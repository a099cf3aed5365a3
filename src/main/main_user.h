/* SPDX-License-Identifier: Apache-2.0 */
/* main_user.h - the user that serves when the service is started as root.  Takes: "user" of a configuration.  Gives: a
 * serving process that cannot be root again.  Never: lets the parent write with root's rights where that user may put
 * a link: what the service writes, it writes as that user. */
#ifndef SLUICE_MAIN_USER_H
#define SLUICE_MAIN_USER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/base_span.h"
#include "main/main_sockets.h"

#define MAIN_USER_NAME_BYTES 130 /* "name:group" and a NUL, see "user" in plan_table.c */

/* Owner: the parent.  Thread: the only one. */
struct main_user {
    char name[MAIN_USER_NAME_BYTES]; /* as configured; empty: none */
    uid_t uid;
    gid_t gid;
    bool has_group; /* in the name */
    bool is_other;  /* we are root, and it is not */
    bool is_bare;   /* we are root, it is too, and the sandbox will take its capabilities */
};

/* Who is meant; text may be empty.  is_sandboxed: the serving process will have no capabilities.  NULL, or a sentence: there is
 * no such user. */
const char *main_user_find(struct main_user *user, struct span text, bool is_sandboxed,
                           char why[512]);

/* Root would serve, and nobody has said that it shall. */
bool main_user_is_missing(const struct main_user *user);
#define MAIN_USER_MISSING                                                                          \
    "started as root the serving process stays root: name a \"user\" for it, or start it as one"

/* Parent, once: can its children be that user?  NULL, or a sentence that says what to do.  Root's supplementary groups
 * are given up. */
const char *main_user_prepare(const struct main_user *user, char why[512]);

/* Parent, around opening what the service writes: with the rights of that user. */
void main_user_assume(const struct main_user *user);
void main_user_resume(const struct main_user *user);

/* Parent, around trying what the child will open by itself: with no more rights than the child has, which is root without
 * its capabilities where root serves. */
MUST_USE bool main_user_assume_child(const struct main_user *user);
/* was_bared: what main_user_assume_child has answered. */
void main_user_resume_child(const struct main_user *user, bool was_bared);

/* Parent: socket files that were made just now are that user's, as if it had made them. */
void main_user_own_sockets(const struct main_user *user, const struct main_sockets *sockets);

/* Child, while it has one thread: is that user, without groups, capabilities and a way back.  is_traceable: it may be
 * debugged by that user, which the kernel ends with the change.  False: errno, and it must not serve. */
bool main_user_become(const struct main_user *user, bool is_traceable);

#endif
