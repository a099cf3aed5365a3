/* SPDX-License-Identifier: Apache-2.0 */
/* test_record_usual.c - the quick writer of lines writes what the thorough one does, or nothing; and nothing that it kept
 * is told of another request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/base_rng.h"
#include "record/record_usual.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* One exchange, as either writer is told it. */
struct bench {
    struct record_memo memo;
    struct quota quotas[3];
    struct quota_charge charge;
    struct quota_decision decision;
    struct record_subject subject;
    struct record_usual usual;
    struct record_access access;
    struct rng rng;
    unsigned quick; /* lines that the quick one wrote */
    char texts[8][256];
    char *line;
};

static const char METHODS[][8] = {[HTTP_METHOD_GET] = "GET",         [HTTP_METHOD_HEAD] = "HEAD",
                                  [HTTP_METHOD_POST] = "POST",       [HTTP_METHOD_PUT] = "PUT",
                                  [HTTP_METHOD_DELETE] = "DELETE",   [HTTP_METHOD_PATCH] = "PATCH",
                                  [HTTP_METHOD_OPTIONS] = "OPTIONS", [HTTP_METHOD_TRACE] = "TRACE",
                                  [HTTP_METHOD_CONNECT] = "CONNECT"};

static struct span word_of(const char *text)
{
    return (struct span){text, strlen(text)};
}

static void set_basics(struct bench *bench)
{
    static const char *const names[] = {"user", "a",
                                        "\"quoted\" and longer than the others \xc3\xa9"};
    for (unsigned i = 0; i < COUNT(bench->quotas); i++)
        bench->quotas[i] = (struct quota){
            .name = word_of(names[i]), .limit_count = 1, .limits = {{100, 60, 1, QUOTA_MINUTE}}};
    bench->charge = (struct quota_charge){.quota = bench->quotas, .cost = 1, .is_charged = true};
    bench->charge.readings[0] = (struct quota_reading){1795356120, 85, 100, false};
    bench->decision = (struct quota_decision){
        .verdict = QUOTA_ALLOW, .has_binding = true, .limit = 100, .remaining = 15, .reset_s = 49};
    static const struct record_id id = {"4f1c0a2b9d8e7f60112233445566778a"};
    static const char peer[16] = "198.51.100.7";
    bench->usual = (struct record_usual){
        .memo = &bench->memo,
        .wall_us = 1795356131482000,
        .generation = 14,
        .id = &id,
        .peer = {peer, 12},
        .method_id = HTTP_METHOD_GET,
        .minor = 1,
        .bytes_in = 412,
        .bytes_out = 2310,
        .listener = SPAN("public"),
        .route = SPAN("images"),
        .tries = 1,
        .reused = true,
        .server = SPAN("127.0.0.1:9000"),
        .decision = &bench->decision,
        .charge = &bench->charge,
        .cost = 1,
        .identity = SPAN("user"),
        .subject = SPAN("AAAAAAAAAAAAAAAAAAAA-_"),
        .is_hashed = true,
        .status = 200,
        .end = SPAN("ok"),
        .t_header_us = 12,
        .t_store_us = 0,
        .t_total_us = 12345,
        .t_connect_us = UINT64_MAX,
        .t_first_us = 1234,
    };
}

/* In a room of its own with as many bytes behind it as may be read, so that the sanitizer sees one too many. */
static struct span set_text(struct bench *bench, unsigned number, struct span text)
{
    char *at = bench->texts[number] + sizeof(bench->texts[0]) - RECORD_USUAL_BEHIND - text.len;
    memset(at, '"', text.len + RECORD_USUAL_BEHIND);
    if (text.len != 0)
        memcpy(at, text.ptr, text.len);
    return (struct span){at, text.len};
}

static int set_up(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    if (bench == NULL || (bench->line = malloc(RECORD_LINE_MAX)) == NULL)
        return -1;
    *state = bench;
    set_basics(bench);
    bench->usual.host = set_text(bench, 0, SPAN("images.example.com"));
    bench->usual.path = set_text(bench, 1, SPAN("/v1/projects/42/images"));
    bench->usual.query = set_text(bench, 2, SPAN("limit=10&marker=abc"));
    bench->rng = (struct rng){{1, 2, 3, 4}};
    return 0;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    free(bench->line);
    free(bench);
    return 0;
}

