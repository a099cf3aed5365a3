/* SPDX-License-Identifier: Apache-2.0 */
/* test_upstream_pick.c - who gets the next request: shares are exact over whole rounds, hashes move no more than they
 * must, and who is down, full, tried or a backup is asked only when its turn has come. */
#include "upstream/upstream_pick.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/base_hash.h"

#define SERVERS_MAX 64
#define KEYS        60000

static struct upstream_candidate servers[SERVERS_MAX];

static uint64_t first(unsigned count)
{
    return count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

static struct upstream_field all_good(unsigned count)
{
    return (struct upstream_field){.primaries = first(count), .usable = UINT64_MAX};
}

static void set_weights(unsigned count, const uint32_t *weights)
{
    char name[32];
    memset(servers, 0, sizeof(servers));
    for (unsigned i = 0; i < count; i++) {
        int len = snprintf(name, sizeof(name), "10.0.0.%u:9000", i + 1);
        servers[i].weight = (weights == NULL ? 1 : weights[i]) * UPSTREAM_WEIGHT_ONE;
        servers[i].seed = upstream_pick_seed((struct span){name, (size_t)len});
    }
}

/* ---- in turn ---- */

struct turns {
    uint32_t weights[4];
    unsigned count;
    const char *order; /* of one round */
};

static const struct turns TURNS[] = {
    {{1}, 1, "a"},
    {{7}, 1, "aaaaaaa"},
    {{1, 1}, 2, "ab"},
    {{1, 1, 1}, 3, "abc"},
    {{2, 1}, 2, "aba"},
    {{5, 1, 1}, 3, "aabacaa"}, /* as nginx's */
    {{1, 2, 3}, 3, "cbacbc"},
    {{1, 1, 1, 1}, 4, "abcd"},
    {{4, 2}, 2, "abaaba"},
};

static void test_turns(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(TURNS) / sizeof(TURNS[0]); i++) {
        const struct turns *row = &TURNS[i];
        struct upstream_field field = all_good(row->count);
        set_weights(row->count, row->weights);
        for (unsigned n = 0; n < 3 * strlen(row->order); n++) {
            int index = upstream_pick(servers, &field, UPSTREAM_ROUND_ROBIN, NULL);
            assert_int_equal('a' + index, row->order[n % strlen(row->order)]);
        }
    }
}

/* Wherever one begins to count, a round has each server as often as its weight says; no two thirds of a round go to one
 * that has half of it. */
static void test_shares_of_any_round(void **state)
{
    static const uint32_t weights[] = {100, 50, 30, 17, 3};
    struct upstream_field field = all_good(5);
    unsigned counts[5] = {0}, recent[600];
    (void)state;
    set_weights(5, weights);
    for (unsigned n = 0; n < 600; n++) {
        recent[n] = (unsigned)upstream_pick(servers, &field, UPSTREAM_ROUND_ROBIN, NULL);
        counts[recent[n]]++;
        if (n >= 200)
            counts[recent[n - 200]]--;
        for (unsigned i = 0; n >= 199 && i < 5; i++)
            assert_int_equal(counts[i], weights[i]);
        assert_true(n == 0 || recent[n] != recent[n - 1] || recent[n] == 0);
    }
}

/* One that is away for a while does not catch up on what it has missed. */
static void test_absence_is_not_made_up_for(void **state)
{
    struct upstream_field field = all_good(3);
    unsigned counts[3] = {0};
    (void)state;
    set_weights(3, NULL);
    field.usable = ~UINT64_C(4);
    for (unsigned n = 0; n < 300; n++)
        counts[upstream_pick(servers, &field, UPSTREAM_ROUND_ROBIN, NULL)]++;
    assert_int_equal(counts[0], 150);
    assert_int_equal(counts[2], 0);
    field.usable = UINT64_MAX;
    for (unsigned n = 0; n < 300; n++)
        counts[upstream_pick(servers, &field, UPSTREAM_ROUND_ROBIN, NULL)]++;
    assert_int_equal(counts[0], 250);
    assert_int_equal(counts[1], 250);
    assert_int_equal(counts[2], 100);
}

/* ---- who is asked at all ---- */

struct asked {
    const char *name;
    struct upstream_field field;
    uint64_t among; /* each of these in turn; 0: `answer` */
    int answer;
};

#define NONE UPSTREAM_PICK_NONE
#define FULL UPSTREAM_PICK_FULL

