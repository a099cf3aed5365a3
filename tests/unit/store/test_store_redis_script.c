/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_redis_script - the scripts in a real Redis: what they charge, keep, refuse to touch; and
 * the bytes on our side.  Values are written by hand where the clock should have been elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base_fmt.h"
#include "store/redis_stored.h"
#include "store/redis_testing.h"
#include "store/store_redis_script.h"

#define EPOCH 7
#define DAY_S 86400

static struct redis_testing redis;

static uint32_t now_s(void)
{
    redisReply *reply = redisCommand(redis.client, "TIME");
    uint32_t second = (uint32_t)strtoul(reply->element[0]->str, NULL, 10);
    freeReplyObject(reply);
    return second;
}

/* Tests of one second's counts must not meet the end of a minute. */
static uint32_t quiet_now_s(void)
{
    while (now_s() % 60 > 55)
        redis_testing_nap();
    return now_s();
}

/* EVAL; the keys are named by hand ("a", "b").  False: an error, whose text is in error. */
static bool charge(const char *const *keys, const struct store_redis_claim *claims, unsigned count,
                   uint32_t epoch, struct store_redis_answer *answer, char error[256])
{
    char bytes[STORE_REDIS_KEYS_MAX][STORE_REDIS_CLAIM_BYTES_MAX], number[4];
    const char *argv[3 + 2 * STORE_REDIS_KEYS_MAX] = {"EVAL", STORE_REDIS_CHARGE_LUA, number};
    size_t lens[3 + 2 * STORE_REDIS_KEYS_MAX] = {4, strlen(STORE_REDIS_CHARGE_LUA), 1};
    int64_t numbers[128];
    snprintf(number, sizeof(number), "%u", count);
    for (unsigned i = 0; i < count; i++) {
        argv[3 + i] = keys[i];
        lens[3 + i] = strlen(keys[i]);
        char *end = store_redis_claim_write(bytes[i], &claims[i], epoch);
        assert_int_equal(end - bytes[i], store_redis_claim_bytes(&claims[i]));
        argv[3 + count + i] = bytes[i];
        lens[3 + count + i] = (size_t)(end - bytes[i]);
    }
    redisReply *reply = redisCommandArgv(redis.client, (int)(3 + 2 * count), argv, lens);
    assert_non_null(reply);
    bool is_good = reply->type == REDIS_REPLY_ARRAY;
    if (!is_good) {
        snprintf(error, 256, "%s", reply->str == NULL ? "?" : reply->str);
    } else {
        for (size_t i = 0; i < reply->elements; i++) {
            assert_int_equal(reply->element[i]->type, REDIS_REPLY_INTEGER);
            numbers[i] = reply->element[i]->integer;
        }
        assert_true(
            store_redis_answer_read(answer, numbers, (unsigned)reply->elements, claims, count));
    }
    freeReplyObject(reply);
    return is_good;
}

static bool charge_one(const char *key, const struct store_redis_claim *claim,
                       struct store_redis_answer *answer)
{
    char error[256];
    bool is_good = charge(&key, claim, 1, EPOCH, answer, error);
    if (!is_good)
        print_error("%s\n", error);
    assert_true(is_good);
    return answer->granted;
}

static struct store_redis_claim claim_of(uint32_t cost, uint32_t minute, uint32_t hour)
{
    struct store_redis_claim claim = {.cost = cost, .window_count = hour == 0 ? 1 : 2};
    claim.windows[0] = (struct store_redis_window){.period_s = 60, .limit = minute};
    claim.windows[1] = (struct store_redis_window){.period_s = 3600, .limit = hour};
    return claim;
}

static void flush(void)
{
    redis_testing_do(&redis, "FLUSHALL");
}

static void test_counts_to_the_limit(void **state)
{
    struct store_redis_claim claim = claim_of(1, 3, 100);
    struct store_redis_answer answer;
    struct redis_stored value;
    (void)state;
    flush();
    uint32_t now = quiet_now_s();
    for (unsigned i = 1; i <= 3; i++) {
        assert_true(charge_one("a", &claim, &answer));
        assert_int_equal(answer.keys[0].windows[0].used, i);
        assert_int_equal(answer.keys[0].windows[1].used, i);
        assert_int_equal(answer.keys[0].windows[0].start_s, now - now % 60);
        assert_int_equal(answer.keys[0].windows[1].start_s, now - now % 3600);
        assert_in_range(answer.now_us / 1000000, now, now + 5);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_false(charge_one("a", &claim, &answer));
        assert_int_equal(answer.keys[0].windows[0].used, 3);
        assert_int_equal(answer.keys[0].windows[1].used, 3);
    }
    assert_true(redis_stored_read(&redis, "a", &value));
    assert_int_equal(value.count, 2);
    assert_int_equal(value.epoch, EPOCH);
    assert_int_equal(value.lineage, answer.keys[0].lineage);
    assert_int_not_equal(value.lineage, 0);
    assert_int_equal(value.windows[0].since, 3);
    long long hour_left_s = 3600 - now % 3600;
    assert_in_range(value.ttl_s, hour_left_s + 60 - 6, hour_left_s + 60);
}

