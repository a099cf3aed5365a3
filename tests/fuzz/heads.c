/* SPDX-License-Identifier: Apache-2.0 */
/* heads.c - see heads.h. */
#include "heads.h"

#include "http/http_scan.h"
#include "http/http_write.h"
#include "opinion.h"

const struct http_head_limits HEADS_LIMITS = {
    .line_max_bytes = 512, .field_max_bytes = 256, .head_max_bytes = 1024, .field_max = 24};

static void begin(struct heads_reading *r)
{
    memset(r, 0, sizeof(*r));
    r->head.fields = r->fields;
    r->head.field_max = HEADS_FIELDS_MAX;
}

static bool is_same_slice(struct http_slice a, struct http_slice b)
{
    return a.off == b.off && a.len == b.len;
}

static void check_same(const struct heads_reading *a, const struct heads_reading *b)
{
    FUZZ_CHECK(a->parse == b->parse);
    if (a->parse == HTTP_PARSE_BAD)
        FUZZ_CHECK(a->fault.id == b->fault.id && a->fault.offset == b->fault.offset);
    if (a->parse != HTTP_PARSE_OK)
        return;
    FUZZ_CHECK(is_same_slice(a->head.method, b->head.method));
    FUZZ_CHECK(is_same_slice(a->head.target, b->head.target));
    FUZZ_CHECK(is_same_slice(a->head.reason, b->head.reason));
    FUZZ_CHECK(a->head.query_at == b->head.query_at);
    FUZZ_CHECK(a->head.status == b->head.status && a->head.minor == b->head.minor);
    FUZZ_CHECK(a->head.method_id == b->head.method_id);
    FUZZ_CHECK(a->head.bytes == b->head.bytes && a->head.field_count == b->head.field_count);
    FUZZ_CHECK(a->head.present == b->head.present && a->head.repeated == b->head.repeated);
    FUZZ_CHECK(memcmp(a->fields, b->fields, sizeof(a->fields)) == 0);
}

/* What takes all that the processor has finds the same as what does not. */
static void read_request(struct heads_reading *r, const char *bytes, size_t len, size_t *scanned)
{
    struct heads_reading twin;
    size_t twin_scanned = *scanned;
    begin(&twin);
    r->parse = http_head_parse_request(&r->head, bytes, len, scanned, &HEADS_LIMITS, &r->fault);
    twin.parse = http_head_parse_request_portable(&twin.head, bytes, len, &twin_scanned,
                                                  &HEADS_LIMITS, &twin.fault);
    check_same(r, &twin);
    FUZZ_CHECK(*scanned == twin_scanned);
}

void heads_read(struct heads_reading *r, bool is_request, const char *bytes, size_t len,
                size_t *scanned)
{
    begin(r);
    if (is_request)
        read_request(r, bytes, len, scanned);
    else
        r->parse =
            http_head_parse_response(&r->head, bytes, len, scanned, &HEADS_LIMITS, &r->fault);
}

/* The scanners that look at sixteen bytes at once stop where those of one byte do. */
static void check_scanners(const char *bytes, size_t len, size_t off)
{
    bool odd = false, odd_portable = false;
    FUZZ_CHECK(http_scan_token(bytes, off, len, &odd) ==
               http_scan_token_portable(bytes, off, len, &odd_portable));
    FUZZ_CHECK(odd == odd_portable);
    FUZZ_CHECK(http_scan_plain(bytes, off, len) == http_scan_plain_portable(bytes, off, len));
    FUZZ_CHECK(http_scan_value(bytes, off, len) == http_scan_value_portable(bytes, off, len));
    FUZZ_CHECK(http_scan_target(bytes, off, len) == http_scan_target_portable(bytes, off, len));
}

static bool is_in(struct http_slice outer, struct http_slice inner)
{
    return inner.off >= outer.off && inner.off + inner.len <= outer.off + outer.len;
}

/* Slices lie within the head, in order, and nothing in it could end a line elsewhere: no NUL, no CR or LF
 * but in CRLF, no line that begins with white space (RFC 9112 sections 2.2 and 5.2). */
