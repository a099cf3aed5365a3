/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_script.h - what runs inside Redis, and the bytes on both sides of it.  Takes: claims on
 * keys.  Gives: command arguments and decoded answers.  Pure: no socket, no clock.
 *
 * A subject of a quota is one key, `<prefix>:q:{22 characters}`, one string.  Layout 2, little-endian:
 *
 *     at  bytes  field
 *      0      1  version: 2.  Another one is never read nor overwritten: an error SLUICELAYOUT
 *      1      1  n, the number of windows, at most 16
 *      2      2  0
 *      4      4  epoch: hash of the run id of the server that wrote last
 *      8      4  lineage: drawn whenever the value is made anew or taken over by another epoch
 *     12      4  generation: raised when an operator resets the subject
 *     16      4  extra: added to every limit ...
 *     20      4  expires: ... until this second
 *     24   20*n  per window: code, start_s, base, since, returned (4 each)
 *
 * The code (quota_algorithm.h) is the period of a calendar count, and has a kind in its upper bits for the others:
 * the window before, kept for sliding beside its count, and a token bucket, whose instant is in start_s (seconds)
 * and base (units), the others 0.  A count and a bucket of one period do not stand together: what is asked for takes over
 * what the other says, so a change of algorithm grants nothing.  Who only settles what is owed of a count does not know
 * how large the bucket is: that stays, and the count is answered as one of which nothing is used.  What follows is about counts.
 *
 * used = base + since - returned: since counts what was granted in this lineage, base what came before it, returned
 * what of both was given back.  Neither what was charged (base + since) nor what was returned falls while a window lasts,
 * but for a reset, and when 2^31 were charged in it; so of two things that were seen the larger is the newer, and what
 * somebody saw before others gave back is not taken for a loss.  Windows are found by their period; those that nobody asked
 * for are kept while they last, new ones begin at 0.  A window's start never goes back: see quota_window_settle, whose rule the script repeats.
 *
 * The script gets one claim per key (store_redis_claim_write) and charges all keys or none, in one step,
 * by the server's clock; a claim that stands apart is granted or refused by itself.  A grant is
 *
 *     0 when there is room for less than cost; else min(room, max(least, min(want, room / divisor)))
 *
 * where room is what is left in the tightest window.  What is granted is charged, whether or not it is ever spent.
 * What it answers: {granted, second, microsecond, per key: lineage, generation, extra, 0 or 1 + the grant, and per
 * window that was asked for: start, used, returned}.
 *
 * Nothing a proxy has seen is lost with the server's memory: a claim names the lineage, the start and
 * what was charged and returned when last seen.  In a value of another lineage (flushed, evicted, lost in a failover) base
 * is raised to what was charged, and returned by no more than base is: what is used never falls by what is told.  There a
 * claim gives back no more than it says was used. */
#ifndef SLUICE_STORE_REDIS_SCRIPT_H
#define SLUICE_STORE_REDIS_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quota/quota_algorithm.h"

#define STORE_REDIS_KEYS_MAX        QUOTA_MAX_PER_ROUTE /* of one step */
#define STORE_REDIS_CLAIM_HEAD      28
#define STORE_REDIS_CLAIM_BYTES_MAX (STORE_REDIS_CLAIM_HEAD + 52 * QUOTA_WINDOWS_MAX)
#define STORE_REDIS_LIMIT_UNKNOWN   UINT32_MAX /* no quota has so much */
#define STORE_REDIS_KEY_TEXT_BYTES  22 /* of a key, base64url; in braces: a cluster's hash tag */
/* Behind the prefix.  One tag: a script uses both. */
#define STORE_REDIS_PROXIES_KEY     ":{fleet}:proxies"
#define STORE_REDIS_SECRET_KEY      ":{fleet}:secret"
#define STORE_REDIS_FLEET_TAG       "fleet"

/* One window of a key: what is allowed, and what this process knows and owes of it.  A window before stands right behind its
 * count: the script finds it by that. */
struct store_redis_window {
    uint32_t period_s,
        limit; /* period_s: the code; of a sliding count the limit is behind, with the window before;
                * STORE_REDIS_LIMIT_UNKNOWN: who only settles what is owed does not know it */
    uint32_t start_s;        /* the window that the rest is about */
    uint32_t seen, returned; /* charged and returned, when last seen; in the claim's lineage */
    uint32_t floor;          /* used at least, as seen in other lineages */
    uint32_t debt;           /* admitted without the store: billed whatever the limit */
    uint32_t back;           /* granted, not used: given back */
    /* of a bucket, whose instant is in start_s and seen (0, 0: never seen): */
    uint64_t interval, whole; /* units of a token, of all */
    uint32_t mark_s;          /* until when the charges that are given back are not filled again */
};

struct store_redis_claim {
    uint8_t key[16];
    uint32_t lineage, generation; /* when last seen; 0, 0: never */
    uint32_t cost;                /* granted at least, else nothing; 0: only settle */
    uint32_t least;         /* granted if there is so much; what is below cost counts as cost */
    uint32_t want, divisor; /* granted if it is not more than a divisor-th part of what is left */
    bool is_apart;          /* whatever becomes of the other claims of the step */
    uint32_t window_count;
    struct store_redis_window windows[QUOTA_WINDOWS_MAX];
};

/* A window of a key after the charge; of a bucket its instant, and 0. */
struct store_redis_reading {
    uint32_t start_s, used, returned;
};

/* What was charged, whether or not it was given back. */
static inline uint32_t store_redis_charged(const struct store_redis_reading *reading)
{
    uint64_t charged = (uint64_t)reading->used + reading->returned;
    return charged > UINT32_MAX ? UINT32_MAX : (uint32_t)charged;
}

/* What became of one key. */
struct store_redis_result {
    uint32_t lineage, generation;
    uint32_t extra; /* added to every limit */
    bool is_granted;
    uint32_t granted; /* cost, or more */
    struct store_redis_reading windows[QUOTA_WINDOWS_MAX];
};

struct store_redis_answer {
    bool granted;    /* all claims that do not stand apart */
    uint64_t now_us; /* the server's clock in that step */
    struct store_redis_result keys[STORE_REDIS_KEYS_MAX];
};

/* Lua.  KEYS: subjects; ARGV: their claims. */
extern const char STORE_REDIS_CHARGE_LUA[];
/* Lua.  KEYS: proxies, secret; ARGV: this proxy, its fingerprint (empty: not checked).  Answers {same
 * secret, live proxies}. */
extern const char STORE_REDIS_BEAT_LUA[];

#define STORE_REDIS_BEAT_US      2000000 /* between two heartbeats */
#define STORE_REDIS_SECRET_TTL_S "120"   /* renewed by heartbeats */
#define STORE_REDIS_LAYOUT_ERROR "SLUICELAYOUT"

/* The bytes of a claim; returns the end. */
char *store_redis_claim_write(char *out, const struct store_redis_claim *claim, uint32_t epoch);
size_t store_redis_claim_bytes(const struct store_redis_claim *claim);

/* The integers of the answer to these claims.  False: they cannot be that. */
bool store_redis_answer_read(struct store_redis_answer *answer, const int64_t *numbers,
                             unsigned count, const struct store_redis_claim *claims,
                             unsigned claim_count);

#endif
