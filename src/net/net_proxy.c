/* SPDX-License-Identifier: Apache-2.0 */
/* net_proxy.c - see net_proxy.h.  Reads no byte behind what it was given, changes none. */
#include "net/net_proxy.h"

#include <string.h>

#include "base/base_fmt.h"
#include "base/base_parse.h"

#define V1_MAX_BYTES   107 /* section 2.1, with CR LF */
#define V1_WORDS       6
#define V2_FIXED_BYTES 16 /* signature, version and command, family, length */
#define V2_CRC32C      0x03
#define V2_TLV_BYTES   3 /* type and length of an attribute */

static const char V1_BEGIN[] = "PROXY ";
static const char V2_BEGIN[] = "\r\n\r\n\0\r\nQUIT\n";

static enum net_proxy_result proxy_bad(struct net_proxy *proxy, const char *why)
{
    proxy->why = why;
    return NET_PROXY_BAD;
}

/* ---- version 1 ---- */

static bool proxy_port(struct span text, uint16_t *port)
{
    uint64_t value;
    if (text.len > 5 || !parse_u64(text, &value) || value > 65535 ||
        (text.len != 1 && text.ptr[0] == '0'))
        return false;
    *port = (uint16_t)value;
    return true;
}

/* More words than `max` are told by max + 1. */
static unsigned proxy_split(struct span line, struct span *words, unsigned max)
{
    unsigned count = 0;
    size_t begin = 0;
    for (size_t i = 0; i <= line.len; i++) {
        if (i < line.len && line.ptr[i] != ' ')
            continue;
        if (count == max)
            return max + 1;
        words[count++] = (struct span){line.ptr + begin, i - begin};
        begin = i + 1;
    }
    return count;
}

static enum net_proxy_result proxy_line(struct net_proxy *proxy, struct span line)
{
    struct span words[V1_WORDS];
    struct net_proxy_ends *ends = &proxy->ends;
    unsigned count = proxy_split(line, words, V1_WORDS);
    if (count >= 2 && span_eq(words[1], SPAN("UNKNOWN")))
        return NET_PROXY_DONE;
    if (count != V1_WORDS)
        return proxy_bad(proxy, "its line is not of six words");
    bool is_v4 = span_eq(words[1], SPAN("TCP4"));
    if (!is_v4 && !span_eq(words[1], SPAN("TCP6")))
        return proxy_bad(proxy, "its family is none of TCP4, TCP6 and UNKNOWN");
    if (!ip_parse(&ends->source, words[2]) || !ip_parse(&ends->destination, words[3]) ||
        (memchr(words[2].ptr, ':', words[2].len) == NULL) != is_v4 ||
        (memchr(words[3].ptr, ':', words[3].len) == NULL) != is_v4)
        return proxy_bad(proxy, "its addresses are not of its family");
    if (!proxy_port(words[4], &ends->source_port) || !proxy_port(words[5], &ends->destination_port))
        return proxy_bad(proxy, "its ports are no ports");
    proxy->has_address = true;
    return NET_PROXY_DONE;
}

static enum net_proxy_result proxy_v1(struct net_proxy *proxy, struct span bytes)
{
    size_t looked = bytes.len < V1_MAX_BYTES ? bytes.len : V1_MAX_BYTES;
    const char *end = memchr(bytes.ptr, '\n', looked);
    if (end == NULL)
        return looked == V1_MAX_BYTES ? proxy_bad(proxy, "its line is longer than 107 bytes")
                                      : NET_PROXY_MORE;
    proxy->len = (size_t)(end - bytes.ptr) + 1;
    if (end[-1] != '\r')
        return proxy_bad(proxy, "its line does not end with CR LF");
    return proxy_line(proxy, (struct span){bytes.ptr, proxy->len - 2});
}

/* ---- version 2 ---- */

static uint16_t proxy_u16(const char *at)
{
    return (uint16_t)((unsigned char)at[0] << 8 | (unsigned char)at[1]);
}

