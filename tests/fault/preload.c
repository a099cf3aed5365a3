/* SPDX-License-Identifier: Apache-2.0 */
/* preload.c - a shared object for LD_PRELOAD that lets calls of allocators and of the kernel fail.  Takes: orders in the file that
 * FAULT_STATE names (struct fault_state, shared with tests/fault/state.py).  Gives: in the processes that the program
 * forks (or in the first one), the Nth call of the chosen classes fails once, or any call with a given probability; the
 * state tells how many calls there were and which one failed, with its stack.  Never fails a call in a way in which the
 * kernel or libc could not.
 *
 * Why not libfiu: its preload knows neither accept4 nor epoll nor eventfd, counts per name and per process (a child that
 * is started again would be hit again), picks errors without a look at the descriptor, and cannot be armed from outside.
 * Why not the linker's --wrap: it would see our own calls only; half of the interesting allocations are made by libevent,
 * jansson, hiredis, OpenSSL and libc.  Under AddressSanitizer this object stands before libasan
 * (verify_asan_link_order=0): every call passes here first and then through the sanitizer's own interceptor. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <unwind.h>

#define FAULT_FRAMES     24
#define FAULT_OWN_FRAMES 3 /* fault_record, fault_choose, the wrapper */
#define FAULT_RECORDS    16
#define FAULT_TEXT       2048
#define PUBLIC           __attribute__((visibility("default")))

enum fault_class {
    FAULT_ALLOC,
    FAULT_NET,
    FAULT_IO,
    FAULT_CLASSES
};
enum fault_where {
    FAULT_IN_CHILD,
    FAULT_IN_PARENT
};

/* Thread: any, of any process; what is not atomic is written before `is_armed` is set. */
struct fault_state {
    _Atomic uint64_t is_armed;
    uint64_t where;         /* enum fault_where */
    uint64_t class_mask;    /* 1 << enum fault_class */
    uint64_t nth;           /* of all calls of these classes; 0: none */
    uint64_t rate_ppm;      /* instead: each one with this probability */
    uint64_t seed;          /* of the probability and of the choice among plausible errors */
    uint64_t stops;         /* the Nth does not fail: the process stops (SIGSTOP) ahead of it */
    uint64_t exits;         /* and when it goes on it ends with this code; 0: it goes on */
    _Atomic uint64_t calls; /* of these classes, while armed */
    _Atomic uint64_t class_calls[FAULT_CLASSES]; /* of all classes, while armed */
    _Atomic uint64_t fired;
    char records[FAULT_RECORDS][FAULT_TEXT]; /* the first ones that failed: name, error, stack */
};

static struct fault_state *fault;
static bool fault_is_child;

__attribute__((constructor)) static void fault_open(void)
{
    const char *path = getenv("FAULT_STATE");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *memory = mmap(NULL, sizeof(*fault), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory != MAP_FAILED)
        fault = memory;
}

static uint64_t fault_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

struct fault_stack {
    void *frames[FAULT_FRAMES];
    int count;
};

static _Unwind_Reason_Code fault_on_frame(struct _Unwind_Context *context, void *arg)
{
    struct fault_stack *stack = arg;
    stack->frames[stack->count++] = (void *)_Unwind_GetIP(context);
    return stack->count < FAULT_FRAMES ? _URC_NO_REASON : _URC_END_OF_STACK;
}

/* What the sanitizer asks of libc for itself (how large a thread's stack is) it cannot do without. */
static bool fault_is_of_sanitizer(const struct fault_stack *stack)
{
    Dl_info info;
    for (int i = FAULT_OWN_FRAMES;
         i < stack->count && dladdr(stack->frames[i], &info) != 0 && info.dli_fname != NULL; i++) {
        if (strstr(info.dli_fname, "/libasan.") != NULL ||
            strstr(info.dli_fname, "/libtsan.") != NULL)
            return true;
        if (strstr(info.dli_fname, "/libc.so.") == NULL)
            return false;
    }
    return false;
}

