/* SPDX-License-Identifier: Apache-2.0 */
/* identity_read.c - takes: the text of one header or query.  Gives: the value in it that names the
 * caller.  Never: repairs what is malformed, looks at a byte more than a few times. */
#include "identity/identity_read.h"

#include "base/base_ascii.h"
#include "base/base_parse.h"
#include "config/config_utf8.h"

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* What stands before the first `byte`; *text moves behind it, its ptr is NULL after the last piece. */
static struct span cut(struct span *text, char byte)
{
    size_t len = span_find(*text, byte);
    struct span piece = {text->ptr, len};
    if (len == text->len)
        *text = SPAN_NONE;
    else
        *text = (struct span){text->ptr + len + 1, text->len - len - 1};
    return piece;
}

/* The credentials behind `scheme`, ptr NULL when another scheme stands there (RFC 9110 section 11.4).
 * The scheme is compared without case; any run of blanks follows it. */
static struct span credentials_of(struct span authorization, struct span scheme)
{
    if (authorization.len <= scheme.len || !is_blank(authorization.ptr[scheme.len]) ||
        !span_eq_nocase((struct span){authorization.ptr, scheme.len}, scheme))
        return SPAN_NONE;
    return span_trim((struct span){authorization.ptr + scheme.len, authorization.len - scheme.len});
}

enum identity_read identity_read_bearer(struct span authorization, struct span *token)
{
    struct span text = credentials_of(authorization, SPAN("Bearer"));
    for (size_t i = 0; i < text.len; i++) {
        if (is_blank(text.ptr[i]))
            return IDENTITY_READ_MISSING;
    }
    *token = text;
    return text.len > 0 ? IDENTITY_READ_FOUND : IDENTITY_READ_MISSING;
}

/* RFC 7617 section 2: a user has no colon, and neither part has control characters.  Servers read what is not
 * UTF-8 each in its own way, so it names nobody. */
bool identity_is_user(struct span user)
{
    while (user.len > 0) {
        unsigned char first = (unsigned char)user.ptr[0];
        size_t len = config_utf8_len(user);
        bool is_c1 = first == 0xc2 && len == 2 && (unsigned char)user.ptr[1] < 0xa0;
        if (len == 0 || first < ' ' || first == 0x7f || is_c1)
            return false;
        user.ptr += len;
        user.len -= len;
    }
    return true;
}

enum identity_read identity_read_basic_user(struct span authorization, struct arena *arena,
                                            struct span *user)
{
    struct span text = credentials_of(authorization, SPAN("Basic"));
    size_t len = 0;
    if (text.len < 4)
        return IDENTITY_READ_MISSING;
    char *decoded = arena == NULL ? NULL : arena_take(arena, PARSE_BASE64_MAX(text.len));
    if (decoded == NULL)
        return IDENTITY_READ_EXHAUSTED;
    if (!parse_base64(text, decoded, &len))
        return IDENTITY_READ_MISSING;
    *user = (struct span){decoded, len};
    user->len = span_find(*user, ':');
    return user->len < len && identity_is_user(*user) ? IDENTITY_READ_FOUND : IDENTITY_READ_MISSING;
}

bool identity_is_access_key(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.ptr[i];
        if (!ascii_is_word(byte) && byte != '_' && byte != '-' && byte != '.')
            return false;
    }
    return text.len > 0 && text.len <= IDENTITY_AK_MAX;
}

enum identity_read identity_read_access_key(struct span authorization, struct span *key)
{
    struct span rest = credentials_of(authorization, SPAN("SDK-HMAC-SHA256"));
    unsigned count = 0;
    bool is_good = true;
    while (rest.ptr != NULL) {
        struct span value = cut(&rest, ','), name = span_trim(cut(&value, '='));
        if (!http_is_token(name) || value.ptr == NULL)
            return IDENTITY_READ_MISSING;
        value = span_trim(value);
        if (span_eq_nocase(name, SPAN("Access"))) {
            *key = value;
        } else if (span_eq_nocase(name, SPAN("Credential"))) {
            *key = cut(&value, '/');
            is_good = value.ptr != NULL; /* AK/date/region/service/sdk_request */
        } else {
            continue;
        }
        count++;
    }
    if (count > 1)
        return IDENTITY_READ_REPEATED;
    return count == 1 && is_good && identity_is_access_key(*key) ? IDENTITY_READ_FOUND
                                                                 : IDENTITY_READ_MISSING;
}

void identity_read_cookie(struct span line, struct span name, struct span *value, unsigned *count)
{
    while (line.ptr != NULL) {
        struct span rest = cut(&line, ';'), found = span_trim(cut(&rest, '='));
        if (rest.ptr == NULL || !span_eq(found, name))
            continue;
        if ((*count)++ > 0)
            continue;
        rest = span_trim(rest);
        if (rest.len >= 2 && rest.ptr[0] == '"' && rest.ptr[rest.len - 1] == '"')
            rest = (struct span){rest.ptr + 1, rest.len - 2};
        *value = rest;
    }
}

/* The byte that text begins with once decoded; *len is how many bytes it is written with. */
static char decode_one(struct span text, bool is_form, size_t *len)
{
    *len = 1;
    if (is_form && text.ptr[0] == '+')
        return ' ';
    if (text.ptr[0] != '%' || text.len < 3)
        return text.ptr[0];
    int high = parse_hex_digit(text.ptr[1]), low = parse_hex_digit(text.ptr[2]);
    if (high < 0 || low < 0)
        return text.ptr[0];
    *len = 3;
    return (char)(high << 4 | low);
}

static bool is_name(struct span text, struct span name)
{
    size_t at = 0;
    while (text.len > 0) {
        size_t len;
        if (at == name.len || decode_one(text, true, &len) != name.ptr[at])
            return false;
        at++;
        text.ptr += len;
        text.len -= len;
    }
    return at == name.len;
}

enum identity_read identity_read_query(struct span query, struct span name, struct span *value)
{
    unsigned count = 0;
    while (query.ptr != NULL) {
        struct span rest = cut(&query, '&');
        if (!is_name(cut(&rest, '='), name))
            continue;
        if (count++ > 0)
            return IDENTITY_READ_REPEATED;
        *value = rest;
    }
    return count > 0 ? IDENTITY_READ_FOUND : IDENTITY_READ_MISSING;
}

enum identity_read identity_read_decoded(struct span text, bool is_form, struct arena *arena,
                                         struct span *value)
{
    *value = text;
    if (span_find(text, '%') == text.len && (!is_form || span_find(text, '+') == text.len))
        return IDENTITY_READ_FOUND;
    char *out = arena == NULL ? NULL : arena_take(arena, text.len);
    if (out == NULL)
        return IDENTITY_READ_EXHAUSTED;
    *value = (struct span){out, 0};
    while (text.len > 0) {
        size_t len;
        out[value->len++] = decode_one(text, is_form, &len);
        text.ptr += len;
        text.len -= len;
    }
    return IDENTITY_READ_FOUND;
}
