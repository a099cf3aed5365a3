/* SPDX-License-Identifier: Apache-2.0 */
/* http_upgrade.c - takes: heads that were parsed.  Gives: verdicts on their Upgrade.  Never repairs. */
#include "http/http_upgrade.h"

#include <openssl/evp.h>

#include "base/base_fmt.h"
#include "http/http_connection.h"

#define WEBSOCKET            SPAN("websocket")
#define WEBSOCKET_KEY        SPAN("sec-websocket-key")
#define WEBSOCKET_VERSION    SPAN("sec-websocket-version")
#define WEBSOCKET_ACCEPT     SPAN("sec-websocket-accept")
#define WEBSOCKET_GUID       "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455 section 1.3 */
#define WEBSOCKET_KEY_CHARS  24
#define WEBSOCKET_KEY_DIGITS 22 /* the rest is padding */
#define SHA1_BYTES           20
#define BASE64_OF_SHA1       28

/* ---- protocols ---- */

/* protocol-name ["/" protocol-version], both tokens. */
static bool is_protocol(struct span text)
{
    size_t slash = span_find(text, '/');
    if (!http_is_token((struct span){text.ptr, slash}))
        return false;
    return slash == text.len ||
           http_is_token((struct span){text.ptr + slash + 1, text.len - slash - 1});
}

static bool begins_with(struct span text, struct span prefix)
{
    return text.len >= prefix.len && span_eq_nocase((struct span){text.ptr, prefix.len}, prefix);
}

const char *http_upgrade_protocol_fault(struct span protocol)
{
    if (!is_protocol(protocol) || protocol.len > HTTP_UPGRADE_PROTOCOL_BYTES)
        return "not a protocol: a name such as \"websocket\", or \"name/version\"";
    struct span name = {protocol.ptr, span_find(protocol, '/')};
    if (begins_with(name, SPAN("h2")) || span_eq_nocase(name, SPAN("http")))
        return "an upgrade to HTTP would carry requests past the routes and quotas of this proxy";
    if (span_eq_nocase(name, SPAN("tls")))
        return "an upgrade to TLS would hide requests from the routes and quotas of this proxy";
    return NULL;
}

/* The index in the list, or its count. */
static unsigned find_listed(const struct http_upgrade_list *list, struct span protocol)
{
    unsigned i = 0;
    while (i < list->count && !span_eq_nocase(protocol, list->protocols[i]))
        i++;
    return i;
}

static bool is_offered(const struct http_upgrade_offer *offer, unsigned index)
{
    for (unsigned i = 0; i < offer->count; i++)
        if (offer->protocols[i] == index)
            return true;
    return false;
}

/* ---- fields ---- */

static bool says_upgrade(const struct http_head *head)
{
    struct http_connection connection;
    return http_head_has(head, HTTP_FIELD_CONNECTION) && http_connection_read(head, &connection) &&
           (connection.nominated & HTTP_FIELD_BIT(HTTP_FIELD_UPGRADE)) != 0;
}

static bool has_one_upgrade(const struct http_head *head)
{
    return http_head_has(head, HTTP_FIELD_UPGRADE) &&
           (head->repeated & HTTP_FIELD_BIT(HTTP_FIELD_UPGRADE)) == 0;
}

static struct span upgrade_value(const struct http_head *head)
{
    unsigned from = 0;
    return http_field_value(head, http_head_next(head, HTTP_FIELD_UPGRADE, &from));
}

/* ---- WebSocket ---- */

