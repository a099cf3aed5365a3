/* SPDX-License-Identifier: Apache-2.0 */
/* Who "user" is, and that who has become it cannot be root again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "main/main_user.h"

static const struct {
    const char *text, *fault; /* how the sentence begins; NULL: found */
    uid_t uid;
    gid_t gid;
    bool has_group;
} FOUND[] = {
    {"", NULL, 0, 0, false},
    {"root", NULL, 0, 0, false},
    {"root:root", NULL, 0, 0, true},
    {"daemon", NULL, 1, 1, false},
    {"daemon:root", NULL, 1, 0, true},
    {"1", NULL, 1, 1, false},
    {"1:0", NULL, 1, 0, true},
    {"54321:54322", NULL, 54321, 54322, true},
    {"daemon:54322", NULL, 1, 54322, true},
    {"54321", "user 54321 has no entry in passwd, so a group is needed", 0, 0, false},
    {"no-such-user", "there is no user \"no-such-user\"", 0, 0, false},
    {"no-such-user:root", "there is no user \"no-such-user\"", 0, 0, false},
    {"daemon:no-such-group", "there is no group \"no-such-group\"", 0, 0, false},
    {"4294967295:1", "there is no user \"4294967295\"", 0, 0, false}, /* no user, but -1 */
    {"-1:1", "there is no user \"-1\"", 0, 0, false},
};

static void test_find(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(FOUND) / sizeof(FOUND[0]); i++) {
        struct main_user user;
        char why[512] = "";
        const char *fault = main_user_find(&user, span_of(FOUND[i].text), true, why);
        if (FOUND[i].fault != NULL) {
            assert_non_null(fault);
            assert_memory_equal(fault, FOUND[i].fault, strlen(FOUND[i].fault));
            continue;
        }
        assert_null(fault);
        assert_string_equal(user.name, FOUND[i].text);
        assert_int_equal(user.uid, FOUND[i].uid);
        assert_int_equal(user.gid, FOUND[i].gid);
        assert_int_equal(user.has_group, FOUND[i].has_group);
        assert_int_equal(user.is_other, geteuid() == 0 && FOUND[i].uid != 0);
    }
}

static int become(void)
{
    struct main_user user;
    char why[512];
    if (main_user_find(&user, SPAN("daemon:root"), true, why) != NULL ||
        main_user_prepare(&user, why) != NULL)
        return 1;
    main_user_assume(&user);
    if (geteuid() != 1 || getegid() != 0 || getuid() != 0)
        return 2;
    main_user_resume(&user);
    if (geteuid() != 0 || !main_user_become(&user, false))
        return 3;
    return getuid() != 1 || geteuid() != 1 || getgid() != 0 || seteuid(0) == 0 || setuid(0) == 0;
}

/* A process of its own each, as there is no way back. */
static void test_become(void **state)
{
    int status = 0;
    (void)state;
    if (geteuid() != 0)
        skip();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(become());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* A child that only seems to have changed must not serve: its effective user is the wanted one, its saved one is root. */
static int become_by_half(void)
{
    struct main_user user = {.uid = 1, .gid = 1, .is_other = true};
    return seteuid(1) != 0 ? 1 : main_user_become(&user, false) ? 2 : 0;
}

static void test_become_by_half(void **state)
{
    int status = 0;
    (void)state;
    if (geteuid() != 0)
        skip();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(become_by_half());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_become),
        cmocka_unit_test(test_become_by_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
