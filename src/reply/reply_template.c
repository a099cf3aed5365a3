/* SPDX-License-Identifier: Apache-2.0 */
/* reply_template.c - see reply_template.h.  The JSON comes from the reader of the file, or from
 * reply_dialects.def: it is valid and compact. */
#include "reply/reply_template.h"

#include <ctype.h>

#include "base/base_fmt.h"
#include "config/config_decode.h"
#include "reply/reply_escape.h"

#define PARTS_MAX 64

enum form {
    TEXT,
    NUMBER,
    LIST
};

static const struct {
    struct span name;
    enum form form;
    size_t max_bytes;
} variables[REPLY_VARIABLES] = {
#define VARIABLE(id, name, form, max) [REPLY_VARIABLE_##id] = {{name, sizeof(name) - 1}, form, max},
#include "reply/reply_variables.def"
#undef VARIABLE
};

/* A template in the making. */
struct builder {
    struct span prefix;
    struct arena *arena;
    enum reply_escape escape;
    const char *fault;
    char text[REPLY_BODY_MAX]; /* all literal runs, one behind the other */
    size_t len, begin;         /* begin: of the run that is not closed yet */
    struct reply_part parts[PARTS_MAX];
    unsigned count;
    size_t values_bytes;
};

static void put(struct builder *builder, struct span text)
{
    if (text.len > sizeof(builder->text) - builder->len) {
        builder->fault = "the body could become longer than 8192 bytes";
        return;
    }
    if (text.len != 0)
        memcpy(builder->text + builder->len, text.ptr, text.len);
    builder->len += text.len;
}

/* A value, which ends the literal run. */
static void put_variable(struct builder *builder, enum reply_variable variable, bool is_whole)
{
    if (variable ==
        REPLY_VARIABLE_CODE) { /* the part that is the same for all errors is no value */
        char room[600];
        char *end = reply_put_escaped(room, room + sizeof(room), builder->prefix, builder->escape);
        put(builder, (struct span){room, (size_t)(end - room)});
        put(builder, SPAN("."));
    }
    if (builder->count == PARTS_MAX - 1) {
        builder->fault = "it names more than 63 values";
        return;
    }
    builder->parts[builder->count++] = (struct reply_part){
        .before = {NULL, builder->len - builder->begin},
        .variable = (uint8_t)variable,
        .is_whole = is_whole,
    };
    builder->begin = builder->len;
    builder->values_bytes += variables[variable].max_bytes;
}

struct span reply_variable_name(enum reply_variable variable)
{
    return variables[variable].name;
}

bool reply_template_next(struct span text, size_t from, struct reply_reference *reference)
{
    for (size_t i = from; i + 2 < text.len; i++) {
        if (text.ptr[i] != '$' || text.ptr[i + 1] != '{')
            continue;
        size_t len = span_find((struct span){text.ptr + i + 2, text.len - i - 2}, '}');
        bool is_closed = i + 2 + len < text.len;
        struct span name = {text.ptr + i + 2, is_closed ? len : 0};
        *reference = (struct reply_reference){i, name.len + 2 + is_closed, REPLY_VARIABLES};
        for (unsigned v = 0; v < REPLY_VARIABLES; v++) {
            if (span_eq(name, variables[v].name))
                reference->variable = (enum reply_variable)v;
        }
        return true;
    }
    return false;
}

/* The inside of a text: literals as they are (xml: escaped), and values. */
static void put_text(struct builder *builder, struct span text, bool is_raw)
{
    struct reply_reference reference;
    size_t from = 0;
    for (;;) {
        bool has_more = reply_template_next(text, from, &reference);
        size_t end = has_more ? reference.off : text.len;
        if (has_more && reference.variable == REPLY_VARIABLES)
            end += reference.len; /* not ours: as it is written */
        struct span literal = {text.ptr + from, end - from};
        if (is_raw || builder->escape != REPLY_ESCAPE_XML) {
            put(builder, literal);
        } else {
            char *room = builder->text + builder->len;
            char *stop = reply_put_escaped(room, builder->text + sizeof(builder->text), literal,
                                           REPLY_ESCAPE_XML);
            builder->len += (size_t)(stop - room);
        }
        if (!has_more)
            return;
        if (reference.variable != REPLY_VARIABLES)
            put_variable(builder, reference.variable, false);
        from = reference.off + reference.len;
    }
}