static void check_slices(const struct http_head *head, size_t len)
{
    FUZZ_CHECK(head->bytes <= len && head->bytes >= head->fields_off + 2);
    FUZZ_CHECK(memcmp(head->base + head->bytes - 4, "\r\n\r\n", 4) == 0);
    for (size_t i = 0; i < head->bytes; i++) {
        char byte = head->base[i];
        FUZZ_CHECK(byte != '\0');
        FUZZ_CHECK(byte != '\r' || head->base[i + 1] == '\n');
        FUZZ_CHECK(byte != '\n' || head->base[i - 1] == '\r');
        FUZZ_CHECK(byte != '\n' || i + 1 == head->bytes ||
                   (head->base[i + 1] != ' ' && head->base[i + 1] != '\t'));
    }
    struct http_slice line = {0, head->fields_off - 2};
    FUZZ_CHECK(is_in(line, head->method) && is_in(line, head->target) && is_in(line, head->reason));
    FUZZ_CHECK(head->query_at == span_find(http_head_span(head, head->target), '?'));

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
        FUZZ_CHECK(span_eq(value, span_trim(value)));
        const char *line_end = memchr(head->base + at, '\n', head->bytes - at);
        FUZZ_CHECK(line_end != NULL && value.ptr + value.len < line_end);
        at = (uint32_t)(line_end - head->base) + 1;
    }
    FUZZ_CHECK(at + 2 == head->bytes);
}

/* Sets of known fields, and where each is found first, against a walk over all fields. */
static void check_index(const struct http_head *head)
{
    uint64_t present = 0, repeated = 0;
    bool has_underscore = false;
    for (unsigned i = 0; i < head->field_count; i++) {
        struct span name = http_field_name(head, &head->fields[i]);
        has_underscore = has_underscore || span_find(name, '_') < name.len;
        enum http_field_id id = (enum http_field_id)head->fields[i].id;
        if (id == HTTP_FIELD_OTHER)
            continue;
        if (present & HTTP_FIELD_BIT(id))
            repeated |= HTTP_FIELD_BIT(id);
        else
            FUZZ_CHECK(head->first[id] == i);
        present |= HTTP_FIELD_BIT(id);
    }
    FUZZ_CHECK(present == head->present && repeated == head->repeated);
    FUZZ_CHECK(has_underscore == head->has_underscore);
    for (unsigned id = 0; id < HTTP_FIELDS; id++) {
        unsigned from = 0, count = 0, same = 0;
        while (http_head_next(head, (enum http_field_id)id, &from) != NULL)
            count++;
        for (unsigned i = 0; i < head->field_count; i++)
            same += head->fields[i].id == id;
        FUZZ_CHECK(count == same);
    }
}

/* Arrives in pieces: the first of `cut` bytes, then as many as `step` each.  Each time the bytes lie
 * elsewhere, in a block of exactly their length. */
static void check_pieces(const struct heads_reading *whole, bool is_request, const char *bytes,
                         size_t len, size_t cut, size_t step)
{
    struct heads_reading part;
    size_t scanned = 0, have = cut;
    for (;; have = have + step < len ? have + step : len) {
        char *prefix = fuzz_copy(bytes, have);
        heads_read(&part, is_request, prefix, have, &scanned);
        free(prefix);
        FUZZ_CHECK(scanned <= have);
        if (part.parse != HTTP_PARSE_INCOMPLETE || have == len)
            break;
    }
    /* That there are too many fields is seen last when lines are judged as they come. */
    if (whole->fault.id == HTTP_FAULT_TOO_MANY_FIELDS)
        FUZZ_CHECK(part.parse != HTTP_PARSE_OK);
    else
        check_same(whole, &part);
}

/* A name that Connection lists: dropped by who forwards (RFC 9110 section 7.6.1). */
static bool is_nominated(const struct http_head *head, struct span name)
{
    unsigned from = 0;
    const struct http_field *field;
    while ((field = http_head_next(head, HTTP_FIELD_CONNECTION, &from)) != NULL) {
        struct span list = http_field_value(head, field);
        while (list.len != 0) {
            size_t len = span_find(list, ',');
            if (span_eq_nocase(span_trim((struct span){list.ptr, len}), name))
                return true;
            len += len < list.len;
            list = (struct span){list.ptr + len, list.len - len};
        }
    }
    return false;
}

static bool is_forwarded(const struct http_head *head, const struct http_field *field)
{
    static const char *const framing[] = {"content-length", "transfer-encoding", "host"};
    static const char *const hop_by_hop[] = {"connection",
                                             "keep-alive",
                                             "proxy-connection",
                                             "proxy-authenticate",
                                             "proxy-authorization",
                                             "te",
                                             "upgrade",
                                             "http2-settings",
                                             "via" /* dropped by this caller */};
    struct span name = http_field_name(head, field);
    for (size_t i = 0; i < sizeof(framing) / sizeof(framing[0]); i++)
        if (span_eq_nocase(name, span_of(framing[i])))
            return true;
    for (size_t i = 0; i < sizeof(hop_by_hop) / sizeof(hop_by_hop[0]); i++)
        if (span_eq_nocase(name, span_of(hop_by_hop[i])))
            return false;
    return !is_nominated(head, name);
}

