/* SPDX-License-Identifier: Apache-2.0 */
/* test_lease_away - quotas while Redis is stopped, dead, full, slow or refuses a key: who is admitted, what
 * is billed afterwards, what goes back. */
#include "lease/lease_testing.h"

/* Two workers of one process, the store away, one subject: together they admit one share.  Then the store
 * is back, and together they bill it, once. */
static void test_workers_share(void **state)
{
    struct proxy workers[2];
    struct flood floods[2];
    pthread_t threads[2];
    struct question question;
    unsigned admitted = 0;
    (void)state;
    flush();
    begin_up(&workers[0]);
    begin_second(&workers[1], &workers[0]);
    wait_up(&workers[0]);
    assert_int_equal(ask_many(&workers[1], &HOUR_1000, 7, 10, QUOTA_ALLOW), 10);
    redis_testing_kill(&redis);
    assert_true(loop_testing_until(&workers[0].loop, is_down, &workers[0]));
    for (unsigned w = 0; w < 2; w++) {
        floods[w] = (struct flood){&workers[w], calloc(400, sizeof(struct question)), 400};
        for (unsigned i = 0; i < 400; i++) {
            prepare(&floods[w].questions[i], &workers[w], &HOUR_1000, 7, 1);
            add(&floods[w].questions[i], &HOUR_1000, 100 + i % 7, 1);
        }
    }
    for (unsigned w = 0; w < 2; w++)
        pthread_create(&threads[w], NULL, run_flood, &floods[w]);
    for (unsigned w = 0; w < 2; w++) {
        pthread_join(threads[w], NULL);
        admitted += count_verdicts(&floods[w], QUOTA_DEGRADED_ALLOW);
    }
    assert_int_equal(admitted, 495); /* (1000 - 10) / 2 */
    assert_true(redis_testing_start(&redis, NULL));
    wait_up(&workers[0]);
    assert_true(loop_testing_until(&workers[0].loop, is_settled, &workers[0]));
    assert_true(loop_testing_until(&workers[1].loop, is_settled, &workers[1]));
    assert_int_equal(ask(&workers[0], &HOUR_1000, 7, 0, &question), QUOTA_ALLOW);
    assert_int_equal(question.ask.charges[0].readings[0].used, 505);
    unsigned others = 0;
    for (unsigned i = 0; i < 7; i++) {
        assert_int_equal(ask(&workers[1], &HOUR_1000, 100 + i, 0, &question), QUOTA_ALLOW);
        others += question.ask.charges[0].readings[0].used;
    }
    assert_int_equal(others, 495);
    for (unsigned w = 0; w < 2; w++)
        free(floods[w].questions);
    end(&workers[1]);
    end(&workers[0]);
}

/* Killed: half of what was left, at once; back: billed, and exact again. */
static void test_killed_and_back(void **state)
{
    struct proxy proxy;
    struct question question;
    (void)state;
    flush();
    begin_up(&proxy);
    assert_int_equal(ask_many(&proxy, &HOUR_20, 1, 4, QUOTA_ALLOW), 4);
    redis_testing_kill(&redis);
    assert_int_equal(ask_many(&proxy, &HOUR_20, 1, 6, QUOTA_DEGRADED_ALLOW), 6);
    assert_int_equal(ask(&proxy, &HOUR_20, 1, 3, &question), QUOTA_DEGRADED_REFUSE);
    assert_int_equal(ask(&proxy, &HOUR_20, 1, 2, &question), QUOTA_DEGRADED_ALLOW);
    assert_true(question.was_at_once);
    assert_true(question.ask.charges[0].is_degraded && question.ask.charges[0].is_charged);
    assert_int_equal(question.ask.charges[0].source, QUOTA_SOURCE_LOCAL);
    assert_int_equal(question.ask.charges[0].readings[0].limit, 8); /* (20 - 4) / 2 */
    assert_int_equal(question.ask.charges[0].readings[0].used, 8);
    assert_int_equal(question.ask.charges[0].readings[1].limit, 498);
    assert_int_equal(ask(&proxy, &HOUR_20, 1, 1, &question), QUOTA_DEGRADED_REFUSE);
    assert_in_range(question.ask.decision.retry_after_s, 1, 3600);
    assert_int_equal(ask_many(&proxy, &HOUR_20, 2, 12, QUOTA_DEGRADED_ALLOW), 10); /* never seen */
    assert_true(is_down(&proxy));

    assert_true(redis_testing_start(&redis, NULL)); /* empty: nothing was saved */
    wait_trusted(&proxy);
    assert_int_equal(ask(&proxy, &HOUR_20, 1, 1, &question), QUOTA_ALLOW);
    assert_int_equal(question.ask.charges[0].readings[0].used, 13);
    assert_int_equal(question.ask.charges[0].readings[0].limit, 20);
    assert_int_equal(ask_many(&proxy, &HOUR_20, 1, 9, QUOTA_ALLOW), 7);
    assert_int_equal(told_testing_count(&proxy.told, "store_lost"), 1);
    assert_int_equal(told_testing_count(&proxy.told, "store_back"), 1);
    end(&proxy);
}

