/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_http_request.c - request heads.  The first byte says where the head is cut.  Checked: heads.h. */
#include "heads.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 4096)
        return 0;
    const size_t skip = http_head_skip_crlf((const char *)data + 1, size - 1);
    const size_t len = size - 1 - skip, cut = data[0] * len / 256;
    char *bytes = fuzz_copy(data + 1 + skip, len);
    heads_check(true, bytes, len, cut);
    free(bytes);
    return 0;
}
