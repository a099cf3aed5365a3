/* SPDX-License-Identifier: Apache-2.0 */
/* admin_explain_request.c - see admin_explain_request.h.  Never: repairs what is written. */
#include "admin/admin_explain_request.h"

#include <stdio.h>
#include <stdlib.h>

/* What stands where in a URL. */
struct url {
    struct span host, target;
    const char *slash; /* put before the target */
};

static bool split_url(struct span text, struct url *url)
{
    static const struct span schemes[] = {{"http://", 7}, {"https://", 8}};
    *url = (struct url){SPAN("localhost"), {text.ptr, span_find(text, '#')}, ""};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (!span_starts_with(text, schemes[i]))
            continue;
        struct span rest = {text.ptr + schemes[i].len, text.len - schemes[i].len};
        rest.len = span_find(rest, '#');
        size_t len = span_find(rest, '/'), query = span_find(rest, '?');
        if (query < len) {
            len = query;
            url->slash = "/";
        } else if (len == rest.len) {
            url->slash = "/";
        }
        url->host = (struct span){rest.ptr, len};
        url->target = (struct span){rest.ptr + len, rest.len - len};
        return len > 0;
    }
    return text.len > 0 && (text.ptr[0] == '/' || span_eq(text, SPAN("*")));
}

/* A line of its own, nothing else: "Name: value". */
static bool is_field(struct span text)
{
    size_t colon = span_find(text, ':');
    return colon > 0 && colon < text.len && span_find(text, '\r') == text.len &&
           span_find(text, '\n') == text.len;
}

static bool has_host(const struct admin_explain_words *words)
{
    for (unsigned i = 0; i < words->header_count; i++) {
        struct span text = span_of(words->headers[i]);
        if (span_eq_nocase((struct span){text.ptr, span_find(text, ':')}, SPAN("host")))
            return true;
    }
    return false;
}

static char *write_text(const struct admin_explain_words *words, const struct url *url, size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);
    if (out == NULL)
        return NULL;
    fprintf(out, "%s %s%.*s HTTP/1.1\r\n", words->method, url->slash, (int)url->target.len,
            url->target.ptr);
    if (!has_host(words))
        fprintf(out, "Host: %.*s\r\n", (int)url->host.len, url->host.ptr);
    for (unsigned i = 0; i < words->header_count; i++)
        fprintf(out, "%s\r\n", words->headers[i]);
    fputs("\r\n", out);
    bool failed = ferror(out) != 0;
    if (fclose(out) == 0 && !failed)
        return text;
    free(text);
    return NULL;
}

static void parse(struct admin_explain_request *request, size_t len,
                  const struct http_head_limits *limits)
{
    size_t scanned = 0;
    enum http_parse result = http_head_parse_request(&request->head, request->text, len, &scanned,
                                                     limits, &request->fault);
    if (result == HTTP_PARSE_OK)
        result = http_framing_request(&request->head, &request->framing, &request->fault);
    if (result == HTTP_PARSE_OK)
        result = http_target_parse(&request->head, &request->target, &request->fault);
    if (result == HTTP_PARSE_INCOMPLETE) /* a line break within a word */
        request->fault.id = HTTP_FAULT_BAD_REQUEST_LINE;
}

bool admin_explain_request_make(struct admin_explain_request *request,
                                const struct admin_explain_words *words,
                                const struct http_head_limits *limits, char why[ADMIN_EXPLAIN_WHY])
{
    struct url url;
    size_t len;
    request->text = NULL;
    request->head =
        (struct http_head){.fields = request->fields, .field_max = ADMIN_EXPLAIN_FIELDS};
    request->target = (struct http_target){.path = SPAN_NONE};
    request->fault = (struct http_fault){HTTP_FAULT_NONE, 0};
    if (!split_url(span_of(words->url), &url)) {
        snprintf(why, ADMIN_EXPLAIN_WHY,
                 "\"%.100s\" is no URL: http://HOST/PATH or /PATH is expected", words->url);
        return false;
    }
    for (unsigned i = 0; i < words->header_count; i++) {
        if (is_field(span_of(words->headers[i])))
            continue;
        snprintf(why, ADMIN_EXPLAIN_WHY, "\"%.100s\" is no header: \"Name: value\" is expected",
                 words->headers[i]);
        return false;
    }
    request->text = write_text(words, &url, &len);
    if (request->text == NULL) {
        snprintf(why, ADMIN_EXPLAIN_WHY, "out of memory");
        return false;
    }
    parse(request, len, limits);
    return true;
}

void admin_explain_request_fini(struct admin_explain_request *request)
{
    free(request->text);
}
