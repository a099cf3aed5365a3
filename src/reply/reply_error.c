/* SPDX-License-Identifier: Apache-2.0 */
/* reply_error.c - takes: a row of reply_errors.def and a dialect.  Gives: the row's status and its body.  Never:
 * lets a byte of a name, message or id stand in the body unescaped. */
#include "reply/reply.h"

#include <assert.h>

#include "base/base_fmt.h"
#include "reply/reply_rows.h"
#include "reply/reply_template.h"

static const struct {
    uint16_t status;
    char number[REPLY_NUMBER_BYTES + 1];
    struct span message;
} rows[REPLY_ERRORS] = {
#define REPLY_ERROR(id, status, number, message)                                                   \
    [REPLY_ERROR_##id] = {status, number, {message, sizeof(message) - 1}},
#include "reply/reply_errors.def"
#undef REPLY_ERROR
};

uint16_t reply_error_status(enum reply_error_id id)
{
    assert(id < REPLY_ERRORS);
    return rows[id].status;
}

const char *reply_error_number(enum reply_error_id id)
{
    return rows[id].number;
}

struct span reply_error_message(enum reply_error_id id)
{
    return rows[id].message;
}

char *reply_error_body(char *out, const struct reply_body_dialect *dialect, bool prefers_xml,
                       const struct reply_error *error, struct span *type)
{
    assert(error->id < REPLY_ERRORS);
    const struct reply_body *body = prefers_xml && dialect->has_xml ? &dialect->xml : &dialect->own;
    *type = body->content_type;
    return reply_template_write(
        out, error->id == REPLY_ERROR_THROTTLED ? &body->throttled : &body->plain, error, NULL);
}
