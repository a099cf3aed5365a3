/* SPDX-License-Identifier: Apache-2.0 */
/* test_lease_hold - slots of requests over a real Redis and over the embedded store: exact over workers and proxies, all
 * or nothing, cancelled at any time, decided without a store that is late, and nothing left behind. */
#include "lease/lease_testing.h"

#include "lease/lease_hold.h"
#include "lease/lease_seats.h"

static const struct quota CON_3 = {.name = {"con", 3}, .id = {31}, .in_flight = 3};
static const struct quota CON_7 = {.name = {"con", 3}, .id = {31}, .in_flight = 7};
static const struct quota ALL_2 = {.name = {"all", 3}, .id = {32}, .in_flight = 2};
static const struct quota DENY_3 = {
    .name = {"deny", 4}, .id = {33}, .in_flight = 3, .on_failure = QUOTA_FAIL_DENY};
static const struct quota ALLOW_1 = {
    .name = {"allow", 5}, .id = {34}, .in_flight = 1, .on_failure = QUOTA_FAIL_ALLOW};
static const struct quota SHADOW_2 = {
    .name = {"shadow", 6}, .id = {35}, .in_flight = 2, .mode = QUOTA_SHADOW};

/* A request that needs slots.  Freed by drop. */
struct request {
    struct question question;
    struct lease_hold *hold;
};

static void want(struct request *request, const struct quota *quota, uint64_t subject)
{
    uint8_t key[16];
    testing_key(key, quota->id[0], subject);
    lease_hold_add(request->hold, quota, key);
}

static void begin_request(struct request *request, struct proxy *proxy, const struct quota *quota,
                          uint64_t subject)
{
    memset(request, 0, sizeof(*request));
    request->question.proxy = proxy;
    request->hold = malloc(lease_hold_bytes(QUOTA_MAX_PER_ROUTE));
    assert_non_null(request->hold);
    lease_hold_init(request->hold);
    request->question.ask.hold = request->hold;
    want(request, quota, subject);
}

static void release(void *arg)
{
    struct request *request = arg;
    lease_release(request->hold);
    lease_release(request->hold); /* once is enough, twice is nothing */
}

static void drop(struct request *request)
{
    loop_testing_call(&request->question.proxy->loop, release, request);
    free(request->hold);
}

static void cancel(void *arg)
{
    struct request *request = arg;
    lease_cancel(request->question.proxy->worker, &request->question.ask);
}

static void ask_and_cancel(void *arg)
{
    struct request *request = arg;
    decide(&request->question);
    cancel(request);
}

static enum quota_verdict get(struct request *request, struct proxy *proxy,
                              const struct quota *quota, uint64_t subject)
{
    begin_request(request, proxy, quota, subject);
    return finish(&request->question);
}

static long long keys(void)
{
    redisReply *reply = redisCommand(redis.client, "KEYS test:f:*");
    long long count = (long long)reply->elements;
    freeReplyObject(reply);
    return count;
}

static void wait_for_no_keys(void)
{
    for (unsigned i = 0; i < 2000 && keys() != 0; i++)
        redis_testing_nap();
    assert_int_equal(keys(), 0);
}

/* A slow machine is no test. */
static void begin_patient(struct proxy *proxy)
{
    struct store_redis_conf conf = conf_of(&redis);
    conf.decision_timeout_us = conf.command_timeout_us = 5000000;
    begin(proxy, &conf);
    wait_up(proxy);
}

static void test_takes_and_gives_back(void **state)
{
    struct proxy proxy;
    struct request requests[4];
    (void)state;
    flush();
    begin_patient(&proxy);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(get(&requests[i], &proxy, &CON_3, 1), QUOTA_ALLOW);
            const struct quota_slot *told = &requests[i].hold->slots[0].told;
            assert_true(told->is_granted && !told->is_refused && !told->is_degraded);
            assert_int_equal(told->used, i + 1);
            assert_int_equal(told->limit, 3);
            assert_false(requests[i].question.ask.decision.has_binding);
        }
        assert_int_equal(get(&requests[3], &proxy, &CON_3, 1), QUOTA_REFUSE);
        const struct quota_decision *decision = &requests[3].question.ask.decision;
        assert_ptr_equal(decision->in_flight, &CON_3);
        assert_int_equal(decision->limit, 3);
        assert_int_equal(decision->retry_after_s, 1);
        assert_true(requests[3].hold->slots[0].told.is_refused);
        for (unsigned i = 0; i < 4; i++)
            drop(&requests[i]);
    }
    assert_int_equal(loop_testing_metric(&proxy.loop, METRICS_SLOTS_HELD), 0);
    wait_for_no_keys();
    end(&proxy);
}

