/* SPDX-License-Identifier: Apache-2.0 */
/* test_lease_lookup - tiers of members and projects of tokens, from a real Redis: what is asked, how often, and what
 * serves when there is no answer. */
#include <signal.h>

#include "lease/lease_testing.h"
#include "store/store_memory.h"

struct lookup {
    struct proxy *proxy;
    struct lease_lookup lookup;
    bool was_at_once, is_done;
};

static void on_found(void *arg)
{
    struct lookup *asked = arg;
    assert_false(asked->is_done);
    asked->is_done = true;
}

static void start_lookup(void *arg)
{
    struct lookup *asked = arg;
    asked->lookup.since_us = asked->proxy->loop.loop->mono_us;
    asked->lookup.done = on_found;
    asked->lookup.arg = asked;
    asked->was_at_once = lease_lookup_ask(asked->proxy->worker, &asked->lookup);
    assert_false(asked->is_done); /* never from inside */
    asked->is_done = asked->was_at_once;
}

static bool is_found(void *arg)
{
    return ((struct lookup *)arg)->is_done;
}

static void prepare_lookup(struct lookup *asked, struct proxy *proxy, const char *member,
                           uint8_t number)
{
    *asked = (struct lookup){.proxy = proxy,
                             .lookup = {.kind = member == NULL ? LEASE_TOKEN : LEASE_MEMBER,
                                        .may_wait = true,
                                        .key = {number, 7},
                                        .quota = SPAN("q"),
                                        .member = member == NULL ? SPAN_NONE : span_of(member)}};
}

static void finish_lookup(struct lookup *asked)
{
    loop_testing_call(&asked->proxy->loop, start_lookup, asked);
    assert_true(loop_testing_until(&asked->proxy->loop, is_found, asked));
}

/* The answer to one question; "" nothing, "?" unknown. */
static const char *look_up(struct proxy *proxy, const char *member, uint8_t number,
                           struct lookup *asked)
{
    static char text[STORE_NOTE_TEXT + 1];
    prepare_lookup(asked, proxy, member, number);
    finish_lookup(asked);
    memcpy(text, asked->lookup.text, asked->lookup.len);
    text[asked->lookup.len] = '\0';
    return asked->lookup.is_unknown ? "?" : text;
}

static uint64_t asked_of(struct proxy *proxy)
{
    return loop_testing_metric(&proxy->loop, METRICS_LOOKUPS_MEMBER) +
           loop_testing_metric(&proxy->loop, METRICS_LOOKUPS_TOKEN);
}

static void test_members(void **state)
{
    struct proxy proxy;
    struct lookup asked;
    (void)state;
    flush();
    redis_testing_do(&redis, "HSET test:members:q alice pro");
    begin_up(&proxy);
    assert_string_equal(look_up(&proxy, "alice", 1, &asked), "pro");
    assert_false(asked.was_at_once);
    for (unsigned i = 0; i < 50; i++) {
        assert_string_equal(look_up(&proxy, "alice", 1, &asked), "pro");
        assert_true(asked.was_at_once);
    }
    assert_int_equal(asked_of(&proxy), 1);
    assert_string_equal(look_up(&proxy, "bob", 2, &asked), "");
    assert_string_equal(look_up(&proxy, "bob", 2, &asked), "");
    assert_true(asked.was_at_once); /* that there is nothing is remembered, too */
    assert_int_equal(asked_of(&proxy), 2);
    assert_int_equal(loop_testing_metric(&proxy.loop, METRICS_LOOKUPS_UNKNOWN), 0);
    end(&proxy);
}

static struct store_note *note_of(struct proxy *proxy, enum lease_lookup_kind kind, uint8_t number)
{
    const uint8_t key[16] = {number, 7};
    struct store_note *note = store_notes_find(&proxy->lease->notes.kinds[kind], key);
    assert_non_null(note);
    return note;
}

/* As if so much time had gone by since the answer. */
static void make_older(struct proxy *proxy, enum lease_lookup_kind kind, uint8_t number,
                       uint64_t age_us)
{
    struct store_note *note = note_of(proxy, kind, number);
    note->told_at_us -= age_us;
    note->asked_at_us = 0;
    store_notes_leave(note);
}

static bool is_young(void *arg)
{
    struct proxy *proxy = arg;
    struct store_note *note = note_of(proxy, LEASE_MEMBER, 1);
    uint64_t age_us = proxy->loop.loop->mono_us - note->told_at_us;
    store_notes_leave(note);
    return age_us < LEASE_MEMBER_US / 2;
}

