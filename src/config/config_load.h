/* SPDX-License-Identifier: Apache-2.0 */
/* config_load.h - from nodes to structs by the tables.  Takes: a read file.  Gives: the filled structs
 * and every fault in the report.  Opens no file: secrets come through the caller's reader. */
#ifndef SLUICE_CONFIG_LOAD_H
#define SLUICE_CONFIG_LOAD_H

#include "config/config_doc.h"
#include "config/config_near.h"
#include "config/config_table.h"

/* Fetch a secret's file; false and a sentence in why when it cannot be had. */
typedef bool (*config_read_fn)(void *arg, struct span name, struct span *text, char why[256]);

/* A secret that was met. */
struct config_secret {
    size_t off; /* of its value in the file */
    struct span value;
    struct config_secret *next;
};

struct config_load {
    struct config_doc *doc;
    struct arena *arena; /* of the values; outlives the doc */
    config_read_fn read; /* NULL: secrets in files are refused */
    void *arg;
    struct config_secret *secrets;
};

void config_load_init(struct config_load *load, struct config_doc *doc, struct arena *arena,
                      config_read_fn read, void *arg);

/* Fill the zeroed struct at base from the object (NULL: from defaults alone). */
void config_load_table(struct config_load *load, const struct config_table *table,
                       const struct config_node *node, void *base);

/* The row of a key, through merged tables; NULL when the table has none.  *owner is the table that
 * the row stands in, *offset where its struct begins (both may be NULL). */
const struct config_directive *config_row(const struct config_table *table, struct span key,
                                          size_t *offset);

/* Every row of the table, those of merged tables in place of their MERGE row. */
struct config_rows {
    struct {
        const struct config_table *table;
        unsigned next;
        size_t offset;
        const char *when; /* of the merging row */
    } stack[4];
    unsigned depth;
    size_t offset;    /* of the row last given: where its struct begins */
    const char *when; /* of the row last given */
};
struct config_rows config_rows_of(const struct config_table *table);
const struct config_directive *config_rows_next(struct config_rows *rows);

/* The value of the table's "type", for rows with `when`; NULL when the table has no such rows or the
 * value is none of its words. */
const char *config_selected(const struct config_table *table, const struct config_node *node);

/* Does the row's word stand for the whole list or map? */
bool config_is_word(const struct config_directive *row, const struct config_node *node);

/* An object that has no defaults of its own when it is not in the file. */
static inline bool config_may_be_absent(const struct config_directive *row)
{
    return (row->flags & (CONFIG_OPTIONAL | CONFIG_INHERITED)) != 0;
}

/* ` (did you mean "x"?)`, or nothing. */
struct config_quoted config_suggestion(const struct config_near *near);

/* The text of a string node; an error and empty when it is something else. */
struct span config_text(struct config_load *load, const struct config_node *node);

/* A number with the unit of the type, as it would be written in a file: "30s", "64KiB". */
struct config_quoted config_amount_text(enum config_type type, uint64_t value);

#endif
