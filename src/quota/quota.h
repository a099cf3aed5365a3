/* SPDX-License-Identifier: Apache-2.0 */
/* quota.h - quotas, windows and the verdict over several of them.  The time is an argument.  Pure:
 * reads no clock, allocates nothing, logs nothing. */
#ifndef SLUICE_QUOTA_QUOTA_H
#define SLUICE_QUOTA_QUOTA_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/base_ip_ranges.h"
#include "base/base_span.h"
#include "base/base_statuses.h"

#define QUOTA_WINDOWS_MAX   4 /* limits of one quota */
#define QUOTA_KEY_MAX       8 /* identities in one key */
#define QUOTA_MAX_PER_ROUTE 8
#define QUOTA_SKEW_S        60 /* a stored window that starts at most this far ahead is kept */

enum quota_unit {
    QUOTA_SECOND,
    QUOTA_MINUTE,
    QUOTA_HOUR,
    QUOTA_DAY,
    QUOTA_UNITS
};

enum quota_on_failure {
    QUOTA_FAIL_LOCAL,
    QUOTA_FAIL_ALLOW,
    QUOTA_FAIL_DENY,
};

enum quota_algorithm {
    QUOTA_FIXED,   /* windows of the UTC calendar */
    QUOTA_SLIDING, /* this window's count and a share of the one before */
    QUOTA_BUCKET,  /* tokens that come one by one */
};

/* How counts in a shared store are kept. */
enum quota_accuracy {
    QUOTA_EXACT,  /* the store is asked for every request */
    QUOTA_LEASED, /* it grants requests in advance, to be spent by the proxy that got them */
};

enum quota_mode {
    QUOTA_ENFORCE,
    QUOTA_SHADOW, /* counted and told, never enforced */
};

struct quota_tiers;

/* Requests that are not counted.  Const after loading.  Owner: the plan's arena. */
struct quota_exempt {
    const struct ip_net *nets; /* as written */
    unsigned net_count;
    struct ip_ranges addresses;         /* the same, to find in: mark 1 is exempt */
    const struct quota_tiers *subjects; /* who is in it is exempt; NULL: nobody */
    bool has_preflight;                 /* CORS preflights */
};

struct quota_limit {
    uint32_t limit;    /* 0 .. 2^31-1; 0 refuses everything */
    uint32_t period_s; /* count * unit */
    uint32_t count;
    uint8_t unit; /* enum quota_unit */
};

/* As configured; const after linking.  Owner: the plan. */
struct quota {
    struct span name;
    uint8_t id[16]; /* identity_quota_id(name) */
    uint8_t limit_count;
    struct quota_limit limits[QUOTA_WINDOWS_MAX]; /* in file order, periods all different */
    uint8_t on_failure;                           /* enum quota_on_failure */
    uint8_t mode;                                 /* enum quota_mode */
    uint8_t algorithm;                            /* enum quota_algorithm */
    uint8_t accuracy;                             /* enum quota_accuracy; a bucket is exact */
    uint32_t burst;            /* bucket: tokens that it holds; 0: as many as the limit */
    struct statuses charge_on; /* responses that keep their charge; none named: all do */
    struct quota_exempt exempt;
    uint8_t key_count;
    uint16_t key[QUOTA_KEY_MAX];                     /* indices of the plan's identities */
    uint32_t slot_allow, slot_refuse, slot_degraded; /* metrics slots, as the next three */
    uint32_t slot_window_refused[QUOTA_WINDOWS_MAX];
    uint32_t slot_window_near[QUOTA_WINDOWS_MAX];
    uint32_t slot_top_missing;
    bool is_folded;                  /* they count other quotas too */
    const struct quota_tiers *tiers; /* NULL: the same limits for everybody */
    bool is_gate; /* judged before a request's others, shown only when it refuses; fixed windows */
    uint32_t in_flight; /* exchanges of one subject at a time; 0: not counted */
};

/* "minute", "5 minutes", "1 day" -> unit, count and period; at most 366 days.  NULL or what is wrong.  A
 * week begins on a Thursday: windows are counted from 1970-01-01. */
const char *quota_limit_parse(struct quota_limit *limit, struct span unit_text);

/* "minute", "5 minute": as X-ratelimit-window and the throttling text spell it ("1 minute" there).
 * Returns the length, at most QUOTA_WINDOW_TEXT_MAX. */
