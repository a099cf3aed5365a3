/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_redis_slots - the script that counts slots, in a real Redis: limits, deadlines, commands that were overtaken,
 * values that it must not touch; and the bytes on our side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/redis_testing.h"
#include "store/store_redis_slots.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct redis_testing redis;

static uint32_t now_s(void)
{
    redisReply *reply = redisCommand(redis.client, "TIME");
    uint32_t second = (uint32_t)strtoul(reply->element[0]->str, NULL, 10);
    freeReplyObject(reply);
    return second;
}

static struct store_redis_slots_claim claim_of(uint8_t holder, uint32_t sequence, uint32_t held,
                                               uint32_t want, uint32_t limit)
{
    struct store_redis_slots_claim claim = {
        .sequence = sequence, .held = held, .want = want, .limit = limit};
    memset(claim.holder, holder, sizeof(claim.holder));
    return claim;
}

/* EVAL on the key "f".  False: an error, whose text is in error. */
static bool eval(const struct store_redis_slots_claim *claim,
                 struct store_redis_slots_answer *answer, char error[128])
{
    char bytes[STORE_REDIS_SLOTS_CLAIM_BYTES];
    assert_ptr_equal(store_redis_slots_write(bytes, claim), bytes + sizeof(bytes));
    redisReply *reply =
        redisCommand(redis.client, "EVAL %s 1 f %b", STORE_REDIS_SLOTS_LUA, bytes, sizeof(bytes));
    bool is_good = reply->type == REDIS_REPLY_ARRAY;
    if (is_good) {
        assert_int_equal(reply->elements, 2);
        const int64_t numbers[] = {reply->element[0]->integer, reply->element[1]->integer};
        assert_true(store_redis_slots_read(answer, numbers, 2, claim));
    } else {
        snprintf(error, 128, "%s", reply->str);
    }
    freeReplyObject(reply);
    return is_good;
}

struct holder {
    uint8_t id;
    uint32_t sequence, count;
    int32_t ahead_s; /* of its deadline */
};

static void put32(uint8_t *at, uint32_t number)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(number >> (8 * i));
}

static void write_value(const struct holder *holders, unsigned count)
{
    uint8_t bytes[4 + 20 * 8] = {1};
    for (unsigned i = 0; i < count; i++) {
        memset(bytes + 4 + 20 * i, holders[i].id, 8);
        put32(bytes + 12 + 20 * i, holders[i].sequence);
        put32(bytes + 16 + 20 * i, holders[i].count);
        put32(bytes + 20 + 20 * i, now_s() + (uint32_t)holders[i].ahead_s);
    }
    redisReply *reply =
        redisCommand(redis.client, "SET f %b EX 1000", bytes, (size_t)4 + 20 * count);
    freeReplyObject(reply);
}

static bool is_there(void)
{
    redisReply *reply = redisCommand(redis.client, "EXISTS f");
    bool is = reply->integer == 1;
    freeReplyObject(reply);
    return is;
}

/* The value as the script left it: how many slots a holder has, -1: it is not in it. */
static int count_of(uint8_t id, uint32_t *ahead_s)
{
    redisReply *reply = redisCommand(redis.client, "GET f");
    int count = -1;
    if (reply->type == REDIS_REPLY_STRING) {
        assert_int_equal(reply->len % 20, 4);
        assert_memory_equal(reply->str, "\1\0\0", 4);
        for (size_t at = 4; at < reply->len; at += 20) {
            uint32_t last;
            if ((uint8_t)reply->str[at] != id)
                continue;
            assert_int_equal(count, -1);
            memcpy(&count, reply->str + at + 12, 4);
            memcpy(&last, reply->str + at + 16, 4);
            *ahead_s = last - now_s();
        }
    }
    freeReplyObject(reply);
    return count;
}

static void flush(void)
{
    freeReplyObject(redisCommand(redis.client, "DEL f"));
}

