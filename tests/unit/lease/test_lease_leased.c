/* SPDX-License-Identifier: Apache-2.0 */
/* test_lease_leased - leases over a real Redis: exact to the outside with one proxy, never more than the limit with
 * several, few operations, nothing lost that could be given back. */
#include "lease/lease_testing.h"

static const struct quota LEASED_5 = {
    .name = {"l5", 2}, .id = {40}, .limit_count = 1, .limits = {HOUR(5)}, .accuracy = QUOTA_LEASED};
static const struct quota LEASED_1000 = {.name = {"l1000", 5},
                                         .id = {41},
                                         .limit_count = 2,
                                         .limits = {HOUR(1000), DAY(100000)},
                                         .accuracy = QUOTA_LEASED};
static const struct quota LEASED_DENY = {.name = {"ld", 2},
                                         .id = {42},
                                         .limit_count = 1,
                                         .limits = {HOUR(1000)},
                                         .on_failure = QUOTA_FAIL_DENY,
                                         .accuracy = QUOTA_LEASED};
static const struct quota LEASED_SLIDING = {.name = {"ls", 2},
                                            .id = {43},
                                            .limit_count = 1,
                                            .limits = {HOUR(300)},
                                            .algorithm = QUOTA_SLIDING,
                                            .accuracy = QUOTA_LEASED};
static const struct quota LEASED_SECOND = {.name = {"l1", 2},
                                           .id = {44},
                                           .limit_count = 2,
                                           .limits = {SECOND(40), HOUR(100000)},
                                           .on_failure = QUOTA_FAIL_DENY,
                                           .accuracy = QUOTA_LEASED};

static uint64_t commands(struct proxy *proxy)
{
    return loop_testing_metric(&proxy->loop, METRICS_STORE_COMMANDS);
}

/* What Redis has charged: an exact look by a quota of the same name. */
static uint32_t used_in_redis(struct proxy *proxy, const struct quota *leased, uint64_t subject)
{
    struct quota exact = *leased;
    struct question question;
    exact.accuracy = QUOTA_EXACT;
    assert_int_equal(ask(proxy, &exact, subject, 0, &question), QUOTA_ALLOW);
    return question.ask.charges[0].readings[0].used;
}

static void test_one_proxy_counts_exactly(void **state)
{
    static const struct quota *const quotas[] = {&LEASED_5, &LEASED_1000, &LEASED_SLIDING};
    struct proxy proxy;
    struct question question;
    (void)state;
    flush();
    begin_up(&proxy);
    for (unsigned q = 0; q < 3; q++) {
        uint32_t limit = quotas[q]->limits[0].limit;
        unsigned at_once = 0;
        uint64_t before = commands(&proxy);
        for (uint32_t i = 1; i <= limit; i++) {
            assert_int_equal(ask(&proxy, quotas[q], 1, 1, &question), QUOTA_ALLOW);
            const struct quota_charge *charge = &question.ask.charges[0];
            at_once += question.was_at_once;
            if (question.was_at_once) /* else the store, or the lease of another */
                assert_int_equal(charge->source, QUOTA_SOURCE_LEASE);
            assert_true(charge->is_charged && !charge->is_degraded && !charge->is_skipped);
            assert_int_equal(charge->readings[0].used, i);
            assert_int_equal(charge->readings[0].limit, limit);
            assert_int_equal(question.ask.decision.remaining, limit - i);
        }
        assert_int_equal(ask(&proxy, quotas[q], 1, 1, &question), QUOTA_REFUSE);
        assert_int_equal(question.ask.charges[0].readings[0].used, limit);
        assert_int_equal(question.ask.decision.remaining, 0);
        if (limit > 5) {
            assert_true(at_once > limit * 8 / 10);
            assert_true(commands(&proxy) - before < limit / 5);
        }
        for (unsigned i = 0; i < 300; i++)
            assert_int_equal(ask(&proxy, quotas[q], 1, 1, &question), QUOTA_REFUSE);
    }
    assert_true(are_keys_mortal());
    end(&proxy);
}

