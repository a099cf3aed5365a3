/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_html.c - see logtool_html.h. */
#include "logtool/logtool_html.h"

#include <assert.h>
#include <inttypes.h>

#include "base/base_fmt.h"

#define CHARACTER_BYTES 4 /* of the longest one in UTF-8 */

/* One character, or the \xNN that stands for a byte. */
static void put_escaped(FILE *out, struct span text)
{
    char room[CHARACTER_BYTES * FMT_CLEAN_TIMES];
    const char *end = fmt_clean(room, room + sizeof(room), text);
    fwrite(room, 1, (size_t)(end - room), out);
}

static void put_text(FILE *out, struct span text)
{
    while (text.len > 0) {
        size_t len = span_utf8_len(text);
        len = len == 0 ? 1 : len;
        switch (text.ptr[0]) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        case '\'':
            fputs("&#39;", out);
            break;
        default:
            put_escaped(out, (struct span){text.ptr, len});
        }
        text.ptr += len;
        text.len -= len;
    }
}

static void put_number(FILE *out, uint64_t number)
{
    char room[FMT_U64_MAX];
    const size_t len = (size_t)(fmt_u64(room, number) - room);
    for (size_t i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            fputc(',', out);
        fputc(room[i], out);
    }
}

static void put_time(FILE *out, uint64_t us)
{
    if (us < 1000)
        fprintf(out, "%" PRIu64 " &#181;s", us);
    else if (us < 1000000)
        fprintf(out, "%.1f ms", (double)us / 1e3);
    else
        fprintf(out, "%.2f s", (double)us / 1e6);
}

static void put_second(FILE *out, uint64_t second)
{
    char room[FMT_RFC3339_MAX + 1];
    fmt_rfc3339_ms(room, second * 1000000);
    fprintf(out, "%.10s %.8s", room, room + 11);
}

static void put_value(FILE *out, const struct logtool_html_value *value)
{
    switch (value->kind) {
    case LOGTOOL_HTML_TEXT:
        put_text(out, value->text);
        break;
    case LOGTOOL_HTML_NUMBER:
        put_number(out, value->number);
        break;
    case LOGTOOL_HTML_PLACE:
        fprintf(out, "%.1f", value->real);
        break;
    case LOGTOOL_HTML_TIME:
        put_time(out, value->number);
        break;
    case LOGTOOL_HTML_SECOND:
        put_second(out, value->number);
        break;
    case LOGTOOL_HTML_SHARE:
        fprintf(out, "%.1f %%", value->real);
        break;
    }
}

void logtool_html_put(FILE *out, const char *form, const struct logtool_html_value *values,
                      size_t count)
{
    size_t next = 0;
    for (; *form != '\0'; form++) {
        if (*form != '$') {
            fputc(*form, out);
            continue;
        }
        assert(next < count);
        if (next < count)
            put_value(out, &values[next++]);
    }
    assert(next == count);
}
