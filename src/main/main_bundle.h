/* SPDX-License-Identifier: Apache-2.0 */
/* main_bundle.h - the files that a configuration is made of, in memory: its text and the secrets it names.
 * The parent reads them; the child gets them and opens none. */
#ifndef SLUICE_MAIN_BUNDLE_H
#define SLUICE_MAIN_BUNDLE_H

#include "base/base_err.h"
#include "plan/plan.h"

/* Owner: whoever embeds it.  Freed by: main_bundle_fini, which wipes.  Thread: the owner's. */
struct main_bundle {
    struct plan_file *files; /* [0] is the configuration */
    unsigned count;
    bool is_sealed; /* the child's: what is not in it cannot be had */
};

/* Read the configuration; false and a sentence when it cannot be. */
bool main_bundle_read(struct main_bundle *bundle, const char *path, char why[256]);
void main_bundle_fini(struct main_bundle *bundle);

/* A plan_read_fn; arg is the bundle. */
bool main_bundle_fetch(void *arg, struct span name, struct span *text, char why[256]);

/* To and from a descriptor that can be sent (a memfd).  -1 with errno. */
int main_bundle_pack(const struct main_bundle *bundle);
MUST_USE enum err main_bundle_unpack(struct main_bundle *bundle, int fd);

/* A number that differs when the configuration's text does. */
uint64_t main_bundle_hash(const struct main_bundle *bundle);

/* The file that is meant when none is named. */
const char *main_bundle_default_path(void);

#endif
