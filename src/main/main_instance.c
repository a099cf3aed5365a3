/* SPDX-License-Identifier: Apache-2.0 */
/* main_instance.c - see main_instance.h. */
#include "main/main_instance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin_summary.h"
#include "base/base_fmt.h"
#include "config/config_decode.h"
#include "config/config_doc.h"
#include "main/main_bundle.h"
#include "main/main_exit.h"
#include "main/main_verbs.h"

#define INSTANCE_SOCKET_DEFAULT "unix:/run/sluice/admin.sock"

char *main_instance_socket(const struct main_options *options, uint64_t *file_hash)
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
        return strdup(options->socket != NULL ? options->socket : INSTANCE_SOCKET_DEFAULT);
    *file_hash = main_bundle_hash(&bundle);
    config_report_init(&report);
    config_doc_init(&doc, &report, bundle.files[0].text);
    const struct config_node *admin = doc.root == NULL ? NULL : config_find(doc.root, "admin");
    const struct config_node *address = admin == NULL ? NULL : config_find(admin, "address");
    struct span text = span_of(options->socket != NULL ? options->socket : INSTANCE_SOCKET_DEFAULT);
    if (options->socket == NULL && address != NULL && address->kind == CONFIG_KIND_STRING)
        (void)config_decode_text(address->token, &doc.arena, &text);
    char *socket = strndup(text.ptr, text.len);
    config_doc_fini(&doc);
    config_report_fini(&report);
    main_bundle_fini(&bundle);
    return socket;
}

static const int INSTANCE_EXITS[] = {
    [ADMIN_CLIENT_OK] = MAIN_EXIT_OK,
    [ADMIN_CLIENT_NOT_RUNNING] = MAIN_EXIT_NOT_RUNNING,
    [ADMIN_CLIENT_PERMISSION] = MAIN_EXIT_PERMISSION,
    [ADMIN_CLIENT_DEADLINE] = MAIN_EXIT_DEADLINE,
    [ADMIN_CLIENT_BROKEN] = MAIN_EXIT_INTERNAL,
};

/* The reply as it came, and the end of a line.  Malloc'ed; NULL: no memory. */
static char *instance_line(const struct admin_client_reply *reply)
{
    char *line = malloc(reply->body.len + 2);
    if (line != NULL)
        memcpy(fmt_span(line, reply->body), "\n", 2);
    return line;
}

int main_instance_problem(const struct admin_client_reply *reply, int exit_code)
{
    char *text = admin_summary_problem(reply->body);
    fputs("sluice: ", stderr);
    fputs(text == NULL ? "the answer cannot be understood\n" : text, stderr);
    free(text);
    return reply->status == 401 || reply->status == 403 ? MAIN_EXIT_PERMISSION : exit_code;
}

int main_instance_tell(const struct main_options *options, const struct admin_client_reply *reply,
                       char *(*text_of)(struct span body), int exit_code)
{
    bool is_json = (options->given & MAIN_OPTION_JSON) != 0;
    char *text = is_json ? instance_line(reply) : text_of(reply->body);
    if (text != NULL && !is_json && reply->status != 200) {
        fprintf(stderr, "%s%s", admin_summary_has_report(reply->body) ? "" : "sluice: ", text);
    } else {
        exit_code = main_verb_print(text, exit_code);
    }
    free(text);
    return exit_code;
}

/* What came of asking. */
static int instance_asked(enum admin_client_result result, struct admin_client_reply *reply,
                          const char *why)
{
    if (result != ADMIN_CLIENT_OK)
        fprintf(stderr, "sluice: %s\n", why);
    if (result == ADMIN_CLIENT_OK && (reply->status == 401 || reply->status == 403)) {
        (void)main_instance_problem(reply, MAIN_EXIT_PERMISSION);
        admin_client_reply_fini(reply);
        return MAIN_EXIT_PERMISSION;
    }
    return INSTANCE_EXITS[result];
}

int main_instance_ask(const struct main_options *options, const char *method, const char *path,
                      uint64_t timeout_us, struct admin_client_reply *reply, uint64_t *file_hash)
{
    char why[512];
    char *socket = main_instance_socket(options, file_hash);
    if (socket == NULL)
        return main_verb_print(NULL, MAIN_EXIT_INTERNAL);
    enum admin_client_result result =
        admin_client_ask(reply, socket, method, path, timeout_us, why);
    free(socket);
    return instance_asked(result, reply, why);
}

int main_instance_send(const struct main_options *options, const char *path, struct span body,
                       uint64_t timeout_us, struct admin_client_reply *reply)
{
    char why[512];
    uint64_t file_hash;
    char *socket = main_instance_socket(options, &file_hash);
    if (socket == NULL)
        return main_verb_print(NULL, MAIN_EXIT_INTERNAL);
    enum admin_client_result result = admin_client_send(reply, socket, path, body, timeout_us, why);
    free(socket);
    return instance_asked(result, reply, why);
}

int main_instance_follow(const struct main_options *options, const char *path, uint64_t timeout_us,
                         admin_client_line_fn on_line, void *arg, struct admin_client_reply *reply)
{
    char why[512];
    uint64_t file_hash;
    char *socket = main_instance_socket(options, &file_hash);
    if (socket == NULL)
        return main_verb_print(NULL, MAIN_EXIT_INTERNAL);
    enum admin_client_result result =
        admin_client_follow(reply, socket, path, timeout_us, on_line, arg, why);
    if (result != ADMIN_CLIENT_OK)
        fprintf(stderr, "sluice: %s\n", why);
    free(socket);
    return INSTANCE_EXITS[result];
}

static const struct {
    unsigned status;
    int exit_code;
} INSTANCE_STATUSES[] = {
    {200, MAIN_EXIT_OK},          {400, MAIN_EXIT_USAGE},    {401, MAIN_EXIT_PERMISSION},
    {403, MAIN_EXIT_PERMISSION},  {404, MAIN_EXIT_NO},       {409, MAIN_EXIT_NO},
    {413, MAIN_EXIT_USAGE},       {422, MAIN_EXIT_CONFIG},   {431, MAIN_EXIT_USAGE},
    {503, MAIN_EXIT_UNAVAILABLE}, {504, MAIN_EXIT_DEADLINE},
};

int main_instance_exit(unsigned status)
{
    for (size_t i = 0; i < sizeof(INSTANCE_STATUSES) / sizeof(INSTANCE_STATUSES[0]); i++)
        if (INSTANCE_STATUSES[i].status == status)
            return INSTANCE_STATUSES[i].exit_code;
    return MAIN_EXIT_INTERNAL;
}

int main_instance_order_exit(unsigned status)
{
    return status == 409 ? MAIN_EXIT_REFUSED : main_instance_exit(status);
}

int main_instance_run(const struct main_options *options, const char *method, const char *path,
                      uint64_t timeout_us, char *(*text_of)(struct span body),
                      int (*exit_of)(unsigned status))
{
    struct admin_client_reply reply = {0};
    uint64_t file_hash;
    int exit_code = main_instance_ask(options, method, path, timeout_us, &reply, &file_hash);
    if (exit_code != MAIN_EXIT_OK)
        return exit_code;
    exit_code = main_instance_tell(options, &reply, text_of, exit_of(reply.status));
    admin_client_reply_fini(&reply);
    return exit_code;
}
