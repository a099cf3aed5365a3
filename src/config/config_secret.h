/* SPDX-License-Identifier: Apache-2.0 */
/* config_secret.h - secrets and files, for config_value alone.  Takes: a plain text, {"env": NAME}, {"file":
 * NAME} or {"sealed": TEXT}; or a file's name.  Gives: the bytes.  Never shows them in a message. */
#ifndef SLUICE_CONFIG_SECRET_H
#define SLUICE_CONFIG_SECRET_H

#include "config/config_load.h"

/* ptr NULL after a fault. */
struct span config_secret_take(struct config_load *load, const struct config_node *node);
/* A file that the configuration names: a certificate, say. */
struct span config_secret_file(struct config_load *load, const struct config_node *node);

#endif