#define QUOTA_WINDOW_TEXT_MAX 24
extern const struct quota_unit_text {
    char text[8];
    size_t len;
} QUOTA_UNIT_TEXTS[QUOTA_UNITS];
size_t quota_window_text_long(char *out, const struct quota_limit *limit); /* with the count */
static inline size_t quota_window_text(char *out, const struct quota_limit *limit,
                                       bool always_count)
{
    if (always_count || limit->count != 1)
        return quota_window_text_long(out, limit);
    const struct quota_unit_text *unit = &QUOTA_UNIT_TEXTS[limit->unit % QUOTA_UNITS];
    memcpy(out, unit->text, sizeof(unit->text));
    return unit->len;
}

/* Start of the UTC calendar window that holds now_s: floor(now / period) * period. */
static inline uint32_t quota_window_start(uint32_t period_s, uint64_t now_s)
{
    return (uint32_t)(now_s - now_s % period_s);
}

/* The start of the window that counts at now_s, given the stored one; *used becomes 0 when that is over.
 * A start at most QUOTA_SKEW_S ahead is kept; a later one (the clock was wrong, or is) is set to the
 * computed window and keeps what it used.  So no backward step of the clock gives quota, and nobody is
 * refused for longer than one window and QUOTA_SKEW_S.  start_s is a multiple of period_s. */
static inline uint32_t quota_window_settle(uint32_t period_s, uint64_t now_s, uint32_t start_s,
                                           uint32_t *used)
{
    if (now_s - start_s < period_s) /* the usual case, without a division; wraps when ahead */
        return start_s;
    if (start_s > now_s && start_s - now_s <= QUOTA_SKEW_S)
        return start_s;
    if (start_s < now_s)
        *used = 0;
    return quota_window_start(period_s, now_s);
}

/* Is there anything that it does not count? */
static inline bool quota_has_exempt(const struct quota *quota)
{
    return quota->exempt.net_count != 0 || quota->exempt.subjects != NULL ||
           quota->exempt.has_preflight;
}

/* Are there responses that do not keep their charge? */
static inline bool quota_has_charge_on(const struct quota *quota)
{
    return !statuses_is_empty(&quota->charge_on);
}

/* Does a response of this status (0: there was none) keep the charge of its request? */
bool quota_status_counts(const struct statuses *statuses, unsigned status);

enum quota_source {
    QUOTA_SOURCE_STORE,
    QUOTA_SOURCE_LEASE,
    QUOTA_SOURCE_LOCAL,
};

/* What one window said.  limit is the one that counted (a local share in degraded operation). */
struct quota_reading {
    uint32_t start_s; /* store's clock */
    uint32_t used;    /* after this request's charge; when refused, without it */
    uint32_t limit;
    bool refused;
};

/* What sliding and token_bucket say beside it; see quota_algorithm.h. */
struct quota_outlook {
    uint32_t left;   /* remaining */
    uint64_t end_us; /* refused: the first moment at which it would pass; else when more comes */
    uint64_t mark;   /* bucket: its instant after the charge */
};

/* One quota of one request: what is asked, and what came back. */
struct quota_charge {
    const struct quota *quota;
    uint8_t key[16];
    uint32_t cost;
    bool is_charged;   /* set by the store */
    uint8_t source;    /* enum quota_source */
    bool is_degraded;  /* decided without the store */
    bool is_skipped;   /* on_failure allow, or a gate refused before: no numbers */
    bool is_hidden;    /* shown in no header: a gate that has not refused */
    bool is_claimed;   /* of a subject that a client can make up and a server can reject */
    bool is_guarded;   /* no server has accepted it: nothing is kept of it before this is granted */
    int32_t corrected; /* what was charged on top later, or (below 0) given back */
    uint32_t extra;    /* of the memory store: what was granted on top of the limits ... */
    uint32_t generation; /* ... and how often the subject had been reset when it was charged */
    struct quota_reading readings[QUOTA_WINDOWS_MAX];
    struct quota_outlook outlooks[QUOTA_WINDOWS_MAX]; /* not of fixed windows */
};

/* Nothing was asked yet.  Of readings and outlooks only those of the quota's own windows are cleared: nobody looks at
 * others. */
