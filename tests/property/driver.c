/* SPDX-License-Identifier: Apache-2.0 */
/* driver - the engine behind lines, for tests in Python: the embedded store, and our side of Redis.  Reads one
 * command a line:
 *
 *   quota ID ALGORITHM BURST PERIOD:LIMIT...      make quota ID (1..255); again: change it
 *   charge NOW_US ID:SUBJECT:COST...              -> "charged|refused|away" and per window
 *                                                    " used/limit/left/refused/end_us/start_s"
 *   correct NOW_US INDEX DELTA                    correct charge INDEX of the last `keep`; -> "N"
 *   keep N                                        keep the charges of the last `charge` as number N
 *   save PATH NOW_US | load PATH NOW_US           -> "0" or an error number
 *   fresh                                         forget everything
 *   forget                                        what our side of Redis has seen
 *   script                                        -> the script that runs in Redis, in hexadecimal
 *   claim NOW_US ID:SUBJECT:COST...               -> per charge "ID-SUBJECT HEX": the key and its argument
 *   answer NUMBER...                              what the script said to them -> as charge
 *   owe NOW_US N INDEX DELTA                      correct a kept charge; goes with the next claim -> "0|1"
 *
 *   lease P NOW_US MONO_US ID:SUBJECT:COST        one request at proxy P -> "spent START...", "refused" or
 *                                                    "claim NUMBER KEY HEX"; NUMBER names the claim
 *   return P KEEP NOW_US ID:SUBJECT               proxy P gives back all but KEEP -> "none" or "claim ..."
 *   tell P NOW_US ID:SUBJECT                      proxy P tells a server that was started anew -> as return
 *   epoch N                                       claims go to another server
 *   heard NUMBER MONO_US NUMBER...                what the script said to that claim -> "spent START...", "refused"
 *                                                    or "settled"; without numbers it was lost -> "lost"
 *   killed P                                      proxy P forgets
 *
 * ALGORITHM: 0 fixed, 1 sliding, 2 token_bucket.  */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lease/lease_policy.h"
#include "lease/lease_private.h"
#include "quota/quota_algorithm.h"
#include "store/store_memory.h"

#define QUOTAS   256
#define KEPT     4096
#define LINE     4096
#define SUBJECTS 4096
#define EPOCH    7 /* of the first server */

struct asked {
    struct quota quotas[QUOTA_MAX_PER_ROUTE]; /* as they were */
    struct quota_charge charges[QUOTA_MAX_PER_ROUTE];
    unsigned count;
};

static struct quota quotas[QUOTAS];
static struct asked last, *kept[KEPT];
static struct store_memory *store;

/* Our side of Redis. */
static struct subject {
    uint8_t key[16];
    struct lease_cell cell;
} subjects[SUBJECTS];
static unsigned subject_count;
static struct store_redis_claim claims[QUOTA_MAX_PER_ROUTE];

static void make_quota(char *rest)
{
    unsigned id = (unsigned)strtoul(strtok(rest, " "), NULL, 10) % QUOTAS;
    struct quota *quota = &quotas[id];
    *quota = (struct quota){.id = {(uint8_t)id, 1}};
    quota->algorithm = (uint8_t)strtoul(strtok(NULL, " "), NULL, 10);
    quota->burst = (uint32_t)strtoul(strtok(NULL, " "), NULL, 10);
    for (char *word; (word = strtok(NULL, " \n")) != NULL && quota->limit_count < 4;) {
        struct quota_limit *limit = &quota->limits[quota->limit_count++];
        limit->period_s = (uint32_t)strtoul(word, &word, 10);
        limit->limit = (uint32_t)strtoul(word + 1, NULL, 10);
        limit->count = 1;
    }
    printf("ok\n");
}

static void print_charges(const char *answer)
{
    printf("%s", answer);
    for (unsigned i = 0; i < last.count; i++) {
        const struct quota_charge *charge = &last.charges[i];
        for (unsigned w = 0; w < charge->quota->limit_count; w++) {
            const struct quota_reading *reading = &charge->readings[w];
            bool is_fixed = charge->quota->algorithm == QUOTA_FIXED;
            uint32_t left = reading->used < reading->limit ? reading->limit - reading->used : 0;
            uint64_t end_us =
                ((uint64_t)reading->start_s + charge->quota->limits[w].period_s) * 1000000;
            printf(" %u/%u/%u/%d/%" PRIu64 "/%u", reading->used, reading->limit,
                   is_fixed ? left : charge->outlooks[w].left, reading->refused,
                   is_fixed ? end_us : charge->outlooks[w].end_us, reading->start_s);
        }
    }
    printf("\n");
}