/* All come at once and nothing is held: one asks, for all. */
static void test_followers(void **state)
{
    struct proxy proxy;
    (void)state;
    flush();
    begin_up(&proxy);
    struct flood flood = {&proxy, calloc(600, sizeof(struct question)), 600};
    for (unsigned i = 0; i < 600; i++)
        prepare(&flood.questions[i], &proxy, &LEASED_1000, i % 3, 1);
    uint64_t before = commands(&proxy);
    run_flood(&flood);
    assert_int_equal(count_verdicts(&flood, QUOTA_ALLOW), 600);
    assert_in_range(commands(&proxy) - before, 3, 30);
    assert_true(loop_testing_metric(&proxy.loop, METRICS_LEASE_FOLLOWED) > 300);
    free(flood.questions);
    end(&proxy);
}

struct asker {
    struct proxy *proxy;
    const struct quota *quota;
    unsigned admitted, degraded, per_round;
};

/* Asks until nothing has been admitted for a good while. */
static void *ask_until_exhausted(void *arg)
{
    struct asker *asker = arg;
    struct question *questions = calloc(asker->per_round, sizeof(*questions));
    uint64_t last_us = clock_mono_us();
    while (clock_mono_us() - last_us < 2500000) {
        struct flood flood = {asker->proxy, questions, asker->per_round};
        for (unsigned i = 0; i < asker->per_round; i++)
            prepare(&questions[i], asker->proxy, asker->quota, 7, 1);
        run_flood(&flood);
        unsigned admitted = count_verdicts(&flood, QUOTA_ALLOW);
        asker->admitted += admitted;
        asker->degraded += count_verdicts(&flood, QUOTA_DEGRADED_ALLOW);
        if (admitted != 0)
            last_us = clock_mono_us();
        redis_testing_nap();
    }
    free(questions);
    return NULL;
}

/* Two proxies of two workers each: together exactly the limit, whoever was faster. */
static void test_fleet_admits_the_limit(void **state)
{
    static const struct quota *const quotas[] = {&LEASED_5, &LEASED_DENY, &LEASED_SLIDING};
    struct store_redis_conf conf = conf_of(&redis);
    (void)state;
    conf.decision_timeout_us = conf.command_timeout_us = 5000000; /* a slow machine is no test */
    for (unsigned q = 0; q < 3; q++) {
        struct proxy workers[4];
        struct asker askers[4];
        pthread_t threads[4];
        unsigned admitted = 0, degraded = 0;
        flush();
        for (unsigned w = 0; w < 4; w++) {
            if (w % 2 == 0)
                begin(&workers[w], &conf);
            else
                begin_second(&workers[w], &workers[w - 1]);
            wait_up(&workers[w]);
            askers[w] = (struct asker){&workers[w], quotas[q], 0, 0, 3 + 11 * w};
        }
        for (unsigned w = 0; w < 4; w++)
            pthread_create(&threads[w], NULL, ask_until_exhausted, &askers[w]);
        for (unsigned w = 0; w < 4; w++) {
            pthread_join(threads[w], NULL);
            admitted += askers[w].admitted;
            degraded += askers[w].degraded;
        }
        assert_int_equal(admitted, quotas[q]->limits[0].limit);
        assert_int_equal(degraded, 0);
        for (unsigned w = 4; w-- > 0;)
            end(&workers[w]);
    }
}

static bool is_returned(void *arg)
{
    struct proxy *proxy = arg;
    lease_sweep_step(proxy->worker);
    return is_settled(proxy) && !atomic_load(&proxy->lease->sweep.is_all);
}

static void return_all(void *arg)
{
    lease_worker_return_all(((struct proxy *)arg)->worker);
}

