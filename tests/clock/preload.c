/* SPDX-License-Identifier: Apache-2.0 */
/* preload.c - a shared object for LD_PRELOAD under which the wall clock says what a test wants.  Takes: the file that CLOCK_FILE
 * names, 8 bytes, microseconds since 1970; or the one that CLOCK_SKEW_FILE names, microseconds that the clock is ahead of the real
 * one (behind: below 0).  Gives: exactly that from every call that asks for the wall clock, in the program and in its children;
 * the monotonic clock goes on.  Never: falls back to the real time without a word.
 *
 * Why not libfaketime: it holds a lock around its own allocations, and redis-server hangs under it at the start. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

static const _Atomic uint64_t *_Atomic clock_us;
static atomic_bool is_added; /* to the real clock */

static bool is_skewed(void)
{
    return getenv("CLOCK_FILE") == NULL;
}

static const _Atomic uint64_t *clock_open(void)
{
    const char *path = getenv(is_skewed() ? "CLOCK_SKEW_FILE" : "CLOCK_FILE");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(uint64_t), PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        static const char why[] = "clock: no CLOCK_FILE, no CLOCK_SKEW_FILE\n";
        (void)!write(2, why, sizeof(why) - 1);
        _exit(97);
    }
    close(fd);
    atomic_store(&is_added, is_skewed());
    atomic_store(&clock_us, at);
    return at;
}

static uint64_t wall_us(void)
{
    const _Atomic uint64_t *at = atomic_load(&clock_us);
    uint64_t us = atomic_load(at != NULL ? at : clock_open());
    struct timespec real = {0};
    if (!atomic_load(&is_added))
        return us;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &real);
    return us + (uint64_t)real.tv_sec * 1000000 + (uint64_t)real.tv_nsec / 1000;
}

PUBLIC int clock_gettime(clockid_t id, struct timespec *out)
{
    if (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)
        return (int)syscall(SYS_clock_gettime, id, out);
    uint64_t us = wall_us();
    *out = (struct timespec){(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    return 0;
}

PUBLIC int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    uint64_t us = wall_us();
    (void)zone;
    *out = (struct timeval){(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};
    return 0;
}

PUBLIC time_t time(time_t *out)
{
    time_t seconds = (time_t)(wall_us() / 1000000);
    if (out != NULL)
        *out = seconds;
    return seconds;
}
