/* SPDX-License-Identifier: Apache-2.0 */
/* test_main_options.c - command lines, right and wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "main/main_options.h"

#define ALL (MAIN_OPTION_FILE | MAIN_OPTION_SOCKET | MAIN_OPTION_JSON | MAIN_OPTION_DUMP)

static const struct {
    unsigned allowed;
    const char *words[6];
    const char *fault; /* a part of it; NULL: good */
    unsigned given;
    const char *file, *socket, *word;
} rows[] = {
    {ALL, {NULL}, NULL, 0, NULL, NULL, NULL},
    {ALL, {"-c", "a.json"}, NULL, MAIN_OPTION_FILE, "a.json", NULL, NULL},
    {ALL, {"-ca.json"}, NULL, MAIN_OPTION_FILE, "a.json", NULL, NULL},
    {ALL, {"--config", "a.json"}, NULL, MAIN_OPTION_FILE, "a.json", NULL, NULL},
    {ALL, {"--config=a=b.json"}, NULL, MAIN_OPTION_FILE, "a=b.json", NULL, NULL},
    {ALL, {"-c", "-"}, NULL, MAIN_OPTION_FILE, "-", NULL, NULL},
    {ALL, {"-c", "--json"}, NULL, MAIN_OPTION_FILE, "--json", NULL, NULL},
    {ALL, {"-c", "a", "-c", "b"}, NULL, MAIN_OPTION_FILE, "b", NULL, NULL},
    {ALL,
     {"-s", "x", "--json", "--dump"},
     NULL,
     ALL & ~(unsigned)MAIN_OPTION_FILE,
     NULL,
     "x",
     NULL},
    {ALL, {"--help"}, NULL, MAIN_OPTION_HELP, NULL, NULL, NULL},
    {0, {"-h"}, NULL, MAIN_OPTION_HELP, NULL, NULL, NULL},
    {MAIN_OPTION_WORD, {"run"}, NULL, MAIN_OPTION_WORD, NULL, NULL, "run"},
    {MAIN_OPTION_WORD, {"--", "--json"}, NULL, MAIN_OPTION_WORD, NULL, NULL, "--json"},
    {ALL, {"-c"}, "needs a FILE", 0, NULL, NULL, NULL},
    {ALL, {"--config="}, "needs a FILE", 0, NULL, NULL, NULL},
    {ALL, {"-c", ""}, "needs a FILE", 0, NULL, NULL, NULL},
    {ALL, {"--json=yes"}, "takes no value", 0, NULL, NULL, NULL},
    {ALL, {"--jsno"}, "did you mean \"--json\"?", 0, NULL, NULL, NULL},
    {MAIN_OPTION_FILE, {"--json"}, "unknown option \"--json\"", 0, NULL, NULL, NULL},
    {ALL, {"--confg=x"}, "did you mean \"--config\"?", 0, NULL, NULL, NULL},
    {ALL, {"-x"}, "unknown option \"-x\"", 0, NULL, NULL, NULL},
    {ALL, {"--"}, NULL, 0, NULL, NULL, NULL},
    {ALL, {"run"}, "unexpected argument \"run\"", 0, NULL, NULL, NULL},
    {ALL, {"-"}, "unexpected argument \"-\"", 0, NULL, NULL, NULL},
    {ALL, {""}, "unexpected argument \"\"", 0, NULL, NULL, NULL},
    {MAIN_OPTION_WORDS, {"a", "-"}, NULL, MAIN_OPTION_WORDS, NULL, NULL, "a"},
    {MAIN_OPTION_WORDS, {"a", "b", "c"}, "unexpected argument \"c\"", 0, NULL, NULL, NULL},
    {MAIN_OPTION_WORD, {"a", "b"}, "unexpected argument \"b\"", 0, NULL, NULL, NULL},
};

static void same_text(const char *got, const char *want)
{
    if (want == NULL)
        assert_null(got);
    else
        assert_string_equal(got, want);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct main_options options;
        char fault[MAIN_FAULT_MAX] = "";
        char *words[6];
        int count = 0;
        for (; rows[i].words[count] != NULL; count++)
            words[count] = (char *)(uintptr_t)rows[i].words[count];
        bool is_good = main_options_parse(&options, rows[i].allowed, count, words, fault);
        if (is_good != (rows[i].fault == NULL) ||
            (rows[i].fault != NULL && strstr(fault, rows[i].fault) == NULL))
            fail_msg("row %zu: \"%s\"", i, fault);
        if (!is_good)
            continue;
        assert_int_equal(options.given, rows[i].given);
        same_text(options.file, rows[i].file);
        same_text(options.socket, rows[i].socket);
        same_text(options.word, rows[i].word);
    }
}

static void test_long_words_are_cut(void **state)
{
    struct main_options options;
    char fault[MAIN_FAULT_MAX], word[5000];
    char *words[] = {word};
    (void)state;
    memset(word, 'x', sizeof(word) - 1);
    word[sizeof(word) - 1] = '\0';
    assert_false(main_options_parse(&options, ALL, 1, words, fault));
    memcpy(word, "--", 2);
    assert_false(main_options_parse(&options, ALL, 1, words, fault));
    assert_true(strlen(fault) < sizeof(fault));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_long_words_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
