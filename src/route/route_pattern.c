/* SPDX-License-Identifier: Apache-2.0 */
/* route_pattern.c - takes: rules as configured.  Gives: their segments, what is wrong with them, and
 * whether one hides another.  Never: allocates. */
#include "route/route_pattern.h"

#include "base/base_ascii.h"
#include "http/http_path.h"

struct route_segments route_segments_of(struct span path)
{
    if (path.len == 0 || path.ptr[0] != '/')
        return (struct route_segments){SPAN_NONE, false};
    return (struct route_segments){{path.ptr + 1, path.len - 1}, true};
}

bool route_segments_next(struct route_segments *segments, struct span *segment)
{
    if (!segments->has_more)
        return false;
    size_t len = span_find(segments->rest, '/');
    *segment = (struct span){segments->rest.ptr, len};
    segments->has_more = len < segments->rest.len;
    size_t skip = segments->has_more ? len + 1 : len;
    segments->rest.ptr += skip;
    segments->rest.len -= skip;
    return true;
}

enum route_end route_pattern_of(const struct route_rule *rule, struct route_segments *segments)
{
    if (rule->path.len > 0) {
        *segments = route_segments_of(rule->path);
        return ROUTE_END_EXACT;
    }
    struct span prefix = rule->prefix;
    enum route_end end = ROUTE_END_PREFIX;
    if (prefix.len > 0 && prefix.ptr[prefix.len - 1] == '/') {
        prefix.len--;
        end = ROUTE_END_BELOW;
    }
    *segments = route_segments_of(prefix);
    return end;
}

static bool is_name_byte(char byte)
{
    return ascii_is_word(byte) || byte == '_' || byte == '-';
}

static bool is_name_text(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!is_name_byte(text.ptr[i]))
            return false;
    }
    return text.len > 0;
}

/* The {names} seen so far in one pattern. */
struct names {
    struct span texts[ROUTE_NAMES_MAX];
    unsigned count;
};

static const char *name_fault(struct names *names, struct span segment)
{
    if (segment.len < 2 || segment.ptr[0] != '{' || segment.ptr[segment.len - 1] != '}')
        return "a {name} is a whole segment, and \"{\" and \"}\" stand nowhere else";
    struct span name = {segment.ptr + 1, segment.len - 2};
    if (!is_name_text(name))
        return "a {name} has letters, digits, \"_\" and \"-\" only, at least one";
    for (unsigned i = 0; i < names->count; i++) {
        if (span_eq(names->texts[i], name))
            return "a {name} occurs twice";
    }
    if (names->count == ROUTE_NAMES_MAX)
        return "there are more than 8 {names}";
    names->texts[names->count++] = name;
    return NULL;
}

static const char *segments_fault(struct span path)
{
    struct route_segments segments = route_segments_of(path);
    struct names names = {.count = 0};
    struct span segment;
    for (unsigned count = 1; route_segments_next(&segments, &segment); count++) {
        if (count > ROUTE_SEGMENTS_MAX)
            return "there are more than 64 segments";
        if (span_find(segment, '{') == segment.len && span_find(segment, '}') == segment.len)
            continue;
        const char *fault = name_fault(&names, segment);
        if (fault != NULL)
            return fault;
    }
    return NULL;
}

/* Requests are matched by their judged path, so a pattern in any other spelling can never match. */
static const char *spelling_fault(struct span path, uint32_t allow_path)
{
    char copy[ROUTE_PATH_MAX_BYTES], room[ROUTE_PATH_MAX_BYTES];
    for (size_t i = 0; i < path.len; i++) {
        char byte = path.ptr[i];
        if (byte <= ' ' || byte > '~')
            return "a byte that a path cannot have; write it percent-encoded";
        if (byte == '?' || byte == '#')
            return "a \"?\" or \"#\"; only the path is compared";
        copy[i] = byte == '{' || byte == '}' ? '_' : byte;
    }
    struct span text = {copy, path.len};
    struct http_path result;
    struct http_fault fault;
    if (http_path_judge(text, room, &result, &fault) != HTTP_PARSE_OK ||
        http_path_allow(&result, allow_path, &fault) != HTTP_PARSE_OK)
        return http_fault_sentence(fault.id);
    if (!span_eq(text, result.judged))
        return "it would never match: paths are compared without \"//\", with unreserved bytes "
               "plain and "
               "other percent-escapes in upper case";
    return NULL;
}

