/* SPDX-License-Identifier: Apache-2.0 */
/* http_head.c - start line and field lines to slices, from left to right in one pass.  Every verdict
 * depends on the bytes up to it alone, so a head is judged alike however it is cut into packets. */
#include "http/http_head.h"

#include <assert.h>
#include <string.h>

#include "base/base_load.h"
#include "http/http_fields.h"
#include "http/http_lines.h"
#include "http/http_lines_loop.h"
#include "http/http_scan.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define COLD          __attribute__((cold, noinline))

/* How a head is read: with what every machine of its kind has, or with more.  Known where it is used, so that all of it
 * becomes one function. */
typedef size_t (*target_fn)(const char *buf, size_t off, size_t len, size_t *query);
typedef void (*lines_fn)(struct http_head *head, const char *buf, size_t stop, size_t *off,
                         unsigned max);

/* Reads the start line from buf[0..stop); *next is where the field lines begin. */
typedef enum http_parse (*start_line_fn)(struct http_head *head, const char *buf, size_t stop,
                                         size_t *next, struct http_fault *fault);

static COLD enum http_parse bad(struct http_fault *fault, enum http_fault_id id, size_t offset)
{
    fault->id = id;
    fault->offset = (uint32_t)offset;
    return HTTP_PARSE_BAD;
}

/* Why buf[off] cannot stand where it does.  `line` is for a line that ends too early or has a space
 * too many, `other` for a visible byte, `control` for a control byte. */
static COLD enum http_parse bad_byte(const char *buf, size_t stop, size_t off,
                                     enum http_fault_id line, enum http_fault_id other,
                                     enum http_fault_id control, struct http_fault *fault)
{
    if (off >= stop)
        return HTTP_PARSE_INCOMPLETE;
    unsigned char byte = (unsigned char)buf[off];
    if (byte == '\n')
        return bad(fault, HTTP_FAULT_BARE_LF, off);
    if (byte == '\r' && off + 1 >= stop)
        return HTTP_PARSE_INCOMPLETE;
    if (byte == '\r')
        return bad(fault, buf[off + 1] == '\n' ? line : HTTP_FAULT_BARE_CR, off);
    if (byte == ' ')
        return bad(fault, line, off);
    if (byte < 0x20 || byte == 0x7f)
        return bad(fault, control, off);
    return bad(fault, other, off);
}

/* Compares bytes of a version that is not plainly HTTP/1.0 or HTTP/1.1 with its grammar
 * (RFC 9112 section 2.3) and finds the first that is wrong. */
static COLD enum http_parse bad_version(const char *buf, size_t stop, size_t off,
                                        enum http_fault_id line, struct http_fault *fault)
{
    static const char shape[] = "HTTP/0.0";
    for (size_t i = 0; i < sizeof(shape) - 1; i++) {
        if (off + i >= stop)
            return HTTP_PARSE_INCOMPLETE;
        char byte = buf[off + i];
        bool fits = shape[i] == '0' ? byte >= '0' && byte <= '9' : byte == shape[i];
        if (!fits)
            return bad_byte(buf, stop, off + i, line, line, HTTP_FAULT_CONTROL_BYTE, fault);
    }
    return bad(fault, HTTP_FAULT_BAD_VERSION, off);
}

/* 0 or 1 for the minor version at buf + off, -1 when it is another version or not all there. */
static inline int version_minor(const char *buf, size_t stop, size_t off)
{
    if (stop - off < 8)
        return -1;
    uint64_t word = load_u64(buf + off);
    if (word == load_u64("HTTP/1.1"))
        return 1;
    return word == load_u64("HTTP/1.0") ? 0 : -1;
}

static inline bool is_crlf(const char *at)
{
    return memcmp(at, "\r\n", 2) == 0;
}

static ALWAYS_INLINE size_t narrow_target(const char *buf, size_t off, size_t len, size_t *query)
{
    size_t end = http_scan_target(buf, off, len);
    *query = http_scan_query(buf, off, end);
    return end;
}

