/* SPDX-License-Identifier: Apache-2.0 */
/* test_identity_token - which bodies tell the project of a token, and what tokens are known by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "identity/identity_token.h"

#define NOW_S               1795867200 /* 2026-11-28T12:00:00Z */

#define BODY(expires, rest) "{\"token\":{\"expires_at\":\"" expires "\"" rest "}}"
#define LATER               "2026-11-29T12:00:00.000000Z"
#define GOOD                ",\"project\":{\"id\":\"p1\"}"
#define ID_64               "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_bodies(void **state)
{
    static const struct {
        const char *body;
        enum identity_token_result result;
        const char *project;
    } rows[] = {
        {BODY(LATER, GOOD), IDENTITY_TOKEN_GOOD, "p1"},
        {"  " BODY(LATER, GOOD) "\n", IDENTITY_TOKEN_GOOD, "p1"},
        {BODY(LATER, ",\"user\":{\"id\":\"p2\"}" GOOD), IDENTITY_TOKEN_GOOD, "p1"},
        {BODY(LATER, ",\"project\":{\"domain\":{\"id\":\"d\"},\"id\":\"p\\u0031\",\"name\":\"n\"}"),
         IDENTITY_TOKEN_GOOD, "p1"},
        {BODY(LATER, ",\"project\":{\"id\":\"" ID_64 "\"}"), IDENTITY_TOKEN_GOOD, ID_64},
        {BODY("2026-11-28T12:00:01Z", GOOD), IDENTITY_TOKEN_GOOD, "p1"},
        {BODY(LATER, ""), IDENTITY_TOKEN_NO_PROJECT, NULL},
        {BODY(LATER, ",\"project\":null"), IDENTITY_TOKEN_NO_PROJECT, NULL},
        {BODY(LATER, ",\"domain\":{\"id\":\"p1\"}"), IDENTITY_TOKEN_NO_PROJECT, NULL},
        {BODY("2026-11-28T12:00:00Z", GOOD), IDENTITY_TOKEN_UNREADABLE, NULL},
        {BODY("2026-11-28T12:00:00Z", GOOD) "x", IDENTITY_TOKEN_UNREADABLE, NULL},
        {BODY("soon", GOOD), IDENTITY_TOKEN_UNREADABLE, NULL},
        {BODY(LATER, ",\"project\":{\"id\":\"" ID_64 "x\"}"), IDENTITY_TOKEN_UNREADABLE, NULL},
        {BODY(LATER, ",\"project\":{\"id\":\"\"}"), IDENTITY_TOKEN_UNREADABLE, NULL},
        {BODY(LATER, ",\"project\":{\"id\":\"p 1\"}"), IDENTITY_TOKEN_UNREADABLE, NULL},
        {BODY(LATER, ",\"project\":{\"id\":\"p\\u0000\"}"), IDENTITY_TOKEN_UNREADABLE, NULL},
        {BODY(LATER, ",\"project\":{\"id\":\"p\\u007f\"}"), IDENTITY_TOKEN_UNREADABLE, NULL},
        {BODY(LATER, ",\"project\":{\"id\":\"p\\u00e9\"}"), IDENTITY_TOKEN_UNREADABLE, NULL},
        {BODY(LATER, ",\"project\":{\"id\":1}"), IDENTITY_TOKEN_UNREADABLE, NULL},
        {BODY(LATER, ",\"project\":{}"), IDENTITY_TOKEN_UNREADABLE, NULL},
        {BODY(LATER, ",\"project\":\"p1\""), IDENTITY_TOKEN_UNREADABLE, NULL},
        {BODY(LATER, GOOD GOOD), IDENTITY_TOKEN_UNREADABLE, NULL},
        {"{\"token\":{\"project\":{\"id\":\"p1\"}}}", IDENTITY_TOKEN_UNREADABLE, NULL},
        {"{\"token\":{\"expires_at\":1795867300,\"project\":{\"id\":\"p1\"}}}",
         IDENTITY_TOKEN_UNREADABLE, NULL},
        {"{\"token\":[]}", IDENTITY_TOKEN_UNREADABLE, NULL},
        {"{\"token\":null}", IDENTITY_TOKEN_UNREADABLE, NULL},
        {"{}", IDENTITY_TOKEN_UNREADABLE, NULL},
        {"[]", IDENTITY_TOKEN_UNREADABLE, NULL},
        {"\"token\"", IDENTITY_TOKEN_UNREADABLE, NULL},
        {"", IDENTITY_TOKEN_UNREADABLE, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct identity_token token = {0};
        struct span body = span_of(rows[i].body);
        enum identity_token_result result = identity_token_read(body, NOW_S, &token);
        if (result != rows[i].result)
            fail_msg("%s: %d", rows[i].body, result);
        if (result != IDENTITY_TOKEN_GOOD)
            continue;
        assert_true(
            span_eq((struct span){token.project, token.project_len}, span_of(rows[i].project)));
        assert_true(token.until_s > NOW_S);
    }
}

/* Nothing short of the whole body is one. */
static void test_cut_anywhere(void **state)
{
    static const char body[] = BODY(LATER, GOOD);
    struct identity_token token;
    (void)state;
    for (size_t len = 0; len < sizeof(body) - 1; len++) {
        char *copy = malloc(len + 1); /* its own block, so that a read past the end is seen */
        assert_non_null(copy);
        memcpy(copy, body, len);
        assert_int_equal(identity_token_read((struct span){copy, len}, NOW_S, &token),
                         IDENTITY_TOKEN_UNREADABLE);
        free(copy);
    }
}

static void test_a_body_is_bounded(void **state)
{
    static const char body[] = BODY(LATER, GOOD);
    struct identity_token token;
    size_t room = IDENTITY_TOKEN_BODY_MAX + 1, len = sizeof(body) - 1;
    char *text = malloc(room);
    (void)state;
    assert_non_null(text);
    memset(text, ' ', room);
    memcpy(text + room - 1 - len, body, len);
    assert_int_equal(identity_token_read((struct span){text, room - 1}, NOW_S, &token),
                     IDENTITY_TOKEN_GOOD);
    assert_int_equal(identity_token_read((struct span){text, room}, NOW_S, &token),
                     IDENTITY_TOKEN_UNREADABLE);
    memset(text, '[', room);
    assert_int_equal(identity_token_read((struct span){text, room - 1}, NOW_S, &token),
                     IDENTITY_TOKEN_UNREADABLE);
    free(text);
}

/* A token and a project that is spelled like it have nothing in common. */
static void test_macs(void **state)
{
    struct identity_secret *secret = identity_secret_new(SPAN("secret"));
    struct identity_secret *other = identity_secret_new(SPAN("another"));
    struct identity_cache *cache = identity_cache_new(16);
    struct identity_value value = {.kind = IDENTITY_TOKEN_PROJECT, .value = SPAN("T")};
    uint8_t macs[5][IDENTITY_KEY_BYTES];
    (void)state;
    assert_true(secret != NULL && other != NULL && cache != NULL);
    assert_int_equal(identity_token_mac(cache, secret, SPAN("T"), macs[0]), ERR_OK);
    assert_int_equal(identity_token_mac(cache, secret, SPAN("U"), macs[1]), ERR_OK);
    assert_int_equal(identity_token_mac(cache, other, SPAN("T"), macs[2]), ERR_OK);
    assert_int_equal(identity_mac(secret, &value, 1, macs[3]), ERR_OK);
    value.kind = IDENTITY_HEADER;
    value.source_name = SPAN("token");
    assert_int_equal(identity_mac(secret, &value, 1, macs[4]), ERR_OK);
    for (unsigned i = 0; i < 5; i++) {
        for (unsigned j = 0; j < i; j++)
            assert_memory_not_equal(macs[i], macs[j], IDENTITY_KEY_BYTES);
    }
    assert_int_equal(identity_token_mac(cache, secret, SPAN("T"), macs[1]), ERR_OK);
    assert_memory_equal(macs[0], macs[1], IDENTITY_KEY_BYTES);
    identity_cache_free(cache);
    identity_secret_free(other);
    identity_secret_free(secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_a_body_is_bounded),
        cmocka_unit_test(test_macs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
