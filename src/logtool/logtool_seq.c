/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_seq.c - see logtool_seq.h. */
#include "logtool/logtool_seq.h"

#include <stdlib.h>

static unsigned boot_find(const struct logtool_seq *seq, struct span id)
{
    for (unsigned i = 0; i < seq->boot_count; i++) {
        unsigned at = (seq->last + i) % seq->boot_count;
        const struct logtool_boot *boot = &seq->boots[at];
        if (span_eq((struct span){boot->id, boot->id_len}, id))
            return at;
    }
    return seq->boot_count;
}

static enum err boot_make(struct logtool_seq *seq, struct span id)
{
    if (seq->boot_count == LOGTOOL_BOOTS_MAX)
        return ERR_LIMIT;
    if (seq->boots == NULL)
        seq->boots = calloc(LOGTOOL_BOOTS_MAX, sizeof(*seq->boots));
    if (seq->boots == NULL)
        return ERR_NOMEM;
    struct logtool_boot *boot = &seq->boots[seq->boot_count];
    memcpy(boot->id, id.ptr, id.len);
    boot->id_len = (uint8_t)id.len;
    boot->root = seq->boot_count++;
    return ERR_OK;
}

/* The first run that ends at `number` - 1 or later. */
static unsigned run_find(const struct logtool_boot *boot, uint64_t number)
{
    unsigned low = 0, high = boot->run_count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (boot->runs[middle].to + 1 < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static enum err run_insert(struct logtool_boot *boot, unsigned at, uint64_t number)
{
    if (boot->run_count == LOGTOOL_RUNS_MAX)
        return ERR_LIMIT;
    if (boot->run_count == boot->run_room) {
        unsigned room = boot->run_room == 0 ? 8 : 2 * boot->run_room;
        struct logtool_run *runs = realloc(boot->runs, room * sizeof(*runs));
        if (runs == NULL)
            return ERR_NOMEM;
        boot->runs = runs;
        boot->run_room = room;
    }
    memmove(boot->runs + at + 1, boot->runs + at, (boot->run_count - at) * sizeof(*boot->runs));
    boot->runs[at] = (struct logtool_run){number, number};
    boot->run_count++;
    return ERR_OK;
}

static enum err boot_note(struct logtool_boot *boot, uint64_t number, bool *is_new)
{
    unsigned at = boot->last; /* lines of a file follow each other */
    *is_new = true;
    if (at >= boot->run_count || boot->runs[at].to + 1 != number)
        at = run_find(boot, number);
    struct logtool_run *run = at < boot->run_count ? &boot->runs[at] : NULL;
    boot->last = at;
    if (run == NULL || number + 1 < run->from)
        return run_insert(boot, at, number);
    if (number >= run->from && number <= run->to) {
        *is_new = false;
        return ERR_OK;
    }
    if (number + 1 == run->from)
        run->from = number;
    else
        run->to = number;
    if (at + 1 < boot->run_count && run[1].from == run->to + 1) {
        run->to = run[1].to;
        memmove(run + 1, run + 2, (boot->run_count - at - 2) * sizeof(*run));
        boot->run_count--;
    }
    return ERR_OK;
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
    err = boot_note(found, line->seq, is_new);
    seq->duplicates += err == ERR_OK && !*is_new;
    if (line->event.len == 0 || line->previous_boot.len == 0 ||
        line->previous_boot.len > LOGTOOL_BOOT_MAX || !span_eq(line->event, SPAN("start")))
        return err;
    memcpy(found->previous, line->previous_boot.ptr, line->previous_boot.len);
    found->previous_len = (uint8_t)line->previous_boot.len;
    found->previous_seq = line->previous_seq;
    return err;
}

void logtool_seq_link(struct logtool_seq *seq)
{
    for (unsigned i = 0; i < seq->boot_count; i++) {
        struct logtool_boot *boot = &seq->boots[i];
        if (boot->previous_len == 0)
            continue;
        unsigned before = boot_find(seq, (struct span){boot->previous, boot->previous_len});
        if (before == seq->boot_count)
            continue;
        /* All of both take the root of the earlier one. */
        unsigned from = boot->root, to = seq->boots[before].root;
        for (unsigned k = 0; k < seq->boot_count; k++)
            if (seq->boots[k].root == from)
                seq->boots[k].root = to;
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

uint64_t logtool_seq_gaps(const struct logtool_seq *seq, struct logtool_gap *gaps, unsigned room,
                          uint64_t *missing)
{
    uint64_t count = 0;
    *missing = 0;
    for (unsigned i = 0; i < seq->boot_count; i++) {
        const struct logtool_boot *boot = &seq->boots[i];
        for (unsigned r = 1; r < boot->run_count; r++)
            gap_put(gaps, room, &count, missing,
                    (struct logtool_gap){boot, boot->runs[r - 1].to + 1, boot->runs[r].from - 1});
    }
    for (unsigned i = 0; i < seq->boot_count; i++) {
        const struct logtool_boot *later = &seq->boots[i];
        unsigned at = later->previous_len == 0
                          ? seq->boot_count
                          : boot_find(seq, (struct span){later->previous, later->previous_len});
        if (at == seq->boot_count || later->previous_seq == UINT64_MAX)
            continue;
        const struct logtool_boot *boot = &seq->boots[at];
        uint64_t last = boot->runs[boot->run_count - 1].to;
        if (last < later->previous_seq)
            gap_put(gaps, room, &count, missing,
                    (struct logtool_gap){boot, last + 1, later->previous_seq});
    }
    return count;
}

void logtool_seq_fini(struct logtool_seq *seq)
{
    for (unsigned i = 0; i < seq->boot_count; i++)
        free(seq->boots[i].runs);
    free(seq->boots);
    *seq = (struct logtool_seq){0};
}
