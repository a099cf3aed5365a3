/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_redis_link - a link with servers that lie, break and fall silent: every operation gets
 * exactly one ending, the breaker opens, and closes again when the server is well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <netdb.h>

#include "store/loop_testing.h"
#include "store/redis_fake.h"
#include "store/store_redis_route.h"

#define START "1795305600"
#define GRANT "*10\r\n:1\r\n:" START "\r\n:5\r\n:9\r\n:0\r\n:0\r\n:2\r\n:" START "\r\n:1\r\n:0\r\n"
#define REFUSAL                                                                                    \
    "*10\r\n:0\r\n:" START "\r\n:5\r\n:9\r\n:0\r\n:0\r\n:0\r\n:" START "\r\n:1\r\n:0\r\n"

struct asked {
    struct store_redis_op op;
    enum store_answer result;
    unsigned endings;
};

struct rig {
    struct loop_testing loop;
    struct redis_fake fake;
    struct store_redis *redis;
    struct store_redis_route *route;
    struct told_testing told;
    unsigned ups;
};

static void on_done(struct store_redis_op *op, enum store_answer result,
                    const struct store_redis_answer *answer)
{
    struct asked *asked = (struct asked *)(void *)op;
    assert_int_equal(answer != NULL, result != STORE_AWAY);
    asked->result = result;
    asked->endings++;
}

static void on_change(void *arg, bool is_up)
{
    struct rig *rig = arg;
    assert_int_equal(is_up, store_redis_route_is_open(rig->route));
    rig->ups += is_up;
}

static void make_link(void *arg)
{
    struct rig *rig = arg;
    rig->route = store_redis_route_new(rig->redis, rig->loop.loop, on_change, rig);
}

static void free_link(void *arg)
{
    struct rig *rig = arg;
    store_redis_route_free(rig->route);
}

static bool is_open(void *arg)
{
    return store_redis_route_is_open(((struct rig *)arg)->route);
}

static bool was_lost(void *arg)
{
    struct rig *rig = arg;
    return loop_testing_metric(&rig->loop, METRICS_STORE_LOST) == 1;
}

static void connect_rig(struct rig *rig)
{
    loop_testing_start(&rig->loop);
    struct store_redis_conf conf = {
        .servers = {{.text = span_of(rig->fake.address)}},
        .server_count = 1,
        .prefix = SPAN("test"),
        .decision_timeout_us = 50000,
        .command_timeout_us = 1000000,
        .connect_timeout_us = 1500000,
        .secret_fingerprint = SPAN("fp"),
    };
    struct span host;
    assert_null(net_address_parse(&conf.servers[0].address, conf.servers[0].text, &host));
    rig->redis = store_redis_new(&conf);
    assert_non_null(rig->redis);
    told_testing_begin(&rig->told);
    rig->redis->on_event = told_testing_add;
    rig->redis->event_arg = &rig->told;
    loop_testing_call(&rig->loop, make_link, rig);
}

static void begin(struct rig *rig, redis_fake_fn answer)
{
    memset(rig, 0, sizeof(*rig));
    redis_fake_start(&rig->fake, answer);
    connect_rig(rig);
}

static void end(struct rig *rig)
{
    loop_testing_call(&rig->loop, free_link, rig);
    loop_testing_end(&rig->loop);
    redis_fake_end(&rig->fake);
    store_redis_free(rig->redis);
}

static void fill(struct asked *asked)
{
    memset(asked, 0, sizeof(*asked));
    asked->op.count = 1;
    asked->op.done = on_done;
    asked->op.claims[0] = (struct store_redis_claim){
        .key = {1, 2, 3}, .cost = 1, .window_count = 1, .windows = {{60, 10, 0, 0, 0, 0, 0}}};
}

struct call {
    struct rig *rig;
    struct asked *asked;
    enum store_answer answer;
};

static void charge(void *arg)
{
    struct call *call = arg;
    call->answer = store_redis_route_charge(call->rig->route, &call->asked->op);
}

static bool is_ended(void *arg)
{
    return ((struct call *)arg)->asked->endings != 0;
}

