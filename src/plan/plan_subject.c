/* SPDX-License-Identifier: Apache-2.0 */
/* plan_subject.c - see plan_subject.h. */
#include "plan/plan_subject.h"

#include "base/base_fmt.h"
#include "base/base_parse.h"
#include "identity/identity_conf.h"
#include "identity/identity_subject.h"

#define ARENA_BYTES_MAX (1 << 20)
#define PARTS_MAX       QUOTA_KEY_MAX

static const char TOO_MANY[] = "too many quotas may count it: name one with --quota";
static const char NO_MEMORY[] = "out of memory";

/* What is looked for. */
struct search {
    struct plan_subjects *found;
    const struct plan *plan;
    struct span text;
    struct span only; /* an identity's name or a source, as written before the colon; empty: any */
    const char *fault;
};

static struct span source_text(struct search *search, const struct identity_source *source)
{
    if (source->name.len == 0)
        return span_of(IDENTITY_CONF_KINDS[source->kind]);
    return arena_printf(&search->found->arena, "%s:%.*s", IDENTITY_CONF_KINDS[source->kind],
                        (int)source->name.len, source->name.ptr);
}

static bool is_wanted(const struct search *search, const struct identity *identity,
                      struct span source)
{
    return search->only.len == 0 || span_eq(search->only, identity->name) ||
           span_eq(search->only, source);
}

static struct plan_subject *add(struct search *search, const struct quota *quota,
                                const uint8_t mac[IDENTITY_KEY_BYTES])
{
    struct plan_subjects *found = search->found;
    if (found->count == PLAN_SUBJECTS_MAX) {
        search->fault = TOO_MANY;
        return NULL;
    }
    struct plan_subject *subject = &found->list[found->count++];
    *subject =
        (struct plan_subject){.quota = quota, .identity = &search->plan->identities[quota->key[0]]};
    memcpy(subject->mac, mac, sizeof(subject->mac));
    identity_quota_key(mac, quota->id, subject->key);
    return subject;
}

static struct span mac_text(struct search *search, const uint8_t mac[IDENTITY_KEY_BYTES])
{
    char text[IDENTITY_TEXT_LEN];
    fmt_base64url(text, mac, IDENTITY_KEY_BYTES);
    return arena_copy(&search->found->arena, (struct span){text, sizeof(text)});
}

/* Of a subject with one identity. */
static void set_tier(struct search *search, struct plan_subject *subject, bool is_clear)
{
    const struct quota_tiers *tiers = subject->quota->tiers;
    if (tiers == NULL)
        return;
    subject->tier = quota_tiers_find(tiers, subject->mac);
    if (subject->tier == NULL)
        subject->tier = &tiers->tiers[tiers->otherwise];
    if (tiers->is_live)
        subject->member = is_clear ? subject->shown : mac_text(search, subject->mac);
}

static void try_source(struct search *search, const struct quota *quota,
                       const struct identity_source *source)
{
    const struct identity *identity = &search->plan->identities[quota->key[0]];
    struct identity_value value;
    uint8_t mac[IDENTITY_KEY_BYTES];
    struct span name = source_text(search, source);
    if (!identity_is_clear(source->kind) || !is_wanted(search, identity, name) ||
        identity_subject_value(&value, identity, source, search->text, &search->found->arena) !=
            NULL)
        return;
    if (identity_mac(search->plan->secret, &value, 1, mac) != ERR_OK) {
        search->fault = NO_MEMORY;
        return;
    }
    struct plan_subject *subject = add(search, quota, mac);
    if (subject == NULL)
        return;
    subject->source = name;
    subject->shown = arena_copy(&search->found->arena, value.value);
    set_tier(search, subject, true);
}

/* The 22 characters. */
static bool read_mac(struct span text, uint8_t mac[IDENTITY_KEY_BYTES])
{
    char bytes[PARSE_BASE64URL_MAX(IDENTITY_TEXT_LEN)];
    size_t len;
    if (text.len != IDENTITY_TEXT_LEN || !parse_base64url(text, bytes, &len) ||
        len != IDENTITY_KEY_BYTES)
        return false;
    memcpy(mac, bytes, IDENTITY_KEY_BYTES);
    return true;
}

static void try_hash(struct search *search, const struct quota *quota)
{
    const struct identity *identity = &search->plan->identities[quota->key[0]];
    uint8_t mac[IDENTITY_KEY_BYTES];
    if (!read_mac(search->text, mac) || !is_wanted(search, identity, SPAN("hash")))
        return;
    struct plan_subject *subject = add(search, quota, mac);
    if (subject == NULL)
        return;
    subject->source = SPAN("hash");
    subject->shown = arena_copy(&search->found->arena, search->text);
    set_tier(search, subject, false);
}

/* ---- keys of several identities ---- */

static unsigned split(struct span text, struct span parts[PARTS_MAX])
{
    unsigned count = 0;
    for (;;) {
        size_t comma = span_find(text, ',');
        if (count == PARTS_MAX)
            return 0;
        parts[count++] = (struct span){text.ptr, comma};
        if (comma == text.len)
            return count;
        text = (struct span){text.ptr + comma + 1, text.len - comma - 1};
    }
}

