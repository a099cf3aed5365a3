/* SPDX-License-Identifier: Apache-2.0 */
/* main_level.c - see main_level.h. */
#include "main/main_level.h"

#include "base/base_log.h"

void main_level_configure(struct main_level *level, unsigned configured)
{
    *level = (struct main_level){.now = configured};
    log_set_level((enum log_level)configured);
}

void main_level_set(struct main_level *level, unsigned now, uint32_t for_s, uint64_t mono_us)
{
    level->now = now;
    level->until_us = for_s == 0 ? 0 : mono_us + (uint64_t)for_s * 1000000;
    log_set_level((enum log_level)now);
}

bool main_level_on_time(struct main_level *level, unsigned configured, uint64_t mono_us)
{
    if (level->until_us == 0 || mono_us < level->until_us)
        return false;
    main_level_configure(level, configured);
    return true;
}
