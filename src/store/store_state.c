/* SPDX-License-Identifier: Apache-2.0 */
/* store_state.c - the embedded store's file.  Takes: a store that others may be changing.  Gives: a file
 * that is whole or not there, and its contents back.  Never: takes a lock of the store while saving (the
 * parent saves; a child that is stopped must not stop the parent), loads any of a damaged file.
 *
 * The file: a header of 64 bytes, then records of 64 bytes, first the subjects', then the overflow
 * cells', then the grants in force (extra as the period, and the start at which they end).  A window's period is its code (quota_algorithm.h), so a bucket's instant and the window before are
 * records like calendar counts.  Numbers are in the byte order of the machine; the layout number tells a foreign one.  The
 * checksum is SipHash-2-4 chained over chunks of 64 KiB, then over the header.
 *
 * What a save without locks can see.  Each window is one word and only ever counts up, so what is read
 * is at least what stood there when the save began.  A cell that changes hands while it is read was
 * idle before, so nothing of it is missed.  Overflow cells are read after the subjects: a subject made
 * during the save is missed, but what it spent in overflow is not. */
#include "store/store_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base_hash.h"
#include "store/store_memory_private.h"

#define STATE_MAGIC   "SLUICEST"
#define STATE_LAYOUT  UINT32_C(1)
#define WHY_BYTES     256
#define CHUNK_RECORDS 1024
#define READ_TRIES    64 /* of a cell that changes hands; each means that another thread got on */

struct state_header {
    char magic[8];
    uint32_t layout, record_bytes;
    uint64_t subjects, overflows; /* records of either kind */
    uint64_t saved_at_us;         /* wall clock; for people who look at the file */
    uint64_t checksum;            /* over the records, then over this header with 0 here */
    uint64_t grants;              /* records of a third kind; 0 in older files */
    uint8_t zero[8];
};

struct state_record {
    uint8_t key[16];
    struct store_window windows[QUOTA_WINDOWS_MAX]; /* unused ones are zero and last */
};

_Static_assert(sizeof(struct state_header) == 64, "part of the file's layout");
_Static_assert(sizeof(struct state_record) == 64, "part of the file's layout");

/* A file being written or read, a chunk at a time. */
struct state_file {
    int fd;
    unsigned filled;     /* records of the chunk */
    struct hash_key sum; /* k0: the chain, k1: number of the chunk */
    struct state_record chunk[CHUNK_RECORDS];
};

__attribute__((format(printf, 3, 4))) static enum err say(char why[WHY_BYTES], enum err err,
                                                          const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why, WHY_BYTES, format, args);
    va_end(args);
    return err;
}

static void add_to_sum(struct state_file *file, const void *bytes, size_t len)
{
    file->sum.k0 = hash_sip64(file->sum, bytes, len);
    file->sum.k1++;
}

static uint64_t final_sum(const struct state_file *file, const struct state_header *header)
{
    struct state_header copy = *header;
    copy.checksum = 0;
    return hash_sip64(file->sum, &copy, sizeof(copy));
}

static bool write_all(int fd, const void *bytes, size_t len)
{
    const char *next = bytes;
    while (len > 0) {
        ssize_t done = write(fd, next, len);
        if (done < 0 && errno != EINTR)
            return false;
        if (done > 0) {
            next += done;
            len -= (size_t)done;
        }
    }
    return true;
}

static bool read_all(int fd, void *bytes, size_t len)
{
    char *next = bytes;
    while (len > 0) {
        ssize_t done = read(fd, next, len);
        if (done == 0 || (done < 0 && errno != EINTR))
            return false;
        if (done > 0) {
            next += done;
            len -= (size_t)done;
        }
    }
    return true;
}

static bool flush_chunk(struct state_file *file)
{
    size_t bytes = file->filled * sizeof(file->chunk[0]);
    if (bytes == 0)
        return true;
    add_to_sum(file, file->chunk, bytes);
    file->filled = 0;
    return write_all(file->fd, file->chunk, bytes);
}