/* RFC 9112 section 3. */
static ALWAYS_INLINE enum http_parse request_line(struct http_head *head, const char *buf,
                                                  size_t stop, size_t *next, target_fn scan_target,
                                                  struct http_fault *fault)
{
    const enum http_fault_id line = HTTP_FAULT_BAD_REQUEST_LINE;
    size_t method_end = 3, query;
    head->method_id = HTTP_METHOD_GET;
    if (stop < 4 || memcmp(buf, "GET ", 4) != 0) { /* which most are */
        bool odd = false;
        method_end = http_scan_token(buf, 0, stop, &odd);
        if (method_end == stop || method_end == 0 || buf[method_end] != ' ')
            return bad_byte(buf, stop, method_end, line, HTTP_FAULT_BAD_METHOD,
                            HTTP_FAULT_CONTROL_BYTE, fault);
        head->method_id = (uint8_t)http_method_of((struct span){buf, method_end});
    }

    size_t target = method_end + 1;
    size_t target_end = scan_target(buf, target, stop, &query);
    if (target_end == stop || target_end == target || buf[target_end] != ' ')
        return bad_byte(buf, stop, target_end, line, HTTP_FAULT_BAD_TARGET, HTTP_FAULT_CONTROL_BYTE,
                        fault);

    size_t version = target_end + 1;
    int minor = version_minor(buf, stop, version);
    if (minor < 0)
        return bad_version(buf, stop, version, line, fault);

    size_t end = version + 8;
    if (stop - end < 2 || !is_crlf(buf + end))
        return bad_byte(buf, stop, end, line, line, HTTP_FAULT_CONTROL_BYTE, fault);

    head->method = (struct http_slice){0, (uint32_t)method_end};
    head->target = (struct http_slice){(uint32_t)target, (uint32_t)(target_end - target)};
    head->query_at = (uint32_t)(query - target);
    head->minor = (uint8_t)minor;
    *next = end + 2;
    return HTTP_PARSE_OK;
}

static ALWAYS_INLINE enum http_parse request_line_narrow(struct http_head *head, const char *buf,
                                                         size_t stop, size_t *next,
                                                         struct http_fault *fault)
{
    return request_line(head, buf, stop, next, narrow_target, fault);
}

#ifdef HTTP_SCAN_WIDE
HTTP_SCAN_IN_WIDE enum http_parse request_line_wide(struct http_head *head, const char *buf,
                                                    size_t stop, size_t *next,
                                                    struct http_fault *fault)
{
    return request_line(head, buf, stop, next, http_scan_wide_target, fault);
}
#endif

/* RFC 9112 section 4.  Many servers leave out the space before an empty reason; both are read. */
static ALWAYS_INLINE enum http_parse status_line(struct http_head *head, const char *buf,
                                                 size_t stop, size_t *next,
                                                 struct http_fault *fault)
{
    const enum http_fault_id line = HTTP_FAULT_BAD_STATUS_LINE;
    int minor = version_minor(buf, stop, 0);
    if (minor < 0)
        return bad_version(buf, stop, 0, line, fault);
    if (stop == 8 || buf[8] != ' ')
        return bad_byte(buf, stop, 8, line, line, HTTP_FAULT_CONTROL_BYTE, fault);

    unsigned status = 0;
    for (size_t i = 9; i < 12; i++) {
        if (i >= stop || buf[i] < '0' || buf[i] > '9')
            return bad_byte(buf, stop, i, line, line, HTTP_FAULT_CONTROL_BYTE, fault);
        status = status * 10 + (unsigned)(buf[i] - '0');
    }
    if (status < 100 || status > 599)
        return bad(fault, HTTP_FAULT_BAD_STATUS, 9);
    if (stop == 12)
        return HTTP_PARSE_INCOMPLETE;

