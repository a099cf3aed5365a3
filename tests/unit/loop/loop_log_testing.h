/* SPDX-License-Identifier: Apache-2.0 */
/* loop_log_testing.h - a log with files of its own in a folder, a writer that works when a test says so, and a judge of the
 * lines in a file. */
#ifndef SLUICE_LOOP_LOG_TESTING_H
#define SLUICE_LOOP_LOG_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base_clock.h"
#include "base/base_log.h"
#include "loop/loop_log_private.h"

#define WORKERS 2

struct fixture {
    char folder[64], access[96], error[96];
    struct loop_log *log;
    struct loop_log_targets targets;
};

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    snprintf(f->folder, sizeof(f->folder), "/tmp/sluice-test-log-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->access, sizeof(f->access), "%s/access.log", f->folder);
    snprintf(f->error, sizeof(f->error), "%s/error.log", f->folder);
    f->targets = (struct loop_log_targets){span_of(f->access), span_of(f->error)};
    f->log = loop_log_new(WORKERS);
    assert_non_null(f->log);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];
    loop_log_free(f->log);
    snprintf(command, sizeof(command), "rm -rf %s", f->folder);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static inline char *slurp(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = NULL;
    size_t room = 0;
    if (file == NULL)
        return strdup("");
    if (getdelim(&text, &room, '\0', file) < 0) {
        free(text);
        text = strdup("");
    }
    fclose(file);
    return text;
}

static inline bool put(struct loop_log *log, unsigned worker, unsigned number)
{
    struct loop_log_ring *ring = loop_log_ring(log, worker);
    char *at = loop_log_begin(ring, 8000);
    if (at == NULL)
        return false;
    int len = sprintf(at, ",\"ts\":\"t\",\"w\":%u,\"i\":%u,\"x\":\"%.*s\"}\n", worker, number,
                      (int)(number % 60),
                      "0123456789012345678901234567890123456789012345678901234567890");
    loop_log_commit(ring, (size_t)len);
    return true;
}

/* --- judging a file ------------------------------------------------------------------------------ */

struct judged {
    unsigned lines, starts, drops; /* drops: numbers that events say are missing */
    unsigned next[WORKERS]; /* the number that each worker's next line has, when none is missing */
    unsigned missing;       /* numbers of workers' lines that were skipped */
    char boot[9];
    unsigned long long seq;
};

/* One line without its newline. */
static inline void judge_line(const char *line, struct judged *j)
{
    char boot[9];
    unsigned long long seq, n, from;
    unsigned worker, number;
    int at = 0;
    if (sscanf(line, "{\"v\":1,\"boot\":\"%8[0-9a-f]\",\"seq\":%llu,%n", boot, &seq, &at) != 2 ||
        at == 0 || line[strlen(line) - 1] != '}')
        fail_msg("a torn line: %s", line);
    const char *event = strstr(line, "\"event\":\"");
    if (event != NULL &&
        sscanf(event, "\"event\":\"dropped\",\"n\":%llu,\"from_seq\":%llu,\"reasons\":[", &n,
               &from) == 2) {
        assert_int_equal(from, j->seq + 1);
        j->drops += (unsigned)n;
        j->seq += n;
    }
    if (event != NULL && strncmp(event, "\"event\":\"start\"", 15) == 0) {
        char previous[64];
        snprintf(previous, sizeof(previous), "\"previous_boot\":\"%s\",\"previous_seq\":%llu}",
                 j->boot, j->seq);
        if (j->starts > 0 && strstr(event, previous) == NULL)
            fail_msg("the previous boot ended %s, but: %s", previous, line);
        j->starts++;
        j->seq = 0;
        strcpy(j->boot, boot);
    }
    if (strcmp(boot, j->boot) != 0 || seq != j->seq + 1)
        fail_msg("boot %s, number %llu, and then: %s", j->boot, j->seq, line);
    j->seq = seq;
    if (event != NULL)
        return;
    assert_int_equal(sscanf(line + at, "\"ts\":\"t\",\"w\":%u,\"i\":%u,", &worker, &number), 2);
    assert_true(worker < WORKERS);
    if (number < j->next[worker])
        fail_msg("told twice: %s", line);
    j->missing += number - j->next[worker];
    j->next[worker] = number + 1;
    j->lines++;
}

/* Every line whole, every number given once and in order, every gap said by the next line. */
static inline void judge(const char *text, struct judged *j)
{
    char line[1024];
    while (*text != '\0') {
        const char *end = strchr(text, '\n');
        if (end == NULL)
            fail_msg("a torn line at the end: %s", text);
        assert_true((size_t)(end - text) < sizeof(line));
        memcpy(line, text, (size_t)(end - text));
        line[end - text] = '\0';
        judge_line(line, j);
        text = end + 1;
    }
}

static inline struct judged judge_file(const char *path)
{
    struct judged j = {0};
    char *text = slurp(path);
    judge(text, &j);
    free(text);
    return j;
}

/* --- a writer without its thread, so that a test decides when it works ---------------------------- */

static inline void begin_by_hand(struct fixture *f)
{
    struct loop_log *log = f->log;
    const struct span targets[] = {f->targets.access, f->targets.error};
    log->is_child = true;
    loop_log_recover(log);
    for (unsigned i = 0; i < LOOP_LOG_STREAMS; i++) {
        struct loop_log_out *out = &log->outs[i];
        memcpy(out->target, targets[i].ptr, targets[i].len + 1);
        int fd = loop_log_target_open(out->target);
        loop_log_out_set(out, fd, errno, 0);
    }
    loop_log_enter_boot(log);
}

static inline void retry_now(struct fixture *f)
{
    for (unsigned i = 0; i < LOOP_LOG_STREAMS; i++)
        f->log->outs[i].retry_at_us = 0;
}

static inline void pass_all(struct fixture *f)
{
    while (loop_log_pass(f->log))
        continue;
}

static inline void end_by_hand(struct fixture *f)
{
    for (unsigned i = 0; i < LOOP_LOG_STREAMS; i++)
        loop_log_out_close(&f->log->outs[i]);
}

#endif
