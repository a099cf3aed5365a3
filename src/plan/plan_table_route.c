/* SPDX-License-Identifier: Apache-2.0 */
/* plan_table_route.c - the tables of a route, of what it costs and of what it answers by itself.  Takes: a member of
 * "routes".  Gives: a struct plan_route_draft. */
#include "config/config_take.h"
#include "plan/plan_draft.h"
#include "reply/reply_conf.h"
#include "route/route_conf.h"

static const struct config_directive respond_rows[] = {
    {.key = "status",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct plan_route_draft, respond.status),
     .fallback = "200",
     .min = 200,
     .max = 599,
     .doc = "The status code."},
    {.key = "json",
     .type = CONFIG_ANY,
     CONFIG_AT(struct plan_route_draft, respond_json),
     .absent = "no JSON body",
     .doc = "The body, any JSON value; sent without white space."},
    {.key = "text",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct plan_route_draft, respond_text),
     .max = 65536,
     .absent = "no text body",
     .doc = "The body as plain text; not together with json."},
};

static const struct config_pair respond_pairs[] = {{"json", "text", false, false}};

static void check_respond(struct config_doc *doc, const struct config_node *node, void *base)
{
    const struct plan_route_draft *route = base;
    const struct config_node *json = config_find(node, "json"), *text = config_find(node, "text");
    if (route->respond_json.len > 65536)
        config_error(doc, json, "at most 65536 bytes are allowed");
    else if ((route->respond.status == 204 || route->respond.status == 304 ||
              route->respond.status == 205) &&
             (json != NULL || text != NULL))
        config_key_error(doc, json != NULL ? json : text, "a %u response has no body",
                         route->respond.status);
}

static const struct config_table respond_table = {
    .title = "A fixed response",
    .noun = "response",
    CONFIG_ROWS_OF(respond_rows),
    .pairs = respond_pairs,
    .pair_count = 1,
    .size = sizeof(struct plan_route_draft),
    .check = check_respond,
};

static const char *take_upgrade(const struct config_take *take)
{
    struct plan_route_draft *route = take->base;
    const char *sentence = http_upgrade_protocol_fault(take->text);
    if (sentence != NULL)
        return sentence;
    return config_take_into(take, &route->upgrades.protocols, &route->upgrades.count);
}

static const char *take_cost_header(const struct config_take *take)
{
    struct plan_cost *cost = take->base;
    if (!http_is_token(take->text))
        return "not a header's name";
    cost->header = take->text;
    cost->header_id = (uint8_t)http_field_id_of(take->text);
    return NULL;
}

static const struct config_directive cost_rows[] = {
    {.key = "estimate",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct plan_cost, estimate),
     .fallback = "1",
     .min = 1,
     .max = 2147483647,
     .doc = "What a request is charged to each of its quotas when it comes."},
    {.key = "response_header",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct plan_cost, header),
     .min = 1,
     .max = 255,
     .absent = "the estimate is the cost",
     .take = take_cost_header,
     .doc =
         "The response header in which the backend says what the request cost, a whole number; the "
         "difference is charged, even over a limit, or given back. Without it, or when it is no "
         "such "
         "number, the estimate stands."},
    {.key = "max",
     .type = CONFIG_INTEGER,
     CONFIG_AT(struct plan_cost, max),
     .min = 1,
     .max = 2147483647,
     .absent = "required with response_header",
     .doc = "The most that a request is charged, whatever the header says."},
};

static void check_plan_cost(struct config_doc *doc, const struct config_node *node, void *base)
{
    const struct plan_cost *cost = base;
    const struct config_node *header = config_find(node, "response_header"),
                             *max = config_find(node, "max");
    if (header != NULL && max == NULL)
        config_missing_error(doc, node,
                             "\"max\" is missing: the most that a request may be charged");
    else if (header == NULL && max != NULL)
        config_key_error(doc, max, "only with \"response_header\"");
    else if (max != NULL && cost->max < cost->estimate)
        config_error(doc, max, "is below the estimate, %u", cost->estimate);
}

static const struct config_table cost_table = {
    .title = "A cost",
    .noun = "cost",
    CONFIG_ROWS_OF(cost_rows),
    .size = sizeof(struct plan_cost),
    .short_key = "estimate",
    .check = check_plan_cost,
};

