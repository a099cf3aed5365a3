/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_net_proxy.c - any bytes as the begin of a connection.  Checked: the verdict depends on no byte behind the header, every
 * piece of a good header wants more, and a bad one stays bad whatever comes. */
#include "fuzz.h"

#include "net/net_proxy.h"

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
    return 0;
}
