/* SPDX-License-Identifier: Apache-2.0 */
/* plan_difference.c - see plan_difference.h. */
#include "plan/plan_difference.h"

#include <stdlib.h>
#include <string.h>

#include "base/base_fmt.h"
#include "base/base_parse.h"
#include "plan/plan_draft.h"

#define SHOWN_TEXT_MAX 120 /* bytes of a value in a sentence */
#define SHOWN_JSON_MAX 512
#define NAME_JSON_MAX  4096 /* of a label, escaped */

/* --- more or less -------------------------------------------------------------------------------- */

enum effect {
    EFFECT_MORE,
    EFFECT_LESS,
    EFFECT_ADDED,
    EFFECT_REMOVED,
    EFFECT_OPENED,
    EFFECT_CLOSED,
    EFFECT_CHANGED,
    EFFECT_REORDERED,
};

static const char *const EFFECTS[] = {
    [EFFECT_MORE] = "more",       [EFFECT_LESS] = "less",           [EFFECT_ADDED] = "added",
    [EFFECT_REMOVED] = "removed", [EFFECT_OPENED] = "opened",       [EFFECT_CLOSED] = "closed",
    [EFFECT_CHANGED] = "changed", [EFFECT_REORDERED] = "reordered",
};

/* Which way callers get more. */
enum sense {
    SENSE_LIMIT, /* the higher, or without it */
    SENSE_HIGHER,
    SENSE_LOWER,
    SENSE_SET, /* with it */
    SENSE_WORD,
    SENSE_MORE_TEXTS,
    SENSE_FEWER_TEXTS,
};

struct rule {
    const char *item; /* its beginning */
    const char *path; /* whole, or its beginning when it ends in a space or is empty */
    enum sense sense;
    const char *word; /* of SENSE_WORD, as JSON: the one that gives more */
};

static const struct rule RULES[] = {
    {"quota ", "limits ", SENSE_LIMIT, NULL},
    {"quota ", "in_flight", SENSE_LIMIT, NULL},
    {"quota ", "burst", SENSE_HIGHER, NULL},
    {"quota ", "mode", SENSE_WORD, "\"shadow\""},
    {"quota ", "exempt", SENSE_SET, NULL},
    {"quota ", "exempt addresses", SENSE_MORE_TEXTS, NULL},
    {"quota ", "exempt subjects", SENSE_MORE_TEXTS, NULL},
    {"quota ", "exempt preflight", SENSE_WORD, "true"},
    {"quota ", "charge", SENSE_SET, NULL},
    {"quota ", "charge on", SENSE_FEWER_TEXTS, NULL},
    {"tier ", "", SENSE_LIMIT, NULL},
    {"identity ", "unverified ", SENSE_LIMIT, NULL},
    {"route ", "cost estimate", SENSE_LOWER, NULL},
    {"route ", "cost max", SENSE_LOWER, NULL},
    {"route ", "quotas", SENSE_FEWER_TEXTS, NULL},
};

static bool rule_fits(const struct rule *rule, const struct config_change *change)
{
    size_t len = strlen(rule->path);
    if (strncmp(change->item, rule->item, strlen(rule->item)) != 0)
        return false;
    if (len == 0 || rule->path[len - 1] == ' ')
        return strncmp(change->path, rule->path, len) == 0;
    return strcmp(change->path, rule->path) == 0;
}

static const struct rule *rule_of(const struct config_change *change)
{
    for (size_t i = 0; i < sizeof(RULES) / sizeof(RULES[0]); i++)
        if (rule_fits(&RULES[i], change))
            return &RULES[i];
    return NULL;
}

/* A limit as a number: without one UINT64_MAX, several in an object fewer than that.  False: it is none. */
static bool limit_of(struct config_shown shown, uint64_t *number)
{
    *number = UINT64_MAX;
    if (shown.json == NULL || strcmp(shown.json, "\"unlimited\"") == 0)
        return true;
    if (shown.json[0] == '{') {
        *number = 0;
        return true;
    }
    return parse_u64(span_of(shown.json), number);
}

static enum effect effect_of_numbers(const struct config_change *change, enum sense sense)
{
    uint64_t was, is;
    bool is_known = limit_of(change->was, &was) && limit_of(change->is, &is);
    if (sense != SENSE_LIMIT)
        is_known = is_known && change->was.json != NULL && change->is.json != NULL;
    if (!is_known || was == is)
        return EFFECT_CHANGED;
    return (is > was) == (sense != SENSE_LOWER) ? EFFECT_MORE : EFFECT_LESS;
}

static enum effect effect_of_texts(const struct config_change *change, enum sense sense)
{
    bool is_both = change->added != 0 && change->removed != 0;
    if (change->kind != CONFIG_CHANGE_TEXTS || is_both)
        return EFFECT_CHANGED;
    return (change->added != 0) == (sense == SENSE_MORE_TEXTS) ? EFFECT_MORE : EFFECT_LESS;
}