static void test_costs(void **state)
{
    struct store_redis_answer answer;
    (void)state;
    flush();
    quiet_now_s();
    struct store_redis_claim five = claim_of(5, 12, 0), three = claim_of(3, 12, 0),
                             two = claim_of(2, 12, 0), huge = claim_of(UINT32_MAX, INT32_MAX, 0),
                             none = claim_of(1, 0, 0);
    assert_true(charge_one("a", &five, &answer));
    assert_true(charge_one("a", &five, &answer));
    assert_false(charge_one("a", &three, &answer)); /* 10 + 3 */
    assert_int_equal(answer.keys[0].windows[0].used, 10);
    assert_true(charge_one("a", &two, &answer));
    assert_int_equal(answer.keys[0].windows[0].used, 12);
    assert_false(charge_one("b", &huge, &answer));
    assert_false(charge_one("c", &none, &answer));
    assert_int_equal(redis_testing_number(&redis, "EXISTS b c"), 0);
}

/* The hour refuses: the minute is not charged.  One key refuses: the others are not. */
static void test_all_or_nothing(void **state)
{
    const char *const keys[] = {"a", "b", "c"};
    struct store_redis_claim claims[] = {claim_of(1, 100, 2), claim_of(2, 100, 0),
                                         claim_of(1, 3, 1000)};
    struct store_redis_answer answer;
    struct redis_stored value;
    char error[256];
    (void)state;
    flush();
    quiet_now_s();
    for (unsigned i = 0; i < 2; i++) {
        assert_true(charge(keys, claims, 3, EPOCH, &answer, error));
        assert_true(answer.granted);
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_true(charge(keys, claims, 3, EPOCH, &answer, error));
        assert_false(answer.granted);
    }
    static const unsigned used[3] = {2, 4, 2};
    for (unsigned k = 0; k < 3; k++) {
        assert_int_equal(answer.keys[k].windows[0].used, used[k]);
        assert_true(redis_stored_read(&redis, keys[k], &value));
        for (unsigned w = 0; w < value.count; w++)
            assert_int_equal(value.windows[w].since, used[k]);
    }
}

/* A grant is what was wanted, a part of what is left, or what is needed; never more than there is. */
static void test_grants(void **state)
{
    static const struct {
        uint32_t used, cost, least, want, divisor,
            granted; /* of 100; granted UINT32_MAX: nothing */
    } rows[] = {
        {0, 1, 0, 0, 0, 1},
        {0, 1, 0, 10, 2, 10},
        {0, 1, 0, 1000, 2, 50},
        {0, 1, 0, 1000, 8, 12},
        {90, 1, 0, 1000, 8, 1},
        {90, 1, 5, 1000, 8, 5},
        {90, 1, 50, 7, 2, 10},
        {95, 5, 0, 1000, 8, 5},
        {95, 6, 0, 1000, 1, UINT32_MAX},
        {99, 1, 9, 9, 2, 1},
        {100, 1, 9, 9, 2, UINT32_MAX},
        {100, 0, 0, 9, 2, 0},
        {100, 0, 9, 0, 0, 0},
        {0, 3, 1, 2, 2, 3},
        {0, 1, 0, UINT32_MAX, 1, 100},
        {40, 1, 0, 50, 0, 1},
        {0, 1, UINT32_MAX, 0, 0, 100},
        {0, 1, 0, 5, 100000, 1},
    };
    struct store_redis_answer answer;
    (void)state;
    quiet_now_s();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct store_redis_claim first = claim_of(rows[i].used, 100, 1000);
        struct store_redis_claim claim = claim_of(rows[i].cost, 100, 1000);
        flush();
        if (rows[i].used != 0)
            assert_true(charge_one("a", &first, &answer));
        claim.least = rows[i].least;
        claim.want = rows[i].want;
        claim.divisor = rows[i].divisor;
        bool is_granted = rows[i].granted != UINT32_MAX;
        uint32_t granted = is_granted ? rows[i].granted : 0;
        assert_int_equal(charge_one("a", &claim, &answer), is_granted);
        assert_int_equal(answer.keys[0].is_granted, is_granted);
        assert_int_equal(answer.keys[0].granted, granted);
        assert_int_equal(answer.keys[0].windows[0].used, rows[i].used + granted);
        assert_int_equal(answer.keys[0].windows[1].used, rows[i].used + granted);
    }
    struct store_redis_claim hour = claim_of(1, 100, 7); /* the tightest window counts */
    hour.want = 1000;
    hour.divisor = 2;
    flush();
    assert_true(charge_one("a", &hour, &answer));
    assert_int_equal(answer.keys[0].granted, 3);
}

