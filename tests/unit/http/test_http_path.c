/* SPDX-License-Identifier: Apache-2.0 */
/* Every spelling of a path that reaches the same resource is judged the same, or refused. */
#include "http/http_helpers.h"
#include "http/http_path.h"

struct row {
    const char *path;
    size_t len;
    enum http_fault_id fault;
    const char *judged;
};
#define OK(path, judged)                                                                           \
    {                                                                                              \
        path, sizeof(path) - 1, HTTP_FAULT_NONE, judged                                            \
    }
#define SAME(path)                                                                                 \
    {                                                                                              \
        path, sizeof(path) - 1, HTTP_FAULT_NONE, path                                              \
    }
#define REFUSED(path, id)                                                                          \
    {                                                                                              \
        path, sizeof(path) - 1, HTTP_FAULT_##id, NULL                                              \
    }

static const struct row ROWS[] = {
    SAME("/"),
    SAME("/v1/search"),
    SAME("/v1/search/"),
    SAME("/V1/Search"),
    SAME("/a.b/c..d/..e/f../...g/.h/i."),
    SAME("/.../a"),
    SAME("/a-b_c~d!e$f&g'h(i)j*k+l,m=n:o@p"),
    SAME("/a[b]c{d}e|f^g`h"),
    SAME("*"),
    SAME("/%20/%25/%3F/%23/%22/%3C/%3E/%3B"),
    SAME("/%C3%A9"),
    SAME("/%E9"),
    SAME("/%FF"),
    SAME("/.well-known/acme"),

    OK("//v1/search", "/v1/search"),
    OK("/v1//search", "/v1/search"),
    OK("/v1///search//", "/v1/search/"),
    OK("////", "/"),
    OK("/v1/%73earch", "/v1/search"),
    OK("/v1/%73%65%61%72%63%68", "/v1/search"),
    OK("/%76%31/search", "/v1/search"),
    OK("/v1/%53earch", "/v1/Search"),
    OK("/v1/a%3ab", "/v1/a:b"),
    OK("/v1/a%3Ab", "/v1/a:b"),
    OK("/v1/a%40b%2bc%2Cd%3D", "/v1/a@b+c,d="),
    OK("/v1/%7e%2D%5f", "/v1/~-_"),
    OK("/%7bid%7D", "/{id}"),
    OK("/%c3%a9", "/%C3%A9"),
    OK("/a%2eb", "/a.b"),
    OK("/%2ea", "/.a"),
    OK("/a/%2e%2ea", "/a/..a"),
    OK("/%3b", "/%3B"),
    OK("/%3f", "/%3F"),
    OK("/%20%7E", "/%20~"),
    OK("//%2e.a/.b/..%2e", "/..a/.b/..."),

    REFUSED("/.", PATH_DOT_SEGMENT),
    REFUSED("/..", PATH_DOT_SEGMENT),
    REFUSED("/./", PATH_DOT_SEGMENT),
    REFUSED("/../", PATH_DOT_SEGMENT),
    REFUSED("/v1/./search", PATH_DOT_SEGMENT),
    REFUSED("/v1/../search", PATH_DOT_SEGMENT),
    REFUSED("/v1/search/.", PATH_DOT_SEGMENT),
    REFUSED("/v1/x/..", PATH_DOT_SEGMENT),
    REFUSED("/v1/%2e/search", PATH_DOT_SEGMENT),
    REFUSED("/v1/%2E/search", PATH_DOT_SEGMENT),
    REFUSED("/v1/%2e%2e/search", PATH_DOT_SEGMENT),
    REFUSED("/v1/.%2e/search", PATH_DOT_SEGMENT),
    REFUSED("/v1/%2e./search", PATH_DOT_SEGMENT),
    REFUSED("/v1/x/%2e%2E", PATH_DOT_SEGMENT),
    REFUSED("//..//", PATH_DOT_SEGMENT),
    REFUSED("/%2e", PATH_DOT_SEGMENT),

    REFUSED("/v1%2fsearch", PATH_ENCODED_SLASH),
    REFUSED("/v1%2Fsearch", PATH_ENCODED_SLASH),
    REFUSED("/v1/..%2fsearch", PATH_ENCODED_SLASH),
    REFUSED("/v1%5csearch", PATH_ENCODED_SLASH),
    REFUSED("/v1%5Csearch", PATH_ENCODED_SLASH),
    REFUSED("/v1\\search", PATH_ENCODED_SLASH),
    REFUSED("/\\", PATH_ENCODED_SLASH),
    REFUSED("/..\\", PATH_ENCODED_SLASH),

    REFUSED("/v1/search%00", PATH_NUL),
    REFUSED("/%00", PATH_NUL),
    REFUSED("/v1/%0d%0asearch", PATH_NUL),
    REFUSED("/v1/%09search", PATH_NUL),
    REFUSED("/v1/%1f", PATH_NUL),
    REFUSED("/v1/%7f", PATH_NUL),
    REFUSED("/v1/%7F", PATH_NUL),
    REFUSED("/a\0b", PATH_NUL),
    REFUSED("/a\nb", PATH_NUL),
    REFUSED("/a\x7f", PATH_NUL),

    REFUSED("/v1/search;x", PATH_PARAMETER),
    REFUSED("/v1;a=b/search", PATH_PARAMETER),
    REFUSED("/;", PATH_PARAMETER),
    REFUSED("/..;/", PATH_PARAMETER),

    REFUSED("/%252e%252e/%2500", PATH_DOUBLE_ENCODING),
    REFUSED("/v1/%2573earch", PATH_DOUBLE_ENCODING),
    REFUSED("/v1/%25%37%33earch", PATH_DOUBLE_ENCODING),
    REFUSED("/v1/%257%33earch", PATH_DOUBLE_ENCODING),
    REFUSED("/v1/%25252fx", PATH_DOUBLE_ENCODING),
    REFUSED("/%2520", PATH_DOUBLE_ENCODING),
    SAME("/100%25"),
    SAME("/100%25/2e"),
    SAME("/%25g0"),
    SAME("/%252"),
    SAME("/%252%C3%A9"),

    REFUSED("/%", PATH_BAD_ENCODING),
    REFUSED("/%2", PATH_BAD_ENCODING),
    REFUSED("/%zz", PATH_BAD_ENCODING),
    REFUSED("/%2g", PATH_BAD_ENCODING),
    REFUSED("/%%32e", PATH_BAD_ENCODING),
    REFUSED("/%u002e", PATH_BAD_ENCODING),
    REFUSED("/% 2e", PATH_BAD_ENCODING),
    REFUSED("/%+2", PATH_BAD_ENCODING),
    REFUSED("/%c0%ae", PATH_BAD_ENCODING),
    REFUSED("/%c0%ae%c0%ae/x", PATH_BAD_ENCODING),
    REFUSED("/a%c0%afb", PATH_BAD_ENCODING),
    REFUSED("/a%C1%9Cb", PATH_BAD_ENCODING),
    REFUSED("/a%c0%80", PATH_BAD_ENCODING),
    REFUSED("/a%c0%bbb", PATH_BAD_ENCODING),
    REFUSED("/a%e0%80%afb", PATH_BAD_ENCODING),
    REFUSED("/a%f0%80%80%af", PATH_BAD_ENCODING),
    REFUSED("/%C0%A0x", PATH_BAD_ENCODING),
    REFUSED("/v1/%c1%b3earch", PATH_BAD_ENCODING),
    REFUSED("/%e0%83%a9", PATH_BAD_ENCODING),
    REFUSED("/%F0%80%80%80", PATH_BAD_ENCODING),
    REFUSED("/%F0%8F%bf%bf", PATH_BAD_ENCODING),
    SAME("/%F0%90%80%80"),
    SAME("/%C2%80"),
    SAME("/%C0"),
    OK("/%C0%41x", "/%C0Ax"),
    SAME("/%C0%C0"),
    SAME("/%E0%A0%80"),
    SAME("/%F0%9F%98%80"),

    REFUSED("/a b", BAD_TARGET),
    REFUSED("/a\xc3\xa9", BAD_TARGET),
    REFUSED("/a?b", BAD_TARGET),
    REFUSED("/a#b", BAD_TARGET),
    REFUSED("/a<b", BAD_TARGET),
};

