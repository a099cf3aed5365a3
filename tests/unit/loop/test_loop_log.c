/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop_log.c - the log as a whole: numbers without gaps, whole lines, and nothing lost or told twice through
 * kills, full disks, stalled pipes, rotation and changed targets. */
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

static int setup(void **state)
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

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];
    loop_log_free(f->log);
    snprintf(command, sizeof(command), "rm -rf %s", f->folder);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static char *slurp(const char *path)
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

static bool put(struct loop_log *log, unsigned worker, unsigned number)
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
static void judge_line(const char *line, struct judged *j)
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
static void judge(const char *text, struct judged *j)
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

static struct judged judge_file(const char *path)
{
    struct judged j = {0};
    char *text = slurp(path);
    judge(text, &j);
    free(text);
    return j;
}

/* --- a writer without its thread, so that a test decides when it works ---------------------------- */

static void begin_by_hand(struct fixture *f)
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

static void retry_now(struct fixture *f)
{
    for (unsigned i = 0; i < LOOP_LOG_STREAMS; i++)
        f->log->outs[i].retry_at_us = 0;
}

static void pass_all(struct fixture *f)
{
    while (loop_log_pass(f->log))
        continue;
}

static void end_by_hand(struct fixture *f)
{
    for (unsigned i = 0; i < LOOP_LOG_STREAMS; i++)
        loop_log_out_close(&f->log->outs[i]);
}

/* --- tests --------------------------------------------------------------------------------------- */

static void test_lines_are_numbered(void **state)
{
    struct fixture *f = *state;
    struct loop_log_status status;
    loop_log_set_generation(f->log, 7);
    assert_int_equal(loop_log_start(f->log, &f->targets, NULL), ERR_OK);
    for (unsigned i = 0; i < 1000; i++)
        assert_true(put(f->log, i % WORKERS, i / WORKERS));
    loop_log_event(f->log, "\"event\":\"reload\",\"gen\":8");
    loop_log_stop(f->log);
    struct judged j = judge_file(f->access);
    assert_int_equal(j.lines, 1000);
    assert_int_equal(j.starts, 1);
    assert_int_equal(j.missing + j.drops, 0);
    assert_int_equal(j.seq, 1002);
    loop_log_get_status(f->log, &status);
    assert_int_equal(status.lines, 1002);
    assert_int_equal(status.seq, 1002);
    assert_int_equal(status.dropped, 0);
    assert_string_equal(status.boot, j.boot);
    char *text = slurp(f->access);
    assert_non_null(
        strstr(text, "\"event\":\"start\",\"version\":\"" SLUICE_VERSION "\",\"gen\":7}\n"));
    assert_non_null(strstr(text, ",\"event\":\"reload\",\"gen\":8}\n"));
    free(text);
}

static void test_error_lines_go_to_their_file(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(loop_log_start(f->log, &f->targets, NULL), ERR_OK);
    log_write(NULL, LOG_LEVEL_WARN, "test", "the moon is %s", "full");
    loop_log_stop(f->log);
    char *text = slurp(f->error);
    assert_non_null(strstr(text, "the moon is full\n"));
    free(text);
    assert_int_equal(judge_file(f->access).starts, 1);
}

static void test_full_ring_is_told(void **state)
{
    struct fixture *f = *state;
    unsigned taken = 0;
    begin_by_hand(f);
    pass_all(f);
    while (put(f->log, 0, taken))
        taken++;
    for (unsigned i = 1; i < 10; i++)
        assert_false(put(f->log, 0, taken + i));
    pass_all(f);
    assert_true(put(f->log, 0, taken + 10));
    pass_all(f);
    end_by_hand(f);
    struct judged j = judge_file(f->access);
    assert_int_equal(j.lines, taken + 1);
    assert_int_equal(j.drops, 10);
    assert_int_equal(j.missing, 10);
    assert_int_equal(atomic_load(&f->log->shared->dropped), 10);
}

