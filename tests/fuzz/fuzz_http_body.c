/* SPDX-License-Identifier: Apache-2.0 */
/* Chunked bodies.  The first two bytes choose the cuts.  Whatever the cuts, the data, the verdict, the
 * trailers and the end must be the same, and what is accepted llhttp must read as the same body. */
#include "fuzz.h"

#include "fuzz_llhttp.h"
#include "http/http_body.h"

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
static void read_body(struct reading *r, const char *bytes, size_t len, size_t first, size_t step)
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
        r->state = http_body_read(&r->body, buf, take, &consumed, &data, &LIMITS, &r->arena);
        FUZZ_CHECK(data <= consumed && consumed <= take);
        FUZZ_CHECK(r->state != HTTP_BODY_MORE || consumed == take);
        FUZZ_CHECK(memcmp(buf + consumed, bytes + r->consumed + consumed, take - consumed) == 0);
        memcpy(r->data + r->data_len, buf, data);
        r->data_len += data;
        r->consumed += consumed;
        free(buf);
    }
    FUZZ_CHECK(r->body.data_bytes == r->data_len);
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

#ifdef FUZZ_HAS_LLHTTP
/* llhttp 8.1 refuses some good extensions, as two with values in one chunk; only there may it refuse. */
static void check_opinion(const struct reading *r, const char *bytes, size_t len)
{
    static const char head[] = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    const size_t head_len = sizeof(head) - 1;
    static struct opinion o;
    memset(&o, 0, sizeof(o));
    char *message = malloc(head_len + len);
    o.data = malloc(len + 1);
    o.room = len;
    FUZZ_CHECK(message != NULL && o.data != NULL);
    memcpy(message, head, head_len);
    memcpy(message + head_len, bytes, len);
    llhttp_errno_t err = opinion_read(&o, true, message, head_len + len);
    if (err == HPE_PAUSED) {
        FUZZ_CHECK(o.message_bytes == head_len + r->consumed);
        FUZZ_CHECK(o.data_len == r->data_len && memcmp(o.data, r->data, r->data_len) == 0);
    } else if (memchr(bytes, ';', r->consumed) == NULL) {
        fprintf(stderr, "llhttp: %s\n", llhttp_get_error_reason(&o.parser));
        FUZZ_CHECK(err == HPE_PAUSED);
    }
    free(message);
    free(o.data);
}
#else
static void check_opinion(const struct reading *r, const char *bytes, size_t len)
{
    (void)r;
    (void)bytes;
    (void)len;
}
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 4096)
        return 0;
    const size_t len = size - 2, first = data[0] + 1U, step = data[1] + 1U;
    char *bytes = fuzz_copy(data + 2, len);
    struct reading whole, cut, single;
    read_body(&whole, bytes, len, len + 1, len + 1);
    read_body(&cut, bytes, len, first, step);
    read_body(&single, bytes, len, 1, 1);
    check_same(&whole, &cut);
    check_same(&whole, &single);
    if (whole.state == HTTP_BODY_DONE) {
        check_trailers(&whole.body);
        check_opinion(&whole, bytes, len);
    }
    if (whole.state == HTTP_BODY_BAD)
        FUZZ_CHECK(whole.body.fault != HTTP_FAULT_NONE);
    reading_fini(&whole);
    reading_fini(&cut);
    reading_fini(&single);
    free(bytes);
    return 0;
}
