/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_books.h - the books of all windows: what the lines say was charged to each subject in each window.  Bounded:
 * LOGTOOL_BOOKS_MAX windows of subjects, some 450 MiB when all are taken; beyond it ERR_LIMIT. */
#ifndef SLUICE_LOGTOOL_BOOKS_H
#define SLUICE_LOGTOOL_BOOKS_H

#include "base/base_err.h"
#include "base/base_hash.h"

#define LOGTOOL_BOOKS_MAX 8000000

/* One window of one subject of one quota. */
struct logtool_book {
    uint32_t subject, start_s;
    uint16_t series, domain; /* which quota and window; whose memory counts */
    uint32_t limit;          /* the highest that let something pass */
    uint64_t kept;           /* charged and not given back; without what costs added later */
    uint64_t late;           /* given back by lines that are younger than the window */
    uint32_t added;          /* by costs that were told by a response */
    uint32_t local;          /* charged without the store */
    uint32_t refused, near;  /* requests that were refused, or at 80 % of the limit and more */
};

/* Owner: whoever embeds it.  All zeroes is an empty one. */
struct logtool_books {
    struct hash_key key;
    uint32_t *places; /* number + 1; 0: free */
    uint32_t mask, count;
    struct logtool_book **chunks;
};

/* The book of this window; all its sums are 0 when it is made. */
MUST_USE enum err logtool_books_take(struct logtool_books *books, const struct logtool_book *of,
                                     struct logtool_book **book);
struct logtool_book *logtool_books_at(const struct logtool_books *books, uint32_t number);
void logtool_books_fini(struct logtool_books *books);

#endif
