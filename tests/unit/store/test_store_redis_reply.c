/* SPDX-License-Identifier: Apache-2.0 */
/* test_store_redis_reply - the parser against a server that lies: in every cut of the bytes, replies
 * are what they are, or an error; never a crash, never memory without bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base_rng.h"
#include "store/store_redis_reply.h"

/* Feed in pieces of `piece` bytes; the replies as text: "[3 :1 $ab !ERR _ ]". */
static enum err parse(struct span bytes, size_t piece, char *out, size_t room)
{
    struct store_redis_parser parser;
    size_t at = 0;
    enum err err = store_redis_parser_init(&parser);
    out[0] = '\0';
    assert_int_equal(err, ERR_OK);
    while (bytes.len != 0 && (err == ERR_OK || err == ERR_AGAIN)) {
        size_t n = piece < bytes.len ? piece : bytes.len;
        err = store_redis_parser_feed(&parser, bytes.ptr, n);
        bytes = (struct span){bytes.ptr + n, bytes.len - n};
        while (err == ERR_OK && (err = store_redis_parser_next(&parser)) == ERR_OK) {
            const struct store_redis_reply *reply = &parser.reply;
            for (unsigned i = 0; i < reply->count && at + 64 < room; i++) {
                struct span text = store_redis_reply_text(reply, i);
                at += (size_t)snprintf(out + at, room - at, "%c%lld%.*s ", "_:$!*"[reply->types[i]],
                                       (long long)reply -> numbers[i],
                                       (int)(text.len < 20 ? text.len : 20), text.ptr);
            }
            at += (size_t)snprintf(out + at, room - at, "%s", reply->is_cut ? "cut;" : ";");
        }
    }
    store_redis_parser_fini(&parser);
    return err;
}

static void test_rows(void **state)
{
    static const struct {
        const char *bytes, *replies;
        enum err end;
    } rows[] = {
        {"+OK\r\n", "$2OK ;", ERR_AGAIN},
        {"-ERR no\r\n+x\r\n", "!6ERR no ;$1x ;", ERR_AGAIN},
        {":42\r\n:-1\r\n", ":42 ;:-1 ;", ERR_AGAIN},
        {"$-1\r\n*-1\r\n*0\r\n", "_0 ;_0 ;*0 ;", ERR_AGAIN},
        {"$0\r\n\r\n$3\r\na\0b\r\n", "$0 ;", ERR_AGAIN},
        {"*3\r\n:1\r\n$2\r\nab\r\n*1\r\n:7\r\n", "*3 :1 $2ab *1 :7 ;", ERR_AGAIN},
        {"*2\r\n:1\r\n", "", ERR_AGAIN},
        {"%1\r\n+a\r\n+b\r\n", "", ERR_INVALID},
        {"HTTP/1.1 400 Bad Request\r\n", "", ERR_INVALID},
        {":99999999999999999999\r\n", "", ERR_INVALID},
        {":1x\r\n", "", ERR_INVALID},
        {"*2147483647\r\n", "", ERR_INVALID},
        {"*65537\r\n", "", ERR_INVALID},
        {"*-2\r\n", "", ERR_INVALID},
        {"$-2\r\n", "", ERR_INVALID},
        {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", "", ERR_INVALID},
        {"+a\r\n*2147483647\r\n+b\r\n", "$1a ;", ERR_INVALID},
    };
    char out[512];
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t piece = 1; piece < 20; piece++) {
            enum err end = parse(span_of(rows[i].bytes), piece, out, sizeof(out));
            if (end != rows[i].end || strcmp(out, rows[i].replies) != 0)
                print_error("row %zu piece %zu: %d \"%s\"\n", i, piece, (int)end, out);
            assert_int_equal(end, rows[i].end);
            assert_string_equal(out, rows[i].replies);
        }
    }
}

static void test_string_without_end(void **state)
{
    (void)state;
    static const char *const heads[] = {"$1000000000\r\n", "+", "*1\r\n-"};
    for (size_t h = 0; h < sizeof(heads) / sizeof(heads[0]); h++) {
        struct store_redis_parser parser;
        char junk[4096];
        memset(junk, 'x', sizeof(junk));
        assert_int_equal(store_redis_parser_init(&parser), ERR_OK);
        assert_int_equal(store_redis_parser_feed(&parser, heads[h], strlen(heads[h])), ERR_OK);
        enum err err = store_redis_parser_next(&parser);
        unsigned fed = 0;
        while (err == ERR_AGAIN && fed < 1000) {
            assert_int_equal(store_redis_parser_feed(&parser, junk, sizeof(junk)), ERR_OK);
            err = store_redis_parser_next(&parser);
            fed++;
        }
        assert_int_equal(err, ERR_INVALID);
        assert_in_range(fed, 10, 20);
        store_redis_parser_fini(&parser);
    }
}

static void test_long_replies_are_cut(void **state)
{
    static char bytes[65536 * 4 + 64], out[8192];
    size_t len = (size_t)snprintf(bytes, sizeof(bytes), "*65536\r\n");
    (void)state;
    for (unsigned i = 0; i < 65536; i++, len += 4)
        memcpy(bytes + len, ":1\r\n", 4);
    assert_int_equal(parse((struct span){bytes, len}, 16384, out, sizeof(out)), ERR_AGAIN);
    assert_non_null(strstr(out, "cut;"));

    len = (size_t)snprintf(bytes, sizeof(bytes), "$20000\r\n");
    memset(bytes + len, 'y', 20000);
    memcpy(bytes + len + 20000, "\r\n+z\r\n", 6);
    assert_int_equal(parse((struct span){bytes, len + 20006}, 1000, out, sizeof(out)), ERR_AGAIN);
    assert_string_equal(out, "$8192yyyyyyyyyyyyyyyyyyyy cut;$1z ;");
}

/* Bytes that nearly are replies. */
static void test_noise(void **state)
{
    static const char alphabet[] = "+-:$*\r\n\r\n0123456789OKx_";
    char bytes[256], out[4096];
    struct rng rng = {{1, 2, 3, 4}};
    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        size_t len = rng_below(&rng, sizeof(bytes));
        for (size_t i = 0; i < len; i++)
            bytes[i] = alphabet[rng_below(&rng, sizeof(alphabet) - 1)];
        parse((struct span){bytes, len}, 1 + rng_below(&rng, 64), out, sizeof(out));
    }
}

static void test_numbers(void **state)
{
    static const struct {
        const char *bytes;
        bool is_numbers;
    } rows[] = {
        {"*2\r\n:1\r\n:2\r\n", true},
        {"*0\r\n", true},
        {":1\r\n", false},
        {"*1\r\n+a\r\n", false},
        {"*1\r\n*1\r\n:1\r\n", false},
        {"*2\r\n:1\r\n$-1\r\n", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct store_redis_parser parser;
        assert_int_equal(store_redis_parser_init(&parser), ERR_OK);
        assert_int_equal(store_redis_parser_feed(&parser, rows[i].bytes, strlen(rows[i].bytes)),
                         ERR_OK);
        assert_int_equal(store_redis_parser_next(&parser), ERR_OK);
        assert_int_equal(store_redis_reply_is_numbers(&parser.reply), rows[i].is_numbers);
        store_redis_parser_fini(&parser);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_string_without_end),
        cmocka_unit_test(test_long_replies_are_cut),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