/* As a route judges that allows these. */
static enum http_parse judge(const char *path, size_t len, char *out, uint32_t allowed,
                             struct http_path *result, struct http_fault *fault)
{
    enum http_parse parse = http_path_judge((struct span){path, len}, out, result, fault);
    return parse != HTTP_PARSE_OK ? parse : http_path_allow(result, allowed, fault);
}

/* What a route may allow: without these bits the path has this fault, with them it is judged so.  Judged
 * NULL: it is refused whatever is allowed. */
struct doubt_row {
    const char *path;
    uint32_t doubts;
    enum http_fault_id fault;
    const char *judged;
};
#define D   HTTP_PATH_BIT(HTTP_PATH_DOT_SEGMENTS)
#define S   HTTP_PATH_BIT(HTTP_PATH_ENCODED_SLASH)
#define B   HTTP_PATH_BIT(HTTP_PATH_BACKSLASH)
#define P   HTTP_PATH_BIT(HTTP_PATH_PARAMETERS)
#define E   HTTP_PATH_BIT(HTTP_PATH_DOUBLE_ENCODING)
#define ALL (D | S | B | P | E)
#define ALLOWED(path, doubts, id, judged)                                                          \
    {                                                                                              \
        path, doubts, HTTP_FAULT_##id, judged                                                      \
    }
