/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_redis_operate - orders in a real Redis: what they change, keep and refuse to touch; the rights' table against
 * what is sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/redis_stored.h"
#include "store/redis_testing.h"
#include "store/store_redis_greet.h"
#include "store/store_redis_operate.h"
#include "store/store_redis_rights.h"
#include "store/store_redis_script.h"
#include "store/store_redis_slots.h"

#define KEY    "edge:q:{0123456789012345678901}"
#define MINUTE 60
#define DAY    86400

static struct redis_testing redis;

static uint32_t now_s(void)
{
    redisReply *reply = redisCommand(redis.client, "TIME");
    uint32_t second = (uint32_t)strtoul(reply->element[0]->str, NULL, 10);
    freeReplyObject(reply);
    return second;
}

/* Lineage 9. */
static void write_value(uint32_t generation, const struct redis_stored_window *windows,
                        unsigned count)
{
    struct redis_stored value = {
        .epoch = 7, .lineage = 9, .generation = generation, .count = count};
    memcpy(value.windows, windows, count * sizeof(windows[0]));
    redis_stored_write(&redis, KEY, &value);
}

/* False: an error, in `error`. */
static bool operate(struct store_order order, struct store_subject *subject, bool *is_found,
                    char error[256])
{
    char bytes[STORE_REDIS_ORDER_BYTES];
    store_redis_order_write(bytes, &order);
    redisReply *reply = redisCommand(redis.client, "EVAL %s 1 %s %b", STORE_REDIS_OPERATE_LUA, KEY,
                                     bytes, sizeof(bytes));
    assert_non_null(reply);
    bool is_good = reply->type == REDIS_REPLY_STRING;
    if (!is_good)
        snprintf(error, 256, "%s", reply->str == NULL ? "?" : reply->str);
    else
        assert_true(store_redis_order_read(subject, is_found,
                                           (struct span){reply->str, (size_t)reply->len}));
    freeReplyObject(reply);
    return is_good;
}

static struct store_subject done(struct store_order order)
{
    struct store_subject subject;
    bool is_found = false;
    char error[256];
    assert_true(operate(order, &subject, &is_found, error));
    assert_true(is_found);
    return subject;
}

static long long ttl(void)
{
    redisReply *reply = redisCommand(redis.client, "TTL %s", KEY);
    long long seconds = reply->integer;
    freeReplyObject(reply);
    return seconds;
}

static const struct store_order SHOW = {STORE_ORDER_SHOW, 0, 0};
static const struct store_order RESET = {STORE_ORDER_RESET, 0, 0};

static void test_an_unknown_subject_stays_unknown(void **state)
{
    struct store_subject subject;
    bool is_found = true;
    char error[256];
    (void)state;
    redis_testing_do(&redis, "FLUSHALL");
    const struct store_order orders[] = {SHOW, RESET, {STORE_ORDER_GRANT, 5, 60}};
    for (unsigned i = 0; i < 3; i++) {
        assert_true(operate(orders[i], &subject, &is_found, error));
        assert_false(is_found);
        assert_in_range(subject.now_us / 1000000, now_s() - 1, now_s());
    }
    redisReply *reply = redisCommand(redis.client, "DBSIZE");
    assert_int_equal(reply->integer, 0);
    freeReplyObject(reply);
}

static void test_show_changes_nothing(void **state)
{
    (void)state;
    uint32_t now = now_s();
    const struct redis_stored_window windows[] = {{MINUTE, now - now % MINUTE, 3, 4, 2},
                                                  {DAY, now - now % DAY, 0, 9, 0}};
    write_value(2, windows, 2);
    for (unsigned i = 0; i < 2; i++) {
        struct store_subject subject = done(SHOW);
        assert_int_equal(subject.generation, 2);
        assert_int_equal(subject.window_count, 2);
        assert_int_equal(subject.windows[0].code, MINUTE);
        assert_int_equal(subject.windows[0].used, 5);
        assert_int_equal(subject.windows[1].used, 9);
        assert_int_equal(store_subject_extra(&subject), 0);
    }
    assert_in_range(ttl(), 995, 1000);
}

