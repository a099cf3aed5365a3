/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_reply.c - see store_redis_reply.h. */
#include "store/store_redis_reply.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <string.h>

#define ELEMENTS_MAX 65536
#define INCOMPLETE_MAX                                                                             \
    65536 /* of one string or line; the longest we ask for is INFO's, some 2 KiB */

static struct store_redis_reply *reply_of(const redisReadTask *task)
{
    return task->privdata;
}

/* To the sink, if there is one: true.  What lies deeper than it looks is passed over. */
static bool give(const redisReadTask *task, enum store_redis_type type, int64_t number,
                 struct span text)
{
    const struct store_redis_reply *reply = reply_of(task);
    struct store_redis_piece piece = {.type = type, .number = number, .text = text};
    if (reply->sink == NULL || task->parent == NULL)
        return false;
    for (const redisReadTask *at = task; at->parent != NULL; at = at->parent)
        piece.depth++;
    if (piece.depth > STORE_REDIS_DEPTH)
        return true;
    unsigned place = piece.depth;
    for (const redisReadTask *at = task; at->parent != NULL; at = at->parent)
        piece.path[--place] = (uint32_t)at->idx;
    reply->sink->take(reply->sink->arg, &piece);
    return true;
}

/* Objects need not be told apart: the reply is their list.  NULL would mean "out of memory". */
static void *add(const redisReadTask *task, enum store_redis_type type, int64_t number,
                 uint32_t text)
{
    struct store_redis_reply *reply = reply_of(task);
    if (type != STORE_REDIS_STRING && type != STORE_REDIS_ERROR &&
        give(task, type, number, SPAN_NONE))
        return reply;
    if (reply->count == STORE_REDIS_NODES_MAX) {
        reply->is_cut = true;
        return reply;
    }
    reply->types[reply->count] = (uint8_t)type;
    reply->numbers[reply->count] = number;
    reply->texts[reply->count] = text;
    reply->count++;
    return reply;
}

static void *on_string(const redisReadTask *task, char *bytes, size_t len)
{
    struct store_redis_reply *reply = reply_of(task);
    enum store_redis_type type =
        task->type == REDIS_REPLY_ERROR ? STORE_REDIS_ERROR : STORE_REDIS_STRING;
    uint32_t at = reply->text_bytes;
    if (give(task, type, (int64_t)len, (struct span){bytes, len}))
        return reply;
    if (len > STORE_REDIS_TEXT_MAX - at) {
        reply->is_cut = true;
        len = STORE_REDIS_TEXT_MAX - at;
    }
    memcpy(reply->text + at, bytes, len);
    reply->text_bytes += (uint32_t)len;
    return add(task, type, (int64_t)len, at);
}

#if HIREDIS_MAJOR >= 1
static void *on_array(const redisReadTask *task, size_t elements)
#else
static void *on_array(const redisReadTask *task, int elements)
#endif
{
    if (elements > ELEMENTS_MAX)
        return NULL;
    return add(task, STORE_REDIS_ARRAY, (int64_t)elements, 0);
}

static void *on_integer(const redisReadTask *task, long long value)
{
    return add(task, STORE_REDIS_INTEGER, value, 0);
}

static void *on_nil(const redisReadTask *task)
{
    return add(task, STORE_REDIS_NIL, 0, 0);
}

static void on_free(void *object)
{
    (void)object; /* part of the parser */
}

static const redisReplyObjectFunctions FUNCTIONS = {
    .createString = on_string,
    .createArray = on_array,
    .createInteger = on_integer,
    .createNil = on_nil,
    .freeObject = on_free,
};

static void clear(struct store_redis_reply *reply)
{
    reply->count = 0;
    reply->is_cut = false;
    reply->text_bytes = 0;
}

enum err store_redis_parser_init(struct store_redis_parser *parser)
{
    clear(&parser->reply);
    parser->reply.sink = NULL;
    /* hiredis never writes through the pointer that it wants to be mutable. */
    parser->reader =
        redisReaderCreateWithFunctions((redisReplyObjectFunctions *)(uintptr_t)&FUNCTIONS);
    if (parser->reader == NULL)
        return ERR_NOMEM;
    parser->reader->privdata = &parser->reply;
    parser->reader->maxbuf = 0; /* keep the buffer: it is bounded here */
    return ERR_OK;
}

void store_redis_parser_fini(struct store_redis_parser *parser)
{
    if (parser->reader != NULL)
        redisReaderFree(parser->reader);
    parser->reader = NULL;
}

enum err store_redis_parser_feed(struct store_redis_parser *parser, const char *bytes, size_t len)
{
    assert(len <= STORE_REDIS_FEED_MAX);
    if (redisReaderFeed(parser->reader, bytes, len) != REDIS_OK)
        return ERR_NOMEM;
    return ERR_OK;
}

enum err store_redis_parser_next(struct store_redis_parser *parser)
{
    redisReader *reader = parser->reader;
    void *object = NULL;
    if (reader->ridx == -1)
        clear(&parser->reply); /* the last one was complete: a new one begins */
    if (redisReaderGetReply(reader, &object) != REDIS_OK)
        return ERR_INVALID;
    if (object != NULL)
        return ERR_OK;
    return reader->len - reader->pos > INCOMPLETE_MAX ? ERR_INVALID : ERR_AGAIN;
}

struct span store_redis_reply_text(const struct store_redis_reply *reply, unsigned node)
{
    if (node >= reply->count ||
        (reply->types[node] != STORE_REDIS_STRING && reply->types[node] != STORE_REDIS_ERROR))
        return SPAN_NONE;
    return (struct span){reply->text + reply->texts[node], (size_t)reply->numbers[node]};
}

bool store_redis_reply_is_numbers(const struct store_redis_reply *reply)
{
    bool is_good = !reply->is_cut && reply->count != 0 && reply->types[0] == STORE_REDIS_ARRAY &&
                   (uint64_t)reply->numbers[0] == reply->count - 1;
    for (unsigned i = 1; is_good && i < reply->count; i++)
        is_good = reply->types[i] == STORE_REDIS_INTEGER;
    return is_good;
}
