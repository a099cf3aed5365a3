/* SPDX-License-Identifier: Apache-2.0 */
/* identity_subject.c - see identity_subject.h.  Never: makes a value that extraction would spell otherwise. */
#include "identity/identity_subject.h"

#include "base/base_ascii.h"
#include "base/base_parse.h"
#include "identity/identity_read.h"

/* An address, or the network that the identity's prefix makes of one. */
static const char *ip_value(struct identity_value *value, const struct identity *identity,
                            struct span text)
{
    struct ip_net net;
    if (!ip_net_parse(&net, text) && !ip_parse(&net.ip, text))
        return "not an address";
    unsigned bits =
        ip_is_v4(&net.ip) ? 96u + identity->ipv4_prefix : (unsigned)identity->ipv6_prefix;
    if (span_find(text, '/') < text.len && net.prefix_bits != bits)
        return "the identity does not count by networks of this size: a member is one subject";
    identity_value_set_ip(value, identity, &net.ip);
    return NULL;
}

/* As a request's target would have it: lower case, no port, no dot at its end. */
static const char *host_value(struct identity_value *value, struct span text, struct arena *arena)
{
    char *lower = arena_take(arena, text.len + 1);
    if (lower == NULL)
        return "out of memory";
    ascii_copy_lower(lower, text.ptr, text.len);
    value->value = (struct span){lower, text.len};
    if (text.len > 0 && lower[text.len - 1] == '.')
        value->value.len--;
    return value->value.len == 0 ? "must not be empty" : NULL;
}

const char *identity_subject_value(struct identity_value *value, const struct identity *identity,
                                   const struct identity_source *source, struct span text,
                                   struct arena *arena)
{
    value->kind = source->kind;
    value->is_shared = false;
    value->source_name = source->name;
    value->value = text;
    if (text.len == 0)
        return "must not be empty";
    switch (source->kind) {
    case IDENTITY_IP:
        return ip_value(value, identity, text);
    case IDENTITY_HOST:
        return host_value(value, text, arena);
    case IDENTITY_BASIC_USER:
        return identity_is_user(text) && span_find(text, ':') == text.len ? NULL
                                                                          : "not a user's name";
    case IDENTITY_ACCESS_KEY:
        return identity_is_access_key(text) ? NULL : "not an access key";
    default:
        return NULL;
    }
}

bool identity_subject_hash(struct span text, uint8_t mac[IDENTITY_KEY_BYTES])
{
    struct span prefix = SPAN(IDENTITY_HASH_PREFIX);
    char bytes[PARSE_BASE64URL_MAX(IDENTITY_TEXT_LEN)];
    size_t len;
    if (!span_starts_with(text, prefix) || text.len != prefix.len + IDENTITY_TEXT_LEN ||
        !parse_base64url((struct span){text.ptr + prefix.len, IDENTITY_TEXT_LEN}, bytes, &len))
        return false;
    memcpy(mac, bytes, IDENTITY_KEY_BYTES);
    return true;
}