static const char *const learns_words[] = {"token_project", NULL};

static const char *take_learns(const struct config_take *take)
{
    struct plan_route_draft *route = take->base;
    if (!span_eq(take->text, span_of(learns_words[0])))
        return "only \"token_project\" can be learned";
    route->learns = true;
    return NULL;
}

static const struct config_directive route_rows[] = {
    {.key = "",
     .type = CONFIG_MERGE,
     CONFIG_AT(struct plan_route_draft, rule),
     .nested = &ROUTE_CONF},
    {.key = "",
     .type = CONFIG_MERGE,
     CONFIG_AT(struct plan_route_draft, addresses),
     .nested = &PLAN_ADDRESSES},
    {.key = "",
     .type = CONFIG_MERGE,
     CONFIG_AT(struct plan_route_draft, rewrite),
     .nested = &PLAN_REWRITE},
    {.key = "quotas",
     .type = CONFIG_TEXTS,
     .min = 0,
     .max = QUOTA_MAX_PER_ROUTE,
     .absent = "none",
     .doc = "Names of the quotas that a request is charged to, all or none."},
    {.key = "cost",
     .type = CONFIG_OBJECT,
     CONFIG_AT(struct plan_route_draft, cost),
     .nested = &cost_table,
     .doc =
         "What one request is charged to each of its quotas: a number, or what its response says."},
    {.key = "upstream",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct plan_route_draft, upstream),
     .min = 1,
     .absent = "respond",
     .doc = "Name of the upstream that requests are forwarded to."},
    {.key = "respond",
     .type = CONFIG_OBJECT,
     .flags = CONFIG_OPTIONAL,
     .nested = &respond_table,
     .absent = "upstream",
     .doc = "Answer with a fixed response instead of forwarding."},
    {.key = "headers",
     .type = CONFIG_OBJECT,
     .flags = CONFIG_INHERITED,
     CONFIG_AT(struct plan_route_draft, headers),
     .nested = &REPLY_CONF,
     .absent = "as for all routes",
     .doc = "Rate-limit headers of this route, where they differ from the rest."},
    {.key = "errors",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct plan_route_draft, errors),
     .min = 1,
     .max = 64,
     .absent = "`errors.default`",
     .doc = "The dialect of the bodies with which Sluice answers by itself."},
    {.key = "learns",
     .type = CONFIG_TEXT,
     CONFIG_AT(struct plan_route_draft, learns),
     .min = 1,
     .words = learns_words,
     .take = take_learns,
     .pattern = "^token_project$",
     .absent = "nothing",
     .doc = "\"token_project\": a 201 response with X-Subject-Token tells the project of the token "
            "that it issues, for the source of that name."},
    {.key = "upgrade",
     .type = CONFIG_TEXTS,
     .min = 0,
     .max = HTTP_UPGRADE_PROTOCOLS_MAX,
     .absent = "none",
     .take = take_upgrade,
     .doc = "Protocols that a connection may be upgraded to, such as \"websocket\"; then it is "
            "an opaque tunnel."},
    {.key = "buffer_request",
     .type = CONFIG_SIZE,
     CONFIG_AT(struct plan_route_draft, buffer_bytes),
     .absent = "off",
     .min = 1,
     .max = UINT64_C(1) << 30,
     .word = "off",
     .word_value = 0,
     .doc = "Read up to so much of a request's body before a server is asked. A body whose length "
            "is said to be more is not buffered."},
};

static const struct config_pair route_pairs[] = {
    {"upstream", "respond", true, false},       {"learns", "respond", false, false},
    {"upgrade", "respond", false, false},       {"strip_prefix", "respond", false, false},
    {"add_prefix", "respond", false, false},    {"request_headers", "respond", false, false},
    {"buffer_request", "respond", false, false}};

const struct config_table PLAN_TABLE_ROUTE = {
    .title = "A route",
    .noun = "route",
    CONFIG_ROWS_OF(route_rows),
    .size = sizeof(struct plan_route_draft),
    .name_key = "name",
    .pairs = route_pairs,
    .pair_count = 7,
};
