/* SPDX-License-Identifier: Apache-2.0 */
/* test_record_access.c - the access line: what it says, and that nothing a client sends breaks it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record/record.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define LINE_MAX     (RECORD_LINE_MAX - RECORD_PREFIX_MAX)

/* ---- a strict reader of JSON (RFC 8259) and UTF-8, enough to say yes or no ---- */

struct reader {
    const char *at, *end;
};

static bool read_value(struct reader *r, unsigned depth);

static bool read_byte(struct reader *r, char want)
{
    if (r->at == r->end || *r->at != want)
        return false;
    r->at++;
    return true;
}

static bool read_escape(struct reader *r)
{
    if (r->at == r->end)
        return false;
    char letter = *r->at++;
    if (letter != 'u')
        return strchr("\"\\/bfnrt", letter) != NULL;
    for (unsigned i = 0; i < 4; i++, r->at++) {
        if (r->at == r->end || !isxdigit((unsigned char)*r->at))
            return false;
    }
    return true;
}

static bool read_string(struct reader *r)
{
    if (!read_byte(r, '"'))
        return false;
    while (r->at < r->end && *r->at != '"') {
        if (*r->at == '\\') {
            r->at++;
            if (!read_escape(r))
                return false;
            continue;
        }
        size_t len = span_utf8_len((struct span){r->at, (size_t)(r->end - r->at)});
        if (len == 0 || (unsigned char)*r->at < 0x20)
            return false;
        r->at += len;
    }
    return read_byte(r, '"');
}

static bool read_number(struct reader *r)
{
    const char *begin = r->at;
    while (r->at < r->end && isdigit((unsigned char)*r->at))
        r->at++;
    return r->at > begin && (r->at - begin == 1 || *begin != '0');
}

static bool read_word(struct reader *r, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0)
        return false;
    r->at += len;
    return true;
}

static bool read_members(struct reader *r, char close, unsigned depth)
{
    r->at++;
    if (read_byte(r, close))
        return true;
    do {
        if (close == '}' && !(read_string(r) && read_byte(r, ':')))
            return false;
        if (!read_value(r, depth + 1))
            return false;
    } while (read_byte(r, ','));
    return read_byte(r, close);
}

static bool read_value(struct reader *r, unsigned depth)
{
    if (r->at == r->end || depth > 4)
        return false;
    switch (*r->at) {
    case '"':
        return read_string(r);
    case '{':
        return read_members(r, '}', depth);
    case '[':
        return read_members(r, ']', depth);
    case 't':
        return read_word(r, "true");
    case 'f':
        return read_word(r, "false");
    default:
        return read_number(r);
    }
}

/* ---- the bench ---- */

struct bench {
    struct record_access record;
    struct quota user, ip;
    struct quota_charge charges[2];
    struct quota_decision decision;
    struct record_subject subjects[2];
    struct record_memo memo;
    char *line;
};

/* The line with the writer's longest beginning; checks all that must hold for any line. */
static const char *write_line(struct bench *bench)
{
    static const char begin[] = "{\"v\":1,\"boot\":\"c3f10a2b\",\"seq\":18446744073709551615";
    _Static_assert(sizeof(begin) - 1 <= RECORD_PREFIX_MAX, "the beginning has room");
    bench->record.memo = &bench->memo;
    char *tail = malloc(LINE_MAX); /* exactly: the sanitizer sees a byte too many */
    size_t len = (size_t)(record_access_write(tail, &bench->record) - tail);
    assert_in_range(len, 2, LINE_MAX);
    assert_int_equal(tail[len - 1], '\n');
    free(bench->line);
    bench->line = malloc(sizeof(begin) + len);
    *fmt_span(fmt_span(bench->line, span_of(begin)), (struct span){tail, len}) = '\0';
    free(tail);
    struct reader reader = {bench->line, bench->line + strlen(bench->line) - 1};
    if (!read_value(&reader, 0) || reader.at != reader.end)
        fail_msg("not JSON at %zu: %s", (size_t)(reader.at - bench->line), bench->line);
    return bench->line;
}

static void assert_has(const char *line, const char *text)
{
    if (strstr(line, text) == NULL)
        fail_msg("no %s in\n%s", text, line);
}

static void assert_lacks(const char *line, const char *text)
{
    if (strstr(line, text) != NULL)
        fail_msg("%s in\n%s", text, line);
}

