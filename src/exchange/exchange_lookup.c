/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_lookup.c - the step that waits for what the store knows beside counts: the project of the request's token,
 * then the tiers of its subjects in quotas with live members.  Takes: the kept head.  Gives: answers for IDENTIFY, within
 * one decision timeout in all; who gets none goes on as unknown.  Never: waits for a quota that is only tried. */
#include "base/base_fmt.h"
#include "base/base_log.h"
#include "exchange/exchange_private.h"
#include "identity/identity_token.h"
#include "lease/lease_lookup.h"
#include "quota/quota_tier.h"

_Static_assert(IDENTITY_TOKEN_PROJECT_MAX <= STORE_NOTE_TEXT, "a project fits a note");

/* The tier of one part of a quota's key. */
struct member_lookup {
    const struct quota *quota;
    struct lease_lookup lookup;
};

/* In the exchange's arena. */
struct exchange_lookups {
    uint64_t since_us;
    unsigned waiting; /* answers that are not there yet */
    bool has_asked_members;
    struct lease_lookup token;
    unsigned member_count;
    struct member_lookup *members;
};

struct span exchange_project(const struct exchange *x)
{
    return (struct span){x->lookups->token.text, x->lookups->token.len};
}

uint64_t exchange_waits_since(const struct exchange *x)
{
    return x->lookups->since_us;
}

void exchange_cancel_lookups(struct exchange *x)
{
    struct exchange_lookups *lookups = x->lookups;
    if (lookups == NULL || lookups->waiting == 0)
        return;
    lease_lookup_cancel(&lookups->token);
    for (unsigned i = 0; i < lookups->member_count; i++)
        lease_lookup_cancel(&lookups->members[i].lookup);
    lookups->waiting = 0;
}

static void on_found(void *arg)
{
    struct exchange *x = arg;
    if (--x->lookups->waiting == 0)
        exchange_run(x);
}

static void ask(struct exchange *x, struct lease_lookup *lookup)
{
    lookup->since_us = x->lookups->since_us;
    lookup->done = on_found;
    lookup->arg = x;
    x->lookups->waiting += !lease_lookup_ask(x->env->lease, lookup);
}

/* ---- the token ---- */

static bool ask_token(struct exchange *x)
{
    const struct http_field *field =
        http_head_only(&x->head, HTTP_FIELD_X_AUTH_TOKEN, SPAN("x-auth-token"));
    if (field == NULL)
        return true; /* IDENTIFY judges that */
    struct span token = http_field_value(&x->head, field);
    struct lease_lookup *lookup = &x->lookups->token;
    if (token.len == 0)
        return true;
    lookup->kind = LEASE_TOKEN;
    lookup->may_wait = x->route->may_wait_project;
    if (identity_token_mac(x->env->identities, x->snapshot->plan->secret, token, lookup->key) !=
        ERR_OK)
        return false;
    ask(x, lookup);
    return true;
}

/* ---- members ---- */

/* May the value itself be the member's name?  Not where a client could call himself like somebody else is shown:
 * by an address or by 22 characters. */
static bool is_clear_name(const struct identity_value *value)
{
    if (value->is_shared || !identity_is_clear(value->kind) || value->value.len > LEASE_FIELD_MAX)
        return false;
    return value->kind == IDENTITY_IP || !identity_is_like_sign(value->value);
}

static bool add_member(struct exchange *x, const struct quota *quota, uint16_t index)
{
    struct exchange_lookups *lookups = x->lookups;
    struct exchange_subject *subject = exchange_subject(x, index);
    if (subject->result != IDENTITY_FOUND)
        return true; /* IDENTIFY judges that */
    if (!exchange_subject_mark(x, subject))
        return false;
    struct member_lookup *member = &lookups->members[lookups->member_count++];
    *member = (struct member_lookup){.quota = quota};
    member->lookup.kind = LEASE_MEMBER;
    member->lookup.may_wait = quota->mode != QUOTA_SHADOW;
    member->lookup.quota = quota->name;
    member->lookup.member = subject->value.value;
    if (!is_clear_name(&subject->value))
        member->lookup.member = (struct span){subject->mark.text, IDENTITY_TEXT_LEN};
    identity_cache_key(x->env->identities, &subject->mark, quota->id, member->lookup.key);
    ask(x, &member->lookup);
    return true;
}

static bool has_live_members(const struct exchange *x, const struct quota *quota)
{
    return quota->tiers != NULL && quota->tiers->is_live &&
           exchange_exempt_request(x, quota) == EXCHANGE_COUNTED;
}

static bool ask_members(struct exchange *x)
{
    const struct plan_route *route = x->route;
    unsigned parts = 0;
    for (unsigned i = 0; i < route->quota_count; i++)
        parts += has_live_members(x, route->quotas[i]) ? route->quotas[i]->key_count : 0;
    if (parts == 0)
        return true;
    x->lookups->members = arena_take(&x->arena, parts * sizeof(struct member_lookup));
    if (x->lookups->members == NULL || !exchange_make_subjects(x))
        return false;
    for (unsigned i = 0; i < route->quota_count; i++) {
        const struct quota *quota = route->quotas[i];
        for (unsigned k = 0; has_live_members(x, quota) && k < quota->key_count; k++) {
            if (!add_member(x, quota, quota->key[k]))
                return false;
        }
    }
    return true;
}

const struct quota_tier *exchange_live_tier(struct exchange *x, const struct quota *quota)
{
    for (unsigned i = 0; x->lookups != NULL && i < x->lookups->member_count; i++) {
        const struct member_lookup *member = &x->lookups->members[i];
        struct span name = {member->lookup.text, member->lookup.len};
        if (member->quota != quota || name.len == 0)
            continue;
        const struct quota_tier *tier = quota_tiers_named(quota->tiers, name);
        if (tier != NULL)
            return tier;
        metrics_add(x->env->loop->metrics, METRICS_MEMBERS_UNKNOWN_TIER, 1);
        log_warn("quota %.*s: redis names a member's tier \"%.*s\", which the configuration does "
                 "not have: the default tier counts",
                 (int)quota->name.len, quota->name.ptr, (int)name.len, name.ptr);
    }
    return NULL;
}

/* ---- LOOKUP ---- */

static bool begin(struct exchange *x)
{
    x->lookups = arena_take_zeroed(&x->arena, sizeof(*x->lookups));
    if (x->lookups == NULL)
        return false;
    x->lookups->since_us = x->env->loop->mono_us;
    return !x->route->looks_up_project || ask_token(x);
}

enum step_result exchange_step_lookup(struct exchange *x)
{
    const struct plan_route *route = x->route;
    if (!route->looks_up_project && !route->looks_up_members)
        return STEP_NEXT;
    if (x->lookups == NULL && !begin(x))
        return exchange_fail(x, END_SHED);
    if (x->lookups->waiting != 0)
        return STEP_WAIT;
    if (!x->lookups->has_asked_members) {
        x->lookups->has_asked_members = true;
        if (route->looks_up_members && !ask_members(x))
            return exchange_fail(x, END_SHED);
    }
    return x->lookups->waiting != 0 ? STEP_WAIT : STEP_NEXT;
}
