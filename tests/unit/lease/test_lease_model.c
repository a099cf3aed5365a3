/* SPDX-License-Identifier: Apache-2.0 */
/* test_lease_model - leases of several proxies against a slow model of the store: random requests, grants that are
 * late or lost, give-backs, recalls, ends of windows, clocks that run at different speeds.  What is admitted in a
 * window is never more than its limit, nothing is spent outside the window it was granted in, and where nothing is
 * lost nearly all of the limit is used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/base_rng.h"
#include "lease/lease_policy.h"
#include "lease/lease_tokens.h"
#include "store/store_testing.h"

#define BEGIN_US UINT64_C(1795305600000000)
#define PROXIES  4
#define AIR_MAX  8 /* answers on their way to a proxy */
#define STARTS   4096

/* What the script does, one key, calendar windows, one lineage. */
struct model_store {
    unsigned count;
    struct {
        uint32_t period_s, start_s, used, returned;
    } windows[QUOTA_WINDOWS_MAX];
};

struct in_air {
    struct store_redis_claim claim;
    struct store_redis_result result;
    uint64_t store_us, sent_us; /* the latter by the proxy's clock */
    uint32_t own;               /* what a request waits for */
    bool is_granted;
};

struct model_proxy {
    struct lease_cell cell;
    double speed;
    uint64_t offset_us;
    struct in_air air[AIR_MAX];
    unsigned air_count;
};

struct world {
    struct quota quota;
    struct model_store store;
    struct model_proxy proxies[PROXIES];
    unsigned proxy_count;
    uint64_t now_us; /* the store's clock: the truth */
    struct rng rng;
    bool may_lose;
    uint32_t admitted[QUOTA_WINDOWS_MAX][STARTS],
        wanted[STARTS]; /* by window since the beginning */
    uint64_t operations, requests, spends;
};

static uint64_t mono_of(const struct world *world, const struct model_proxy *proxy)
{
    return proxy->offset_us + (uint64_t)((double)(world->now_us - BEGIN_US) * proxy->speed);
}

static bool chance(struct world *world, unsigned percent)
{
    return rng_below(&world->rng, 100) < percent;
}

static void charge_store(struct world *world, const struct store_redis_claim *claim,
                         struct in_air *air)
{
    uint64_t now_s = world->now_us / 1000000;
    uint64_t room = INT32_MAX;
    *air = (struct in_air){.claim = *claim, .store_us = world->now_us};
    for (unsigned i = 0; i < claim->window_count; i++) {
        const struct store_redis_window *asked = &claim->windows[i];
        uint32_t start_s = quota_window_start(asked->period_s, now_s);
        unsigned w = 0;
        while (world->store.windows[w].period_s != asked->period_s)
            w++;
        if (world->store.windows[w].start_s != start_s) {
            world->store.windows[w].start_s = start_s;
            world->store.windows[w].used = world->store.windows[w].returned = 0;
        }
        uint32_t *used = &world->store.windows[w].used;
        if (asked->start_s == start_s) {
            uint32_t back = asked->back < *used ? asked->back : *used;
            *used -= back;
            world->store.windows[w].returned += back;
            *used += asked->debt;
        }
        uint64_t left = asked->limit > *used ? asked->limit - *used : 0;
        room = left < room ? left : room;
    }
    uint64_t grant = 0;
    air->is_granted = room >= claim->cost;
    if (air->is_granted) {
        uint64_t part = claim->divisor == 0 ? 0 : room / claim->divisor;
        grant = claim->want < part ? claim->want : part;
        grant = claim->least > grant ? claim->least : grant;
        grant = claim->cost > grant ? claim->cost : grant;
        grant = room < grant ? room : grant;
    }
    air->result.is_granted = air->is_granted;
    air->result.granted = (uint32_t)grant;
    for (unsigned i = 0; i < claim->window_count; i++) {
        unsigned w = 0;
        while (world->store.windows[w].period_s != claim->windows[i].period_s)
            w++;
        world->store.windows[w].used += (uint32_t)grant;
        air->result.windows[i].start_s = world->store.windows[w].start_s;
        air->result.windows[i].used = world->store.windows[w].used;
        air->result.windows[i].returned = world->store.windows[w].returned;
    }
}

static void count(struct world *world, const struct lease_cell *cell, uint32_t cost)
{
    for (unsigned i = 0; i < world->quota.limit_count; i++) {
        uint32_t period_s = world->quota.limits[i].period_s;
        uint64_t number = (cell->windows[i].start_s - BEGIN_US / 1000000) / period_s;
        assert_true(number < STARTS);
        world->admitted[i][number] += cost;
        assert_true(world->admitted[i][number] <= world->quota.limits[i].limit);
        /* I4: by the truth the window goes on */
        assert_int_equal(cell->windows[i].start_s,
                         quota_window_start(period_s, world->now_us / 1000000));
    }
    world->spends++;
}

