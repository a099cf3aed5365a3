/* SPDX-License-Identifier: Apache-2.0 */
/* http_write.c - kept lines are copied in runs; a dropped line ends a run. */
#include "http/http_write.h"

#include <string.h>

#include "http/http_connection.h"

#define BIT(id) HTTP_FIELD_BIT(HTTP_FIELD_##id)

/* RFC 9110 section 7.6.1, and those of RFC 2616 section 13.5.1 and RFC 9113 section 3.2.1 that still
 * occur.  Trailer is not among them since RFC 9110: trailers are forwarded. */
const uint64_t HTTP_HOP_BY_HOP = BIT(CONNECTION) | BIT(KEEP_ALIVE) | BIT(PROXY_CONNECTION) |
                                 BIT(PROXY_AUTHENTICATE) | BIT(PROXY_AUTHORIZATION) | BIT(TE) |
                                 BIT(UPGRADE) | BIT(HTTP2_SETTINGS);

/* Nominating these in Connection does not remove them: the other side could not find the end of the
 * body, or not know whom it is for. */
#define NEVER_NOMINATED (BIT(CONTENT_LENGTH) | BIT(TRANSFER_ENCODING) | BIT(HOST))

static bool is_among(struct span name, const struct span *names, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (span_eq_nocase(name, names[i]))
            return true;
    return false;
}

char *http_write_fields(char *out, const struct http_head *head, uint64_t drop,
                        const struct span *also, unsigned also_count)
{
    struct http_connection connection;
    connection.nominated = 0;
    connection.other_count = 0;
    if (http_head_has(head, HTTP_FIELD_CONNECTION))
        (void)http_connection_read(head, &connection);
    drop |= HTTP_HOP_BY_HOP | (connection.nominated & ~NEVER_NOMINATED);
    drop &= ~HTTP_FIELD_BIT(HTTP_FIELD_OTHER);

    const bool has_names = also_count != 0 || connection.other_count != 0;
    uint32_t run = head->fields_off;
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        bool dropped = (drop & HTTP_FIELD_BIT(field->id)) != 0;
        if (!dropped && has_names) {
            struct span name = http_field_name(head, field);
            dropped = is_among(name, also, also_count) ||
                      is_among(name, connection.others, connection.other_count);
        }
        if (!dropped)
            continue;
        memcpy(out, head->base + run, field->name_off - run);
        out += field->name_off - run;
        run = i + 1U < head->field_count ? head->fields[i + 1].name_off : head->bytes - 2;
    }
    uint32_t end = head->bytes - 2;
    memcpy(out, head->base + run, end - run);
    return out + (end - run);
}

struct span http_status_reason(unsigned status)
{
    static const struct span CLASSES[] = {{"Informational", 13},
                                          {"Success", 7},
                                          {"Redirection", 11},
                                          {"Client Error", 12},
                                          {"Server Error", 12}};
    switch (status) {
#define STATUS(code, reason)                                                                       \
    case code:                                                                                     \
        return SPAN(reason);
#include "http/http_statuses.def"
#undef STATUS
    default:
        if (status < 100 || status > 599)
            return SPAN("");
        return CLASSES[status / 100 - 1];
    }
}

bool http_connection_has(const struct http_head *head, struct span option)
{
    unsigned from = 0;
    const struct http_field *field;
    while ((field = http_head_next(head, HTTP_FIELD_CONNECTION, &from)) != NULL) {
        struct span rest = http_field_value(head, field), element;
        while (http_list_next(&rest, &element))
            if (span_eq_nocase(element, option))
                return true;
    }
    return false;
}