/* A disk that is full in the middle of a line: no torn line, and what was lost is said once it has room. */
static void test_full_disk(void **state)
{
    struct fixture *f = *state;
    struct rlimit old, small;
    unsigned next = 0;
    signal(SIGXFSZ, SIG_IGN);
    begin_by_hand(f);
    pass_all(f);
    getrlimit(RLIMIT_FSIZE, &old);
    for (unsigned turn = 0; turn < 5; turn++) {
        struct stat info;
        assert_int_equal(stat(f->access, &info), 0);
        small = (struct rlimit){(rlim_t)info.st_size + 777 + turn * 13, old.rlim_max};
        setrlimit(RLIMIT_FSIZE, &small);
        for (unsigned k = 0; k < 3; k++) {
            for (unsigned i = 0; i < 50; i++)
                assert_true(put(f->log, 0, next++));
            pass_all(f);
        }
        assert_int_equal(f->log->outs[0].state, LOOP_LOG_OUT_FAILING);
        retry_now(f); /* and it is full still */
        for (unsigned i = 0; i < 50; i++)
            assert_true(put(f->log, 0, next++));
        pass_all(f);
        struct judged full = judge_file(f->access);
        assert_true(full.missing + 50 < next);
        setrlimit(RLIMIT_FSIZE, &old);
        retry_now(f);
        pass_all(f);
    }
    assert_true(put(f->log, 0, next++));
    pass_all(f);
    end_by_hand(f);
    struct judged j = judge_file(f->access);
    assert_int_equal(j.next[0], next);
    assert_int_equal(j.lines + j.missing, next);
    assert_true(j.lines > 20 && j.missing > 500);
    /* events that told of drops were dropped themselves when the disk was full still */
    assert_in_range(j.drops, j.missing, j.missing + 10);
    assert_int_equal(j.drops, atomic_load(&f->log->shared->dropped));
    assert_true(atomic_load(&f->log->shared->write_errors) >= 5);
}

static void test_folder_that_is_missing_comes_back(void **state)
{
    struct fixture *f = *state;
    char path[128];
    snprintf(path, sizeof(path), "%s/sub/access.log", f->folder);
    f->targets.access = span_of(path);
    begin_by_hand(f);
    for (unsigned i = 0; i < 100; i++)
        assert_true(put(f->log, 1, i));
    pass_all(f);
    assert_int_equal(f->log->outs[0].state, LOOP_LOG_OUT_FAILING);
    path[strlen(f->folder) + 4] = '\0';
    assert_int_equal(mkdir(path, 0700), 0);
    path[strlen(f->folder) + 4] = '/';
    retry_now(f);
    assert_true(put(f->log, 1, 100));
    pass_all(f);
    end_by_hand(f);
    char *text = slurp(path);
    assert_non_null(strstr(text, "\"seq\":102,"));
    assert_non_null(strstr(
        text, "\"event\":\"dropped\",\"n\":101,\"from_seq\":1,\"reasons\":[\"cannot_open\"]}"));
    assert_non_null(strstr(text, "\"seq\":103,\"ts\":\"t\",\"w\":1,\"i\":100,"));
    free(text);
}

/* Reads what is there; gives the number of bytes. */
static size_t drink(int fd, char *into, size_t max)
{
    size_t len = 0;
    ssize_t n;
    while (len < max && (n = read(fd, into + len, max - len)) > 0)
        len += (size_t)n;
    return len;
}

