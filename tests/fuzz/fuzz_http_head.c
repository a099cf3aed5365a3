/* SPDX-License-Identifier: Apache-2.0 */
/* Heads.  The first byte chooses request or response, the second where the head is cut.  The verdict may
 * not depend on the cut; what is accepted must be read by llhttp in the same way, and what is written
 * of it must be read by us in the same way again. */
#include "fuzz.h"

#include "fuzz_llhttp.h"
#include "http/http_write.h"

#define FIELDS_MAX 64

static const struct http_head_limits LIMITS = {
    .line_max_bytes = 512, .field_max_bytes = 256, .head_max_bytes = 1024, .field_max = 24};

struct reading {
    struct http_head head;
    struct http_field fields[FIELDS_MAX];
    struct http_fault fault;
    enum http_parse parse;
};

static void read_head(struct reading *r, bool is_request, const char *bytes, size_t len,
                      size_t *scanned)
{
    memset(r, 0, sizeof(*r));
    r->head.fields = r->fields;
    r->head.field_max = FIELDS_MAX;
    r->parse = is_request
                   ? http_head_parse_request(&r->head, bytes, len, scanned, &LIMITS, &r->fault)
                   : http_head_parse_response(&r->head, bytes, len, scanned, &LIMITS, &r->fault);
}

/* Slices lie within the head, in order, and hold no byte that could end a line. */
static void check_slices(const struct http_head *head, size_t len)
{
    FUZZ_CHECK(head->bytes <= len && head->bytes >= head->fields_off + 2);
    FUZZ_CHECK(memcmp(head->base + head->bytes - 4, "\r\n\r\n", 4) == 0);
    uint32_t at = head->fields_off;
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        struct span name = http_field_name(head, field), value = http_field_value(head, field);
        FUZZ_CHECK(field->name_off == at && field->name_len > 0);
        FUZZ_CHECK(field->value_off > field->name_off + field->name_len);
        FUZZ_CHECK(http_is_token(name));
        FUZZ_CHECK(field->id == http_field_id_of(name));
        for (size_t j = 0; j < value.len; j++) {
            unsigned char byte = (unsigned char)value.ptr[j];
            FUZZ_CHECK((byte >= 0x20 && byte != 0x7f) || byte == '\t');
        }
        const char *line_end = memchr(head->base + at, '\n', head->bytes - at);
        FUZZ_CHECK(line_end != NULL && line_end[-1] == '\r');
        FUZZ_CHECK(value.ptr + value.len < line_end);
        at = (uint32_t)(line_end - head->base) + 1;
    }
    FUZZ_CHECK(at + 2 == head->bytes);
}

static void check_same(const struct reading *a, const struct reading *b)
{
    FUZZ_CHECK(a->parse == b->parse);
    if (a->parse == HTTP_PARSE_BAD)
        FUZZ_CHECK(a->fault.id == b->fault.id && a->fault.offset == b->fault.offset);
    if (a->parse != HTTP_PARSE_OK)
        return;
    FUZZ_CHECK(a->head.bytes == b->head.bytes && a->head.field_count == b->head.field_count);
    FUZZ_CHECK(a->head.present == b->head.present && a->head.repeated == b->head.repeated);
    FUZZ_CHECK(memcmp(a->fields, b->fields, sizeof(a->fields)) == 0);
}

/* First the bytes up to the cut, then all of them. */
static void check_cut(const struct reading *whole, bool is_request, const char *bytes, size_t len,
                      size_t cut)
{
    struct reading first, second;
    size_t scanned = 0;
    char *prefix = fuzz_copy(bytes, cut);
    read_head(&first, is_request, prefix, cut, &scanned);
    FUZZ_CHECK(scanned <= cut);
    free(prefix);
    if (first.parse != HTTP_PARSE_INCOMPLETE) {
        check_same(whole, &first);
        return;
    }
    read_head(&second, is_request, bytes, len, &scanned);
    /* That there are too many fields is seen last when lines are judged as they come. */
    if (whole->fault.id != HTTP_FAULT_TOO_MANY_FIELDS)
        check_same(whole, &second);
    else
        FUZZ_CHECK(second.parse != HTTP_PARSE_OK);
}

#ifdef FUZZ_HAS_LLHTTP
static void check_fields(const struct http_head *head, const struct opinion *o)
{
    FUZZ_CHECK(o->name_count == head->field_count && o->value_count == head->field_count);
    for (unsigned i = 0; i < head->field_count; i++) {
        FUZZ_CHECK(span_eq(o->names[i], http_field_name(head, &head->fields[i])));
        FUZZ_CHECK(span_eq(span_trim(o->values[i]), http_field_value(head, &head->fields[i])));
    }
}

/* Where llhttp may refuse what we accept, none of it about where a message ends: it knows the methods of a
 * list only (what begins like another is an "invalid constant") and reads targets by forms of its own. */
static bool is_its_own_affair(llhttp_errno_t err)
{
    return err == HPE_INVALID_METHOD || err == HPE_INVALID_URL || err == HPE_INVALID_CONSTANT;
}

