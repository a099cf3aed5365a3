/* SPDX-License-Identifier: Apache-2.0 */
/* test_logtool_verify.c - what is an excess, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "logtool/logtool_verify.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define HEAD         "{\"v\":1,\"boot\":\"b\",\"seq\":%d,\"ts\":\"2026-11-29T01:00:%02d.000Z\""
#define T0           "1795914000" /* 01:00:00 */

/* One window of a line that is charged to "s". */
#define WINDOW(window, rest)                                                                       \
    ",\"decision\":\"allow\",\"subjects\":{\"ip\":\"s\"},\"quotas\":[{\"q\":\"q\",\"w\":\"" window \
    "\"," rest "}]}"
#define MINUTE(rest) WINDOW("minute", "\"start\":" T0 "," rest)
#define NUMBERS(charged, limit)                                                                    \
    "\"charged\":" #charged ",\"used\":1,\"limit\":" #limit ",\"reset_s\":9"

struct row {
    const char *name;
    const char *lines[5]; /* what follows the head; a second each */
    enum logtool_verdict want;
    uint64_t over; /* of the worst */
};

static const struct row ROWS[] = {
    {"at the limit", {MINUTE(NUMBERS(2, 3)), MINUTE(NUMBERS(1, 3))}, LOGTOOL_CLEAN, 0},
    {"above it", {MINUTE(NUMBERS(2, 3)), MINUTE(NUMBERS(3, 3))}, LOGTOOL_EXCESS, 2},
    {"given back",
     {MINUTE(NUMBERS(2, 3) ",\"refunded\":1"), MINUTE(NUMBERS(2, 3))},
     LOGTOOL_CLEAN,
     0},
    {"added by a response is no excess",
     {MINUTE(NUMBERS(1, 3) ",\"added\":7"), MINUTE(NUMBERS(2, 3))},
     LOGTOOL_CLEAN,
     0},
    {"the limit was raised", {MINUTE(NUMBERS(3, 3)), MINUTE(NUMBERS(2, 5))}, LOGTOOL_CLEAN, 0},
    {"what was refused is not charged",
     {MINUTE(NUMBERS(3, 3)), MINUTE(NUMBERS(0, 3))},
     LOGTOOL_CLEAN,
     0},
    {"local is not held against the limit",
     {MINUTE(NUMBERS(3, 3)), MINUTE(NUMBERS(3, 2) ",\"source\":\"local\"")},
     LOGTOOL_CLEAN,
     0},
    {"other windows are others",
     {MINUTE(NUMBERS(3, 3)), WINDOW("minute", "\"start\":1795914060," NUMBERS(3, 3)),
      WINDOW("hour", "\"start\":" T0 "," NUMBERS(3, 3))},
     LOGTOOL_CLEAN,
     0},
    {"a reset begins anew",
     {MINUTE(NUMBERS(3, 3)), ",\"event\":\"reset\",\"subject\":\"s\",\"quota\":\"q\"}",
      MINUTE(NUMBERS(3, 3))},
     LOGTOOL_CLEAN,
     0},
    {"and no more than once",
     {MINUTE(NUMBERS(3, 3)), ",\"event\":\"reset\",\"subject\":\"s\",\"quota\":\"q\"}",
      MINUTE(NUMBERS(4, 3))},
     LOGTOOL_EXCESS,
     1},
    {"a reset of somebody else",
     {MINUTE(NUMBERS(3, 3)), ",\"event\":\"reset\",\"subject\":\"t\",\"quota\":\"q\"}",
      MINUTE(NUMBERS(3, 3))},
     LOGTOOL_EXCESS,
     3},
    {"a reset of another quota",
     {MINUTE(NUMBERS(3, 3)), ",\"event\":\"reset\",\"subject\":\"s\",\"quota\":\"p\"}",
      MINUTE(NUMBERS(3, 3))},
     LOGTOOL_EXCESS,
     3},
    {"a bucket of unknown size is not judged",
     {WINDOW("minute", "\"start\":1795914001," NUMBERS(9, 3))},
     LOGTOOL_CLEAN,
     0},
    {"given back behind the window's end: nobody knows",
     {WINDOW("second", "\"start\":" T0 "," NUMBERS(3, 3)),
      WINDOW("second", "\"start\":" T0 "," NUMBERS(1, 3) ",\"refunded\":1")},
     LOGTOOL_CLEAN,
     0},
    {"slots within the limit",
     {WINDOW("in_flight", "\"charged\":1,\"used\":3,\"limit\":3")},
     LOGTOOL_CLEAN,
     0},
    {"slots above it",
     {WINDOW("in_flight", "\"charged\":1,\"used\":4,\"limit\":3")},
     LOGTOOL_EXCESS,
     0},
    {"no line, no proof", {NULL}, LOGTOOL_NOTHING, 0},
    {"dropped before the first line that is there",
     {",\"event\":\"dropped\",\"n\":400,\"from_seq\":100}", MINUTE(NUMBERS(1, 3))},
     LOGTOOL_INCOMPLETE,
     0},
    {"nothing dropped",
     {",\"event\":\"dropped\",\"n\":0,\"from_seq\":100}", MINUTE(NUMBERS(1, 3))},
     LOGTOOL_CLEAN,
     0},
    {"a line that is cut may lack charges",
     {",\"cut\":true" MINUTE(NUMBERS(1, 3))},
     LOGTOOL_INCOMPLETE,
     0},
    {"or all of them", {",\"cut\":true,\"decision\":\"allow\"}"}, LOGTOOL_INCOMPLETE, 0},
    {"unless it says that it does not",
     {",\"cut\":true,\"charges_whole\":true" MINUTE(NUMBERS(1, 3))},
     LOGTOOL_CLEAN,
     0},
    {"or nothing was decided", {",\"cut\":true,\"decision\":\"none\"}"}, LOGTOOL_CLEAN, 0},
    {"an excess stays one in a line that is cut",
     {",\"cut\":true" MINUTE(NUMBERS(4, 3))},
     LOGTOOL_EXCESS,
     1},
    {"a reset as late as clocks may differ",
     {WINDOW("second", "\"start\":" T0 "," NUMBERS(3, 3)),
      WINDOW("second", "\"start\":" T0 "," NUMBERS(3, 3)),
      ",\"event\":\"reset\",\"subject\":\"s\",\"quota\":\"q\"}"},
     LOGTOOL_CLEAN,
     0},
    {"and one that is later",
     {WINDOW("second", "\"start\":" T0 "," NUMBERS(3, 3)),
      WINDOW("second", "\"start\":" T0 "," NUMBERS(3, 3)), ",\"decision\":\"none\"}",
      ",\"event\":\"reset\",\"subject\":\"s\",\"quota\":\"q\"}"},
     LOGTOOL_EXCESS,
     3},
    {"a reset as early as clocks may differ",
     {",\"event\":\"reset\",\"subject\":\"s\",\"quota\":\"q\"}",
      WINDOW("second", "\"start\":1795914003," NUMBERS(6, 3))},
     LOGTOOL_CLEAN,
     0},
    {"and one that is earlier",
     {",\"event\":\"reset\",\"subject\":\"s\",\"quota\":\"q\"}",
      WINDOW("second", "\"start\":1795914004," NUMBERS(6, 3))},
     LOGTOOL_EXCESS,
     3},
    {"what a quota in shadow was told to add has no window",
     {WINDOW("minute", "\"charged\":0,\"added\":1,\"mode\":\"shadow\""), MINUTE(NUMBERS(4, 3))},
     LOGTOOL_EXCESS,
     1},
};

