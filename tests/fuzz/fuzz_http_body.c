/* SPDX-License-Identifier: Apache-2.0 */
/* Chunked bodies.  The first two bytes choose the cuts.  Whatever the cuts, the data, the verdict, the
 * trailers and the end must be the same, and what is accepted llhttp must read as the same body. */
#include "fuzz.h"

#include "http/http_body.h"
#include "opinion.h"

static const struct http_body_limits LIMITS = {
    .extension_max_bytes = 64, .trailers_max_bytes = 128, .overhead_max_bytes = 512};

struct reading {
    struct http_body body;
    enum http_body_state state;
    struct arena arena;
    char *data;
    size_t data_len, consumed;
};

/* Reads pieces of `step` bytes, after a first one of `first`. */
static void read_body(struct reading *r, const char *bytes, size_t len, size_t first, size_t step,
                      const struct http_body_limits *limits)
{
    static const struct http_framing framing = {.kind = HTTP_BODY_CHUNKED};
    http_body_init(&r->body, &framing);
    arena_init(&r->arena, NULL, 0, 4096);
    r->data = malloc(len + 1);
    FUZZ_CHECK(r->data != NULL);
    r->data_len = r->consumed = 0;
    r->state = HTTP_BODY_MORE;
    for (size_t piece = first; r->consumed < len && r->state == HTTP_BODY_MORE; piece = step) {
        size_t take = len - r->consumed < piece ? len - r->consumed : piece;
        char *buf = fuzz_copy(bytes + r->consumed, take);
        size_t consumed = 0, data = 0;
        r->state = http_body_read(&r->body, buf, take, &consumed, &data, limits, &r->arena);
        FUZZ_CHECK(data <= consumed && consumed <= take);
        FUZZ_CHECK(r->state != HTTP_BODY_MORE || consumed == take);
        FUZZ_CHECK(memcmp(buf + consumed, bytes + r->consumed + consumed, take - consumed) == 0);
        memcpy(r->data + r->data_len, buf, data);
        r->data_len += data;
        r->consumed += consumed;
        free(buf);
    }
    FUZZ_CHECK(r->body.data_bytes == r->data_len && r->body.left_bytes <= INT64_MAX);
    FUZZ_CHECK(r->body.trailers_len <= LIMITS.trailers_max_bytes);
}

static void reading_fini(struct reading *r)
{
    free(r->data);
    arena_fini(&r->arena);
}

static void check_same(const struct reading *a, const struct reading *b)
{
    FUZZ_CHECK(a->state == b->state && a->body.fault == b->body.fault);
    FUZZ_CHECK(a->data_len == b->data_len && memcmp(a->data, b->data, a->data_len) == 0);
    if (a->state != HTTP_BODY_DONE)
        return;
    FUZZ_CHECK(a->consumed == b->consumed);
    FUZZ_CHECK(a->body.trailers_len == b->body.trailers_len);
    if (a->body.trailers_len != 0)
        FUZZ_CHECK(memcmp(a->body.trailers, b->body.trailers, a->body.trailers_len) == 0);
}

/* The trailers are whole good lines. */
static void check_trailers(const struct http_body *body)
{
    size_t at = 0;
    while (at < body->trailers_len) {
        struct http_field field;
        struct http_fault fault;
        FUZZ_CHECK(http_head_parse_field(body->trailers, body->trailers_len, at, &field, &at,
                                         &fault) == HTTP_PARSE_OK);
        FUZZ_CHECK(field.id == HTTP_FIELD_OTHER);
    }
}

