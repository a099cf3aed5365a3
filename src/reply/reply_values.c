/* SPDX-License-Identifier: Apache-2.0 */
/* reply_values.c - takes: a compiled template and an error.  Gives: the body.  Never: looks anything up twice,
 * allocates, or writes more than the template was said to need. */
#include <assert.h>

#include "base/base_fmt.h"
#include "http/http_write.h"
#include "reply/reply_escape.h"
#include "reply/reply_rows.h"
#include "reply/reply_template.h"

/* A body while it is written. */
struct writing {
    const struct reply_error *error;
    enum reply_escape escape;
    bool is_whole;
};

static const size_t MAX_BYTES[REPLY_VARIABLES] = {
#define VARIABLE(id, name, form, max) [REPLY_VARIABLE_##id] = (max),
#include "reply/reply_variables.def"
#undef VARIABLE
};

static char *put_text(const struct writing *writing, char *out, struct span text,
                      enum reply_variable variable)
{
    return reply_put_escaped(out, out + MAX_BYTES[variable], text, writing->escape);
}

/* A number that is not known is null where a value must stand, and nothing inside a text. */
static char *put_number(const struct writing *writing, char *out, uint64_t number, bool is_known)
{
    if (is_known)
        return fmt_u64(out, number);
    bool is_json = writing->is_whole && writing->escape == REPLY_ESCAPE_JSON;
    return is_json ? FMT_LIT(out, "null") : out;
}

static bool has_binding(const struct writing *writing)
{
    const struct quota_decision *decision = writing->error->decision;
    return decision != NULL && (decision->has_binding || decision->in_flight != NULL);
}

/* All slots of this quota are taken; NULL: a window refused, or something else did. */
static const struct quota *full_quota(const struct writing *writing)
{
    const struct quota_decision *decision = writing->error->decision;
    return decision != NULL ? decision->in_flight : NULL;
}

static const struct quota *binding_quota(const struct writing *writing)
{
    if (full_quota(writing) != NULL)
        return full_quota(writing);
    return writing->error->charges[writing->error->decision->charge].quota;
}

/* Behind the prefix, which is a part of the literal. */
static inline char *put_CODE(const struct writing *writing, char *out)
{
    memcpy(out, reply_error_number(writing->error->id), REPLY_NUMBER_BYTES);
    return out + REPLY_NUMBER_BYTES;
}

static inline char *put_MESSAGE(const struct writing *writing, char *out)
{
    struct span message = writing->error->message;
    if (message.len == 0)
        message = reply_error_message(writing->error->id);
    return put_text(writing, out, message, REPLY_VARIABLE_MESSAGE);
}

static inline char *put_REQUEST_ID(const struct writing *writing, char *out)
{
    memcpy(out, writing->error->request_id, REPLY_ID_BYTES);
    return out + REPLY_ID_BYTES;
}

static char *put_STATUS(const struct writing *writing, char *out)
{
    return fmt_u64(out, reply_error_status(writing->error->id));
}

static char *put_TITLE(const struct writing *writing, char *out)
{
    return put_text(writing, out, http_status_reason(reply_error_status(writing->error->id)),
                    REPLY_VARIABLE_TITLE);
}

static char *put_QUOTA(const struct writing *writing, char *out)
{
    if (!has_binding(writing))
        return out;
    return put_text(writing, out, binding_quota(writing)->name, REPLY_VARIABLE_QUOTA);
}

static char *put_LIMIT(const struct writing *writing, char *out)
{
    bool is_known = has_binding(writing);
    return put_number(writing, out, is_known ? writing->error->decision->limit : 0, is_known);
}

static char *put_WINDOW(const struct writing *writing, char *out)
{
    if (!has_binding(writing))
        return out;
    if (full_quota(writing) != NULL)
        return FMT_LIT(out, "in flight");
    const struct quota_limit *limit =
        &binding_quota(writing)->limits[writing->error->decision->window];
    return out + quota_window_text(out, limit, false);
}

static char *put_REMAINING(const struct writing *writing, char *out)
{
    bool is_known = has_binding(writing);
    return put_number(writing, out, is_known ? writing->error->decision->remaining : 0, is_known);
}

static char *put_RETRY_AFTER(const struct writing *writing, char *out)
{
    uint32_t retry_after_s = writing->error->retry_after_s;
    return put_number(writing, out, retry_after_s, retry_after_s != 0);
}

