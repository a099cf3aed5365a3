/* SPDX-License-Identifier: Apache-2.0 */
/* config_blank.c - takes: a text to change in place.  Gives: plain JSON, if it was JSON otherwise.
 * Never: makes wrong JSON right (a comma goes only between a value and a closing bracket). */
#include "config/config_blank.h"

/* The index behind the string that begins at `at`, or len. */
static size_t skip_string(const char *text, size_t len, size_t at)
{
    for (at++; at < len && text[at] != '"'; at++) {
        if (text[at] == '\n')
            return at; /* an unclosed string ends with its line; the scanner tells */
        if (text[at] == '\\')
            at++;
    }
    return at < len ? at + 1 : len;
}

/* Blank the comment that begins at `at`; the index behind it, or 0 when it has no end. */
static size_t blank_comment(char *text, size_t len, size_t at)
{
    bool is_line = text[at + 1] == '/';
    size_t end = at + 2;
    if (is_line) {
        while (end < len && text[end] != '\n')
            end++;
    } else {
        while (end + 1 < len && !(text[end] == '*' && text[end + 1] == '/'))
            end++;
        if (end + 1 >= len)
            return 0;
        end += 2;
    }
    for (size_t i = at; i < end; i++) {
        if (text[i] != '\n' && text[i] != '\r')
            text[i] = ' ';
    }
    return end;
}

/* What was seen since the last comma that follows a value. */
struct trail {
    size_t comma;     /* its index; the text's length: none, or something came since */
    char significant; /* the last byte that is neither space nor comment */
};

static void see(struct trail *trail, char *text, size_t len, size_t at)
{
    char c = text[at];
    if ((c == ']' || c == '}') && trail->comma < len)
        text[trail->comma] = ' ';
    trail->comma = len;
    if (c == ',' && trail->significant != 0 && memchr("[{,:", trail->significant, 4) == NULL)
        trail->comma = at;
    trail->significant = c;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool config_blank(char *text, size_t len, size_t *fault_off)
{
    struct trail trail = {.comma = len};
    for (size_t i = 0; i < len;) {
        bool is_comment =
            text[i] == '/' && i + 1 < len && (text[i + 1] == '/' || text[i + 1] == '*');
        if (is_space(text[i])) {
            i++;
        } else if (is_comment) {
            *fault_off = i;
            i = blank_comment(text, len, i);
            if (i == 0)
                return false;
        } else {
            see(&trail, text, len, i);
            i = text[i] == '"' ? skip_string(text, len, i) : i + 1;
        }
    }
    return true;
}
