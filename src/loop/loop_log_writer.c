/* SPDX-License-Identifier: Apache-2.0 */
/* loop_log_writer.c - one pass from rings to targets.  Takes: committed lines.  Gives: blocks of whole,
 * numbered lines, and for what had to be dropped a line that says so.  A pass changes shared memory in
 * one step (struct loop_log_intent), so a kill between any two instructions neither loses nor repeats a
 * line of a file. */
#include <assert.h>
#include <string.h>

#include "base/base_clock.h"
#include "base/base_fmt.h"
#include "base/base_log.h"
#include "base/base_rng.h"
#include "loop/loop_log_private.h"

#define LINE_PREFIX_MAX 64
#define LINE_NOTE_MAX   512 /* our own lines: start, dropped */

/* A pass in the making. */
struct pass {
    struct loop_log *log;
    struct loop_log_shared *shared;
    struct loop_log_intent *intent;
    struct loop_log_boot *boot;
    bool is_full[LOOP_LOG_STREAMS]; /* the block had no room for the next line */
};

static struct loop_log_boot *writer_boot(struct loop_log_shared *shared)
{
    return &shared->boots[atomic_load(&shared->boot_index)];
}

static struct loop_log_out *writer_out(struct loop_log *log, enum loop_log_stream stream)
{
    return &log->outs[log->is_merged ? LOOP_LOG_ACCESS : stream];
}

static enum loop_log_stream writer_stream_of(const struct loop_log *log, unsigned ring)
{
    return ring == log->ring_count + LOOP_LOG_CHILD_ERRORS ||
                   ring == log->ring_count + LOOP_LOG_PARENT_ERRORS
               ? LOOP_LOG_ERROR
               : LOOP_LOG_ACCESS;
}

static uint64_t writer_until(const struct loop_log *log, const struct loop_log_ring *ring)
{
    return log->is_draining_left ? ring->left_until
                                 : atomic_load_explicit(&ring->head, memory_order_acquire);
}

/* In the order of the bits of enum loop_log_why. */
static const struct {
    const char *word;
    enum metrics_id metric;
} WHYS[LOOP_LOG_WHYS] = {
    {"memory_full", METRICS_LOG_DROPPED_MEMORY}, {"target_stalled", METRICS_LOG_DROPPED_STALLED},
    {"disk_full", METRICS_LOG_DROPPED_DISK},     {"cannot_open", METRICS_LOG_DROPPED_OPEN},
    {"write_error", METRICS_LOG_DROPPED_WRITE},  {"no_syslog", METRICS_LOG_DROPPED_SYSLOG},
    {"too_long", METRICS_LOG_DROPPED_TOO_LONG},
};

static unsigned why_index(unsigned why)
{
    assert(why != 0);
    return (unsigned)__builtin_ctz(why);
}

/* Room for a line of max bytes in the block of this target; NULL when it has to wait for the next one. */
static char *pass_room(struct pass *pass, unsigned out, size_t max)
{
    uint32_t len = pass->intent->stage[out].len;
    if (LOOP_LOG_STAGE_BYTES - len < max) {
        pass->is_full[out] = true;
        return NULL;
    }
    return pass->shared->stages[out].data + len;
}

static void pass_took(struct pass *pass, unsigned out, const char *end)
{
    pass->intent->stage[out].len = (uint32_t)(end - pass->shared->stages[out].data);
    pass->intent->stage[out].is_new = true;
}

static char *pass_prefix(struct pass *pass, char *at)
{
    at = FMT_LIT(at, LOOP_LOG_PREFIX);
    memcpy(at, pass->boot->id, LOOP_LOG_BOOT_ID); /* of a known size: no call */
    at = FMT_LIT(at + LOOP_LOG_BOOT_ID, "\",\"seq\":");
    return fmt_u64(at, ++pass->intent->seq);
}

/* The number of this line is skipped. */
static void pass_lose(struct pass *pass, uint64_t lines, unsigned why)
{
    if (lines == 0)
        return;
    if (pass->intent->lost_from == 0)
        pass->intent->lost_from = pass->intent->seq + 1;
    pass->intent->lost_why |= why;
    pass->intent->seq += lines;
    pass->intent->dropped[why_index(why)] += lines;
}