static struct ip ip_of(const char *text)
{
    struct ip ip;
    assert_true(ip_parse(&ip, span_of(text)));
    return ip;
}

static int set_up(void **state)
{
    static struct bench bench;
    memset(&bench, 0, sizeof(bench));
    bench.user = (struct quota){
        .name = SPAN("user"),
        .limit_count = 2,
        .limits = {{100, 60, 1, QUOTA_MINUTE}, {5000, 300, 5, QUOTA_MINUTE}},
    };
    bench.ip =
        (struct quota){.name = SPAN("ip"), .limit_count = 1, .limits = {{9, 3600, 1, QUOTA_HOUR}}};
    bench.charges[0] = (struct quota_charge){
        .quota = &bench.user,
        .cost = 5,
        .is_charged = true,
        .source = QUOTA_SOURCE_STORE,
        .readings = {{1795356120, 85, 100, false}, {1795356000, 90, 5000, false}},
    };
    bench.charges[1] = (struct quota_charge){
        .quota = &bench.ip,
        .cost = 5,
        .is_charged = true,
        .source = QUOTA_SOURCE_LOCAL,
        .readings = {{1795353600, 5, 9, false}},
    };
    bench.decision = (struct quota_decision){
        .verdict = QUOTA_ALLOW,
        .has_binding = true,
        .limit = 100,
        .remaining = 15,
        .reset_s = 49,
        .is_near = true,
    };
    bench.subjects[0] = (struct record_subject){SPAN("user"), SPAN("AAAAAAAAAAAAAAAAAAAAAA")};
    bench.subjects[1] = (struct record_subject){SPAN("address"), SPAN("203.0.113.7")};
    bench.record = (struct record_access){
        .wall_us = 1795356131482000,
        .generation = 14,
        .client_ip = ip_of("203.0.113.7"),
        .peer_ip = ip_of("10.0.0.2"),
        .proto = SPAN("HTTP/1.1"),
        .method = SPAN("POST"),
        .host = SPAN("images.example.com"),
        .path = SPAN("/v1/search"),
        .query = SPAN("q=cats&token=secret&page"),
        .bytes_in = 412,
        .bytes_out = 2310,
        .listener = SPAN("public"),
        .route = SPAN("search"),
        .upstream = SPAN("images"),
        .server = SPAN("127.0.0.1:9000"),
        .tries = 1,
        .reused = true,
        .decision = &bench.decision,
        .charges = bench.charges,
        .charge_count = 2,
        .cost = 5,
        .subjects = bench.subjects,
        .subject_count = 2,
        .status = 200,
        .end = SPAN("ok"),
        .t_header_us = 92,
        .t_store_us = 388,
        .t_connect_us = UINT64_MAX,
        .t_first_us = 1460,
        .t_total_us = 1561,
    };
    memcpy(bench.record.id.hex, "4f1c0a2b9d8e7f60112233445566778a", RECORD_ID_HEX);
    *state = &bench;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    free(bench->line);
    return 0;
}

static void test_usual_line(void **state)
{
    assert_string_equal(
        write_line(*state),
        "{\"v\":1,\"boot\":\"c3f10a2b\",\"seq\":18446744073709551615,"
        "\"ts\":\"2026-11-22T14:02:11.482Z\",\"gen\":14,"
        "\"id\":\"4f1c0a2b9d8e7f60112233445566778a\","
        "\"client_ip\":\"203.0.113.7\",\"peer_ip\":\"10.0.0.2\",\"proto\":\"HTTP/1.1\","
        "\"method\":\"POST\",\"host\":\"images.example.com\",\"path\":\"/v1/search\","
        "\"query\":[\"q\",\"token\",\"page\"],\"bytes_in\":412,"
        "\"listener\":\"public\",\"route\":\"search\",\"upstream\":\"images\","
        "\"server\":\"127.0.0.1:9000\",\"tries\":1,\"reused\":true,"
        "\"decision\":\"allow\",\"near\":true,\"cost\":5,"
        "\"subjects\":{\"user\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"address\":\"203.0.113.7\"},"
        "\"quotas\":["
        "{\"q\":\"user\",\"w\":\"minute\",\"start\":1795356120,\"charged\":5,\"used\":85,"
        "\"limit\":100,\"reset_s\":49,\"source\":\"store\"},"
        "{\"q\":\"user\",\"w\":\"5 minute\",\"start\":1795356000,\"charged\":5,\"used\":90,"
        "\"limit\":5000,\"reset_s\":169,\"source\":\"store\"},"
        "{\"q\":\"ip\",\"w\":\"hour\",\"start\":1795353600,\"charged\":5,\"used\":5,"
        "\"limit\":9,\"reset_s\":1069,\"source\":\"local\"}],"
        "\"status\":200,\"bytes_out\":2310,\"end\":\"ok\","
        "\"t_header\":92,\"t_store\":388,\"t_first\":1460,\"t_total\":1561}\n");
}

