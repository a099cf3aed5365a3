/* SPDX-License-Identifier: Apache-2.0 */
/* reply_conf.c - takes: the members of "headers" and of "errors" in the file.  Gives: a struct reply_headers, a
 * struct reply_errors_conf.  Never: lets a template name what nobody knows. */
#include "reply/reply_conf.h"

#include "base/base_parse.h"
#include "config/config_doc.h"
#include "reply/reply_template.h"

/* Word i is bit i of reply_headers.dialects. */
static const char *const dialects[] = {"x-ratelimit", "ietf", "x-apig", "github", NULL};
static const char *const used_words[] = {"remaining", "consumed", NULL};

_Static_assert(REPLY_X_RATELIMIT == 1u << 0 && REPLY_IETF == 1u << 1 && REPLY_X_APIG == 1u << 2 &&
                   REPLY_GITHUB == 1u << 3,
               "the word's place is the bit's");

#define JITTER_MAX_US UINT64_C(3600000000)

/* "10%" or a duration. */
static const char *take_jitter(const struct config_take *take)
{
    struct reply_headers *headers = take->base;
    struct span text = take->text;
    uint64_t value = 0;
    headers->jitter_percent = 0;
    headers->jitter_us = 0;
    if (text.len != 0 && text.ptr[text.len - 1] == '%') {
        if (!parse_u64((struct span){text.ptr, text.len - 1}, &value) || value > 100)
            return "must be at most \"100%\"";
        headers->jitter_percent = (uint32_t)value;
        return NULL;
    }
    if (!parse_duration_us(text, &value) || value > JITTER_MAX_US)
        return "must be a part such as \"10%\" or a duration of at most \"1h\"";
    headers->jitter_us = value;
    return NULL;
}

static const struct config_directive rows[] = {
    {.key = "dialects",
     .type = CONFIG_FLAGS,
     CONFIG_AT(struct reply_headers, dialects),
     .fallback = "[\"x-ratelimit\"]",
     .words = dialects,
     .doc = "Which rate-limit headers responses carry, any of them at once (docs/contract.md shows "
            "each); [] for none."},
    {.key = "used",
     .type = CONFIG_CHOICE,
     CONFIG_AT(struct reply_headers, used_is_consumed),
     .fallback = "\"remaining\"",
     .words = used_words,
     .doc =
         "What X-ratelimit-used says: how many requests remain (as documented), or how many were "
         "made."},
    {.key = "retry_after_jitter",
     .type = CONFIG_TEXT,
     .fallback = "\"0%\"",
     .min = 1,
     .max = 32,
     .take = take_jitter,
     .pattern = "^([0-9]+%|[0-9]+(us|ms|s|m|h|d))$",
     .doc = "How much Retry-After is lengthened at most, by chance, so that refused clients do not "
            "all "
            "come back at once: \"10%\" of it, or a duration."},
};

const struct config_table REPLY_CONF = {
    .title = "Rate-limit headers",
    .noun = "headers",
    CONFIG_ROWS_OF(rows),
    .size = sizeof(struct reply_headers),
};

/* type "/" subtype and parameters, in visible bytes (RFC 9110 section 8.3.1). */
static const char *take_content_type(const struct config_take *take)
{
    struct reply_dialect_conf *dialect = take->base;
    struct span text = take->text;
    size_t end = span_find(text, ';'), slash = span_find(text, '/');
    bool is_good = slash < end && http_is_token((struct span){text.ptr, slash}) &&
                   http_is_token((struct span){text.ptr + slash + 1, end - slash - 1});
    for (size_t i = 0; i < text.len; i++)
        is_good = is_good && text.ptr[i] >= ' ' && text.ptr[i] <= '~';
    if (!is_good)
        return "must be a media type such as \"application/json; charset=UTF-8\"";
    dialect->content_type = text;
    return NULL;
}

static const char *take_prefix(const struct config_take *take)
{
    struct reply_dialect_conf *dialect = take->base;
    if (!http_is_token(take->text))
        return "letters, digits and \"-._\" are allowed";
    dialect->prefix = take->text;
    return NULL;
}