/* What the thorough writer is told of the same exchange. */
static const struct record_access *access_of(struct bench *bench, struct record_memo *memo)
{
    const struct record_usual *u = &bench->usual;
    bench->subject = (struct record_subject){u->identity, u->subject};
    bench->access = (struct record_access){
        .memo = memo,
        .wall_us = u->wall_us,
        .generation = u->generation,
        .id = *u->id,
        .peer_text = u->peer,
        .proto = u->minor == 0 ? SPAN("HTTP/1.0") : SPAN("HTTP/1.1"),
        .method = word_of(METHODS[u->method_id]),
        .host = u->host,
        .path = u->path,
        .query = u->query,
        .bytes_in = u->bytes_in,
        .bytes_out = u->bytes_out,
        .listener = u->listener,
        .route = u->route,
        .upstream = u->tries != 0 ? SPAN("servers") : SPAN_NONE,
        .server = u->server,
        .tries = u->tries,
        .reused = u->reused,
        .decision = u->decision,
        .charges = u->charge,
        .charge_count = 1,
        .cost = u->cost,
        .subjects = &bench->subject,
        .subject_count = 1,
        .status = u->status,
        .end = u->end,
        .t_header_us = u->t_header_us,
        .t_store_us = u->t_store_us,
        .t_connect_us = u->t_connect_us,
        .t_first_us = u->t_first_us,
        .t_total_us = u->t_total_us,
    };
    if (u->client.len != 0)
        bench->access.client_ip.bytes[15] = 1; /* IPv6, written out: "::1" */
    return &bench->access;
}

/* Either writer's line is what one says that remembers nothing; the second time the quick one must know it, if
 * `is_learned`. */
static void assert_alike(struct bench *bench, bool is_learned)
{
    static char whole[RECORD_LINE_MAX];
    struct record_memo *none = calloc(1, sizeof(*none));
    assert_non_null(none);
    size_t len = (size_t)(record_access_write(whole, access_of(bench, none)) - whole);
    free(none);
    for (unsigned i = 0; i < 3; i++) {
        const char *end = record_usual_write(bench->line, &bench->usual);
        if (end == NULL) {
            assert_false(is_learned && i != 0);
            end = record_access_write(bench->line, access_of(bench, &bench->memo));
            record_usual_learn(&bench->usual);
        } else {
            bench->quick++;
        }
        assert_int_equal(end - bench->line, len);
        assert_memory_equal(bench->line, whole, len);
    }
}

static void test_usual(void **state)
{
    struct bench *bench = *state;
    assert_alike(bench, true);
    assert_int_equal(bench->quick, 2);
    static const char line[] =
        ",\"ts\":\"2026-11-22T14:02:11.482Z\",\"gen\":14,\"id\":"
        "\"4f1c0a2b9d8e7f60112233445566778a\","
        "\"client_ip\":\"198.51.100.7\",\"peer_ip\":\"198.51.100.7\",\"proto\":\"HTTP/1.1\","
        "\"method\":\"GET\",\"host\":\"images.example.com\",\"path\":\"/v1/projects/42/images\","
        "\"query\":[\"limit\",\"marker\"],\"bytes_in\":412,\"listener\":\"public\","
        "\"route\":\"images\",\"upstream\":\"servers\",\"server\":\"127.0.0.1:9000\",\"tries\":1,"
        "\"reused\":true,\"decision\":\"allow\",\"cost\":1,"
        "\"subjects\":{\"user\":\"AAAAAAAAAAAAAAAAAAAA-_\"},\"quotas\":[{\"q\":\"user\","
        "\"w\":\"minute\",\"start\":1795356120,\"charged\":1,\"used\":85,\"limit\":100,"
        "\"reset_s\":49,\"source\":\"store\"}],\"status\":200,\"bytes_out\":2310,\"end\":\"ok\","
        "\"t_header\":12,\"t_store\":0,\"t_first\":1234,\"t_total\":12345}\n";
    assert_memory_equal(bench->line, line, sizeof(line) - 1);
}