static void test_least_line(void **state)
{
    struct bench *bench = *state;
    bench->record = (struct record_access){
        .bytes_in = UINT64_MAX,
        .bytes_out = UINT64_MAX,
        .t_header_us = UINT64_MAX,
        .t_store_us = UINT64_MAX,
        .t_connect_us = UINT64_MAX,
        .t_first_us = UINT64_MAX,
        .t_total_us = UINT64_MAX,
        .peer_is_unix = true,
    };
    memset(bench->record.id.hex, '0', RECORD_ID_HEX);
    assert_has(write_line(bench),
               ",\"ts\":\"1970-01-01T00:00:00.000Z\",\"gen\":0,"
               "\"id\":\"00000000000000000000000000000000\",\"client_ip\":\"unix\","
               "\"peer_ip\":\"unix\",\"decision\":\"none\"}\n");
}

static void test_refusals(void **state)
{
    struct bench *bench = *state;
    bench->decision = (struct quota_decision){.verdict = QUOTA_REFUSE,
                                              .has_binding = true,
                                              .window = 1,
                                              .limit = 5000,
                                              .reset_s = 169,
                                              .retry_after_s = 169};
    for (unsigned i = 0; i < 2; i++)
        bench->charges[i].is_charged = false;
    bench->charges[0].readings[1].refused = true;
    bench->charges[1].readings[0].refused = true;
    bench->record.status = 429;
    const char *line = write_line(bench);
    assert_has(line, "\"decision\":\"refuse\",\"refused_by\":[\"user/5 minute\",\"ip/hour\"],");
    assert_has(line, "\"charged\":0,\"used\":90,\"limit\":5000,\"reset_s\":169");
    assert_has(line, "],\"retry_after\":169,\"status\":429,");
    assert_lacks(line, "\"charged\":5");
    assert_lacks(line, "near");

    bench->decision.verdict = QUOTA_DEGRADED_REFUSE;
    bench->decision.retry_after_s = 0;
    line = write_line(bench);
    assert_has(line, "\"decision\":\"degraded_refuse\",\"refused_by\":[");
    assert_lacks(line, "retry_after");
}

static void test_store_away(void **state)
{
    struct bench *bench = *state;
    bench->decision = (struct quota_decision){.verdict = QUOTA_UNAVAILABLE, .retry_after_s = 2};
    memset(bench->charges[0].readings, 0, sizeof(bench->charges[0].readings));
    bench->charges[0].is_charged = false;
    bench->charges[0].is_degraded = true;
    bench->user.on_failure = QUOTA_FAIL_DENY;
    bench->record.status = 503;
    const char *line = write_line(bench);
    assert_has(line, "\"decision\":\"degraded_refuse\",\"refused_by\":[\"user\"],");
    assert_has(line, "{\"q\":\"user\",\"w\":\"minute\",\"charged\":0},");
    assert_has(line, "\"retry_after\":2,\"status\":503");

    bench->decision = (struct quota_decision){.verdict = QUOTA_DEGRADED_ALLOW};
    bench->charges[0].is_skipped = true;
    bench->charges[0].readings[0].start_s = 1; /* what a skipped quota holds is never shown */
    line = write_line(bench);
    assert_has(line, "\"decision\":\"degraded_allow\",\"cost\":5,");
    assert_has(line, "{\"q\":\"user\",\"w\":\"minute\",\"charged\":0},");
    assert_lacks(line, "refused_by");
}