static const struct config_directive dialect_rows[] = {
    {.key = "like",
     .type = CONFIG_CHOICE,
     CONFIG_AT(struct reply_dialect_conf, like),
     .absent = "template",
     .words = REPLY_DIALECT_NAMES,
     .doc = "The dialect that it is but for what stands beside."},
    {.key = "prefix",
     .type = CONFIG_TEXT,
     .min = 1,
     .max = 64,
     .absent = "that of `like`, else \"APIG\"",
     .take = take_prefix,
     .doc = "What stands before the number in an error's code: \"OCR\" makes OCR.0308."},
    {.key = "request_id",
     .type = CONFIG_BOOL,
     CONFIG_AT(struct reply_dialect_conf, with_request_id),
     .fallback = "true",
     .doc = "Whether bodies carry the request's id, in dialects that do."},
    {.key = "template",
     .type = CONFIG_ANY,
     CONFIG_AT(struct reply_dialect_conf, template_json),
     .absent = "like",
     .doc = "A body of your own, any JSON value; in its texts `${code}`, `${message}`, "
            "`${request_id}`, "
            "`${status}`, `${title}`, `${quota}`, `${limit}`, `${window}`, `${remaining}`, "
            "`${retry_after}` and "
            "`${policies}` stand for values. A bare string is a body of plain text."},
    {.key = "content_type",
     .type = CONFIG_TEXT,
     .min = 1,
     .max = 128,
     .absent = "JSON's, or plain text's",
     .take = take_content_type,
     .doc = "The media type of a template."},
};

static const struct config_pair dialect_pairs[] = {{"like", "template", true, false},
                                                   {"template", "request_id", false, false},
                                                   {"like", "content_type", false, false}};

/* Every ${...} of a template's texts must be known; keys are texts too. */
static void check_references(struct config_doc *doc, const struct config_node *node,
                             struct span text)
{
    struct reply_reference reference;
    for (size_t from = 0; reply_template_next(text, from, &reference);
         from = reference.off + reference.len) {
        struct span written = {text.ptr + reference.off, reference.len};
        struct config_near near = config_near_to((struct span){written.ptr + 2, written.len - 2});
        if (reference.variable != REPLY_VARIABLES)
            continue;
        for (unsigned i = 0; i < REPLY_VARIABLES; i++)
            config_near_try(&near, reply_variable_name((enum reply_variable)i), false);
        config_error_at(doc, node, (size_t)(written.ptr - doc->text.ptr), written.len,
                        "no value has the name %s%s", config_quote(written).text,
                        config_suggestion(&near).text);
    }
}

static void check_template(struct config_doc *doc, const struct config_node *node)
{
    if (node->kind == CONFIG_KIND_STRING)
        check_references(doc, node, node->token);
    CONFIG_EACH(child, node)
    {
        if (child->key_token.ptr != NULL)
            check_references(doc, child, child->key_token);
        check_template(doc, child);
    }
}

static void check_dialect(struct config_doc *doc, const struct config_node *node, void *base)
{
    const struct reply_dialect_conf *dialect = base;
    const struct config_node *template = config_find(node, "template");
    if (template != NULL)
        check_template(doc, template);
    if (dialect->template_json.len > REPLY_TEMPLATE_MAX)
        config_error(doc, template, "at most %d bytes are allowed", REPLY_TEMPLATE_MAX);
}

static const struct config_table dialect_table = {
    .title = "A dialect of error bodies",
    .noun = "dialect",
    CONFIG_ROWS_OF(dialect_rows),
    .size = sizeof(struct reply_dialect_conf),
    .has_name = true,
    .name_offset = offsetof(struct reply_dialect_conf, name),
    .pairs = dialect_pairs,
    .pair_count = sizeof(dialect_pairs) / sizeof(dialect_pairs[0]),
    .check = check_dialect,
};

static const struct config_directive errors_rows[] = {
    {.key = "default",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct reply_errors_conf, fallback),
     .fallback = "\"apig\"",
     .min = 1,
     .max = 64,
     .doc = "The dialect of routes that name none, and of errors before a route is known: `apig`, "
            "`iva`, "
            "`modelarts`, `as`, `as-otc`, `img`, `openstack`, `problem`, `text`, or one of "
            "`dialects`."},
    {.key = "accept",
     .type = CONFIG_BOOL,
     CONFIG_AT(struct reply_errors_conf, with_xml),
     .fallback = "false",
     .doc = "Whether a client whose Accept prefers application/xml gets the same members as XML."},
    {.key = "dialects",
     .type = CONFIG_MAP,
     CONFIG_AT(struct reply_errors_conf, dialects),
     .max = 256,
     .absent = "none",
     .nested = &dialect_table,
     .doc = "Dialects of your own, by name."},
};

const struct config_table REPLY_CONF_ERRORS = {
    .title = "Error bodies",
    .noun = "errors",
    CONFIG_ROWS_OF(errors_rows),
    .size = sizeof(struct reply_errors_conf),
};
