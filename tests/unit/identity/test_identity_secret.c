/* SPDX-License-Identifier: Apache-2.0 */
/* test_identity_secret.c - one subject has one key, two subjects never share one.  The known answers
 * were computed from the definitions in identity.h with another implementation. */
#include "identity/request.h"

#include <pthread.h>

#include "base/base_fmt.h"

static struct identity_value value_of(enum identity_kind kind, struct span name, struct span value)
{
    return (struct identity_value){.kind = kind, .source_name = name, .value = value};
}

static struct identity_secret *secret_of(const char *text)
{
    struct identity_secret *secret = identity_secret_new(span_of(text));
    assert_non_null(secret);
    return secret;
}

static void assert_hex(const uint8_t bytes[IDENTITY_KEY_BYTES], const char *want)
{
    char got[2 * IDENTITY_KEY_BYTES + 1];
    for (unsigned i = 0; i < IDENTITY_KEY_BYTES; i++)
        snprintf(got + 2 * i, 3, "%02x", bytes[i]);
    assert_string_equal(got, want);
}

static enum err cached_mac(struct identity_cache *cache, const struct identity_secret *secret,
                           const struct identity_value *values, unsigned count,
                           uint8_t mac[IDENTITY_KEY_BYTES])
{
    struct identity_mark mark;
    enum err err = identity_cache_mark(cache, secret, values, count, &mark);
    char text[IDENTITY_TEXT_LEN];
    fmt_base64url(text, mark.mac, IDENTITY_KEY_BYTES);
    assert_memory_equal(mark.text, text, IDENTITY_TEXT_LEN);
    memcpy(mac, mark.mac, IDENTITY_KEY_BYTES);
    return err;
}

static void test_known_answers(void **state)
{
    (void)state;
    char *big = malloc(65536);
    assert_non_null(big);
    memset(big, 'k', 65536);
    struct identity_value ip = value_of(IDENTITY_IP, SPAN_NONE, SPAN("203.0.113.7"));
    struct identity_value pair[] = {
        value_of(IDENTITY_HEADER, SPAN("X-Api-Key"), SPAN("alice")),
        value_of(IDENTITY_ROUTE, SPAN_NONE, SPAN("images")),
    };
    struct identity_value shared = {
        .kind = IDENTITY_HEADER, .is_shared = true, .source_name = SPAN("x")};
    struct identity_value long_one =
        value_of(IDENTITY_HEADER, SPAN("x-api-key"), (struct span){big, 65536});
    const struct {
        const struct identity_value *values;
        unsigned count;
        const char *want;
    } rows[] = {
        {&ip, 1, "8110ad8b7a95facb51ee3c581f977bc3"},
        {pair, 2, "2df6f97d7d989887eb25766aba9248a4"},
        {&shared, 1, "2e66918b9d41bba539827cc8c83d14b2"},
        {&long_one, 1, "cf41a167804b22c91ee64674cef5a60b"},
    };
    struct identity_secret *secret = secret_of("fleet secret");
    struct identity_cache *cache = identity_cache_new(64);
    assert_non_null(cache);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t mac[IDENTITY_KEY_BYTES];
        assert_int_equal(identity_mac(secret, rows[i].values, rows[i].count, mac), ERR_OK);
        assert_hex(mac, rows[i].want);
        for (unsigned again = 0; again < 2; again++) {
            memset(mac, 0, sizeof(mac));
            assert_int_equal(cached_mac(cache, secret, rows[i].values, rows[i].count, mac), ERR_OK);
            assert_hex(mac, rows[i].want);
        }
    }

    uint8_t mac[IDENTITY_KEY_BYTES], quota[IDENTITY_KEY_BYTES], key[IDENTITY_KEY_BYTES];
    assert_int_equal(identity_mac(secret, &ip, 1, mac), ERR_OK);
    identity_quota_id(SPAN("per-user"), quota);
    assert_hex(quota, "7d3358fe4891dcc7ea3db90f9a519a2f");
    identity_quota_key(mac, quota, key);
    assert_hex(key, "d506ebd6c2a5dccb355e7add31f3e1f3");
    identity_cache_free(cache);
    identity_secret_free(secret);
    free(big);
}

