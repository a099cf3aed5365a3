/* SPDX-License-Identifier: Apache-2.0 */
/* test_lease_gate - a gate refuses alone and first: no subject that it keeps out is known afterwards, in Redis, in the
 * embedded store or here; what it has let in stays charged, whoever goes away; and all of it without the store too. */
#include "lease/lease_testing.h"
#include "store/store_memory.h"

static const struct quota GATE_4 = {
    .name = {"gate", 4}, .id = {31}, .limit_count = 1, .limits = {HOUR(4)}, .is_gate = true};
static const struct quota OTHER_2 = {
    .name = {"other", 5}, .id = {32}, .limit_count = 1, .limits = {HOUR(2)}};

/* The gate's subject is 1. */
static void prepare_guarded(struct question *question, struct proxy *proxy, uint64_t subject)
{
    prepare(question, proxy, &HOUR_20, subject, 1);
    question->ask.charges[0].is_guarded = true;
    add(question, &GATE_4, 1, 1);
    question->ask.charges[1].is_hidden = true;
    question->ask.has_gates = true;
}

static enum quota_verdict ask_guarded(struct proxy *proxy, uint64_t subject,
                                      struct question *question)
{
    prepare_guarded(question, proxy, subject);
    return finish(question);
}

static uint64_t cells_of(const struct proxy *proxy)
{
    uint64_t max;
    return store_cells_count(&proxy->lease->table.subjects, &max);
}

static long long key_count(void)
{
    redisReply *reply = redisCommand(redis.client, "KEYS *:q:*");
    long long count = (long long)reply->elements;
    freeReplyObject(reply);
    return count;
}

/* It shows nothing when it lets pass, and alone when it does not. */
static void check_refusal(const struct question *question, bool is_away, uint32_t limit)
{
    const struct lease_ask *ask = &question->ask;
    assert_int_equal(ask->decision.verdict, is_away ? QUOTA_DEGRADED_REFUSE : QUOTA_REFUSE);
    assert_true(ask->decision.has_binding && ask->decision.charge == 1);
    assert_int_equal(ask->decision.limit, limit);
    assert_int_equal(ask->decision.remaining, 0);
    assert_true(ask->charges[0].is_skipped && !ask->charges[0].is_charged);
    assert_int_equal(ask->charges[0].readings[0].start_s, 0);
    assert_false(ask->charges[1].is_charged || ask->charges[1].is_hidden);
}

static void test_redis(void **state)
{
    struct proxy proxy;
    struct question question;
    (void)state;
    flush();
    begin_up(&proxy);
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(ask_guarded(&proxy, 100 + i, &question), QUOTA_ALLOW);
        assert_int_equal(question.ask.decision.charge, 0);
        assert_true(question.ask.charges[1].is_hidden && question.ask.charges[1].is_charged);
    }
    assert_int_equal(cells_of(&proxy), 5);
    assert_int_equal(key_count(), 5);
    unsigned asked = 0;
    for (uint64_t i = 0; i < 3000; i++) {
        ask_guarded(&proxy, 200 + i, &question);
        check_refusal(&question, false, 4);
        asked += !question.was_at_once;
    }
    assert_true(asked > 0);
    assert_int_equal(cells_of(&proxy), 5);
    assert_int_equal(key_count(), 5);
    end(&proxy);
}

/* Refused for another reason: the gate is not charged, and not shown. */
static void test_another_refuses(void **state)
{
    struct proxy proxy;
    struct question question;
    (void)state;
    flush();
    begin_up(&proxy);
    assert_int_equal(ask_many(&proxy, &OTHER_2, 9, 2, QUOTA_ALLOW), 2);
    for (unsigned i = 0; i < 20; i++) {
        prepare_guarded(&question, &proxy, 300 + i);
        add(&question, &OTHER_2, 9, 1);
        assert_int_equal(finish(&question), QUOTA_REFUSE);
        assert_int_equal(question.ask.decision.charge, 2);
        assert_true(question.ask.charges[1].is_hidden && !question.ask.charges[1].is_charged);
        assert_false(question.ask.charges[0].is_skipped);
    }
    assert_int_equal(cells_of(&proxy), 2); /* the gate's own, and the other's */
    assert_int_equal(key_count(), 1);
    assert_int_equal(ask_guarded(&proxy, 400, &question), QUOTA_ALLOW);
    assert_int_equal(question.ask.charges[1].readings[0].used, 1);
    end(&proxy);
}

/* In one turn, so that no answer comes between the two: what was answered is not for lease_cancel to give back. */
static void ask_and_cancel(void *arg)
{
    struct question *question = arg;
    decide(question);
    lease_cancel(question->proxy->worker, &question->ask);
}

