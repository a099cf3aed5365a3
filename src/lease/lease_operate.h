/* SPDX-License-Identifier: Apache-2.0 */
/* lease_operate.h - an operator's questions and orders about single subjects, on a loop that serves nobody else.  Takes:
 * questions.  Gives: the store's answers, all at once.  With Redis they go over connections of their own, which are made when
 * somebody asks and closed when nobody has for a while. */
#ifndef SLUICE_LEASE_OPERATE_H
#define SLUICE_LEASE_OPERATE_H

#include "lease/lease.h"
#include "store/store_subject.h"

#define LEASE_QUESTIONS_MAX 256 /* of one inquiry */
#define LEASE_TOLD_TEXT     200

enum lease_told {
    LEASE_TOLD_AWAY,    /* the store does not answer */
    LEASE_TOLD_FAULT,   /* it refused: text says why */
    LEASE_TOLD_NOTHING, /* it knows no such subject, or no tier of it */
    LEASE_TOLD_FOUND,
};

/* What is asked about a key. */
enum lease_question_kind {
    LEASE_ASK_SUBJECT, /* what is counted for a subject of a quota, and what is to be done about it */
    LEASE_ASK_TIER,    /* which tier `member` has in the quota of this name; Redis alone knows */
    LEASE_ASK_SLOTS,   /* how many slots are taken of a subject of a quota with in_flight */
    LEASE_ASK_PROJECT, /* which project a token is of */
};

/* Owner: who asks. */
struct lease_question {
    enum lease_question_kind kind;
    const struct quota *quota; /* of TIER and SLOTS */
    struct span member;        /* of TIER */
    uint8_t key[16];           /* not of a TIER that is not as_request */
    struct store_order order;  /* of SUBJECT */
    bool
        as_request; /* of TIER and PROJECT: what this process remembers serves, as it would serve a request */
    /* out */
    enum lease_told told;
    struct store_subject subject; /* before the order */
    uint32_t slots;               /* that are taken */
    uint32_t held;  /* what this process holds of it in advance, charged in the store already */
    bool is_proven; /* an order that was carried out, and enough replicas have it ("durable") ... */
    bool is_short;  /* ... or not, as far as is known */
    char text[LEASE_TOLD_TEXT]; /* NUL-terminated: the tier or the project, or what is wrong */
};

/* Owner: who asks; it must stay until done has run or lease_inquiry_cancel has. */
struct lease_inquiry {
    struct lease_question *questions;
    unsigned count; /* at most LEASE_QUESTIONS_MAX */
    void (*done)(struct lease_inquiry *inquiry);
    struct lease_batch_of_queries *batch; /* lease_operate.c's */
};

struct lease_operator;

/* NULL when out of memory.  Borrows both. */
struct lease_operator *lease_operator_new(struct lease *lease, struct loop *loop);
/* Every inquiry must be done or cancelled. */
void lease_operator_free(struct lease_operator *operator);

/* True: all is answered.  False: done will be called, never from inside. */
bool lease_inquire(struct lease_operator *operator, struct lease_inquiry * inquiry);
/* Nobody wants to know any more.  What was sent is carried out. */
void lease_inquiry_cancel(struct lease_inquiry *inquiry);

#endif
