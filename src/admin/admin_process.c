/* SPDX-License-Identifier: Apache-2.0 */
/* admin_process.c - see admin_process.h.  A process may always look at its own descriptors, also when it is not dumpable. */
#include "admin/admin_process.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/base_parse.h"

static uint64_t time_us(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

uint64_t admin_process_rss(const char *statm, uint64_t page_bytes)
{
    const char *word = strchr(statm, ' ');
    uint64_t pages = 0;
    if (word == NULL || !parse_u64((struct span){word + 1, strcspn(word + 1, " \n")}, &pages))
        return 0;
    return pages * page_bytes;
}

static uint64_t read_rss(void)
{
    char text[128];
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    const bool is_read = fgets(text, sizeof(text), file) != NULL;
    fclose(file);
    return is_read ? admin_process_rss(text, (uint64_t)sysconf(_SC_PAGESIZE)) : 0;
}

/* Without the one that counts them; without one left for it they are all taken. */
static uint64_t count_fds(uint64_t max)
{
    DIR *folder = opendir("/proc/self/fd");
    uint64_t count = 0;
    if (folder == NULL)
        return errno == EMFILE ? max : 0;
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count > 3 ? count - 3 : 0; /* ".", ".." and itself */
}

void admin_process_read(struct admin_process *process)
{
    struct rusage usage;
    struct rlimit limit;
    *process = (struct admin_process){.rss_bytes = read_rss()};
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        process->cpu_us = time_us(usage.ru_utime) + time_us(usage.ru_stime);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        process->fds_max = limit.rlim_cur;
    process->fds = count_fds(process->fds_max);
}
