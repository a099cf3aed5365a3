/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_http_framing.c - whole messages: head, framing, Host and target, body.  The first byte: bit 0 a request,
 * bit 1 the response is one to HEAD.  Checked: framing depends on nothing but the fields that frame, whatever
 * their order and spelling; what was accepted has one reading only; target and Host are split where they
 * should be; llhttp finds the same body and the same end. */
#include "heads.h"

#include "http/http_body.h"
#include "opinion.h"

static const struct http_body_limits LIMITS = {
    .extension_max_bytes = 64, .trailers_max_bytes = 128, .overhead_max_bytes = 1U << 20};

/* A head judged. */
struct verdict {
    struct heads_reading reading;
    struct http_framing framing;
    struct http_target target;
    enum http_parse framing_parse, target_parse;
    struct http_fault framing_fault, target_fault;
};

struct asked {
    bool is_request, is_for_head;
};

static enum http_parse judge(struct verdict *v, struct asked asked, const char *bytes, size_t len)
{
    size_t scanned = 0;
    memset(v, 0, sizeof(*v));
    heads_read(&v->reading, asked.is_request, bytes, len, &scanned);
    if (v->reading.parse != HTTP_PARSE_OK)
        return v->reading.parse;
    const struct http_head *head = &v->reading.head;
    if (asked.is_request) {
        v->framing_parse = http_framing_request(head, &v->framing, &v->framing_fault);
        v->target_parse = http_target_parse(head, &v->target, &v->target_fault);
    } else {
        enum http_method method = asked.is_for_head ? HTTP_METHOD_HEAD : HTTP_METHOD_GET;
        v->framing_parse = http_framing_response(head, method, &v->framing, &v->framing_fault);
    }
    FUZZ_CHECK(v->framing_parse == HTTP_PARSE_OK ||
               (v->framing_parse == HTTP_PARSE_BAD && v->framing_fault.id != HTTP_FAULT_NONE &&
                v->framing_fault.offset < head->bytes));
    FUZZ_CHECK(v->target_parse == HTTP_PARSE_OK ||
               (v->target_parse == HTTP_PARSE_BAD && v->target_fault.id != HTTP_FAULT_NONE &&
                v->target_fault.offset < head->bytes));
    return HTTP_PARSE_OK;
}

static void check_same_framing(const struct verdict *a, const struct verdict *b)
{
    FUZZ_CHECK(a->framing_parse == b->framing_parse);
    FUZZ_CHECK(a->framing_fault.id == b->framing_fault.id);
    FUZZ_CHECK(a->target_parse == b->target_parse && a->target_fault.id == b->target_fault.id);
    if (a->framing_parse == HTTP_PARSE_OK) {
        FUZZ_CHECK(a->framing.kind == b->framing.kind);
        FUZZ_CHECK(a->framing.length_bytes == b->framing.length_bytes);
        FUZZ_CHECK(a->framing.has_length == b->framing.has_length);
        FUZZ_CHECK(a->framing.keep_alive == b->framing.keep_alive);
        FUZZ_CHECK(a->framing.expect_continue == b->framing.expect_continue);
        FUZZ_CHECK(a->framing.nominated == b->framing.nominated);
    }
    if (a->target_parse == HTTP_PARSE_OK) {
        FUZZ_CHECK(span_eq(a->target.authority, b->target.authority));
        FUZZ_CHECK(span_eq(a->target.host, b->target.host));
        FUZZ_CHECK(span_eq(a->target.path, b->target.path));
        FUZZ_CHECK(span_eq(a->target.query, b->target.query));
        FUZZ_CHECK((a->target.query.ptr == NULL) == (b->target.query.ptr == NULL));
        FUZZ_CHECK(a->target.is_absolute == b->target.is_absolute);
    }
}

static char *put(char *out, const char *bytes, size_t len)
{
    memcpy(out, bytes, len);
    return out + len;
}