static void test_steps(void **state)
{
    static const struct {
        uint8_t holder;
        uint32_t held, want, limit, granted, used;
    } rows[] = {
        {1, 0, 3, 5, 3, 3},  /* some */
        {2, 0, 3, 5, 2, 5},  /* as far as there is room */
        {1, 3, 1, 5, 0, 5},  /* none */
        {1, 3, 0, 5, 0, 5},  /* said again: nothing changes */
        {1, 3, 0, 1, 0, 5},  /* a limit that was lowered takes nothing away ... */
        {2, 2, 1, 1, 0, 5},  /* ... and gives nothing */
        {2, 1, 0, 0, 0, 4},  /* one is given back */
        {1, 3, 5, 9, 5, 9},  /* a limit that was raised */
        {1, 0, 0, 0, 0, 1},  /* all of it */
        {3, 4, 2, 6, 1, 6},  /* what was held without being asked counts */
        {4, 9, 1, 6, 0, 15}, /* even beyond the limit */
        {4, 0, 1, 6, 0, 6},  /* given back, and the six of others left nothing */
    };
    struct store_redis_slots_answer answer;
    char error[128];
    (void)state;
    flush();
    for (uint32_t i = 0; i < COUNT(rows); i++) {
        struct store_redis_slots_claim claim =
            claim_of(rows[i].holder, i + 1, rows[i].held, rows[i].want, rows[i].limit);
        assert_true(eval(&claim, &answer, error));
        if (answer.granted != rows[i].granted || answer.used != rows[i].used)
            fail_msg("row %u: %u granted, %u used", i, answer.granted, answer.used);
    }
}

static void test_gone_with_the_last(void **state)
{
    struct store_redis_slots_answer answer;
    struct store_redis_slots_claim claim = claim_of(1, 1, 0, 2, 2);
    char error[128];
    uint32_t ahead_s = 0;
    (void)state;
    flush();
    assert_true(eval(&claim, &answer, error));
    assert_int_equal(count_of(1, &ahead_s), 2);
    assert_in_range(ahead_s, 9, 10);
    redisReply *ttl = redisCommand(redis.client, "TTL f");
    assert_in_range(ttl->integer, 19, 20);
    freeReplyObject(ttl);
    claim = claim_of(1, 2, 0, 0, 2);
    assert_true(eval(&claim, &answer, error));
    assert_int_equal(answer.used, 0);
    for (unsigned i = 0; i < 200 && is_there(); i++)
        redis_testing_nap();
    assert_false(is_there());
    claim = claim_of(1, 3, 0, 0, 2); /* of nothing, nothing is written */
    assert_true(eval(&claim, &answer, error));
    assert_false(is_there());
    claim = claim_of(1, 4, 0, 1, 0); /* nor of what is refused */
    assert_true(eval(&claim, &answer, error));
    assert_int_equal(answer.granted, 0);
    assert_false(is_there());
}

/* Values as others left them, and one claim: {1 more of at most 5}. */
static void test_others(void **state)
{
    static const struct {
        const char *name;
        struct holder before[4];
        unsigned count;
        uint32_t sequence, granted, used;
        uint8_t looked_at;
        int left; /* of that holder; -1: it is gone */
        uint32_t ahead_min_s, ahead_max_s;
    } rows[] = {
        {"alive", {{2, 1, 4, 5}}, 1, 1, 1, 5, 2, 4, 4, 5},
        {"full", {{2, 1, 5, 5}}, 1, 1, 0, 5, 2, 5, 4, 5},
        {"dead", {{2, 1, 5, 0}}, 1, 1, 1, 1, 2, -1, 0, 0},
        {"long dead", {{2, 1, 5, -1000000}, {3, 1, 2, 8}}, 2, 1, 1, 3, 2, -1, 0, 0},
        {"ahead, as its clock was", {{2, 1, 5, 3600}}, 1, 1, 0, 5, 2, 5, 9, 10},
        {"overtaken", {{1, 10, 3, 5}, {2, 1, 1, 5}}, 2, 9, 0, 0, 1, 3, 4, 5},
        {"the same again", {{1, 10, 3, 5}}, 1, 10, 1, 1, 1, 1, 9, 10},
        {"later", {{1, 10, 3, 5}}, 1, 11, 1, 1, 1, 1, 9, 10},
        {"later, around the end", {{1, UINT32_MAX - 1, 3, 5}}, 1, 2, 1, 1, 1, 1, 9, 10},
        {"overtaken, around the end", {{1, 2, 3, 5}}, 1, UINT32_MAX, 0, 0, 1, 3, 4, 5},
        {"its own, dead", {{1, 1, 3, -5}}, 1, 2, 1, 1, 1, 1, 9, 10},
        {"nobody", {{0, 0, 0, 0}}, 0, 1, 1, 1, 1, 1, 9, 10},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct store_redis_slots_answer answer;
        struct store_redis_slots_claim claim = claim_of(1, rows[i].sequence, 0, 1, 5);
        char error[128];
        uint32_t ahead_s = 0;
        flush();
        write_value(rows[i].before, rows[i].count);
        assert_true(eval(&claim, &answer, error));
        if (answer.granted != rows[i].granted || answer.used != rows[i].used)
            fail_msg("%s: %u granted, %u used", rows[i].name, answer.granted, answer.used);
        if (count_of(rows[i].looked_at, &ahead_s) != rows[i].left)
            fail_msg("%s: %d are left", rows[i].name, count_of(rows[i].looked_at, &ahead_s));
        if (rows[i].left >= 0)
            assert_in_range(ahead_s, rows[i].ahead_min_s, rows[i].ahead_max_s);
    }
}