static void test_stalled_pipe(void **state)
{
    struct fixture *f = *state;
    const size_t room = 8 * (size_t)LOOP_LOG_RING_BYTES;
    char path[128], *text = calloc(1, room);
    unsigned next = 0, refused = 0;
    size_t len = 0;
    snprintf(path, sizeof(path), "%s/pipe", f->folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    f->targets.access = span_of(path);
    begin_by_hand(f);
    pass_all(f);
    for (unsigned turn = 0; turn < 3; turn++) {
        while (refused < (turn + 1) * 100) {
            refused += !put(f->log, 0, next++);
            if (next % 1000 == 0)
                pass_all(f);
        }
        assert_int_equal(f->log->outs[0].state, LOOP_LOG_OUT_STALLED);
        while (len < room - 1) { /* in gulps that break lines */
            size_t n = drink(reader, text + len, 4097);
            len += n;
            pass_all(f);
            if (n == 0)
                break;
        }
    }
    assert_true(put(f->log, 0, next++));
    pass_all(f);
    len += drink(reader, text + len, room - len - 1);
    struct judged j = {0};
    judge(text, &j);
    assert_int_equal(j.next[0], next);
    assert_int_equal(j.drops, refused);
    assert_int_equal(j.missing, refused);
    /* The reader goes away and another comes. */
    close(reader);
    assert_true(put(f->log, 0, next++));
    pass_all(f);
    assert_int_equal(f->log->outs[0].state, LOOP_LOG_OUT_FAILING);
    reader = open(path, O_RDONLY | O_NONBLOCK);
    retry_now(f);
    assert_true(put(f->log, 0, next++));
    pass_all(f);
    len = drink(reader, text, room - 1);
    text[len] = '\0';
    assert_non_null(strstr(text, "\"event\":\"dropped\",\"n\":1,"));
    close(reader);
    end_by_hand(f);
    free(text);
}

static void test_rotation(void **state)
{
    struct fixture *f = *state;
    char path[128];
    unsigned next = 0;
    struct judged j = {0};
    assert_int_equal(loop_log_start(f->log, &f->targets, NULL), ERR_OK);
    for (unsigned turn = 0; turn < 10; turn++) {
        for (unsigned i = 0; i < 100; i++)
            assert_true(put(f->log, 0, next++));
        snprintf(path, sizeof(path), "%s/access.log.%u", f->folder, turn);
        (void)rename(f->access, path);
        loop_log_reopen(f->log);
    }
    loop_log_stop(f->log);
    for (unsigned turn = 0; turn <= 10; turn++) {
        if (turn < 10)
            snprintf(path, sizeof(path), "%s/access.log.%u", f->folder, turn);
        char *text = slurp(turn < 10 ? path : f->access);
        judge(text, &j);
        free(text);
    }
    assert_int_equal(j.lines, next);
    assert_int_equal(j.missing, 0);
}

static void test_retarget(void **state)
{
    struct fixture *f = *state;
    char second[128], impossible[128];
    struct judged j = {0};
    snprintf(second, sizeof(second), "%s/second.log", f->folder);
    snprintf(impossible, sizeof(impossible), "%s/none/x.log", f->folder);
    assert_int_equal(loop_log_start(f->log, &f->targets, NULL), ERR_OK);
    assert_true(put(f->log, 0, 0));
    struct loop_log_targets targets = {span_of(second), span_of(impossible)};
    assert_int_equal(loop_log_retarget(f->log, &targets), ERR_SYSTEM);
    assert_int_equal(access(second, F_OK), 0); /* it was tried, and not kept */
    targets.error = f->targets.error;
    assert_int_equal(loop_log_retarget(f->log, &targets), ERR_OK);
    assert_int_equal(loop_log_retarget(f->log, &targets), ERR_OK);
    assert_true(put(f->log, 0, 1));
    loop_log_stop(f->log);
    char *first_text = slurp(f->access), *second_text = slurp(second);
    judge(first_text, &j);
    judge(second_text, &j);
    assert_int_equal(j.lines, 2);
    assert_int_equal(j.missing, 0);
    assert_non_null(strstr(second_text, "\"i\":1,"));
    free(first_text);
    free(second_text);
}

static void test_off(void **state)
{
    struct fixture *f = *state;
    struct loop_log_status status;
    f->targets.access = SPAN("off");
    assert_int_equal(loop_log_start(f->log, &f->targets, NULL), ERR_OK);
    for (unsigned i = 0; i < 100000; i++)
        (void)put(f->log, 0, i);
    loop_log_stop(f->log);
    loop_log_get_status(f->log, &status);
    assert_int_equal(status.lines, 0);
    assert_int_equal(status.dropped, 0);
    assert_int_equal(access("off", F_OK), -1);
}

static void test_one_file_for_both(void **state)
{
    struct fixture *f = *state;
    unsigned errors = 0, accesses = 0;
    f->targets.error = f->targets.access;
    assert_int_equal(loop_log_start(f->log, &f->targets, NULL), ERR_OK);
    for (unsigned i = 0; i < 300; i++) {
        assert_true(put(f->log, 0, i));
        log_write(NULL, LOG_LEVEL_WARN, "test", "line %u", i);
    }
    loop_log_stop(f->log);
    char *text = slurp(f->access);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (line[0] == '{')
            accesses++;
        else if (strstr(line, "warn  test: line ") != NULL)
            errors++;
        else
            fail_msg("a mixed line: %s", line);
    }
    assert_int_equal(accesses, 301);
    assert_int_equal(errors, 300);
    free(text);
}

