/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_again.c - see exchange_again.h. */
#include "exchange/exchange_again.h"

#include <stdlib.h>
#include <string.h>

#include "base/base_nh.h"
#include "base/base_rng.h"
#include "exchange/exchange_private.h"

#define AGAIN_ENTRIES      64 /* a power of two */
#define AGAIN_FIELDS_MAX   32
#define AGAIN_SUBJECTS_MAX 4
#define AGAIN_CHARGES_MAX  2
#define AGAIN_PAIRS_MAX    (EXCHANGE_AGAIN_BYTES_MAX / NH_BLOCK)
#define AGAIN_NOWHERE      UINT32_MAX

/* Identities whose value follows from the head and the address alone, at any time. */
#define AGAIN_KINDS                                                                                \
    (1U << IDENTITY_IP | 1U << IDENTITY_HEADER | 1U << IDENTITY_COOKIE | 1U << IDENTITY_QUERY |    \
     1U << IDENTITY_BEARER | 1U << IDENTITY_BASIC_USER | 1U << IDENTITY_ACCESS_KEY |               \
     1U << IDENTITY_PATH | 1U << IDENTITY_HOST | 1U << IDENTITY_METHOD | 1U << IDENTITY_ROUTE)

struct again_charge {
    const struct quota *quota; /* the plan's */
    uint8_t key[IDENTITY_KEY_BYTES];
};

struct exchange_again {
    uint64_t tag[4]; /* of the head's bytes */
    const struct plan_listener *listener;
    struct ip peer_ip;
    uint32_t generation;   /* of the plan, which all pointers are into */
    struct http_head head; /* bytes 0: the entry is free */
    struct http_field fields[AGAIN_FIELDS_MAX];
    struct http_framing framing;
    struct http_slice authority, host, path, query; /* off AGAIN_NOWHERE: there is none */
    struct http_hops hops;
    bool is_absolute;
    uint8_t subject_count, charge_count;
    const struct plan_route *route;
    struct exchange_subject subjects[AGAIN_SUBJECTS_MAX];
    struct http_slice values[AGAIN_SUBJECTS_MAX]; /* the same */
    struct again_charge charges[AGAIN_CHARGES_MAX];
};

/* Owner: the worker's env.  Freed by: exchange_again_free.  Thread: the worker's. */
struct exchange_again_memo {
    uint64_t words[NH_KEY_WORDS(AGAIN_PAIRS_MAX)];
    struct hash_key key;   /* of places */
    uint64_t asked_tag[4]; /* of the question with this number */
    uint32_t number;
    struct exchange_again entries[AGAIN_ENTRIES];
};

struct exchange_again_memo *exchange_again_new(void)
{
    struct exchange_again_memo *memo = calloc(1, sizeof(*memo));
    if (memo == NULL)
        return NULL;
    rng_secret(memo->words, sizeof(memo->words));
    rng_secret(&memo->key, sizeof(memo->key));
    return memo;
}

void exchange_again_free(struct exchange_again_memo *memo)
{
    free(memo);
}

/* ---- finding ---- */

/* The time that an answer takes shows which requests share a place.  NH alone could be solved for its key from
 * that; not through the end of a SipHash. */
static struct exchange_again *entry_of(struct exchange_again_memo *memo, const uint64_t tag[4])
{
    return &memo->entries[hash_sip_end(memo->key, tag) % AGAIN_ENTRIES];
}

