/* SPDX-License-Identifier: Apache-2.0 */
/* main_logtool.c - the verbs that read access logs.  Never: asks a running instance, or a store. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "logtool/logtool_replay.h"
#include "logtool/logtool_report.h"
#include "logtool/logtool_verify.h"
#include "main/main_exit.h"
#include "main/main_verbs.h"

static int no_files(const char *verb)
{
    fprintf(stderr,
            "sluice: name the access logs, or \"-\" for the standard input; `sluice %s --help` "
            "tells more\n",
            verb);
    return MAIN_EXIT_USAGE;
}

/* A configuration, when one is named. */
static int open_plan(struct main_verb_plan *file, const struct main_options *options)
{
    if (options->file == NULL) {
        *file = (struct main_verb_plan){0};
        return MAIN_EXIT_OK;
    }
    int exit_code = main_verb_plan_open(file, options);
    if (file->plan == NULL && file->report.text != NULL)
        fputs(file->report.text, stderr);
    return exit_code;
}

/* ERR_LIMIT: `limit` says more than `why`, which is empty unless the reading has failed. */
static int read_failed(enum err err, const char *why, const char *limit)
{
    const char *text = err == ERR_LIMIT && limit != NULL ? limit
                       : why[0] != '\0'                  ? why
                                                         : err_sentence(err);
    fprintf(stderr, "sluice: %s\n", text);
    return err == ERR_SYSTEM || err == ERR_INVALID ? MAIN_EXIT_UNAVAILABLE : MAIN_EXIT_INTERNAL;
}

int main_verb_verify(const struct main_options *options)
{
    static const int exits[] = {
        [LOGTOOL_CLEAN] = MAIN_EXIT_OK,
        [LOGTOOL_INCOMPLETE] = MAIN_EXIT_NO,
        [LOGTOOL_EXCESS] = MAIN_EXIT_NO,
        [LOGTOOL_NOTHING] = MAIN_EXIT_NO,
    };
    const bool is_json = (options->given & MAIN_OPTION_JSON) != 0;
    struct main_verb_plan file;
    struct logtool_verify verify;
    struct logtool_reading reading;
    enum logtool_verdict verdict;
    char why[LOGTOOL_WHY_MAX] = "";
    if (options->file_count == 0)
        return no_files("verify");
    int exit_code = open_plan(&file, options);
    enum err err = ERR_OK;
    if (exit_code != MAIN_EXIT_OK)
        goto out_plan;
    err = logtool_verify_init(&verify, file.plan);
    if (err == ERR_OK)
        err = logtool_read(&reading, options->files, options->file_count, logtool_verify_take,
                           &verify, why);
    if (err == ERR_OK)
        err = logtool_verify_judge(&verify, &reading, &verdict);
    if (err != ERR_OK) {
        exit_code = read_failed(err, why, verify.limit);
    } else {
        char *text = is_json ? logtool_verify_json(&verify, &reading, verdict)
                             : logtool_verify_text(&verify, &reading, verdict);
        exit_code = main_verb_print(text, exits[verdict]);
        free(text);
    }
    logtool_verify_fini(&verify);
out_plan:
    main_verb_plan_close(&file);
    return exit_code;
}

static int write_output(const char *path, const char *text)
{
    FILE *out = text == NULL ? NULL : fopen(path, "we");
    if (text == NULL)
        return main_verb_print(NULL, MAIN_EXIT_INTERNAL);
    bool is_written = out != NULL && fputs(text, out) >= 0;
    if (out != NULL && fclose(out) != 0)
        is_written = false;
    if (!is_written)
        fprintf(stderr, "sluice: %s cannot be written: %s\n", path, strerror(errno));
    return is_written ? MAIN_EXIT_OK : MAIN_EXIT_UNAVAILABLE;
}

static int show_report(const struct main_options *options, const struct logtool_report *report,
                       const struct logtool_reading *reading)
{
    char *text = (options->given & MAIN_OPTION_HTML) != 0   ? logtool_report_html(report, reading)
                 : (options->given & MAIN_OPTION_JSON) != 0 ? logtool_report_json(report, reading)
                                                            : logtool_report_text(report, reading);
    int exit_code = options->output == NULL ? main_verb_print(text, MAIN_EXIT_OK)
                                            : write_output(options->output, text);
    free(text);
    return exit_code;
}

int main_verb_report(const struct main_options *options)
{
    const unsigned both = MAIN_OPTION_JSON | MAIN_OPTION_HTML;
    struct main_verb_plan file;
    struct logtool_report *report;
    struct logtool_reading reading;
    char why[LOGTOOL_WHY_MAX] = "";
    if (options->file_count == 0)
        return no_files("report");
    if ((options->given & both) == both) {
        fputs("sluice: --json or --html, not both\n", stderr);
        return MAIN_EXIT_USAGE;
    }
    int exit_code = open_plan(&file, options);
    report = exit_code == MAIN_EXIT_OK ? calloc(1, sizeof(*report)) : NULL;
    if (report == NULL) {
        main_verb_plan_close(&file);
        return exit_code != MAIN_EXIT_OK ? exit_code : main_verb_print(NULL, MAIN_EXIT_INTERNAL);
    }
    enum err err = logtool_report_init(report, file.plan);
    if (err == ERR_OK)
        err = logtool_read(&reading, options->files, options->file_count, logtool_report_take,
                           report, why);
    if (err != ERR_OK) {
        exit_code = read_failed(err, why, report->limit);
    } else {
        logtool_report_end(report);
        exit_code = show_report(options, report, &reading);
    }
    logtool_report_fini(report);
    free(report);
    main_verb_plan_close(&file);
    return exit_code;
}

/* With both configurations at hand. */
static int replay_files(const struct main_options *options, const struct plan *old,
                        const struct plan *next)
{
    struct logtool_replay replay;
    struct logtool_reading reading;
    char why[LOGTOOL_WHY_MAX] = "";
    int exit_code;
    enum err err = logtool_replay_init(&replay, old, next);
    if (err == ERR_OK)
        err = logtool_read(&reading, options->files, options->file_count, logtool_replay_take,
                           &replay, why);
    if (err == ERR_OK)
        err = logtool_replay_run(&replay);
    if (err != ERR_OK) {
        exit_code = read_failed(err, why, replay.limit);
    } else {
        char *text = (options->given & MAIN_OPTION_JSON) != 0
                         ? logtool_replay_json(&replay, &reading)
                         : logtool_replay_text(&replay, &reading);
        bool is_proved = logtool_replay_is_proved(&replay);
        exit_code = main_verb_print(text, is_proved ? MAIN_EXIT_OK : MAIN_EXIT_NO);
        free(text);
    }
    logtool_replay_fini(&replay);
    return exit_code;
}

int main_verb_replay(const struct main_options *options)
{
    struct main_options other = *options;
    struct main_verb_plan old, next = {0};
    if (options->file_count == 0)
        return no_files("replay");
    if (options->policy == NULL) {
        fputs("sluice: name the configuration to try with --policy FILE\n", stderr);
        return MAIN_EXIT_USAGE;
    }
    other.file = main_verb_path(options);
    int exit_code = open_plan(&old, &other);
    other.file = options->policy;
    if (exit_code == MAIN_EXIT_OK)
        exit_code = open_plan(&next, &other);
    if (exit_code == MAIN_EXIT_OK)
        exit_code = replay_files(options, old.plan, next.plan);
    main_verb_plan_close(&next);
    main_verb_plan_close(&old);
    return exit_code;
}
