/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_registry.c - takes: families and labels.  Gives: slots, sums, the metrics page.  Never: gives
 * one slot to two series but to those that are shown as one, forgets a series, or is called for traffic. */
#include "metrics/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_map.h"
#include "metrics/metrics_table.h"

#define LABELS_MAX 1024 /* rendered labels of one series; longer values are cut */

/* All series of one name stand together on the page, whenever they were made. */
struct family {
    const char *name, *type, *help;
    enum metrics_fold fold;
    unsigned names;           /* that have series of their own */
    metrics_slot first, last; /* NO_SLOT: none yet */
};

struct series {
    char *labels;       /* label1="value1",label2="value2" or "" */
    metrics_slot next;  /* of the family */
    unsigned asked_for; /* in this build, last */
    bool is_hidden;     /* the configuration in force does not have it, or not yet */
    bool is_other;      /* of all the names that have none of their own */
};

struct block_link {
    struct block_link *next;
    struct metrics_block *block;
};

#define NO_SLOT UINT32_MAX

/* Owner: the process.  Freed by: metrics_registry_free.  Thread: any, under the lock; values are read
 * without. */
struct metrics_registry {
    pthread_mutex_t lock;
    struct block_link *blocks;
    struct map by_name; /* family name -> struct family */
    struct map
        by_series; /* "family{labels}" -> slot + 1, as a pointer; "family{label1" -> itself, where that name has series */
    unsigned build;  /* configurations that were begun */
    unsigned folded; /* series of the last one that have no slot of their own */
    struct family *families[METRICS_SLOTS_MAX];
    unsigned family_count;
    metrics_slot slot_count;
    struct series series[METRICS_SLOTS_MAX];
};

static struct family *find_family(struct metrics_registry *registry, const char *name,
                                  const char *type, const char *help, enum metrics_fold fold)
{
    struct family *family = map_find(&registry->by_name, span_of(name));
    if (family != NULL) {
        assert(strcmp(family->type, type) == 0);
        return family;
    }
    if (registry->family_count == METRICS_SLOTS_MAX)
        return NULL;
    family = malloc(sizeof(*family));
    if (family == NULL)
        return NULL;
    *family = (struct family){name, type, help, fold, 0, NO_SLOT, NO_SLOT};
    if (map_add(&registry->by_name, span_of(name), family) != ERR_OK) {
        free(family);
        return NULL;
    }
    registry->families[registry->family_count++] = family;
    return family;
}

/* Append name="value" with the escapes of the text format.  A value that is too long is cut between
 * two characters. */
static size_t put_label(char *out, size_t at, const char *name, struct span value)
{
    if (name == NULL || name[0] == '\0')
        return at;
    size_t room = at + LABELS_MAX / 2;
    int put = snprintf(out + at, room - at, "%s%s=\"", at > 0 ? "," : "", name);
    assert(put > 0 && (size_t)put + 4 < room - at);
    at += (size_t)put;
    while (value.len > 0) {
        size_t len = span_utf8_len(value);
        bool is_char = len > 0;
        len = is_char ? len : 1;
        if (room - at < len + 3)
            break;
        const char *escape = value.ptr[0] == '\\'   ? "\\\\"
                             : value.ptr[0] == '"'  ? "\\\""
                             : value.ptr[0] == '\n' ? "\\n"
                             : is_char              ? NULL
                                                    : "?";
        size_t escape_len = escape == NULL ? len : strlen(escape);
        memcpy(out + at, escape == NULL ? value.ptr : escape, escape_len);
        at += escape_len;
        value.ptr += len;
        value.len -= len;
    }
    out[at++] = '"';
    out[at] = '\0';
    return at;
}

#define KEY_MAX (LABELS_MAX + 256)

/* What the series, or a name of the family, is found by. */
static struct span make_key(char key[KEY_MAX], const char *name, const char *labels,
                            const char *end)
{
    int len = snprintf(key, KEY_MAX, "%s{%s%s", name, labels, end);
    assert(len > 0 && len < KEY_MAX);
    return (struct span){key, (size_t)len};
}

/* 0, or the series' slot + 1: it is one of the configuration that is being read. */
static metrics_slot find_series(struct metrics_registry *registry, const char *name,
                                const char *labels)
{
    char key[KEY_MAX];
    metrics_slot known =
        (metrics_slot)(uintptr_t)map_find(&registry->by_series, make_key(key, name, labels, "}"));
    if (known != 0)
        registry->series[known - 1].asked_for = registry->build;
    return known;
}

