/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_rights.c - see store_redis_rights.h. */
#include "store/store_redis_rights.h"

#include <stdio.h>
#include <string.h>

#include "store/store_redis_fault.h"

const struct store_redis_right STORE_REDIS_RIGHTS[] = {
#define RIGHT(rule, where, what, probe) {rule, STORE_REDIS_RIGHT_##where, what, probe},
#include "store/store_redis_rights.def"
#undef RIGHT
};
const unsigned STORE_REDIS_RIGHT_COUNT = sizeof(STORE_REDIS_RIGHTS) / sizeof(STORE_REDIS_RIGHTS[0]);

bool store_redis_right_is_needed(const struct store_redis_right *right,
                                 const struct store_redis_conf *conf, bool is_sentinel)
{
    if (is_sentinel || right->where == STORE_REDIS_RIGHT_SENTINEL)
        return is_sentinel && right->where == STORE_REDIS_RIGHT_SENTINEL;
    if (right->where == STORE_REDIS_RIGHT_DURABLE)
        return conf->is_durable;
    return right->where != STORE_REDIS_RIGHT_CLUSTER || conf->topology == STORE_REDIS_CLUSTER;
}

void store_redis_right_fill(char out[STORE_REDIS_RIGHT_TEXT], const char *text,
                            const struct store_redis_conf *conf)
{
    size_t at = 0;
    while (*text != '\0' && at < STORE_REDIS_RIGHT_TEXT - 1) {
        size_t room = STORE_REDIS_RIGHT_TEXT - at;
        int put = -1;
        if (strncmp(text, "{p}", 3) == 0) {
            put = snprintf(out + at, room, "%.*s", (int)conf->prefix.len, conf->prefix.ptr);
            text += 3;
        } else if (strncmp(text, "{db}", 4) == 0) {
            put = snprintf(out + at, room, "%u", (unsigned)conf->database);
            text += 4;
        } else if (strncmp(text, "{m}", 3) == 0) {
            put = snprintf(out + at, room, "%.*s", (int)conf->master.len, conf->master.ptr);
            text += 3;
        } else {
            out[at++] = *text++;
        }
        if (put > 0)
            at += (size_t)put < room ? (size_t)put : room - 1;
    }
    out[at] = '\0';
}

void store_redis_rights_line(char out[STORE_REDIS_RIGHT_LINE], const struct store_redis_conf *conf,
                             bool is_sentinel)
{
    struct span name = is_sentinel ? conf->sentinel_username : conf->username;
    char rule[STORE_REDIS_RIGHT_TEXT];
    if (name.len == 0)
        name = SPAN("sluice");
    size_t at = (size_t)snprintf(out, STORE_REDIS_RIGHT_LINE, "ACL SETUSER %.*s reset on >PASSWORD",
                                 (int)(name.len < 1024 ? name.len : 1024), name.ptr);
    for (unsigned i = 0; i < STORE_REDIS_RIGHT_COUNT; i++) {
        if (!store_redis_right_is_needed(&STORE_REDIS_RIGHTS[i], conf, is_sentinel))
            continue;
        store_redis_right_fill(rule, STORE_REDIS_RIGHTS[i].rule, conf);
        int put = snprintf(out + at, STORE_REDIS_RIGHT_LINE - at, " %s", rule);
        at += put > 0 && (size_t)put < STORE_REDIS_RIGHT_LINE - at ? (size_t)put : 0;
    }
}

static bool says(struct span text, const char *word)
{
    return memmem(text.ptr, text.len, word, strlen(word)) != NULL;
}

/* Versions word it differently, but only a command is said "to run", and a channel is called so. */
bool store_redis_right_is_missing(const struct store_redis_right *right, struct span error)
{
    if (error.len == 0 || !store_redis_fault_is_noperm(error))
        return false;
    char kind = says(error, "to run") ? '+' : says(error, "channel") ? '&' : '~';
    return right->rule[0] == kind;
}