static const struct asked ASKED[] = {
    {"all", {.primaries = 7, .usable = 15}, 7, 0},
    {"not the backup", {.primaries = 7, .backups = 8, .usable = 15}, 7, 0},
    {"one is down", {.primaries = 7, .backups = 8, .usable = 13}, 5, 0},
    {"all are down", {.primaries = 7, .backups = 8, .usable = 8}, 8, 0},
    {"the backups too", {.primaries = 7, .backups = 24, .usable = 0}, 7, 0},
    {"... and all were tried", {.primaries = 7, .backups = 24, .tried = 7}, 24, 0},
    {"one was tried", {.primaries = 7, .usable = 15, .tried = 2}, 5, 0},
    {"backups when all were tried", {.primaries = 7, .backups = 8, .usable = 15, .tried = 7}, 8, 0},
    {"down ones before the end", {.primaries = 7, .backups = 8, .usable = 11, .tried = 11}, 4, 0},
    {"everybody was tried", {.primaries = 7, .backups = 8, .usable = 15, .tried = 15}, 0, NONE},
    {"nobody takes requests", {.usable = 15}, 0, NONE},
    {"one is full", {.primaries = 7, .usable = 15, .full = 1}, 6, 0},
    {"all are full", {.primaries = 7, .usable = 15, .full = 7}, 0, FULL},
    {"a backup does not help out",
     {.primaries = 7, .backups = 8, .usable = 15, .full = 7},
     0,
     FULL},
    {"the only good one is full", {.primaries = 7, .usable = 1, .full = 1}, 0, FULL},
    {"backups in use are full", {.primaries = 7, .backups = 24, .usable = 24, .full = 24}, 0, FULL},
    {"one backup has room", {.primaries = 7, .backups = 24, .usable = 24, .full = 8}, 16, 0},
    {"down ones with room", {.primaries = 7, .usable = 0, .full = 3}, 4, 0},
    {"nobody waits for a dead one", {.primaries = 7, .usable = 0, .full = 7}, 0, NONE},
    {"nor for a dead backup", {.primaries = 0, .backups = 8, .usable = 0, .full = 8}, 0, NONE},
};

static void test_who_is_asked(void **state)
{
    static const enum upstream_balance ways[] = {UPSTREAM_ROUND_ROBIN, UPSTREAM_LEAST_CONNECTIONS,
                                                 UPSTREAM_HASH};
    (void)state;
    for (size_t i = 0; i < sizeof(ASKED) / sizeof(ASKED[0]); i++) {
        for (unsigned way = 0; way < 3; way++) {
            const struct asked *row = &ASKED[i];
            uint64_t seen = 0;
            set_weights(5, NULL);
            for (uint64_t n = 0; n < 200; n++) {
                const uint64_t key = hash_sip64((struct hash_key){1, 2}, &n, sizeof(n));
                int index = upstream_pick(servers, &row->field, ways[way], &key);
                if (row->among == 0)
                    assert_int_equal(index, row->answer);
                else
                    seen |= UINT64_C(1) << index;
            }
            if (seen != row->among)
                fail_msg("%s, way %u: %llx", row->name, way, (unsigned long long)seen);
        }
    }
}

/* ---- least connections ---- */

struct least {
    uint32_t weights[4], busy[4];
    unsigned count;
    const char *order;
};

static const struct least LEAST[] = {
    {{1, 1, 1}, {5, 3, 4}, 3, "bbb"},
    {{1, 1, 1}, {5, 3, 3}, 3, "bcbc"},
    {{1, 1, 1}, {0, 0, 0}, 3, "abcabc"},
    {{2, 1}, {4, 2}, 2, "abaaba"}, /* ties by weight */
    {{2, 1}, {3, 2}, 2, "aa"},
    {{2, 1}, {5, 2}, 2, "bb"},
    {{256, 1}, {255, 1}, 2, "aa"},
    {{256, 1}, {257, 1}, 2, "bb"},
    {{1, 1}, {UINT32_MAX, UINT32_MAX - 1}, 2, "bb"},
    {{256, 256}, {UINT32_MAX, UINT32_MAX}, 2, "ab"},
};

