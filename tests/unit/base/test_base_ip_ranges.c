/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_ip_ranges.c - the most specific network decides, whatever is nested in what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/base_ip_ranges.h"
#include "base/base_rng.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define NETS_MAX     200
#define OTHERWISE    9

static struct ip address(const char *text)
{
    struct ip ip;
    assert_true(ip_parse(&ip, span_of(text)));
    return ip;
}

static void test_rows(void **state)
{
    (void)state;
    static const struct {
        const char *nets[6]; /* marks are 1, 2, ... */
        const char *ip;
        uint8_t want;
    } rows[] = {
        {{NULL}, "10.0.0.1", OTHERWISE},
        {{NULL}, "::", OTHERWISE},
        {{"10.0.0.0/8"}, "10.255.255.255", 1},
        {{"10.0.0.0/8"}, "11.0.0.0", OTHERWISE},
        {{"10.0.0.0/8"}, "9.255.255.255", OTHERWISE},
        {{"10.0.0.0/8"}, "::ffff:10.1.2.3", 1},
        {{"10.0.0.0/8", "10.1.0.0/16"}, "10.1.0.0", 2},
        {{"10.1.0.0/16", "10.0.0.0/8"}, "10.1.255.255", 1},
        {{"10.1.0.0/16", "10.0.0.0/8"}, "10.2.0.0", 2},
        {{"10.0.0.0/8", "10.0.0.0/16", "10.0.0.0/24", "10.0.0.0"}, "10.0.0.0", 4},
        {{"10.0.0.0/8", "10.0.0.0/16", "10.0.0.0/24", "10.0.0.0"}, "10.0.0.1", 3},
        {{"10.0.0.0/8", "10.255.0.0/16", "10.255.255.255"}, "10.255.255.255", 3},
        {{"10.0.0.0/8", "10.255.0.0/16", "10.255.255.255"}, "11.0.0.0", OTHERWISE},
        {{"0.0.0.0/0"}, "1.2.3.4", 1},
        {{"0.0.0.0/0"}, "2001:db8::1", OTHERWISE},
        {{"::/0"}, "1.2.3.4", OTHERWISE},
        {{"::/0"}, "2001:db8::1", 1},
        {{"::/0"}, "::", 1},
        {{"::/0", "0.0.0.0/0"}, "0.0.0.0", 2},
        {{"::/0", "255.255.255.255"}, "::1:0:0:0", 1},
        {{"::/64", "0.0.0.0/0"}, "::fffe:ffff:ffff", 1},
        {{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1},
        {{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe",
         OTHERWISE},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ip_marked nets[6];
        unsigned count = 0;
        for (; count < 6 && rows[i].nets[count] != NULL; count++) {
            assert_true(ip_net_parse(&nets[count].net, span_of(rows[i].nets[count])));
            nets[count].mark = (uint8_t)(count + 1);
        }
        struct arena arena;
        arena_init(&arena, NULL, 0, 1 << 20);
        struct ip_ranges ranges;
        assert_int_equal(ip_ranges_make(&ranges, nets, count, OTHERWISE, &arena), ERR_OK);
        struct ip ip = address(rows[i].ip);
        if (ip_ranges_find(&ranges, &ip) != rows[i].want)
            print_error("row %zu\n", i);
        assert_int_equal(ip_ranges_find(&ranges, &ip), rows[i].want);
        arena_fini(&arena);
    }
}

/* The longest network that has it, looked for one by one. */
static uint8_t slow_find(const struct ip_marked *nets, unsigned count, const struct ip *ip)
{
    const struct ip_marked *best = NULL;
    for (unsigned i = 0; i < count; i++) {
        if (ip_net_has(&nets[i].net, ip) &&
            (best == NULL || nets[i].net.prefix_bits > best->net.prefix_bits))
            best = &nets[i];
    }
    return best == NULL ? OTHERWISE : best->mark;
}

static unsigned below(struct rng *rng, unsigned bound)
{
    return (unsigned)rng_below(rng, bound);
}

static struct ip random_ip(struct rng *rng)
{
    struct ip ip = {{0}};
    if (below(rng, 2) == 0)
        ip.bytes[10] = ip.bytes[11] = 0xff;
    else
        ip.bytes[below(rng, 12)] = (uint8_t)below(rng, 3);
    for (unsigned i = 0; i < 6; i++) /* few values, so that networks nest */
        ip.bytes[below(rng, 4) + 12] = (uint8_t)(below(rng, 4) * 85);
    return ip;
}

static unsigned random_nets(struct rng *rng, struct ip_marked *nets)
{
    unsigned count = 0, want = below(rng, NETS_MAX);
    for (unsigned i = 0; i < want; i++) {
        struct ip ip = random_ip(rng);
        bool is_v4 = ip_is_v4(&ip);
        unsigned bits = is_v4 ? below(rng, 33) : below(rng, 129);
        struct ip_net net = {ip_mask(&ip, bits, bits), (uint8_t)(is_v4 ? 96 + bits : bits)};
        bool is_twice = false;
        for (unsigned k = 0; k < count; k++)
            is_twice = is_twice || memcmp(&nets[k].net, &net, sizeof(net)) == 0;
        if (!is_twice)
            nets[count++] = (struct ip_marked){net, (uint8_t)below(rng, 4)};
    }
    return count;
}

static void test_random(void **state)
{
    (void)state;
    struct rng rng = {{7, 20, 2, 26}}; /* the same each time */
    for (unsigned round = 0; round < 300; round++) {
        struct ip_marked nets[NETS_MAX];
        unsigned count = random_nets(&rng, nets);
        struct arena arena;
        arena_init(&arena, NULL, 0, 1 << 20);
        struct ip_ranges ranges;
        assert_int_equal(ip_ranges_make(&ranges, nets, count, OTHERWISE, &arena), ERR_OK);
        for (unsigned i = 0; i < 500; i++) {
            struct ip ip = random_ip(&rng);
            assert_int_equal(ip_ranges_find(&ranges, &ip), slow_find(nets, count, &ip));
        }
        arena_fini(&arena);
    }
}

/* One network of every length, each in the one before. */
static void test_deepest_nest(void **state)
{
    (void)state;
    struct ip_marked nets[129];
    struct ip ip = address("::ffff:255.255.255.255");
    unsigned count = 0;
    for (unsigned bits = 0; bits <= 128; bits++) {
        struct ip masked = ip;
        for (unsigned bit = bits; bit < 128; bit++)
            masked.bytes[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
        nets[count++] = (struct ip_marked){{masked, (uint8_t)bits}, (uint8_t)bits};
    }
    struct arena arena;
    arena_init(&arena, NULL, 0, 1 << 20);
    struct ip_ranges ranges;
    assert_int_equal(ip_ranges_make(&ranges, nets, count, OTHERWISE, &arena), ERR_OK);
    assert_int_equal(ip_ranges_find(&ranges, &ip), 128);
    struct ip other = address("::ffff:255.255.255.254");
    assert_int_equal(ip_ranges_find(&ranges, &other), 127);
    arena_fini(&arena);

    arena_init(&arena, NULL, 0, 0);
    assert_int_equal(ip_ranges_make(&ranges, nets, count, OTHERWISE, &arena), ERR_NOMEM);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_deepest_nest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