    size_t reason = 12, end = 12;
    if (buf[12] == ' ') {
        reason = 13;
        end = http_scan_value(buf, reason, stop);
    }
    if (stop - end < 2 || !is_crlf(buf + end))
        return bad_byte(buf, stop, end, line, line, HTTP_FAULT_CONTROL_BYTE, fault);

    head->status = (uint16_t)status;
    head->reason = (struct http_slice){(uint32_t)reason, (uint32_t)(end - reason)};
    head->minor = (uint8_t)minor;
    *next = end + 2;
    return HTTP_PARSE_OK;
}

/* What is wrong with a name that begins at off and stops at end without a colon (RFC 9112 section 5.1),
 * or is empty. */
static COLD enum http_parse bad_name(const char *buf, size_t stop, size_t off, size_t end,
                                     struct http_fault *fault)
{
    if (end < stop && end == off && http_byte_is_blank(buf[off]))
        return bad(fault, HTTP_FAULT_OBS_FOLD, off);
    if (end < stop && buf[end] == '\t')
        return bad(fault, HTTP_FAULT_BAD_FIELD_NAME, end);
    return bad_byte(buf, stop, end, HTTP_FAULT_BAD_FIELD_NAME, HTTP_FAULT_BAD_FIELD_NAME,
                    HTTP_FAULT_CONTROL_BYTE, fault);
}

/* Keeps what a line is made of; `end` is where its CR stands.  In a value that was scanned no byte below
 * SP is left but HTAB, and the colon stops the search from the end. */
static ALWAYS_INLINE void keep_field(const char *buf, size_t off, size_t colon, size_t end,
                                     struct http_field *field)
{
    size_t value = colon + 1;
    while ((unsigned char)buf[end - 1] <= ' ')
        end--;
    while (value < end && (unsigned char)buf[value] <= ' ')
        value++;
    field->name_off = (uint32_t)off;
    field->name_len = (uint16_t)(colon - off);
    field->value_off = (uint32_t)value;
    field->value_len = (uint32_t)(end - value);
    field->id = (uint8_t)http_field_lookup(buf + off, colon - off);
}

/* One field line that begins at off (RFC 9112 section 5), looking at nothing from stop on.  A fold is
 * seen at the beginning of the line that it makes. */
static COLD enum http_parse field_line(const char *buf, size_t stop, size_t off, bool refuse_alias,
                                       struct http_field *field, size_t *next,
                                       struct http_fault *fault)
{
    bool odd = false;
    size_t colon = http_scan_token(buf, off, stop, &odd);
    if (colon == stop || colon == off || buf[colon] != ':')
        return bad_name(buf, stop, off, colon, fault);
    if (colon - off > UINT16_MAX)
        return bad(fault, HTTP_FAULT_FIELD_TOO_LONG, off);
    if (odd && refuse_alias && http_field_is_alias((struct span){buf + off, colon - off}))
        return bad(fault, HTTP_FAULT_BAD_FIELD_NAME, off);

    size_t end = http_scan_value(buf, colon + 1, stop);
    if (stop - end < 2 || !is_crlf(buf + end))
        return bad_byte(buf, stop, end, HTTP_FAULT_BAD_FIELD_VALUE, HTTP_FAULT_BAD_FIELD_VALUE,
                        HTTP_FAULT_BAD_FIELD_VALUE, fault);
    keep_field(buf, off, colon, end, field);
    *next = end + 2;
    return HTTP_PARSE_OK;
}

/* Where field lines are read to: the most that one line and all together may take. */
struct bounds {
    size_t line_bytes, head_stop;
};

/* A line that is not plain: another good one, one that is not all there, a bad one, one that is too long,
 * or the empty line.  *at moves behind it; the empty line is HTTP_PARSE_OK with *at as it was. */
