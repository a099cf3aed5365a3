/* SPDX-License-Identifier: Apache-2.0 */
/* lease_operate.c - see lease_operate.h. */
#include "lease/lease_operate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_clock.h"
#include "base/base_fmt.h"
#include "lease/lease_lookup.h"
#include "lease/lease_private.h"
#include "store/store_memory.h"
#include "store/store_redis_operate.h"
#include "store/store_redis_slots.h"

#define MEMBERS_HEAD "members:"
#define SUBJECT_HEAD "q:{"
#define SLOTS_HEAD   "f:{"
#define TOKEN_HEAD   "t:{"
#define IDLE_US      1000000

/* One question on its way. */
struct operate_query {
    struct store_redis_query query; /* first: found from it */
    struct lease_batch_of_queries *batch;
    struct lease_question *question; /* not to be touched when the batch has no inquiry */
    char key[STORE_REDIS_QUERY_KEY_MAX];
    char value[STORE_REDIS_QUERY_VALUE_MAX];
};

/* An inquiry on its way.  Owner: the operator.  Freed by: whoever takes its last answer.  Thread: the loop's. */
struct lease_batch_of_queries {
    struct list node; /* waiting for connections, else in no list */
    struct lease_operator *operator;
    struct lease_inquiry *inquiry; /* NULL: cancelled */
    unsigned count, left;
    struct operate_query queries[];
};

/* Owner: the admin socket.  Freed by: lease_operator_free.  Thread: the loop's. */
struct lease_operator {
    struct lease *lease;
    struct loop *loop;
    struct store_redis_route *route; /* NULL: nobody asks */
    struct loop_timer idle;
    struct loop_task send; /* so that nobody is answered from inside lease_inquire */
    struct list waiting;
    unsigned batches;
};

/* ---- the memory store ---- */

static void ask_memory(struct lease_operator *operator, struct lease_question * question)
{
    if (question->kind == LEASE_ASK_TIER || question->kind == LEASE_ASK_PROJECT) {
        if (!question->as_request)
            question->told = LEASE_TOLD_NOTHING;
        return;
    }
    if (question->kind == LEASE_ASK_SLOTS) {
        question->slots = lease_slots_used(&operator->lease->slots, question->key, question->quota);
        question->told = LEASE_TOLD_FOUND;
        return;
    }
    question->subject = (struct store_subject){.now_us = operator->loop->wall_us };
    enum err err =
        store_memory_operate(operator->lease->memory, question->key,
                             &question->order, operator->loop->wall_us, &question->subject);
    question->told = err == ERR_OK         ? LEASE_TOLD_FOUND
                     : err == ERR_NOTFOUND ? LEASE_TOLD_NOTHING
                                           : LEASE_TOLD_FAULT;
    if (question->told == LEASE_TOLD_FAULT)
        memcpy(question->text, "too many grants are in force",
               sizeof("too many grants are in force"));
}

/* ---- Redis ---- */

/* What this process holds of the subject, once it has done the order too.  It hears of that over Redis as the others do, but
 * who gave the order may ask before; and since Redis itself has said so here, a server that takes over and has lost a reset is
 * told of it. */
static uint32_t obey(struct lease *lease, const struct lease_question *question)
{
    struct store_cell *found = lease_table_find(&lease->table, question->key);
    bool is_changed = question->told == LEASE_TOLD_FOUND;
    uint32_t generation = question->subject.generation;
    uint64_t mono_us = clock_mono_us();
    if (found == NULL)
        return 0;
    struct lease_cell *cell = store_cell_body(found);
    if (question->order.verb == STORE_ORDER_RESET && is_changed)
        lease_cell_reset(cell, generation + 1, mono_us);
    else if (question->order.verb == STORE_ORDER_GRANT && is_changed)
        lease_cell_order(cell, generation, mono_us);
    if (lease_cell_has_debt(cell))
        lease_sweep_note_owed(lease, cell);
    uint32_t held = lease_tokens_held(cell, mono_us);
    store_cell_unlock(found);
    return held;
}

static void copy_text(char out[LEASE_TOLD_TEXT], struct span text)
{
    size_t len = text.len < LEASE_TOLD_TEXT ? text.len : LEASE_TOLD_TEXT - 1;
    if (len != 0)
        memcpy(out, text.ptr, len);
    out[len] = '\0';
}

/* A value that is not of our making. */
static void take_fault(struct lease_question *question)
{
    question->told = LEASE_TOLD_FAULT;
    copy_text(question->text, SPAN("it answered with something else"));
}

/* Of a subject that Redis has never met it knows the time. */
static void take_subject(struct lease_question *question, struct span text)
{
    bool is_found;
    if (!store_redis_order_read(&question->subject, &is_found, text))
        take_fault(question);
    else if (!is_found)
        question->told = LEASE_TOLD_NOTHING;
}

