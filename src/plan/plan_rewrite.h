/* SPDX-License-Identifier: Apache-2.0 */
/* plan_rewrite.h - what a route changes of the messages that it passes on.  Takes: rules of the file, compiled at load, and the
 * values of one exchange.  Gives: header lines.  Never: writes a line that a value could break, touches what frames a message
 * (plan_rewrite_refused.def), allocates once it is linked. */
#ifndef SLUICE_PLAN_REWRITE_H
#define SLUICE_PLAN_REWRITE_H

#include "base/base_arena.h"
#include "config/config_load.h"
#include "http/http_prefix.h"
#include "http/http_write.h"

enum plan_rewrite_variable {
#define VARIABLE(id, name, max, is_late, what) PLAN_REWRITE_##id,
#include "plan/plan_rewrite_variables.def"
#undef VARIABLE
    PLAN_REWRITE_VARIABLES
};

/* Of one set of rules; each ${identity:NAME} is a value of its own. */
#define PLAN_REWRITE_IDENTITIES   4
#define PLAN_REWRITE_IDENTITY_MAX 1024 /* bytes */
#define PLAN_REWRITE_VALUES       (PLAN_REWRITE_VARIABLES + PLAN_REWRITE_IDENTITIES)
#define PLAN_REWRITE_LINES_MAX    16384 /* bytes of all lines of one message */
#define PLAN_REWRITE_RULES_MAX    32    /* of "set", of "add" and of "remove" */
#define PLAN_REWRITE_TEXT_MAX     1024  /* bytes of one value as it is written in the file */

/* A literal run and the value behind it. */
struct plan_rewrite_part {
    struct span before;
    /* A variable, or an identity from PLAN_REWRITE_VARIABLES on; PLAN_REWRITE_VALUES: nothing. */
    uint8_t value;
};

struct plan_rewrite_line {
    struct span name;                      /* "X-Client: " */
    const struct plan_rewrite_part *parts; /* the last has no value */
    unsigned part_count;
};

/* Header rules of one direction.  Owner: the plan's arena.  Thread: const once linked. */
struct plan_rewrite_rules {
    struct http_names gone; /* whose lines are not passed on: of "remove", then of "set" */
    unsigned removed_count; /* of gone: those of "remove" */
    const struct plan_rewrite_line *lines; /* of "set", then of "add" */
    unsigned line_count;
    uint32_t needs;                               /* 1u << value */
    uint16_t identities[PLAN_REWRITE_IDENTITIES]; /* indices of the plan's */
    unsigned identity_count;
    size_t max_bytes; /* of all lines */
    bool is_always;   /* responses: also of Sluice's own */
};

/* What is forwarded otherwise than it came.  Owner: the plan's arena.  Thread: const once linked. */
struct plan_rewrite {
    struct http_prefix prefix;
    struct plan_rewrite_rules headers;
};

/* The lines with these values: values[i] is asked for where `needs` has bit i.  A value that is empty, too long, or such
 * that no header can have it as it is (http_is_value), is not there; a line that names values of which none is there is not
 * written.  At most max_bytes; returns the byte after. */
char *plan_rewrite_write(char *out, const struct plan_rewrite_rules *rules,
                         const struct span values[PLAN_REWRITE_VALUES]);
/* The same to be looked at: what the file says between the values is "***" where it has a letter or a digit,
 * never longer than it was, so that max_bytes holds. */
char *plan_rewrite_show(char *out, const struct plan_rewrite_rules *rules,
                        const struct span values[PLAN_REWRITE_VALUES]);

static inline bool plan_rewrite_needs(const struct plan_rewrite_rules *rules, unsigned value)
{
    return (rules->needs >> value & 1) != 0;
}

struct span plan_rewrite_name(enum plan_rewrite_variable variable);
/* The most bytes of a value that are written. */
size_t plan_rewrite_max(unsigned value);

/* As written.  Owner: the plan's draft. */
struct plan_rewrite_header {
    struct span name, text;
};
struct plan_rewrite_draft_rules {
    struct config_items set, add; /* struct plan_rewrite_header */
    struct http_names remove;
    bool is_always;
};
struct plan_rewrite_draft {
    struct http_prefix prefix;
    struct plan_rewrite_draft_rules request, response;
};

/* Fills a struct plan_rewrite_draft. */
extern const struct config_table PLAN_REWRITE;

#endif
