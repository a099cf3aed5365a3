/* SPDX-License-Identifier: Apache-2.0 */
/* identity_trust.c - takes: the peer and the request's head.  Gives: the client's address.  Never: looks
 * left of the first hop that is untrusted or unparseable, whatever a client wrote there.
 *
 * Lists are read from the right.  Their right end is the work of a proxy that is trusted, so it is well
 * formed, and nothing that stands further left (an open quote, a stray comma) changes what it says. */
#include "identity/identity.h"

#include "base/base_ascii.h"

#define NODE_MAX_BYTES 64 /* "[" IPv6 "]:" port, with room for escapes taken away */

bool identity_trust_has(const struct identity_trust *trust, const struct ip *peer,
                        bool peer_is_unix)
{
    if (peer_is_unix)
        return trust->trusts_unix;
    for (unsigned i = 0; i < trust->net_count; i++) {
        if (ip_net_has(&trust->nets[i], peer))
            return true;
    }
    return false;
}

/* ---- one hop ---- */

/* node-port of RFC 7239 section 6: up to five digits, or "_" and a word. */
static bool is_port(struct span text)
{
    bool is_word = text.len > 1 && text.ptr[0] == '_';
    if (text.len == 0 || (!is_word && text.len > 5))
        return false;
    for (size_t i = is_word ? 1 : 0; i < text.len; i++) {
        char byte = text.ptr[i];
        if (is_word ? !ascii_is_word(byte) && byte != '.' && byte != '_' && byte != '-'
                    : byte < '0' || byte > '9')
            return false;
    }
    return true;
}

/* node of RFC 7239 section 6 that is an address: "192.0.2.1", "192.0.2.1:80", "[2001:db8::1]:80". */
static bool parse_node(struct ip *ip, struct span text)
{
    bool is_bracketed = text.len > 0 && text.ptr[0] == '[';
    size_t len = span_find(text, is_bracketed ? ']' : ':');
    struct span address = {text.ptr, len}, rest = {text.ptr + len, text.len - len};
    if (is_bracketed) {
        if (rest.len == 0)
            return false;
        address.ptr++;
        address.len--;
        rest.ptr++;
        rest.len--;
        if (span_find(address, ':') == address.len)
            return false;
    }
    if (rest.len > 0 && (rest.ptr[0] != ':' || !is_port((struct span){rest.ptr + 1, rest.len - 1})))
        return false;
    return ip_parse(ip, address);
}

/* An element of X-Forwarded-For and its like: a node, or a bare IPv6 address. */
static bool parse_hop(struct ip *ip, struct span text)
{
    return ip_parse(ip, text) || parse_node(ip, text);
}

/* ---- Forwarded ---- */

/* Take a quoted-string (RFC 9110 section 5.6.4) from the front; what is in it goes to `out` as far as
 * that has room, *len counts it all. */
static bool take_quoted(struct span *text, char out[NODE_MAX_BYTES], size_t *len)
{
    *len = 0;
    for (size_t i = 1; i < text->len; i++) {
        char byte = text->ptr[i];
        if (byte == '"') {
            text->ptr += i + 1;
            text->len -= i + 1;
            return true;
        }
        if (byte == '\\') {
            if (++i == text->len)
                return false;
            byte = text->ptr[i];
        }
        if (*len < NODE_MAX_BYTES)
            out[*len] = byte;
        (*len)++;
    }
    return false;
}

/* Take a token value from the front: all up to ";" or a blank. */
static bool take_token(struct span *text, char out[NODE_MAX_BYTES], size_t *len)
{
    size_t end = 0;
    while (end < text->len && text->ptr[end] != ';' && text->ptr[end] != ' ' &&
           text->ptr[end] != '\t')
        end++;
    if (!http_is_token((struct span){text->ptr, end}))
        return false;
    memcpy(out, text->ptr, end < NODE_MAX_BYTES ? end : NODE_MAX_BYTES);
    *len = end;
    text->ptr += end;
    text->len -= end;
    return true;
}

/* forwarded-element = [ pair ] *( ";" [ pair ] ) with one "for" that is an address. */
static bool parse_element(struct ip *ip, struct span text)
{
    bool has_for = false;
    for (text = span_trim(text); text.len > 0; text = span_trim(text)) {
        if (text.ptr[0] == ';') {
            text.ptr++;
            text.len--;
            continue;
        }
        size_t equals = span_find(text, '='), len;
        struct span name = {text.ptr, equals};
        if (equals + 1 >= text.len || !http_is_token(name))
            return false;
        text.ptr += equals + 1;
        text.len -= equals + 1;
        char value[NODE_MAX_BYTES];
        bool is_taken =
            text.ptr[0] == '"' ? take_quoted(&text, value, &len) : take_token(&text, value, &len);
        text = span_trim(text);
        if (!is_taken || (text.len > 0 && text.ptr[0] != ';'))
            return false;
        if (!span_eq_nocase(name, SPAN("for")))
            continue;
        if (has_for || len > NODE_MAX_BYTES || !parse_node(ip, (struct span){value, len}))
            return false;
        has_for = true;
    }
    return has_for;
}

