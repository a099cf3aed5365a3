/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_reply.c - any bytes as Accept, as a server's RateLimit, and as a template.  Checked: a template that the file's reader
 * accepts gives bodies within the size that it was said to need, JSON ones are JSON again, and no value breaks out of XML. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_fmt.h"
#include "config/config_decode.h"
#include "config/config_doc.h"
#include "reply/reply.h"
#include "reply/reply_fields.h"
#include "reply/reply_template.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct quota quota = {
    .name = {"q", 1}, .limit_count = 1, .limits = {{3, 300, 5, QUOTA_MINUTE}}};
static const struct quota_charge charge = {.quota = &quota, .readings = {{300, 3, 3, true}}};
static const struct quota_decision decision = {.verdict = QUOTA_REFUSE,
                                               .has_binding = true,
                                               .limit = 3,
                                               .reset_s = 9,
                                               .retry_after_s = 9,
                                               .now_s = 591};

static void check_accept(struct span value)
{
    struct http_field field = {.value_len = (uint32_t)value.len, .name_off = 0, .name_len = 6};
    char *text = malloc(value.len + 6);
    CHECK(text != NULL);
    memcpy(text, "accept", 6);
    memcpy(text + 6, value.ptr, value.len);
    field.value_off = 6;
    const struct http_head head = {
        .base = text, .bytes = (uint32_t)value.len + 6, .field_count = 1, .fields = &field};
    (void)reply_prefers_xml(&head, SPAN("application/json"));
    free(text);
}

/* The bytes as the value of a member; NULL when the reader of files refuses them. */
static const struct config_node *read_value(struct config_doc *doc, struct config_report *report,
                                            struct arena *arena, struct span value)
{
    static const struct span begin = {"{\"t\":", 5};
    struct span text = {arena_take(arena, value.len + 6), value.len + 6};
    CHECK(text.ptr != NULL);
    char *at = fmt_span(fmt_span((char *)(uintptr_t)text.ptr, begin), value);
    *at = '}';
    config_report_init(report);
    config_doc_init(doc, report, text);
    return report->errors == 0 ? config_find(doc->root, "t") : NULL;
}

static void check_json(struct span body, struct arena *arena)
{
    struct config_report report;
    struct config_doc doc;
    CHECK(read_value(&doc, &report, arena, body) != NULL || report.is_out_of_memory);
    config_doc_fini(&doc);
    config_report_fini(&report);
}

/* Tags only where the template has members: values bring none. */
static void check_xml(const char *body, size_t len, size_t max_tags)
{
    size_t tags = 0;
    for (size_t i = 0; i < len; i++)
        tags += body[i] == '<';
    CHECK(tags <= max_tags);
}

static void check_bodies(const struct reply_body_dialect *dialect, struct arena *arena,
                         size_t nodes, bool is_json)
{
    static char body[REPLY_BODY_MAX];
    const struct reply_error errors[] = {
        {.id = REPLY_ERROR_THROTTLED,
         .message = SPAN("<\"'&\x01\xff>"),
         .request_id = "4f1c0a2b9d8e7f60112233445566778a",
         .retry_after_s = 9,
         .decision = &decision,
         .charges = &charge,
         .charge_count = 1},
        {.id = REPLY_ERROR_NO_ROUTE, .request_id = "4f1c0a2b9d8e7f60112233445566778a"},
    };
    for (unsigned i = 0; i < 2; i++) {
        struct span type;
        size_t len = (size_t)(reply_error_body(body, dialect, false, &errors[i], &type) - body);
        CHECK(len <= dialect->own.plain.max_bytes && len <= REPLY_BODY_MAX);
        if (is_json)
            check_json((struct span){body, len}, arena);
        if (!dialect->has_xml)
            continue;
        len = (size_t)(reply_error_body(body, dialect, true, &errors[i], &type) - body);
        CHECK(len <= dialect->xml.plain.max_bytes && len <= REPLY_BODY_MAX);
        check_xml(body, len, 3 + 2 * nodes + 2 * nodes);
    }
}

static void check_template(struct span value)
{
    struct arena arena;
    struct config_report report;
    struct config_doc doc;
    arena_init(&arena, NULL, 0, 1 << 20);
    const struct config_node *node = read_value(&doc, &report, &arena, value);
    struct reply_dialect_conf conf = {.prefix = SPAN("X"), .with_request_id = true};
    struct reply_body_dialect dialect;
    if (node != NULL && config_decode_compact(node->token, &arena, &conf.template_json) &&
        reply_dialect_compile(&dialect, &conf, true, &arena) == NULL)
        check_bodies(&dialect, &arena, doc.node_count, node->kind != CONFIG_KIND_STRING);
    config_doc_fini(&doc);
    config_report_fini(&report);
    arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct span value = {(const char *)data, size};
    if (size > 8192)
        return 0;
    check_accept(value);
    (void)reply_is_string_list(value);
    check_template(value);
    return 0;
}
