/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_seq.c - see logtool_seq.h. */
#include "logtool/logtool_seq.h"

#include <stdlib.h>

#include "base/base_rng.h"

#define PLACES    (2 * LOGTOOL_BOOTS_MAX)
#define FRESH_MAX 512

/* ---- boots ---- */

static struct span boot_id(const struct logtool_boot *boot)
{
    return (struct span){boot->id, boot->id_len};
}

static unsigned boot_place(const struct logtool_seq *seq, struct span id)
{
    unsigned at = (unsigned)hash_sip64(seq->key, id.ptr, id.len) % PLACES;
    while (seq->places[at] != 0 && !span_eq(boot_id(&seq->boots[seq->places[at] - 1]), id))
        at = (at + 1) % PLACES;
    return at;
}

/* boot_count: there is none. */
static unsigned boot_find(const struct logtool_seq *seq, struct span id)
{
    if (seq->boot_count == 0 || span_eq(boot_id(&seq->boots[seq->last]), id))
        return seq->last;
    unsigned found = seq->places[boot_place(seq, id)];
    return found == 0 ? seq->boot_count : found - 1;
}

static enum err boot_make(struct logtool_seq *seq, struct span id)
{
    if (seq->boot_count == LOGTOOL_BOOTS_MAX)
        return ERR_LIMIT;
    if (seq->boots == NULL)
        seq->boots = calloc(LOGTOOL_BOOTS_MAX, sizeof(*seq->boots));
    if (seq->places == NULL) {
        rng_secret(&seq->key, sizeof(seq->key));
        seq->places = calloc(PLACES, sizeof(*seq->places));
    }
    if (seq->boots == NULL || seq->places == NULL)
        return ERR_NOMEM;
    struct logtool_boot *boot = &seq->boots[seq->boot_count];
    memcpy(boot->id, id.ptr, id.len);
    boot->id_len = (uint8_t)id.len;
    boot->root = seq->boot_count++;
    seq->places[boot_place(seq, id)] = (uint16_t)seq->boot_count;
    return ERR_OK;
}

/* ---- runs ---- */

static bool is_place(const struct logtool_runs *list, unsigned at, uint64_t number)
{
    return at <= list->count && (at == 0 || list->runs[at - 1].to < number) &&
           (at == list->count || list->runs[at].to >= number);
}