static void test_answers_age(void **state)
{
    struct proxy proxy;
    struct lookup asked;
    (void)state;
    flush();
    redis_testing_do(&redis, "HSET test:members:q alice pro");
    begin_up(&proxy);
    assert_string_equal(look_up(&proxy, "alice", 1, &asked), "pro");
    redis_testing_do(&redis, "HSET test:members:q alice gold");

    /* Half its time: it serves, and one question is sent, however many ask. */
    make_older(&proxy, LEASE_MEMBER, 1, LEASE_MEMBER_US / 2);
    assert_string_equal(look_up(&proxy, "alice", 1, &asked), "pro");
    assert_true(asked.was_at_once);
    assert_true(loop_testing_until(&proxy.loop, is_young, &proxy));
    assert_string_equal(look_up(&proxy, "alice", 1, &asked), "gold");
    assert_true(asked.was_at_once);
    assert_int_equal(asked_of(&proxy), 2);

    /* All of it: it is waited for. */
    redis_testing_do(&redis, "HDEL test:members:q alice");
    make_older(&proxy, LEASE_MEMBER, 1, LEASE_MEMBER_US);
    assert_string_equal(look_up(&proxy, "alice", 1, &asked), "");
    assert_false(asked.was_at_once);
    end(&proxy);
}

struct crowd {
    struct lookup asked[40];
};

static void start_crowd(void *arg)
{
    struct crowd *crowd = arg;
    for (unsigned i = 0; i < 40; i++)
        start_lookup(&crowd->asked[i]);
}

static bool are_found(void *arg)
{
    const struct crowd *crowd = arg;
    for (unsigned i = 0; i < 40; i++) {
        if (!crowd->asked[i].is_done)
            return false;
    }
    return true;
}

/* All who ask in one turn are served by one question, also before the first handshake has ended. */
static void test_one_flight(void **state)
{
    (void)state;
    flush();
    redis_testing_do(&redis, "HSET test:members:q alice pro");
    for (unsigned is_early = 0; is_early < 2; is_early++) {
        struct proxy proxy;
        struct crowd crowd;
        struct store_redis_conf conf = conf_of(&redis);
        conf.decision_timeout_us = conf.command_timeout_us = 5000000;
        begin(&proxy, &conf);
        if (!is_early)
            wait_up(&proxy);
        for (unsigned i = 0; i < 40; i++)
            prepare_lookup(&crowd.asked[i], &proxy, "alice", 1);
        loop_testing_call(&proxy.loop, start_crowd, &crowd);
        assert_true(loop_testing_until(&proxy.loop, are_found, &crowd));
        for (unsigned i = 0; i < 40; i++)
            assert_true(!crowd.asked[i].was_at_once && !crowd.asked[i].lookup.is_unknown &&
                        crowd.asked[i].lookup.len == 3);
        assert_int_equal(asked_of(&proxy), 1);
        end(&proxy);
    }
}

static void cancel_lookup(void *arg)
{
    struct crowd *crowd = arg;
    for (unsigned i = 0; i < 40; i += 2) {
        start_lookup(&crowd->asked[i]);
        start_lookup(&crowd->asked[i + 1]);
        lease_lookup_cancel(&crowd->asked[i].lookup);
        lease_lookup_cancel(&crowd->asked[i].lookup); /* harmless */
    }
}

static bool are_others_found(void *arg)
{
    const struct crowd *crowd = arg;
    for (unsigned i = 1; i < 40; i += 2) {
        if (!crowd->asked[i].is_done)
            return false;
    }
    return true;
}

static void test_cancelled(void **state)
{
    struct proxy proxy;
    struct crowd crowd;
    (void)state;
    flush();
    redis_testing_do(&redis, "HSET test:members:q alice pro");
    begin_up(&proxy);
    for (unsigned i = 0; i < 40; i++)
        prepare_lookup(&crowd.asked[i], &proxy, "alice", (uint8_t)(i / 4));
    loop_testing_call(&proxy.loop, cancel_lookup, &crowd);
    assert_true(loop_testing_until(&proxy.loop, are_others_found, &crowd));
    for (unsigned i = 0; i < 40; i += 2)
        assert_false(crowd.asked[i].is_done);
    end(&proxy);
}

