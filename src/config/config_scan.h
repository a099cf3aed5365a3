/* SPDX-License-Identifier: Apache-2.0 */
/* config_scan.h - the JSON grammar (RFC 8259), strictly, for config_doc alone.  Takes: blanked text.
 * Gives: nodes with positions.  Goes on behind a missing comma or colon; ends at any other fault. */
#ifndef SLUICE_CONFIG_SCAN_H
#define SLUICE_CONFIG_SCAN_H

#include "config/config_doc.h"

/* The one value that the text holds, NULL after a fault (which is in the report). */
struct config_node *config_scan(struct config_doc *doc, struct span text);

#endif
