/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_end.h - the ways an exchange ends, from endings.def. */
#ifndef SLUICE_EXCHANGE_END_H
#define SLUICE_EXCHANGE_END_H

#include <stdbool.h>

#include "base/base_span.h"
#include "http/http_head.h"
#include "reply/reply.h"

enum exchange_end {
#define ENDING(id, name, error, is_error, sentence) END_##id,
#include "exchange/endings.def"
#undef ENDING
    ENDS
};

struct exchange_ending {
    struct span name;
    int error; /* enum reply_error_id, or -1 */
    bool is_error;
    const char *sentence;
};

const struct exchange_ending *exchange_ending(enum exchange_end end);

/* How a malformed request ends. */
enum exchange_end exchange_end_of_fault(enum http_fault_id fault);

#endif
