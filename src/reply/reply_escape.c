/* SPDX-License-Identifier: Apache-2.0 */
/* reply_escape.c - takes: any bytes.  Gives: text that means them in JSON, in XML or on a line. */
#include "reply/reply_escape.h"

#include "base/base_fmt.h"

static char *put_xml(char *out, const char *end, struct span text)
{
    static const struct {
        char byte;
        struct span entity;
    } entities[] = {
        {'&', SPAN("&amp;")},  {'<', SPAN("&lt;")},    {'>', SPAN("&gt;")},
        {'"', SPAN("&quot;")}, {'\'', SPAN("&apos;")},
    };
    while (text.len != 0) {
        size_t len = span_utf8_len(text);
        unsigned char c = (unsigned char)*text.ptr;
        struct span piece = {text.ptr, len};
        /* XML 1.0 section 2.2: no control but these three can be written at all. */
        if (len == 0 || (c < 0x20 && c != '\t' && c != '\n' && c != '\r'))
            piece = SPAN("?");
        for (size_t i = 0; i < sizeof(entities) / sizeof(entities[0]); i++) {
            if (*text.ptr == entities[i].byte)
                piece = entities[i].entity;
        }
        if (piece.len > (size_t)(end - out))
            break;
        out = fmt_span(out, piece);
        len = len == 0 ? 1 : len;
        text = (struct span){text.ptr + len, text.len - len};
    }
    return out;
}

static char *put_plain(char *out, const char *end, struct span text)
{
    for (size_t i = 0; i < text.len && out < end; i++)
        *out++ = (unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f ? ' ' : text.ptr[i];
    return out;
}

char *reply_put_escaped(char *out, const char *end, struct span text, enum reply_escape escape)
{
    bool is_cut = false, has_bytes = false;
    switch (escape) {
    case REPLY_ESCAPE_JSON:
        return fmt_json_text(out, end, text, &is_cut, &has_bytes);
    case REPLY_ESCAPE_XML:
        return put_xml(out, end, text);
    default:
        return put_plain(out, end, text);
    }
}
