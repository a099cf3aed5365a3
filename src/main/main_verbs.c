/* SPDX-License-Identifier: Apache-2.0 */
/* main_verbs.c - see main_verbs.h.  Data goes to stdout, talk to stderr. */
#include "main/main_verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "main/main_bundle.h"
#include "main/main_doctor.h"
#include "main/main_exit.h"
#include "main/main_parent.h"
#include "main/main_sandbox.h"
#include "main/main_user.h"
#include "plan/plan.h"

int main_verb_print(const char *text, int exit_code)
{
    if (text == NULL) {
        fputs("sluice: out of memory\n", stderr);
        return MAIN_EXIT_INTERNAL;
    }
    if (fputs(text, stdout) < 0 || fflush(stdout) != 0) {
        perror("sluice: stdout");
        return MAIN_EXIT_INTERNAL;
    }
    return exit_code;
}

const char *main_verb_path(const struct main_options *options)
{
    return options->file != NULL ? options->file : main_bundle_default_path();
}

int main_verb_plan_open(struct main_verb_plan *file, const struct main_options *options)
{
    char why[256];
    *file = (struct main_verb_plan){0};
    if (!main_bundle_read(&file->bundle, main_verb_path(options), why)) {
        fprintf(stderr, "sluice: %s (name the configuration with -c FILE)\n", why);
        return MAIN_EXIT_CONFIG;
    }
    file->plan = plan_build(&file->bundle.files[0], main_bundle_fetch, &file->bundle, NULL, 1,
                            &file->report);
    if (file->plan != NULL)
        return MAIN_EXIT_OK;
    bool is_secret = file->report.errors > 0 && file->report.errors == file->report.secret_errors;
    return is_secret ? MAIN_EXIT_UNAVAILABLE : MAIN_EXIT_CONFIG;
}

void main_verb_plan_close(struct main_verb_plan *file)
{
    plan_unref(&file->plan);
    plan_report_fini(&file->report);
    main_bundle_fini(&file->bundle);
}

int main_verb_run(const struct main_options *options)
{
    bool is_off = options->sandbox != NULL && strcmp(options->sandbox, "off") == 0;
    if (options->sandbox != NULL && !is_off && strcmp(options->sandbox, "on") != 0) {
        fprintf(stderr, "sluice: --sandbox is \"on\" or \"off\"\n");
        return MAIN_EXIT_USAGE;
    }
    return main_parent_run(main_verb_path(options), options->line, !is_off);
}

int main_verb_version(const struct main_options *options)
{
    return main_verb_print((options->given & MAIN_OPTION_JSON) != 0
                               ? "{\"version\":\"" SLUICE_VERSION "\"}\n"
                               : "sluice " SLUICE_VERSION "\n",
                           MAIN_EXIT_OK);
}

int main_verb_schema(const struct main_options *options)
{
    (void)options;
    char *schema = plan_schema();
    int exit_code = main_verb_print(schema, MAIN_EXIT_OK);
    free(schema);
    return exit_code;
}

/* --- check --------------------------------------------------------------------------------------- */

static int check_print(const struct main_options *options, const struct main_verb_plan *file,
                       int exit_code)
{
    const struct plan_report *report = &file->report;
    if ((options->given & MAIN_OPTION_JSON) != 0)
        return main_verb_print(report->json, exit_code);
    if (report->text != NULL && report->errors + report->warnings > 0)
        fputs(report->text, stderr);
    if (file->plan == NULL)
        return exit_code;
    if ((options->given & MAIN_OPTION_DUMP) == 0) {
        printf("%s: good\n", file->bundle.files[0].name.ptr);
        return main_verb_print("", exit_code);
    }
    char *dump = plan_dump(file->plan);
    exit_code = main_verb_print(dump, exit_code);
    free(dump);
    return exit_code;
}

/* What a start would find beside the file: told, but no error of the configuration. */
static void check_logs(const struct plan *plan)
{
    const struct {
        const char *pointer;
        struct span target;
    } logs[] = {{"/log/access", plan->log.access}, {"/log/error", plan->log.error}};
    char why[256];
    for (size_t i = 0; i < sizeof(logs) / sizeof(logs[0]); i++) {
        const char *fault = loop_log_target_fault(logs[i].target, why);
        if (fault != NULL)
            fprintf(stderr, "warning: %s: %s\n", logs[i].pointer, fault);
    }
}

/* As the serving process will find it, where that can be known.  Who checks need not be who starts the service, so that root
 * does it is told, but is no warning. */
static void check_machine(const struct plan *plan)
{
    struct main_user user;
    char why[512];
    const char *fault = main_user_find(&user, plan->user, main_sandbox_is_possible(), why);
    if (fault == NULL && user.is_other)
        fault = main_user_prepare(&user, why);
    if (fault != NULL) {
        fprintf(stderr, "warning: /user: %s\n", fault);
        user.is_other = user.is_bare = false;
    } else if (main_user_is_missing(&user)) {
        fputs("note: " MAIN_USER_MISSING "\n", stderr);
    }
    bool was_bared = main_user_assume_child(&user);
    check_logs(plan);
    main_user_resume_child(&user, was_bared);
}

int main_verb_check(const struct main_options *options)
{
    struct main_verb_plan file;
    int exit_code = main_verb_plan_open(&file, options);
    if (file.plan != NULL)
        check_machine(file.plan);
    bool is_acl = file.plan != NULL && (options->given & MAIN_OPTION_ACL) != 0;
    bool is_live = file.plan != NULL && (options->given & MAIN_OPTION_LIVE) != 0;
    if (is_acl)
        exit_code = main_doctor_acl(file.plan);
    else if (is_live && file.report.text != NULL)
        fputs(file.report.text, stderr);
    if (is_live && !is_acl)
        exit_code = main_doctor_run(file.plan, (options->given & MAIN_OPTION_JSON) != 0);
    else if (!is_acl && file.bundle.count != 0)
        exit_code = check_print(options, &file, exit_code);
    main_verb_plan_close(&file);
    return exit_code;
}