static uint32_t proxy_u32(const char *at)
{
    return (uint32_t)proxy_u16(at) << 16 | (uint32_t)proxy_u16(at + 2);
}

/* Of the header as if the four bytes at `gap` were zero. */
static uint32_t proxy_crc32c(struct span header, size_t gap)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < header.len; i++) {
        crc ^= i >= gap && i < gap + 4 ? 0 : (unsigned char)header.ptr[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

static enum net_proxy_result proxy_attributes(struct net_proxy *proxy, struct span header,
                                              size_t at)
{
    while (at != header.len) {
        if (header.len - at < V2_TLV_BYTES)
            return proxy_bad(proxy, "an attribute ends behind it");
        size_t value = at + V2_TLV_BYTES, len = proxy_u16(header.ptr + at + 1);
        if (len > header.len - value)
            return proxy_bad(proxy, "an attribute ends behind it");
        if (header.ptr[at] == V2_CRC32C &&
            (len != 4 || proxy_u32(header.ptr + value) != proxy_crc32c(header, value)))
            return proxy_bad(proxy, "its checksum is wrong");
        at = value + len;
    }
    return NET_PROXY_DONE;
}

/* What the family's addresses take, source first. */
static const struct {
    uint8_t family; /* and protocol: section 2.2 */
    uint8_t address_bytes, all_bytes;
    bool is_ip;
} PROXY_FAMILIES[] = {
    {0x00, 0, 0, false},     /* UNSPEC */
    {0x11, 4, 12, true},     /* TCP over IPv4 */
    {0x21, 16, 36, true},    /* TCP over IPv6 */
    {0x31, 108, 216, false}, /* a Unix stream */
};

static const char PROXY_MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '\xff', '\xff'};

static struct ip proxy_ip(const char *at, size_t bytes)
{
    struct ip ip;
    memcpy(ip.bytes, PROXY_MAPPED, sizeof(PROXY_MAPPED));
    memcpy(ip.bytes + sizeof(ip.bytes) - bytes, at, bytes);
    return ip;
}

static void proxy_v2_ends(struct net_proxy_ends *ends, const char *at, size_t address_bytes)
{
    ends->source = proxy_ip(at, address_bytes);
    ends->destination = proxy_ip(at + address_bytes, address_bytes);
    ends->source_port = proxy_u16(at + 2 * address_bytes);
    ends->destination_port = proxy_u16(at + 2 * address_bytes + 2);
}

static enum net_proxy_result proxy_v2_whole(struct net_proxy *proxy, struct span header)
{
    if (header.ptr[12] == 0x20) /* of LOCAL "the receiver must ignore all address information" */
        return NET_PROXY_DONE;
    for (size_t i = 0; i < sizeof(PROXY_FAMILIES) / sizeof(PROXY_FAMILIES[0]); i++) {
        if ((uint8_t)header.ptr[13] != PROXY_FAMILIES[i].family)
            continue;
        if (header.len - V2_FIXED_BYTES < PROXY_FAMILIES[i].all_bytes)
            return proxy_bad(proxy, "its addresses end behind it");
        proxy->has_address = PROXY_FAMILIES[i].is_ip;
        if (PROXY_FAMILIES[i].is_ip)
            proxy_v2_ends(&proxy->ends, header.ptr + V2_FIXED_BYTES,
                          PROXY_FAMILIES[i].address_bytes);
        return proxy_attributes(proxy, header, V2_FIXED_BYTES + PROXY_FAMILIES[i].all_bytes);
    }
    return proxy_bad(proxy, "its family is not of TCP");
}

static enum net_proxy_result proxy_v2(struct net_proxy *proxy, struct span bytes)
{
    if (bytes.len > 12 && bytes.ptr[12] != 0x20 && bytes.ptr[12] != 0x21)
        return proxy_bad(proxy, "its version or command is unknown");
    if (bytes.len < V2_FIXED_BYTES)
        return NET_PROXY_MORE;
    size_t len = V2_FIXED_BYTES + proxy_u16(bytes.ptr + 14);
    if (len > NET_PROXY_MAX_BYTES)
        return proxy_bad(proxy, "it is longer than 4096 bytes");
    if (bytes.len < len)
        return NET_PROXY_MORE;
    proxy->len = len;
    return proxy_v2_whole(proxy, (struct span){bytes.ptr, len});
}

enum net_proxy_result net_proxy_parse(struct net_proxy *proxy, struct span bytes)
{
    static const struct {
        struct span begin;
        enum net_proxy_result (*parse)(struct net_proxy *proxy, struct span bytes);
    } versions[] = {
        {{V1_BEGIN, sizeof(V1_BEGIN) - 1}, proxy_v1},
        {{V2_BEGIN, sizeof(V2_BEGIN) - 1}, proxy_v2},
    };
    *proxy = (struct net_proxy){0};
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        struct span begin = versions[i].begin;
        size_t both = bytes.len < begin.len ? bytes.len : begin.len;
        if (both != 0 && memcmp(bytes.ptr, begin.ptr, both) != 0)
            continue;
        return both == begin.len ? versions[i].parse(proxy, bytes) : NET_PROXY_MORE;
    }
    return proxy_bad(proxy, "it does not begin with a PROXY header");
}

