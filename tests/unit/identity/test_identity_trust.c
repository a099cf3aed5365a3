/* SPDX-License-Identifier: Apache-2.0 */
/* test_identity_trust.c - whose word about the client's address is taken.  Nothing that a client writes
 * left of the first untrusted hop may change the answer. */
#include "identity/request.h"

#include "base/base_rng.h"

#define PEER "10.0.0.1"

static struct ip_net nets[3];

static int set_up(void **state)
{
    (void)state;
    return ip_net_parse(&nets[0], SPAN("10.0.0.0/8")) &&
                   ip_net_parse(&nets[1], SPAN("192.168.7.7")) &&
                   ip_net_parse(&nets[2], SPAN("2001:db8:aaaa::/48"))
               ? 0
               : -1;
}

static struct identity_trust trust_of(int hops)
{
    struct identity_trust trust = {.nets = nets, .net_count = 3};
    trust.hops = hops;
    if (hops == IDENTITY_HOPS_HEADER) {
        trust.header_name = SPAN("x-real-ip");
        trust.header_id = HTTP_FIELD_X_REAL_IP;
    }
    return trust;
}

static void check(int hops, const char *peer, const char *lines, const char *want)
{
    struct request request;
    request_parse(&request, "/", "h", lines);
    struct identity_trust trust = trust_of(hops);
    struct ip ip = address(peer), got = identity_client_ip(&trust, &request.head, &ip, false);
    struct ip wanted = address(want);
    char text[IP_TEXT_MAX];
    if (memcmp(&got, &wanted, sizeof(got)) != 0)
        print_error("got %.*s, want %s for %s\n", (int)ip_format(text, &got), text, want, lines);
    assert_memory_equal(&got, &wanted, sizeof(got));
    request_free(&request);
}

struct row {
    const char *lines, *want;
};

static void check_rows(int hops, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        check(hops, PEER, rows[i].lines, rows[i].want);
        /* An untrusted peer is believed nothing. */
        check(hops, "203.0.113.99", rows[i].lines, "203.0.113.99");
    }
}

#define CHECK(hops, rows) check_rows(hops, rows, sizeof(rows) / sizeof((rows)[0]))

static void test_forwarded_for(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"", PEER},
        {"X-Forwarded-For: 203.0.113.7\r\n", "203.0.113.7"},
        {"x-forwarded-for: 203.0.113.7 \r\n", "203.0.113.7"},
        {"X-Forwarded-For: 1.1.1.1, 203.0.113.7\r\n", "203.0.113.7"},
        {"X-Forwarded-For: 1.1.1.1, 203.0.113.7, 10.2.3.4\r\n", "203.0.113.7"},
        {"X-Forwarded-For: 1.1.1.1,203.0.113.7\t,192.168.7.7,10.2.3.4\r\n", "203.0.113.7"},
        {"X-Forwarded-For: 10.9.9.9, 203.0.113.7, 10.2.3.4\r\n", "203.0.113.7"},
        {"X-Forwarded-For: 10.9.9.9, 10.2.3.4\r\n", "10.9.9.9"},
        {"X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 10.2.3.4\r\n", "203.0.113.7"},
        {"X-Forwarded-For: 1.1.1.1\r\nX-A: b\r\nX-Forwarded-For: 203.0.113.7\r\n", "203.0.113.7"},
        {"X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: nonsense\r\n", PEER},
        {"X-Forwarded-For: 203.0.113.7, nonsense\r\n", PEER},
        {"X-Forwarded-For: 203.0.113.7, nonsense, 10.2.3.4\r\n", "10.2.3.4"},
        {"X-Forwarded-For: 203.0.113.7, unknown, 10.2.3.4\r\n", "10.2.3.4"},
        {"X-Forwarded-For: 203.0.113.7 10.2.3.4\r\n", PEER},
        {"X-Forwarded-For: 203.0.113.7;10.2.3.4\r\n", PEER},
        {"X-Forwarded-For: nonsense, 203.0.113.7\r\n", "203.0.113.7"},
        {"X-Forwarded-For: 203.0.113.7,\r\n", "203.0.113.7"},
        {"X-Forwarded-For: 203.0.113.7, ,, \r\n", "203.0.113.7"},
        {"X-Forwarded-For: ,\r\nX-Forwarded-For:\r\n", PEER},
        {"X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For:\r\n", "203.0.113.7"},
        {"X-Forwarded-For: 203.0.113.7:4711\r\n", "203.0.113.7"},
        {"X-Forwarded-For: 203.0.113.7:\r\n", PEER},
        {"X-Forwarded-For: 203.0.113.7:471111\r\n", PEER},
        {"X-Forwarded-For: 203.0.113.7:-1\r\n", PEER},
        {"X-Forwarded-For: 203.0.113.07\r\n", PEER},
        {"X-Forwarded-For: 203.0.113\r\n", PEER},
        {"X-Forwarded-For: 0xcb.0.113.7\r\n", PEER},
        {"X-Forwarded-For: 3405803783\r\n", PEER},
        {"X-Forwarded-For: 203.0.113.7/32\r\n", PEER},
        {"X-Forwarded-For: 2001:db8::1\r\n", "2001:db8::1"},
        {"X-Forwarded-For: 2001:DB8:0::1\r\n", "2001:db8::1"},
        {"X-Forwarded-For: [2001:db8::1]\r\n", "2001:db8::1"},
        {"X-Forwarded-For: [2001:db8::1]:443\r\n", "2001:db8::1"},
        {"X-Forwarded-For: [2001:db8::1\r\n", PEER},
        {"X-Forwarded-For: [2001:db8::1]443\r\n", PEER},
        {"X-Forwarded-For: [203.0.113.7]\r\n", PEER},
        {"X-Forwarded-For: []\r\n", PEER},
        {"X-Forwarded-For: [\r\n", PEER},
        {"X-Forwarded-For: fe80::1%eth0\r\n", PEER},
        {"X-Forwarded-For: ::ffff:203.0.113.7\r\n", "203.0.113.7"},
        {"X-Forwarded-For: 1.1.1.1, ::ffff:10.2.3.4\r\n", "1.1.1.1"},
        {"X-Forwarded-For: 1.1.1.1, 2001:db8:aaaa::5\r\n", "1.1.1.1"},
        {"X-Forwarded-For: \"203.0.113.7\"\r\n", PEER},
        {"X-Forwarded-For: \xff, 203.0.113.7\r\n", "203.0.113.7"},
        {"Forwarded: for=203.0.113.7\r\nX-Real-IP: 203.0.113.7\r\n", PEER},
    };
    CHECK(IDENTITY_HOPS_XFF, rows);
}