#define NEVER(path, id)                                                                            \
    {                                                                                              \
        path, 0, HTTP_FAULT_##id, NULL                                                             \
    }

static const struct doubt_row DOUBT_ROWS[] = {
    /* RFC 3986 section 5.2.4 */
    ALLOWED("/.", D, PATH_DOT_SEGMENT, "/"),
    ALLOWED("/./", D, PATH_DOT_SEGMENT, "/"),
    ALLOWED("/v1/./search", D, PATH_DOT_SEGMENT, "/v1/search"),
    ALLOWED("/v1/x/../search", D, PATH_DOT_SEGMENT, "/v1/search"),
    ALLOWED("/x/../v1/search", D, PATH_DOT_SEGMENT, "/v1/search"),
    ALLOWED("/v1/search/.", D, PATH_DOT_SEGMENT, "/v1/search/"),
    ALLOWED("/v1/search/x/..", D, PATH_DOT_SEGMENT, "/v1/search/"),
    ALLOWED("/v1/search/x/../", D, PATH_DOT_SEGMENT, "/v1/search/"),
    ALLOWED("/a/b/c/./../../g", D, PATH_DOT_SEGMENT, "/a/g"),
    ALLOWED("/v1/%2e/search", D, PATH_DOT_SEGMENT, "/v1/search"),
    ALLOWED("/v1/x/%2E%2e/search", D, PATH_DOT_SEGMENT, "/v1/search"),
    ALLOWED("/v1/x/.%2e/%73earch", D, PATH_DOT_SEGMENT, "/v1/search"),
    ALLOWED("/a/..", D, PATH_DOT_SEGMENT, "/"),
    ALLOWED("/a/../b/..", D, PATH_DOT_SEGMENT, "/"),
    NEVER("/..", PATH_DOT_SEGMENT),
    NEVER("/../v1/search", PATH_DOT_SEGMENT),
    NEVER("/a/../../b", PATH_DOT_SEGMENT),
    NEVER("/./../a", PATH_DOT_SEGMENT),
    NEVER("/a//../b", PATH_DOT_SEGMENT),
    NEVER("/a/..//b", PATH_DOT_SEGMENT),
    NEVER("/a//./b", PATH_DOT_SEGMENT),
    NEVER("//a/../b", PATH_DOT_SEGMENT),
    NEVER("/a//x/../../b", PATH_DOT_SEGMENT),
    NEVER("/a/./b//", PATH_DOT_SEGMENT),

    /* an encoded slash is a byte, not a separator */
    ALLOWED("/v1%2fsearch", S, PATH_ENCODED_SLASH, "/v1%2Fsearch"),
    ALLOWED("/v1%2Fsearch", S, PATH_ENCODED_SLASH, "/v1%2Fsearch"),
    ALLOWED("/v1/%2f", S, PATH_ENCODED_SLASH, "/v1/%2F"),
    ALLOWED("/v1/%2f//x", S, PATH_ENCODED_SLASH, "/v1/%2F/x"),
    ALLOWED("/a%2F...%2Fb", S, PATH_ENCODED_SLASH, "/a%2F...%2Fb"),
    ALLOWED("/a.%2Fb", S, PATH_ENCODED_SLASH, "/a.%2Fb"),
    NEVER("/v1/..%2fsearch", PATH_ENCODED_SLASH),
    NEVER("/v1/a%2f..", PATH_ENCODED_SLASH),
    NEVER("/v1/a%2F..%2fb", PATH_ENCODED_SLASH),
    NEVER("/v1/a%2F%2e%2e%2fb", PATH_ENCODED_SLASH),
    NEVER("/v1/.%2fsearch", PATH_ENCODED_SLASH),
    NEVER("/v1/a%2F..;x%2Fb", PATH_ENCODED_SLASH),
    NEVER("/v1/a;%2F..%2Fb", PATH_PARAMETER),
    NEVER("/a%2Fb/../c", PATH_ENCODED_SLASH),
    NEVER("/a/./b%2Fc", PATH_DOT_SEGMENT),

    /* a backslash too */
    ALLOWED("/v1\\search", B, PATH_ENCODED_SLASH, "/v1\\search"),
    ALLOWED("/v1%5csearch", B, PATH_ENCODED_SLASH, "/v1\\search"),
    ALLOWED("/v1%5Csearch", B, PATH_ENCODED_SLASH, "/v1\\search"),
    ALLOWED("/\\", B, PATH_ENCODED_SLASH, "/\\"),
    ALLOWED("/a\\b%2fc", B | S, PATH_ENCODED_SLASH, "/a\\b%2Fc"),
    NEVER("/..\\", PATH_ENCODED_SLASH),
    NEVER("/a\\..\\b", PATH_ENCODED_SLASH),
    NEVER("/a%5c%2e%2e", PATH_ENCODED_SLASH),
    NEVER("/a\\.%2Fb", PATH_ENCODED_SLASH),
    NEVER("/a\\b/../c", PATH_ENCODED_SLASH),

    /* parameters are left away */
    ALLOWED("/v1/search;x", P, PATH_PARAMETER, "/v1/search"),
    ALLOWED("/v1;a=b/search;c=d;e", P, PATH_PARAMETER, "/v1/search"),
    ALLOWED("/;", P, PATH_PARAMETER, "/"),
    ALLOWED("/;x/v1/search", P, PATH_PARAMETER, "/v1/search"),
    ALLOWED("/v1/;x/search", P, PATH_PARAMETER, "/v1/search"),
    ALLOWED("/v1/search/;x", P, PATH_PARAMETER, "/v1/search/"),
    ALLOWED("/v1/sea;r%63h", P, PATH_PARAMETER, "/v1/sea"),
    ALLOWED("/v1/search;..", P, PATH_PARAMETER, "/v1/search"),
    ALLOWED("/v1/search;a%2fb", P | S, PATH_PARAMETER, "/v1/search"),
    ALLOWED("/v1/search;a\\b", P | B, PATH_PARAMETER, "/v1/search"),
    ALLOWED("/v1/search;%252e", P | E, PATH_PARAMETER, "/v1/search"),
    ALLOWED("/x;y/../v1/search", P | D, PATH_PARAMETER, "/v1/search"),
    NEVER("/v1/..;/search", PATH_PARAMETER),
    NEVER("/v1/..;x=y/search", PATH_PARAMETER),
    NEVER("/v1/.;x", PATH_PARAMETER),
    NEVER("/v1/%2e%2e;", PATH_PARAMETER),
    NEVER("/a/;x/../b", PATH_PARAMETER),
    NEVER("/a;%00", PATH_PARAMETER),
    NEVER("/a;%zz", PATH_PARAMETER),
    NEVER("/a;b c", PATH_PARAMETER),

    /* decoded once */
    ALLOWED("/%252e%252e/a", E, PATH_DOUBLE_ENCODING, "/%252e%252e/a"),
    ALLOWED("/v1/%2573earch", E, PATH_DOUBLE_ENCODING, "/v1/%2573earch"),
    ALLOWED("/v1/%25%37%33earch", E, PATH_DOUBLE_ENCODING, "/v1/%2573earch"),
    ALLOWED("/v1/a%252fb", E, PATH_DOUBLE_ENCODING, "/v1/a%252fb"),
    ALLOWED("/v1/%2500", E, PATH_DOUBLE_ENCODING, "/v1/%2500"),
    NEVER("/a%252Fb/../c", PATH_DOUBLE_ENCODING),

    /* nothing can be allowed about these */
    NEVER("/%00", PATH_NUL),
    NEVER("/%0d%0a", PATH_NUL),
    NEVER("/a%2fb%00", PATH_ENCODED_SLASH),
    NEVER("/%c0%af", PATH_BAD_ENCODING),
    NEVER("/%C0%AE%C0%AE/", PATH_BAD_ENCODING),
    NEVER("/%e0%80%af", PATH_BAD_ENCODING),
    NEVER("/%", PATH_BAD_ENCODING),
    NEVER("/a b", BAD_TARGET),
};

