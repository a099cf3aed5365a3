/* SPDX-License-Identifier: Apache-2.0 */
/* test_lease_redis - leases over a real Redis that is stopped, killed, flushed and emptied; two
 * processes' worth of leases, each with its own loop and thread.  Windows are hours, so that no count
 * meets an end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base_clock.h"
#include "lease/lease_private.h"
#include "store/loop_testing.h"
#include "store/redis_testing.h"
#include "store/store_testing.h"

#define PROXIES 2

static struct redis_testing redis;

/* One proxy: a lease and one worker. */
struct proxy {
    struct loop_testing loop;
    struct lease *lease;
    struct lease_worker *worker;
    struct told_testing told;
    bool is_second; /* worker of another proxy's lease */
};

struct question {
    struct proxy *proxy;
    struct lease_ask ask;
    bool was_at_once, is_done;
};

static const struct quota HOUR_5 = {
    .name = {"five", 4}, .id = {5}, .limit_count = 1, .limits = {HOUR(5)}};
static const struct quota HOUR_20 = {
    .name = {"twenty", 6}, .id = {20}, .limit_count = 2, .limits = {HOUR(20), DAY(1000)}};
static const struct quota HOUR_1000 = {
    .name = {"thousand", 8}, .id = {100}, .limit_count = 2, .limits = {HOUR(1000), DAY(100000)}};
static const struct quota ALLOWS = {.name = {"allows", 6},
                                    .id = {21},
                                    .limit_count = 1,
                                    .limits = {HOUR(20)},
                                    .on_failure = QUOTA_FAIL_ALLOW};
static const struct quota DENIES = {.name = {"denies", 6},
                                    .id = {22},
                                    .limit_count = 1,
                                    .limits = {HOUR(20)},
                                    .on_failure = QUOTA_FAIL_DENY};

static void make_worker(void *arg)
{
    struct proxy *proxy = arg;
    proxy->worker = lease_worker_new(proxy->lease, proxy->loop.loop);
}

static void free_worker(void *arg)
{
    struct proxy *proxy = arg;
    lease_worker_free(proxy->worker);
}

static struct store_redis_conf conf_of(const struct redis_testing *server)
{
    struct store_redis_conf conf = {
        .address_text = span_of(server->address),
        .prefix = SPAN("test"),
        .decision_timeout_us = 60000,
        .command_timeout_us = 250000,
        .connect_timeout_us = 500000,
        .fleet_size = 2,
        .secret_fingerprint = SPAN("0123456789012345678901"),
    };
    struct span host;
    assert_null(net_address_parse(&conf.address, conf.address_text, &host));
    return conf;
}

static void begin(struct proxy *proxy, const struct store_redis_conf *conf)
{
    memset(proxy, 0, sizeof(*proxy));
    loop_testing_start(&proxy->loop);
    proxy->lease = lease_new(NULL, conf);
    assert_non_null(proxy->lease);
    told_testing_begin(&proxy->told);
    lease_on_event(proxy->lease, told_testing_add, &proxy->told);
    loop_testing_call(&proxy->loop, make_worker, proxy);
    assert_non_null(proxy->worker);
}

/* Another worker of the same process. */
static void begin_second(struct proxy *second, const struct proxy *first)
{
    memset(second, 0, sizeof(*second));
    loop_testing_start(&second->loop);
    second->lease = first->lease;
    second->is_second = true;
    loop_testing_call(&second->loop, make_worker, second);
    assert_non_null(second->worker);
}

static void end(struct proxy *proxy)
{
    loop_testing_call(&proxy->loop, free_worker, proxy);
    loop_testing_end(&proxy->loop);
    if (!proxy->is_second)
        lease_free(proxy->lease);
}

static bool is_up(void *arg)
{
    struct lease_status status;
    lease_get_status(((struct proxy *)arg)->lease, &status);
    return status.workers_up == status.workers;
}

static bool is_down(void *arg)
{
    struct lease_status status;
    lease_get_status(((struct proxy *)arg)->lease, &status);
    return status.workers_up == 0;
}

static void wait_up(struct proxy *proxy)
{
    assert_true(loop_testing_until(&proxy->loop, is_up, proxy));
}

static void begin_up(struct proxy *proxy)
{
    struct store_redis_conf conf = conf_of(&redis);
    begin(proxy, &conf);
    wait_up(proxy);
}

/* ---- asking ---- */

static void on_done(struct lease_ask *ask, void *arg)
{
    struct question *question = arg;
    assert_ptr_equal(ask, &question->ask);
    assert_false(question->is_done);
    question->is_done = true;
}

static void decide(void *arg)
{
    struct question *question = arg;
    question->ask.done = on_done;
    question->ask.arg = question;
    question->was_at_once = lease_decide(question->proxy->worker, &question->ask);
    assert_false(question->is_done); /* never from inside */
    question->is_done = question->was_at_once;
}

static bool is_decided(void *arg)
{
    return ((struct question *)arg)->is_done;
}

static void prepare(struct question *question, struct proxy *proxy, const struct quota *quota,
                    uint64_t subject, uint32_t cost)
{
    memset(question, 0, sizeof(*question));
    question->proxy = proxy;
    question->ask.count = 1;
    question->ask.charges[0] = testing_charge(quota, subject, cost);
}

