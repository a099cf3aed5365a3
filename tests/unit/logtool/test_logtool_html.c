/* SPDX-License-Identifier: Apache-2.0 */
/* test_logtool_html - a value never becomes markup, and each is put where its mark stands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "logtool/logtool_html.h"
#include "logtool/logtool_show.h"

static void show_value(FILE *out, const void *arg)
{
    HTML_PUT(out, "<b title=\"$\">", *(const struct logtool_html_value *)arg);
}

static void expect(struct logtool_html_value value, const char *text)
{
    char whole[256], *shown = logtool_show_whole(show_value, &value);
    snprintf(whole, sizeof(whole), "<b title=\"%s\">", text);
    assert_non_null(shown);
    assert_string_equal(shown, whole);
    free(shown);
}

static void test_texts(void **state)
{
    (void)state;
    expect(HTML_TEXT(SPAN("")), "");
    expect(HTML_TEXT(SPAN("<i a=\"b\" c='d'>&amp;")),
           "&lt;i a=&quot;b&quot; c=&#39;d&#39;&gt;&amp;amp;");
    expect(HTML_TEXT(SPAN("a$b%s")), "a$b%s");
    expect(HTML_TEXT(SPAN("\xc3\xa9\xf0\x9f\xa6\x80")), "\xc3\xa9\xf0\x9f\xa6\x80");
    expect(HTML_TEXT(SPAN("\xc3<\xff\0\n")), "\\xc3&lt;\\xff\\x00\\x0a");
    expect(HTML_TEXT(SPAN("\xc2\x9b\x1b[")), "\\xc2\\x9b\\x1b[");
}

static void test_numbers(void **state)
{
    (void)state;
    expect(HTML_NUMBER(0), "0");
    expect(HTML_NUMBER(999), "999");
    expect(HTML_NUMBER(1000), "1,000");
    expect(HTML_NUMBER(1234567), "1,234,567");
    expect(HTML_NUMBER(UINT64_MAX), "18,446,744,073,709,551,615");
    expect(HTML_PLACE(12.34), "12.3");
    expect(HTML_SHARE(0.5), "0.5 %");
    expect(HTML_TIME(950), "950 &#181;s");
    expect(HTML_TIME(12345), "12.3 ms");
    expect(HTML_TIME(1250000), "1.25 s");
    expect(HTML_SECOND(1795914000), "2026-11-29 01:00:00");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
