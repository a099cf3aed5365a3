/* SPDX-License-Identifier: Apache-2.0 */
/* reply_template.h - bodies with ${variables}, compiled once and written often.  Takes: compact JSON, or plain
 * text.  Gives: literal runs with a value behind each, whose largest size is known before the first is
 * written.  Never: lets a byte of a value stand unescaped.  Pure. */
#ifndef SLUICE_REPLY_TEMPLATE_H
#define SLUICE_REPLY_TEMPLATE_H

#include "base/base_arena.h"
#include "reply/reply.h"

/* The template, with `without` (may be empty) taken out where it occurs.  ${code} becomes prefix "." number.
 * What is in no row of reply_variables.def stays as it is written.  NULL, or why it cannot be used. */
const char *reply_template_json(struct reply_template *template, struct span json,
                                struct span without, struct span prefix, struct arena *arena);
/* The same value as XML: an element for each member, "item" for what stands in an array.  The root is "error", or
 * the only member when that is an object. */
const char *reply_template_xml(struct reply_template *template, struct span json,
                               struct span without, struct span prefix, struct arena *arena);
const char *reply_template_text(struct reply_template *template, struct span text,
                                struct span without, struct span prefix, enum reply_escape escape,
                                struct arena *arena);

/* The text that a JSON string means; false when out of memory. */
bool reply_template_decode(struct span token, struct arena *arena, struct span *text);

/* The next "${name}" of the text at or after `from`: where it begins, its length, and its variable
 * (REPLY_VARIABLES: there is none of this name).  False: there is no further one. */
struct reply_reference {
    size_t off, len;
    enum reply_variable variable;
};
struct span reply_variable_name(enum reply_variable variable);
bool reply_template_next(struct span text, size_t from, struct reply_reference *reference);

/* At most template->max_bytes.  ids (may be NULL): where the request's id was written. */
char *reply_template_write(char *out, const struct reply_template *template,
                           const struct reply_error *error, struct reply_ids *ids);

#endif
