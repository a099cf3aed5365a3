/* SPDX-License-Identifier: Apache-2.0 */
/* bench_store_memory - what a charge of the embedded store costs: nanoseconds and user instructions for 1
 * and 3 quotas of 3 windows each, on one hot subject and on random ones of a million (which is the
 * price of memory, not of code), for newcomers, refusals and a flood into a full table; and the bytes a
 * subject takes.  Arguments: subjects (1000000), charges per line (2000000), windows (only: bytes of a
 * subject of a quota with so many; 1 to 3). */
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base_clock.h"
#include "base/base_rng.h"
#include "store/store_memory.h"

#define NOW_US UINT64_C(1795305600000000)

static struct quota quotas[3];

/* -1 where the kernel or the machine does not count. */
static int open_counter(void)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_HARDWARE,
                                   .size = sizeof(attr),
                                   .config = PERF_COUNT_HW_INSTRUCTIONS,
                                   .exclude_kernel = 1,
                                   .exclude_hv = 1};
    return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static uint64_t read_counter(int fd)
{
    uint64_t value = 0;
    return fd >= 0 && read(fd, &value, sizeof(value)) == sizeof(value) ? value : 0;
}

static uint64_t resident_bytes(void)
{
    unsigned long total, resident;
    FILE *file = fopen("/proc/self/statm", "r");
    int fields = file == NULL ? 0 : fscanf(file, "%lu %lu", &total, &resident);
    if (file != NULL)
        fclose(file);
    return fields == 2 ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void make_charge(struct quota_charge *charge, unsigned quota, uint64_t subject)
{
    *charge = (struct quota_charge){.quota = &quotas[quota], .cost = 1};
    uint64_t words[2] = {(subject + 1) * UINT64_C(0x9e3779b97f4a7c15), subject << 8 | quota};
    memcpy(charge->key, words, sizeof(words));
}

struct line {
    const char *name;
    unsigned quotas;
    uint64_t subjects, first; /* random among first .. first + subjects; 0: all new */
    uint64_t now_us;
};

static void measure(struct store_memory *store, const struct line *line, uint64_t charges)
{
    struct rng rng = {{1, 2, 3, 4}};
    unsigned answers[4] = {0}, overflowed, overflows = 0;
    int fd = open_counter();
    uint64_t instructions = read_counter(fd), began_us = clock_mono_us();
    for (uint64_t i = 0; i < charges; i++) {
        struct quota_charge asked[3];
        uint64_t subject =
            line->first + (line->subjects == 0 ? i : rng_below(&rng, line->subjects));
        for (unsigned q = 0; q < line->quotas; q++)
            make_charge(&asked[q], q, subject);
        answers[store_memory_charge(store, asked, line->quotas, line->now_us, &overflowed)]++;
        overflows += overflowed;
    }
    uint64_t took_us = clock_mono_us() - began_us;
    instructions = read_counter(fd) - instructions;
    if (fd >= 0)
        close(fd);
    printf("%-34s %8.1f ns %8.0f instructions   %u charged, %u refused, %u in overflow\n",
           line->name, (double)took_us * 1000 / (double)charges,
           (double)instructions / (double)charges, answers[STORE_CHARGED], answers[STORE_REFUSED],
           overflows);
}

int main(int argc, char **argv)
{
    uint64_t subjects = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    uint64_t charges = argc > 2 ? strtoull(argv[2], NULL, 10) : 2000000;
    for (unsigned q = 0; q < 3; q++) {
        quotas[q] = (struct quota){.id = {(uint8_t)(q + 1)}, .limit_count = 3};
        quotas[q].limits[0] = (struct quota_limit){2000000000, 60, 1, QUOTA_MINUTE};
        quotas[q].limits[1] = (struct quota_limit){2000000000, 3600, 1, QUOTA_HOUR};
        quotas[q].limits[2] = (struct quota_limit){2000000000, 86400, 1, QUOTA_DAY};
    }
    uint64_t before = resident_bytes(), max;
    struct store_memory *store = store_memory_new((uint32_t)subjects);
    if (store == NULL)
        return 1;
    unsigned windows = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 3;
    if (windows >= 1 && windows <= 3)
        quotas[0].limit_count = (uint8_t)windows;
    measure(store, &(struct line){"newcomers, 1 quota", 1, 0, 0, NOW_US}, subjects);
    uint64_t count = store_memory_subjects(store, &max);
    printf("%-34s %8.1f bytes (%llu subjects, room for %llu)\n", "memory per subject",
           (double)(resident_bytes() - before) / (double)count, (unsigned long long)count,
           (unsigned long long)max);
    if (argc > 3) {
        store_memory_free(store);
        return 0;
    }
    measure(store, &(struct line){"one hot subject, 1 quota", 1, 1, 7, NOW_US}, charges);
    measure(store, &(struct line){"random subjects, 1 quota", 1, subjects, 0, NOW_US}, charges);
    measure(store, &(struct line){"newcomers into the full table", 1, 0, subjects, NOW_US},
            charges);
    quotas[0].limits[0].limit = 1;
    measure(store, &(struct line){"refused, random subjects", 1, subjects, 0, NOW_US}, charges);
    quotas[0].limits[0].limit = 2000000000;
    store_memory_free(store);

    store = store_memory_new((uint32_t)subjects);
    if (store == NULL)
        return 1;
    measure(store, &(struct line){"newcomers, 3 quotas", 3, 0, 0, NOW_US}, subjects / 3);
    measure(store, &(struct line){"one hot subject, 3 quotas", 3, 1, 7, NOW_US}, charges);
    measure(store, &(struct line){"random subjects, 3 quotas", 3, subjects / 3, 0, NOW_US},
            charges);

    char path[] = "/tmp/bench_store_memory.state", why[256];
    uint64_t began_us = clock_mono_us();
    if (store_memory_save(store, path, NOW_US, why) != ERR_OK)
        printf("%s\n", why);
    printf("%-34s %8.1f ms\n", "save", (double)(clock_mono_us() - began_us) / 1000);
    store_memory_free(store);
    store = store_memory_new((uint32_t)subjects);
    began_us = clock_mono_us();
    if (store == NULL || store_memory_load(store, path, NOW_US, why) != ERR_OK)
        printf("%s\n", why);
    printf("%-34s %8.1f ms\n", "load", (double)(clock_mono_us() - began_us) / 1000);
    unlink(path);
    store_memory_free(store);
    return 0;
}
