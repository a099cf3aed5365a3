/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_end.c - the table of endings, and which of them a fault of a message leads to. */
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

/* END_OK, which no fault ends with: look at its status. */
static const enum exchange_end ENDS_OF_FAULTS[HTTP_FAULTS] = {
#define END_OF_FAULT(fault, end) [HTTP_FAULT_##fault] = END_##end,
#define END_OF_STATUS(status, end)
#include "exchange/exchange_faults.def"
#undef END_OF_FAULT
#undef END_OF_STATUS
};

static const struct {
    uint16_t status;
    enum exchange_end end;
} ENDS_OF_STATUSES[] = {
#define END_OF_FAULT(fault, end)
#define END_OF_STATUS(status, end) {status, END_##end},
#include "exchange/exchange_faults.def"
#undef END_OF_FAULT
#undef END_OF_STATUS
};

enum exchange_end exchange_end_of_fault(enum http_fault_id fault)
{
    uint16_t status = http_fault_status(fault);
    if (ENDS_OF_FAULTS[fault] != END_OK)
        return ENDS_OF_FAULTS[fault];
    for (size_t i = 0; i < sizeof(ENDS_OF_STATUSES) / sizeof(ENDS_OF_STATUSES[0]); i++) {
        if (ENDS_OF_STATUSES[i].status == status)
            return ENDS_OF_STATUSES[i].end;
    }
    return END_BAD_REQUEST;
}