/* A line of the access stream, from behind its number on.  False: no room now. */
static bool pass_numbered(struct pass *pass, struct span line)
{
    struct loop_log_out *out = writer_out(pass->log, LOOP_LOG_ACCESS);
    if (out->state == LOOP_LOG_OUT_OFF)
        return true;
    if (out->state != LOOP_LOG_OUT_READY) {
        pass_lose(pass, 1, out->why);
        return true;
    }
    char *at = pass_room(pass, LOOP_LOG_ACCESS, LINE_PREFIX_MAX + line.len);
    if (at == NULL)
        return false;
    const char *begin = at;
    at = pass_prefix(pass, at);
    at = fmt_span(at, line);
    loop_log_tap_put(&pass->log->tap, (struct span){begin, (size_t)(at - begin)});
    pass->intent->stage[LOOP_LOG_ACCESS].lines++;
    pass_took(pass, LOOP_LOG_ACCESS, at);
    return true;
}

static bool pass_plain(struct pass *pass, struct span line)
{
    struct loop_log_out *out = writer_out(pass->log, LOOP_LOG_ERROR);
    unsigned index = pass->log->is_merged ? LOOP_LOG_ACCESS : LOOP_LOG_ERROR;
    if (out->state == LOOP_LOG_OUT_OFF)
        return true;
    if (out->state != LOOP_LOG_OUT_READY) {
        pass->intent->error_lost++;
        return true;
    }
    char *at = pass_room(pass, index, line.len);
    if (at == NULL)
        return false;
    pass_took(pass, index, fmt_span(at, line));
    return true;
}

static char *note_begin(char *at)
{
    at = FMT_LIT(at, ",\"ts\":\"");
    at = fmt_rfc3339_ms(at, clock_wall_us());
    return FMT_LIT(at, "\",\"event\":\"");
}

static char *note_reasons(char *at, unsigned why)
{
    bool is_first = true;
    at = FMT_LIT(at, ",\"reasons\":[");
    for (unsigned i = 0; i < LOOP_LOG_WHYS; i++) {
        if ((why >> i & 1) == 0)
            continue;
        at = fmt_span(at, is_first ? SPAN("\"") : SPAN(",\""));
        at = fmt_span(at, span_of(WHYS[i].word));
        *at++ = '"';
        is_first = false;
    }
    return FMT_LIT(at, "]}\n");
}

/* Lines are missing: before the next one is written, a line says which. */
static void pass_tell_dropped(struct pass *pass)
{
    char note[LINE_NOTE_MAX], *at = note;
    struct loop_log_intent *intent = pass->intent;
    uint64_t from = intent->lost_from;
    if (from == 0 || writer_out(pass->log, LOOP_LOG_ACCESS)->state != LOOP_LOG_OUT_READY)
        return;
    at = note_begin(at);
    at = FMT_LIT(at, "dropped\",\"n\":");
    at = fmt_u64(at, intent->seq - from + 1);
    at = FMT_LIT(at, ",\"from_seq\":");
    at = note_reasons(fmt_u64(at, from), intent->lost_why);
    uint32_t told_at = intent->stage[LOOP_LOG_ACCESS].len;
    if (pass_numbered(pass, (struct span){note, (size_t)(at - note)})) {
        intent->lost_from = 0;
        intent->stage[LOOP_LOG_ACCESS].told_why = intent->lost_why;
        intent->lost_why = 0;
        intent->stage[LOOP_LOG_ACCESS].told_from = from;
        intent->stage[LOOP_LOG_ACCESS].told_at = told_at;
    }
}

static void pass_tell_error_lost(struct pass *pass)
{
    char note[LINE_NOTE_MAX], *at = note;
    uint64_t lost = pass->intent->error_lost;
    if (lost == 0 || writer_out(pass->log, LOOP_LOG_ERROR)->state != LOOP_LOG_OUT_READY)
        return;
    at = fmt_rfc3339_ms(at, clock_wall_us());
    at = FMT_LIT(at, " warn  loop: ");
    at = fmt_u64(at, lost);
    at = FMT_LIT(at, " lines of the error log were dropped\n");
    if (pass_plain(pass, (struct span){note, (size_t)(at - note)}))
        pass->intent->error_lost = 0;
}

