/* SPDX-License-Identifier: Apache-2.0 */
/* identity_extract.c - takes: a parsed request and an identity.  Gives: the value that names the caller,
 * or what the identity says when there is none.  Never: logs or keeps a value. */
#include "identity/identity.h"

#include "base/base_ascii.h"
#include "base/base_fmt.h"
#include "identity/identity_cache.h"
#include "identity/identity_read.h"

/* One value to be read. */
struct reading {
    const struct identity *identity;
    const struct identity_source *source;
    const struct identity_input *input;
    struct identity_value *value;
};

typedef enum identity_read (*reader_fn)(const struct reading *reading);

/* The only field of a name that has no number.  One look at every field, and a call only for what is as long:
 * http_head_next_named, asked twice, was a fifth of what naming a caller cost. */
static enum identity_read only_named(const struct http_head *head, struct span name,
                                     const struct http_field **found)
{
    *found = NULL;
    for (const struct http_field *field = head->fields, *end = field + head->field_count;
         field < end; field++) {
        if (field->name_len != name.len || field->id != HTTP_FIELD_OTHER ||
            !span_eq_nocase(http_field_name(head, field), name))
            continue;
        if (*found != NULL)
            return IDENTITY_READ_REPEATED;
        *found = field;
    }
    return *found == NULL ? IDENTITY_READ_MISSING : IDENTITY_READ_FOUND;
}

/* The only field of that name; REPEATED when there are two. */
static enum identity_read only_field(const struct reading *reading, enum http_field_id id,
                                     struct span name, struct span *value)
{
    const struct http_head *head = reading->input->head;
    const struct http_field *found;
    if (id == HTTP_FIELD_OTHER) {
        enum identity_read read = only_named(head, name, &found);
        if (read != IDENTITY_READ_FOUND)
            return read;
    } else {
        if (!http_head_has(head, id))
            return IDENTITY_READ_MISSING;
        if ((head->repeated & HTTP_FIELD_BIT(id)) != 0)
            return IDENTITY_READ_REPEATED;
        found = &head->fields[head->first[id]];
    }
    *value = http_field_value(head, found);
    return IDENTITY_READ_FOUND;
}

void identity_value_set_ip(struct identity_value *value, const struct identity *identity,
                           const struct ip *ip)
{
    bool is_v4 = ip_is_v4(ip);
    unsigned bits = is_v4 ? identity->ipv4_prefix : identity->ipv6_prefix;
    struct ip masked = ip_mask(ip, identity->ipv4_prefix, identity->ipv6_prefix);
    char *end = value->text + ip_format(value->text, &masked);
    if (bits < (is_v4 ? 32 : 128)) {
        *end++ = '/';
        end = fmt_u64(end, bits);
    }
    value->value = (struct span){value->text, (size_t)(end - value->text)};
}

static enum identity_read read_ip(const struct reading *reading)
{
    identity_value_set_ip(reading->value, reading->identity, &reading->input->client_ip);
    return IDENTITY_READ_FOUND;
}

static enum identity_read read_header(const struct reading *reading)
{
    const struct identity_source *source = reading->source;
    return only_field(reading, source->field_id, source->name, &reading->value->value);
}

static enum identity_read read_cookie(const struct reading *reading)
{
    const struct http_head *head = reading->input->head;
    const struct http_field *field;
    struct span text = SPAN_NONE;
    unsigned from = 0, count = 0;
    while ((field = http_head_next(head, HTTP_FIELD_COOKIE, &from)) != NULL)
        identity_read_cookie(http_field_value(head, field), reading->source->name, &text, &count);
    if (count != 1)
        return count == 0 ? IDENTITY_READ_MISSING : IDENTITY_READ_REPEATED;
    return identity_read_decoded(text, false, reading->input->arena, &reading->value->value);
}

static enum identity_read read_query(const struct reading *reading)
{
    struct span text;
    enum identity_read read =
        identity_read_query(reading->input->target->query, reading->source->name, &text);
    if (read != IDENTITY_READ_FOUND)
        return read;
    return identity_read_decoded(text, true, reading->input->arena, &reading->value->value);
}

static enum identity_read read_bearer(const struct reading *reading)
{
    struct span text;
    enum identity_read read =
        only_field(reading, HTTP_FIELD_AUTHORIZATION, SPAN("authorization"), &text);
    return read == IDENTITY_READ_FOUND ? identity_read_bearer(text, &reading->value->value) : read;
}

static enum identity_read read_jwt(const struct reading *reading)
{
    const struct identity_input *input = reading->input;
    struct identity_claim claim;
    struct span text, token;
    enum identity_read read =
        only_field(reading, HTTP_FIELD_AUTHORIZATION, SPAN("authorization"), &text);
    if (read == IDENTITY_READ_FOUND)
        read = identity_read_bearer(text, &token);
    if (read != IDENTITY_READ_FOUND || reading->identity->jwt == NULL)
        return read == IDENTITY_READ_FOUND ? IDENTITY_READ_MISSING : read;
    enum identity_jwt_result result =
        identity_claims_verify(identity_cache_claims(input->cache), reading->identity->jwt, token,
                               reading->source->name, input->now_s, input->arena, &claim);
    if (result == IDENTITY_JWT_EXHAUSTED)
        return IDENTITY_READ_EXHAUSTED;
    if (result == IDENTITY_JWT_GOOD)
        reading->value->value = claim.text;
    return result == IDENTITY_JWT_GOOD ? IDENTITY_READ_FOUND : IDENTITY_READ_MISSING;
}

