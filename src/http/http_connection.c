/* SPDX-License-Identifier: Apache-2.0 */
/* http_connection.c - the options of Connection. */
#include "http/http_connection.h"

#include "http/http_fields.h"
#include "http/http_framing.h"

bool http_list_next(struct span *rest, struct span *element)
{
    while (rest->len != 0) {
        size_t comma = span_find(*rest, ',');
        *element = span_trim((struct span){rest->ptr, comma});
        size_t gone = comma < rest->len ? comma + 1 : comma;
        rest->ptr += gone;
        rest->len -= gone;
        if (element->len != 0)
            return true;
    }
    return false;
}

/* Adds an option that Sluice knows; false when it is none. */
static bool add_known(struct http_connection *connection, struct span option)
{
    enum http_field_id id = http_field_lookup(option.ptr, option.len);
    if (id != HTTP_FIELD_OTHER) {
        connection->nominated |= HTTP_FIELD_BIT(id);
        return true;
    }
    if (!span_eq_nocase(option, SPAN("close")))
        return false;
    connection->has_close = true;
    return true;
}

/* False when the value is not a list of tokens, or there are too many. */
static bool add_options(struct http_connection *connection, struct span list)
{
    if (add_known(connection, list))
        return true; /* one word: nearly always */
    struct span option;
    while (http_list_next(&list, &option)) {
        if (add_known(connection, option))
            continue;
        if (!http_is_token(option) || connection->other_count == HTTP_CONNECTION_OPTIONS_MAX)
            return false;
        connection->others[connection->other_count++] = option;
    }
    return true;
}

bool http_connection_read(const struct http_head *head, struct http_connection *connection)
{
    connection->has_close = false;
    connection->nominated = 0;
    connection->other_count = 0;

    unsigned from = 0;
    const struct http_field *field;
    while ((field = http_head_next(head, HTTP_FIELD_CONNECTION, &from)) != NULL) {
        if (!add_options(connection, http_field_value(head, field)))
            return false;
        if ((head->repeated & HTTP_FIELD_BIT(HTTP_FIELD_CONNECTION)) == 0)
            break;
    }
    return true;
}

bool http_connection_names(const struct http_head *head, const struct span *names, unsigned count)
{
    struct http_connection connection;
    if (!http_head_has(head, HTTP_FIELD_CONNECTION) || !http_connection_read(head, &connection))
        return false;
    for (unsigned i = 0; i < connection.other_count; i++) {
        for (unsigned k = 0; k < count; k++) {
            if (span_eq_nocase(connection.others[i], names[k]))
                return true;
        }
    }
    return false;
}