/* Numbers that no request can have, and what was charged to a window that is not there. */
static void test_refused_windows(void **state)
{
    static const struct {
        const char *line;
        bool is_read;
    } rows[] = {
        {MINUTE(NUMBERS(2147483647, 3)), true},
        {MINUTE(NUMBERS(2147483648, 3)), false},
        {MINUTE(NUMBERS(9007199254740992, 3)), false},
        {MINUTE(NUMBERS(1, 3) ",\"added\":2147483647,\"refunded\":2147483647"), true},
        {MINUTE(NUMBERS(1, 3) ",\"added\":2147483648"), false},
        {MINUTE(NUMBERS(1, 3) ",\"refunded\":2147483648"), false},
        {WINDOW("minute", "\"charged\":0"), true},
        {WINDOW("minute", "\"charged\":1"), false},
        {WINDOW("minute", "\"charged\":0,\"added\":1"), false},
        {WINDOW("minute", "\"charged\":0,\"added\":1,\"mode\":\"shadow\""), true},
    };
    struct logtool_line *line = malloc(sizeof(*line));
    (void)state;
    assert_non_null(line);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[1024];
        const char *why;
        int len = snprintf(text, sizeof(text), HEAD, 1, 1);
        strcpy(text + len, rows[i].line);
        if (logtool_line_parse(line, span_of(text), &why) != rows[i].is_read)
            fail_msg("%s", text);
    }
    free(line);
}