/* The body behind a head that announces it, as llhttp reads it. */
static void check_opinion(const struct reading *r, const char *bytes, size_t len)
{
    static const char head[] = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    static struct opinion o;
    const size_t head_len = sizeof(head) - 1;
    char *message = malloc(head_len + len), *data = malloc(head_len + len);
    FUZZ_CHECK(message != NULL && data != NULL);
    memcpy(message, head, head_len);
    memcpy(message + head_len, bytes, len);
    opinion_read(&o, OPINION_CHUNKS, false, message, head_len + len, data);
    if (r->state == HTTP_BODY_DONE && o.state == OPINION_DONE) {
        FUZZ_CHECK(o.bytes == head_len + r->consumed);
        FUZZ_CHECK(o.data_len == r->data_len && memcmp(o.data, r->data, r->data_len) == 0);
    } else if (r->state == HTTP_BODY_DONE && o.state != OPINION_ABSENT) {
        opinion_check_only_sluice(OPINION_CHUNKS, &o);
    } else if (o.state == OPINION_DONE) {
        FUZZ_CHECK(r->state == HTTP_BODY_BAD);
        struct http_fault fault = {r->body.fault, (uint32_t)r->consumed};
        opinion_check_only_llhttp(OPINION_CHUNKS, &fault, bytes, len);
    }
    free(message);
    free(data);
}

/* The data in chunks of `step` bytes, as it is sent on, is the same body again. */
static void check_written(const struct reading *r, size_t step)
{
    char *out = malloc(r->data_len + (r->data_len / step + 1) * (HTTP_CHUNK_HEAD_MAX + 2) + 8 +
                       r->body.trailers_len);
    FUZZ_CHECK(out != NULL);
    char *end = out;
    for (size_t at = 0; at < r->data_len; at += step) {
        size_t take = r->data_len - at < step ? r->data_len - at : step;
        char *begin = end;
        end = http_body_chunk_head(end, take);
        FUZZ_CHECK(end - begin <= HTTP_CHUNK_HEAD_MAX);
        memcpy(end, r->data + at, take);
        memcpy(end + take, "\r\n", 2);
        end += take + 2;
    }
    memcpy(end, "0\r\n", 3);
    end += 3;
    if (r->body.trailers_len != 0)
        memcpy(end, r->body.trailers, r->body.trailers_len);
    end += r->body.trailers_len;
    memcpy(end, "\r\n", 2);
    const size_t len = (size_t)(end - out) + 2;

    /* Small chunks may be more framing than is taken from others. */
    static const struct http_body_limits generous = {
        .extension_max_bytes = 64, .trailers_max_bytes = 128, .overhead_max_bytes = 1U << 20};
    struct reading again;
    read_body(&again, out, len, len, len, &generous);
    FUZZ_CHECK(again.state == HTTP_BODY_DONE && again.consumed == len);
    FUZZ_CHECK(again.data_len == r->data_len && memcmp(again.data, r->data, r->data_len) == 0);
    FUZZ_CHECK(again.body.trailers_len == r->body.trailers_len);
    if (r->body.trailers_len != 0)
        FUZZ_CHECK(memcmp(again.body.trailers, r->body.trailers, r->body.trailers_len) == 0);
    check_opinion(&again, out, len);
    reading_fini(&again);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 4096)
        return 0;
    const size_t len = size - 2, first = data[0] + 1U, step = data[1] + 1U;
    char *bytes = fuzz_copy(data + 2, len);
    struct reading whole, cut, single;
    read_body(&whole, bytes, len, len + 1, len + 1, &LIMITS);
    read_body(&cut, bytes, len, first, step, &LIMITS);
    read_body(&single, bytes, len, 1, 1, &LIMITS);
    check_same(&whole, &cut);
    check_same(&whole, &single);
    if (whole.state == HTTP_BODY_DONE) {
        check_trailers(&whole.body);
        check_written(&whole, step);
    }
    check_opinion(&whole, bytes, len);
    if (whole.state == HTTP_BODY_BAD)
        FUZZ_CHECK(whole.body.fault != HTTP_FAULT_NONE);
    reading_fini(&whole);
    reading_fini(&cut);
    reading_fini(&single);
    free(bytes);
    return 0;
}
