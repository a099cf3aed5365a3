/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks for an upgrade, with the spellings that smugglers use, and which 101 answers it. */
#include "http/http_helpers.h"
#include "http/http_upgrade.h"

#define F(id)  HTTP_FAULT_##id
#define KEY    "dGhlIHNhbXBsZSBub25jZQ==" /* of RFC 6455 section 1.3, with its answer */
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static const struct span LISTED[] = {{"websocket", 9}, {"IRC/6.9", 7}, {"chat", 4}};
static const struct http_upgrade_list LIST = {LISTED, 3};

/* ---- what a route may list ---- */

static void test_protocols_of_a_route(void **state)
{
    static const struct {
        const char *protocol, *word; /* of the sentence; NULL: none */
    } rows[] = {
        {"websocket", NULL},
        {"WebSocket", NULL},
        {"IRC/6.9", NULL},
        {"x-chat", NULL},
        {"", "not a protocol"},
        {"web socket", "not a protocol"},
        {"websocket,chat", "not a protocol"},
        {"websocket\r\nX: y", "not a protocol"},
        {"a/", "not a protocol"},
        {"/a", "not a protocol"},
        {"a/b/c", "not a protocol"},
        {"a234567890123456789012345678901234567890123456789012345678901234", NULL},
        {"a2345678901234567890123456789012345678901234567890123456789012345", "not a protocol"},
        {"h2c", "upgrade to HTTP"},
        {"H2C", "upgrade to HTTP"},
        {"h2", "upgrade to HTTP"},
        {"h2c-14", "upgrade to HTTP"},
        {"HTTP/2.0", "upgrade to HTTP"},
        {"http/1.1", "upgrade to HTTP"},
        {"HTTP", "upgrade to HTTP"},
        {"TLS/1.0", "upgrade to TLS"},
        {"tls/1.2", "upgrade to TLS"},
        {"TLS", "upgrade to TLS"},
        {"tlsx", NULL},
        {"https-chat/2", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *sentence = http_upgrade_protocol_fault(span_of(rows[i].protocol));
        bool is_right = rows[i].word == NULL
                            ? sentence == NULL
                            : sentence != NULL && strstr(sentence, rows[i].word) != NULL;
        if (!is_right)
            fail_msg("\"%s\": %s", rows[i].protocol, sentence == NULL ? "no fault" : sentence);
    }
}

/* ---- requests ---- */

#define WS(key, version) "Sec-WebSocket-Key: " key "\r\nSec-WebSocket-Version: " version "\r\n"
#define GOOD             "Connection: Upgrade\r\nUpgrade: websocket\r\n" WS(KEY, "13")

struct request_row {
    const char *line, *fields;
    enum http_fault_id fault;
    const char *written; /* of the Upgrade field; NULL: no offer */
};

#define GET          "GET / HTTP/1.1"
#define ASK(upgrade) "Connection: upgrade\r\nUpgrade: " upgrade "\r\n"

static const struct request_row REQUESTS[] = {
    {GET, GOOD, F(NONE), "websocket"},
    {GET, "connection: keep-alive, UPGRADE\r\nUPGRADE: WEBSOCKET\r\n" WS(KEY, "13"), F(NONE),
     "websocket"},
    {GET, "Connection: keep-alive\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" WS(KEY, "13"),
     F(NONE), "websocket"},
    {GET, "Content-Length: 0\r\n" GOOD, F(NONE), "websocket"},

    /* which requests ask */
    {GET, "", F(NONE), NULL},
    {GET, "Upgrade: websocket\r\n" WS(KEY, "13"), F(NONE), NULL},
    {GET, "Connection: upgrade\r\n" WS(KEY, "13"), F(NONE), NULL},
    {GET, "Connection: upgraded\r\nUpgrade: websocket\r\n" WS(KEY, "13"), F(NONE), NULL},
    {GET, "Connection: close\r\nUpgrade: websocket\r\n" WS(KEY, "13"), F(NONE), NULL},
    {GET, GOOD "Upgrade: chat\r\n", F(NONE), NULL},
    {GET, GOOD "Upgrade:\r\n", F(NONE), NULL},
    {"GET / HTTP/1.0", GOOD, F(NONE), NULL},
    {"POST / HTTP/1.1", GOOD, F(NONE), NULL},
    {"HEAD / HTTP/1.1", GOOD, F(NONE), NULL},
    {"get / HTTP/1.1", GOOD, F(NONE), NULL},
    {GET, "Content-Length: 5\r\n" GOOD, F(NONE), NULL},
    {GET, "Transfer-Encoding: chunked\r\n" GOOD, F(NONE), NULL},

    /* what they ask for */
    {GET, ASK("chat"), F(NONE), "chat"},
    {GET, ASK("Irc/6.9, CHAT"), F(NONE), "IRC/6.9, chat"},
    {GET, ASK("chat , irc/6.9"), F(NONE), "chat, IRC/6.9"},
    {GET, ASK("h2c, chat, TLS/1.0, HTTP/2.0"), F(NONE), "chat"},
    {GET, ASK(",,chat,,\t, chat,CHAT,"), F(NONE), "chat"},
    {GET, ASK("chat, websocket, irc/6.9") WS(KEY, "13"), F(NONE), "chat, websocket, IRC/6.9"},
    {GET, ASK("irc"), F(NONE), NULL},
    {GET, ASK("irc/6.9.1"), F(NONE), NULL},
    {GET, ASK("chat/1"), F(NONE), NULL},
    {GET, ASK("websocke, websockett"), F(NONE), NULL},
    {GET, ASK(""), F(NONE), NULL},
    {GET, ASK(","), F(NONE), NULL},
    {GET, ASK("chat; q=1"), F(NONE), NULL},
    {GET, ASK("chat, ir c"), F(NONE), NULL},
    {GET, ASK("ir c, chat"), F(NONE), NULL},
    {GET, ASK("\"chat\""), F(NONE), NULL},
    {GET, ASK("chat, a/b/c"), F(NONE), NULL},
    {GET, ASK("chat\x80"), F(NONE), NULL},

    /* WebSocket */
    {GET, ASK("websocket"), F(BAD_WEBSOCKET), NULL},
    {GET, ASK("websocket") "Sec-WebSocket-Version: 13\r\n", F(BAD_WEBSOCKET), NULL},
    {GET, ASK("websocket") "Sec-WebSocket-Key: " KEY "\r\n", F(BAD_WEBSOCKET), NULL},
    {GET, ASK("chat, websocket"), F(BAD_WEBSOCKET), NULL},
    {GET, ASK("websocket") WS("", "13"), F(BAD_WEBSOCKET), NULL},
    {GET, ASK("websocket") WS("dGhlIHNhbXBsZSBub25jZQ", "13"), F(BAD_WEBSOCKET), NULL},
    {GET, ASK("websocket") WS("dGhlIHNhbXBsZSBub25jZQ=", "13"), F(BAD_WEBSOCKET), NULL},
    {GET, ASK("websocket") WS("dGhlIHNhbXBsZSBub25jZQ===", "13"), F(BAD_WEBSOCKET), NULL},
    {GET, ASK("websocket") WS("dGhlIHNhbXBsZSBub25jZXg=", "13"), F(BAD_WEBSOCKET), NULL},
    {GET, ASK("websocket") WS("dGhlIHNhbXBsZSBub25jZXh4", "13"), F(BAD_WEBSOCKET), NULL},
    {GET, ASK("websocket") WS("dGhlIHNhbXBsZS_ub25jZQ==", "13"), F(BAD_WEBSOCKET), NULL},
    {GET, ASK("websocket") WS("dGhlIHNhbXBsZ=Bub25jZQ==", "13"), F(BAD_WEBSOCKET), NULL},
    {GET, ASK("websocket") WS("dGhl HNhbXBsZSBub25jZQ==", "13"), F(BAD_WEBSOCKET), NULL},
    {GET, ASK("websocket") WS("dGhlIHNhbXBsZSBub25jZR==", "13"), F(NONE), "websocket"},
    {GET, ASK("websocket") WS("0123456789+/abcdefABCA==", "13"), F(NONE), "websocket"},
    {GET, GOOD "Sec-WebSocket-Key: " KEY "\r\n", F(BAD_WEBSOCKET), NULL},
    {GET, GOOD "sec-websocket-version: 13\r\n", F(BAD_WEBSOCKET), NULL},
    {GET, GOOD "Sec-WebSocket-Version: 8\r\n", F(BAD_WEBSOCKET), NULL},
    {GET, ASK("websocket") WS(KEY, "8"), F(NONE), NULL},
    {GET, ASK("websocket") WS(KEY, "013"), F(NONE), NULL},
    {GET, ASK("websocket") WS(KEY, "13, 8"), F(NONE), NULL},
    {GET, ASK("websocket") WS(KEY, ""), F(NONE), NULL},
    {GET, ASK("websocket") "Sec-WebSocket-Version: 0\r\n", F(NONE), NULL},
    {GET, ASK("chat, websocket, irc/6.9") WS(KEY, "14"), F(NONE), "chat, IRC/6.9"},
    /* ... counts only when it is asked for and listed */
    {GET, ASK("chat") WS("x", "13"), F(NONE), "chat"},
};

static enum http_parse ask(struct test_head *t, char *text, const char *line, const char *fields,
                           struct http_upgrade_offer *offer, struct http_fault *fault)
{
    struct http_framing framing;
    snprintf(text, 1024, "%s\r\nHost: a\r\n%s\r\n", line, fields);
    test_request(t, text);
    if (http_framing_request(&t->head, &framing, fault) != HTTP_PARSE_OK)
        fail_msg("%s: %s", http_fault_name(fault->id), text);
    return http_upgrade_request(&t->head, &framing, &LIST, offer, fault);
}

static void test_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(REQUESTS) / sizeof(REQUESTS[0]); i++) {
        const struct request_row *row = &REQUESTS[i];
        struct test_head t;
        struct http_upgrade_offer offer;
        struct http_fault fault = {HTTP_FAULT_NONE, 0};
        char text[1024], expected[HTTP_UPGRADE_FIELDS_MAX], out[HTTP_UPGRADE_FIELDS_MAX];
        enum http_parse parse = ask(&t, text, row->line, row->fields, &offer, &fault);
        if (fault.id != row->fault || (parse == HTTP_PARSE_BAD) != (row->fault != F(NONE)))
            fail_msg("%s: %s", http_fault_name(fault.id), text);
        if (parse == HTTP_PARSE_BAD)
            continue;
        if ((offer.count != 0) != (row->written != NULL))
            fail_msg("%u offered: %s", offer.count, text);
        if (row->written == NULL)
            continue;
        snprintf(expected, sizeof(expected), "Connection: upgrade\r\nUpgrade: %s\r\n",
                 row->written);
        char *end = http_upgrade_write(out, &LIST, &offer);
        test_span_is((struct span){out, (size_t)(end - out)}, expected);
    }
}

