/* SPDX-License-Identifier: Apache-2.0 */
/* identity_alias.c - takes: the names that identities are read from, and a head or trailers.  Gives: the field that
 * would put another value beside the one that was counted.  Never: looks at values. */
#include "identity/identity.h"

static bool is_alias(const struct identity_headers *headers, struct span name)
{
    for (unsigned i = 0; i < headers->count; i++) {
        if (http_field_names_clash(headers->names[i], name))
            return true;
    }
    return false;
}

bool identity_names_trailer(const struct identity_headers *headers, struct span trailers)
{
    while (headers->count != 0 && trailers.len != 0) {
        struct span name = {trailers.ptr, span_find(trailers, ':')};
        size_t line_bytes = span_find(trailers, '\n') + 1;
        for (unsigned i = 0; i < headers->count; i++) {
            if (span_eq_nocase(headers->names[i], name) ||
                http_field_names_clash(headers->names[i], name))
                return true;
        }
        trailers.ptr += line_bytes;
        trailers.len -= line_bytes;
    }
    return false;
}

const struct http_field *identity_find_alias(const struct identity_headers *headers,
                                             const struct http_head *head)
{
    if (headers->count == 0 || !(head->has_underscore || headers->has_underscore))
        return NULL;
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (field->id == HTTP_FIELD_OTHER && is_alias(headers, http_field_name(head, field)))
            return field;
    }
    return NULL;
}

const struct http_field *identity_find_taken(const struct identity_headers *headers,
                                             const struct http_head *head)
{
    if (headers->count == 0 || !http_connection_names(head, headers->names, headers->count))
        return NULL;
    return http_head_first(head, HTTP_FIELD_CONNECTION);
}
