/* SPDX-License-Identifier: Apache-2.0 */
/* base_ip.c - takes: text or 16 bytes.  Gives: addresses, networks and their text.  Never: resolves a
 * name, accepts a zone, a port or a shorthand like "10.1". */
#include "base/base_ip.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/base_fmt.h"
#include "base/base_parse.h"

#define V4_BITS 96u /* of the mapped prefix ::ffff:0:0/96 */

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool ip_is_v4(const struct ip *ip)
{
    return memcmp(ip->bytes, v4_prefix, sizeof(v4_prefix)) == 0;
}

bool ip_parse(struct ip *ip, struct span text)
{
    char copy[IP_TEXT_MAX + 1];
    if (text.len == 0 || text.len > IP_TEXT_MAX || memchr(text.ptr, '\0', text.len) != NULL)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    struct ip parsed;
    if (span_find(text, ':') < text.len) {
        if (inet_pton(AF_INET6, copy, parsed.bytes) != 1)
            return false;
    } else {
        memcpy(parsed.bytes, v4_prefix, sizeof(v4_prefix));
        if (inet_pton(AF_INET, copy, parsed.bytes + sizeof(v4_prefix)) != 1)
            return false;
    }
    *ip = parsed;
    return true;
}

/* Keep the first `bits`, clear the rest. */
static struct ip mask_bits(const struct ip *ip, unsigned bits)
{
    struct ip masked = *ip;
    for (unsigned i = 0; i < sizeof(masked.bytes); i++) {
        unsigned keep = bits <= i * 8 ? 0 : bits - i * 8;
        if (keep < 8)
            masked.bytes[i] &= (uint8_t)(0xff00u >> keep);
    }
    return masked;
}

static bool parse_prefix(struct span text, unsigned max, unsigned *bits)
{
    uint64_t value;
    if (text.len == 0 || text.len > 3 || (text.len > 1 && text.ptr[0] == '0') ||
        !parse_u64(text, &value) || value > max)
        return false;
    *bits = (unsigned)value;
    return true;
}

bool ip_net_parse(struct ip_net *net, struct span text)
{
    size_t slash = span_find(text, '/');
    struct span address = {text.ptr, slash};
    struct ip ip;
    if (!ip_parse(&ip, address))
        return false;

    unsigned first = span_find(address, ':') < address.len ? 0 : V4_BITS;
    unsigned bits = 128 - first;
    if (slash < text.len) {
        struct span prefix = {text.ptr + slash + 1, text.len - slash - 1};
        if (!parse_prefix(prefix, 128 - first, &bits))
            return false;
    }
    struct ip masked = mask_bits(&ip, first + bits);
    if (memcmp(masked.bytes, ip.bytes, sizeof(ip.bytes)) != 0)
        return false;
    *net = (struct ip_net){ip, (uint8_t)(first + bits)};
    return true;
}

bool ip_net_has(const struct ip_net *net, const struct ip *ip)
{
    if (net->prefix_bits < V4_BITS && ip_is_v4(ip))
        return false;
    struct ip masked = mask_bits(ip, net->prefix_bits);
    return memcmp(masked.bytes, net->ip.bytes, sizeof(masked.bytes)) == 0;
}

struct ip ip_mask(const struct ip *ip, unsigned v4_bits, unsigned v6_bits)
{
    return mask_bits(ip, ip_is_v4(ip) ? V4_BITS + v4_bits : v6_bits);
}

/* The longest run of two or more zero groups, the first of equals (RFC 5952 section 4.2). */
static void find_zeros(const unsigned groups[8], unsigned *first, unsigned *count)
{
    *first = 8;
    *count = 1;
    for (unsigned i = 0; i < 8; i++) {
        unsigned run = 0;
        while (i + run < 8 && groups[i + run] == 0)
            run++;
        if (run > *count) {
            *first = i;
            *count = run;
        }
        i += run;
    }
}

static char *write_group(char *out, unsigned group)
{
    static const char digits[] = "0123456789abcdef";
    for (unsigned shift = 12; shift > 0; shift -= 4) {
        if (group >> shift != 0)
            *out++ = digits[group >> shift & 15];
    }
    *out++ = digits[group & 15];
    return out;
}

static inline char *write_v4(char *out, const uint8_t bytes[4])
{
    for (unsigned i = 0; i < 4; i++) {
        out = fmt_u64(out, bytes[i]);
        *out++ = '.';
    }
    return out - 1;
}

size_t ip_format(char out[IP_TEXT_MAX], const struct ip *ip)
{
    if (ip_is_v4(ip))
        return (size_t)(write_v4(out, ip->bytes + 12) - out);

    unsigned groups[8], first, count;
    for (unsigned i = 0; i < 8; i++)
        groups[i] = (unsigned)ip->bytes[2 * i] << 8 | ip->bytes[2 * i + 1];
    find_zeros(groups, &first, &count);

    char *next = out;
    for (unsigned i = 0; i < 8; i++) {
        if (i == first) {
            *next++ = ':';
            *next++ = ':';
            i += count - 1;
            continue;
        }
        if (i > 0 && next[-1] != ':')
            *next++ = ':';
        next = write_group(next, groups[i]);
    }
    return (size_t)(next - out);
}
