/* SPDX-License-Identifier: Apache-2.0 */
/* http_head.c - start line and field lines to slices, from left to right in one pass.  Every verdict
 * depends on the bytes up to it alone, so a head is judged alike however it is cut into packets. */
#include "http/http_head.h"

#include <assert.h>
#include <string.h>

#include "http/http_fields.h"
#include "http/http_scan.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define COLD          __attribute__((cold, noinline))

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
    if (stop - off < 8 || memcmp(buf + off, "HTTP/1.", 7) != 0)
        return -1;
    unsigned minor = (unsigned char)buf[off + 7] - (unsigned)'0';
    return minor <= 1 ? (int)minor : -1;
}

/* RFC 9112 section 3. */
static ALWAYS_INLINE enum http_parse request_line(struct http_head *head, const char *buf,
                                                  size_t stop, size_t *next,
                                                  struct http_fault *fault)
{
    const enum http_fault_id line = HTTP_FAULT_BAD_REQUEST_LINE;
    bool odd = false;
    size_t method_end = http_scan_token(buf, 0, stop, &odd);
    if (method_end == stop || method_end == 0 || buf[method_end] != ' ')
        return bad_byte(buf, stop, method_end, line, HTTP_FAULT_BAD_METHOD, HTTP_FAULT_CONTROL_BYTE,
                        fault);

    size_t target = method_end + 1;
    size_t target_end = http_scan_target(buf, target, stop);
    if (target_end == stop || target_end == target || buf[target_end] != ' ')
        return bad_byte(buf, stop, target_end, line, HTTP_FAULT_BAD_TARGET, HTTP_FAULT_CONTROL_BYTE,
                        fault);

    size_t version = target_end + 1;
    int minor = version_minor(buf, stop, version);
    if (minor < 0)
        return bad_version(buf, stop, version, line, fault);

    size_t end = version + 8;
    if (stop - end < 2 || buf[end] != '\r' || buf[end + 1] != '\n')
        return bad_byte(buf, stop, end, line, line, HTTP_FAULT_CONTROL_BYTE, fault);

    head->method = (struct http_slice){0, (uint32_t)method_end};
    head->target = (struct http_slice){(uint32_t)target, (uint32_t)(target_end - target)};
    head->method_id = (uint8_t)http_method_of((struct span){buf, method_end});
    head->minor = (uint8_t)minor;
    *next = end + 2;
    return HTTP_PARSE_OK;
}

/* The three digits of a status, 0 when they are not all digits. */
static inline unsigned status_of(const char *digits)
{
    unsigned hundreds = (unsigned char)digits[0] - (unsigned)'0';
    unsigned tens = (unsigned char)digits[1] - (unsigned)'0';
    unsigned ones = (unsigned char)digits[2] - (unsigned)'0';
    if (hundreds > 9 || tens > 9 || ones > 9)
        return 0;
    return hundreds * 100 + tens * 10 + ones;
}

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

    for (size_t i = 9; i < 12; i++)
        if (i >= stop || buf[i] < '0' || buf[i] > '9')
            return bad_byte(buf, stop, i, line, line, HTTP_FAULT_CONTROL_BYTE, fault);
    unsigned status = status_of(buf + 9);
    if (status < 100 || status > 599)
        return bad(fault, HTTP_FAULT_BAD_STATUS, 9);
    if (stop == 12)
        return HTTP_PARSE_INCOMPLETE;

    size_t reason = 12, end = 12;
    if (buf[12] == ' ') {
        reason = 13;
        end = http_scan_value(buf, reason, stop);
    }
    if (stop - end < 2 || buf[end] != '\r' || buf[end + 1] != '\n')
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

/* One field line that begins at off (RFC 9112 section 5), looking at nothing from stop on.  A fold is
 * seen at the beginning of the line that it makes. */
static ALWAYS_INLINE enum http_parse field_line(const char *buf, size_t stop, size_t off,
                                                bool refuse_alias, struct http_field *field,
                                                size_t *next, struct http_fault *fault)
{
    bool odd = false;
    size_t colon = http_scan_token(buf, off, stop, &odd);
    if (colon == stop || colon == off || buf[colon] != ':')
        return bad_name(buf, stop, off, colon, fault);
    size_t name_len = colon - off;
    if (name_len > UINT16_MAX)
        return bad(fault, HTTP_FAULT_FIELD_TOO_LONG, off);
    if (odd && refuse_alias && http_field_is_alias((struct span){buf + off, name_len}))
        return bad(fault, HTTP_FAULT_BAD_FIELD_NAME, off);

    size_t value = colon + 1;
    while (value < stop && http_byte_is_blank(buf[value]))
        value++;
    size_t end = http_scan_value(buf, value, stop);
    if (stop - end < 2 || buf[end] != '\r' || buf[end + 1] != '\n')
        return bad_byte(buf, stop, end, HTTP_FAULT_BAD_FIELD_VALUE, HTTP_FAULT_BAD_FIELD_VALUE,
                        HTTP_FAULT_BAD_FIELD_VALUE, fault);
    *next = end + 2;
    while (end > value && http_byte_is_blank(buf[end - 1]))
        end--;

    *field = (struct http_field){
        .name_off = (uint32_t)off,
        .value_off = (uint32_t)value,
        .value_len = (uint32_t)(end - value),
        .name_len = (uint16_t)name_len,
        .id = (uint8_t)http_field_lookup(buf + off, name_len),
    };
    return HTTP_PARSE_OK;
}

