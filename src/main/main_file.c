/* SPDX-License-Identifier: Apache-2.0 */
/* main_file.c - see main_file.h. */
#include "main/main_file.h"

#include "base/base_clock.h"
#include "main/main_bundle.h"

#define FILE_RACY_US                                                                               \
    2000000 /* so long after it was written a file may be written again without looking changed */

static bool file_is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static uint64_t file_hash(const char *path)
{
    struct main_bundle bundle;
    char why[256];
    if (!main_bundle_read(&bundle, path, why))
        return 0;
    uint64_t hash = main_bundle_hash(&bundle);
    main_bundle_fini(&bundle);
    return hash;
}

bool main_file_look(struct main_file *file, const char *path)
{
    struct stat now = {0};
    bool was_stale = file->is_stale;
    bool is_there = stat(path, &now) == 0;
    uint64_t written_us =
        UINT64_C(1000000) * (uint64_t)now.st_ctim.tv_sec + (uint64_t)now.st_ctim.tv_nsec / 1000;
    file->at_us = clock_mono_us() + MAIN_FILE_EVERY_US;
    if (is_there && !S_ISREG(now.st_mode) && !S_ISDIR(now.st_mode)) {
        file->is_stale = false; /* what was read from a pipe is not there a second time */
        return was_stale;
    }
    if (!is_there) {
        file->is_known = false;
        file->hash = 0;
    } else if (!file->is_known || !file_is_same(&now, &file->seen)) {
        file->hash = file_hash(path);
        file->seen = now;
        file->is_known = file->hash != 0 && written_us + FILE_RACY_US < clock_wall_us();
    }
    file->is_stale = file->hash != file->running;
    return file->is_stale != was_stale;
}