/* One operation, to its end. */
static enum store_answer ask(struct rig *rig)
{
    struct asked asked;
    struct call call = {rig, &asked, STORE_AWAY};
    fill(&asked);
    loop_testing_call(&rig->loop, charge, &call);
    if (call.answer == STORE_AWAY)
        return STORE_AWAY;
    assert_int_equal(call.answer, STORE_PENDING);
    assert_true(loop_testing_until(&rig->loop, is_ended, &call));
    assert_int_equal(asked.endings, 1);
    return asked.result;
}

/* ---- a healthy server ---- */

static bool healthy(struct redis_fake *fake, const struct redis_fake_command *command)
{
    if (!redis_fake_is_charge(command))
        return redis_fake_greet(fake, command);
    redis_fake_say(fake, GRANT);
    return true;
}

static void test_healthy(void **state)
{
    struct rig rig;
    (void)state;
    begin(&rig, healthy);
    assert_true(loop_testing_until(&rig.loop, is_open, &rig));
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(ask(&rig), STORE_CHARGED);
    assert_int_equal(rig.ups, 1);
    assert_int_equal(atomic_load(&rig.redis->fleet), 3);
    assert_int_equal(loop_testing_metric(&rig.loop, METRICS_STORE_UP), 1);
    assert_int_equal(loop_testing_metric(&rig.loop, METRICS_STORE_BREAKER_OPEN), 0);
    assert_int_equal(loop_testing_metric(&rig.loop, METRICS_STORE_ERRORS), 0);
    assert_int_equal(atomic_load(&rig.fake.connections), 1);
    end(&rig);
}

/* ---- charges that are answered badly, once ---- */

/* What the server does with a charge, and what the operation's ending must be. */
struct behaviour {
    const char *name, *reply;
    enum store_answer result;
    bool is_dropped; /* the link */
    bool close, reset, byte_by_byte, talks_on;
    const char *logged;
};

