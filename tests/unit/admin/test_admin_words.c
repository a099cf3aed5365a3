/* SPDX-License-Identifier: Apache-2.0 */
/* test_admin_words - what is printed of answers, and of what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "admin/admin_subject_text.h"
#include "admin/admin_summary.h"
#include "admin/admin_words.h"

static void put_all(FILE *out, const json_t *json, const void *arg)
{
    fprintf(out, "%s %s %" JSON_INTEGER_FORMAT " %" JSON_INTEGER_FORMAT " ", (const char *)arg,
            admin_words_text(json, "text"), admin_words_number(json, "number"),
            admin_words_number(json, "text"));
    admin_words_duration(out, admin_words_number(json, "number"));
}

static void assert_text(char *text, const char *expected)
{
    if (expected == NULL)
        assert_null(text);
    else
        assert_string_equal(text, expected);
    free(text);
}

static void test_words(void **state)
{
    static const struct {
        const char *answer, *text; /* NULL: there is none */
    } rows[] = {
        {"{}", "of  0 0 0s"},
        {"{\"text\":\"a b\",\"number\":59}", "of a b 59 0 59s"},
        {"{\"text\":7,\"number\":60}", "of  60 7 1m 0s"},
        {"{\"number\":3599}", "of  3599 0 59m 59s"},
        {"{\"number\":3600}", "of  3600 0 1h 0m"},
        {"{\"number\":86399}", "of  86399 0 23h 59m"},
        {"{\"number\":86400}", "of  86400 0 1d 0h"},
        {"", NULL},
        {"[]", NULL},
        {"{", NULL},
        {"{} {}", NULL},
        {"\"text\"", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_text(admin_words_of(span_of(rows[i].answer), put_all, "of"), rows[i].text);
}

static void test_reload(void **state)
{
    (void)state;
    assert_text(admin_summary_reload(SPAN("{\"applied\":true,\"generation\":2,\"changes\":\"\"}")),
                "reloaded: generation 2 is in force\nnothing changed\n");
    assert_text(
        admin_summary_reload(SPAN("{\"applied\":true,\"generation\":3,\"changes\":\"a key\\n\"}")),
        "reloaded: generation 3 is in force\na key\n");
    assert_text(admin_summary_reload(SPAN("{\"report\":\"line\",\"detail\":\"refused\"}")),
                "line\nrefused\n");
    assert_text(admin_summary_reload(SPAN("{\"report\":\"line\\n\",\"detail\":\"refused\"}")),
                "line\nrefused\n");
    assert_text(admin_summary_reload(SPAN("{\"detail\":\"refused\"}")), "refused\n");
    assert_text(admin_summary_reload(SPAN("refused")), NULL);
}

static void test_subjects(void **state)
{
    (void)state;
    assert_text(admin_subject_text(SPAN("{\"detail\":\"nothing is counted\"}")),
                "nothing is counted\n");
    /* What Redis says may stand in it: no terminal obeys that. */
    assert_text(admin_subject_text(SPAN("{\"detail\":\"-ERR \\u001b[2J\\u009b1m\\nx\"}")),
                "-ERR \\x1b[2J\\xc2\\x9b1m\nx\n");
    assert_text(admin_subject_text(SPAN("[]")), NULL);
    assert_text(admin_subject_text(SPAN(
                    "{\"subjects\":[{\"subject\":\"alice\",\"quota\":\"q\",\"identity\":\"user\","
                    "\"source\":\"basic_user\",\"store\":\"memory\",\"generation\":1,\"held\":2,"
                    "\"grant\":{\"extra\":3,\"expires_in_s\":60},\"windows\":[{\"w\":\"minute\","
                    "\"used\":1,\"limit\":5,\"remaining\":4,\"resets_in_s\":9}],"
                    "\"was\":[{\"used\":5,\"limit\":5}]}]}")),
                "alice  quota q  (identity user, basic_user)  in memory  reset 1 times\n"
                "  minute     5/5 -> 1/5  remaining 4  resets in 9s\n"
                "  held here  2 of what is used: leased, not spent\n"
                "  granted    +3 for 1m 0s\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_subjects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
