/* SPDX-License-Identifier: Apache-2.0 */
/* http_write.c - kept lines are copied in runs; a dropped line ends a run. */
#include "http/http_write.h"

#include <string.h>

#include "base/base_fmt.h"
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
        if (name.len == names[i].len && span_eq_nocase(name, names[i]))
            return true;
    return false;
}

/* What is not kept: ids, names that Connection nominates, and what else is named. */
struct dropped {
    uint64_t ids;
    struct http_connection connection;
    struct http_names names;
};

static bool is_alike(struct span name, struct http_names names)
{
    for (unsigned i = 0; i < names.count; i++)
        if (http_field_names_alike(name, names.names[i]))
            return true;
    return false;
}

static bool is_dropped(const struct dropped *dropped, const struct http_head *head,
                       const struct http_field *field)
{
    if (dropped->ids & HTTP_FIELD_BIT(field->id))
        return true;
    struct span name = http_field_name(head, field);
    return is_among(name, dropped->connection.others, dropped->connection.other_count) ||
           is_alike(name, dropped->names);
}

/* Index of the first field at or after i that is not kept, or the count of fields. */
static unsigned next_dropped(const struct dropped *dropped, const struct http_head *head,
                             unsigned i)
{
    const struct http_field *const fields = head->fields;
    const unsigned count = head->field_count;
    if (dropped->connection.other_count == 0 && dropped->names.count == 0) {
        const uint64_t ids = dropped->ids;
        while (i < count && (ids >> fields[i].id & 1) == 0)
            i++;
        return i;
    }
    while (i < count && !is_dropped(dropped, head, &fields[i]))
        i++;
    return i;
}

static char *write_run(char *out, const struct http_head *head, uint32_t begin, uint32_t end)
{
    memcpy(out, head->base + begin, end - begin);
    return out + (end - begin);
}

static inline __attribute__((always_inline)) char *write_but(char *out,
                                                             const struct http_head *head,
                                                             uint32_t run, uint64_t drop,
                                                             struct http_names names)
{
    struct dropped dropped;
    dropped.names = names;
    dropped.connection.nominated = 0;
    dropped.connection.other_count = 0;
    if (http_head_has(head, HTTP_FIELD_CONNECTION))
        (void)http_connection_read(head, &dropped.connection);
    dropped.ids = (drop | HTTP_HOP_BY_HOP | (dropped.connection.nominated & ~NEVER_NOMINATED)) &
                  ~HTTP_FIELD_BIT(HTTP_FIELD_OTHER);

    const uint32_t end = head->bytes - 2;
    for (unsigned i = 0;; i++) {
        i = next_dropped(&dropped, head, i);
        uint32_t run_end = i < head->field_count ? head->fields[i].name_off : end;
        out = write_run(out, head, run, run_end);
        if (i >= head->field_count)
            return out;
        run = i + 1 < head->field_count ? head->fields[i + 1].name_off : end;
    }
}

/* Not inlined: its frame would burden heads that lose nothing. */
static __attribute__((noinline)) char *write_kept(char *out, const struct http_head *head,
                                                  uint32_t run, uint64_t drop)
{
    return write_but(out, head, run, drop, (struct http_names){NULL, 0});
}

/* From the byte `run` on, which is where a line begins. */
static inline char *write_from(char *out, const struct http_head *head, uint32_t run, uint64_t drop)
{
    if (http_write_keeps_all(head, drop))
        return write_run(out, head, run, head->bytes - 2);
    return write_kept(out, head, run, drop);
}

char *http_write_fields(char *out, const struct http_head *head, uint64_t drop)
{
    return write_from(out, head, head->fields_off, drop);
}

char *http_write_lines(char *out, const struct http_head *head, uint64_t drop)
{
    return write_from(out, head, 0, drop);
}

char *http_write_fields_but(char *out, const struct http_head *head, uint64_t drop,
                            struct http_names names)
{
    return write_but(out, head, head->fields_off, drop, names);
}

char *http_write_trailers_but(char *out, struct span trailers, struct http_names names)
{
    while (trailers.len != 0) {
        const struct span name = {trailers.ptr, span_find(trailers, ':')};
        const size_t line_bytes = span_find(trailers, '\n') + 1;
        if (!is_alike(name, names))
            out = fmt_span(out, (struct span){trailers.ptr, line_bytes});
        trailers.ptr += line_bytes;
        trailers.len -= line_bytes;
    }
    return out;
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