static void take_answer(const struct lease_operator *operator, struct lease_question * question,
                        enum store_redis_found found, struct span text)
{
    uint64_t now_s = lease_now_us(operator->lease, operator->loop) / 1000000;
    bool is_found = found == STORE_REDIS_VALUE;
    if (found == STORE_REDIS_UNKNOWN && question->as_request)
        return; /* what is remembered must do */
    question->told = is_found                       ? LEASE_TOLD_FOUND
                     : found == STORE_REDIS_NOTHING ? LEASE_TOLD_NOTHING
                     : text.len != 0                ? LEASE_TOLD_FAULT
                                                    : LEASE_TOLD_AWAY;
    if (question->kind == LEASE_ASK_PROJECT && is_found) {
        text = lease_lookup_project(text, now_s);
        if (text.len == 0)
            question->told = LEASE_TOLD_NOTHING;
    }
    if (question->kind == LEASE_ASK_TIER || question->kind == LEASE_ASK_PROJECT || !is_found)
        copy_text(question->text, text);
    else if (question->kind == LEASE_ASK_SUBJECT)
        take_subject(question, text);
    else if (!store_redis_slots_count(text, now_s, &question->slots))
        take_fault(question);
}

static void operator_rest(struct lease_operator *operator)
{
    if (operator->batches == 0)
        loop_timer_set(operator->loop, &operator->idle, operator->loop->mono_us + IDLE_US);
}

static void batch_end(struct lease_batch_of_queries *batch)
{
    struct lease_inquiry *inquiry = batch->inquiry;
    struct lease_operator *operator= batch->operator;
    operator->batches--;
    operator_rest(operator);
    free(batch);
    if (inquiry == NULL)
        return;
    inquiry->batch = NULL;
    inquiry->done(inquiry);
}

static void on_answer(struct store_redis_query *answered, enum store_redis_found found,
                      struct span text)
{
    struct operate_query *query = (struct operate_query *)(void *)answered;
    struct lease_batch_of_queries *batch = query->batch;
    if (batch->inquiry != NULL) {
        bool has_waited = answered->is_durable && found == STORE_REDIS_VALUE &&
                          batch->operator->lease->redis->conf.is_durable;
        take_answer(batch->operator, query->question, found, text);
        query->question->is_proven = has_waited && !answered->is_short;
        query->question->is_short = has_waited && answered->is_short;
        if (query->question->kind == LEASE_ASK_SUBJECT)
            query->question->held = obey(batch->operator->lease, query->question);
    }
    if (--batch->left == 0)
        batch_end(batch);
}

static char *put_key(char *out, const struct lease_question *question)
{
    out = fmt_base64url(out, question->key, sizeof(question->key));
    *out++ = '}';
    return out;
}

static void query_make(struct operate_query *query, struct lease_batch_of_queries *batch,
                       struct lease_question *question)
{
    char *end = query->key;
    query->batch = batch;
    query->question = question;
    query->query.done = on_answer;
    if (question->kind == LEASE_ASK_TIER) {
        end = fmt_span(FMT_LIT(end, MEMBERS_HEAD), question->quota->name);
        query->query.verb = STORE_REDIS_HGET;
        query->query.value = (struct span){
            query->value, (size_t)(fmt_span(query->value, question->member) - query->value)};
    } else if (question->kind == LEASE_ASK_SLOTS) {
        end = put_key(FMT_LIT(end, SLOTS_HEAD), question);
        query->query.verb = STORE_REDIS_GET;
    } else if (question->kind == LEASE_ASK_PROJECT) {
        end = put_key(FMT_LIT(end, TOKEN_HEAD), question);
        query->query.verb = STORE_REDIS_GET;
    } else {
        end = put_key(FMT_LIT(end, SUBJECT_HEAD), question);
        query->query.verb = STORE_REDIS_EVAL;
        query->query.is_durable = question->order.verb != STORE_ORDER_SHOW;
        query->query.script = STORE_REDIS_OPERATE_LUA;
        store_redis_order_write(query->value, &question->order);
        query->query.value = (struct span){query->value, STORE_REDIS_ORDER_BYTES};
    }
    query->query.key = (struct span){query->key, (size_t)(end - query->key)};
}

/* A name that is too long for a query is nobody's. */
static bool is_askable(const struct lease_question *question)
{
    return question->kind != LEASE_ASK_TIER ||
           (question->quota->name.len + sizeof(MEMBERS_HEAD) <= STORE_REDIS_QUERY_KEY_MAX &&
            question->member.len <= STORE_REDIS_QUERY_VALUE_MAX);
}

/* Whoever takes the last answer frees the batch.  An order that nobody waits for any more was reported as not answered: it
 * must not be carried out minutes later. */
static void batch_send(struct lease_batch_of_queries *batch, bool is_up)
{
    is_up = is_up && batch->inquiry != NULL;
    struct store_redis_route *route = batch->operator->route;
    for (unsigned i = 0, count = batch->count; i < count; i++) {
        struct store_redis_query *query = &batch->queries[i].query;
        if (!is_up || store_redis_route_query(route, query) != STORE_PENDING)
            on_answer(query, STORE_REDIS_UNKNOWN, SPAN_NONE);
    }
}

