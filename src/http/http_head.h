/* SPDX-License-Identifier: Apache-2.0 */
/* http_head.h - one message head, parsed strictly.  Takes: bytes.  Gives: slices into those bytes and
 * facts.  Never repairs, never allocates, never reads past `len`.  RFC 9112 sections 2 to 5; what is
 * doubtful there is refused here (bare CR or LF, obs-fold, space before colon, empty names, control
 * bytes). */
#ifndef SLUICE_HTTP_HEAD_H
#define SLUICE_HTTP_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_span.h"

enum http_field_id {
    HTTP_FIELD_OTHER,
#define FIELD(id, name) HTTP_FIELD_##id,
#include "http/http_fields.def"
#undef FIELD
    HTTP_FIELDS /* at most 64: sets of them are bit masks */
};

#define HTTP_FIELD_BIT(id) (UINT64_C(1) << (id))

enum http_method {
    HTTP_METHOD_OTHER,
    HTTP_METHOD_GET,
    HTTP_METHOD_HEAD,
    HTTP_METHOD_POST,
    HTTP_METHOD_PUT,
    HTTP_METHOD_DELETE,
    HTTP_METHOD_PATCH,
    HTTP_METHOD_OPTIONS,
    HTTP_METHOD_TRACE,
    HTTP_METHOD_CONNECT,
};

struct http_slice {
    uint32_t off, len; /* from http_head.base */
};

/* One field line.  Slices, so that a head can be copied elsewhere by changing base alone. */
struct http_field {
    uint32_t name_off;  /* also where the line begins */
    uint32_t value_off; /* without white space at both ends */
    uint32_t value_len;
    uint16_t name_len;
    uint8_t id; /* enum http_field_id */
};

/* Borrows the bytes at base and the array at fields; both are the caller's. */
struct http_head {
    const char *base;
    uint32_t bytes;                   /* the whole head with its last CRLF CRLF */
    uint32_t fields_off;              /* where the first field line begins */
    struct http_slice method, target; /* requests */
    uint32_t query_at;                /* in the target: its first "?"; its length: it has none */
    struct http_slice reason;         /* responses; may be empty */
    uint16_t status;                  /* responses: 100..599 */
    uint8_t method_id;                /* enum http_method */
    uint8_t minor;                    /* of HTTP/1.x: 0 or 1 */
    bool has_underscore;              /* in the name of a field */
    uint16_t field_count, field_max;
    struct http_field *fields;
    uint64_t present;            /* HTTP_FIELD_BIT of every known field that occurs */
    uint64_t repeated;           /* ... that occurs more than once */
    uint16_t first[HTTP_FIELDS]; /* index of the first field with this id, where present has it */
};

struct http_head_limits {
    uint32_t line_max_bytes;  /* request or status line */
    uint32_t field_max_bytes; /* one field line */
    uint32_t head_max_bytes;  /* all field lines together */
    uint32_t field_max;       /* how many; at most head.field_max */
};

enum http_parse {
    HTTP_PARSE_OK,
    HTTP_PARSE_INCOMPLETE,
    HTTP_PARSE_BAD, /* see struct http_fault */
};

/* Every reason a message is refused; rows of http_faults.def: name, status for a request, sentence. */
enum http_fault_id {
    HTTP_FAULT_NONE,
#define FAULT(id, status, sentence) HTTP_FAULT_##id,
#include "http/http_faults.def"
#undef FAULT
    HTTP_FAULTS
};

struct http_fault {
    enum http_fault_id id;
    uint32_t offset; /* of the offending byte from the head's first byte */
};

uint16_t http_fault_status(enum http_fault_id id);  /* 400, 414, 431, 501, 505 */
const char *http_fault_name(enum http_fault_id id); /* "bare_lf", for logs */
const char *http_fault_sentence(enum http_fault_id id);