/* False when the call must not fail after all.  Not backtrace(), which loads libgcc with dlopen. */
__attribute__((noinline)) static bool fault_record(const char *name, const char *error)
{
    struct fault_stack stack = {.count = 0};
    _Unwind_Backtrace(fault_on_frame, &stack);
    if (fault_is_of_sanitizer(&stack))
        return false;
    uint64_t index = atomic_fetch_add(&fault->fired, 1);
    if (index >= FAULT_RECORDS)
        return true;
    char *at = fault->records[index], *end = at + FAULT_TEXT;
    at += snprintf(at, (size_t)(end - at), "%s: %s", name, error);
    for (int i = FAULT_OWN_FRAMES; i < stack.count && end - at > 120; i++) {
        Dl_info info;
        if (dladdr(stack.frames[i], &info) == 0 || info.dli_fname == NULL)
            continue;
        const char *base = strrchr(info.dli_fname, '/');
        at += snprintf(at, (size_t)(end - at), "\n%.60s+0x%zx",
                       base == NULL ? info.dli_fname : base + 1,
                       (size_t)((char *)stack.frames[i] - (char *)info.dli_fbase));
    }
    return true;
}

/* True when this call is to fail. */
static bool fault_is_due(enum fault_class class)
{
    if (fault == NULL || (fault->where == FAULT_IN_CHILD) != fault_is_child ||
        !atomic_load(&fault->is_armed))
        return false;
    atomic_fetch_add(&fault->class_calls[class], 1);
    if ((fault->class_mask >> class & 1) == 0)
        return false;
    uint64_t number = atomic_fetch_add(&fault->calls, 1) + 1;
    if (fault->rate_ppm != 0)
        return fault_mix(fault->seed ^ number << 20) % 1000000 < fault->rate_ppm;
    if (number == fault->nth && fault->stops) {
        atomic_fetch_add(&fault->fired, 1);
        raise(SIGSTOP);
        if (fault->exits != 0)
            _exit((int)fault->exits);
        return false;
    }
    return number == fault->nth;
}

/* One of the errors that this call can end with, 0 when it is not to fail; the list ends with 0. */
__attribute__((noinline)) static int fault_choose(const char *name, const int *errors)
{
    size_t count = 0;
    while (errors[count] != 0)
        count++;
    if (count == 0)
        return 0;
    int error = errors[fault_mix(fault->seed + atomic_load(&fault->calls)) % count];
    return fault_record(name, strerrorname_np(error)) ? error : 0;
}

#define ERRORS(...)                                                                                \
    (const int[])                                                                                  \
    {                                                                                              \
        __VA_ARGS__, 0                                                                             \
    }

/* A descriptor that is neither socket, file, pipe nor device (eventfd, epoll) can only be interrupted: "try again" from
 * one that has something would be a lie, and so it would from a socket. */
static const int *fault_of_descriptor(int fd, const int *of_socket, const int *of_other)
{
    static const int interrupted[] = {EINTR, 0};
    struct statx info; /* not fstat, which is one of ours */
    if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &info) != 0 || (info.stx_mode & S_IFMT) == 0)
        return interrupted;
    return S_ISSOCK(info.stx_mode) ? of_socket : of_other;
}

/* WRAP(result, name, parameters, arguments, class, failure, errors): a call that reports failure by value and errno.
 * Real functions are looked up once each; the lookup allocates nothing when it succeeds. */
