/* SPDX-License-Identifier: Apache-2.0 */
/* identity_jwt.c - see identity_jwt.h.  Never: reads a claim before the signature is proven, or believes the token
 * about which algorithm a key has. */
#include "identity/identity_jwt.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/base_fmt.h"
#include "base/base_parse.h"
#include "base/base_rng.h"
#include "identity/identity_jwt_key.h"

#define JSON_FLAGS JSON_REJECT_DUPLICATES
#define ROOM_BYTES 128                    /* alignment and rounding of three pieces */
#define LAST_S     UINT64_C(253402300799) /* 9999-12-31 */

struct identity_jwt {
    struct identity_jwt_key keys[IDENTITY_JWT_KEYS_MAX];
    unsigned key_count;
    uint64_t leeway_s;
    struct hash_key print;
};

/* header.payload.signature (RFC 7515 section 3.1), still encoded but for the signature. */
struct parts {
    struct span header, payload, text /* what is signed */, signature;
};

struct identity_jwt *identity_jwt_new(uint64_t leeway_s)
{
    struct identity_jwt *jwt = calloc(1, sizeof(*jwt));
    if (jwt == NULL)
        return NULL;
    jwt->leeway_s = leeway_s;
    rng_secret(&jwt->print, sizeof(jwt->print));
    return jwt;
}

void identity_jwt_free(struct identity_jwt *jwt)
{
    for (unsigned i = 0; jwt != NULL && i < jwt->key_count; i++)
        identity_jwt_key_fini(&jwt->keys[i]);
    free(jwt);
}

const char *identity_jwt_add(struct identity_jwt *jwt, enum identity_algorithm algorithm,
                             struct span key, const struct identity_jwt_terms *terms)
{
    if (jwt->key_count == IDENTITY_JWT_KEYS_MAX)
        return "an identity has at most 16 keys";
    const char *sentence = identity_jwt_key_init(&jwt->keys[jwt->key_count], algorithm, key, terms);
    if (sentence == NULL)
        jwt->key_count++;
    return sentence;
}

struct hash_key identity_jwt_print(const struct identity_jwt *jwt)
{
    return jwt->print;
}

/* base64url without padding, into the arena; ptr NULL: it is none, or no memory. */
static struct span decode(struct span text, struct arena *arena)
{
    size_t len;
    char *out = arena_take(arena, PARSE_BASE64URL_MAX(text.len) + 1);
    if (out == NULL || text.len == 0 || !parse_base64url(text, out, &len))
        return SPAN_NONE;
    return (struct span){out, len};
}

static bool split(struct span token, struct parts *parts, struct arena *arena)
{
    size_t first = span_find(token, '.');
    if (first == token.len)
        return false;
    struct span rest = {token.ptr + first + 1, token.len - first - 1};
    size_t second = span_find(rest, '.');
    if (second == rest.len)
        return false;
    parts->header = (struct span){token.ptr, first};
    parts->payload = (struct span){rest.ptr, second};
    parts->text = (struct span){token.ptr, first + 1 + second};
    parts->signature = decode((struct span){rest.ptr + second + 1, rest.len - second - 1}, arena);
    return parts->signature.ptr != NULL;
}

static json_t *load_object(struct span text, struct arena *arena)
{
    struct span json = decode(text, arena);
    json_t *object = json.ptr == NULL ? NULL : json_loadb(json.ptr, json.len, JSON_FLAGS, NULL);
    if (json_is_object(object))
        return object;
    json_decref(object);
    return NULL;
}

static bool is_text(const json_t *json, struct span text)
{
    return json_is_string(json) && json_string_length(json) == text.len &&
           memcmp(json_string_value(json), text.ptr, text.len) == 0;
}

/* May this key have signed a token with such a header?  "crit" names what must be understood, and nothing is
 * (RFC 7515 section 4.1.11). */
static bool is_candidate(const struct identity_jwt_key *key, const json_t *header)
{
    const json_t *kid = json_object_get(header, "kid");
    if (!is_text(json_object_get(header, "alg"), identity_algorithm_name(key->algorithm)))
        return false;
    return kid == NULL || key->terms.kid.len == 0 || is_text(kid, key->terms.kid);
}

static bool is_audience(const struct identity_jwt_terms *terms, const json_t *one)
{
    for (unsigned i = 0; i < terms->audience_count; i++) {
        if (is_text(one, terms->audiences[i]))
            return true;
    }
    return false;
}