static char *put(char *out, const char *bytes, size_t len)
{
    memcpy(out, bytes, len);
    return out + len;
}

static void check_opinion(const struct heads_reading *r, bool is_request, const char *bytes,
                          size_t len)
{
    static struct opinion o;
    enum opinion_where where = is_request ? OPINION_REQUEST_HEAD : OPINION_RESPONSE_HEAD;
    opinion_read(&o, where, false, bytes, len, NULL);
    if (o.state == OPINION_ABSENT)
        return;
    if (r->parse == HTTP_PARSE_OK) {
        if (o.state == OPINION_DONE)
            opinion_check_head(&o, &r->head);
        else
            opinion_check_only_sluice(where, &o);
    } else if (o.state == OPINION_DONE) {
        FUZZ_CHECK(r->parse == HTTP_PARSE_BAD);
        opinion_check_only_llhttp(where, &r->fault, bytes, len);
    }
}

/* What is forwarded is a head again: the same start line, the fields in their order but for those that
 * end here.  And llhttp reads in it what we do. */
static void check_written(const struct http_head *head, bool is_request, bool is_list)
{
    char *out = malloc(head->bytes + 2), *end = put(out, head->base, head->fields_off);
    FUZZ_CHECK(out != NULL);
    end = http_write_fields(end, head, HTTP_FIELD_BIT(HTTP_FIELD_VIA));
    FUZZ_CHECK((size_t)(end - out) <= head->bytes);
    end = put(end, "\r\n", 2);
    const size_t len = (size_t)(end - out);

    struct heads_reading again;
    size_t scanned = 0;
    heads_read(&again, is_request, out, len, &scanned);
    FUZZ_CHECK(again.parse == HTTP_PARSE_OK && again.head.bytes == len);
    FUZZ_CHECK(is_same_slice(head->method, again.head.method));
    FUZZ_CHECK(is_same_slice(head->target, again.head.target));
    FUZZ_CHECK(head->status == again.head.status);
    unsigned at = 0;
    for (unsigned i = 0; is_list && i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (!is_forwarded(head, field))
            continue;
        FUZZ_CHECK(at < again.head.field_count);
        const struct http_field *kept = &again.fields[at++];
        FUZZ_CHECK(span_eq(http_field_name(head, field), http_field_name(&again.head, kept)));
        FUZZ_CHECK(span_eq(http_field_value(head, field), http_field_value(&again.head, kept)));
    }
    FUZZ_CHECK(!is_list || at == again.head.field_count);
    check_opinion(&again, is_request, out, len);
    free(out);
}

/* Does a verdict on framing say that Connection is a good list?  Else what it nominates is undefined. */
static bool has_good_connection(const struct http_head *head, bool is_request)
{
    struct http_framing framing;
    struct http_fault fault = {HTTP_FAULT_NONE, 0};
    enum http_parse parse = is_request
                                ? http_framing_request(head, &framing, &fault)
                                : http_framing_response(head, HTTP_METHOD_GET, &framing, &fault);
    return parse == HTTP_PARSE_OK;
}

void heads_check(bool is_request, const char *bytes, size_t len, size_t cut)
{
    struct heads_reading whole;
    size_t scanned = 0;
    heads_read(&whole, is_request, bytes, len, &scanned);
    check_scanners(bytes, len, 0);
    check_scanners(bytes, len, cut);
    check_pieces(&whole, is_request, bytes, len, cut, len);
    check_pieces(&whole, is_request, bytes, len, cut, 7);
    if (len <= 256)
        check_pieces(&whole, is_request, bytes, len, 0, 1);
    if (whole.parse == HTTP_PARSE_OK) {
        check_slices(&whole.head, len);
        check_index(&whole.head);
        check_written(&whole.head, is_request, has_good_connection(&whole.head, is_request));
    } else if (whole.parse == HTTP_PARSE_BAD) {
        FUZZ_CHECK(whole.fault.id != HTTP_FAULT_NONE && whole.fault.offset <= len);
        FUZZ_CHECK(http_fault_status(whole.fault.id) >= 400);
    }
    check_opinion(&whole, is_request, bytes, len);
}