/* What is held goes back, once, and another proxy gets it. */
static void test_returned(void **state)
{
    struct proxy proxy, other;
    struct question question;
    (void)state;
    flush();
    begin_up(&proxy);
    begin_up(&other);
    for (unsigned subject = 0; subject < 20; subject++)
        assert_int_equal(ask_many(&proxy, &LEASED_1000, subject, 3, QUOTA_ALLOW), 3);
    assert_true(used_in_redis(&other, &LEASED_1000, 0) > 3);
    loop_testing_call(&proxy.loop, return_all, &proxy);
    assert_true(loop_testing_until(&proxy.loop, is_returned, &proxy));
    for (unsigned subject = 0; subject < 20; subject++)
        assert_int_equal(used_in_redis(&other, &LEASED_1000, subject), 3);
    loop_testing_call(&proxy.loop, return_all, &proxy); /* nothing is there any more */
    assert_true(loop_testing_until(&proxy.loop, is_returned, &proxy));
    assert_int_equal(used_in_redis(&other, &LEASED_1000, 0), 3);
    assert_int_equal(ask(&proxy, &LEASED_1000, 0, 1, &question), QUOTA_ALLOW);
    assert_int_equal(question.ask.charges[0].readings[0].used, 4);
    end(&proxy);
    end(&other);
}

struct sweep {
    struct proxy *proxy;
    uint64_t ahead_us;
    unsigned looks;
};

/* The whole table, at a time to come. */
static void sweep_ahead(void *arg)
{
    struct sweep *sweep = arg;
    struct loop *loop = sweep->proxy->loop.loop;
    loop->mono_us += sweep->ahead_us;
    sweep->looks = 0;
    for (unsigned i = 0; i < 10; i++)
        sweep->looks += lease_sweep_step(sweep->proxy->worker);
    loop->mono_us -= sweep->ahead_us;
}

/* What is held costs nothing until its time has come; then each is looked at, once. */
static void test_swept_when_due(void **state)
{
    struct proxy proxy, other;
    const unsigned subjects = 300;
    (void)state;
    flush();
    begin_up(&proxy);
    begin_up(&other);
    for (unsigned subject = 0; subject < subjects; subject++)
        assert_int_equal(ask_many(&proxy, &LEASED_1000, subject, 2, QUOTA_ALLOW), 2);
    assert_true(used_in_redis(&other, &LEASED_1000, 0) > 2);
    struct sweep sweep = {&proxy, 0, 0};
    loop_testing_call(&proxy.loop, sweep_ahead, &sweep);
    assert_int_equal(sweep.looks, 0);
    sweep.ahead_us = UINT64_C(32000000); /* nobody has asked for so long */
    loop_testing_call(&proxy.loop, sweep_ahead, &sweep);
    assert_in_range(sweep.looks, subjects, 2 * subjects);
    assert_true(loop_testing_until(&proxy.loop, is_settled, &proxy));
    for (unsigned subject = 0; subject < subjects; subject += 37)
        assert_int_equal(used_in_redis(&other, &LEASED_1000, subject), 2);
    loop_testing_call(&proxy.loop, sweep_ahead, &sweep);
    assert_int_equal(sweep.looks, 0);
    end(&proxy);
    end(&other);
}

static bool has_left(void *arg)
{
    return lease_worker_leave(((struct proxy *)arg)->worker);
}

static void test_leaving(void **state)
{
    struct proxy proxy, other;
    (void)state;
    flush();
    begin_up(&proxy);
    begin_up(&other);
    assert_int_equal(ask_many(&proxy, &LEASED_1000, 1, 11, QUOTA_ALLOW), 11);
    assert_true(loop_testing_until(&proxy.loop, has_left, &proxy));
    end(&proxy);
    assert_int_equal(used_in_redis(&other, &LEASED_1000, 1), 11);
    end(&other);
}

