/* SPDX-License-Identifier: Apache-2.0 */
/* config_doc.c - takes: a file's bytes.  Gives: the tree, or the first fault that makes the rest
 * unreadable.  Never: keeps the second of two equal keys. */
#include "config/config_doc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/base_map.h"
#include "config/config_blank.h"
#include "config/config_scan.h"
#include "config/config_utf8.h"

#define DOC_ARENA_BYTES_MAX ((size_t)256 << 20)
#define POINTER_BYTES_MAX   1024
#define MESSAGE_BYTES_MAX   768

/* The JSON pointer (RFC 6901) of a node; a very long one loses its middle. */
struct pointer {
    char text[POINTER_BYTES_MAX];
    size_t len;
};

static void pointer_add(struct pointer *pointer, const struct config_node *node)
{
    char *out = pointer->text + pointer->len, *end = pointer->text + sizeof(pointer->text) - 8;
    if (out + 24 >= end)
        return;
    *out++ = '/';
    if (node->key_token.ptr == NULL) {
        out += snprintf(out, 16, "%u", node->index);
        pointer->len = (size_t)(out - pointer->text);
        return;
    }
    for (size_t i = 0; i < node->key.len && out < end;) {
        struct span rest = {node->key.ptr + i, node->key.len - i};
        size_t step = config_utf8_step(rest);
        unsigned char c = (unsigned char)*rest.ptr;
        i += step;
        if (c == '~' || c == '/') {
            *out++ = '~';
            *out++ = c == '~' ? '0' : '1';
        } else if (c < 0x20 || c == 0x7f || c == 0xc2) {
            *out++ = '?';
        } else if (out + step < end) {
            memcpy(out, rest.ptr, step);
            out += step;
        }
    }
    pointer->len = (size_t)(out - pointer->text);
}

static void pointer_of(struct pointer *pointer, const struct config_node *node)
{
    const struct config_node *path[CONFIG_DEPTH_MAX + 1];
    unsigned depth = 0;
    pointer->len = 0;
    for (; node != NULL && node->parent != NULL && depth <= CONFIG_DEPTH_MAX; node = node->parent)
        path[depth++] = node;
    while (depth > 0)
        pointer_add(pointer, path[--depth]);
}

struct message {
    char text[MESSAGE_BYTES_MAX];
};

/* Formats `format` and what follows it; a function of its own cannot take the arguments on. */
#define FORMAT(message, format)                                                                    \
    do {                                                                                           \
        va_list args_;                                                                             \
        va_start(args_, format);                                                                   \
        vsnprintf((message).text, sizeof((message).text), format, args_);                          \
        va_end(args_);                                                                             \
    } while (0)

static void tell(struct config_doc *doc, enum config_severity severity,
                 const struct config_node *node, size_t off, size_t len,
                 const struct message *message)
{
    struct pointer pointer;
    if (doc->report->is_out_of_memory)
        return; /* what could not be read is not wrong */
    pointer_of(&pointer, node);
    if (off > doc->raw.len)
        off = doc->raw.len;
    if (len > doc->raw.len - off)
        len = doc->raw.len - off;
    config_report_add(doc->report, severity, off, len, (struct span){pointer.text, pointer.len},
                      span_of(message->text));
}

static size_t offset_of(const struct config_doc *doc, const char *at)
{
    uintptr_t begin = (uintptr_t)doc->text.ptr, here = (uintptr_t)at;
    bool is_inside = here >= begin && here <= begin + doc->text.len;
    /* A default of the tables has no fault. */
    assert(is_inside || doc->report->is_out_of_memory);
    return is_inside ? (size_t)(here - begin) : 0;
}

void config_error(struct config_doc *doc, const struct config_node *value, const char *format, ...)
{
    struct message message;
    FORMAT(message, format);
    tell(doc, CONFIG_ERROR, value, offset_of(doc, value->token.ptr), value->token.len, &message);
}

void config_key_error(struct config_doc *doc, const struct config_node *value, const char *format,
                      ...)
{
    struct span token = value->key_token.ptr == NULL ? value->token : value->key_token;
    struct message message;
    FORMAT(message, format);
    tell(doc, CONFIG_ERROR, value, offset_of(doc, token.ptr), token.len, &message);
}

void config_missing_error(struct config_doc *doc, const struct config_node *object,
                          const char *format, ...)
{
    struct message message;
    FORMAT(message, format);
    tell(doc, CONFIG_ERROR, object, offset_of(doc, object->token.ptr), 1, &message);
}

void config_warning(struct config_doc *doc, const struct config_node *value, const char *format,
                    ...)
{
    bool is_container = value->kind == CONFIG_KIND_OBJECT || value->kind == CONFIG_KIND_ARRAY;
    struct message message;
    FORMAT(message, format);
    tell(doc, CONFIG_WARNING, value, offset_of(doc, value->token.ptr),
         is_container ? 1 : value->token.len, &message);
}

void config_error_at(struct config_doc *doc, const struct config_node *inside, size_t off,
                     size_t len, const char *format, ...)
{
    struct message message;
    FORMAT(message, format);
    tell(doc, CONFIG_ERROR, inside, off, len, &message);
}

void config_out_of_memory(struct config_doc *doc)
{
    doc->report->is_out_of_memory = true;
}

unsigned config_line_of(const struct config_doc *doc, const char *at)
{
    unsigned line = 1;
    for (const char *p = doc->text.ptr; p < at; p++)
        line += *p == '\n';
    return line;
}