static void operator_end_waiting(struct lease_operator *operator, bool is_up)
{
    struct list now;
    list_init(&now);
    while (!list_is_empty(&operator->waiting)) {
        struct list *node = operator->waiting.next;
        list_remove(node);
        list_push_back(&now, node);
    }
    while (!list_is_empty(&now)) {
        struct lease_batch_of_queries *batch =
            LIST_OF(now.next, struct lease_batch_of_queries, node);
        list_remove(&batch->node);
        batch_send(batch, is_up);
    }
}

static void on_send(void *arg)
{
    struct lease_operator *operator= arg;
    operator_end_waiting(operator, store_redis_route_is_open(operator->route));
}

static void on_change(void *arg, bool is_up)
{
    operator_end_waiting(arg, is_up);
}

/* Nobody has asked for a while. */
static void on_idle(void *arg)
{
    struct lease_operator *operator= arg;
    if (operator->batches != 0)
        return;
    store_redis_route_free(operator->route);
    operator->route = NULL;
}

static bool operator_connect(struct lease_operator *operator)
{
    loop_timer_cancel(&operator->idle);
    if (operator->route == NULL)
        operator->route =
            store_redis_route_new(operator->lease->redis, operator->loop, on_change, operator);
    return operator->route != NULL &&(store_redis_route_is_open(operator->route) ||
                                      store_redis_route_is_starting(operator->route));
}

/* Does what this process remembers serve?  It is the answer in any case, until there is another. */
static bool is_remembered(const struct lease_operator *operator, struct lease_question * question)
{
    struct lease_lookup lookup = {.kind = question->kind == LEASE_ASK_TIER ? LEASE_MEMBER
                                                                           : LEASE_TOKEN};
    question->text[0] = '\0';
    if (!question->as_request)
        return false;
    memcpy(lookup.key, question->key, sizeof(lookup.key));
    bool serves = lease_lookup_peek(operator->lease, operator->loop, &lookup);
    copy_text(question->text, (struct span){lookup.text, lookup.len});
    question->told = lookup.len != 0 ? LEASE_TOLD_FOUND : LEASE_TOLD_NOTHING;
    return serves;
}

static bool ask_redis(struct lease_operator *operator, struct lease_inquiry * inquiry)
{
    struct lease_batch_of_queries *batch =
        calloc(1, sizeof(*batch) + inquiry->count * sizeof(batch->queries[0]));
    unsigned count = 0;
    for (unsigned i = 0; i < inquiry->count; i++) {
        struct lease_question *question = &inquiry->questions[i];
        question->told = LEASE_TOLD_AWAY;
        if (is_remembered(operator, question))
            continue;
        if (!is_askable(question))
            question->told = LEASE_TOLD_NOTHING;
        else if (batch != NULL)
            query_make(&batch->queries[count++], batch, question);
    }
    if (count == 0 || !operator_connect(operator)) {
        free(batch);
        operator_rest(operator);
        return true;
    }
    batch->operator= operator;
    batch->inquiry = inquiry;
    batch->count = batch->left = count;
    list_init(&batch->node);
    inquiry->batch = batch;
    operator->batches++;
    list_push_back(&operator->waiting, &batch->node);
    if (store_redis_route_is_open(operator->route))
        loop_task_schedule(operator->loop, &operator->send);
    return false;
}

/* ---- the door ---- */

bool lease_inquire(struct lease_operator *operator, struct lease_inquiry * inquiry)
{
    assert(inquiry->count <= LEASE_QUESTIONS_MAX);
    inquiry->batch = NULL;
    if (operator->lease->memory == NULL)
        return ask_redis(operator, inquiry);
    for (unsigned i = 0; i < inquiry->count; i++) {
        (void)is_remembered(operator, & inquiry->questions[i]);
        ask_memory(operator, & inquiry->questions[i]);
    }
    return true;
}

void lease_inquiry_cancel(struct lease_inquiry *inquiry)
{
    if (inquiry->batch != NULL)
        inquiry->batch->inquiry = NULL;
    inquiry->batch = NULL;
}

struct lease_operator *lease_operator_new(struct lease *lease, struct loop *loop)
{
    struct lease_operator *operator= calloc(1, sizeof(*operator));
    if (operator== NULL)
        return NULL;
    operator->lease = lease;
    operator->loop = loop;
    list_init(&operator->waiting);
    loop_timer_init(&operator->idle, on_idle, operator);
    loop_task_init(&operator->send, on_send, operator);
    return operator;
}

void lease_operator_free(struct lease_operator *operator)
{
    if (operator== NULL)
        return;
    operator_end_waiting(operator, false);
    store_redis_route_free(operator->route);
    loop_timer_cancel(&operator->idle);
    loop_task_cancel(&operator->send);
    free(operator);
}