static void test_not_ours(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {"", 0}, {"\1", 1}, {"\1\0\0\0x", 5}, {"\2\0\0\0", 4}, {"\1\0\0\0aaaaaaaabbbbccccddd", 23}};
    struct store_redis_slots_answer answer;
    struct store_redis_slots_claim claim = claim_of(1, 1, 1, 1, 5);
    char error[128];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        freeReplyObject(redisCommand(redis.client, "SET f %b", rows[i].bytes, rows[i].len));
        assert_false(eval(&claim, &answer, error));
        assert_non_null(strstr(error, "SLUICELAYOUT"));
        redisReply *reply = redisCommand(redis.client, "GET f");
        assert_int_equal(reply->len, rows[i].len);
        assert_memory_equal(reply->str, rows[i].bytes, rows[i].len);
        freeReplyObject(reply);
    }
    flush();
    freeReplyObject(redisCommand(redis.client, "LPUSH f x"));
    assert_false(eval(&claim, &answer, error));
    assert_non_null(strstr(error, "WRONGTYPE"));
    flush();
}

static void test_bytes(void **state)
{
    static const char want[] = "\7\7\7\7\7\7\7\7\4\3\2\1\5\0\0\0\6\0\0\0\xff\xff\xff\xff";
    static const struct {
        int64_t numbers[2];
        unsigned count;
        bool is_good;
    } rows[] = {
        {{0, 0}, 2, true},          {{6, 6}, 2, true},
        {{7, 7}, 2, false},         {{-1, 0}, 2, false},
        {{0, -1}, 2, false},        {{2, 1}, 2, false},
        {{0, 0}, 1, false},         {{0, 0}, 0, false},
        {{0, UINT32_MAX}, 2, true}, {{0, UINT32_MAX + INT64_C(1)}, 2, false},
    };
    struct store_redis_slots_claim claim = claim_of(7, 0x01020304, 5, 6, UINT32_MAX);
    struct store_redis_slots_answer answer;
    char bytes[STORE_REDIS_SLOTS_CLAIM_BYTES];
    (void)state;
    assert_ptr_equal(store_redis_slots_write(bytes, &claim), bytes + sizeof(bytes));
    assert_memory_equal(bytes, want, sizeof(bytes));
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(store_redis_slots_read(&answer, rows[i].numbers, rows[i].count, &claim),
                         rows[i].is_good);
}

#define HOLDER(n, held, until) "holder" n n "\1\0\0\0" held "\0\0\0" until "\0\0\0"

/* What a value says to who only looks. */
static void test_counting(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        bool is_good;
        uint32_t used;
    } rows[] = {
        {"\1\0\0\0", 4, true, 0},
        {"\1\0\0\0" HOLDER("a", "\3", "\12"), 24, true, 3},
        {"\1\0\0\0" HOLDER("a", "\3", "\11"), 24, true, 0}, /* its deadline is over */
        {"\1\0\0\0" HOLDER("a", "\3", "\12") HOLDER("b", "\4", "\13"), 44, true, 7},
        {"\1\0\0\0" HOLDER("a", "\3", "\12"), 23, false, 0},
        {"\2\0\0\0", 4, false, 0},
        {"", 0, false, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint32_t used = 0;
        struct span value = {rows[i].bytes, rows[i].len};
        assert_int_equal(store_redis_slots_count(value, 9, &used), rows[i].is_good);
        assert_int_equal(used, rows[i].used);
    }
}

static int set_up(void **state)
{
    (void)state;
    return redis_testing_start(&redis, NULL) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    redis_testing_end(&redis);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),  cmocka_unit_test(test_gone_with_the_last),
        cmocka_unit_test(test_others), cmocka_unit_test(test_not_ours),
        cmocka_unit_test(test_bytes),  cmocka_unit_test(test_counting),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
