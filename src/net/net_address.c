/* SPDX-License-Identifier: Apache-2.0 */
/* net_address.c - text to socket addresses and back. */
#include "net/net_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "base/base_ascii.h"
#include "base/base_fmt.h"
#include "base/base_parse.h"

static const char *address_parse_unix(struct net_address *address, struct span path)
{
    struct sockaddr_un *sun = (struct sockaddr_un *)&address->sockaddr;
    if (path.len == 0)
        return "the path of the Unix socket is empty";
    if (path.len >= sizeof(sun->sun_path))
        return "the path of the Unix socket is longer than 107 bytes";
    if (memchr(path.ptr, 0, path.len) != NULL)
        return "the path of the Unix socket has a NUL byte";
    sun->sun_family = AF_UNIX;
    memcpy(sun->sun_path, path.ptr, path.len);
    sun->sun_path[path.len] = 0;
    address->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
    address->is_unix = true;
    return NULL;
}

static void address_set_ip(struct net_address *address, const struct ip *ip, uint16_t port)
{
    if (ip_is_v4(ip)) {
        struct sockaddr_in *sin = (struct sockaddr_in *)&address->sockaddr;
        sin->sin_family = AF_INET;
        sin->sin_port = htons(port);
        memcpy(&sin->sin_addr, ip->bytes + 12, 4);
        address->len = sizeof(*sin);
    } else {
        struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&address->sockaddr;
        sin6->sin6_family = AF_INET6;
        sin6->sin6_port = htons(port);
        memcpy(&sin6->sin6_addr, ip->bytes, 16);
        address->len = sizeof(*sin6);
    }
}

static bool address_is_name(struct span host)
{
    if (host.len == 0 || host.len > 253 || host.ptr[0] == '-' || host.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        if (!ascii_is_word(c) && c != '-' && c != '.' && c != '_')
            return false;
    }
    return true;
}

/* Splits "host:port" at the last colon, or at the one behind "]". */
static const char *address_split(struct span text, struct span *host, uint64_t *port)
{
    size_t colon = text.len;
    if (text.len > 0 && memchr(text.ptr, '@', text.len) != NULL)
        return "an address is host:port alone: users and passwords have keys of their own";
    while (colon > 0 && text.ptr[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return "a port is missing (host:port, [v6]:port or unix:/path)";
    struct span digits = {text.ptr + colon, text.len - colon};
    if (!parse_u64(digits, port) || *port == 0 || *port > 65535)
        return "the port is not a number from 1 to 65535";
    *host = (struct span){text.ptr, colon - 1};
    if (host->len >= 2 && host->ptr[0] == '[' && host->ptr[host->len - 1] == ']') {
        *host = (struct span){host->ptr + 1, host->len - 2};
        if (memchr(host->ptr, ':', host->len) == NULL)
            return "only an IPv6 address stands in brackets";
    } else if (host->len > 0 && memchr(host->ptr, ':', host->len) != NULL) {
        return "an IPv6 address needs brackets: [::1]:80";
    }
    return NULL;
}

const char *net_address_parse(struct net_address *address, struct span text, struct span *host)
{
    struct span name = SPAN_NONE;
    uint64_t port = 0;
    struct ip ip;
    memset(address, 0, sizeof(*address));
    if (host != NULL)
        *host = SPAN_NONE;
    if (span_starts_with(text, SPAN("unix:")))
        return address_parse_unix(address, (struct span){text.ptr + 5, text.len - 5});
    const char *fault = address_split(text, &name, &port);
    if (fault != NULL)
        return fault;
    address->port = (uint16_t)port;
    if (ip_parse(&ip, name)) {
        address_set_ip(address, &ip, address->port);
        return NULL;
    }
    if (host == NULL)
        return "not an IP address (names are not accepted here)";
    if (!address_is_name(name))
        return "neither an IP address nor a host name";
    *host = name;
    return NULL;
}

void net_address_from(struct net_address *address, const struct sockaddr *sockaddr, socklen_t len)
{
    memset(address, 0, sizeof(*address));
    if (len > sizeof(address->sockaddr))
        len = sizeof(address->sockaddr);
    memcpy(&address->sockaddr, sockaddr, len);
    address->len = len;
    address->is_unix = sockaddr->sa_family == AF_UNIX;
    if (sockaddr->sa_family == AF_INET)
        address->port = ntohs(((const struct sockaddr_in *)(const void *)sockaddr)->sin_port);
    else if (sockaddr->sa_family == AF_INET6)
        address->port = ntohs(((const struct sockaddr_in6 *)(const void *)sockaddr)->sin6_port);
}

void net_address_set_port(struct net_address *address, uint16_t port)
{
    address->port = port;
    if (address->sockaddr.ss_family == AF_INET)
        ((struct sockaddr_in *)&address->sockaddr)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)&address->sockaddr)->sin6_port = htons(port);
}

struct ip net_address_ip(const struct net_address *address)
{
    struct ip ip = {{0}};
    if (address->sockaddr.ss_family == AF_INET) {
        const struct sockaddr_in *sin = (const struct sockaddr_in *)&address->sockaddr;
        ip.bytes[10] = ip.bytes[11] = 0xff;
        memcpy(ip.bytes + 12, &sin->sin_addr, 4);
    } else if (address->sockaddr.ss_family == AF_INET6) {
        const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)&address->sockaddr;
        memcpy(ip.bytes, &sin6->sin6_addr, 16);
    }
    return ip;
}

size_t net_address_format(char out[NET_ADDRESS_TEXT_MAX], const struct net_address *address)
{
    char *at = out;
    if (address->is_unix) {
        const struct sockaddr_un *sun = (const struct sockaddr_un *)&address->sockaddr;
        at = FMT_LIT(at, "unix:");
        at = fmt_span(at,
                      (struct span){sun->sun_path, strnlen(sun->sun_path, sizeof(sun->sun_path))});
    } else if (address->len != 0) {
        struct ip ip = net_address_ip(address);
        bool is_v4 = ip_is_v4(&ip);
        if (!is_v4)
            *at++ = '[';
        at += ip_format(at, &ip);
        if (!is_v4)
            *at++ = ']';
        *at++ = ':';
        at = fmt_u64(at, address->port);
    }
    return (size_t)(at - out);
}

bool net_address_eq(const struct net_address *a, const struct net_address *b)
{
    return a->len == b->len && memcmp(&a->sockaddr, &b->sockaddr, a->len) == 0;
}
