/* SPDX-License-Identifier: Apache-2.0 */
/* main_doctor.c - `sluice doctor`, `check --live` and `check --acl`: the store that a configuration names.  Takes: a plan.
 * Gives: what is good and what is not, with what to do about it.  Changes nothing. */
#include "main/main_doctor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/base_fmt.h"
#include "main/main_exit.h"
#include "store/store_redis_probe.h"
#include "store/store_redis_rights.h"

int main_doctor_acl(const struct plan *plan)
{
    char line[STORE_REDIS_RIGHT_LINE];
    if (plan->store_is_memory) {
        fputs("sluice: the store is in memory: there is no Redis user\n", stderr);
        return MAIN_EXIT_NO;
    }
    store_redis_rights_line(line, &plan->redis, false);
    if (plan->redis.username.len == 0)
        fputs(
            "note: the configuration names no user; with this one set \"username\": \"sluice\" in "
            "\"store\"\n",
            stderr);
    fputs("note: put the password in place of PASSWORD\n", stderr);
    puts(line);
    if (plan->redis.topology == STORE_REDIS_SENTINELS) {
        store_redis_rights_line(line, &plan->redis, true);
        fputs("note: the second line is for the sentinels\n", stderr);
        puts(line);
    }
    return main_verb_print("", MAIN_EXIT_OK);
}

static void add(struct store_redis_findings *findings, enum store_redis_finding_level level,
                const char *check, const char *text)
{
    struct store_redis_finding *finding = &findings->list[findings->count++];
    findings->warnings += level == STORE_REDIS_WARNING;
    findings->problems += level == STORE_REDIS_PROBLEM;
    finding->level = level;
    finding->check = check;
    snprintf(finding->text, sizeof(finding->text), "%s", text);
}

/* The folder of the state file must take a new file beside it. */
static bool may_save(const char *path, char folder[1024])
{
    snprintf(folder, 1024, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash == folder)
        slash++;
    if (slash != NULL)
        *slash = '\0';
    else
        snprintf(folder, 1024, ".");
    return access(folder, W_OK | X_OK) == 0;
}

static void look_at_memory_store(struct store_redis_findings *findings, const struct plan *plan)
{
    char text[STORE_REDIS_FINDING_TEXT], folder[1024];
    struct stat status;
    findings->is_reached = true;
    snprintf(text, sizeof(text), "in memory, for %u subjects", (unsigned)plan->store_subjects);
    add(findings, STORE_REDIS_FINE, "store", text);
    const char *path = plan->store_state_file.ptr;
    if (plan->store_state_file.len == 0) {
        add(findings, STORE_REDIS_WARNING, "state",
            "no state_file: all counters begin anew when the service is started again");
        return;
    }
    errno = 0;
    if (stat(path, &status) == 0)
        snprintf(text, sizeof(text), "%.200s: %lld bytes, saved %lld s ago", path,
                 (long long)status.st_size, (long long)(time(NULL) - status.st_mtime));
    else
        snprintf(text, sizeof(text), "%.200s: %s", path,
                 errno == ENOENT ? "not written yet" : strerror(errno));
    bool is_fine = errno == ENOENT || access(path, R_OK) == 0;
    add(findings, is_fine ? STORE_REDIS_FINE : STORE_REDIS_PROBLEM, "state", text);
    if (!may_save(path, folder)) {
        snprintf(text, sizeof(text), "%.200s cannot be written to by uid %u: %s", folder,
                 (unsigned)getuid(), strerror(errno));
        add(findings, STORE_REDIS_WARNING, "state", text);
    }
}

static void put_json_text(const char *text)
{
    char out[6 * STORE_REDIS_FINDING_TEXT + 1] = "";
    bool cut = false, bytes = false;
    char *end = fmt_json_text(out, out + sizeof(out) - 1, span_of(text), &cut, &bytes);
    printf("\"%.*s\"", (int)(end - out), out);
}

/* It may be an error of Redis, and what that says is nobody's to trust. */
static void put_clean_text(const char *text)
{
    char out[FMT_CLEAN_TIMES * STORE_REDIS_FINDING_TEXT + 1];
    const char *end = fmt_clean(out, out + sizeof(out), span_of(text));
    printf("%.*s\n", (int)(end - out), out);
}

static void put_findings(const struct store_redis_findings *findings, bool is_json,
                         const char *type)
{
    static const char *const names[] = {"ok", "warning", "error"};
    if (is_json)
        printf("{\"store\":\"%s\",\"errors\":%u,\"warnings\":%u,\"checks\":[", type,
               findings->problems, findings->warnings);
    for (unsigned i = 0; i < findings->count; i++) {
        const struct store_redis_finding *one = &findings->list[i];
        if (!is_json) {
            printf("%-8s %-12s ", names[one->level], one->check);
            put_clean_text(one->text);
            continue;
        }
        printf("%s{\"check\":\"%s\",\"level\":\"%s\",\"text\":", i == 0 ? "" : ",", one->check,
               names[one->level]);
        put_json_text(one->text);
        putchar('}');
    }
    if (is_json)
        fputs("]}\n", stdout);
}

int main_doctor_run(const struct plan *plan, bool is_json)
{
    struct store_redis_findings *findings = calloc(1, sizeof(*findings));
    enum err err = findings == NULL ? ERR_NOMEM : ERR_OK;
    if (err == ERR_OK && plan->store_is_memory)
        look_at_memory_store(findings, plan);
    else if (err == ERR_OK)
        err = store_redis_probe(findings, &plan->redis);
    if (err != ERR_OK) {
        free(findings);
        return main_verb_print(NULL, MAIN_EXIT_INTERNAL);
    }
    put_findings(findings, is_json, plan->store_is_memory ? "memory" : "redis");
    int exit_code = !findings->is_reached     ? MAIN_EXIT_UNAVAILABLE
                    : findings->problems != 0 ? MAIN_EXIT_NO
                                              : MAIN_EXIT_OK;
    free(findings);
    return main_verb_print("", exit_code);
}

int main_verb_doctor(const struct main_options *options)
{
    struct main_verb_plan file;
    int exit_code = main_verb_plan_open(&file, options);
    if (file.plan == NULL && file.report.text != NULL)
        fputs(file.report.text, stderr);
    if (file.plan != NULL)
        exit_code = main_doctor_run(file.plan, (options->given & MAIN_OPTION_JSON) != 0);
    main_verb_plan_close(&file);
    return exit_code;
}