static void pass_tell_start(struct pass *pass)
{
    char note[LINE_NOTE_MAX], *at = note;
    struct loop_log_shared *shared = pass->shared;
    const struct loop_log_boot *previous = &shared->boots[!atomic_load(&shared->boot_index)];
    at = note_begin(at);
    at = FMT_LIT(at, "start\",\"version\":\"" SLUICE_VERSION "\",\"gen\":");
    at = fmt_u64(at, shared->generation);
    if (shared->starts > 1 || shared->before != LOOP_LOG_BEFORE_NONE) {
        at = FMT_LIT(at, ",\"previous_boot\":\"");
        at = fmt_span(at, span_of(previous->id));
        at = FMT_LIT(at, "\",\"previous_seq\":");
        at = fmt_u64(at, previous->seq);
    }
    if (shared->starts == 1 && shared->before == LOOP_LOG_BEFORE_STOPPED)
        at = FMT_LIT(at, ",\"previous\":\"stopped\"");
    if (shared->starts == 1 && shared->before == LOOP_LOG_BEFORE_KILLED)
        at = FMT_LIT(at, ",\"previous\":\"killed\"");
    at = FMT_LIT(at, "}\n");
    if (pass_numbered(pass, (struct span){note, (size_t)(at - note)}))
        pass->log->is_start_due = false;
}

static void pass_begin(struct pass *pass, struct loop_log *log)
{
    struct loop_log_shared *shared = log->shared;
    memset(pass, 0, sizeof(*pass));
    pass->log = log;
    pass->shared = shared;
    pass->intent = &shared->intent;
    pass->boot = writer_boot(shared);
    log->is_busy = false;
    pass->intent->seq = pass->boot->seq;
    pass->intent->lost_from = shared->lost_from;
    pass->intent->lost_why = shared->lost_why;
    pass->intent->too_long_told = shared->too_long_told;
    for (unsigned i = 0; i < LOOP_LOG_WHYS; i++)
        pass->intent->dropped[i] = atomic_load(&shared->dropped[i]);
    pass->intent->error_lost = shared->error_lost;
    memset(pass->intent->stage, 0, sizeof(pass->intent->stage));
    for (unsigned i = 0; i < log->ring_count + LOOP_LOG_SIDES; i++) {
        struct loop_log_ring *ring = log->rings[i];
        ring->tail_next = atomic_load_explicit(&ring->tail, memory_order_relaxed);
        ring->dropped_next = ring->dropped_told;
        if (writer_until(log, ring) - ring->tail_next > ring->bytes / 4)
            log->is_busy = true;
    }
}

/* What the rings of this stream had no room for.  Their places in the order of lines are lost too. */
static void pass_count_drops(struct pass *pass, enum loop_log_stream stream)
{
    struct loop_log *log = pass->log;
    uint64_t drops = 0;
    for (unsigned i = 0; i < log->ring_count + LOOP_LOG_SIDES; i++) {
        struct loop_log_ring *ring = log->rings[i];
        if (writer_stream_of(log, i) != stream)
            continue;
        ring->dropped_next = atomic_load_explicit(&ring->dropped, memory_order_relaxed);
        drops += ring->dropped_next - ring->dropped_told;
    }
    struct loop_log_out *out = writer_out(log, stream);
    unsigned why = LOOP_LOG_WHY_RING;
    if (out->was_stalled)
        why = out->is_syslog ? LOOP_LOG_WHY_SYSLOG : LOOP_LOG_WHY_READER;
    out->was_stalled = false;
    if (out->state == LOOP_LOG_OUT_OFF)
        return;
    if (stream == LOOP_LOG_ERROR) {
        pass->intent->error_lost += drops;
        return;
    }
    uint64_t too_long = atomic_load(&log->shared->too_long);
    pass_lose(pass, drops, why);
    pass_lose(pass, too_long - pass->intent->too_long_told, LOOP_LOG_WHY_TOO_LONG);
    pass->intent->too_long_told = too_long;
}

static void pass_drain(struct pass *pass, enum loop_log_stream stream)
{
    struct loop_log *log = pass->log;
    unsigned count = log->ring_count + LOOP_LOG_SIDES;
    struct span line;
    for (unsigned i = 0; i < count; i++) {
        unsigned index = (log->first_ring + i) % count;
        struct loop_log_ring *ring = log->rings[index];
        uint64_t until = writer_until(log, ring), at = ring->tail_next;
        if (writer_stream_of(log, index) != stream)
            continue;
        while (loop_log_ring_next(ring, &at, until, &line)) {
            bool taken =
                stream == LOOP_LOG_ACCESS ? pass_numbered(pass, line) : pass_plain(pass, line);
            if (!taken)
                return;
            ring->tail_next = at;
        }
        ring->tail_next = at;
    }
}