/* The same head with its known fields alone, last first, names in the other case. */
static void check_order(const struct verdict *v, struct asked asked)
{
    const struct http_head *head = &v->reading.head;
    char *out = malloc(head->bytes), *end = put(out, head->base, head->fields_off);
    FUZZ_CHECK(out != NULL);
    for (unsigned i = head->field_count; i-- > 0;) {
        const struct http_field *field = &head->fields[i];
        if (field->id == HTTP_FIELD_OTHER)
            continue;
        const char *line = head->base + field->name_off;
        const char *line_end = memchr(line, '\n', head->bytes - field->name_off);
        char *name = end;
        end = put(end, line, (size_t)(line_end - line) + 1);
        for (unsigned j = 0; j < field->name_len; j++)
            if ((name[j] | 0x20) >= 'a' && (name[j] | 0x20) <= 'z')
                name[j] ^= 0x20;
    }
    end = put(end, "\r\n", 2);
    struct verdict other;
    FUZZ_CHECK(judge(&other, asked, out, (size_t)(end - out)) == HTTP_PARSE_OK);
    check_same_framing(v, &other);
    free(out);
}

/* Values of one field, joined nowhere: how many, and the last. */
static unsigned count_of(const struct http_head *head, const char *name, struct span *value)
{
    unsigned count = 0;
    for (unsigned i = 0; i < head->field_count; i++) {
        if (span_eq_nocase(http_field_name(head, &head->fields[i]), span_of(name))) {
            *value = http_field_value(head, &head->fields[i]);
            count++;
        }
    }
    return count;
}

/* What was accepted says itself once, in one spelling (RFC 9112 section 6). */
static void check_framing(const struct verdict *v, struct asked asked)
{
    const struct http_head *head = &v->reading.head;
    const struct http_framing *framing = &v->framing;
    struct span coding = SPAN_NONE, length = SPAN_NONE;
    unsigned codings = count_of(head, "transfer-encoding", &coding);
    unsigned lengths = count_of(head, "content-length", &length);
    FUZZ_CHECK(codings + lengths <= 1);
    FUZZ_CHECK(framing->has_length == (lengths == 1));
    if (codings == 1)
        FUZZ_CHECK(head->minor == 1 && span_eq_nocase(coding, SPAN("chunked")));
    if (lengths == 1) {
        char text[32];
        snprintf(text, sizeof(text), "%llu", (unsigned long long)framing->length_bytes);
        FUZZ_CHECK(span_eq(length, span_of(text)));
    }
    if (framing->kind == HTTP_BODY_CHUNKED)
        FUZZ_CHECK(codings == 1);
    if (framing->kind == HTTP_BODY_LENGTH)
        FUZZ_CHECK(lengths == 1 && framing->length_bytes > 0);
    if (framing->expect_continue)
        FUZZ_CHECK(head->minor == 1 && framing->kind != HTTP_BODY_NONE);
    if (asked.is_request) {
        FUZZ_CHECK(framing->kind <= HTTP_BODY_CHUNKED);
        FUZZ_CHECK(framing->kind != HTTP_BODY_NONE || (codings == 0 && framing->length_bytes == 0));
        return;
    }
    bool is_bodiless = head->status < 200 || head->status == 204 || head->status == 304;
    FUZZ_CHECK(!is_bodiless || framing->kind == HTTP_BODY_NONE || head->status == 101);
    FUZZ_CHECK((framing->kind == HTTP_BODY_TUNNEL) == (head->status == 101));
    FUZZ_CHECK(!asked.is_for_head || framing->kind == HTTP_BODY_NONE || head->status == 101);
    if (framing->kind == HTTP_BODY_CLOSE)
        FUZZ_CHECK(codings + lengths == 0 && !framing->keep_alive);
}

static bool is_inside(struct span text, const struct http_head *head)
{
    return text.ptr >= head->base && text.ptr + text.len <= head->base + head->bytes;
}

/* The grammar of a host, written another way than in http_target.c. */
static bool is_host(struct span host)
{
    if (host.len != 0 && host.ptr[0] == '[') {
        for (size_t i = 1; i + 1 < host.len; i++)
            if (host.ptr[i] == '\0' || strchr("0123456789abcdefABCDEF:.", host.ptr[i]) == NULL)
                return false;
        return host.len >= 4 && host.ptr[host.len - 1] == ']';
    }
    for (size_t i = 0; i < host.len; i++) {
        char byte = host.ptr[i], lower = (char)(byte | 0x20);
        bool is_label = (lower >= 'a' && lower <= 'z') || (byte >= '0' && byte <= '9') ||
                        byte == '-' || byte == '_';
        if (!is_label && (byte != '.' || i == 0 || host.ptr[i - 1] == '.'))
            return false;
    }
    return host.len > 0;
}

