/* SPDX-License-Identifier: Apache-2.0 */
/* base_load.h - eight bytes, or four, as one number in the machine's own order: how many bytes are compared, copied or judged
 * in one step.  Takes: where they begin; all of them can be read.  It costs one instruction. */
#ifndef SLUICE_BASE_LOAD_H
#define SLUICE_BASE_LOAD_H

#include <stdint.h>
#include <string.h>

static inline uint64_t load_u64(const void *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

static inline uint32_t load_u32(const void *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

#endif