/* `count` slots in a row for a series that there is not yet, linked into its family.  Under the lock. */
static metrics_slot make_series(struct metrics_registry *registry, struct family *family,
                                const char *labels, unsigned count)
{
    char key[KEY_MAX];
    metrics_slot slot = registry->slot_count;
    char *copy = METRICS_SLOTS_MAX - slot < count ? NULL : strdup(labels);
    if (copy == NULL || map_add(&registry->by_series, make_key(key, family->name, labels, "}"),
                                (void *)((uintptr_t)slot + 1)) != ERR_OK) {
        free(copy);
        return METRICS_SLOT_LOST;
    }
    registry->slot_count += count;
    registry->series[slot] = (struct series){.labels = copy,
                                             .next = NO_SLOT,
                                             .asked_for = registry->build,
                                             .is_hidden = family->fold != METRICS_FOLD_OWN};
    if (family->first == NO_SLOT)
        family->first = slot;
    else
        registry->series[family->last].next = slot;
    family->last = slot;
    return slot;
}

static unsigned slots_of(const char *type)
{
    return strcmp(type, "histogram") == 0 ? METRICS_HISTOGRAM_SLOTS : 1;
}

static bool make_fixed(struct metrics_registry *registry, metrics_slot slot)
{
    const struct metrics_row *row = &metrics_rows[slot];
    char labels[LABELS_MAX] = "";
    put_label(labels, 0, row->label, span_of(row->value));
    struct family *family =
        find_family(registry, row->name, row->type, row->help, METRICS_FOLD_OWN);
    return family != NULL && make_series(registry, family, labels, slots_of(row->type)) == slot;
}

struct metrics_registry *metrics_registry_new(void)
{
    struct metrics_registry *registry = calloc(1, sizeof(*registry));
    if (registry == NULL)
        return NULL;
    pthread_mutex_init(&registry->lock, NULL);
    map_init(&registry->by_name);
    map_init(&registry->by_series);
    for (metrics_slot i = 0; i < METRICS_FIXED; i++) {
        if (metrics_rows[i].name != NULL && !make_fixed(registry, i)) {
            metrics_registry_free(registry);
            return NULL;
        }
    }
    assert(registry->slot_count == METRICS_SLOT_NONE);
    registry->slot_count++;
    return registry;
}

void metrics_registry_free(struct metrics_registry *registry)
{
    if (registry == NULL)
        return;
    while (registry->blocks != NULL) {
        struct block_link *link = registry->blocks;
        registry->blocks = link->next;
        free(link->block);
        free(link);
    }
    for (unsigned i = 0; i < registry->family_count; i++)
        free(registry->families[i]);
    for (metrics_slot i = 0; i < registry->slot_count; i++)
        free(registry->series[i].labels);
    map_fini(&registry->by_name);
    map_fini(&registry->by_series);
    pthread_mutex_destroy(&registry->lock);
    free(registry);
}

struct metrics_block *metrics_registry_add_block(struct metrics_registry *registry)
{
    struct block_link *link = malloc(sizeof(*link));
    /* On cache lines of its own: another thread's block must not share one. */
    struct metrics_block *block = aligned_alloc(64, sizeof(*block));
    if (link == NULL || block == NULL) {
        free(link);
        free(block);
        return NULL;
    }
    memset(block, 0, sizeof(*block));
    pthread_mutex_lock(&registry->lock);
    *link = (struct block_link){registry->blocks, block};
    registry->blocks = link;
    pthread_mutex_unlock(&registry->lock);
    return block;
}

/* Has this name of the family series of its own, or can it have them? */
static bool take_name(struct metrics_registry *registry, struct family *family,
                      const struct metrics_family_row *row, const char *name_labels)
{
    char key[KEY_MAX];
    struct span name = make_key(key, family->name, name_labels, "");
    if (map_find(&registry->by_series, name) != NULL)
        return true;
    if (family->names >= row->names || map_add(&registry->by_series, name, family) != ERR_OK)
        return false;
    family->names++;
    return true;
}

static bool is_pair(const struct metrics_family_row *row)
{
    return row->label2 != NULL && row->values == 1;
}