static void check_target(const struct verdict *v)
{
    const struct http_head *head = &v->reading.head;
    const struct http_target *target = &v->target;
    struct span host_value = SPAN_NONE, text = http_head_span(head, head->target);
    unsigned hosts = count_of(head, "host", &host_value);
    FUZZ_CHECK(hosts == 1 || (hosts == 0 && head->minor == 0));
    if (hosts == 1 || target->is_absolute) {
        FUZZ_CHECK(is_host(target->host) && is_inside(target->authority, head));
        FUZZ_CHECK(hosts == 0 || span_eq_nocase(host_value, target->authority));
        FUZZ_CHECK(target->host.ptr == target->authority.ptr);
        struct span port = {target->authority.ptr + target->host.len,
                            target->authority.len - target->host.len};
        long number = 0;
        for (size_t i = 1; i < port.len; i++) {
            FUZZ_CHECK(port.ptr[i] >= '0' && port.ptr[i] <= '9');
            number = number * 10 + port.ptr[i] - '0';
        }
        FUZZ_CHECK(port.len == 0 || (port.ptr[0] == ':' && number >= 1 && number <= 65535));
    } else {
        FUZZ_CHECK(target->authority.len == 0 && target->host.len == 0);
    }
    FUZZ_CHECK(target->path.len > 0);
    FUZZ_CHECK(target->path.ptr[0] == '/' || span_eq(target->path, SPAN("*")));
    FUZZ_CHECK(span_find(target->path, '?') == target->path.len);
    FUZZ_CHECK(target->query.ptr == NULL || is_inside(target->query, head));
    /* Path and query are the rest of the target. */
    struct span tail = target->query.ptr != NULL ? target->query : target->path;
    if (is_inside(tail, head))
        FUZZ_CHECK(tail.ptr + tail.len == text.ptr + text.len);
    else /* an absolute-form target that ends with its authority */
        FUZZ_CHECK(target->is_absolute &&
                   target->authority.ptr + target->authority.len == text.ptr + text.len);
    if (!target->is_absolute)
        FUZZ_CHECK(target->path.ptr == text.ptr);
}

/* A target in absolute-form is the same as one in origin-form with that Host (RFC 9112 section 3.2.2). */
static void check_absolute(const struct verdict *v)
{
    const struct http_target *target = &v->target;
    char out[2048];
    int len = snprintf(out, sizeof(out), "%.*s %.*s%s%.*s HTTP/1.1\r\nHost: %.*s\r\n\r\n",
                       (int)v->reading.head.method.len, v->reading.head.base, (int)target->path.len,
                       target->path.ptr, target->query.ptr != NULL ? "?" : "",
                       (int)target->query.len, target->query.ptr != NULL ? target->query.ptr : "",
                       (int)target->authority.len, target->authority.ptr);
    FUZZ_CHECK(len > 0 && (size_t)len < sizeof(out));
    struct verdict other;
    struct asked asked = {.is_request = true};
    if (judge(&other, asked, out, (size_t)len) != HTTP_PARSE_OK) {
        /* The limit of one field is below that of the start line. */
        FUZZ_CHECK(other.reading.fault.id == HTTP_FAULT_FIELD_TOO_LONG);
        return;
    }
    FUZZ_CHECK(other.target_parse == HTTP_PARSE_OK && !other.target.is_absolute);
    FUZZ_CHECK(span_eq(other.target.path, target->path));
    FUZZ_CHECK(span_eq(other.target.query, target->query));
    FUZZ_CHECK(span_eq(other.target.host, target->host));
    FUZZ_CHECK(span_eq(other.target.authority, target->authority));
}

