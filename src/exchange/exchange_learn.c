/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_learn.c - the project of a token, from the response that issues it.  Takes: head, data and end of a response
 * on a route that learns, as they pass.  Gives: the token's mac with its project to the store.  Never: holds a byte back,
 * keeps the token, looks at more than 64 KiB. */
#include "base/base_log.h"
#include "exchange/exchange_private.h"
#include "identity/identity_token.h"
#include "lease/lease_lookup.h"

/* In the exchange's arena. */
struct exchange_learning {
    uint8_t key[IDENTITY_KEY_BYTES];
    uint64_t length_bytes; /* of the whole body; UINT64_MAX: its end will show */
    size_t len, room;
    char *body;
};

static const metrics_slot RESULT_SLOTS[IDENTITY_TOKEN_RESULTS] = {
    [IDENTITY_TOKEN_GOOD] = METRICS_TOKENS_LEARNED,
    [IDENTITY_TOKEN_NO_PROJECT] = METRICS_TOKENS_NO_PROJECT,
    [IDENTITY_TOKEN_UNREADABLE] = METRICS_TOKENS_UNREADABLE,
};

/* The field's value when it stands there exactly once. */
static struct span only_value(const struct http_head *head, enum http_field_id id, struct span name)
{
    const struct http_field *field = http_head_only(head, id, name);
    return field == NULL ? SPAN_NONE : http_field_value(head, field);
}

/* application/json, whatever its parameters (RFC 8259 section 11 has none that counts). */
static bool is_json(struct span type)
{
    return span_eq_nocase(span_trim((struct span){type.ptr, span_find(type, ';')}),
                          SPAN("application/json"));
}

/* Is the body JSON as it stands, and short enough? */
static bool is_readable(const struct upstream_reading *reading)
{
    const struct http_head *head = &reading->head;
    const struct http_framing *framing = &reading->framing;
    struct span coding = only_value(head, HTTP_FIELD_CONTENT_ENCODING, SPAN("content-encoding"));
    if (http_head_has(head, HTTP_FIELD_CONTENT_ENCODING) &&
        !span_eq_nocase(coding, SPAN("identity")))
        return false;
    if (framing->kind == HTTP_BODY_NONE ||
        (framing->kind == HTTP_BODY_LENGTH && framing->length_bytes > IDENTITY_TOKEN_BODY_MAX))
        return false;
    return is_json(only_value(head, HTTP_FIELD_CONTENT_TYPE, SPAN("content-type")));
}

static void count(struct exchange *x, metrics_slot slot)
{
    metrics_add(x->env->loop->metrics, slot, 1);
}

static struct exchange_learning *begin(struct exchange *x, const struct upstream_reading *reading,
                                       struct span token)
{
    struct exchange_learning *learning = arena_take_zeroed(&x->arena, sizeof(*learning));
    if (learning == NULL || identity_token_mac(x->env->identities, x->snapshot->plan->secret, token,
                                               learning->key) != ERR_OK)
        return NULL;
    bool has_length = reading->framing.kind == HTTP_BODY_LENGTH;
    learning->length_bytes = has_length ? reading->framing.length_bytes : UINT64_MAX;
    learning->room = has_length ? (size_t)learning->length_bytes : IDENTITY_TOKEN_BODY_MAX;
    learning->body = arena_take(&x->arena, learning->room + 1);
    return learning->body == NULL ? NULL : learning;
}

void exchange_learn_head(struct exchange *x, const struct upstream_reading *reading)
{
    const struct http_head *head = &reading->head;
    struct span name = SPAN("x-subject-token");
    unsigned from = 0;
    if (head->status != 201 || http_head_next_named(head, HTTP_FIELD_OTHER, name, &from) == NULL)
        return;
    struct span token = only_value(head, HTTP_FIELD_OTHER, name);
    if (token.len != 0 && is_readable(reading))
        x->learning = begin(x, reading, token);
    if (x->learning == NULL)
        count(x, METRICS_TOKENS_UNREADABLE);
}

void exchange_learn_data(struct exchange *x, struct span data)
{
    struct exchange_learning *learning = x->learning;
    if (data.len > learning->room - learning->len) {
        count(x, METRICS_TOKENS_UNREADABLE);
        x->learning = NULL;
        return;
    }
    memcpy(learning->body + learning->len, data.ptr, data.len);
    learning->len += data.len;
    /* Whoever has all of it may use the token at once. */
    if (learning->len == learning->length_bytes)
        exchange_learn_end(x);
}

void exchange_learn_end(struct exchange *x)
{
    const struct exchange_learning *learning = x->learning;
    struct identity_token token;
    uint64_t now_s = x->env->loop->wall_us / 1000000;
    x->learning = NULL;
    enum identity_token_result result =
        identity_token_read((struct span){learning->body, learning->len}, now_s, &token);
    explicit_bzero(learning->body, learning->len); /* bodies tell more about people than projects */
    if (result != IDENTITY_TOKEN_GOOD) {
        count(x, RESULT_SLOTS[result]);
        return;
    }
    uint64_t most_s = now_s + LEASE_TOKEN_LIFE_S;
    uint64_t until_s = token.until_s < most_s ? token.until_s : most_s;
    bool is_kept = lease_lookup_learn(x->env->lease, learning->key,
                                      (struct span){token.project, token.project_len}, until_s);
    count(x, is_kept ? METRICS_TOKENS_LEARNED : METRICS_TOKENS_FULL);
    if (!is_kept)
        log_warn("a token's project could not be kept: there is no room for more tokens");
}