/* Parse a head that begins at buf.  The caller sets head->fields and head->field_max.  INCOMPLETE
 * when no end of head lies within len and no limit is passed yet; a fault that shows before the end
 * is told at once.  Call again with the same bytes and more, perhaps elsewhere; `scanned` (0 at first,
 * kept by the caller) lets the search for the end go on where it stopped, and is 0 again after OK.
 * Nothing else has to be kept between the calls.  How the bytes were cut does not change the verdict.
 * field_max is judged when the whole head is there.
 *
 * A known field whose name is spelled with "_" for "-" is BAD_FIELD_NAME in requests: CGI and its kin
 * give both spellings to a program under one name.
 * A target may have any visible ASCII byte but "\"", "#", "<" and ">".  RFC 3986 allows fewer, but
 * browsers send "|", "{", "}", "^", "`", "[", "]" and "\\" as they are in queries; none of them ends
 * a target anywhere.  http_target_parse and http_path_judge refuse more by place.
 * Line lengths are counted without CRLF, head_max_bytes with all CRLFs but the last. */
enum http_parse http_head_parse_request(struct http_head *head, const char *buf, size_t len,
                                        size_t *scanned, const struct http_head_limits *limits,
                                        struct http_fault *fault);
enum http_parse http_head_parse_response(struct http_head *head, const char *buf, size_t len,
                                         size_t *scanned, const struct http_head_limits *limits,
                                         struct http_fault *fault);

/* The twin that takes no more than every machine of its kind has; what the tests compare with. */
enum http_parse http_head_parse_request_portable(struct http_head *head, const char *buf,
                                                 size_t len, size_t *scanned,
                                                 const struct http_head_limits *limits,
                                                 struct http_fault *fault);

/* How many bytes of an empty line lie before a request line: 2 or 0 (RFC 9112 section 2.2).  Call
 * once; a second empty line is then a BAD_REQUEST_LINE. */
size_t http_head_skip_crlf(const char *buf, size_t len);

/* One field line alone, for trailers: begins at buf[off], *next is where the next begins. */
enum http_parse http_head_parse_field(const char *buf, size_t len, size_t off,
                                      struct http_field *field, size_t *next,
                                      struct http_fault *fault);

static inline struct span http_head_span(const struct http_head *head, struct http_slice slice)
{
    return (struct span){head->base + slice.off, slice.len};
}

static inline struct span http_field_name(const struct http_head *head, const struct http_field *f)
{
    return (struct span){head->base + f->name_off, f->name_len};
}

static inline struct span http_field_value(const struct http_head *head, const struct http_field *f)
{
    return (struct span){head->base + f->value_off, f->value_len};
}

static inline bool http_head_has(const struct http_head *head, enum http_field_id id)
{
    return (head->present & HTTP_FIELD_BIT(id)) != 0;
}

/* The first field with this id, NULL when there is none. */
static inline const struct http_field *http_head_first(const struct http_head *head,
                                                       enum http_field_id id)
{
    return http_head_has(head, id) ? &head->fields[head->first[id]] : NULL;
}

/* The first field with this id at or after *from (0 at first), NULL when there is none; *from moves
 * behind it. */
const struct http_field *http_head_next(const struct http_head *head, enum http_field_id id,
                                        unsigned *from);

/* The same by name, for names that the configuration gives.  id as from http_field_id_of(name). */
const struct http_field *http_head_next_named(const struct http_head *head, enum http_field_id id,
                                              struct span name, unsigned *from);

/* The field of this name that stands there exactly once; NULL: none does, or several.  Arguments as above. */
const struct http_field *http_head_only(const struct http_head *head, enum http_field_id id,
                                        struct span name);

/* Give every field whose name begins with `prefix`, and which has no id, this one, so that it can be dropped with one
 * bit. */
void http_head_mark(struct http_head *head, struct span prefix, enum http_field_id id);

enum http_field_id http_field_id_of(struct span name);

/* Are two names one for CGI, WSGI and their kin, which write "-" as "_"?  And do they differ nevertheless? */
bool http_field_names_alike(struct span a, struct span b);
bool http_field_names_clash(struct span a, struct span b);
enum http_method http_method_of(struct span method);

bool http_is_token(struct span text); /* RFC 9110 section 5.6.2, at least one byte */
/* May it stand in a field line as the value, and is it read there as it is (RFC 9110 section 5.5)?  No control bytes but
 * HTAB, no white space at either end.  Nothing is a value too. */
bool http_is_value(struct span text);

#endif
