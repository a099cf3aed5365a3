/* SPDX-License-Identifier: Apache-2.0 */
/* config_secret.h - secrets, for config_value alone.  Takes: a plain text, {"env": NAME}, {"file":
 * NAME} or {"sealed": TEXT}.  Gives: the secret's bytes.  Never shows them in a message. */
#ifndef SLUICE_CONFIG_SECRET_H
#define SLUICE_CONFIG_SECRET_H

#include "config/config_load.h"

/* ptr NULL after a fault. */
struct span config_secret_take(struct config_load *load, const struct config_node *node);

#endif
