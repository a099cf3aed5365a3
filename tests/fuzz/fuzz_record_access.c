/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_record_access.c - access lines of requests that a client made up.  Input: numbers, then texts with their lengths
 * (cursor.h).  Checked: a line is one line of valid UTF-8 and JSON within its limit, names each key once, and gives
 * the bytes of each text back: all of them, or a beginning when it says "cut". */
#include <jansson.h>

#include "cursor.h"
#include "json_text.h"
#include "record/record.h"

#define LINE_MAX     (RECORD_LINE_MAX - RECORD_PREFIX_MAX)
#define SUBJECTS_MAX 4

/* Everything that a record borrows. */
struct sample {
    struct record_access record;
    struct quota quotas[QUOTA_MAX_PER_ROUTE];
    struct quota_charge charges[QUOTA_MAX_PER_ROUTE];
    struct quota_decision decision;
    struct record_subject subjects[SUBJECTS_MAX];
};

static void read_charge(struct cursor *cursor, struct quota *quota, struct quota_charge *charge)
{
    static const uint32_t periods[] = {1, 60, 3600, 86400};
    quota->limit_count = (uint8_t)(1 + cursor_byte(cursor) % QUOTA_WINDOWS_MAX);
    quota->on_failure = (uint8_t)(cursor_byte(cursor) % 3);
    charge->quota = quota;
    charge->cost = (uint32_t)cursor_number(cursor, 4);
    unsigned flags = cursor_byte(cursor);
    charge->is_charged = flags & 1;
    charge->is_degraded = flags & 2;
    charge->is_skipped = flags & 4;
    charge->source = (uint8_t)((flags >> 4) % 3);
    for (unsigned w = 0; w < quota->limit_count; w++) {
        struct quota_limit *limit = &quota->limits[w];
        limit->unit = (uint8_t)(cursor_byte(cursor) % 4);
        limit->count = 1 + (uint32_t)cursor_number(cursor, 2) % 366;
        limit->period_s = limit->count * periods[limit->unit];
        limit->limit = (uint32_t)cursor_number(cursor, 4);
        charge->readings[w] = (struct quota_reading){
            .start_s = (uint32_t)cursor_number(cursor, 4),
            .used = (uint32_t)cursor_number(cursor, 4),
            .limit = (uint32_t)cursor_number(cursor, 4),
            .refused = (cursor_byte(cursor) & 1) != 0,
        };
    }
    quota->name = cursor_text(cursor);
}

static void read_decision(struct cursor *cursor, struct sample *sample)
{
    struct record_access *record = &sample->record;
    struct quota_decision *decision = &sample->decision;
    record->charge_count = cursor_byte(cursor) % (QUOTA_MAX_PER_ROUTE + 1);
    for (unsigned i = 0; i < record->charge_count; i++)
        read_charge(cursor, &sample->quotas[i], &sample->charges[i]);
    record->charges = sample->charges;
    record->cost = (uint32_t)cursor_number(cursor, 4);
    unsigned verdict = cursor_byte(cursor) % (QUOTA_UNAVAILABLE + 2);
    if (verdict > QUOTA_UNAVAILABLE)
        return; /* no decision at all */
    record->decision = decision;
    decision->verdict = (enum quota_verdict)verdict;
    decision->retry_after_s = (uint32_t)cursor_number(cursor, 4);
    decision->reset_s = (uint32_t)cursor_number(cursor, 4);
    decision->is_near = cursor_byte(cursor) & 1;
    unsigned choice = cursor_byte(cursor);
    if (record->charge_count == 0 || (choice & 1) == 0)
        return;
    decision->has_binding = true;
    decision->charge = (uint8_t)((choice >> 1) % record->charge_count);
    decision->window = (uint8_t)((choice >> 4) % sample->quotas[decision->charge].limit_count);
}