static const char *path_fault(struct span path, uint32_t allow_path)
{
    if (path.len == 0)
        return NULL;
    if (path.ptr[0] != '/')
        return "it does not begin with \"/\"";
    if (path.len > ROUTE_PATH_MAX_BYTES)
        return "it is longer than 2048 bytes";
    const char *fault = segments_fault(path);
    return fault != NULL ? fault : spelling_fault(path, allow_path);
}

static bool is_host_byte(char byte, bool is_literal)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' ||
           byte == '.' || byte == '_' || (is_literal && byte == ':');
}

static const char *host_fault(struct span host)
{
    if (host.len == 0)
        return NULL;
    struct span text = route_host_plain(host);
    if (text.len > ROUTE_HOST_MAX_BYTES)
        return "the host is longer than 253 bytes";
    if (span_starts_with(text, SPAN("*."))) {
        text.ptr += 2;
        text.len -= 2;
    }
    bool is_literal = text.len > 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']';
    if (is_literal) {
        text.ptr++;
        text.len -= 2;
    }
    char before = '.';
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.ptr[i];
        if (ascii_is_upper(byte))
            return "the host is not in lower case";
        if (!is_host_byte(byte, is_literal) || (byte == '.' && before == '.'))
            return "the host is not a name, an address or \"*.\" and a name, without port";
        before = byte;
    }
    return text.len > 0 && before != '.' ? NULL : "the host has an empty label";
}

const char *route_rule_fault(const struct route_rule *rule)
{
    if (rule->path.len > 0 && rule->prefix.len > 0)
        return "it has a path and a prefix";
    const char *fault =
        path_fault(rule->path.len > 0 ? rule->path : rule->prefix, rule->allow_path);
    if (fault == NULL)
        fault = host_fault(rule->host);
    if (fault != NULL || rule->methods == NULL)
        return fault;
    if (rule->method_count == 0)
        return "the list of methods is empty";
    for (unsigned i = 0; i < rule->method_count; i++) {
        if (!http_is_token(rule->methods[i]))
            return "a method is not a token";
    }
    return NULL;
}

static bool host_covers(struct span earlier, struct span later)
{
    earlier = route_host_plain(earlier);
    later = route_host_plain(later);
    if (earlier.len == 0 || span_eq(earlier, later))
        return true;
    if (!route_host_is_wild(earlier))
        return false;
    /* ".example.com" ends both "a.example.com" and "*.a.example.com". */
    struct span suffix = {earlier.ptr + 1, earlier.len - 1};
    if (later.len <= suffix.len)
        return false;
    struct span tail = {later.ptr + later.len - suffix.len, suffix.len};
    return span_eq(tail, suffix);
}

static bool has_method(const struct route_rule *rule, struct span method)
{
    for (unsigned i = 0; i < rule->method_count; i++) {
        if (span_eq(rule->methods[i], method))
            return true;
    }
    return false;
}

static bool methods_cover(const struct route_rule *earlier, const struct route_rule *later)
{
    if (earlier->methods == NULL)
        return true;
    if (later->methods == NULL)
        return false;
    for (unsigned i = 0; i < later->method_count; i++) {
        if (!has_method(earlier, later->methods[i]))
            return false;
    }
    return true;
}

static bool segment_covers(struct span earlier, struct span later)
{
    return http_segment_is_name(earlier) ? later.len > 0 : span_eq(earlier, later);
}

static bool path_covers(const struct route_rule *earlier, const struct route_rule *later)
{
    struct route_segments ours, theirs;
    enum route_end our_end = route_pattern_of(earlier, &ours);
    enum route_end their_end = route_pattern_of(later, &theirs);
    struct span our_segment, their_segment;
    while (route_segments_next(&ours, &our_segment)) {
        if (!route_segments_next(&theirs, &their_segment) ||
            !segment_covers(our_segment, their_segment))
            return false;
    }
    switch (our_end) {
    case ROUTE_END_EXACT:
        return their_end == ROUTE_END_EXACT && !theirs.has_more;
    case ROUTE_END_BELOW:
        return their_end == ROUTE_END_BELOW || theirs.has_more;
    default:
        return true;
    }
}

bool route_rule_covers(const struct route_rule *earlier, const struct route_rule *later)
{
    if (earlier->listener.len > 0 && !span_eq(earlier->listener, later->listener))
        return false;
    return host_covers(earlier->host, later->host) && path_covers(earlier, later) &&
           methods_cover(earlier, later);
}
