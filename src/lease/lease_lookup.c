/* SPDX-License-Identifier: Apache-2.0 */
/* lease_lookup.c - see lease_lookup.h.
 *
 *   ask --known and young--------> answered
 *    |----known and ageing-------> answered; a query that nobody waits for
 *    |----the store is away------> answered with what was known last
 *    `----> a query of this key, in the air or new --answer---> remembered, done
 *                                      |-------------timeout--> done with what was known last; the answer is still
 *                                      |                        remembered when it comes
 *                                      `-------------cancelled  likewise
 *
 * Of a key one query is in the air per worker, and nobody refreshes what another worker refreshes.  What was learned and
 * could not be told to Redis is owed: it is told when it is used, and when a link comes up. */
#include "lease/lease_lookup.h"

#include <assert.h>
#include <stdlib.h>

#include "base/base_fmt.h"
#include "base/base_log.h"
#include "base/base_parse.h"
#include "base/base_reserve.h"
#include "lease/lease_lookups.h"
#include "lease/lease_private.h"
#include "store/store_memory.h"

#define MEMBERS_HEAD    "members:"
#define TOKEN_HEAD      "t:{"
#define OWED_AGAIN_US   1000000 /* between two tries to give the fleet what was learned */
#define PAY_PER_TURN    256     /* notes that are looked at for what is owed */
#define TOKEN_VALUE_MAX (FMT_U64_MAX + 1 + STORE_NOTE_TEXT)

_Static_assert(LEASE_FIELD_MAX <= STORE_REDIS_QUERY_VALUE_MAX, "a member's name fits a query");
_Static_assert(TOKEN_VALUE_MAX <= STORE_REDIS_QUERY_VALUE_MAX, "a project fits a query");

/* A command in the air, or waiting for the first handshake.  Owner: the worker.  Freed by: lease_lookups_free.
 * Thread: the worker's. */
struct lease_query {
    struct store_redis_query query; /* first: found from it */
    struct list node;               /* in its bucket, or spare */
    struct lease_lookups *lookups;
    enum lease_lookup_kind kind;
    bool is_parked;
    uint8_t key[16];
    uint64_t sent_at_us; /* monotonic */
    struct list waiters; /* struct lease_lookup.node */
    char name[STORE_REDIS_QUERY_KEY_MAX];
    char value[STORE_REDIS_QUERY_VALUE_MAX];
};

/* How long an answer stands, by kind and by whether there was something. */
static const uint64_t STANDS_US[LEASE_LOOKUP_KINDS][2] = {
    [LEASE_MEMBER] = {LEASE_MEMBER_US, LEASE_MEMBER_US},
    [LEASE_TOKEN] = {LEASE_STRANGER_US, UINT64_MAX}, /* until its own end */
};

static const metrics_slot SENT_SLOTS[LEASE_LOOKUP_KINDS] = {
    [LEASE_MEMBER] = METRICS_LOOKUPS_MEMBER,
    [LEASE_TOKEN] = METRICS_LOOKUPS_TOKEN,
};

/* ---- what is remembered ---- */

enum err lease_notes_init(struct lease_notes *notes)
{
    size_t bytes = store_notes_bytes(LEASE_NOTES);
    notes->memory_bytes = bytes * LEASE_LOOKUP_KINDS;
    notes->memory = reserve_new(notes->memory_bytes);
    if (notes->memory == NULL)
        return ERR_NOMEM;
    for (unsigned kind = 0; kind < LEASE_LOOKUP_KINDS; kind++)
        store_notes_init(&notes->kinds[kind], (char *)notes->memory + kind * bytes, LEASE_NOTES,
                         false);
    return ERR_OK;
}

void lease_notes_fini(struct lease_notes *notes)
{
    reserve_free(notes->memory, notes->memory_bytes);
    notes->memory = NULL;
}

static const struct store_notes *notes_of(const struct lease_lookups *lookups,
                                          enum lease_lookup_kind kind)
{
    return &lookups->lease->notes.kinds[kind];
}

static uint64_t now_s_of(const struct lease_lookups *lookups)
{
    return lease_now_us(lookups->lease, lookups->loop) / 1000000;
}

