/* SPDX-License-Identifier: Apache-2.0 */
/* http_prefix.c - takes: a path in the client's spelling and in ours.  Gives: it with another beginning.  Judging changes
 * the bytes of a segment, folds empty ones and leaves parameters away; without dot segments it never joins, splits or moves
 * segments.  So the n-th segment that is not empty is the same in both spellings, and segments are all that is counted. */
#include "http/http_prefix.h"

#include "base/base_fmt.h"

static size_t find_slash(struct span path, size_t from)
{
    return from + span_find((struct span){path.ptr + from, path.len - from}, '/');
}

static struct span from_on(struct span path, size_t from)
{
    return (struct span){path.ptr + from, path.len - from};
}

bool http_prefix_matches(struct span strip, struct span judged, struct span *behind)
{
    size_t at = 0, end;
    for (size_t want = 0; want < strip.len; want = end) {
        end = find_slash(strip, want + 1);
        const struct span segment = {strip.ptr + want + 1, end - want - 1};
        if (at == judged.len || judged.ptr[at] != '/')
            return false;
        const size_t stop = find_slash(judged, at + 1);
        const struct span found = {judged.ptr + at + 1, stop - at - 1};
        if (http_segment_is_name(segment) ? found.len == 0 : !span_eq(segment, found))
            return false;
        at = stop;
    }
    *behind = from_on(judged, at);
    return true;
}

/* Is the segment behind the "/" at `at` judged to be nothing?  Of ";x" nothing is left. */
static bool is_empty_at(struct span path, size_t at)
{
    return at + 1 < path.len && (path.ptr[at + 1] == '/' || path.ptr[at + 1] == ';');
}

/* From the "/" at `at` to the last one of those with nothing between them. */
static size_t skip_empty(struct span path, size_t at)
{
    while (at < path.len && is_empty_at(path, at)) {
        size_t next = find_slash(path, at + 1);
        if (next == path.len)
            break; /* the last segment is kept, be it empty */
        at = next;
    }
    return at;
}

/* What stands in the path behind as many segments as strip has; it has them. */
static struct span cut(struct span path, struct span strip)
{
    size_t at = 0;
    for (size_t i = 0; i < strip.len; i++) {
        if (strip.ptr[i] == '/')
            at = find_slash(path, skip_empty(path, at) + 1);
    }
    return from_on(path, skip_empty(path, at));
}

char *http_prefix_write(char *out, const struct http_prefix *prefix, struct span path,
                        struct span judged)
{
    struct span behind;
    if (path.len == 0 || path.ptr[0] != '/')
        return fmt_span(out, path);
    if (prefix->strip.len != 0 && http_prefix_matches(prefix->strip, judged, &behind))
        path = cut(path, prefix->strip);
    out = fmt_span(out, prefix->add);
    if (prefix->add.len == 0 && path.len == 0)
        *out++ = '/';
    return fmt_span(out, path);
}