static void test_forwarded(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"", PEER},
        {"Forwarded: for=203.0.113.7\r\n", "203.0.113.7"},
        {"Forwarded: For=203.0.113.7;proto=http;by=203.0.113.43\r\n", "203.0.113.7"},
        {"Forwarded: proto=http;FOR=\"203.0.113.7\"\r\n", "203.0.113.7"},
        {"Forwarded: for=\"203.0.113.7:80\"\r\n", "203.0.113.7"},
        {"Forwarded: for=203.0.113.7:80\r\n", PEER},
        {"Forwarded: for=\"203.0.113.7:_x.y-z\"\r\n", "203.0.113.7"},
        {"Forwarded: for=\"203.0.113.7:_\"\r\n", PEER},
        {"Forwarded: for=\"203.0.113.7:123456\"\r\n", PEER},
        {"Forwarded: for=\"[2001:db8::1]\"\r\n", "2001:db8::1"},
        {"Forwarded: for=\"[2001:db8:cafe::17]:4711\"\r\n", "2001:db8:cafe::17"},
        {"Forwarded: for=[2001:db8::1]\r\n", PEER},
        {"Forwarded: for=\"2001:db8::1\"\r\n", PEER},
        {"Forwarded: for=2001:db8::1\r\n", PEER},
        {"Forwarded: for=\"\\[2001\\:db8::1]\"\r\n", "2001:db8::1"},
        {"Forwarded: for=1.1.1.1, for=203.0.113.7, for=10.2.3.4\r\n", "203.0.113.7"},
        {"Forwarded: for=1.1.1.1\r\nForwarded: for=203.0.113.7\r\n", "203.0.113.7"},
        {"Forwarded: for=203.0.113.7\r\nForwarded: for=10.2.3.4\r\n", "203.0.113.7"},
        {"Forwarded: for=203.0.113.7, for=unknown\r\n", PEER},
        {"Forwarded: for=203.0.113.7, for=_hidden, for=10.2.3.4\r\n", "10.2.3.4"},
        {"Forwarded: for=203.0.113.7, for=\"_SEVKISEK\"\r\n", PEER},
        {"Forwarded: for=203.0.113.7, proto=http\r\n", PEER},
        {"Forwarded: for=203.0.113.7;for=1.1.1.1\r\n", PEER},
        {"Forwarded: for=203.0.113.7;proto\r\n", PEER},
        {"Forwarded: for=203.0.113.7;=x\r\n", PEER},
        {"Forwarded: for=203.0.113.7;x=\r\n", PEER},
        {"Forwarded: for =203.0.113.7\r\n", PEER},
        {"Forwarded: for= 203.0.113.7\r\n", PEER},
        {"Forwarded: for=\r\n", PEER},
        {"Forwarded: for\r\n", PEER},
        {"Forwarded: 203.0.113.7\r\n", PEER},
        {"Forwarded: ;;for=203.0.113.7;;proto=http;\r\n", "203.0.113.7"},
        {"Forwarded: for=203.0.113.7; proto=http\r\n", "203.0.113.7"},
        {"Forwarded: for=203.0.113.7 proto=http\r\n", PEER},
        {"Forwarded: for=\"203.0.113.7\"proto=http\r\n", PEER},
        {"Forwarded: for=203.0.113.7,\r\n", "203.0.113.7"},
        {"Forwarded: for=203.0.113.7;host=\"a,b;c\"\r\n", "203.0.113.7"},
        {"Forwarded: for=203.0.113.7;host=\"a\\\",for=6.6.6.6;x=\\\"b\"\r\n", "203.0.113.7"},
        {"Forwarded: for=203.0.113.7;host=\"a\\\\\"\r\n", "203.0.113.7"},
        {"Forwarded: for=203.0.113.7;host=\"\";x=\"=\"\r\n", "203.0.113.7"},
        {"Forwarded: for=203.0.113.7;host=\"a\\\"\r\n", PEER},
        {"Forwarded: for=203.0.113.7;host=a\"\r\n", PEER},
        {"Forwarded: for=203.0.113.7;host=\"a\r\n", PEER},
        /* What a client left open does not swallow what the proxy added. */
        {"Forwarded: for=\"6.6.6.6, for=203.0.113.7\r\n", "203.0.113.7"},
        {"Forwarded: for=6.6.6.6;x=\", for=\"[2001:db8::1]\"\r\n", "2001:db8::1"},
        {"Forwarded: x=\"\\, for=\"203.0.113.7\";proto=\"http\"\r\n", "203.0.113.7"},
        {"Forwarded: for=\"\r\nForwarded: for=203.0.113.7\r\n", "203.0.113.7"},
        {"X-Forwarded-For: 203.0.113.7\r\n", PEER},
    };
    CHECK(IDENTITY_HOPS_FORWARDED, rows);
}

