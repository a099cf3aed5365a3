/* SPDX-License-Identifier: Apache-2.0 */
/* admin_words.h - what is printed for people of a JSON answer: its beginning and end, and pieces of it.  Takes: an answer, the
 * names of members.  Gives: text; a member that is not there is "" or 0. */
#ifndef SLUICE_ADMIN_ADMIN_WORDS_H
#define SLUICE_ADMIN_ADMIN_WORDS_H

#include <jansson.h>
#include <stdio.h>

#include "base/base_span.h"

const char *admin_words_text(const json_t *json, const char *key); /* borrowed from json */
json_int_t admin_words_number(const json_t *json, const char *key);
/* In its two largest units: "6d 3h", "41m 23s", "9s". */
void admin_words_duration(FILE *out, json_int_t seconds);

/* All that `print` says of the answer.  Malloc'ed; NULL: it is no JSON object, or there is no memory. */
typedef void (*admin_words_fn)(FILE *out, const json_t *json, const void *arg);
char *admin_words_of(struct span answer, admin_words_fn print, const void *arg);

#endif
