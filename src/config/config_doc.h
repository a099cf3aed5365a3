/* SPDX-License-Identifier: Apache-2.0 */
/* config_doc.h - one file read as JSON: a tree of values that know where they stand.  Takes: bytes.
 * Gives: nodes, and every fault in the report.  Refuses what parsers let through: keys given twice,
 * NUL, bytes that are not UTF-8, more than 32 levels, text behind the end.  Never decodes a value that
 * nobody asks for. */
#ifndef SLUICE_CONFIG_DOC_H
#define SLUICE_CONFIG_DOC_H

#include <stdint.h>

#include "base/base_arena.h"
#include "base/base_err.h"
#include "base/base_span.h"
#include "config/config_report.h"

#define CONFIG_BYTES_MAX ((size_t)16 << 20)
#define CONFIG_DEPTH_MAX 32
#define CONFIG_NODES_MAX 500000u

enum config_kind {
    CONFIG_KIND_OBJECT,
    CONFIG_KIND_ARRAY,
    CONFIG_KIND_STRING,
    CONFIG_KIND_NUMBER,
    CONFIG_KIND_TRUE,
    CONFIG_KIND_FALSE,
    CONFIG_KIND_NULL,
};

/* One value.  Owner: the doc.  Thread: the doc's. */
struct config_node {
    enum config_kind kind;
    bool is_duplicate; /* its key was given before; nobody reads it */
    unsigned index;    /* among its siblings */
    unsigned child_count;
    struct span token;     /* as written, brackets and quotation marks included */
    struct span key_token; /* with quotation marks; ptr NULL for items of arrays */
    struct span key;       /* decoded */
    struct config_node *parent, *first, *last, *next;
};

/* Owner: whoever embeds it.  Freed by: config_doc_fini.  Thread: the owner's. */
struct config_doc {
    struct config_report *report; /* borrowed */
    struct arena arena;           /* nodes and decoded keys */
    struct span raw;              /* the file as it is, borrowed */
    struct span text;             /* without comments and trailing commas */
    struct config_node *root;     /* NULL: not even JSON */
    unsigned node_count;
};

/* Reads the whole text; look at report->errors for what was wrong.  root is an object or NULL. */
void config_doc_init(struct config_doc *doc, struct config_report *report, struct span raw);
void config_doc_fini(struct config_doc *doc);

/* A value that is not in the file: a default as the tables spell it.  NULL when out of memory. */
const struct config_node *config_doc_fallback(struct config_doc *doc, const char *json);

/* The member of an object, NULL when there is none or the node is no object. */
const struct config_node *config_find(const struct config_node *object, const char *key);

#define CONFIG_EACH(child, node)                                                                   \
    for (const struct config_node *child = (node) == NULL ? NULL : (node)->first; child != NULL;   \
         child = child->next)

/* Say what is wrong with the value, with its key, or with the place where a value is missing (the
 * object's first bracket). */
void config_error(struct config_doc *doc, const struct config_node *value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void config_key_error(struct config_doc *doc, const struct config_node *value, const char *format,
                      ...) __attribute__((format(printf, 3, 4)));
void config_missing_error(struct config_doc *doc, const struct config_node *object,
                          const char *format, ...) __attribute__((format(printf, 3, 4)));
void config_warning(struct config_doc *doc, const struct config_node *value, const char *format,
                    ...) __attribute__((format(printf, 3, 4)));
/* At a place of the file that is no value. */
void config_error_at(struct config_doc *doc, const struct config_node *inside, size_t off,
                     size_t len, const char *format, ...) __attribute__((format(printf, 5, 6)));
void config_out_of_memory(struct config_doc *doc);

/* The line of a byte of the text, from 1. */
unsigned config_line_of(const struct config_doc *doc, const char *at);

/* "the number 5", "an object": what was found, for messages. */
struct config_quoted config_found(const struct config_node *value);

#endif
