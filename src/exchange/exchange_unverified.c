/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_unverified.c - callers whose name may be made up.  Takes: the subjects of a request, and the outcome.  Gives: a
 * charge in the bucket of the client's address for each subject that no server has accepted from there yet.
 *
 * Accepted is a pair of subject and address at one upstream: an attacker who uses the name of another is not accepted
 * because that one is, and an upstream that asks nobody who he is does not vouch for what another one serves.  Our own
 * answers accept nobody. */
#include "exchange/exchange_private.h"

static uint32_t now_s(const struct exchange *x)
{
    return (uint32_t)(x->env->loop->mono_us / 1000000);
}

static bool hash_pair(struct exchange *x, struct exchange_subject *subject,
                      const struct ip *address)
{
    if (!exchange_subject_mark(x, subject))
        return false;
    subject->pair = exchange_verified_caller(x->env->verified, subject->mark.mac, address,
                                             x->route->upstream_id);
    return true;
}

/* One request's place in the bucket of the address. */
static enum exchange_end ask_bucket(struct exchange *x, struct exchange_subject *subject,
                                    const struct quota *bucket, const struct ip *address)
{
    struct identity_value value = {.kind = IDENTITY_IP};
    struct identity_mark mark;
    struct quota_charge *charge = &x->ask.charges[x->ask.count];
    identity_value_set_ip(&value, &x->snapshot->plan->identities[subject->identity], address);
    if (identity_cache_mark(x->env->identities, x->snapshot->plan->secret, &value, 1, &mark) !=
        ERR_OK)
        return END_INTERNAL;
    *charge = (struct quota_charge){.quota = bucket, .cost = 1, .is_hidden = true};
    identity_cache_key(x->env->identities, &mark, bucket->id, charge->key);
    subject->gate = (int8_t)x->ask.count++;
    x->ask.has_gates = true;
    return END_OK;
}

static bool is_claim(const struct exchange_subject *subject)
{
    return !subject->value.is_shared && identity_is_claim(subject->value.kind);
}

enum exchange_end exchange_find_claims(struct exchange *x, const struct quota *quota,
                                       struct exchange_subject *const *parts,
                                       struct exchange_claims *claims)
{
    const struct plan *plan = x->snapshot->plan;
    for (unsigned i = 0; i < quota->key_count; i++) {
        struct exchange_subject *subject = parts[i];
        const struct quota *bucket = plan->buckets[subject->identity];
        if (bucket == NULL || !is_claim(subject))
            continue;
        const struct identity *identity = &plan->identities[subject->identity];
        struct ip address = ip_mask(&x->client_ip, identity->ipv4_prefix, identity->ipv6_prefix);
        if (!subject->is_claimed) {
            if (!hash_pair(x, subject, &address))
                return END_INTERNAL;
            subject->is_claimed = x->has_claims = true;
            subject->gate = -1;
            subject->is_verified = exchange_verified_has(x->env->verified, subject->pair, now_s(x));
        }
        claims->has_any = true;
        claims->is_guarded = claims->is_guarded || !subject->is_verified;
        if (subject->is_verified || subject->gate >= 0 || quota->mode == QUOTA_SHADOW)
            continue;
        enum exchange_end end = ask_bucket(x, subject, bucket, &x->client_ip);
        if (end != END_OK)
            return end;
    }
    return END_OK;
}

bool exchange_may_try(const struct exchange *x, const struct quota *quota)
{
    for (unsigned i = 0; i < x->subject_count; i++) {
        const struct exchange_subject *subject = &x->subjects[i];
        bool is_open = !subject->is_claimed || subject->is_verified || subject->gate >= 0;
        for (unsigned k = 0; !is_open && k < quota->key_count; k++) {
            if (quota->key[k] == subject->identity)
                return false;
        }
    }
    return true;
}

static bool is_answered(const struct exchange *x)
{
    return x->first_us != 0;
}

bool exchange_is_rejected(const struct exchange *x)
{
    return is_answered(x) && (x->status == 401 || x->status == 403);
}

/* Has this request made a guarded subject known to the store? */
static bool has_made_a_subject(const struct exchange *x)
{
    for (unsigned i = 0; i < x->ask.count; i++) {
        const struct quota_charge *charge = &x->ask.charges[i];
        bool is_first = charge->is_guarded && charge->is_charged;
        for (unsigned w = 0; is_first && w < charge->quota->limit_count; w++)
            is_first = charge->readings[w].used <= charge->cost;
        if (is_first)
            return true;
    }
    return false;
}

static void give_back(struct exchange *x, const struct exchange_subject *subject)
{
    struct quota_charge *charge = subject->gate < 0 ? NULL : &x->ask.charges[subject->gate];
    if (charge != NULL && charge->is_charged)
        charge->corrected = lease_correct(x->env->lease, charge, -(int32_t)charge->cost);
}

static void settle_claim(struct exchange *x, struct exchange_subject *subject)
{
    if (exchange_is_rejected(x)) {
        exchange_verified_remove(x->env->verified, subject->pair);
    } else if (is_answered(x)) {
        exchange_verified_add(x->env->verified, subject->pair, now_s(x));
        give_back(x, subject);
    } else if (exchange_ending(x->end)->is_error && !has_made_a_subject(x)) {
        /* No server was there to ask.  What has made a subject stays charged, or a flood of names during an outage
         * would fill the store. */
        give_back(x, subject);
    }
}

void exchange_settle_claims(struct exchange *x)
{
    for (unsigned i = 0; i < x->subject_count; i++) {
        if (x->subjects[i].is_claimed)
            settle_claim(x, &x->subjects[i]);
    }
}
