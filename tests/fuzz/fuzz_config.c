/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_config.c - any bytes as a configuration's text.  Checked against jansson: what we accept it accepts once
 * comments are blanked, what it accepts as an object without doubled keys we accept (but for depth); every value
 * lies in the text; the report is clean text and sound JSON. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_doc.h"
#include "fuzz.h"

static void check_nodes(const struct config_doc *doc, const struct config_node *node)
{
    FUZZ_CHECK(node->token.len > 0 && node->token.ptr >= doc->text.ptr);
    FUZZ_CHECK(node->token.ptr + node->token.len <= doc->text.ptr + doc->text.len);
    unsigned count = 0;
    CONFIG_EACH(child, node)
    {
        FUZZ_CHECK(child->parent == node && child->index == count++);
        FUZZ_CHECK((child->key_token.ptr != NULL) == (node->kind == CONFIG_KIND_OBJECT));
        check_nodes(doc, child);
    }
    FUZZ_CHECK(count == node->child_count);
}

static bool is_clean(const char *text)
{
    for (; *text != '\0'; text++) {
        if (((unsigned char)*text < 0x20 && *text != '\n') || *text == 0x7f)
            return false;
    }
    return true;
}

static bool is_number_error(const json_error_t *error)
{
    return json_error_code(error) == json_error_numeric_overflow;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_report report;
    struct config_doc doc;
    json_error_t error = {0};
    struct span raw = {(const char *)data, size};
    config_report_init(&report);
    config_doc_init(&doc, &report, size == 0 ? SPAN("") : raw);
    if (doc.root != NULL)
        check_nodes(&doc, doc.root);

    char *text = config_report_text(&report, SPAN("f"), size == 0 ? SPAN("") : raw);
    char *json_text = config_report_json(&report, SPAN("f"), size == 0 ? SPAN("") : raw);
    FUZZ_CHECK(text != NULL && is_clean(text));
    json_t *json = json_loads(json_text, 0, &error);
    FUZZ_CHECK(json != NULL);
    json_decref(json);

    if (report.errors == 0) {
        json = json_loadb(doc.text.ptr, doc.text.len, JSON_REJECT_DUPLICATES, &error);
        FUZZ_CHECK(json_is_object(json) || is_number_error(&error));
    } else {
        json = json_loadb(raw.ptr, raw.len, JSON_REJECT_DUPLICATES, &error);
        FUZZ_CHECK(!json_is_object(json) || strstr(text, "nested deeper") != NULL);
    }
    json_decref(json);
    free(text);
    free(json_text);
    config_doc_fini(&doc);
    config_report_fini(&report);
    return 0;
}
