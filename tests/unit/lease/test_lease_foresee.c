/* SPDX-License-Identifier: Apache-2.0 */
/* test_lease_foresee - what is foreseen is what happens: requests of random cost over several quotas, each foretold before it is
 * asked, over the embedded store, over a real Redis exactly and with leases, and while Redis is away. */
#include "lease/lease_testing.h"

#include "lease/lease_foresee.h"

#define STEPS          600

#define NAMED(n, i, a) .name = {n, sizeof(n) - 1}, .id = {i}, .accuracy = (a)

/* The same quotas, exact and leased. */
#define QUOTAS(a, i)                                                                               \
    {                                                                                              \
        {NAMED("narrow", i, a), .limit_count = 2, .limits = {HOUR(37), DAY(60)}},                  \
            {NAMED("wide", i + 1, a), .limit_count = 1, .limits = {DAY(90)}},                      \
            {NAMED("slides", i + 2, a), .limit_count = 1, .limits = {HOUR(45)},                    \
             .algorithm = QUOTA_SLIDING},                                                          \
            {NAMED("drips", i + 3, QUOTA_EXACT), .limit_count = 1, .limits = {DAY(50)},            \
             .burst = 40, .algorithm = QUOTA_BUCKET},                                              \
            {NAMED("none", i + 4, a), .limit_count = 1, .limits = {HOUR(0)}},                      \
            {NAMED("gate", i + 5, a), .limit_count = 1, .limits = {HOUR(50)}, .is_gate = true},    \
        {                                                                                          \
            NAMED("allows", i + 6, a), .limit_count = 1, .limits = {HOUR(20)},                     \
                                       .on_failure = QUOTA_FAIL_ALLOW                              \
        }                                                                                          \
    }

static const struct quota EXACT[] = QUOTAS(QUOTA_EXACT, 60);
static const struct quota LEASED[] = QUOTAS(QUOTA_LEASED, 80);
#define QUOTA_NUMBER (sizeof(EXACT) / sizeof(EXACT[0]))

/* Numbers by chance, the same every time. */
static uint32_t draw(uint32_t below)
{
    static uint64_t state = 1;
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407U;
    return (uint32_t)(state >> 33) % below;
}

struct foretold {
    struct proxy *proxy;
    struct lease_operator *desk;
    struct lease_inquiry inquiry;
    struct lease_question questions[QUOTA_MAX_PER_ROUTE];
    struct lease_foresight f;
    const struct lease_ask *ask;
    bool is_done;
};

static void make_desk(void *arg)
{
    struct foretold *foretold = arg;
    foretold->desk = lease_operator_new(foretold->proxy->lease, foretold->proxy->loop.loop);
}

static void free_desk(void *arg)
{
    lease_operator_free(((struct foretold *)arg)->desk);
}

static void begin_desk(struct foretold *foretold, struct proxy *proxy)
{
    memset(foretold, 0, sizeof(*foretold));
    foretold->proxy = proxy;
    loop_testing_call(&proxy->loop, make_desk, foretold);
    assert_non_null(foretold->desk);
}

static void on_told(struct lease_inquiry *inquiry)
{
    struct foretold *foretold =
        (struct foretold *)(void *)((char *)inquiry - offsetof(struct foretold, inquiry));
    lease_foresee(foretold->proxy->lease, foretold->proxy->loop.loop, &foretold->f);
    foretold->is_done = true;
}

static void inquire(void *arg)
{
    struct foretold *foretold = arg;
    struct lease_foresight *f = &foretold->f;
    memset(f, 0, sizeof(*f));
    foretold->is_done = false;
    foretold->inquiry = (struct lease_inquiry){
        .questions = foretold->questions, .count = foretold->ask->count, .done = on_told};
    for (unsigned i = 0; i < foretold->ask->count; i++) {
        foretold->questions[i] = (struct lease_question){.kind = LEASE_ASK_SUBJECT};
        memcpy(foretold->questions[i].key, foretold->ask->charges[i].key, 16);
        f->charges[i] = foretold->ask->charges[i];
        f->stored[i] = &foretold->questions[i];
        f->has_gates = f->has_gates || f->charges[i].quota->is_gate;
    }
    f->count = foretold->ask->count;
    if (lease_inquire(foretold->desk, &foretold->inquiry))
        on_told(&foretold->inquiry);
}