static bool misbehave(struct redis_fake *fake, const struct redis_fake_command *command)
{
    const struct behaviour *row = atomic_load(&fake->arg);
    if (!redis_fake_is_charge(command))
        return redis_fake_greet(fake, command);
    atomic_store(&fake->answer, healthy); /* the next one */
    for (const char *at = row->reply; row->byte_by_byte && *at != '\0'; at++) {
        const char byte[2] = {*at, '\0'};
        redis_fake_say(fake, byte);
    }
    if (!row->byte_by_byte)
        redis_fake_say(fake, row->reply);
    for (unsigned i = 0; row->talks_on && i < 100000; i++)
        redis_fake_say(fake, row->reply);
    if (row->reset) {
        const struct linger reset = {1, 0};
        setsockopt(fake->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    }
    return !row->close && !row->reset;
}

static void test_misbehaviour(void **state)
{
    static const struct behaviour rows[] = {
        {"refusal", REFUSAL, STORE_REFUSED, .logged = ""},
        {"byte by byte", GRANT, STORE_CHARGED, .byte_by_byte = true, .logged = ""},
        {"silent", "", STORE_AWAY, true, .logged = "was not answered within 1000 ms"},
        {"half a reply", "*8\r\n:1\r\n:179", STORE_AWAY, true, .logged = "within 1000 ms"},
        {"end of input", "", STORE_AWAY, true, .close = true, .logged = "closed the connection"},
        {"end within", "*8\r\n:1", STORE_AWAY, true, .close = true, .logged = "closed the conn"},
        {"reset", "", STORE_AWAY, true, .reset = true, .logged = ""},
        {"two replies", GRANT GRANT, STORE_CHARGED, true, .logged = "nobody asked for"},
        {"a flood", GRANT, STORE_CHARGED, true, .talks_on = true, .logged = "nobody asked for"},
        {"huge", "*2147483647\r\n", STORE_AWAY, true, .logged = "does not speak"},
        {"deep", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", STORE_AWAY, true,
         .logged = "does not speak"},
        {"web server", "HTTP/1.1 400 Bad\r\n\r\n", STORE_AWAY, true, .logged = "does not speak"},
        {"RESP3", "%1\r\n+a\r\n:1\r\n", STORE_AWAY, true, .logged = "does not speak"},
        {"nil", "$-1\r\n", STORE_AWAY, true, .logged = "with something else"},
        {"a number", ":1\r\n", STORE_AWAY, true, .logged = "with something else"},
        {"too short", "*3\r\n:1\r\n:1\r\n:1\r\n", STORE_AWAY, true, .logged = "something else"},
        {"no numbers", "*8\r\n+1\r\n+1\r\n+1\r\n+1\r\n+1\r\n+1\r\n+1\r\n+1\r\n", STORE_AWAY, true,
         .logged = "with something else"},
        {"READONLY", "-READONLY You can't write\r\n", STORE_AWAY, true, .logged = "a replica"},
        {"LOADING", "-LOADING Redis is loading\r\n", STORE_AWAY, true, .logged = "wait"},
        {"OOM", "-OOM command not allowed\r\n", STORE_AWAY, true, .logged = "maxmemory"},
        {"MISCONF", "-MISCONF Redis is configured\r\n", STORE_AWAY, true, .logged = "save"},
        {"BUSY", "-BUSY Redis is busy\r\n", STORE_AWAY, true, .logged = "SCRIPT KILL"},
        {"NOPERM", "-NOPERM this user\r\n", STORE_AWAY, true, .logged = "check --acl"},
        {"NOAUTH", "-NOAUTH Authentication required.\r\n", STORE_AWAY, true, .logged = "password"},
        {"MOVED", "-MOVED 3999 127.0.0.1:6381\r\n", STORE_AWAY, true, .logged = "topology"},
        {"WRONGTYPE", "-WRONGTYPE Operation against\r\n", STORE_AWAY, false, .logged = ""},
        {"layout", "-SLUICELAYOUT test:q:x\r\n", STORE_AWAY, false, .logged = ""},
        {"unknown", "-WHATEVER it is\r\n", STORE_AWAY, false, .logged = ""},
        {"empty error", "-\r\n", STORE_AWAY, false, .logged = ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rig rig;
        begin(&rig, healthy);
        assert_true(loop_testing_until(&rig.loop, is_open, &rig));
        atomic_store(&rig.fake.arg, (void *)(uintptr_t)&rows[i]);
        atomic_store(&rig.fake.answer, misbehave);
        enum store_answer result = ask(&rig);
        if (result != rows[i].result)
            print_error("%s: %d\n", rows[i].name, (int)result);
        assert_int_equal(result, rows[i].result);
        if (rows[i].is_dropped)
            assert_true(loop_testing_until(&rig.loop, was_lost, &rig));
        assert_true(loop_testing_until(&rig.loop, is_open, &rig));
        assert_int_equal(ask(&rig), STORE_CHARGED);
        assert_int_equal(atomic_load(&rig.fake.connections), rows[i].is_dropped ? 2 : 1);
        bool is_told = told_testing_count(&rig.told, rows[i].logged) != 0;
        if (!is_told && rows[i].logged[0] != '\0')
            print_error("%s: %s\n", rows[i].name, rig.told.text);
        assert_true(is_told || rows[i].logged[0] == '\0');
        assert_int_equal(told_testing_count(&rig.told, "store_lost"), rows[i].is_dropped);
        assert_int_equal(told_testing_count(&rig.told, "store_back"), rows[i].is_dropped);
        end(&rig);
    }
}

/* ---- handshakes ---- */

struct greeting {
    const char *name, *command, *reply, *logged;
    bool close;
};

static bool greet_badly(struct redis_fake *fake, const struct redis_fake_command *command)
{
    const struct greeting *row = atomic_load(&fake->arg);
    bool is_second = command->count == 2 && strcmp(command->argv[1], row->command) == 0;
    if (!redis_fake_is(command, row->command) && !is_second)
        return redis_fake_greet(fake, command);
    redis_fake_say(fake, row->reply);
    return !row->close;
}

static void test_handshakes(void **state)
{
    static const struct greeting rows[] = {
        {"too many clients", "CLIENT", "-ERR max number of clients reached\r\n", "closed the",
         true},
        {"protected mode", "INFO", "-DENIED Redis is running in protected mode\r\n",
         "protected mode", false},
        {"no password", "INFO", "-NOAUTH Authentication required.\r\n", "set \\\"password", false},
        {"old", "INFO", "$36\r\nredis_version:6.0.16\r\nrun_id:abcdef\r\n\r\n", "6.0.16: 6.2 or",
         false},
        {"nothing told", "INFO", "$0\r\n\r\n", "no Redis server", false},
        {"odd version", "INFO", "$33\r\nredis_version:seven\r\nrun_id:abc\r\n\r\n", "seven", false},
        {"a replica", "ROLE", "*3\r\n$5\r\nslave\r\n$1\r\nx\r\n:1\r\n", "slave", false},
        {"no role", "ROLE", "*0\r\n", "no role", false},
        {"other secret", "GET", "$5\r\nother\r\n", "another subject_secret", false},
        {"no secret", "GET", "$-1\r\n", "another subject_secret", false},
        {"full", "SET", "-OOM command not allowed\r\n", "maxmemory", false},
        {"no hash", "SCRIPT", "+OK\r\n", "no hash", false},
        {"no scripts", "SCRIPT", "-NOPERM no permission\r\n", "check --acl", false},
        {"no pong", "PING", "+OK\r\n", "PONG", false},
        {"silent", "PING", "", "did not finish the handshake", false},
        {"gone", "PING", "", "closed the connection", true},
        {"web server", "PING", "HTTP/1.1 400\r\n", "does not speak", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rig rig;
        begin(&rig, redis_fake_greet);
        loop_testing_call(&rig.loop, free_link, &rig); /* begin again, with the bad one */
        atomic_store(&rig.fake.arg, (void *)(uintptr_t)&rows[i]);
        atomic_store(&rig.fake.answer, greet_badly);
        loop_testing_call(&rig.loop, make_link, &rig);
        unsigned waited = 0;
        while (told_testing_count(&rig.told, rows[i].logged) == 0 && waited++ < 2000) {
            const struct timespec nap = {0, 2000000};
            nanosleep(&nap, NULL);
        }
        if (waited >= 2000)
            print_error("%s: %s\n", rows[i].name, rig.told.text);
        assert_in_range(waited, 0, 1999);
        assert_int_equal(ask(&rig), STORE_AWAY);
        atomic_store(&rig.fake.answer, healthy);
        assert_true(loop_testing_until(&rig.loop, is_open, &rig));
        assert_int_equal(ask(&rig), STORE_CHARGED);
        end(&rig);
    }
}

/* What is optional, or another server's way, does no harm. */
static void test_tolerant_handshakes(void **state)
{
    static const struct greeting rows[] = {
        {"memory is not told", "memory", "-NOPERM no\r\n", "", false},
        {"memory is empty", "memory", "$0\r\n\r\n", "", false},
        {"CLIENT is forbidden", "CLIENT", "-NOPERM no\r\n", "", false},
        {"a policy", "memory", "$30\r\nmaxmemory_policy:allkeys-lru\r\n\r\n", "", false},
        {"a fork", "INFO", "$41\r\nrun_id:abc\r\nredis_version:8.1.0\r\nx:y:z\r\nv\r\n", "", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rig rig;
        begin(&rig, redis_fake_greet);
        loop_testing_call(&rig.loop, free_link, &rig);
        atomic_store(&rig.fake.arg, (void *)(uintptr_t)&rows[i]);
        atomic_store(&rig.fake.answer, greet_badly);
        loop_testing_call(&rig.loop, make_link, &rig);
        assert_true(loop_testing_until(&rig.loop, is_open, &rig));
        end(&rig);
    }
}

/* ---- scripts that are not there ---- */

static bool forgets(struct redis_fake *fake, const struct redis_fake_command *command)
{
    unsigned *evals = atomic_load(&fake->arg);
    if (!redis_fake_is_charge(command))
        return redis_fake_greet(fake, command);
    if (redis_fake_is(command, "EVALSHA")) {
        redis_fake_say(fake, "-NOSCRIPT No matching script. Please use EVAL.\r\n");
        return true;
    }
    ++*evals;
    redis_fake_say(fake, GRANT);
    return true;
}

static bool never_knows(struct redis_fake *fake, const struct redis_fake_command *command)
{
    if (!redis_fake_is_charge(command))
        return redis_fake_greet(fake, command);
    redis_fake_say(fake, "-NOSCRIPT No matching script. Please use EVAL.\r\n");
    return true;
}

struct many {
    struct rig *rig;
    struct asked *asked;
    unsigned count, pending;
};

static void charge_many(void *arg)
{
    struct many *many = arg;
    for (unsigned i = 0; i < many->count; i++) {
        fill(&many->asked[i]);
        many->pending +=
            store_redis_route_charge(many->rig->route, &many->asked[i].op) == STORE_PENDING;
    }
}

static bool are_ended(void *arg)
{
    const struct many *many = arg;
    unsigned ended = 0;
    for (unsigned i = 0; i < many->count; i++)
        ended += many->asked[i].endings;
    return ended >= many->pending;
}

static void test_noscript(void **state)
{
    struct rig rig;
    struct asked asked[20];
    struct many many = {&rig, asked, 20, 0};
    unsigned evals = 0;
    (void)state;
    begin(&rig, healthy);
    assert_true(loop_testing_until(&rig.loop, is_open, &rig));
    atomic_store(&rig.fake.arg, &evals);
    atomic_store(&rig.fake.answer, forgets);
    loop_testing_call(&rig.loop, charge_many, &many);
    assert_true(loop_testing_until(&rig.loop, are_ended, &many));
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(asked[i].endings, 1);
        assert_int_equal(asked[i].result, STORE_CHARGED);
    }
    assert_in_range(evals, 1, 20);
    atomic_store(&rig.fake.answer, never_knows);
    assert_int_equal(ask(&rig), STORE_AWAY);
    assert_int_equal(atomic_load(&rig.fake.connections), 1);
    end(&rig);
}

/* ---- many in flight ---- */

static bool mute(struct redis_fake *fake, const struct redis_fake_command *command)
{
    return redis_fake_is_charge(command) ? true : redis_fake_greet(fake, command);
}

static bool breaks(struct redis_fake *fake, const struct redis_fake_command *command)
{
    unsigned *left = atomic_load(&fake->arg);
    if (!redis_fake_is_charge(command))
        return redis_fake_greet(fake, command);
    if (*left == 0)
        return false;
    --*left;
    redis_fake_say(fake, GRANT);
    return true;
}

static void test_bounded_flight(void **state)
{
    struct rig rig;
    struct many many = {&rig, NULL, 6000, 0};
    (void)state;
    begin(&rig, healthy);
    assert_true(loop_testing_until(&rig.loop, is_open, &rig));
    atomic_store(&rig.fake.answer, mute);
    many.asked = calloc(many.count, sizeof(*many.asked));
    loop_testing_call(&rig.loop, charge_many, &many);
    assert_in_range(many.pending, 4000, STORE_REDIS_INFLIGHT_MAX);
    assert_true(loop_testing_until(&rig.loop, are_ended, &many));
    for (unsigned i = 0; i < many.count; i++) {
        assert_int_equal(many.asked[i].endings, i < many.pending);
        assert_int_equal(many.asked[i].result, many.asked[i].endings == 0 ? 0 : STORE_AWAY);
    }
    assert_int_equal(loop_testing_metric(&rig.loop, METRICS_STORE_LOST), 1);
    atomic_store(&rig.fake.answer, healthy);
    assert_true(loop_testing_until(&rig.loop, is_open, &rig));
    assert_int_equal(ask(&rig), STORE_CHARGED);
    free(many.asked);
    end(&rig);
}

/* Lost in mid pipeline: those that were answered count, the others are away, none is sent again. */
static void test_lost_in_mid_pipeline(void **state)
{
    struct rig rig;
    struct asked asked[100];
    struct many many = {&rig, asked, 100, 0};
    unsigned left = 37, charged = 0;
    (void)state;
    begin(&rig, healthy);
    assert_true(loop_testing_until(&rig.loop, is_open, &rig));
    atomic_store(&rig.fake.arg, &left);
    atomic_store(&rig.fake.answer, breaks);
    loop_testing_call(&rig.loop, charge_many, &many);
    assert_true(loop_testing_until(&rig.loop, are_ended, &many));
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(asked[i].endings, 1);
        charged += asked[i].result == STORE_CHARGED;
        assert_int_equal(asked[i].result, i < 37 ? STORE_CHARGED : STORE_AWAY);
    }
    assert_int_equal(charged, 37);
    atomic_store(&rig.fake.answer, healthy);
    assert_true(loop_testing_until(&rig.loop, is_open, &rig));
    assert_int_equal(ask(&rig), STORE_CHARGED);
    end(&rig);
}

/* Freed with commands in flight: each gets its ending. */
static void test_freed_in_flight(void **state)
{
    struct rig rig;
    struct asked asked[10];
    struct many many = {&rig, asked, 10, 0};
    (void)state;
    begin(&rig, healthy);
    assert_true(loop_testing_until(&rig.loop, is_open, &rig));
    atomic_store(&rig.fake.answer, mute);
    loop_testing_call(&rig.loop, charge_many, &many);
    end(&rig);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(asked[i].endings, 1);
        assert_int_equal(asked[i].result, STORE_AWAY);
    }
}

/* Nobody listens, then somebody does: no restart needed. */
static void test_nobody_listens(void **state)
{
    struct rig rig;
    char moved[128];
    (void)state;
    begin(&rig, healthy);
    loop_testing_call(&rig.loop, free_link, &rig);
    snprintf(moved, sizeof(moved), "%s.moved", rig.fake.socket);
    rename(rig.fake.socket, moved);
    loop_testing_call(&rig.loop, make_link, &rig);
    unsigned waited = 0;
    while (loop_testing_metric(&rig.loop, METRICS_STORE_CONNECTS) < 4 && waited++ < 5000) {
        const struct timespec nap = {0, 2000000};
        nanosleep(&nap, NULL);
    }
    assert_int_equal(ask(&rig), STORE_AWAY);
    assert_int_equal(told_testing_count(&rig.told, "No such file or directory"), 1);
    rename(moved, rig.fake.socket);
    assert_true(loop_testing_until(&rig.loop, is_open, &rig));
    assert_int_equal(ask(&rig), STORE_CHARGED);
    end(&rig);
}

/* A bare root file system has no /etc/hosts. */
static bool knows_localhost(void)
{
    struct addrinfo *found = NULL;
    bool is_known = getaddrinfo("localhost", NULL, NULL, &found) == 0;
    if (found != NULL)
        freeaddrinfo(found);
    return is_known;
}

/* A name is resolved off the loop; of several addresses the next one is tried. */
static void test_name(void **state)
{
    struct rig rig;
    (void)state;
    if (!knows_localhost())
        skip();
    memset(&rig, 0, sizeof(rig));
    redis_fake_start_tcp(&rig.fake, healthy);
    connect_rig(&rig);
    assert_true(loop_testing_until(&rig.loop, is_open, &rig));
    assert_int_equal(ask(&rig), STORE_CHARGED);
    end(&rig);
}

static bool another_secret(struct redis_fake *fake, const struct redis_fake_command *command)
{
    if (!redis_fake_is_beat(command))
        return redis_fake_greet(fake, command);
    redis_fake_say(fake, "*2\r\n:0\r\n:0\r\n");
    return true;
}

static void test_secret_changes_under_way(void **state)
{
    struct rig rig;
    (void)state;
    begin(&rig, another_secret);
    unsigned waited = 0;
    while (told_testing_count(&rig.told, "another subject_secret") == 0 && waited++ < 5000) {
        const struct timespec nap = {0, 2000000};
        nanosleep(&nap, NULL);
    }
    assert_in_range(waited, 0, 4999);
    end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_healthy),
        cmocka_unit_test(test_misbehaviour),
        cmocka_unit_test(test_handshakes),
        cmocka_unit_test(test_tolerant_handshakes),
        cmocka_unit_test(test_noscript),
        cmocka_unit_test(test_bounded_flight),
        cmocka_unit_test(test_lost_in_mid_pipeline),
        cmocka_unit_test(test_freed_in_flight),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_secret_changes_under_way),
    };
    log_testing_off();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