static uint64_t read_charges(char *rest)
{
    uint64_t now_us = strtoull(strtok(rest, " "), NULL, 10);
    memset(&last, 0, sizeof(last));
    for (char *word; (word = strtok(NULL, " \n")) != NULL && last.count < QUOTA_MAX_PER_ROUTE;) {
        unsigned id = (unsigned)strtoul(word, &word, 10) % QUOTAS;
        uint64_t subject = strtoull(word + 1, &word, 10);
        struct quota_charge *one = &last.charges[last.count];
        last.quotas[last.count] = quotas[id];
        one->quota = &last.quotas[last.count++];
        one->cost = (uint32_t)strtoul(word + 1, NULL, 10);
        uint64_t words[2] = {(subject + 1) * UINT64_C(0x9e3779b97f4a7c15), subject << 8 | id};
        memcpy(one->key, words, sizeof(words));
    }
    return now_us;
}

static void charge(char *rest)
{
    static const char *const answers[] = {[STORE_CHARGED] = "charged",
                                          [STORE_REFUSED] = "refused",
                                          [STORE_PENDING] = "pending",
                                          [STORE_AWAY] = "away"};
    uint64_t now_us = read_charges(rest);
    print_charges(answers[store_memory_charge(store, last.charges, last.count, now_us, NULL)]);
}

static struct lease_cell *cell_of(const uint8_t key[16])
{
    for (unsigned i = 0; i < subject_count; i++) {
        if (memcmp(subjects[i].key, key, 16) == 0)
            return &subjects[i].cell;
    }
    if (subject_count == SUBJECTS)
        exit(1);
    memcpy(subjects[subject_count].key, key, 16);
    return &subjects[subject_count++].cell;
}

static void claim(char *rest)
{
    uint64_t now_us = read_charges(rest);
    for (unsigned i = 0; i < last.count; i++) {
        const struct quota_charge *one = &last.charges[i];
        char bytes[STORE_REDIS_CLAIM_BYTES_MAX];
        lease_cell_settle(cell_of(one->key), one->quota, now_us / 1000000);
        lease_cell_claim(cell_of(one->key), one->quota, one->cost, true, &claims[i]);
        char *end = store_redis_claim_write(bytes, &claims[i], EPOCH);
        if ((size_t)(end - bytes) != store_redis_claim_bytes(&claims[i]))
            exit(1);
        uint64_t words[2];
        memcpy(words, one->key, sizeof(words));
        printf("%s%" PRIu64 "-%" PRIu64 " ", i == 0 ? "" : " ", words[1] & 255, words[1] >> 8);
        for (const char *byte = bytes; byte < end; byte++)
            printf("%02x", (unsigned char)*byte);
    }
    printf("\n");
}

static void answer(char *rest)
{
    int64_t numbers[128];
    unsigned count = 0;
    struct store_redis_answer said;
    for (char *word = strtok(rest, " \n"); word != NULL && count < 128; word = strtok(NULL, " \n"))
        numbers[count++] = strtoll(word, NULL, 10);
    if (!store_redis_answer_read(&said, numbers, count, claims, last.count))
        exit(1);
    for (unsigned i = 0; i < last.count; i++) {
        struct quota_charge *one = &last.charges[i];
        lease_cell_learn(cell_of(one->key), &claims[i], &said.keys[i], said.now_us, 0);
        lease_fill_charge(one, &claims[i], &said.keys[i], said.granted, said.now_us);
    }
    print_charges(said.granted ? "charged" : "refused");
}

static void owe(char *rest)
{
    uint64_t now_us = strtoull(strtok(rest, " "), NULL, 10);
    unsigned number = (unsigned)strtoul(strtok(NULL, " "), NULL, 10) % KEPT;
    unsigned index = (unsigned)strtoul(strtok(NULL, " "), NULL, 10) % QUOTA_MAX_PER_ROUTE;
    const struct quota_charge *one = &kept[number]->charges[index];
    lease_cell_settle(cell_of(one->key), one->quota, now_us / 1000000);
    int32_t delta = (int32_t)strtol(strtok(NULL, " "), NULL, 10);
    printf("%d\n", lease_cell_correct(cell_of(one->key), one, delta));
}

static void keep(char *rest)
{
    unsigned number = (unsigned)strtoul(rest, NULL, 10) % KEPT;
    if (kept[number] == NULL)
        kept[number] = malloc(sizeof(*kept[number]));
    if (kept[number] == NULL)
        exit(1);
    *kept[number] = last;
    for (unsigned i = 0; i < last.count; i++)
        kept[number]->charges[i].quota = &kept[number]->quotas[i];
    printf("ok\n");
}

