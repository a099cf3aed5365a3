/* SPDX-License-Identifier: Apache-2.0 */
/* lease_lookup.h - what the store knows beside counts: the tier of a member, the project of a token.  Takes: keys.
 * Gives: a short text, mostly from what this process remembers.  Never: makes anybody wait longer than the decision
 * timeout, counts, changes what operators wrote.
 *
 * Members live in Redis, in the hash <prefix>:members:<quota>, which is an operator's.  An answer is asked for anew
 * after half of LEASE_MEMBER_US while the old one still serves, and waited for after all of it; while the store is
 * away the last one stands.
 *
 * Tokens are learned (lease_lookup_learn) and live as long as they say: in Redis as <prefix>:t:{22 characters}, or in the
 * embedded store, in memory that outlives a child.  That a token is unknown is believed for LEASE_STRANGER_US. */
#ifndef SLUICE_LEASE_LOOKUP_H
#define SLUICE_LEASE_LOOKUP_H

#include "base/base_list.h"
#include "lease/lease.h"
#include "store/store_notes.h"

#define LEASE_MEMBER_US   5000000
#define LEASE_STRANGER_US 1000000
#define LEASE_NOTES                                                                                \
    65536 /* members, and tokens of the fleet, that a process remembers: 8 MiB each */
#define LEASE_FIELD_MAX    256    /* bytes of a member's name */
#define LEASE_TOKEN_LIFE_S 604800 /* a token is forgotten after a week, whatever it says */

enum lease_lookup_kind {
    LEASE_MEMBER,
    LEASE_TOKEN,
    LEASE_LOOKUP_KINDS
};

struct lease_query;

/* One question.  Owner: the exchange; it must stay until done has run or lease_lookup_cancel has. */
struct lease_lookup {
    enum lease_lookup_kind kind;
    bool may_wait;   /* else what is known must do, and the rest is found out for the next */
    uint8_t key[16]; /* of the subject in the quota, of the token */
    struct span quota, member; /* LEASE_MEMBER; needed until lease_lookup_ask returns */
    uint64_t since_us;         /* monotonic: the decision timeout runs from here */
    void (*done)(void *arg);   /* never called from inside lease_lookup_ask */
    void *arg;
    /* out */
    bool is_unknown; /* there was no answer in time, nor an earlier one */
    uint8_t len;     /* 0: there is nothing */
    char text[STORE_NOTE_TEXT];

    struct lease_query *query; /* lease_lookup's, like the next two */
    struct list node, due;
};

/* True: the answer stands.  False: wait for done. */
bool lease_lookup_ask(struct lease_worker *worker, struct lease_lookup *lookup);

/* What this process remembers of it, without asking anybody; the lookup's kind and key are set.  True: a request would be
 * served with that, not having to wait; false: it would ask, and have this if there is no answer. */
bool lease_lookup_peek(const struct lease *lease, const struct loop *loop,
                       struct lease_lookup *lookup);
/* The project that Redis has under a token's key, if its time is not over; else empty. */
struct span lease_lookup_project(struct span value, uint64_t now_s);

/* The exchange is gone: done will not be called. */
void lease_lookup_cancel(struct lease_lookup *lookup);

/* The token with this key is of this project until then (wall clock, in the future).  At once for this process, soon for the fleet.
 * False: there is no room left. */
bool lease_lookup_learn(struct lease_worker *worker, const uint8_t key[16], struct span project,
                        uint64_t until_s);

#endif
