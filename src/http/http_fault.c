/* SPDX-License-Identifier: Apache-2.0 */
/* http_fault.c - what the rows of http_faults.def say. */
#include "http/http_head.h"

#include <assert.h>

#define FAULT_NAME_MAX 32

/* Identifiers in lower case, made by the compiler so that no second list has to be kept. */
#define LOWER(c)       ((c) >= 'A' && (c) <= 'Z' ? (c) + ('a' - 'A') : (c))
#define AT(text, i)    LOWER((text)[(i) < sizeof(text) ? (i) : sizeof(text) - 1])
#define AT4(text, i)   AT(text, (i)), AT(text, (i) + 1), AT(text, (i) + 2), AT(text, (i) + 3)
#define AT16(text, i)  AT4(text, i), AT4(text, (i) + 4), AT4(text, (i) + 8), AT4(text, (i) + 12)
#define IN_LOWER(text)                                                                             \
    {                                                                                              \
        AT16(text, 0), AT16(text, 16)                                                              \
    }

#define FAULT(id, status, sentence)                                                                \
    _Static_assert(sizeof(#id) <= FAULT_NAME_MAX, "FAULT_NAME_MAX is too small for " #id);
#include "http/http_faults.def"
#undef FAULT

static const char NAMES[HTTP_FAULTS][FAULT_NAME_MAX] = {
    [HTTP_FAULT_NONE] = "none",
#define FAULT(id, status, sentence) [HTTP_FAULT_##id] = IN_LOWER(#id),
#include "http/http_faults.def"
#undef FAULT
};

static const uint16_t STATUSES[HTTP_FAULTS] = {
    [HTTP_FAULT_NONE] = 200,
#define FAULT(id, status, sentence) [HTTP_FAULT_##id] = (status),
#include "http/http_faults.def"
#undef FAULT
};

static const char *const SENTENCES[HTTP_FAULTS] = {
    [HTTP_FAULT_NONE] = "nothing is wrong",
#define FAULT(id, status, sentence) [HTTP_FAULT_##id] = (sentence),
#include "http/http_faults.def"
#undef FAULT
};

uint16_t http_fault_status(enum http_fault_id id)
{
    assert(id < HTTP_FAULTS);
    return STATUSES[id];
}

const char *http_fault_name(enum http_fault_id id)
{
    assert(id < HTTP_FAULTS);
    return NAMES[id];
}

const char *http_fault_sentence(enum http_fault_id id)
{
    assert(id < HTTP_FAULTS);
    return SENTENCES[id];
}
