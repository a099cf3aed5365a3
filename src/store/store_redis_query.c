/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_query.c - see store_redis_query.h. */
#include "store/store_redis_query.h"

#include "base/base_fmt.h"
#include "store/store_redis_resp.h"

#define COMMAND_MAX                                                                                \
    (6 * STORE_REDIS_RESP_TEXT_MAX(0) + STORE_REDIS_PREFIX_MAX + 1 + STORE_REDIS_QUERY_KEY_MAX +   \
     STORE_REDIS_QUERY_VALUE_MAX + FMT_U64_MAX + 8 + STORE_REDIS_QUERY_SCRIPT_MAX)

static char *put_key(char *out, const struct store_redis *redis, struct span key)
{
    struct span prefix = redis->conf.prefix;
    out = fmt_span(store_redis_resp_length(out, '$', prefix.len + 1 + key.len), prefix);
    *out++ = ':';
    out = fmt_span(out, key);
    return FMT_LIT(out, "\r\n");
}

enum err store_redis_query_write(struct store_redis_wire *wire, const struct store_redis *redis,
                                 const struct store_redis_query *query)
{
    static const struct {
        struct span name;
        unsigned words;
    } verbs[] = {
        [STORE_REDIS_GET] = {{"GET", 3}, 2},
        [STORE_REDIS_HGET] = {{"HGET", 4}, 3},
        [STORE_REDIS_SET] = {{"SET", 3}, 5},
        [STORE_REDIS_EVAL] = {{"EVAL", 4}, 5},
    };
    char command[COMMAND_MAX], number[FMT_U64_MAX];
    bool is_eval = query->verb == STORE_REDIS_EVAL;
    struct span script = is_eval ? span_of(query->script) : SPAN_NONE;
    if (script.len > STORE_REDIS_QUERY_SCRIPT_MAX || query->key.len > STORE_REDIS_QUERY_KEY_MAX ||
        query->value.len > STORE_REDIS_QUERY_VALUE_MAX)
        return ERR_LIMIT;
    char *out = store_redis_resp_length(command, '*', verbs[query->verb].words);
    out = store_redis_resp_text(out, verbs[query->verb].name);
    if (is_eval)
        out = store_redis_resp_text(store_redis_resp_text(out, script), SPAN("1"));
    out = put_key(out, redis, query->key);
    if (query->verb != STORE_REDIS_GET)
        out = store_redis_resp_text(out, query->value);
    if (query->verb == STORE_REDIS_SET) {
        out = store_redis_resp_text(out, SPAN("EX"));
        out = store_redis_resp_text(
            out, (struct span){number, (size_t)(fmt_u64(number, query->ttl_s) - number)});
    }
    return store_redis_wire_add(wire, (struct span){command, (size_t)(out - command)});
}

bool store_redis_query_judge(enum store_redis_verb verb, const struct store_redis_reply *reply,
                             enum store_redis_found *found, struct span *text)
{
    *text = SPAN_NONE;
    *found = STORE_REDIS_UNKNOWN;
    switch ((enum store_redis_type)reply->types[0]) {
    case STORE_REDIS_ERROR:
        if (verb == STORE_REDIS_EVAL)
            *text = store_redis_reply_text(reply, 0);
        return true;
    case STORE_REDIS_NIL:
        *found = STORE_REDIS_NOTHING;
        return verb != STORE_REDIS_SET;
    case STORE_REDIS_STRING:
        *text = store_redis_reply_text(reply, 0);
        *found = STORE_REDIS_VALUE;
        return verb != STORE_REDIS_SET || span_eq(*text, SPAN("OK"));
    default:
        return false;
    }
}