/* As the questions stand. */
static void inquire_again(void *arg)
{
    struct foretold *foretold = arg;
    if (lease_inquire(foretold->desk, &foretold->inquiry))
        on_told(&foretold->inquiry);
}

static bool is_told(void *arg)
{
    return ((struct foretold *)arg)->is_done;
}

/* When nothing of these keys is on its way. */
static void foresee(struct foretold *foretold, const struct lease_ask *ask)
{
    foretold->ask = ask;
    do {
        loop_testing_call(&foretold->proxy->loop, inquire, foretold);
        assert_true(loop_testing_until(&foretold->proxy->loop, is_told, foretold));
    } while (foretold->f.is_moving);
}

static bool is_near_to(uint32_t a, uint32_t b)
{
    return a == b || a + 1 == b || a == b + 1;
}

static bool is_same_charge(const struct quota_charge *told, const struct quota_charge *charge)
{
    bool is_same = told->is_skipped == charge->is_skipped && told->is_hidden == charge->is_hidden &&
                   told->is_degraded == charge->is_degraded && told->source == charge->source;
    for (unsigned w = 0; w < charge->quota->limit_count; w++)
        is_same = is_same && told->readings[w].refused == charge->readings[w].refused &&
                  told->readings[w].limit == charge->readings[w].limit &&
                  told->readings[w].used == charge->readings[w].used;
    return is_same;
}

static bool is_same(const struct lease_foresight *f, const struct lease_ask *ask)
{
    const struct quota_decision *said = &f->decision, *is = &ask->decision;
    bool is_same = said->has_binding == is->has_binding && said->limit == is->limit &&
                   said->remaining == is->remaining && said->is_near == is->is_near &&
                   is_near_to(said->reset_s, is->reset_s) &&
                   is_near_to(said->retry_after_s, is->retry_after_s);
    for (unsigned i = 0; i < ask->count; i++)
        is_same = is_same && is_same_charge(&f->charges[i], &ask->charges[i]);
    return is_same;
}

static bool is_refusal(enum quota_verdict verdict)
{
    return verdict == QUOTA_REFUSE || verdict == QUOTA_DEGRADED_REFUSE;
}

/* Foretell it, ask it, compare. */
static enum quota_verdict foresee_and_ask(struct foretold *foretold, struct question *question)
{
    const struct question before = *question;
    enum quota_verdict told, verdict;
    unsigned tries = 0;
    bool is_alike;
    do {
        *question = before;
        foresee(foretold, &question->ask);
        verdict = finish(question);
        told = foretold->f.decision.verdict;
        is_alike = told == verdict &&
                   (verdict == QUOTA_UNAVAILABLE || is_same(&foretold->f, &question->ask));
        /* Each key's refusal is remembered for a time of its own: those whose time is over in between are not named, and
         * behind the last of them the store is asked, which may be away. */
    } while (!is_alike && is_refusal(verdict) && is_refusal(told) && ++tries < 20);
    assert_int_equal(told, verdict);
    if (verdict == QUOTA_UNAVAILABLE)
        return verdict;
    assert_true(is_same(&foretold->f, &question->ask));
    for (unsigned i = 0; verdict == QUOTA_ALLOW && i < question->ask.count; i++) {
        const struct quota_charge *charge = &question->ask.charges[i];
        if (charge->quota->algorithm == QUOTA_FIXED)
            assert_int_equal(foretold->f.uses[i].readings[0].used + charge->cost,
                             charge->readings[0].used);
    }
    return verdict;
}