/* How many backslashes stand right before text[at]? */
static size_t backslashes_before(struct span text, size_t at)
{
    size_t count = 0;
    while (count < at && text.ptr[at - count - 1] == '\\')
        count++;
    return count;
}

/* From the quote that closes a quoted-string at text[close], back to the one that opens it, which
 * stands behind "=".  False when there is none. */
static bool find_opening(struct span text, size_t close, size_t *open)
{
    if (backslashes_before(text, close) % 2 != 0)
        return false;
    for (size_t at = close; at-- > 0;) {
        if (text.ptr[at] != '"')
            continue;
        size_t escapes = backslashes_before(text, at);
        if (escapes % 2 != 0)
            continue;
        *open = at;
        return escapes == 0 && at > 0 && text.ptr[at - 1] == '=';
    }
    return false;
}

/* ---- lists, from the right ---- */

/* Take the last element of a list off *text; its ptr is NULL after the first.  False: malformed. */
typedef bool (*take_last_fn)(struct span *text, struct span *element);

static void split_at(struct span *text, size_t comma, struct span *element)
{
    *element = (struct span){text->ptr + comma + 1, text->len - comma - 1};
    text->len = comma;
}

static bool take_last_plain(struct span *text, struct span *element)
{
    const char *comma = text->len == 0 ? NULL : memrchr(text->ptr, ',', text->len);
    *element = *text;
    if (comma == NULL)
        *text = SPAN_NONE;
    else
        split_at(text, (size_t)(comma - text->ptr), element);
    return true;
}

static bool take_last_quoted(struct span *text, struct span *element)
{
    for (size_t at = text->len; at-- > 0;) {
        if (text->ptr[at] == '"' && !find_opening(*text, at, &at))
            return false;
        if (text->ptr[at] == ',') {
            split_at(text, at, element);
            return true;
        }
    }
    *element = *text;
    *text = SPAN_NONE;
    return true;
}

static const struct list_form {
    take_last_fn take_last;
    bool (*parse)(struct ip *ip, struct span element);
} xff_form = {take_last_plain, parse_hop}, forwarded_form = {take_last_quoted, parse_element};

/* Owner: identity_client_ip. */
struct walk {
    const struct identity_trust *trust;
    const struct list_form *form;
    struct ip last_good;
    unsigned hops;
};

/* Walk one line from the right; false when the walk has ended. */
static bool walk_line(struct walk *walk, struct span text)
{
    while (text.ptr != NULL) {
        struct span element;
        struct ip ip;
        if (!walk->form->take_last(&text, &element))
            return false;
        element = span_trim(element);
        if (element.len == 0)
            continue; /* RFC 9110 section 5.6.1.2 */
        if (walk->hops++ == IDENTITY_HOPS_MAX || !walk->form->parse(&ip, element))
            return false;
        walk->last_good = ip;
        if (!identity_trust_has(walk->trust, &ip, false))
            return false;
    }
    return true;
}

static struct ip walk_lists(const struct identity_trust *trust, const struct http_head *head,
                            const struct ip *peer)
{
    bool is_xff = trust->hops == IDENTITY_HOPS_XFF;
    uint8_t id = is_xff ? HTTP_FIELD_X_FORWARDED_FOR : HTTP_FIELD_FORWARDED;
    struct walk walk = {trust, is_xff ? &xff_form : &forwarded_form, *peer, 0};
    for (unsigned i = head->field_count; i-- > 0;) {
        const struct http_field *field = &head->fields[i];
        if (field->id == id && !walk_line(&walk, http_field_value(head, field)))
            break;
    }
    return walk.last_good;
}

static struct ip read_header(const struct identity_trust *trust, const struct http_head *head,
                             const struct ip *peer)
{
    const struct http_field *field = http_head_only(head, trust->header_id, trust->header_name);
    struct ip ip;
    bool is_good = field != NULL && parse_hop(&ip, http_field_value(head, field));
    return is_good ? ip : *peer;
}

struct ip identity_client_ip(const struct identity_trust *trust, const struct http_head *head,
                             const struct ip *peer, bool peer_is_unix)
{
    if (!identity_trust_has(trust, peer, peer_is_unix))
        return *peer;
    if (trust->hops == IDENTITY_HOPS_HEADER)
        return read_header(trust, head, peer);
    return walk_lists(trust, head, peer);
}
