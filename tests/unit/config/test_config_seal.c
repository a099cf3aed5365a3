/* SPDX-License-Identifier: Apache-2.0 */
/* test_config_seal.c - what is sealed comes back whole, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/base_fmt.h"
#include "base/base_parse.h"
#include "config/config_seal.h"

static struct config_seal_key new_key(void)
{
    struct config_seal_key key;
    char text[CONFIG_SEAL_KEY_TEXT];
    config_seal_key_make(text);
    assert_true(config_seal_key_parse(&key, (struct span){text, sizeof(text)}));
    return key;
}

static void test_keys(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_good;
    } rows[] = {
        {"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", true},
        {"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", true},
        {"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n", true},
        {"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n", false},
        {"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=", false},
        {"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", false}, /* 33 bytes */
        {"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", false}, /* 31 */
        {"AAAA", false},
        {"", false},
        {"not base64 not base64 not base64 not base64!", false},
    };
    struct config_seal_key key;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_true(config_seal_key_parse(&key, span_of(rows[i].text)) == rows[i].is_good);
    struct config_seal_key one = new_key(), other = new_key();
    assert_memory_not_equal(&one, &other, sizeof(one));
}

static void test_there_and_back(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 2, 3, 15, 16, 17, 4095, CONFIG_SEAL_SECRET_MAX};
    char secret[CONFIG_SEAL_SECRET_MAX], opened[CONFIG_SEAL_SECRET_MAX];
    char text[CONFIG_SEAL_TEXT_MAX], again[CONFIG_SEAL_TEXT_MAX];
    struct config_seal_key key = new_key();
    for (size_t i = 0; i < sizeof(secret); i++)
        secret[i] = (char)(i * 7);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        size_t len, again_len, opened_len;
        struct span whole = {secret, lengths[i]};
        assert_int_equal(config_seal(&key, whole, text, &len), ERR_OK);
        assert_int_equal(config_seal(&key, whole, again, &again_len), ERR_OK);
        assert_int_equal(len, again_len);
        assert_memory_not_equal(text, again, len); /* a nonce of its own */
        assert_null(config_unseal(&key, (struct span){text, len}, opened, &opened_len));
        assert_int_equal(opened_len, lengths[i]);
        assert_memory_equal(opened, secret, opened_len);
    }
}

/* Each single bit of the sealed bytes counts. */
static void test_changes(void **state)
{
    (void)state;
    struct config_seal_key key = new_key(), other = new_key();
    char text[CONFIG_SEAL_TEXT_MAX], opened[CONFIG_SEAL_SECRET_MAX];
    char bytes[PARSE_BASE64_MAX(CONFIG_SEAL_TEXT_MAX)];
    size_t len, bytes_len, opened_len;
    assert_int_equal(config_seal(&key, SPAN("the secret"), text, &len), ERR_OK);
    assert_string_equal(config_unseal(&other, (struct span){text, len}, opened, &opened_len),
                        "sealed with another key");
    assert_true(parse_base64((struct span){text, len}, bytes, &bytes_len));
    for (size_t bit = 0; bit < bytes_len * 8; bit++) {
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
        size_t changed_len = (size_t)(fmt_base64(text, bytes, bytes_len) - text);
        const char *sentence =
            config_unseal(&key, (struct span){text, changed_len}, opened, &opened_len);
        const char *want = bit < 8    ? "sealed by another version of Sluice"
                           : bit < 40 ? "sealed with another key"
                                      : "the sealed secret was changed after it was sealed";
        assert_non_null(sentence);
        assert_string_equal(sentence, want);
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
    }
    for (size_t short_len = 0; short_len < bytes_len; short_len++) {
        size_t changed_len = (size_t)(fmt_base64(text, bytes, short_len) - text);
        assert_non_null(config_unseal(&key, (struct span){text, changed_len}, opened, &opened_len));
    }
}

static void test_other_texts(void **state)
{
    (void)state;
    struct config_seal_key key = new_key();
    char opened[CONFIG_SEAL_SECRET_MAX], big[CONFIG_SEAL_TEXT_MAX + 4];
    size_t len;
    memset(big, 'A', sizeof(big));
    const struct span rows[] = {SPAN(""),           SPAN("x"), SPAN("AQ=="),
                                SPAN("not base64"), {big, 44}, {big, sizeof(big)}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *sentence = config_unseal(&key, rows[i], opened, &len);
        assert_string_equal(sentence, "not what `sluice seal` prints");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_other_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