bool reply_template_decode(struct span token, struct arena *arena, struct span *text)
{
    return config_decode_text(token, arena, text);
}

/* Is the token nothing but one reference to a value that needs no quotation marks? */
static bool is_whole_value(struct span token, struct reply_reference *reference)
{
    struct span inside = {token.ptr + 1, token.len - 2};
    return reply_template_next(inside, 0, reference) && reference->len == inside.len &&
           reference->variable != REPLY_VARIABLES && variables[reference->variable].form != TEXT;
}

/* The string that the JSON begins with. */
static struct span string_token(struct span json)
{
    size_t len = 1;
    while (json.ptr[len] != '"')
        len += json.ptr[len] == '\\' ? 2 : 1;
    return (struct span){json.ptr, len + 1};
}

static struct span rest_of(struct span text, size_t from)
{
    return (struct span){text.ptr + from, text.len - from};
}

static void put_json(struct builder *builder, struct span json)
{
    struct reply_reference reference;
    while (json.len != 0) {
        struct span token = {json.ptr, 1};
        if (*json.ptr == '"')
            token = string_token(json);
        json = rest_of(json, token.len);
        bool is_key = json.len != 0 && *json.ptr == ':';
        if (*token.ptr != '"')
            put(builder, token);
        else if (!is_key && is_whole_value(token, &reference))
            put_variable(builder, reference.variable, true);
        else
            put_text(builder, token, true);
    }
}

static bool is_xml_name(struct span name)
{
    if (name.len == 0 || !(isalpha((unsigned char)*name.ptr) || *name.ptr == '_'))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if (!isalnum((unsigned char)name.ptr[i]) && memchr("_-.", name.ptr[i], 3) == NULL)
            return false;
    }
    return true;
}

static void put_tag(struct builder *builder, struct span name, bool is_end)
{
    bool is_plain = is_xml_name(name);
    put(builder, is_end ? SPAN("</") : SPAN("<"));
    put(builder, is_plain ? name : SPAN("member"));
    if (!is_plain && !is_end) {
        put(builder, SPAN(" name=\""));
        put_text(builder, name, false);
        put(builder, SPAN("\""));
    }
    put(builder, SPAN(">"));
}

static struct span put_xml_value(struct builder *builder, struct span json);

/* The members of an object or the items of an array, to the bracket that ends it. */
static struct span put_xml_members(struct builder *builder, struct span json)
{
    bool is_object = *json.ptr == '{';
    json = rest_of(json, 1);
    while (*json.ptr != '}' && *json.ptr != ']') {
        struct span name = SPAN("item");
        if (*json.ptr == ',') {
            json = rest_of(json, 1);
            continue;
        }
        if (is_object) {
            struct span token = string_token(json);
            if (!config_decode_text(token, builder->arena, &name))
                builder->fault = "out of memory";
            json = rest_of(json, token.len + 1);
        }
        put_tag(builder, name, false);
        json = put_xml_value(builder, json);
        put_tag(builder, name, true);
    }
    return rest_of(json, 1);
}

static struct span put_xml_value(struct builder *builder, struct span json)
{
    struct reply_reference reference;
    if (*json.ptr == '{' || *json.ptr == '[')
        return put_xml_members(builder, json);
    if (*json.ptr == '"') {
        struct span token = string_token(json), text = SPAN_NONE;
        if (is_whole_value(token, &reference))
            put_variable(builder, reference.variable, true);
        else if (config_decode_text(token, builder->arena, &text))
            put_text(builder, text, false);
        else
            builder->fault = "out of memory";
        return rest_of(json, token.len);
    }
    size_t len = 0; /* a number or a word */
    while (len < json.len && memchr(",]}", json.ptr[len], 3) == NULL)
        len++;
    if (!span_eq((struct span){json.ptr, len}, SPAN("null")))
        put(builder, (struct span){json.ptr, len});
    return rest_of(json, len);
}

