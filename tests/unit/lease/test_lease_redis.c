/* SPDX-License-Identifier: Apache-2.0 */
/* test_lease_redis - quotas counted in a real Redis that is there: exact over proxies, all or nothing,
 * refusals remembered, memory of what Redis forgot. */
#include "lease/lease_testing.h"

static void test_counts(void **state)
{
    struct proxy proxy;
    struct question question;
    (void)state;
    flush();
    begin_up(&proxy);
    for (unsigned i = 1; i <= 5; i++) {
        assert_int_equal(ask(&proxy, &HOUR_5, 1, 1, &question), QUOTA_ALLOW);
        assert_false(question.was_at_once);
        const struct quota_charge *charge = &question.ask.charges[0];
        assert_true(charge->is_charged && !charge->is_degraded && !charge->is_skipped);
        assert_int_equal(charge->source, QUOTA_SOURCE_STORE);
        assert_int_equal(charge->readings[0].used, i);
        assert_int_equal(charge->readings[0].limit, 5);
        assert_int_equal(charge->readings[0].start_s % 3600, 0);
        assert_int_equal(question.ask.decision.remaining, 5 - i);
    }
    assert_int_equal(ask(&proxy, &HOUR_5, 1, 1, &question), QUOTA_REFUSE);
    assert_false(question.was_at_once);
    assert_false(question.ask.charges[0].is_charged);
    assert_int_equal(question.ask.charges[0].source, QUOTA_SOURCE_STORE);
    assert_true(question.ask.charges[0].readings[0].refused);
    assert_in_range(question.ask.decision.retry_after_s, 1, 3600);
    assert_int_equal(ask(&proxy, &HOUR_5, 2, 6, &question), QUOTA_REFUSE); /* never fits */
    assert_int_equal(question.ask.decision.retry_after_s, 0);
    assert_true(are_keys_mortal());

    prepare(&question, &proxy, &HOUR_5, 3, 1);
    question.ask.count = 0;
    assert_int_equal(finish(&question), QUOTA_NONE);
    assert_true(question.was_at_once);
    end(&proxy);
}

/* A flood over the limit costs the store next to nothing; a cheaper request is asked for. */
static void test_refusals_are_remembered(void **state)
{
    struct proxy proxy;
    struct question question;
    (void)state;
    flush();
    begin_up(&proxy);
    assert_int_equal(ask(&proxy, &HOUR_5, 1, 3, &question), QUOTA_ALLOW);
    assert_int_equal(ask(&proxy, &HOUR_5, 1, 3, &question), QUOTA_REFUSE);
    uint64_t commands = loop_testing_metric(&proxy.loop, METRICS_STORE_COMMANDS);
    unsigned at_once = 0;
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(ask(&proxy, &HOUR_5, 1, 3, &question), QUOTA_REFUSE);
        if (!question.was_at_once)
            continue;
        at_once++;
        assert_int_equal(question.ask.charges[0].source, QUOTA_SOURCE_LEASE);
        assert_int_equal(question.ask.charges[0].readings[0].used, 3);
        assert_int_equal(question.ask.decision.remaining, 2);
        assert_in_range(question.ask.decision.retry_after_s, 1, 3600);
    }
    commands = loop_testing_metric(&proxy.loop, METRICS_STORE_COMMANDS) - commands;
    assert_in_range(at_once, 180, 200);
    assert_in_range(commands, 0, 20);
    assert_int_equal(ask(&proxy, &HOUR_5, 1, 2, &question), QUOTA_ALLOW);
    end(&proxy);
}

static void test_several_quotas(void **state)
{
    struct proxy proxy;
    struct question question;
    (void)state;
    flush();
    begin_up(&proxy);
    for (unsigned i = 0; i < 8; i++) {
        prepare(&question, &proxy, &HOUR_20, 1, 3);
        add(&question, &HOUR_5, 1, 1);
        add(&question, &ALLOWS, 1, 2);
        assert_int_equal(finish(&question), i < 5 ? QUOTA_ALLOW : QUOTA_REFUSE);
        const struct quota_charge *charges = question.ask.charges;
        unsigned admitted = i < 5 ? i + 1 : 5;
        assert_int_equal(charges[0].readings[0].used, 3 * admitted);
        assert_int_equal(charges[0].readings[1].used, 3 * admitted);
        assert_int_equal(charges[1].readings[0].used, admitted);
        assert_int_equal(charges[2].readings[0].used, 2 * admitted);
        assert_int_equal(charges[0].readings[0].refused, false);
        assert_int_equal(charges[1].readings[0].refused, i >= 5);
    }
    prepare(&question, &proxy, &HOUR_20, 1, 1); /* the same subject twice in one request */
    add(&question, &HOUR_20, 1, 1);
    assert_int_equal(finish(&question), QUOTA_ALLOW);
    assert_int_equal(question.ask.charges[0].readings[0].used, 17);
    assert_int_equal(question.ask.charges[1].readings[0].used, 17);
    prepare(&question, &proxy, &HOUR_20, 1, 2);
    add(&question, &HOUR_20, 1, 2);
    assert_int_equal(finish(&question), QUOTA_REFUSE);
    end(&proxy);
}

