/* SPDX-License-Identifier: Apache-2.0 */
/* admin_upstreams_text.c - see admin_upstreams_text.h. */
#include "admin/admin_upstreams_text.h"

#include <stdbool.h>
#include <string.h>

#include "admin/admin_words.h"

#define NUMBER "%" JSON_INTEGER_FORMAT

static bool has(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    return value != NULL && !json_is_null(value);
}

/* What is missing of a name is not told twice. */
static void put_addresses(FILE *out, const json_t *server)
{
    const json_t *addresses = json_object_get(server, "addresses");
    const char *name = admin_words_text(server, "server"), *join = "  (";
    size_t i;
    const json_t *item;
    json_array_foreach(addresses, i, item)
    {
        const char *address = json_string_value(item);
        if (address == NULL || strcmp(address, name) == 0)
            continue;
        fprintf(out, "%s%s", join, address);
        join = ", ";
    }
    if (join[0] == ',')
        fputc(')', out);
}

static void put_reason(FILE *out, const json_t *server, const char *upstream)
{
    const char *reason = admin_words_text(server, "reason");
    if (*reason == '\0')
        return;
    fprintf(out, "      %s", reason);
    if (has(server, "tried_again_in_s")) {
        fputs("; tried again in ", out);
        admin_words_duration(out, admin_words_number(server, "tried_again_in_s"));
    }
    if (has(server, "ordered_for_s")) {
        fputc(' ', out);
        admin_words_duration(out, admin_words_number(server, "ordered_for_s"));
        fprintf(out, " ago; next: `sluice upstreams ready %s/%s`", upstream,
                admin_words_text(server, "server"));
    }
    fputc('\n', out);
}

static void put_last(FILE *out, const char *what, const json_t *last, const char *said)
{
    fprintf(out, "      last %s ", what);
    admin_words_duration(out, admin_words_number(last, "ago_s"));
    fprintf(out, " ago: %s", said);
    if (has(last, "status"))
        fprintf(out, "%sstatus " NUMBER, *said == '\0' ? "" : ", ",
                admin_words_number(last, "status"));
    fputc('\n', out);
}

static void put_server(FILE *out, const json_t *server, const char *upstream)
{
    const json_t *error = json_object_get(server, "last_error");
    const json_t *check = json_object_get(server, "check");
    const json_int_t weight = admin_words_number(server, "weight");
    fprintf(out, "  %-28s %-10s weight " NUMBER "  in progress " NUMBER "  idle " NUMBER,
            admin_words_text(server, "server"), admin_words_text(server, "state"), weight,
            admin_words_number(server, "in_progress"), admin_words_number(server, "idle"));
    if (!json_is_null(json_object_get(server, "ok"))) /* else it has no numbers of its own */
        fprintf(out, "  ok " NUMBER "  failed " NUMBER, admin_words_number(server, "ok"),
                admin_words_number(server, "failed"));
    if (json_is_true(json_object_get(server, "backup")))
        fputs("  backup", out);
    put_addresses(out, server);
    fputc('\n', out);
    put_reason(out, server, upstream);
    if (json_is_object(error))
        put_last(out, "error", error, admin_words_text(error, "reason"));
    if (json_is_object(check))
        put_last(out, "check", check,
                 json_is_true(json_object_get(check, "good")) ? "good"
                                                              : admin_words_text(check, "reason"));
}

static void put_upstream(FILE *out, const json_t *json)
{
    const json_t *servers = json_object_get(json, "servers");
    const char *name = admin_words_text(json, "upstream");
    size_t i;
    const json_t *server;
    fprintf(out, "upstream %s  " NUMBER " of %zu servers usable", name,
            admin_words_number(json, "usable"), json_array_size(servers));
    if (json_is_true(json_object_get(json, "panic")))
        fputs("  PANIC: so few servers are well that all are used, but for those ordered away",
              out);
    if (json_is_true(json_object_get(json, "empty")))
        fputs("  EMPTY: all are ordered away, and requests are refused", out);
    fputc('\n', out);
    json_array_foreach(servers, i, server) put_server(out, server, name);
}

static void put_order(FILE *out, const json_t *json)
{
    const json_t *server = json_object_get(json, "now");
    const json_int_t in_progress = admin_words_number(server, "in_progress");
    fprintf(out, "%s/%s: %s -> %s", admin_words_text(json, "upstream"),
            admin_words_text(server, "server"), admin_words_text(json, "was"),
            admin_words_text(server, "state"));
    if (strcmp(admin_words_text(json, "done"), "ready") != 0 && in_progress != 0)
        fprintf(out, ", in progress " NUMBER, in_progress);
    fprintf(out, "; " NUMBER " of " NUMBER " servers usable\n", admin_words_number(json, "usable"),
            admin_words_number(json, "servers"));
    put_reason(out, server, admin_words_text(json, "upstream"));
}

static void put(FILE *out, const json_t *json, const void *arg)
{
    size_t i;
    const json_t *item;
    (void)arg;
    if (has(json, "detail"))
        fprintf(out, "%s\n", admin_words_text(json, "detail"));
    else if (has(json, "done"))
        put_order(out, json);
    else
        json_array_foreach(json_object_get(json, "upstreams"), i, item) put_upstream(out, item);
}

char *admin_upstreams_text(struct span answer)
{
    return admin_words_of(answer, put, NULL);
}
