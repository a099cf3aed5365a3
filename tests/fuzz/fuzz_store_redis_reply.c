/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_store_redis_reply.c - any bytes as a Redis server's.  Input: two bytes for the cuts, then RESP.  Checked: whatever
 * the cuts, the same replies and the same end; nothing is kept beyond the stated bounds; each reply is the one
 * that hiredis' own objects hold. */
#include <hiredis/hiredis.h>

#include "base/base_hash.h"
#include "fuzz.h"
#include "store/store_redis_reply.h"

#define REPLIES_MAX  1024
#define INPUT_MAX    (1U << 18)
#define WAITING_MAX  65536 /* of bytes without a complete reply, see store_redis_reply.h */
#define ELEMENTS_MAX 65536
/* hiredis drops what it has read once that is 1 KiB, and doubles its buffer. */
#define BUFFER_MAX   (2 * (WAITING_MAX + STORE_REDIS_FEED_MAX + 1024) + 1024)

/* What a run gave: one word per reply, and how it ended. */
struct run {
    uint64_t replies[REPLIES_MAX];
    unsigned count, cut_count;
    uint64_t elements; /* of all arrays that were seen */
    enum err end;
};

static uint64_t mix(uint64_t word, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < len; i++)
        word = (word ^ at[i]) * UINT64_C(0x100000001b3);
    return word;
}

static uint64_t mix_node(uint64_t word, unsigned type, int64_t number, struct span text)
{
    word = mix(word, &type, sizeof(type));
    word = mix(word, &number, sizeof(number));
    return mix(word, text.ptr, text.len);
}

static void check_reply(const struct store_redis_reply *reply)
{
    FUZZ_CHECK(reply->count >= 1 && reply->count <= STORE_REDIS_NODES_MAX);
    FUZZ_CHECK(reply->text_bytes <= STORE_REDIS_TEXT_MAX);
    bool is_numbers = reply->types[0] == STORE_REDIS_ARRAY && !reply->is_cut;
    for (unsigned i = 0; i < reply->count; i++) {
        struct span text = store_redis_reply_text(reply, i);
        FUZZ_CHECK(text.len == 0 || (text.ptr >= reply->text &&
                                     text.ptr + text.len <= reply->text + reply->text_bytes));
        if (reply->types[i] == STORE_REDIS_ARRAY)
            FUZZ_CHECK(reply->numbers[i] >= 0 && reply->numbers[i] <= ELEMENTS_MAX);
        if (i > 0 && reply->types[i] != STORE_REDIS_INTEGER)
            is_numbers = false;
    }
    FUZZ_CHECK(store_redis_reply_text(reply, reply->count).len == 0);
    if (reply->types[0] == STORE_REDIS_ARRAY && reply->numbers[0] != reply->count - 1)
        is_numbers = false;
    FUZZ_CHECK(store_redis_reply_is_numbers(reply) == is_numbers);
}

static void take_reply(struct run *run, const struct store_redis_reply *reply)
{
    uint64_t word = UINT64_C(0xcbf29ce484222325);
    check_reply(reply);
    for (unsigned i = 0; i < reply->count; i++) {
        word = mix_node(word, reply->types[i], reply->numbers[i], store_redis_reply_text(reply, i));
        if (reply->types[i] == STORE_REDIS_ARRAY)
            run->elements += (uint64_t)reply->numbers[i];
    }
    run->cut_count += reply->is_cut;
    FUZZ_CHECK(run->count < REPLIES_MAX);
    run->replies[run->count++] = word;
}

/* A server that goes on without ever completing a reply is refused, and not all of it is kept. */
static void feed_endless(struct store_redis_parser *parser)
{
    static char filler[STORE_REDIS_FEED_MAX];
    enum err err = ERR_AGAIN;
    memset(filler, 'y', sizeof(filler));
    for (size_t fed = 0; err == ERR_AGAIN; fed += sizeof(filler)) {
        FUZZ_CHECK(fed < 2 * (WAITING_MAX + sizeof(filler)));
        FUZZ_CHECK(store_redis_parser_feed(parser, filler, sizeof(filler)) == ERR_OK);
        FUZZ_CHECK(sdsalloc(parser->reader->buf) <= BUFFER_MAX);
        while ((err = store_redis_parser_next(parser)) == ERR_OK)
            check_reply(&parser->reply);
    }
    FUZZ_CHECK(err == ERR_INVALID);
}