/* Each thing that a line says is changed, alone, and changed back. */
static void test_nothing_kept_is_told_of_others(void **state)
{
    struct bench *bench = *state;
    struct record_usual *u = &bench->usual;
    struct quota_charge *charge = &bench->charge;
    static const char client[16] = "::1";
    static const struct record_id other_id = {"00000000000000000000000000000001"};
    assert_alike(bench, true);
#define CHANGED(place, value)                                                                      \
    do {                                                                                           \
        __typeof__(place) before_ = (place);                                                       \
        (place) = (value);                                                                         \
        assert_alike(bench, true);                                                                 \
        (place) = before_;                                                                         \
        assert_alike(bench, true);                                                                 \
    } while (0)
    for (unsigned id = HTTP_METHOD_GET; id <= HTTP_METHOD_CONNECT; id++) {
        CHANGED(u->method_id, (uint8_t)id);
        u->minor = 0;
        CHANGED(u->method_id, (uint8_t)id);
        u->minor = 1;
    }
    CHANGED(u->wall_us, 1795356131482999);
    CHANGED(u->wall_us, 1795356131483000);
    CHANGED(u->wall_us, 1795356131481999);
    CHANGED(u->generation, 15);
    CHANGED(u->id, &other_id);
    CHANGED(u->client, ((struct span){client, 3}));
    CHANGED(u->listener, SPAN("other"));
    CHANGED(u->route, SPAN("other"));
    CHANGED(u->tries, 2);
    CHANGED(u->reused, false);
    CHANGED(u->server, SPAN("127.0.0.1:9001"));
    CHANGED(u->server, SPAN("127.0.0.2:9000"));
    CHANGED(u->server, SPAN("s"));
    CHANGED(u->server, SPAN("\\"));
    CHANGED(u->server, SPAN("unix:/run/a/path/of/more/than/sixteen/bytes"));
    CHANGED(u->identity, SPAN("who"));
    CHANGED(u->subject, SPAN("AAAAAAAAAAAAAAAAAAAA-B"));
    CHANGED(u->cost, 7);
    CHANGED(u->status, 404);
    CHANGED(u->end, SPAN("client_abort"));
    CHANGED(u->bytes_in, 1000000);
    CHANGED(u->bytes_out, UINT64_C(10000000000));
    CHANGED(u->t_header_us, 999);
    CHANGED(u->t_store_us, 1000);
    CHANGED(u->t_connect_us, 999999);
    CHANGED(u->t_first_us, UINT64_MAX);
    CHANGED(u->t_total_us, 1000000);
    CHANGED(charge->quota, &bench->quotas[1]);
    CHANGED(charge->quota, &bench->quotas[2]);
    CHANGED(charge->is_charged, false);
    CHANGED(charge->source, QUOTA_SOURCE_LEASE);
    CHANGED(charge->readings[0].start_s, 1795356180);
    CHANGED(charge->readings[0].used, 86);
    CHANGED(charge->readings[0].limit, 101);
    CHANGED(bench->decision.reset_s, 48);
    CHANGED(bench->decision.is_near, true);
    u->is_hashed = false;
    CHANGED(u->subject, SPAN("shared"));
    CHANGED(u->subject, SPAN("2001:db8:1234:5678::/64"));
    u->tries = 0;
    u->reused = false;
    u->server = SPAN_NONE;
    bench->decision.verdict = QUOTA_REFUSE;
    bench->decision.retry_after_s = 49;
    charge->readings[0].refused = true;
    charge->is_charged = false;
    assert_alike(bench, true);
    CHANGED(bench->decision.retry_after_s, 0);
    CHANGED(u->status, 503);
#undef CHANGED
}

/* What a client sends, in all lengths around those that are looked at together. */
static void test_texts(void **state)
{
    struct bench *bench = *state;
    static const char some[] = "abc&=d/=&&\"\\\xc3\xa9\x7f\x1f";
    char text[80];
    for (unsigned round = 0; round < 20000; round++) {
        struct span *fields[] = {&bench->usual.host, &bench->usual.path, &bench->usual.query};
        for (unsigned i = 0; i < COUNT(fields); i++) {
            size_t len = rng_below(&bench->rng, i == 2 ? sizeof(text) : 40) + (i != 2);
            unsigned of = rng_below(&bench->rng, 4) == 0 ? sizeof(some) - 1 : 7; /* mostly plain */
            for (size_t k = 0; k < len; k++)
                text[k] = some[rng_below(&bench->rng, of)];
            *fields[i] = set_text(bench, i, (struct span){text, len});
        }
        assert_alike(bench, false);
    }
    assert_in_range(bench->quick, 20000, 60000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_usual, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_kept_is_told_of_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_texts, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