/* The first source shown in clear that can have the value. */
static bool part_value(struct search *search, const struct identity *identity, struct span text,
                       struct identity_value *value)
{
    struct identity_source ip = {.kind = IDENTITY_IP};
    for (unsigned i = 0; i < identity->from_count; i++) {
        const struct identity_source *source = &identity->from[i];
        if (identity_is_clear(source->kind) &&
            identity_subject_value(value, identity, source, text, &search->found->arena) == NULL)
            return true;
    }
    return identity->missing == IDENTITY_MISSING_IP &&
           identity_subject_value(value, identity, &ip, text, &search->found->arena) == NULL;
}

static void try_several(struct search *search, const struct quota *quota)
{
    struct span parts[PARTS_MAX];
    struct identity_value values[IDENTITY_VALUES_MAX];
    uint8_t mac[IDENTITY_KEY_BYTES];
    if (search->only.len != 0 || split(search->text, parts) != quota->key_count)
        return;
    struct plan_subjects *found = search->found;
    const struct quota_tier *tier = NULL;
    for (unsigned i = 0; i < quota->key_count; i++) {
        const struct identity *identity = &search->plan->identities[quota->key[i]];
        if (!part_value(search, identity, parts[i], &values[i]))
            return;
        if (identity_mac(search->plan->secret, &values[i], 1, mac) == ERR_OK &&
            quota->tiers != NULL && tier == NULL)
            tier = quota_tiers_find(quota->tiers, mac);
    }
    if (identity_mac(search->plan->secret, values, quota->key_count, mac) != ERR_OK) {
        search->fault = NO_MEMORY;
        return;
    }
    struct plan_subject *subject = add(search, quota, mac);
    if (subject == NULL)
        return;
    subject->source = SPAN("several");
    subject->shown = arena_copy(&found->arena, search->text);
    if (quota->tiers != NULL)
        subject->tier = tier != NULL ? tier : &quota->tiers->tiers[quota->tiers->otherwise];
}

/* ---- all quotas ---- */

static bool has_mac(const struct plan_subjects *found, const struct quota *quota)
{
    for (unsigned i = 0; i + 1 < found->count; i++) {
        if (found->list[i].quota == quota &&
            memcmp(found->list[i].mac, found->list[found->count - 1].mac, IDENTITY_KEY_BYTES) == 0)
            return true;
    }
    return false;
}

static void try_quota(struct search *search, const struct quota *quota)
{
    static const struct identity_source ip = {.kind = IDENTITY_IP};
    const struct identity *identity = &search->plan->identities[quota->key[0]];
    if (quota->key_count != 1) {
        try_several(search, quota);
        return;
    }
    for (unsigned i = 0; i < identity->from_count; i++)
        try_source(search, quota, &identity->from[i]);
    if (identity->missing == IDENTITY_MISSING_IP && !identity_has_kind(identity, IDENTITY_IP))
        try_source(search, quota, &ip);
    unsigned before = search->found->count;
    try_hash(search, quota);
    if (search->found->count > before && has_mac(search->found, quota))
        search->found->count--;
}

/* Does something before a colon name an identity or a source?  Addresses have colons too. */
static void take_prefix(struct search *search)
{
    struct identity_source source;
    const struct plan *plan = search->plan;
    for (size_t at = search->text.len; at-- > 0;) {
        struct span head = {search->text.ptr, at};
        bool is_name = span_eq(head, SPAN("hash")) || identity_source_parse(&source, head) == NULL;
        if (search->text.ptr[at] != ':')
            continue;
        for (unsigned i = 0; i < plan->identity_count; i++)
            is_name = is_name || span_eq(head, plan->identities[i].name);
        if (!is_name)
            continue;
        search->only = head;
        search->text = (struct span){search->text.ptr + at + 1, search->text.len - at - 1};
        return;
    }
}

const char *plan_subjects_find(struct plan_subjects *subjects, const struct plan *plan,
                               struct span text, struct span quota)
{
    struct search search = {.found = subjects, .plan = plan, .text = text};
    bool has_quota = false;
    subjects->count = 0;
    arena_init(&subjects->arena, NULL, 0, ARENA_BYTES_MAX);
    take_prefix(&search);
    for (unsigned i = 0; i < plan->quota_count && search.fault == NULL; i++) {
        const struct quota *one = &plan->quotas[i];
        if (quota.len != 0 && !span_eq(quota, one->name))
            continue;
        has_quota = true;
        if (one->key_count != 0 && one->limit_count + (one->tiers != NULL) != 0)
            try_quota(&search, one);
    }
    if (search.fault != NULL)
        return search.fault;
    if (!has_quota)
        return quota.len != 0 ? "no quota has this name" : "there is no quota";
    return subjects->count != 0 ? NULL
                                : "no quota counts by an identity that is shown in clear and can "
                                  "have this value, and "
                                  "it is no 22 characters of a log line";
}

void plan_subjects_fini(struct plan_subjects *subjects)
{
    arena_fini(&subjects->arena);
    subjects->count = 0;
}
