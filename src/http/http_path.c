/* SPDX-License-Identifier: Apache-2.0 */
/* http_path.c - one spelling for every path that servers read alike, a fault for every path that
 * they may read differently. */
#include "http/http_path.h"

#include <string.h>

#include "http/http_scan.h"

static enum http_parse bad(struct http_fault *fault, enum http_fault_id id, size_t offset)
{
    fault->id = id;
    fault->offset = (uint32_t)offset;
    return HTTP_PARSE_BAD;
}

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    char lower = (char)(digit | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The byte that the escape at path.ptr[at] stands for, -1 when it is none. */
static int escaped_byte(struct span path, size_t at)
{
    if (path.len - at < 3 || path.ptr[at] != '%')
        return -1;
    int high = hex_value(path.ptr[at + 1]), low = hex_value(path.ptr[at + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Why a byte may not stand in a path, raw or encoded; NONE when it may. */
static enum http_fault_id forbidden(int byte)
{
    if (byte < 0x20 || byte == 0x7f)
        return HTTP_FAULT_PATH_NUL;
    if (byte == '/' || byte == '\\')
        return HTTP_FAULT_PATH_ENCODED_SLASH;
    return HTTP_FAULT_NONE;
}

/* UTF-8 written longer than need be (RFC 3629 section 3): careless decoders make ".", "/" and NUL of
 * it.  True when the escapes at `at` spell a byte so that would be refused or begin a dot segment. */
static bool is_overlong(struct span path, size_t at, int lead)
{
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
    return value < 0x80 &&
           (value == '.' || value == ';' || forbidden((int)value) != HTTP_FAULT_NONE);
}

/* The segment that was just written: "." and ".." alone are dot segments. */
static bool is_dot_segment(const char *begin, const char *end)
{
    return (end - begin == 1 && begin[0] == '.') ||
           (end - begin == 2 && begin[0] == '.' && begin[1] == '.');
}

/* How much at the beginning is spelled as it would be written: no escape, no empty and no dot
 * segment, no byte that is refused. */
static size_t plain_len(struct span path)
{
    for (size_t at = 0;; at++) {
        at = http_scan_plain(path.ptr, at, path.len);
        if (at == path.len)
            return at;
        if (http_byte_is(path.ptr[at], HTTP_BYTE_PATH))
            continue;
        if (path.ptr[at] != '/')
            return at;
        if (at + 1 < path.len && (path.ptr[at + 1] == '/' || path.ptr[at + 1] == '.'))
            return at;
    }
}

/* Writes the escape at path.ptr[at] in its one spelling. */
static enum http_parse judge_escape(struct span path, size_t at, char **out,
                                    struct http_fault *fault)
{
    static const char digits[] = "0123456789ABCDEF";
    int byte = escaped_byte(path, at);
    if (byte < 0 || is_overlong(path, at, byte))
        return bad(fault, HTTP_FAULT_PATH_BAD_ENCODING, at);
    enum http_fault_id why = forbidden(byte);
    if (why != HTTP_FAULT_NONE)
        return bad(fault, why, at);
    char *to = *out;
    if (http_byte_is((char)byte, HTTP_BYTE_PATH)) {
        *to++ = (char)byte;
    } else {
        *to++ = '%';
        *to++ = digits[byte >> 4];
        *to++ = digits[byte & 15];
    }
    *out = to;
    return HTTP_PARSE_OK;
}

enum http_parse http_path_judge(struct span path, char *out, struct span *judged,
                                struct http_fault *fault)
{
    *judged = path;
    size_t at = plain_len(path);
    if (at == path.len || (path.len == 1 && path.ptr[0] == '*'))
        return HTTP_PARSE_OK;

    while (at > 0 && path.ptr[at - 1] != '/')
        at--;
    memcpy(out, path.ptr, at);
    char *to = out + at, *segment = to;
    while (at < path.len) {
        char byte = path.ptr[at];
        if (byte == '/') {
            if (is_dot_segment(segment, to))
                return bad(fault, HTTP_FAULT_PATH_DOT_SEGMENT, at);
            if (to == out || to[-1] != '/')
                *to++ = '/';
            segment = to;
            at++;
        } else if (byte == '%') {
            if (judge_escape(path, at, &to, fault) != HTTP_PARSE_OK)
                return HTTP_PARSE_BAD;
            at += 3;
        } else if (http_byte_is(byte, HTTP_BYTE_PATH)) {
            *to++ = byte;
            at++;
        } else {
            enum http_fault_id why = forbidden((unsigned char)byte);
            if (why == HTTP_FAULT_NONE)
                why = byte == ';' ? HTTP_FAULT_PATH_PARAMETER : HTTP_FAULT_BAD_TARGET;
            return bad(fault, why, at);
        }
    }
    if (is_dot_segment(segment, to))
        return bad(fault, HTTP_FAULT_PATH_DOT_SEGMENT, path.len);
    struct span written = {out, (size_t)(to - out)};
    if (!span_eq(written, path))
        *judged = written;
    return HTTP_PARSE_OK;
}
