/* SPDX-License-Identifier: Apache-2.0 */
/* http_prefix.h - a path that is forwarded with another beginning.  Takes: a path as the client spelled it and as it was
 * judged, and the prefixes to take away and to put before.  Gives: the client's own bytes behind the prefix, in whatever
 * spelling that came.  Never: cuts within a segment, decodes, allocates.  Pure. */
#ifndef SLUICE_HTTP_PREFIX_H
#define SLUICE_HTTP_PREFIX_H

#include "base/base_span.h"

/* Both begin with "/" and do not end with it, are spelled as judged, or are empty: nothing is taken away, or put before.  A
 * segment {name} of strip stands for any one segment that is not empty. */
struct http_prefix {
    struct span strip, add;
};

/* Does this segment of a pattern stand for any one? */
static inline bool http_segment_is_name(struct span segment)
{
    return segment.len > 2 && segment.ptr[0] == '{' && segment.ptr[segment.len - 1] == '}';
}

/* Does the judged path begin with the segments of strip?  *behind is the rest of it, empty or from a "/" on. */
bool http_prefix_matches(struct span strip, struct span judged, struct span *behind);

/* Write what is forwarded of `path`, which was judged to be `judged` without a dot segment: add, and then what stands behind
 * strip in path, which is all of it when judged does not begin with strip.  Empty segments right behind strip go with it:
 * "/api//x" must not become "//x", which some take for a host.  What would be empty is "/"; "*" stays "*".
 *
 * What is written is judged as add and the rest of `judged`: whoever reads a path as http_path.h does, reads it so.
 * At most add.len + path.len bytes; returns the byte after. */
char *http_prefix_write(char *out, const struct http_prefix *prefix, struct span path,
                        struct span judged);

#endif
