/* SPDX-License-Identifier: Apache-2.0 */
/* admin_relay.c - see admin_relay.h. */
#include "admin/admin_relay.h"

#include <stdio.h>

#include "admin/admin_door.h"
#include "base/base_fmt.h"
#include "http/http_framing.h"

#define RELAY_FIELDS_MAX 100

static const struct {
    const char *path; /* of the instance */
    unsigned status;
    const char *sentence;
} VERDICTS[] = {
    [ADMIN_RELAY_PAGE] = {"/dashboard", 200, ""},
    [ADMIN_RELAY_LIVE] = {"/v1/live", 200, ""},
    [ADMIN_RELAY_MALFORMED] = {NULL, 400, "the request cannot be understood\n"},
    [ADMIN_RELAY_OF_A_PAGE] = {NULL, 403,
                               "a web page may not lead here: paste the address into the "
                               "browser\n"},
    [ADMIN_RELAY_OTHER_HOST] = {NULL, 403, "Host is not the address that was printed\n"},
    [ADMIN_RELAY_NOTHING] = {NULL, 404,
                             "there is nothing here: open the address that was printed, "
                             "whole\n"},
    [ADMIN_RELAY_METHOD] = {NULL, 405, "only GET and HEAD\n"},
};

void admin_relay_init(struct admin_relay *relay, const uint8_t key[ADMIN_RELAY_KEY_BYTES],
                      uint16_t port)
{
    *fmt_hex(relay->key, key, ADMIN_RELAY_KEY_BYTES) = '\0';
    snprintf(relay->hosts[0], sizeof(relay->hosts[0]), "127.0.0.1:%u", port);
    snprintf(relay->hosts[1], sizeof(relay->hosts[1]), "localhost:%u", port);
}

const char *admin_relay_path(enum admin_relay_verdict verdict)
{
    return VERDICTS[verdict].path;
}

unsigned admin_relay_status(enum admin_relay_verdict verdict)
{
    return VERDICTS[verdict].status;
}

const char *admin_relay_sentence(enum admin_relay_verdict verdict)
{
    return VERDICTS[verdict].sentence;
}

static bool is_our_host(const struct admin_relay *relay, const struct http_head *head)
{
    bool is_there;
    const struct span host = admin_door_field(head, SPAN("host"), &is_there);
    return host.len != 0 && (span_eq_nocase(host, span_of(relay->hosts[0])) ||
                             span_eq_nocase(host, span_of(relay->hosts[1])));
}

/* "/KEY/" or "/KEY/v1/live", without a query. */
static enum admin_relay_verdict find(const struct admin_relay *relay,
                                     const struct http_target *target)
{
    static const size_t skip = 1 + ADMIN_RELAY_KEY_TEXT;
    const struct span path = target->path;
    const bool is_long = path.len > skip;
    const struct span given = {is_long ? path.ptr + 1 : "", is_long ? ADMIN_RELAY_KEY_TEXT : 0};
    if (!admin_door_is_secret(given, span_of(relay->key)) || target->query.len != 0)
        return ADMIN_RELAY_NOTHING;
    const struct span rest = {path.ptr + skip, path.len - skip};
    if (span_eq(rest, SPAN("/")))
        return ADMIN_RELAY_PAGE;
    return span_eq(rest, SPAN("/v1/live")) ? ADMIN_RELAY_LIVE : ADMIN_RELAY_NOTHING;
}

static enum admin_relay_verdict judge(const struct admin_relay *relay, const struct http_head *head)
{
    struct http_target target;
    struct http_framing framing;
    struct http_fault fault = {0};
    if (http_target_parse(head, &target, &fault) != HTTP_PARSE_OK ||
        http_framing_request(head, &framing, &fault) != HTTP_PARSE_OK)
        return ADMIN_RELAY_MALFORMED;
    if (admin_door_is_of_a_page(head))
        return ADMIN_RELAY_OF_A_PAGE;
    if (!is_our_host(relay, head))
        return ADMIN_RELAY_OTHER_HOST;
    const enum admin_relay_verdict found = find(relay, &target);
    if (found == ADMIN_RELAY_NOTHING)
        return found;
    if (head->method_id != HTTP_METHOD_GET && head->method_id != HTTP_METHOD_HEAD)
        return ADMIN_RELAY_METHOD;
    const bool has_body = framing.kind == HTTP_BODY_CHUNKED ||
                          (framing.kind == HTTP_BODY_LENGTH && framing.length_bytes > 0);
    return has_body ? ADMIN_RELAY_MALFORMED : found;
}

enum admin_relay_verdict admin_relay_judge(const struct admin_relay *relay, const char *bytes,
                                           size_t len, size_t *scanned, bool *is_head)
{
    static const struct http_head_limits limits = {
        .line_max_bytes = 1024,
        .field_max_bytes = 4096,
        .head_max_bytes = ADMIN_RELAY_HEAD_MAX,
        .field_max = RELAY_FIELDS_MAX,
    };
    struct http_field fields[RELAY_FIELDS_MAX];
    struct http_head head = {.fields = fields, .field_max = RELAY_FIELDS_MAX};
    struct http_fault fault = {0};
    *is_head = false;
    switch (http_head_parse_request(&head, bytes, len, scanned, &limits, &fault)) {
    case HTTP_PARSE_INCOMPLETE:
        return len == ADMIN_RELAY_HEAD_MAX ? ADMIN_RELAY_MALFORMED : ADMIN_RELAY_MORE;
    case HTTP_PARSE_OK:
        *is_head = head.method_id == HTTP_METHOD_HEAD;
        return judge(relay, &head);
    default:
        return ADMIN_RELAY_MALFORMED;
    }
}
