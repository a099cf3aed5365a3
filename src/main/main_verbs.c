/* SPDX-License-Identifier: Apache-2.0 */
/* main_verbs.c - see main_verbs.h.  Data goes to stdout, talk to stderr. */
#include "main/main_verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/admin_client.h"
#include "admin/admin_summary.h"
#include "base/base_fmt.h"
#include "config/config_decode.h"
#include "config/config_doc.h"
#include "main/main_bundle.h"
#include "main/main_doctor.h"
#include "main/main_exit.h"
#include "main/main_parent.h"
#include "main/main_user.h"
#include "plan/plan.h"

#define VERB_SOCKET_DEFAULT    "unix:/run/sluice/admin.sock"
#define VERB_STATUS_TIMEOUT_US 5000000
#define VERB_RELOAD_TIMEOUT_US 70000000

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
    const char *fault = main_user_find(&user, plan->user, why);
    if (fault == NULL && user.is_other)
        fault = main_user_prepare(&user, why);
    if (fault != NULL) {
        fprintf(stderr, "warning: /user: %s\n", fault);
        user.is_other = false;
    } else if (main_user_is_missing(&user)) {
        fputs("note: " MAIN_USER_MISSING "\n", stderr);
    }
    main_user_assume(&user);
    check_logs(plan);
    main_user_resume(&user);
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

/* --- verbs that ask the running instance --------------------------------------------------------- */

char *main_verb_socket(const struct main_options *options, uint64_t *file_hash)
{
    struct main_bundle bundle;
    struct config_report report;
    struct config_doc doc;
    char why[256];
    *file_hash = 0;
    /* Behind a socket that was named stands an instance that need not run the default file. */
    if (options->socket != NULL && options->file == NULL)
        return strdup(options->socket);
    if (!main_bundle_read(&bundle, main_verb_path(options), why))
        return strdup(options->socket != NULL ? options->socket : VERB_SOCKET_DEFAULT);
    *file_hash = main_bundle_hash(&bundle);
    config_report_init(&report);
    config_doc_init(&doc, &report, bundle.files[0].text);
    const struct config_node *admin = doc.root == NULL ? NULL : config_find(doc.root, "admin");
    const struct config_node *address = admin == NULL ? NULL : config_find(admin, "address");
    struct span text = span_of(options->socket != NULL ? options->socket : VERB_SOCKET_DEFAULT);
    if (options->socket == NULL && address != NULL && address->kind == CONFIG_KIND_STRING)
        (void)config_decode_text(address->token, &doc.arena, &text);
    char *socket = strndup(text.ptr, text.len);
    config_doc_fini(&doc);
    config_report_fini(&report);
    main_bundle_fini(&bundle);
    return socket;
}

static const int CLIENT_EXITS[] = {
    [ADMIN_CLIENT_OK] = MAIN_EXIT_OK,
    [ADMIN_CLIENT_NOT_RUNNING] = MAIN_EXIT_NOT_RUNNING,
    [ADMIN_CLIENT_PERMISSION] = MAIN_EXIT_PERMISSION,
    [ADMIN_CLIENT_DEADLINE] = MAIN_EXIT_DEADLINE,
    [ADMIN_CLIENT_BROKEN] = MAIN_EXIT_INTERNAL,
};

int main_verb_problem(const struct admin_client_reply *reply, int exit_code)
{
    char *text = admin_summary_problem(reply->body);
    fputs("sluice: ", stderr);
    fputs(text == NULL ? "the answer cannot be understood\n" : text, stderr);
    free(text);
    return reply->status == 401 || reply->status == 403 ? MAIN_EXIT_PERMISSION : exit_code;
}

int main_verb_tell(const struct main_options *options, const struct admin_client_reply *reply,
                   char *(*text_of)(struct span body), int exit_code)
{
    bool is_json = (options->given & MAIN_OPTION_JSON) != 0;
    char *text = is_json ? main_verb_line(reply) : text_of(reply->body);
    if (text != NULL && !is_json && reply->status != 200) {
        fprintf(stderr, "sluice: %s", text);
        exit_code = main_verb_print("", exit_code);
    } else {
        exit_code = main_verb_print(text, exit_code);
    }
    free(text);
    return exit_code;
}

