/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_net_proxy.c - any bytes as the begin of a connection.  Checked: the verdict depends on no byte behind the header, every
 * piece of a good header wants more, and a bad one stays bad whatever comes.  And any addresses: what is written of them is read
 * back, and nothing else. */
#include "fuzz.h"

#include <string.h>

#include "net/net_proxy.h"

static void write_and_read(const struct net_proxy_ends *ends, enum net_proxy_version version)
{
    struct net_proxy proxy;
    char *out = malloc(NET_PROXY_WRITTEN_MAX);
    FUZZ_CHECK(out != NULL);
    size_t len = (size_t)(net_proxy_write(out, version, ends) - out);
    FUZZ_CHECK(len <= NET_PROXY_WRITTEN_MAX);
    FUZZ_CHECK(net_proxy_parse(&proxy, (struct span){out, len}) == NET_PROXY_DONE);
    FUZZ_CHECK(proxy.len == len && proxy.has_address);
    FUZZ_CHECK(memcmp(&proxy.ends, ends, sizeof(*ends)) == 0);
    free(out);
}

/* The first bytes say which addresses are IPv4. */
static void write_any(const uint8_t *data, size_t size)
{
    struct net_proxy_ends ends;
    if (size < 1 + sizeof(ends))
        return;
    memcpy(&ends, data + 1, sizeof(ends));
    for (unsigned i = 0; i < 2; i++) {
        struct ip *ip = i == 0 ? &ends.source : &ends.destination;
        if ((data[0] >> i & 1) == 0)
            continue;
        memset(ip->bytes, 0, 10);
        memset(ip->bytes + 10, 0xff, 2);
    }
    write_and_read(&ends, NET_PROXY_V1);
    write_and_read(&ends, NET_PROXY_V2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct net_proxy whole, part;
    char *bytes = fuzz_copy((const char *)data, size);
    enum net_proxy_result result = net_proxy_parse(&whole, (struct span){bytes, size});
    free(bytes);
    FUZZ_CHECK(result != NET_PROXY_BAD || whole.why != NULL);
    FUZZ_CHECK(result != NET_PROXY_DONE ||
               (whole.len != 0 && whole.len <= size && whole.len <= NET_PROXY_MAX_BYTES));
    FUZZ_CHECK(result != NET_PROXY_MORE || size < NET_PROXY_MAX_BYTES);
    for (size_t len = 0; len < size && len < 256; len++) {
        bytes = fuzz_copy((const char *)data, len);
        enum net_proxy_result early = net_proxy_parse(&part, (struct span){bytes, len});
        free(bytes);
        FUZZ_CHECK(early != NET_PROXY_BAD || result == NET_PROXY_BAD);
        FUZZ_CHECK(early != NET_PROXY_DONE ||
                   (result == NET_PROXY_DONE && part.len == whole.len && whole.len <= len));
        FUZZ_CHECK(result != NET_PROXY_DONE || (early == NET_PROXY_DONE) == (len >= whole.len));
    }
    if (result == NET_PROXY_DONE && whole.has_address) {
        write_and_read(&whole.ends, NET_PROXY_V1);
        write_and_read(&whole.ends, NET_PROXY_V2);
    }
    write_any(data, size);
    return 0;
}