/* What stands in the note; NULL: never heard of. */
static void fill(struct lease_lookup *lookup, const struct store_note *note, uint64_t now_s)
{
    bool is_over = note == NULL || note->until_s <= now_s;
    lookup->is_unknown = note == NULL || note->told_at_us == 0;
    lookup->len = is_over ? 0 : note->len;
    if (lookup->len != 0)
        memcpy(lookup->text, note->text, lookup->len);
}

/* The last answer to it, if any, must do. */
static void fill_last(const struct lease_lookups *lookups, struct lease_lookup *lookup)
{
    struct store_note *note = store_notes_find(notes_of(lookups, lookup->kind), lookup->key);
    fill(lookup, note, now_s_of(lookups));
    if (note != NULL)
        store_notes_leave(note);
    if (lookup->is_unknown)
        metrics_add(lookups->loop->metrics, METRICS_LOOKUPS_UNKNOWN, 1);
}

/* ---- queries ---- */

static struct list *bucket_of(struct lease_lookups *lookups, const uint8_t key[16])
{
    return &lookups->buckets[key[0] & (LEASE_LOOKUP_BUCKETS - 1)];
}

/* What is in the air for the key and will tell about it. */
static struct lease_query *query_find(struct lease_lookups *lookups, enum lease_lookup_kind kind,
                                      const uint8_t key[16])
{
    LIST_EACH (node, bucket_of(lookups, key)) {
        struct lease_query *query = LIST_OF(node, struct lease_query, node);
        if (query->kind == kind && query->query.verb != STORE_REDIS_SET &&
            memcmp(query->key, key, sizeof(query->key)) == 0)
            return query;
    }
    return NULL;
}

static void on_answer(struct store_redis_query *answered, enum store_redis_found found,
                      struct span text);

static struct lease_query *query_take(struct lease_lookups *lookups, enum lease_lookup_kind kind,
                                      const uint8_t key[16])
{
    struct lease_query *query;
    if (list_is_empty(&lookups->spare)) {
        query = malloc(sizeof(*query));
        if (query == NULL)
            return NULL;
        list_init(&query->node);
    } else {
        query = LIST_OF(lookups->spare.next, struct lease_query, node);
        list_remove(&query->node);
    }
    query->query = (struct store_redis_query){.done = on_answer};
    query->lookups = lookups;
    query->kind = kind;
    query->is_parked = false;
    memcpy(query->key, key, sizeof(query->key));
    list_init(&query->waiters);
    list_push_back(bucket_of(lookups, key), &query->node);
    return query;
}

static void query_return(struct lease_query *query)
{
    list_remove(&query->node);
    list_push_front(&query->lookups->spare, &query->node);
}

static void name_token(struct lease_query *query)
{
    char *end = FMT_LIT(query->name, TOKEN_HEAD);
    end = FMT_LIT(fmt_base64url(end, query->key, sizeof(query->key)), "}");
    query->query.key = (struct span){query->name, (size_t)(end - query->name)};
}

static void name_member(struct lease_query *query, const struct lease_lookup *lookup)
{
    assert(lookup->quota.len + sizeof(MEMBERS_HEAD) <= sizeof(query->name) &&
           lookup->member.len <= sizeof(query->value));
    char *end = fmt_span(FMT_LIT(query->name, MEMBERS_HEAD), lookup->quota);
    query->query.verb = STORE_REDIS_HGET;
    query->query.key = (struct span){query->name, (size_t)(end - query->name)};
    end = fmt_span(query->value, lookup->member);
    query->query.value = (struct span){query->value, (size_t)(end - query->value)};
}

static bool query_send(struct lease_query *query)
{
    struct lease_lookups *lookups = query->lookups;
    query->sent_at_us = lookups->loop->mono_us;
    if (store_redis_route_query(lookups->route, &query->query) != STORE_PENDING)
        return false;
    metrics_add(lookups->loop->metrics, SENT_SLOTS[query->kind], 1);
    return true;
}