static COLD enum http_parse other_line(const char *buf, size_t len, size_t *at, bool refuse_alias,
                                       const struct bounds *bounds, struct http_field *field,
                                       struct http_fault *fault)
{
    if (*at == len)
        return HTTP_PARSE_INCOMPLETE;
    if (buf[*at] == '\r') {
        if (len - *at < 2)
            return HTTP_PARSE_INCOMPLETE;
        return buf[*at + 1] == '\n' ? HTTP_PARSE_OK : bad(fault, HTTP_FAULT_BARE_CR, *at);
    }
    size_t stop = *at + bounds->line_bytes;
    enum http_fault_id too_long = HTTP_FAULT_FIELD_TOO_LONG;
    if (stop > bounds->head_stop) {
        stop = bounds->head_stop;
        too_long = HTTP_FAULT_HEAD_TOO_LONG;
    }
    if (stop > len) {
        stop = len;
        too_long = HTTP_FAULT_NONE;
    }
    enum http_parse parse = field_line(buf, stop, *at, refuse_alias, field, at, fault);
    if (parse == HTTP_PARSE_INCOMPLETE && too_long != HTTP_FAULT_NONE)
        return bad(fault, too_long, stop);
    return parse;
}

/* Judges lines that are not kept, until the empty line. */
static COLD enum http_parse unkept_lines(const char *buf, size_t len, size_t *at, bool refuse_alias,
                                         const struct bounds *bounds, struct http_fault *fault)
{
    struct http_field field;
    enum http_parse parse;
    size_t before;
    do {
        before = *at;
        parse = other_line(buf, len, at, refuse_alias, bounds, &field, fault);
    } while (parse == HTTP_PARSE_OK && *at != before);
    return parse;
}

/* Lines beyond field_max: that there are too many shows when the head is whole, as for one that comes in pieces. */
static COLD enum http_parse excess_lines(const char *buf, size_t len, size_t at, bool refuse_alias,
                                         const struct bounds *bounds, struct http_fault *fault)
{
    size_t first = at;
    enum http_parse parse = unkept_lines(buf, len, &at, refuse_alias, bounds, fault);
    return parse == HTTP_PARSE_OK && at != first ? bad(fault, HTTP_FAULT_TOO_MANY_FIELDS, first)
                                                 : parse;
}

/* Reads field lines from *off until the empty line. */
static ALWAYS_INLINE enum http_parse
field_lines(struct http_head *head, const char *buf, size_t len, size_t *off, bool is_request,
            lines_fn read_lines, const struct http_head_limits *limits, struct http_fault *fault)
{
    const struct bounds bounds = {.line_bytes = (size_t)limits->field_max_bytes + 2,
                                  .head_stop = *off + limits->head_max_bytes};
    /* A line that ends before this is within both bounds, wherever it begins. */
    size_t plain_stop = len < bounds.head_stop ? len : bounds.head_stop;
    if (plain_stop > *off + bounds.line_bytes)
        plain_stop = *off + bounds.line_bytes;

    const unsigned max = limits->field_max < head->field_max ? limits->field_max : head->field_max;
    head->has_underscore = false;
    head->present = head->repeated = 0;
    head->field_count = 0;
    for (;;) {
        read_lines(head, buf, plain_stop, off, max);
        size_t at = *off, next = at;
        if (len - at >= 2 && is_crlf(buf + at))
            break;
        const unsigned i = head->field_count;
        struct http_field *field = &head->fields[i];
        enum http_parse parse = i < max
                                    ? other_line(buf, len, &next, is_request, &bounds, field, fault)
                                    : excess_lines(buf, len, at, is_request, &bounds, fault);
        if (parse != HTTP_PARSE_OK)
            return parse;
        if (memchr(buf + at, '_', field->name_len) != NULL) /* no such name is plain */
            head->has_underscore = true;
        http_head_count(head, i);
        head->field_count++;
        *off = next;
    }
    head->bytes = (uint32_t)(*off + 2);
    return HTTP_PARSE_OK;
}

/* Judges the lines that came since the last call and keeps nothing, so that each byte of complete lines
 * is looked at once before the whole head is there. */
