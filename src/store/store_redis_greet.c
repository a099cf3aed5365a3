/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_greet.c - see store_redis_greet.h.  Never puts a password or a fingerprint into a
 * sentence. */
#include "store/store_redis_greet.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_fmt.h"
#include "base/base_hash.h"
#include "base/base_parse.h"
#include "store/store_redis_script.h"
#include "store/store_redis_slots.h"

#define OLDEST_MAJOR 6 /* SET ... EXAT came with 6.2 */
#define OLDEST_MINOR 2
#define ARGUMENTS    8

/* Never sent: the run id is the same for all who ask, so must be its hash.  Any constant will do. */
static const struct hash_key EPOCH_KEY = {0x736c756963650001, 0x65706f6368000001};

struct words {
    const char *argv[ARGUMENTS];
    size_t lens[ARGUMENTS];
    int count;
};

static void say(struct words *words, struct span word)
{
    words->argv[words->count] = word.len == 0 ? "" : word.ptr;
    words->lens[words->count] = word.len;
    words->count++;
}

static void say_script(struct words *words, const char *script)
{
    say(words, SPAN("SCRIPT"));
    say(words, SPAN("LOAD"));
    say(words, span_of(script));
}

static void say_auth(struct words *words, const struct store_redis_conf *conf,
                     enum store_redis_duty duty)
{
    bool is_sentinel = duty == STORE_REDIS_SENTINEL;
    struct span username = is_sentinel ? conf->sentinel_username : conf->username;
    struct span password = is_sentinel ? conf->sentinel_password : conf->password;
    if (password.len == 0)
        return;
    say(words, SPAN("AUTH"));
    if (username.len != 0)
        say(words, username);
    say(words, password);
}

/* What is only asked needs no more than to be let in.  The keys of a cluster's nodes are elsewhere, perhaps: there the
 * heartbeat looks at the secret, on the node that has it. */
static bool is_for(enum store_redis_step step, enum store_redis_duty duty)
{
    if (!store_redis_duty_counts(duty))
        return step == STORE_REDIS_AUTH || step == STORE_REDIS_SETNAME || step == STORE_REDIS_PING;
    return duty == STORE_REDIS_STORE ||
           (step != STORE_REDIS_SELECT && step != STORE_REDIS_SECRET_SET &&
            step != STORE_REDIS_SECRET_GET);
}

/* key and number: room for what is not at hand as text. */
static void say_step(struct words *words, enum store_redis_step step, enum store_redis_duty duty,
                     const struct store_redis_conf *conf, struct span name, struct span key,
                     char number[FMT_U64_MAX])
{
    switch (step) {
    case STORE_REDIS_AUTH:
        say_auth(words, conf, duty);
        break;
    case STORE_REDIS_SELECT:
        if (conf->database == 0)
            break;
        say(words, SPAN("SELECT"));
        say(words, (struct span){number, (size_t)(fmt_u64(number, conf->database) - number)});
        break;
    case STORE_REDIS_SETNAME:
        say(words, SPAN("CLIENT"));
        say(words, SPAN("SETNAME"));
        say(words, name);
        break;
    case STORE_REDIS_INFO:
        say(words, SPAN("INFO"));
        say(words, SPAN("server"));
        break;
    case STORE_REDIS_ROLE:
        say(words, SPAN("ROLE"));
        break;
    case STORE_REDIS_POLICY:
        say(words, SPAN("INFO")); /* CONFIG GET would tell passwords to who may use it */
        say(words, SPAN("memory"));
        break;
    case STORE_REDIS_SECRET_SET:
        if (conf->secret_fingerprint.len == 0)
            break;
        say(words, SPAN("SET"));
        say(words, key);
        say(words, conf->secret_fingerprint);
        say(words, SPAN("NX"));
        say(words, SPAN("EX"));
        say(words, SPAN(STORE_REDIS_SECRET_TTL_S));
        break;
    case STORE_REDIS_SECRET_GET:
        if (conf->secret_fingerprint.len == 0)
            break;
        say(words, SPAN("GET"));
        say(words, key);
        break;
    case STORE_REDIS_LOAD_CHARGE:
        say_script(words, STORE_REDIS_CHARGE_LUA);
        break;
    case STORE_REDIS_LOAD_BEAT:
        say_script(words, STORE_REDIS_BEAT_LUA);
        break;
    case STORE_REDIS_LOAD_SLOTS:
        say_script(words, STORE_REDIS_SLOTS_LUA);
        break;
    case STORE_REDIS_WAIT: /* for no replica: only whether it may be said */
        if (!conf->is_durable)
            break;
        say(words, SPAN("WAIT"));
        say(words, SPAN("0"));
        say(words, SPAN("0"));
        break;
    default:
        say(words, SPAN("PING"));
        break;
    }
}

enum err store_redis_greet_format(enum store_redis_step step, enum store_redis_duty duty,
                                  const struct store_redis_conf *conf, struct span name,
                                  char **command, size_t *len)
{
    char key[STORE_REDIS_PREFIX_MAX + sizeof(STORE_REDIS_SECRET_KEY)];
    char number[FMT_U64_MAX];
    struct words words = {.count = 0};
    char *end = FMT_LIT(fmt_span(key, conf->prefix), STORE_REDIS_SECRET_KEY);
    *command = NULL;
    *len = 0;
    if (!is_for(step, duty))
        return ERR_OK;
    say_step(&words, step, duty, conf, name, (struct span){key, (size_t)(end - key)}, number);
    if (words.count == 0)
        return ERR_OK;
    int bytes = redisFormatCommandArgv(command, words.count, words.argv, words.lens);
    if (bytes < 0)
        return ERR_NOMEM;
    *len = (size_t)bytes;
    return ERR_OK;
}

