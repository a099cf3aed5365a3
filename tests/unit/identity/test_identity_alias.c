/* SPDX-License-Identifier: Apache-2.0 */
/* test_identity_alias.c - a header that a program would take for the one that was counted is found. */
#include "identity/request.h"

static const struct span DASHED[] = {SPAN("X-Api-Key"), SPAN("tenant")};
static const struct span UNDERSCORED[] = {SPAN("x_user"), SPAN("X-Api-Key")};

static void test_alias(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        const char *dashed, *underscored; /* the alias for each set of names; NULL: none */
    } rows[] = {
        {"", NULL, NULL},
        {"X-Api-Key: a\r\n", NULL, NULL},
        {"x-api-key: a\r\nTenant: b\r\nx_user: c\r\n", NULL, NULL},
        {"X_Api_Key: a\r\n", "X_Api_Key", "X_Api_Key"},
        {"X-Api-Key: a\r\nX_API-KEY: b\r\n", "X_API-KEY", "X_API-KEY"},
        {"X-Api_Key: a\r\n", "X-Api_Key", "X-Api_Key"},
        {"X_Other: a\r\nX_Api_Keys: b\r\nX_Api: c\r\n", NULL, NULL},
        {"X-User: a\r\n", NULL, "X-User"},
        {"X-A-Name-Of-More-Than-Thirty-Two-Bytes: a\r\nx_api-key: b\r\n", "x_api-key", "x_api-key"},
    };
    const struct identity_headers dashed = {DASHED, 2, false}, underscored = {UNDERSCORED, 2, true};
    const struct identity_headers none = {NULL, 0, false};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct request request;
        request_parse(&request, "/", "a", rows[i].fields);
        const struct http_head *head = &request.head;
        const struct identity_headers *sets[] = {&dashed, &underscored, &none};
        const char *const expected[] = {rows[i].dashed, rows[i].underscored, NULL};
        for (size_t j = 0; j < 3; j++) {
            const struct http_field *found = identity_find_alias(sets[j], head);
            assert_int_equal(found != NULL, expected[j] != NULL);
            if (found != NULL)
                assert_span(http_field_name(head, found), expected[j]);
        }
        request_free(&request);
    }
}

static void test_trailers(void **state)
{
    (void)state;
    static const struct {
        struct span trailers;
        bool dashed, underscored;
    } rows[] = {
        {SPAN(""), false, false},
        {SPAN("X-Sum: tenant:1\r\n"), false, false},
        {SPAN("X-Api-Key: a\r\n"), true, true},
        {SPAN("X-Sum: 1\r\nx_API-key:a\r\n"), true, true},
        {SPAN("X-Sum: 1\r\nX-Api-Keys: a\r\nX-Api: b\r\n"), false, false},
        {SPAN("TENANT:\r\nX: 1\r\n"), true, false},
        {SPAN("X-User: a\r\n"), false, true},
    };
    const struct identity_headers dashed = {DASHED, 2, false}, underscored = {UNDERSCORED, 2, true};
    const struct identity_headers none = {NULL, 0, false};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(identity_names_trailer(&dashed, rows[i].trailers), rows[i].dashed);
        assert_int_equal(identity_names_trailer(&underscored, rows[i].trailers),
                         rows[i].underscored);
        assert_false(identity_names_trailer(&none, rows[i].trailers));
    }
}

static void test_taken(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        bool dashed, underscored;
    } rows[] = {
        {"", false, false},
        {"X-Api-Key: a\r\n", false, false},
        {"X-Api-Key: a\r\nConnection: close\r\n", false, false},
        {"X-Api-Key: a\r\nConnection: X-Api-Key\r\n", true, true},
        {"X-Api-Key: a\r\nConnection: x, , x-API-key\r\n", true, true},
        {"Connection: x\r\nX-Api-Key: a\r\nConnection: keep-alive,TENANT\r\n", true, false},
        {"Connection: X-Api-Keys, X-Api, X-User\r\n", false, false},
        {"Connection: x_user\r\nx_user: a\r\n", false, true},
    };
    const struct identity_headers dashed = {DASHED, 2, false}, underscored = {UNDERSCORED, 2, true};
    const struct identity_headers none = {NULL, 0, false};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct request request;
        request_parse(&request, "/", "a", rows[i].fields);
        const struct http_head *head = &request.head;
        assert_int_equal(identity_find_taken(&dashed, head) != NULL, rows[i].dashed);
        assert_int_equal(identity_find_taken(&underscored, head) != NULL, rows[i].underscored);
        assert_null(identity_find_taken(&none, head));
        request_free(&request);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alias),
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_trailers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