static void test_secrets(void **state)
{
    (void)state;
    assert_null(identity_secret_new(SPAN("")));
    identity_secret_free(NULL);
    identity_cache_free(NULL);
    /* One cache, two secrets (before and after a reload): never the other's mac. */
    struct identity_secret *one = secret_of("one"), *two = secret_of("two"),
                           *same = secret_of("one");
    struct identity_cache *cache = identity_cache_new(1);
    struct identity_value value = value_of(IDENTITY_IP, SPAN_NONE, SPAN("203.0.113.7"));
    uint8_t want[2][IDENTITY_KEY_BYTES], got[IDENTITY_KEY_BYTES];
    assert_int_equal(identity_mac(one, &value, 1, want[0]), ERR_OK);
    assert_int_equal(identity_mac(two, &value, 1, want[1]), ERR_OK);
    assert_memory_not_equal(want[0], want[1], IDENTITY_KEY_BYTES);
    for (unsigned i = 0; i < 6; i++) {
        const struct identity_secret *secret = i % 3 == 0 ? one : i % 3 == 1 ? two : same;
        assert_int_equal(cached_mac(cache, secret, &value, 1, got), ERR_OK);
        assert_memory_equal(got, want[i % 3 == 1], IDENTITY_KEY_BYTES);
    }
    identity_cache_free(cache);
    identity_secret_free(one);
    identity_secret_free(two);
    identity_secret_free(same);
}

struct seen {
    uint8_t mac[IDENTITY_KEY_BYTES];
};

static int compare_seen(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct seen));
}

/* Every way to cut the same letters into kinds, names, values and pairs has a key of its own. */
static void test_no_two_share_a_key(void **state)
{
    (void)state;
    static const enum identity_kind kinds[] = {IDENTITY_HEADER, IDENTITY_COOKIE, IDENTITY_ROUTE,
                                               IDENTITY_ACCESS_KEY};
    static const struct span texts[] = {SPAN_NONE,         SPAN("a"),      SPAN("aa"),
                                        SPAN("a\0"),       SPAN("\0a"),    SPAN("a\na"),
                                        SPAN("\0\0\0\1a"), SPAN("cookie"), SPAN("aaa\0\0\0\0")};
    enum {
        KINDS = 4,
        TEXTS = 9,
        ONES = KINDS * TEXTS * TEXTS
    };
    static struct identity_value ones[ONES];
    unsigned count = 0;
    for (unsigned i = 0; i < ONES; i++)
        ones[i] = value_of(kinds[i % KINDS], texts[i / KINDS % TEXTS], texts[i / KINDS / TEXTS]);
    struct seen *seen = calloc(ONES + (size_t)ONES * ONES / 8 + 2, sizeof(*seen));
    assert_non_null(seen);
    struct identity_secret *secret = secret_of("s");
    struct identity_cache *cache = identity_cache_new(1024);
    for (unsigned i = 0; i < ONES; i++)
        assert_int_equal(identity_mac(secret, &ones[i], 1, seen[count++].mac), ERR_OK);
    for (unsigned i = 0; i < (unsigned)ONES * ONES; i += 9) {
        struct identity_value pair[] = {ones[i / ONES], ones[i % ONES]};
        uint8_t mac[IDENTITY_KEY_BYTES];
        assert_int_equal(identity_mac(secret, pair, 2, seen[count].mac), ERR_OK);
        assert_int_equal(cached_mac(cache, secret, pair, 2, mac), ERR_OK);
        assert_memory_equal(mac, seen[count].mac, IDENTITY_KEY_BYTES);
        count++;
    }
    struct identity_value shared = {.is_shared = true};
    assert_int_equal(identity_mac(secret, &shared, 1, seen[count++].mac), ERR_OK);
    assert_int_equal(identity_mac(secret, NULL, 0, seen[count++].mac), ERR_OK);
    qsort(seen, count, sizeof(*seen), compare_seen);
    for (unsigned i = 1; i < count; i++)
        assert_memory_not_equal(&seen[i - 1], &seen[i], sizeof(*seen));
    identity_cache_free(cache);
    identity_secret_free(secret);
    free(seen);
}