static inline void quota_charge_begin(struct quota_charge *charge, const struct quota *quota,
                                      const uint8_t key[16], uint32_t cost)
{
    charge->quota = quota;
    memcpy(charge->key, key, sizeof(charge->key));
    charge->cost = cost;
    charge->is_charged = charge->is_degraded = charge->is_skipped = charge->is_hidden = false;
    charge->is_claimed = charge->is_guarded = false;
    charge->source = QUOTA_SOURCE_STORE;
    charge->corrected = 0;
    charge->extra = charge->generation = 0;
    for (unsigned w = 0; w < quota->limit_count; w++) {
        charge->readings[w] = (struct quota_reading){0};
        charge->outlooks[w] = (struct quota_outlook){0};
    }
}

/* 80 % or more is used. */
static inline bool quota_reading_is_near(const struct quota *quota,
                                         const struct quota_reading *reading)
{
    uint32_t whole = quota->burst != 0 ? quota->burst : reading->limit;
    return (uint64_t)reading->used * 5 >= (uint64_t)whole * 4;
}

/* A place among the exchanges of a subject that may be in flight at once, as one exchange asked for it and was
 * told.  No store keeps it in a window, no header shows it. */
struct quota_slot {
    const struct quota *quota;
    uint8_t key[16];
    uint8_t source;  /* enum quota_source */
    bool is_granted; /* stays set when the exchange is over */
    bool is_refused;
    bool is_degraded; /* decided without the store */
    bool is_skipped;  /* on_failure allow, or in shadow while the store was away: no numbers */
    uint32_t used;    /* slots that are taken, this one too; when refused, without it */
    uint32_t limit;   /* the one that counted */
};

enum quota_verdict {
    QUOTA_NONE, /* no quota applied */
    QUOTA_ALLOW,
    QUOTA_REFUSE, /* 429 */
    QUOTA_EXEMPT,
    QUOTA_DEGRADED_ALLOW,
    QUOTA_DEGRADED_REFUSE, /* a local share is spent: 429 */
    QUOTA_UNAVAILABLE,     /* on_failure deny: 503 */
};

/* The verdict over all quotas of a request, with the binding window (the one that headers show). */
struct quota_decision {
    enum quota_verdict verdict;
    bool has_binding;       /* headers are shown */
    uint8_t charge, window; /* the binding one: charges[charge].quota->limits[window] */
    uint32_t limit, remaining, reset_s /* seconds from now, >= 1 */;
    uint32_t retry_after_s;        /* refusals: >= 1, never early; 0: waiting does not help */
    bool is_near;                  /* some window is at 80 % or more */
    const struct quota *in_flight; /* refused: all its slots, `limit` of them, are taken; or NULL */
    uint64_t now_s;                /* when it was made, by the store's clock */
};

/* Binding window: (a) refused: of the windows that refused, the one that resets last; retry_after is its
 * reset; (b) else least remaining/limit after the charge, ties to the shorter period, then file order;
 * (c) windows other than 1 x minute, hour, day only if no other applies or they refused.  now_us is
 * wall time on the store's clock.
 *
 * A skipped or hidden charge shows nothing.  A refusal that no later window would lift (the cost is above the
 * limit) has retry_after_s 0: there is nothing to wait for.  Gives QUOTA_NONE, _ALLOW, _REFUSE and the
 * degraded two; QUOTA_EXEMPT and QUOTA_UNAVAILABLE are the caller's to know. */
void quota_decide(struct quota_decision *decision, const struct quota_charge *charges,
                  unsigned count, uint64_t now_us);

/* quota_decide of one charge of a quota with one fixed window, neither skipped nor hidden; as it is by far most often. */
void quota_decide_one(struct quota_decision *decision, const struct quota_charge *charge,
                      uint64_t now_us);

/* The charges have their readings: a gate that refused speaks alone, and the others, which nobody judged, say nothing; one
 * that did not is hidden.  Before quota_decide. */
void quota_let_gates_speak(struct quota_charge *charges, unsigned count);

/* What one window of a charge that was not skipped tells by itself. */
struct quota_standing {
    uint32_t limit, remaining;
    uint64_t end_s; /* when it begins anew, by the store's clock; rounded up */
};
struct quota_standing quota_window_standing(const struct quota_charge *charge, unsigned window);

#endif