/* Read one cell without its lock.  False: it has nothing to save. */
static bool read_cell(const struct store_memory *store, const struct store_cells *cells,
                      struct store_cell *cell, uint64_t now_s, struct state_record *record)
{
    for (unsigned tries = 0; tries < READ_TRIES; tries++) {
        memset(record, 0, sizeof(*record));
        store_cell_key(cell, record->key);
        unsigned count =
            store_windows_snapshot(store->periods, store_cell_body(cell), now_s, record->windows);
        if (!store_cells_is_held(cells, cell))
            return false; /* an idle one that is being given away */
        if (store_cell_has(cell, record->key))
            return count != 0;
    }
    return false;
}

static bool save_cells(struct state_file *file, const struct store_memory *store,
                       const struct store_cells *cells, uint64_t now_s, uint64_t *count)
{
    uint64_t position = 0;
    struct store_cell *cell;
    while ((cell = store_cells_next(cells, &position)) != NULL) {
        if (!read_cell(store, cells, cell, now_s, &file->chunk[file->filled]))
            continue;
        ++*count;
        if (++file->filled == CHUNK_RECORDS && !flush_chunk(file))
            return false;
    }
    return true;
}

static bool save_grants(struct state_file *file, const struct store_memory *store, uint64_t now_s,
                        uint64_t *count)
{
    uint64_t position = 0;
    struct store_cell *cell;
    while ((cell = store_cells_next(&store->grants, &position)) != NULL) {
        const struct store_memory_grant *grant = store_cell_body(cell);
        struct state_record *record = &file->chunk[file->filled];
        memset(record, 0, sizeof(*record));
        store_cell_key(cell, record->key);
        uint64_t word = atomic_load_explicit(&grant->word, memory_order_acquire);
        record->windows[0].period_s = (uint32_t)word;
        record->windows[0].start_s = (uint32_t)(word >> 32);
        if (!store_cell_has(cell, record->key) || (uint32_t)word == 0 || word >> 32 <= now_s)
            continue;
        ++*count;
        if (++file->filled == CHUNK_RECORDS && !flush_chunk(file))
            return false;
    }
    return true;
}

static bool save_content(struct state_file *file, const struct store_memory *store, uint64_t now_us)
{
    struct state_header header = {
        .layout = STATE_LAYOUT, .record_bytes = sizeof(struct state_record), .saved_at_us = now_us};
    memcpy(header.magic, STATE_MAGIC, sizeof(header.magic));
    uint64_t now_s = now_us / 1000000;
    if (lseek(file->fd, sizeof(header), SEEK_SET) < 0 ||
        !save_cells(file, store, &store->subjects, now_s, &header.subjects) ||
        !save_cells(file, store, &store->overflow, now_s, &header.overflows) ||
        !save_grants(file, store, now_s, &header.grants) || !flush_chunk(file))
        return false;
    header.checksum = final_sum(file, &header);
    return lseek(file->fd, 0, SEEK_SET) == 0 && write_all(file->fd, &header, sizeof(header)) &&
           fsync(file->fd) == 0;
}

/* Make the rename itself last. */
static bool sync_directory(const char *path)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    memcpy(directory, path, len);
    directory[len] = '\0';
    int fd = open(len == 0 ? "." : directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool is_synced = fsync(fd) == 0 || errno == EINVAL; /* not every file system can */
    int saved_errno = errno;
    close(fd);
    errno = saved_errno;
    return is_synced;
}

enum err store_memory_save(const struct store_memory *store, const char *path, uint64_t now_us,
                           char why[WHY_BYTES])
{
    char temporary[PATH_MAX];
    enum err err = ERR_OK;
    int length = snprintf(temporary, sizeof(temporary), "%s.new", path);
    if (length < 0 || (size_t)length >= sizeof(temporary))
        return say(why, ERR_INVALID, "the state file's path is too long");
    why[0] = '\0';
    struct state_file *file = calloc(1, sizeof(*file));
    if (file == NULL)
        return say(why, ERR_NOMEM, "no memory for saving the state");

    unlink(temporary); /* left by a save that was cut short */
    file->fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file->fd < 0) {
        err = say(why, ERR_SYSTEM, "cannot create %.150s: %s", temporary, strerror(errno));
        goto out;
    }
    if (!save_content(file, store, now_us)) {
        err = say(why, ERR_SYSTEM, "cannot write %.150s: %s", temporary, strerror(errno));
        unlink(temporary);
        goto out;
    }
    if (rename(temporary, path) != 0) {
        err = say(why, ERR_SYSTEM, "cannot rename %.150s: %s", temporary, strerror(errno));
        unlink(temporary);
        goto out;
    }
    if (!sync_directory(path))
        err =
            say(why, ERR_SYSTEM, "cannot sync the directory of %.150s: %s", path, strerror(errno));
