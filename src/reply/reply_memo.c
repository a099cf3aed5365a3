/* SPDX-License-Identifier: Apache-2.0 */
/* reply_memo.c - takes: a refusal by a quota.  Gives: its body, written anew only when it says something else than the
 * one before.  A flood over a limit gets the same body again and again but for the request's id: only
 * that is written again.  Never: keeps a body in which more than the id may change. */
#include <assert.h>

#include "base/base_fmt.h"
#include "reply/reply.h"
#include "reply/reply_template.h"

static bool is_kept(const struct reply_memo *memo, const struct reply_template *template,
                    uint32_t generation, const struct reply_error *error)
{
    const struct quota_decision *decision = error->decision;
    return memo->template == template && memo->generation == generation &&
           memo->limit == decision->limit && memo->window == decision->window &&
           memo->quota == error->charges[decision->charge].quota;
}

static struct span write_anew(char *out, const struct reply_template *template,
                              struct reply_error *error, struct reply_ids *ids)
{
    char message[REPLY_MESSAGE_MAX];
    char *end = reply_throttle_message(message, error->decision, error->charges);
    error->message = (struct span){message, (size_t)(end - message)};
    end = reply_template_write(out, template, error, ids);
    error->message = SPAN_NONE;
    return (struct span){out, (size_t)(end - out)};
}

struct span reply_refusal_body(struct reply_memo *memo, uint32_t generation, char *room,
                               const struct reply_body_dialect *dialect, bool prefers_xml,
                               struct reply_error *error, struct span *type)
{
    const struct reply_body *body = prefers_xml && dialect->has_xml ? &dialect->xml : &dialect->own;
    const struct reply_template *template = &body->throttled;
    assert(error->id == REPLY_ERROR_THROTTLED && error->decision != NULL);
    *type = body->content_type;
    if (!error->decision->has_binding || !template->is_steady)
        return write_anew(room, template, error, NULL);
    if (!is_kept(memo, template, generation, error)) {
        memo->template = NULL;
        struct span text = write_anew(room, template, error, &memo->ids);
        if (text.len > sizeof(memo->body) || memo->ids.count > REPLY_IDS_MAX)
            return text;
        memcpy(memo->body, text.ptr, text.len);
        memo->len = (uint32_t)text.len;
        memo->template = template;
        memo->generation = generation;
        memo->limit = error->decision->limit;
        memo->window = error->decision->window;
        memo->quota = error->charges[error->decision->charge].quota;
    }
    for (unsigned i = 0; i < memo->ids.count; i++)
        memcpy(memo->body + memo->ids.at[i], error->request_id, REPLY_ID_BYTES);
    return (struct span){memo->body, memo->len};
}
