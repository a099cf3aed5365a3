/* SPDX-License-Identifier: Apache-2.0 */
/* message.c - see message.h. */
#include "message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CHUNK_BYTES 5000

void message_begin(struct message *message)
{
    message->phase = MESSAGE_HEAD;
    message->head_len = message->line_len = 0;
    message->left = message->body_seen = 0;
    message->is_pattern = true;
}

const char *message_field(const struct message *message, const char *name, size_t *len)
{
    size_t name_len = strlen(name);
    for (const char *line = strstr(message->head, "\r\n"); line && line[2] != '\r';
         line = strstr(line + 2, "\r\n")) {
        const char *at = line + 2;
        if (strncasecmp(at, name, name_len) != 0 || at[name_len] != ':')
            continue;
        at += name_len + 1;
        at += strspn(at, " \t");
        *len = strcspn(at, "\r");
        return at;
    }
    return NULL;
}

int64_t message_number(const struct message *message, const char *name)
{
    size_t len;
    const char *text = message_field(message, name, &len);
    if (!text || len == 0 || strspn(text, "0123456789") != len)
        return -1;
    return strtoll(text, NULL, 10);
}

/* The head is complete: what follows it. */
static void judge_head(struct message *message)
{
    size_t len;
    const char *coding = message_field(message, "Transfer-Encoding", &len);
    message->head[message->head_len] = '\0';
    if (coding) {
        message->phase =
            strncasecmp(coding, "chunked", 7) == 0 ? MESSAGE_CHUNK_SIZE : MESSAGE_BROKEN;
        return;
    }
    int64_t length = message_number(message, "Content-Length");
    message->left = length > 0 ? (uint64_t)length : 0;
    message->phase = message->left > 0 ? MESSAGE_LENGTH : MESSAGE_DONE;
}

static size_t feed_head(struct message *message, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (message->head_len == MESSAGE_HEAD_MAX - 1) {
            message->phase = MESSAGE_BROKEN;
            return i;
        }
        message->head[message->head_len++] = data[i];
        message->head[message->head_len] = '\0';
        if (data[i] == '\n' && message->head_len >= 4 &&
            memcmp(message->head + message->head_len - 4, "\r\n\r\n", 4) == 0) {
            judge_head(message);
            return i + 1;
        }
    }
    return len;
}

static size_t feed_body(struct message *message, const char *data, size_t len)
{
    if (len > message->left)
        len = message->left;
    for (size_t i = 0; i < len; i++)
        message->is_pattern &= data[i] == message_pattern(message->body_seen + i);
    message->body_seen += len;
    message->left -= len;
    if (message->left == 0)
        message->phase = message->phase == MESSAGE_LENGTH ? MESSAGE_DONE : MESSAGE_CHUNK_END;
    return len;
}

/* A line within the chunk framing is complete, without its end. */
static void judge_line(struct message *message)
{
    char *end;
    switch (message->phase) {
    case MESSAGE_CHUNK_SIZE:
        message->left = strtoull(message->line, &end, 16);
        if (end == message->line)
            message->phase = MESSAGE_BROKEN;
        else
            message->phase = message->left > 0 ? MESSAGE_CHUNK : MESSAGE_TRAILER;
        break;
    case MESSAGE_CHUNK_END:
        message->phase = message->line_len == 0 ? MESSAGE_CHUNK_SIZE : MESSAGE_BROKEN;
        break;
    default:
        if (message->line_len == 0)
            message->phase = MESSAGE_DONE;
        break;
    }
}

static size_t feed_line(struct message *message, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\n') {
            message->line_len -= message->line_len > 0; /* the CR */
            message->line[message->line_len] = '\0';
            judge_line(message);
            message->line_len = 0;
            return i + 1;
        }
        if (message->line_len == sizeof(message->line) - 1) {
            message->phase = MESSAGE_BROKEN;
            return i;
        }
        message->line[message->line_len++] = data[i];
    }
    return len;
}

size_t message_feed(struct message *message, const char *data, size_t len)
{
    size_t used = 0;
    while (used < len && message->phase != MESSAGE_DONE && message->phase != MESSAGE_BROKEN) {
        const char *at = data + used;
        size_t rest = len - used;
        if (message->phase == MESSAGE_HEAD)
            used += feed_head(message, at, rest);
        else if (message->phase == MESSAGE_LENGTH || message->phase == MESSAGE_CHUNK)
            used += feed_body(message, at, rest);
        else
            used += feed_line(message, at, rest);
    }
    return used;
}

size_t message_body_room(size_t bytes)
{
    return bytes + 16 * (bytes / CHUNK_BYTES + 2);
}

static char *put_pattern(char *out, size_t at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = message_pattern(at + i);
    return out + bytes;
}

size_t message_body_write(char *out, size_t bytes, bool is_chunked)
{
    char *begin = out;
    if (!is_chunked)
        return (size_t)(put_pattern(out, 0, bytes) - begin);
    for (size_t at = 0; at < bytes; at += CHUNK_BYTES) {
        size_t size = bytes - at < CHUNK_BYTES ? bytes - at : CHUNK_BYTES;
        out += sprintf(out, "%zx\r\n", size);
        out = put_pattern(out, at, size);
        *out++ = '\r';
        *out++ = '\n';
    }
    out += sprintf(out, "0\r\n\r\n");
    return (size_t)(out - begin);
}