/* Reads field lines from *off until the empty line.  With `head` the fields are kept; without it
 * they are only judged.  On INCOMPLETE *off is where the unfinished line begins. */
static ALWAYS_INLINE enum http_parse
field_lines(struct http_head *head, const char *buf, size_t len, size_t fields_off, size_t *off,
            bool is_request, const struct http_head_limits *limits, struct http_fault *fault)
{
    const size_t head_stop = fields_off + limits->head_max_bytes;
    uint64_t present = 0, repeated = 0;
    unsigned count = 0, count_max = 0;
    if (head != NULL)
        count_max = limits->field_max < head->field_max ? limits->field_max : head->field_max;

    size_t at = *off;
    for (;;) {
        if (at == len)
            break;
        if (buf[at] == '\r') {
            if (len - at < 2)
                break;
            if (buf[at + 1] != '\n')
                return bad(fault, HTTP_FAULT_BARE_CR, at);
            if (head != NULL) {
                head->bytes = (uint32_t)(at + 2);
                head->field_count = (uint16_t)count;
                head->present = present & ~HTTP_FIELD_BIT(HTTP_FIELD_OTHER);
                head->repeated = repeated & ~HTTP_FIELD_BIT(HTTP_FIELD_OTHER);
            }
            return HTTP_PARSE_OK;
        }
        if (head != NULL && count == count_max)
            return bad(fault, HTTP_FAULT_TOO_MANY_FIELDS, at);

        size_t stop = at + limits->field_max_bytes + 2;
        enum http_fault_id too_long = HTTP_FAULT_FIELD_TOO_LONG;
        if (stop > head_stop) {
            stop = head_stop;
            too_long = HTTP_FAULT_HEAD_TOO_LONG;
        }
        if (stop > len) {
            stop = len;
            too_long = HTTP_FAULT_NONE;
        }

        struct http_field scratch;
        struct http_field *field = head != NULL ? &head->fields[count] : &scratch;
        enum http_parse parse = field_line(buf, stop, at, is_request, field, &at, fault);
        if (__builtin_expect(parse != HTTP_PARSE_OK, 0)) {
            if (parse == HTTP_PARSE_INCOMPLETE && too_long != HTTP_FAULT_NONE)
                return bad(fault, too_long, stop);
            *off = at;
            return parse;
        }
        uint64_t bit = HTTP_FIELD_BIT(field->id);
        repeated |= present & bit;
        present |= bit;
        count++;
    }
    *off = at;
    return HTTP_PARSE_INCOMPLETE;
}

/* Judges the lines that came since the last call, so that each byte of complete lines is looked at
 * once before the whole head is there. */
static COLD enum http_parse resume(const char *buf, size_t len, size_t *scanned, bool is_request,
                                   const struct http_head_limits *limits, struct http_fault *fault)
{
    size_t off = *scanned;
    const char *line_end = memchr(buf, '\n', off);
    assert(line_end != NULL);
    size_t fields_off = (size_t)(line_end - buf) + 1;
    enum http_parse parse =
        field_lines(NULL, buf, len, fields_off, &off, is_request, limits, fault);
    *scanned = off;
    return parse;
}

static ALWAYS_INLINE enum http_parse head_parse(struct http_head *head, const char *buf, size_t len,
                                                size_t *scanned, bool is_request,
                                                start_line_fn start_line,
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
    parse = field_lines(head, buf, len, off, &off, is_request, limits, fault);
    *scanned = parse == HTTP_PARSE_INCOMPLETE ? off : 0;
    return parse;
}

enum http_parse http_head_parse_request(struct http_head *head, const char *buf, size_t len,
                                        size_t *scanned, const struct http_head_limits *limits,
                                        struct http_fault *fault)
{
    head->status = 0;
    head->reason = (struct http_slice){0, 0};
    return head_parse(head, buf, len, scanned, true, request_line, limits, fault);
}

enum http_parse http_head_parse_response(struct http_head *head, const char *buf, size_t len,
                                         size_t *scanned, const struct http_head_limits *limits,
                                         struct http_fault *fault)
{
    head->method = head->target = (struct http_slice){0, 0};
    head->method_id = HTTP_METHOD_OTHER;
    return head_parse(head, buf, len, scanned, false, status_line, limits, fault);
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
