/* SPDX-License-Identifier: Apache-2.0 */
/* main_sandbox.c - see main_sandbox.h.  The calls are rows of main_sandbox.def (main_sandbox_filter.c). */
#include "main/main_sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "main/main_sandbox_filter.h"

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

bool main_sandbox_set_effective(bool is_in_effect)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &head, sets) != 0)
        return false;
    for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
        sets[i].effective = is_in_effect ? sets[i].permitted : 0;
    return syscall(SYS_capset, &head, sets) == 0;
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
    int failed = main_sandbox_filter_load();
    if (failed != 0) {
        fault = "a filter of system calls";
        error = -failed;
    }
    errno = error;
    return fault;
}