static void prepare_any(struct question *question, struct proxy *proxy, const struct quota *quotas,
                        unsigned from, unsigned subjects)
{
    uint64_t subject = from + draw(subjects);
    uint32_t cost = 1 + draw(4) * draw(4);
    memset(question, 0, sizeof(*question));
    question->proxy = proxy;
    for (unsigned q = 0; q < QUOTA_NUMBER; q++) {
        bool is_rare = quotas[q].limits[0].limit == 0;
        if (draw(is_rare ? 20 : 3) == 0)
            add(question, &quotas[q], subject, cost);
    }
    for (unsigned i = 0; i < question->ask.count; i++)
        question->ask.has_gates |= question->ask.charges[i].quota->is_gate;
    if (question->ask.count == 0)
        add(question, &quotas[0], subject, cost);
}

struct tally {
    unsigned admitted, refused, here;
};

static struct tally walk(struct foretold *foretold, struct proxy *proxy, const struct quota *quotas,
                         unsigned from, unsigned steps)
{
    struct tally tally = {0};
    struct question question;
    for (unsigned i = 0; i < steps; i++) {
        prepare_any(&question, proxy, quotas, from, 4);
        enum quota_verdict verdict = foresee_and_ask(foretold, &question);
        tally.admitted += verdict == QUOTA_ALLOW || verdict == QUOTA_DEGRADED_ALLOW;
        tally.refused += verdict == QUOTA_REFUSE || verdict == QUOTA_DEGRADED_REFUSE;
        tally.here += question.was_at_once;
    }
    return tally;
}

static void test_memory(void **state)
{
    struct store_memory *memory = store_memory_new(1000);
    struct proxy proxy = {0};
    struct foretold foretold;
    (void)state;
    quiet();
    loop_testing_start(&proxy.loop);
    proxy.lease = lease_new(memory, NULL);
    loop_testing_call(&proxy.loop, make_worker, &proxy);
    begin_desk(&foretold, &proxy);
    struct tally tally = walk(&foretold, &proxy, EXACT, 0, STEPS);
    assert_true(tally.admitted > 30 && tally.refused > 100);
    loop_testing_call(&proxy.loop, free_desk, &foretold);
    loop_testing_call(&proxy.loop, free_worker, &proxy);
    loop_testing_end(&proxy.loop);
    lease_free(proxy.lease);
    store_memory_free(memory);
}

/* The window before counts too. */
static void test_a_window_that_slid(void **state)
{
    struct store_memory *memory = store_memory_new(1000);
    struct proxy proxy = {0};
    struct foretold foretold;
    struct question question;
    const struct quota *slides = &EXACT[2];
    (void)state;
    quiet();
    struct quota_charge before = testing_charge(slides, 7, 44);
    assert_int_equal(store_memory_charge(memory, &before, 1, clock_wall_us() - US(3600), NULL),
                     STORE_CHARGED);
    loop_testing_start(&proxy.loop);
    proxy.lease = lease_new(memory, NULL);
    loop_testing_call(&proxy.loop, make_worker, &proxy);
    begin_desk(&foretold, &proxy);
    for (unsigned i = 0, refused = 0; refused < 2; i++) {
        assert_true(i < 60);
        prepare(&question, &proxy, slides, 7, 1);
        foresee(&foretold, &question.ask);
        refused += finish(&question) == QUOTA_REFUSE;
        assert_int_equal(foretold.f.decision.verdict, question.ask.decision.verdict);
        if (i == 0)
            assert_true(foretold.f.uses[0].readings[0].used > 0 ||
                        clock_wall_us() / 1000000 % 3600 > 3500);
    }
    loop_testing_call(&proxy.loop, free_desk, &foretold);
    loop_testing_call(&proxy.loop, free_worker, &proxy);
    loop_testing_end(&proxy.loop);
    lease_free(proxy.lease);
    store_memory_free(memory);
}