/* A claim that stands apart neither refuses the others nor is refused with them. */
static void test_claims_apart(void **state)
{
    const char *const keys[] = {"a", "b", "c", "d"};
    struct store_redis_claim claims[] = {claim_of(1, 100, 0), claim_of(1, 0, 0),
                                         claim_of(2, 100, 0), claim_of(1, 100, 0)};
    struct store_redis_answer answer;
    char error[256];
    (void)state;
    flush();
    quiet_now_s();
    claims[1].is_apart = true; /* has no room */
    assert_true(charge(keys, claims, 4, EPOCH, &answer, error));
    assert_true(answer.granted && answer.keys[0].is_granted && !answer.keys[1].is_granted);
    assert_int_equal(answer.keys[2].granted, 2);
    claims[0].is_apart = true;
    claims[2].windows[0].limit = 3; /* refuses the two that stand together */
    assert_true(charge(keys, claims, 4, EPOCH, &answer, error));
    assert_false(answer.granted || answer.keys[2].is_granted || answer.keys[3].is_granted);
    assert_true(answer.keys[0].is_granted);
    static const unsigned used[4] = {2, 0, 2, 1};
    for (unsigned k = 0; k < 4; k++)
        assert_int_equal(answer.keys[k].windows[0].used, used[k]);
}

static void test_windows_by_period(void **state)
{
    struct store_redis_answer answer;
    struct redis_stored value;
    (void)state;
    flush();
    quiet_now_s();
    struct store_redis_claim both = claim_of(1, 100, 100);
    struct store_redis_claim swapped = both, day = both;
    swapped.windows[0] = both.windows[1];
    swapped.windows[1] = both.windows[0];
    day.windows[0].period_s = DAY_S;
    assert_true(charge_one("a", &both, &answer));
    assert_true(charge_one("a", &swapped, &answer));
    assert_int_equal(answer.keys[0].windows[0].used, 2);
    assert_int_equal(answer.keys[0].windows[1].used, 2);
    assert_true(charge_one("a", &day, &answer)); /* day, hour: the minute is kept, uncharged */
    assert_int_equal(answer.keys[0].windows[0].used, 1);
    assert_int_equal(answer.keys[0].windows[1].used, 3);
    assert_true(redis_stored_read(&redis, "a", &value));
    assert_int_equal(value.count, 3);
    assert_int_equal(value.windows[2].code, 60);
    assert_int_equal(value.windows[2].since, 2);
    assert_true(charge_one("a", &both, &answer));
    assert_int_equal(answer.keys[0].windows[0].used, 3);
    assert_true(redis_stored_read(&redis, "a", &value));
    assert_true(value.ttl_s > 3660 || now_s() % DAY_S > DAY_S - 3600); /* the day's */
}

/* Windows that are over are dropped, and there are never more than 16. */
static void test_many_periods(void **state)
{
    struct store_redis_answer answer;
    struct redis_stored value;
    (void)state;
    flush();
    for (uint32_t period_s = 3600; period_s < 3640; period_s++) {
        struct store_redis_claim claim = {.cost = 1, .window_count = 1};
        claim.windows[0] = (struct store_redis_window){.period_s = period_s, .limit = 10};
        assert_true(charge_one("a", &claim, &answer));
        assert_int_equal(answer.keys[0].windows[0].used, 1);
        assert_true(redis_stored_read(&redis, "a", &value));
        assert_in_range(value.count, 1, 16);
        assert_int_equal(value.windows[0].code, period_s);
    }
    uint32_t now = quiet_now_s();
    struct redis_stored old = {.epoch = EPOCH, .lineage = 1, .count = 3};
    old.windows[0] = (struct redis_stored_window){60, now - now % 60 - 60, 9, 9, 0};
    old.windows[1] = (struct redis_stored_window){3600, now - now % 3600 - 3600, 9, 9, 0};
    old.windows[2] = (struct redis_stored_window){DAY_S, now - now % DAY_S, 1, 2, 0};
    redis_stored_write(&redis, "b", &old);
    struct store_redis_claim claim = claim_of(1, 5, 0);
    assert_true(charge_one("b", &claim, &answer));
    assert_int_equal(answer.keys[0].windows[0].used, 1);
    assert_true(redis_stored_read(&redis, "b", &value));
    assert_int_equal(value.count, 2);
    assert_memory_equal(&value.windows[1], &old.windows[2], sizeof(struct redis_stored_window));
}

