/* SPDX-License-Identifier: Apache-2.0 */
/* admin_summary.c - answers of the admin socket for people.  Takes: JSON.  Gives: lines that name the
 * thing, say why, and say what to do next. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "admin/admin_client.h"

static const char *text_at(const json_t *json, const char *key)
{
    const char *value = json_string_value(json_object_get(json, key));
    return value == NULL ? "" : value;
}

static json_int_t number_at(const json_t *json, const char *key)
{
    return json_integer_value(json_object_get(json, key));
}

static void put_duration(FILE *out, json_int_t seconds)
{
    if (seconds >= 86400)
        fprintf(out, "%" JSON_INTEGER_FORMAT "d %" JSON_INTEGER_FORMAT "h", seconds / 86400,
                seconds % 86400 / 3600);
    else if (seconds >= 3600)
        fprintf(out, "%" JSON_INTEGER_FORMAT "h %" JSON_INTEGER_FORMAT "m", seconds / 3600,
                seconds % 3600 / 60);
    else if (seconds >= 60)
        fprintf(out, "%" JSON_INTEGER_FORMAT "m %" JSON_INTEGER_FORMAT "s", seconds / 60,
                seconds % 60);
    else
        fprintf(out, "%" JSON_INTEGER_FORMAT "s", seconds);
}

static void put_head(FILE *out, const json_t *json, uint64_t file_hash)
{
    const json_t *config = json_object_get(json, "config");
    const json_t *reload = json_object_get(config, "last_reload");
    char hash[17];
    fprintf(out, "sluice %s  %s  pid %" JSON_INTEGER_FORMAT "  up ", text_at(json, "version"),
            text_at(json, "state"), number_at(json, "pid"));
    put_duration(out, number_at(json, "service_uptime_s"));
    if (number_at(json, "restarts") > 0) {
        fprintf(out, " (restarts %" JSON_INTEGER_FORMAT ", last ", number_at(json, "restarts"));
        put_duration(out, number_at(json, "uptime_s"));
        fprintf(out, " ago: see the error log)");
    }
    fprintf(out, "\nconfiguration %s  generation %" JSON_INTEGER_FORMAT, text_at(config, "file"),
            number_at(config, "generation"));
    snprintf(hash, sizeof(hash), "%016" PRIx64, file_hash);
    if (json_is_true(json_object_get(config, "stale")))
        fprintf(out,
                "  STALE: the reload at %s was refused (run `sluice check`, then `sluice reload`)",
                text_at(reload, "at"));
    else if (file_hash != 0 && strcmp(hash, text_at(config, "hash")) != 0)
        fprintf(out, "  STALE: the file on disk differs (run `sluice reload`)");
    fputc('\n', out);
}

static void put_listen(FILE *out, const json_t *json)
{
    size_t i;
    const json_t *item;
    fprintf(out, "listening");
    json_array_foreach(json_object_get(json, "listen"), i, item)
        fprintf(out, "  %s", text_at(item, "address"));
    fprintf(out, "  %" JSON_INTEGER_FORMAT " workers\n", number_at(json, "workers"));
}

static void put_numbers(FILE *out, const json_t *json)
{
    const json_t *connections = json_object_get(json, "connections");
    const json_t *decisions = json_object_get(json, "decisions");
    fprintf(out,
            "connections %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT
            "  accepted %" JSON_INTEGER_FORMAT "  refused %" JSON_INTEGER_FORMAT
            "  exchanges open %" JSON_INTEGER_FORMAT "\n",
            number_at(connections, "open"), number_at(connections, "max"),
            number_at(connections, "accepted"), number_at(connections, "refused"),
            number_at(json, "exchanges_open"));
    fprintf(out,
            "decisions  allow %" JSON_INTEGER_FORMAT "  refuse %" JSON_INTEGER_FORMAT
            "  without store %" JSON_INTEGER_FORMAT "  no quota %" JSON_INTEGER_FORMAT "\n",
            number_at(decisions, "allow"), number_at(decisions, "refuse"),
            number_at(decisions, "degraded_allow") + number_at(decisions, "degraded_refuse"),
            number_at(decisions, "none") + number_at(decisions, "exempt"));
}

static void put_store(FILE *out, const json_t *json)
{
    const json_t *store = json_object_get(json, "store");
    fprintf(out, "store %s %s  %s", text_at(store, "type"), text_at(store, "address"),
            text_at(store, "state"));
    if (number_at(store, "subjects_max") > 0)
        fprintf(out, "  subjects %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT,
                number_at(store, "subjects"), number_at(store, "subjects_max"));
    if (strcmp(text_at(store, "state"), "up") != 0)
        fprintf(out, "  (requests are decided as on_failure says; is it running, and is the "
                     "address right?)");
    if (number_at(store, "overflowed") > 0)
        fprintf(out,
                "  FULL: %" JSON_INTEGER_FORMAT
                " charges went to a shared bucket (raise store.subjects)",
                number_at(store, "overflowed"));
    fputc('\n', out);
}

static void put_lists(FILE *out, const json_t *json)
{
    size_t i, k;
    const json_t *item, *server;
    json_array_foreach(json_object_get(json, "routes"), i, item)
        fprintf(out,
                "route %s  requests %" JSON_INTEGER_FORMAT "  4xx %" JSON_INTEGER_FORMAT
                "  5xx %" JSON_INTEGER_FORMAT "\n",
                text_at(item, "route"), number_at(item, "requests"), number_at(item, "4xx"),
                number_at(item, "5xx"));
    json_array_foreach(json_object_get(json, "upstreams"), i, item)
    {
        fprintf(out, "upstream %s", text_at(item, "upstream"));
        json_array_foreach(json_object_get(item, "servers"), k, server)
            fprintf(out,
                    "  %s (ok %" JSON_INTEGER_FORMAT ", failed %" JSON_INTEGER_FORMAT
                    ", open %" JSON_INTEGER_FORMAT ")",
                    text_at(server, "server"), number_at(server, "ok"), number_at(server, "failed"),
                    number_at(server, "open"));
        fputc('\n', out);
    }
}

static void put_log(FILE *out, const json_t *json)
{
    const json_t *log = json_object_get(json, "log");
    json_int_t dropped = number_at(log, "dropped");
    fprintf(out, "log %s  lines %" JSON_INTEGER_FORMAT "  dropped %" JSON_INTEGER_FORMAT,
            text_at(log, "access"), number_at(log, "lines"), dropped);
    if (dropped > 0)
        fprintf(out, "  DROPPING: the disk is full, or the reader of the pipe is too slow");
    fputc('\n', out);
}

char *admin_client_status_text(struct span text, uint64_t file_hash)
{
    char *out = NULL;
    size_t len = 0;
    json_t *json = json_loadb(text.ptr, text.len, 0, NULL);
    FILE *file = json_is_object(json) ? open_memstream(&out, &len) : NULL;
    if (file != NULL) {
        put_head(file, json, file_hash);
        put_listen(file, json);
        put_numbers(file, json);
        put_store(file, json);
        put_lists(file, json);
        put_log(file, json);
        if (fclose(file) != 0) {
            free(out);
            out = NULL;
        }
    }
    json_decref(json);
    return out;
}

char *admin_client_reload_text(struct span text)
{
    char *out = NULL;
    size_t len = 0;
    json_t *json = json_loadb(text.ptr, text.len, 0, NULL);
    FILE *file = json_is_object(json) ? open_memstream(&out, &len) : NULL;
    if (file != NULL) {
        if (json_is_true(json_object_get(json, "applied"))) {
            const char *changes = text_at(json, "changes");
            fprintf(file, "reloaded: generation %" JSON_INTEGER_FORMAT " is in force\n%s",
                    number_at(json, "generation"),
                    changes[0] == '\0' ? "nothing changed\n" : changes);
        } else {
            const char *report = text_at(json, "report");
            size_t report_len = strlen(report);
            bool is_open = report_len > 0 && report[report_len - 1] != '\n';
            fprintf(file, "%s%s%s\n", report, is_open ? "\n" : "", text_at(json, "detail"));
        }
        if (fclose(file) != 0) {
            free(out);
            out = NULL;
        }
    }
    json_decref(json);
    return out;
}
