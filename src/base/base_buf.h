/* SPDX-License-Identifier: Apache-2.0 */
/* base_buf.h - bytes that had to wait: a growing buffer that is empty, and holds no memory, most of the
 * time.  Never grows beyond the cap the caller gives. */
#ifndef SLUICE_BASE_BUF_H
#define SLUICE_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/base_err.h"
#include "base/base_span.h"

/* Owner: whoever embeds it.  Freed by: buf_free.  Thread: the owner's.  All zeroes is an empty one. */
struct buf {
    char *bytes;
    size_t begin, end, size; /* content is bytes[begin..end) */
};

static inline size_t buf_len(const struct buf *buf)
{
    return buf->end - buf->begin;
}

static inline struct span buf_span(const struct buf *buf)
{
    return (struct span){buf->bytes + buf->begin, buf->end - buf->begin};
}

/* Append; ERR_LIMIT when the content would pass max bytes, ERR_NOMEM when there is no memory; the
 * content is unchanged then. */
MUST_USE enum err buf_append(struct buf *buf, struct span text, size_t max);

/* Drop the first n bytes; an empty buffer gives its memory back. */
void buf_consume(struct buf *buf, size_t n);
void buf_free(struct buf *buf);

#endif
