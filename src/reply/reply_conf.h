/* SPDX-License-Identifier: Apache-2.0 */
/* reply_conf.h - what may be written about rate-limit headers and error bodies. */
#ifndef SLUICE_REPLY_CONF_H
#define SLUICE_REPLY_CONF_H

#include "config/config_load.h"
#include "reply/reply.h"

/* Fills a struct reply_headers. */
extern const struct config_table REPLY_CONF;

/* What "errors" says.  Owner: the plan's draft. */
struct reply_errors_conf {
    struct span fallback; /* the dialect of routes that name none */
    bool with_xml;
    struct config_items dialects; /* struct reply_dialect_conf */
};
extern const struct config_table REPLY_CONF_ERRORS;

#endif
