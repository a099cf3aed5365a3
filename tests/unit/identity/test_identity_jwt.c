/* SPDX-License-Identifier: Apache-2.0 */
/* test_identity_jwt.c - when a token counts, with a memory of tokens and without one. */
#include "identity/request.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/base_fmt.h"
#include "identity/identity_claims.h"

#define SECRET "a secret of at least 32 bytes, really"

static const struct identity_jwt_terms any;

static struct identity_jwt *new_jwt(uint64_t leeway_s)
{
    struct identity_jwt *jwt = identity_jwt_new(leeway_s);
    assert_non_null(jwt);
    assert_null(identity_jwt_add(jwt, IDENTITY_HS256, SPAN(SECRET), &any));
    return jwt;
}

/* Signed with SECRET; malloc'ed. */
static char *token_of(const char *header, const char *payload)
{
    char *token = calloc(1, 4096);
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    assert_non_null(token);
    char *end = fmt_base64url(token, header, strlen(header));
    *end++ = '.';
    end = fmt_base64url(end, payload, strlen(payload));
    assert_non_null(HMAC(EVP_sha256(), SECRET, sizeof(SECRET) - 1, (unsigned char *)token,
                         (size_t)(end - token), mac, &len));
    *end++ = '.';
    fmt_base64url(end, mac, len);
    return token;
}

static bool is_good(struct identity_claims *claims, const struct identity_jwt *jwt,
                    const char *token, uint64_t now_s, const char *want)
{
    struct arena arena;
    struct identity_claim claim;
    arena_init(&arena, NULL, 0, 1 << 20);
    enum identity_jwt_result result =
        identity_claims_verify(claims, jwt, span_of(token), SPAN("sub"), now_s, &arena, &claim);
    assert_true(result != IDENTITY_JWT_EXHAUSTED);
    if (result == IDENTITY_JWT_GOOD)
        assert_true(span_eq(claim.text, span_of(want)));
    arena_fini(&arena);
    return result == IDENTITY_JWT_GOOD;
}

#define HEADER "{\"alg\":\"HS256\"}"

static void test_times(void **state)
{
    (void)state;
    static const struct {
        uint64_t leeway_s, now_s;
        bool is_good;
    } rows[] = {
        {0, 99, false},  {0, 100, true},     {0, 199, true},      {0, 200, false},
        {10, 89, false}, {10, 90, true},     {10, 209, true},     {10, 210, false},
        {1000, 0, true}, {1000, 1199, true}, {1000, 1200, false},
    };
    char *token = token_of(HEADER, "{\"sub\":\"alice\",\"nbf\":100,\"exp\":200.9}");
    struct identity_claims *claims = identity_claims_new();
    assert_non_null(claims);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct identity_jwt *jwt = new_jwt(rows[i].leeway_s);
        assert_true(is_good(NULL, jwt, token, rows[i].now_s, "alice") == rows[i].is_good);
        (void)is_good(claims, jwt, token, 150, "alice"); /* remembered, or not */
        assert_true(is_good(claims, jwt, token, rows[i].now_s, "alice") == rows[i].is_good);
        identity_jwt_free(jwt);
    }
    identity_claims_free(claims);
    free(token);
}

static void test_memory_belongs_to_the_keys(void **state)
{
    (void)state;
    struct identity_jwt *jwt = new_jwt(0), *other = identity_jwt_new(0);
    assert_null(identity_jwt_add(other, IDENTITY_HS256, SPAN("another" SECRET), &any));
    struct identity_claims *claims = identity_claims_new();
    char *token = token_of(HEADER, "{\"sub\":\"alice\",\"exp\":200}");
    assert_true(is_good(claims, jwt, token, 100, "alice"));
    assert_false(is_good(claims, other, token, 100, "alice"));
    assert_true(is_good(claims, jwt, token, 100, "alice"));
    token[strlen(token) - 2] ^= 1;
    assert_false(is_good(claims, jwt, token, 100, "alice"));
    free(token);
    identity_claims_free(claims);
    identity_jwt_free(other);
    identity_jwt_free(jwt);
}

