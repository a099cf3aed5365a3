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
#include "plan/plan_bench.h"

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

#define AT(time, boot, seq, rest)                                                                  \
    "{\"v\":1,\"boot\":\"" boot "\",\"seq\":" #seq ",\"ts\":\"2026-11-29T" time ".000Z\"" rest
#define SPENT(charged, limit)                                                                      \
    WINDOW("minute", "\"start\":1795914001,\"charged\":" #charged ",\"used\":1,\"limit\":" #limit)
#define COUNTED(charged) MINUTE(NUMBERS(charged, 5))
#define RESET            ",\"event\":\"reset\",\"subject\":\"s\",\"quota\":\"q\"}"
#define GRANT_TO(subject, extra, for_s)                                                            \
    ",\"event\":\"grant\",\"subject\":\"" subject "\",\"quota\":\"q\",\"extra\":" #extra           \
    ",\"for_s\":" #for_s "}"
#define GRANT(extra, for_s) GRANT_TO("s", extra, for_s)
#define TAKEOVER(from)      ",\"event\":\"takeover\",\"from_pid\":7,\"from_boot\":\"" from "\"}"
#define START(previous, seq, more)                                                                 \
    ",\"event\":\"start\",\"previous_boot\":\"" previous "\",\"previous_seq\":" #seq more "}"
#define STOPPED ",\"previous\":\"stopped\""
#define KILLED  ",\"previous\":\"killed\""
#define NOW     "01:00:01"

#define SMALL   "'limits': {'minute': 3}, 'algorithm': 'token_bucket'"
#define LARGE   "'limits': {'minute': 3}, 'algorithm': 'token_bucket', 'burst': 8"
#define NARROW  "'limits': {'minute': 60}, 'algorithm': 'token_bucket', 'burst': 1"
#define FIXED   "'limits': {'minute': 3}"
#define FIVE    "'limits': {'minute': 5}"
#define KEPT    ", 'state_file': '/tmp/state'"

/* What only a configuration tells: how large a bucket is, and who counts in one memory. */
struct planned_row {
    const char *name, *quota, *store;
    const char *lines[6];
    enum logtool_verdict want;
    uint64_t over; /* of the worst */
};

static const struct planned_row PLANNED[] = {
    {"a full bucket and a period", SMALL, "", {AT(NOW, "a", 1, SPENT(6, 3))}, LOGTOOL_CLEAN, 0},
    {"and one more", SMALL, "", {AT(NOW, "a", 1, SPENT(7, 3))}, LOGTOOL_EXCESS, 1},
    {"a bucket larger than its limit",
     LARGE,
     "",
     {AT(NOW, "a", 1, SPENT(11, 3))},
     LOGTOOL_CLEAN,
     0},
    {"and one more", LARGE, "", {AT(NOW, "a", 1, SPENT(12, 3))}, LOGTOOL_EXCESS, 1},
    {"a bucket smaller than its limit",
     NARROW,
     "",
     {AT(NOW, "a", 1, SPENT(61, 60))},
     LOGTOOL_CLEAN,
     0},
    {"and one more", NARROW, "", {AT(NOW, "a", 1, SPENT(62, 60))}, LOGTOOL_EXCESS, 1},
    {"a reset fills the bucket",
     LARGE,
     "",
     {AT(NOW, "a", 1, SPENT(11, 3)), AT(NOW, "a", 2, RESET), AT(NOW, "a", 3, SPENT(8, 3))},
     LOGTOOL_CLEAN,
     0},
    {"and no more",
     LARGE,
     "",
     {AT(NOW, "a", 1, SPENT(11, 3)), AT(NOW, "a", 2, RESET), AT(NOW, "a", 3, SPENT(9, 3))},
     LOGTOOL_EXCESS,
     1},
    {"no more than a small bucket either",
     NARROW,
     "",
     {AT(NOW, "a", 1, SPENT(61, 60)), AT(NOW, "a", 2, RESET), AT(NOW, "a", 3, SPENT(2, 60))},
     LOGTOOL_EXCESS,
     1},
    {"a grant makes the bucket larger",
     SMALL,
     "",
     {AT(NOW, "a", 1, GRANT(10, 60)), AT(NOW, "a", 2, SPENT(16, 3))},
     LOGTOOL_CLEAN,
     0},
    {"and no larger than that",
     SMALL,
     "",
     {AT(NOW, "a", 1, GRANT(10, 60)), AT(NOW, "a", 2, SPENT(17, 3))},
     LOGTOOL_EXCESS,
     1},
    {"a grant that was in force when the period began",
     SMALL,
     "",
     {AT("00:00:00", "a", 1, GRANT(10, 3600)), AT(NOW, "a", 2, SPENT(16, 3))},
     LOGTOOL_CLEAN,
     0},
    {"as late as clocks may differ",
     SMALL,
     "",
     {AT("00:58:58", "a", 1, GRANT(10, 60)), AT(NOW, "a", 2, SPENT(16, 3))},
     LOGTOOL_CLEAN,
     0},
    {"and one that was over",
     SMALL,
     "",
     {AT("00:58:57", "a", 1, GRANT(10, 60)), AT(NOW, "a", 2, SPENT(7, 3))},
     LOGTOOL_EXCESS,
     1},
    {"and one of the next period",
     SMALL,
     "",
     {AT(NOW, "a", 1, SPENT(7, 3)), AT("01:01:03", "a", 2, GRANT(10, 60))},
     LOGTOOL_EXCESS,
     1},
    {"a grant to somebody else",
     SMALL,
     "",
     {AT(NOW, "a", 1, GRANT_TO("t", 10, 60)), AT(NOW, "a", 2, SPENT(7, 3))},
     LOGTOOL_EXCESS,
     1},
    {"a grant that was taken back, and another one",
     SMALL,
     "",
     {AT(NOW, "a", 1, GRANT(10, 60)), AT(NOW, "a", 2, GRANT(0, 60)), AT(NOW, "a", 3, GRANT(4, 60)),
      AT(NOW, "a", 4, SPENT(21, 3))},
     LOGTOOL_EXCESS,
     1},
    {"a reset fills what was granted too",
     SMALL,
     "",
     {AT(NOW, "a", 1, GRANT(10, 60)), AT(NOW, "a", 2, RESET), AT(NOW, "a", 3, SPENT(29, 3))},
     LOGTOOL_CLEAN,
     0},
    {"and no more",
     SMALL,
     "",
     {AT(NOW, "a", 1, GRANT(10, 60)), AT(NOW, "a", 2, RESET), AT(NOW, "a", 3, SPENT(30, 3))},
     LOGTOOL_EXCESS,
     1},
    {"the limit of a counted window has the grant in it",
     FIXED,
     "",
     {AT(NOW, "a", 1, GRANT(10, 60)), AT(NOW, "a", 2, MINUTE(NUMBERS(14, 13)))},
     LOGTOOL_EXCESS,
     1},
    {"two memories",
     FIVE,
     "",
     {AT(NOW, "a", 1, COUNTED(5)), AT(NOW, "b", 1, COUNTED(5))},
     LOGTOOL_CLEAN,
     0},
    {"an upgrade goes on counting",
     FIVE,
     "",
     {AT(NOW, "a", 1, COUNTED(5)), AT(NOW, "b", 1, TAKEOVER("a")), AT(NOW, "b", 2, COUNTED(5))},
     LOGTOOL_EXCESS,
     5},
    {"whichever file comes first",
     FIVE,
     "",
     {AT(NOW, "b", 2, COUNTED(5)), AT(NOW, "b", 1, TAKEOVER("a")), AT(NOW, "a", 1, COUNTED(5))},
     LOGTOOL_EXCESS,
     5},
    {"within the limit, and without a gap",
     FIVE,
     "",
     {AT(NOW, "a", 1, COUNTED(2)), AT(NOW, "b", 1, TAKEOVER("a")), AT(NOW, "b", 2, COUNTED(3)),
      AT(NOW, "a", 2, COUNTED(0))},
     LOGTOOL_CLEAN,
     0},
    {"an upgrade of an upgrade",
     FIVE,
     "",
     {AT(NOW, "c", 1, TAKEOVER("b")), AT(NOW, "c", 2, COUNTED(2)), AT(NOW, "b", 1, TAKEOVER("a")),
      AT(NOW, "b", 2, COUNTED(2)), AT(NOW, "a", 1, COUNTED(2))},
     LOGTOOL_EXCESS,
     1},
    {"an upgrade whose serving process dies",
     FIVE,
     "",
     {AT(NOW, "a", 1, COUNTED(2)), AT(NOW, "b", 1, TAKEOVER("a")), AT(NOW, "b", 2, COUNTED(2)),
      AT(NOW, "c", 1, START("b", 2, "")), AT(NOW, "c", 2, COUNTED(2))},
     LOGTOOL_EXCESS,
     1},
    {"an upgrade of who followed one that died",
     FIVE,
     "",
     {AT(NOW, "c", 1, TAKEOVER("b")), AT(NOW, "c", 2, COUNTED(2)),
      AT(NOW, "b", 1, START("a", 1, "")), AT(NOW, "b", 2, COUNTED(2)), AT(NOW, "a", 1, COUNTED(2))},
     LOGTOOL_EXCESS,
     1},
    {"one that died before it was in charge",
     FIVE,
     "",
     {AT(NOW, "c", 1, START("b", 1, "")), AT(NOW, "c", 2, TAKEOVER("a")),
      AT(NOW, "b", 1, COUNTED(2)), AT(NOW, "a", 1, COUNTED(2)), AT(NOW, "c", 3, COUNTED(2))},
     LOGTOOL_EXCESS,
     1},
    {"of whom there is no line",
     FIVE,
     "",
     {AT(NOW, "a", 1, COUNTED(5)), AT(NOW, "b", 1, TAKEOVER("x")), AT(NOW, "b", 2, COUNTED(5))},
     LOGTOOL_CLEAN,
     0},
    {"a restart begins anew",
     FIVE,
     "",
     {AT(NOW, "a", 1, COUNTED(5)), AT(NOW, "b", 1, START("a", 1, STOPPED)),
      AT(NOW, "b", 2, COUNTED(5))},
     LOGTOOL_CLEAN,
     0},
    {"but with a state file it goes on",
     FIVE,
     KEPT,
     {AT(NOW, "a", 1, COUNTED(5)), AT(NOW, "b", 1, START("a", 1, STOPPED)),
      AT(NOW, "b", 2, COUNTED(5))},
     LOGTOOL_EXCESS,
     5},
    {"unless it was killed: the file may be older",
     FIVE,
     KEPT,
     {AT(NOW, "a", 1, COUNTED(5)), AT(NOW, "b", 1, START("a", 1, KILLED)),
      AT(NOW, "b", 2, COUNTED(5))},
     LOGTOOL_INCOMPLETE,
     0},
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

static void take_text(struct logtool_verify *verify, struct logtool_line *line, const char *text)
{
    const char *why;
    if (!logtool_line_parse(line, span_of(text), &why))
        fail_msg("%s: %s", text, why);
    assert_int_equal(logtool_verify_take(verify, line), ERR_OK);
}

static void assert_verdict(struct logtool_verify *verify, const char *name, uint64_t lines,
                           enum logtool_verdict want, uint64_t over)
{
    const struct logtool_reading reading = {.lines = lines};
    enum logtool_verdict verdict;
    assert_int_equal(logtool_verify_judge(verify, &reading, &verdict), ERR_OK);
    if (verdict != want ||
        (over != 0 && verify->excess[0].book.kept - verify->excess[0].allowed != over))
        fail_msg("%s: verdict %d", name, verdict);
}

static void test_verdicts(void **state)
{
    struct logtool_verify *verify = malloc(sizeof(*verify));
    struct logtool_line *line = malloc(sizeof(*line));
    (void)state;
    assert_non_null(verify);
    assert_non_null(line);
    for (size_t i = 0; i < COUNT(ROWS); i++) {
        int k = 0;
        assert_int_equal(logtool_verify_init(verify, NULL), ERR_OK);
        for (; k < 5 && ROWS[i].lines[k] != NULL; k++) {
            char text[1024];
            int len = snprintf(text, sizeof(text), HEAD, k + 1, k + 1);
            strcpy(text + len, ROWS[i].lines[k]);
            take_text(verify, line, text);
        }
        assert_verdict(verify, ROWS[i].name, (uint64_t)k, ROWS[i].want, ROWS[i].over);
        logtool_verify_fini(verify);
    }
    free(line);
    free(verify);
}

static struct plan *plan_of(const struct planned_row *row)
{
    char text[1024];
    snprintf(text, sizeof(text),
             "{'listen': [{'address': '127.0.0.1:8080'}], 'store': {'type': 'memory'%s},"
             " 'quotas': {'q': {'key': ['ip'], %s}},"
             " 'routes': [{'prefix': '/', 'quotas': ['q'], 'respond': {'text': 'x'}}]}",
             row->store, row->quota);
    return bench_plan(bench_text(text));
}

static void test_verdicts_by_a_plan(void **state)
{
    struct logtool_verify *verify = malloc(sizeof(*verify));
    struct logtool_line *line = malloc(sizeof(*line));
    (void)state;
    assert_non_null(verify);
    assert_non_null(line);
    for (size_t i = 0; i < COUNT(PLANNED); i++) {
        struct plan *plan = plan_of(&PLANNED[i]);
        int k = 0;
        assert_int_equal(logtool_verify_init(verify, plan), ERR_OK);
        for (; k < 6 && PLANNED[i].lines[k] != NULL; k++)
            take_text(verify, line, PLANNED[i].lines[k]);
        assert_verdict(verify, PLANNED[i].name, (uint64_t)k, PLANNED[i].want, PLANNED[i].over);
        logtool_verify_fini(verify);
        plan_unref(&plan);
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
        cmocka_unit_test(test_verdicts_by_a_plan),
        cmocka_unit_test(test_refused_windows),
        cmocka_unit_test(test_many_excesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
