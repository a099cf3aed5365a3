/* SPDX-License-Identifier: Apache-2.0 */
/* Paths: what is judged good has one spelling, names the same resource as what was sent, and has
 * nothing in it that a server could read in another way. */
#include "fuzz.h"

#include "http/http_path.h"

static int hex_value(char digit)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = digit != '\0' ? strchr(digits, digit) : NULL;
    return at == NULL ? -1 : (int)(at - digits) % 16;
}

/* The bytes that a path stands for once its escapes are decoded and runs of "/" are one.  An encoded
 * slash is refused before this is asked, so the order of the two does not matter. */
static size_t meaning_of(struct span path, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < path.len; i++) {
        char byte = path.ptr[i];
        if (byte == '%') {
            FUZZ_CHECK(path.len - i > 2);
            byte = (char)(hex_value(path.ptr[i + 1]) * 16 + hex_value(path.ptr[i + 2]));
            i += 2;
        }
        if (byte == '/' && len != 0 && out[len - 1] == '/')
            continue;
        out[len++] = byte;
    }
    return len;
}

static void check_meaning(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        FUZZ_CHECK(byte >= 0x20 && byte != 0x7f && byte != '\\');
        if (byte != '/')
            continue;
        size_t dots = i + 1;
        while (dots < len && bytes[dots] == '.')
            dots++;
        size_t count = dots - i - 1;
        FUZZ_CHECK((dots < len && bytes[dots] != '/') || (count != 1 && count != 2));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096)
        return 0;
    char *bytes = malloc(size + 1);
    FUZZ_CHECK(bytes != NULL);
    bytes[0] = '/'; /* as http_target_parse gives it */
    if (size != 0)
        memcpy(bytes + 1, data, size);
    const struct span path = {bytes, size + 1};
    char *once = malloc(path.len), *twice = malloc(path.len);
    char *meant = malloc(path.len), *kept = malloc(path.len);
    FUZZ_CHECK(once != NULL && twice != NULL && meant != NULL && kept != NULL);

    struct span first, second;
    struct http_fault fault = {HTTP_FAULT_NONE, 0};
    enum http_parse parse = http_path_judge(path, once, &first, &fault);
    if (parse == HTTP_PARSE_OK) {
        FUZZ_CHECK(first.len >= 1 && first.len <= path.len && first.ptr[0] == '/');
        FUZZ_CHECK(first.ptr == path.ptr || !span_eq(first, path));
        FUZZ_CHECK(http_path_judge(first, twice, &second, &fault) == HTTP_PARSE_OK);
        FUZZ_CHECK(second.ptr == first.ptr && second.len == first.len);
        size_t meant_len = meaning_of(path, meant), kept_len = meaning_of(first, kept);
        FUZZ_CHECK(meant_len == kept_len && memcmp(meant, kept, meant_len) == 0);
        check_meaning(meant, meant_len);
    } else {
        FUZZ_CHECK(parse == HTTP_PARSE_BAD);
        FUZZ_CHECK(fault.id != HTTP_FAULT_NONE && fault.offset <= path.len);
    }
    free(bytes);
    free(once);
    free(twice);
    free(meant);
    free(kept);
    return 0;
}