static void test_two_proxies_exactly(void **state)
{
    struct proxy proxies[2];
    struct flood floods[2];
    pthread_t threads[2];
    unsigned admitted = 0, refused = 0;
    struct store_redis_conf conf = conf_of(&redis);
    (void)state;
    flush();
    conf.decision_timeout_us = conf.command_timeout_us = 5000000; /* a slow machine is no test */
    for (unsigned p = 0; p < 2; p++) {
        begin(&proxies[p], &conf);
        wait_up(&proxies[p]);
        floods[p] = (struct flood){&proxies[p], calloc(900, sizeof(struct question)), 900};
        for (unsigned i = 0; i < 900; i++)
            prepare(&floods[p].questions[i], &proxies[p], &HOUR_1000, 7, 1);
    }
    for (unsigned p = 0; p < 2; p++)
        pthread_create(&threads[p], NULL, run_flood, &floods[p]);
    for (unsigned p = 0; p < 2; p++) {
        pthread_join(threads[p], NULL);
        admitted += count_verdicts(&floods[p], QUOTA_ALLOW);
        refused += count_verdicts(&floods[p], QUOTA_REFUSE);
    }
    assert_int_equal(admitted, 1000);
    assert_int_equal(refused, 800);
    struct question question;
    assert_int_equal(ask(&proxies[0], &HOUR_1000, 7, 0, &question), QUOTA_ALLOW);
    assert_int_equal(question.ask.charges[0].readings[0].used, 1000);
    assert_int_equal(question.ask.charges[0].readings[1].used, 1000);
    assert_true(are_keys_mortal());
    assert_int_equal(redis_testing_number(&redis, "ZCARD test:{fleet}:proxies"), 2);
    for (unsigned p = 0; p < 2; p++) {
        free(floods[p].questions);
        end(&proxies[p]);
    }
}

static void test_flushed(void **state)
{
    struct proxy proxy, other;
    struct question question;
    (void)state;
    flush();
    begin_up(&proxy);
    begin_up(&other);
    assert_int_equal(ask_many(&proxy, &HOUR_20, 1, 12, QUOTA_ALLOW), 12);
    redis_testing_do(&redis, "FLUSHALL");
    assert_int_equal(ask(&proxy, &HOUR_20, 1, 1, &question), QUOTA_ALLOW);
    assert_int_equal(question.ask.charges[0].readings[0].used, 13);
    assert_int_equal(ask_many(&other, &HOUR_20, 1, 10, QUOTA_ALLOW), 7);
    redis_testing_do(&redis, "SCRIPT FLUSH");
    assert_int_equal(ask(&proxy, &HOUR_20, 2, 1, &question), QUOTA_ALLOW);
    assert_int_equal(question.ask.charges[0].readings[0].used, 1);
    end(&proxy);
    end(&other);
}

static void test_other_secret(void **state)
{
    struct proxy first, second;
    struct question question;
    struct store_redis_conf conf = conf_of(&redis);
    (void)state;
    flush();
    begin_up(&first);
    conf.secret_fingerprint = SPAN("9999999999999999999999");
    begin(&second, &conf);
    unsigned waited = 0;
    while (told_testing_count(&second.told, "another subject_secret") == 0 && waited++ < 2000)
        redis_testing_nap();
    assert_int_equal(told_testing_count(&second.told, "store_lost"), 1);
    assert_int_equal(ask(&second, &DENIES, 1, 1, &question), QUOTA_UNAVAILABLE);
    assert_int_equal(ask(&first, &DENIES, 1, 1, &question), QUOTA_ALLOW);
    end(&first);
    end(&second);
}

static void test_password_user_and_database(void **state)
{
    struct proxy proxy;
    struct question question;
    struct store_redis_conf conf = conf_of(&redis);
    (void)state;
    flush();
    redis_testing_do(
        &redis, "ACL SETUSER sluice on >open-sesame ~test:* -@all +evalsha +eval +script|load +get "
                "+set +expire +pexpire +time +zadd +zcount +zremrangebyscore +info +role +ping "
                "+select +client|setname");
    conf.username = SPAN("sluice");
    conf.password = SPAN("open-sesame");
    conf.database = 3;
    begin(&proxy, &conf);
    wait_up(&proxy);
    assert_int_equal(ask(&proxy, &HOUR_20, 1, 1, &question), QUOTA_ALLOW);
    redis_testing_do(&redis, "SELECT 3");
    assert_int_equal(redis_testing_number(&redis, "DBSIZE"), 3);
    redis_testing_do(&redis, "SELECT 0");
    assert_int_equal(redis_testing_number(&redis, "DBSIZE"), 0);
    end(&proxy);
    conf.password = SPAN("wrong");
    begin(&proxy, &conf);
    unsigned waited = 0;
    while (told_testing_count(&proxy.told, "WRONGPASS") == 0 && waited++ < 2000)
        redis_testing_nap();
    assert_int_equal(told_testing_count(&proxy.told, "WRONGPASS"), 1);
    end(&proxy);
    redis_testing_do(&redis, "ACL DELUSER sluice");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_refusals_are_remembered),
        cmocka_unit_test(test_several_quotas),
        cmocka_unit_test(test_two_proxies_exactly),
        cmocka_unit_test(test_flushed),
        cmocka_unit_test(test_other_secret),
        cmocka_unit_test(test_password_user_and_database),
    };
    if (!redis_testing_is_installed()) {
        print_message("redis-server is not installed: skipped\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, setup_redis, teardown_redis);
}
