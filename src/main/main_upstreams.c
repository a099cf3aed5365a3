/* SPDX-License-Identifier: Apache-2.0 */
/* main_upstreams.c - `sluice upstreams`: how the servers stand, and orders about one, through the running instance.  Takes: the words of
 * the command line.  Gives: a request to the admin socket, and its answer for people. */
#include <stdio.h>
#include <string.h>

#include "admin/admin_query.h"
#include "admin/admin_upstreams_text.h"
#include "main/main_exit.h"
#include "main/main_instance.h"
#include "main/main_verbs.h"

#define TIMEOUT_US 12000000
#define WORD_MAX   512 /* of a name; each byte may become three */
#define PATH_BYTES (128 + 3 * WORD_MAX)

static const char *const ORDERS[] = {"drain", "ready", "down"};

static int usage(const char *what)
{
    fprintf(stderr, "sluice: %s; `sluice upstreams --help` tells more\n", what);
    return MAIN_EXIT_USAGE;
}

static int ask(const struct main_options *options, const char *method, const char *path)
{
    return main_instance_run(options, method, path, TIMEOUT_US, admin_upstreams_text,
                             main_instance_exit);
}

static int show(const struct main_options *options)
{
    char path[PATH_BYTES], *at = path;
    const char *name = options->word_count == 0 ? "" : options->words[0];
    if (options->word_count > 1)
        return usage("one upstream at a time, or drain, ready or down and UPSTREAM/SERVER");
    if ((options->given & MAIN_OPTION_FORCE) != 0)
        return usage("--force belongs to drain and down");
    if (strlen(name) > WORD_MAX)
        return usage("a name is longer than 512 bytes");
    at += sprintf(at, "/v1/upstreams?upstream=");
    *admin_query_escape(at, span_of(name)) = '\0';
    return ask(options, "GET", path);
}

/* The address of a Unix socket has slashes, the name of an upstream has none: the first one divides. */
static int order(const struct main_options *options, const char *verb)
{
    char path[PATH_BYTES], *at = path;
    const struct span names = span_of(options->word_count < 2 ? "" : options->words[1]);
    const size_t slash = span_find(names, '/');
    if (slash == 0 || slash + 1 >= names.len)
        return usage("UPSTREAM/SERVER is needed, such as app/10.0.0.7:9000");
    if (names.len > WORD_MAX)
        return usage("a name is longer than 512 bytes");
    at += sprintf(at, "/v1/upstreams/");
    at = admin_query_escape(at, (struct span){names.ptr, slash});
    *at++ = '/';
    at = admin_query_escape(at, (struct span){names.ptr + slash + 1, names.len - slash - 1});
    sprintf(at, ":%s%s", verb, (options->given & MAIN_OPTION_FORCE) != 0 ? "?force=1" : "");
    return ask(options, "POST", path);
}

int main_verb_upstreams(const struct main_options *options)
{
    for (size_t i = 0; i < sizeof(ORDERS) / sizeof(ORDERS[0]); i++)
        if (options->word_count > 0 && strcmp(options->words[0], ORDERS[i]) == 0)
            return order(options, ORDERS[i]);
    return show(options);
}