/* A window at most 60 s ahead is kept; one further ahead is set to now and keeps what it used. */
static void test_clock_went_back(void **state)
{
    struct store_redis_answer answer;
    struct redis_stored value = {.epoch = EPOCH, .lineage = 5, .count = 2};
    (void)state;
    flush();
    uint32_t now = quiet_now_s();
    uint32_t minute = now - now % 60, hour = now - now % 3600;
    value.windows[0] = (struct redis_stored_window){60, minute + 60, 4, 3, 0};
    value.windows[1] = (struct redis_stored_window){3600, hour + 7200, 30, 3, 0};
    redis_stored_write(&redis, "a", &value);
    struct store_redis_claim claim = claim_of(1, 10, 40);
    assert_true(charge_one("a", &claim, &answer));
    assert_int_equal(answer.keys[0].windows[0].start_s, minute + 60);
    assert_int_equal(answer.keys[0].windows[0].used, 8);
    assert_int_equal(answer.keys[0].windows[1].start_s, hour);
    assert_int_equal(answer.keys[0].windows[1].used, 34);
    claim = claim_of(1, 8, 40);
    assert_false(charge_one("a", &claim, &answer));
}

/* The server lost what we have seen: it goes on from there, for all proxies. */
static void test_lost_values_continue(void **state)
{
    struct store_redis_answer answer;
    struct redis_stored value;
    (void)state;
    flush();
    uint32_t now = quiet_now_s(), minute = now - now % 60;
    struct store_redis_claim claim = claim_of(1, 10, 0);
    for (unsigned i = 0; i < 6; i++)
        assert_true(charge_one("a", &claim, &answer));
    claim.lineage = answer.keys[0].lineage;
    claim.windows[0].start_s = minute;
    claim.windows[0].seen = 6;
    assert_true(charge_one("a", &claim, &answer)); /* not lost: not counted twice */
    assert_int_equal(answer.keys[0].windows[0].used, 7);
    assert_int_equal(answer.keys[0].lineage, claim.lineage);

    flush();
    claim.windows[0].seen = 7;
    assert_true(charge_one("a", &claim, &answer));
    assert_int_equal(answer.keys[0].windows[0].used, 8);
    assert_int_not_equal(answer.keys[0].lineage, claim.lineage);
    struct store_redis_claim other = claim; /* another proxy, that saw less and comes later */
    other.windows[0].seen = 5;
    assert_true(charge_one("a", &other, &answer));
    assert_int_equal(answer.keys[0].windows[0].used, 9);
    other.windows[0].seen = 9; /* and one that saw more before: 9 before, 2 since */
    assert_false(charge_one("a", &other, &answer));
    assert_int_equal(answer.keys[0].windows[0].used, 11);
    assert_true(redis_stored_read(&redis, "a", &value));
    assert_int_equal(value.windows[0].base, 9);
    assert_int_equal(value.windows[0].since, 2);

    flush(); /* refused, and yet kept for the others */
    claim.windows[0].seen = 10;
    assert_false(charge_one("a", &claim, &answer));
    struct store_redis_claim newcomer = claim_of(1, 10, 0);
    assert_false(charge_one("a", &newcomer, &answer));

    flush(); /* an old window's total says nothing */
    claim.windows[0].start_s = minute - 60;
    assert_true(charge_one("a", &claim, &answer));
    assert_int_equal(answer.keys[0].windows[0].used, 1);
}

/* Another server's epoch: what it counted is our base; a total seen there is not added to it. */
static void test_failover(void **state)
{
    const char *key = "a";
    struct store_redis_answer answer;
    struct redis_stored value = {.epoch = 99, .lineage = 5, .generation = 2, .count = 1};
    char error[256];
    (void)state;
    flush();
    uint32_t now = quiet_now_s(), minute = now - now % 60;
    value.windows[0] = (struct redis_stored_window){60, minute, 2, 5, 1};
    redis_stored_write(&redis, key, &value);
    struct store_redis_claim claim = claim_of(1, 20, 0);
    claim.lineage = 5;
    claim.generation = 2;
    claim.windows[0].start_s = minute;
    claim.windows[0].seen = 9; /* two writes were lost, and a return */
    claim.windows[0].returned = 2;
    claim.windows[0].back = 3; /* granted by the other server */
    assert_true(charge(&key, &claim, 1, EPOCH, &answer, error) && answer.granted);
    assert_int_equal(answer.keys[0].windows[0].used, 5);
    assert_int_equal(answer.keys[0].windows[0].returned, 5);
    assert_true(redis_stored_read(&redis, key, &value));
    assert_int_equal(value.epoch, EPOCH);
    assert_int_not_equal(value.lineage, 5);
    assert_int_equal(value.windows[0].base, 9);
    assert_int_equal(value.windows[0].since, 1);
}

