/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_replay_show.c - what `sluice replay` says.  Never: shows what the other policy would have done when the old one does
 * not come out as logged. */
#include <inttypes.h>
#include <stdlib.h>

#include "config/config_json.h"
#include "logtool/logtool_replay.h"
#include "logtool/logtool_show.h"

static const struct {
    const char *name, *sentence;
} UNJUDGED[LOGTOOL_UNJUDGED_COUNT] = {
    [LOGTOOL_UNJUDGED_NO_HEAD] = {"no_head", "had no head that was logged whole"},
    [LOGTOOL_UNJUDGED_EARLY] = {"early", "ended before quotas were asked"},
    [LOGTOOL_UNJUDGED_DEGRADED] = {"degraded", "were decided without the store"},
    [LOGTOOL_UNJUDGED_SLOT] = {"in_flight", "were refused since all slots were taken"},
    [LOGTOOL_UNJUDGED_IDENTITY] = {"identity", "need an identity that was not logged"},
};

/* The new side asks no bucket of an identity. */
static struct span quota_name(const struct logtool_replay *replay, unsigned quota)
{
    return replay->sides[LOGTOOL_NEW].plan->quotas[quota].name;
}

static void show_top(FILE *out, const struct logtool_replay *replay)
{
    if (replay->top_count != 0)
        fprintf(out, "\n  %-16s%-28s%16s%16s\n", "quota", "subject", "newly refused",
                "newly admitted");
    for (unsigned i = 0; i < replay->top_count; i++) {
        const struct logtool_book *book = logtool_books_at(&replay->changes, replay->top[i]);
        fputs("  ", out);
        logtool_show_column(out, quota_name(replay, book->series), 16);
        logtool_show_column(
            out,
            logtool_subject_show(replay->room, logtool_names_text(&replay->names, book->subject)),
            28);
        fprintf(out, "%16" PRIu32 "%16" PRIu32 "\n", book->refused, book->near);
    }
}

static void show_new(FILE *out, const struct logtool_replay *replay)
{
    const struct plan *plan = replay->sides[LOGTOOL_NEW].plan;
    fprintf(out,
            "the new policy refuses %" PRIu64 " of %" PRIu64 " requests (the old one %" PRIu64
            "): %" PRIu64 " newly refused, %" PRIu64 " newly admitted\n",
            replay->refused[LOGTOOL_NEW], replay->judged, replay->refused[LOGTOOL_OLD],
            replay->newly_refused, replay->newly_admitted);
    for (unsigned i = 0; i < plan->quota_count; i++) {
        if (replay->sides[LOGTOOL_NEW].refused[i] == 0)
            continue;
        fputs("  refused by ", out);
        logtool_show_column(out, plan->quotas[i].name, 28);
        fprintf(out, "%10" PRIu64 "\n", replay->sides[LOGTOOL_NEW].refused[i]);
    }
    show_top(out, replay);
}

static void show_notes(FILE *out, const struct logtool_replay *replay)
{
    const struct plan *plan = replay->sides[LOGTOOL_NEW].plan;
    for (unsigned i = 0; i < LOGTOOL_UNJUDGED_COUNT; i++)
        if (replay->unjudged[i] != 0)
            fprintf(out, "not judged: %" PRIu64 " requests %s\n", replay->unjudged[i],
                    UNJUDGED[i].sentence);
    for (unsigned i = 0; i < plan->identity_count; i++) {
        if (replay->unknown[i] == 0)
            continue;
        fputs("not logged: identity ", out);
        logtool_show_text(out, plan->identities[i].name);
        fprintf(out, ", %" PRIu64 " times\n", replay->unknown[i]);
    }
    if (replay->orders != 0)
        fprintf(out, "note: %" PRIu64 " resets and grants are not replayed\n", replay->orders);
    if (replay->sides[LOGTOOL_OLD].overflowed + replay->sides[LOGTOOL_NEW].overflowed != 0)
        fputs("note: there were more subjects than the replay keeps apart\n", out);
}

struct shown {
    const struct logtool_replay *replay;
    const struct logtool_reading *reading;
};

