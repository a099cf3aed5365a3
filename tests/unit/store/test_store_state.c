/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_state - the state file: what is saved comes back; what is damaged does not; what is over stays
 * over; a save beside busy threads never shows less than there was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_hash.h"
#include "base/base_rng.h"
#include "store/store_memory.h"
#include "store/store_testing.h"

#define HEADER_BYTES 64
#define RECORD_BYTES 64
#define CHECKSUM_AT  40
#define CHUNK_BYTES  65536
#define WHY_BYTES    256

static const struct quota quota = {
    .id = {1}, .limit_count = 3, .limits = {MINUTE(1000000), HOUR(1000000), DAY(1000000)}};

struct fixture {
    char directory[64], path[96], spare[96];
};

static int make_directory(void **state)
{
    static struct fixture fixture;
    strcpy(fixture.directory, "/tmp/test_store_state.XXXXXX");
    if (mkdtemp(fixture.directory) == NULL)
        return -1;
    snprintf(fixture.path, sizeof(fixture.path), "%s/state", fixture.directory);
    snprintf(fixture.spare, sizeof(fixture.spare), "%s/state.new", fixture.directory);
    *state = &fixture;
    return 0;
}

static int remove_directory(void **state)
{
    struct fixture *fixture = *state;
    unlink(fixture->path);
    unlink(fixture->spare);
    return rmdir(fixture->directory);
}

static struct store_memory *new_store(uint32_t subjects)
{
    struct store_memory *store = store_memory_new(subjects);
    assert_non_null(store);
    return store;
}

static void spend(struct store_memory *store, uint64_t subject, uint64_t now_s, uint32_t cost)
{
    struct quota_charge charge = testing_charge(&quota, subject, cost);
    assert_int_equal(store_memory_charge(store, &charge, 1, US(now_s), NULL), STORE_CHARGED);
}

static void expect_used(struct store_memory *store, uint64_t subject, uint64_t now_s,
                        uint32_t minute, uint32_t hour, uint32_t day)
{
    struct quota_charge charge = testing_charge(&quota, subject, 2000000);
    assert_int_equal(store_memory_charge(store, &charge, 1, US(now_s), NULL), STORE_REFUSED);
    assert_int_equal(charge.readings[0].used, minute);
    assert_int_equal(charge.readings[1].used, hour);
    assert_int_equal(charge.readings[2].used, day);
}

static void save(struct store_memory *store, const char *path, uint64_t now_s)
{
    char why[WHY_BYTES];
    if (store_memory_save(store, path, US(now_s), why) != ERR_OK)
        fail_msg("%s", why);
}

static void load(struct store_memory *store, const char *path, uint64_t now_s)
{
    char why[WHY_BYTES];
    if (store_memory_load(store, path, US(now_s), why) != ERR_OK)
        fail_msg("%s", why);
}

static size_t read_file(const char *path, uint8_t *bytes, size_t room)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t len = fread(bytes, 1, room, file);
    fclose(file);
    return len;
}

static void write_file(const char *path, const uint8_t *bytes, size_t len)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void test_comes_back(void **state)
{
    struct fixture *fixture = *state;
    static const unsigned counts[] = {0, 1, 5, 1023, 1024, 1025, 3000};
    for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        struct store_memory *store = new_store(4000);
        for (unsigned i = 0; i < counts[c]; i++)
            spend(store, i, T0_S, 1 + i);
        save(store, fixture->path, T0_S);
        struct stat status;
        assert_int_equal(stat(fixture->path, &status), 0);
        assert_int_equal(status.st_mode & 07777, 0600);
        assert_int_equal(status.st_size, HEADER_BYTES + RECORD_BYTES * counts[c]);
        assert_int_equal(access(fixture->spare, F_OK), -1);

        struct store_memory *next = new_store(4000);
        load(next, fixture->path, T0_S + 1);
        assert_int_equal(store_memory_subjects(next, NULL), counts[c]);
        for (unsigned i = 0; i < counts[c]; i++)
            expect_used(next, i, T0_S + 1, 1 + i, 1 + i, 1 + i);
        store_memory_free(next);
        store_memory_free(store);
    }
}

