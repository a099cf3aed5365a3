/* SPDX-License-Identifier: Apache-2.0 */
/* base_buf.c - see base_buf.h. */
#include "base/base_buf.h"

#include <stdlib.h>
#include <string.h>

#define BUF_FIRST_BYTES 2048

enum err buf_append(struct buf *buf, struct span text, size_t max)
{
    size_t len = buf_len(buf);
    if (text.len > max || len > max - text.len)
        return ERR_LIMIT;
    if (buf->begin != 0) {
        memmove(buf->bytes, buf->bytes + buf->begin, len);
        buf->begin = 0;
        buf->end = len;
    }
    if (len + text.len > buf->size) {
        size_t size = buf->size == 0 ? BUF_FIRST_BYTES : buf->size * 2;
        if (size < len + text.len)
            size = len + text.len;
        char *bytes = realloc(buf->bytes, size);
        if (bytes == NULL)
            return ERR_NOMEM;
        buf->bytes = bytes;
        buf->size = size;
    }
    if (text.len != 0)
        memcpy(buf->bytes + len, text.ptr, text.len);
    buf->end = len + text.len;
    return ERR_OK;
}

void buf_consume(struct buf *buf, size_t n)
{
    buf->begin += n;
    if (buf->begin >= buf->end)
        buf_free(buf);
}

void buf_free(struct buf *buf)
{
    free(buf->bytes);
    *buf = (struct buf){0};
}
