/* SPDX-License-Identifier: Apache-2.0 */
/* http_fields.h - names to numbers, in line for the head parser.  Only for this module; http_head.h
 * has the public side. */
#ifndef SLUICE_HTTP_FIELDS_H
#define SLUICE_HTTP_FIELDS_H

#include <string.h>

#include "http/http_head.h"

#define HTTP_FIELD_NAME_MAX    21
#define HTTP_FIELD_SAME_LENGTH 6

/* A name in lower case as numbers: its first and its last bytes, which overlap in a short name.  Two
 * names of one length up to 16 are equal when these are; of a longer one bytes 8 to 15 are in
 * HTTP_FIELD_MIDDLES. */
struct http_field_words {
    uint64_t first, last;
};

extern const struct http_field_words HTTP_FIELD_WORDS[HTTP_FIELDS];
extern const uint64_t HTTP_FIELD_MIDDLES[HTTP_FIELDS];

/* The ids whose names have this many bytes, ended by HTTP_FIELD_OTHER. */
extern const uint8_t HTTP_FIELDS_BY_LENGTH[HTTP_FIELD_NAME_MAX + 1][HTTP_FIELD_SAME_LENGTH + 1];

/* Setting bit 5 makes letters lower case and leaves the other bytes of the known names as they are;
 * but for controls no other byte becomes one of theirs by it. */
#define HTTP_FIELD_LOWER UINT64_C(0x2020202020202020)

static inline uint64_t http_field_load(const char *at, size_t bytes)
{
    uint64_t word = 0;
    memcpy(&word, at, bytes); /* bytes is a constant: one load */
    return word | HTTP_FIELD_LOWER;
}

/* As http_field_id_of, for a name without control bytes: a token, or (a part of) a field's value. */
static inline __attribute__((always_inline)) enum http_field_id http_field_lookup(const char *name,
                                                                                  size_t len)
{
    if (len - 2 > HTTP_FIELD_NAME_MAX - 2)
        return HTTP_FIELD_OTHER;
    const uint8_t *id = HTTP_FIELDS_BY_LENGTH[len];
    if (*id == HTTP_FIELD_OTHER)
        return HTTP_FIELD_OTHER;

    uint64_t first, last;
    if (len >= 8) {
        first = http_field_load(name, 8);
        last = http_field_load(name + len - 8, 8);
    } else if (len >= 4) {
        first = http_field_load(name, 4);
        last = http_field_load(name + len - 4, 4);
    } else {
        first = http_field_load(name, 2);
        last = http_field_load(name + len - 2, 2);
    }
    for (; *id != HTTP_FIELD_OTHER; id++) {
        const struct http_field_words *known = &HTTP_FIELD_WORDS[*id];
        if (known->first == first && known->last == last &&
            (len <= 16 || HTTP_FIELD_MIDDLES[*id] == http_field_load(name + 8, 8)))
            break;
    }
    return (enum http_field_id) * id;
}

/* Is there no HTAB around the value?  RFC 9110 section 5.6.3 allows it and some servers take it for a
 * part of the value, which must not happen to a field that frames or routes. */
bool http_field_is_plain(const struct http_head *head, const struct http_field *field);

/* Does the name become a known one when "_" is read as "-"?  CGI, WSGI and their kin give both to a
 * program under one name, so a client could put words into the mouth of the proxy. */
bool http_field_is_alias(struct span name);

#endif