static void test_exempt_and_undecided(void **state)
{
    struct bench *bench = *state;
    bench->decision = (struct quota_decision){.verdict = QUOTA_EXEMPT};
    bench->record.charge_count = 0;
    assert_has(write_line(bench), "\"decision\":\"exempt\",\"subjects\":{");
    bench->record.decision = NULL;
    bench->record.charge_count = 2; /* asked, never answered: no numbers */
    const char *line = write_line(bench);
    assert_has(line, "\"decision\":\"none\",\"subjects\":{");
    assert_lacks(line, "quotas");
}

static void test_reset_never_goes_back(void **state)
{
    struct bench *bench = *state;
    bench->charges[1].readings[0].start_s = 1795350000; /* of an older window: clocks differ */
    assert_has(write_line(bench), "\"start\":1795350000,\"charged\":5,\"used\":5,"
                                  "\"limit\":9,\"reset_s\":1,");
}

static void test_addresses(void **state)
{
    struct bench *bench = *state;
    bench->record.peer_ip = bench->record.client_ip = ip_of("2001:db8::7");
    assert_has(write_line(bench), "\"client_ip\":\"2001:db8::7\",\"peer_ip\":\"2001:db8::7\"");
    bench->record.peer_is_unix = true;
    assert_has(write_line(bench), "\"client_ip\":\"2001:db8::7\",\"peer_ip\":\"unix\"");
}

static void test_ids_of_others_are_escaped(void **state)
{
    struct bench *bench = *state;
    bench->record.parent_id = SPAN("\",\"x\":\"\xff\n");
    bench->record.upstream_id = SPAN("\x1b[2J");
    bench->record.reason = SPAN("bare_lf");
    bench->record.close = SPAN("requests");
    const char *line = write_line(bench);
    assert_has(line, "\"parent_id\":\"\\\",\\\"x\\\":\\\"\\u00ff\\n\"");
    assert_has(line, "\"upstream_id\":\"\\u001b[2J\"");
    assert_has(line, "\"end\":\"ok\",\"reason\":\"bare_lf\",\"close\":\"requests\"");
    assert_has(line, ",\"bytes\":true}\n");
    assert_lacks(line, "cut");
}

