/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_redis_query - commands beside the counting: their bytes, and what each reply to them ends in, with servers
 * that lie and break. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/loop_testing.h"
#include "store/redis_fake.h"
#include "store/store_redis_route.h"

struct rig {
    struct loop_testing loop;
    struct redis_fake fake;
    struct store_redis *redis;
    struct store_redis_route *route;
};

struct asked {
    struct store_redis_query query;
    struct rig *rig;
    enum store_answer answer;
    enum store_redis_found found;
    unsigned endings;
    size_t len;
    char text[16];
};

static void on_done(struct store_redis_query *query, enum store_redis_found found, struct span text)
{
    struct asked *asked = (struct asked *)(void *)query;
    asked->found = found;
    asked->endings++;
    asked->len = text.len;
    if (text.len != 0)
        memcpy(asked->text, text.ptr,
               text.len < sizeof(asked->text) ? text.len : sizeof(asked->text));
}

static void make_link(void *arg)
{
    struct rig *rig = arg;
    rig->route = store_redis_route_new(rig->redis, rig->loop.loop, NULL, NULL);
}

static void free_link(void *arg)
{
    store_redis_route_free(((struct rig *)arg)->route);
}

static bool is_open(void *arg)
{
    return store_redis_route_is_open(((struct rig *)arg)->route);
}

static void begin(struct rig *rig)
{
    memset(rig, 0, sizeof(*rig));
    redis_fake_start(&rig->fake, redis_fake_greet);
    loop_testing_start(&rig->loop);
    struct store_redis_conf conf = {
        .servers = {{.text = span_of(rig->fake.address)}},
        .server_count = 1,
        .prefix = SPAN("fleet"),
        .command_timeout_us = 200000,
        .connect_timeout_us = 300000,
        .secret_fingerprint = SPAN("fp"),
    };
    struct span host;
    assert_null(net_address_parse(&conf.servers[0].address, conf.servers[0].text, &host));
    rig->redis = store_redis_new(&conf);
    assert_non_null(rig->redis);
    loop_testing_call(&rig->loop, make_link, rig);
    assert_true(loop_testing_until(&rig->loop, is_open, rig));
}

static void end(struct rig *rig)
{
    loop_testing_call(&rig->loop, free_link, rig);
    loop_testing_end(&rig->loop);
    redis_fake_end(&rig->fake);
    store_redis_free(rig->redis);
}

static void send_query(void *arg)
{
    struct asked *asked = arg;
    asked->answer = store_redis_route_query(asked->rig->route, &asked->query);
    assert_int_equal(asked->endings, 0); /* never from inside */
}

static bool is_ended(void *arg)
{
    return ((struct asked *)arg)->endings != 0;
}

/* ---- bytes ---- */

static void test_bytes(void **state)
{
    static const struct {
        struct store_redis_query query;
        const char *bytes;
    } rows[] = {
        {{.verb = STORE_REDIS_GET, .key = {"t:x", 3}}, "*2\r\n$3\r\nGET\r\n$9\r\nfleet:t:x\r\n"},
        {{.verb = STORE_REDIS_HGET, .key = {"members:q", 9}, .value = {"a\r\nb", 4}},
         "*3\r\n$4\r\nHGET\r\n$15\r\nfleet:members:q\r\n$4\r\na\r\nb\r\n"},
        {{.verb = STORE_REDIS_SET, .key = {"t:x", 3}, .value = {"7 p", 3}, .ttl_s = 604800},
         "*5\r\n$3\r\nSET\r\n$9\r\nfleet:t:x\r\n$3\r\n7 p\r\n$2\r\nEX\r\n$6\r\n604800\r\n"},
    };
    char long_text[STORE_REDIS_QUERY_VALUE_MAX + 1];
    struct store_redis_wire wire = {0};
    struct rig rig;
    (void)state;
    begin(&rig);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(store_redis_query_write(&wire, rig.redis, &rows[i].query), ERR_OK);
        assert_true(span_eq((struct span){wire.bytes + wire.begin, store_redis_wire_unsent(&wire)},
                            span_of(rows[i].bytes)));
        store_redis_wire_clear(&wire);
    }
    /* The longest, and one byte more. */
    memset(long_text, 'x', sizeof(long_text));
    struct store_redis_query query = {.verb = STORE_REDIS_SET,
                                      .key = {long_text, STORE_REDIS_QUERY_KEY_MAX},
                                      .value = {long_text, STORE_REDIS_QUERY_VALUE_MAX},
                                      .ttl_s = UINT32_MAX};
    assert_int_equal(store_redis_query_write(&wire, rig.redis, &query), ERR_OK);
    store_redis_wire_clear(&wire);
    query.key.len++;
    assert_int_equal(store_redis_query_write(&wire, rig.redis, &query), ERR_LIMIT);
    query.key.len--;
    query.value.len++;
    assert_int_equal(store_redis_query_write(&wire, rig.redis, &query), ERR_LIMIT);
    assert_int_equal(store_redis_wire_unsent(&wire), 0);
    store_redis_wire_fini(&wire);
    end(&rig);
}

/* ---- replies ---- */

struct behaviour {
    const char *name, *reply;
    enum store_redis_verb verb;
    enum store_redis_found found;
    const char *text;
    bool is_dropped, close;
};

static bool misbehave(struct redis_fake *fake, const struct redis_fake_command *command)
{
    const struct behaviour *row = atomic_load(&fake->arg);
    if (command->count < 2 || strncmp(command->argv[1], "fleet:", 6) != 0)
        return redis_fake_greet(fake, command);
    redis_fake_say(fake, row->reply);
    return !row->close;
}