/* Redis has stopped: nobody waits longer than the decision timeout, and what was known serves. */
static void test_away(void **state)
{
    struct proxy proxy;
    struct lookup asked;
    struct store_redis_conf conf = conf_of(&redis);
    (void)state;
    flush();
    redis_testing_do(&redis, "HSET test:members:q alice pro");
    conf.decision_timeout_us = 100000;
    conf.command_timeout_us = 3000000;
    begin(&proxy, &conf);
    wait_up(&proxy);
    assert_string_equal(look_up(&proxy, "alice", 1, &asked), "pro");
    assert_int_equal(kill(redis.pid, SIGSTOP), 0);
    make_older(&proxy, LEASE_MEMBER, 1, 20 * LEASE_MEMBER_US);
    assert_string_equal(look_up(&proxy, "alice", 1, &asked), "pro");
    assert_false(asked.was_at_once);
    assert_string_equal(look_up(&proxy, "bob", 2, &asked), "?");
    assert_false(asked.was_at_once);
    assert_int_equal(loop_testing_metric(&proxy.loop, METRICS_LOOKUPS_UNKNOWN), 1);
    assert_int_equal(loop_testing_metric(&proxy.loop, METRICS_STORE_TIMEOUTS), 2);

    /* Who must not wait does not. */
    prepare_lookup(&asked, &proxy, "carol", 3);
    asked.lookup.may_wait = false;
    finish_lookup(&asked);
    assert_true(asked.was_at_once && asked.lookup.is_unknown);

    /* The breaker opens: nobody waits at all. */
    assert_true(loop_testing_until(&proxy.loop, is_down, &proxy));
    assert_string_equal(look_up(&proxy, "alice", 1, &asked), "pro");
    assert_true(asked.was_at_once);
    assert_string_equal(look_up(&proxy, "bob", 2, &asked), "?");
    assert_true(asked.was_at_once);
    assert_int_equal(kill(redis.pid, SIGCONT), 0);
    wait_up(&proxy);
    assert_string_equal(look_up(&proxy, "bob", 2, &asked), "");
    end(&proxy);
}

struct lesson {
    struct proxy *proxy;
    uint8_t number;
    const char *project;
    uint64_t until_s;
    bool is_kept;
};

static void learn(void *arg)
{
    struct lesson *lesson = arg;
    const uint8_t key[16] = {lesson->number, 7};
    lesson->is_kept =
        lease_lookup_learn(lesson->proxy->worker, key, span_of(lesson->project), lesson->until_s);
}

static bool teach(struct proxy *proxy, uint8_t number, const char *project, uint64_t life_s)
{
    struct lesson lesson = {proxy, number, project, (uint64_t)time(NULL) + life_s, false};
    loop_testing_call(&proxy->loop, learn, &lesson);
    return lesson.is_kept;
}

static bool is_in_redis(void *arg)
{
    (void)arg;
    return redis_testing_number(&redis, "EXISTS test:t:{AQcAAAAAAAAAAAAAAAAAAA}") == 1;
}

static bool are_all_in_redis(void *arg)
{
    (void)arg;
    return redis_testing_number(&redis, "EVAL return(#redis.call('KEYS','test:t:*')) 0") == 199;
}

static bool is_nothing_owed(void *arg)
{
    struct proxy *proxy = arg;
    bool is_owed = false;
    for (uint8_t i = 1; i < 200; i++) {
        struct store_note *note = note_of(proxy, LEASE_TOKEN, i);
        is_owed = is_owed || note->is_owed;
        store_notes_leave(note);
    }
    return !is_owed;
}

static void test_tokens(void **state)
{
    struct proxy proxies[2];
    struct lookup asked;
    (void)state;
    flush();
    begin_up(&proxies[0]);
    begin_up(&proxies[1]);
    assert_string_equal(look_up(&proxies[0], NULL, 1, &asked), "");
    assert_true(teach(&proxies[0], 1, "alpha", 100));
    assert_string_equal(look_up(&proxies[0], NULL, 1, &asked), "alpha");
    assert_true(asked.was_at_once); /* here at once, whatever was believed before */
    assert_true(loop_testing_until(&proxies[0].loop, is_in_redis, NULL));
    assert_in_range(redis_testing_number(&redis, "TTL test:t:{AQcAAAAAAAAAAAAAAAAAAA}"), 95, 100);
    assert_string_equal(look_up(&proxies[1], NULL, 1, &asked), "alpha");
    assert_false(asked.was_at_once);
    /* It is remembered to its end, even when Redis forgets. */
    redis_testing_do(&redis, "DEL test:t:{AQcAAAAAAAAAAAAAAAAAAA}");
    make_older(&proxies[1], LEASE_TOKEN, 1, 3600000000);
    assert_string_equal(look_up(&proxies[1], NULL, 1, &asked), "alpha");
    assert_true(asked.was_at_once);
    struct store_note *note = note_of(&proxies[1], LEASE_TOKEN, 1);
    note->until_s = (uint64_t)time(NULL) - 1;
    store_notes_leave(note);
    assert_string_equal(look_up(&proxies[1], NULL, 1, &asked), "");
    end(&proxies[0]);
    end(&proxies[1]);
}