static void test_reset_keeps_starts_and_ttl(void **state)
{
    (void)state;
    uint32_t now = now_s();
    const uint32_t bucket = quota_code(MINUTE, QUOTA_KIND_BUCKET);
    const uint32_t before = quota_code(DAY, QUOTA_KIND_BEFORE);
    const struct redis_stored_window windows[] = {{DAY, now - now % DAY, 3, 5, 1},
                                                  {before, now - now % DAY - DAY, 50, 0, 0},
                                                  {bucket, now + 40, 12345, 0, 0}};
    write_value(2, windows, 3);
    struct store_subject subject = done(RESET);
    assert_int_equal(subject.generation, 2); /* as it was */
    assert_int_equal(subject.windows[0].used, 7);
    store_subject_apply(&subject, &RESET);
    struct store_subject after = done(SHOW);
    assert_int_equal(after.generation, 3);
    assert_int_equal(subject.generation, 3);
    assert_int_equal(after.windows[0].start_s, now - now % DAY);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(after.windows[i].code, windows[i].code);
        assert_int_equal(after.windows[i].used, 0);
    }
    assert_int_equal(after.windows[2].start_s, 1); /* full */
    assert_in_range(ttl(), 995, 1000);
}

/* A charge of this key as a proxy sends it; what came back of its first window. */
static struct store_redis_answer charge(struct store_redis_claim *claim)
{
    char bytes[STORE_REDIS_CLAIM_BYTES_MAX];
    struct store_redis_answer answer;
    int64_t numbers[64];
    char *end = store_redis_claim_write(bytes, claim, 7);
    redisReply *reply = redisCommand(redis.client, "EVAL %s 1 %s %b", STORE_REDIS_CHARGE_LUA, KEY,
                                     bytes, (size_t)(end - bytes));
    assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
    for (size_t i = 0; i < reply->elements; i++)
        numbers[i] = reply->element[i]->integer;
    assert_true(store_redis_answer_read(&answer, numbers, (unsigned)reply->elements, claim, 1));
    freeReplyObject(reply);
    return answer;
}

static void test_what_is_given_back_after_a_reset_is_passed_over(void **state)
{
    (void)state;
    uint32_t now = now_s(), start = now - now % DAY;
    const struct redis_stored_window windows[] = {{DAY, start, 0, 5, 0}};
    write_value(0, windows, 1);
    struct store_redis_claim claim = {.lineage = 9, .cost = 1, .window_count = 1};
    claim.windows[0] =
        (struct store_redis_window){.period_s = DAY, .limit = 5, .start_s = start, .seen = 5};
    assert_false(charge(&claim).granted);
    done(RESET);
    claim.windows[0].back = 3;
    claim.windows[0].floor = 5;
    struct store_redis_answer answer = charge(&claim);
    assert_true(answer.granted);
    assert_int_equal(answer.keys[0].generation, 1);
    assert_int_equal(answer.keys[0].windows[0].used, 1);
    /* Who knows of a reset that Redis lost, has it done again. */
    write_value(0, windows, 1);
    claim.windows[0].back = claim.windows[0].floor = 0;
    claim.generation = 1;
    answer = charge(&claim);
    assert_int_equal(answer.keys[0].windows[0].used, 1);
}

/* A replica that was promoted has the count of before a reset.  Who tells what it has seen, and in which order? */
static void test_a_total_of_before_a_reset_is_not_believed(void **state)
{
    (void)state;
    uint32_t now = now_s(), start = now - now % DAY;
    const struct redis_stored_window windows[] = {{DAY, start, 50, 0, 0}};
    struct store_redis_claim before = {.lineage = 8, .window_count = 1, .is_apart = true};
    before.windows[0] = (struct store_redis_window){
        .period_s = DAY, .limit = INT32_MAX, .start_s = start, .seen = 50, .floor = 50};
    struct store_redis_claim after = before;
    after.generation = 1;
    after.windows[0].seen = 3;
    after.windows[0].floor = 0;
    for (unsigned i = 0; i < 2; i++) { /* who tells first, and again behind the other */
        write_value(0, windows, 1);
        for (unsigned turn = 0; turn < 3; turn++) {
            struct store_redis_answer answer = charge((i + turn) % 2 == 0 ? &before : &after);
            bool was_told = turn > 0 || (i + turn) % 2 == 1;
            assert_int_equal(answer.keys[0].generation, was_told);
            assert_int_equal(answer.keys[0].windows[0].used, was_told ? 3 : 50);
        }
        struct store_subject subject = done(SHOW);
        assert_int_equal(subject.generation, 1);
        assert_int_equal(subject.windows[0].used, 3);
    }
}

