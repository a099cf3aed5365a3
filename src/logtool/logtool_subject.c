/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_subject.c - see logtool_subject.h. */
#include "logtool/logtool_subject.h"

#include "base/base_fmt.h"

#define GATE_TAIL ".unverified"

static bool is_gate_name(struct span quota)
{
    const struct span tail = SPAN(GATE_TAIL);
    return quota.len > tail.len &&
           span_eq((struct span){quota.ptr + quota.len - tail.len, tail.len}, tail);
}

struct logtool_counted logtool_counted_find(const struct plan *plan, struct span name)
{
    struct logtool_counted counted = {.gate = -1, .is_by_address = is_gate_name(name)};
    if (plan == NULL)
        return counted;
    for (unsigned i = 0; i < plan->quota_count; i++)
        if (span_eq(plan->quotas[i].name, name))
            counted.quota = &plan->quotas[i];
    for (unsigned i = 0; plan->buckets != NULL && i < plan->identity_count; i++)
        if (plan->buckets[i] != NULL && span_eq(plan->buckets[i]->name, name)) {
            counted.quota = plan->buckets[i];
            counted.gate = (int)i;
        }
    return counted;
}

static bool put(char *room, size_t *len, struct span text)
{
    if (*len + text.len + 1 > LOGTOOL_LINE_MAX)
        return false;
    if (*len != 0)
        room[(*len)++] = LOGTOOL_SUBJECT_MARK;
    fmt_span(room + *len, text);
    *len += text.len;
    return true;
}

static bool put_named(const struct logtool_line *line, struct span identity, char *room,
                      size_t *len)
{
    for (unsigned i = 0; i < line->subject_count; i++)
        if (span_eq(line->subjects[i].name, identity))
            return put(room, len, line->subjects[i].value);
    return false;
}

static bool put_address(const struct logtool_counted *counted, const struct plan *plan,
                        const struct logtool_line *line, char *room, size_t *len)
{
    struct identity_value value = {0};
    struct ip ip;
    if (!ip_parse(&ip, line->client_ip))
        return false;
    identity_value_set_ip(&value, &plan->identities[counted->gate], &ip);
    return put(room, len, value.value);
}

static bool put_known(const struct logtool_counted *counted, const struct plan *plan,
                      const struct logtool_line *line, char *room, size_t *len)
{
    if (counted->gate >= 0)
        return put_address(counted, plan, line, room, len);
    for (unsigned i = 0; i < counted->quota->key_count; i++)
        if (!put_named(line, plan->identities[counted->quota->key[i]].name, room, len))
            return false;
    return true;
}

bool logtool_subject_of(const struct logtool_counted *counted, const struct plan *plan,
                        const struct logtool_line *line, char *room, struct span *subject,
                        bool *is_guess)
{
    size_t len = 0;
    *is_guess = false;
    if (counted->quota != NULL) {
        if (!put_known(counted, plan, line, room, &len))
            return false;
    } else {
        *is_guess = line->subject_count != 1 || counted->is_by_address;
        if (counted->is_by_address && !put(room, &len, line->client_ip))
            return false;
        for (unsigned i = 0; i < line->subject_count; i++)
            if (!put(room, &len, line->subjects[i].value))
                return false;
    }
    *subject = (struct span){room, len};
    return line->subject_count != 0 || counted->gate >= 0;
}

struct span logtool_subject_show(char *room, struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        room[i] = text.ptr[i] == LOGTOOL_SUBJECT_MARK ? ',' : text.ptr[i];
    return (struct span){room, text.len};
}