static void correct(char *rest)
{
    uint64_t now_us = strtoull(strtok(rest, " "), NULL, 10);
    unsigned number = (unsigned)strtoul(strtok(NULL, " "), NULL, 10) % KEPT;
    unsigned index = (unsigned)strtoul(strtok(NULL, " "), NULL, 10) % QUOTA_MAX_PER_ROUTE;
    int32_t delta = (int32_t)strtol(strtok(NULL, " "), NULL, 10);
    printf("%d\n", store_memory_correct(store, &kept[number]->charges[index], delta, now_us));
}

static void file(char *rest, bool is_save)
{
    char why[256], *path = strtok(rest, " ");
    uint64_t now_us = strtoull(strtok(NULL, " "), NULL, 10);
    enum err err = is_save ? store_memory_save(store, path, now_us, why)
                           : store_memory_load(store, path, now_us, why);
    printf("%d %s\n", err, err == ERR_OK ? "" : why);
}

/* ---- leases ---- */

#define PROXIES 4
#define CLAIMS  64

static struct lease_cell leased[PROXIES][QUOTAS][16];
static struct claimed {
    struct store_redis_claim claim;
    struct quota quota;
    struct lease_cell *cell;
    uint64_t sent_us;
    uint32_t own; /* of a request that waits; 0: a give-back */
} claimed[CLAIMS];
static unsigned claimed_count;

static uint64_t next_number(void)
{
    return strtoull(strtok(NULL, " \n:"), NULL, 10);
}

static uint32_t epoch = EPOCH;

static void print_spent(const struct lease_cell *cell, const struct quota *quota)
{
    printf("spent");
    for (unsigned w = 0; w < quota->limit_count; w++)
        printf(" %u", cell->windows[quota_limit_place(quota, w)].start_s);
    printf("\n");
}

static void print_claim(const struct claimed *one, unsigned id, uint64_t subject)
{
    char bytes[STORE_REDIS_CLAIM_BYTES_MAX];
    const char *end = store_redis_claim_write(bytes, &one->claim, epoch);
    printf("claim %u %u-%" PRIu64 " ", (unsigned)(one - claimed), id, subject);
    for (const char *byte = bytes; byte < end; byte++)
        printf("%02x", (unsigned char)*byte);
    printf("\n");
}

static void lease(char *rest)
{
    unsigned p = (unsigned)strtoul(strtok(rest, " "), NULL, 10) % PROXIES;
    uint64_t now_us = next_number(), mono_us = next_number();
    unsigned id = (unsigned)next_number() % QUOTAS;
    uint64_t subject = next_number();
    uint32_t cost = (uint32_t)next_number();
    const struct quota *quota = &quotas[id];
    struct lease_cell *cell = &leased[p][id][subject % 16];
    lease_cell_settle(cell, quota, now_us / 1000000);
    if (lease_tokens_held(cell, mono_us) >= cost) {
        cell->held -= cost;
        cell->spent += cost;
        print_spent(cell, quota);
        return;
    }
    if (lease_cell_refuses(cell, quota, cost - cell->held, mono_us)) {
        printf("refused\n");
        return;
    }
    struct claimed *one = &claimed[claimed_count++ % CLAIMS];
    *one = (struct claimed){.quota = *quota, .cell = cell, .sent_us = mono_us, .own = cost};
    lease_cell_claim(cell, quota, cost, true, &one->claim);
    lease_policy_note(cell, mono_us);
    one->claim.want = lease_policy_want(cell, quota, now_us, PROXIES) + cost;
    one->claim.divisor = 2 * PROXIES;
    print_claim(one, id, subject);
}

/* What is owed, and of what is held all but some. */
static void settle(char *rest, bool is_told)
{
    unsigned p = (unsigned)strtoul(strtok(rest, " "), NULL, 10) % PROXIES;
    uint32_t keep = is_told ? UINT32_MAX : (uint32_t)next_number();
    uint64_t now_us = next_number();
    unsigned id = (unsigned)next_number() % QUOTAS;
    uint64_t subject = next_number();
    struct lease_cell *cell = &leased[p][id][subject % 16];
    struct claimed *one = &claimed[claimed_count % CLAIMS];
    lease_cell_settle(cell, &quotas[id], now_us / 1000000);
    lease_tokens_trim(cell, keep);
    if (is_told && lease_cell_has_seen(cell, now_us / 1000000))
        cell->must_tell = 1;
    *one = (struct claimed){.quota = quotas[id], .cell = cell};
    if (!lease_cell_claim_debt(cell, &one->claim)) {
        printf("none\n");
        return;
    }
    claimed_count++;
    print_claim(one, id, subject);
}

