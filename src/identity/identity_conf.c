/* SPDX-License-Identifier: Apache-2.0 */
/* identity_conf.c - takes: the members of an identity in the file.  Gives: a struct identity.  Never:
 * leaves a header's name in mixed case. */
#include "identity/identity_conf.h"

#include "base/base_ascii.h"
#include "config/config_take.h"
#include "http/http_head.h"

const char *const IDENTITY_CONF_KINDS[] = {
#define KIND(id, spelling, takes_name, is_clear) spelling,
#include "identity/identity_kinds.def"
#undef KIND
    NULL,
};

static const char *const missing_words[] = {
    [IDENTITY_MISSING_IP] = "ip",
    [IDENTITY_MISSING_SKIP] = "skip",
    [IDENTITY_MISSING_REFUSE] = "refuse",
    [IDENTITY_MISSING_SHARED] = "shared",
    NULL,
};

/* A copy in lower case; ptr NULL when out of memory. */
static struct span copy_lower(struct span text, struct arena *arena)
{
    char *copy = arena_take(arena, text.len + 1);
    if (copy == NULL)
        return SPAN_NONE;
    ascii_copy_lower(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return (struct span){copy, text.len};
}

void identity_conf_init(struct identity *identity, struct span name)
{
    *identity = (struct identity){.name = name, .ipv4_prefix = 32, .ipv6_prefix = 64};
}

const char *identity_conf_add_source(struct identity *identity, struct span text,
                                     struct arena *arena)
{
    if (identity->from_count == IDENTITY_SOURCES_MAX)
        return "an identity has at most 8 sources";
    if (span_starts_with(text, SPAN("header:")))
        text = copy_lower(text, arena);
    if (text.ptr == NULL)
        return "out of memory";
    struct identity_source source = {0};
    const char *sentence = identity_source_parse(&source, text);
    if (sentence != NULL)
        return sentence;
    for (unsigned i = 0; i < identity->from_count; i++) {
        const struct identity_source *other = &identity->from[i];
        if (other->kind == source.kind && span_eq(other->name, source.name))
            return "listed twice";
    }
    identity->from[identity->from_count++] = source;
    return NULL;
}

static const char *take_source(const struct config_take *take)
{
    return identity_conf_add_source(take->base, take->text, take->arena);
}

/* What the window is called means something to quotas alone: the plan reads it again. */
static const char *take_unverified(const struct config_take *take)
{
    struct identity_draft *draft = take->base;
    if (draft->unverified_count == IDENTITY_LIMITS_MAX)
        return "a bucket has at most 4 windows";
    draft->unverified[draft->unverified_count++] =
        (struct identity_limit_draft){take->text, take->number};
    return NULL;
}

static const char *const units[] = {"second", "minute", "hour", "day", NULL};

static const char *take_proxy(const struct config_take *take)
{
    struct identity_trust *trust = take->base;
    return config_take_network(take, &trust->nets, &trust->net_count, &trust->trusts_unix);
}

static const char *take_hops(const struct config_take *take)
{
    struct identity_trust *trust = take->base;
    struct span header = SPAN("header:");
    if (span_eq_nocase(take->text, SPAN("x-forwarded-for"))) {
        trust->hops = IDENTITY_HOPS_XFF;
    } else if (span_eq_nocase(take->text, SPAN("forwarded"))) {
        trust->hops = IDENTITY_HOPS_FORWARDED;
    } else if (span_starts_with(take->text, header)) {
        struct span name = copy_lower(
            (struct span){take->text.ptr + header.len, take->text.len - header.len}, take->arena);
        if (name.ptr == NULL)
            return "out of memory";
        if (!http_is_token(name))
            return "not the name of a header";
        trust->hops = IDENTITY_HOPS_HEADER;
        trust->header_name = name;
        trust->header_id = (uint8_t)http_field_id_of(name);
    } else {
        return "expected \"x-forwarded-for\", \"forwarded\" or \"header:NAME\"";
    }
    return NULL;
}

static const char *const hops_words[] = {"x-forwarded-for", "forwarded", "header", NULL};

static const char *const algorithms[] = {
    [IDENTITY_HS256] = "HS256",
    [IDENTITY_RS256] = "RS256",
    [IDENTITY_ES256] = "ES256",
    NULL,
};

static const char *take_audience(const struct config_take *take)
{
    struct identity_key_draft *draft = take->base;
    struct identity_jwt_terms *terms = &draft->terms;
    /* Room for all at the first; texts are written once. */
    struct span *texts = (struct span *)(void *)(uintptr_t)terms->audiences;
    if (take->text.len == 0 || take->text.len > IDENTITY_JWT_TERM_MAX)
        return "an audience has 1 to 1024 bytes";
    for (unsigned i = 0; i < terms->audience_count; i++) {
        if (span_eq(texts[i], take->text))
            return "listed twice";
    }
    if (texts == NULL)
        texts = arena_take(take->arena, take->count * sizeof(*texts));
    if (texts == NULL)
        return "out of memory";
    texts[terms->audience_count++] = take->text;
    terms->audiences = texts;
    return NULL;
}

static const struct config_directive key_rows[] = {
    {.key = "algorithm",
     .type = CONFIG_CHOICE,
     .flags = CONFIG_REQUIRED,
     CONFIG_AT(struct identity_key_draft, algorithm),
     .words = algorithms,
     .doc = "The one algorithm that this key is for, whatever a token says."},
    {.key = "key",
     .type = CONFIG_SECRET,
     .flags = CONFIG_REQUIRED,
     CONFIG_AT(struct identity_key_draft, key),
     .doc = "The shared secret of HS256 (at least 32 bytes), else the public key in PEM."},
    {.key = "kid",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct identity_key_draft, terms.kid),
     .min = 1,
     .max = 256,
     .absent = "any",
     .doc = "Only for tokens whose \"kid\" is this one, and for those that have none."},
    {.key = "issuer",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct identity_key_draft, terms.issuer),
     .min = 1,
     .max = IDENTITY_JWT_TERM_MAX,
     .absent = "any",
     .doc = "Only for tokens whose \"iss\" is this, to the letter."},
    {.key = "audience",
     .type = CONFIG_TEXTS,
     .min = 1,
     .max = IDENTITY_JWT_AUDIENCES,
     .absent = "any",
     .take = take_audience,
     .doc = "Only for tokens whose \"aud\" is one of these, or lists one."},
};

