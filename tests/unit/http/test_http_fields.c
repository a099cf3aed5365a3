/* SPDX-License-Identifier: Apache-2.0 */
/* The tables: field ids, methods, faults, sets of bytes, and the wide scans against their twins. */
#include "http/http_helpers.h"

#include <ctype.h>

#include "http/http_fields.h"
#include "http/http_scan.h"

static const struct {
    enum http_field_id id;
    struct span name;
} FIELDS[] = {
#define FIELD(id, name) {HTTP_FIELD_##id, {name, sizeof(name) - 1}},
#include "http/http_fields.def"
#undef FIELD
};
#define FIELD_ROWS (sizeof(FIELDS) / sizeof(FIELDS[0]))

static void test_every_field_is_found(void **state)
{
    (void)state;
    assert_true(HTTP_FIELDS <= 64);
    for (size_t i = 0; i < FIELD_ROWS; i++) {
        char text[64];
        size_t len = FIELDS[i].name.len;
        memcpy(text, FIELDS[i].name.ptr, len);
        assert_int_equal(http_field_id_of((struct span){text, len}), FIELDS[i].id);
        for (size_t j = 0; j < len; j++)
            text[j] = (char)toupper((unsigned char)text[j]);
        assert_int_equal(http_field_id_of((struct span){text, len}), FIELDS[i].id);
    }
}

/* No other token, one byte away, has the id. */
static void test_neighbours_are_not_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < FIELD_ROWS; i++) {
        char text[64];
        size_t len = FIELDS[i].name.len;
        for (size_t at = 0; at < len; at++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                memcpy(text, FIELDS[i].name.ptr, len);
                text[at] = (char)byte;
                enum http_field_id id = http_field_id_of((struct span){text, len});
                bool same = span_eq_nocase((struct span){text, len}, FIELDS[i].name);
                assert_int_equal(id == FIELDS[i].id, same);
            }
        }
    }
    static const char *const unknown[] = {
        "",
        "a",
        "x",
        "hos",
        "hostx",
        "accept",
        "user-agent",
        "x-te",
        "te-",
        "connectio",
        "x-real-ip-",
        "content-lengt",
        "-",
        "accept-encoding",
        "xx",
        "x-rate",
        "transfer-encodings",
        "proxy-authorizations",
        "a-name-of-more-than-19",
    };
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        assert_int_equal(http_field_id_of(span_of(unknown[i])), HTTP_FIELD_OTHER);
}

static void test_aliases(void **state)
{
    (void)state;
    for (size_t i = 0; i < FIELD_ROWS; i++) {
        char text[64];
        size_t len = FIELDS[i].name.len, dashes = 0;
        for (size_t j = 0; j < len; j++) {
            text[j] = FIELDS[i].name.ptr[j];
            if (text[j] == '-') {
                text[j] = '_';
                dashes++;
            }
        }
        assert_int_equal(http_field_is_alias((struct span){text, len}), dashes != 0);
        assert_false(http_field_is_alias(FIELDS[i].name));
    }
    assert_false(http_field_is_alias(SPAN("x_api_key")));
    assert_false(http_field_is_alias(SPAN("a_name_that_is_much_longer_than_any_known")));
}

static void test_clashes(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool clash;
    } rows[] = {
        {"X-Api-Key", "X_Api_Key", true},
        {"x-api-key", "X_API-KEY", true},
        {"x_api_key", "X-Api-Key", true},
        {"X-Api-Key", "x-api-key", false},
        {"X_Api_Key", "x_api_key", false},
        {"X-Api-Key", "X_Api_Keys", false},
        {"X-Api-Key", "X.Api.Key", false},
        {"X-Api-Key", "X_Apj_Key", false},
        {"Key", "key", false},
        {"a-", "a_", true},
        {"X-A[", "x_a{", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct span a = span_of(rows[i].a), b = span_of(rows[i].b);
        assert_int_equal(http_field_names_clash(a, b), rows[i].clash);
        assert_int_equal(http_field_names_clash(b, a), rows[i].clash);
    }
}