static void test_doubts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(DOUBT_ROWS) / sizeof(DOUBT_ROWS[0]); i++) {
        const struct doubt_row *row = &DOUBT_ROWS[i];
        size_t len = strlen(row->path);
        char *path = test_copy(row->path, len), *out = test_copy(row->path, len);
        for (uint32_t allowed = 0; allowed <= ALL; allowed++) {
            struct http_path result;
            struct http_fault fault = {HTTP_FAULT_NONE, 0};
            enum http_parse parse = judge(path, len, out, allowed, &result, &fault);
            bool is_allowed = row->judged != NULL && (row->doubts & ~allowed) == 0;
            if ((parse == HTTP_PARSE_OK) != is_allowed)
                fail_msg("%s with %x allowed: %s", row->path, allowed, http_fault_name(fault.id));
            if (allowed == 0 && fault.id != row->fault)
                fail_msg("%s: %s", row->path, http_fault_name(fault.id));
            if (!is_allowed)
                continue;
            assert_int_equal(result.doubts, row->doubts);
            test_span_is(result.judged, row->judged);
        }
        free(path);
        free(out);
    }
}

/* The same piece between runs of letters of every length: wherever looks at several bytes begin and end, the judgement
 * is that of the short path. */
static void check_piece(const char *piece, unsigned before, unsigned behind)
{
    char text[2][160], out[2][160];
    const unsigned lens[2][2] = {{1, 1}, {before, behind}};
    struct http_path results[2];
    struct http_fault faults[2] = {{HTTP_FAULT_NONE, 0}, {HTTP_FAULT_NONE, 0}};
    enum http_parse parses[2];
    for (unsigned i = 0; i < 2; i++) {
        memset(text[i], 0, sizeof(text[i]));
        text[i][0] = '/';
        memset(text[i] + 1, 'g', lens[i][0]);
        memcpy(text[i] + 1 + lens[i][0], piece, strlen(piece));
        memset(text[i] + strlen(text[i]), 'h', lens[i][1]);
        size_t len = strlen(text[i]);
        char *copy = test_copy(text[i], len); /* so that the sanitizer sees a look beyond it */
        parses[i] = http_path_judge((struct span){copy, len}, out[i], &results[i], &faults[i]);
        if (parses[i] == HTTP_PARSE_OK)
            memcpy(text[i], results[i].judged.ptr, results[i].judged.len);
        free(copy);
    }
    if (parses[0] != parses[1] || faults[0].id != faults[1].id)
        fail_msg("%s between %u and %u", piece, before, behind);
    if (parses[0] != HTTP_PARSE_OK)
        return;
    assert_int_equal(results[0].doubts, results[1].doubts);
    /* Dot segments take the first run away, parameters the second. */
    const size_t lead = memchr(text[0], 'g', results[0].judged.len) != NULL ? before - 1 : 0;
    const size_t tail = memchr(text[0], 'h', results[0].judged.len) != NULL ? behind - 1 : 0;
    assert_int_equal(results[0].judged.len + lead + tail, results[1].judged.len);
}

