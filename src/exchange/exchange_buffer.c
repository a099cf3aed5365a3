/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_buffer.c - a request's body is read before a server is asked, where its route says so, so that a client that
 * sends slowly holds no connection to one.  Takes: the body as it comes.  Gives: the whole of it, or its begin once it
 * is more than the route buffers; then the same again, piece by piece, to whoever sends it.  Never: reads a body whose length says
 * that it is too long to be read whole. */
#include <stdlib.h>
#include <string.h>

#include "exchange/exchange_private.h"
#include "http/http_write.h"

#define BUFFER_READS       4 /* of 64 KiB a turn */
#define BUFFER_FIRST_BYTES 4096

/* ---- memory ---- */

/* Of chunks it is known that they are too much only when the last read has been made. */
static size_t buffer_most_bytes(const struct exchange *x)
{
    return x->framing.kind == HTTP_BODY_LENGTH ? (size_t)x->framing.length_bytes
                                               : x->route->buffer_bytes + LOOP_SCRATCH_BYTES;
}

/* END_OK: there is room for so many bytes more, counted for the whole process. */
static enum exchange_end buffer_make_room(struct exchange *x, size_t bytes)
{
    struct exchange_buffered *buffered = x->buffered;
    const size_t most = buffer_most_bytes(x), needed = buffered->len + bytes;
    if (needed <= buffered->size)
        return END_OK;
    size_t size = buffered->size == 0 ? BUFFER_FIRST_BYTES : buffered->size * 2;
    if (size > most)
        size = most;
    if (size < needed)
        size = needed;
    const uint64_t more = size - buffered->size;
    if (atomic_fetch_add(x->env->body_bytes, more) + more >
        x->snapshot->plan->limits.body_budget_bytes) {
        atomic_fetch_sub(x->env->body_bytes, more);
        return END_BODY_MEMORY;
    }
    char *room = realloc(buffered->bytes, size);
    if (room == NULL) {
        atomic_fetch_sub(x->env->body_bytes, more);
        return END_SHED;
    }
    buffered->bytes = room;
    buffered->size = size;
    return END_OK;
}

static enum exchange_end buffer_keep(struct exchange *x, struct span data)
{
    struct exchange_buffered *buffered = x->buffered;
    if (buffered->len + data.len > x->snapshot->plan->limits.body_max_bytes)
        return END_TOO_LARGE;
    enum exchange_end end = buffer_make_room(x, data.len);
    if (end != END_OK)
        return end;
    memcpy(buffered->bytes + buffered->len, data.ptr, data.len);
    buffered->len += data.len;
    return END_OK;
}

/* How long the body was waited for; nothing where it had come with the head. */
static void buffer_note_time(struct exchange *x)
{
    x->buffer_us = x->env->loop->mono_us - x->buffered->began_us;
}

void exchange_drop_buffered(struct exchange *x)
{
    struct exchange_buffered *buffered = x->buffered;
    if (buffered->state == EXCHANGE_BUFFER_READS)
        buffer_note_time(x);
    x->buffered = NULL;
    atomic_fetch_sub(x->env->body_bytes, buffered->size);
    free(buffered->bytes);
}

/* ---- BUFFER ---- */

static bool buffer_begin(struct exchange *x)
{
    struct exchange_buffered *buffered = arena_take(&x->arena, sizeof(*buffered));
    if (buffered == NULL)
        return false;
    *buffered = (struct exchange_buffered){.began_us = x->env->loop->mono_us};
    x->buffered = buffered;
    return true;
}

/* Nobody else tells this client to go on: no server has been asked (RFC 9110 section 10.1.1).  It need not be told once it
 * has begun.  True: it is waited for from now on, told or (without memory for that) not. */
static bool buffer_say_continue(struct exchange *x)
{
    if (!exchange_holds_body(x))
        return false;
    x->is_body_due = true;
    char *out = x->ops->begin_head(x->client, 100, http_status_reason(100), 0);
    if (out == NULL)
        return true;
    const struct exchange_response response = {.fields = {out, 0}, .is_interim = true};
    x->ops->send_head(x->client, &response);
    x->ops->flush(x->client);
    return true;
}

static enum step_result buffer_end(struct exchange *x, enum exchange_buffering state)
{
    buffer_note_time(x);
    x->buffered->state = state;
    return STEP_NEXT;
}

static enum step_result buffer_is_whole(struct exchange *x, struct span trailers)
{
    if (!exchange_judge_trailers(x, trailers))
        return exchange_fail(x, exchange_end_of_fault(x->fault.id));
    x->buffered->trailers = trailers;
    return buffer_end(x, EXCHANGE_BUFFER_WHOLE);
}

/* Not inlined: its frame would burden requests without a body. */
static __attribute__((noinline)) enum step_result buffer_body(struct exchange *x)
{
    const uint64_t most_bytes = x->route->buffer_bytes;
    if (x->framing.kind == HTTP_BODY_LENGTH &&
        (x->framing.length_bytes == 0 || x->framing.length_bytes > most_bytes))
        return STEP_NEXT;
    if (x->buffered == NULL && !buffer_begin(x))
        return exchange_fail(x, END_SHED);
    for (unsigned i = 0; i < BUFFER_READS; i++) {
        struct span data;
        enum exchange_end end = END_OK;
        switch (x->ops->read_body(x->client, &data, &x->fault, &x->arena)) {
        case EXCHANGE_BODY_WAIT:
            if (!buffer_say_continue(x))
                return STEP_WAIT;
            break; /* from here on it is waited for: look again */
        case EXCHANGE_BODY_DATA:
            end = buffer_keep(x, data);
            break;
        case EXCHANGE_BODY_DONE:
            return buffer_is_whole(x, data);
        case EXCHANGE_BODY_BAD:
            end = exchange_end_of_fault(x->fault.id);
            break;
        case EXCHANGE_BODY_GONE:
            end = END_CLIENT_ABORT;
            break;
        }
        if (end != END_OK) { /* others can use its memory while the rest is read away */
            exchange_drop_buffered(x);
            return exchange_fail(x, end);
        }
        if (x->buffered->len > most_bytes)
            return buffer_end(x, EXCHANGE_BUFFER_BEGIN);
    }
    loop_task_schedule(x->env->loop, &x->task);
    return STEP_WAIT;
}

enum step_result exchange_step_buffer(struct exchange *x)
{
    return x->request_done || x->route->buffer_bytes == 0 ? STEP_NEXT : buffer_body(x);
}

/* ---- sending it ---- */

/* The last piece was handed over before this is called again, so what was read can go. */
enum exchange_body exchange_read_buffered(struct exchange *x, struct span *data)
{
    struct exchange_buffered *buffered = x->buffered;
    const size_t left = buffered->len - buffered->sent;
    if (left != 0) {
        *data = (struct span){buffered->bytes + buffered->sent,
                              left < LOOP_SCRATCH_BYTES ? left : LOOP_SCRATCH_BYTES};
        buffered->sent += data->len;
        return EXCHANGE_BODY_DATA;
    }
    if (buffered->state != EXCHANGE_BUFFER_WHOLE) {
        exchange_drop_buffered(x);
        return x->ops->read_body(x->client, data, &x->fault, &x->arena);
    }
    *data = buffered->trailers;
    if (!x->was_reused || x->is_retry || x->response_begun || !exchange_is_replayable(x))
        exchange_drop_buffered(x);
    return EXCHANGE_BODY_DONE;
}

void exchange_rewind_buffered(struct exchange *x)
{
    x->buffered->sent = 0;
    x->body_bytes = 0;
    x->request_done = false;
}