/* Two proxies with two workers each ask for far more than there is, all at once. */
static void test_exact_over_workers(void **state)
{
    struct proxy proxies[4];
    struct flood floods[4];
    struct lease_hold *holds[4][100];
    pthread_t threads[4];
    struct store_redis_conf conf = conf_of(&redis);
    (void)state;
    flush();
    conf.decision_timeout_us = conf.command_timeout_us = 5000000; /* a slow machine is no test */
    for (unsigned p = 0; p < 4; p++) {
        if (p % 2 == 0)
            begin(&proxies[p], &conf);
        else
            begin_second(&proxies[p], &proxies[p - 1]);
        floods[p] = (struct flood){&proxies[p], calloc(100, sizeof(struct question)), 100};
    }
    for (unsigned p = 0; p < 4; p++)
        wait_up(&proxies[p]);
    for (unsigned round = 0; round < 10; round++) {
        unsigned granted = 0, refused = 0;
        for (unsigned p = 0; p < 4; p++) {
            for (unsigned i = 0; i < 100; i++) {
                struct request request;
                begin_request(&request, &proxies[p], &CON_7, 5);
                floods[p].questions[i] = request.question;
                holds[p][i] = request.hold;
            }
        }
        for (unsigned p = 0; p < 4; p++)
            pthread_create(&threads[p], NULL, run_flood, &floods[p]);
        for (unsigned p = 0; p < 4; p++) {
            pthread_join(threads[p], NULL);
            granted += count_verdicts(&floods[p], QUOTA_ALLOW);
            refused += count_verdicts(&floods[p], QUOTA_REFUSE);
        }
        assert_int_equal(granted, 7);
        assert_int_equal(refused, 393);
        for (unsigned p = 0; p < 4; p++) {
            for (unsigned i = 0; i < 100; i++) {
                struct request request = {floods[p].questions[i], holds[p][i]};
                drop(&request);
            }
        }
        wait_for_no_keys();
    }
    for (unsigned p = 4; p-- > 0;) {
        free(floods[p].questions);
        end(&proxies[p]);
    }
}

static void test_all_or_nothing(void **state)
{
    struct proxy proxy;
    struct request held[2], request, other;
    (void)state;
    flush();
    begin_patient(&proxy);
    assert_int_equal(get(&held[0], &proxy, &ALL_2, 0), QUOTA_ALLOW);
    assert_int_equal(get(&held[1], &proxy, &ALL_2, 0), QUOTA_ALLOW);
    for (unsigned i = 0; i < 10;
         i++) { /* refused by the one, the other and the window get nothing */
        begin_request(&request, &proxy, &CON_3, 1);
        want(&request, &ALL_2, 0);
        request.question.ask.count = 1;
        request.question.ask.charges[0] = testing_charge(&HOUR_5, 1, 1);
        assert_int_equal(finish(&request.question), QUOTA_REFUSE);
        assert_false(request.hold->slots[0].told.is_granted);
        assert_false(request.question.ask.charges[0].is_charged);
        drop(&request);
    }
    drop(&held[0]);
    for (unsigned i = 0; i < 5; i++) {
        begin_request(&request, &proxy, &CON_3, 1);
        want(&request, &ALL_2, 0);
        request.question.ask.count = 1;
        request.question.ask.charges[0] = testing_charge(&HOUR_5, 1, 1);
        assert_int_equal(finish(&request.question), QUOTA_ALLOW);
        assert_int_equal(request.question.ask.charges[0].readings[0].used, i + 1);
        assert_true(request.question.ask.decision.has_binding);
        drop(&request);
    }
    begin_request(&request, &proxy, &CON_3, 1); /* and now the window refuses */
    request.question.ask.count = 1;
    request.question.ask.charges[0] = testing_charge(&HOUR_5, 1, 1);
    assert_int_equal(finish(&request.question), QUOTA_REFUSE);
    assert_null(request.question.ask.decision.in_flight);
    assert_false(request.hold->slots[0].told.is_granted);
    assert_int_equal(loop_testing_metric(&proxy.loop, METRICS_SLOTS_HELD), 1);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(get(&other, &proxy, &CON_3, 1), QUOTA_ALLOW);
        drop(&other);
    }
    drop(&request);
    drop(&held[1]);
    wait_for_no_keys();
    end(&proxy);
}