/* What came of asking. */
static int verb_asked(enum admin_client_result result, struct admin_client_reply *reply,
                      const char *why)
{
    if (result != ADMIN_CLIENT_OK)
        fprintf(stderr, "sluice: %s\n", why);
    if (result == ADMIN_CLIENT_OK && (reply->status == 401 || reply->status == 403)) {
        (void)main_verb_problem(reply, MAIN_EXIT_PERMISSION);
        admin_client_reply_fini(reply);
        return MAIN_EXIT_PERMISSION;
    }
    return CLIENT_EXITS[result];
}

int main_verb_ask(const struct main_options *options, const char *method, const char *path,
                  uint64_t timeout_us, struct admin_client_reply *reply, uint64_t *file_hash)
{
    char why[512];
    char *socket = main_verb_socket(options, file_hash);
    if (socket == NULL)
        return main_verb_print(NULL, MAIN_EXIT_INTERNAL);
    enum admin_client_result result =
        admin_client_ask(reply, socket, method, path, timeout_us, why);
    free(socket);
    return verb_asked(result, reply, why);
}

int main_verb_send(const struct main_options *options, const char *path, struct span body,
                   uint64_t timeout_us, struct admin_client_reply *reply)
{
    char why[512];
    uint64_t file_hash;
    char *socket = main_verb_socket(options, &file_hash);
    if (socket == NULL)
        return main_verb_print(NULL, MAIN_EXIT_INTERNAL);
    enum admin_client_result result = admin_client_send(reply, socket, path, body, timeout_us, why);
    free(socket);
    return verb_asked(result, reply, why);
}

int main_verb_follow(const struct main_options *options, const char *path, uint64_t timeout_us,
                     admin_client_line_fn on_line, void *arg, struct admin_client_reply *reply)
{
    char why[512];
    uint64_t file_hash;
    char *socket = main_verb_socket(options, &file_hash);
    if (socket == NULL)
        return main_verb_print(NULL, MAIN_EXIT_INTERNAL);
    enum admin_client_result result =
        admin_client_follow(reply, socket, path, timeout_us, on_line, arg, why);
    if (result != ADMIN_CLIENT_OK)
        fprintf(stderr, "sluice: %s\n", why);
    free(socket);
    return CLIENT_EXITS[result];
}

char *main_verb_line(const struct admin_client_reply *reply)
{
    char *line = malloc(reply->body.len + 2);
    if (line != NULL)
        memcpy(fmt_span(line, reply->body), "\n", 2);
    return line;
}

int main_verb_status(const struct main_options *options)
{
    struct admin_client_reply reply;
    uint64_t file_hash;
    int exit_code =
        main_verb_ask(options, "GET", "/v1/status", VERB_STATUS_TIMEOUT_US, &reply, &file_hash);
    if (exit_code != MAIN_EXIT_OK)
        return exit_code;
    char *text = (options->given & MAIN_OPTION_JSON) != 0 || reply.status != 200
                     ? main_verb_line(&reply)
                     : admin_summary_status(reply.body, file_hash);
    exit_code = main_verb_print(text, reply.status == 200 ? MAIN_EXIT_OK : MAIN_EXIT_INTERNAL);
    free(text);
    admin_client_reply_fini(&reply);
    return exit_code;
}

int main_verb_reload(const struct main_options *options)
{
    struct admin_client_reply reply;
    uint64_t file_hash;
    int exit_code =
        main_verb_ask(options, "POST", "/v1/reload", VERB_RELOAD_TIMEOUT_US, &reply, &file_hash);
    if (exit_code != MAIN_EXIT_OK)
        return exit_code;
    if (reply.status == 409)
        exit_code = MAIN_EXIT_REFUSED;
    else if (reply.status == 504)
        exit_code = MAIN_EXIT_DEADLINE;
    else if (reply.status != 200)
        exit_code = MAIN_EXIT_INTERNAL;
    char *text = (options->given & MAIN_OPTION_JSON) != 0 ? main_verb_line(&reply)
                                                          : admin_summary_reload(reply.body);
    exit_code = main_verb_print(text, exit_code);
    free(text);
    admin_client_reply_fini(&reply);
    return exit_code;
}

int main_verb_order_exit(unsigned status)
{
    if (status == 200)
        return MAIN_EXIT_OK;
    if (status == 409)
        return MAIN_EXIT_REFUSED;
    if (status == 504)
        return MAIN_EXIT_DEADLINE;
    return status == 400 ? MAIN_EXIT_USAGE : MAIN_EXIT_INTERNAL;
}
