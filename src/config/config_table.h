/* SPDX-License-Identifier: Apache-2.0 */
/* config_table.h - directives as rows of tables.  A module declares what may be written in the file and
 * where it goes; loading, defaults, checks, the schema, the dump and the reference page all read these
 * rows, so there is no second list.  Const. */
#ifndef SLUICE_CONFIG_TABLE_H
#define SLUICE_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base_arena.h"
#include "base/base_span.h"

struct config_doc;
struct config_node;
struct config_table;

enum config_type {   /* what is written                        what is stored */
    CONFIG_BOOL,     /* true, false                            bool */
    CONFIG_INTEGER,  /* 5                                      unsigned of 1 to 8 bytes */
    CONFIG_DURATION, /* "250ms"                                uint64_t, microseconds */
    CONFIG_SIZE,     /* "64KiB"                                unsigned of 4 or 8 bytes */
    CONFIG_RATE,     /* "1KiB/s"                               unsigned of 8 bytes */
    CONFIG_TEXT,     /* "text"                                 struct span, or what take makes */
    CONFIG_CHOICE,   /* one of words                           its index, 1 to 4 bytes */
    CONFIG_FLAGS,    /* a list of words                        bit i for word i, 4 bytes */
    CONFIG_SECRET,   /* "text", {"env": N}, {"file": N}, ...   struct span */
    CONFIG_FILE,     /* "name.pem"                             struct span, the file's bytes */
    CONFIG_TEXTS,    /* a list of strings                      what take makes of each */
    CONFIG_AMOUNTS, /* an object of named integers            what take makes of each; for its word a number */
    CONFIG_ANY,    /* any JSON value                         struct span, compact JSON */
    CONFIG_OBJECT, /* an object of the nested table          the table's struct, at offset */
    CONFIG_LIST,   /* a list of such objects                 struct config_items */
    CONFIG_MAP,    /* an object of named such objects        struct config_items */
    CONFIG_MERGE,  /* nothing: rows of the nested table are rows here, at offset */
    CONFIG_LATER,  /* nothing: a key that a later version will know */
};

enum {
    CONFIG_REQUIRED = 1,
    CONFIG_OPTIONAL = 2,   /* an absent object stays absent: its rows get no defaults */
    CONFIG_INHERITED = 4,  /* the same, and what is absent within it is inherited, not a default */
    CONFIG_RELOADABLE = 8, /* though the object that it stands in is not */
    CONFIG_PRIVATE = 16,   /* "***" in dumps; that it has changed is told, not from what to what */
};

/* Two keys that exclude each other, unless they may stand together. */
struct config_pair {
    const char *one, *other;
    bool is_required; /* at least one of the two */
    bool may_both;
};

/* The items of a CONFIG_LIST or CONFIG_MAP, structs of the nested table's size, in file order. */
struct config_items {
    void *items;
    const struct config_node **nodes; /* where each stands */
    unsigned count;
};

/* What a take function is given: one text, for TEXT, TEXTS and AMOUNTS. */
struct config_take {
    void *base; /* the struct of the table that the row stands in */
    struct arena *arena;
    struct span text;      /* in the arena, NUL behind it */
    uint32_t number;       /* AMOUNTS */
    unsigned index, count; /* which of how many; count is right from the first on */
};
/* Store it; NULL, or the sentence that says what is wrong with it. */
typedef const char *(*config_take_fn)(const struct config_take *take);

struct config_directive {
    const char *key; /* "" for MERGE */
    enum config_type type;
    unsigned flags;
    size_t offset, size;  /* CONFIG_AT(struct, member) */
    const char *fallback; /* the default as JSON, NULL: none */
    const char *absent;   /* without fallback: what that means, for the reference ("the address") */
    uint64_t min,
        max; /* of the number, the microseconds, the bytes of a text, the count of a list */
    const char *unit;
    /* Stands for word_value instead of a number ("auto", "unlimited"), or for the whole MAP, which is then empty. */
    const char *word;
    uint64_t word_value;
    const char *const *words; /* of CHOICE and FLAGS; of others: candidates for "did you mean" */
    const char *const *later; /* words that a later version will know */
    const char *pattern; /* of the keys of AMOUNTS beside words; of a TEXT: for the schema alone */
    config_take_fn take;
    const struct config_table *nested;
    const char *when; /* only if the table's "type" has this value */
    const char
        *restart; /* it cannot change in a running process: what takes it over; NULL: reloadable */
    const char *doc; /* one sentence */
};

#define CONFIG_AT(type, member)                                                                    \
    .offset = offsetof(type, member), .size = sizeof(((type *)NULL)->member)

struct config_table {
    const char *title; /* for the reference: "A quota" */
    const char *noun;  /* one item, for the list of changes: "quota" */
    const struct config_directive *rows;
    unsigned count;
    size_t size;   /* of the struct */
    bool has_name; /* MAP: the item's name is stored at name_offset (struct span) */
    size_t name_offset;
    const char *name_key; /* LIST: the key that names an item in the list of changes; or NULL */
    /* An item may be a bare string, an object any other bare value, which stands for this key. */
    const char *short_key;
    /* MAP: an item is no object but a value of this row; the table has no rows of its own. */
    const struct config_directive *item;
    const struct config_pair *pairs;
    unsigned pair_count;
    /* Rules between the keys of one object; all rows are loaded.  May be NULL. */
    void (*check)(struct config_doc *doc, const struct config_node *node, void *base);
};

#define CONFIG_ROWS_OF(array) .rows = (array), .count = sizeof(array) / sizeof((array)[0])

#endif
