/* SPDX-License-Identifier: Apache-2.0 */
/* config_report.h - what is wrong with a file, all of it: errors and warnings with their place.  Takes:
 * sentences and byte ranges.  Gives: text for people and JSON for programs, in the order of the file.
 * Never shows a control byte of the file on a terminal. */
#ifndef SLUICE_CONFIG_REPORT_H
#define SLUICE_CONFIG_REPORT_H

#include <stdbool.h>

#include "base/base_arena.h"
#include "base/base_span.h"

#define CONFIG_NOTES_MAX 1000 /* further ones are only counted */
/* So many faults get a suggestion from among names of the file: a file of thousands must not take seconds to refuse. */
#define CONFIG_NEAR_MAX  50

enum config_severity {
    CONFIG_ERROR,
    CONFIG_WARNING,
};

struct config_note {
    enum config_severity severity;
    unsigned order;  /* of telling: settles ties */
    size_t off, len; /* bytes of the file */
    struct span pointer, message;
};

/* Bytes of the file that are never shown. */
struct config_hidden {
    size_t off, len;
    struct config_hidden *next; /* behind this one */
};

/* Owner: whoever embeds it.  Freed by: config_report_fini.  Thread: the owner's. */
struct config_report {
    struct arena arena;
    struct config_note *notes; /* CONFIG_NOTES_MAX of them; NULL until the first */
    unsigned note_count, errors, warnings;
    unsigned secret_errors; /* of the errors: secrets that could not be had */
    struct config_hidden *hidden, **hidden_end;
    bool is_out_of_memory;
};

void config_report_init(struct config_report *report);
void config_report_fini(struct config_report *report);

/* Both texts are copied. */
void config_report_add(struct config_report *report, enum config_severity severity, size_t off,
                       size_t len, struct span pointer, struct span message);

/* Show these bytes as asterisks.  Called in the order of the file. */
void config_report_hide(struct config_report *report, size_t off, size_t len);

/* "file:line:column: error: /pointer: message", the source line and a caret for each, and a last line
 * with the count; empty when there is nothing to say.  malloc'ed; NULL when out of memory.  Sorts. */
char *config_report_text(struct config_report *report, struct span file_name,
                         struct span file_text);
char *config_report_json(struct config_report *report, struct span file_name,
                         struct span file_text);

/* The text in quotation marks, cut and cleaned for a message. */
struct config_quoted {
    char text[96];
};
struct config_quoted config_quote(struct span text);
/* How many bytes at the beginning of a text may be a user and a password ("redis://user:password@host"); they are not quoted. */
size_t config_credentials(struct span text);

#endif