/* Debts of subjects that do not come again are billed all the same. */
static void test_debts_are_billed(void **state)
{
    struct proxy proxy, other;
    struct question question;
    (void)state;
    flush();
    begin_up(&proxy);
    redis_testing_kill(&redis);
    for (unsigned subject = 0; subject < 50; subject++) {
        assert_int_equal(ask(&proxy, &HOUR_20, subject, 2, &question), QUOTA_DEGRADED_ALLOW);
        assert_int_equal(ask(&proxy, &HOUR_20, subject, 1, &question), QUOTA_DEGRADED_ALLOW);
    }
    assert_true(redis_testing_start(&redis, NULL));
    wait_trusted(&proxy);
    assert_true(loop_testing_until(&proxy.loop, is_settled, &proxy));
    begin_up(&other);
    for (unsigned subject = 0; subject < 50; subject++) {
        assert_int_equal(ask(&other, &HOUR_20, subject, 1, &question), QUOTA_ALLOW);
        assert_int_equal(question.ask.charges[0].readings[0].used, 4);
        assert_int_equal(question.ask.charges[0].readings[1].used, 4);
    }
    assert_true(are_keys_mortal());
    end(&proxy);
    end(&other);
}

/* Stopped: nobody waits longer than the decision timeout, later nobody waits at all. */
static void test_stopped(void **state)
{
    struct proxy proxy;
    struct question question;
    uint64_t most_us = 0;
    (void)state;
    flush();
    begin_up(&proxy);
    assert_int_equal(ask_many(&proxy, &HOUR_1000, 1, 10, QUOTA_ALLOW), 10);
    kill(redis.pid, SIGSTOP);
    unsigned admitted = 0;
    while (is_up(&proxy) && admitted < 400) {
        assert_int_equal(ask(&proxy, &HOUR_1000, 1, 1, &question), QUOTA_DEGRADED_ALLOW);
        admitted++;
        uint64_t waited_us = clock_mono_us() - question.ask.asked_at_us;
        most_us = waited_us > most_us ? waited_us : most_us;
    }
    assert_true(is_down(&proxy));
    assert_true(admitted >= 3);
    assert_int_equal(ask(&proxy, &HOUR_1000, 1, 1, &question), QUOTA_DEGRADED_ALLOW);
    assert_true(question.was_at_once);
    assert_true(loop_testing_metric(&proxy.loop, METRICS_STORE_TIMEOUTS) >= 3);
    kill(redis.pid, SIGCONT);
    wait_trusted(&proxy);
    /* What was in flight may have been executed as well as billed: never less than was admitted. */
    assert_int_equal(ask(&proxy, &HOUR_1000, 1, 1, &question), QUOTA_ALLOW);
    assert_in_range(question.ask.charges[0].readings[0].used, 10 + admitted + 2,
                    10 + 2 * admitted + 3);
    assert_true(most_us < 5000000);
    end(&proxy);
}

static void ask_and_cancel(void *arg)
{
    struct question *question = arg;
    decide(question);
    assert_false(question->was_at_once);
    lease_cancel(question->proxy->worker, &question->ask);
    lease_cancel(question->proxy->worker, &question->ask);
}

static bool is_quiet(void *arg)
{
    const struct proxy *proxy = arg;
    return proxy->worker->late == 0 && is_settled(arg);
}