/* Every length around the sizes of our buffers, and a change in the last byte. */
static void test_lengths(void **state)
{
    (void)state;
    char text[1200];
    memset(text, 'v', sizeof(text));
    struct identity_secret *secret = secret_of("s");
    struct identity_cache *cache = identity_cache_new(4096);
    uint8_t before[IDENTITY_KEY_BYTES] = {0};
    for (size_t len = 0; len < sizeof(text); len++) {
        for (unsigned last = 0; last < 2; last++) {
            if (len > 0)
                text[len - 1] = last == 0 ? 'w' : 'v';
            struct identity_value values[] = {
                value_of(IDENTITY_HEADER, (struct span){text, len / 3}, (struct span){text, len}),
                value_of(IDENTITY_COOKIE, (struct span){text, len}, SPAN("x")),
            };
            uint8_t mac[IDENTITY_KEY_BYTES], cached[IDENTITY_KEY_BYTES];
            assert_int_equal(identity_mac(secret, values, 2, mac), ERR_OK);
            assert_int_equal(cached_mac(cache, secret, values, 2, cached), ERR_OK);
            assert_memory_equal(mac, cached, IDENTITY_KEY_BYTES);
            if (len > 0)
                assert_memory_not_equal(mac, before, IDENTITY_KEY_BYTES);
            memcpy(before, mac, sizeof(mac));
        }
    }
    identity_cache_free(cache);
    identity_secret_free(secret);
}

/* The most that a key may have, each as long as a header line may be. */
static void test_largest_key(void **state)
{
    (void)state;
    size_t len = 65536;
    char *big = malloc(len);
    assert_non_null(big);
    memset(big, 'k', len);
    struct identity_value values[IDENTITY_VALUES_MAX];
    for (unsigned i = 0; i < IDENTITY_VALUES_MAX; i++)
        values[i] =
            value_of(IDENTITY_HEADER, (struct span){big, len - i}, (struct span){big, len - i});
    struct identity_secret *secret = secret_of("s");
    struct identity_cache *cache = identity_cache_new(2);
    uint8_t mac[IDENTITY_KEY_BYTES], cached[IDENTITY_KEY_BYTES];
    assert_int_equal(identity_mac(secret, values, IDENTITY_VALUES_MAX, mac), ERR_OK);
    assert_int_equal(cached_mac(cache, secret, values, IDENTITY_VALUES_MAX, cached), ERR_OK);
    assert_memory_equal(mac, cached, IDENTITY_KEY_BYTES);
    identity_cache_free(cache);
    identity_secret_free(secret);
    free(big);
}

static void mac_of_ip(struct request *request, const struct identity_secret *secret,
                      const struct ip *ip, uint8_t mac[IDENTITY_KEY_BYTES])
{
    struct identity identity = identity_of("ip", IDENTITY_MISSING_IP);
    struct identity_value value;
    request->input.client_ip = *ip;
    assert_int_equal(identity_extract(&identity, &request->input, &value), IDENTITY_FOUND);
    assert_int_equal(identity_mac(secret, &value, 1, mac), ERR_OK);
}

