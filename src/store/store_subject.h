/* SPDX-License-Identifier: Apache-2.0 */
/* store_subject.h - what a store holds of one subject of one quota, for people, and the two orders that an operator
 * may give about it.  The same for every store.  Pure. */
#ifndef SLUICE_STORE_SUBJECT_H
#define SLUICE_STORE_SUBJECT_H

#include "quota/quota_algorithm.h"

#define STORE_SUBJECT_WINDOWS_MAX 16
#define STORE_GRANT_S_MAX         (366 * 86400)

enum store_order_verb {
    STORE_ORDER_SHOW,  /* changes nothing */
    STORE_ORDER_RESET, /* all windows begin anew, with nothing used */
    STORE_ORDER_GRANT, /* every limit is `extra` higher for for_s seconds; 0: as configured again */
};

struct store_order {
    enum store_order_verb verb;
    uint32_t extra; /* at most 2^31-1 */
    uint32_t for_s; /* at most STORE_GRANT_S_MAX */
};

/* As it stood before the order was carried out.  A bucket's instant is in start_s and used. */
struct store_subject {
    uint64_t now_us;     /* the store's clock */
    uint32_t generation; /* how often it was reset */
    uint32_t extra;      /* granted ... */
    uint32_t expires_s;  /* ... until then; perhaps over */
    unsigned window_count;
    struct store_subject_window {
        uint32_t code, start_s, used;
    } windows[STORE_SUBJECT_WINDOWS_MAX];
};

/* As it stands after the order. */
void store_subject_apply(struct store_subject *subject, const struct store_order *order);

/* What is granted at the subject's own time. */
uint32_t store_subject_extra(const struct store_subject *subject);

/* One limit of a quota as it counts at the subject's own time (a fixed window has nothing before it), and what it is judged
 * by. */
struct quota_state store_subject_state(const struct store_subject *subject,
                                       const struct quota *quota, unsigned limit);
struct quota_terms store_subject_terms(const struct store_subject *subject,
                                       const struct quota *quota, unsigned limit);

/* Fill the readings of the charge's quota (cost 0), for quota_window_standing. */
void store_subject_read(const struct store_subject *subject, struct quota_charge *charge);

#endif