/* What the next server takes over (charged in its lineage before it, returned), what a proxy then says, and what is used
 * before it is granted one. */
static void test_returns_are_taken_over(void **state)
{
    static const struct {
        uint32_t charged, returned, seen, told, back, used;
    } rows[] = {
        {100, 20, 100, 0, 0, 80},   /* nothing was lost: others gave back since */
        {100, 20, 90, 10, 5, 75},   /* nor here, and what is given back counts */
        {100, 20, 120, 20, 0, 100}, /* 20 charges were lost */
        {100, 20, 120, 30, 0, 90},  /* and 10 returns */
        {0, 0, 300, 240, 0, 60},    /* all was lost */
        {0, 0, 300, 240, 60, 0},
        {100, 0, 90, 80, 0,
         100}, /* of another lineage, which says nothing about this one: never lower */
        {100, 0, 120, 115, 0, 100},
        {100, 60, 100, 70, 50, 10}, /* no more than was used when it was seen */
        {50, 0, 60, 0, 10, 50},     /* what is given back had been lost */
        {50, 0, 0, 0, 10, 50},      /* perhaps: nothing was seen */
    };
    const char *key = "a";
    struct store_redis_answer answer;
    char error[256];
    (void)state;
    uint32_t now = quiet_now_s(), minute = now - now % 60;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct redis_stored value = {.epoch = 99, .lineage = 5, .count = 1};
        struct store_redis_claim claim = claim_of(1, 1000, 0);
        flush();
        value.windows[0] =
            (struct redis_stored_window){60, minute, 0, rows[i].charged, rows[i].returned};
        if (rows[i].charged != 0)
            redis_stored_write(&redis, key, &value);
        claim.lineage = 5;
        claim.windows[0].start_s = minute;
        claim.windows[0].seen = rows[i].seen;
        claim.windows[0].returned = rows[i].told;
        claim.windows[0].back = rows[i].back;
        assert_true(charge(&key, &claim, 1, EPOCH, &answer, error) && answer.granted);
        if (answer.keys[0].windows[0].used != rows[i].used + 1)
            print_error("row %zu\n", i);
        assert_int_equal(answer.keys[0].windows[0].used, rows[i].used + 1);
    }
}

/* The server's clock is behind and it lost the value: the window that a proxy has seen stays. */
static void test_later_window_is_adopted(void **state)
{
    struct store_redis_answer answer;
    (void)state;
    flush();
    uint32_t now = quiet_now_s(), minute = now - now % 60;
    struct store_redis_claim claim = claim_of(1, 10, 0);
    claim.lineage = 3;
    claim.windows[0].start_s = minute + 60;
    claim.windows[0].seen = 4;
    assert_true(charge_one("a", &claim, &answer));
    assert_int_equal(answer.keys[0].windows[0].start_s, minute + 60);
    assert_int_equal(answer.keys[0].windows[0].used, 5);

    flush(); /* too far ahead: counted now */
    claim.windows[0].start_s = minute + 600;
    assert_true(charge_one("a", &claim, &answer));
    assert_int_equal(answer.keys[0].windows[0].start_s, minute);
    assert_int_equal(answer.keys[0].windows[0].used, 5);

    flush(); /* nobody saw it: a proxy whose clock is ahead opens no window early */
    claim.windows[0] =
        (struct store_redis_window){.period_s = 60, .limit = 10, .start_s = minute + 60, .debt = 2};
    assert_true(charge_one("a", &claim, &answer));
    assert_int_equal(answer.keys[0].windows[0].start_s, minute);
    assert_int_equal(answer.keys[0].windows[0].used, 3);
}