static bool is_base64_digit(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

/* 16 bytes: 22 digits and two paddings.  Bits that the last digit has too many are ignored, as decoders do; the
 * answer is made of the text, so there is nothing to be misread. */
static bool is_websocket_key(struct span key)
{
    if (key.len != WEBSOCKET_KEY_CHARS)
        return false;
    for (size_t i = 0; i < WEBSOCKET_KEY_DIGITS; i++)
        if (!is_base64_digit(key.ptr[i]))
            return false;
    return key.ptr[WEBSOCKET_KEY_DIGITS] == '=' && key.ptr[WEBSOCKET_KEY_DIGITS + 1] == '=';
}

static enum http_parse bad_websocket(struct http_fault *fault, uint32_t offset)
{
    *fault = (struct http_fault){HTTP_FAULT_BAD_WEBSOCKET, offset};
    return HTTP_PARSE_BAD;
}

static enum http_parse read_websocket(const struct http_head *head, bool *is_13,
                                      struct http_fault *fault)
{
    const struct http_field *version = http_head_only(head, HTTP_FIELD_OTHER, WEBSOCKET_VERSION);
    if (version == NULL)
        return bad_websocket(fault, 0);
    *is_13 = span_eq(http_field_value(head, version), SPAN("13"));
    if (!*is_13)
        return HTTP_PARSE_OK;
    const struct http_field *key = http_head_only(head, HTTP_FIELD_OTHER, WEBSOCKET_KEY);
    if (key == NULL || !is_websocket_key(http_field_value(head, key)))
        return bad_websocket(fault, key == NULL ? 0 : key->name_off);
    return HTTP_PARSE_OK;
}

static bool is_accepted(const struct http_head *response, const struct http_head *request)
{
    const struct http_field *key = http_head_only(request, HTTP_FIELD_OTHER, WEBSOCKET_KEY);
    const struct http_field *accept = http_head_only(response, HTTP_FIELD_OTHER, WEBSOCKET_ACCEPT);
    if (key == NULL || key->value_len != WEBSOCKET_KEY_CHARS || accept == NULL)
        return false;
    char text[WEBSOCKET_KEY_CHARS + sizeof(WEBSOCKET_GUID)], expected[BASE64_OF_SHA1];
    uint8_t digest[SHA1_BYTES];
    char *end = fmt_span(text, http_field_value(request, key));
    end = FMT_LIT(end, WEBSOCKET_GUID);
    if (EVP_Digest(text, (size_t)(end - text), digest, NULL, EVP_sha1(), NULL) != 1)
        return false;
    fmt_base64(expected, digest, sizeof(digest));
    return span_eq(http_field_value(response, accept), (struct span){expected, sizeof(expected)});
}

/* ---- requests ---- */

/* The listed ones of the protocols asked for; nothing when one of them is malformed. */
static void read_offer(struct span value, const struct http_upgrade_list *list,
                       struct http_upgrade_offer *offer)
{
    struct span protocol;
    while (http_list_next(&value, &protocol)) {
        if (!is_protocol(protocol)) {
            offer->count = 0;
            return;
        }
        unsigned index = find_listed(list, protocol);
        if (index < list->count && !is_offered(offer, index))
            offer->protocols[offer->count++] = (uint8_t)index;
    }
}

static void withdraw(struct http_upgrade_offer *offer, unsigned index)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < offer->count; i++)
        if (offer->protocols[i] != index)
            offer->protocols[kept++] = offer->protocols[i];
    offer->count = (uint8_t)kept;
}

enum http_parse http_upgrade_request(const struct http_head *head,
                                     const struct http_framing *framing,
                                     const struct http_upgrade_list *list,
                                     struct http_upgrade_offer *offer, struct http_fault *fault)
{
    offer->count = 0;
    if (head->method_id != HTTP_METHOD_GET || head->minor == 0 || framing->kind != HTTP_BODY_NONE ||
        !has_one_upgrade(head) || !says_upgrade(head))
        return HTTP_PARSE_OK;
    read_offer(upgrade_value(head), list, offer);

    unsigned websocket = find_listed(list, WEBSOCKET);
    if (!is_offered(offer, websocket))
        return HTTP_PARSE_OK;
    bool is_13 = false;
    if (read_websocket(head, &is_13, fault) != HTTP_PARSE_OK)
        return HTTP_PARSE_BAD;
    if (!is_13)
        withdraw(offer, websocket);
    return HTTP_PARSE_OK;
}

char *http_upgrade_write(char *out, const struct http_upgrade_list *list,
                         const struct http_upgrade_offer *offer)
{
    out = FMT_LIT(out, "Connection: upgrade\r\nUpgrade: ");
    for (unsigned i = 0; i < offer->count; i++) {
        if (i != 0)
            out = FMT_LIT(out, ", ");
        out = fmt_span(out, list->protocols[offer->protocols[i]]);
    }
    return FMT_LIT(out, "\r\n");
}

/* ---- responses ---- */

enum http_fault_id http_upgrade_response(const struct http_head *response,
                                         const struct http_head *request,
                                         const struct http_upgrade_list *list,
                                         const struct http_upgrade_offer *offer,
                                         struct span *protocol)
{
    if (response->minor == 0 || !has_one_upgrade(response) || !says_upgrade(response))
        return HTTP_FAULT_UNEXPECTED_UPGRADE;
    *protocol = upgrade_value(response);
    unsigned index = find_listed(list, *protocol);
    if (!is_offered(offer, index))
        return HTTP_FAULT_UNEXPECTED_UPGRADE;
    if (span_eq_nocase(*protocol, WEBSOCKET) && !is_accepted(response, request))
        return HTTP_FAULT_BAD_WEBSOCKET_ACCEPT;
    return HTTP_FAULT_NONE;
}