static void test_a_grant_lives_as_long_as_it_says(void **state)
{
    (void)state;
    uint32_t now = now_s(), start = now - now % MINUTE;
    const struct redis_stored_window windows[] = {{MINUTE, start, 0, 5, 0}};
    write_value(0, windows, 1);
    const struct store_order grant = {STORE_ORDER_GRANT, 3, 7200};
    struct store_subject subject = done(grant);
    assert_int_equal(subject.extra, 0);
    store_subject_apply(&subject, &grant);
    assert_int_equal(store_subject_extra(&subject), 3);
    struct store_subject after = done(SHOW);
    assert_int_equal(after.extra, 3);
    assert_in_range(after.expires_s, now + 7200, now + 7202);
    assert_int_equal(after.windows[0].used, 5);
    assert_in_range(ttl(), 7255, 7262);
    /* Charges of a minute do not cut it short. */
    struct store_redis_claim claim = {.lineage = 9, .cost = 1, .window_count = 1};
    claim.windows[0] =
        (struct store_redis_window){.period_s = MINUTE, .limit = 1, .start_s = start};
    struct store_redis_answer answer = charge(&claim);
    assert_int_equal(answer.keys[0].extra, 3);
    claim.windows[0].limit = 100;
    assert_true(charge(&claim).granted);
    assert_in_range(ttl(), 7255, 7262);
    /* A reset leaves it alone, one of nothing ends it. */
    done(RESET);
    assert_int_equal(done(SHOW).extra, 3);
    done((struct store_order){STORE_ORDER_GRANT, 0, 1});
    assert_int_equal(done(SHOW).extra, 0);
}

static void test_other_values_are_left_alone(void **state)
{
    struct store_subject subject;
    bool is_found;
    char error[256];
    (void)state;
    const char *const commands[] = {"SET " KEY " short", "SET " KEY " 212345678901234567890123",
                                    "HSET " KEY " a b"};
    const char *const errors[] = {"SLUICELAYOUT", "SLUICELAYOUT", "WRONGTYPE"};
    for (unsigned i = 0; i < 3; i++) {
        redis_testing_do(&redis, "FLUSHALL");
        redis_testing_do(&redis, commands[i]);
        assert_false(operate(RESET, &subject, &is_found, error));
        assert_memory_equal(error, errors[i], strlen(errors[i]));
        assert_int_equal(ttl(), -1);
    }
}

static void test_answers_that_cannot_be(void **state)
{
    struct store_subject subject;
    bool is_found;
    char bytes[512] = {0};
    (void)state;
    const size_t lengths[] = {0, 7, 9, 31, 33, 48, 8 + 24 + 19};
    for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
        assert_false(store_redis_order_read(&subject, &is_found, (struct span){bytes, lengths[i]}));
    bytes[9] = 17; /* windows */
    assert_false(
        store_redis_order_read(&subject, &is_found, (struct span){bytes, 8 + 24 + 20 * 17}));
    bytes[9] = 1;
    memset(bytes + 8 + 24 + 8, 0xff, 8);
    assert_true(store_redis_order_read(&subject, &is_found, (struct span){bytes, 8 + 24 + 20}));
    assert_int_equal(subject.windows[0].used, UINT32_MAX);
    memset(bytes + 8 + 24 + 8, 0, 8);
    memset(bytes + 8 + 24 + 16, 0xff, 4); /* more returned than was charged */
    assert_true(store_redis_order_read(&subject, &is_found, (struct span){bytes, 8 + 24 + 20}));
    assert_int_equal(subject.windows[0].used, 0);
}

/* ---- the table of rights ---- */

static bool is_granted(const char *rule)
{
    for (unsigned i = 0; i < STORE_REDIS_RIGHT_COUNT; i++) {
        if (strcmp(STORE_REDIS_RIGHTS[i].rule, rule) == 0)
            return true;
    }
    return false;
}

static void expect_rule(const char *words, size_t len)
{
    char rule[64] = "+";
    for (size_t i = 0; i < len; i++)
        rule[i + 1] = (char)(words[i] >= 'A' && words[i] <= 'Z' ? words[i] | 0x20 : words[i]);
    if (!is_granted(rule))
        print_error("no right %s\n", rule);
    assert_true(is_granted(rule));
}

static void test_every_command_of_the_scripts_has_a_right(void **state)
{
    (void)state;
    const char *const scripts[] = {STORE_REDIS_CHARGE_LUA, STORE_REDIS_BEAT_LUA,
                                   STORE_REDIS_SLOTS_LUA, STORE_REDIS_OPERATE_LUA};
    unsigned calls = 0;
    for (unsigned i = 0; i < 4; i++) {
        for (const char *at = scripts[i]; (at = strstr(at, "call('")) != NULL; calls++) {
            at += strlen("call('");
            expect_rule(at, strcspn(at, "'"));
        }
    }
    assert_true(calls > 12);
}