/* Gone while the store was asked: what it granted goes back, once. */
static void test_cancelled(void **state)
{
    struct proxy proxy;
    struct question question;
    (void)state;
    flush();
    begin_up(&proxy);
    assert_int_equal(ask(&proxy, &HOUR_20, 1, 2, &question), QUOTA_ALLOW);
    for (unsigned i = 0; i < 7; i++) {
        struct question gone;
        prepare(&gone, &proxy, &HOUR_20, 1, 3);
        add(&gone, &HOUR_5, 1, 1);
        loop_testing_call(&proxy.loop, ask_and_cancel, &gone);
        assert_true(loop_testing_until(&proxy.loop, is_quiet, &proxy));
        assert_false(gone.is_done);
    }
    prepare(&question, &proxy, &HOUR_20, 1, 1);
    add(&question, &HOUR_5, 1, 1);
    assert_int_equal(finish(&question), QUOTA_ALLOW);
    assert_int_equal(question.ask.charges[0].readings[0].used, 3);
    assert_int_equal(question.ask.charges[0].readings[1].used, 3);
    assert_int_equal(question.ask.charges[1].readings[0].used, 1);
    lease_cancel(proxy.worker, &question.ask); /* decided: nothing to cancel */
    end(&proxy);
}

/* Slow, but not lost: a late grant stands for what was admitted here meanwhile. */
static void test_late(void **state)
{
    struct proxy proxy;
    struct question question;
    struct store_redis_conf conf = conf_of(&redis);
    (void)state;
    flush();
    conf.command_timeout_us = 20000000;
    begin(&proxy, &conf);
    wait_trusted(&proxy);
    assert_int_equal(ask_many(&proxy, &HOUR_1000, 1, 5, QUOTA_ALLOW), 5);
    kill(redis.pid, SIGSTOP);
    for (unsigned i = 0; i < 4; i++) {
        prepare(&question, &proxy, &HOUR_1000, 1, 1);
        add(&question, &ALLOWS, 1, 1);
        assert_int_equal(finish(&question), QUOTA_DEGRADED_ALLOW);
        assert_false(question.was_at_once);
        prepare(&question, &proxy, &HOUR_1000, 1, 1);
        add(&question, &DENIES, 1, 1);
        assert_int_equal(finish(&question), QUOTA_UNAVAILABLE);
    }
    kill(redis.pid, SIGCONT);
    assert_true(loop_testing_until(&proxy.loop, is_quiet, &proxy));
    prepare(&question, &proxy, &HOUR_1000, 1, 0);
    add(&question, &ALLOWS, 1, 0);
    add(&question, &DENIES, 1, 0);
    assert_int_equal(finish(&question), QUOTA_ALLOW);
    assert_int_equal(question.ask.charges[0].readings[0].used, 9); /* 5 and the 4 that passed */
    assert_int_equal(question.ask.charges[1].readings[0].used, 4);
    assert_int_equal(question.ask.charges[2].readings[0].used, 0);
    assert_int_equal(loop_testing_metric(&proxy.loop, METRICS_STORE_TIMEOUTS), 8);
    assert_int_equal(loop_testing_metric(&proxy.loop, METRICS_STORE_LOST), 0);
    end(&proxy);
}

static void test_modes(void **state)
{
    struct proxy proxy, lonely;
    struct question question;
    struct store_redis_conf conf = conf_of(&redis);
    (void)state;
    flush();
    redis_testing_kill(&redis);
    begin(&proxy, &conf);
    assert_int_equal(ask(&proxy, &ALLOWS, 1, 1, &question), QUOTA_DEGRADED_ALLOW);
    assert_true(question.ask.charges[0].is_skipped);
    assert_false(question.ask.decision.has_binding);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(ask(&proxy, &DENIES, 1, 1, &question), QUOTA_UNAVAILABLE);
        assert_in_range(question.ask.decision.retry_after_s, 1, 5);
        assert_false(question.ask.decision.has_binding);
    }
    prepare(&question, &proxy, &HOUR_20, 1, 1); /* one denies: nothing is charged anywhere */
    add(&question, &DENIES, 1, 1);
    add(&question, &ALLOWS, 1, 1);
    assert_int_equal(finish(&question), QUOTA_UNAVAILABLE);
    prepare(&question, &proxy, &HOUR_20, 1, 1);
    add(&question, &ALLOWS, 1, 1);
    assert_int_equal(finish(&question), QUOTA_DEGRADED_ALLOW);
    assert_true(question.ask.decision.has_binding);
    assert_int_equal(question.ask.charges[0].readings[0].used, 1);
    assert_int_equal(question.ask.charges[0].readings[0].limit, 10); /* never seen: fleet_size */
    prepare(&question, &proxy, &HOUR_20, 1, 1);                      /* all or nothing here too */
    add(&question, &HOUR_5, 1, 3);
    assert_int_equal(finish(&question), QUOTA_DEGRADED_REFUSE);
    assert_int_equal(question.ask.charges[0].readings[0].used, 1);
    assert_int_equal(question.ask.charges[1].readings[0].used, 0);
    end(&proxy);

    conf.fleet_size = 0; /* nobody knows how many share */
    begin(&lonely, &conf);
    assert_int_equal(ask(&lonely, &HOUR_20, 1, 1, &question), QUOTA_UNAVAILABLE);
    assert_true(redis_testing_start(&redis, NULL));
    wait_up(&lonely);
    assert_int_equal(ask(&lonely, &HOUR_20, 1, 1, &question), QUOTA_ALLOW);
    redis_testing_kill(&redis);
    assert_true(loop_testing_until(&lonely.loop, is_down, &lonely));
    assert_int_equal(ask(&lonely, &HOUR_20, 1, 1, &question), QUOTA_DEGRADED_ALLOW);
    assert_int_equal(question.ask.charges[0].readings[0].limit, 19); /* it was alone */
    assert_true(redis_testing_start(&redis, NULL));
    end(&lonely);
}