static void test_verdicts(void **state)
{
    struct logtool_verify *verify = malloc(sizeof(*verify));
    struct logtool_line *line = malloc(sizeof(*line));
    (void)state;
    assert_non_null(verify);
    assert_non_null(line);
    for (size_t i = 0; i < COUNT(ROWS); i++) {
        struct logtool_reading reading = {0};
        enum logtool_verdict verdict;
        assert_int_equal(logtool_verify_init(verify, NULL), ERR_OK);
        for (int k = 0; k < 5 && ROWS[i].lines[k] != NULL; k++) {
            char text[1024];
            const char *why;
            int len = snprintf(text, sizeof(text), HEAD, k + 1, k + 1);
            strcpy(text + len, ROWS[i].lines[k]);
            if (!logtool_line_parse(line, span_of(text), &why))
                fail_msg("%s: %s", text, why);
            assert_int_equal(logtool_verify_take(verify, line), ERR_OK);
            reading.lines++;
        }
        assert_int_equal(logtool_verify_judge(verify, &reading, &verdict), ERR_OK);
        if (verdict != ROWS[i].want ||
            (ROWS[i].over != 0 &&
             verify->excess[0].book.kept - verify->excess[0].allowed != ROWS[i].over))
            fail_msg("%s: verdict %d", ROWS[i].name, verdict);
        logtool_verify_fini(verify);
    }
    free(line);
    free(verify);
}

/* The worst excesses are kept, in order, however many there are. */
static void test_many_excesses(void **state)
{
    struct logtool_verify *verify = malloc(sizeof(*verify));
    struct logtool_line *line = malloc(sizeof(*line));
    const struct logtool_reading reading = {0};
    enum logtool_verdict verdict;
    (void)state;
    assert_non_null(verify);
    assert_non_null(line);
    assert_int_equal(logtool_verify_init(verify, NULL), ERR_OK);
    for (int i = 0; i < 200; i++) {
        char text[1024];
        const char *why;
        int over = i * 77 % 200 + 1; /* 1 to 200, shuffled */
        snprintf(text, sizeof(text),
                 HEAD
                 ",\"decision\":\"allow\",\"subjects\":{\"ip\":\"s%d\"},\"quotas\":[{\"q\":\"q\","
                 "\"w\":\"minute\",\"start\":" T0 ",\"charged\":%d,\"used\":1,\"limit\":3}]}",
                 i + 1, 1, i, 3 + over);
        assert_true(logtool_line_parse(line, span_of(text), &why));
        assert_int_equal(logtool_verify_take(verify, line), ERR_OK);
    }
    assert_int_equal(logtool_verify_judge(verify, &reading, &verdict), ERR_OK);
    assert_int_equal(verify->excess_count, 200);
    for (uint64_t i = 0; i < LOGTOOL_EXCESS_SHOWN; i++)
        assert_int_equal(verify->excess[i].book.kept - verify->excess[i].allowed, 200 - i);
    logtool_verify_fini(verify);
    free(line);
    free(verify);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_refused_windows),
        cmocka_unit_test(test_many_excesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
