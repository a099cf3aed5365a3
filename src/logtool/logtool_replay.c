/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_replay.c - see logtool_replay.h: the requests, decided again by stores in memory.  What happened is put in the order
 * of its time: what windows had used before, decisions, and what responses made of charges. */
#include "logtool/logtool_replay.h"

#include <stdlib.h>

#include "logtool/logtool_replay_order.h"
#include "store/store_memory.h"

enum step {
    STEP_BASE, /* before all that happens at the same time */
    STEP_CORRECT,
    STEP_DECIDE,
};

struct step_at {
    uint64_t at_us;
    uint32_t index; /* of a base, or of a request */
    uint32_t step;
};

/* Owner: run_side. */
struct run {
    struct logtool_replay *replay;
    struct logtool_side *side;
    enum logtool_side_id id;
    struct quota_charge **kept; /* by request: charges that a response will correct */
};

void logtool_replay_fini(struct logtool_replay *replay)
{
    logtool_names_fini(&replay->names);
    logtool_seq_fini(&replay->seq);
    logtool_books_fini(&replay->bases);
    logtool_books_fini(&replay->changes);
    for (unsigned i = 0; i < LOGTOOL_SIDES; i++) {
        store_memory_free(replay->sides[i].store);
        free(replay->sides[i].refused);
    }
    free(replay->requests);
    free(replay->items);
    free(replay->unknown);
    free(replay->room);
    *replay = (struct logtool_replay){0};
}

static int compare_steps(const void *a, const void *b)
{
    const struct step_at *one = a, *other = b;
    if (one->at_us != other->at_us)
        return one->at_us < other->at_us ? -1 : 1;
    if (one->step != other->step)
        return one->step < other->step ? -1 : 1;
    return one->index < other->index ? -1 : one->index > other->index;
}

static const struct logtool_item *items_of(const struct logtool_replay *replay,
                                           const struct logtool_request *request,
                                           enum logtool_side_id id)
{
    unsigned before = id == LOGTOOL_NEW ? request->item_count[LOGTOOL_OLD] : 0;
    return &replay->items[request->items + before];
}

static bool has_delta(const struct logtool_replay *replay, const struct logtool_request *request,
                      enum logtool_side_id id)
{
    const struct logtool_item *items = items_of(replay, request, id);
    for (unsigned i = 0; i < request->item_count[id]; i++)
        if (items[i].delta != 0)
            return true;
    return false;
}

static void key_of(const struct run *run, uint16_t quota, uint32_t subject, uint8_t key[16])
{
    const uint32_t words[] = {quota, subject};
    struct hash128 hash = hash_sip128(run->replay->key, words, sizeof(words));
    memcpy(key, &hash, 16);
}

/* ---- what windows had used ---- */

/* The same quota of the new plan: by name, counted by the same identities.  -1: there is none. */
static int same_quota(const struct logtool_replay *replay, const struct quota *quota)
{
    const struct plan *old = replay->sides[LOGTOOL_OLD].plan;
    const struct plan *next = replay->sides[LOGTOOL_NEW].plan;
    for (unsigned i = 0; i < next->quota_count; i++) {
        const struct quota *other = &next->quotas[i];
        bool is_same = span_eq(other->name, quota->name) && other->key_count == quota->key_count &&
                       other->algorithm == QUOTA_FIXED;
        for (unsigned k = 0; is_same && k < quota->key_count; k++)
            is_same =
                span_eq(old->identities[quota->key[k]].name, next->identities[other->key[k]].name);
        if (is_same)
            return (int)i;
    }
    return -1;
}

static void put_base(const struct run *run, const struct logtool_book *base)
{
    const struct logtool_side *old = &run->replay->sides[LOGTOOL_OLD];
    const struct logtool_item item = {.quota = base->series};
    const struct quota *quota = logtool_replay_quota(old->plan, &item);
    unsigned overflowed = 0;
    struct quota_charge charge;
    uint8_t key[16];
    int index = base->series;
    if (quota == NULL || base->domain >= quota->limit_count || base->kept > INT32_MAX)
        return;
    if (run->id == LOGTOOL_NEW)
        index = index < (int)old->plan->quota_count ? same_quota(run->replay, quota) : -1;
    if (index < 0)
        return;
    struct quota only = *quota;
    only.limit_count = 1;
    only.limits[0] = quota->limits[base->domain];
    only.limits[0].limit = INT32_MAX;
    key_of(run, (uint16_t)index, base->subject, key);
    quota_charge_begin(&charge, &only, key, (uint32_t)base->kept);
    (void)store_memory_charge(run->side->store, &charge, 1, (uint64_t)base->start_s * 1000000,
                              &overflowed);
    run->side->overflowed += overflowed;
}

/* ---- decisions ---- */

static bool is_refuser(const struct quota_charge *charge)
{
    for (unsigned w = 0; w < charge->quota->limit_count; w++)
        if (charge->readings[w].refused)
            return true;
    return false;
}