static void test_one_network_is_one_subject(void **state)
{
    (void)state;
    struct request request;
    request_parse(&request, "/", "h", "");
    struct identity_secret *secret = secret_of("s");
    uint8_t want[IDENTITY_KEY_BYTES], got[IDENTITY_KEY_BYTES];
    struct ip ip = address("2001:db8:1:2::"), neighbour = address("2001:db8:1:3::");
    mac_of_ip(&request, secret, &ip, want);
    for (unsigned i = 0; i < 65536; i++) {
        ip.bytes[8 + i % 8] = (uint8_t)(i >> 8);
        ip.bytes[8 + (i + 3) % 8] = (uint8_t)i;
        mac_of_ip(&request, secret, &ip, got);
        assert_memory_equal(got, want, IDENTITY_KEY_BYTES);
    }
    mac_of_ip(&request, secret, &neighbour, got);
    assert_memory_not_equal(got, want, IDENTITY_KEY_BYTES);

    struct ip plain = address("203.0.113.7"), mapped = address("::ffff:203.0.113.7");
    mac_of_ip(&request, secret, &plain, want);
    mac_of_ip(&request, secret, &mapped, got);
    assert_memory_equal(got, want, IDENTITY_KEY_BYTES);
    identity_secret_free(secret);
    request_free(&request);
}

/* Spellings that servers read alike are one subject, others are not. */
static void test_spellings(void **state)
{
    (void)state;
    static const struct {
        const char *sources[2], *targets[2], *lines[2];
        bool is_same;
    } rows[] = {
        {{"header:X-Api-Key", "header:x-API-key"},
         {"/", "/"},
         {"X-Api-Key: a\r\n", "x-api-key:   a  \r\n"},
         true},
        {{"header:X-Api-Key", "header:X-Api-Key"},
         {"/", "/"},
         {"X-Api-Key: a\r\n", "X-Api-Key: A\r\n"},
         false},
        {{"header:X-A", "header:X-B"}, {"/", "/"}, {"X-A: a\r\n", "X-B: a\r\n"}, false},
        {{"query:k", "query:k"}, {"/?k=a%20b", "/?%6B=%61+b"}, {"", ""}, true},
        {{"query:k", "query:k"}, {"/?k=a", "/?k=A"}, {"", ""}, false},
        {{"query:k", "query:K"}, {"/?k=a", "/?K=a"}, {"", ""}, false},
        {{"cookie:s", "cookie:s"},
         {"/", "/"},
         {"Cookie: s=ab\r\n", "Cookie: x=1; s=\"%61b\"\r\n"},
         true},
        {{"cookie:s", "query:s"}, {"/", "/?s=ab"}, {"Cookie: s=ab\r\n", ""}, false},
        {{"bearer", "bearer"},
         {"/", "/"},
         {"Authorization: Bearer a\r\n", "Authorization: BEARER \t a\r\n"},
         true},
        {{"bearer", "header:Authorization"},
         {"/", "/"},
         {"Authorization: Bearer a\r\n", "Authorization: Bearer a\r\n"},
         false},
        {{"access_key", "access_key"},
         {"/", "/"},
         {"Authorization: SDK-HMAC-SHA256 Access=AK, Signature=1\r\n",
          "Authorization: SDK-HMAC-SHA256 Credential=AK/2015/r/s/sdk_request,Signature=2\r\n"},
         true},
        {{"method", "route"}, {"/", "/"}, {"", ""}, false},
    };
    struct identity_secret *secret = secret_of("s");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t macs[2][IDENTITY_KEY_BYTES];
        for (unsigned side = 0; side < 2; side++) {
            struct request request;
            request_parse(&request, rows[i].targets[side], "h", rows[i].lines[side]);
            request.input.route = SPAN("GET");
            struct identity identity = identity_of(rows[i].sources[side], IDENTITY_MISSING_REFUSE);
            struct identity_value value;
            assert_int_equal(identity_extract(&identity, &request.input, &value), IDENTITY_FOUND);
            assert_int_equal(identity_mac(secret, &value, 1, macs[side]), ERR_OK);
            request_free(&request);
        }
        bool is_same = memcmp(macs[0], macs[1], IDENTITY_KEY_BYTES) == 0;
        if (is_same != rows[i].is_same)
            print_error("row %zu\n", i);
        assert_true(is_same == rows[i].is_same);
    }
    identity_secret_free(secret);
}