/* A query of the key, in the air or parked; NULL: nobody can be asked. */
static struct lease_query *query_begin(struct lease_lookups *lookups,
                                       const struct lease_lookup *lookup)
{
    struct lease_query *query = query_find(lookups, lookup->kind, lookup->key);
    bool is_open = store_redis_route_is_open(lookups->route);
    bool can_park = store_redis_route_is_starting(lookups->route) &&
                    lookups->parked_count < STORE_REDIS_INFLIGHT_MAX;
    if (query != NULL)
        return query;
    if (!is_open && !can_park)
        return NULL;
    query = query_take(lookups, lookup->kind, lookup->key);
    if (query == NULL)
        return NULL;
    if (lookup->kind == LEASE_MEMBER)
        name_member(query, lookup);
    else
        name_token(query);
    if (is_open && !query_send(query)) {
        query_return(query);
        return NULL;
    }
    query->is_parked = !is_open;
    lookups->parked_count += !is_open;
    return query;
}

/* ---- the answer ---- */

static void stop_waiting(struct lease_lookup *lookup)
{
    lookup->query = NULL;
    list_remove(&lookup->node);
    list_remove(&lookup->due);
}

/* What a key of a token says: "<until> <project>". */
static bool read_token(struct span text, uint64_t *until_s, struct span *project)
{
    size_t space = span_find(text, ' ');
    if (space == text.len || !parse_u64((struct span){text.ptr, space}, until_s))
        return false;
    *project = (struct span){text.ptr + space + 1, text.len - space - 1};
    return project->len != 0 && project->len <= STORE_NOTE_TEXT;
}

/* A tier's name has at most STORE_NOTE_TEXT bytes; a longer one is cut so that it is no name. */
static struct span cut_tier(struct span text, char cut[STORE_NOTE_TEXT])
{
    if (text.len <= STORE_NOTE_TEXT)
        return text;
    memcpy(cut, text.ptr, STORE_NOTE_TEXT);
    cut[STORE_NOTE_TEXT - 1] = '?';
    return (struct span){cut, STORE_NOTE_TEXT};
}

/* What the answer says, into a note. */
static void note_answer(const struct lease_query *query, enum store_redis_found found,
                        struct span text, struct store_note *note)
{
    const struct lease_lookups *lookups = query->lookups;
    char cut[STORE_NOTE_TEXT];
    uint64_t until_s = UINT64_MAX;
    if (found == STORE_REDIS_NOTHING) {
        text = SPAN_NONE;
    } else if (query->kind == LEASE_MEMBER) {
        text = cut_tier(text, cut);
    } else if (!read_token(text, &until_s, &text)) {
        log_warn("redis: the value of a token is not what Sluice writes: another program writes "
                 "under this prefix");
        text = SPAN_NONE;
        until_s = UINT64_MAX;
    }
    store_note_set(note, text, until_s, lookups->loop->mono_us);
    note->used_s = (uint32_t)now_s_of(lookups);
}

/* What was learned here, or found out since the question was sent, is better than its answer. */
static bool is_better(const struct lease_query *query, const struct store_note *note)
{
    bool holds = note->until_s > now_s_of(query->lookups);
    return note->told_at_us > query->sent_at_us || (note->is_owed && holds);
}

/* The answer, remembered if there is room; a copy for who waits. */
static struct store_note remember(const struct lease_query *query, enum store_redis_found found,
                                  struct span text)
{
    const struct lease_lookups *lookups = query->lookups;
    const struct store_notes *notes = notes_of(lookups, query->kind);
    struct store_note copy = {0};
    struct store_note *note = found == STORE_REDIS_UNKNOWN
                                  ? store_notes_find(notes, query->key)
                                  : store_notes_take(notes, query->key, now_s_of(lookups));
    if (note != NULL && found == STORE_REDIS_UNKNOWN)
        note->asked_at_us = 0;
    else if (note != NULL && !is_better(query, note))
        note_answer(query, found, text, note);
    else if (note == NULL && found != STORE_REDIS_UNKNOWN)
        note_answer(query, found, text, &copy);
    if (note != NULL) {
        copy = *note;
        store_notes_leave(note);
    }
    return copy;
}

/* Look for what the fleet has to be told, in some worker. */
static void begin_paying(struct lease_lookups *lookups)
{
    if (!atomic_exchange(&lookups->lease->notes.has_owed, false))
        return;
    lookups->paid = 0;
    loop_task_schedule(lookups->loop, &lookups->pay);
}

