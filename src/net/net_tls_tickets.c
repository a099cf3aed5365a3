/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls_tickets.c - see net_tls_tickets.h.  Readers copy and look whether the writer was there meanwhile (a sequence
 * lock): the keys change once in an hour, and a lock that a dead child holds would be held for ever. */
#include "net/net_tls_tickets.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#define TICKET_KEYS      2      /* the one that seals, and the one before */
#define TICKET_TRIES     100000 /* of a reader: a parent that is killed while it writes never ends */
#define TICKET_KEY_WORDS (sizeof(struct net_tls_ticket_key) / sizeof(uint64_t))

_Static_assert(sizeof(struct net_tls_ticket_key) % sizeof(uint64_t) == 0,
               "keys are copied in words");

/* Owner: the parent; mapped in every child. */
struct net_tls_tickets {
    _Atomic uint64_t sequence; /* odd while a key is written */
    _Atomic uint64_t words[TICKET_KEYS][TICKET_KEY_WORDS];
};

struct net_tls_tickets *net_tls_tickets_new(void)
{
    struct net_tls_tickets *tickets =
        mmap(NULL, sizeof(*tickets), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (tickets == MAP_FAILED)
        return NULL;
    (void)madvise(tickets, sizeof(*tickets), MADV_DONTDUMP);
    (void)mlock(tickets, sizeof(*tickets));
    /* Twice: a key of zeroes must open nothing. */
    if (net_tls_tickets_rotate(tickets) && net_tls_tickets_rotate(tickets))
        return tickets;
    net_tls_tickets_free(tickets);
    return NULL;
}

void net_tls_tickets_free(struct net_tls_tickets *tickets)
{
    if (tickets != NULL)
        (void)munmap(tickets, sizeof(*tickets));
}

static void tickets_put(struct net_tls_tickets *tickets, unsigned place,
                        const uint64_t words[TICKET_KEY_WORDS])
{
    for (unsigned i = 0; i < TICKET_KEY_WORDS; i++)
        atomic_store_explicit(&tickets->words[place][i], words[i], memory_order_release);
}

bool net_tls_tickets_rotate(struct net_tls_tickets *tickets)
{
    uint64_t old[TICKET_KEY_WORDS], next[TICKET_KEY_WORDS];
    if (RAND_bytes((unsigned char *)next, sizeof(next)) != 1)
        return false;
    for (unsigned i = 0; i < TICKET_KEY_WORDS; i++)
        old[i] = atomic_load_explicit(&tickets->words[0][i], memory_order_relaxed);
    atomic_fetch_add_explicit(&tickets->sequence, 1, memory_order_acq_rel);
    tickets_put(tickets, 1, old);
    tickets_put(tickets, 0, next);
    atomic_fetch_add_explicit(&tickets->sequence, 1, memory_order_release);
    OPENSSL_cleanse(old, sizeof(old));
    OPENSSL_cleanse(next, sizeof(next));
    return true;
}

static bool tickets_read(const struct net_tls_tickets *shared,
                         struct net_tls_ticket_key keys[TICKET_KEYS])
{
    unsigned tries = 0;
    /* Loads of atomics want no const. */
    struct net_tls_tickets *tickets = (struct net_tls_tickets *)(uintptr_t)shared;
    uint64_t words[TICKET_KEYS][TICKET_KEY_WORDS], before;
    do {
        before = atomic_load_explicit(&tickets->sequence, memory_order_acquire);
        for (unsigned place = 0; place < TICKET_KEYS; place++) {
            for (unsigned i = 0; i < TICKET_KEY_WORDS; i++)
                words[place][i] =
                    atomic_load_explicit(&tickets->words[place][i], memory_order_acquire);
        }
    } while ((before % 2 != 0 ||
              atomic_load_explicit(&tickets->sequence, memory_order_acquire) != before) &&
             ++tries < TICKET_TRIES);
    memcpy(keys, words, sizeof(words));
    OPENSSL_cleanse(words, sizeof(words));
    return tries < TICKET_TRIES;
}

bool net_tls_tickets_export(const struct net_tls_tickets *tickets,
                            unsigned char bytes[NET_TLS_TICKETS_BYTES])
{
    struct net_tls_ticket_key keys[TICKET_KEYS];
    bool is_read = tickets_read(tickets, keys);
    memcpy(bytes, keys, sizeof(keys));
    OPENSSL_cleanse(keys, sizeof(keys));
    return is_read;
}

bool net_tls_tickets_import(struct net_tls_tickets *tickets,
                            const unsigned char bytes[NET_TLS_TICKETS_BYTES])
{
    static const unsigned char zeroes[sizeof(struct net_tls_ticket_key)];
    uint64_t words[TICKET_KEYS][TICKET_KEY_WORDS];
    memcpy(words, bytes, sizeof(words));
    for (unsigned place = 0; place < TICKET_KEYS; place++)
        if (memcmp(words[place], zeroes, sizeof(zeroes)) == 0)
            return false;
    atomic_fetch_add_explicit(&tickets->sequence, 1, memory_order_acq_rel);
    for (unsigned place = 0; place < TICKET_KEYS; place++)
        tickets_put(tickets, place, words[place]);
    atomic_fetch_add_explicit(&tickets->sequence, 1, memory_order_release);
    OPENSSL_cleanse(words, sizeof(words));
    return true;
}

bool net_tls_tickets_newest(const struct net_tls_tickets *tickets, struct net_tls_ticket_key *key)
{
    struct net_tls_ticket_key keys[TICKET_KEYS];
    bool is_read = tickets_read(tickets, keys);
    *key = keys[0];
    OPENSSL_cleanse(keys, sizeof(keys));
    return is_read;
}

bool net_tls_tickets_find(const struct net_tls_tickets *tickets, const unsigned char *name,
                          struct net_tls_ticket_key *key, bool *is_newest)
{
    struct net_tls_ticket_key keys[TICKET_KEYS];
    unsigned i = tickets_read(tickets, keys) ? 0 : TICKET_KEYS;
    while (i < TICKET_KEYS && memcmp(keys[i].name, name, NET_TLS_TICKET_NAME_BYTES) != 0)
        i++;
    *is_newest = i == 0;
    if (i < TICKET_KEYS)
        *key = keys[i];
    OPENSSL_cleanse(keys, sizeof(keys));
    return i < TICKET_KEYS;
}
