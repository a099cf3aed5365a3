/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_identity.c - any bytes as Authorization, Cookie, X-Forwarded-For, Forwarded, X-Real-IP and query.
 * Input: lines; each is a value of all those fields, and the first also the query.  Checked: values lie inside the
 * request or the arena, the cached mac is the mac, and what a trusted proxy appends to a hop list decides alone. */
#include "fuzz.h"
#include "identity/identity.h"

#define LINES_MAX 8

struct request {
    struct http_field fields[LINES_MAX + 1];
    struct http_head head;
    struct http_target target;
};

/* A head whose only fields are the lines, all named like `id`.  The name itself is not looked at for known fields. */
static void make(struct request *request, const char *text, size_t len, enum http_field_id id)
{
    request->head = (struct http_head){.base = text,
                                       .bytes = (uint32_t)len,
                                       .fields = request->fields,
                                       .field_max = LINES_MAX + 1};
    size_t at = 0;
    while (at <= len && request->head.field_count < LINES_MAX) {
        const char *end = memchr(text + at, '\n', len - at);
        struct span line = {text + at, end == NULL ? len - at : (size_t)(end - text) - at};
        struct span value = span_trim(line);
        request->fields[request->head.field_count++] = (struct http_field){
            .value_off = (uint32_t)(value.ptr - text),
            .value_len = (uint32_t)value.len,
            .id = (uint8_t)id,
        };
        at += line.len + 1;
    }
    request->head.present = HTTP_FIELD_BIT(id);
    if (request->head.field_count > 1)
        request->head.repeated = HTTP_FIELD_BIT(id);
    struct span first = http_field_value(&request->head, &request->fields[0]);
    request->target = (struct http_target){.host = first, .path = SPAN("/"), .query = first};
}

static bool is_inside(struct span value, const void *begin, size_t len)
{
    uintptr_t first = (uintptr_t)value.ptr, low = (uintptr_t)begin;
    return first >= low && first + value.len <= low + len;
}

static void check_extract(const struct request *request, const char *source, const char *text,
                          size_t len)
{
    struct identity identity = {
        .from_count = 1, .missing = IDENTITY_MISSING_SKIP, .ipv4_prefix = 32, .ipv6_prefix = 64};
    FUZZ_CHECK(identity_source_parse(&identity.from[0], span_of(source)) == NULL);
    char *room = malloc(len + 32);
    FUZZ_CHECK(room != NULL);
    struct arena arena;
    arena_init(&arena, room, len + 32, 0);
    struct identity_input input = {
        .head = &request->head, .target = &request->target, .arena = &arena};
    struct identity_value value;
    enum identity_result result = identity_extract(&identity, &input, &value);
    FUZZ_CHECK(result == IDENTITY_FOUND || result == IDENTITY_SKIPPED ||
               result == IDENTITY_REPEATED);
    if (result == IDENTITY_FOUND) {
        FUZZ_CHECK(value.value.len > 0 && value.value.len <= len);
        FUZZ_CHECK(is_inside(value.value, text, len) || is_inside(value.value, room, len + 32));
        if (value.kind == IDENTITY_ACCESS_KEY)
            FUZZ_CHECK(value.value.len <= IDENTITY_AK_MAX && http_is_token(value.value));

        struct identity_secret *secret = identity_secret_new(SPAN("secret"));
        struct identity_cache *cache = identity_cache_new(1);
        FUZZ_CHECK(secret != NULL && cache != NULL);
        uint8_t mac[IDENTITY_KEY_BYTES];
        struct identity_mark cached;
        FUZZ_CHECK(identity_mac(secret, &value, 1, mac) == ERR_OK);
        for (unsigned i = 0; i < 2; i++) {
            FUZZ_CHECK(identity_cache_mark(cache, secret, &value, 1, &cached) == ERR_OK);
            FUZZ_CHECK(memcmp(mac, cached.mac, sizeof(mac)) == 0);
        }
        identity_cache_free(cache);
        identity_secret_free(secret);
    }
    free(room);
}

