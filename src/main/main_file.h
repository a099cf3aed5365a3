/* SPDX-License-Identifier: Apache-2.0 */
/* main_file.h - is the configuration's file on disk what runs?  Takes: its path, and the hash of what runs
 * (main_bundle_hash).  Gives: yes or no.
 * Reads the file only when it looks changed. */
#ifndef SLUICE_MAIN_FILE_H
#define SLUICE_MAIN_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define MAIN_FILE_EVERY_US 1000000

/* Zeroed: nobody has looked.  Thread: the owner's. */
struct main_file {
    uint64_t running; /* the hash of what runs */
    struct stat seen; /* of what was read last */
    uint64_t hash;    /* the same; 0: it could not be read */
    bool is_known;    /* seen and hash are */
    bool is_stale;    /* the file differs from what runs, or cannot be read */
    uint64_t at_us;   /* when to look again */
};

/* Look.  True: is_stale is another than before. */
bool main_file_look(struct main_file *file, const char *path);

#endif
