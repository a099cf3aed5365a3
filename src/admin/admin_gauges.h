/* SPDX-License-Identifier: Apache-2.0 */
/* admin_gauges.h - metrics that are looked up when somebody asks for them, and kept nowhere else: of the process, the
 * store's table, the log's buffers, the configuration.  Takes: facts of the main thread.  Gives: values in its metrics block. */
#ifndef SLUICE_ADMIN_ADMIN_GAUGES_H
#define SLUICE_ADMIN_ADMIN_GAUGES_H

struct admin;

/* Before the page is rendered.  What cannot be looked up keeps its last value. */
void admin_gauges_set(struct admin *admin);

#endif
