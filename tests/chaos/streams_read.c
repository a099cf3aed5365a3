/* SPDX-License-Identifier: Apache-2.0 */
/* streams_read.c - reads event streams from one or several ports, a group each, and tells how late their events came.
 * Gives: a JSON line with a row for each group (in microseconds), with how late this program itself woke from a timer of
 * 5 ms, and with by how much the first group's events came later than anything else of the same tenth of a second.  A
 * group of streams that come straight from the server shows what the machine alone does. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>

#include "../bench/loopback.h"
#include "streams.h"

#define GROUPS_MAX 4
#define STEP_US    10 /* of the histograms */
#define STEPS      200000
#define SLOT_US    100000
#define SLOTS_MAX  6000
#define TIMER_US   5000
#define START_US   2000000 /* connections are made: not judged */
#define LINE_BYTES 96
#define READ_BYTES 16384
#define LIMIT_US   50000

enum phase {
    PHASE_HEAD,
    PHASE_SIZE,
    PHASE_CHUNK,
    PHASE_CHUNK_END,
    PHASE_BROKEN
};

/* One connection.  Owner: its group. */
struct stream {
    int fd;
    unsigned group;
    enum phase phase;
    unsigned line_len, left; /* left: of the chunk */
    uint64_t next;           /* the number that the next event has to have */
    char line[LINE_BYTES];
};

/* How late something was. */
struct delays {
    uint64_t count, over, max_us;
    uint32_t steps[STEPS + 1];
    uint32_t slots_us[SLOTS_MAX + 1]; /* the worst of each tenth of a second, by when it was due */
};

struct group {
    unsigned port, count;
    struct stream *streams;
    uint64_t broken;
    struct delays delays;
};

struct reader {
    struct group groups[GROUPS_MAX];
    unsigned group_count;
    struct delays own; /* of the timer */
    uint64_t begin_us, end_us;
    int epoll, timer;
    uint64_t timer_due_us;
};

static void note(struct delays *delays, const struct reader *reader, uint64_t due_us,
                 uint64_t now_us)
{
    if (due_us < reader->begin_us + START_US || due_us > reader->end_us)
        return;
    uint64_t late_us = now_us > due_us ? now_us - due_us : 0;
    uint64_t step = late_us / STEP_US, slot = (due_us - reader->begin_us) / SLOT_US;
    delays->steps[step < STEPS ? step : STEPS]++;
    delays->count++;
    delays->over += late_us > LIMIT_US;
    if (late_us > delays->max_us)
        delays->max_us = late_us;
    uint32_t *worst = &delays->slots_us[slot < SLOTS_MAX ? slot : SLOTS_MAX];
    if (late_us > *worst)
        *worst = (uint32_t)late_us;
}

/* A line within a chunk is complete. */
static bool judge_line(struct reader *reader, struct stream *stream, uint64_t now_us)
{
    unsigned long long number, sent_us;
    stream->line[stream->line_len] = '\0';
    if (stream->line_len == 0)
        return true;
    if (sscanf(stream->line, "data: %llu %llu", &number, &sent_us) != 2 || number != stream->next)
        return false;
    stream->next++;
    note(&reader->groups[stream->group].delays, reader, sent_us, now_us);
    return true;
}

static bool take_chunk_byte(struct reader *reader, struct stream *stream, char byte,
                            uint64_t now_us)
{
    if (--stream->left == 0)
        stream->phase = PHASE_CHUNK_END;
    if (byte != '\n') {
        stream->line[stream->line_len++] = byte;
        return stream->line_len < LINE_BYTES;
    }
    bool is_good = judge_line(reader, stream, now_us);
    stream->line_len = 0;
    return is_good;
}

/* Lines of the head and of the framing; an event's line may go on in the next chunk, so these have their own rest. */
static bool take_byte(struct reader *reader, struct stream *stream, char byte, uint64_t now_us)
{
    switch (stream->phase) {
    case PHASE_HEAD: /* left counts the bytes of the line; the empty one is the last */
        if (byte == '\n' && stream->left == 0)
            stream->phase = PHASE_SIZE;
        else if (byte == '\n')
            stream->left = 0;
        else if (byte != '\r')
            stream->left++;
        return true;
    case PHASE_SIZE:
        if (byte == '\n')
            stream->phase = PHASE_CHUNK;
        else if (byte != '\r')
            stream->left =
                stream->left * 16 + (unsigned)(byte <= '9' ? byte - '0' : (byte | 32) - 'a' + 10);
        return byte != '\n' || stream->left > 0;
    case PHASE_CHUNK:
        return take_chunk_byte(reader, stream, byte, now_us);
    case PHASE_CHUNK_END:
        if (byte == '\n')
            stream->phase = PHASE_SIZE;
        return byte == '\n' || byte == '\r';
    default:
        return false;
    }
}

static void read_stream(struct reader *reader, struct stream *stream)
{
    static char buf[READ_BYTES];
    ssize_t n = recv(stream->fd, buf, sizeof(buf), MSG_DONTWAIT);
    uint64_t now_us = streams_clock_us();
    if (n < 0 && errno == EAGAIN)
        return;
    bool is_good = n > 0;
    for (ssize_t i = 0; is_good && i < n; i++)
        is_good = take_byte(reader, stream, buf[i], now_us);
    if (is_good)
        return;
    stream->phase = PHASE_BROKEN;
    reader->groups[stream->group].broken++;
    (void)epoll_ctl(reader->epoll, EPOLL_CTL_DEL, stream->fd, NULL);
}