static void test_what_is_over_stays_over(void **state)
{
    struct fixture *fixture = *state;
    struct store_memory *store = new_store(100);
    spend(store, 1, T0_S + 10, 5);
    spend(store, 2, T0_S - 10, 5); /* all its windows are over when saved */
    save(store, fixture->path, T0_S + 10);
    struct stat status;
    assert_int_equal(stat(fixture->path, &status), 0);
    assert_int_equal(status.st_size, HEADER_BYTES + RECORD_BYTES);

    static const struct {
        uint64_t now_s;
        uint32_t minute, hour, day, subjects;
    } rows[] = {
        {T0_S + 59, 5, 5, 5, 1},    {T0_S + 60, 0, 5, 5, 1}, {T0_S + 3600, 0, 0, 5, 1},
        {T0_S + 86400, 0, 0, 0, 0}, {T0_S - 50, 5, 5, 5, 1}, /* kept, and mended */
        {T0_S - 86400, 5, 5, 5, 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct store_memory *next = new_store(100);
        load(next, fixture->path, rows[i].now_s);
        assert_int_equal(store_memory_subjects(next, NULL), rows[i].subjects);
        expect_used(next, 1, rows[i].now_s, rows[i].minute, rows[i].hour, rows[i].day);
        expect_used(next, 2, rows[i].now_s, 0, 0, 0);
        store_memory_free(next);
    }

    /* A clock that starts in 1970 and is set right later must not lose what was used. */
    struct store_memory *next = new_store(100);
    load(next, fixture->path, 5);
    save(next, fixture->path, 6);
    expect_used(next, 3, 7, 0, 0, 0);
    expect_used(next, 1, T0_S + 12, 5, 5, 5);
    store_memory_free(next);
    next = new_store(100);
    load(next, fixture->path, T0_S + 12);
    expect_used(next, 1, T0_S + 12, 5, 5, 5);
    store_memory_free(next);
    store_memory_free(store);
}

static void test_load_never_lowers(void **state)
{
    struct fixture *fixture = *state;
    struct store_memory *store = new_store(100);
    spend(store, 1, T0_S, 5);
    spend(store, 2, T0_S, 5);
    save(store, fixture->path, T0_S);
    spend(store, 1, T0_S, 3);
    spend(store, 3, T0_S + 60, 1);
    spend(store, 2, T0_S + 60, 1);
    load(store, fixture->path, T0_S + 50);
    expect_used(store, 1, T0_S, 8, 8, 8);
    expect_used(store, 2, T0_S + 60, 1, 6, 6);
    expect_used(store, 3, T0_S + 60, 1, 1, 1);
    store_memory_free(store);
}

static void test_overflow_comes_back(void **state)
{
    struct fixture *fixture = *state;
    struct store_memory *store = new_store(0);
    static const struct quota filler = {.id = {2}, .limit_count = 1, .limits = {MINUTE(1)}};
    struct quota_charge charge;
    for (uint64_t i = 0; i < 3000; i++)
        (void)testing_ask(store, &filler, i, T0_S, &charge);
    spend(store, 1, T0_S, 7); /* a newcomer to a full table */
    save(store, fixture->path, T0_S);
    struct store_memory *next = new_store(100);
    load(next, fixture->path, T0_S + 60);
    expect_used(next, 1, T0_S + 60, 0, 7, 7);
    store_memory_free(next);
    store_memory_free(store);
}

/* Fewer subjects than before: those that fit are loaded, the rest is said, nothing is evicted. */
static void test_smaller_table(void **state)
{
    struct fixture *fixture = *state;
    struct store_memory *store = new_store(3000);
    for (unsigned i = 0; i < 3000; i++)
        spend(store, i, T0_S, 5);
    save(store, fixture->path, T0_S);
    struct store_memory *next = new_store(100);
    char why[WHY_BYTES];
    assert_int_equal(store_memory_load(next, fixture->path, US(T0_S), why), ERR_LIMIT);
    assert_non_null(strstr(why, "more than there is room for"));
    uint64_t max, loaded = store_memory_subjects(next, &max), found = 0;
    assert_true(loaded >= 100 && loaded <= max);
    for (unsigned i = 0; i < 3000; i++) {
        struct quota_charge charge = testing_charge(&quota, i, 2000000);
        assert_int_equal(store_memory_charge(next, &charge, 1, US(T0_S), NULL), STORE_REFUSED);
        found += charge.readings[0].used == 5;
    }
    assert_int_equal(found, loaded);
    store_memory_free(next);
    store_memory_free(store);
}

static void expect_damaged(const struct fixture *fixture)
{
    static struct store_memory *store;
    char why[WHY_BYTES];
    if (store == NULL)
        store = new_store(10);
    assert_int_equal(store_memory_load(store, fixture->path, US(T0_S), why), ERR_INVALID);
    assert_non_null(strstr(why, fixture->path));
    assert_non_null(strstr(why, "nothing was loaded"));
    assert_int_equal(store_memory_subjects(store, NULL), 0);
}

static void test_damage_small(void **state)
{
    struct fixture *fixture = *state;
    struct store_memory *store = new_store(100);
    for (unsigned i = 0; i < 3; i++)
        spend(store, i, T0_S, 1 + i);
    save(store, fixture->path, T0_S);
    static uint8_t bytes[1024];
    size_t len = read_file(fixture->path, bytes, sizeof(bytes));
    assert_int_equal(len, HEADER_BYTES + 3 * RECORD_BYTES);
    for (size_t bit = 0; bit < len * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        write_file(fixture->path, bytes, len);
        expect_damaged(fixture);
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    for (size_t cut = 0; cut < len; cut++) {
        write_file(fixture->path, bytes, cut);
        expect_damaged(fixture);
    }
    for (size_t more = 1; more <= 2 * RECORD_BYTES; more++) {
        write_file(fixture->path, bytes, len + more);
        expect_damaged(fixture);
    }
    store_memory_free(store);
}

static void test_damage_large(void **state)
{
    struct fixture *fixture = *state;
    struct store_memory *store = new_store(3000);
    for (unsigned i = 0; i < 2500; i++)
        spend(store, i, T0_S, 1 + i);
    save(store, fixture->path, T0_S);
    static uint8_t bytes[4 * CHUNK_BYTES];
    size_t len = read_file(fixture->path, bytes, sizeof(bytes));
    struct rng rng = {{1, 2, 3, 4}};
    for (unsigned i = 0; i < 100; i++) {
        size_t at = rng_below(&rng, len);
        uint8_t change = (uint8_t)(1 + rng_below(&rng, 255));
        bytes[at] ^= change;
        write_file(fixture->path, bytes, len);
        expect_damaged(fixture);
        bytes[at] ^= change;
        write_file(fixture->path, bytes, rng_below(&rng, len));
        expect_damaged(fixture);
    }
    /* Two chunks, and two records, in each other's place. */
    static uint8_t other[CHUNK_BYTES];
    for (size_t size = RECORD_BYTES; size <= CHUNK_BYTES; size += CHUNK_BYTES - RECORD_BYTES) {
        uint8_t *first = bytes + HEADER_BYTES, *second = first + size;
        for (unsigned turn = 0; turn < 2; turn++) {
            memcpy(other, first, size);
            memcpy(first, second, size);
            memcpy(second, other, size);
            write_file(fixture->path, bytes, len);
            if (turn == 0)
                expect_damaged(fixture);
        }
    }
    struct store_memory *next = new_store(3000);
    load(next, fixture->path, T0_S); /* whole again */
    store_memory_free(next);
    store_memory_free(store);
}

/* The checksum of a file of one chunk, as store_state.c says it is made. */
static void seal(uint8_t *bytes, size_t len)
{
    struct hash_key key = {0, 0};
    memset(bytes + CHECKSUM_AT, 0, 8);
    key.k0 = hash_sip64(key, bytes + HEADER_BYTES, len - HEADER_BYTES);
    key.k1 = 1;
    uint64_t sum = hash_sip64(key, bytes, HEADER_BYTES);
    memcpy(bytes + CHECKSUM_AT, &sum, 8);
}

static void put32(uint8_t *bytes, size_t at, uint32_t value)
{
    memcpy(bytes + HEADER_BYTES + 16 + at, &value, 4);
}

/* A whole file with nonsense in it: the fields of the first record's windows, period, start, used. */
static void test_nonsense(void **state)
{
    struct fixture *fixture = *state;
    struct store_memory *store = new_store(100);
    spend(store, 1, T0_S, 5);
    save(store, fixture->path, T0_S);
    static uint8_t bytes[1024], copy[1024];
    size_t len = read_file(fixture->path, bytes, sizeof(bytes));
    memcpy(copy, bytes, len);
    seal(bytes, len);
    assert_memory_equal(copy, bytes, len);

    static const struct {
        size_t at;
        uint32_t value;
    } rows[] = {
        {0, 0},          /* no first window, but a second */
        {0, 3600},       /* a period twice */
        {12, 0},         /* a gap */
        {4, T0_S + 1},   /* a start that is none */
        {8, 0},          /* a window that counts nothing */
        {36 + 4, T0_S},  /* no fourth period, but a start */
        {36 + 8, 7},     /* or a count */
        {0, 4294967295}, /* a period that the start does not fit */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        memcpy(bytes, copy, len);
        put32(bytes, rows[i].at, rows[i].value);
        seal(bytes, len);
        write_file(fixture->path, bytes, len);
        expect_damaged(fixture);
    }
    /* Another layout, whole: refused for what it is. */
    memcpy(bytes, copy, len);
    bytes[8] = 2;
    seal(bytes, len);
    write_file(fixture->path, bytes, len);
    expect_damaged(fixture);
    store_memory_free(store);
}

static void test_cannot(void **state)
{
    struct fixture *fixture = *state;
    struct store_memory *store = new_store(100);
    char why[WHY_BYTES], path[8192];
    unlink(fixture->path);
    assert_int_equal(store_memory_load(store, fixture->path, US(T0_S), why), ERR_NOTFOUND);
    assert_non_null(strstr(why, "No such file"));
    assert_int_equal(store_memory_load(store, fixture->directory, US(T0_S), why), ERR_INVALID);
    assert_int_equal(store_memory_load(store, "/dev/null", US(T0_S), why), ERR_INVALID);
    assert_int_equal(mkfifo(fixture->path, 0600), 0);
    assert_int_equal(store_memory_load(store, fixture->path, US(T0_S), why), ERR_INVALID);
    unlink(fixture->path);

    assert_int_equal(store_memory_save(store, "/nowhere/at/all", US(T0_S), why), ERR_SYSTEM);
    assert_non_null(strstr(why, "/nowhere/at/all"));
    memset(path, 'x', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(store_memory_save(store, path, US(T0_S), why), ERR_INVALID);
    assert_int_equal(store_memory_load(store, path, US(T0_S), why), ERR_SYSTEM);
    assert_true(strlen(why) < WHY_BYTES);

    /* The name is taken by a directory: the temporary file is removed again. */
    assert_int_equal(mkdir(fixture->path, 0700), 0);
    assert_int_equal(store_memory_save(store, fixture->path, US(T0_S), why), ERR_SYSTEM);
    assert_int_equal(access(fixture->spare, F_OK), -1);
    assert_int_equal(rmdir(fixture->path), 0);

    /* What a save that was cut short left behind is no obstacle. */
    write_file(fixture->spare, (const uint8_t *)"half", 4);
    save(store, fixture->path, T0_S);
    assert_int_equal(access(fixture->spare, F_OK), -1);
    store_memory_free(store);
}

/* No room on the disk: said, and the file of before is still there, whole. */
static void test_disk_full(void **state)
{
    struct fixture *fixture = *state;
    struct store_memory *store = new_store(3000);
    spend(store, 1, T0_S, 5);
    save(store, fixture->path, T0_S);
    for (unsigned i = 2; i < 2000; i++)
        spend(store, i, T0_S, 5);
    struct rlimit before, tight = {100000, 100000};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight.rlim_max = before.rlim_max;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    char why[WHY_BYTES];
    enum err err = store_memory_save(store, fixture->path, US(T0_S), why);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(err, ERR_SYSTEM);
    assert_non_null(strstr(why, "File too large"));
    assert_int_equal(access(fixture->spare, F_OK), -1);
    struct store_memory *next = new_store(3000);
    load(next, fixture->path, T0_S);
    assert_int_equal(store_memory_subjects(next, NULL), 1);
    store_memory_free(next);
    store_memory_free(store);
}

#define BUSY_SUBJECTS 40

struct busy {
    struct store_memory *store;
    _Atomic bool is_over;
    _Atomic uint32_t spent[BUSY_SUBJECTS];
};

/* Known subjects go up; newcomers come and go between them. */
static void *keep_busy(void *arg)
{
    struct busy *busy = arg;
    static const struct quota passing = {.id = {2}, .limit_count = 1, .limits = {SECOND(1)}};
    for (uint64_t i = 0; !atomic_load(&busy->is_over) && i < 500000; i++) {
        unsigned subject = (unsigned)(i * 7 % BUSY_SUBJECTS);
        spend(busy->store, subject, T0_S + 3600, 1);
        atomic_fetch_add(&busy->spent[subject], 1);
        struct quota_charge charge;
        (void)testing_ask(busy->store, &passing, i, T0_S + 3600 + i / 50 % 50, &charge);
    }
    return NULL;
}

static void test_save_beside_busy_threads(void **state)
{
    struct fixture *fixture = *state;
    static struct busy busy;
    memset(&busy, 0, sizeof(busy));
    busy.store = new_store(60);
    for (unsigned i = 0; i < BUSY_SUBJECTS; i++) {
        spend(busy.store, i, T0_S + 3600, 1);
        busy.spent[i] = 1;
    }
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, keep_busy, &busy), 0);
    for (unsigned round = 0; round < 60; round++) {
        uint32_t before[BUSY_SUBJECTS];
        for (unsigned i = 0; i < BUSY_SUBJECTS; i++)
            before[i] = atomic_load(&busy.spent[i]);
        save(busy.store, fixture->path, T0_S + 3600);
        struct store_memory *next = new_store(200);
        load(next, fixture->path, T0_S + 3600);
        for (unsigned i = 0; i < BUSY_SUBJECTS; i++) {
            struct quota_charge charge = testing_charge(&quota, i, 2000000);
            assert_int_equal(store_memory_charge(next, &charge, 1, US(T0_S + 3600), NULL),
                             STORE_REFUSED);
            for (unsigned w = 0; w < 3; w++) {
                assert_true(charge.readings[w].used >= before[i]);
                assert_true(charge.readings[w].used <= atomic_load(&busy.spent[i]) + 1);
            }
        }
        store_memory_free(next);
    }
    atomic_store(&busy.is_over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    store_memory_free(busy.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comes_back),
        cmocka_unit_test(test_what_is_over_stays_over),
        cmocka_unit_test(test_load_never_lowers),
        cmocka_unit_test(test_overflow_comes_back),
        cmocka_unit_test(test_smaller_table),
        cmocka_unit_test(test_damage_small),
        cmocka_unit_test(test_damage_large),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_cannot),
        cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_save_beside_busy_threads),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
