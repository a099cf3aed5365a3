/* SPDX-License-Identifier: Apache-2.0 */
/* base_statuses.c - takes: "2xx", "404", a status.  Gives: whether it is one of those. */
#include "base/base_statuses.h"

#include "base/base_parse.h"

static bool is_class(struct span text)
{
    return text.len == 3 && text.ptr[0] >= '1' && text.ptr[0] <= '5' && text.ptr[1] == 'x' &&
           text.ptr[2] == 'x';
}

const char *statuses_add(struct statuses *statuses, struct span text)
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
    if (statuses_names(statuses, (unsigned)code))
        return "listed twice";
    if (statuses->code_count == STATUSES_CODES_MAX)
        return "at most 16 single statuses are allowed";
    statuses->codes[statuses->code_count++] = (uint16_t)code;
    return NULL;
}

bool statuses_names(const struct statuses *statuses, unsigned status)
{
    for (unsigned i = 0; i < statuses->code_count; i++) {
        if (statuses->codes[i] == status)
            return true;
    }
    return false;
}

bool statuses_has(const struct statuses *statuses, unsigned status)
{
    if (status < 600 && (statuses->classes & 1U << (status / 100)) != 0)
        return true;
    return statuses_names(statuses, status);
}
