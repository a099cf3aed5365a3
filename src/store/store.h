/* SPDX-License-Identifier: Apache-2.0 */
/* store.h - where counters live: what every store is asked and answers.  One request's charges are
 * taken together or not at all, whatever the number of quotas, windows, threads or proxies. */
#ifndef SLUICE_STORE_STORE_H
#define SLUICE_STORE_STORE_H

#include "quota/quota.h"

enum store_answer {
    STORE_CHARGED, /* all of them */
    STORE_REFUSED, /* none of them; the readings say which windows refused */
    STORE_PENDING, /* the callback will tell */
    STORE_AWAY,    /* not asked, or no answer in time */
};

#endif
