/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox, in processes of its own: what the service needs works, what only an intruder wants does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "main/main_sandbox.h"

/* What a process says by its exit code: errno of the call, 0 when it was done. */
static int told(long done)
{
    return done < 0 ? errno : 0;
}

static int try_execve(void)
{
    char word[] = "true", *const words[] = {word, NULL}, *const none[] = {NULL};
    return told(execve("/bin/true", words, none));
}
static int try_execveat(void)
{
    char word[] = "true", *const words[] = {word, NULL}, *const none[] = {NULL};
    return told(syscall(SYS_execveat, AT_FDCWD, "/bin/true", words, none, 0));
}
static int try_ptrace(void)
{
    return told(ptrace(PTRACE_ATTACH, getppid(), 0, 0));
}
static int try_peek(void)
{
    char byte;
    struct iovec own = {&byte, 1}, other = {&byte, 1};
    return told(process_vm_readv(getppid(), &own, 1, &other, 1, 0));
}
static int try_fork(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return told(pid);
}
static int try_unlink(void)
{
    return told(unlink("/nonexistent"));
}
static int try_rename(void)
{
    return told(rename("/nonexistent", "/nonexistent2"));
}
static int try_chmod(void)
{
    return told(chmod("/nonexistent", 0777));
}
static int try_mkdir(void)
{
    return told(mkdir("/nonexistent/x", 0777));
}
static int try_kill(void)
{
    return told(kill(getppid(), 0));
}
static int try_tgkill(void)
{
    return told(syscall(SYS_tgkill, getppid(), getppid(), 0));
}
static int try_raise(void)
{
    return told(raise(SIGURG)); /* which is ignored */
}
static int try_setuid(void)
{
    return told(syscall(SYS_setuid, 0));
}
static int try_mount(void)
{
    return told(syscall(SYS_mount, 0, 0, 0, 0, 0));
}
static int try_unshare(void)
{
    return told(syscall(SYS_unshare, 0));
}
static int try_limit(void)
{
    struct rlimit limit = {64, 64};
    return told(setrlimit(RLIMIT_NOFILE, &limit));
}
static int try_clone3(void)
{
    return told(syscall(SYS_clone3, NULL, 0));
}

/* What the service does. */
static void *thread_main(void *arg)
{
    return arg;
}
static int try_thread(void)
{
    pthread_t thread;
    int given = 0;
    void *result = NULL;
    int failed = pthread_create(&thread, NULL, thread_main, &given);
    return failed != 0 ? failed : pthread_join(thread, &result) != 0 || result != &given;
}
static int try_resolve(void)
{
    struct addrinfo *found = NULL;
    int failed = getaddrinfo("localhost", "80", NULL, &found);
    if (failed == 0)
        freeaddrinfo(found);
    return failed != 0;
}
static int try_socket(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    return fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) != 0 || listen(fd, 1) != 0 ||
           epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0;
}
static int try_log(void)
{
    char path[64];
    snprintf(path, sizeof(path), "/tmp/sluice-sandbox-%d", (int)getppid());
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    return fd < 0 ? errno : write(fd, "x", 1) != 1;
}

/* A line of /proc/self/status. */
static bool status_has(const char *line)
{
    char text[8192];
    FILE *file = fopen("/proc/self/status", "re");
    size_t len = file == NULL ? 0 : fread(text, 1, sizeof(text) - 1, file);
    text[len] = '\0';
    return strstr(text, line) != NULL;
}
static int try_status(void)
{
    static const char *const lines[] = {
        "\nSeccomp:\t2\n",
        "\nNoNewPrivs:\t1\n",
        "\nCapEff:\t0000000000000000\n",
        "\nCapPrm:\t0000000000000000\n",
        "\nCapInh:\t0000000000000000\n",
        "\nCapAmb:\t0000000000000000\n",
    };
    int missing = 0;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        missing += !status_has(lines[i]);
    return missing;
}

struct sandbox_case {
    const char *name;
    int (*attempt)(void);
    int exit_code, signal;
};
static const struct sandbox_case CASES[] = {
    {"execve", try_execve, 0, SIGSYS},   {"execveat", try_execveat, 0, SIGSYS},
    {"ptrace", try_ptrace, 0, SIGSYS},   {"process_vm_readv", try_peek, 0, SIGSYS},
    {"fork", try_fork, EPERM, 0},        {"unlink", try_unlink, EPERM, 0},
    {"rename", try_rename, EPERM, 0},    {"chmod", try_chmod, EPERM, 0},
    {"mkdir", try_mkdir, EPERM, 0},      {"kill", try_kill, EPERM, 0},
    {"setuid", try_setuid, EPERM, 0},    {"mount", try_mount, EPERM, 0},
    {"unshare", try_unshare, EPERM, 0},  {"setrlimit", try_limit, EPERM, 0},
    {"clone3", try_clone3, ENOSYS, 0},   {"a thread", try_thread, 0, 0},
    {"the resolver", try_resolve, 0, 0}, {"a listener", try_socket, 0, 0},
    {"a log file", try_log, 0, 0},       {"/proc/self/status", try_status, 0, 0},
    {"tgkill", try_tgkill, EPERM, 0},    {"raise", try_raise, 0, 0},
};

static int run_case(const struct sandbox_case *row)
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(main_sandbox_enter() != NULL ? 250 : row->attempt());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_calls(void **state)
{
    char path[64];
    (void)state;
    if (!main_sandbox_is_possible())
        skip();
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        int status = run_case(&CASES[i]);
        bool is_good = CASES[i].signal != 0
                           ? WIFSIGNALED(status) && WTERMSIG(status) == CASES[i].signal
                           : WIFEXITED(status) && WEXITSTATUS(status) == CASES[i].exit_code;
        if (!is_good)
            fail_msg("%s: wait status %#x", CASES[i].name, (unsigned)status);
    }
    snprintf(path, sizeof(path), "/tmp/sluice-sandbox-%d", (int)getpid());
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_calls)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