/* Where an object with one member that is an object itself begins within: {"error":{...}}. */
static bool is_wrapped(struct span json)
{
    if (*json.ptr != '{' || json.ptr[1] != '"')
        return false;
    size_t at = 1 + string_token(rest_of(json, 1)).len + 1;
    if (json.ptr[at] != '{')
        return false;
    unsigned depth = 0;
    do {
        if (json.ptr[at] == '"')
            at += string_token(rest_of(json, at)).len - 1;
        depth += json.ptr[at] == '{' || json.ptr[at] == '[';
        depth -= json.ptr[at] == '}' || json.ptr[at] == ']';
        at++;
    } while (depth != 0);
    return at + 1 == json.len;
}

/* Is every value but the request's id known from the window that refused? */
static bool is_steady(const struct reply_part *parts, unsigned count)
{
    const unsigned changing = 1U << REPLY_VARIABLE_REMAINING | 1U << REPLY_VARIABLE_RETRY_AFTER |
                              1U << REPLY_VARIABLE_POLICIES;
    unsigned named = 0;
    for (unsigned i = 0; i < count; i++)
        named |= 1U << parts[i].variable;
    return (named & changing) == 0;
}

/* Make what was put together permanent. */
static const char *finish(struct builder *builder, struct reply_template *template)
{
    builder->parts[builder->count++] = (struct reply_part){
        .before = {NULL, builder->len - builder->begin},
        .variable = REPLY_VARIABLES,
    };
    size_t max_bytes = builder->len + builder->values_bytes;
    if (builder->fault == NULL && max_bytes > REPLY_BODY_MAX)
        builder->fault = "the body could become longer than 8192 bytes";
    if (builder->fault != NULL)
        return builder->fault;
    struct span text = arena_copy(builder->arena, (struct span){builder->text, builder->len});
    struct reply_part *parts =
        arena_take(builder->arena, builder->count * sizeof(struct reply_part));
    if (text.ptr == NULL || parts == NULL)
        return "out of memory";
    const char *at = text.ptr;
    for (unsigned i = 0; i < builder->count; i++) {
        parts[i] = builder->parts[i];
        parts[i].before.ptr = at;
        at += parts[i].before.len;
    }
    *template = (struct reply_template){
        .parts = parts,
        .count = builder->count,
        .escape = builder->escape,
        .is_steady = is_steady(parts, builder->count),
        .max_bytes = max_bytes,
    };
    return NULL;
}

static void begin(struct builder *builder, struct span prefix, enum reply_escape escape,
                  struct arena *arena)
{
    builder->prefix = prefix;
    builder->escape = escape;
    builder->arena = arena;
    builder->fault = NULL;
    builder->len = builder->begin = builder->values_bytes = 0;
    builder->count = 0;
}

/* A copy of the text from which `without` is taken out. */
static struct span strip(struct span text, struct span without, struct arena *arena)
{
    for (size_t i = 0; without.len != 0 && i + without.len <= text.len; i++) {
        if (memcmp(text.ptr + i, without.ptr, without.len) == 0)
            return arena_printf(arena, "%.*s%.*s", (int)i, text.ptr,
                                (int)(text.len - i - without.len), text.ptr + i + without.len);
    }
    return text;
}

const char *reply_template_json(struct reply_template *template, struct span json,
                                struct span without, struct span prefix, struct arena *arena)
{
    struct builder builder;
    json = strip(json, without, arena);
    if (json.ptr == NULL)
        return "out of memory";
    begin(&builder, prefix, REPLY_ESCAPE_JSON, arena);
    put_json(&builder, json);
    return finish(&builder, template);
}

const char *reply_template_xml(struct reply_template *template, struct span json,
                               struct span without, struct span prefix, struct arena *arena)
{
    struct builder builder;
    json = strip(json, without, arena);
    if (json.ptr == NULL)
        return "out of memory";
    begin(&builder, prefix, REPLY_ESCAPE_XML, arena);
    put(&builder, SPAN("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"));
    if (is_wrapped(json)) {
        put_xml_members(&builder, json);
    } else {
        put_tag(&builder, SPAN("error"), false);
        put_xml_value(&builder, json);
        put_tag(&builder, SPAN("error"), true);
    }
    return finish(&builder, template);
}

const char *reply_template_text(struct reply_template *template, struct span text,
                                struct span without, struct span prefix, enum reply_escape escape,
                                struct arena *arena)
{
    struct builder builder;
    text = strip(text, without, arena);
    if (text.ptr == NULL)
        return "out of memory";
    begin(&builder, prefix, escape, arena);
    put_text(&builder, text, true);
    return finish(&builder, template);
}