/* The value of "name:value\r\n" in the text of INFO. */
static struct span info_field(struct span text, struct span name)
{
    while (text.len != 0) {
        size_t line_bytes = span_find(text, '\n');
        struct span line = {text.ptr, line_bytes};
        size_t taken = line_bytes < text.len ? line_bytes + 1 : line_bytes;
        text = (struct span){text.ptr + taken, text.len - taken};
        if (line.len != 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        if (span_starts_with(line, name) && line.len > name.len && line.ptr[name.len] == ':')
            return (struct span){line.ptr + name.len + 1, line.len - name.len - 1};
    }
    return SPAN_NONE;
}

static bool is_old(struct span version)
{
    uint64_t major, minor;
    size_t dot = span_find(version, '.');
    if (dot == version.len || !parse_u64((struct span){version.ptr, dot}, &major))
        return true;
    struct span rest = {version.ptr + dot + 1, version.len - dot - 1};
    if (!parse_u64((struct span){rest.ptr, span_find(rest, '.')}, &minor))
        return true;
    return major < OLDEST_MAJOR || (major == OLDEST_MAJOR && minor < OLDEST_MINOR);
}

static void copy_text(char *out, size_t room, struct span text)
{
    size_t len = text.len < room ? text.len : room - 1;
    if (len != 0)
        memcpy(out, text.ptr, len);
    out[len] = '\0';
}

static const char *judge_info(struct span text, struct store_redis_server *server,
                              char why[STORE_REDIS_WHY_BYTES])
{
    struct span version = info_field(text, SPAN("redis_version"));
    struct span run_id = info_field(text, SPAN("run_id"));
    if (version.len == 0 || run_id.len == 0)
        return "INFO server tells no redis_version and run_id: this is no Redis server";
    copy_text(server->version, sizeof(server->version), version);
    if (is_old(version)) {
        snprintf(why, STORE_REDIS_WHY_BYTES, "its version is %s: %d.%d or newer is needed",
                 server->version, OLDEST_MAJOR, OLDEST_MINOR);
        return why;
    }
    server->epoch = (uint32_t)hash_sip64(EPOCH_KEY, run_id.ptr, run_id.len);
    return NULL;
}

static const char *judge_role(const struct store_redis_reply *reply,
                              char why[STORE_REDIS_WHY_BYTES])
{
    struct span role = store_redis_reply_text(reply, 1);
    if (reply->types[0] != STORE_REDIS_ARRAY || role.len == 0)
        return "ROLE told no role";
    if (span_eq(role, SPAN("master")))
        return NULL;
    snprintf(
        why, STORE_REDIS_WHY_BYTES,
        "its role is \"%.*s\": its master is looked for; standalone, name that in \"servers\" too",
        (int)role.len, role.ptr);
    return why;
}

static const char *judge_sha(const struct store_redis_reply *reply, char sha[STORE_REDIS_SHA_BYTES])
{
    struct span text = store_redis_reply_text(reply, 0);
    if (text.len != STORE_REDIS_SHA_BYTES)
        return "SCRIPT LOAD gave no hash";
    memcpy(sha, text.ptr, STORE_REDIS_SHA_BYTES);
    return NULL;
}

const char *store_redis_greet_judge(enum store_redis_step step, const struct store_redis_conf *conf,
                                    const struct store_redis_reply *reply,
                                    struct store_redis_server *server,
                                    char why[STORE_REDIS_WHY_BYTES])
{
    bool is_error = reply->types[0] == STORE_REDIS_ERROR;
    bool is_optional = step == STORE_REDIS_SETNAME || step == STORE_REDIS_POLICY;
    struct span text = store_redis_reply_text(reply, 0);
    if (is_error && is_optional)
        return NULL;
    if (is_error) {
        store_redis_fault_say(store_redis_fault_of(text), text, why);
        return why;
    }
    switch (step) {
    case STORE_REDIS_AUTH:
    case STORE_REDIS_SELECT:
        return span_eq(text, SPAN("OK")) ? NULL : "AUTH or SELECT was not answered with OK";
    case STORE_REDIS_INFO:
        return judge_info(text, server, why);
    case STORE_REDIS_ROLE:
        return judge_role(reply, why);
    case STORE_REDIS_POLICY:
        copy_text(server->policy, sizeof(server->policy),
                  info_field(text, SPAN("maxmemory_policy")));
        return NULL;
    case STORE_REDIS_SECRET_GET:
        return span_eq(text, conf->secret_fingerprint) ? NULL : STORE_REDIS_OTHER_SECRET;
    case STORE_REDIS_LOAD_CHARGE:
        return judge_sha(reply, server->charge_sha);
    case STORE_REDIS_LOAD_BEAT:
        return judge_sha(reply, server->beat_sha);
    case STORE_REDIS_LOAD_SLOTS:
        return judge_sha(reply, server->slots_sha);
    case STORE_REDIS_PING:
        return span_eq(text, SPAN("PONG")) ? NULL : "PING was not answered with PONG";
    default:
        return NULL;
    }
}