/* In the turn in which it asked, and while the answer is on its way: of many at once, some. */
static void test_cancelled(void **state)
{
    struct proxy proxy;
    struct request requests[20], last[3];
    (void)state;
    flush();
    begin_patient(&proxy);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 20; i++) {
            begin_request(&requests[i], &proxy, &CON_3, 1);
            if (i % 2 == 0) {
                requests[i].question.ask.count = 1;
                requests[i].question.ask.charges[0] = testing_charge(&HOUR_1000, 1, 1);
            }
            bool is_cancelled = (i + round) % 3 == 0, is_at_once = i % 2 == 0;
            if (is_cancelled && is_at_once) {
                loop_testing_call(&proxy.loop, ask_and_cancel, &requests[i]);
                continue;
            }
            loop_testing_call(&proxy.loop, decide, &requests[i].question);
            if (is_cancelled)
                loop_testing_call(&proxy.loop, cancel, &requests[i]);
        }
        for (unsigned i = 0; i < 20; i++) {
            if ((i + round) % 3 != 0)
                assert_true(loop_testing_until(&proxy.loop, is_decided, &requests[i].question));
            drop(&requests[i]);
        }
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(get(&last[i], &proxy, &CON_3, 1), QUOTA_ALLOW);
        for (unsigned i = 0; i < 3; i++)
            drop(&last[i]);
    }
    assert_int_equal(loop_testing_metric(&proxy.loop, METRICS_SLOTS_HELD), 0);
    wait_for_no_keys();
    end(&proxy);
}

static long long held_in_redis(void)
{
    static const char sum[] =
        "local n = 0 for _, k in ipairs(redis.call('KEYS', 'test:f:*')) do local v = "
        "redis.call('GET', k) "
        "for at = 5, #v, 20 do n = n + struct.unpack('<I4', v, at + 12) end end return n";
    redisReply *reply = redisCommand(redis.client, "EVAL %s 0", sum);
    long long count = reply->integer;
    freeReplyObject(reply);
    return count;
}

static void try(void *arg)
{
    struct request *request = arg;
    lease_hold_try(request->question.proxy->worker, request->hold);
}

static bool is_tried(void *arg)
{
    const struct request *request = arg;
    return request->hold->slots[0].state != LEASE_SLOT_WAITING;
}

/* A store that stands still: each quota does as it says; what was taken is told when it is back. */
static void test_late(void **state)
{
    struct proxy proxy;
    struct request con[3], allow[2], deny, shadow;
    struct store_redis_conf conf = conf_of(&redis);
    (void)state;
    flush();
    conf.decision_timeout_us = conf.command_timeout_us = 500000;
    begin(&proxy, &conf);
    wait_up(&proxy);
    assert_int_equal(get(&con[0], &proxy, &CON_7, 1), QUOTA_ALLOW);
    kill(redis.pid, SIGSTOP);
    for (unsigned i = 1; i < 3; i++) { /* half of seven for each of two proxies */
        assert_int_equal(get(&con[i], &proxy, &CON_7, 1), QUOTA_DEGRADED_ALLOW);
        assert_int_equal(con[i].hold->slots[0].told.used, i + 1);
        assert_int_equal(con[i].hold->slots[0].told.limit, 3);
    }
    assert_int_equal(get(&deny, &proxy, &CON_7, 1), QUOTA_DEGRADED_REFUSE);
    drop(&deny);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(get(&allow[i], &proxy, &ALLOW_1, 1), QUOTA_DEGRADED_ALLOW);
        assert_true(allow[i].hold->slots[0].told.is_skipped);
    }
    assert_int_equal(get(&deny, &proxy, &DENY_3, 1), QUOTA_UNAVAILABLE);
    assert_in_range(deny.question.ask.decision.retry_after_s, 1, 6);
    drop(&deny);
    begin_request(&shadow, &proxy, &SHADOW_2, 1);
    loop_testing_call(&proxy.loop, try, &shadow);
    assert_true(loop_testing_until(&proxy.loop, is_tried, &shadow));
    assert_true(shadow.hold->slots[0].told.is_skipped);
    assert_false(shadow.hold->slots[0].told.is_granted);
    drop(&shadow);
    kill(redis.pid, SIGCONT);
    for (unsigned i = 0; i < 2000 && held_in_redis() != 5; i++)
        redis_testing_nap();
    assert_int_equal(held_in_redis(), 5);
    for (unsigned i = 0; i < 3; i++)
        drop(&con[i]);
    for (unsigned i = 0; i < 2; i++)
        drop(&allow[i]);
    wait_for_no_keys();
    assert_int_equal(loop_testing_metric(&proxy.loop, METRICS_SLOTS_HELD), 0);
    end(&proxy);
}

struct waiter {
    struct request request;
    unsigned *ended, place; /* in the order in which they are answered */
};

static void on_waiter(struct lease_ask *ask, void *arg)
{
    struct waiter *waiter = arg;
    (void)ask;
    waiter->place = ++*waiter->ended;
}