/* The fleet has got what was learned, or will have to be told again. */
static void on_learned(struct lease_query *query, enum store_redis_found found)
{
    struct lease_lookups *lookups = query->lookups;
    struct store_note *note = store_notes_find(notes_of(query->lookups, query->kind), query->key);
    if (note != NULL) {
        note->is_owed = note->is_owed && found != STORE_REDIS_VALUE;
        store_notes_leave(note);
    }
    query_return(query);
    if (found == STORE_REDIS_VALUE)
        begin_paying(lookups);
    else
        atomic_store(&lookups->lease->notes.has_owed, true);
}

static void on_answer(struct store_redis_query *answered, enum store_redis_found found,
                      struct span text)
{
    struct lease_query *query = (struct lease_query *)(void *)answered;
    struct lease_lookups *lookups = query->lookups;
    if (answered->verb == STORE_REDIS_SET) {
        on_learned(query, found);
        return;
    }
    struct store_note note = remember(query, found, text);
    /* Whoever asks while the others are told begins anew. */
    struct list waiters;
    list_take_all(&waiters, &query->waiters);
    query_return(query);
    while (!list_is_empty(&waiters)) {
        struct lease_lookup *lookup = LIST_OF(waiters.next, struct lease_lookup, node);
        stop_waiting(lookup);
        fill(lookup, &note, now_s_of(lookups));
        if (lookup->is_unknown)
            metrics_add(lookups->loop->metrics, METRICS_LOOKUPS_UNKNOWN, 1);
        lookup->done(lookup->arg);
    }
}

/* ---- waiting ---- */

static uint64_t due_us(const struct lease_lookups *lookups, const struct lease_lookup *lookup)
{
    return lookup->since_us + lookups->lease->redis->conf.decision_timeout_us;
}

static bool is_due_later(const struct list *one, const struct list *other)
{
    return LIST_OF(one, struct lease_lookup, due)->since_us >
           LIST_OF(other, struct lease_lookup, due)->since_us;
}

static void wait_for(struct lease_lookups *lookups, struct lease_lookup *lookup,
                     struct lease_query *query)
{
    list_push_ordered(&lookups->waiting, &lookup->due, is_due_later);
    list_push_back(&query->waiters, &lookup->node);
    lookup->query = query;
    if (lookups->waiting.next == &lookup->due)
        loop_alarm_set(lookups->alarm, due_us(lookups, lookup));
}

static void on_decision_time(void *arg)
{
    struct lease_lookups *lookups = arg;
    store_redis_route_poll(lookups->route); /* it may be we who were late */
    while (!list_is_empty(&lookups->waiting)) {
        struct lease_lookup *lookup = LIST_OF(lookups->waiting.next, struct lease_lookup, due);
        if (due_us(lookups, lookup) > lookups->loop->mono_us) {
            loop_alarm_set(lookups->alarm, due_us(lookups, lookup));
            return;
        }
        metrics_add(lookups->loop->metrics, METRICS_STORE_TIMEOUTS, 1);
        stop_waiting(lookup);
        fill_last(lookups, lookup);
        lookup->done(lookup->arg);
    }
}

void lease_lookup_cancel(struct lease_lookup *lookup)
{
    if (lookup->query != NULL)
        stop_waiting(lookup);
}

void lease_lookups_on_change(struct lease_lookups *lookups, bool is_up)
{
    if (is_up)
        begin_paying(lookups);
    for (unsigned i = 0; i < LEASE_LOOKUP_BUCKETS && lookups->parked_count != 0; i++) {
        struct list *node = lookups->buckets[i].next;
        while (node != &lookups->buckets[i]) {
            struct lease_query *query = LIST_OF(node, struct lease_query, node);
            node = node->next;
            if (!query->is_parked)
                continue;
            query->is_parked = false;
            lookups->parked_count--;
            if (query_send(query))
                continue;
            on_answer(&query->query, STORE_REDIS_UNKNOWN, SPAN_NONE);
            node = lookups->buckets[i].next; /* who was told may have asked anew */
        }
    }
}

/* ---- asking ---- */

