/* SPDX-License-Identifier: Apache-2.0 */
/* admin_summary.c - see admin_summary.h. */
#include "admin/admin_summary.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "admin/admin_words.h"

#define PUT_FOLDED "  not counted by itself: there are too many"

static void put_head(FILE *out, const json_t *json, uint64_t file_hash)
{
    const json_t *config = json_object_get(json, "config");
    const json_t *reload = json_object_get(config, "last_reload");
    char hash[17];
    fprintf(out, "sluice %s  %s  pid %" JSON_INTEGER_FORMAT "  up ",
            admin_words_text(json, "version"), admin_words_text(json, "state"),
            admin_words_number(json, "pid"));
    admin_words_duration(out, admin_words_number(json, "service_uptime_s"));
    if (admin_words_number(json, "restarts") > 0) {
        fprintf(out, " (restarts %" JSON_INTEGER_FORMAT ", last ",
                admin_words_number(json, "restarts"));
        admin_words_duration(out, admin_words_number(json, "uptime_s"));
        fprintf(out, " ago: see the error log)");
    }
    fprintf(out, "\nconfiguration %s  generation %" JSON_INTEGER_FORMAT,
            admin_words_text(config, "file"), admin_words_number(config, "generation"));
    /* What this program has read itself is newer than what the service has seen. */
    snprintf(hash, sizeof(hash), "%016" PRIx64, file_hash);
    bool is_stale = json_is_true(json_object_get(config, "stale"));
    if (file_hash != 0)
        is_stale = strcmp(hash, admin_words_text(config, "hash")) != 0;
    bool was_refused = strcmp(admin_words_text(reload, "result"), "refused") == 0;
    if (is_stale)
        fprintf(out, "  STALE: the file on disk differs (run `sluice diff`)");
    if (was_refused)
        fprintf(out, "%s the reload at %s was refused (run `sluice check`)", is_stale ? ";" : " ",
                admin_words_text(reload, "at"));
    fputc('\n', out);
}

static void put_listen(FILE *out, const json_t *json)
{
    size_t i;
    const json_t *item;
    fprintf(out, "listening");
    json_array_foreach(json_object_get(json, "listen"), i, item)
        fprintf(out, "  %s", admin_words_text(item, "address"));
    fprintf(out, "  %" JSON_INTEGER_FORMAT " workers\n", admin_words_number(json, "workers"));
}

static void put_numbers(FILE *out, const json_t *json)
{
    const json_t *connections = json_object_get(json, "connections");
    const json_t *decisions = json_object_get(json, "decisions");
    fprintf(out,
            "connections %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT
            "  accepted %" JSON_INTEGER_FORMAT "  refused %" JSON_INTEGER_FORMAT
            "  exchanges open %" JSON_INTEGER_FORMAT "\n",
            admin_words_number(connections, "open"), admin_words_number(connections, "max"),
            admin_words_number(connections, "accepted"), admin_words_number(connections, "refused"),
            admin_words_number(json, "exchanges_open"));
    fprintf(out,
            "decisions  allow %" JSON_INTEGER_FORMAT "  refuse %" JSON_INTEGER_FORMAT
            "  without store %" JSON_INTEGER_FORMAT "  no quota %" JSON_INTEGER_FORMAT "\n",
            admin_words_number(decisions, "allow"), admin_words_number(decisions, "refuse"),
            admin_words_number(decisions, "degraded_allow") +
                admin_words_number(decisions, "degraded_refuse"),
            admin_words_number(decisions, "none") + admin_words_number(decisions, "exempt"));
}

static void put_store(FILE *out, const json_t *json)
{
    const json_t *store = json_object_get(json, "store");
    fprintf(out, "store %s %s  %s", admin_words_text(store, "type"),
            admin_words_text(store, "address"), admin_words_text(store, "state"));
    if (admin_words_number(store, "subjects_max") > 0)
        fprintf(out, "  subjects %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT,
                admin_words_number(store, "subjects"), admin_words_number(store, "subjects_max"));
    if (strcmp(admin_words_text(store, "state"), "up") != 0)
        fprintf(out, "  (requests are decided as on_failure says; is it running, and is the "
                     "address right?)");
    if (admin_words_number(store, "overflowed") > 0)
        fprintf(out,
                "  FULL: %" JSON_INTEGER_FORMAT
                " charges went to a shared bucket (raise store.subjects)",
                admin_words_number(store, "overflowed"));
    fputc('\n', out);
}

