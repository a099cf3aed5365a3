/* SPDX-License-Identifier: Apache-2.0 */
/* loop_log_last.c - see loop_log_last.h. */
#include "loop/loop_log_last.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LAST_BYTES    (64 * 1024) /* eight of the longest lines */
#define LAST_LOOK_NS  5000000
#define LAST_SEQ_SKIP (sizeof(LOOP_LOG_PREFIX) - 1 + LOOP_LOG_BOOT_ID + sizeof("\",\"seq\":") - 1)

uint64_t loop_log_last_seq(struct span line)
{
    uint64_t seq = 0;
    if (!span_starts_with(line, SPAN(LOOP_LOG_PREFIX)))
        return 0;
    for (size_t i = LAST_SEQ_SKIP; i < line.len && line.ptr[i] >= '0' && line.ptr[i] <= '9'; i++)
        seq = seq * 10 + (uint64_t)(line.ptr[i] - '0');
    return seq;
}

/* In a string quotes have a backslash in front: this is a member. */
static bool is_stop(struct span line)
{
    static const char member[] = ",\"event\":\"stop\"";
    return memmem(line.ptr, line.len, member, sizeof(member) - 1) != NULL;
}

/* False: what is before tells nothing more. */
static bool take_line(struct loop_log_last *last, struct span line)
{
    uint64_t seq = loop_log_last_seq(line);
    if (seq == 0)
        return true; /* of the error log in the same file, or of somebody else */
    const char *boot = line.ptr + sizeof(LOOP_LOG_PREFIX) - 1;
    if (last->boot[0] == '\0') {
        memcpy(last->boot, boot, LOOP_LOG_BOOT_ID);
        last->seq = seq;
    }
    if (memcmp(last->boot, boot, LOOP_LOG_BOOT_ID) != 0)
        return false;
    last->is_stopped = is_stop(line);
    return !last->is_stopped;
}

void loop_log_last_read(int fd, struct loop_log_last *last)
{
    struct stat info;
    char *room = malloc(LAST_BYTES);
    ssize_t got = -1;
    *last = (struct loop_log_last){0};
    if (room != NULL && fstat(fd, &info) == 0 && S_ISREG(info.st_mode))
        got =
            pread(fd, room, LAST_BYTES, info.st_size > LAST_BYTES ? info.st_size - LAST_BYTES : 0);
    size_t end = got < 0 ? 0 : (size_t)got;
    while (end > 0 && room[end - 1] != '\n')
        end--; /* torn */
    while (end > 0) {
        size_t begin = end - 1;
        while (begin > 0 && room[begin - 1] != '\n')
            begin--;
        if (!take_line(last, (struct span){room + begin, end - begin}))
            break;
        end = begin;
    }
    free(room);
}

bool loop_log_last_is_torn(int fd)
{
    const struct timespec look = {0, LAST_LOOK_NS};
    off_t size = 0;
    for (int turn = 0; turn < 3; turn++) {
        struct stat info;
        char last;
        if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size == 0 ||
            pread(fd, &last, 1, info.st_size - 1) != 1 || last == '\n')
            return false;
        if (info.st_size == size)
            return true;
        size = info.st_size;
        (void)nanosleep(&look, NULL);
    }
    return false;
}
