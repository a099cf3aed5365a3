/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_redis_map - slots of keys, and replies to CLUSTER SLOTS as nodes, sick nodes and liars send them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/store_redis_map.h"

static void test_slots_of_keys(void **state)
{
    /* As CLUSTER KEYSLOT of Redis 7.0 says. */
    static const struct {
        const char *key;
        uint16_t slot;
    } rows[] = {
        {"123456789", 0x31c3},     {"foo", 12182},  {"{foo}", 12182}, {"x{foo}y", 12182},
        {"sluice:q:{foo}", 12182}, {"{foo", 13308}, {"{}foo", 9500},  {"foo{bar}{zap}", 5061},
        {"foo{{bar}}zap", 4015},   {"", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint16_t slot = store_redis_slot_of(span_of(rows[i].key));
        if (slot != rows[i].slot)
            print_error("%s: %u\n", rows[i].key, slot);
        assert_int_equal(slot, rows[i].slot);
    }
}

/* The reply, fed in pieces of `step` bytes, as the answer of 10.0.0.9:7000. */
static struct store_redis_map *read_map(const char *text, size_t len, size_t step, enum err *end)
{
    struct store_redis_map *map = malloc(sizeof(*map));
    struct store_redis_parser *parser = malloc(sizeof(*parser));
    assert_non_null(map);
    assert_non_null(parser);
    const struct store_redis_sink sink = {store_redis_map_take, map};
    assert_int_equal(store_redis_parser_init(parser), ERR_OK);
    parser->reply.sink = &sink;
    store_redis_map_begin(map, SPAN("10.0.0.9:7000"));
    *end = ERR_AGAIN;
    for (size_t at = 0; at < len && *end == ERR_AGAIN; at += step) {
        size_t bytes = len - at < step ? len - at : step;
        assert_int_equal(store_redis_parser_feed(parser, text + at, bytes), ERR_OK);
        *end = store_redis_parser_next(parser);
    }
    assert_true(parser->reply.count <= 1);
    store_redis_parser_fini(parser);
    free(parser);
    return map;
}

#define NODE(host, port)               "*4\r\n" host ":" #port "\r\n$2\r\nid\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n"
#define RANGE(begin, end, nodes, node) "*" #nodes "\r\n:" #begin "\r\n:" #end "\r\n" node
#define A                              "$8\r\n10.0.0.1\r\n"
#define B                              "$8\r\n10.0.0.2\r\n"

struct row {
    const char *name, *reply;
    bool is_bad;
    unsigned covered, nodes;
    const char *first, *last; /* the nodes of slots 0 and 16383; NULL: nobody */
};

static const struct row rows[] = {
    {"whole", "*2\r\n" RANGE(0, 8191, 4, NODE(A, 1) NODE(B, 9)) RANGE(8192, 16383, 3, NODE(B, 2)),
     false, 16384, 2, "10.0.0.1:1", "10.0.0.2:2"},
    {"one node of several ranges",
     "*2\r\n" RANGE(0, 1, 3, NODE(A, 1)) RANGE(16383, 16383, 3, NODE(A, 1)), false, 3, 1,
     "10.0.0.1:1", "10.0.0.1:1"},
    {"half", "*1\r\n" RANGE(0, 8191, 3, NODE(A, 1)), false, 8192, 1, "10.0.0.1:1", NULL},
    {"no host", "*1\r\n" RANGE(0, 16383, 3, NODE("$-1\r\n", 1)), false, 16384, 1, "10.0.0.9:1",
     "10.0.0.9:1"},
    {"an empty host", "*1\r\n" RANGE(0, 16383, 3, NODE("$0\r\n\r\n", 1)), false, 16384, 1,
     "10.0.0.9:1", "10.0.0.9:1"},
    {"an unknown host",
     "*2\r\n" RANGE(0, 8191, 3, NODE("$1\r\n?\r\n", 1)) RANGE(8192, 16383, 3, NODE(A, 1)), false,
     8192, 1, NULL, "10.0.0.1:1"},
    {"a name", "*1\r\n" RANGE(0, 16383, 3, NODE("$6\r\nnode-a\r\n", 1)), false, 16384, 1,
     "node-a:1", "node-a:1"},
    {"IPv6", "*1\r\n" RANGE(0, 16383, 3, NODE("$3\r\n::1\r\n", 1)), false, 16384, 1, "[::1]:1",
     "[::1]:1"},
    {"a host with a line end", "*1\r\n" RANGE(0, 16383, 3, NODE("$4\r\na\r\nb\r\n", 1)), false, 0,
     0, NULL, NULL},
    {"port 0", "*1\r\n" RANGE(0, 16383, 3, NODE(A, 0)), false, 0, 0, NULL, NULL},
    {"a high port", "*1\r\n" RANGE(0, 16383, 3, NODE(A, 65536)), false, 0, 0, NULL, NULL},
    {"a negative port", "*1\r\n" RANGE(0, 16383, 3, NODE(A, -1)), false, 0, 0, NULL, NULL},
    {"nothing", "*0\r\n", false, 0, 0, NULL, NULL},
    {"a slot too high", "*1\r\n" RANGE(0, 16384, 3, NODE(A, 1)), true, 0, 0, NULL, NULL},
    {"a negative slot", "*1\r\n" RANGE(-1, 5, 3, NODE(A, 1)), true, 0, 0, NULL, NULL},
    {"backwards", "*1\r\n" RANGE(9, 5, 3, NODE(A, 1)), true, 0, 0, NULL, NULL},
    {"a range that is none", "*1\r\n:5\r\n", true, 0, 0, NULL, NULL},
    {"slots that are texts", "*1\r\n*3\r\n$1\r\n0\r\n$1\r\n5\r\n" NODE(A, 1), true, 0, 0, NULL,
     NULL},
    {"slots said twice", "*2\r\n" RANGE(0, 9, 3, NODE(A, 1)) RANGE(9, 16383, 3, NODE(B, 2)), true,
     10, 2, "10.0.0.1:1", NULL},
    {"a range said twice", "*2\r\n" RANGE(0, 16383, 3, NODE(A, 1)) RANGE(0, 16383, 3, NODE(A, 1)),
     true, 16384, 1, "10.0.0.1:1", "10.0.0.1:1"},
    {"nothing counts behind what is none", "*2\r\n:5\r\n" RANGE(0, 16383, 3, NODE(A, 1)), true, 0,
     0, NULL, NULL},
    {"no nodes", "*1\r\n*2\r\n:0\r\n:16383\r\n", false, 0, 0, NULL, NULL},
    {"a node that is a text", "*1\r\n" RANGE(0, 5, 3, "$1\r\na\r\n"), false, 0, 0, NULL, NULL},
    {"a port before its host", "*1\r\n" RANGE(0, 5, 3, "*2\r\n:1\r\n:1\r\n"), false, 0, 0, NULL,
     NULL},
};

static void check_node(const struct store_redis_map *map, unsigned slot, const char *expected)
{
    uint8_t node = map->nodes[slot];
    if (expected == NULL) {
        assert_int_equal(node, STORE_REDIS_NO_NODE);
        return;
    }
    assert_true(node < map->node_count);
    assert_int_equal(map->list[node].len, strlen(expected));
    assert_memory_equal(map->list[node].text, expected, strlen(expected));
}

static void test_replies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t step = 1; step <= 8192; step *= 8) {
            enum err end;
            struct store_redis_map *map =
                read_map(rows[i].reply, strlen(rows[i].reply), step, &end);
            if (end != ERR_OK || map->is_bad != rows[i].is_bad || map->covered != rows[i].covered)
                print_error("%s: %u of %u\n", rows[i].name, map->covered, rows[i].covered);
            assert_int_equal(end, ERR_OK);
            assert_int_equal(map->is_bad, rows[i].is_bad);
            assert_int_equal(map->covered, rows[i].covered);
            assert_int_equal(map->node_count, rows[i].nodes);
            check_node(map, 0, rows[i].first);
            check_node(map, STORE_REDIS_SLOT_COUNT - 1, rows[i].last);
            assert_int_equal(store_redis_map_is_whole(map),
                             !rows[i].is_bad && rows[i].covered == STORE_REDIS_SLOT_COUNT);
            free(map);
        }
    }
}