static void test_debt_and_give_back(void **state)
{
    struct store_redis_answer answer;
    struct redis_stored value;
    (void)state;
    flush();
    uint32_t now = quiet_now_s(), minute = now - now % 60, hour = now - now % 3600;
    struct store_redis_claim claim = claim_of(2, 10, 100);
    assert_true(charge_one("a", &claim, &answer));
    claim.lineage = answer.keys[0].lineage;
    claim.windows[0].start_s = minute;
    claim.windows[1].start_s = hour;
    claim.windows[0].back = claim.windows[1].back = 2;
    assert_true(charge_one("a", &claim, &answer)); /* 2 - 2 + 2 */
    assert_int_equal(answer.keys[0].windows[0].used, 2);
    claim.windows[0].back = claim.windows[1].back = 50; /* never below nothing */
    assert_true(charge_one("a", &claim, &answer));
    assert_int_equal(answer.keys[0].windows[0].used, 2);
    claim.windows[0].back = claim.windows[1].back = 0;
    claim.windows[0].debt = 30; /* over the limit; refused, and billed all the same */
    claim.windows[1].debt = 40;
    assert_false(charge_one("a", &claim, &answer));
    assert_int_equal(answer.keys[0].windows[0].used, 32);
    assert_int_equal(answer.keys[0].windows[1].used, 42);
    assert_true(redis_stored_read(&redis, "a", &value));
    assert_int_equal(value.windows[0].since - value.windows[0].returned, 32);
    claim.windows[0].start_s -= 60; /* of a window that is over */
    claim.windows[1].debt = 0;
    claim.cost = 0;
    claim.windows[0].limit = claim.windows[1].limit = INT32_MAX;
    assert_true(charge_one("a", &claim, &answer)); /* a settlement */
    assert_int_equal(answer.keys[0].windows[0].used, 32);
    claim.windows[0] = (struct store_redis_window){
        .period_s = 60, .limit = 10, .start_s = minute, .debt = UINT32_MAX};
    charge_one("a", &claim, &answer); /* no number wraps */
    charge_one("a", &claim, &answer);
    assert_int_equal(answer.keys[0].windows[0].used, INT32_MAX);
}

/* A reset raises the generation: claims of an older one count no more, a reset that was lost comes back. */
static void test_generations(void **state)
{
    struct store_redis_answer answer;
    (void)state;
    flush();
    uint32_t now = quiet_now_s(), minute = now - now % 60;
    struct redis_stored value = {.epoch = EPOCH, .lineage = 5, .generation = 3, .count = 1};
    value.windows[0] = (struct redis_stored_window){60, minute, 0, 1, 0};
    redis_stored_write(&redis, "a", &value);
    struct store_redis_claim claim = claim_of(1, 10, 0);
    claim.lineage = 4;
    claim.generation = 2;
    claim.windows[0] = (struct store_redis_window){
        .period_s = 60, .limit = 10, .start_s = minute, .seen = 9, .floor = 9, .back = 1};
    assert_true(charge_one("a", &claim, &answer));
    assert_int_equal(answer.keys[0].generation, 3);
    assert_int_equal(answer.keys[0].windows[0].used, 2);
    claim.generation = 4;
    claim.lineage = 5;
    claim.windows[0] =
        (struct store_redis_window){.period_s = 60, .limit = 10, .start_s = minute, .seen = 2};
    assert_true(charge_one("a", &claim, &answer));
    assert_int_equal(answer.keys[0].generation, 4);
    assert_int_equal(answer.keys[0].windows[0].used, 1);

    /* A bucket that was reset is full, whoever tells of the reset. */
    value.windows[0] =
        (struct redis_stored_window){quota_code(60, QUOTA_KIND_BUCKET), minute + 90, 0, 0, 0};
    redis_stored_write(&redis, "a", &value);
    claim.cost = 0;
    claim.is_apart = true;
    claim.windows[0].limit = STORE_REDIS_LIMIT_UNKNOWN;
    assert_true(charge_one("a", &claim, &answer));
    assert_true(redis_stored_read(&redis, "a", &value));
    assert_int_equal(value.generation, 4);
    assert_int_equal(value.count, 1);
    assert_int_equal(value.windows[0].code, 60);
}

