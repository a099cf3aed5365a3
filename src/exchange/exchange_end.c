/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_end.c - the table of endings. */
#include "exchange/exchange_end.h"

#define REPLY_ERROR_NONE (-1)

static const struct exchange_ending ENDINGS[ENDS] = {
#define ENDING(id, text, reply, failed, why)                                                       \
    [END_##id] = {{text, sizeof(text) - 1}, REPLY_ERROR_##reply, failed, why},
#include "exchange/endings.def"
#undef ENDING
};

const struct exchange_ending *exchange_ending(enum exchange_end end)
{
    return &ENDINGS[end];
}

enum exchange_end exchange_end_of_fault(enum http_fault_id fault)
{
    switch (http_fault_status(fault)) {
    case 405:
        return END_METHOD_REFUSED;
    case 413:
        return END_TOO_LARGE;
    case 414:
        return END_URI_TOO_LARGE;
    case 417:
        return END_BAD_EXPECTATION;
    case 431:
        return END_HEADERS_TOO_LARGE;
    case 501:
        return END_NOT_IMPLEMENTED;
    case 505:
        return END_BAD_VERSION;
    default:
        return END_BAD_REQUEST;
    }
}
