/* SPDX-License-Identifier: Apache-2.0 */
/* Paths: what is judged good has one spelling, names the same resource as what was sent, and has
 * nothing in it that a server could read in another way. */
#include "fuzz.h"

#include "http/http_path.h"
#include "http/http_prefix.h"

static int hex_value(char digit)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = digit != '\0' ? strchr(digits, digit) : NULL;
    return at == NULL ? -1 : (int)(at - digits) % 16;
}

/* What a path means, spelled out by the rules and not by the scanner: segments of decoded bytes, in which a
 * slash is 1 and a backslash 2, so that neither is a separator. */
#define SLASH     '\1'
#define BACKSLASH '\2'

struct meaning {
    char *bytes;
    size_t len;
    bool has_empty, has_dots, has_parameters, has_slash, has_backslash, has_double, climbs;
};

static bool is_dots(const char *bytes, size_t len)
{
    return (len == 1 && bytes[0] == '.') || (len == 2 && bytes[0] == '.' && bytes[1] == '.');
}

/* One segment without "/"; returns its decoded length up to the first raw ";". */
static size_t decode(struct meaning *m, struct span raw, char *out)
{
    size_t len = 0, end = raw.len;
    for (size_t i = 0; i < raw.len; i++) {
        char byte = raw.ptr[i];
        bool is_escape = byte == '%';
        if (is_escape) {
            FUZZ_CHECK(raw.len - i > 2);
            byte = (char)(hex_value(raw.ptr[i + 1]) * 16 + hex_value(raw.ptr[i + 2]));
            i += 2;
            FUZZ_CHECK((unsigned char)byte >= 0x20 && byte != 0x7f);
        } else if (byte == ';') {
            m->has_parameters = true;
            end = end < len ? end : len;
        }
        m->has_slash |= byte == '/';
        m->has_backslash |= byte == '\\';
        out[len++] = byte == '/' ? SLASH : byte == '\\' ? BACKSLASH : byte;
        m->has_double |=
            len >= 3 && out[len - 3] == '%' && hex_value(out[len - 2]) >= 0 && hex_value(byte) >= 0;
    }
    return end < len ? end : len;
}

/* No piece of a segment between slashes of any kind is a dot segment, unless the segment is one itself. */
static void check_pieces(const char *bytes, size_t len)
{
    size_t begin = 0, pieces = 0;
    bool has_dots = false;
    for (size_t i = 0; i <= len; i++) {
        if (i < len && bytes[i] != SLASH && bytes[i] != BACKSLASH)
            continue;
        has_dots |= is_dots(bytes + begin, i - begin);
        begin = i + 1;
        pieces++;
    }
    FUZZ_CHECK(!has_dots || pieces == 1);
}

/* The path that is meant, as "/" and the decoded bytes of each segment, dot segments resolved. */
static void mean(struct meaning *m, struct span path)
{
    m->bytes[m->len++] = '/';
    for (size_t at = 1, end; at <= path.len; at = end + 1) {
        const char *slash = memchr(path.ptr + at, '/', path.len - at);
        end = slash != NULL ? (size_t)(slash - path.ptr) : path.len;
        char *segment = m->bytes + m->len;
        size_t len = decode(m, (struct span){path.ptr + at, end - at}, segment);
        bool is_last = end == path.len;
        check_pieces(segment, len);
        if (len == 0) {
            m->has_empty |= !is_last;
        } else if (is_dots(segment, len)) {
            m->has_dots = true;
            m->climbs |= len == 2 && m->len == 1;
            while (len == 2 && m->len > 1 && m->bytes[--m->len - 1] != '/')
                continue;
        } else {
            m->len += len;
            if (!is_last)
                m->bytes[m->len++] = '/';
        }
    }
}

static void check_good(struct span path, const struct http_path *judged, char *meant, char *kept)
{
    struct meaning sent = {.bytes = meant}, after = {.bytes = kept};
    mean(&sent, path);
    mean(&after, judged->judged);
    FUZZ_CHECK(sent.len == after.len && memcmp(meant, kept, sent.len) == 0);
    FUZZ_CHECK(!after.has_empty && !after.has_dots && !after.has_parameters && !sent.climbs);
    FUZZ_CHECK(!sent.has_dots ||
               !(sent.has_empty || sent.has_slash || sent.has_backslash || sent.has_double));
    const bool found[HTTP_PATH_DOUBTS] = {
        [HTTP_PATH_DOT_SEGMENTS] = sent.has_dots,      [HTTP_PATH_ENCODED_SLASH] = sent.has_slash,
        [HTTP_PATH_BACKSLASH] = sent.has_backslash,    [HTTP_PATH_PARAMETERS] = sent.has_parameters,
        [HTTP_PATH_DOUBLE_ENCODING] = sent.has_double,
    };
    for (unsigned i = 0; i < HTTP_PATH_DOUBTS; i++)
        FUZZ_CHECK(found[i] == ((judged->doubts & HTTP_PATH_BIT(i)) != 0));
}