static void read_timer(struct reader *reader)
{
    uint64_t count, now_us = streams_clock_us();
    if (read(reader->timer, &count, sizeof(count)) != sizeof(count))
        return;
    note(&reader->own, reader, reader->timer_due_us, now_us);
    reader->timer_due_us += count * TIMER_US;
}

static bool open_timer(struct reader *reader)
{
    uint64_t first_us = streams_clock_us() + TIMER_US;
    struct itimerspec spec = {.it_interval = {.tv_nsec = TIMER_US * 1000},
                              .it_value = {.tv_sec = (time_t)(first_us / 1000000),
                                           .tv_nsec = (long)(first_us % 1000000) * 1000}};
    struct epoll_event event = {.events = EPOLLIN};
    reader->timer_due_us = first_us;
    reader->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return reader->timer >= 0 &&
           timerfd_settime(reader->timer, TFD_TIMER_ABSTIME, &spec, NULL) == 0 &&
           epoll_ctl(reader->epoll, EPOLL_CTL_ADD, reader->timer, &event) == 0;
}

static bool open_stream(struct reader *reader, struct stream *stream, unsigned port)
{
    static const char request[] = "GET /events HTTP/1.1\r\nHost: streams.test\r\n\r\n";
    struct sockaddr_in address = loopback_address((int)port);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = stream};
    stream->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return stream->fd >= 0 &&
           connect(stream->fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
           send(stream->fd, request, sizeof(request) - 1, MSG_NOSIGNAL) ==
               (ssize_t)sizeof(request) - 1 &&
           epoll_ctl(reader->epoll, EPOLL_CTL_ADD, stream->fd, &event) == 0;
}

static bool open_group(struct reader *reader, unsigned index)
{
    struct group *group = &reader->groups[index];
    group->streams = calloc(group->count, sizeof(*group->streams));
    for (unsigned i = 0; group->streams && i < group->count; i++) {
        group->streams[i].group = index;
        if (!open_stream(reader, &group->streams[i], group->port))
            return false;
    }
    return group->streams != NULL;
}

static void run(struct reader *reader)
{
    struct epoll_event events[256];
    while (streams_clock_us() < reader->end_us) {
        int count = epoll_wait(reader->epoll, events, 256, 100);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                read_stream(reader, events[i].data.ptr);
            else
                read_timer(reader);
        }
    }
}

static uint64_t percentile_us(const struct delays *delays, double share)
{
    double left = (double)delays->count * share;
    unsigned step = 0;
    while (step < STEPS && (left -= delays->steps[step]) > 0)
        step++;
    return (uint64_t)step * STEP_US;
}

static void put_delays(const char *name, const struct delays *delays)
{
    printf("\"%s\":{\"count\":%llu,\"p50\":%llu,\"p99\":%llu,\"p999\":%llu,\"max\":%llu,\"over\":%"
           "llu}",
           name, (unsigned long long)delays->count, (unsigned long long)percentile_us(delays, 0.5),
           (unsigned long long)percentile_us(delays, 0.99),
           (unsigned long long)percentile_us(delays, 0.999), (unsigned long long)delays->max_us,
           (unsigned long long)delays->over);
}

/* The worst of all but the first group, in a slot and those beside it. */
static uint32_t worst_beside_us(const struct reader *reader, unsigned slot)
{
    uint32_t worst_us = 0;
    for (unsigned at = slot > 0 ? slot - 1 : 0; at <= slot + 1 && at <= SLOTS_MAX; at++) {
        if (reader->own.slots_us[at] > worst_us)
            worst_us = reader->own.slots_us[at];
        for (unsigned i = 1; i < reader->group_count; i++)
            if (reader->groups[i].delays.slots_us[at] > worst_us)
                worst_us = reader->groups[i].delays.slots_us[at];
    }
    return worst_us;
}

static uint32_t excess_us(const struct reader *reader)
{
    uint32_t most_us = 0;
    for (unsigned slot = 0; slot <= SLOTS_MAX; slot++) {
        uint32_t first_us = reader->groups[0].delays.slots_us[slot],
                 beside_us = worst_beside_us(reader, slot);
        if (first_us > beside_us && first_us - beside_us > most_us)
            most_us = first_us - beside_us;
    }
    return most_us;
}

int streams_read(int argc, char **argv)
{
    static struct reader reader;
    uint64_t seconds = strtoul(argv[0], NULL, 10);
    reader.epoll = epoll_create1(EPOLL_CLOEXEC);
    reader.begin_us = streams_clock_us();
    reader.end_us = reader.begin_us + START_US + seconds * 1000000;
    bool is_good = reader.epoll >= 0 && open_timer(&reader);
    for (int i = 1; is_good && i + 1 < argc && reader.group_count < GROUPS_MAX; i += 2) {
        struct group *group = &reader.groups[reader.group_count];
        group->port = (unsigned)strtoul(argv[i], NULL, 10);
        group->count = (unsigned)strtoul(argv[i + 1], NULL, 10);
        is_good = open_group(&reader, reader.group_count++);
    }
    if (!is_good) {
        perror("streams");
        return 1;
    }
    run(&reader);
    printf("{");
    put_delays("own", &reader.own);
    printf(",\"excess\":%u,\"groups\":[", excess_us(&reader));
    for (unsigned i = 0; i < reader.group_count; i++) {
        printf("%s{\"broken\":%llu,", i > 0 ? "," : "",
               (unsigned long long)reader.groups[i].broken);
        put_delays("delays", &reader.groups[i].delays);
        printf("}");
        free(reader.groups[i].streams);
    }
    printf("]}\n");
    return 0;
}
