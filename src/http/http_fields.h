/* SPDX-License-Identifier: Apache-2.0 */
/* http_fields.h - names to numbers, in line for the head parser.  Only for this module; http_head.h
 * has the public side. */
#ifndef SLUICE_HTTP_FIELDS_H
#define SLUICE_HTTP_FIELDS_H

#include <string.h>

#include "http/http_head.h"

#define HTTP_FIELD_NAME_MAX 21

/* A name in lower case as numbers: its first and its last bytes, which overlap in a short name, and bytes 8 to 15
 * of one that is longer than 16.  Two names of one length are equal when these are. */
struct http_field_name {
    uint64_t first, last, middle;
    uint64_t len;
};

extern const struct http_field_name HTTP_FIELD_NAMES[HTTP_FIELDS];

/* The one id that a name of this length with these last two letters can have.  Most names that
 * have none of the ids come to an empty slot (measured: 15 instructions less per field than comparing with all of one
 * length). */
#define HTTP_FIELD_SLOTS               256
#define HTTP_FIELD_SLOT(len, last_two) ((((last_two)*231U >> 8) + (len)*2U) % HTTP_FIELD_SLOTS)
struct http_field_slot {
    uint8_t id, len; /* len 0: none */
};
extern const struct http_field_slot HTTP_FIELD_BY_SLOT[HTTP_FIELD_SLOTS];

/* Setting bit 5 makes letters lower case and leaves the other bytes of the known names as they are;
 * but for controls no other byte becomes one of theirs by it. */
#define HTTP_FIELD_LOWER UINT64_C(0x2020202020202020)

static inline uint64_t http_field_load(const char *at, size_t bytes)
{
    uint64_t word = 0;
    memcpy(&word, at, bytes); /* bytes is a constant: one load */
    return word | HTTP_FIELD_LOWER;
}

static inline unsigned http_field_last_two(const char *at)
{
    uint16_t two;
    memcpy(&two, at, 2);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    two = __builtin_bswap16(two);
#endif
    return two | 0x2020U;
}

/* As http_field_id_of, for a name without control bytes: a token, or (a part of) a field's value. */
static inline __attribute__((always_inline)) enum http_field_id http_field_lookup(const char *name,
                                                                                  size_t len)
{
    if (len < 2)
        return HTTP_FIELD_OTHER;
    const unsigned at = HTTP_FIELD_SLOT((unsigned)len, http_field_last_two(name + len - 2));
    const struct http_field_slot *slot = &HTTP_FIELD_BY_SLOT[at];
    if (slot->len != len)
        return HTTP_FIELD_OTHER;
    const struct http_field_name *known = &HTTP_FIELD_NAMES[slot->id];
    if (len >= 8) {
        if (known->first != http_field_load(name, 8) ||
            known->last != http_field_load(name + len - 8, 8) ||
            (len > 16 && known->middle != http_field_load(name + 8, 8)))
            return HTTP_FIELD_OTHER;
    } else if (len >= 4) {
        if (known->first != http_field_load(name, 4) ||
            known->last != http_field_load(name + len - 4, 4))
            return HTTP_FIELD_OTHER;
    } else if (known->first != http_field_load(name, 2) ||
               known->last != http_field_load(name + len - 2, 2)) {
        return HTTP_FIELD_OTHER;
    }
    return (enum http_field_id)slot->id;
}

/* Notes in present, repeated and first that the field with this index has its id. */
void http_head_count(struct http_head *head, unsigned index);

/* Is there no HTAB around the value?  RFC 9110 section 5.6.3 allows it and some servers take it for a
 * part of the value, which must not happen to a field that frames or routes. */
bool http_field_is_plain(const struct http_head *head, const struct http_field *field);

/* Does the name become a known one when "_" is read as "-"?  CGI, WSGI and their kin give both to a
 * program under one name, so a client could put words into the mouth of the proxy. */
bool http_field_is_alias(struct span name);

#endif