/* One bad key fails its own requests; the others go on. */
static void test_bad_key(void **state)
{
    struct proxy proxy;
    struct question question;
    (void)state;
    flush();
    begin_up(&proxy);
    assert_int_equal(ask(&proxy, &ALLOWS, 1, 1, &question), QUOTA_ALLOW);
    redisReply *keys = redisCommand(redis.client, "KEYS test:q:*");
    assert_int_equal(keys->elements, 1);
    freeReplyObject(redisCommand(redis.client, "DEL %s", keys->element[0]->str));
    freeReplyObject(redisCommand(redis.client, "LPUSH %s x", keys->element[0]->str));
    for (unsigned i = 0; i < 30; i++) {
        assert_int_equal(ask(&proxy, &ALLOWS, 1, 1, &question), QUOTA_DEGRADED_ALLOW);
        assert_int_equal(ask(&proxy, &ALLOWS, 2, 0, &question), QUOTA_ALLOW);
    }
    assert_int_equal(loop_testing_metric(&proxy.loop, METRICS_STORE_LOST), 0);
    freeReplyObject(redisCommand(redis.client, "DEL %s", keys->element[0]->str));
    freeReplyObject(keys);
    assert_int_equal(ask(&proxy, &ALLOWS, 1, 1, &question), QUOTA_ALLOW);
    end(&proxy);
}

static void test_full_and_replica(void **state)
{
    static const struct {
        const char *set, *unset;
    } rows[] = {
        {"CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"},
        {"REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"},
        {"CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"},
    };
    struct question question;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct proxy proxy;
        flush();
        begin_up(&proxy);
        redis_testing_do(&redis, rows[i].set);
        assert_int_equal(ask(&proxy, &DENIES, 1, 1, &question), QUOTA_UNAVAILABLE);
        assert_int_equal(ask(&proxy, &ALLOWS, 1, 1, &question), QUOTA_DEGRADED_ALLOW);
        assert_true(is_down(&proxy));
        redis_testing_do(&redis, rows[i].unset);
        wait_trusted(&proxy);
        assert_int_equal(ask(&proxy, &DENIES, 1, 1, &question), QUOTA_ALLOW);
        end(&proxy);
    }
}

/* Requests that come before the first handshake is over wait for it, no longer than for any answer. */
static void test_first_requests(void **state)
{
    struct proxy proxy;
    struct question question, gone;
    struct store_redis_conf conf = conf_of(&redis);
    (void)state;
    flush();
    for (unsigned i = 1; i <= 5; i++) {
        begin(&proxy, &conf);
        assert_int_equal(ask(&proxy, &DENIES, 1, 1, &question), QUOTA_ALLOW);
        assert_int_equal(question.ask.charges[0].readings[0].used, i);
        end(&proxy);
    }
    kill(redis.pid, SIGSTOP);
    begin(&proxy, &conf);
    prepare(&gone, &proxy, &HOUR_20, 1, 1);
    loop_testing_call(&proxy.loop, ask_and_cancel, &gone);
    assert_int_equal(ask(&proxy, &HOUR_20, 1, 1, &question), QUOTA_DEGRADED_ALLOW);
    assert_false(question.was_at_once);
    assert_int_equal(loop_testing_metric(&proxy.loop, METRICS_STORE_TIMEOUTS), 1);
    kill(redis.pid, SIGCONT);
    wait_trusted(&proxy);
    assert_false(gone.is_done);
    assert_int_equal(ask(&proxy, &HOUR_20, 1, 1, &question), QUOTA_ALLOW);
    assert_int_equal(question.ask.charges[0].readings[0].used, 2);
    end(&proxy);

    redis_testing_kill(&redis);
    begin(&proxy, &conf);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(ask(&proxy, &DENIES, 1, 1, &question), QUOTA_UNAVAILABLE);
    assert_true(question.was_at_once);
    assert_true(redis_testing_start(&redis, NULL));
    end(&proxy);
}

