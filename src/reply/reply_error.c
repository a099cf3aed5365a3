/* SPDX-License-Identifier: Apache-2.0 */
/* reply_error.c - takes: a row of reply_errors.def.  Gives: its status and its body.  Never: lets a byte of
 * a name, message or id stand in the body unescaped. */
#include "reply/reply.h"

#include <assert.h>

#include "base/base_fmt.h"

static const struct {
    uint16_t status;
    struct span number, message;
} rows[REPLY_ERRORS] = {
#define REPLY_ERROR(id, status, number, message)                                                   \
    [REPLY_ERROR_##id] = {status, {number, sizeof(number) - 1}, {message, sizeof(message) - 1}},
#include "reply/reply_errors.def"
#undef REPLY_ERROR
};

const struct reply_body_dialect REPLY_APIG = {{"APIG", 4}};

uint16_t reply_error_status(enum reply_error_id id)
{
    assert(id < REPLY_ERRORS);
    return rows[id].status;
}

#define PREFIX_MAX 128 /* bytes that each of them may take in the body, escapes included */
#define ID_MAX     192
#define MESSAGE_MAX                                                                                \
    (REPLY_BODY_MAX - PREFIX_MAX - ID_MAX -                                                        \
     sizeof("{\"error_code\":\".0000\",\"error_msg\":\"\",\"request_id\":\"\"}"))

/* A text that is too long is cut: a body is whole JSON, whatever the configuration says. */
static char *put_text(char *out, struct span text, size_t max)
{
    bool is_cut = false, has_bytes = false;
    return fmt_json_text(out, out + max, text, &is_cut, &has_bytes);
}

char *reply_error_body(char *out, const struct reply_body_dialect *dialect,
                       const struct reply_error *error)
{
    assert(error->id < REPLY_ERRORS && rows[error->id].number.len == 4);
    struct span message = error->message.len != 0 ? error->message : rows[error->id].message;
    out = FMT_LIT(out, "{\"error_code\":\"");
    out = put_text(out, dialect->prefix, PREFIX_MAX);
    *out++ = '.';
    out = fmt_span(out, rows[error->id].number);
    out = FMT_LIT(out, "\",\"error_msg\":\"");
    out = put_text(out, message, MESSAGE_MAX);
    if (error->request_id.len != 0) {
        out = FMT_LIT(out, "\",\"request_id\":\"");
        out = put_text(out, error->request_id, ID_MAX);
    }
    return FMT_LIT(out, "\"}");
}