static void test_replies(void **state)
{
    static const struct behaviour rows[] = {
        {"a value", "$3\r\npro\r\n", STORE_REDIS_HGET, STORE_REDIS_VALUE, "pro", false, false},
        {"an empty one", "$0\r\n\r\n", STORE_REDIS_GET, STORE_REDIS_VALUE, "", false, false},
        {"nothing", "$-1\r\n", STORE_REDIS_GET, STORE_REDIS_NOTHING, "", false, false},
        {"set", "+OK\r\n", STORE_REDIS_SET, STORE_REDIS_VALUE, "OK", false, false},
        {"not set", "$-1\r\n", STORE_REDIS_SET, STORE_REDIS_UNKNOWN, "", true, false},
        {"set, it says", "+QUEUED\r\n", STORE_REDIS_SET, STORE_REDIS_UNKNOWN, "", true, false},
        {"a number", ":1\r\n", STORE_REDIS_GET, STORE_REDIS_UNKNOWN, "", true, false},
        {"a list", "*1\r\n$1\r\na\r\n", STORE_REDIS_HGET, STORE_REDIS_UNKNOWN, "", true, false},
        {"RESP3", "_\r\n", STORE_REDIS_GET, STORE_REDIS_UNKNOWN, "", true, false},
        {"WRONGTYPE", "-WRONGTYPE Operation\r\n", STORE_REDIS_HGET, STORE_REDIS_UNKNOWN, "", false,
         false},
        {"NOPERM", "-NOPERM this user\r\n", STORE_REDIS_HGET, STORE_REDIS_UNKNOWN, "", false,
         false},
        {"NOSCRIPT", "-NOSCRIPT no\r\n", STORE_REDIS_GET, STORE_REDIS_UNKNOWN, "", false, false},
        {"OOM", "-OOM command\r\n", STORE_REDIS_SET, STORE_REDIS_UNKNOWN, "", true, false},
        {"READONLY", "-READONLY You\r\n", STORE_REDIS_SET, STORE_REDIS_UNKNOWN, "", true, false},
        {"silence", "", STORE_REDIS_GET, STORE_REDIS_UNKNOWN, "", true, false},
        {"half", "$10\r\nabc", STORE_REDIS_GET, STORE_REDIS_UNKNOWN, "", true, false},
        {"an end", "", STORE_REDIS_GET, STORE_REDIS_UNKNOWN, "", true, true},
        {"huge", "$1000000000\r\nabc", STORE_REDIS_GET, STORE_REDIS_UNKNOWN, "", true, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rig rig;
        begin(&rig);
        atomic_store(&rig.fake.arg, (void *)(uintptr_t)&rows[i]);
        atomic_store(&rig.fake.answer, misbehave);
        struct asked asked = {.query = {.verb = rows[i].verb,
                                        .key = SPAN("x"),
                                        .value = SPAN("v"),
                                        .ttl_s = 1,
                                        .done = on_done},
                              .rig = &rig};
        loop_testing_call(&rig.loop, send_query, &asked);
        assert_int_equal(asked.answer, STORE_PENDING);
        assert_true(loop_testing_until(&rig.loop, is_ended, &asked));
        bool was_lost = loop_testing_metric(&rig.loop, METRICS_STORE_LOST) == 1;
        if (asked.found != rows[i].found || was_lost != rows[i].is_dropped || asked.endings != 1)
            fail_msg("%s: found %d, lost %d, endings %u", rows[i].name, (int)asked.found, was_lost,
                     asked.endings);
        if (asked.found == STORE_REDIS_VALUE)
            assert_true(span_eq((struct span){asked.text, asked.len}, span_of(rows[i].text)));
        end(&rig);
    }
}

static bool mute(struct redis_fake *fake, const struct redis_fake_command *command)
{
    return strncmp(command->argv[1], "fleet:", 6) == 0 || redis_fake_greet(fake, command);
}

/* Whoever is in the air when the link goes gets an ending, and nothing is sent by a link that is down. */
static void test_every_query_ends(void **state)
{
    struct rig rig;
    struct asked asked[3];
    (void)state;
    begin(&rig);
    atomic_store(&rig.fake.answer, mute);
    for (unsigned i = 0; i < 3; i++) {
        asked[i] = (struct asked){.query = {.key = SPAN("x"), .done = on_done}, .rig = &rig};
        loop_testing_call(&rig.loop, send_query, &asked[i]);
        assert_int_equal(asked[i].answer, STORE_PENDING);
    }
    loop_testing_call(&rig.loop, free_link, &rig);
    for (unsigned i = 0; i < 3; i++)
        assert_true(asked[i].endings == 1 && asked[i].found == STORE_REDIS_UNKNOWN);
    loop_testing_call(&rig.loop, make_link, &rig);
    struct asked late = {.query = {.key = SPAN("x"), .done = on_done}, .rig = &rig};
    loop_testing_call(&rig.loop, send_query, &late); /* it has not greeted yet, or is mute */
    if (late.answer == STORE_AWAY)
        assert_int_equal(late.endings, 0);
    else
        assert_true(loop_testing_until(&rig.loop, is_ended, &late));
    end(&rig);
}

static int quiet_log(void **state)
{
    (void)state;
    log_testing_off();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_every_query_ends),
    };
    return cmocka_run_group_tests(tests, quiet_log, NULL);
}
