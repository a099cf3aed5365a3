/* SPDX-License-Identifier: Apache-2.0 */
/* admin_words.h - pieces of what is printed for people of a JSON answer.  Takes: a member's name.  Gives: its text or number,
 * "" or 0 when it is not there; a length of time in its two largest units.  Never: fails. */
#ifndef SLUICE_ADMIN_ADMIN_WORDS_H
#define SLUICE_ADMIN_ADMIN_WORDS_H

#include <jansson.h>
#include <stdio.h>

const char *admin_words_text(const json_t *json, const char *key); /* borrowed from json */
json_int_t admin_words_number(const json_t *json, const char *key);
void admin_words_duration(FILE *out, json_int_t seconds); /* "6d 3h", "41m 23s", "9s" */

#endif
