/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_names.c - see logtool_names.h.  Texts lie in blocks that never move. */
#include "logtool/logtool_names.h"

#include <stdlib.h>

#include "base/base_rng.h"

#define BLOCK_BYTES (1u << 20)
#define FIRST_ROOM  1024

struct logtool_name {
    uint64_t hash;
    const char *text;
    uint32_t len;
};

struct logtool_names_block {
    struct logtool_names_block *before;
    char text[];
};

static bool name_is(const struct logtool_name *name, uint64_t hash, struct span text)
{
    return name->hash == hash && span_eq((struct span){name->text, name->len}, text);
}

/* Where the text is, or would be. */
static uint32_t place_of(const struct logtool_names *names, uint64_t hash, struct span text)
{
    uint32_t at = (uint32_t)hash & names->mask;
    while (names->places[at] != 0 && !name_is(&names->names[names->places[at] - 1], hash, text))
        at = (at + 1) & names->mask;
    return at;
}

static enum err grow(struct logtool_names *names)
{
    uint32_t room = names->room == 0 ? FIRST_ROOM : 2 * names->room, mask = 2 * room - 1;
    struct logtool_name *kept = realloc(names->names, room * sizeof(*kept));
    if (kept == NULL)
        return ERR_NOMEM;
    names->names = kept;
    uint32_t *places = calloc((size_t)mask + 1, sizeof(*places));
    if (places == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < names->count; i++) {
        uint32_t at = (uint32_t)kept[i].hash & mask;
        while (places[at] != 0)
            at = (at + 1) & mask;
        places[at] = i + 1;
    }
    free(names->places);
    names->places = places;
    names->mask = mask;
    names->room = room;
    return ERR_OK;
}

static const char *keep(struct logtool_names *names, struct span text)
{
    if (text.len > names->block_left || names->block == NULL) {
        size_t bytes = text.len > BLOCK_BYTES / 4 ? text.len : BLOCK_BYTES;
        struct logtool_names_block *block = malloc(sizeof(*block) + bytes);
        if (block == NULL)
            return NULL;
        block->before = names->block;
        names->block = block;
        names->block_left = bytes;
        names->text_bytes += bytes;
    }
    /* Filled from its end, so that its begin needs no other number. */
    names->block_left -= text.len;
    char *at = names->block->text + names->block_left;
    if (text.len != 0)
        memcpy(at, text.ptr, text.len);
    return at;
}

enum err logtool_names_take(struct logtool_names *names, struct span text, uint32_t *number)
{
    if (names->room == 0)
        rng_secret(&names->key, sizeof(names->key));
    if (text.len == 0)
        text = SPAN("");
    uint64_t hash = hash_sip64(names->key, text.ptr, text.len);
    if (names->places != NULL) {
        uint32_t found = names->places[place_of(names, hash, text)];
        if (found != 0) {
            *number = found - 1;
            return ERR_OK;
        }
    }
    if (names->count == LOGTOOL_NAMES_MAX || names->text_bytes > LOGTOOL_NAMES_TEXT_BYTES)
        return ERR_LIMIT;
    bool is_full = names->places == NULL || names->count == names->room;
    enum err err = is_full ? grow(names) : ERR_OK;
    const char *kept = err == ERR_OK ? keep(names, text) : NULL;
    if (kept == NULL)
        return ERR_NOMEM;
    names->names[names->count] =
        (struct logtool_name){.hash = hash, .text = kept, .len = (uint32_t)text.len};
    names->places[place_of(names, hash, text)] = names->count + 1;
    *number = names->count++;
    return ERR_OK;
}

uint32_t logtool_names_find(const struct logtool_names *names, struct span text)
{
    if (names->places == NULL)
        return UINT32_MAX;
    if (text.len == 0)
        text = SPAN("");
    uint64_t hash = hash_sip64(names->key, text.ptr, text.len);
    return names->places[place_of(names, hash, text)] - 1;
}

struct span logtool_names_text(const struct logtool_names *names, uint32_t number)
{
    return (struct span){names->names[number].text, names->names[number].len};
}

void logtool_names_fini(struct logtool_names *names)
{
    for (struct logtool_names_block *block = names->block, *before; block != NULL; block = before) {
        before = block->before;
        free(block);
    }
    free(names->places);
    free(names->names);
    *names = (struct logtool_names){0};
}