struct exchange_again *exchange_again_find(struct exchange_env *env, struct span bytes,
                                           const struct plan_listener *listener,
                                           const struct ip *peer_ip, uint32_t *number)
{
    struct exchange_again_memo *memo = env->again;
    uint64_t tag[4];
    *number = 0;
    if (bytes.len < NH_BLOCK || bytes.len > EXCHANGE_AGAIN_BYTES_MAX)
        return NULL;
    nh_fold(memo->words, bytes.ptr, bytes.len, tag);
    struct exchange_again *entry = entry_of(memo, tag);
    bool is_same = ((entry->tag[0] ^ tag[0]) | (entry->tag[1] ^ tag[1]) | (entry->tag[2] ^ tag[2]) |
                    (entry->tag[3] ^ tag[3])) == 0;
    if (is_same && entry->head.bytes == bytes.len && entry->listener == listener &&
        entry->generation == env->snapshot->plan->generation &&
        memcmp(&entry->peer_ip, peer_ip, sizeof(*peer_ip)) == 0)
        return entry;
    memcpy(memo->asked_tag, tag, sizeof(tag));
    memo->number += memo->number == UINT32_MAX ? 2 : 1; /* 0 is nobody's */
    *number = memo->number;
    return NULL;
}

/* ---- using ---- */

static inline struct span span_at(struct http_slice slice, const char *bytes)
{
    if (slice.off == AGAIN_NOWHERE)
        return SPAN_NONE;
    return (struct span){bytes + slice.off, slice.len};
}

const struct http_head *exchange_again_read(struct exchange_again *again, const char *bytes,
                                            struct http_framing *framing,
                                            struct http_target *target)
{
    again->head.base = bytes;
    *framing = again->framing;
    *target = (struct http_target){
        .authority = span_at(again->authority, bytes),
        .host = span_at(again->host, bytes),
        .path = span_at(again->path, bytes),
        .query = span_at(again->query, bytes),
        .is_absolute = again->is_absolute,
    };
    return &again->head;
}

/* A value that is an address stands in the text beside it. */
static void copy_subject(struct exchange_subject *to, const struct exchange_subject *from,
                         struct http_slice value, const char *bytes)
{
    *to = *from;
    if (from->value.value.ptr == from->value.text)
        to->value.value.ptr = to->value.text;
    else
        to->value.value = span_at(value, bytes);
}

bool exchange_again_apply(struct exchange *x, const struct exchange_again *again)
{
    x->subjects =
        arena_take(&x->arena, (again->subject_count + 1U) * sizeof(struct exchange_subject));
    if (x->subjects == NULL)
        return false;
    x->subject_count = again->subject_count;
    for (unsigned i = 0; i < x->subject_count; i++)
        copy_subject(&x->subjects[i], &again->subjects[i], again->values[i], x->head.base);
    x->route = again->route;
    x->judged = x->target.path;
    x->hops = again->hops;
    x->ask.count = again->charge_count;
    for (unsigned i = 0; i < x->ask.count; i++)
        quota_charge_begin(&x->ask.charges[i], again->charges[i].quota, again->charges[i].key,
                           x->route->cost.estimate);
    x->step = EXCHANGE_STEP_DECIDE;
    metrics_add(x->env->loop->metrics, x->route->slot_requests, 1);
    return true;
}

/* ---- learning ---- */

static bool is_plain_request(const struct exchange *x)
{
    return x->has_head && x->framing.kind == HTTP_BODY_NONE && !x->framing.expect_continue &&
           !http_head_has(&x->head, HTTP_FIELD_UPGRADE) && !x->is_trusted && !x->peer_is_unix &&
           x->certificate.len == 0 && x->head.field_count <= AGAIN_FIELDS_MAX &&
           x->fault.id == HTTP_FAULT_NONE && span_eq(x->judged, x->target.path);
}

static bool is_plain_route(const struct plan_route *route)
{
    bool is_plain = !route->has_buckets && !route->looks_up_project && !route->looks_up_members;
    for (unsigned i = 0; i < route->quota_count; i++) {
        const struct quota *quota = route->quotas[i];
        is_plain = is_plain && !quota_has_exempt(quota) && quota->tiers == NULL &&
                   quota->in_flight == 0 && quota->mode != QUOTA_SHADOW && !quota->is_gate;
    }
    return is_plain;
}