static void test_header(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"", PEER},
        {"X-Real-IP: 203.0.113.7\r\n", "203.0.113.7"},
        {"X-REAL-ip: [2001:db8::1]:80\r\n", "2001:db8::1"},
        {"X-Real-IP: 10.2.3.4\r\n", "10.2.3.4"},
        {"X-Real-IP: 203.0.113.7, 1.1.1.1\r\n", PEER},
        {"X-Real-IP: 203.0.113.7\r\nX-Real-IP: 203.0.113.7\r\n", PEER},
        {"X-Real-IP: nonsense\r\n", PEER},
        {"X-Real-IP:\r\n", PEER},
        {"X-Forwarded-For: 203.0.113.7\r\n", PEER},
    };
    CHECK(IDENTITY_HOPS_HEADER, rows);

    struct request request;
    request_parse(&request, "/", "h", "CF-Connecting-IP: 203.0.113.7\r\n");
    struct identity_trust trust = trust_of(IDENTITY_HOPS_HEADER);
    trust.header_name = SPAN("cf-connecting-ip");
    trust.header_id = HTTP_FIELD_OTHER;
    struct ip peer = address(PEER), want = address("203.0.113.7");
    struct ip got = identity_client_ip(&trust, &request.head, &peer, false);
    assert_memory_equal(&got, &want, sizeof(got));
    request_free(&request);
}

static void test_unix_peers(void **state)
{
    (void)state;
    struct request request;
    request_parse(&request, "/", "h", "X-Forwarded-For: 203.0.113.7\r\n");
    struct identity_trust trust = trust_of(IDENTITY_HOPS_XFF);
    struct ip none = {{0}}, want = address("203.0.113.7"), got;
    got = identity_client_ip(&trust, &request.head, &none, true);
    assert_memory_equal(&got, &none, sizeof(got));
    trust.trusts_unix = true;
    got = identity_client_ip(&trust, &request.head, &none, true);
    assert_memory_equal(&got, &want, sizeof(got));
    /* Trusting Unix sockets does not trust the address that stands for them. */
    got = identity_client_ip(&trust, &request.head, &none, false);
    assert_memory_equal(&got, &none, sizeof(got));
    assert_true(identity_trust_has(&trust, &none, true));
    assert_false(identity_trust_has(&trust, &none, false));
    struct ip inside = address(PEER);
    assert_true(identity_trust_has(&trust, &inside, false));
    request_free(&request);
}