/* --- kills --------------------------------------------------------------------------------------- */

/* What the writer had begun when it was killed, in every state of the file. */
static void test_block_is_finished_where_it_broke_off(void **state)
{
    struct fixture *f = *state;
    char *whole, path[128];
    begin_by_hand(f);
    for (unsigned i = 0; i < 20; i++)
        assert_true(put(f->log, 0, i));
    pass_all(f);
    end_by_hand(f);
    whole = slurp(f->access);
    size_t len = strlen(whole), before = strlen("an older line\n");
    snprintf(path, sizeof(path), "%s/resumed.log", f->folder);
    for (size_t cut = 0; cut <= len; cut += cut < 200 ? 1 : 37) {
        struct loop_log_stage *stage = &f->log->shared->stages[0];
        struct loop_log_out *out = &f->log->outs[0];
        struct stat info;
        struct span lost;
        FILE *file = fopen(path, "w");
        fprintf(file, "an older line\n%.*s", (int)cut, whole);
        fclose(file);
        assert_int_equal(stat(path, &info), 0);
        memcpy(stage->data, whole, len);
        atomic_store(&stage->len, (uint32_t)len);
        atomic_store(&stage->done, (uint32_t)(cut / 2)); /* the last that was known to be written */
        atomic_store(&stage->is_writing, true);
        stage->is_begun = true;
        stage->dev = (uint64_t)info.st_dev;
        stage->ino = (uint64_t)info.st_ino;
        stage->start_bytes = before;
        strcpy(out->target, path);
        loop_log_out_set(out, loop_log_target_open(path), 0, 0);
        assert_false(loop_log_out_flush(out, 0, &lost));
        loop_log_out_close(out);
        char *text = slurp(path);
        assert_memory_equal(text, "an older line\n", before);
        assert_string_equal(text + before, whole);
        free(text);
    }
    /* Another file than the one it was begun in: from the beginning of the line. */
    struct loop_log_stage *stage = &f->log->shared->stages[0];
    atomic_store(&stage->len, (uint32_t)len);
    atomic_store(&stage->done, (uint32_t)(len - 3));
    stage->is_begun = true;
    stage->ino = 1;
    unlink(path);
    struct span lost;
    loop_log_out_set(&f->log->outs[0], loop_log_target_open(path), 0, 0);
    assert_false(loop_log_out_flush(&f->log->outs[0], 0, &lost));
    loop_log_out_close(&f->log->outs[0]);
    char *text = slurp(path);
    assert_ptr_equal(strstr(text, "{\"v\":1,"), text);
    assert_string_equal(text, whole + len - strlen(text));
    free(text);
    free(whole);
}

/* Per worker, in memory that a kill leaves: numbers used, and lines that are certainly in the ring. */
struct counts {
    _Atomic unsigned used[WORKERS], committed[WORKERS];
};

struct producer {
    struct loop_log *log;
    struct counts *counts;
    unsigned worker;
};

