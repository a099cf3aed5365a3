/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_read.c - see logtool_read.h. */
#include "logtool/logtool_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BLOCK_BYTES (1u << 20) /* well above a line, so that few are moved to its begin */

/* Owner: logtool_read. */
struct reader {
    struct logtool_reading *reading;
    struct logtool_line *line;
    logtool_line_fn take;
    void *arg;
    struct logtool_place at;
    bool is_skipping; /* within a line that is longer than the block */
    char *block;
    size_t len; /* of what is in the block */
    char *why;
};

static void note_unreadable(struct reader *reader, const char *why)
{
    struct logtool_reading *reading = reader->reading;
    reader->at.why = why;
    if (reading->unreadable < LOGTOOL_UNREADABLE_SHOWN)
        reading->first[reading->unreadable] = reader->at;
    reading->unreadable++;
}

static enum err take_line(struct reader *reader, struct span bytes)
{
    struct logtool_reading *reading = reader->reading;
    const char *why;
    reader->at.line++;
    if (reader->is_skipping) {
        reader->is_skipping = false;
        note_unreadable(reader, "it is too long for a line of Sluice");
        return ERR_OK;
    }
    if (!logtool_line_parse(reader->line, bytes, &why)) {
        note_unreadable(reader, why);
        return ERR_OK;
    }
    reading->lines++;
    if (reader->line->ts_us < reading->from_us)
        reading->from_us = reader->line->ts_us;
    if (reader->line->ts_us > reading->to_us)
        reading->to_us = reader->line->ts_us;
    return reader->take(reader->arg, reader->line);
}

/* All lines that are whole; the rest moves to the block's begin. */
static enum err take_block(struct reader *reader)
{
    char *at = reader->block, *end = reader->block + reader->len;
    for (char *feed; (feed = memchr(at, '\n', (size_t)(end - at))) != NULL; at = feed + 1) {
        enum err err = take_line(reader, (struct span){at, (size_t)(feed - at)});
        if (err != ERR_OK)
            return err;
    }
    reader->len = (size_t)(end - at);
    if (reader->len == BLOCK_BYTES) {
        reader->is_skipping = true;
        reader->len = 0;
    }
    memmove(reader->block, at, reader->len);
    return ERR_OK;
}

static enum err read_open(struct reader *reader, int fd)
{
    bool is_first = true;
    for (;;) {
        ssize_t got = read(fd, reader->block + reader->len, BLOCK_BYTES - reader->len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ERR_SYSTEM;
        if (got == 0)
            break;
        if (is_first && got >= 2 && memcmp(reader->block, "\x1f\x8b", 2) == 0)
            return ERR_INVALID;
        is_first = false;
        reader->reading->bytes += (uint64_t)got;
        reader->len += (size_t)got;
        enum err err = take_block(reader);
        if (err != ERR_OK)
            return err;
    }
    if (reader->len == 0 && !reader->is_skipping)
        return ERR_OK;
    return take_line(reader, (struct span){reader->block, reader->len});
}

static enum err read_file(struct reader *reader, const char *name)
{
    const bool is_input = strcmp(name, "-") == 0;
    int fd = is_input ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    reader->at = (struct logtool_place){.file = name};
    reader->is_skipping = false;
    reader->len = 0;
    if (fd < 0) {
        snprintf(reader->why, LOGTOOL_WHY_MAX, "%.400s: %s", name, strerror(errno));
        return ERR_SYSTEM;
    }
    reader->reading->files++;
    enum err err = read_open(reader, fd);
    if (err == ERR_SYSTEM && reader->why[0] == '\0')
        snprintf(reader->why, LOGTOOL_WHY_MAX, "%.400s: %s", name, strerror(errno));
    if (err == ERR_INVALID && reader->why[0] == '\0')
        snprintf(reader->why, LOGTOOL_WHY_MAX, "%.200s is compressed: zcat %.200s | sluice ... -",
                 name, name);
    if (!is_input)
        close(fd);
    return err;
}

enum err logtool_read(struct logtool_reading *reading, const char *const *files, unsigned count,
                      logtool_line_fn take, void *arg, char why[LOGTOOL_WHY_MAX])
{
    struct reader reader = {.reading = reading, .take = take, .arg = arg, .why = why};
    enum err err = ERR_NOMEM;
    *reading = (struct logtool_reading){.from_us = UINT64_MAX};
    why[0] = '\0';
    reader.block = malloc(BLOCK_BYTES);
    reader.line = malloc(sizeof(*reader.line));
    if (reader.block == NULL || reader.line == NULL)
        goto out;
    err = ERR_OK;
    for (unsigned i = 0; i < count && err == ERR_OK; i++)
        err = read_file(&reader, files[i]);
out:
    if (err != ERR_OK && why[0] == '\0')
        snprintf(why, LOGTOOL_WHY_MAX, "%s", err_sentence(err));
    free(reader.block);
    free(reader.line);
    return err;
}
