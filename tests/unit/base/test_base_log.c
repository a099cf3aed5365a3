/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_log.c - lines are clean, whole and folded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define SLUICE_MODULE "here"
#include "base/base_fmt.h"
#include "base/base_log.h"

struct heard {
    unsigned lines;
    enum log_level level;
    size_t len;
    char last[LOG_LINE_MAX + 1];
};

static void hear(void *arg, enum log_level level, const char *line, size_t len)
{
    struct heard *heard = arg;
    heard->lines++;
    heard->level = level;
    heard->len = len;
    assert_in_range(len, 1, LOG_LINE_MAX);
    memcpy(heard->last, line, len);
    heard->last[len] = '\0';
    assert_int_equal(line[len - 1], '\n');
    assert_null(memchr(line, '\n', len - 1));
}

static int listen_in(void **state)
{
    static struct heard heard;
    heard = (struct heard){0};
    log_set_sink(hear, &heard);
    log_set_level(LOG_LEVEL_DEBUG);
    *state = &heard;
    return 0;
}

/* The line without its time. */
static const char *said(const struct heard *heard)
{
    assert_true(heard->len > FMT_RFC3339_MAX + 1);
    assert_int_equal(heard->last[FMT_RFC3339_MAX - 1], 'Z');
    return heard->last + FMT_RFC3339_MAX + 1;
}

static void test_form(void **state)
{
    struct heard *heard = *state;
    errno = ENOENT;
    log_warn("server %s is down", "a");
    assert_int_equal(errno, ENOENT);
    assert_string_equal(said(heard), "warn  here: server a is down\n");
    assert_int_equal(heard->level, LOG_LEVEL_WARN);
    log_debug("x");
    assert_string_equal(said(heard), "debug here: x\n");
    log_info("x");
    assert_string_equal(said(heard), "info  here: x\n");
    log_error("%s", "");
    assert_string_equal(said(heard), "error here: \n");
}

static void test_level(void **state)
{
    struct heard *heard = *state;
    log_set_level(LOG_LEVEL_WARN);
    log_info("no");
    log_debug("no");
    assert_int_equal(heard->lines, 0);
    log_warn("yes");
    assert_int_equal(heard->lines, 1);
}

static void test_injection(void **state)
{
    struct heard *heard = *state;
    log_warn("%s", "a\n2026-11-22T14:02:11.482Z error main: fake\r\x1b[2J\t\x7f");
    assert_string_equal(
        said(heard),
        "warn  here: a\\x0a2026-11-22T14:02:11.482Z error main: fake\\x0d\\x1b[2J\\x09\\x7f\n");
    log_warn("%s", "\xff\xc3\xa9\xc2\x9b\xe2\x82");
    assert_string_equal(said(heard), "warn  here: \\xff\xc3\xa9\\xc2\\x9b\\xe2\\x82\n");
}

static void test_long_line_is_cut(void **state)
{
    struct heard *heard = *state;
    char text[3 * LOG_LINE_MAX];
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    log_warn("%s", text);
    assert_in_range(heard->len, LOG_LINE_MAX / 2, LOG_LINE_MAX);
    memset(text, 1, sizeof(text) - 1); /* every byte becomes four */
    log_warn("%s", text);
    assert_in_range(heard->len, LOG_LINE_MAX / 2, LOG_LINE_MAX);
    for (size_t i = 0; i + 2 < sizeof(text); i += 2) /* a cut never tears a character */
        memcpy(text + i, "\xc3\xa9", 2);
    log_warn("%s", text);
    assert_null(strstr(said(heard), "\\x"));
}

/* As if the site's 10 s had begun `us` earlier. */
static void age(struct log_site *site, unsigned long long us)
{
    atomic_store(&site->last_us, atomic_load(&site->last_us) - us);
}

static void test_repeats_are_folded(void **state)
{
    struct heard *heard = *state;
    static struct log_site site; /* sites are static: the log remembers them */
    for (unsigned i = 0; i < 100; i++)
        log_write(&site, LOG_LEVEL_WARN, "m", "again");
    assert_int_equal(heard->lines, 1);
    age(&site, LOG_FOLD_US);
    log_write(&site, LOG_LEVEL_WARN, "m", "again");
    assert_int_equal(heard->lines, 2);
    assert_string_equal(said(heard), "warn  m: again (99 like it not shown)\n");
    age(&site, LOG_FOLD_US);
    log_write(&site, LOG_LEVEL_WARN, "m", "again");
    assert_string_equal(said(heard), "warn  m: again\n");
}