static void test_every_command_of_the_handshake_has_a_right(void **state)
{
    (void)state;
    struct store_redis_conf conf = {
        .database = 3, .prefix = SPAN("edge"), .secret_fingerprint = SPAN("x"), .is_durable = true};
    for (unsigned step = 0; step < STORE_REDIS_STEPS; step++) {
        char *command, first[32] = "", second[32] = "", rule[80];
        size_t len;
        assert_int_equal(store_redis_greet_format((enum store_redis_step)step, STORE_REDIS_STORE,
                                                  &conf, SPAN("me"), &command, &len),
                         ERR_OK);
        if (len == 0)
            continue;
        sscanf(command, "*%*d\r\n$%*d\r\n%31s\r\n$%*d\r\n%31s", first, second);
        snprintf(rule, sizeof(rule), "%s", first);
        if (strcmp(first, "CLIENT") == 0 || strcmp(first, "SCRIPT") == 0)
            snprintf(rule, sizeof(rule), "%s|%s", first, second);
        expect_rule(rule, strlen(rule));
        free(command);
    }
}

static void test_the_line(void **state)
{
    char line[STORE_REDIS_RIGHT_LINE];
    (void)state;
    struct store_redis_conf conf = {.prefix = SPAN("edge")};
    store_redis_rights_line(line, &conf, false);
    assert_memory_equal(line, "ACL SETUSER sluice reset on >PASSWORD +evalsha ", 47);
    assert_non_null(strstr(line, " ~edge:q:* "));
    assert_non_null(strstr(line, " +subscribe ~edge:q:* "));
    assert_non_null(strstr(line, " ~edge:{fleet}:secret &edge:recall"));
    assert_null(strstr(line, "{p}"));
    assert_null(strstr(line, "cluster"));
    assert_null(strstr(line, "sentinel"));
    assert_null(strstr(line, "+wait"));
    conf.is_durable = true;
    store_redis_rights_line(line, &conf, false);
    assert_non_null(strstr(line, " +wait +publish "));
    conf.topology = STORE_REDIS_CLUSTER;
    store_redis_rights_line(line, &conf, false);
    assert_non_null(strstr(line, " +cluster|slots +asking "));
    conf.topology = STORE_REDIS_SENTINELS;
    conf.sentinel_username = SPAN("watcher");
    store_redis_rights_line(line, &conf, true);
    assert_string_equal(line, "ACL SETUSER watcher reset on >PASSWORD "
                              "+sentinel|get-master-addr-by-name +ping +client|setname");
    const struct store_redis_right *get = &STORE_REDIS_RIGHTS[3];
    assert_string_equal(get->rule, "+get");
    static const struct {
        const char *error;
        bool is_missing;
    } rows[] = {
        {"NOPERM this user has no permissions to run the 'get' command", true},
        {"NOPERM User keyring has no permissions to run the 'get' command", true},
        {"NOPERM this user has no permissions to access one of the keys used as arguments", false},
        {"NOPERM No permissions to access a key", false},
        {"NOPERM this user has no permissions to access one of the channels used as arguments",
         false},
        {"WRONGTYPE Operation against a key", false},
        {"", false},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(store_redis_right_is_missing(get, span_of(rows[i].error)),
                         rows[i].is_missing);
}

static int start(void **state)
{
    (void)state;
    return redis_testing_start(&redis, NULL) ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    redis_testing_end(&redis);
    return 0;
}

int main(void)
{
    const struct CMUnitTest pure[] = {
        cmocka_unit_test(test_answers_that_cannot_be),
        cmocka_unit_test(test_every_command_of_the_scripts_has_a_right),
        cmocka_unit_test(test_every_command_of_the_handshake_has_a_right),
        cmocka_unit_test(test_the_line),
    };
    const struct CMUnitTest real[] = {
        cmocka_unit_test(test_an_unknown_subject_stays_unknown),
        cmocka_unit_test(test_show_changes_nothing),
        cmocka_unit_test(test_reset_keeps_starts_and_ttl),
        cmocka_unit_test(test_what_is_given_back_after_a_reset_is_passed_over),
        cmocka_unit_test(test_a_total_of_before_a_reset_is_not_believed),
        cmocka_unit_test(test_a_grant_lives_as_long_as_it_says),
        cmocka_unit_test(test_other_values_are_left_alone),
    };
    int failed = cmocka_run_group_tests(pure, NULL, NULL);
    if (!redis_testing_is_installed()) {
        print_message("redis-server is not installed: skipped\n");
        return failed;
    }
    return failed + cmocka_run_group_tests(real, start, stop);
}
