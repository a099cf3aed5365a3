/* SPDX-License-Identifier: Apache-2.0 */
/* test_http_lines.c - the twins that read plain field lines: both must take the same lines, find the same in them, and
 * stop at the same byte, whatever stands there and wherever it is cut. */
#include "http/http_helpers.h"
#include "http/http_lines.h"

/* What either made of it. */
struct outcome {
    struct test_head t;
    size_t off;
};

static void read_by(struct outcome *o,
                    void (*read)(struct http_head *, const char *, size_t, size_t *, unsigned),
                    const char *buf, size_t stop, unsigned max)
{
    test_head_init(&o->t);
    o->off = 0;
    read(&o->t.head, buf, stop, &o->off, max);
}

/* Bytes that end where their allocation ends, so that a sanitizer sees the first one read past them. */
static unsigned compare(const char *text, size_t len, unsigned max)
{
    struct outcome a, b;
    char *buf = test_copy(text, len);
    read_by(&a, http_lines_read, buf, len, max);
    read_by(&b, http_lines_read_portable, buf, len, max);
    free(buf);
    assert_int_equal(a.off, b.off);
    assert_int_equal(a.t.head.field_count, b.t.head.field_count);
    assert_memory_equal(a.t.fields, b.t.fields, sizeof(a.t.fields));
    assert_memory_equal(a.t.head.first, b.t.head.first, sizeof(a.t.head.first));
    assert_true(a.t.head.present == b.t.head.present && a.t.head.repeated == b.t.head.repeated);
    return a.t.head.field_count;
}

static const char HEAD[] = "Host: a.test\r\nAccept: application/json, text/plain, */*\r\n"
                           "x: y\r\nX-A-Name-Of-Thirty-One-Letters-: z\r\n"
                           "X-A-Name-Of-Thirty-Two-Letters--: z\r\nCookie: a=b\r\ncookie:\r\n"
                           "ETag:  \"abc\"  \r\nDNT: 1\r\n\r\n";

static void test_every_cut(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof(HEAD); len++) {
        for (unsigned max = 0; max < 12; max++)
            (void)compare(HEAD, len, max);
    }
    assert_int_equal(compare(HEAD, 60, 12), 2);
}

/* Each byte at each place of a line that is surely looked at in one go, and of one that is not. */
static void test_every_byte(void **state)
{
    (void)state;
    static const char LINE[] = "X-Trace-Id: 0123456789abcdef0123456789abcdef0123456789abcdef\r\n";
    char text[2 * sizeof(LINE)];
    for (size_t at = 0; at < sizeof(LINE) - 1; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            memcpy(text, LINE, sizeof(LINE) - 1);
            memcpy(text + sizeof(LINE) - 1, LINE, sizeof(LINE) - 1);
            text[at] = (char)byte;
            (void)compare(text, 2 * (sizeof(LINE) - 1), 8);
            (void)compare(text, sizeof(LINE) - 1, 8);
        }
    }
}

/* A value of kilobytes, with something in it, in each of the strides that it is passed in. */
static void test_long_values(void **state)
{
    (void)state;
    enum {
        NAME = 14,
        LONG = 1500
    };
    static const unsigned char BYTES[] = {0, 9, 13, 31, 127, 128, 255, ' ', '~'};
    char *text = malloc(NAME + LONG + 4);
    assert_non_null(text);
    for (size_t len = LONG - 40; len <= LONG; len++) {
        memcpy(text, "X-Auth-Token: ", NAME);
        memset(text + NAME, 't', len);
        memcpy(text + NAME + len, "\r\n\r\n", 4);
        assert_int_equal(compare(text, NAME + len + 4, 8), 1);
        assert_int_equal(compare(text, NAME + len + 1, 8), 0);
    }
    for (size_t at = 0; at < LONG; at += at < 600 ? 1 : 7) {
        for (unsigned i = 0; i < sizeof(BYTES); i++) {
            memset(text + NAME, 't', LONG);
            text[NAME + at] = (char)BYTES[i];
            (void)compare(text, NAME + LONG + 4, 8);
        }
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_long_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