static void show_replay(FILE *out, const void *arg)
{
    const struct shown *shown = arg;
    const struct logtool_replay *replay = shown->replay;
    double share =
        replay->compared == 0 ? 0 : 100.0 * (double)replay->same / (double)replay->compared;
    logtool_show_reading(out, shown->reading);
    fprintf(out,
            "the old policy, replayed: %" PRIu64 " of %" PRIu64 " decisions as logged (%.3f %%)\n",
            replay->same, replay->compared, share);
    if (logtool_replay_is_proved(replay))
        show_new(out, replay);
    else
        fprintf(out,
                "no answer: at least %.1f %% must come out as logged.  Is this the configuration "
                "that served, and are these the logs of all proxies?\n",
                LOGTOOL_REPLAY_NEEDED / 100.0);
    show_notes(out, replay);
}

char *logtool_replay_text(const struct logtool_replay *replay,
                          const struct logtool_reading *reading)
{
    return logtool_show_whole(show_replay, &(struct shown){replay, reading});
}

/* A member that is called as in a configuration. */
static void set_named(json_t **json, struct span name, uint64_t number)
{
    char *key = strndup(name.ptr, name.len);
    json_t *value = key == NULL ? NULL : json_integer((json_int_t)number);
    config_json_set(json, key == NULL ? "" : key, value);
    free(key);
}

static json_t *top_json(const struct logtool_replay *replay)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < replay->top_count; i++) {
        const struct logtool_book *book = logtool_books_at(&replay->changes, replay->top[i]);
        struct span text = logtool_names_text(&replay->names, book->subject);
        json_t *json = json_object();
        config_json_set(&json, "quota", logtool_show_string(quota_name(replay, book->series)));
        config_json_set(&json, "subject",
                        logtool_show_string(logtool_subject_show(replay->room, text)));
        logtool_show_number(&json, "newly_refused", book->refused);
        logtool_show_number(&json, "newly_admitted", book->near);
        config_json_append(&list, json);
    }
    return list;
}

static json_t *new_json(const struct logtool_replay *replay)
{
    const struct plan *plan = replay->sides[LOGTOOL_NEW].plan;
    json_t *json = json_object(), *quotas = json_object();
    logtool_show_number(&json, "judged", replay->judged);
    logtool_show_number(&json, "refused", replay->refused[LOGTOOL_NEW]);
    logtool_show_number(&json, "refused_by_old", replay->refused[LOGTOOL_OLD]);
    logtool_show_number(&json, "newly_refused", replay->newly_refused);
    logtool_show_number(&json, "newly_admitted", replay->newly_admitted);
    for (unsigned i = 0; i < plan->quota_count; i++)
        set_named(&quotas, plan->quotas[i].name, replay->sides[LOGTOOL_NEW].refused[i]);
    config_json_set(&json, "quotas", quotas);
    config_json_set(&json, "subjects", top_json(replay));
    return json;
}

char *logtool_replay_json(const struct logtool_replay *replay,
                          const struct logtool_reading *reading)
{
    const struct plan *plan = replay->sides[LOGTOOL_NEW].plan;
    json_t *json = logtool_show_reading_json(reading), *unjudged = json_object();
    json_t *unknown = json_object();
    logtool_show_number(&json, "compared", replay->compared);
    logtool_show_number(&json, "as_logged", replay->same);
    config_json_set(&json, "proved", json_boolean(logtool_replay_is_proved(replay)));
    if (logtool_replay_is_proved(replay))
        config_json_set(&json, "new", new_json(replay));
    for (unsigned i = 0; i < LOGTOOL_UNJUDGED_COUNT; i++)
        if (replay->unjudged[i] != 0)
            logtool_show_number(&unjudged, UNJUDGED[i].name, replay->unjudged[i]);
    config_json_set(&json, "not_judged", unjudged);
    for (unsigned i = 0; i < plan->identity_count; i++)
        if (replay->unknown[i] != 0)
            set_named(&unknown, plan->identities[i].name, replay->unknown[i]);
    config_json_set(&json, "identities_not_logged", unknown);
    logtool_show_number(&json, "orders", replay->orders);
    return logtool_show_line(json);
}