/* A lowered limit: what was leased under the old one goes back with the first request under the new one. */
static void test_changed_limit(void **state)
{
    struct quota lower = LEASED_1000;
    struct proxy proxy, other;
    struct question question;
    (void)state;
    flush();
    begin_up(&proxy);
    begin_up(&other);
    lower.limits[0].limit = 20;
    assert_int_equal(ask_many(&proxy, &LEASED_1000, 1, 7, QUOTA_ALLOW), 7);
    assert_true(used_in_redis(&other, &LEASED_1000, 1) > 20);
    assert_int_equal(ask(&proxy, &lower, 1, 1, &question), QUOTA_ALLOW);
    assert_int_equal(question.ask.charges[0].readings[0].used, 8);
    assert_int_equal(question.ask.charges[0].readings[0].limit, 20);
    assert_int_equal(ask_many(&proxy, &lower, 1, 30, QUOTA_ALLOW), 12);
    end(&proxy);
    end(&other);
}

/* Keys that are held, that must be asked for, and that refuse, in one request. */
static void test_several_quotas(void **state)
{
    struct proxy proxy;
    struct question question;
    (void)state;
    flush();
    begin_up(&proxy);
    assert_int_equal(ask_many(&proxy, &LEASED_1000, 1, 10, QUOTA_ALLOW), 10);
    for (unsigned i = 0; i < 8; i++) {
        prepare(&question, &proxy, &LEASED_1000, 1, 2);
        add(&question, &HOUR_5, 1, 1);
        add(&question, &LEASED_DENY, 9, 3);
        assert_int_equal(finish(&question), i < 5 ? QUOTA_ALLOW : QUOTA_REFUSE);
        const struct quota_charge *charges = question.ask.charges;
        unsigned admitted = i < 5 ? i + 1 : 5;
        assert_int_equal(charges[0].readings[0].used, 10 + 2 * admitted);
        assert_int_equal(charges[0].readings[1].used, 10 + 2 * admitted);
        assert_int_equal(charges[1].readings[0].used, admitted);
        assert_int_equal(charges[2].readings[0].used, 3 * admitted);
        assert_int_equal(charges[0].is_charged, i < 5);
        assert_int_equal(charges[1].readings[0].refused, i >= 5);
    }
    /* The same subject twice in one request, also where less is held than it costs. */
    prepare(&question, &proxy, &LEASED_5, 3, 1);
    add(&question, &LEASED_5, 3, 2);
    assert_int_equal(finish(&question), QUOTA_ALLOW);
    assert_int_equal(question.ask.charges[0].readings[0].used, 3);
    prepare(&question, &proxy, &LEASED_5, 3, 2);
    add(&question, &LEASED_5, 3, 1);
    assert_int_equal(finish(&question), QUOTA_REFUSE);
    assert_int_equal(ask(&proxy, &LEASED_5, 3, 3, &question), QUOTA_REFUSE);
    assert_int_equal(ask(&proxy, &LEASED_5, 3, 2, &question), QUOTA_ALLOW);
    assert_int_equal(question.ask.charges[0].readings[0].used, 5);
    loop_testing_call(&proxy.loop, return_all, &proxy);
    assert_true(loop_testing_until(&proxy.loop, is_returned, &proxy));
    assert_int_equal(used_in_redis(&proxy, &LEASED_1000, 1), 20);
    assert_int_equal(used_in_redis(&proxy, &LEASED_DENY, 9), 15);
    end(&proxy);
}

struct correction {
    struct question *question;
    int32_t delta, done;
};

static void correct(void *arg)
{
    struct correction *correction = arg;
    correction->done = lease_correct(correction->question->proxy->worker,
                                     &correction->question->ask.charges[0], correction->delta);
}

