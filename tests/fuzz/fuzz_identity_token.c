/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_identity_token.c - any bytes as the body that came with a token.  Checked: what is believed is a visible
 * project of bounded length with an end in the future, a body that is cut short tells nothing, and white space around it
 * changes nothing. */
#include "base/base_parse.h"
#include "fuzz.h"
#include "identity/identity_token.h"

#define NOW_S 1795867200

static enum identity_token_result read_copy(const char *text, size_t len,
                                            struct identity_token *token)
{
    char *copy = fuzz_copy((const uint8_t *)text, len);
    enum identity_token_result result = identity_token_read((struct span){copy, len}, NOW_S, token);
    free(copy);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[IDENTITY_TOKEN_BODY_MAX + 1];
    struct identity_token token, again;
    uint64_t wall_us;
    if (size > sizeof(text) - 1)
        return 0;
    if (size > 0)
        memcpy(text + 1, data, size);
    if (parse_rfc3339_us((struct span){text + 1, size}, &wall_us))
        FUZZ_CHECK(wall_us / 1000000 <= UINT64_C(253402300800) && size >= 20);
    enum identity_token_result result = read_copy(text + 1, size, &token);
    FUZZ_CHECK(result < IDENTITY_TOKEN_RESULTS);
    if (result != IDENTITY_TOKEN_GOOD)
        return 0;
    FUZZ_CHECK(token.until_s > NOW_S && token.until_s <= UINT64_C(253402300800));
    FUZZ_CHECK(token.project_len >= 1 && token.project_len <= IDENTITY_TOKEN_PROJECT_MAX);
    for (size_t i = 0; i < token.project_len; i++)
        FUZZ_CHECK(token.project[i] > ' ' && token.project[i] <= '~');

    text[0] = ' ';
    FUZZ_CHECK(size == sizeof(text) - 1 ||
               read_copy(text, size + 1, &again) == IDENTITY_TOKEN_GOOD);
    size_t end = size;
    while (end > 0 && text[end] != '}')
        end--;
    FUZZ_CHECK(end > 0);
    FUZZ_CHECK(read_copy(text + 1, end - 1, &again) == IDENTITY_TOKEN_UNREADABLE);
    FUZZ_CHECK(read_copy(text + 1, end, &again) == IDENTITY_TOKEN_GOOD);
    FUZZ_CHECK(again.until_s == token.until_s && again.project_len == token.project_len &&
               memcmp(again.project, token.project, token.project_len) == 0);
    return 0;
}