static void ask(struct world *world, struct model_proxy *proxy, uint32_t cost, uint32_t own)
{
    struct lease_cell *cell = &proxy->cell;
    struct store_redis_claim claim;
    uint64_t mono_us = mono_of(world, proxy);
    if (proxy->air_count == AIR_MAX)
        return;
    lease_cell_claim(cell, &world->quota, cost, true, &claim);
    lease_policy_note(cell, mono_us);
    claim.want = lease_policy_want(cell, &world->quota, world->now_us, world->proxy_count) + cost;
    claim.divisor = 2 * world->proxy_count;
    world->operations++;
    if (world->may_lose && chance(world, 3)) { /* never arrived */
        lease_cell_unclaim(cell, &claim);
        return;
    }
    struct in_air *air = &proxy->air[proxy->air_count++];
    charge_store(world, &claim, air);
    air->sent_us = mono_us;
    air->own = own;
}

/* The oldest answer arrives, or the connection was lost with it. */
static void hear(struct world *world, struct model_proxy *proxy)
{
    struct lease_cell *cell = &proxy->cell;
    struct lease_batch rest;
    if (proxy->air_count == 0)
        return;
    struct in_air air = proxy->air[0];
    memmove(proxy->air, proxy->air + 1, --proxy->air_count * sizeof(air));
    if (world->may_lose && chance(world, 3)) {
        lease_cell_unclaim(cell, &air.claim);
        return;
    }
    lease_cell_learn(cell, &air.claim, &air.result, air.store_us, air.sent_us);
    if (!air.is_granted) {
        lease_cell_note_refusal(cell, &air.claim, mono_of(world, proxy), air.sent_us);
        return;
    }
    lease_cell_note_grant(cell);
    lease_batch_of(&rest, &air.claim, &air.result, air.result.granted, air.store_us, air.sent_us);
    uint64_t mono_us = mono_of(world, proxy);
    if (air.own != 0 && mono_us < rest.until_us) { /* spent by who waited */
        rest.count -= air.own;
        for (unsigned i = 0; i < world->quota.limit_count; i++) {
            uint32_t period_s = world->quota.limits[i].period_s;
            uint64_t number = (air.result.windows[i].start_s - BEGIN_US / 1000000) / period_s;
            world->admitted[i][number] += air.own;
            assert_true(world->admitted[i][number] <= world->quota.limits[i].limit);
        }
        cell->spent += air.own;
    }
    lease_tokens_add(cell, &rest, mono_us);
    cell->mark = lease_policy_mark(cell, 2000);
}

static void request(struct world *world, struct model_proxy *proxy, uint32_t cost)
{
    struct lease_cell *cell = &proxy->cell;
    uint64_t mono_us = mono_of(world, proxy);
    world->requests++;
    world->wanted[(world->now_us - BEGIN_US) / 1000000 / world->quota.limits[0].period_s] += cost;
    lease_cell_settle(cell, &world->quota, world->now_us / 1000000);
    if (lease_tokens_held(cell, mono_us) >= cost) {
        count(world, cell, cost);
        cell->held -= cost;
        cell->spent += cost;
        if (cell->held <= cell->mark && cell->mark != 0 && proxy->air_count == 0)
            ask(world, proxy, 1, 0);
        return;
    }
    if (!lease_cell_refuses(cell, &world->quota, cost - cell->held, mono_us) &&
        proxy->air_count == 0)
        ask(world, proxy, cost, cost);
}

/* One tells the others. */
static void recall(struct world *world, struct model_proxy *proxy)
{
    if (!lease_policy_may_recall(&proxy->cell, mono_of(world, proxy)))
        return;
    world->operations++;
    for (unsigned p = 0; p < world->proxy_count; p++) {
        struct lease_cell *cell = &world->proxies[p].cell;
        if (&world->proxies[p] == proxy)
            continue;
        (void)lease_policy_may_recall(cell, mono_of(world, &world->proxies[p]));
        lease_policy_note(cell, mono_of(world, &world->proxies[p]));
        lease_tokens_trim(cell, lease_policy_keep(cell));
    }
}

static void settle(struct world *world, struct model_proxy *proxy)
{
    struct store_redis_claim claim;
    struct in_air air;
    if (!lease_cell_claim_debt(&proxy->cell, &claim))
        return;
    world->operations++;
    if (world->may_lose && chance(world, 5)) {
        lease_cell_unclaim(&proxy->cell, &claim);
        return;
    }
    charge_store(world, &claim, &air);
    if (world->may_lose && chance(world, 5)) /* done, and never known */
        lease_cell_unclaim(&proxy->cell, &claim);
    else
        lease_cell_learn(&proxy->cell, &claim, &air.result, air.store_us, mono_of(world, proxy));
}

