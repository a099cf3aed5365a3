/* SPDX-License-Identifier: Apache-2.0 */
/* config_near.c - takes: names.  Gives: distances.  Never: suggests what shares little with the word. */
#include "config/config_near.h"

#include <stdint.h>

#include "base/base_ascii.h"

#define NAME_MAX_BYTES 64

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned config_distance(struct span a, struct span b)
{
    if (a.len > NAME_MAX_BYTES || b.len > NAME_MAX_BYTES)
        return CONFIG_FAR;
    uint8_t rows[3][NAME_MAX_BYTES + 1]; /* of the matrix: i - 2, i - 1, i */
    for (size_t j = 0; j <= b.len; j++)
        rows[0][j] = (uint8_t)j;
    for (size_t i = 1; i <= a.len; i++) {
        uint8_t *now = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        now[0] = (uint8_t)i;
        for (size_t j = 1; j <= b.len; j++) {
            char x = ascii_lower(a.ptr[i - 1]), y = ascii_lower(b.ptr[j - 1]);
            unsigned cost = last[j - 1] + (x == y ? 0u : 1u);
            cost = least(cost, least(last[j], now[j - 1]) + 1u);
            if (i > 1 && j > 1 && x == ascii_lower(b.ptr[j - 2]) && ascii_lower(a.ptr[i - 2]) == y)
                cost = least(cost, before[j - 2] + 1u);
            now[j] = (uint8_t)cost;
        }
    }
    return rows[a.len % 3][b.len];
}

static bool contains(struct span text, struct span part)
{
    return part.len >= 4 && text.len > part.len && memmem(text.ptr, text.len, part.ptr, part.len);
}

void config_near_try(struct config_near *near, struct span candidate, bool is_taken)
{
    size_t longer = near->wrong.len > candidate.len ? near->wrong.len : candidate.len;
    unsigned allowed = longer <= 1 ? 0 : longer <= 3 ? 1 : longer <= 6 ? 2 : 3;
    unsigned distance = config_distance(near->wrong, candidate);
    if (distance > allowed &&
        (contains(near->wrong, candidate) || contains(candidate, near->wrong)))
        distance = allowed;
    if (distance > allowed)
        return;
    /* A free name beats a taken one of the same distance; then one of the same length wins, since a
     * wrong letter and a swap are the common slips. */
    unsigned score = distance * 4 + (is_taken ? 2 : 0) + (candidate.len == near->wrong.len ? 0 : 1);
    if (score < near->best_score) {
        near->best = candidate;
        near->best_score = score;
    }
}