/* The longest offer fits into the room that the header states. */
static void test_the_longest_offer(void **state)
{
    static char names[HTTP_UPGRADE_PROTOCOLS_MAX][HTTP_UPGRADE_PROTOCOL_BYTES];
    struct span listed[HTTP_UPGRADE_PROTOCOLS_MAX];
    struct http_upgrade_list list = {listed, HTTP_UPGRADE_PROTOCOLS_MAX};
    struct http_upgrade_offer offer = {.count = HTTP_UPGRADE_PROTOCOLS_MAX};
    (void)state;
    for (unsigned i = 0; i < HTTP_UPGRADE_PROTOCOLS_MAX; i++) {
        memset(names[i], 'a' + (int)i, sizeof(names[i]));
        listed[i] = (struct span){names[i], sizeof(names[i])};
        offer.protocols[i] = (uint8_t)i;
    }
    char *out = malloc(HTTP_UPGRADE_FIELDS_MAX);
    assert_non_null(out);
    assert_true(http_upgrade_write(out, &list, &offer) - out <= HTTP_UPGRADE_FIELDS_MAX);
    free(out);
}

/* ---- responses ---- */

struct response_row {
    const char *asked; /* fields of the request */
    const char *line, *fields;
    enum http_fault_id fault;
    const char *protocol;
};

