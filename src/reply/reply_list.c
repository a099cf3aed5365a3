/* SPDX-License-Identifier: Apache-2.0 */
/* reply_list.c - takes: the value of a server's RateLimit or RateLimit-Policy.  Gives: whether it can stand beside
 * ours.  RFC 9651 section 4.2, as far as a list of strings needs it; Dates, Display Strings and inner lists are
 * taken for malformed: the draft has none. */
#include <ctype.h>

#include "reply/reply_fields.h"

#define DIGITS_MAX 15 /* RFC 9651 section 4.2.4 */

static bool take(struct span *text, char byte)
{
    if (text->len == 0 || *text->ptr != byte)
        return false;
    text->ptr++;
    text->len--;
    return true;
}

/* As many bytes as the function is true for. */
static size_t take_while(struct span *text, bool (*is_one)(unsigned char))
{
    size_t len = 0;
    while (len < text->len && is_one((unsigned char)text->ptr[len]))
        len++;
    text->ptr += len;
    text->len -= len;
    return len;
}

static bool is_digit(unsigned char c)
{
    return isdigit(c) != 0;
}

static bool is_lower(unsigned char c)
{
    return islower(c) != 0;
}

static bool is_space(unsigned char c)
{
    return c == ' ';
}

static bool is_white(unsigned char c)
{
    return c == ' ' || c == '\t';
}

static bool is_key(unsigned char c)
{
    return is_lower(c) || is_digit(c) || (c != 0 && memchr("_-.*", c, 4) != NULL);
}

static bool is_token(unsigned char c)
{
    const char byte = (char)c;
    return c == ':' || c == '/' || http_is_token((struct span){&byte, 1});
}

static bool is_base64(unsigned char c)
{
    return isalnum(c) != 0 || c == '+' || c == '/' || c == '=';
}

static bool take_string(struct span *text)
{
    if (!take(text, '"'))
        return false;
    while (text->len != 0 && *text->ptr != '"') {
        unsigned char c = (unsigned char)*text->ptr;
        if (c < 0x20 || c > 0x7e)
            return false;
        if (take(text, '\\') && (text->len == 0 || (*text->ptr != '"' && *text->ptr != '\\')))
            return false;
        text->ptr++;
        text->len--;
    }
    return take(text, '"');
}

static bool take_number(struct span *text)
{
    (void)take(text, '-');
    size_t whole = take_while(text, is_digit);
    if (!take(text, '.'))
        return whole != 0 && whole <= DIGITS_MAX;
    size_t fraction = take_while(text, is_digit);
    return whole != 0 && whole <= 12 && fraction != 0 && fraction <= 3;
}

static bool take_bare_item(struct span *text)
{
    unsigned char c = text->len == 0 ? 0 : (unsigned char)*text->ptr;
    if (c == '"')
        return take_string(text);
    if (c == '-' || is_digit(c))
        return take_number(text);
    if (c == '?')
        return take(text, '?') && (take(text, '0') || take(text, '1'));
    if (c == ':') {
        (void)take(text, ':');
        (void)take_while(text, is_base64);
        return take(text, ':');
    }
    return (isalpha(c) != 0 || c == '*') && take_while(text, is_token) != 0;
}

static bool take_parameters(struct span *text)
{
    while (take(text, ';')) {
        (void)take_while(text, is_space);
        bool is_begun =
            text->len != 0 && (is_lower((unsigned char)*text->ptr) || *text->ptr == '*');
        if (!is_begun || take_while(text, is_key) == 0)
            return false;
        if (take(text, '=') && !take_bare_item(text))
            return false;
    }
    return true;
}

bool reply_is_string_list(struct span value)
{
    value = span_trim(value);
    while (take_string(&value) && take_parameters(&value)) {
        (void)take_while(&value, is_white);
        if (value.len == 0)
            return true;
        if (!take(&value, ','))
            return false;
        (void)take_while(&value, is_white);
    }
    return false;
}