/* Every slot its own range and its own node: megabytes, of which a bounded part is kept. */
static void test_a_giant_reply(void **state)
{
    enum err end;
    size_t room = 4 << 20;
    char *text = malloc(room), *out = text;
    (void)state;
    assert_non_null(text);
    out += sprintf(out, "*16384\r\n");
    for (unsigned i = 0; i < STORE_REDIS_SLOT_COUNT; i++)
        out += sprintf(out, "*3\r\n:%u\r\n:%u\r\n*2\r\n$8\r\n10.0.0.1\r\n:%u\r\n", i, i, i + 1);
    assert_true((size_t)(out - text) < room);
    struct store_redis_map *map = read_map(text, (size_t)(out - text), 16384, &end);
    assert_int_equal(end, ERR_OK);
    assert_int_equal(map->node_count, STORE_REDIS_MAP_NODES_MAX);
    assert_int_equal(map->covered, STORE_REDIS_MAP_NODES_MAX);
    assert_false(map->is_bad);
    free(map);
    free(text);
}

static void test_targets(void **state)
{
    static const struct {
        const char *error, *target;
        uint16_t slot;
    } table[] = {
        {"MOVED 3999 127.0.0.1:6381", "127.0.0.1:6381", 3999},
        {"ASK 16383 node-b:1", "node-b:1", 16383},
        {"MOVED 0 :6381", "10.0.0.9:6381", 0},
        {"MOVED 5 2001:db8::1:6381", "[2001:db8::1]:6381", 5},
        {"MOVED 5 [2001:db8::1]:6381", "[2001:db8::1]:6381", 5},
        {"MOVED 5 a:1 more", "a:1", 5},
        {"MOVED 16384 a:1", "", 0},
        {"MOVED -1 a:1", "", 0},
        {"MOVED x a:1", "", 0},
        {"MOVED 5", "", 0},
        {"MOVED", "", 0},
        {"MOVED 5 a", "", 0},
        {"MOVED 5 a:", "", 0},
        {"MOVED 5 a:0", "", 0},
        {"MOVED 5 a:65536", "", 0},
        {"MOVED 5 a\001:5", "", 0},
        {"MOVED  ", "", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char target[NET_ADDRESS_TEXT_MAX];
        uint16_t slot = 0;
        unsigned len =
            store_redis_map_target(target, span_of(table[i].error), SPAN("10.0.0.9:7000"), &slot);
        if (len != strlen(table[i].target))
            print_error("%s: %.*s\n", table[i].error, (int)len, target);
        assert_int_equal(len, strlen(table[i].target));
        assert_memory_equal(target, table[i].target, len);
        if (len != 0)
            assert_int_equal(slot, table[i].slot);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots_of_keys),
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_a_giant_reply),
        cmocka_unit_test(test_targets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