static COLD enum http_parse resume(const char *buf, size_t len, size_t *scanned, bool is_request,
                                   const struct http_head_limits *limits, struct http_fault *fault)
{
    const char *line_end = memchr(buf, '\n', *scanned);
    assert(line_end != NULL);
    const struct bounds bounds = {.line_bytes = (size_t)limits->field_max_bytes + 2,
                                  .head_stop =
                                      (size_t)(line_end - buf) + 1 + limits->head_max_bytes};
    return unkept_lines(buf, len, scanned, is_request, &bounds, fault);
}

static ALWAYS_INLINE enum http_parse head_parse(struct http_head *head, const char *buf, size_t len,
                                                size_t *scanned, bool is_request,
                                                start_line_fn start_line, lines_fn read_lines,
                                                const struct http_head_limits *limits,
                                                struct http_fault *fault)
{
    if (len > UINT32_MAX)
        len = UINT32_MAX;
    if (*scanned != 0) {
        enum http_parse parse = resume(buf, len, scanned, is_request, limits, fault);
        if (parse != HTTP_PARSE_OK)
            return parse;
    }

    const size_t line_stop = (size_t)limits->line_max_bytes + 2;
    size_t stop = len < line_stop ? len : line_stop;
    size_t off = 0;
    enum http_parse parse = start_line(head, buf, stop, &off, fault);
    if (parse != HTTP_PARSE_OK) {
        if (parse == HTTP_PARSE_INCOMPLETE && stop == line_stop)
            return bad(fault, HTTP_FAULT_LINE_TOO_LONG, stop);
        return parse;
    }

    head->base = buf;
    head->fields_off = (uint32_t)off;
    parse = field_lines(head, buf, len, &off, is_request, read_lines, limits, fault);
    *scanned = parse == HTTP_PARSE_INCOMPLETE ? off : 0;
    return parse;
}

enum http_parse http_head_parse_request_portable(struct http_head *head, const char *buf,
                                                 size_t len, size_t *scanned,
                                                 const struct http_head_limits *limits,
                                                 struct http_fault *fault)
{
    head->status = 0;
    head->reason = (struct http_slice){0, 0};
    return head_parse(head, buf, len, scanned, true, request_line_narrow, http_lines_read_portable,
                      limits, fault);
}

#ifdef HTTP_SCAN_WIDE
HTTP_SCAN_WIDE static enum http_parse parse_request_wide(struct http_head *head, const char *buf,
                                                         size_t len, size_t *scanned,
                                                         const struct http_head_limits *limits,
                                                         struct http_fault *fault)
{
    head->status = 0;
    head->reason = (struct http_slice){0, 0};
    return head_parse(head, buf, len, scanned, true, request_line_wide, http_lines_loop_wide,
                      limits, fault);
}
#endif

enum http_parse http_head_parse_request(struct http_head *head, const char *buf, size_t len,
                                        size_t *scanned, const struct http_head_limits *limits,
                                        struct http_fault *fault)
{
#ifdef HTTP_SCAN_WIDE
    if (http_scan_has_wide())
        return parse_request_wide(head, buf, len, scanned, limits, fault);
#endif
    return http_head_parse_request_portable(head, buf, len, scanned, limits, fault);
}

enum http_parse http_head_parse_response(struct http_head *head, const char *buf, size_t len,
                                         size_t *scanned, const struct http_head_limits *limits,
                                         struct http_fault *fault)
{
    head->method = head->target = (struct http_slice){0, 0};
    head->method_id = HTTP_METHOD_OTHER;
    return head_parse(head, buf, len, scanned, false, status_line, http_lines_read, limits, fault);
}

enum http_parse http_head_parse_field(const char *buf, size_t len, size_t off,
                                      struct http_field *field, size_t *next,
                                      struct http_fault *fault)
{
    return field_line(buf, len, off, true, field, next, fault);
}

size_t http_head_skip_crlf(const char *buf, size_t len)
{
    return len >= 2 && buf[0] == '\r' && buf[1] == '\n' ? 2 : 0;
}