static void test_extra(void **state)
{
    struct store_redis_answer answer;
    struct redis_stored value = {.epoch = EPOCH, .lineage = 5, .extra = 2, .count = 1};
    (void)state;
    flush();
    uint32_t now = quiet_now_s();
    value.expires = now + 100;
    value.windows[0] = (struct redis_stored_window){60, now - now % 60, 0, 10, 0};
    redis_stored_write(&redis, "a", &value);
    struct store_redis_claim claim = claim_of(1, 10, 0);
    assert_true(charge_one("a", &claim, &answer));
    assert_true(charge_one("a", &claim, &answer));
    assert_int_equal(answer.keys[0].extra, 2);
    assert_false(charge_one("a", &claim, &answer));
    value.expires = now - 1;
    redis_stored_write(&redis, "a", &value);
    assert_false(charge_one("a", &claim, &answer));
    assert_int_equal(answer.keys[0].extra, 0);
    value.expires = now + 100;
    value.extra = UINT32_MAX;
    redis_stored_write(&redis, "a", &value);
    claim.windows[0].limit = INT32_MAX;
    assert_true(charge_one("a", &claim, &answer));

    value.extra = 5; /* on top of nothing, whichever way it is counted */
    value.windows[0].since = 0;
    for (unsigned is_sliding = 0; is_sliding < 2; is_sliding++) {
        redis_stored_write(&redis, "a", &value);
        claim = claim_of(1, is_sliding ? INT32_MAX : 0, is_sliding);
        claim.windows[1] =
            (struct store_redis_window){.period_s = quota_code(60, QUOTA_KIND_BEFORE)};
        for (unsigned i = 0; i < 5; i++)
            assert_true(charge_one("a", &claim, &answer));
        assert_false(charge_one("a", &claim, &answer));
    }
}

/* Whatever stands under a key that is not ours to read: an error, and nothing is written anywhere. */
static void test_foreign_values(void **state)
{
    const char *const keys[] = {"a", "b"};
    static const struct {
        const char *setup, *error;
    } rows[] = {
        {"SET b x", "SLUICELAYOUT"},
        {"SET b \"\"", "SLUICELAYOUT"},
        {"LPUSH b x", "WRONGTYPE"},
        {"HSET b x y", "WRONGTYPE"},
    };
    struct store_redis_claim claims[] = {claim_of(1, 10, 0), claim_of(1, 10, 0)};
    struct store_redis_answer answer;
    char error[256];
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        flush();
        redis_testing_do(&redis, rows[i].setup);
        assert_false(charge(keys, claims, 2, EPOCH, &answer, error));
        assert_memory_equal(error, rows[i].error, strlen(rows[i].error));
        assert_int_equal(redis_testing_number(&redis, "EXISTS a"), 0);
    }
    static const uint8_t heads[][2] = {{1, 1}, {0, 1}, {2, 2}, {2, 0}, {2, 17}, {255, 255}};
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        uint8_t bytes[44] = {heads[i][0], heads[i][1]};
        flush();
        freeReplyObject(redisCommand(redis.client, "SET b %b", bytes, sizeof(bytes)));
        assert_false(charge(keys, claims, 2, EPOCH, &answer, error));
        assert_memory_equal(error, "SLUICELAYOUT b", 14);
        redisReply *reply = redisCommand(redis.client, "GET b");
        assert_int_equal(reply->len, sizeof(bytes));
        assert_memory_equal(reply->str, bytes, sizeof(bytes));
        freeReplyObject(reply);
    }
    flush();
}

/* A server that may not write says so before anything is written. */
static void test_full_server(void **state)
{
    const char *const keys[] = {"a", "b"};
    struct store_redis_claim claims[] = {claim_of(1, 10, 0), claim_of(1, 10, 0)};
    struct store_redis_answer answer;
    char error[256];
    (void)state;
    flush();
    redis_testing_do(&redis, "CONFIG SET maxmemory 1");
    assert_false(charge(keys, claims, 2, EPOCH, &answer, error));
    redis_testing_do(&redis, "CONFIG SET maxmemory 0");
    assert_memory_equal(error, "OOM", 3);
    redis_testing_do(&redis, "CONFIG SET min-replicas-to-write 1");
    assert_false(charge(keys, claims, 2, EPOCH, &answer, error));
    redis_testing_do(&redis, "CONFIG SET min-replicas-to-write 0");
    assert_memory_equal(error, "NOREPLICAS", 10);
    assert_int_equal(redis_testing_number(&redis, "EXISTS a b"), 0);
}

static void beat(const char *name, const char *fingerprint, long long *same, long long *live)
{
    redisReply *reply = redisCommand(redis.client, "EVAL %s 2 p:proxies p:secret %s %s",
                                     STORE_REDIS_BEAT_LUA, name, fingerprint);
    assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
    assert_int_equal(reply->elements, 2);
    *same = reply->element[0]->integer;
    *live = reply->element[1]->integer;
    freeReplyObject(reply);
}