static bool has_no_late(void *arg)
{
    return ((struct proxy *)arg)->worker->late == 0;
}

/* Who goes away before the answer has passed the gate; the one whom he named gets all back. */
static void test_cancelled(void **state)
{
    struct proxy proxy;
    struct question question;
    (void)state;
    flush();
    begin_up(&proxy);
    for (unsigned i = 0; i < 3; i++) {
        prepare_guarded(&question, &proxy, 500);
        loop_testing_call(&proxy.loop, ask_and_cancel, &question);
        assert_false(question.was_at_once);
        assert_true(loop_testing_until(&proxy.loop, has_no_late, &proxy));
        assert_false(question.is_done);
    }
    assert_true(loop_testing_until(&proxy.loop, is_settled, &proxy));
    assert_int_equal(ask_guarded(&proxy, 500, &question), QUOTA_ALLOW);
    assert_int_equal(question.ask.charges[0].readings[0].used, 1);
    assert_int_equal(question.ask.charges[1].readings[0].used, 4);
    ask_guarded(&proxy, 501, &question);
    check_refusal(&question, false, 4);
    end(&proxy);
}

struct correction {
    struct question *question;
    unsigned charge;
    int32_t done;
};

static void correct(void *arg)
{
    struct correction *correction = arg;
    correction->done = lease_correct(correction->question->proxy->worker,
                                     &correction->question->ask.charges[correction->charge], -1);
}

/* What is given back of either is there again, also of a subject that was not known before. */
static void test_given_back(void **state)
{
    struct proxy proxy;
    struct question question;
    (void)state;
    flush();
    begin_up(&proxy);
    for (unsigned i = 0; i < 12; i++) {
        struct correction both[] = {{&question, 0, 0}, {&question, 1, 0}};
        assert_int_equal(ask_guarded(&proxy, 600, &question), QUOTA_ALLOW);
        assert_int_equal(question.ask.charges[0].readings[0].used, 1);
        for (unsigned k = 0; k < 2; k++) {
            loop_testing_call(&proxy.loop, correct, &both[k]);
            assert_int_equal(both[k].done, -1);
        }
        assert_true(loop_testing_until(&proxy.loop, is_settled, &proxy));
    }
    end(&proxy);
}

/* This proxy's share of the gate, and no cell for whom it keeps out. */
static void test_away(void **state)
{
    struct proxy proxy;
    struct question question;
    (void)state;
    flush();
    begin_up(&proxy);
    redis_testing_kill(&redis);
    assert_true(loop_testing_until(&proxy.loop, is_down, &proxy));
    for (uint64_t i = 0; i < 2; i++)
        assert_int_equal(ask_guarded(&proxy, 700 + i, &question), QUOTA_DEGRADED_ALLOW);
    for (uint64_t i = 0; i < 1000; i++) {
        ask_guarded(&proxy, 800 + i, &question);
        check_refusal(&question, true, 2);
    }
    assert_int_equal(cells_of(&proxy), 3);
    assert_true(redis_testing_start(&redis, NULL));
    wait_trusted(&proxy);
    assert_true(loop_testing_until(&proxy.loop, is_settled, &proxy));
    assert_int_equal(ask_guarded(&proxy, 700, &question), QUOTA_ALLOW);
    assert_int_equal(question.ask.charges[0].readings[0].used, 2);
    assert_int_equal(question.ask.charges[1].readings[0].used, 3);
    end(&proxy);
}

static void test_memory(void **state)
{
    struct store_memory *memory = store_memory_new(1000);
    struct proxy proxy = {0};
    struct question question;
    uint64_t max;
    (void)state;
    quiet();
    loop_testing_start(&proxy.loop);
    proxy.lease = lease_new(memory, NULL);
    loop_testing_call(&proxy.loop, make_worker, &proxy);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(ask_guarded(&proxy, 100 + i, &question), QUOTA_ALLOW);
    assert_int_equal(store_memory_subjects(memory, &max), 5);
    for (uint64_t i = 0; i < 3000; i++) {
        ask_guarded(&proxy, 200 + i, &question);
        check_refusal(&question, false, 4);
    }
    assert_int_equal(store_memory_subjects(memory, &max), 5);
    end(&proxy);
    store_memory_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redis),     cmocka_unit_test(test_another_refuses),
        cmocka_unit_test(test_cancelled), cmocka_unit_test(test_given_back),
        cmocka_unit_test(test_away),      cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, setup_redis, teardown_redis);
}