/* The loop stands still until the second that was charged is over. */
static void stand_still(void *arg)
{
    const struct timespec nap = {1, 100000000};
    (void)arg;
    nanosleep(&nap, NULL);
}

/* A grant that is looked at after its window is not spent in the next one. */
static void test_grant_of_a_window_that_is_over(void **state)
{
    static const struct quota second = {.id = {24},
                                        .limit_count = 2,
                                        .limits = {SECOND(5), HOUR(100)},
                                        .on_failure = QUOTA_FAIL_DENY};
    struct proxy proxy;
    struct question question, late;
    (void)state;
    flush();
    begin_up(&proxy);
    prepare(&late, &proxy, &second, 1, 1);
    loop_testing_call(&proxy.loop, decide, &late);
    assert_false(late.was_at_once);
    redis_testing_nap(); /* the command leaves at the end of its turn */
    loop_testing_call(&proxy.loop, stand_still, NULL);
    assert_true(loop_testing_until(&proxy.loop, is_decided, &late));
    if (late.ask.decision.verdict == QUOTA_UNAVAILABLE) { /* else it was faster than we */
        assert_true(loop_testing_until(&proxy.loop, is_quiet, &proxy));
        assert_int_equal(ask(&proxy, &second, 1, 1, &question), QUOTA_ALLOW);
        assert_int_equal(question.ask.charges[0].readings[1].used, 1); /* given back */
    }
    end(&proxy);
}

/* Connections that break and scripts that vanish under a flood: with "deny" no quota is ever over-admitted,
 * and Redis has counted at least what was admitted. */
static void test_broken_connections_never_over_admit(void **state)
{
    struct proxy proxies[2];
    struct flood floods[2];
    unsigned admitted = 0;
    struct question question;
    struct store_redis_conf conf = conf_of(&redis);
    static const struct quota deny = {
        .id = {23}, .limit_count = 1, .limits = {HOUR(2000)}, .on_failure = QUOTA_FAIL_DENY};
    (void)state;
    flush();
    for (unsigned p = 0; p < 2; p++) {
        begin(&proxies[p], &conf);
        wait_up(&proxies[p]);
        floods[p] = (struct flood){&proxies[p], calloc(100, sizeof(struct question)), 100};
    }
    for (unsigned round = 0; round < 30; round++) {
        pthread_t threads[2];
        for (unsigned p = 0; p < 2; p++) {
            for (unsigned i = 0; i < 100; i++)
                prepare(&floods[p].questions[i], &proxies[p], &deny, 1, 1);
            pthread_create(&threads[p], NULL, run_flood, &floods[p]);
        }
        if (round % 3 == 0)
            redis_testing_do(&redis, "CLIENT KILL TYPE normal SKIPME yes");
        else
            redis_testing_do(&redis, "SCRIPT FLUSH");
        for (unsigned p = 0; p < 2; p++) {
            pthread_join(threads[p], NULL);
            admitted += count_verdicts(&floods[p], QUOTA_ALLOW);
            assert_int_equal(count_verdicts(&floods[p], QUOTA_DEGRADED_ALLOW), 0);
            wait_up(&proxies[p]);
        }
    }
    assert_in_range(admitted, 1000, 2000);
    assert_int_equal(ask(&proxies[0], &deny, 1, 0, &question), QUOTA_ALLOW);
    assert_in_range(question.ask.charges[0].readings[0].used, admitted, 2000);
    for (unsigned p = 0; p < 2; p++) {
        free(floods[p].questions);
        end(&proxies[p]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workers_share),
        cmocka_unit_test(test_killed_and_back),
        cmocka_unit_test(test_debts_are_billed),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_bad_key),
        cmocka_unit_test(test_full_and_replica),
        cmocka_unit_test(test_first_requests),
        cmocka_unit_test(test_grant_of_a_window_that_is_over),
        cmocka_unit_test(test_broken_connections_never_over_admit),
    };
    if (!redis_testing_is_installed()) {
        print_message("redis-server is not installed: skipped\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, setup_redis, teardown_redis);
}