static void test_nobody_is_trusted_by_default(void **state)
{
    (void)state;
    struct request request;
    request_parse(&request, "/", "h", "X-Forwarded-For: 203.0.113.7\r\n");
    struct identity_trust trust = {.nets = NULL};
    static const char *const peers[] = {"127.0.0.1", "::1", "10.0.0.1", "0.0.0.0", "::"};
    for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
        struct ip peer = address(peers[i]);
        struct ip got = identity_client_ip(&trust, &request.head, &peer, false);
        assert_memory_equal(&got, &peer, sizeof(got));
    }
    request_free(&request);
}

/* Thousands of hops: the walk is bounded, and ends at a hop that was trusted. */
static void test_many_hops(void **state)
{
    (void)state;
    for (int hops = IDENTITY_HOPS_XFF; hops <= IDENTITY_HOPS_FORWARDED; hops++) {
        const char *before = hops == IDENTITY_HOPS_XFF ? "" : "for=";
        char text[65536];
        size_t len = (size_t)snprintf(text, sizeof(text), "%s6.6.6.6,", before);
        for (unsigned i = 0; len < 60000; i++)
            len +=
                (size_t)snprintf(text + len, sizeof(text) - len, "%s10.1.1.%u,", before, i % 200);
        struct request request;
        request_raw(&request, hops == IDENTITY_HOPS_XFF ? "x-forwarded-for" : "forwarded",
                    (struct span){text, len});
        struct identity_trust trust = trust_of(hops);
        struct ip peer = address(PEER);
        struct ip got = identity_client_ip(&trust, &request.head, &peer, false);
        assert_true(identity_trust_has(&trust, &got, false));
        request_free(&request);
    }
}

/* 10,000 spoofed left ends, as noise: the hop that the trusted proxy added wins every time. */
static void test_spoofed_left_end(void **state)
{
    (void)state;
    static const char alphabet[] = "\"\\,;=[]:._ \tforby0123456789abcdef%()\xff";
    static const char *const suffixes[][3] = {
        {"203.0.113.7", "2001:db8::7, 10.2.3.4", "[2001:db8::7]:1,10.2.3.4"},
        {"for=203.0.113.7", "for=\"[2001:db8::7]\";proto=http, for=10.2.3.4",
         "by=\"[::1]\";for=\"[2001:db8::7]:80\";host=\"a\\\",\\\\\",for=10.2.3.4"},
    };
    static const char *const wants[] = {"203.0.113.7", "2001:db8::7", "2001:db8::7"};
    struct rng rng = {{1, 2, 3, 4}};
    for (unsigned round = 0; round < 10000; round++) {
        char text[256];
        size_t len = rng_below(&rng, 80);
        for (size_t i = 0; i < len; i++)
            text[i] = alphabet[rng_below(&rng, sizeof(alphabet) - 1)];
        unsigned form = (unsigned)rng_below(&rng, 2), which = (unsigned)rng_below(&rng, 3);
        int added = snprintf(text + len, sizeof(text) - len, ", %s", suffixes[form][which]);
        struct request request;
        request_raw(&request, form == 0 ? "x-forwarded-for" : "forwarded",
                    (struct span){text, len + (size_t)added});
        struct identity_trust trust =
            trust_of(form == 0 ? IDENTITY_HOPS_XFF : IDENTITY_HOPS_FORWARDED);
        struct ip peer = address(PEER), want = address(wants[which]);
        struct ip got = identity_client_ip(&trust, &request.head, &peer, false);
        if (memcmp(&got, &want, sizeof(got)) != 0)
            print_error("%.*s\n", (int)(len + (size_t)added), text);
        assert_memory_equal(&got, &want, sizeof(got));
        request_free(&request);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forwarded_for),
        cmocka_unit_test(test_forwarded),
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_unix_peers),
        cmocka_unit_test(test_nobody_is_trusted_by_default),
        cmocka_unit_test(test_many_hops),
        cmocka_unit_test(test_spoofed_left_end),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