static enum effect effect_of_value(const struct config_change *change)
{
    const struct rule *rule = rule_of(change);
    if (rule == NULL)
        return EFFECT_CHANGED;
    switch (rule->sense) {
    case SENSE_MORE_TEXTS:
    case SENSE_FEWER_TEXTS:
        return effect_of_texts(change, rule->sense);
    case SENSE_SET:
        if ((change->was.json == NULL) == (change->is.json == NULL))
            return EFFECT_CHANGED;
        return change->is.json != NULL ? EFFECT_MORE : EFFECT_LESS;
    case SENSE_WORD:
        return change->is.json != NULL && strcmp(change->is.json, rule->word) == 0 ? EFFECT_MORE
                                                                                   : EFFECT_LESS;
    default:
        return effect_of_numbers(change, rule->sense);
    }
}

static enum effect effect_of(const struct config_change *change)
{
    bool is_listener = strncmp(change->item, "listener ", 9) == 0 && change->path[0] == '\0';
    switch (change->kind) {
    case CONFIG_CHANGE_ADDED:
        return is_listener ? EFFECT_OPENED : EFFECT_ADDED;
    case CONFIG_CHANGE_REMOVED:
        return is_listener ? EFFECT_CLOSED : EFFECT_REMOVED;
    case CONFIG_CHANGE_REORDERED:
        return EFFECT_REORDERED;
    case CONFIG_CHANGE_HIDDEN:
        return EFFECT_CHANGED;
    default:
        return effect_of_value(change);
    }
}

/* --- words --------------------------------------------------------------------------------------- */

static void put_text(FILE *out, struct config_shown shown, bool is_limit)
{
    if (shown.json == NULL) {
        fputs(is_limit ? "no limit" : "(unset)", out);
        return;
    }
    size_t len = strlen(shown.text), cut = len;
    if (len > SHOWN_TEXT_MAX) {
        cut = SHOWN_TEXT_MAX;
        while (cut > 0 && ((unsigned char)shown.text[cut] & 0xc0) == 0x80)
            cut--;
    }
    fwrite(shown.text, 1, cut, out);
    if (cut < len)
        fprintf(out, "... (%zu bytes)", len);
}

static bool is_short(struct config_shown shown)
{
    return shown.json == NULL || strlen(shown.json) <= SHOWN_TEXT_MAX;
}

static void put_values(FILE *out, const struct config_change *change)
{
    const struct rule *rule = rule_of(change);
    bool is_limit = rule != NULL && rule->sense == SENSE_LIMIT;
    bool has_values = change->was.json != NULL || change->is.json != NULL;
    if (!has_values ||
        (change->kind == CONFIG_CHANGE_TEXTS && !(is_short(change->was) && is_short(change->is)))) {
        fprintf(out, "%zu added, %zu removed", change->added, change->removed);
        return;
    }
    put_text(out, change->was, is_limit);
    fputs(" -> ", out);
    put_text(out, change->is, is_limit);
}

/* One line without its newline. */
static void put_sentence(FILE *out, const struct config_change *change, enum effect effect)
{
    const char *key = change->path;
    if (effect == EFFECT_MORE || effect == EFFECT_LESS) {
        fprintf(out, "%s gives %s: %s%s", change->item, EFFECTS[effect], key,
                key[0] == '\0' ? "" : " ");
        put_values(out, change);
        return;
    }
    fprintf(out, "%s%s%s", change->item, key[0] == '\0' ? "" : ": ", key);
    if (effect == EFFECT_REORDERED) {
        fputs(" are in another order", out);
    } else if (effect != EFFECT_CHANGED || change->kind == CONFIG_CHANGE_HIDDEN) {
        fprintf(out, " is %s", EFFECTS[effect]);
    } else {
        fputs(key[0] == '\0' ? ": " : " ", out);
        put_values(out, change);
    }
}

static void put_name(FILE *out, const char *member, const char *name)
{
    char text[NAME_JSON_MAX];
    bool is_cut = false, has_bytes = false;
    char *end = fmt_json_text(text, text + sizeof(text), span_of(name), &is_cut, &has_bytes);
    fprintf(out, ",\"%s\":\"%.*s\"", member, (int)(end - text), text);
}

static void put_json_value(FILE *out, const char *member, struct config_shown shown)
{
    if (shown.json == NULL)
        fprintf(out, ",\"%s\":null", member);
    else if (strlen(shown.json) <= SHOWN_JSON_MAX)
        fprintf(out, ",\"%s\":%s", member, shown.json);
}

static void put_json(FILE *out, const struct config_change *change, enum effect effect)
{
    fprintf(out, "{\"effect\":\"%s\"", EFFECTS[effect]);
    put_name(out, "item", change->item);
    if (change->path[0] != '\0')
        put_name(out, "key", change->path);
    if (change->kind == CONFIG_CHANGE_TEXTS)
        fprintf(out, ",\"added\":%zu,\"removed\":%zu", change->added, change->removed);
    if (change->was.json != NULL || change->is.json != NULL) {
        put_json_value(out, "was", change->was);
        put_json_value(out, "is", change->is);
    }
    fputc('}', out);
}

/* --- all of them --------------------------------------------------------------------------------- */

