/* SPDX-License-Identifier: Apache-2.0 */
/* lease_testing.h - proxies to ask questions of: each a lease with one worker, a loop and a thread of its
 * own, over a real Redis.  Windows are hours, so that no count meets an end. */
#ifndef TESTS_LEASE_TESTING_H
#define TESTS_LEASE_TESTING_H

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

static inline void make_worker(void *arg)
{
    struct proxy *proxy = arg;
    proxy->worker = lease_worker_new(proxy->lease, proxy->loop.loop);
}

static inline void free_worker(void *arg)
{
    struct proxy *proxy = arg;
    lease_worker_free(proxy->worker);
}

static inline struct store_redis_conf conf_of(const struct redis_testing *server)
{
    struct store_redis_conf conf = {
        .servers = {{.text = span_of(server->address)}},
        .server_count = 1,
        .prefix = SPAN("test"),
        .decision_timeout_us = 60000,
        .command_timeout_us = 250000,
        .connect_timeout_us = 500000,
        .fleet_size = 2,
        .secret_fingerprint = SPAN("0123456789012345678901"),
    };
    struct span host;
    assert_null(net_address_parse(&conf.servers[0].address, conf.servers[0].text, &host));
    return conf;
}

static inline void begin(struct proxy *proxy, const struct store_redis_conf *conf)
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
static inline void begin_second(struct proxy *second, const struct proxy *first)
{
    memset(second, 0, sizeof(*second));
    loop_testing_start(&second->loop);
    second->lease = first->lease;
    second->is_second = true;
    loop_testing_call(&second->loop, make_worker, second);
    assert_non_null(second->worker);
}

static inline void end(struct proxy *proxy)
{
    loop_testing_call(&proxy->loop, free_worker, proxy);
    loop_testing_end(&proxy->loop);
    if (!proxy->is_second)
        lease_free(proxy->lease);
}

static inline bool is_up(void *arg)
{
    struct lease_status status;
    lease_get_status(((struct proxy *)arg)->lease, &status);
    return status.workers_up == status.workers;
}

static inline bool is_down(void *arg)
{
    struct lease_status status;
    lease_get_status(((struct proxy *)arg)->lease, &status);
    return status.workers_up == 0;
}

static inline void wait_up(struct proxy *proxy)
{
    assert_true(loop_testing_until(&proxy->loop, is_up, proxy));
}

/* A server that may have lost something grants nothing to a fleet for a while. */
static inline bool is_trusted(void *arg)
{
    struct proxy *proxy = arg;
    uint64_t since_us = store_redis_route_newest_us(proxy->worker->route);
    return since_us == 0 ||
           proxy->loop.loop->mono_us >= since_us + lease_anew_wait_us(proxy->lease->redis);
}

static inline void wait_trusted(struct proxy *proxy)
{
    wait_up(proxy);
    assert_true(loop_testing_until(&proxy->loop, is_trusted, proxy));
}

static inline void begin_up(struct proxy *proxy)
{
    struct store_redis_conf conf = conf_of(&redis);
    begin(proxy, &conf);
    wait_up(proxy);
}

/* ---- asking ---- */

static inline void on_done(struct lease_ask *ask, void *arg)
{
    struct question *question = arg;
    assert_ptr_equal(ask, &question->ask);
    assert_false(question->is_done);
    question->is_done = true;
}

static inline void decide(void *arg)
{
    struct question *question = arg;
    question->ask.done = on_done;
    question->ask.arg = question;
    question->was_at_once = lease_decide(question->proxy->worker, &question->ask);
    assert_false(question->is_done); /* never from inside */
    question->is_done = question->was_at_once;
}

static inline bool is_decided(void *arg)
{
    return ((struct question *)arg)->is_done;
}

static inline void prepare(struct question *question, struct proxy *proxy,
                           const struct quota *quota, uint64_t subject, uint32_t cost)
{
    memset(question, 0, sizeof(*question));
    question->proxy = proxy;
    question->ask.count = 1;
    question->ask.charges[0] = testing_charge(quota, subject, cost);
}

static inline void add(struct question *question, const struct quota *quota, uint64_t subject,
                       uint32_t cost)
{
    question->ask.charges[question->ask.count++] = testing_charge(quota, subject, cost);
}

static inline enum quota_verdict finish(struct question *question)
{
    loop_testing_call(&question->proxy->loop, decide, question);
    assert_true(loop_testing_until(&question->proxy->loop, is_decided, question));
    return question->ask.decision.verdict;
}

static inline enum quota_verdict ask(struct proxy *proxy, const struct quota *quota,
                                     uint64_t subject, uint32_t cost, struct question *question)
{
    prepare(question, proxy, quota, subject, cost);
    return finish(question);
}

/* How many of `count` requests of one subject get this verdict. */
static inline unsigned ask_many(struct proxy *proxy, const struct quota *quota, uint64_t subject,
                                unsigned count, enum quota_verdict verdict)
{
    unsigned same = 0;
    struct question question;
    for (unsigned i = 0; i < count; i++)
        same += ask(proxy, quota, subject, 1, &question) == verdict;
    return same;
}

/* No hour ends within the test. */
static inline void quiet(void)
{
    while (time(NULL) % 3600 > 3600 - 20)
        redis_testing_nap();
}

static inline void flush(void)
{
    redis_testing_do(&redis, "FLUSHALL");
    quiet();
}

static inline bool are_keys_mortal(void)
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

/* Many questions at a time. */
struct flood {
    struct proxy *proxy;
    struct question *questions;
    unsigned count;
};

static inline void decide_all(void *arg)
{
    struct flood *flood = arg;
    for (unsigned i = 0; i < flood->count; i++)
        decide(&flood->questions[i]);
}

static inline bool are_decided(void *arg)
{
    const struct flood *flood = arg;
    for (unsigned i = 0; i < flood->count; i++) {
        if (!flood->questions[i].is_done)
            return false;
    }
    return true;
}

static inline void *run_flood(void *arg)
{
    struct flood *flood = arg;
    loop_testing_call(&flood->proxy->loop, decide_all, flood);
    if (!loop_testing_until(&flood->proxy->loop, are_decided, flood))
        abort();
    return NULL;
}

static inline unsigned count_verdicts(const struct flood *flood, enum quota_verdict verdict)
{
    unsigned count = 0;
    for (unsigned i = 0; i < flood->count; i++)
        count += flood->questions[i].ask.decision.verdict == verdict;
    return count;
}

static inline bool is_settled(void *arg)
{
    const struct proxy *proxy = arg;
    return proxy->worker->debtor_first == proxy->worker->debtor_next &&
           proxy->worker->settling == 0;
}

static inline int setup_redis(void **state)
{
    (void)state;
    log_testing_off();
    return redis_testing_start(&redis, NULL) ? 0 : -1;
}

static inline int teardown_redis(void **state)
{
    (void)state;
    redis_testing_end(&redis);
    return 0;
}

#endif