/* Every value is absolute: applying twice is applying once. */
static void writer_apply(struct loop_log *log)
{
    struct loop_log_shared *shared = log->shared;
    const struct loop_log_intent *intent = &shared->intent;
    for (unsigned i = 0; i < LOOP_LOG_STREAMS; i++) {
        struct loop_log_stage *stage = &shared->stages[i];
        if (!intent->stage[i].is_new)
            continue;
        stage->lines = intent->stage[i].lines;
        stage->told_from = intent->stage[i].told_from;
        stage->told_at = intent->stage[i].told_at;
        stage->told_why = intent->stage[i].told_why;
        stage->is_begun = false;
        atomic_store(&stage->done, 0);
        atomic_store(&stage->len, intent->stage[i].len);
    }
    writer_boot(shared)->seq = intent->seq;
    atomic_store(&shared->seq, intent->seq);
    shared->lost_from = intent->lost_from;
    shared->lost_why = intent->lost_why;
    shared->too_long_told = intent->too_long_told;
    shared->error_lost = intent->error_lost;
    for (unsigned i = 0; i < LOOP_LOG_WHYS; i++)
        atomic_store(&shared->dropped[i], intent->dropped[i]);
    for (unsigned i = 0; i < log->ring_count + LOOP_LOG_SIDES; i++) {
        struct loop_log_ring *ring = log->rings[i];
        ring->dropped_told = ring->dropped_next;
        atomic_store_explicit(&ring->tail, ring->tail_next, memory_order_release);
    }
}

static void pass_commit(struct pass *pass)
{
    atomic_store(&pass->intent->is_armed, true);
    writer_apply(pass->log);
    atomic_store(&pass->intent->is_armed, false);
}

void loop_log_recover(struct loop_log *log)
{
    if (atomic_load(&log->shared->intent.is_armed))
        writer_apply(log);
    atomic_store(&log->shared->intent.is_armed, false);
    for (unsigned i = 0; i < log->ring_count + LOOP_LOG_SIDES; i++)
        loop_log_ring_recover(log->rings[i]);
    /* Killed after a boot was begun and before its first line. */
    log->is_start_due = log->shared->starts > 0 && writer_boot(log->shared)->seq == 0;
}

/* Lines that were in a block when its target failed. */
static void writer_account_lost(struct loop_log *log, const struct loop_log_out *out,
                                struct span lost)
{
    struct loop_log_shared *shared = log->shared;
    struct loop_log_stage *stage = out->stage;
    uint64_t from = 0;
    bool is_untold = stage->told_from != 0 && lost.ptr <= stage->data + stage->told_at;
    while (lost.len > 0) {
        size_t len = span_find(lost, '\n') + 1;
        uint64_t seq = loop_log_last_seq((struct span){lost.ptr, len});
        if (seq == 0) {
            shared->error_lost++;
        } else {
            from = from == 0 ? seq : from;
            stage->lines--;
            atomic_fetch_add(&shared->dropped[why_index(out->why)], 1);
        }
        lost.ptr += len;
        lost.len -= len;
    }
    if (from == 0)
        return;
    if (is_untold && stage->told_from < from) {
        from = stage->told_from;
        shared->lost_why |= stage->told_why;
    }
    shared->lost_why |= out->why;
    shared->lost_from = from;
}

static void writer_flush(struct loop_log *log, struct loop_log_out *out, uint64_t mono_us)
{
    struct loop_log_stage *stage = out->stage;
    struct span lost;
    if (loop_log_out_flush(out, mono_us, &lost)) {
        atomic_fetch_add(&log->shared->write_errors, 1);
        writer_account_lost(log, out, lost);
    }
    if (atomic_load(&stage->done) == atomic_load(&stage->len)) {
        atomic_fetch_add(&log->shared->lines, stage->lines);
        stage->lines = 0;
        atomic_store(&stage->len, 0);
        atomic_store(&stage->done, 0);
    }
}

