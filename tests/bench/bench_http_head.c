/* SPDX-License-Identifier: Apache-2.0 */
/* bench_http_head.c - what it costs to read and to write on one typical head: nanoseconds per call
 * and, where the machine counts them, user instructions (elsewhere: valgrind --tool=callgrind).
 * The request has 8 fields and 370 bytes, the response 6 and 176: the heads that the budgets of
 * docs/performance.md speak of. */
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base_clock.h"
#include "http/http_path.h"
#include "http/http_write.h"

#define ROUNDS     200000
#define FIELDS_MAX 64

static const char REQUEST[] =
    "GET /v1/0123456789abcdef/images/search?limit=20&marker=abc HTTP/1.1\r\n"
    "Host: images.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) client/1.23\r\n"
    "Accept: application/json, text/plain, */*\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: en-GB,en;q=0.5\r\n"
    "X-Auth-Token: 0123456789abcdef0123456789abcdef\r\n"
    "Content-Type: application/json\r\n"
    "Connection: keep-alive\r\n"
    "\r\n";

static const char RESPONSE[] = "HTTP/1.1 200 OK\r\n"
                               "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                               "Server: backend/1.0.1\r\n"
                               "Content-Type: application/json\r\n"
                               "Content-Length: 128\r\n"
                               "ETag: \"0123456789\"\r\n"
                               "Connection: keep-alive\r\n"
                               "\r\n";

static const struct http_head_limits LIMITS = {
    .line_max_bytes = 32768, .field_max_bytes = 32768, .head_max_bytes = 131072, .field_max = 64};

struct bench {
    struct http_head request, response;
    struct http_field request_fields[FIELDS_MAX], response_fields[FIELDS_MAX];
    struct http_target target;
    struct http_framing framing;
    struct http_fault fault;
    char out[1024];
};

static int read_request(struct bench *b)
{
    size_t scanned = 0;
    return (int)http_head_parse_request(&b->request, REQUEST, sizeof(REQUEST) - 1, &scanned,
                                        &LIMITS, &b->fault);
}

static int read_response(struct bench *b)
{
    size_t scanned = 0;
    return (int)http_head_parse_response(&b->response, RESPONSE, sizeof(RESPONSE) - 1, &scanned,
                                         &LIMITS, &b->fault);
}

static int frame_request(struct bench *b)
{
    return (int)http_framing_request(&b->request, &b->framing, &b->fault);
}

static int frame_response(struct bench *b)
{
    return (int)http_framing_response(&b->response, HTTP_METHOD_GET, &b->framing, &b->fault);
}

static int read_target(struct bench *b)
{
    return (int)http_target_parse(&b->request, &b->target, &b->fault);
}

static int judge_path(struct bench *b)
{
    struct http_path path;
    return (int)http_path_judge(b->target.path, b->out, &path, &b->fault);
}

static int write_request(struct bench *b)
{
    char *end = http_write_fields(b->out, &b->request, HTTP_FIELD_BIT(HTTP_FIELD_X_REQUEST_ID));
    return end == b->out;
}

static int write_response(struct bench *b)
{
    char *end = http_write_fields(b->out, &b->response, HTTP_FIELD_BIT(HTTP_FIELD_X_REQUEST_ID));
    return end == b->out;
}

/* A counter of this process's instructions in user mode, -1 when there is none. */
static int counter_open(void)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_HARDWARE,
                                   .size = sizeof(attr),
                                   .config = PERF_COUNT_HW_INSTRUCTIONS,
                                   .exclude_kernel = 1,
                                   .exclude_hv = 1};
    return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0UL);
}

static unsigned long long counter_read(int fd)
{
    unsigned long long count = 0;
    if (fd < 0 || read(fd, &count, sizeof(count)) != sizeof(count))
        return 0;
    return count;
}

int main(void)
{
    static const struct {
        const char *name;
        int (*run)(struct bench *b);
    } rows[] = {
        {"read request", read_request},   {"read response", read_response},
        {"frame request", frame_request}, {"frame response", frame_response},
        {"read target", read_target},     {"judge path", judge_path},
        {"write request", write_request}, {"write response", write_response},
    };
    static struct bench b;
    b.request.fields = b.request_fields;
    b.response.fields = b.response_fields;
    b.request.field_max = b.response.field_max = FIELDS_MAX;
    int counter = counter_open();

    printf("request %zu bytes, response %zu bytes\n", sizeof(REQUEST) - 1, sizeof(RESPONSE) - 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].run(&b) != 0) {
            fprintf(stderr, "%s failed: %s\n", rows[i].name, http_fault_name(b.fault.id));
            return 1;
        }
        unsigned long long instructions = counter_read(counter);
        uint64_t begin_us = clock_mono_us();
        for (unsigned n = 0; n < ROUNDS; n++)
            (void)rows[i].run(&b);
        uint64_t us = clock_mono_us() - begin_us;
        instructions = counter_read(counter) - instructions;
        printf("%-15s %6.1f ns", rows[i].name, (double)us * 1000 / ROUNDS);
        if (instructions != 0)
            printf(" %6llu instructions", instructions / ROUNDS);
        putchar('\n');
    }
    return 0;
}
