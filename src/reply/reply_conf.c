/* SPDX-License-Identifier: Apache-2.0 */
/* reply_conf.c - takes: the members of "headers" in the file.  Gives: a struct reply_headers. */
#include "reply/reply_conf.h"

#include "reply/reply.h"

/* Word i is bit i of reply_headers.dialects. */
static const char *const dialects[] = {"x-ratelimit", NULL};
static const char *const later_dialects[] = {"ietf", "x-apig", "github", NULL};
static const char *const used_words[] = {"remaining", "consumed", NULL};

_Static_assert(REPLY_X_RATELIMIT == 1u << 0, "the word's place is the bit's");

static const struct config_directive rows[] = {
    {.key = "dialects",
     .type = CONFIG_FLAGS,
     CONFIG_AT(struct reply_headers, dialects),
     .fallback = "[\"x-ratelimit\"]",
     .words = dialects,
     .later = later_dialects,
     .doc = "Which rate-limit headers responses carry; [] for none."},
    {.key = "used",
     .type = CONFIG_CHOICE,
     CONFIG_AT(struct reply_headers, used_is_consumed),
     .fallback = "\"remaining\"",
     .words = used_words,
     .doc =
         "What X-ratelimit-used says: how many requests remain (as documented), or how many were "
         "made."},
};

const struct config_table REPLY_CONF = {
    .title = "Rate-limit headers",
    .noun = "headers",
    CONFIG_ROWS_OF(rows),
    .size = sizeof(struct reply_headers),
};