static void put_upstream(FILE *out, const json_t *json)
{
    size_t i;
    const json_t *server;
    fprintf(out, "upstream %s", admin_words_text(json, "upstream"));
    if (json_is_true(json_object_get(json, "panic")))
        fprintf(out, "  PANIC: so few servers are well that all are used");
    fputc('\n', out);
    json_array_foreach(json_object_get(json, "servers"), i, server)
    {
        const char *reason = admin_words_text(server, "reason");
        fprintf(out, "  %s", admin_words_text(server, "server"));
        if (json_object_get(server, "ok") == NULL)
            fprintf(out, PUT_FOLDED);
        else
            fprintf(out,
                    "  ok %" JSON_INTEGER_FORMAT "  failed %" JSON_INTEGER_FORMAT
                    "  open %" JSON_INTEGER_FORMAT,
                    admin_words_number(server, "ok"), admin_words_number(server, "failed"),
                    admin_words_number(server, "open"));
        if (*reason != '\0')
            fprintf(out, "  LEFT ALONE: %s", reason);
        fputc('\n', out);
    }
}

static void put_route(FILE *out, const json_t *route)
{
    fprintf(out, "route %s", admin_words_text(route, "route"));
    if (json_object_get(route, "requests") == NULL)
        fprintf(out, PUT_FOLDED "\n");
    else
        fprintf(out,
                "  requests %" JSON_INTEGER_FORMAT "  4xx %" JSON_INTEGER_FORMAT
                "  5xx %" JSON_INTEGER_FORMAT "\n",
                admin_words_number(route, "requests"), admin_words_number(route, "4xx"),
                admin_words_number(route, "5xx"));
}

static void put_lists(FILE *out, const json_t *json)
{
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(json, "routes"), i, item) put_route(out, item);
    json_array_foreach(json_object_get(json, "upstreams"), i, item) put_upstream(out, item);
}

static void put_log(FILE *out, const json_t *json)
{
    const json_t *log = json_object_get(json, "log");
    json_int_t dropped = admin_words_number(log, "dropped");
    fprintf(out, "log %s  lines %" JSON_INTEGER_FORMAT "  dropped %" JSON_INTEGER_FORMAT,
            admin_words_text(log, "access"), admin_words_number(log, "lines"), dropped);
    if (dropped > 0)
        fprintf(out, "  DROPPING: the disk is full, or the reader of the pipe is too slow");
    fputc('\n', out);
}

static void put_status(FILE *out, const json_t *json, const void *file_hash)
{
    put_head(out, json, *(const uint64_t *)file_hash);
    put_listen(out, json);
    put_numbers(out, json);
    put_store(out, json);
    put_lists(out, json);
    put_log(out, json);
}

/* Of a problem. */
static void put_report(FILE *out, const json_t *json)
{
    const char *report = admin_words_text(json, "report");
    size_t len = strlen(report);
    bool is_open = len > 0 && report[len - 1] != '\n';
    fprintf(out, "%s%s%s\n", report, is_open ? "\n" : "", admin_words_text(json, "detail"));
}

bool admin_summary_has_report(struct span answer)
{
    json_t *json = json_loadb(answer.ptr, answer.len, 0, NULL);
    bool has_one = admin_words_text(json, "report")[0] != '\0';
    json_decref(json);
    return has_one;
}

static void put_reload(FILE *out, const json_t *json, const void *arg)
{
    (void)arg;
    if (json_is_true(json_object_get(json, "applied"))) {
        const char *changes = admin_words_text(json, "changes");
        fprintf(out, "reloaded: generation %" JSON_INTEGER_FORMAT " is in force\n%s",
                admin_words_number(json, "generation"),
                changes[0] == '\0' ? "nothing changed\n" : changes);
        return;
    }
    put_report(out, json);
}