/* Was it made by whom and for whom the key says? */
static bool is_meant(const struct identity_jwt_terms *terms, const json_t *payload)
{
    const json_t *audience = json_object_get(payload, "aud");
    if (terms->issuer.len != 0 && !is_text(json_object_get(payload, "iss"), terms->issuer))
        return false;
    bool is_good = terms->audience_count == 0 || is_audience(terms, audience);
    for (size_t i = 0; i < json_array_size(audience); i++)
        is_good = is_good || is_audience(terms, json_array_get(audience, i));
    return is_good;
}

/* The payload, if one of the keys signed it and it is what that key is for; else NULL. */
static json_t *prove(const struct identity_jwt *jwt, const struct parts *parts, struct arena *arena)
{
    json_t *header = load_object(parts->header, arena), *payload = NULL;
    bool is_signed = false, is_good = false;
    if (header == NULL)
        return NULL;
    for (unsigned i = 0; i < jwt->key_count && json_object_get(header, "crit") == NULL; i++) {
        const struct identity_jwt_key *key = &jwt->keys[i];
        if (is_good || !is_candidate(key, header) ||
            !identity_jwt_key_signed(key, parts->text, parts->signature))
            continue;
        if (!is_signed)
            payload = load_object(parts->payload, arena);
        is_signed = true;
        is_good = payload != NULL && is_meant(&key->terms, payload);
    }
    json_decref(header);
    if (is_good)
        return payload;
    json_decref(payload);
    return NULL;
}

/* NumericDate (RFC 7519 section 2): seconds, perhaps with a fraction.  False: something else. */
static bool read_date(const json_t *json, uint64_t *seconds)
{
    double value = json_number_value(json);
    if (!json_is_number(json) || !(value >= 0) || value > (double)LAST_S)
        return false;
    *seconds = (uint64_t)value;
    return true;
}

static bool read_times(const struct identity_jwt *jwt, const json_t *payload,
                       struct identity_claim *out)
{
    const json_t *from = json_object_get(payload, "nbf");
    uint64_t from_s = 0, end_s;
    if (!read_date(json_object_get(payload, "exp"), &end_s) ||
        (from != NULL && !read_date(from, &from_s)))
        return false;
    out->from_s = from_s > jwt->leeway_s ? from_s - jwt->leeway_s : 0;
    out->end_s = end_s + jwt->leeway_s;
    return true;
}

static enum identity_jwt_result read_claim(const json_t *payload, struct span name,
                                           struct arena *arena, struct identity_claim *out)
{
    char number[FMT_U64_MAX + 1], *end = number;
    json_t *value = json_object_getn(payload, name.ptr, name.len);
    struct span text = SPAN_NONE;
    if (json_is_string(value))
        text = (struct span){json_string_value(value), json_string_length(value)};
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        end = fmt_u64(end, (uint64_t)json_integer_value(value));
        text = (struct span){number, (size_t)(end - number)};
    }
    if (text.len == 0 || text.len > IDENTITY_JWT_CLAIM_MAX)
        return IDENTITY_JWT_BAD;
    out->text = arena_copy(arena, text);
    return out->text.ptr == NULL ? IDENTITY_JWT_EXHAUSTED : IDENTITY_JWT_GOOD;
}

enum identity_jwt_result identity_jwt_verify(const struct identity_jwt *jwt, struct span token,
                                             struct span claim, uint64_t now_s, struct arena *arena,
                                             struct identity_claim *out)
{
    struct parts parts;
    if (token.len > IDENTITY_JWT_BYTES_MAX)
        return IDENTITY_JWT_BAD;
    /* All that is decoded has room in here, so that want of memory is told from what is wrong. */
    size_t room_bytes = token.len + ROOM_BYTES;
    char *room = arena == NULL ? NULL : arena_take(arena, room_bytes);
    if (room == NULL)
        return IDENTITY_JWT_EXHAUSTED;
    struct arena decoded;
    arena_init(&decoded, room, room_bytes, 0);
    if (!split(token, &parts, &decoded))
        return IDENTITY_JWT_BAD;
    json_t *payload = prove(jwt, &parts, &decoded);
    enum identity_jwt_result result = IDENTITY_JWT_BAD;
    if (payload != NULL && read_times(jwt, payload, out) && now_s >= out->from_s &&
        now_s < out->end_s)
        result = read_claim(payload, claim, arena, out);
    json_decref(payload);
    return result;
}