out:
    if (file->fd >= 0)
        close(file->fd);
    free(file);
    return err;
}

static bool is_window_sound(const struct store_window *window)
{
    uint32_t period_s = quota_code_period(window->period_s);
    enum quota_kind kind = quota_code_kind(window->period_s);
    if (kind == QUOTA_KIND_BUCKET)
        return period_s != 0 && window->used < QUOTA_UNITS_PER_S;
    if (kind > QUOTA_KIND_BUCKET || period_s == 0 || window->start_s % period_s != 0)
        return false;
    return window->used != 0 || kind == QUOTA_KIND_BEFORE;
}

static bool is_record_sound(const struct state_record *record)
{
    for (unsigned w = 0; w < QUOTA_WINDOWS_MAX; w++) {
        const struct store_window *window = &record->windows[w];
        if (window->period_s == 0) {
            if (w == 0 || window->start_s != 0 || window->used != 0)
                return false;
            continue;
        }
        if (!is_window_sound(window))
            return false;
        for (unsigned before = 0; before < w; before++) {
            if (record->windows[before].period_s == window->period_s ||
                record->windows[before].period_s == 0)
                return false;
        }
    }
    return true;
}

static bool is_grant_sound(const struct state_record *record)
{
    static const struct store_window none[QUOTA_WINDOWS_MAX - 1];
    const struct store_window *grant = &record->windows[0];
    return grant->period_s != 0 && grant->period_s <= INT32_MAX && grant->used == 0 &&
           memcmp(record->windows + 1, none, sizeof(none)) == 0;
}

/* The later window wins; of the same one, the larger count. */
static bool merge_window(struct store_memory *store, struct store_windows *windows, uint64_t now_s,
                         const struct store_window *saved)
{
    struct store_window there = {0};
    bool is_count = quota_code_kind(saved->period_s) == QUOTA_KIND_COUNT;
    int slot = is_count
                   ? store_windows_seek(store->periods, windows, now_s, saved->period_s, &there)
                   : store_windows_find(store->periods, windows, saved->period_s, &there);
    if (there.used != 0 && (there.start_s > saved->start_s ||
                            (there.start_s == saved->start_s && there.used >= saved->used)))
        return true;
    if (slot < 0) {
        return store_windows_add(store->periods, windows, now_s, saved, NULL);
    }
    store_windows_put(windows, slot, saved);
    return true;
}

/* False: it does not fit. */
static bool merge_record(struct store_memory *store, const struct store_cells *cells,
                         const struct state_record *record, uint64_t now_s)
{
    struct store_cell *cell = NULL;
    bool fits = true;
    for (unsigned w = 0; w < QUOTA_WINDOWS_MAX && record->windows[w].period_s != 0; w++) {
        const struct store_window *saved = &record->windows[w];
        bool is_beside = store_window_is_beside(record->windows, QUOTA_WINDOWS_MAX, w);
        if (!store_window_counts(saved, is_beside, now_s))
            continue; /* over since */
        if (cell == NULL && (cell = store_cells_take(cells, record->key, now_s)) == NULL)
            return false;
        if ((store_memory_note(cell) & STORE_MEMORY_SETTLED) == 0)
            store_memory_settle(store, cell, record->key);
        fits = merge_window(store, store_cell_body(cell), now_s, saved) && fits;
    }
    if (cell != NULL)
        store_cell_unlock(cell);
    return fits;
}

/* NULL, or what is wrong with the header of a file of so many bytes. */
static const char *header_fault(const struct state_header *header, uint64_t file_bytes)
{
    if (memcmp(header->magic, STATE_MAGIC, sizeof(header->magic)) != 0)
        return "is not a state file";
    if (header->layout != STATE_LAYOUT || header->record_bytes != sizeof(struct state_record))
        return "has a layout that this version cannot read";
    uint64_t records = (file_bytes - sizeof(*header)) / sizeof(struct state_record);
    if (header->subjects > records || header->overflows > records - header->subjects ||
        header->grants != records - header->subjects - header->overflows ||
        file_bytes % sizeof(struct state_record) != 0)
        return "is damaged: it is longer or shorter than its header says";
    return NULL;
}