static void test_heartbeat(void **state)
{
    long long same, live;
    (void)state;
    flush();
    beat("one", "fp", &same, &live);
    assert_int_equal(same * 10 + live, 11);
    beat("two", "fp", &same, &live);
    beat("one", "fp", &same, &live);
    assert_int_equal(same * 10 + live, 12);
    beat("three", "other", &same, &live);
    assert_int_equal(same, 0);
    assert_int_equal(redis_testing_number(&redis, "ZCARD p:proxies"), 2);
    long long now_ms = (long long)now_s() * 1000;
    freeReplyObject(redisCommand(redis.client, "ZADD p:proxies %lld dead %lld ahead %lld gone",
                                 now_ms - 7000, now_ms + 50000, now_ms - 90000));
    beat("one", "fp", &same, &live);
    assert_int_equal(live, 2);
    assert_int_equal(redis_testing_number(&redis, "ZCARD p:proxies"), 4);
    assert_in_range(redis_testing_number(&redis, "TTL p:proxies"), 100, 120);
    assert_in_range(redis_testing_number(&redis, "TTL p:secret"), 100, 120);
    redis_testing_do(&redis, "DEL p:secret");
    beat("one", "", &same, &live); /* a program without a secret */
    assert_int_equal(same, 1);
    assert_int_equal(redis_testing_number(&redis, "EXISTS p:secret"), 0);
}

static void test_answers_that_are_none(void **state)
{
    struct store_redis_claim claim = claim_of(1, 10, 0);
    struct store_redis_answer answer;
    claim.want = 3;
    static const struct {
        int64_t numbers[11];
        unsigned count;
        bool is_good;
    } rows[] = {
        {{1, 1795305600, 5, 9, 0, 0, 2, 1795305600, 1, 0}, 10, true},
        {{1, 1795305600, 5, 9, 0, 0, 4, 1795305600, 3, 7}, 10, true},
        {{0, 1795305600, 999999, 9, 0, 0, 0, 1795305600, 1, 0}, 10, true},
        {{1, 1795305600, 5, 9, 0, 0, 2, 1795305600, 1}, 9, false},
        {{1, 1795305600, 5, 9, 0, 0, 2, 1795305600, 1, 0, 1}, 11, false},
        {{2, 1795305600, 5, 9, 0, 0, 2, 1795305600, 1, 0}, 10, false},
        {{1, -1, 5, 9, 0, 0, 2, 1795305600, 1, 0}, 10, false},
        {{1, 1795305600, 1000000, 9, 0, 0, 2, 1795305600, 1, 0}, 10, false},
        {{1, 1795305600, 5, 9, 0, 0, 2, 1795305600, -1, 0}, 10, false},
        {{1, 1795305600, 5, 9, 0, 0, 2, 1795305600, 1, -1}, 10, false},
        {{1, 1795305600, 5, 9, 0, 0, 2, 1795305600, INT64_MAX, 0}, 10, false},
        {{1, INT64_MIN, 5, 9, 0, 0, 2, 1795305600, 1, 0}, 10, false},
        {{1, 1795305600, 5, 9, 0, 0, 0, 1795305600, 1, 0},
         10,
         false}, /* all were granted, this was not */
        {{0, 1795305600, 5, 9, 0, 0, 2, 1795305600, 1, 0}, 10, false}, /* none was */
        {{1, 1795305600, 5, 9, 0, 0, 1, 1795305600, 1, 0}, 10, false}, /* less than needed */
        {{1, 1795305600, 5, 9, 0, 0, 5, 1795305600, 1, 0}, 10, false}, /* more than wanted */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(
            store_redis_answer_read(&answer, rows[i].numbers, rows[i].count, &claim, 1),
            rows[i].is_good);
    assert_false(store_redis_answer_read(&answer, rows[0].numbers, 0, &claim, 1));
}

static int setup(void **state)
{
    (void)state;
    return redis_testing_start(&redis, NULL) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    redis_testing_end(&redis);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_to_the_limit),
        cmocka_unit_test(test_costs),
        cmocka_unit_test(test_all_or_nothing),
        cmocka_unit_test(test_grants),
        cmocka_unit_test(test_claims_apart),
        cmocka_unit_test(test_windows_by_period),
        cmocka_unit_test(test_many_periods),
        cmocka_unit_test(test_clock_went_back),
        cmocka_unit_test(test_lost_values_continue),
        cmocka_unit_test(test_failover),
        cmocka_unit_test(test_returns_are_taken_over),
        cmocka_unit_test(test_later_window_is_adopted),
        cmocka_unit_test(test_debt_and_give_back),
        cmocka_unit_test(test_generations),
        cmocka_unit_test(test_extra),
        cmocka_unit_test(test_foreign_values),
        cmocka_unit_test(test_full_server),
        cmocka_unit_test(test_heartbeat),
        cmocka_unit_test(test_answers_that_are_none),
    };
    if (!redis_testing_is_installed()) {
        print_message("redis-server is not installed: skipped\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, setup, teardown);
}