static enum identity_read read_token_project(const struct reading *reading)
{
    struct span token;
    enum identity_read read =
        only_field(reading, HTTP_FIELD_X_AUTH_TOKEN, SPAN("x-auth-token"), &token);
    reading->value->value = reading->input->project;
    return read;
}

static enum identity_read read_basic_user(const struct reading *reading)
{
    struct span text;
    enum identity_read read =
        only_field(reading, HTTP_FIELD_AUTHORIZATION, SPAN("authorization"), &text);
    if (read != IDENTITY_READ_FOUND)
        return read;
    return identity_read_basic_user(text, reading->input->arena, &reading->value->value);
}

static enum identity_read read_access_key(const struct reading *reading)
{
    struct span text;
    enum identity_read read =
        only_field(reading, HTTP_FIELD_AUTHORIZATION, SPAN("authorization"), &text);
    return read == IDENTITY_READ_FOUND ? identity_read_access_key(text, &reading->value->value)
                                       : read;
}

static enum identity_read read_path(const struct reading *reading)
{
    const struct identity_input *input = reading->input;
    for (unsigned i = 0; i < input->path_name_count; i++) {
        if (!span_eq(input->path_names[i].name, reading->source->name))
            continue;
        reading->value->value = input->path_names[i].value;
        return IDENTITY_READ_FOUND;
    }
    return IDENTITY_READ_MISSING;
}

static enum identity_read read_host(const struct reading *reading)
{
    struct span host = reading->input->target->host;
    if (host.len > 0 && host.ptr[host.len - 1] == '.')
        host.len--;
    reading->value->value = host;
    size_t first = 0;
    while (first < host.len && !ascii_is_upper(host.ptr[first]))
        first++;
    if (first == host.len)
        return IDENTITY_READ_FOUND;

    struct arena *arena = reading->input->arena;
    char *lower = arena == NULL ? NULL : arena_take(arena, host.len);
    if (lower == NULL)
        return IDENTITY_READ_EXHAUSTED;
    ascii_copy_lower(lower, host.ptr, host.len);
    reading->value->value.ptr = lower;
    return IDENTITY_READ_FOUND;
}

static enum identity_read read_method(const struct reading *reading)
{
    const struct http_head *head = reading->input->head;
    reading->value->value = http_head_span(head, head->method);
    return IDENTITY_READ_FOUND;
}

static enum identity_read read_route(const struct reading *reading)
{
    reading->value->value = reading->input->route;
    return IDENTITY_READ_FOUND;
}

static enum identity_read read_certificate(const struct reading *reading)
{
    reading->value->value = reading->input->certificate;
    return IDENTITY_READ_FOUND; /* empty: missing */
}

static const reader_fn readers[IDENTITY_KINDS] = {
    [IDENTITY_IP] = read_ip,
    [IDENTITY_HEADER] = read_header,
    [IDENTITY_COOKIE] = read_cookie,
    [IDENTITY_QUERY] = read_query,
    [IDENTITY_BEARER] = read_bearer,
    [IDENTITY_BASIC_USER] = read_basic_user,
    [IDENTITY_JWT] = read_jwt,
    [IDENTITY_ACCESS_KEY] = read_access_key,
    [IDENTITY_PATH] = read_path,
    [IDENTITY_HOST] = read_host,
    [IDENTITY_METHOD] = read_method,
    [IDENTITY_ROUTE] = read_route,
    [IDENTITY_TOKEN_PROJECT] = read_token_project,
    [IDENTITY_CERTIFICATE] = read_certificate,
};

static enum identity_result when_missing(const struct reading *reading)
{
    struct identity_value *value = reading->value;
    value->source_name = value->value = SPAN_NONE;
    switch ((enum identity_missing)reading->identity->missing) {
    case IDENTITY_MISSING_SKIP:
        return IDENTITY_SKIPPED;
    case IDENTITY_MISSING_REFUSE:
        return IDENTITY_REFUSED;
    case IDENTITY_MISSING_SHARED:
        value->is_shared = true;
        return IDENTITY_FOUND;
    case IDENTITY_MISSING_IP:
        break;
    }
    value->kind = IDENTITY_IP;
    (void)read_ip(reading);
    return IDENTITY_FOUND;
}

enum identity_result identity_extract(const struct identity *identity,
                                      const struct identity_input *input,
                                      struct identity_value *value)
{
    struct reading reading = {identity, NULL, input, value};
    value->is_shared = false;
    for (unsigned i = 0; i < identity->from_count; i++) {
        reading.source = &identity->from[i];
        value->kind = reading.source->kind;
        value->source_name = reading.source->name;
        value->value = SPAN_NONE;
        enum identity_read read = readers[value->kind](&reading);
        if (read == IDENTITY_READ_REPEATED)
            return IDENTITY_REPEATED;
        if (read == IDENTITY_READ_EXHAUSTED)
            return IDENTITY_EXHAUSTED;
        if (read == IDENTITY_READ_FOUND && value->value.len > 0)
            return IDENTITY_FOUND;
    }
    return when_missing(&reading);
}