#define SWITCH        "HTTP/1.1 101 Switching Protocols"
#define GIVE(upgrade) "Connection: upgrade\r\nUpgrade: " upgrade "\r\n"
#define TAKEN         "Sec-WebSocket-Accept: " ACCEPT "\r\n"

static const struct response_row RESPONSES[] = {
    {GOOD, SWITCH, GIVE("websocket") TAKEN, F(NONE), "websocket"},
    {GOOD, SWITCH, GIVE("WebSocket") TAKEN, F(NONE), "WebSocket"},
    {GOOD, "HTTP/1.1 101 ", "CONNECTION: foo, UPGRADE\r\nupgrade:websocket\r\n" TAKEN, F(NONE),
     "websocket"},
    {ASK("chat, irc/6.9"), SWITCH, GIVE("irc/6.9"), F(NONE), "irc/6.9"},
    {ASK("chat"), SWITCH, GIVE("chat"), F(NONE), "chat"},

    {"", SWITCH, GIVE("websocket") TAKEN, F(UNEXPECTED_UPGRADE), NULL},
    {ASK("chat"), SWITCH, GIVE("websocket") TAKEN, F(UNEXPECTED_UPGRADE), NULL},
    {ASK("chat"), SWITCH, GIVE("irc/6.9"), F(UNEXPECTED_UPGRADE), NULL},
    {ASK("chat, h2c"), SWITCH, GIVE("h2c"), F(UNEXPECTED_UPGRADE), NULL},
    {ASK("websocket, chat") WS(KEY, "8"), SWITCH, GIVE("websocket") TAKEN, F(UNEXPECTED_UPGRADE),
     NULL},
    {GOOD, "HTTP/1.0 101 Switching Protocols", GIVE("websocket") TAKEN, F(UNEXPECTED_UPGRADE),
     NULL},
    {GOOD, SWITCH, "Upgrade: websocket\r\n" TAKEN, F(UNEXPECTED_UPGRADE), NULL},
    {GOOD, SWITCH, "Connection: close\r\nUpgrade: websocket\r\n" TAKEN, F(UNEXPECTED_UPGRADE),
     NULL},
    {GOOD, SWITCH, "Connection: upgrade\r\n" TAKEN, F(UNEXPECTED_UPGRADE), NULL},
    {GOOD, SWITCH, GIVE("") TAKEN, F(UNEXPECTED_UPGRADE), NULL},
    {GOOD, SWITCH, GIVE("websocket,") TAKEN, F(UNEXPECTED_UPGRADE), NULL},
    {GOOD, SWITCH, GIVE("websocket, chat") TAKEN, F(UNEXPECTED_UPGRADE), NULL},
    {GOOD, SWITCH, GIVE("websocket/13") TAKEN, F(UNEXPECTED_UPGRADE), NULL},
    {GOOD, SWITCH, GIVE("websocket") TAKEN "Upgrade: websocket\r\n", F(UNEXPECTED_UPGRADE), NULL},

    {GOOD, SWITCH, GIVE("websocket"), F(BAD_WEBSOCKET_ACCEPT), NULL},
    {GOOD, SWITCH, GIVE("websocket") TAKEN TAKEN, F(BAD_WEBSOCKET_ACCEPT), NULL},
    {GOOD, SWITCH, GIVE("websocket") "Sec-WebSocket-Accept:\r\n", F(BAD_WEBSOCKET_ACCEPT), NULL},
    {GOOD, SWITCH, GIVE("websocket") "Sec-WebSocket-Accept: " KEY "\r\n", F(BAD_WEBSOCKET_ACCEPT),
     NULL},
    {GOOD, SWITCH, GIVE("websocket") "Sec-WebSocket-Accept: \"" ACCEPT "\"\r\n",
     F(BAD_WEBSOCKET_ACCEPT), NULL},
    {GOOD, SWITCH, GIVE("websocket") "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK-xOo=\r\n",
     F(BAD_WEBSOCKET_ACCEPT), NULL},
    /* the answer to the key with one letter changed */
    {ASK("websocket") WS("eGhlIHNhbXBsZSBub25jZQ==", "13"), SWITCH, GIVE("websocket") TAKEN,
     F(BAD_WEBSOCKET_ACCEPT), NULL},
};

static void test_responses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(RESPONSES) / sizeof(RESPONSES[0]); i++) {
        const struct response_row *row = &RESPONSES[i];
        struct test_head request, response;
        struct http_upgrade_offer offer;
        struct http_fault fault = {HTTP_FAULT_NONE, 0};
        struct span protocol = SPAN_NONE;
        char asked[1024], text[1024];
        assert_int_equal(ask(&request, asked, GET, row->asked, &offer, &fault), HTTP_PARSE_OK);
        snprintf(text, sizeof(text), "%s\r\n%s\r\n", row->line, row->fields);
        test_response(&response, text);
        enum http_fault_id id =
            http_upgrade_response(&response.head, &request.head, &LIST, &offer, &protocol);
        if (id != row->fault)
            fail_msg("%s: %s%s", http_fault_name(id), asked, text);
        if (id == F(NONE))
            test_span_is(protocol, row->protocol);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_protocols_of_a_route),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_the_longest_offer),
        cmocka_unit_test(test_responses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
