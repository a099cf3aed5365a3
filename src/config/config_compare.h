/* SPDX-License-Identifier: Apache-2.0 */
/* config_compare.h - what differs between two read files, default by default.  Takes: two versions of one table.  Gives: each
 * difference, in the order of the tables.  Never shows a secret, nor what a file holds. */
#ifndef SLUICE_CONFIG_COMPARE_H
#define SLUICE_CONFIG_COMPARE_H

#include "config/config_effective.h"

enum config_change_kind {
    CONFIG_CHANGE_VALUE,  /* was -> is */
    CONFIG_CHANGE_HIDDEN, /* the same, of a secret or a file: no values */
    CONFIG_CHANGE_TEXTS, /* of a list of texts: so many more, so many less; values if it is a key's */
    CONFIG_CHANGE_ADDED,     /* a named item */
    CONFIG_CHANGE_REMOVED,   /* a named item */
    CONFIG_CHANGE_REORDERED, /* a list, with the same items */
};

/* NULL: it is not set on that side. */
struct config_shown {
    const char *json; /* compact */
    const char *text; /* a string without its quotes and escapes, else as json */
};

/* Borrowed for the call. */
struct config_change {
    enum config_change_kind kind;
    const char *item; /* "quota ip", "log", "routes" */
    const char *path; /* within it: "limits minute", "server 10.0.0.1:80"; "": the item itself */
    struct config_shown was, is;
    size_t added, removed; /* of TEXTS */
};

typedef void (*config_change_fn)(void *arg, const struct config_change *change);

/* False: no memory; then some differences may have been told. */
bool config_compare(const struct config_table *table, const struct config_version *old,
                    const struct config_version *next, config_change_fn on_change, void *arg);

#endif