static void writer_publish(struct loop_log *log)
{
    struct loop_log_shared *shared = log->shared;
    if (log->metrics == NULL)
        return;
    metrics_set(log->metrics, METRICS_LOG_LINES, atomic_load(&shared->lines));
    for (unsigned i = 0; i < LOOP_LOG_WHYS; i++)
        metrics_set(log->metrics, WHYS[i].metric, atomic_load(&shared->dropped[i]));
    metrics_set(log->metrics, METRICS_LOG_WRITE_ERRORS, atomic_load(&shared->write_errors));
}

/* The previous boot is told to the end: begin a new one. */
static void writer_begin_boot(struct loop_log *log)
{
    struct loop_log_shared *shared = log->shared;
    uint32_t next = !atomic_load(&shared->boot_index);
    uint8_t secret[4];
    if (shared->starts == 0)
        next = atomic_load(&shared->boot_index);
    rng_secret(secret, sizeof(secret));
    *fmt_hex(shared->boots[next].id, secret, sizeof(secret)) = '\0';
    shared->boots[next].seq = 0;
    shared->lost_from = 0;
    shared->lost_why = 0;
    atomic_store(&shared->seq, 0);
    atomic_store(&shared->boot_index, next);
    shared->starts++;
    log->is_draining_left = false;
    log->is_start_due = true;
}

void loop_log_enter_boot(struct loop_log *log)
{
    if (log->shared->starts == 0) {
        writer_begin_boot(log);
        return;
    }
    log->is_draining_left = true;
}

static bool writer_is_drained(const struct loop_log *log)
{
    for (unsigned i = 0; i < log->ring_count + LOOP_LOG_SIDES; i++) {
        const struct loop_log_ring *ring = log->rings[i];
        if (atomic_load_explicit(&ring->tail, memory_order_relaxed) < writer_until(log, ring))
            return false;
    }
    return true;
}

bool loop_log_is_empty(const struct loop_log *log)
{
    if (log->is_draining_left || log->is_start_due || !writer_is_drained(log))
        return false;
    for (unsigned i = 0; i < LOOP_LOG_STREAMS; i++) {
        const struct loop_log_stage *stage = &log->shared->stages[i];
        if (atomic_load(&stage->done) < atomic_load(&stage->len) &&
            log->outs[i].state != LOOP_LOG_OUT_FAILING)
            return false;
    }
    return true;
}

bool loop_log_pass(struct loop_log *log)
{
    struct pass pass;
    uint64_t mono_us = clock_mono_us();
    for (unsigned i = 0; i < LOOP_LOG_STREAMS; i++) {
        loop_log_out_retry(&log->outs[i], mono_us);
        writer_flush(log, &log->outs[i], mono_us);
    }
    bool are_open[LOOP_LOG_STREAMS];
    pass_begin(&pass, log);
    for (unsigned i = 0; i < LOOP_LOG_STREAMS; i++)
        are_open[i] = writer_out(log, i)->state != LOOP_LOG_OUT_STALLED;
    if (are_open[LOOP_LOG_ACCESS]) {
        if (log->is_start_due)
            pass_tell_start(&pass);
        pass_count_drops(&pass, LOOP_LOG_ACCESS);
        pass_tell_dropped(&pass);
        pass_drain(&pass, LOOP_LOG_ACCESS);
    }
    if (are_open[LOOP_LOG_ERROR]) {
        pass_count_drops(&pass, LOOP_LOG_ERROR);
        pass_tell_error_lost(&pass);
        pass_drain(&pass, LOOP_LOG_ERROR);
    }
    log->first_ring = log->first_ring < log->ring_count ? log->first_ring + 1 : 0;
    pass_commit(&pass);
    for (unsigned i = 0; i < LOOP_LOG_STREAMS; i++)
        writer_flush(log, &log->outs[i], mono_us);
    if (log->is_draining_left && writer_is_drained(log))
        writer_begin_boot(log);
    writer_publish(log);
    for (unsigned i = 0; i < LOOP_LOG_STREAMS; i++)
        if (pass.is_full[i] && log->outs[i].state == LOOP_LOG_OUT_READY)
            return true;
    return (log->is_draining_left || log->is_start_due) &&
           log->outs[LOOP_LOG_ACCESS].state != LOOP_LOG_OUT_STALLED;
}