static void begin(struct world *world, const struct quota *quota, unsigned proxies, uint64_t seed)
{
    memset(world, 0, sizeof(*world));
    world->quota = *quota;
    world->proxy_count = proxies;
    world->now_us = BEGIN_US;
    world->rng = (struct rng){{seed, 2, 3, 4}};
    for (unsigned w = 0; w < quota->limit_count; w++)
        world->store.windows[w].period_s = quota->limits[w].period_s;
    for (unsigned p = 0; p < proxies; p++) {
        world->proxies[p].speed = 1 + ((double)rng_below(&world->rng, 1000) - 500) / 1000000.0;
        world->proxies[p].offset_us = 1000000 + rng_below(&world->rng, 1000000000);
    }
}

/* Anything may happen at any time. */
static void run_wild(struct world *world, unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        struct model_proxy *proxy = &world->proxies[rng_below(&world->rng, world->proxy_count)];
        unsigned dice = (unsigned)rng_below(&world->rng, 1000);
        if (dice < 600)
            request(world, proxy, 1 + (dice < 50) * (uint32_t)rng_below(&world->rng, 5));
        else if (dice < 900)
            hear(world, proxy);
        else if (dice < 960)
            settle(world, proxy);
        else if (dice < 965)
            recall(world, proxy);
        else if (dice < 970)
            lease_tokens_release(&proxy->cell);
        world->now_us += rng_below(&world->rng, dice > 995 ? 900000 : 3000);
    }
}

static const struct quota QUOTAS[] = {
    {.id = {1}, .limit_count = 1, .limits = {SECOND(3)}},
    {.id = {2}, .limit_count = 1, .limits = {SECOND(40)}},
    {.id = {3}, .limit_count = 2, .limits = {SECOND(200), MINUTE(3000)}},
    {.id = {4}, .limit_count = 3, .limits = {SECOND(1000), MINUTE(400), HOUR(6000)}},
};

static void test_never_more_than_the_limit(void **state)
{
    static struct world world;
    uint64_t spends = 0;
    (void)state;
    for (unsigned round = 0; round < 400; round++) {
        begin(&world, &QUOTAS[round % 4], 1 + round % PROXIES, round + 1);
        world.may_lose = round % 3 != 0;
        run_wild(&world, 20000);
        spends += world.spends;
    }
    print_message("%llu spent\n", (unsigned long long)spends);
    assert_true(spends > 300000); /* not vacuous */
}

/* Demand is twice the limit, answers take a millisecond, nothing is lost. */
static void run_calm(struct world *world, double per_s, unsigned windows)
{
    uint64_t end_us = BEGIN_US + windows * world->quota.limits[0].period_s * UINT64_C(1000000);
    uint64_t gap_us = (uint64_t)(2e6 / per_s);
    while (world->now_us < end_us) {
        struct model_proxy *proxy = &world->proxies[rng_below(&world->rng, world->proxy_count)];
        uint64_t low = world->quota.limits[0].limit / 10;
        uint32_t before = world->store.windows[0].used;
        request(world, proxy, 1);
        if (before + low < world->quota.limits[0].limit &&
            world->store.windows[0].used + low >= world->quota.limits[0].limit)
            recall(world, proxy);
        world->now_us += rng_below(&world->rng, gap_us) + 1;
        for (unsigned p = 0; p < world->proxy_count; p++) {
            struct model_proxy *other = &world->proxies[p];
            if (other->air_count != 0 && mono_of(world, other) >= other->air[0].sent_us + 1000)
                hear(world, other);
            settle(world, other);
        }
    }
}

static void test_nearly_all_is_used(void **state)
{
    static const struct quota quotas[] = {
        {.id = {1}, .limit_count = 1, .limits = {MINUTE(600)}},
        {.id = {2}, .limit_count = 1, .limits = {MINUTE(10000)}},
        {.id = {3}, .limit_count = 1, .limits = {MINUTE(100000)}},
    };
    static struct world world;
    (void)state;
    for (unsigned q = 0; q < 3; q++) {
        for (unsigned proxies = 1; proxies <= PROXIES; proxies *= 2) {
            uint32_t limit = quotas[q].limits[0].limit;
            begin(&world, &quotas[q], proxies, 7 + q);
            run_calm(&world, 2 * limit / 60.0, 3);
            for (unsigned w = 0; w < 3; w++) {
                assert_true(world.wanted[w] >= limit * 19 / 10);
                assert_true(world.admitted[0][w] * UINT64_C(1000) >= limit * UINT64_C(995));
            }
            print_message("limit %u, %u proxies: %llu operations for %llu requests\n", limit,
                          proxies, (unsigned long long)world.operations,
                          (unsigned long long)world.requests);
            if (limit == 100000) /* one in a thousand */
                assert_true(world.operations * 1000 <= world.requests);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_more_than_the_limit),
        cmocka_unit_test(test_nearly_all_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