static void test_pieces_at_every_place(void **state)
{
    (void)state;
    static const char *const pieces[] = {"//",  "/./", "/../", "/.a", "/.", "/",
                                         "/..", "///", "%41",  "%2f", ";a", "\\",
                                         "_",   "~.~", "\x01", "%",   "?",  "/_/"};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        for (unsigned before = 1; before < 40; before++) {
            for (unsigned behind = 1; behind < 40; behind++)
                check_piece(pieces[i], before, behind);
        }
    }
}

/* The fault is that of the first doubt that is left. */
static void test_first_doubt(void **state)
{
    (void)state;
    static const char path[] = "/a%2Fb/c;d/e\\f";
    static const struct {
        uint32_t allowed;
        enum http_fault_id fault;
        uint32_t offset;
    } rows[] = {
        {0, HTTP_FAULT_PATH_ENCODED_SLASH, 2},
        {S, HTTP_FAULT_PATH_PARAMETER, 8},
        {P, HTTP_FAULT_PATH_ENCODED_SLASH, 2},
        {S | P, HTTP_FAULT_PATH_ENCODED_SLASH, 12},
        {S | P | D | E, HTTP_FAULT_PATH_ENCODED_SLASH, 12},
        {S | P | B, HTTP_FAULT_NONE, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[sizeof(path)];
        struct http_path result;
        struct http_fault fault = {HTTP_FAULT_NONE, 0};
        (void)judge(path, sizeof(path) - 1, out, rows[i].allowed, &result, &fault);
        assert_int_equal(fault.id, rows[i].fault);
        assert_int_equal(fault.offset, rows[i].offset);
    }
}

static void test_paths(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        const struct row *row = &ROWS[i];
        char *path = test_copy(row->path, row->len);
        char *out = test_copy(row->path, row->len);
        struct http_path result;
        struct http_fault fault = {HTTP_FAULT_NONE, 0};
        enum http_parse parse = judge(path, row->len, out, 0, &result, &fault);
        struct span judged = result.judged;
        if (fault.id != row->fault)
            fail_msg("%s: %s", http_fault_name(fault.id), row->path);
        assert_int_equal(parse, row->judged != NULL ? HTTP_PARSE_OK : HTTP_PARSE_BAD);
        if (row->judged != NULL)
            test_span_is(judged, row->judged);
        else
            assert_true(fault.offset <= row->len);
        if (row->judged != NULL && span_eq(judged, (struct span){path, row->len}))
            assert_ptr_equal(judged.ptr, path);
        assert_memory_equal(path, row->path, row->len);
        free(path);
        free(out);
    }
}

