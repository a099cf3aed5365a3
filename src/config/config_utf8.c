/* SPDX-License-Identifier: Apache-2.0 */
/* config_utf8.c - the table of well-formed byte sequences (RFC 3629 section 4), as code. */
#include "config/config_utf8.h"

#include <stdint.h>

struct form {
    uint8_t first_min, first_max; /* lead byte */
    uint8_t second_min, second_max;
    uint8_t len;
};

static const struct form forms[] = {
    {0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
    {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
    {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

static bool matches(const struct form *form, struct span text)
{
    const uint8_t *bytes = (const uint8_t *)text.ptr;
    if (bytes[0] < form->first_min || bytes[0] > form->first_max || text.len < form->len)
        return false;
    if (form->len > 1 && (bytes[1] < form->second_min || bytes[1] > form->second_max))
        return false;
    for (size_t i = 2; i < form->len; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return false;
    }
    return true;
}

size_t config_utf8_len(struct span text)
{
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (matches(&forms[i], text))
            return forms[i].len;
    }
    return 0;
}

size_t config_utf8_step(struct span text)
{
    size_t len = config_utf8_len(text);
    return len == 0 ? 1 : len;
}