static void add(struct question *question, const struct quota *quota, uint64_t subject,
                uint32_t cost)
{
    question->ask.charges[question->ask.count++] = testing_charge(quota, subject, cost);
}

static enum quota_verdict finish(struct question *question)
{
    loop_testing_call(&question->proxy->loop, decide, question);
    assert_true(loop_testing_until(&question->proxy->loop, is_decided, question));
    return question->ask.decision.verdict;
}

static enum quota_verdict ask(struct proxy *proxy, const struct quota *quota, uint64_t subject,
                              uint32_t cost, struct question *question)
{
    prepare(question, proxy, quota, subject, cost);
    return finish(question);
}

/* How many of `count` requests of one subject get this verdict. */
static unsigned ask_many(struct proxy *proxy, const struct quota *quota, uint64_t subject,
                         unsigned count, enum quota_verdict verdict)
{
    unsigned same = 0;
    struct question question;
    for (unsigned i = 0; i < count; i++)
        same += ask(proxy, quota, subject, 1, &question) == verdict;
    return same;
}

/* No hour ends within the test. */
static void quiet(void)
{
    while (time(NULL) % 3600 > 3600 - 20)
        redis_testing_nap();
}

static void flush(void)
{
    redis_testing_do(&redis, "FLUSHALL");
    quiet();
}

static bool are_keys_mortal(void)
{
    redisReply *keys = redisCommand(redis.client, "KEYS *");
    bool are_mortal = true;
    for (size_t i = 0; i < keys->elements; i++) {
        redisReply *ttl = redisCommand(redis.client, "TTL %s", keys->element[i]->str);
        are_mortal = are_mortal && ttl->integer > 0;
        freeReplyObject(ttl);
    }
    are_mortal = are_mortal && keys->elements != 0;
    freeReplyObject(keys);
    return are_mortal;
}

/* ---- tests ---- */

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

/* Many questions at a time from two proxies: exactly the limit is admitted. */
struct flood {
    struct proxy *proxy;
    struct question *questions;
    unsigned count;
};

static void decide_all(void *arg)
{
    struct flood *flood = arg;
    for (unsigned i = 0; i < flood->count; i++)
        decide(&flood->questions[i]);
}

static bool are_decided(void *arg)
{
    const struct flood *flood = arg;
    for (unsigned i = 0; i < flood->count; i++) {
        if (!flood->questions[i].is_done)
            return false;
    }
    return true;
}

static void *run_flood(void *arg)
{
    struct flood *flood = arg;
    loop_testing_call(&flood->proxy->loop, decide_all, flood);
    if (!loop_testing_until(&flood->proxy->loop, are_decided, flood))
        abort();
    return NULL;
}

static unsigned count_verdicts(const struct flood *flood, enum quota_verdict verdict)
{
    unsigned count = 0;
    for (unsigned i = 0; i < flood->count; i++)
        count += flood->questions[i].ask.decision.verdict == verdict;
    return count;
}

static void test_two_proxies_exactly(void **state)
{
    struct proxy proxies[PROXIES];
    struct flood floods[PROXIES];
    pthread_t threads[PROXIES];
    unsigned admitted = 0, refused = 0;
    struct store_redis_conf conf = conf_of(&redis);
    (void)state;
    flush();
    conf.decision_timeout_us = conf.command_timeout_us = 5000000; /* a slow machine is no test */
    for (unsigned p = 0; p < PROXIES; p++) {
        begin(&proxies[p], &conf);
        wait_up(&proxies[p]);
        floods[p] = (struct flood){&proxies[p], calloc(900, sizeof(struct question)), 900};
        for (unsigned i = 0; i < 900; i++)
            prepare(&floods[p].questions[i], &proxies[p], &HOUR_1000, 7, 1);
    }
    for (unsigned p = 0; p < PROXIES; p++)
        pthread_create(&threads[p], NULL, run_flood, &floods[p]);
    for (unsigned p = 0; p < PROXIES; p++) {
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
    assert_int_equal(redis_testing_number(&redis, "ZCARD test:proxies"), PROXIES);
    for (unsigned p = 0; p < PROXIES; p++) {
        free(floods[p].questions);
        end(&proxies[p]);
    }
}

static bool is_settled(void *arg)
{
    const struct proxy *proxy = arg;
    return proxy->worker->debtor_first == proxy->worker->debtor_next &&
           proxy->worker->settling == 0;
}

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
    wait_up(&proxy);
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
    wait_up(&proxy);
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
    wait_up(&proxy);
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
    wait_up(&proxy);
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
        wait_up(&proxy);
        assert_int_equal(ask(&proxy, &DENIES, 1, 1, &question), QUOTA_ALLOW);
        end(&proxy);
    }
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

static int setup(void **state)
{
    (void)state;
    log_testing_off();
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
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_refusals_are_remembered),
        cmocka_unit_test(test_several_quotas),
        cmocka_unit_test(test_two_proxies_exactly),
        cmocka_unit_test(test_workers_share),
        cmocka_unit_test(test_flushed),
        cmocka_unit_test(test_killed_and_back),
        cmocka_unit_test(test_debts_are_billed),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_bad_key),
        cmocka_unit_test(test_full_and_replica),
        cmocka_unit_test(test_other_secret),
        cmocka_unit_test(test_password_user_and_database),
    };
    if (!redis_testing_is_installed()) {
        print_message("redis-server is not installed: skipped\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, setup, teardown);
}