static metrics_slot fold_series(struct metrics_registry *registry, struct family *family,
                                const struct metrics_family_row *row, struct span value2)
{
    char labels[LABELS_MAX] = "";
    registry->folded++;
    if (row->fold == METRICS_FOLD_DROP)
        return METRICS_SLOT_NONE;
    size_t len = put_label(labels, 0, row->label1, METRICS_OTHER);
    put_label(labels, len, row->label2, is_pair(row) ? METRICS_OTHER : value2);
    metrics_slot known = find_series(registry, row->name, labels);
    metrics_slot slot =
        known != 0 ? known - 1 : make_series(registry, family, labels, slots_of(row->type));
    if (slot != METRICS_SLOT_LOST)
        registry->series[slot].is_other = true;
    return slot;
}

static metrics_slot slot_locked(struct metrics_registry *registry,
                                const struct metrics_family_row *row, struct span value1,
                                struct span value2)
{
    char labels[LABELS_MAX] = "", name[LABELS_MAX] = "";
    size_t len = put_label(labels, 0, row->label1, value1);
    memcpy(name, labels, len + 1);
    put_label(labels, len, row->label2, value2);
    struct family *family = find_family(registry, row->name, row->type, row->help, row->fold);
    metrics_slot lost = row->fold == METRICS_FOLD_DROP ? METRICS_SLOT_NONE : METRICS_SLOT_LOST;
    metrics_slot known = find_series(registry, row->name, labels);
    if (known != 0)
        return known - 1;
    if (family == NULL)
        return lost;
    if (!take_name(registry, family, row, is_pair(row) ? labels : name))
        return row->fold == METRICS_FOLD_OWN ? lost : fold_series(registry, family, row, value2);
    metrics_slot slot = make_series(registry, family, labels, slots_of(row->type));
    return slot == METRICS_SLOT_LOST ? lost : slot;
}

metrics_slot metrics_registry_slot_of(struct metrics_registry *registry,
                                      const struct metrics_family_row *row, struct span value1,
                                      struct span value2)
{
    pthread_mutex_lock(&registry->lock);
    metrics_slot slot = slot_locked(registry, row, value1, value2);
    pthread_mutex_unlock(&registry->lock);
    return slot;
}

metrics_slot metrics_registry_slot(struct metrics_registry *registry, enum metrics_family family,
                                   struct span value1, struct span value2)
{
    return metrics_registry_slot_of(registry, &metrics_family_rows[family], value1, value2);
}

metrics_slot metrics_registry_only(struct metrics_registry *registry, enum metrics_family family)
{
    return metrics_registry_slot(registry, family, SPAN_NONE, SPAN_NONE);
}

bool metrics_registry_is_folded(struct metrics_registry *registry, metrics_slot slot)
{
    assert(slot < METRICS_SLOTS_MAX);
    pthread_mutex_lock(&registry->lock);
    bool is_folded =
        slot == METRICS_SLOT_LOST || slot == METRICS_SLOT_NONE || registry->series[slot].is_other;
    pthread_mutex_unlock(&registry->lock);
    return is_folded;
}

void metrics_registry_begin(struct metrics_registry *registry)
{
    pthread_mutex_lock(&registry->lock);
    registry->build++;
    registry->folded = 0;
    pthread_mutex_unlock(&registry->lock);
}

unsigned metrics_registry_settle(struct metrics_registry *registry)
{
    pthread_mutex_lock(&registry->lock);
    for (unsigned i = 0; i < registry->family_count; i++) {
        const struct family *family = registry->families[i];
        for (metrics_slot slot = family->first; slot != NO_SLOT; slot = registry->series[slot].next)
            registry->series[slot].is_hidden = family->fold != METRICS_FOLD_OWN &&
                                               registry->series[slot].asked_for != registry->build;
    }
    unsigned folded = registry->folded;
    pthread_mutex_unlock(&registry->lock);
    return folded;
}

static uint64_t sum_locked(struct metrics_registry *registry, metrics_slot slot)
{
    uint64_t sum = 0;
    for (struct block_link *link = registry->blocks; link != NULL; link = link->next)
        sum += atomic_load_explicit(&link->block->values[slot], memory_order_relaxed);
    return sum;
}

uint64_t metrics_registry_sum(struct metrics_registry *registry, metrics_slot slot)
{
    assert(slot < METRICS_SLOTS_MAX);
    pthread_mutex_lock(&registry->lock);
    uint64_t sum = sum_locked(registry, slot);
    pthread_mutex_unlock(&registry->lock);
    return sum;
}

struct page {
    char *text;
    size_t len, size;
    bool is_broken; /* out of memory */
};

