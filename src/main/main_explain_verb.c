/* SPDX-License-Identifier: Apache-2.0 */
/* main_explain_verb.c - `sluice explain`: the words of the command line, and where the answer goes.  With --live the running
 * instance answers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin_explain.h"
#include "admin/admin_explain_told.h"
#include "main/main_exit.h"
#include "main/main_instance.h"
#include "main/main_verbs.h"

#define LIVE_TIMEOUT_US 12000000

static const struct plan_listener *find_listener(const struct plan *plan, const char *name)
{
    for (unsigned i = 0; i < plan->listener_count; i++) {
        if (name == NULL || span_eq(plan->listeners[i].name, span_of(name)))
            return &plan->listeners[i];
    }
    fprintf(stderr, "sluice: no listener has the name \"%.100s\"\n", name);
    return NULL;
}

static int print(const struct main_options *options, const struct admin_explanation *explanation)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL)
        return main_verb_print(NULL, MAIN_EXIT_INTERNAL);
    if ((options->given & MAIN_OPTION_JSON) != 0)
        admin_explain_json(out, explanation);
    else
        admin_explain_text(out, explanation);
    bool failed = ferror(out) != 0;
    failed = fclose(out) != 0 || failed;
    int exit_code = main_verb_print(failed ? NULL : text, MAIN_EXIT_OK);
    free(text);
    return exit_code;
}

static int explain(const struct main_options *options, const struct plan *plan)
{
    struct admin_explain_request *request = calloc(1, sizeof(*request));
    struct admin_explanation *explanation = calloc(1, sizeof(*explanation));
    const struct plan_listener *listener = find_listener(plan, options->listener);
    const char *address = options->ip != NULL ? options->ip : "127.0.0.1";
    char why[ADMIN_EXPLAIN_WHY] = "out of memory";
    const struct admin_explain_words words = {options->words[0], options->words[1],
                                              options->headers, options->header_count};
    struct ip peer;
    int exit_code = MAIN_EXIT_USAGE;
    if (request == NULL || explanation == NULL) {
        exit_code = main_verb_print(NULL, MAIN_EXIT_INTERNAL);
    } else if (!ip_parse(&peer, span_of(address))) {
        fprintf(stderr, "sluice: \"%.100s\" is not an address\n", address);
    } else if (listener != NULL &&
               !admin_explain_request_make(request, &words, &plan->limits.head, why)) {
        fprintf(stderr, "sluice: %s\n", why);
    } else if (listener != NULL) {
        bool is_done = admin_explain(explanation, plan, listener, request, &peer, NULL);
        exit_code =
            is_done ? print(options, explanation) : main_verb_print(NULL, MAIN_EXIT_INTERNAL);
        admin_explain_fini(explanation);
    }
    if (request != NULL)
        admin_explain_request_fini(request);
    free(request);
    free(explanation);
    return exit_code;
}

/* ---- by the running instance ---- */

static int exit_of(const struct admin_client_reply *reply)
{
    if (reply->status == 200)
        return admin_explain_is_admitted(reply->body) ? MAIN_EXIT_OK : MAIN_EXIT_NO;
    return main_instance_exit(reply->status);
}

static int explain_live(const struct main_options *options)
{
    const struct admin_explain_words words = {options->words[0], options->words[1],
                                              options->headers, options->header_count};
    struct admin_client_reply reply;
    char *body = admin_explain_body(&words, options->ip, options->listener);
    if (body == NULL) {
        fputs("sluice: a request that is not UTF-8 cannot be described to a running instance\n",
              stderr);
        return MAIN_EXIT_USAGE;
    }
    int exit_code =
        main_instance_send(options, "/v1/explain", span_of(body), LIVE_TIMEOUT_US, &reply);
    free(body);
    if (exit_code != MAIN_EXIT_OK)
        return exit_code;
    exit_code = main_instance_tell(options, &reply, admin_explain_told, exit_of(&reply));
    admin_client_reply_fini(&reply);
    return exit_code;
}

int main_verb_explain(const struct main_options *options)
{
    struct main_verb_plan file;
    if (options->word_count != 2) {
        fputs("sluice: explain needs METHOD and URL; `sluice explain --help` tells more\n", stderr);
        return MAIN_EXIT_USAGE;
    }
    if ((options->given & MAIN_OPTION_NOW) != 0)
        return explain_live(options);
    int exit_code = main_verb_plan_open(&file, options);
    if (file.plan == NULL && file.report.text != NULL)
        fputs(file.report.text, stderr);
    if (file.plan != NULL)
        exit_code = explain(options, file.plan);
    main_verb_plan_close(&file);
    return exit_code;
}
