/* SPDX-License-Identifier: Apache-2.0 */
/* base_ip_ranges.c - see base_ip_ranges.h.  Two networks are disjoint or one holds the other, so one walk in the
 * order of their first addresses, with a stack of those that are open, cuts them into ranges. */
#include "base/base_ip_ranges.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 131 /* a network of every length in one another, and the two worlds */
#define V4_BITS   96

/* A network that the walk is in. */
struct open_net {
    struct ip last;
    uint8_t mark;
};

struct walk {
    struct ip_range *out;
    unsigned count, depth;
    struct open_net open[DEPTH_MAX];
};

static int compare(const void *a, const void *b)
{
    const struct ip_marked *one = a, *other = b;
    int order = memcmp(&one->net.ip, &other->net.ip, sizeof(struct ip));
    return order != 0 ? order : (int)one->net.prefix_bits - (int)other->net.prefix_bits;
}

static struct ip last_of(const struct ip_net *net)
{
    struct ip last = net->ip;
    for (unsigned bit = net->prefix_bits; bit < 128; bit++)
        last.bytes[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
    return last;
}

/* The address behind; false when there is none. */
static bool step(struct ip *ip)
{
    for (unsigned i = sizeof(ip->bytes); i-- > 0;) {
        if (++ip->bytes[i] != 0)
            return true;
    }
    return false;
}

static void begin_range(struct walk *walk, const struct ip *first, uint8_t mark)
{
    struct ip_range *last = walk->count == 0 ? NULL : &walk->out[walk->count - 1];
    if (last != NULL && memcmp(&last->first, first, sizeof(*first)) == 0)
        last->mark = mark;
    else if (last == NULL || last->mark != mark)
        walk->out[walk->count++] = (struct ip_range){*first, mark};
}

/* Leave the networks that end before `next` (NULL: all but the world). */
static void leave(struct walk *walk, const struct ip *next)
{
    while (walk->depth > 1) {
        struct ip after = walk->open[walk->depth - 1].last;
        if (next != NULL && memcmp(&after, next, sizeof(after)) >= 0)
            return;
        walk->depth--;
        if (step(&after))
            begin_range(walk, &after, walk->open[walk->depth - 1].mark);
    }
}

static void enter(struct walk *walk, const struct ip_net *net, uint8_t mark)
{
    leave(walk, &net->ip);
    assert(walk->depth < DEPTH_MAX);
    walk->open[walk->depth++] = (struct open_net){last_of(net), mark};
    begin_range(walk, &net->ip, mark);
}

const struct ip_net *ip_ranges_twice(struct ip_marked *nets, unsigned count)
{
    if (count > 1)
        qsort(nets, count, sizeof(*nets), compare);
    for (unsigned i = 1; i < count; i++) {
        if (compare(&nets[i - 1], &nets[i]) == 0)
            return &nets[i].net;
    }
    return NULL;
}

enum err ip_ranges_make(struct ip_ranges *ranges, struct ip_marked *nets, unsigned count,
                        uint8_t otherwise, struct arena *arena)
{
    static const struct ip_net world = {{{0}}, 0};
    static const struct ip_marked v4 = {{{{[10] = 0xff, [11] = 0xff}}, V4_BITS}, 0};
    struct walk walk = {.depth = 0};
    walk.out = arena_take(arena, (2 * (size_t)count + 4) * sizeof(*walk.out));
    if (walk.out == NULL)
        return ERR_NOMEM;
    if (count != 0)
        qsort(nets, count, sizeof(*nets), compare);
    enter(&walk, &world, otherwise);
    bool has_v4 = false; /* IPv4 is a world of its own inside that of IPv6 */
    for (unsigned i = 0; i <= count; i++) {
        if (!has_v4 && (i == count || compare(&nets[i], &v4) >= 0)) {
            enter(&walk, &v4.net, otherwise);
            has_v4 = true;
        }
        if (i < count)
            enter(&walk, &nets[i].net, nets[i].mark);
    }
    leave(&walk, NULL);
    *ranges = (struct ip_ranges){walk.out, walk.count};
    return ERR_OK;
}

uint8_t ip_ranges_find(const struct ip_ranges *ranges, const struct ip *ip)
{
    unsigned low = 0, high = ranges->count; /* the answer is in [low, high) */
    while (high - low > 1) {
        unsigned middle = low + (high - low) / 2;
        if (memcmp(&ranges->ranges[middle].first, ip, sizeof(*ip)) <= 0)
            low = middle;
        else
            high = middle;
    }
    return ranges->ranges[low].mark;
}