static uint64_t number_or_none(struct cursor *cursor)
{
    unsigned bytes = cursor_byte(cursor) % 10;
    /* jansson reads integers below 2^63; in microseconds that is 292,000 years. */
    return bytes == 9 ? UINT64_MAX : cursor_number(cursor, bytes) >> 1;
}

static void read_sample(struct cursor *cursor, struct sample *sample)
{
    static const struct span identities[SUBJECTS_MAX] = {
        {"user", 4}, {"project", 7}, {"\xc3\xa9", 2}, {"ip", 2}};
    struct record_access *record = &sample->record;
    memset(sample, 0, sizeof(*sample));
    memset(record->id.hex, 'a', sizeof(record->id.hex));
    unsigned flags = cursor_byte(cursor);
    record->peer_is_unix = flags & 1;
    record->reused = flags & 2;
    record->status = (uint16_t)(cursor_number(cursor, 2) % 600);
    record->wall_us = number_or_none(cursor);
    (void)cursor_number(cursor, 4); /* stood for the generation */
    record->tries = (uint32_t)cursor_number(cursor, 4);
    uint64_t *const numbers[] = {&record->bytes_in,   &record->bytes_out,    &record->t_header_us,
                                 &record->t_store_us, &record->t_connect_us, &record->t_first_us,
                                 &record->t_total_us};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        *numbers[i] = number_or_none(cursor);
    for (unsigned i = 0; i < 16; i++) {
        record->client_ip.bytes[i] = (uint8_t)cursor_byte(cursor);
        record->peer_ip.bytes[i] = flags & 4 ? record->client_ip.bytes[i] : (uint8_t)i;
    }
    read_decision(cursor, sample);
    struct span *const texts[] = {
        &record->path,        &record->query,    &record->host,  &record->method,   &record->proto,
        &record->parent_id,   &record->listener, &record->route, &record->upstream, &record->server,
        &record->upstream_id, &record->end,      &record->reason};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        *texts[i] = cursor_text(cursor);
    record->subject_count = cursor_byte(cursor) % (SUBJECTS_MAX + 1);
    record->subjects = sample->subjects;
    for (unsigned i = 0; i < record->subject_count; i++)
        sample->subjects[i] = (struct record_subject){identities[i], cursor_text(cursor)};
}

/* Behind the quote that opens a string: its closing quote. */
static const char *string_end(const char *at)
{
    while (*at != '"')
        at += *at == '\\' ? 2 : 1;
    return at;
}

/* The string that follows `key` ("\"path\":\"") in the line, outside of other strings; NULL when there is none. */
static const char *find_string(const char *line, const char *key)
{
    const size_t len = strlen(key);
    for (const char *at = line; *at != '\n'; at++) {
        if (*at != '"')
            continue;
        if (strncmp(at, key, len) == 0)
            return at + len;
        at = string_end(at + 1);
    }
    return NULL;
}

/* What stands in the line is the text, or a beginning of it; true when it is all. */
static bool is_recovered(const char *at, struct span text)
{
    const char *end = string_end(at);
    char *back = calloc(1, (size_t)(end - at) + 1);
    bool has_bytes = false;
    FUZZ_CHECK(back != NULL);
    size_t len = json_text_read(at, end, back, &has_bytes);
    FUZZ_CHECK(len <= text.len && (len == 0 || memcmp(back, text.ptr, len) == 0));
    free(back);
    return len == text.len;
}

static bool check_texts(const char *line, const struct record_access *record)
{
    bool is_whole = true;
    const struct {
        const char *key;
        struct span text;
    } rows[] = {
        {"\"parent_id\":\"", record->parent_id},
        {"\"proto\":\"", record->proto},
        {"\"method\":\"", record->method},
        {"\"host\":\"", record->host},
        {"\"path\":\"", record->path},
        {"\"listener\":\"", record->listener},
        {"\"route\":\"", record->route},
        {"\"upstream\":\"", record->upstream},
        {"\"end\":\"", record->end},
        {"\"reason\":\"", record->reason},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *at = find_string(line, rows[i].key);
        FUZZ_CHECK((at != NULL) == (rows[i].text.len != 0));
        if (at != NULL && !is_recovered(at, rows[i].text))
            is_whole = false;
    }
    return is_whole;
}