static void test_quota_keys(void **state)
{
    (void)state;
    static const struct span names[] = {SPAN_NONE, SPAN("a"), SPAN("b"), SPAN("per-user"),
                                        SPAN("per-usea")};
    uint8_t macs[2][IDENTITY_KEY_BYTES] = {{1}, {2}};
    struct seen keys[10];
    unsigned count = 0;
    for (unsigned i = 0; i < 5; i++) {
        uint8_t id[IDENTITY_KEY_BYTES];
        identity_quota_id(names[i], id);
        for (unsigned j = 0; j < 2; j++)
            identity_quota_key(macs[j], id, keys[count++].mac);
    }
    qsort(keys, count, sizeof(keys[0]), compare_seen);
    for (unsigned i = 1; i < count; i++)
        assert_memory_not_equal(&keys[i - 1], &keys[i], sizeof(keys[0]));
}

/* The keys that a cache keeps beside a mac are those of identity_quota_key: for more quotas than it keeps, and
 * when the place has gone to somebody else. */
static void test_cached_quota_keys(void **state)
{
    (void)state;
    static const struct span names[] = {SPAN("a"), SPAN("b"), SPAN("c"), SPAN_NONE};
    static const struct span users[] = {SPAN("one"), SPAN("two")};
    struct identity_secret *secret = secret_of("s");
    struct identity_cache *cache = identity_cache_new(1);
    for (unsigned round = 0; round < 40; round++) {
        uint8_t id[IDENTITY_KEY_BYTES], want[IDENTITY_KEY_BYTES], got[IDENTITY_KEY_BYTES];
        struct identity_value value = value_of(IDENTITY_HEADER, SPAN("x"), users[round / 2 % 2]);
        struct identity_value other = value_of(IDENTITY_HEADER, SPAN("x"), users[round % 2]);
        struct identity_mark mark, ignored;
        assert_int_equal(identity_cache_mark(cache, secret, &value, 1, &mark), ERR_OK);
        if (round % 5 == 0) /* takes the place, or is the same */
            assert_int_equal(identity_cache_mark(cache, secret, &other, 1, &ignored), ERR_OK);
        for (unsigned i = 0; i < 6; i++) {
            if ((round + i) % 4 == 3)
                memset(id, 0, sizeof(id));
            else
                identity_quota_id(names[(round + i) % 4], id);
            identity_quota_key(mark.mac, id, want);
            identity_cache_key(cache, &mark, id, got);
            assert_memory_equal(got, want, sizeof(want));
        }
    }
    identity_cache_free(cache);
    identity_secret_free(secret);
}

#define THREADS 4

static void *compute_many(void *arg)
{
    const struct identity_secret *secret = arg;
    struct identity_value value = value_of(IDENTITY_IP, SPAN_NONE, SPAN("203.0.113.7"));
    uint8_t first[IDENTITY_KEY_BYTES], mac[IDENTITY_KEY_BYTES];
    if (identity_mac(secret, &value, 1, first) != ERR_OK)
        return arg;
    for (unsigned i = 0; i < 500; i++) {
        if (identity_mac(secret, &value, 1, mac) != ERR_OK || memcmp(mac, first, sizeof(mac)) != 0)
            return arg;
    }
    return NULL;
}

/* The secret is shared by all workers. */
static void test_threads(void **state)
{
    (void)state;
    struct identity_secret *secret = secret_of("s");
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, compute_many, secret), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        void *failure;
        assert_int_equal(pthread_join(threads[i], &failure), 0);
        assert_null(failure);
    }
    identity_secret_free(secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_no_two_share_a_key),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_largest_key),
        cmocka_unit_test(test_one_network_is_one_subject),
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_quota_keys),
        cmocka_unit_test(test_cached_quota_keys),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
