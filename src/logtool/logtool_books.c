/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_books.c - see logtool_books.h.  Books lie in chunks that never move; places are found by a keyed hash. */
#include "logtool/logtool_books.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/base_rng.h"

#define CHUNK      65536u
#define CHUNKS_MAX (LOGTOOL_BOOKS_MAX / CHUNK + 1)
#define FIRST_ROOM 4096u

static uint64_t hash_of(const struct logtool_books *books, const struct logtool_book *of)
{
    uint64_t who = (uint64_t)of->subject << 32 | of->start_s;
    uint64_t what = (uint64_t)of->series << 16 | of->domain;
    return hash_fold(hash_fold(who ^ books->key.k0, what ^ books->key.k1) ^ books->key.k0,
                     books->key.k1);
}

static bool is_same(const struct logtool_book *a, const struct logtool_book *b)
{
    return a->subject == b->subject && a->start_s == b->start_s && a->series == b->series &&
           a->domain == b->domain;
}

struct logtool_book *logtool_books_at(const struct logtool_books *books, uint32_t number)
{
    return &books->chunks[number / CHUNK][number % CHUNK];
}

static enum err places_grow(struct logtool_books *books)
{
    uint32_t room = books->places == NULL ? FIRST_ROOM : 2 * (books->mask + 1);
    uint32_t *places = calloc(room, sizeof(*places));
    if (places == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < books->count; i++) {
        uint32_t at = (uint32_t)hash_of(books, logtool_books_at(books, i)) & (room - 1);
        while (places[at] != 0)
            at = (at + 1) & (room - 1);
        places[at] = i + 1;
    }
    free(books->places);
    books->places = places;
    books->mask = room - 1;
    return ERR_OK;
}

/* Room for one more. */
static enum err reserve(struct logtool_books *books)
{
    if (books->count == LOGTOOL_BOOKS_MAX)
        return ERR_LIMIT;
    if (books->chunks == NULL) {
        rng_secret(&books->key, sizeof(books->key));
        books->chunks = calloc(CHUNKS_MAX, sizeof(*books->chunks));
        if (books->chunks == NULL)
            return ERR_NOMEM;
    }
    struct logtool_book **chunk = &books->chunks[books->count / CHUNK];
    if (*chunk == NULL)
        *chunk = malloc(CHUNK * sizeof(**chunk));
    if (*chunk == NULL)
        return ERR_NOMEM;
    bool is_full = books->places == NULL || books->count >= (books->mask + 1) / 2;
    return is_full ? places_grow(books) : ERR_OK;
}

static uint32_t place_of(const struct logtool_books *books, const struct logtool_book *of)
{
    uint32_t at = (uint32_t)hash_of(books, of) & books->mask;
    while (books->places[at] != 0 && !is_same(logtool_books_at(books, books->places[at] - 1), of))
        at = (at + 1) & books->mask;
    return at;
}

enum err logtool_books_take(struct logtool_books *books, const struct logtool_book *of,
                            struct logtool_book **book)
{
    if (books->places != NULL) {
        uint32_t found = books->places[place_of(books, of)];
        if (found != 0) {
            *book = logtool_books_at(books, found - 1);
            return ERR_OK;
        }
    }
    enum err err = reserve(books);
    if (err != ERR_OK)
        return err;
    *book = logtool_books_at(books, books->count);
    **book = (struct logtool_book){
        .subject = of->subject, .start_s = of->start_s, .series = of->series, .domain = of->domain};
    books->places[place_of(books, of)] = ++books->count;
    return ERR_OK;
}

void logtool_books_fini(struct logtool_books *books)
{
    for (unsigned i = 0; books->chunks != NULL && i < CHUNKS_MAX; i++)
        free(books->chunks[i]);
    free(books->chunks);
    free(books->places);
    *books = (struct logtool_books){0};
}
