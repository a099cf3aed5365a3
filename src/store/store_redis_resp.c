/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_resp.c - see store_redis_resp.h. */
#include "store/store_redis_resp.h"

char *store_redis_resp_length(char *out, char kind, uint64_t length)
{
    *out++ = kind;
    out = fmt_u64(out, length);
    return FMT_LIT(out, "\r\n");
}

char *store_redis_resp_text(char *out, struct span text)
{
    out = fmt_span(store_redis_resp_length(out, '$', text.len), text);
    return FMT_LIT(out, "\r\n");
}