static void test_least_connections(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(LEAST) / sizeof(LEAST[0]); i++) {
        const struct least *row = &LEAST[i];
        struct upstream_field field = all_good(row->count);
        set_weights(row->count, row->weights);
        for (unsigned k = 0; k < row->count; k++)
            servers[k].busy = row->busy[k];
        for (unsigned n = 0; n < strlen(row->order); n++)
            assert_int_equal('a' + upstream_pick(servers, &field, UPSTREAM_LEAST_CONNECTIONS, NULL),
                             row->order[n]);
    }
}

/* Requests that never end fill servers by their weights, exactly. */
static void test_least_connections_fill_by_weight(void **state)
{
    static const uint32_t weights[] = {5, 3, 2};
    struct upstream_field field = all_good(3);
    (void)state;
    set_weights(3, weights);
    for (unsigned n = 0; n < 1000; n++)
        servers[upstream_pick(servers, &field, UPSTREAM_LEAST_CONNECTIONS, NULL)].busy++;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(servers[i].busy, weights[i] * 100);
}

/* ---- hash ---- */

static uint64_t key_of(uint64_t n)
{
    return hash_sip64((struct hash_key){3, 4}, &n, sizeof(n));
}

static int hashed(uint64_t n, const struct upstream_field *field)
{
    const uint64_t key = key_of(n);
    return upstream_pick(servers, field, UPSTREAM_HASH, &key);
}

/* How far counts may stray: five standard deviations of the binomial distribution.  The keys are fixed, so a test that
 * passes passes always. */
static unsigned stray(double share)
{
    double variance = KEYS * share * (1 - share), root = variance;
    for (unsigned i = 0; i < 40; i++)
        root = (root + variance / root) / 2;
    return (unsigned)(5 * root);
}

static void check_share(unsigned count, double share)
{
    unsigned expected = (unsigned)(KEYS * share);
    assert_in_range(count, expected - stray(share), expected + stray(share));
}

static const struct turns SHARES[] = {
    {{1, 1}, 2, NULL},   {{1, 1, 1}, 3, NULL},     {{1, 2, 3}, 3, NULL},
    {{256, 1}, 2, NULL}, {{10, 1, 1, 1}, 4, NULL}, {{100, 50, 25, 25}, 4, NULL},
};

static void test_hash_shares(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(SHARES) / sizeof(SHARES[0]); i++) {
        const struct turns *row = &SHARES[i];
        struct upstream_field field = all_good(row->count);
        unsigned counts[4] = {0}, sum = 0;
        set_weights(row->count, row->weights);
        for (uint64_t n = 0; n < KEYS; n++)
            counts[hashed(n, &field)]++;
        for (unsigned k = 0; k < row->count; k++)
            sum += row->weights[k];
        for (unsigned k = 0; k < row->count; k++)
            check_share(counts[k], (double)row->weights[k] / sum);
    }
}

/* One of N goes: its keys move, which are 1/N, spread over the others by their weights; no other key does.  It comes back:
 * every key is where it was. */
static void test_hash_moves_only_what_it_must(void **state)
{
    static const unsigned sizes[] = {2, 3, 5, 10, 64};
    static unsigned char before[KEYS];
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const unsigned count = sizes[i], gone = count / 2;
        struct upstream_field field = all_good(count);
        unsigned moved = 0, taken[SERVERS_MAX] = {0};
        set_weights(count, NULL);
        for (uint64_t n = 0; n < KEYS; n++)
            before[n] = (unsigned char)hashed(n, &field);
        field.usable &= ~(UINT64_C(1) << gone);
        for (uint64_t n = 0; n < KEYS; n++) {
            const int index = hashed(n, &field);
            if (before[n] != gone)
                assert_int_equal(index, before[n]);
            else
                moved++, taken[index]++;
        }
        check_share(moved, 1.0 / count);
        for (unsigned k = 0; k < count; k++)
            assert_true(k == gone ? taken[k] == 0 : taken[k] != 0 || count == 64);
        field.usable = UINT64_MAX;
        for (uint64_t n = 0; n < KEYS; n++)
            assert_int_equal(hashed(n, &field), before[n]);
    }
}

