/* SPDX-License-Identifier: Apache-2.0 */
/* record_id.c - takes: random numbers, or what another proxy wrote.  Gives: request ids.  Never: keeps a
 * byte of a foreign id that is not lower-case hex. */
#include "record/record.h"

#include "base/base_ascii.h"
#include "base/base_parse.h"

#define HOST_MAX         64  /* of an id that we write */
#define FOREIGN_HOST_MAX 253 /* of one that we read: a full domain name */

void record_id_make(struct record_id *id, struct rng *rng)
{
    uint64_t words[2] = {rng_u64(rng), rng_u64(rng)};
    fmt_hex(id->hex, words, sizeof(words));
}

char *record_id_write(char *out, const struct record_id *id, uint64_t wall_us, struct span host)
{
    if (host.len > HOST_MAX)
        host.len = HOST_MAX;
    out = fmt_span(out, (struct span){id->hex, RECORD_ID_HEX});
    *out++ = '-';
    out = fmt_u64(out, wall_us / 1000);
    *out++ = '-';
    return fmt_span(out, host);
}

static bool is_lower_hex(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
    }
    return true;
}

static bool is_host(struct span text)
{
    if (text.len == 0 || text.len > FOREIGN_HOST_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!ascii_is_word(c) && c != '-' && c != '.' && c != '_')
            return false;
    }
    return true;
}

/* "-<unix milliseconds>-<hostname>" */
static bool is_rest(struct span text)
{
    if (text.len == 0 || text.ptr[0] != '-')
        return false;
    struct span rest = {text.ptr + 1, text.len - 1};
    size_t dash = span_find(rest, '-');
    uint64_t wall_ms;
    return dash < rest.len && parse_u64((struct span){rest.ptr, dash}, &wall_ms) &&
           is_host((struct span){rest.ptr + dash + 1, rest.len - dash - 1});
}

bool record_id_parse(struct record_id *id, struct span text)
{
    if (text.len < RECORD_ID_HEX || !is_lower_hex((struct span){text.ptr, RECORD_ID_HEX}))
        return false;
    struct span rest = {text.ptr + RECORD_ID_HEX, text.len - RECORD_ID_HEX};
    if (rest.len != 0 && !is_rest(rest))
        return false;
    memcpy(id->hex, text.ptr, RECORD_ID_HEX);
    return true;
}