/* Head, framing and target, then the body in what follows. */
static enum http_parse read_message(const struct verdict *v, const char *bytes, size_t len,
                                    char *data, size_t *data_len, size_t *end,
                                    struct http_fault *fault)
{
    struct http_body body;
    struct arena arena;
    const size_t head_bytes = v->reading.head.bytes;
    *data_len = 0;
    *end = head_bytes;
    if (v->framing_parse != HTTP_PARSE_OK || v->target_parse != HTTP_PARSE_OK) {
        *fault = v->framing_parse != HTTP_PARSE_OK ? v->framing_fault : v->target_fault;
        return HTTP_PARSE_BAD;
    }
    size_t consumed = 0;
    memcpy(data, bytes + head_bytes, len - head_bytes);
    http_body_init(&body, &v->framing);
    arena_init(&arena, NULL, 0, 4096);
    enum http_body_state state =
        http_body_read(&body, data, len - head_bytes, &consumed, data_len, &LIMITS, &arena);
    arena_fini(&arena);
    *end = head_bytes + consumed;
    if (state == HTTP_BODY_BAD) {
        *fault = (struct http_fault){body.fault, (uint32_t)*end};
        return HTTP_PARSE_BAD;
    }
    return state == HTTP_BODY_DONE ? HTTP_PARSE_OK : HTTP_PARSE_INCOMPLETE;
}

static void check_opinion(const struct verdict *v, struct asked asked, const char *bytes,
                          size_t len)
{
    static struct opinion o;
    enum opinion_where where = asked.is_request ? OPINION_REQUEST : OPINION_RESPONSE;
    char *ours = malloc(len + 1), *theirs = malloc(len + 1);
    FUZZ_CHECK(ours != NULL && theirs != NULL);
    struct http_fault fault = {HTTP_FAULT_NONE, 0};
    size_t ours_len, end;
    enum http_parse parse = read_message(v, bytes, len, ours, &ours_len, &end, &fault);
    opinion_read(&o, where, asked.is_for_head, bytes, len, theirs);
    /* A trailer line is judged when it is whole, so of a chunked body that is not complete nothing is said. */
    bool is_unsaid = parse == HTTP_PARSE_INCOMPLETE && v->framing.kind == HTTP_BODY_CHUNKED;
    if (o.state != OPINION_ABSENT && parse != HTTP_PARSE_BAD) {
        if (o.state == OPINION_REFUSED || (parse == HTTP_PARSE_OK && o.state == OPINION_MORE)) {
            if (!is_unsaid)
                opinion_check_only_sluice(where, &o);
        } else {
            opinion_check_head(&o, &v->reading.head);
            FUZZ_CHECK(o.is_chunked == (v->framing.kind == HTTP_BODY_CHUNKED) ||
                       asked.is_for_head || v->reading.head.status == 304);
            FUZZ_CHECK(o.has_length == v->framing.has_length);
            /* What follows a 101 is no body for llhttp. */
            bool is_tunnel = v->framing.kind == HTTP_BODY_TUNNEL;
            FUZZ_CHECK(is_tunnel ||
                       (o.data_len == ours_len && memcmp(ours, theirs, ours_len) == 0));
            FUZZ_CHECK(is_tunnel || (o.state == OPINION_DONE) == (parse == HTTP_PARSE_OK));
            FUZZ_CHECK(is_tunnel || o.state != OPINION_DONE || o.bytes == end);
        }
    } else if (o.state == OPINION_DONE) {
        opinion_check_only_llhttp(where, &fault, bytes, len);
    }
    free(ours);
    free(theirs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 4096)
        return 0;
    const struct asked asked = {.is_request = (data[0] & 1) != 0,
                                .is_for_head = (data[0] & 3) == 2};
    const size_t len = size - 1;
    char *bytes = fuzz_copy(data + 1, len), *elsewhere = fuzz_copy(data + 1, len);
    struct verdict v, same;
    if (judge(&v, asked, bytes, len) == HTTP_PARSE_OK) {
        FUZZ_CHECK(judge(&same, asked, elsewhere, len) == HTTP_PARSE_OK);
        check_same_framing(&v, &same);
        check_order(&v, asked);
        if (v.framing_parse == HTTP_PARSE_OK)
            check_framing(&v, asked);
        if (asked.is_request && v.target_parse == HTTP_PARSE_OK) {
            check_target(&v);
            if (v.target.is_absolute)
                check_absolute(&v);
        }
        check_opinion(&v, asked, bytes, len);
    }
    free(bytes);
    free(elsewhere);
    return 0;
}
