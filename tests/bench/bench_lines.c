/* SPDX-License-Identifier: Apache-2.0 */
/* bench_lines.c - what it costs to write what Sluice itself says about a request: rate-limit headers, the body of a
 * refusal, the request's id, and the line in the access log. */
#include "bench_rows.h"

#include <string.h>

#include "record/record.h"
#include "reply/reply.h"

#define ID "4f1c0a2b9d8e7f60112233445566778a"

static struct quota quota = {
    .name = {"user", 4}, .limit_count = 1, .limits = {{100, 60, 1, QUOTA_MINUTE}}};
static struct quota_charge charge = {.quota = &quota,
                                     .cost = 1,
                                     .is_charged = true,
                                     .source = QUOTA_SOURCE_STORE,
                                     .readings = {{1795356120, 85, 100, false}}};
static struct quota_decision decision = {.verdict = QUOTA_ALLOW,
                                         .has_binding = true,
                                         .limit = 100,
                                         .remaining = 15,
                                         .reset_s = 49,
                                         .is_near = true};
static const struct record_subject subject = {{"user", 4}, {"AAAAAAAAAAAAAAAAAAAAAA", 22}};
static struct reply_body_dialect dialect;
static struct record_memo memo;
static struct record_access record;
static char out[RECORD_LINE_MAX + REPLY_BODY_MAX];

static bool write_limits(void)
{
    static const struct reply_headers headers = {.dialects = REPLY_X_RATELIMIT};
    return reply_limit_fields(out, &headers, headers.dialects, &decision, &charge, 1) > out;
}

static bool write_refusal(void)
{
    struct span type;
    struct reply_error error = {.id = REPLY_ERROR_THROTTLED,
                                .request_id = ID,
                                .retry_after_s = 20,
                                .decision = &decision,
                                .charges = &charge,
                                .charge_count = 1};
    return reply_error_body(out, &dialect, false, &error, &type) > out;
}

static bool write_id(void)
{
    return record_id_write(out, &record.id, record.wall_us, SPAN("proxy-1")) > out;
}

static bool write_line(void)
{
    record.wall_us += 20;
    return record_access_write(out, &record) > out;
}

static bool prepare(struct arena *arena)
{
    const struct reply_dialect_conf conf = {.like = REPLY_DIALECT_APIG, .with_request_id = true};
    record = (struct record_access){
        .memo = &memo,
        .wall_us = 1795356131482000,
        .generation = 14,
        .proto = SPAN("HTTP/1.1"),
        .method = SPAN("GET"),
        .host = SPAN("images.example.com"),
        .path = SPAN("/v1/projects/42/images"),
        .query = SPAN("limit=10&marker=abc"),
        .bytes_in = 412,
        .bytes_out = 2310,
        .listener = SPAN("public"),
        .route = SPAN("images"),
        .upstream = SPAN("images"),
        .server = SPAN("127.0.0.1:9000"),
        .tries = 1,
        .reused = true,
        .decision = &decision,
        .charges = &charge,
        .charge_count = 1,
        .cost = 1,
        .subjects = &subject,
        .subject_count = 1,
        .status = 200,
        .end = SPAN("ok"),
        .t_header_us = 92,
        .t_store_us = 3,
        .t_connect_us = UINT64_MAX,
        .t_first_us = 1460,
        .t_total_us = 1561,
    };
    memcpy(record.id.hex, ID, RECORD_ID_HEX);
    return reply_dialect_compile(&dialect, &conf, false, arena) == NULL;
}

int main(int argc, char **argv)
{
    static const struct bench_row rows[] = {
        {"write the rate-limit headers", write_limits},
        {"write a refusal's body", write_refusal},
        {"write a request's id", write_id},
        {"write a line of the access log", write_line},
    };
    struct arena arena;
    arena_init(&arena, NULL, 0, 1 << 20);
    int code = prepare(&arena) ? bench_main(argc, argv, rows, sizeof(rows) / sizeof(rows[0]))
                               : EXIT_FAILURE;
    arena_fini(&arena);
    return code;
}
