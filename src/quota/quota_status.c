/* SPDX-License-Identifier: Apache-2.0 */
/* quota_status.c - which responses keep the charge of their request.  Takes: "2xx", "404", a status.
 * Gives: yes or no.  Pure. */
#include "base/base_parse.h"
#include "quota/quota.h"

static bool is_class(struct span text)
{
    return text.len == 3 && text.ptr[0] >= '1' && text.ptr[0] <= '5' && text.ptr[1] == 'x' &&
           text.ptr[2] == 'x';
}

const char *quota_status_add(struct quota_statuses *statuses, struct span text)
{
    uint64_t code;
    if (is_class(text)) {
        unsigned bit = 1U << (text.ptr[0] - '0');
        if ((statuses->classes & bit) != 0)
            return "listed twice";
        statuses->classes |= (uint16_t)bit;
        return NULL;
    }
    if (text.len != 3 || !parse_u64(text, &code) || code < 100 || code > 599)
        return "must be a class of statuses (\"2xx\") or a status (\"404\")";
    for (unsigned i = 0; i < statuses->code_count; i++) {
        if (statuses->codes[i] == code)
            return "listed twice";
    }
    if (statuses->code_count == QUOTA_STATUSES_MAX)
        return "at most 16 single statuses are allowed";
    statuses->codes[statuses->code_count++] = (uint16_t)code;
    return NULL;
}

bool quota_status_names(const struct quota_statuses *statuses, unsigned status)
{
    for (unsigned i = 0; i < statuses->code_count; i++) {
        if (statuses->codes[i] == status)
            return true;
    }
    return false;
}

bool quota_status_counts(const struct quota_statuses *statuses, unsigned status)
{
    if (statuses->classes == 0 && statuses->code_count == 0)
        return true;
    if (status < 600 && (statuses->classes & 1U << (status / 100)) != 0)
        return true;
    return quota_status_names(statuses, status);
}