static void test_corrections(void **state)
{
    static const int32_t deltas[] = {-1, 3, -5, 40, -1};
    struct proxy proxy;
    int64_t expected = 0;
    (void)state;
    flush();
    begin_up(&proxy);
    for (unsigned i = 0; i < 5; i++) {
        struct question question;
        struct correction correction = {&question, deltas[i], 0};
        assert_int_equal(ask(&proxy, &LEASED_1000, 1, 5, &question), QUOTA_ALLOW);
        expected += 5;
        assert_int_equal(question.ask.charges[0].readings[0].used, expected);
        loop_testing_call(&proxy.loop, correct, &correction);
        assert_int_equal(correction.done, deltas[i]);
        expected += deltas[i];
        assert_true(loop_testing_until(&proxy.loop, is_settled, &proxy));
    }
    loop_testing_call(&proxy.loop, return_all, &proxy);
    assert_true(loop_testing_until(&proxy.loop, is_returned, &proxy));
    assert_int_equal(used_in_redis(&proxy, &LEASED_1000, 1), expected);
    end(&proxy);
}

/* Redis is gone: what is held is spent first, whatever on_failure says. */
static void test_spent_first_when_redis_is_gone(void **state)
{
    struct proxy proxy;
    struct question question;
    (void)state;
    flush();
    begin_up(&proxy);
    assert_int_equal(ask_many(&proxy, &LEASED_1000, 1, 10, QUOTA_ALLOW), 10);
    assert_int_equal(ask_many(&proxy, &LEASED_DENY, 1, 10, QUOTA_ALLOW), 10);
    uint32_t local = used_in_redis(&proxy, &LEASED_1000, 1);
    uint32_t deny = used_in_redis(&proxy, &LEASED_DENY, 1);
    /* those looks were exact: what was held went back */
    assert_int_equal(local, 10);
    assert_int_equal(deny, 10);
    assert_int_equal(ask_many(&proxy, &LEASED_1000, 1, 10, QUOTA_ALLOW), 10);
    assert_int_equal(ask_many(&proxy, &LEASED_DENY, 1, 10, QUOTA_ALLOW), 10);
    redis_testing_kill(&redis);
    assert_true(loop_testing_until(&proxy.loop, is_down, &proxy));
    unsigned spent = 0;
    while (ask(&proxy, &LEASED_DENY, 1, 1, &question) == QUOTA_ALLOW)
        spent++;
    assert_in_range(spent, 1, 500);
    assert_int_equal(question.ask.decision.verdict, QUOTA_UNAVAILABLE);
    spent = 0;
    while (ask(&proxy, &LEASED_1000, 1, 1, &question) == QUOTA_ALLOW) {
        assert_int_equal(question.ask.charges[0].source, QUOTA_SOURCE_LEASE);
        spent++;
    }
    assert_int_equal(question.ask.decision.verdict, QUOTA_DEGRADED_ALLOW);
    assert_int_equal(question.ask.charges[0].readings[0].limit, (1000 - 20 - spent) / 2);
    unsigned shared = 1 + ask_many(&proxy, &LEASED_1000, 1, 600, QUOTA_DEGRADED_ALLOW);
    assert_int_equal(shared, (1000 - 20 - spent) / 2);

    assert_true(redis_testing_start(&redis, NULL));
    wait_trusted(&proxy);
    assert_true(loop_testing_until(&proxy.loop, is_settled, &proxy));
    assert_int_equal(ask(&proxy, &LEASED_1000, 1, 1, &question), QUOTA_ALLOW);
    assert_int_equal(question.ask.charges[0].readings[0].used, 20 + spent + shared + 1);
    end(&proxy);
}