static void heard(char *rest)
{
    struct claimed *one = &claimed[strtoul(strtok(rest, " \n"), NULL, 10) % CLAIMS];
    uint64_t mono_us = next_number();
    int64_t numbers[128];
    unsigned count = 0;
    struct store_redis_answer said;
    struct lease_batch rest_of_it;
    for (char *word; (word = strtok(NULL, " \n")) != NULL && count < 128;)
        numbers[count++] = strtoll(word, NULL, 10);
    if (count == 0) {
        lease_cell_unclaim(one->cell, &one->claim);
        printf("lost\n");
        return;
    }
    if (!store_redis_answer_read(&said, numbers, count, &one->claim, 1))
        exit(1);
    lease_cell_learn(one->cell, &one->claim, &said.keys[0], said.now_us, one->sent_us);
    if (one->own == 0) {
        printf("settled\n");
        return;
    }
    if (!said.keys[0].is_granted) {
        lease_cell_note_refusal(one->cell, &one->claim, mono_us, one->sent_us);
        printf("refused\n");
        return;
    }
    lease_cell_note_grant(one->cell);
    lease_batch_of(&rest_of_it, &one->claim, &said.keys[0], said.keys[0].granted - one->own,
                   said.now_us, one->sent_us);
    lease_tokens_add(one->cell, &rest_of_it, mono_us);
    printf("spent");
    for (unsigned w = 0; w < one->quota.limit_count; w++)
        printf(" %u", said.keys[0].windows[quota_limit_place(&one->quota, w)].start_s);
    printf("\n");
}

static void killed(char *rest)
{
    unsigned p = (unsigned)strtoul(rest, NULL, 10) % PROXIES;
    memset(leased[p], 0, sizeof(leased[p]));
}

static void forget(void)
{
    memset(leased, 0, sizeof(leased));
    memset(subjects, 0, sizeof(subjects));
    subject_count = 0;
}

static void fresh(void)
{
    forget();
    epoch = EPOCH;
    store_memory_free(store);
    store = store_memory_new(1000);
    if (store == NULL)
        exit(1);
}

int main(void)
{
    char line[LINE];
    fresh();
    while (fgets(line, sizeof(line), stdin) != NULL) {
        char *rest = strchr(line, ' ');
        if (strncmp(line, "forget", 6) == 0) {
            forget();
            printf("ok\n");
        } else if (strncmp(line, "fresh", 5) == 0) {
            fresh();
            printf("ok\n");
        } else if (strncmp(line, "script", 6) == 0) {
            for (const char *byte = STORE_REDIS_CHARGE_LUA; *byte != '\0'; byte++)
                printf("%02x", (unsigned char)*byte);
            printf("\n");
        } else if (rest == NULL) {
            return 2;
        } else if (strncmp(line, "claim ", 6) == 0) {
            claim(rest + 1);
        } else if (strncmp(line, "answer ", 7) == 0) {
            answer(rest + 1);
        } else if (strncmp(line, "lease ", 6) == 0) {
            lease(rest + 1);
        } else if (strncmp(line, "return ", 7) == 0) {
            settle(rest + 1, false);
        } else if (strncmp(line, "tell ", 5) == 0) {
            settle(rest + 1, true);
        } else if (strncmp(line, "epoch ", 6) == 0) {
            epoch = (uint32_t)strtoul(rest + 1, NULL, 10);
            printf("ok\n");
        } else if (strncmp(line, "heard ", 6) == 0) {
            heard(rest + 1);
        } else if (strncmp(line, "killed ", 7) == 0) {
            killed(rest + 1);
            printf("ok\n");
        } else if (strncmp(line, "owe ", 4) == 0) {
            owe(rest + 1);
        } else if (strncmp(line, "quota ", 6) == 0) {
            make_quota(rest + 1);
        } else if (strncmp(line, "charge ", 7) == 0) {
            charge(rest + 1);
        } else if (strncmp(line, "keep ", 5) == 0) {
            keep(rest + 1);
        } else if (strncmp(line, "correct ", 8) == 0) {
            correct(rest + 1);
        } else if (strncmp(line, "save ", 5) == 0 || strncmp(line, "load ", 5) == 0) {
            file(rest + 1, line[0] == 's');
        } else {
            return 2;
        }
        fflush(stdout);
    }
    for (unsigned i = 0; i < KEPT; i++)
        free(kept[i]);
    store_memory_free(store);
    return 0;
}