static void test_issuer_and_audience(void **state)
{
    (void)state;
    static const struct span audiences[] = {{"api", 3}, {"https://b", 9}};
    static const struct {
        unsigned audience_count;
        struct span issuer;
        const char *says;
        bool is_good;
    } rows[] = {
        {0, SPAN_NONE, "", true},
        {0, SPAN_NONE, "\"iss\":7,\"aud\":7,", true},
        {0, {"i", 1}, "", false},
        {0, {"i", 1}, "\"iss\":\"i\",", true},
        {0, {"i", 1}, "\"iss\":\"I\",", false},
        {0, {"i", 1}, "\"iss\":\"i/\",", false},
        {0, {"i", 1}, "\"iss\":[\"i\"],", false},
        {2, SPAN_NONE, "", false},
        {2, SPAN_NONE, "\"aud\":\"api\",", true},
        {2, SPAN_NONE, "\"aud\":\"https://b\",", true},
        {1, SPAN_NONE, "\"aud\":\"https://b\",", false},
        {2, SPAN_NONE, "\"aud\":\"API\",", false},
        {2, SPAN_NONE, "\"aud\":[],", false},
        {2, SPAN_NONE, "\"aud\":[\"x\",7,\"https://b\"],", true},
        {2, SPAN_NONE, "\"aud\":[\"x\",[\"api\"]],", false},
        {2, SPAN_NONE, "\"aud\":{\"api\":\"api\"},", false},
        {2, {"i", 1}, "\"iss\":\"i\",\"aud\":\"api\",", true},
        {2, {"i", 1}, "\"iss\":\"x\",\"aud\":\"api\",", false},
        {2, {"i", 1}, "\"iss\":\"i\",\"aud\":\"x\",", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct identity_jwt_terms terms = {.issuer = rows[i].issuer,
                                                 .audiences = audiences,
                                                 .audience_count = rows[i].audience_count};
        struct identity_jwt *jwt = identity_jwt_new(0);
        assert_null(identity_jwt_add(jwt, IDENTITY_HS256, SPAN(SECRET), &terms));
        char payload[256];
        snprintf(payload, sizeof(payload), "{%s\"sub\":\"alice\",\"exp\":200}", rows[i].says);
        char *token = token_of(HEADER, payload);
        if (is_good(NULL, jwt, token, 100, "alice") != rows[i].is_good)
            fail_msg("row %zu: %s", i, rows[i].says);
        free(token);
        /* Of two keys with one secret the one whose terms it meets counts. */
        assert_null(identity_jwt_add(jwt, IDENTITY_HS256, SPAN(SECRET), &any));
        token = token_of(HEADER, payload);
        assert_true(is_good(NULL, jwt, token, 100, "alice"));
        free(token);
        identity_jwt_free(jwt);
    }
}

/* More tokens than there is room for: each names its own subject, none another's. */
static void test_many(void **state)
{
    (void)state;
    struct identity_jwt *jwt = new_jwt(0);
    struct identity_claims *claims = identity_claims_new();
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 2 * IDENTITY_CLAIMS_ENTRIES; i += 7) {
            char payload[64], name[16];
            snprintf(name, sizeof(name), "user-%u", i);
            snprintf(payload, sizeof(payload), "{\"sub\":\"%s\",\"exp\":200}", name);
            char *token = token_of(HEADER, payload);
            assert_true(is_good(claims, jwt, token, 100, name));
            free(token);
        }
    }
    identity_claims_free(claims);
    identity_jwt_free(jwt);
}

static void test_long_claims_are_not_kept_but_read(void **state)
{
    (void)state;
    struct identity_jwt *jwt = new_jwt(0);
    struct identity_claims *claims = identity_claims_new();
    for (size_t len = IDENTITY_CLAIMS_TEXT; len <= IDENTITY_CLAIMS_TEXT + 1; len++) {
        char name[IDENTITY_CLAIMS_TEXT + 2] = {0}, payload[256];
        memset(name, 'n', len);
        snprintf(payload, sizeof(payload), "{\"sub\":\"%s\",\"exp\":200}", name);
        char *token = token_of(HEADER, payload);
        assert_true(is_good(claims, jwt, token, 100, name));
        assert_true(is_good(claims, jwt, token, 100, name));
        free(token);
    }
    identity_claims_free(claims);
    identity_jwt_free(jwt);
}

static void test_no_memory_is_said(void **state)
{
    (void)state;
    struct identity_jwt *jwt = new_jwt(0);
    struct identity_claims *claims = identity_claims_new();
    char *token = token_of(HEADER, "{\"sub\":\"alice\",\"exp\":200}");
    struct identity_claim claim;
    struct arena full;
    assert_true(is_good(claims, jwt, token, 100, "alice"));
    arena_init(&full, NULL, 0, 0);
    assert_int_equal(
        identity_claims_verify(claims, jwt, span_of(token), SPAN("sub"), 100, &full, &claim),
        IDENTITY_JWT_EXHAUSTED);
    assert_int_equal(identity_jwt_verify(jwt, span_of(token), SPAN("sub"), 100, NULL, &claim),
                     IDENTITY_JWT_EXHAUSTED);
    assert_int_equal(identity_jwt_verify(jwt, span_of(token), SPAN("sub"), 100, &full, &claim),
                     IDENTITY_JWT_EXHAUSTED);
    free(token);
    identity_claims_free(claims);
    identity_jwt_free(jwt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_memory_belongs_to_the_keys),
        cmocka_unit_test(test_issuer_and_audience),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_long_claims_are_not_kept_but_read),
        cmocka_unit_test(test_no_memory_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