static enum err note_change(struct logtool_replay *replay, const struct logtool_item *item,
                            bool is_refused)
{
    const struct logtool_book of = {.subject = item->subject, .series = item->quota};
    struct logtool_book *book;
    enum err err = logtool_books_take(&replay->changes, &of, &book);
    if (err == ERR_LIMIT)
        replay->limit = "more than 8,000,000 subjects of quotas that are decided otherwise";
    if (err != ERR_OK)
        return err;
    book->refused += is_refused;
    book->near += !is_refused;
    return ERR_OK;
}

static enum err note_refusal(const struct run *run, const struct logtool_request *request,
                             const struct quota_charge *charges)
{
    const struct logtool_item *items = items_of(run->replay, request, run->id);
    enum err err = ERR_OK;
    for (unsigned i = 0; i < request->item_count[run->id] && err == ERR_OK; i++) {
        if (!is_refuser(&charges[i]))
            continue;
        run->side->refused[items[i].quota]++;
        if (run->id == LOGTOOL_NEW && !request->is_logged_refused)
            err = note_change(run->replay, &items[i], true);
    }
    return err;
}

static enum err keep_charges(const struct run *run, uint32_t index,
                             const struct quota_charge *charges, unsigned count)
{
    run->kept[index] = malloc(count * sizeof(*charges));
    if (run->kept[index] == NULL)
        return ERR_NOMEM;
    memcpy(run->kept[index], charges, count * sizeof(*charges));
    return ERR_OK;
}

static enum err decide(const struct run *run, uint32_t index, uint64_t at_us)
{
    struct logtool_request *request = &run->replay->requests[index];
    const struct logtool_item *items = items_of(run->replay, request, run->id);
    struct quota_charge charges[QUOTA_MAX_PER_ROUTE];
    unsigned count = request->item_count[run->id], overflowed = 0;
    if (count == 0 || request->is_skipped[run->id])
        return ERR_OK;
    for (unsigned i = 0; i < count; i++) {
        const struct quota *quota = logtool_replay_quota(run->side->plan, &items[i]);
        bool is_gate = items[i].quota >= run->side->plan->quota_count;
        uint8_t key[16];
        if (quota == NULL) { /* the log counted who is unlimited: it is not of this configuration */
            request->is_skipped[run->id] = true;
            return ERR_OK;
        }
        key_of(run, items[i].quota, items[i].subject, key);
        quota_charge_begin(&charges[i], quota, key, is_gate ? 1 : request->cost[run->id]);
    }
    enum store_answer answer =
        store_memory_charge(run->side->store, charges, count, at_us, &overflowed);
    run->side->overflowed += overflowed;
    if (answer == STORE_AWAY) {
        run->replay->limit =
            "more than 4,000 different periods, or 1,000 quotas whose subjects are too many";
        return ERR_LIMIT;
    }
    request->is_refused[run->id] = answer == STORE_REFUSED;
    if (answer == STORE_REFUSED)
        return note_refusal(run, request, charges);
    return has_delta(run->replay, request, run->id) ? keep_charges(run, index, charges, count)
                                                    : ERR_OK;
}

static void correct(const struct run *run, uint32_t index, uint64_t at_us)
{
    const struct logtool_request *request = &run->replay->requests[index];
    const struct logtool_item *items = items_of(run->replay, request, run->id);
    struct quota_charge *charges = run->kept[index];
    for (unsigned i = 0; charges != NULL && i < request->item_count[run->id]; i++)
        if (items[i].delta != 0)
            (void)store_memory_correct(run->side->store, &charges[i], items[i].delta, at_us);
    free(charges);
    run->kept[index] = NULL;
}

/* All that happens, in order; *count of them.  NULL: no memory. */
static struct step_at *make_steps(const struct run *run, size_t *count)
{
    const struct logtool_replay *replay = run->replay;
    size_t room = 2 * (size_t)replay->request_count + replay->bases.count + 1, at = 0;
    struct step_at *steps = calloc(room, sizeof(*steps));
    for (uint32_t i = 0; steps != NULL && i < replay->bases.count; i++) {
        const struct logtool_book *base = logtool_books_at(&replay->bases, i);
        if (base->kept != 0)
            steps[at++] = (struct step_at){(uint64_t)base->start_s * 1000000, i, STEP_BASE};
    }
    for (uint32_t i = 0; steps != NULL && i < replay->request_count; i++) {
        const struct logtool_request *request = &replay->requests[i];
        steps[at++] = (struct step_at){request->at_us, i, STEP_DECIDE};
        uint64_t end_us = request->end_us > request->at_us ? request->end_us : request->at_us + 1;
        if (has_delta(replay, request, run->id))
            steps[at++] = (struct step_at){end_us, i, STEP_CORRECT};
    }
    if (steps != NULL)
        qsort(steps, at, sizeof(*steps), compare_steps);
    *count = at;
    return steps;
}

