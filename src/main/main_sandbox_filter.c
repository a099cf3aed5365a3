/* SPDX-License-Identifier: Apache-2.0 */
/* main_sandbox_filter.c - see main_sandbox_filter.h.  The program stands here as the kernel takes it: libseccomp would put the same
 * together from a thousand allocations, and crashes when one of them fails.  Its names of calls are used, which exist for every
 * architecture; a call that this one lacks has a number that never occurs. */
#include "main/main_sandbox_filter.h"

#include <endian.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#if defined(__x86_64__)
#define FILTER_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define FILTER_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define FILTER_ARCH AUDIT_ARCH_RISCV64
#else
#error "AUDIT_ARCH_ of this architecture is not known here"
#endif

#if __BYTE_ORDER == __LITTLE_ENDIAN
#define FILTER_LOW  0
#define FILTER_HIGH 4
#else
#define FILTER_LOW  4
#define FILTER_HIGH 0
#endif

#define FILTER_DENY      (SECCOMP_RET_ERRNO | EPERM)
#define FILTER_LOAD(at)  BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (at))
#define FILTER_ARG(n)    ((unsigned)offsetof(struct seccomp_data, args) + 8 * (n))
#define FILTER_RETURN(v) BPF_STMT(BPF_RET | BPF_K, (v))
/* Goes on when it is equal, else behind so many. */
#define FILTER_UNLESS(value, skipped)                                                              \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(value), 0, (skipped))
#define FILTER_ROW(name, verdict) FILTER_UNLESS(SCMP_SYS(name), 1), FILTER_RETURN(verdict)

static const struct sock_filter FILTER[] = {
    FILTER_LOAD(offsetof(struct seccomp_data, arch)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FILTER_ARCH, 1, 0),
    FILTER_RETURN(SECCOMP_RET_KILL_PROCESS),
    FILTER_LOAD(offsetof(struct seccomp_data, nr)),
#define ALLOW(name) FILTER_ROW(name, SECCOMP_RET_ALLOW),
#define KILL(name)  FILTER_ROW(name, SECCOMP_RET_KILL_PROCESS),
#include "main/main_sandbox.def"
#undef ALLOW
#undef KILL
    /* Its arguments stand in memory, where a filter cannot look: the C library uses clone(2) then. */
    FILTER_ROW(clone3, SECCOMP_RET_ERRNO | ENOSYS),
    /* A thread, not a process. */
    FILTER_UNLESS(SCMP_SYS(clone), 4),
    FILTER_LOAD(FILTER_ARG(0) + FILTER_LOW),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1),
    FILTER_RETURN(SECCOMP_RET_ALLOW),
    FILTER_RETURN(FILTER_DENY),
    /* Limits are read, not set; those of no other process. */
    FILTER_UNLESS(SCMP_SYS(prlimit64), 10),
    FILTER_LOAD(FILTER_ARG(0) + FILTER_LOW),
    FILTER_UNLESS(0, 7),
    FILTER_LOAD(FILTER_ARG(0) + FILTER_HIGH),
    FILTER_UNLESS(0, 5),
    FILTER_LOAD(FILTER_ARG(2) + FILTER_LOW),
    FILTER_UNLESS(0, 3),
    FILTER_LOAD(FILTER_ARG(2) + FILTER_HIGH),
    FILTER_UNLESS(0, 1),
    FILTER_RETURN(SECCOMP_RET_ALLOW),
    FILTER_RETURN(FILTER_DENY),
    /* Signals to its own threads alone, as raise(3) sends one. */
    FILTER_UNLESS(SCMP_SYS(tgkill), 3),
    FILTER_LOAD(FILTER_ARG(0) + FILTER_LOW),
    FILTER_UNLESS(0, 1), /* FILTER_PID_ROW */
    FILTER_RETURN(SECCOMP_RET_ALLOW),
    FILTER_RETURN(FILTER_DENY),
};
#define FILTER_ROWS    (sizeof(FILTER) / sizeof(FILTER[0]))
#define FILTER_PID_ROW (FILTER_ROWS - 3)

int main_sandbox_filter_load(void)
{
    struct sock_filter filter[FILTER_ROWS]; /* which the kernel copies */
    memcpy(filter, FILTER, sizeof(FILTER));
    filter[FILTER_PID_ROW].k = (uint32_t)getpid();
    const struct sock_fprog program = {.len = FILTER_ROWS, .filter = filter};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0 ? 0 : -errno;
}