#define REAL(result, name, ...)                                                                    \
    static result (*real)(__VA_ARGS__);                                                            \
    if (real == NULL)                                                                              \
    real = (result(*)(__VA_ARGS__))(uintptr_t)dlsym(RTLD_NEXT, #name)

#define PARAMS(...) __VA_ARGS__
#define WRAP(result, name, params, args, class, failure, errors)                                   \
    PUBLIC result name(params)                                                                     \
    {                                                                                              \
        int error;                                                                                 \
        REAL(result, name, params);                                                                \
        if (fault_is_due(class) && (error = fault_choose(#name, errors)) != 0) {                   \
            errno = error;                                                                         \
            return failure;                                                                        \
        }                                                                                          \
        return real args;                                                                          \
    }

/* ---- memory and threads ---- */

WRAP(void *, malloc, PARAMS(size_t size), (size), FAULT_ALLOC, NULL, ERRORS(ENOMEM))
WRAP(void *, calloc, PARAMS(size_t count, size_t size), (count, size), FAULT_ALLOC, NULL,
     ERRORS(ENOMEM))
WRAP(void *, realloc, PARAMS(void *old, size_t size), (old, size), FAULT_ALLOC, NULL,
     ERRORS(ENOMEM))
WRAP(void *, reallocarray, PARAMS(void *old, size_t count, size_t size), (old, count, size),
     FAULT_ALLOC, NULL, ERRORS(ENOMEM))
WRAP(void *, aligned_alloc, PARAMS(size_t alignment, size_t size), (alignment, size), FAULT_ALLOC,
     NULL, ERRORS(ENOMEM))
WRAP(char *, strdup, PARAMS(const char *text), (text), FAULT_ALLOC, NULL, ERRORS(ENOMEM))
WRAP(char *, strndup, PARAMS(const char *text, size_t max), (text, max), FAULT_ALLOC, NULL,
     ERRORS(ENOMEM))

/* These two and getaddrinfo return their error. */
PUBLIC int posix_memalign(void **out, size_t alignment, size_t size)
{
    REAL(int, posix_memalign, void **, size_t, size_t);
    int error = fault_is_due(FAULT_ALLOC) ? fault_choose("posix_memalign", ERRORS(ENOMEM)) : 0;
    return error != 0 ? error : real(out, alignment, size);
}

PUBLIC int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *),
                          void *arg)
{
    REAL(int, pthread_create, pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    int error = fault_is_due(FAULT_ALLOC) ? fault_choose("pthread_create", ERRORS(EAGAIN)) : 0;
    return error != 0 ? error : real(thread, attributes, fn, arg);
}

PUBLIC int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out)
{
    REAL(int, getaddrinfo, const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (fault_is_due(FAULT_NET) && fault_choose("getaddrinfo", ERRORS(ENOMEM)) != 0)
        return EAI_MEMORY;
    return real(node, service, hints, out);
}

/* ---- sockets and readiness ---- */

WRAP(int, socket, PARAMS(int family, int type, int protocol), (family, type, protocol), FAULT_NET,
     -1, ERRORS(EMFILE, ENFILE, ENOBUFS, ENOMEM))
WRAP(int, socketpair, PARAMS(int family, int type, int protocol, int fds[2]),
     (family, type, protocol, fds), FAULT_NET, -1, ERRORS(EMFILE, ENFILE))
WRAP(int, accept4, PARAMS(int fd, struct sockaddr *peer, socklen_t *len, int flags),
     (fd, peer, len, flags), FAULT_NET, -1,
     ERRORS(EMFILE, ENFILE, ENOMEM, ENOBUFS, ECONNABORTED, EPROTO, EINTR, ENETDOWN))
WRAP(int, connect, PARAMS(int fd, const struct sockaddr *peer, socklen_t len), (fd, peer, len),
     FAULT_NET, -1, ERRORS(EADDRNOTAVAIL, ECONNREFUSED, ENETUNREACH, ENOMEM))
WRAP(int, bind, PARAMS(int fd, const struct sockaddr *own, socklen_t len), (fd, own, len),
     FAULT_NET, -1, ERRORS(EADDRINUSE, EACCES, ENOMEM))
WRAP(int, listen, PARAMS(int fd, int backlog), (fd, backlog), FAULT_NET, -1, ERRORS(EADDRINUSE))
WRAP(int, setsockopt, PARAMS(int fd, int level, int option, const void *value, socklen_t len),
     (fd, level, option, value, len), FAULT_NET, -1, ERRORS(ENOBUFS, EINVAL))
WRAP(int, getsockopt, PARAMS(int fd, int level, int option, void *value, socklen_t *len),
     (fd, level, option, value, len), FAULT_NET, -1, ERRORS(ENOBUFS))
WRAP(int, getsockname, PARAMS(int fd, struct sockaddr *own, socklen_t *len), (fd, own, len),
     FAULT_NET, -1, ERRORS(ENOBUFS))
WRAP(int, shutdown, PARAMS(int fd, int how), (fd, how), FAULT_NET, -1, ERRORS(ENOTCONN))
WRAP(int, epoll_create1, PARAMS(int flags), (flags), FAULT_NET, -1, ERRORS(EMFILE, ENFILE, ENOMEM))
WRAP(int, eventfd, PARAMS(unsigned value, int flags), (value, flags), FAULT_NET, -1,
     ERRORS(EMFILE, ENFILE, ENOMEM))
WRAP(int, epoll_wait, PARAMS(int fd, struct epoll_event *events, int max, int wait_ms),
     (fd, events, max, wait_ms), FAULT_NET, -1, ERRORS(EINTR))
WRAP(ssize_t, recv, PARAMS(int fd, void *bytes, size_t len, int flags), (fd, bytes, len, flags),
     FAULT_NET, -1, ERRORS(ECONNRESET, ENOMEM, EINTR, ETIMEDOUT))
WRAP(ssize_t, send, PARAMS(int fd, const void *bytes, size_t len, int flags),
     (fd, bytes, len, flags), FAULT_NET, -1, ERRORS(ECONNRESET, EPIPE, ENOBUFS, ENOMEM, EINTR))
/* How the program itself receives and sends. */
PUBLIC long syscall(long number, ...)
{
    REAL(long, syscall, long, ...);
    long words[6];
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++)
        words[i] = va_arg(args, long);
    va_end(args);
    int error = 0;
    if (number == SYS_recvfrom && fault_is_due(FAULT_NET))
        error = fault_choose("recv", ERRORS(ECONNRESET, ENOMEM, EINTR, ETIMEDOUT));
    if (number == SYS_sendto && fault_is_due(FAULT_NET))
        error = fault_choose("send", ERRORS(ECONNRESET, EPIPE, ENOBUFS, ENOMEM, EINTR));
    if (error == 0)
        return real(number, words[0], words[1], words[2], words[3], words[4], words[5]);
    errno = error;
    return -1;
}

/* A channel of datagrams to the other process: it is not reset while that one lives. */
WRAP(ssize_t, recvmsg, PARAMS(int fd, struct msghdr *message, int flags), (fd, message, flags),
     FAULT_NET, -1, ERRORS(ENOMEM, EINTR))

static bool fault_is_datagram(int fd)
{
    int type = 0;
    socklen_t len = sizeof(type);
    REAL(int, getsockopt, int, int, int, void *, socklen_t *);
    return real(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type != SOCK_STREAM;
}

WRAP(ssize_t, sendmsg, PARAMS(int fd, const struct msghdr *message, int flags),
     (fd, message, flags), FAULT_NET, -1,
     fault_is_datagram(fd) ? ERRORS(ENOBUFS, ENOMEM) : ERRORS(ECONNRESET, EPIPE, ENOBUFS, EINTR))

/* "Try again" would be a lie: no event would come. */
WRAP(ssize_t, splice,
     PARAMS(int from, off64_t *from_at, int to, off64_t *to_at, size_t len, unsigned flags),
     (from, from_at, to, to_at, len, flags), FAULT_NET, -1,
     ERRORS(EINVAL, ENOMEM, EINTR, ECONNRESET))
WRAP(int, pipe2, PARAMS(int fds[2], int flags), (fds, flags), FAULT_NET, -1, ERRORS(EMFILE, ENFILE))

/* Taking a descriptor out of the set cannot fail. */
PUBLIC int epoll_ctl(int epfd, int operation, int fd, struct epoll_event *event)
{
    REAL(int, epoll_ctl, int, int, int, struct epoll_event *);
    int error;
    if (operation != EPOLL_CTL_DEL && fault_is_due(FAULT_NET) &&
        (error = fault_choose("epoll_ctl", ERRORS(ENOSPC, ENOMEM))) != 0) {
        errno = error;
        return -1;
    }
    return real(epfd, operation, fd, event);
}

/* ---- files ---- */

#define READ_ERRORS fault_of_descriptor(fd, ERRORS(ECONNRESET, ENOMEM, EINTR), ERRORS(EIO, EINTR))
#define WRITE_ERRORS                                                                               \
    fault_of_descriptor(fd, ERRORS(ECONNRESET, EPIPE, ENOBUFS), ERRORS(ENOSPC, EIO, EINTR))

WRAP(ssize_t, read, PARAMS(int fd, void *bytes, size_t len), (fd, bytes, len), FAULT_IO, -1,
     READ_ERRORS)
WRAP(ssize_t, pread, PARAMS(int fd, void *bytes, size_t len, off_t at), (fd, bytes, len, at),
     FAULT_IO, -1, ERRORS(EIO))
WRAP(ssize_t, write, PARAMS(int fd, const void *bytes, size_t len), (fd, bytes, len), FAULT_IO, -1,
     WRITE_ERRORS)
WRAP(ssize_t, writev, PARAMS(int fd, const struct iovec *iov, int count), (fd, iov, count),
     FAULT_IO, -1, WRITE_ERRORS)
WRAP(int, fstat, PARAMS(int fd, struct stat *info), (fd, info), FAULT_IO, -1, ERRORS(ENOMEM, EIO))
WRAP(int, stat, PARAMS(const char *path, struct stat *info), (path, info), FAULT_IO, -1,
     ERRORS(ENOMEM, EACCES))
WRAP(int, lstat, PARAMS(const char *path, struct stat *info), (path, info), FAULT_IO, -1,
     ERRORS(ENOMEM, EACCES))
WRAP(int, ftruncate, PARAMS(int fd, off_t len), (fd, len), FAULT_IO, -1, ERRORS(EIO, ENOSPC))
WRAP(int, fsync, PARAMS(int fd), (fd), FAULT_IO, -1, ERRORS(EIO, ENOSPC))
WRAP(int, rename, PARAMS(const char *from, const char *to), (from, to), FAULT_IO, -1,
     ERRORS(ENOSPC, EACCES))
WRAP(int, unlink, PARAMS(const char *path), (path), FAULT_IO, -1, ERRORS(EACCES))
WRAP(int, memfd_create, PARAMS(const char *name, unsigned flags), (name, flags), FAULT_IO, -1,
     ERRORS(EMFILE, ENOMEM))
WRAP(void *, mmap, PARAMS(void *at, size_t len, int protection, int flags, int fd, off_t from),
     (at, len, protection, flags, fd, from), FAULT_IO, MAP_FAILED, ERRORS(ENOMEM))
WRAP(FILE *, fopen, PARAMS(const char *path, const char *mode), (path, mode), FAULT_IO, NULL,
     ERRORS(EMFILE, ENOMEM))

PUBLIC int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    REAL(int, open, const char *, int, ...);
    int error;
    if (fault_is_due(FAULT_IO) &&
        (error = fault_choose("open", ERRORS(EMFILE, ENFILE, ENOMEM, EACCES))) != 0) {
        errno = error;
        return -1;
    }
    return real(path, flags, mode);
}

/* The descriptor is gone all the same. */
PUBLIC int close(int fd)
{
    REAL(int, close, int);
    int error = fault_is_due(FAULT_IO) ? fault_choose("close", ERRORS(EIO, EINTR)) : 0;
    int result = real(fd);
    if (result != 0 || error == 0)
        return result;
    errno = error;
    return -1;
}

/* ---- processes ---- */

PUBLIC pid_t fork(void)
{
    REAL(pid_t, fork, void);
    int error;
    if (fault_is_due(FAULT_IO) && (error = fault_choose("fork", ERRORS(EAGAIN, ENOMEM))) != 0) {
        errno = error;
        return -1;
    }
    pid_t pid = real();
    if (pid == 0)
        fault_is_child = true;
    return pid;
}
