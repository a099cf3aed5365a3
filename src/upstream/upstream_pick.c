/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_pick.c - round robin, least connections and hash over at most 64 servers.  Takes: masks and numbers.  Gives: an
 * index.  Never looks at a server itself. */
#include "upstream/upstream_pick.h"

#include "base/base_hash.h"

/* All proxies of a fleet have to agree on it, so it is no secret; keys are hashed with one before they come here. */
static const struct hash_key PICK_SEED_KEY = {UINT64_C(0x736c756963650001),
                                              UINT64_C(0x7365727665727300)};

/* The first of a mask, which goes out of it. */
static inline unsigned pick_next(uint64_t *mask)
{
    const unsigned index = (unsigned)__builtin_ctzll(*mask);
    *mask &= *mask - 1;
    return index;
}

/* Smooth weighted round robin, as nginx has it: every turn each gains its weight, and the one that leads pays what all
 * have gained.  So in as many turns as the weights sum up to each has its share, and none has it in one piece. */
static int pick_in_turn(struct upstream_candidate *servers, uint64_t mask)
{
    int64_t total = 0;
    int best = -1;
    if ((mask & (mask - 1)) == 0)
        return __builtin_ctzll(mask);
    while (mask != 0) {
        const unsigned i = pick_next(&mask);
        servers[i].turn += servers[i].weight;
        total += servers[i].weight;
        if (best < 0 || servers[i].turn > servers[best].turn)
            best = (int)i;
    }
    servers[best].turn -= total;
    return best;
}

/* Those with the fewest requests for their weight. */
static uint64_t pick_least(const struct upstream_candidate *servers, uint64_t mask)
{
    const struct upstream_candidate *best = NULL;
    uint64_t least = 0;
    while (mask != 0) {
        const unsigned i = pick_next(&mask);
        const struct upstream_candidate *server = &servers[i];
        if (best == NULL)
            best = server;
        const uint64_t own = (uint64_t)server->busy * best->weight;
        const uint64_t other = (uint64_t)best->busy * server->weight;
        if (own > other)
            continue;
        if (own < other) {
            best = server;
            least = 0;
        }
        least |= UINT64_C(1) << i;
    }
    return least;
}

/* The end of splitmix64 (Steele, Lea and Flood, 2014): every bit of the key moves every bit of the draw. */
static uint64_t pick_draw(uint64_t key, uint64_t seed)
{
    uint64_t x = key ^ seed;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    x += seed;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* -ln of the draw as a fraction of 2^64, to 1 in 10^9.  By hand, so that every proxy finds the same number: a fleet's
 * mathematical libraries may differ in the last place.  With m in [0.7, 1.4), ln m is 2 artanh((m-1)/(m+1)). */
static double pick_cost(uint64_t draw)
{
    static const double ln2 = 0.69314718055994530942, two53 = 9007199254740992.0;
    uint64_t fraction = (draw >> 11) | 1;
    double m = (double)fraction / two53, halves = 0;
    while (m < 0.70710678118654752440) {
        m *= 2;
        halves += 1;
    }
    const double s = (m - 1) / (m + 1), q = s * s;
    const double series =
        1 + q * (1.0 / 3 + q * (1.0 / 5 + q * (1.0 / 7 + q * (1.0 / 9 + q * (1.0 / 11)))));
    return halves * ln2 - 2 * s * series;
}

/* Of servers that draw exponentially distributed numbers with their weights as rates, each is first with the probability
 * of its share (the logarithmic method of Schindelhauer and Schomaker, 2005). */
static int pick_by_hash(const struct upstream_candidate *servers, uint64_t mask, uint64_t key)
{
    int best = -1;
    double least = 0;
    while (mask != 0) {
        const unsigned i = pick_next(&mask);
        double cost = pick_cost(pick_draw(key, servers[i].seed)) / servers[i].weight;
        if (best < 0 || cost < least) {
            best = (int)i;
            least = cost;
        }
    }
    return best;
}

/* Those among whom to choose; 0 with *is_full: they have no room. */
static uint64_t pick_among(const struct upstream_field *field, bool *is_full)
{
    const uint64_t primaries = field->primaries & ~field->tried;
    const uint64_t backups = field->backups & ~field->tried;
    uint64_t among = primaries & field->usable;
    if (among == 0)
        among = backups & field->usable;
    *is_full = among != 0 && (among & ~field->full) == 0;
    if (among != 0)
        return among & ~field->full;
    among = primaries & ~field->full;
    return among != 0 ? among : backups & ~field->full;
}

int upstream_pick(struct upstream_candidate *servers, const struct upstream_field *field,
                  enum upstream_balance balance, const uint64_t *key)
{
    bool is_full;
    uint64_t among = pick_among(field, &is_full);
    if (among == 0)
        return is_full ? UPSTREAM_PICK_FULL : UPSTREAM_PICK_NONE;
    if (balance == UPSTREAM_HASH && key != NULL)
        return pick_by_hash(servers, among, *key);
    if (balance == UPSTREAM_LEAST_CONNECTIONS)
        among = pick_least(servers, among);
    return pick_in_turn(servers, among);
}

uint64_t upstream_pick_seed(struct span name)
{
    return hash_sip64(PICK_SEED_KEY, name.ptr, name.len);
}

uint32_t upstream_pick_weight(uint32_t weight, uint64_t since_us, uint64_t now_us,
                              uint64_t slow_start_us)
{
    const uint64_t whole = (uint64_t)weight * UPSTREAM_WEIGHT_ONE;
    const uint64_t elapsed_us = now_us > since_us ? now_us - since_us : 0;
    if (since_us == 0 || elapsed_us >= slow_start_us)
        return (uint32_t)whole;
    /* An hour in microseconds times 2^16 fits. */
    const uint64_t part = whole * elapsed_us / slow_start_us;
    return part == 0 ? 1 : (uint32_t)part;
}