static void test_redis(void **state)
{
    struct proxy proxy;
    struct foretold foretold;
    (void)state;
    flush();
    begin_up(&proxy);
    begin_desk(&foretold, &proxy);
    struct tally tally = walk(&foretold, &proxy, EXACT, 0, STEPS);
    assert_true(tally.admitted > 30 && tally.refused > 100);
    loop_testing_call(&proxy.loop, free_desk, &foretold);
    end(&proxy);
}

static void test_leases(void **state)
{
    struct store_redis_conf conf = conf_of(&redis);
    struct proxy proxy;
    struct foretold foretold;
    (void)state;
    flush();
    conf.fleet_size = 1;
    begin(&proxy, &conf);
    wait_up(&proxy);
    begin_desk(&foretold, &proxy);
    struct tally tally = walk(&foretold, &proxy, LEASED, 0, STEPS);
    assert_true(tally.admitted > 30 && tally.refused > 100 && tally.here > 100);
    loop_testing_call(&proxy.loop, free_desk, &foretold);
    end(&proxy);
}

/* What was given back, owed, reset and granted is reckoned with. */
static void test_orders_and_corrections(void **state)
{
    struct proxy proxy;
    struct foretold foretold;
    struct question question;
    (void)state;
    flush();
    begin_up(&proxy);
    begin_desk(&foretold, &proxy);
    const struct quota *narrow = &EXACT[0];
    assert_int_equal(ask(&proxy, narrow, 9, 37, &question), QUOTA_ALLOW);
    prepare(&question, &proxy, narrow, 9, 1);
    foresee(&foretold, &question.ask);
    assert_int_equal(foretold.f.decision.verdict, QUOTA_REFUSE);
    assert_int_equal(foretold.f.uses[0].readings[0].used, 37);
    for (unsigned verb = STORE_ORDER_RESET; verb <= STORE_ORDER_GRANT; verb++) {
        assert_int_equal(finish(&question), QUOTA_REFUSE);
        foretold.questions[0] = (struct lease_question){
            .kind = LEASE_ASK_SUBJECT,
            .order = {(enum store_order_verb)verb, verb == STORE_ORDER_GRANT ? 3 : 0, 60}};
        memcpy(foretold.questions[0].key, question.ask.charges[0].key, 16);
        foretold.is_done = false;
        foretold.inquiry =
            (struct lease_inquiry){.questions = foretold.questions, .count = 1, .done = on_told};
        foretold.f.count = 0;
        loop_testing_call(&proxy.loop, inquire_again, &foretold);
        assert_true(loop_testing_until(&proxy.loop, is_told, &foretold));
        for (unsigned i = 0; i < 45; i++) {
            prepare(&question, &proxy, narrow, 9, 1);
            (void)foresee_and_ask(&foretold, &question);
        }
        prepare(&question, &proxy, narrow, 9, 1);
    }
    loop_testing_call(&proxy.loop, free_desk, &foretold);
    end(&proxy);
}

/* Half of the limit is this proxy's: two share it. */
static void test_away(void **state)
{
    struct proxy proxy;
    struct foretold foretold;
    (void)state;
    flush();
    begin_up(&proxy);
    begin_desk(&foretold, &proxy);
    (void)walk(&foretold, &proxy, EXACT, 0, 40);
    redis_testing_kill(&redis);
    assert_true(loop_testing_until(&proxy.loop, is_down, &proxy));
    struct tally tally = walk(&foretold, &proxy, EXACT, 0, STEPS);
    assert_true(tally.admitted > 10 && tally.refused > 100);
    loop_testing_call(&proxy.loop, free_desk, &foretold);
    end(&proxy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_a_window_that_slid),
        cmocka_unit_test(test_redis),
        cmocka_unit_test(test_leases),
        cmocka_unit_test(test_orders_and_corrections),
        cmocka_unit_test(test_away), /* last: Redis is gone */
    };
    if (!redis_testing_is_installed()) {
        print_message("redis-server is not installed: skipped\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, setup_redis, teardown_redis);
}