/* A server of another weight takes from all others, or gives to them; between those nothing moves. */
static void test_hash_follows_weights(void **state)
{
    static unsigned char before[KEYS];
    struct upstream_field field = all_good(4);
    unsigned counts[2] = {0};
    (void)state;
    set_weights(4, NULL);
    for (uint64_t n = 0; n < KEYS; n++)
        before[n] = (unsigned char)hashed(n, &field);
    servers[2].weight = 2 * UPSTREAM_WEIGHT_ONE;
    for (uint64_t n = 0; n < KEYS; n++) {
        const int index = hashed(n, &field);
        assert_true(index == before[n] || index == 2);
        counts[0] += index == 2;
    }
    check_share(counts[0], 2.0 / 5);
    servers[2].weight = UPSTREAM_WEIGHT_ONE / 2;
    for (uint64_t n = 0; n < KEYS; n++) {
        const int index = hashed(n, &field);
        assert_true(index == before[n] || before[n] == 2);
        counts[1] += index == 2;
    }
    check_share(counts[1], 0.5 / 3.5);
}

/* The order of the file, and who else is in it, are nothing to a key. */
static void test_hash_knows_names_not_places(void **state)
{
    struct upstream_field field = all_good(3);
    struct upstream_candidate turned[3];
    (void)state;
    set_weights(3, NULL);
    for (unsigned i = 0; i < 3; i++)
        turned[i] = servers[2 - i];
    for (uint64_t n = 0; n < 1000; n++) {
        const uint64_t key = key_of(n);
        assert_int_equal(upstream_pick(turned, &field, UPSTREAM_HASH, &key), 2 - hashed(n, &field));
    }
    /* Fixed for good: another version of the program, or another proxy of the fleet, must not send keys elsewhere. */
    static const char expected[] = "bbbabacbccb";
    char found[sizeof(expected)] = "";
    for (uint64_t n = 0; n < sizeof(expected) - 1; n++)
        found[n] = (char)('a' + hashed(n, &field));
    assert_string_equal(found, expected);
}

static void test_hash_without_key_takes_turns(void **state)
{
    struct upstream_field field = all_good(3);
    (void)state;
    set_weights(3, NULL);
    for (int n = 0; n < 9; n++)
        assert_int_equal(upstream_pick(servers, &field, UPSTREAM_HASH, NULL), n % 3);
}

/* ---- slow start ---- */

struct start {
    uint32_t weight;
    uint64_t since_us, now_us, slow_start_us;
    uint32_t in_force;
};

#define HOUR_US UINT64_C(3600000000)

static const struct start STARTS[] = {
    {1, 0, 5, 1000, 256}, /* was never away */
    {1, 1000, 1000, 0, 256},
    {1, 1000, 1000, 1000, 1},
    {1, 1000, 1500, 1000, 128},
    {1, 1000, 1999, 1000, 255},
    {1, 1000, 2000, 1000, 256},
    {1, 1000, 900, 1000, 1}, /* not back yet: asked for want of others */
    {256, 1000, 1250, 1000, 16384},
    {256, HOUR_US, 2 * HOUR_US - 1, HOUR_US, 65535},
    {256, 1, UINT64_MAX, HOUR_US, 65536},
};

static void test_slow_start(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(STARTS) / sizeof(STARTS[0]); i++) {
        const struct start *row = &STARTS[i];
        assert_int_equal(
            upstream_pick_weight(row->weight, row->since_us, row->now_us, row->slow_start_us),
            row->in_force);
    }
}

/* The server that came back has a tenth of a share, then half, then a whole one. */
static void test_slow_start_in_turn(void **state)
{
    static const struct {
        uint64_t now_us;
        unsigned picks, own;
    } rows[] = {{1100, 21, 1}, {1500, 500, 100}, {2000, 300, 100}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct upstream_field field = all_good(3);
        unsigned own = 0;
        set_weights(3, NULL);
        servers[1].weight = upstream_pick_weight(1, 1000, rows[i].now_us, 1000);
        for (unsigned n = 0; n < rows[i].picks; n++)
            own += upstream_pick(servers, &field, UPSTREAM_ROUND_ROBIN, NULL) == 1;
        assert_int_equal(own, rows[i].own);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_shares_of_any_round),
        cmocka_unit_test(test_absence_is_not_made_up_for),
        cmocka_unit_test(test_who_is_asked),
        cmocka_unit_test(test_least_connections),
        cmocka_unit_test(test_least_connections_fill_by_weight),
        cmocka_unit_test(test_hash_shares),
        cmocka_unit_test(test_hash_moves_only_what_it_must),
        cmocka_unit_test(test_hash_follows_weights),
        cmocka_unit_test(test_hash_knows_names_not_places),
        cmocka_unit_test(test_hash_without_key_takes_turns),
        cmocka_unit_test(test_slow_start),
        cmocka_unit_test(test_slow_start_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