static void test_different_lines_are_not_repeats(void **state)
{
    struct heard *heard = *state;
    static struct log_site site; /* sites are static: the log remembers them */
    for (int i = 0; i < 5; i++)
        log_write(&site, LOG_LEVEL_WARN, "m", "server %d", i);
    assert_int_equal(heard->lines, 5);
    log_write(&site, LOG_LEVEL_WARN, "m", "server 4");
    assert_int_equal(heard->lines, 5);
    log_write(&site, LOG_LEVEL_WARN, "m", "server 5");
    assert_int_equal(heard->lines, 6);
    assert_string_equal(said(heard), "warn  m: server 5 (1 like it not shown)\n");
}

static void test_a_flood_of_different_lines_is_folded(void **state)
{
    struct heard *heard = *state;
    static struct log_site site; /* sites are static: the log remembers them */
    for (int i = 0; i < 1000; i++)
        log_write(&site, LOG_LEVEL_WARN, "m", "from %d", i);
    assert_int_equal(heard->lines, LOG_SITE_BURST);
    age(&site, LOG_FOLD_US);
    log_write(&site, LOG_LEVEL_WARN, "m", "from 1000");
    assert_string_equal(said(heard), "warn  m: from 1000 (980 like it not shown)\n");
}

static void test_a_count_is_said_when_the_trouble_has_ended(void **state)
{
    struct heard *heard = *state;
    static struct log_site site, quiet;
    for (int i = 0; i < 3; i++)
        log_write(&site, LOG_LEVEL_ERROR, "m", "no room for %s", "x");
    log_write(&quiet, LOG_LEVEL_ERROR, "m", "once");
    heard->lines = 0;
    log_flush_folded();
    assert_int_equal(heard->lines, 0); /* more may come */
    age(&site, LOG_FOLD_US);
    age(&quiet, LOG_FOLD_US);
    log_flush_folded();
    assert_int_equal(heard->lines, 1);
    assert_string_equal(said(heard), "error m: no room for %s (2 like it not shown)\n");
    log_flush_folded();
    assert_int_equal(heard->lines, 1);
    log_write(&site, LOG_LEVEL_ERROR, "m", "no room for %s", "x");
    assert_string_equal(said(heard), "error m: no room for x\n");
}

static void test_without_a_site_nothing_is_folded(void **state)
{
    struct heard *heard = *state;
    for (int i = 0; i < 3; i++)
        log_write(NULL, LOG_LEVEL_ERROR, "m", "x");
    assert_int_equal(heard->lines, 3);
}

#define RACES   3000
#define RUNNERS 2

static atomic_uint heard_at_once, arrived;
static struct log_site raced[RACES];

static void count_lines(void *arg, enum log_level level, const char *line, size_t len)
{
    (void)arg, (void)level, (void)line, (void)len;
    atomic_fetch_add(&heard_at_once, 1);
}

static void *run_race(void *arg)
{
    for (unsigned i = 0; i < RACES; i++) {
        atomic_fetch_add(&arrived, 1);
        while (atomic_load(&arrived) <
               RUNNERS * (i + 1)) /* a barrier would wake one after the other */
            sched_yield();
        log_write(&raced[i], LOG_LEVEL_WARN, "m", "all at once");
    }
    return arg;
}

static void test_what_threads_say_at_once_is_said_once(void **state)
{
    pthread_t threads[RUNNERS];
    (void)state;
    log_set_sink(count_lines, NULL);
    for (unsigned i = 0; i < RUNNERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_race, NULL), 0);
    for (unsigned i = 0; i < RUNNERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&heard_at_once), RACES);
    for (unsigned i = 0; i < RACES; i++)
        assert_int_equal(atomic_load(&raced[i].folded), RUNNERS - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_form, listen_in),
        cmocka_unit_test_setup(test_level, listen_in),
        cmocka_unit_test_setup(test_injection, listen_in),
        cmocka_unit_test_setup(test_long_line_is_cut, listen_in),
        cmocka_unit_test_setup(test_repeats_are_folded, listen_in),
        cmocka_unit_test_setup(test_different_lines_are_not_repeats, listen_in),
        cmocka_unit_test_setup(test_a_flood_of_different_lines_is_folded, listen_in),
        cmocka_unit_test_setup(test_a_count_is_said_when_the_trouble_has_ended, listen_in),
        cmocka_unit_test_setup(test_without_a_site_nothing_is_folded, listen_in),
        cmocka_unit_test_setup(test_what_threads_say_at_once_is_said_once, listen_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