/* False: it was not sent, and stays owed. */
static bool send_learned(struct lease_lookups *lookups, const uint8_t key[16], struct span project,
                         uint64_t until_s)
{
    uint64_t now_s = now_s_of(lookups);
    struct lease_query *query = NULL;
    if (until_s <= now_s)
        return true; /* of no use to anybody */
    if (store_redis_route_is_open(lookups->route))
        query = query_take(lookups, LEASE_TOKEN, key);
    if (query == NULL)
        return false;
    name_token(query);
    char *end = fmt_u64(query->value, until_s);
    *end++ = ' ';
    end = fmt_span(end, project);
    query->query.verb = STORE_REDIS_SET;
    query->query.value = (struct span){query->value, (size_t)(end - query->value)};
    query->query.ttl_s = (uint32_t)(until_s - now_s);
    bool is_sent = query_send(query);
    if (!is_sent)
        query_return(query);
    return is_sent;
}

enum standing {
    STANDS,
    AGES, /* it stands, but should be asked for */
    FALLEN,
};

/* Threads read their clocks at different moments. */
static uint64_t since(const struct lease_lookups *lookups, uint64_t at_us)
{
    return lookups->loop->mono_us > at_us ? lookups->loop->mono_us - at_us : 0;
}

/* The note is locked. */
static enum standing judge(const struct lease_lookups *lookups, enum lease_lookup_kind kind,
                           struct store_note *note, uint64_t now_s)
{
    uint64_t age_us = since(lookups, note->told_at_us);
    uint64_t stands_us = STANDS_US[kind][note->len != 0];
    note->used_s = (uint32_t)now_s;
    if (note->told_at_us == 0 || age_us >= stands_us || note->until_s <= now_s)
        return FALLEN;
    bool is_asked =
        note->asked_at_us != 0 &&
        since(lookups, note->asked_at_us) < lookups->lease->redis->conf.command_timeout_us * 2;
    if (age_us < stands_us / 2 || is_asked)
        return STANDS;
    note->asked_at_us = lookups->loop->mono_us;
    return AGES;
}

/* Tell the fleet again what it has not got. */
static void pay_owed(struct lease_lookups *lookups, struct store_note *note, const uint8_t key[16])
{
    if (!note->is_owed || since(lookups, note->asked_at_us) < OWED_AGAIN_US)
        return;
    note->asked_at_us = lookups->loop->mono_us;
    (void)send_learned(lookups, key, (struct span){note->text, note->len}, note->until_s);
}

/* All that is owed, a part of the notes each turn. */
static void pay_all(void *arg)
{
    struct lease_lookups *lookups = arg;
    uint8_t key[16];
    for (unsigned i = 0; i < PAY_PER_TURN; i++) {
        struct store_note *note =
            store_notes_next(notes_of(lookups, LEASE_TOKEN), &lookups->paid, key);
        if (note == NULL)
            return;
        struct span project = {note->text, note->len};
        bool is_done = !note->is_owed || send_learned(lookups, key, project, note->until_s);
        store_notes_leave(note);
        if (!is_done) {
            atomic_store(&lookups->lease->notes.has_owed, true); /* when others are paid */
            return;
        }
    }
    loop_task_schedule(lookups->loop, &lookups->pay);
}

static bool ask_redis(struct lease_lookups *lookups, struct lease_lookup *lookup)
{
    uint64_t now_s = now_s_of(lookups);
    enum standing standing = FALLEN;
    struct store_note *note = store_notes_find(notes_of(lookups, lookup->kind), lookup->key);
    fill(lookup, note, now_s);
    if (note != NULL) {
        standing = judge(lookups, lookup->kind, note, now_s);
        pay_owed(lookups, note, lookup->key);
        store_notes_leave(note);
    }
    if (standing == STANDS)
        return true;
    struct lease_query *query = query_begin(lookups, lookup);
    if (standing == AGES)
        return true;
    if (query != NULL && lookup->may_wait) {
        wait_for(lookups, lookup, query);
        return false;
    }
    if (lookup->is_unknown)
        metrics_add(lookups->loop->metrics, METRICS_LOOKUPS_UNKNOWN, 1);
    return true;
}