/* The names of the query, one by one; never what stands behind a "=". */
static bool check_query(const char *line, struct span query)
{
    struct cursor cursor = {(const uint8_t *)query.ptr, query.len};
    const char *at = find_string(line, "\"query\":[\"");
    bool is_whole = true;
    while (cursor.left > 0) {
        struct span param = cursor_line(&cursor, '&');
        param.len = param.len != 0 ? span_find(param, '=') : 0;
        if (param.len == 0)
            continue;
        if (at == NULL)
            return false;
        is_whole = is_recovered(at, param) && is_whole;
        const char *end = string_end(at);
        at = end[1] == ',' ? end + 3 : NULL;
    }
    FUZZ_CHECK(at == NULL);
    return is_whole;
}

static void check_quotas(const json_t *root, const struct record_access *record)
{
    json_t *quotas = json_object_get(root, "quotas"), *subjects = json_object_get(root, "subjects");
    unsigned windows = 0;
    for (unsigned i = 0; i < record->charge_count; i++)
        windows += record->charges[i].quota->limit_count;
    if (record->decision == NULL || record->charge_count == 0) {
        FUZZ_CHECK(quotas == NULL);
    } else {
        FUZZ_CHECK(json_is_array(quotas) && json_array_size(quotas) <= windows);
        if (json_array_size(quotas) < windows)
            FUZZ_CHECK(json_is_true(json_object_get(root, "cut")) &&
                       json_object_get(root, "charges_whole") == NULL);
    }
    FUZZ_CHECK(subjects == NULL || json_object_size(subjects) <= record->subject_count);
    FUZZ_CHECK(json_is_string(json_object_get(root, "decision")));
    FUZZ_CHECK(json_is_string(json_object_get(root, "ts")));
    FUZZ_CHECK((json_object_get(root, "status") != NULL) == (record->status != 0));
}

/* The next line of the same, from what the memo keeps, is the same. */
static void check_again(const char *line, size_t len, const struct record_access *record)
{
    char *again = malloc(LINE_MAX);
    FUZZ_CHECK(again != NULL);
    FUZZ_CHECK((size_t)(record_access_write(again, record) - again) == len);
    FUZZ_CHECK(memcmp(again, line, len) == 0);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sample sample;
    static struct record_memo memo; /* of all lines, as a worker's is */
    static uint32_t
        generation; /* of each input its own: what stands at the same place says something else */
    if (size > 16384)
        return 0;
    char *copy = fuzz_copy(data, size);
    struct cursor cursor = {(const uint8_t *)copy, size};
    read_sample(&cursor, &sample);

    /* In a block of exactly the stated length, so that a sanitizer sees the first byte behind it. */
    char *line = malloc(LINE_MAX);
    FUZZ_CHECK(line != NULL);
    sample.record.memo = &memo;
    sample.record.generation = ++generation;
    char *end = record_access_write(line, &sample.record);
    size_t len = (size_t)(end - line);
    check_again(line, len, &sample.record);
    FUZZ_CHECK(len <= LINE_MAX && line[0] == ',' && memchr(line, '\n', len) == end - 1);
    line[0] = '{';
    json_error_t error;
    json_t *root = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    FUZZ_CHECK(json_is_object(root));
    check_quotas(root, &sample.record);
    bool is_cut = json_is_true(json_object_get(root, "cut"));
    bool is_whole = check_texts(line, &sample.record);
    is_whole = check_query(line, sample.record.query) && is_whole;
    FUZZ_CHECK(is_whole || is_cut);
    json_decref(root);

    struct record_id id;
    if (record_id_parse(&id, sample.record.parent_id))
        FUZZ_CHECK(memcmp(id.hex, sample.record.parent_id.ptr, RECORD_ID_HEX) == 0);
    free(line);
    free(copy);
    return 0;
}
