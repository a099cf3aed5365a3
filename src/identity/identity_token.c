/* SPDX-License-Identifier: Apache-2.0 */
/* identity_token.c - see identity_token.h.  Once per token that is issued, so jansson reads it. */
#include "identity/identity_token.h"

#include <jansson.h>
#include <string.h>

#include "base/base_parse.h"

/* A string member; empty when it is none. */
static struct span text_of(const json_t *object, const char *name)
{
    const json_t *text = json_object_get(object, name);
    if (!json_is_string(text))
        return SPAN_NONE;
    return (struct span){json_string_value(text), json_string_length(text)};
}

static bool is_visible(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~')
            return false;
    }
    return text.len != 0;
}

static enum identity_token_result read_token(const json_t *json, uint64_t now_s,
                                             struct identity_token *token)
{
    const json_t *project = json_object_get(json, "project");
    uint64_t until_us;
    if (!json_is_object(json))
        return IDENTITY_TOKEN_UNREADABLE;
    if (project == NULL || json_is_null(project))
        return IDENTITY_TOKEN_NO_PROJECT;
    struct span id = text_of(project, "id");
    if (!is_visible(id) || id.len > sizeof(token->project) ||
        !parse_rfc3339_us(text_of(json, "expires_at"), &until_us))
        return IDENTITY_TOKEN_UNREADABLE;
    token->until_s = until_us / 1000000; /* it ends with the second that it begins to end in */
    if (token->until_s <= now_s)
        return IDENTITY_TOKEN_UNREADABLE;
    memcpy(token->project, id.ptr, id.len);
    token->project_len = id.len;
    return IDENTITY_TOKEN_GOOD;
}

enum identity_token_result identity_token_read(struct span body, uint64_t now_s,
                                               struct identity_token *token)
{
    if (body.len == 0 || body.len > IDENTITY_TOKEN_BODY_MAX)
        return IDENTITY_TOKEN_UNREADABLE;
    json_t *json = json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES, NULL);
    enum identity_token_result result = read_token(json_object_get(json, "token"), now_s, token);
    json_decref(json);
    return result;
}

enum err identity_token_mac(struct identity_cache *cache, const struct identity_secret *secret,
                            struct span token, uint8_t mac[IDENTITY_KEY_BYTES])
{
    /* Beside a name no value of this kind is a project: no subject shares a mac with a token. */
    struct identity_value value = {
        .kind = IDENTITY_TOKEN_PROJECT, .source_name = SPAN("token"), .value = token};
    struct identity_mark mark;
    if (cache == NULL)
        return identity_mac(secret, &value, 1, mac);
    enum err err = identity_cache_mark(cache, secret, &value, 1, &mark);
    if (err == ERR_OK)
        memcpy(mac, mark.mac, IDENTITY_KEY_BYTES);
    return err;
}
