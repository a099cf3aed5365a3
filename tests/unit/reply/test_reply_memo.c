/* SPDX-License-Identifier: Apache-2.0 */
/* test_reply_memo.c - the body of a refusal is the same whether one before it is used again or not, whatever the two have
 * in common: against reply_error_body, which keeps nothing. */
#include "base/base_rng.h"
#include "reply/reply_bench.h"

static const char *const templates[] = {
    "{\"code\":\"${code}\",\"text\":\"${message}\",\"id\":\"${request_id}\"}",
    "{\"quota\":\"${quota}\",\"w\":\"${window}\",\"limit\":\"${limit}\",\"s\":\"${status}\"}",
    "{\"remaining\":\"${remaining}\",\"id\":\"${request_id}\"}",
    "{\"after\":\"${retry_after}\"}",
    "{\"policies\":\"${policies}\"}",
    "\"${request_id} ${request_id} ${message} ${request_id} ${request_id}\"",
    "\"${request_id} ${request_id} ${request_id} ${request_id} ${request_id}\"",
    "\"${message} ${message} ${message} ${message} ${message} ${message} ${message}\"", /* long */
};

static void make_error(struct reply_error *error, struct quota_decision *decision,
                       struct quota_charge *charges, struct rng *rng, char id[REPLY_ID_BYTES])
{
    static struct quota long_named[2];
    static char name[400];
    memset(name, '"', sizeof(name));
    for (unsigned i = 0; i < 2; i++) {
        long_named[i] = bench_quotas[0];
        long_named[i].name = (struct span){name, i == 0 ? sizeof(name) : 3};
    }
    memcpy(charges, bench_charges, sizeof(bench_charges));
    if (rng_below(rng, 4) == 0)
        charges[0].quota = &long_named[rng_below(rng, 2)];
    charges[0].readings[1].refused = rng_below(rng, 2) == 0;
    *decision = bench_refusal;
    decision->has_binding = rng_below(rng, 8) != 0;
    decision->window = (uint8_t)rng_below(rng, 2);
    decision->limit = rng_below(rng, 4) == 0 ? 77 : 100;
    decision->remaining = (uint32_t)rng_below(rng, 3);
    *error = bench_throttled();
    error->message = SPAN_NONE;
    error->retry_after_s = (uint32_t)rng_below(rng, 3);
    error->decision = decision;
    error->charges = charges;
    for (unsigned i = 0; i < REPLY_ID_BYTES; i++)
        id[i] = "0123456789abcdef"[rng_below(rng, 16)];
    error->request_id = id;
}

static void test_same_body(void **state)
{
    (void)state;
    struct reply_body_dialect dialects[COUNT(templates)];
    struct arena arena;
    arena_init(&arena, NULL, 0, 1 << 20);
    for (size_t i = 0; i < COUNT(templates); i++) {
        const struct reply_dialect_conf conf = {.name = SPAN("d"),
                                                .template_json = span_of(templates[i])};
        assert_null(reply_dialect_compile(&dialects[i], &conf, true, &arena));
        bool is_steady = i < 2 || i > 4;
        assert_int_equal(dialects[i].own.throttled.is_steady, is_steady);
    }
    struct reply_memo memo = {0};
    struct rng rng;
    rng_seed(&rng);
    unsigned kept = 0;
    for (unsigned round = 0; round < 60000; round++) {
        struct quota_charge charges[COUNT(bench_charges)];
        struct quota_decision decision;
        struct reply_error error;
        struct span type, want_type;
        char id[REPLY_ID_BYTES], room[REPLY_BODY_MAX], message[REPLY_MESSAGE_MAX];
        const struct reply_body_dialect *dialect = &dialects[round / 50 % COUNT(templates)];
        bool prefers_xml = rng_below(&rng, 8) == 0;
        make_error(&error, &decision, charges, &rng, id);
        uint32_t generation = round / 500;
        struct span got =
            reply_refusal_body(&memo, generation, room, dialect, prefers_xml, &error, &type);
        kept += got.ptr == memo.body;
        assert_int_equal(error.message.len, 0);
        char *end = reply_throttle_message(message, &decision, charges);
        error.message = (struct span){message, (size_t)(end - message)};
        const char *want = bench_body(dialect, prefers_xml, &error, &want_type);
        assert_int_equal(got.len, strlen(want));
        assert_memory_equal(got.ptr, want, got.len);
        assert_true(span_eq(type, want_type));
    }
    assert_in_range(kept, 10000, 50000);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_body)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
