/* SPDX-License-Identifier: Apache-2.0 */
/* record_usual.c - takes: a line that was written in full, and where its pieces begin.  Gives: its frame, for the next
 * line of the same. */
#include "record/record_usual.h"

#define INTRO_TEXT(minor, method)                                                                  \
    "\",\"proto\":\"HTTP/1." minor "\",\"method\":\"" method "\",\"host\":\""
#define INTRO(minor, method)                                                                       \
    {                                                                                              \
        INTRO_TEXT(minor, method), sizeof(INTRO_TEXT(minor, method)) - 1                           \
    }
#define INTROS(minor)                                                                              \
    {                                                                                              \
        [HTTP_METHOD_GET] = INTRO(minor, "GET"), [HTTP_METHOD_HEAD] = INTRO(minor, "HEAD"),        \
        [HTTP_METHOD_POST] = INTRO(minor, "POST"), [HTTP_METHOD_PUT] = INTRO(minor, "PUT"),        \
        [HTTP_METHOD_DELETE] = INTRO(minor, "DELETE"),                                             \
        [HTTP_METHOD_PATCH] = INTRO(minor, "PATCH"),                                               \
        [HTTP_METHOD_OPTIONS] = INTRO(minor, "OPTIONS"),                                           \
        [HTTP_METHOD_TRACE] = INTRO(minor, "TRACE"),                                               \
        [HTTP_METHOD_CONNECT] = INTRO(minor, "CONNECT")                                            \
    }

const struct record_intro record_intros[2][HTTP_METHOD_CONNECT + 1] = {INTROS("0"), INTROS("1")};

/* The piece from `begin` to `end`, or 0 when it has no room. */
static unsigned keep(char *room, size_t size, const char *begin, const char *end)
{
    size_t len = (size_t)(end - begin);
    if (len > size)
        return 0;
    memcpy(room, begin, len);
    return (unsigned)len;
}

void record_usual_learn(const struct record_usual *usual)
{
    const struct record_marks *at = &usual->memo->marks;
    struct record_frame *frame = record_frame_at(usual);
    struct record_tail *tail = record_tail_at(usual);
    if (!at->is_whole || at->subject == NULL || at->used == NULL)
        return;
    tail->of = record_tail_made(usual);
    tail->end_len = keep(tail->end, sizeof(tail->end), at->bytes_out_end, at->times);
    tail->limit_len = keep(tail->limit, sizeof(tail->limit), at->used_end, at->bytes_out);
    if (tail->end_len == 0)
        tail->limit_len = 0;
    *frame = (struct record_frame){0};
    if (usual->server.len > sizeof(frame->server))
        return;
    frame->routing_len = keep(frame->routing, sizeof(frame->routing), at->routing, at->subject);
    frame->window_len = keep(frame->window, sizeof(frame->window), at->subject_end, at->used);
    if (frame->routing_len == 0 || frame->window_len == 0)
        return;
    frame->of = record_frame_made(usual);
    fmt_span(frame->server, usual->server);
}
