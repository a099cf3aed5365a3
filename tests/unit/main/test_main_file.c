/* SPDX-License-Identifier: Apache-2.0 */
/* test_main_file - the file that is the same, another, gone, and one that was written again in the blink of an eye. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "main/main_bundle.h"
#include "main/main_file.h"

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static uint64_t hash_of(const char *path)
{
    struct main_bundle bundle;
    char why[256];
    assert_true(main_bundle_read(&bundle, path, why));
    uint64_t hash = main_bundle_hash(&bundle);
    main_bundle_fini(&bundle);
    return hash;
}

static void look(struct main_file *file, const char *path, bool is_changed, bool is_stale)
{
    assert_int_equal(main_file_look(file, path), is_changed);
    assert_int_equal(file->is_stale, is_stale);
    assert_true(file->at_us != 0);
}

static void test_look(void **state)
{
    char path[] = "/tmp/test_main_file_XXXXXX", other[sizeof(path) + 4];
    struct main_file file = {0};
    (void)state;
    assert_true(close(mkstemp(path)) == 0);
    put(path, "one");
    file.running = hash_of(path);
    look(&file, path, false, false);
    look(&file, path, false, false);
    put(path, "two"); /* as long as before, and perhaps within the same tick of the clock */
    look(&file, path, true, true);
    look(&file, path, false, true);
    put(path, "one");
    look(&file, path, true, false);
    /* Another file in its place. */
    snprintf(other, sizeof(other), "%s.new", path);
    put(other, "six");
    assert_int_equal(rename(other, path), 0);
    look(&file, path, true, true);
    file.running = hash_of(path);
    look(&file, path, true, false);
    assert_int_equal(unlink(path), 0);
    look(&file, path, true, true);
    look(&file, path, false, true);
    assert_int_equal(mkdir(path, 0700), 0);
    look(&file, path, false, true);
    assert_int_equal(rmdir(path), 0);
    put(path, "six");
    look(&file, path, true, false);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_look)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