static void test_methods(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum http_method id;
    } rows[] = {
        {"GET", HTTP_METHOD_GET},         {"HEAD", HTTP_METHOD_HEAD},
        {"POST", HTTP_METHOD_POST},       {"PUT", HTTP_METHOD_PUT},
        {"DELETE", HTTP_METHOD_DELETE},   {"PATCH", HTTP_METHOD_PATCH},
        {"OPTIONS", HTTP_METHOD_OPTIONS}, {"TRACE", HTTP_METHOD_TRACE},
        {"CONNECT", HTTP_METHOD_CONNECT}, {"get", HTTP_METHOD_OTHER},
        {"GETS", HTTP_METHOD_OTHER},      {"", HTTP_METHOD_OTHER},
        {"GE", HTTP_METHOD_OTHER},        {"PURGE", HTTP_METHOD_OTHER},
        {"Options", HTTP_METHOD_OTHER},   {"DELETF", HTTP_METHOD_OTHER},
        {"CONNECU", HTTP_METHOD_OTHER},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(http_method_of(span_of(rows[i].name)), rows[i].id);
}

static void test_faults(void **state)
{
    (void)state;
    static const char *const ids[] = {
        [HTTP_FAULT_NONE] = "NONE",
#define FAULT(id, status, sentence) [HTTP_FAULT_##id] = #id,
#include "http/http_faults.def"
#undef FAULT
    };
    for (unsigned i = 0; i < HTTP_FAULTS; i++) {
        const char *name = http_fault_name(i);
        assert_int_equal(strlen(name), strlen(ids[i]));
        for (size_t j = 0; name[j] != '\0'; j++)
            assert_int_equal(name[j], tolower((unsigned char)ids[i][j]));
        assert_true(i == 0 || (http_fault_status(i) >= 400 && http_fault_status(i) <= 505));
        assert_true(strlen(http_fault_sentence(i)) > 5);
    }
    assert_string_equal(http_fault_name(HTTP_FAULT_BARE_LF), "bare_lf");
    assert_int_equal(http_fault_status(HTTP_FAULT_LINE_TOO_LONG), 414);
    assert_int_equal(http_fault_status(HTTP_FAULT_BAD_VERSION), 505);
}

/* RFC 9110 section 5.6.2, spelled out once more. */
static void test_tokens(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        char text = (char)byte;
        bool expected = byte != 0 && byte < 0x80 &&
                        (isalnum((int)byte) || strchr("!#$%&'*+-.^_`|~", (int)byte) != NULL);
        assert_int_equal(http_is_token((struct span){&text, 1}), expected);
    }
    assert_false(http_is_token(SPAN("")));
    assert_false(http_is_token(SPAN("a b")));
    assert_true(http_is_token(SPAN("a-b")));
}

/* Each byte at each place of buffers of every length around the width of the scans. */
static void test_scans_agree(void **state)
{
    (void)state;
    char *heap = malloc(64);
    assert_non_null(heap);
    for (size_t len = 1; len <= 40; len++) {
        char *buf = heap + 64 - len; /* ends where the allocation ends */
        for (size_t at = 0; at < len; at++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                memset(buf, 'a', len);
                buf[at] = (char)byte;
                for (size_t off = 0; off <= at; off += at < 3 ? 1 : at) {
                    bool odd = false, odd_twin = false;
                    assert_int_equal(http_scan_token(buf, off, len, &odd),
                                     http_scan_token_portable(buf, off, len, &odd_twin));
                    assert_int_equal(odd, odd_twin);
                    assert_int_equal(http_scan_value(buf, off, len),
                                     http_scan_value_portable(buf, off, len));
                    assert_int_equal(http_scan_target(buf, off, len),
                                     http_scan_target_portable(buf, off, len));
                }
            }
        }
        bool odd = false;
        assert_int_equal(http_scan_token(buf, len, len, &odd), len);
        assert_int_equal(http_scan_value(buf, len, len), len);
        assert_int_equal(http_scan_target(buf, len, len), len);
    }
    free(heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_is_found),
        cmocka_unit_test(test_neighbours_are_not_found),
        cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_clashes),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_scans_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
