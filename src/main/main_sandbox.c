/* SPDX-License-Identifier: Apache-2.0 */
/* main_sandbox.c - see main_sandbox.h.  The calls are rows of main_sandbox.def. */
#include "main/main_sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct sandbox_row {
    int call;
    bool is_deadly;
};

static const struct sandbox_row SANDBOX_ROWS[] = {
#define ALLOW(name) {SCMP_SYS(name), false},
#define KILL(name)  {SCMP_SYS(name), true},
#include "main/main_sandbox.def"
#undef ALLOW
#undef KILL
};

bool main_sandbox_is_possible(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return false;
#else
    return true;
#endif
#else
    return true;
#endif
}

bool main_sandbox_drop_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0,
                0); /* kernels before 4.3 have none */
    return syscall(SYS_capset, &head, none) == 0;
}

/* What depends on arguments. */
static int sandbox_add_particular(scmp_filter_ctx filter)
{
    /* A thread, not a process. */
    int failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    /* Its arguments stand in memory, where a filter cannot look: the C library uses clone(2) then. */
    if (failed == 0)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    /* Limits are read, not set; those of no other process. */
    if (failed == 0)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2,
                                  SCMP_A0(SCMP_CMP_EQ, 0), SCMP_A2(SCMP_CMP_EQ, 0));
    return failed;
}

/* 0, or a negative errno. */
static int sandbox_load(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (filter == NULL)
        return -ENOMEM;
    int failed = 0;
    for (size_t i = 0; failed == 0 && i < sizeof(SANDBOX_ROWS) / sizeof(SANDBOX_ROWS[0]); i++)
        failed = seccomp_rule_add(
            filter, SANDBOX_ROWS[i].is_deadly ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ALLOW,
            SANDBOX_ROWS[i].call, 0);
    if (failed == 0)
        failed = sandbox_add_particular(filter);
    if (failed == 0)
        failed = seccomp_load(filter);
    seccomp_release(filter);
    return failed;
}

const char *main_sandbox_enter(void)
{
    const char *fault = NULL;
    int error = 0;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        fault = "no new privileges";
        error = errno;
    }
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        fault = "no core and no tracer";
        error = errno;
    }
    if (!main_sandbox_drop_capabilities()) {
        fault = "no capabilities";
        error = errno;
    }
    int failed = sandbox_load();
    if (failed != 0) {
        fault = "a filter of system calls";
        error = -failed;
    }
    errno = error;
    return fault;
}
