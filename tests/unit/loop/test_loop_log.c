/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop_log.c - the log as a whole: numbers without gaps, whole lines, and nothing lost or told twice through
 * kills, full disks, stalled pipes, rotation and changed targets. */
#include "loop/loop_log_testing.h"

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
    assert_int_equal(atomic_load(&f->log->shared->dropped[0]), 10); /* LOOP_LOG_WHY_RING */
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
    struct loop_log_status status;
    loop_log_get_status(f->log, &status);
    assert_int_equal(j.drops, status.dropped);
    assert_in_range(atomic_load(&f->log->shared->dropped[2]), 1, j.drops); /* LOOP_LOG_WHY_DISK */
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
        cmocka_unit_test_setup_teardown(test_target_faults, setup, teardown),
    };
    signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_LEVEL_WARN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
