/* SPDX-License-Identifier: Apache-2.0 */
/* http_path.c - one spelling for every path that servers read alike, a fault for every path that
 * they may read differently. */
#include "http/http_path.h"

#include <string.h>

#include "base/base_parse.h"
#include "http/http_scan.h"

static enum http_parse bad(struct http_fault *fault, enum http_fault_id id, size_t offset)
{
    fault->id = id;
    fault->offset = (uint32_t)offset;
    return HTTP_PARSE_BAD;
}

/* The byte that the escape at path.ptr[at] stands for, -1 when it is none. */
static int escaped_byte(struct span path, size_t at)
{
    if (path.len - at < 3 || path.ptr[at] != '%')
        return -1;
    int high = parse_hex_digit(path.ptr[at + 1]), low = parse_hex_digit(path.ptr[at + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static bool is_control(int byte)
{
    return byte < 0x20 || byte == 0x7f;
}

/* UTF-8 written longer than need be (RFC 3629 section 3): careless decoders make ".", "/", NUL or any
 * letter of it. */
static bool is_overlong(struct span path, size_t at, int lead)
{
    static const unsigned SHORTEST[] = {0, 0x80, 0x800, 0x10000};
    unsigned more = lead == 0xc0 || lead == 0xc1 ? 1 : lead == 0xe0 ? 2 : lead == 0xf0 ? 3 : 0;
    if (more == 0)
        return false;
    unsigned value = more == 1 ? (unsigned)lead & 0x1f : 0;
    for (unsigned i = 1; i <= more; i++) {
        if (path.len - at <= 3 * (size_t)i)
            return false;
        int next = escaped_byte(path, at + 3 * (size_t)i);
        if (next < 0x80 || next > 0xbf)
            return false;
        value = value << 6 | ((unsigned)next & 0x3f);
    }
    return value < SHORTEST[more];
}

/* "." and "..". */
static bool is_dots(const char *begin, const char *end)
{
    return (end - begin == 1 && begin[0] == '.') ||
           (end - begin == 2 && begin[0] == '.' && begin[1] == '.');
}

/* Would a segment be a dot segment, or have one in it, for a server that takes encoded slashes and
 * backslashes for separators, and perhaps knows parameters? */
static bool has_dots_within(const char *begin, const char *end)
{
    const char *part = begin;
    bool is_over = false; /* a parameter has begun */
    for (const char *at = begin; at <= end; at++) {
        bool is_slash = end - at >= 3 && memcmp(at, "%2F", 3) == 0;
        bool is_separator = at == end || *at == '\\' || is_slash;
        if (!is_over && (is_separator || *at == ';')) {
            if (is_dots(part, at))
                return true;
            is_over = true;
        }
        if (!is_separator)
            continue;
        at += is_slash ? 2 : 0;
        part = at + 1;
        is_over = false;
    }
    return false;
}

/* Is the byte at `at`, which is not HTTP_BYTE_PLAIN, spelled as it would be written? */
static inline bool is_good_at(struct span path, size_t at)
{
    if (path.ptr[at] != '/')
        return http_byte_is(path.ptr[at], HTTP_BYTE_PATH);
    return at + 1 >= path.len || (path.ptr[at + 1] != '/' && path.ptr[at + 1] != '.');
}

#ifdef __SSE2__
/* One bit per byte of the sixteen from `base` on that has to be looked at alone: it is neither HTTP_BYTE_PLAIN nor a
 * "/" with something else than "/" or "." behind it. */
static inline unsigned not_good_at_once(struct span path, size_t base)
{
    __m128i bytes = http_scan_load(path.ptr + base);
    unsigned slashes = (unsigned)_mm_movemask_epi8(http_scan_equal(bytes, '/'));
    unsigned dots = (unsigned)_mm_movemask_epi8(http_scan_equal(bytes, '.'));
    unsigned good =
        slashes & ~((slashes | dots) >> 1) & 0x7fff; /* behind the last is another look */
    return http_scan_not_plain(bytes) & ~good;
}
#endif

/* How much at the beginning is spelled as it would be written: no escape, no empty and no dot
 * segment, no byte that is refused. */
static size_t narrow_plain_len(struct span path)
{
    size_t at = 0;
#ifdef __SSE2__
    /* The last look ends with the path.  (Measured: a third of what a search for each separator takes.) */
    while (path.len >= 16 && at < path.len) {
        size_t base = path.len - at >= 16 ? at : path.len - 16;
        unsigned others = not_good_at_once(path, base) & (~0U << (at - base));
        for (; others != 0; others &= others - 1) {
            if (!is_good_at(path, base + http_scan_first(others)))
                return base + http_scan_first(others);
        }
        at = base + 16;
    }
#endif
    while (at < path.len && (http_byte_is(path.ptr[at], HTTP_BYTE_PLAIN) || is_good_at(path, at)))
        at++;
    return at;
}

#ifdef HTTP_SCAN_WIDE
/* A bit for each row of the code table from 0x2. to 0x7.: which rows have HTTP_BYTE_PATH in a column. */
#define WIDE_COLUMNS 62, 63, 62, 62, 63, 62, 63, 63, 63, 63, 63, 61, 53, 63, 61, 28

/* One bit per byte of the sixteen from `at` on that is not HTTP_BYTE_PATH, or is a "/" before another or before a ".";
 * of one behind them nothing is known. */
HTTP_SCAN_WIDE static inline unsigned wide_not_good(const char *at)
{
    const __m128i rows = _mm_setr_epi8(0, 0, 1, 2, 4, 8, 16, 32, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m128i bytes = http_scan_load(at);
    const __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(0x0f));
    const __m128i good = _mm_and_si128(_mm_shuffle_epi8(rows, high),
                                       _mm_shuffle_epi8(_mm_setr_epi8(WIDE_COLUMNS), bytes));
    unsigned slashes = (unsigned)_mm_movemask_epi8(http_scan_equal(bytes, '/'));
    unsigned dots = (unsigned)_mm_movemask_epi8(http_scan_equal(bytes, '.'));
    unsigned others =
        (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(good, _mm_setzero_si128())) & ~slashes;
    return others | (slashes & (slashes | dots) >> 1);
}

/* For at least sixteen bytes.  Each look begins with the last byte of the one before, whose successor it sees. */
HTTP_SCAN_WIDE static size_t wide_plain_len(struct span path)
{
    size_t at = 0;
    for (;;) {
        unsigned others = wide_not_good(path.ptr + at);
        if (others != 0)
            return at + http_scan_first(others);
        if (at + 16 == path.len)
            return path.len;
        at = at + 31 <= path.len ? at + 15 : path.len - 16;
    }
}

static inline size_t plain_len(struct span path)
{
    if (path.len >= 16 && http_scan_has_wide())
        return wide_plain_len(path);
    return narrow_plain_len(path);
}
#else
static inline size_t plain_len(struct span path)
{
    return narrow_plain_len(path);
}
#endif

/* A path that is being judged.  out has what was written so far, its last segment begins at segment. */
struct judging {
    struct span path;
    size_t at;
    char *out, *to, *segment;
    char *parameters; /* where the segment's first ";" was written; NULL: none */
    bool has_slashes; /* the segment has an encoded slash or a backslash */
    bool has_empty;   /* the path has a segment without a name */
    struct http_path *result;
    struct http_fault *fault;
};

static const enum http_fault_id DOUBT_FAULTS[HTTP_PATH_DOUBTS] = {
#define DOUBT(id, word, fault) HTTP_FAULT_##fault,
#include "http/http_path_doubts.def"
#undef DOUBT
};

static void judge_doubt(struct judging *j, enum http_path_doubt doubt)
{
    if ((j->result->doubts & HTTP_PATH_BIT(doubt)) == 0)
        j->result->at[doubt] = (uint32_t)j->at;
    j->result->doubts |= HTTP_PATH_BIT(doubt);
}

/* Refused whatever is allowed. */
static enum http_parse judge_refuse(struct judging *j, enum http_fault_id id)
{
    if (http_path_allow(j->result, 0, j->fault) != HTTP_PARSE_OK)
        return HTTP_PARSE_BAD;
    return bad(j->fault, id, j->at);
}

/* Writes one byte.  What was decoded once may be an escape again. */
static void judge_write(struct judging *j, char byte)
{
    *j->to++ = byte;
    if (j->to - j->segment >= 5 && memcmp(j->to - 5, "%25", 3) == 0 && parse_hex_digit(byte) >= 0 &&
        parse_hex_digit(j->to[-2]) >= 0)
        judge_doubt(j, HTTP_PATH_DOUBLE_ENCODING);
}

/* Writes the escape that comes next in its one spelling. */
static enum http_parse judge_escape(struct judging *j)
{
    static const char digits[] = "0123456789ABCDEF";
    int byte = escaped_byte(j->path, j->at);
    if (byte < 0 || is_overlong(j->path, j->at, byte))
        return judge_refuse(j, HTTP_FAULT_PATH_BAD_ENCODING);
    if (is_control(byte))
        return judge_refuse(j, HTTP_FAULT_PATH_NUL);
    if (byte == '/' || byte == '\\') {
        judge_doubt(j, byte == '/' ? HTTP_PATH_ENCODED_SLASH : HTTP_PATH_BACKSLASH);
        j->has_slashes = true;
    }
    if (http_byte_is((char)byte, HTTP_BYTE_PATH) || byte == '\\') {
        judge_write(j, (char)byte);
    } else {
        *j->to++ = '%';
        *j->to++ = digits[byte >> 4];
        *j->to++ = digits[byte & 15];
    }
    j->at += 3;
    return HTTP_PARSE_OK;
}

/* Writes the next byte, which is neither "/" nor the beginning of an escape. */
static enum http_parse judge_byte(struct judging *j)
{
    char byte = j->path.ptr[j->at];
    if (byte == ';') {
        judge_doubt(j, HTTP_PATH_PARAMETERS);
        if (j->parameters == NULL)
            j->parameters = j->to;
    } else if (byte == '\\') {
        judge_doubt(j, HTTP_PATH_BACKSLASH);
        j->has_slashes = true;
    } else if (!http_byte_is(byte, HTTP_BYTE_PATH)) {
        bool is_nul = is_control((unsigned char)byte);
        return judge_refuse(j, is_nul ? HTTP_FAULT_PATH_NUL : HTTP_FAULT_BAD_TARGET);
    }
    judge_write(j, byte);
    j->at++;
    return HTTP_PARSE_OK;
}

/* RFC 3986 section 5.2.4: takes a dot segment away, and with ".." the one before it. */
static enum http_parse judge_dots(struct judging *j)
{
    bool is_up = j->to - j->segment == 2;
    judge_doubt(j, HTTP_PATH_DOT_SEGMENTS);
    j->to = j->segment;
    if (!is_up)
        return HTTP_PARSE_OK;
    if (j->to == j->out + 1)
        return judge_refuse(j, HTTP_FAULT_PATH_DOT_SEGMENT);
    do
        j->to--;
    while (j->to[-1] != '/');
    return HTTP_PARSE_OK;
}

/* The segment that was just written is over: at "/", or at the path's end. */
static enum http_parse judge_segment(struct judging *j)
{
    if (j->has_slashes && has_dots_within(j->segment, j->to))
        return judge_refuse(j, HTTP_FAULT_PATH_DOT_SEGMENT);
    bool has_parameters = j->parameters != NULL;
    if (has_parameters)
        j->to = j->parameters;
    j->parameters = NULL;
    j->has_slashes = false;
    if (is_dots(j->segment, j->to))
        return has_parameters ? judge_refuse(j, HTTP_FAULT_PATH_DOT_SEGMENT) : judge_dots(j);
    if (j->to == j->segment && j->at < j->path.len)
        j->has_empty = true;
    return HTTP_PARSE_OK;
}

/* Segment by segment, each without the "/" before it. */
static enum http_parse judge_segments(struct judging *j)
{
    for (;;) {
        while (j->at < j->path.len && j->path.ptr[j->at] != '/') {
            enum http_parse parse = j->path.ptr[j->at] == '%' ? judge_escape(j) : judge_byte(j);
            if (parse != HTTP_PARSE_OK)
                return parse;
        }
        if (judge_segment(j) != HTTP_PARSE_OK)
            return HTTP_PARSE_BAD;
        if (j->at == j->path.len)
            break;
        if (j->to[-1] != '/')
            *j->to++ = '/';
        j->segment = j->to;
        j->at++;
    }
    const uint32_t elsewhere = HTTP_PATH_BIT(HTTP_PATH_ENCODED_SLASH) |
                               HTTP_PATH_BIT(HTTP_PATH_BACKSLASH) |
                               HTTP_PATH_BIT(HTTP_PATH_DOUBLE_ENCODING);
    bool has_dots = (j->result->doubts & HTTP_PATH_BIT(HTTP_PATH_DOT_SEGMENTS)) != 0;
    if (has_dots && (j->has_empty || (j->result->doubts & elsewhere) != 0))
        return judge_refuse(j, HTTP_FAULT_PATH_DOT_SEGMENT);
    return HTTP_PARSE_OK;
}

/* A path that is plain up to `at` only. */
static __attribute__((noinline)) enum http_parse judge_rest(struct span path, size_t at, char *out,
                                                            struct http_path *result,
                                                            struct http_fault *fault)
{
    if (path.ptr[0] != '/')
        return bad(fault, HTTP_FAULT_BAD_TARGET, 0);
    if (at == 0)
        at = 1;
    while (path.ptr[at - 1] != '/')
        at--;
    memcpy(out, path.ptr, at);
    struct judging j = {.path = path,
                        .at = at,
                        .out = out,
                        .to = out + at,
                        .segment = out + at,
                        .result = result,
                        .fault = fault};
    if (judge_segments(&j) != HTTP_PARSE_OK)
        return HTTP_PARSE_BAD;
    struct span written = {out, (size_t)(j.to - out)};
    if (!span_eq(written, path))
        result->judged = written;
    return HTTP_PARSE_OK;
}

enum http_parse http_path_judge(struct span path, char *out, struct http_path *result,
                                struct http_fault *fault)
{
    result->judged = path;
    result->doubts = 0;
    size_t at = plain_len(path);
    if (at == path.len || (path.len == 1 && path.ptr[0] == '*'))
        return HTTP_PARSE_OK;
    return judge_rest(path, at, out, result, fault);
}

enum http_parse http_path_allow(const struct http_path *path, uint32_t allowed,
                                struct http_fault *fault)
{
    enum http_path_doubt first = HTTP_PATH_DOUBTS;
    for (unsigned i = 0; i < HTTP_PATH_DOUBTS; i++) {
        if ((path->doubts & ~allowed & HTTP_PATH_BIT(i)) == 0)
            continue;
        if (first == HTTP_PATH_DOUBTS || path->at[i] < path->at[first])
            first = (enum http_path_doubt)i;
    }
    return first == HTTP_PATH_DOUBTS ? HTTP_PARSE_OK
                                     : bad(fault, DOUBT_FAULTS[first], path->at[first]);
}