static void put_diff(FILE *out, const json_t *json, const void *arg)
{
    const char *refused = admin_words_text(json, "refused");
    (void)arg;
    if (json_object_get(json, "same") == NULL) {
        put_report(out, json);
        return;
    }
    if (json_is_true(json_object_get(json, "same"))) {
        fprintf(out, "%s says what runs (generation %" JSON_INTEGER_FORMAT ")\n",
                admin_words_text(json, "file"), admin_words_number(json, "generation"));
        return;
    }
    fprintf(out, "%s would change generation %" JSON_INTEGER_FORMAT ":\n%s",
            admin_words_text(json, "file"), admin_words_number(json, "generation"),
            admin_words_text(json, "changes"));
    if (refused[0] != '\0')
        fprintf(out, "a reload would be refused: %s\n", refused);
}

char *admin_summary_diff(struct span answer)
{
    return admin_words_of(answer, put_diff, NULL);
}

bool admin_summary_is_same(struct span answer)
{
    json_t *json = json_loadb(answer.ptr, answer.len, 0, NULL);
    bool is_same = json_is_true(json_object_get(json, "same"));
    json_decref(json);
    return is_same;
}

static void put_upgrade(FILE *out, const json_t *json, const void *arg)
{
    (void)arg;
    if (json_is_true(json_object_get(json, "upgraded")))
        fprintf(out,
                "upgraded: version %s (before: %s) serves as pid %" JSON_INTEGER_FORMAT
                "; the process before it ends when its requests are finished\n",
                admin_words_text(json, "version"), admin_words_text(json, "from"),
                admin_words_number(json, "pid"));
    else
        fprintf(out, "not upgraded: %s\nThe running program goes on serving.\n",
                admin_words_text(json, "detail"));
}

static void put_drain(FILE *out, const json_t *json, const void *arg)
{
    (void)arg;
    if (json_is_true(json_object_get(json, "drained")))
        fputs("drained: every request was finished, and the service has ended\n", out);
    else
        fprintf(out, "%s\n", admin_words_text(json, "detail"));
}

char *admin_summary_drain(struct span answer)
{
    return admin_words_of(answer, put_drain, NULL);
}

char *admin_summary_upgrade(struct span answer)
{
    return admin_words_of(answer, put_upgrade, NULL);
}

char *admin_summary_status(struct span answer, uint64_t file_hash)
{
    return admin_words_of(answer, put_status, &file_hash);
}

char *admin_summary_reload(struct span answer)
{
    return admin_words_of(answer, put_reload, NULL);
}

static void put_detail(FILE *out, const json_t *json, const void *arg)
{
    (void)arg;
    fprintf(out, "%s\n", admin_words_text(json, "detail"));
}

char *admin_summary_problem(struct span answer)
{
    return admin_words_of(answer, put_detail, NULL);
}

static void put_reopen(FILE *out, const json_t *json, const void *arg)
{
    if (json_object_get(json, "detail") != NULL)
        put_detail(out, json, arg);
    else
        fputs("the log files are open again\n", out);
}

char *admin_summary_reopen(struct span answer)
{
    return admin_words_of(answer, put_reopen, NULL);
}

static void put_level(FILE *out, const json_t *json, const void *arg)
{
    if (json_object_get(json, "detail") != NULL) {
        put_detail(out, json, arg);
        return;
    }
    fprintf(out, "level %s -> %s", admin_words_text(json, "was"), admin_words_text(json, "level"));
    if (admin_words_number(json, "for_s") > 0) {
        fputs(" for ", out);
        admin_words_duration(out, admin_words_number(json, "for_s"));
        fprintf(out, ", then %s", admin_words_text(json, "configured"));
    }
    fputc('\n', out);
}

char *admin_summary_level(struct span answer)
{
    return admin_words_of(answer, put_level, NULL);
}