/* Another proxy holds what is left: it is asked for it, and gives it. */
static void test_recalled(void **state)
{
    static const struct quota tenth = {.id = {45},
                                       .limit_count = 1,
                                       .limits = {HOUR(100)},
                                       .on_failure = QUOTA_FAIL_DENY,
                                       .accuracy = QUOTA_LEASED};
    struct proxy holder, other;
    struct question question;
    unsigned admitted = 0;
    (void)state;
    flush();
    begin_up(&holder);
    begin_up(&other);
    while (redis_testing_number(&redis, "PUBSUB NUMSUB test:recall") == -1 ||
           loop_testing_metric(&holder.loop, METRICS_LEASE_RECALLS_RECEIVED) == 0) {
        redisReply *reply =
            redisCommand(redis.client, "PUBLISH test:recall %s", "AAAAAAAAAAAAAAAAAAAAAA 00000000");
        freeReplyObject(reply);
        redis_testing_nap();
    }
    assert_int_equal(ask(&holder, &tenth, 1, 1, &question), QUOTA_ALLOW);
    uint64_t until_us = clock_mono_us() + 20000000;
    while (admitted < 99 && clock_mono_us() < until_us) {
        admitted += ask(&other, &tenth, 1, 1, &question) == QUOTA_ALLOW;
        if (question.ask.decision.verdict != QUOTA_ALLOW)
            redis_testing_nap();
    }
    assert_int_equal(admitted, 99);
    assert_int_equal(ask(&other, &tenth, 1, 1, &question), QUOTA_REFUSE);
    end(&holder);
    end(&other);
}

struct late_spender {
    struct proxy *proxy;
    unsigned spent, wrong;
};

/* Spend, stand still for a while, spend: by the wall clock, every one in a window that goes on. */
static void spend_with_gaps(void *arg)
{
    struct late_spender *spender = arg;
    for (unsigned i = 0; i < 4; i++) {
        struct question question;
        const struct timespec nap = {0, 420000000};
        prepare(&question, spender->proxy, &LEASED_SECOND, 1, 1);
        bool is_done = lease_decide(spender->proxy->worker, &question.ask);
        uint64_t wall_s = clock_wall_us() / 1000000;
        const struct quota_charge *charge = &question.ask.charges[0];
        if (!is_done) {
            lease_cancel(spender->proxy->worker, &question.ask);
        } else if (charge->is_charged) {
            spender->spent++;
            spender->wrong +=
                charge->readings[0].start_s < wall_s - (clock_wall_us() % 1000000 < 1000);
        }
        nanosleep(&nap, NULL); /* and the loop's clock stays where it was */
    }
}

static void test_a_stopped_process_spends_nothing_old(void **state)
{
    struct late_spender spender;
    struct proxy proxy;
    struct question question;
    (void)state;
    flush();
    begin_up(&proxy);
    spender = (struct late_spender){&proxy, 0, 0};
    for (unsigned i = 0; i < 6; i++) {
        (void)ask(&proxy, &LEASED_SECOND, 1, 1, &question);
        loop_testing_call(&proxy.loop, spend_with_gaps, &spender);
    }
    assert_true(spender.spent > 0);
    assert_int_equal(spender.wrong, 0);
    end(&proxy);
}

/* Redis forgets: nobody is given again what was spent. */
static void test_flushed(void **state)
{
    struct proxy proxy;
    struct question question;
    unsigned admitted = 0;
    (void)state;
    flush();
    begin_up(&proxy);
    while (ask(&proxy, &LEASED_DENY, 1, 1, &question) == QUOTA_ALLOW) {
        admitted++;
        if (admitted % 97 == 0)
            redis_testing_do(&redis, "FLUSHALL");
        if (admitted % 101 == 0)
            redis_testing_do(&redis, "SCRIPT FLUSH");
    }
    assert_int_equal(admitted, 1000);
    end(&proxy);
}

