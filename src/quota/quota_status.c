/* SPDX-License-Identifier: Apache-2.0 */
/* quota_status.c - which responses keep the charge of their request.  Takes: a status.  Gives: yes or no.  Pure. */
#include "quota/quota.h"

bool quota_status_counts(const struct statuses *statuses, unsigned status)
{
    return statuses_is_empty(statuses) || statuses_has(statuses, status);
}