/* The second has waited for its tier before. */
static void ask_both(void *arg)
{
    struct waiter *waiters = arg;
    for (unsigned i = 0; i < 2; i++) {
        struct question *question = &waiters[i].request.question;
        question->ask.since_us = question->proxy->loop.loop->mono_us - i * 400000;
        question->ask.done = on_waiter;
        question->ask.arg = &waiters[i];
        assert_false(lease_decide(question->proxy->worker, &question->ask));
    }
}

static bool have_both_ended(void *arg)
{
    return *((struct waiter *)arg)->ended == 2;
}

/* The decision timeout runs from when a request began to wait for the store, for whatever. */
static void test_who_waits_longest_is_due_first(void **state)
{
    struct proxy proxy;
    struct store_redis_conf conf = conf_of(&redis);
    unsigned ended = 0;
    struct waiter waiters[2];
    (void)state;
    flush();
    conf.decision_timeout_us = 500000;
    conf.command_timeout_us = 5000000;
    begin(&proxy, &conf);
    wait_up(&proxy);
    kill(redis.pid, SIGSTOP);
    for (unsigned i = 0; i < 2; i++) {
        waiters[i] = (struct waiter){.ended = &ended};
        begin_request(&waiters[i].request, &proxy, &CON_3, i + 1);
    }
    loop_testing_call(&proxy.loop, ask_both, waiters);
    assert_true(loop_testing_until(&proxy.loop, have_both_ended, waiters));
    kill(redis.pid, SIGCONT);
    assert_int_equal(waiters[1].place, 1);
    for (unsigned i = 0; i < 2; i++)
        drop(&waiters[i].request);
    wait_for_no_keys();
    end(&proxy);
}

static void test_shadow(void **state)
{
    struct proxy proxy;
    struct request requests[4];
    (void)state;
    flush();
    begin_patient(&proxy);
    for (unsigned i = 0; i < 4; i++) {
        begin_request(&requests[i], &proxy, &SHADOW_2, 1);
        loop_testing_call(&proxy.loop, try, &requests[i]);
        assert_true(loop_testing_until(&proxy.loop, is_tried, &requests[i]));
        assert_int_equal(requests[i].hold->slots[0].told.is_granted, i < 2);
        assert_int_equal(requests[i].hold->slots[0].told.is_refused, i >= 2);
    }
    assert_int_equal(held_in_redis(), 2);
    for (unsigned i = 0; i < 4; i++)
        drop(&requests[i]);
    begin_request(&requests[0], &proxy, &SHADOW_2, 1); /* over before it is answered */
    loop_testing_call(&proxy.loop, try, &requests[0]);
    drop(&requests[0]);
    wait_for_no_keys();
    assert_int_equal(loop_testing_metric(&proxy.loop, METRICS_SLOTS_HELD), 0);
    end(&proxy);
}

/* A worker that ends says what it gives back. */
static void test_an_orderly_end(void **state)
{
    struct proxy proxy;
    struct request request;
    (void)state;
    flush();
    begin_patient(&proxy);
    assert_int_equal(get(&request, &proxy, &CON_3, 1), QUOTA_ALLOW);
    assert_int_equal(keys(), 1);
    drop(&request);
    end(&proxy);
    wait_for_no_keys();
}

static void test_embedded(void **state)
{
    struct proxy proxy;
    struct request requests[4];
    struct store_memory *memory = store_memory_new(100);
    (void)state;
    memset(&proxy, 0, sizeof(proxy));
    loop_testing_start(&proxy.loop);
    proxy.lease = lease_new(memory, NULL);
    assert_non_null(proxy.lease);
    loop_testing_call(&proxy.loop, make_worker, &proxy);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 4; i++) {
            assert_int_equal(get(&requests[i], &proxy, &CON_3, 1),
                             i < 3 ? QUOTA_ALLOW : QUOTA_REFUSE);
            assert_true(requests[i].question.was_at_once);
        }
        for (unsigned i = 0; i < 4; i++)
            drop(&requests[i]);
    }
    assert_int_equal(loop_testing_metric(&proxy.loop, METRICS_SLOTS_HELD), 0);
    end(&proxy);
    store_memory_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes_and_gives_back),
        cmocka_unit_test(test_exact_over_workers),
        cmocka_unit_test(test_all_or_nothing),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_who_waits_longest_is_due_first),
        cmocka_unit_test(test_shadow),
        cmocka_unit_test(test_an_orderly_end),
        cmocka_unit_test(test_embedded),
    };
    return cmocka_run_group_tests(tests, setup_redis, teardown_redis);
}
