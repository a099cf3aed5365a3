/* SPDX-License-Identifier: Apache-2.0 */
/* admin_tail.c - see admin_tail.h.  The log keeps copies of lines while somebody watches; an alarm comes for them. */
#include "admin/admin_tail.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin_query.h"
#include "loop/loop_log_tap.h"
#include "plan/plan.h"

#define TAIL_NOTE_MAX 96

static const char TAIL_HEAD[] = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
                                "Cache-Control: no-store\r\nConnection: close\r\n\r\n";

static bool tail_put(struct admin_tail *tail, struct span text)
{
    if (sizeof(tail->bytes) - (tail->end - tail->begin) < text.len)
        return false;
    if (sizeof(tail->bytes) - tail->end < text.len) {
        memmove(tail->bytes, tail->bytes + tail->begin, tail->end - tail->begin);
        tail->end -= tail->begin;
        tail->begin = 0;
    }
    memcpy(tail->bytes + tail->end, text.ptr, text.len);
    tail->end += text.len;
    return true;
}

/* Before the next line: how many are missing here. */
static bool tail_tell_lost(struct admin_tail *tail)
{
    char note[TAIL_NOTE_MAX];
    if (tail->lost == 0)
        return true;
    int len = snprintf(note, sizeof(note), "{\"v\":1,\"event\":\"tail_lost\",\"n\":%llu}\n",
                       (unsigned long long)tail->lost);
    if (!tail_put(tail, (struct span){note, (size_t)len}))
        return false;
    tail->lost = 0;
    return true;
}

static void tail_take(struct admin_tail *tail, struct span line)
{
    if (!admin_filter_has(&tail->filter, line))
        return;
    if (!tail_tell_lost(tail) || !tail_put(tail, line))
        tail->lost++;
}

bool admin_tail_flush(struct admin_tail *tail)
{
    const uint64_t now_us = tail->conn->admin->env.loop->mono_us;
    for (;;) {
        if (tail->begin == tail->end) {
            tail->begin = tail->end = 0;
            tail->taken_us = now_us;
            if (tail->lost == 0 || !tail_tell_lost(tail))
                return true;
        }
        ssize_t n = net_stream_write(&tail->conn->stream, tail->bytes + tail->begin,
                                     tail->end - tail->begin);
        if (n < 0 && errno == EAGAIN)
            return now_us - tail->taken_us < ADMIN_TAIL_STALL_US;
        if (n < 0)
            return false;
        tail->begin += (size_t)n;
        tail->taken_us = now_us;
    }
}

static void tails_on_time(void *arg)
{
    struct admin *admin = arg;
    struct loop_log *log = admin->env.log;
    struct span line;
    uint64_t at = 0;
    size_t looked = 0;
    uint64_t lost = loop_log_tap_lost(log);
    while (looked < ADMIN_TAIL_TURN_BYTES && loop_log_tap_next(log, &at, &line)) {
        looked += line.len;
        LIST_EACH (node, &admin->tails)
            tail_take(LIST_OF(node, struct admin_tail, node), line);
    }
    loop_log_tap_done(log, at);
    LIST_EACH_SAFE (node, &admin->tails) {
        struct admin_tail *tail = LIST_OF(node, struct admin_tail, node);
        tail->lost += lost;
        if (!admin_tail_flush(tail))
            admin_conn_drop(tail->conn);
    }
    if (admin->tail_count != 0)
        loop_alarm_set(admin->tail_alarm, admin->env.loop->mono_us + ADMIN_TAIL_TICK_US);
}

/* NULL, or why there are no lines to see; *status tells too. */
static const char *tails_begin(struct admin *admin, unsigned *status)
{
    struct admin_facts facts = {0};
    admin->env.hooks.facts(admin->env.hooks.arg, &facts);
    *status = 409;
    if (span_eq(facts.plan->log.access, SPAN("off")))
        return "log.access is \"off\": no lines are made that could be shown";
    *status = 503;
    if (admin->tail_count == ADMIN_TAIL_READERS_MAX)
        return "16 others watch the log already";
    if (admin->tail_alarm == NULL)
        admin->tail_alarm = loop_alarm_new(admin->env.loop, tails_on_time, admin);
    if (admin->tail_alarm == NULL || loop_log_tap_open(admin->env.log) != ERR_OK)
        return "out of memory";
    if (admin->tail_count == 0)
        loop_alarm_set(admin->tail_alarm, admin->env.loop->mono_us + ADMIN_TAIL_TICK_US);
    return NULL;
}

void admin_tail_answer(struct admin_conn *conn, struct span query)
{
    struct admin *admin = conn->admin;
    char text[ADMIN_QUERY_VALUE_MAX], why[256];
    size_t len;
    unsigned status;
    if (!admin_query_find(query, "q", text, &len)) {
        admin_send_problem(conn, 400, "\"q\" must be one expression of at most 1000 bytes");
        return;
    }
    if (conn->is_head) {
        admin_send_problem(conn, 405, "a tail has no end: use GET");
        return;
    }
    struct admin_tail *tail = malloc(sizeof(*tail));
    if (tail == NULL) {
        admin_send_problem(conn, 503, "out of memory");
        return;
    }
    const char *fault = why;
    status = 400;
    if (admin_filter_parse(&tail->filter, (struct span){text, len}, why))
        fault = tails_begin(admin, &status);
    if (fault != NULL) {
        free(tail);
        admin_send_problem(conn, status, fault);
        return;
    }
    tail->conn = conn;
    tail->lost = 0;
    tail->begin = tail->end = 0;
    tail->taken_us = admin->env.loop->mono_us;
    (void)tail_put(tail, SPAN(TAIL_HEAD));
    list_push_back(&admin->tails, &tail->node);
    admin->tail_count++;
    conn->tail = tail;
    conn->state = ADMIN_CONN_TAILING;
    loop_timer_cancel(&conn->deadline);
}

void admin_tail_free(struct admin_tail *tail)
{
    if (tail == NULL)
        return;
    struct admin *admin = tail->conn->admin;
    list_remove(&tail->node);
    if (--admin->tail_count == 0) {
        loop_alarm_set(admin->tail_alarm, 0);
        loop_log_tap_close(admin->env.log);
    }
    free(tail);
}