/* Around each policy of a list, and between two. */
static const struct {
    struct span begin, end, first, between, last;
} lists[] = {
    [REPLY_ESCAPE_NONE] = {SPAN(""), SPAN(""), SPAN(""), SPAN(", "), SPAN("")},
    [REPLY_ESCAPE_JSON] = {SPAN("\""), SPAN("\""), SPAN("["), SPAN(","), SPAN("]")},
    [REPLY_ESCAPE_XML] = {SPAN("<item>"), SPAN("</item>"), SPAN(""), SPAN(""), SPAN("")},
};

/* One policy of a list, whose name is no longer than REPLY_POLICY_MAX. */
static char *put_policy(const struct writing *writing, char *out, const char *end,
                        struct span policy, bool is_first)
{
    enum reply_escape form = writing->is_whole ? writing->escape : REPLY_ESCAPE_NONE;
    out = is_first ? out : fmt_span(out, lists[form].between);
    out = fmt_span(out, lists[form].begin);
    out = reply_put_escaped(out, end, policy, writing->escape);
    return fmt_span(out, lists[form].end);
}

/* "quota/in_flight", as the log's "refused_by" says it. */
static char *put_full(const struct writing *writing, char *out, const char *end)
{
    char name[REPLY_POLICY_MAX];
    struct span quota = full_quota(writing)->name;
    if (quota.len > REPLY_POLICY_NAME_MAX)
        quota.len = REPLY_POLICY_NAME_MAX;
    char *at = FMT_LIT(fmt_span(name, quota), "/in_flight");
    return put_policy(writing, out, end, (struct span){name, (size_t)(at - name)}, true);
}

/* The windows that refused, as the log's "refused_by" and the RateLimit fields call them. */
static char *put_POLICIES(const struct writing *writing, char *out)
{
    const struct reply_error *error = writing->error;
    const char *end = out + MAX_BYTES[REPLY_VARIABLE_POLICIES];
    enum reply_escape form = writing->is_whole ? writing->escape : REPLY_ESCAPE_NONE;
    bool is_first = true;
    out = fmt_span(out, lists[form].first);
    if (full_quota(writing) != NULL)
        out = put_full(writing, out, end);
    for (unsigned i = 0; i < error->charge_count; i++) {
        const struct quota_charge *charge = &error->charges[i];
        for (unsigned w = 0; w < charge->quota->limit_count && !charge->is_skipped; w++) {
            char name[REPLY_POLICY_MAX];
            if (!charge->readings[w].refused)
                continue;
            if (end - out < 6 * REPLY_POLICY_MAX + 32)
                break;
            struct span policy = {name, (size_t)(reply_policy_name(name, charge, w) - name)};
            out = put_policy(writing, out, end, policy, is_first);
            is_first = false;
        }
    }
    return fmt_span(out, lists[form].last);
}

static inline void note_id(struct reply_ids *ids, size_t at)
{
    if (ids == NULL)
        return;
    if (ids->count < REPLY_IDS_MAX)
        ids->at[ids->count] = (uint16_t)at;
    ids->count++;
}

char *reply_template_write(char *out, const struct reply_template *template,
                           const struct reply_error *error, struct reply_ids *ids)
{
    const char *begin = out;
    if (ids != NULL)
        ids->count = 0;
    static char *(*const writers[REPLY_VARIABLES])(const struct writing *, char *) = {
#define VARIABLE(id, name, form, max) [REPLY_VARIABLE_##id] = put_##id,
#include "reply/reply_variables.def"
#undef VARIABLE
    };
    struct writing writing = {.error = error, .escape = template->escape};
    const struct reply_part *last = &template->parts[template->count - 1];
    for (const struct reply_part *part = template->parts; part < last; part++) {
        out = fmt_span(out, part->before);
        writing.is_whole = part->is_whole;
        switch (part->variable) { /* what nearly every body has, without a call */
        case REPLY_VARIABLE_CODE:
            out = put_CODE(&writing, out);
            break;
        case REPLY_VARIABLE_REQUEST_ID:
            note_id(ids, (size_t)(out - begin));
            out = put_REQUEST_ID(&writing, out);
            break;
        default:
            out = writers[part->variable](&writing, out);
        }
    }
    return fmt_span(out, last->before);
}