enum group {
    GROUP_MORE,
    GROUP_LESS,
    GROUP_ROUTES,
    GROUP_LISTENERS,
    GROUP_SERVERS,
    GROUP_REST,
    GROUP_COUNT,
};

/* Sentences, each with its newline, and objects, each with a comma behind it. */
struct pile {
    FILE *text_out, *json_out;
    char *text, *json;
    size_t text_len, json_len;
};

struct making {
    struct plan_difference *difference;
    struct pile piles[GROUP_COUNT];
    size_t text_bytes, json_bytes; /* of all */
};

static enum group group_of(const struct config_change *change, enum effect effect)
{
    bool is_item = effect != EFFECT_CHANGED;
    if (effect == EFFECT_MORE)
        return GROUP_MORE;
    if (effect == EFFECT_LESS)
        return GROUP_LESS;
    if (is_item && (strncmp(change->item, "route ", 6) == 0 || strcmp(change->item, "routes") == 0))
        return GROUP_ROUTES;
    if (is_item && strncmp(change->item, "listener ", 9) == 0)
        return GROUP_LISTENERS;
    if (is_item && strncmp(change->item, "upstream ", 9) == 0)
        return GROUP_SERVERS;
    return GROUP_REST;
}

/* Written whole or not at all; false: there is no room for it. */
static bool pile_add(FILE *out, size_t *bytes, size_t max, const struct config_change *change,
                     enum effect effect, bool is_json)
{
    char *text = NULL;
    size_t len = 0;
    FILE *one = open_memstream(&text, &len);
    if (one == NULL)
        return false;
    if (is_json)
        put_json(one, change, effect);
    else
        put_sentence(one, change, effect);
    fputc(is_json ? ',' : '\n', one);
    bool is_good = fclose(one) == 0 && *bytes + len <= max;
    if (is_good) {
        fwrite(text, 1, len, out);
        *bytes += len;
    }
    free(text);
    return is_good;
}

static void on_change(void *arg, const struct config_change *change)
{
    struct making *making = arg;
    enum effect effect = effect_of(change);
    struct pile *pile = &making->piles[group_of(change, effect)];
    bool is_told = pile_add(pile->text_out, &making->text_bytes, PLAN_DIFFERENCE_TEXT_MAX - 64,
                            change, effect, false);
    is_told = pile_add(pile->json_out, &making->json_bytes, PLAN_DIFFERENCE_JSON_MAX - 64, change,
                       effect, true) &&
              is_told;
    making->difference->count++;
    making->difference->left_off += !is_told;
}

static bool making_begin(struct making *making)
{
    bool is_good = true;
    for (unsigned i = 0; i < GROUP_COUNT; i++) {
        struct pile *pile = &making->piles[i];
        pile->text_out = open_memstream(&pile->text, &pile->text_len);
        pile->json_out = open_memstream(&pile->json, &pile->json_len);
        is_good = is_good && pile->text_out != NULL && pile->json_out != NULL;
    }
    return is_good;
}

static bool making_close(FILE *out)
{
    bool is_good = out != NULL && ferror(out) == 0;
    return out != NULL && fclose(out) == 0 && is_good;
}

static bool making_end(struct making *making)
{
    bool is_good = true;
    for (unsigned i = 0; i < GROUP_COUNT; i++) {
        is_good &= making_close(making->piles[i].text_out);
        is_good &= making_close(making->piles[i].json_out);
    }
    return is_good;
}

/* The piles one behind the other. */
static bool making_join(struct making *making)
{
    struct plan_difference *difference = making->difference;
    char *text = malloc(PLAN_DIFFERENCE_TEXT_MAX), *json = malloc(PLAN_DIFFERENCE_JSON_MAX);
    difference->text = text;
    difference->json = json;
    if (text == NULL || json == NULL)
        return false;
    *json++ = '[';
    for (unsigned i = 0; i < GROUP_COUNT; i++) {
        const struct pile *pile = &making->piles[i];
        text = fmt_span(text, (struct span){pile->text, pile->text_len});
        json = fmt_span(json, (struct span){pile->json, pile->json_len});
    }
    if (json[-1] == ',')
        json--;
    memcpy(json, "]", 2);
    *text = '\0';
    if (difference->left_off != 0)
        snprintf(text, 64, "(%u changes are too many or too long to be shown)\n",
                 difference->left_off);
    return true;
}

bool plan_difference_make(struct plan_difference *difference, const struct plan *old,
                          const struct plan *next)
{
    struct making making = {.difference = difference};
    *difference = (struct plan_difference){0};
    bool is_good = making_begin(&making) && plan_compare(old, next, on_change, &making);
    is_good = making_end(&making) && is_good && making_join(&making);
    for (unsigned i = 0; i < GROUP_COUNT; i++) {
        free(making.piles[i].text);
        free(making.piles[i].json);
    }
    if (!is_good)
        plan_difference_fini(difference);
    return is_good;
}

void plan_difference_fini(struct plan_difference *difference)
{
    free(difference->text);
    free(difference->json);
    *difference = (struct plan_difference){0};
}
