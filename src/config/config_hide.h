/* SPDX-License-Identifier: Apache-2.0 */
/* config_hide.h - secrets that stand in the file as plain text.  Takes: the file, read or not.  Gives:
 * their places to the report, which then never shows them beside a fault. */
#ifndef SLUICE_CONFIG_HIDE_H
#define SLUICE_CONFIG_HIDE_H

#include "config/config_report.h"
#include "config/config_table.h"

/* Every string behind a key that is that of a secret, or nearly so (a mistyped one is shown as unknown),
 * wherever it stands, and what stands before an "@" as credentials do: the text need not be sound JSON. */
void config_hide_secrets(struct config_report *report, const struct config_table *table,
                         struct span text);

#endif