/* A route that allows nothing refuses all doubts, and so on for each set of what is allowed. */
static void check_allowed(const struct http_path *judged, size_t len)
{
    for (uint32_t allowed = 0; allowed < HTTP_PATH_BIT(HTTP_PATH_DOUBTS); allowed++) {
        struct http_fault fault = {HTTP_FAULT_NONE, 0};
        bool is_allowed = http_path_allow(judged, allowed, &fault) == HTTP_PARSE_OK;
        FUZZ_CHECK(is_allowed == ((judged->doubts & ~allowed) == 0));
        FUZZ_CHECK(is_allowed || (fault.id != HTTP_FAULT_NONE && fault.offset <= len));
    }
}

/* With another beginning it is judged as that beginning and the rest of what was judged; cut anywhere else, it would not be. */
static void check_prefix(struct span path, const struct http_path *judged, struct span strip)
{
    static const struct span ADD[] = {{"", 0}, {"/new", 4}};
    struct span behind = judged->judged;
    for (size_t i = 0; i < 2; i++) {
        const struct http_prefix prefix = {strip, ADD[i]};
        char *out = malloc(path.len + ADD[i].len), *room = malloc(path.len + ADD[i].len);
        char *expected = malloc(path.len + ADD[i].len + 1);
        FUZZ_CHECK(out != NULL && room != NULL && expected != NULL);
        char *end = http_prefix_write(out, &prefix, path, judged->judged);
        const struct span forwarded = {out, (size_t)(end - out)};
        FUZZ_CHECK(forwarded.len >= 1 && forwarded.len <= path.len + ADD[i].len && out[0] == '/');

        (void)(strip.len != 0 && http_prefix_matches(strip, judged->judged, &behind));
        size_t len = ADD[i].len + behind.len;
        memcpy(expected, ADD[i].ptr, ADD[i].len);
        memcpy(expected + ADD[i].len, behind.ptr, behind.len);
        if (len == 0)
            expected[len++] = '/';
        struct http_path again;
        struct http_fault fault;
        FUZZ_CHECK(http_path_judge(forwarded, room, &again, &fault) == HTTP_PARSE_OK);
        FUZZ_CHECK(span_eq(again.judged, (struct span){expected, len}));
        free(out);
        free(room);
        free(expected);
    }
}

/* Each beginning of the judged path that ends with a segment can be stripped, whatever the client's spelling. */
static void check_prefixes(struct span path, const struct http_path *judged)
{
    if ((judged->doubts & HTTP_PATH_BIT(HTTP_PATH_DOT_SEGMENTS)) != 0)
        return; /* no route has both */
    const struct span whole = judged->judged;
    check_prefix(path, judged, SPAN_NONE);
    check_prefix(path, judged, SPAN("/{name}"));
    check_prefix(path, judged, SPAN("/nowhere/else"));
    for (size_t at = 2, count = 0; at <= whole.len && count < 8; at++) {
        if ((at < whole.len && whole.ptr[at] != '/') || whole.ptr[at - 1] == '/')
            continue;
        check_prefix(path, judged, (struct span){whole.ptr, at});
        count++;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096)
        return 0;
    char *bytes = malloc(size + 1);
    FUZZ_CHECK(bytes != NULL);
    bytes[0] = '/'; /* as http_target_parse gives it */
    if (size != 0)
        memcpy(bytes + 1, data, size);
    const struct span path = {bytes, size + 1};
    char *once = malloc(path.len), *twice = malloc(path.len);
    char *meant = malloc(path.len), *kept = malloc(path.len);
    FUZZ_CHECK(once != NULL && twice != NULL && meant != NULL && kept != NULL);

    struct http_path first, second;
    struct http_fault fault = {HTTP_FAULT_NONE, 0};
    enum http_parse parse = http_path_judge(path, once, &first, &fault);
    if (parse == HTTP_PARSE_OK) {
        FUZZ_CHECK(first.judged.len >= 1 && first.judged.len <= path.len);
        FUZZ_CHECK(first.judged.ptr == path.ptr || !span_eq(first.judged, path));
        FUZZ_CHECK(http_path_judge(first.judged, twice, &second, &fault) == HTTP_PARSE_OK);
        FUZZ_CHECK(second.judged.ptr == first.judged.ptr && second.judged.len == first.judged.len);
        check_good(path, &first, meant, kept);
        check_allowed(&first, path.len);
        check_prefixes(path, &first);
    } else {
        FUZZ_CHECK(parse == HTTP_PARSE_BAD);
        FUZZ_CHECK(fault.id != HTTP_FAULT_NONE && fault.offset <= path.len);
    }
    free(bytes);
    free(once);
    free(twice);
    free(meant);
    free(kept);
    return 0;
}