struct config_quoted config_found(const struct config_node *value)
{
    static const char *const names[] = {
        [CONFIG_KIND_OBJECT] = "an object",   [CONFIG_KIND_ARRAY] = "an array",
        [CONFIG_KIND_STRING] = "the string ", [CONFIG_KIND_NUMBER] = "the number ",
        [CONFIG_KIND_TRUE] = "true",          [CONFIG_KIND_FALSE] = "false",
        [CONFIG_KIND_NULL] = "null",
    };
    struct config_quoted found;
    const char *name = names[value->kind];
    if (value->kind == CONFIG_KIND_STRING) {
        struct span inside = {value->token.ptr + 1, value->token.len - 2};
        snprintf(found.text, sizeof(found.text), "%s%.80s", name, config_quote(inside).text);
    } else if (value->kind == CONFIG_KIND_NUMBER) {
        snprintf(found.text, sizeof(found.text), "%s%.*s", name,
                 value->token.len > 40 ? 40 : (int)value->token.len, value->token.ptr);
    } else {
        snprintf(found.text, sizeof(found.text), "%s", name);
    }
    return found;
}

/* Size, NUL, byte order mark, UTF-8.  True when the text can be read. */
static bool check_bytes(struct config_doc *doc)
{
    struct span raw = doc->raw;
    if (raw.len > CONFIG_BYTES_MAX) {
        config_error_at(doc, NULL, 0, 0, "the file is larger than 16 MiB");
        return false;
    }
    if (span_starts_with(raw, SPAN("\xef\xbb\xbf"))) {
        config_error_at(doc, NULL, 0, 3,
                        "the file begins with a byte order mark; save it without one");
        return false;
    }
    for (size_t i = 0; i < raw.len;) {
        unsigned char c = (unsigned char)raw.ptr[i];
        size_t step = c < 0x80 ? 1 : config_utf8_len((struct span){raw.ptr + i, raw.len - i});
        if (c == 0) {
            config_error_at(doc, NULL, i, 1, "a NUL byte");
            return false;
        }
        if (step == 0) {
            config_error_at(doc, NULL, i, 1,
                            "the byte 0x%02x is not UTF-8 (is the file saved in "
                            "another encoding?)",
                            c);
            return false;
        }
        i += step;
    }
    return true;
}

static void check_duplicates_of(struct config_doc *doc, struct config_node *object)
{
    struct map seen;
    map_init(&seen);
    for (struct config_node *child = object->first; child != NULL; child = child->next) {
        enum err err = map_add(&seen, child->key, child);
        if (err == ERR_NOMEM) {
            config_out_of_memory(doc);
            break;
        }
        if (err == ERR_OK)
            continue;
        const struct config_node *before = map_find(&seen, child->key);
        child->is_duplicate = true;
        if (doc->report->errors >= CONFIG_NOTES_MAX)
            continue; /* nobody reads on; counting lines would take long */
        config_key_error(doc, child, "the key %s is given twice, first in line %u",
                         config_quote(child->key).text, config_line_of(doc, before->key_token.ptr));
    }
    map_fini(&seen);
}

static void check_duplicates(struct config_doc *doc, struct config_node *node)
{
    if (node->kind == CONFIG_KIND_OBJECT && node->child_count > 1)
        check_duplicates_of(doc, node);
    for (struct config_node *child = node->first; child != NULL; child = child->next)
        check_duplicates(doc, child);
}

void config_doc_init(struct config_doc *doc, struct config_report *report, struct span raw)
{
    *doc = (struct config_doc){.report = report, .raw = raw};
    arena_init(&doc->arena, NULL, 0, DOC_ARENA_BYTES_MAX);
    if (!check_bytes(doc))
        return;

    char *copy = arena_take(&doc->arena, raw.len + 1);
    size_t fault_off = 0;
    if (copy == NULL) {
        config_out_of_memory(doc);
        return;
    }
    if (raw.len != 0)
        memcpy(copy, raw.ptr, raw.len);
    copy[raw.len] = '\0';
    doc->text = (struct span){copy, raw.len};
    if (!config_blank(copy, raw.len, &fault_off)) {
        config_error_at(doc, NULL, fault_off, 2, "this comment has no end (*/)");
        return;
    }
    if (strspn(copy, " \t\r\n") == raw.len) {
        config_error_at(doc, NULL, 0, 0, "the file is empty");
        return;
    }
    doc->root = config_scan(doc, doc->text);
    if (doc->root == NULL)
        return;
    if (doc->root->kind != CONFIG_KIND_OBJECT) {
        config_error(doc, doc->root, "the configuration is an object: { ... }");
        doc->root = NULL;
        return;
    }
    check_duplicates(doc, doc->root);
}

void config_doc_fini(struct config_doc *doc)
{
    arena_fini(&doc->arena);
}

const struct config_node *config_doc_fallback(struct config_doc *doc, const char *json)
{
    unsigned node_count = doc->node_count;
    doc->node_count = 0;
    const struct config_node *node = config_scan(doc, span_of(json));
    doc->node_count = node_count;
    assert(node != NULL || doc->report->is_out_of_memory);
    return node;
}

const struct config_node *config_find(const struct config_node *object, const char *key)
{
    struct span wanted = span_of(key);
    if (object == NULL || object->kind != CONFIG_KIND_OBJECT)
        return NULL;
    CONFIG_EACH(child, object)
    {
        if (!child->is_duplicate && span_eq(child->key, wanted))
            return child;
    }
    return NULL;
}