static void feed(struct run *run, const uint8_t *bytes, size_t len, size_t first, size_t step)
{
    struct store_redis_parser parser;
    memset(run, 0, sizeof(*run));
    run->end = ERR_AGAIN;
    FUZZ_CHECK(store_redis_parser_init(&parser) == ERR_OK);
    for (size_t piece = first; len > 0 && run->end == ERR_AGAIN; piece = step) {
        size_t take = len < piece ? len : piece;
        char *copy = fuzz_copy(bytes, take);
        FUZZ_CHECK(store_redis_parser_feed(&parser, copy, take) == ERR_OK);
        free(copy);
        bytes += take;
        len -= take;
        FUZZ_CHECK(sdsalloc(parser.reader->buf) <= BUFFER_MAX);
        while (run->count < REPLIES_MAX && (run->end = store_redis_parser_next(&parser)) == ERR_OK)
            take_reply(run, &parser.reply);
        if (run->count == REPLIES_MAX)
            break;
        FUZZ_CHECK(run->end == ERR_AGAIN || run->end == ERR_INVALID);
        for (unsigned i = 0; run->end == ERR_AGAIN && i < parser.reply.count; i++) {
            if (parser.reply.types[i] != STORE_REDIS_ARRAY)
                continue;
            FUZZ_CHECK(parser.reply.numbers[i] <= ELEMENTS_MAX);
            run->elements += (uint64_t)parser.reply.numbers[i];
        }
    }
    if (run->end == ERR_AGAIN)
        feed_endless(&parser);
    store_redis_parser_fini(&parser);
}

static unsigned type_of(const redisReply *reply)
{
    static const uint8_t types[] = {
        [REDIS_REPLY_STRING] = STORE_REDIS_STRING,   [REDIS_REPLY_ARRAY] = STORE_REDIS_ARRAY,
        [REDIS_REPLY_INTEGER] = STORE_REDIS_INTEGER, [REDIS_REPLY_NIL] = STORE_REDIS_NIL,
        [REDIS_REPLY_STATUS] = STORE_REDIS_STRING,   [REDIS_REPLY_ERROR] = STORE_REDIS_ERROR,
    };
    FUZZ_CHECK(reply->type > 0 && reply->type < (int)sizeof(types));
    return types[reply->type];
}

static uint64_t flatten(uint64_t word, const redisReply *reply)
{
    unsigned type = type_of(reply);
    if (type == STORE_REDIS_INTEGER)
        return mix_node(word, type, reply->integer, SPAN_NONE);
    if (type == STORE_REDIS_NIL)
        return mix_node(word, type, 0, SPAN_NONE);
    if (type != STORE_REDIS_ARRAY)
        return mix_node(word, type, (int64_t)reply->len, (struct span){reply->str, reply->len});
    word = mix_node(word, type, (int64_t)reply->elements, SPAN_NONE);
    for (size_t i = 0; i < reply->elements; i++)
        word = flatten(word, reply->element[i]);
    return word;
}

/* hiredis' own objects are allocated per element, so only where the arrays announce few. */
static void check_objects(const struct run *run, const uint8_t *bytes, size_t len)
{
    if (run->cut_count != 0 || run->elements > 4096 || run->count == REPLIES_MAX)
        return;
    redisReader *reader = redisReaderCreate();
    FUZZ_CHECK(reader != NULL && redisReaderFeed(reader, (const char *)bytes, len) == REDIS_OK);
    for (unsigned i = 0; i < run->count; i++) {
        void *object = NULL;
        FUZZ_CHECK(redisReaderGetReply(reader, &object) == REDIS_OK && object != NULL);
        FUZZ_CHECK(flatten(UINT64_C(0xcbf29ce484222325), object) == run->replies[i]);
        freeReplyObject(object);
    }
    redisReaderFree(reader);
}

static void check_same(const struct run *a, const struct run *b)
{
    FUZZ_CHECK(a->count == b->count && a->cut_count == b->cut_count);
    FUZZ_CHECK(memcmp(a->replies, b->replies, a->count * sizeof(a->replies[0])) == 0);
    if (a->count < REPLIES_MAX)
        FUZZ_CHECK(a->end == b->end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct run whole, cut, other;
    if (size < 2 || size > INPUT_MAX)
        return 0;
    const size_t first = data[0] + 1U, step = data[1] + 1U;
    data += 2;
    size -= 2;
    feed(&whole, data, size, STORE_REDIS_FEED_MAX, STORE_REDIS_FEED_MAX);
    feed(&cut, data, size, first, step);
    feed(&other, data, size, step, STORE_REDIS_FEED_MAX);
    /* Where more than is ever kept waits for its end, the pieces decide when that is seen. */
    if (size <= WAITING_MAX) {
        check_same(&whole, &cut);
        check_same(&whole, &other);
    }
    check_objects(&whole, data, size);
    return 0;
}