static enum err run_side(struct logtool_replay *replay, enum logtool_side_id id)
{
    struct run run = {.replay = replay, .side = &replay->sides[id], .id = id};
    uint64_t subjects = (uint64_t)replay->names.count * (run.side->plan->quota_count + 1);
    enum err err = ERR_NOMEM;
    size_t count = 0;
    struct step_at *steps = make_steps(&run, &count);
    run.kept = calloc((size_t)replay->request_count + 1, sizeof(*run.kept));
    run.side->store = store_memory_new(subjects < LOGTOOL_NAMES_MAX ? (uint32_t)subjects + 1024
                                                                    : LOGTOOL_NAMES_MAX);
    if (steps == NULL || run.kept == NULL || run.side->store == NULL)
        goto out;
    err = ERR_OK;
    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        if (steps[i].step == STEP_BASE)
            put_base(&run, logtool_books_at(&replay->bases, steps[i].index));
        else if (steps[i].step == STEP_DECIDE)
            err = decide(&run, steps[i].index, steps[i].at_us);
        else
            correct(&run, steps[i].index, steps[i].at_us);
    }
out:
    for (uint32_t i = 0; run.kept != NULL && i < replay->request_count; i++)
        free(run.kept[i]);
    free(run.kept);
    free(steps);
    return err;
}

/* ---- what came out ---- */

static enum err compare_request(struct logtool_replay *replay,
                                const struct logtool_request *request)
{
    const struct logtool_item *items = items_of(replay, request, LOGTOOL_NEW);
    enum err err = ERR_OK;
    if (!request->is_skipped[LOGTOOL_OLD] && request->item_count[LOGTOOL_OLD] != 0) {
        replay->compared++;
        replay->same += request->is_refused[LOGTOOL_OLD] == request->is_logged_refused;
    }
    if (request->is_skipped[LOGTOOL_NEW])
        return ERR_OK;
    replay->judged++;
    replay->refused[LOGTOOL_OLD] += request->is_logged_refused;
    replay->refused[LOGTOOL_NEW] += request->is_refused[LOGTOOL_NEW];
    replay->newly_refused += request->is_refused[LOGTOOL_NEW] && !request->is_logged_refused;
    if (!request->is_logged_refused || request->is_refused[LOGTOOL_NEW])
        return ERR_OK;
    replay->newly_admitted++;
    for (unsigned i = 0; i < request->item_count[LOGTOOL_NEW] && err == ERR_OK; i++)
        err = note_change(replay, &items[i], false);
    return err;
}

static bool is_more(const struct logtool_replay *replay, const struct logtool_book *a,
                    const struct logtool_book *b)
{
    if (a->refused != b->refused)
        return a->refused > b->refused;
    if (a->near != b->near)
        return a->near > b->near;
    struct span one = logtool_names_text(&replay->names, a->subject);
    struct span other = logtool_names_text(&replay->names, b->subject);
    int order = memcmp(one.ptr, other.ptr, one.len < other.len ? one.len : other.len);
    return order != 0 ? order < 0 : one.len < other.len;
}

static void rank(struct logtool_replay *replay, uint32_t number)
{
    const struct logtool_book *book = logtool_books_at(&replay->changes, number);
    unsigned at = replay->top_count;
    while (at > 0 && is_more(replay, book, logtool_books_at(&replay->changes, replay->top[at - 1])))
        at--;
    if (at == LOGTOOL_REPLAY_TOP)
        return;
    if (replay->top_count < LOGTOOL_REPLAY_TOP)
        replay->top_count++;
    for (unsigned i = replay->top_count - 1; i > at; i--)
        replay->top[i] = replay->top[i - 1];
    replay->top[at] = number;
}

/* A line's time is a whole millisecond, and lines of one stand in the order of their ends: they are spread over it.  A
 * decision stays in its second, and so in the windows that its line names. */
static void spread_times(struct logtool_replay *replay)
{
    for (uint32_t from = 0, to; from < replay->request_count; from = to) {
        const uint64_t end_us = replay->requests[from].end_us;
        for (to = from + 1; to < replay->request_count && replay->requests[to].end_us == end_us;)
            to++;
        for (uint32_t i = from; i < to; i++) {
            struct logtool_request *request = &replay->requests[i];
            uint64_t shift_us = (uint64_t)(i - from + 1) * 1000 / (to - from + 1);
            uint64_t last_us = request->at_us - request->at_us % 1000000 + 999999;
            request->end_us += shift_us;
            request->at_us =
                request->at_us + shift_us < last_us ? request->at_us + shift_us : last_us;
        }
    }
}

enum err logtool_replay_run(struct logtool_replay *replay)
{
    spread_times(replay);
    enum err err = logtool_replay_order(replay);
    if (err == ERR_OK)
        err = run_side(replay, LOGTOOL_OLD);
    if (err == ERR_OK)
        err = run_side(replay, LOGTOOL_NEW);
    for (uint32_t i = 0; i < replay->request_count && err == ERR_OK; i++)
        err = compare_request(replay, &replay->requests[i]);
    for (uint32_t i = 0; i < replay->changes.count; i++)
        rank(replay, i);
    return err;
}

bool logtool_replay_is_proved(const struct logtool_replay *replay)
{
    return replay->compared != 0 && (unsigned __int128)replay->same * 10000 >=
                                        (unsigned __int128)replay->compared * LOGTOOL_REPLAY_NEEDED;
}