/* What was judged once is judged as itself, and never grows. */
static void test_judging_twice(void **state)
{
    (void)state;
    static const char alphabet[] = "/.%2eEfF35b;a\\~C0";
    char path[7], once[7], twice[7];
    path[0] = '/';
    unsigned total = 1;
    for (unsigned i = 0; i < 5; i++)
        total *= sizeof(alphabet) - 1;
    for (unsigned n = 0; n < total; n++) {
        for (unsigned i = 1, rest = n; i <= 5; i++, rest /= sizeof(alphabet) - 1)
            path[i] = alphabet[rest % (sizeof(alphabet) - 1)];
        struct http_path result, again;
        struct http_fault fault;
        if (http_path_judge((struct span){path, 6}, once, &result, &fault) != HTTP_PARSE_OK)
            continue;
        struct span first = result.judged;
        assert_true(first.len <= 6 && first.len > 0 && first.ptr[0] == '/');
        assert_int_equal(http_path_judge(first, twice, &again, &fault), HTTP_PARSE_OK);
        assert_ptr_equal(again.judged.ptr, first.ptr);
        assert_true(span_eq(first, again.judged));
        /* What stays in a judged path is what was found in it. */
        assert_int_equal(again.doubts, result.doubts & again.doubts & (S | B | E));
        assert_int_equal(again.doubts & (D | P), 0);
    }
}

/* Each byte but the one that begins an escape at each place of paths of every length around the width of the looks at them: judged as its segment
 * alone is, which is too short to be looked at in one go. */
static void test_every_byte_at_every_place(void **state)
{
    (void)state;
    char out[64], text[64];
    for (size_t len = 4; len <= 50; len++) {
        for (size_t at = 1; at < len; at++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                if (byte == '%')
                    continue;
                struct http_path path, alone;
                struct http_fault fault = {0}, fault_alone = {0};
                bool is_last = at + 1 == len;
                memset(text, 'a', len);
                text[0] = '/';
                text[at] = (char)byte;
                char *copy = test_copy(text, len);
                const char segment[4] = {'/', at == 1 ? (char)byte : 'a',
                                         at == 1 ? 'a' : (char)byte, 'a'};
                struct span short_one = {segment, is_last && at != 1 ? 3 : 4};
                enum http_parse parse =
                    http_path_judge((struct span){copy, len}, out, &path, &fault);
                enum http_parse parse_alone = http_path_judge(short_one, out, &alone, &fault_alone);
                assert_int_equal(parse, parse_alone);
                assert_int_equal(fault.id, fault_alone.id);
                if (parse == HTTP_PARSE_OK) {
                    assert_int_equal(path.doubts, alone.doubts);
                    assert_int_equal(path.judged.len == len, alone.judged.len == short_one.len);
                }
                free(copy);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_doubts),
        cmocka_unit_test(test_pieces_at_every_place),
        cmocka_unit_test(test_first_doubt),
        cmocka_unit_test(test_judging_twice),
        cmocka_unit_test(test_every_byte_at_every_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
