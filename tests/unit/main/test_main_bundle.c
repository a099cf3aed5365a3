/* SPDX-License-Identifier: Apache-2.0 */
/* test_main_bundle.c - files of a configuration: reading, finding secrets, sending all of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "main/main_bundle.h"

struct fixture {
    char folder[64], path[96];
};

static void write_file(const char *folder, const char *name, const char *text, size_t len)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    snprintf(f->folder, sizeof(f->folder), "/tmp/sluice-test-bundle-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof(f->path), "%s/c.json", f->folder);
    write_file(f->folder, "c.json", "{}\0x", 4);
    unsetenv("CREDENTIALS_DIRECTORY");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", f->folder);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static void test_read(void **state)
{
    struct fixture *f = *state;
    struct main_bundle bundle;
    char why[256];
    assert_true(main_bundle_read(&bundle, f->path, why));
    assert_int_equal(bundle.count, 1);
    assert_string_equal(bundle.files[0].name.ptr, f->path);
    assert_int_equal(bundle.files[0].text.len, 4);
    assert_memory_equal(bundle.files[0].text.ptr, "{}\0x", 4);
    uint64_t hash = main_bundle_hash(&bundle);
    main_bundle_fini(&bundle);
    write_file(f->folder, "c.json", "{}\0y", 4);
    assert_true(main_bundle_read(&bundle, f->path, why));
    assert_true(main_bundle_hash(&bundle) != hash);
    main_bundle_fini(&bundle);
    main_bundle_fini(&bundle);
}

static void test_what_is_no_file(void **state)
{
    struct fixture *f = *state;
    struct main_bundle bundle;
    char why[256], path[128];
    static const struct {
        const char *name, *fault;
    } rows[] = {{"none.json", "No such file"}, {".", "directory"}, {"c.json/x", "Not a directory"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", f->folder, rows[i].name);
        assert_false(main_bundle_read(&bundle, path, why));
        assert_non_null(strstr(why, rows[i].fault));
        main_bundle_fini(&bundle);
    }
    /* A pipe that nobody writes to is empty, not waited for; an endless file is refused. */
    snprintf(path, sizeof(path), "%s/pipe", f->folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    if (main_bundle_read(&bundle, path, why))
        assert_int_equal(bundle.files[0].text.len, 0);
    main_bundle_fini(&bundle);
    assert_false(main_bundle_read(&bundle, "/dev/zero", why));
    assert_non_null(strstr(why, "large"));
    main_bundle_fini(&bundle);
}

static void test_secrets(void **state)
{
    struct fixture *f = *state;
    struct main_bundle bundle;
    struct span text, again;
    char why[256], folder[128], absolute[128];
    write_file(f->folder, "key", "beside\n", 7);
    snprintf(folder, sizeof(folder), "%s/credentials", f->folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    write_file(folder, "key", "given", 5);
    snprintf(absolute, sizeof(absolute), "%s/key", f->folder);
    assert_true(main_bundle_read(&bundle, f->path, why));

    assert_true(main_bundle_fetch(&bundle, SPAN("key"), &text, why));
    assert_true(span_eq(text, SPAN("beside\n")));
    write_file(f->folder, "key", "changed", 7);
    assert_true(main_bundle_fetch(&bundle, SPAN("key"), &again, why));
    assert_ptr_equal(text.ptr, again.ptr); /* a bundle is one moment's */
    assert_true(main_bundle_fetch(&bundle, span_of(absolute), &text, why));
    assert_true(span_eq(text, SPAN("changed")));
    assert_false(main_bundle_fetch(&bundle, SPAN("none"), &text, why));
    assert_non_null(strstr(why, "No such file"));
    assert_false(main_bundle_fetch(&bundle, (struct span){"key\0", 4}, &text, why));
    main_bundle_fini(&bundle);

    setenv("CREDENTIALS_DIRECTORY", folder, 1);
    assert_true(main_bundle_read(&bundle, f->path, why));
    assert_true(main_bundle_fetch(&bundle, SPAN("key"), &text, why));
    assert_true(span_eq(text, SPAN("given")));
    main_bundle_fini(&bundle);
}

static void test_sending(void **state)
{
    struct fixture *f = *state;
    struct main_bundle bundle, copy;
    struct span text;
    char why[256];
    write_file(f->folder, "key", "", 0);
    assert_true(main_bundle_read(&bundle, f->path, why));
    assert_true(main_bundle_fetch(&bundle, SPAN("key"), &text, why));
    int fd = main_bundle_pack(&bundle);
    assert_true(fd >= 0);
    unlink(f->path);
    assert_int_equal(main_bundle_unpack(&copy, fd), ERR_OK);
    assert_int_equal(copy.count, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(span_eq(copy.files[i].name, bundle.files[i].name));
        assert_true(span_eq(copy.files[i].text, bundle.files[i].text));
    }
    assert_true(main_bundle_fetch(&copy, SPAN("key"), &text, why));
    write_file(f->folder, "other", "x", 1);
    assert_false(main_bundle_fetch(&copy, SPAN("other"), &text, why)); /* the child opens nothing */
    main_bundle_fini(&copy);
    /* Cut short at every place: the whole, a part with the first file, or an error; never more. */
    off_t len = lseek(fd, 0, SEEK_END);
    for (off_t cut = len - 1; cut >= 0; cut--) {
        assert_int_equal(ftruncate(fd, cut), 0);
        if (main_bundle_unpack(&copy, fd) == ERR_OK)
            assert_int_equal(copy.count, 1);
        main_bundle_fini(&copy);
    }
    close(fd);
    main_bundle_fini(&bundle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_secrets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sending, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
