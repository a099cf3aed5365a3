/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_registry.c - takes: families and labels.  Gives: slots, sums, the metrics page.  Never: gives
 * one slot to two series, forgets a series, or is called for traffic. */
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
    metrics_slot first, last; /* NO_SLOT: none yet */
};

struct series {
    char *labels;      /* label1="value1",label2="value2" or "" */
    metrics_slot next; /* of the family */
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
    struct map by_name;   /* family name -> struct family */
    struct map by_series; /* "family{labels}" -> slot, as a pointer */
    struct family *families[METRICS_SLOTS_MAX];
    unsigned family_count;
    metrics_slot slot_count;
    struct series series[METRICS_SLOTS_MAX];
};

static struct family *find_family(struct metrics_registry *registry, const char *name,
                                  const char *type, const char *help)
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
    *family = (struct family){name, type, help, NO_SLOT, NO_SLOT};
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

/* `count` slots in a row for the series, linked into its family.  Under the lock. */
static metrics_slot make_series(struct metrics_registry *registry, const char *name,
                                const char *type, const char *help, const char *labels,
                                unsigned count)
{
    char key[LABELS_MAX + 256];
    int key_len = snprintf(key, sizeof(key), "%s{%s}", name, labels);
    assert(key_len > 0 && (size_t)key_len < sizeof(key));
    struct span key_span = {key, (size_t)key_len};
    void *known = map_find(&registry->by_series, key_span);
    if (known != NULL)
        return (metrics_slot)(uintptr_t)known - 1;
    if (METRICS_SLOTS_MAX - registry->slot_count < count)
        return METRICS_SLOT_LOST;
    struct family *family = find_family(registry, name, type, help);
    char *copy = strdup(labels);
    metrics_slot slot = registry->slot_count;
    if (family == NULL || copy == NULL ||
        map_add(&registry->by_series, key_span, (void *)((uintptr_t)slot + 1)) != ERR_OK) {
        free(copy);
        return METRICS_SLOT_LOST;
    }
    registry->slot_count += count;
    registry->series[slot] = (struct series){copy, NO_SLOT};
    if (family->first == NO_SLOT)
        family->first = slot;
    else
        registry->series[family->last].next = slot;
    family->last = slot;
    return slot;
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
        const struct metrics_row *row = &metrics_rows[i];
        char labels[LABELS_MAX] = "";
        put_label(labels, 0, row->label, span_of(row->value));
        if (make_series(registry, row->name, row->type, row->help, labels, 1) != i) {
            metrics_registry_free(registry);
            return NULL;
        }
    }
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

metrics_slot metrics_registry_slot(struct metrics_registry *registry, const char *family,
                                   const char *type, const char *help, const char *label1,
                                   struct span value1, const char *label2, struct span value2)
{
    char labels[LABELS_MAX] = "";
    size_t len = put_label(labels, 0, label1, value1);
    put_label(labels, len, label2, value2);
    pthread_mutex_lock(&registry->lock);
    metrics_slot slot = make_series(registry, family, type, help, labels, 1);
    pthread_mutex_unlock(&registry->lock);
    return slot;
}

metrics_slot metrics_registry_histogram(struct metrics_registry *registry, const char *family,
                                        const char *help, const char *label, struct span value)
{
    char labels[LABELS_MAX] = "";
    put_label(labels, 0, label, value);
    pthread_mutex_lock(&registry->lock);
    metrics_slot slot =
        make_series(registry, family, "histogram", help, labels, METRICS_HISTOGRAM_SLOTS);
    pthread_mutex_unlock(&registry->lock);
    return slot;
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

static void put_series(struct metrics_registry *registry, struct page *page,
                       const struct family *family, metrics_slot slot)
{
    const char *labels = registry->series[slot].labels;
    const char *open = labels[0] == '\0' ? "" : "{", *close = labels[0] == '\0' ? "" : "}";
    uint64_t sum = sum_locked(registry, slot);
    if (strcmp(family->type, "histogram") == 0)
        put_histogram(registry, page, family, slot);
    else if (strcmp(family->type, "gauge") == 0) /* read between two blocks it may be below 0 */
        page_put(page, "sluice_%s%s%s%s %" PRId64 "\n", family->name, open, labels, close,
                 (int64_t)sum);
    else
        page_put(page, "sluice_%s%s%s%s %" PRIu64 "\n", family->name, open, labels, close, sum);
}

char *metrics_registry_render(struct metrics_registry *registry, size_t *len)
{
    struct page page = {0};
    pthread_mutex_lock(&registry->lock);
    for (unsigned i = 0; i < registry->family_count; i++) {
        const struct family *family = registry->families[i];
        page_put(&page, "# HELP sluice_%s %s\n# TYPE sluice_%s %s\n", family->name, family->help,
                 family->name, family->type);
        for (metrics_slot slot = family->first; slot != NO_SLOT; slot = registry->series[slot].next)
            put_series(registry, &page, family, slot);
    }
    pthread_mutex_unlock(&registry->lock);
    if (page.is_broken) {
        free(page.text);
        return NULL;
    }
    *len = page.len;
    return page.text;
}