static void page_put(struct page *page, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void page_put(struct page *page, const char *format, ...)
{
    enum {
        ROW_MAX = LABELS_MAX + 512
    };
    if (page->is_broken)
        return;
    if (page->size - page->len < ROW_MAX) {
        size_t size = page->size * 2 + ROW_MAX;
        char *text = realloc(page->text, size);
        if (text == NULL) {
            page->is_broken = true;
            return;
        }
        page->text = text;
        page->size = size;
    }
    va_list args;
    va_start(args, format);
    int put = vsnprintf(page->text + page->len, ROW_MAX, format, args);
    va_end(args);
    assert(put >= 0 && put < ROW_MAX);
    page->len += (size_t)put;
}

static void put_histogram(struct metrics_registry *registry, struct page *page,
                          const struct family *family, metrics_slot slot)
{
    const char *labels = registry->series[slot].labels;
    const char *comma = labels[0] == '\0' ? "" : ",";
    uint64_t count = 0;
    for (unsigned i = 0; i < METRICS_BUCKETS; i++) {
        count += sum_locked(registry, slot + i);
        page_put(page, "sluice_%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", family->name, labels, comma,
                 metrics_bucket_us[i] / 1e6, count);
    }
    /* _count is what the buckets add up to, so that the page agrees with itself. */
    count += sum_locked(registry, slot + METRICS_BUCKETS);
    uint64_t sum_us = sum_locked(registry, slot + METRICS_SUM);
    const char *open = labels[0] == '\0' ? "" : "{", *close = labels[0] == '\0' ? "" : "}";
    page_put(page, "sluice_%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", family->name, labels, comma,
             count);
    page_put(page, "sluice_%s_sum%s%s%s %" PRIu64 ".%06u\n", family->name, open, labels, close,
             sum_us / 1000000, (unsigned)(sum_us % 1000000));
    page_put(page, "sluice_%s_count%s%s%s %" PRIu64 "\n", family->name, open, labels, close, count);
}

/* "gauge_us": a gauge, counted in microseconds. */
static bool is_us(const char *type)
{
    size_t len = strlen(type);
    return len > 3 && strcmp(type + len - 3, "_us") == 0;
}

/* Read between two blocks, or of a clock, it may be below 0. */
static uint64_t magnitude(uint64_t sum)
{
    return (int64_t)sum < 0 ? 0 - sum : sum;
}

static void put_series(struct metrics_registry *registry, struct page *page,
                       const struct family *family, metrics_slot slot)
{
    const char *labels = registry->series[slot].labels;
    const char *open = labels[0] == '\0' ? "" : "{", *close = labels[0] == '\0' ? "" : "}";
    uint64_t sum = sum_locked(registry, slot);
    if (strcmp(family->type, "histogram") == 0)
        put_histogram(registry, page, family, slot);
    else if (is_us(family->type))
        page_put(page, "sluice_%s%s%s%s %s%" PRIu64 ".%06u\n", family->name, open, labels, close,
                 (int64_t)sum < 0 ? "-" : "", magnitude(sum) / 1000000,
                 (unsigned)(magnitude(sum) % 1000000));
    else if (strcmp(family->type, "gauge") == 0) /* read between two blocks it may be below 0 */
        page_put(page, "sluice_%s%s%s%s %" PRId64 "\n", family->name, open, labels, close,
                 (int64_t)sum);
    else
        page_put(page, "sluice_%s%s%s%s %" PRIu64 "\n", family->name, open, labels, close, sum);
}

/* A family without a series that is shown is not there. */
static void put_family(struct metrics_registry *registry, struct page *page,
                       const struct family *family)
{
    int type_len = (int)(strlen(family->type) - (is_us(family->type) ? 3 : 0));
    bool has_head = false;
    for (metrics_slot slot = family->first; slot != NO_SLOT; slot = registry->series[slot].next) {
        if (registry->series[slot].is_hidden)
            continue;
        if (!has_head)
            page_put(page, "# HELP sluice_%s %s\n# TYPE sluice_%s %.*s\n", family->name,
                     family->help, family->name, type_len, family->type);
        has_head = true;
        put_series(registry, page, family, slot);
    }
}

char *metrics_registry_render(struct metrics_registry *registry, size_t *len)
{
    struct page page = {0};
    pthread_mutex_lock(&registry->lock);
    for (unsigned i = 0; i < registry->family_count; i++)
        put_family(registry, &page, registry->families[i]);
    pthread_mutex_unlock(&registry->lock);
    if (page.is_broken) {
        free(page.text);
        return NULL;
    }
    *len = page.len;
    return page.text;
}