/* What other programs write is nobody's project. */
static void test_strange_values(void **state)
{
    static const char *const values[] = {"alpha", "1", "x alpha", "-1 alpha", "1 alpha", " alpha"};
    struct proxy proxy;
    struct lookup asked;
    (void)state;
    flush();
    begin_up(&proxy);
    for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        redisReply *reply =
            redisCommand(redis.client, "SET test:t:{AQcAAAAAAAAAAAAAAAAAAA} %s", values[i]);
        freeReplyObject(reply);
        assert_string_equal(look_up(&proxy, NULL, 1, &asked), "");
        make_older(&proxy, LEASE_TOKEN, 1, LEASE_STRANGER_US);
    }
    end(&proxy);
}

/* Learned while Redis is away: it holds here, and the fleet is told when Redis is back. */
static void test_owed(void **state)
{
    struct proxy proxy;
    struct lookup asked;
    (void)state;
    flush();
    begin_up(&proxy);
    redis_testing_kill(&redis);
    assert_true(loop_testing_until(&proxy.loop, is_down, &proxy));
    assert_true(teach(&proxy, 1, "alpha", 1000));
    assert_string_equal(look_up(&proxy, NULL, 1, &asked), "alpha");
    for (uint8_t i = 2; i < 200; i++)
        assert_true(teach(&proxy, i, "beta", 1000));
    struct store_note *note = note_of(&proxy, LEASE_TOKEN, 1);
    assert_true(note->is_owed);
    store_notes_leave(note);
    /* Nobody asks for them here. */
    assert_true(redis_testing_start(&redis, NULL));
    wait_up(&proxy);
    assert_true(loop_testing_until(&proxy.loop, are_all_in_redis, NULL));
    assert_true(is_in_redis(NULL));
    assert_true(loop_testing_until(&proxy.loop, is_nothing_owed, &proxy));
    end(&proxy);
}

/* A token is learned before the first handshake has ended. */
static void test_learned_at_once(void **state)
{
    struct proxy proxy;
    struct store_redis_conf conf = conf_of(&redis);
    (void)state;
    flush();
    begin(&proxy, &conf);
    assert_true(teach(&proxy, 1, "alpha", 1000));
    assert_true(loop_testing_until(&proxy.loop, is_in_redis, NULL));
    end(&proxy);
}

/* A server that refused it once gets it when the token is used. */
static void test_refused_once(void **state)
{
    struct proxy proxy;
    struct lookup asked;
    (void)state;
    flush();
    begin_up(&proxy);
    redis_testing_do(&redis, "ACL SETUSER default -set");
    assert_true(teach(&proxy, 1, "alpha", 1000));
    assert_string_equal(look_up(&proxy, NULL, 2, &asked), ""); /* the answer to SET came before */
    redis_testing_do(&redis, "ACL SETUSER default +set");
    assert_false(is_in_redis(NULL));
    struct store_note *note = note_of(&proxy, LEASE_TOKEN, 1);
    assert_true(note->is_owed);
    note->asked_at_us = 0; /* a second has gone by */
    store_notes_leave(note);
    assert_string_equal(look_up(&proxy, NULL, 1, &asked), "alpha");
    assert_true(loop_testing_until(&proxy.loop, is_in_redis, NULL));
    end(&proxy);
}

static void test_memory(void **state)
{
    struct store_memory *store = store_memory_new(16);
    struct proxy proxy = {0};
    struct lookup asked;
    (void)state;
    assert_non_null(store);
    loop_testing_start(&proxy.loop);
    proxy.lease = lease_new(store, NULL);
    loop_testing_call(&proxy.loop, make_worker, &proxy);
    assert_string_equal(look_up(&proxy, NULL, 1, &asked), "");
    assert_true(teach(&proxy, 1, "alpha", 1000));
    assert_string_equal(look_up(&proxy, NULL, 1, &asked), "alpha");
    assert_true(asked.was_at_once);
    assert_true(teach(&proxy, 1, "beta", 1000));
    assert_string_equal(look_up(&proxy, NULL, 1, &asked), "beta");
    assert_string_equal(look_up(&proxy, NULL, 2, &asked), "");
    end(&proxy);
    store_memory_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_answers_age),
        cmocka_unit_test(test_one_flight),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_away),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_strange_values),
        cmocka_unit_test(test_owed),
        cmocka_unit_test(test_learned_at_once),
        cmocka_unit_test(test_refused_once),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, setup_redis, teardown_redis);
}