static void ask_memory(const struct lease_worker *worker, struct lease_lookup *lookup)
{
    struct store_note *note =
        store_notes_find(store_memory_tokens(worker->lease->memory), lookup->key);
    fill(lookup, note, worker->loop->wall_us / 1000000);
    lookup->is_unknown = false;
    if (note != NULL)
        store_notes_leave(note);
}

bool lease_lookup_ask(struct lease_worker *worker, struct lease_lookup *lookup)
{
    lookup->query = NULL;
    list_init(&lookup->node);
    list_init(&lookup->due);
    if (worker->lookups != NULL)
        return ask_redis(worker->lookups, lookup);
    ask_memory(worker, lookup);
    return true;
}

bool lease_lookup_peek(const struct lease *lease, const struct loop *loop,
                       struct lease_lookup *lookup)
{
    const bool is_memory = lease->memory != NULL;
    const struct store_notes *notes =
        is_memory ? store_memory_tokens(lease->memory) : &lease->notes.kinds[lookup->kind];
    uint64_t now_us = is_memory ? loop->wall_us : lease_now_us(lease, loop);
    struct store_note *note = store_notes_find(notes, lookup->key);
    fill(lookup, note, now_us / 1000000);
    bool stands =
        is_memory || (!lookup->is_unknown &&
                      loop->mono_us - note->told_at_us < STANDS_US[lookup->kind][lookup->len != 0]);
    if (note != NULL)
        store_notes_leave(note);
    return stands;
}

struct span lease_lookup_project(struct span value, uint64_t now_s)
{
    uint64_t until_s;
    struct span project;
    return read_token(value, &until_s, &project) && until_s > now_s ? project : SPAN_NONE;
}

bool lease_lookup_learn(struct lease_worker *worker, const uint8_t key[16], struct span project,
                        uint64_t until_s)
{
    struct lease_lookups *lookups = worker->lookups;
    const struct store_notes *notes = lookups == NULL ? store_memory_tokens(worker->lease->memory)
                                                      : notes_of(lookups, LEASE_TOKEN);
    uint64_t now_s = lookups == NULL ? worker->loop->wall_us / 1000000 : now_s_of(lookups);
    struct store_note *note = store_notes_take(notes, key, now_s);
    if (note == NULL && lookups == NULL)
        return false;
    if (note != NULL) {
        store_note_set(note, project, until_s, worker->loop->mono_us);
        note->used_s = (uint32_t)now_s;
        note->is_owed = lookups != NULL;
        note->asked_at_us = worker->loop->mono_us;
        store_notes_leave(note);
    }
    bool is_sent = lookups != NULL && send_learned(lookups, key, project, until_s);
    if (lookups != NULL && !is_sent)
        atomic_store(&lookups->lease->notes.has_owed, true);
    return note != NULL || is_sent;
}

/* ---- making ---- */

struct lease_lookups *lease_lookups_new(struct lease *lease, struct loop *loop,
                                        struct store_redis_route *route)
{
    struct lease_lookups *lookups = calloc(1, sizeof(*lookups));
    if (lookups == NULL)
        return NULL;
    lookups->lease = lease;
    lookups->loop = loop;
    lookups->route = route;
    list_init(&lookups->waiting);
    list_init(&lookups->spare);
    loop_task_init(&lookups->pay, pay_all, lookups);
    for (unsigned i = 0; i < LEASE_LOOKUP_BUCKETS; i++)
        list_init(&lookups->buckets[i]);
    lookups->alarm = loop_alarm_new(loop, on_decision_time, lookups);
    if (lookups->alarm != NULL)
        return lookups;
    free(lookups);
    return NULL;
}

static void free_queries(struct list *list)
{
    LIST_EACH_SAFE (node, list)
        free(LIST_OF(node, struct lease_query, node));
}

void lease_lookups_free(struct lease_lookups *lookups)
{
    if (lookups == NULL)
        return;
    for (unsigned i = 0; i < LEASE_LOOKUP_BUCKETS; i++)
        free_queries(&lookups->buckets[i]);
    free_queries(&lookups->spare);
    loop_task_cancel(&lookups->pay);
    loop_alarm_free(lookups->alarm);
    free(lookups);
}
