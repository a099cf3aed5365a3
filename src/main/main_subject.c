/* SPDX-License-Identifier: Apache-2.0 */
/* main_subject.c - `sluice show`, `reset` and `grant`: one subject, through the running instance.  Takes: the words of the
 * command line.  Gives: a request to the admin socket, and its answer for people. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "admin/admin_query.h"
#include "admin/admin_subject_text.h"
#include "base/base_parse.h"
#include "main/main_exit.h"
#include "main/main_instance.h"
#include "main/main_verbs.h"
#include "store/store_subject.h"

#define TIMEOUT_US 12000000
#define PATH_BYTES 3800
#define WORD_MAX   512 /* of a subject or a quota; each byte may become three */

static int usage(const char *verb, const char *what)
{
    fprintf(stderr, "sluice: %s; `sluice %s --help` tells more\n", what, verb);
    return MAIN_EXIT_USAGE;
}

/* "verb?name=...&quota=..."; false: a word is too long. */
static bool write_path(char out[PATH_BYTES], const struct main_options *options, const char *verb)
{
    const char *quota = options->quota == NULL ? "" : options->quota;
    if (strlen(options->words[0]) > WORD_MAX || strlen(quota) > WORD_MAX)
        return false;
    out += snprintf(out, 64, "/v1/subject%s?name=", verb);
    out = admin_query_escape(out, span_of(options->words[0]));
    out += snprintf(out, 16, "&quota=");
    out = admin_query_escape(out, span_of(quota));
    *out = '\0';
    return true;
}

static int run(const struct main_options *options, const char *verb, const char *method,
               const char *tail)
{
    char path[PATH_BYTES];
    char suffix[16] = "";
    if (options->word_count == 0)
        return usage(verb, "a SUBJECT is needed");
    if (strcmp(verb, "show") != 0)
        snprintf(suffix, sizeof(suffix), ":%s", verb);
    if (!write_path(path, options, suffix))
        return usage(verb, "a name is longer than 512 bytes");
    strncat(path, tail, sizeof(path) - strlen(path) - 1);
    return main_instance_run(options, method, path, TIMEOUT_US, admin_subject_text,
                             main_instance_exit);
}

int main_verb_show(const struct main_options *options)
{
    if (options->word_count > 1)
        return usage("show", "one SUBJECT at a time");
    return run(options, "show", "GET", "");
}

int main_verb_reset(const struct main_options *options)
{
    if (options->word_count > 1)
        return usage("reset", "one SUBJECT at a time");
    return run(options, "reset", "POST", "");
}

int main_verb_grant(const struct main_options *options)
{
    char tail[80];
    uint64_t extra, for_us;
    const char *number = options->word_count == 2 ? options->words[1] : "";
    if (number[0] != '+' || !parse_u64(span_of(number + 1), &extra) || extra > INT32_MAX)
        return usage("grant", "SUBJECT and +N are needed, N at most 2147483647");
    if (options->for_text == NULL || !parse_duration_us(span_of(options->for_text), &for_us) ||
        for_us < 1000000 || for_us % 1000000 != 0 || for_us / 1000000 > STORE_GRANT_S_MAX)
        return usage("grant", "--for needs a time of whole seconds such as 2h, from 1s to 8784h");
    snprintf(tail, sizeof(tail), "&extra=%" PRIu64 "&for=%" PRIu64 "s", extra, for_us / 1000000);
    return run(options, "grant", "POST", tail);
}