/* The first run that ends at the number or later. */
static unsigned runs_place(const struct logtool_runs *list, uint64_t number)
{
    unsigned low = 0, high = list->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (list->runs[middle].to < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool runs_have(const struct logtool_runs *list, unsigned at, uint64_t number)
{
    return at < list->count && list->runs[at].from <= number;
}

/* By a number that they do not have.  False: it touches none. */
static bool runs_extend(struct logtool_runs *list, unsigned at, uint64_t number)
{
    if (at > 0 && list->runs[at - 1].to + 1 == number)
        list->runs[at - 1].to = number;
    else if (at < list->count && list->runs[at].from == number + 1)
        list->runs[at].from = number;
    else
        return false;
    return true;
}

static enum err runs_insert(struct logtool_runs *list, unsigned at, uint64_t number)
{
    if (list->count == list->room) {
        unsigned room = list->room == 0 ? 8 : 2 * list->room;
        struct logtool_run *runs = realloc(list->runs, room * sizeof(*runs));
        if (runs == NULL)
            return ERR_NOMEM;
        list->runs = runs;
        list->room = room;
    }
    memmove(list->runs + at + 1, list->runs + at, (list->count - at) * sizeof(*list->runs));
    list->runs[at] = (struct logtool_run){number, number};
    list->count++;
    return ERR_OK;
}

/* Both lists of a boot in one order. */
struct walk {
    const struct logtool_boot *boot;
    unsigned kept, fresh;
};

static const struct logtool_run *walk_next(struct walk *walk)
{
    const struct logtool_runs *kept = &walk->boot->kept, *fresh = &walk->boot->fresh;
    bool has_kept = walk->kept < kept->count, has_fresh = walk->fresh < fresh->count;
    if (has_kept && (!has_fresh || kept->runs[walk->kept].from < fresh->runs[walk->fresh].from))
        return &kept->runs[walk->kept++];
    return has_fresh ? &fresh->runs[walk->fresh++] : NULL;
}

/* Fresh ones are kept from here on, and those that touch become one. */
static enum err boot_settle(struct logtool_seq *seq, struct logtool_boot *boot)
{
    unsigned room = boot->kept.count + boot->fresh.count, count = 0;
    struct logtool_run *runs = malloc(room * sizeof(*runs));
    struct walk walk = {.boot = boot};
    if (runs == NULL)
        return ERR_NOMEM;
    for (const struct logtool_run *run; (run = walk_next(&walk)) != NULL;) {
        if (count != 0 && runs[count - 1].to + 1 == run->from)
            runs[count - 1].to = run->to;
        else
            runs[count++] = *run;
    }
    free(boot->kept.runs);
    boot->kept = (struct logtool_runs){runs, count, room};
    boot->fresh.count = 0;
    seq->run_count -= room - count;
    return ERR_OK;
}

static bool is_full(const struct logtool_seq *seq, const struct logtool_boot *boot)
{
    return boot->kept.count + boot->fresh.count == LOGTOOL_RUNS_MAX ||
           seq->run_count == LOGTOOL_RUNS_ALL_MAX;
}

static enum err boot_begin_run(struct logtool_seq *seq, struct logtool_boot *boot, uint64_t number)
{
    enum err err = ERR_OK;
    if (boot->fresh.count == FRESH_MAX || (boot->fresh.count != 0 && is_full(seq, boot)))
        err = boot_settle(seq, boot);
    if (err == ERR_OK && is_full(seq, boot))
        err = ERR_LIMIT;
    if (err == ERR_OK)
        err = runs_insert(&boot->fresh, runs_place(&boot->fresh, number), number);
    seq->run_count += err == ERR_OK;
    return err;
}

static enum err boot_note(struct logtool_seq *seq, struct logtool_boot *boot, uint64_t number,
                          bool *is_new)
{
    /* Lines of a file follow each other. */
    if (!is_place(&boot->kept, boot->last, number))
        boot->last = runs_place(&boot->kept, number);
    unsigned fresh = runs_place(&boot->fresh, number);
    *is_new =
        !runs_have(&boot->kept, boot->last, number) && !runs_have(&boot->fresh, fresh, number);
    if (!*is_new || runs_extend(&boot->kept, boot->last, number) ||
        runs_extend(&boot->fresh, fresh, number))
        return ERR_OK;
    return boot_begin_run(seq, boot, number);
}

/* ---- lines ---- */

/* What the writer could not write stands right before the event that tells so. */
static void note_dropped(struct logtool_seq *seq, struct logtool_boot *boot,
                         const struct logtool_line *line)
{
    uint64_t from = line->from_seq, count = line->lost;
    if (count == 0 || count == UINT64_MAX)
        return;
    bool has_place = from != 0 && from < line->seq && count <= line->seq - from;
    seq->told_lost += count < UINT64_MAX - seq->told_lost ? count : 0;
    seq->told_apart += has_place || count >= UINT64_MAX - seq->told_apart ? 0 : count;
    if (!has_place || (boot->told_from != 0 && boot->told_from <= from))
        return;
    boot->told_from = from;
    boot->told_to = from + count - 1;
}

static void note_start(struct logtool_boot *boot, const struct logtool_line *line)
{
    if (line->previous_boot.len == 0 || line->previous_boot.len > LOGTOOL_BOOT_MAX)
        return;
    memcpy(boot->previous, line->previous_boot.ptr, line->previous_boot.len);
    boot->previous_len = (uint8_t)line->previous_boot.len;
    boot->previous_seq = line->previous_seq;
    boot->is_anew = line->previous.len != 0;
    boot->is_sequel = span_eq(line->previous, SPAN("killed"));
}

/* Of a parent's chain of serving processes any one will do: their start lines tie them. */
static void note_takeover(struct logtool_boot *boot, const struct logtool_line *line)
{
    if (line->from_boot.len == 0 || line->from_boot.len > LOGTOOL_BOOT_MAX)
        return;
    memcpy(boot->heir_of, line->from_boot.ptr, line->from_boot.len);
    boot->heir_of_len = (uint8_t)line->from_boot.len;
}

enum err logtool_seq_take(struct logtool_seq *seq, const struct logtool_line *line, unsigned *boot,
                          bool *is_new)
{
    unsigned at = boot_find(seq, line->boot);
    enum err err = at == seq->boot_count ? boot_make(seq, line->boot) : ERR_OK;
    if (err != ERR_OK)
        return err;
    struct logtool_boot *found = &seq->boots[at];
    *boot = seq->last = at;
    err = boot_note(seq, found, line->seq, is_new);
    if (err != ERR_OK)
        return err;
    seq->duplicates += !*is_new;
    if (span_eq(line->event, SPAN("start")))
        note_start(found, line);
    else if (span_eq(line->event, SPAN("takeover")))
        note_takeover(found, line);
    else if (*is_new && span_eq(line->event, SPAN("dropped")))
        note_dropped(seq, found, line);
    return ERR_OK;
}

unsigned logtool_seq_killed(const struct logtool_seq *seq)
{
    unsigned killed = 0;
    for (unsigned i = 0; i < seq->boot_count; i++)
        killed += seq->boots[i].is_sequel;
    return killed;
}

/* All that are tied to either take the root of the one before. */
static void unite(struct logtool_seq *seq, const struct logtool_boot *boot, struct span before)
{
    unsigned at = before.len == 0 ? seq->boot_count : boot_find(seq, before);
    if (at == seq->boot_count)
        return;
    unsigned from = boot->root, to = seq->boots[at].root;
    for (unsigned k = 0; k < seq->boot_count; k++)
        if (seq->boots[k].root == from)
            seq->boots[k].root = to;
}

void logtool_seq_link(struct logtool_seq *seq, bool has_state)
{
    for (unsigned i = 0; i < seq->boot_count; i++) {
        const struct logtool_boot *boot = &seq->boots[i];
        bool goes_on = !boot->is_anew || (has_state && !boot->is_sequel);
        if (goes_on)
            unite(seq, boot, (struct span){boot->previous, boot->previous_len});
        unite(seq, boot, (struct span){boot->heir_of, boot->heir_of_len});
    }
}

static void gap_put(struct logtool_gap *gaps, unsigned room, uint64_t *count, uint64_t *missing,
                    struct logtool_gap gap)
{
    if (*count < room)
        gaps[*count] = gap;
    ++*count;
    *missing += gap.to - gap.from + 1;
}

static uint64_t last_of(const struct logtool_runs *list)
{
    return list->count == 0 ? 0 : list->runs[list->count - 1].to;
}

static void boot_gaps(const struct logtool_boot *boot, struct logtool_gap *gaps, unsigned room,
                      uint64_t *count, uint64_t *missing)
{
    struct walk walk = {.boot = boot};
    const struct logtool_run *run = walk_next(&walk);
    if (run == NULL)
        return;
    if (boot->told_from != 0 && boot->told_from < run->from) {
        uint64_t to = boot->told_to < run->from ? boot->told_to : run->from - 1;
        gap_put(gaps, room, count, missing, (struct logtool_gap){boot, boot->told_from, to});
    }
    for (const struct logtool_run *next; (next = walk_next(&walk)) != NULL; run = next)
        if (next->from > run->to + 1)
            gap_put(gaps, room, count, missing,
                    (struct logtool_gap){boot, run->to + 1, next->from - 1});
}

uint64_t logtool_seq_gaps(const struct logtool_seq *seq, struct logtool_gap *gaps, unsigned room,
                          uint64_t *missing)
{
    uint64_t count = 0;
    *missing = 0;
    for (unsigned i = 0; i < seq->boot_count; i++)
        boot_gaps(&seq->boots[i], gaps, room, &count, missing);
    for (unsigned i = 0; i < seq->boot_count; i++) {
        const struct logtool_boot *later = &seq->boots[i];
        unsigned at = later->previous_len == 0
                          ? seq->boot_count
                          : boot_find(seq, (struct span){later->previous, later->previous_len});
        if (at == seq->boot_count || later->previous_seq == UINT64_MAX)
            continue;
        const struct logtool_boot *boot = &seq->boots[at];
        uint64_t kept = last_of(&boot->kept), fresh = last_of(&boot->fresh);
        uint64_t last = kept > fresh ? kept : fresh;
        if (last < later->previous_seq)
            gap_put(gaps, room, &count, missing,
                    (struct logtool_gap){boot, last + 1, later->previous_seq});
    }
    return count;
}

void logtool_seq_fini(struct logtool_seq *seq)
{
    for (unsigned i = 0; i < seq->boot_count; i++) {
        free(seq->boots[i].kept.runs);
        free(seq->boots[i].fresh.runs);
    }
    free(seq->places);
    free(seq->boots);
    *seq = (struct logtool_seq){0};
}