static struct ip client_of(const char *text, size_t len, enum http_field_id id, int hops)
{
    struct ip_net net;
    struct ip peer;
    FUZZ_CHECK(ip_net_parse(&net, SPAN("10.0.0.0/8")) && ip_parse(&peer, SPAN("10.0.0.1")));
    struct identity_trust trust = {.nets = &net, .net_count = 1};
    trust.hops = hops;
    trust.header_id = (uint8_t)id;
    struct request request;
    make(&request, text, len, id);
    return identity_client_ip(&trust, &request.head, &peer, false);
}

/* Whatever stands on the left: the hop that the trusted proxy added is the client. */
static void check_hops(const char *text, size_t len, enum http_field_id id, int hops,
                       const char *added)
{
    (void)client_of(text, len, id, hops);
    /* Stay below LINES_MAX lines, so that the last one is looked at. */
    size_t end = 0;
    for (unsigned lines = 0; end < len && lines < LINES_MAX - 3; end++)
        lines += text[end] == '\n';
    size_t added_len = strlen(added);
    char *longer = malloc(end + added_len);
    FUZZ_CHECK(longer != NULL);
    if (end > 0)
        memcpy(longer, text, end);
    memcpy(longer + end, added, added_len);
    struct ip want, got = client_of(longer, end + added_len, id, hops);
    FUZZ_CHECK(ip_parse(&want, SPAN("2001:db8::7")));
    FUZZ_CHECK(memcmp(&got, &want, sizeof(got)) == 0);
    free(longer);
}

/* Nobody has the key. */
static void check_token(const char *text, size_t len)
{
    struct identity_jwt *jwt = identity_jwt_new(0);
    FUZZ_CHECK(jwt != NULL);
    FUZZ_CHECK(identity_jwt_add(jwt, IDENTITY_HS256, SPAN("0123456789abcdef0123456789abcdef"),
                                &(struct identity_jwt_terms){0}) == NULL);
    struct arena arena;
    struct identity_claim claim;
    arena_init(&arena, NULL, 0, 1 << 20);
    FUZZ_CHECK(identity_jwt_verify(jwt, (struct span){text, len}, SPAN("sub"), 1, &arena, &claim) ==
               IDENTITY_JWT_BAD);
    arena_fini(&arena);
    identity_jwt_free(jwt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 65536)
        return 0;
    char *text = malloc(size + 1); /* its own block, so that a read past the end is seen */
    FUZZ_CHECK(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    static const struct {
        const char *source;
        enum http_field_id id;
    } rows[] = {
        {"access_key", HTTP_FIELD_AUTHORIZATION},
        {"basic_user", HTTP_FIELD_AUTHORIZATION},
        {"bearer", HTTP_FIELD_AUTHORIZATION},
        {"header:X-Auth-Token", HTTP_FIELD_X_AUTH_TOKEN},
        {"cookie:sid", HTTP_FIELD_COOKIE},
        {"query:key", HTTP_FIELD_OTHER},
        {"host", HTTP_FIELD_OTHER},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct request request;
        make(&request, text, size, rows[i].id);
        check_extract(&request, rows[i].source, text, size);
    }
    check_hops(text, size, HTTP_FIELD_X_FORWARDED_FOR, IDENTITY_HOPS_XFF,
               ", [2001:db8::7]:80 ,10.2.3.4");
    check_hops(text, size, HTTP_FIELD_X_FORWARDED_FOR, IDENTITY_HOPS_XFF,
               "\n2001:db8::7\n10.2.3.4");
    check_hops(text, size, HTTP_FIELD_FORWARDED, IDENTITY_HOPS_FORWARDED,
               ",host=\"a\\\",for=6.6.6.6;\\\\\";for=\"[2001:db8::7]:80\", for=10.2.3.4");
    check_hops(text, size, HTTP_FIELD_FORWARDED, IDENTITY_HOPS_FORWARDED,
               "\nfor=\"[2001:db8::7]\"");
    check_token(text, size);
    (void)client_of(text, size, HTTP_FIELD_X_REAL_IP, IDENTITY_HOPS_HEADER);
    free(text);
    return 0;
}
