/* SPDX-License-Identifier: Apache-2.0 */
/* config_take.h - the rest of a take function of TEXTS, for lists of which several tables have one.  Takes: the text that stands in
 * the file, and the list so far (at first NULL, with a count of 0).  Gives: the list with it, in the arena; or what is wrong. */
#ifndef SLUICE_CONFIG_TAKE_H
#define SLUICE_CONFIG_TAKE_H

#include "base/base_ip.h"
#include "config/config_table.h"

/* Refused when it is there already, in whatever case. */
const char *config_take_into(const struct config_take *take, const struct span **list,
                             unsigned *count);

/* A network or an address.  "unix" sets *has_unix instead; has_unix NULL: it is refused. */
const char *config_take_network(const struct config_take *take, const struct ip_net **list,
                                unsigned *count, bool *has_unix);

#endif