/* Who has not said a word since is asked for what it has seen, before others get it once more. */
static void test_flushed_fleet(void **state)
{
    struct proxy proxies[2];
    struct question question;
    unsigned admitted = 0;
    (void)state;
    flush();
    for (unsigned p = 0; p < 2; p++) {
        begin_up(&proxies[p]);
        while (loop_testing_metric(&proxies[p].loop, METRICS_LEASE_RECALLS_RECEIVED) == 0) {
            redis_testing_do(&redis, "PUBLISH test:recall AAAAAAAAAAAAAAAAAAAAAA!00000000");
            redis_testing_nap();
        }
    }
    admitted += ask(&proxies[1], &LEASED_DENY, 1, 1, &question) == QUOTA_ALLOW;
    loop_testing_call(&proxies[1].loop, return_all, &proxies[1]);
    assert_true(loop_testing_until(&proxies[1].loop, is_returned, &proxies[1]));
    admitted += ask_many(&proxies[0], &LEASED_DENY, 1, 700, QUOTA_ALLOW);
    redis_testing_do(&redis, "FLUSHALL");
    admitted += ask(&proxies[1], &LEASED_DENY, 1, 1, &question) == QUOTA_ALLOW;
    while (used_in_redis(&proxies[1], &LEASED_DENY, 1) < admitted)
        redis_testing_nap();
    while (ask(&proxies[1], &LEASED_DENY, 1, 1, &question) == QUOTA_ALLOW)
        admitted++;
    while (ask(&proxies[0], &LEASED_DENY, 1, 1, &question) == QUOTA_ALLOW)
        admitted++;
    assert_in_range(admitted, 702, 1000);
    for (unsigned p = 0; p < 2; p++)
        end(&proxies[p]);
}

static uint64_t recalls(struct proxy *proxy)
{
    return loop_testing_metric(&proxy->loop, METRICS_LEASE_RECALLS_RECEIVED);
}

/* The subscription is made again when it is lost, and what is no recall is passed over. */
static void test_listening(void **state)
{
    static const char *const others[] = {
        "PUBLISH test:recall x",
        "PUBLISH test:recall AAAAAAAAAAAAAAAAAAAAAA",
        "PUBLISH test:recall AAAAAAAAAAAAAAAAAAAAAA?00000000",
        "PUBLISH test:recall AAAA+AAAAAAAAAAAAAAAAA!00000000",
        "PUBLISH other:recall AAAAAAAAAAAAAAAAAAAAAA!00000000",
    };
    struct proxy proxy;
    (void)state;
    flush();
    begin_up(&proxy);
    for (unsigned round = 0; round < 3; round++) {
        uint64_t before = recalls(&proxy);
        while (recalls(&proxy) == before) {
            redis_testing_do(&redis, "PUBLISH test:recall AAAAAAAAAAAAAAAAAAAAAA!00000000");
            redis_testing_nap();
        }
        redis_testing_nap();
        before = recalls(&proxy);
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
            redis_testing_do(&redis, others[i]);
        redis_testing_do(&redis, "PUBLISH test:recall AAAAAAAAAAAAAAAAAAAAAA!00000000");
        while (recalls(&proxy) == before)
            redis_testing_nap();
        assert_int_equal(recalls(&proxy), before + 1);
        redis_testing_do(&redis, "CLIENT KILL TYPE pubsub");
    }
    assert_int_equal(loop_testing_metric(&proxy.loop, METRICS_STORE_LOST), 0);
    end(&proxy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_proxy_counts_exactly),
        cmocka_unit_test(test_followers),
        cmocka_unit_test(test_fleet_admits_the_limit),
        cmocka_unit_test(test_returned),
        cmocka_unit_test(test_swept_when_due),
        cmocka_unit_test(test_leaving),
        cmocka_unit_test(test_changed_limit),
        cmocka_unit_test(test_several_quotas),
        cmocka_unit_test(test_corrections),
        cmocka_unit_test(test_spent_first_when_redis_is_gone),
        cmocka_unit_test(test_recalled),
        cmocka_unit_test(test_a_stopped_process_spends_nothing_old),
        cmocka_unit_test(test_flushed),
        cmocka_unit_test(test_flushed_fleet),
        cmocka_unit_test(test_listening),
    };
    if (!redis_testing_is_installed()) {
        print_message("redis-server is not installed: skipped\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, setup_redis, teardown_redis);
}