static void check_opinion(const struct http_head *head, bool is_request,
                          const struct http_framing *framing)
{
    static struct opinion o;
    memset(&o, 0, sizeof(o));
    o.stop_after_head = true;
    llhttp_errno_t err = opinion_read(&o, is_request, head->base, head->bytes);
    if (is_request && is_its_own_affair(err))
        return;
    if (err != HPE_PAUSED)
        fprintf(stderr, "llhttp: %s\n", llhttp_get_error_reason(&o.parser));
    FUZZ_CHECK(err == HPE_PAUSED);
    FUZZ_CHECK(o.head_bytes == head->bytes);
    FUZZ_CHECK(o.parser.http_major == 1 && o.parser.http_minor == head->minor);
    check_fields(head, &o);
    if (is_request)
        FUZZ_CHECK(span_eq(o.url, http_head_span(head, head->target)));
    else
        FUZZ_CHECK(o.parser.status_code == head->status);
    bool is_chunked = http_head_has(head, HTTP_FIELD_TRANSFER_ENCODING);
    FUZZ_CHECK(((o.parser.flags & F_CHUNKED) != 0) == is_chunked);
    FUZZ_CHECK(((o.parser.flags & F_CONTENT_LENGTH) != 0) == framing->has_length);
    if (framing->has_length)
        FUZZ_CHECK(o.parser.content_length == framing->length_bytes);
}
#else
static void check_opinion(const struct http_head *head, bool is_request,
                          const struct http_framing *framing)
{
    (void)head;
    (void)is_request;
    (void)framing;
}
#endif

/* What is forwarded is a head again, with the same fields but for the dropped ones. */
static void check_written(const struct http_head *head)
{
    static const char line[] = "HTTP/1.1 200 OK\r\n";
    char *out = malloc(sizeof(line) + head->bytes + 2);
    FUZZ_CHECK(out != NULL);
    size_t len = sizeof(line) - 1;
    memcpy(out, line, len);
    char *end = http_write_fields(out + len, head, HTTP_FIELD_BIT(HTTP_FIELD_VIA));
    FUZZ_CHECK((size_t)(end - out) <= len + head->bytes);
    memcpy(end, "\r\n", 2);
    len = (size_t)(end - out) + 2;

    struct reading again;
    size_t scanned = 0;
    read_head(&again, false, out, len, &scanned);
    FUZZ_CHECK(again.parse == HTTP_PARSE_OK && again.head.bytes == len);
    uint64_t dropped = HTTP_HOP_BY_HOP | HTTP_FIELD_BIT(HTTP_FIELD_VIA);
    FUZZ_CHECK((again.head.present & dropped) == 0);
    FUZZ_CHECK((again.head.present & ~head->present) == 0);
    unsigned at = 0;
    for (unsigned i = 0; i < again.head.field_count; i++, at++) {
        struct span name = http_field_name(&again.head, &again.fields[i]);
        struct span value = http_field_value(&again.head, &again.fields[i]);
        while (at < head->field_count &&
               !(span_eq(name, http_field_name(head, &head->fields[at])) &&
                 span_eq(value, http_field_value(head, &head->fields[at]))))
            at++;
        FUZZ_CHECK(at < head->field_count);
    }
    free(out);
}

static void check_request(const struct http_head *head)
{
    struct http_framing framing;
    struct http_target target;
    struct http_fault fault;
    if (http_framing_request(head, &framing, &fault) != HTTP_PARSE_OK ||
        http_target_parse(head, &target, &fault) != HTTP_PARSE_OK) {
        FUZZ_CHECK(http_fault_status(fault.id) >= 400 && fault.offset <= head->bytes);
        return;
    }
    FUZZ_CHECK(target.path.len > 0 && (target.path.ptr[0] == '/' || target.path.ptr[0] == '*'));
    FUZZ_CHECK(target.host.len <= target.authority.len);
    FUZZ_CHECK(head->minor == 0 || target.host.len > 0);
    FUZZ_CHECK(framing.kind <= HTTP_BODY_CHUNKED);
    FUZZ_CHECK((framing.kind == HTTP_BODY_LENGTH) == (framing.length_bytes > 0));
    check_opinion(head, true, &framing);
}

static void check_response(const struct http_head *head)
{
    struct http_framing framing, to_head;
    struct http_fault fault;
    enum http_parse parse = http_framing_response(head, HTTP_METHOD_GET, &framing, &fault);
    FUZZ_CHECK(parse == http_framing_response(head, HTTP_METHOD_HEAD, &to_head, &fault));
    if (parse != HTTP_PARSE_OK)
        return;
    FUZZ_CHECK(to_head.kind == HTTP_BODY_NONE || head->status == 101);
    FUZZ_CHECK(!framing.keep_alive ||
               (framing.kind != HTTP_BODY_CLOSE && framing.kind != HTTP_BODY_TUNNEL));
    check_opinion(head, false, &framing);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 4096)
        return 0;
    const bool is_request = (data[0] & 1) != 0;
    const size_t len = size - 2, cut = len != 0 ? data[1] * len / 256 : 0;
    char *bytes = fuzz_copy(data + 2, len);
    struct reading whole;
    size_t scanned = 0;
    read_head(&whole, is_request, bytes, len, &scanned);
    check_cut(&whole, is_request, bytes, len, cut);
    if (whole.parse == HTTP_PARSE_OK) {
        check_slices(&whole.head, len);
        check_written(&whole.head);
        if (is_request)
            check_request(&whole.head);
        else
            check_response(&whole.head);
    } else if (whole.parse == HTTP_PARSE_BAD) {
        FUZZ_CHECK(whole.fault.id != HTTP_FAULT_NONE && whole.fault.offset <= len);
    }
    free(bytes);
    return 0;
}