/* ---- writing ---- */

/* IPv4 in a header about IPv6. */
static char *proxy_put_ip(char *out, const struct ip *ip, bool is_v4)
{
    if (!is_v4 && ip_is_v4(ip))
        out = FMT_LIT(out, "::ffff:");
    return out + ip_format(out, ip);
}

static char *proxy_write_v1(char *out, const struct net_proxy_ends *ends, bool is_v4)
{
    if (ends == NULL)
        return FMT_LIT(out, "PROXY UNKNOWN\r\n");
    out = is_v4 ? FMT_LIT(out, "PROXY TCP4 ") : FMT_LIT(out, "PROXY TCP6 ");
    out = proxy_put_ip(out, &ends->source, is_v4);
    *out++ = ' ';
    out = proxy_put_ip(out, &ends->destination, is_v4);
    *out++ = ' ';
    out = fmt_u64(out, ends->source_port);
    *out++ = ' ';
    out = fmt_u64(out, ends->destination_port);
    return FMT_LIT(out, "\r\n");
}

static char *proxy_put_u16(char *out, unsigned number)
{
    *out++ = (char)(number >> 8);
    *out++ = (char)(number & 0xff);
    return out;
}

static char *proxy_write_v2(char *out, const struct net_proxy_ends *ends, bool is_v4)
{
    const size_t bytes = is_v4 ? 4 : 16, skipped = 16 - bytes;
    memcpy(out, V2_BEGIN, sizeof(V2_BEGIN) - 1);
    out += sizeof(V2_BEGIN) - 1;
    if (ends ==
        NULL) { /* LOCAL, UNSPEC: what HAProxy says of checks, and of what it has no address for */
        memcpy(out, "\x20\0\0\0", 4);
        return out + 4;
    }
    *out++ = '\x21';
    *out++ = is_v4 ? '\x11' : '\x21';
    out = proxy_put_u16(out, (unsigned)(2 * bytes + 4));
    memcpy(out, ends->source.bytes + skipped, bytes);
    memcpy(out + bytes, ends->destination.bytes + skipped, bytes);
    out = proxy_put_u16(out + 2 * bytes, ends->source_port);
    return proxy_put_u16(out, ends->destination_port);
}

char *net_proxy_write(char *out, enum net_proxy_version version, const struct net_proxy_ends *ends)
{
    const bool is_v4 = ends != NULL && ip_is_v4(&ends->source) && ip_is_v4(&ends->destination);
    return version == NET_PROXY_V1 ? proxy_write_v1(out, ends, is_v4)
                                   : proxy_write_v2(out, ends, is_v4);
}