static bool is_plain_caller(const struct exchange *x)
{
    bool is_plain = !x->is_exempt && !x->has_claims && x->subject_count <= AGAIN_SUBJECTS_MAX &&
                    x->ask.count <= AGAIN_CHARGES_MAX;
    for (unsigned i = 0; i < x->subject_count && is_plain; i++) {
        const struct exchange_subject *subject = &x->subjects[i];
        const struct identity *identity = &x->snapshot->plan->identities[subject->identity];
        for (unsigned k = 0; k < identity->from_count; k++)
            is_plain = is_plain && (AGAIN_KINDS >> identity->from[k].kind & 1) != 0;
    }
    return is_plain;
}

/* Where in the head it stands.  False: elsewhere. */
static bool place_of(const struct http_head *head, struct span span, struct http_slice *slice)
{
    uintptr_t offset = (uintptr_t)span.ptr - (uintptr_t)head->base;
    *slice = (struct http_slice){AGAIN_NOWHERE, 0};
    if (span.ptr == NULL)
        return true;
    if (offset > head->bytes || span.len > head->bytes - offset)
        return false;
    *slice = (struct http_slice){(uint32_t)offset, (uint32_t)span.len};
    return true;
}

static bool learn_target(struct exchange_again *entry, const struct exchange *x)
{
    entry->is_absolute = x->target.is_absolute;
    return place_of(&x->head, x->target.authority, &entry->authority) &&
           place_of(&x->head, x->target.host, &entry->host) &&
           place_of(&x->head, x->target.path, &entry->path) &&
           place_of(&x->head, x->target.query, &entry->query);
}

/* What logs show is the mark, or for some kinds the value: only then the value is needed again. */
static bool learn_subjects(struct exchange_again *entry, const struct exchange *x)
{
    entry->subject_count = (uint8_t)x->subject_count;
    for (unsigned i = 0; i < x->subject_count; i++) {
        const struct exchange_subject *subject = &x->subjects[i];
        const struct identity_value *value = &subject->value;
        bool is_shown = identity_is_clear(value->kind) && !value->is_shared;
        entry->subjects[i] = *subject;
        entry->values[i] = (struct http_slice){AGAIN_NOWHERE, 0};
        entry->subjects[i].value.value = SPAN_NONE;
        if (subject->result != IDENTITY_FOUND)
            continue;
        if (value->value.ptr == value->text) {
            entry->subjects[i].value.value =
                (struct span){entry->subjects[i].value.text, value->value.len};
            continue;
        }
        if (!subject->has_mark)
            return false;
        if (is_shown && !place_of(&x->head, value->value, &entry->values[i]))
            return false;
    }
    return true;
}

static bool learn(struct exchange_again *entry, const struct exchange *x)
{
    entry->head = x->head;
    entry->head.base = NULL;
    entry->head.fields = entry->fields;
    memcpy(entry->fields, x->head.fields, x->head.field_count * sizeof(struct http_field));
    entry->listener = x->listener;
    entry->peer_ip = x->peer_ip;
    entry->generation = x->snapshot->plan->generation;
    entry->framing = x->framing;
    entry->hops = x->hops;
    entry->route = x->route;
    entry->charge_count = (uint8_t)x->ask.count;
    for (unsigned i = 0; i < x->ask.count; i++) {
        entry->charges[i].quota = x->ask.charges[i].quota;
        memcpy(entry->charges[i].key, x->ask.charges[i].key, IDENTITY_KEY_BYTES);
    }
    return learn_target(entry, x) && learn_subjects(entry, x);
}

void exchange_again_learn(struct exchange *x)
{
    struct exchange_again_memo *memo = x->env->again;
    if (x->again != memo->number || !is_plain_request(x) || !is_plain_route(x->route) ||
        !is_plain_caller(x))
        return;
    struct exchange_again *entry = entry_of(memo, memo->asked_tag);
    memcpy(entry->tag, memo->asked_tag, sizeof(entry->tag));
    if (!learn(entry, x))
        entry->head.bytes = 0;
}
