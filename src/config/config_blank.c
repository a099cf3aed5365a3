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

bool config_blank(char *text, size_t len, size_t *fault_off)
{
    size_t comma = len;   /* a comma that follows a value, and nothing since */
    char significant = 0; /* the last byte that is neither space nor comment */
    for (size_t i = 0; i < len;) {
        char c = text[i];
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            i++;
            continue;
        }
        if (c == '/' && i + 1 < len && (text[i + 1] == '/' || text[i + 1] == '*')) {
            size_t end = blank_comment(text, len, i);
            if (end == 0) {
                *fault_off = i;
                return false;
            }
            i = end;
            continue;
        }
        if ((c == ']' || c == '}') && comma < len)
            text[comma] = ' ';
        comma = len;
        if (c == ',' && significant != 0 && memchr("[{,:", significant, 4) == NULL)
            comma = i;
        significant = c;
        i = c == '"' ? skip_string(text, len, i) : i + 1;
    }
    return true;
}