static const struct config_table key_table = {
    .title = "A key of tokens",
    .noun = "key",
    CONFIG_ROWS_OF(key_rows),
    .size = sizeof(struct identity_key_draft),
    .name_key = "kid",
};

static const struct config_directive identity_rows[] = {
    {.key = "from",
     .type = CONFIG_TEXTS,
     .flags = CONFIG_REQUIRED,
     .min = 1,
     .max = IDENTITY_SOURCES_MAX,
     .words = IDENTITY_CONF_KINDS,
     .take = take_source,
     .doc = "Sources, the first one present counts: \"ip\", \"header:NAME\", \"cookie:NAME\", "
            "\"query:NAME\", \"path:NAME\", \"bearer\", \"basic_user\", \"access_key\", "
            "\"jwt:CLAIM\", \"certificate\", \"token_project\", \"host\", \"method\", \"route\"."},
    {.key = "missing",
     .type = CONFIG_CHOICE,
     CONFIG_AT(struct identity, missing),
     .fallback = "\"ip\"",
     .words = missing_words,
     .doc = "When no source is present: count by address, skip the quota, refuse with 401, or one "
            "shared bucket."},
    {.key = "ipv4_prefix",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct identity, ipv4_prefix),
     .fallback = "32",
     .min = 1,
     .max = 32,
     .unit = "bits",
     .doc = "IPv4 addresses with the same first bits are one subject."},
    {.key = "ipv6_prefix",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct identity, ipv6_prefix),
     .fallback = "64",
     .min = 1,
     .max = 128,
     .unit = "bits",
     .doc = "IPv6 addresses with the same first bits are one subject; 64 is one household."},
    {.key = "unverified",
     .type = CONFIG_AMOUNTS,
     .min = 1,
     .max = 2147483647,
     .unit = "requests",
     .words = units,
     .take = take_unverified,
     .pattern = "^[0-9]+ (seconds?|minutes?|hours?|days?)$",
     .absent = "no bucket",
     .doc = "How many requests per window an address may make under names that no server has "
            "accepted from it (with another status than 401 or 403); a name that is rejected is "
            "charged nothing."},
    {.key = "keys",
     .type = CONFIG_LIST,
     CONFIG_AT(struct identity_draft, keys),
     .min = 0,
     .max = IDENTITY_JWT_KEYS_MAX,
     .absent = "none",
     .nested = &key_table,
     .doc = "What \"jwt:CLAIM\" is proven with: a token that none of these keys signed, or that is "
            "not "
            "valid now, is missing."},
    {.key = "leeway",
     .type = CONFIG_DURATION,
     CONFIG_AT(struct identity_draft, leeway_us),
     .fallback = "\"60s\"",
     .min = 0,
     .max = UINT64_C(3600000000),
     .doc =
         "How far the clock of who issues tokens may be off when \"exp\" and \"nbf\" are judged."},
};

const struct config_table IDENTITY_CONF = {
    .title = "An identity",
    .noun = "identity",
    CONFIG_ROWS_OF(identity_rows),
    .size = sizeof(struct identity_draft),
    .has_name = true,
    .name_offset = offsetof(struct identity_draft, identity.name),
};

static const struct config_directive trust_rows[] = {
    {.key = "trusted_proxies",
     .type = CONFIG_TEXTS,
     .min = 0,
     .max = 1024,
     .absent = "none",
     .take = take_proxy,
     .doc = "Networks of the proxies in front whose word about the client's address is believed; "
            "\"unix\" for peers on Unix sockets."},
    {.key = "client_address",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct identity_trust, header_name),
     .fallback = "\"x-forwarded-for\"",
     .min = 1,
     .words = hops_words,
     .take = take_hops,
     .doc = "The one header believed from trusted proxies: \"x-forwarded-for\", \"forwarded\" or "
            "\"header:NAME\"; the rightmost untrusted hop is the client."},
};

const struct config_table IDENTITY_CONF_TRUST = {
    .title = "Trusted proxies",
    .noun = "proxy",
    CONFIG_ROWS_OF(trust_rows),
    .size = sizeof(struct identity_trust),
};