static void *produce(void *arg)
{
    struct producer *producer = arg;
    struct counts *counts = producer->counts;
    for (;;) {
        unsigned number = atomic_fetch_add(&counts->used[producer->worker], 1);
        if (put(producer->log, producer->worker, number))
            atomic_fetch_add(&counts->committed[producer->worker], 1);
        else
            usleep(1000); /* let the writer come */
    }
    return NULL;
}

static void child(struct fixture *f, struct counts *counts)
{
    struct producer producers[WORKERS];
    pthread_t threads[WORKERS];
    if (loop_log_start(f->log, &f->targets, NULL) != ERR_OK)
        _exit(1);
    for (unsigned i = 0; i < WORKERS; i++) {
        producers[i] = (struct producer){f->log, counts, i};
        pthread_create(&threads[i], NULL, produce, &producers[i]);
    }
    pthread_join(threads[0], NULL);
    _exit(1);
}

static void test_killed_children_lose_and_repeat_nothing(void **state)
{
    struct fixture *f = *state;
    struct counts *counts =
        mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const unsigned kills = 15;
    for (unsigned i = 0; i < kills; i++) {
        unsigned before = atomic_load(&counts->used[0]);
        pid_t pid = fork();
        if (pid == 0)
            child(f, counts);
        do
            usleep(100);
        while (f->log->shared->starts <= i || atomic_load(&counts->used[0]) < before + 300 * i);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        loop_log_event(f->log, "\"event\":\"child_restart\"");
    }
    loop_log_finish(f->log, &f->targets);
    struct judged j = judge_file(f->access);
    unsigned used = counts->used[0] + counts->used[1];
    unsigned committed = counts->committed[0] + counts->committed[1];
    /* Each kill may have met each worker between the commit of a line and its count. */
    assert_in_range(j.lines, committed, committed + kills * WORKERS);
    assert_in_range(j.starts, kills, kills + 1);
    assert_true(j.lines <= used && j.drops <= used - j.lines);
    munmap(counts, sizeof(*counts));
}

/* --- what stood in the file before ---------------------------------------------------------------- */

static void put_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

#define BEFORE(seq, rest) "{\"v\":1,\"boot\":\"0badcafe\",\"seq\":" seq rest "\n"

/* A service that is started anew says what the end of the file tells of the one before, and ends a torn line. */
static void test_the_service_before(void **state)
{
    static const struct {
        const char *before, *says, *torn;
    } rows[] = {
        {"", "\"gen\":0}\n", NULL},
        {"no line\n", "\"gen\":0}\n", NULL},
        {BEFORE("9", ",\"path\":\"\\\",\\\"event\\\":\\\"stop\"}"),
         "\"previous_boot\":\"0badcafe\",\"previous_seq\":9,\"previous\":\"killed\"}\n", NULL},
        {BEFORE("9", "}") BEFORE("10", ",\"event\":\"stop\"}") "2026 warn  an error line\n",
         "\"previous_boot\":\"0badcafe\",\"previous_seq\":10,\"previous\":\"stopped\"}\n", NULL},
        {BEFORE("9", ",\"event\":\"stop\"}") BEFORE("10", "}") "{\"v\":1,\"boot\":\"0badcafe\",\"s",
         "\"previous_boot\":\"0badcafe\",\"previous_seq\":10,\"previous\":\"stopped\"}\n",
         "\"0badcafe\",\"s\n{\"v\":1,\"boot\":\""},
        {"{\"v\":1,\"boot\":\"11111111\",\"seq\":7,\"event\":\"stop\"}\n" BEFORE("1", "}"),
         "\"previous_boot\":\"0badcafe\",\"previous_seq\":1,\"previous\":\"killed\"}\n", NULL},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        loop_log_free(f->log);
        f->log = loop_log_new(WORKERS);
        put_file(f->access, rows[i].before);
        assert_int_equal(loop_log_start(f->log, &f->targets, NULL), ERR_OK);
        loop_log_stop(f->log);
        char *text = slurp(f->access);
        if (strncmp(text, rows[i].before, strlen(rows[i].before)) != 0 ||
            strstr(text, rows[i].says) == NULL ||
            (rows[i].torn != NULL && strstr(text, rows[i].torn) == NULL))
            fail_msg("row %zu: %s", i, text);
        free(text);
    }
}

