/* SPDX-License-Identifier: Apache-2.0 */
/* bench_http_head.c - what it costs to read and to write one typical head.  The request has 8 fields and 370 bytes, the
 * response 6 and 176: the heads that the budgets of docs/performance.md speak of. */
#include "bench_rows.h"

#include "http/http_path.h"
#include "http/http_write.h"

#define FIELDS_MAX 64

static const char REQUEST[] =
    "GET /v1/0123456789abcdef/images/search?limit=20&marker=abc HTTP/1.1\r\n"
    "Host: images.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) client/1.23\r\n"
    "Accept: application/json, text/plain, */*\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: en-GB,en;q=0.5\r\n"
    "X-Auth-Token: 0123456789abcdef0123456789abcdef\r\n"
    "Content-Type: application/json\r\n"
    "Connection: keep-alive\r\n"
    "\r\n";

static const char RESPONSE[] = "HTTP/1.1 200 OK\r\n"
                               "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                               "Server: backend/1.0.1\r\n"
                               "Content-Type: application/json\r\n"
                               "Content-Length: 128\r\n"
                               "ETag: \"0123456789\"\r\n"
                               "Connection: keep-alive\r\n"
                               "\r\n";

static const struct http_head_limits LIMITS = {
    .line_max_bytes = 32768, .field_max_bytes = 32768, .head_max_bytes = 131072, .field_max = 64};

static struct {
    struct http_head request, response;
    struct http_field request_fields[FIELDS_MAX], response_fields[FIELDS_MAX];
    struct http_target target;
    struct http_framing framing;
    struct http_fault fault;
    char out[1024];
} bench;

static bool read_request(void)
{
    size_t scanned = 0;
    return 0 == (int)http_head_parse_request(&bench.request, REQUEST, sizeof(REQUEST) - 1, &scanned,
                                             &LIMITS, &bench.fault);
}

static bool read_response(void)
{
    size_t scanned = 0;
    return 0 == (int)http_head_parse_response(&bench.response, RESPONSE, sizeof(RESPONSE) - 1,
                                              &scanned, &LIMITS, &bench.fault);
}

static bool frame_request(void)
{
    return 0 == (int)http_framing_request(&bench.request, &bench.framing, &bench.fault);
}

static bool frame_response(void)
{
    return 0 == (int)http_framing_response(&bench.response, HTTP_METHOD_GET, &bench.framing,
                                           &bench.fault);
}

static bool read_target(void)
{
    return 0 == (int)http_target_parse(&bench.request, &bench.target, &bench.fault);
}

static bool judge_path(void)
{
    struct http_path path;
    return 0 == (int)http_path_judge(bench.target.path, bench.out, &path, &bench.fault);
}

static bool write_request(void)
{
    char *end =
        http_write_fields(bench.out, &bench.request, HTTP_FIELD_BIT(HTTP_FIELD_X_REQUEST_ID));
    return end != bench.out;
}

static bool write_response(void)
{
    char *end =
        http_write_fields(bench.out, &bench.response, HTTP_FIELD_BIT(HTTP_FIELD_X_REQUEST_ID));
    return end != bench.out;
}

int main(int argc, char **argv)
{
    static const struct bench_row rows[] = {
        {"parse a request's head (370 bytes)", read_request},
        {"parse a response's head (176 bytes)", read_response},
        {"frame a request", frame_request},
        {"frame a response", frame_response},
        {"read a target", read_target},
        {"judge a path", judge_path},
        {"write a request's fields", write_request},
        {"write a response's fields", write_response},
    };
    bench.request.fields = bench.request_fields;
    bench.response.fields = bench.response_fields;
    bench.request.field_max = bench.response.field_max = FIELDS_MAX;
    if (!read_request() || !read_response() || !frame_request() || !frame_response() ||
        !read_target()) /* each row reads what those above it have read */
        return EXIT_FAILURE;
    return bench_main(argc, argv, rows, sizeof(rows) / sizeof(rows[0]));
}