/* Check the record at this place, and with a store merge it.  False: it makes no sense. */
static bool take_record(struct store_memory *store, const struct state_header *header, uint64_t at,
                        const struct state_record *record, uint64_t now_s, uint64_t *lost)
{
    bool is_grant = at >= header->subjects + header->overflows;
    if (is_grant ? !is_grant_sound(record) : !is_record_sound(record))
        return false;
    if (store == NULL)
        return true;
    const struct store_window *grant = &record->windows[0];
    if (is_grant && grant->start_s > now_s)
        *lost += !store_memory_grant(store, record->key, grant->period_s, grant->start_s, now_s);
    else if (!is_grant)
        *lost += !merge_record(store, at < header->subjects ? &store->subjects : &store->overflow,
                               record, now_s);
    return true;
}

/* Read the file from its start and check it; with a store, merge the records into it on the way.  NULL,
 * or what is wrong with the file.  *lost counts the records that found no room. */
static const char *read_content(struct state_file *file, uint64_t file_bytes,
                                struct store_memory *store, uint64_t now_s, uint64_t *lost)
{
    struct state_header header;
    file->sum = (struct hash_key){0, 0};
    if (file_bytes < sizeof(header))
        return "is damaged: it is shorter than a header";
    if (lseek(file->fd, 0, SEEK_SET) != 0 || !read_all(file->fd, &header, sizeof(header)))
        return "cannot be read";
    const char *fault = header_fault(&header, file_bytes);
    if (fault != NULL)
        return fault;

    uint64_t records = header.subjects + header.overflows + header.grants;
    for (uint64_t at = 0; at < records;) {
        uint64_t left = records - at;
        unsigned filled = left < CHUNK_RECORDS ? (unsigned)left : CHUNK_RECORDS;
        if (!read_all(file->fd, file->chunk, filled * sizeof(file->chunk[0])))
            return "cannot be read";
        add_to_sum(file, file->chunk, filled * sizeof(file->chunk[0]));
        for (unsigned i = 0; i < filled; i++, at++) {
            if (!take_record(store, &header, at, &file->chunk[i], now_s, lost))
                return "is damaged: a record makes no sense";
        }
    }
    return final_sum(file, &header) == header.checksum ? NULL
                                                       : "is damaged: its checksum does not fit";
}

static enum err load_file(struct state_file *file, struct store_memory *store, const char *path,
                          uint64_t now_us, char why[WHY_BYTES])
{
    struct stat status;
    if (fstat(file->fd, &status) != 0)
        return say(why, ERR_SYSTEM, "cannot read %.150s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return say(why, ERR_INVALID, "%.150s is not a regular file", path);
    uint64_t lost = 0, bytes = (uint64_t)status.st_size, now_s = now_us / 1000000;

    /* Two passes: nothing of the file counts before all of it is known to be whole. */
    const char *fault = read_content(file, bytes, NULL, now_s, &lost);
    if (fault != NULL)
        return say(why, ERR_INVALID, "%.150s %s; nothing was loaded", path, fault);
    store_cells_forgot(&store->subjects, now_s); /* windows that are over stay behind */
    store_cells_forgot(&store->overflow, now_s);
    fault = read_content(file, bytes, store, now_s, &lost);
    if (fault != NULL)
        return say(why, ERR_SYSTEM, "%.150s changed while it was read (%s)", path, fault);
    if (lost != 0)
        return say(why, ERR_LIMIT,
                   "%.150s holds %llu subjects more than there is room for; the others were loaded",
                   path, (unsigned long long)lost);
    return ERR_OK;
}

enum err store_memory_load(struct store_memory *store, const char *path, uint64_t now_us,
                           char why[WHY_BYTES])
{
    why[0] = '\0';
    struct state_file *file = calloc(1, sizeof(*file));
    if (file == NULL)
        return say(why, ERR_NOMEM, "no memory for loading the state");
    enum err err;
    file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not stop the start */
    if (file->fd < 0) {
        err = errno == ENOENT ? ERR_NOTFOUND : ERR_SYSTEM;
        err = say(why, err, "cannot open %.150s: %s", path, strerror(errno));
    } else {
        err = load_file(file, store, path, now_us, why);
        close(file->fd);
    }
    free(file);
    return err;
}