static void test_an_event_that_is_too_long_is_told(void **state)
{
    struct fixture *f = *state;
    char json[LOOP_LOG_EVENT_MAX + 2];
    memset(json, 'x', sizeof(json) - 1);
    json[sizeof(json) - 1] = '\0';
    begin_by_hand(f);
    pass_all(f);
    loop_log_event(f->log, json);
    pass_all(f);
    end_by_hand(f);
    char *text = slurp(f->access);
    assert_non_null(strstr(text, "\"seq\":3,\"ts\":\""));
    assert_non_null(strstr(
        text, ",\"event\":\"dropped\",\"n\":1,\"from_seq\":2,\"reasons\":[\"too_long\"]}\n"));
    free(text);
    assert_int_equal(judge_file(f->access).drops, 1);
}

/* --- syslog --------------------------------------------------------------------------------------- */

static int bind_daemon(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    (void)unlink(path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* A datagram without its head, whose form is checked; NULL: there is none.  *priority of it. */
static char *take_datagram(int fd, const char *tag, unsigned *priority, char room[9000])
{
    char month[4], name[40];
    unsigned day, hour, minute, second, pid;
    int skip = 0;
    ssize_t got = recv(fd, room, 8999, 0);
    if (got < 0)
        return NULL;
    room[got] = '\0';
    assert_int_equal(sscanf(room, "<%u>%3s %2u %2u:%2u:%2u %39[^[][%u]: %n", priority, month, &day,
                            &hour, &minute, &second, name, &pid, &skip),
                     8);
    assert_string_equal(name, tag);
    assert_int_equal(pid, getpid());
    assert_null(strchr(room + skip, '\n'));
    return room + skip;
}

static void test_syslog(void **state)
{
    struct fixture *f = *state;
    char path[96], target[160], plain[160], room[9000], *line;
    unsigned priority, taken = 0, lines = 0;
    snprintf(path, sizeof(path), "%s/log", f->folder);
    snprintf(target, sizeof(target), "syslog:socket=%s,facility=local3,tag=edge-1", path);
    snprintf(plain, sizeof(plain), "syslog:socket=%s", path);
    f->targets = (struct loop_log_targets){span_of(target), span_of(plain)};
    int daemon = bind_daemon(path);
    begin_by_hand(f);
    loop_log_adopt_errors(f->log, true);
    log_write(NULL, LOG_LEVEL_WARN, "test", "the moon is full");
    loop_log_adopt_errors(f->log, false);
    assert_true(put(f->log, 0, 0));
    pass_all(f);
    line = take_datagram(daemon, "edge-1", &priority, room);
    assert_non_null(strstr(line, "\"event\":\"start\""));
    assert_int_equal(priority, 19 * 8 + 6);
    line = take_datagram(daemon, "edge-1", &priority, room);
    assert_non_null(strstr(line, "\"seq\":2,\"ts\":\"t\",\"w\":0,\"i\":0,"));
    assert_string_equal(take_datagram(daemon, "sluice", &priority, room), "test: the moon is full");
    assert_int_equal(priority, 3 * 8 + 4);

    /* A daemon that is started anew is found at once; nothing is lost. */
    close(daemon);
    daemon = bind_daemon(path);
    assert_true(put(f->log, 0, 1));
    pass_all(f);
    assert_non_null(strstr(take_datagram(daemon, "edge-1", &priority, room), "\"seq\":3,"));

    /* One that takes nothing stops nobody; what the ring cannot hold is counted. */
    while (put(f->log, 0, 2 + taken) && taken < 1000000)
        if (++taken % 100 == 0)
            pass_all(f);
    assert_int_equal(f->log->outs[0].state, LOOP_LOG_OUT_STALLED);
    while ((line = take_datagram(daemon, "edge-1", &priority, room)) != NULL) {
        lines++;
        if (strstr(line, "\"event\":\"dropped\"") != NULL)
            break;
        pass_all(f);
    }
    assert_non_null(line);
    assert_non_null(strstr(line, "\"n\":1,"));
    assert_non_null(strstr(line, "\"reasons\":[\"no_syslog\"]}"));

    /* One that is dead: dropped, counted, and said when it is back. */
    while (take_datagram(daemon, "edge-1", &priority, room) != NULL)
        pass_all(f);
    close(daemon);
    assert_true(put(f->log, 1, 0) && put(f->log, 1, 1));
    pass_all(f);
    assert_int_equal(f->log->outs[0].state, LOOP_LOG_OUT_FAILING);
    daemon = bind_daemon(path);
    retry_now(f);
    pass_all(f);
    assert_true(put(f->log, 1, 2));
    pass_all(f);
    line = take_datagram(daemon, "edge-1", &priority, room);
    assert_non_null(strstr(line, "\"event\":\"dropped\",\"n\":2,"));
    line = take_datagram(daemon, "edge-1", &priority, room);
    assert_non_null(strstr(line, "\"w\":1,\"i\":2,"));
    close(daemon);
    end_by_hand(f);
}

static void test_syslog_targets(void **state)
{
    static const struct {
        const char *target, *fault;
    } rows[] = {
        {"syslog", NULL},
        {"syslog:facility=local7", NULL},
        {"syslog:tag=a.b-c_9,facility=daemon,socket=/run/x", NULL},
        {"syslog:", "stand socket=PATH"},
        {"syslog:facility=local3,", "stand socket=PATH"},
        {"syslog:facility=local8", "the facility of syslog is"},
        {"syslog:tag=", "the tag of syslog is"},
        {"syslog:tag=a b", "the tag of syslog is"},
        {"syslog:socket=relative", "the socket of syslog is"},
        {"syslog:host=there", "stand socket=PATH"},
    };
    char why[256];
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *fault = loop_log_target_fault(span_of(rows[i].target), why);
        if ((fault == NULL) != (rows[i].fault == NULL) ||
            (fault != NULL && strstr(fault, rows[i].fault) == NULL))
            fail_msg("%s: %s", rows[i].target, fault);
    }
    assert_false(loop_log_syslog_is(SPAN("syslog.log")));
}

static void test_target_faults(void **state)
{
    struct fixture *f = *state;
    char why[256], path[4200];
    static const char *const good[] = {"off", "stdout", "stderr", "relative.log"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_null(loop_log_target_fault(span_of(good[i]), why));
    assert_null(loop_log_target_fault(span_of(f->access), why));
    assert_int_equal(access(f->access, F_OK), -1); /* nothing is made by asking */
    assert_non_null(strstr(loop_log_target_fault(span_of(f->folder), why), "directory"));
    snprintf(path, sizeof(path), "%s/none/x.log", f->folder);
    assert_non_null(strstr(loop_log_target_fault(span_of(path), why), "No such file"));
    memset(path, 'x', sizeof(path));
    assert_non_null(loop_log_target_fault((struct span){path, sizeof(path)}, why));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines_are_numbered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_error_lines_go_to_their_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_ring_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folder_that_is_missing_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stalled_pipe, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retarget, setup, teardown),
        cmocka_unit_test_setup_teardown(test_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_file_for_both, setup, teardown),
        cmocka_unit_test_setup_teardown(test_block_is_finished_where_it_broke_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_children_lose_and_repeat_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_the_service_before, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_event_that_is_too_long_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_syslog, setup, teardown),
        cmocka_unit_test(test_syslog_targets),
        cmocka_unit_test_setup_teardown(test_target_faults, setup, teardown),
    };
    signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_LEVEL_WARN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