static void test_query_names(void **state)
{
    struct bench *bench = *state;
    static const struct {
        struct span query;
        const char *want; /* NULL: no such field */
    } rows[] = {
        {SPAN("a=1&b=2"), ",\"query\":[\"a\",\"b\"],"},
        {SPAN("a=SECRET=SECRET&a=SECRET"), ",\"query\":[\"a\",\"a\"],"},
        {SPAN("a"), ",\"query\":[\"a\"],"},
        {SPAN("a=b?c=SECRET"), ",\"query\":[\"a\"],"},
        {SPAN("a=1;SECRET=2"), ",\"query\":[\"a\"],"},
        {SPAN("&&a=&&"), ",\"query\":[\"a\"],"},
        {SPAN("x%26y=SECRET"), ",\"query\":[\"x%26y\"],"},
        {SPAN("a\"]\\=SECRET"), ",\"query\":[\"a\\\"]\\\\\"],"},
        {SPAN("=SECRET"), NULL},
        {SPAN("=SECRET&=SECRET"), NULL},
        {SPAN("&"), NULL},
        {SPAN(""), NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        bench->record.query = rows[i].query;
        const char *line = write_line(bench);
        assert_has(line,
                   rows[i].want != NULL ? rows[i].want : "\"path\":\"/v1/search\",\"bytes_in");
        assert_lacks(line, "SECRET");
        assert_lacks(line, "\"cut\"");
    }
}

static void test_long_query(void **state)
{
    struct bench *bench = *state;
    static char query[32768];
    memset(query, 'k', sizeof(query)); /* as long as a token that stands there by mistake */
    bench->record.query = (struct span){query, sizeof(query)};
    const char *line = write_line(bench);
    assert_has(line, "\"cut\":true,\"charges_whole\":true}\n");
    assert_in_range(strlen(line), 600, 1200);
    for (size_t i = 1; i < sizeof(query); i += 2)
        query[i] = '&';
    assert_in_range(strlen(write_line(bench)), 1500, 2300);
}

/* Everything as long and as dirty as it can be, at once. */
static void test_worst_line(void **state)
{
    struct bench *bench = *state;
    static char dirt[40000];
    static const unsigned char fillings[] = {1, 'x', 0xff, '"', 0xc3};
    struct quota quota = {.limit_count = QUOTA_WINDOWS_MAX};
    struct quota_charge charges[QUOTA_MAX_PER_ROUTE];
    struct quota_slot slots[QUOTA_MAX_PER_ROUTE];
    const struct quota_slot *slot_list[QUOTA_MAX_PER_ROUTE];
    struct record_subject subjects[16];
    for (size_t f = 0; f < COUNT(fillings); f++) {
        memset(dirt, fillings[f], sizeof(dirt));
        const struct span all = {dirt, sizeof(dirt)};
        quota.name = all;
        for (unsigned w = 0; w < QUOTA_WINDOWS_MAX; w++)
            quota.limits[w] =
                (struct quota_limit){UINT32_MAX, UINT32_MAX, UINT32_MAX, QUOTA_SECOND};
        for (size_t i = 0; i < COUNT(charges); i++) {
            charges[i] = (struct quota_charge){.quota = &quota, .cost = UINT32_MAX};
            charges[i].is_charged = true;
            for (unsigned w = 0; w < QUOTA_WINDOWS_MAX; w++)
                charges[i].readings[w] =
                    (struct quota_reading){UINT32_MAX, UINT32_MAX, UINT32_MAX, true};
        }
        for (size_t i = 0; i < COUNT(slots); i++) {
            slots[i] = (struct quota_slot){
                .quota = &quota, .is_refused = true, .used = UINT32_MAX, .limit = UINT32_MAX};
            slot_list[i] = &slots[i];
        }
        for (size_t i = 0; i < COUNT(subjects); i++)
            subjects[i] = (struct record_subject){all, all};
        bench->decision = (struct quota_decision){QUOTA_DEGRADED_REFUSE,
                                                  true,
                                                  7,
                                                  3,
                                                  UINT32_MAX,
                                                  UINT32_MAX,
                                                  1,
                                                  UINT32_MAX,
                                                  true,
                                                  NULL,
                                                  0};
        struct record_access *r = &bench->record;
        *r = (struct record_access){
            .wall_us = UINT64_MAX, .generation = UINT32_MAX, .tries = UINT32_MAX};
        memset(r->id.hex, 'f', RECORD_ID_HEX);
        r->client_ip = ip_of("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff1");
        r->peer_ip = ip_of("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff2");
        r->parent_id = r->proto = r->method = r->host = r->path = r->query = r->listener =
            r->route = r->upstream = r->server = r->upstream_id = r->end = r->reason = r->close =
                all;
        r->bytes_in = r->bytes_out = r->t_header_us = r->t_store_us = r->t_connect_us =
            r->t_first_us = r->t_total_us = UINT64_MAX - 1;
        r->decision = &bench->decision;
        r->charges = charges;
        r->charge_count = COUNT(charges);
        r->slots = slot_list;
        r->slot_count = COUNT(slots);
        r->subjects = subjects;
        r->subject_count = COUNT(subjects);
        r->cost = UINT32_MAX;
        r->status = UINT16_MAX;
        const char *line = write_line(bench);
        assert_has(line, "\"t_total\":18446744073709551614,\"cut\":true");
        assert_lacks(line, "charges_whole");
        assert_has(line, "\"decision\":\"degraded_refuse\"");
        assert_has(line, "\"status\":65535");
        assert_has(line, "\"end\":\"");
        /* without a client's texts the quotas have the room */
        r->path = r->query = r->host = SPAN_NONE;
        quota.name = SPAN("user");
        assert_has(write_line(bench), "{\"q\":\"user\",\"w\":\"4294967295 second\",\"start\":");
    }
}

static void test_slots(void **state)
{
    struct bench *bench = *state;
    struct quota quota = {.name = SPAN("con\"c"), .in_flight = 7};
    struct quota shadow = {.name = SPAN("next"), .in_flight = 3, .mode = QUOTA_SHADOW};
    const struct {
        struct quota_slot slot;
        const char *want, *refused_by;
    } rows[] = {
        {{&quota, .is_granted = true, .used = 4, .limit = 7},
         "{\"q\":\"con\\\"c\",\"w\":\"in_flight\",\"charged\":1,\"used\":4,\"limit\":7,\"source\":"
         "\"store\"}]",
         NULL},
        {{&quota, .is_refused = true, .used = 7, .limit = 7},
         "\"w\":\"in_flight\",\"charged\":0,\"used\":7,\"limit\":7,\"source\":\"store\"}]",
         "\"refused_by\":[\"con\\\"c/in_flight\"]"},
        {{&quota, .is_granted = true, .is_degraded = true, .used = 1, .limit = 3,
          .source = QUOTA_SOURCE_LOCAL},
         "\"charged\":1,\"used\":1,\"limit\":3,\"source\":\"local\"}]",
         NULL},
        {{&quota, .is_granted = true, .is_degraded = true, .is_skipped = true, .used = 1},
         "\"w\":\"in_flight\",\"charged\":1}]",
         NULL},
        {{.quota = &quota}, "\"w\":\"in_flight\",\"charged\":0}]", NULL},
        {{&shadow, .is_granted = true, .used = 1, .limit = 3},
         "\"charged\":1,\"used\":1,\"limit\":3,\"source\":\"store\",\"mode\":\"shadow\"}]",
         NULL},
        {{&shadow, .is_refused = true, .used = 3, .limit = 3},
         "\"used\":3,\"limit\":3,\"source\":\"store\",\"refused\":true,\"mode\":\"shadow\"}]",
         NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct quota_slot *slots[] = {&rows[i].slot};
        struct quota_decision decision = {.verdict = rows[i].refused_by != NULL ? QUOTA_REFUSE
                                                                                : QUOTA_ALLOW};
        bench->record.decision = &decision;
        bench->record.charge_count = 0;
        bench->record.slots = slots;
        bench->record.slot_count = 1;
        const char *line = write_line(bench);
        assert_has(line, rows[i].want);
        if (rows[i].refused_by != NULL)
            assert_has(line, rows[i].refused_by);
        else
            assert_lacks(line, "refused_by");
        assert_lacks(line, "\"cut\"");
    }
}

/* What a client was charged stays in its line, however much it writes itself. */
static void test_a_client_cannot_hide_its_charges(void **state)
{
    struct bench *bench = *state;
    static char dirt[40000];
    memset(dirt, 1, sizeof(dirt));
    const struct span all = {dirt, sizeof(dirt)};
    struct record_access *r = &bench->record;
    r->parent_id = r->method = r->host = r->path = r->query = r->upstream_id = all;
    bench->subjects[0].text = bench->subjects[1].text = all;
    bench->decision.verdict = QUOTA_REFUSE;
    bench->charges[0].readings[0].refused = true;
    bench->charges[1].readings[0].refused = true;
    const char *line = write_line(bench);
    assert_has(line, "\"refused_by\":[\"user/minute\",\"ip/hour\"],");
    assert_has(line, "\"limit\":9,\"reset_s\":1069,\"source\":\"local\"}],\"status\":200,");
    assert_has(line, "\"cut\":true,\"charges_whole\":true}\n");
}

/* Any bytes anywhere: always one line of JSON. */
/* What the line says with this memo is what it says with none. */
static void assert_same_with(struct record_memo *memo, struct record_access *record)
{
    static char kept[LINE_MAX], fresh[LINE_MAX];
    struct record_memo *none = calloc(1, sizeof(*none));
    assert_non_null(none);
    record->memo = none;
    size_t len = (size_t)(record_access_write(fresh, record) - fresh);
    free(none);
    record->memo = memo;
    for (unsigned i = 0; i < 2; i++) { /* the second is sure to find what the first left */
        assert_int_equal(record_access_write(kept, record) - kept, len);
        assert_memory_equal(kept, fresh, len);
    }
}

/* Pieces of lines are kept: each thing that a piece says is changed, alone, and changed back. */
static void test_nothing_kept_is_told_of_others(void **state)
{
    struct bench *bench = *state;
    struct record_access *r = &bench->record;
    struct quota named_alike = bench->ip;
    static const struct span servers[] = {{"127.0.0.1:9001", sizeof("127.0.0.1:9001") - 1},
                                          {"127.0.0.2:9000", sizeof("127.0.0.2:9000") - 1},
                                          {"s", sizeof("s") - 1},
                                          {"\\", sizeof("\\") - 1},
                                          {"\\\"", sizeof("\\\"") - 1},
                                          {"\xff", sizeof("\xff") - 1},
                                          {"", sizeof("") - 1}};
    assert_same_with(&bench->memo, r);
#define CHANGED(place, value)                                                                      \
    do {                                                                                           \
        __typeof__(place) before_ = (place);                                                       \
        (place) = (value);                                                                         \
        assert_same_with(&bench->memo, r);                                                         \
        (place) = before_;                                                                         \
        assert_same_with(&bench->memo, r);                                                         \
    } while (0)
    for (unsigned i = 0; i < COUNT(servers); i++)
        CHANGED(r->server, servers[i]);
    CHANGED(r->tries, 2);
    CHANGED(r->tries, 12);
    CHANGED(r->reused, false);
    CHANGED(r->upstream, SPAN_NONE);
    CHANGED(r->upstream, SPAN("other"));
    CHANGED(r->listener, SPAN("other \x01"));
    CHANGED(r->route, SPAN("other \xfe"));
    CHANGED(r->generation, 15);
    CHANGED(r->cost, 6);
    CHANGED(r->tier, SPAN("gold"));
    CHANGED(r->charge_count, 1);
    CHANGED(r->subject_count, 1);
    CHANGED(r->subject_count, 0);
    CHANGED(bench->subjects[0].identity, SPAN("who"));
    CHANGED(bench->subjects[0].text, SPAN("somebody else"));
    CHANGED(bench->subjects[0].text, SPAN_NONE);
    CHANGED(bench->decision.is_near, false);
    CHANGED(bench->decision.reset_s, 48);
    CHANGED(bench->charges[0].is_charged, false);
    CHANGED(bench->charges[0].cost, 6);
    CHANGED(bench->charges[0].is_skipped, true);
    CHANGED(bench->charges[0].corrected, -2);
    CHANGED(bench->charges[0].source, QUOTA_SOURCE_LEASE);
    CHANGED(bench->charges[0].readings[0].start_s, 1795356180);
    CHANGED(bench->charges[0].readings[1].limit, 5001);
    CHANGED(bench->charges[1].quota, &named_alike);
    CHANGED(bench->decision.verdict, QUOTA_EXEMPT);
    bench->decision.verdict = QUOTA_REFUSE;
    bench->charges[1].readings[0].refused = true;
    assert_same_with(&bench->memo, r);
    r->charges = &bench->charges[1];
    r->charge_count = 1;
    bench->decision.retry_after_s = 7;
    assert_same_with(&bench->memo, r);
    CHANGED(bench->charges[1].readings[0].refused, false);
    CHANGED(bench->charges[1].is_skipped, true);
    CHANGED(bench->charges[1].quota, &bench->user);
    CHANGED(bench->decision.verdict, QUOTA_UNAVAILABLE);
    CHANGED(bench->decision.verdict, QUOTA_DEGRADED_REFUSE);
#undef CHANGED
    /* A path that leaves no room cuts the names as it would without a memo. */
    static char path[2 * LINE_MAX];
    memset(path, '"', sizeof(path));
    r->path = (struct span){path, sizeof(path)};
    r->query = r->host = r->parent_id = r->upstream_id = r->path;
    assert_same_with(&bench->memo, r);
}

static void test_random_bytes(void **state)
{
    struct bench *bench = *state;
    struct rng rng = {{1, 2, 3, 4}};
    static char bytes[16384];
    for (unsigned round = 0; round < 300; round++) {
        for (size_t i = 0; i < sizeof(bytes); i += 8) {
            uint64_t word = rng_u64(&rng);
            memcpy(bytes + i, &word, 8);
        }
        struct span *fields[] = {
            &bench->record.path,   &bench->record.query,       &bench->record.host,
            &bench->record.method, &bench->record.upstream_id, &bench->record.parent_id,
            &bench->record.server, &bench->subjects[0].text,   &bench->user.name,
        };
        for (size_t i = 0; i < COUNT(fields); i++) {
            size_t max = UINT64_C(1) << rng_below(&rng, 14);
            *fields[i] = (struct span){bytes + rng_below(&rng, 2000), rng_below(&rng, max)};
        }
        write_line(bench);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_usual_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_least_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_store_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_exempt_and_undecided, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reset_never_goes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_addresses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ids_of_others_are_escaped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_query_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_query, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_worst_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_slots, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_client_cannot_hide_its_charges, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_kept_is_told_of_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_random_bytes, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
