/* SPDX-License-Identifier: Apache-2.0 */
/* reply_dialect.c - takes: a dialect as configured.  Gives: its templates, compiled.  Never: a body whose largest
 * size is not known. */
#include "base/base_span.h"
#include "reply/reply_template.h"

#define VARY "\r\nVary: Accept"

static const struct {
    struct span prefix, content_type, without, plain, throttled;
} rows[REPLY_DIALECTS] = {
#define LITERAL(text)                                                                              \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
#define DIALECT(id, name, prefix, type, without, plain, throttled)                                 \
    [REPLY_DIALECT_##id] = {LITERAL(prefix), LITERAL(type), LITERAL(without), LITERAL(plain),      \
                            LITERAL(throttled)},
#include "reply/reply_dialects.def"
#undef DIALECT
#undef LITERAL
};

const char *const REPLY_DIALECT_NAMES[] = {
#define DIALECT(id, name, prefix, type, without, plain, throttled) [REPLY_DIALECT_##id] = (name),
#include "reply/reply_dialects.def"
#undef DIALECT
    NULL,
};

/* What a dialect is compiled from. */
struct source {
    struct span prefix, content_type, without;
    struct span plain, throttled; /* throttled: empty when it is the same */
    bool is_text;
};

/* How values stand in a text of this type. */
static enum reply_escape escape_of(struct span type)
{
    static const struct {
        struct span word;
        enum reply_escape escape;
    } words[] = {{SPAN("json"), REPLY_ESCAPE_JSON},
                 {SPAN("xml"), REPLY_ESCAPE_XML},
                 {SPAN("html"), REPLY_ESCAPE_XML}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        for (size_t at = 0; at + words[i].word.len <= type.len; at++) {
            if (span_eq_nocase((struct span){type.ptr + at, words[i].word.len}, words[i].word))
                return words[i].escape;
        }
    }
    return REPLY_ESCAPE_NONE;
}

static const char *compile_own(struct reply_template *template, const struct source *source,
                               struct span text, struct arena *arena)
{
    if (!source->is_text)
        return reply_template_json(template, text, source->without, source->prefix, arena);
    return reply_template_text(template, text, source->without, source->prefix,
                               escape_of(source->content_type), arena);
}

/* Both bodies of one media type; the other one is made only when it differs. */
static const char *compile_body(struct reply_body *body, const struct source *source, bool as_xml,
                                struct arena *arena)
{
    const struct span texts[] = {source->plain, source->throttled};
    struct reply_template *const templates[] = {&body->plain, &body->throttled};
    for (unsigned i = 0; i < 2; i++) {
        const char *sentence = NULL;
        if (i != 0 && texts[i].len == 0)
            *templates[i] = body->plain;
        else if (as_xml)
            sentence =
                reply_template_xml(templates[i], texts[i], source->without, source->prefix, arena);
        else
            sentence = compile_own(templates[i], source, texts[i], arena);
        if (sentence != NULL)
            return sentence;
    }
    return NULL;
}

static bool read_source(struct source *source, const struct reply_dialect_conf *conf,
                        struct arena *arena)
{
    struct span template = conf->template_json;
    *source = (struct source){.prefix = conf->prefix, .content_type = conf->content_type};
    if (template.len == 0) {
        source->plain = rows[conf->like].plain;
        source->throttled = rows[conf->like].throttled;
        source->is_text = conf->like == REPLY_DIALECT_TEXT;
        source->content_type = rows[conf->like].content_type;
        source->without = conf->with_request_id ? SPAN_NONE : rows[conf->like].without;
        if (source->prefix.len == 0)
            source->prefix = rows[conf->like].prefix;
        return true;
    }
    source->is_text = *template.ptr == '"';
    source->plain = template;
    if (source->is_text && !reply_template_decode(template, arena, &source->plain))
        return false;
    if (source->prefix.len == 0)
        source->prefix = rows[REPLY_DIALECT_APIG].prefix;
    if (source->content_type.len == 0)
        source->content_type =
            rows[source->is_text ? REPLY_DIALECT_TEXT : REPLY_DIALECT_APIG].content_type;
    return true;
}

const char *reply_dialect_compile(struct reply_body_dialect *dialect,
                                  const struct reply_dialect_conf *conf, bool with_xml,
                                  struct arena *arena)
{
    struct source source;
    if (!read_source(&source, conf, arena))
        return "out of memory";
    *dialect = (struct reply_body_dialect){.name = conf->name,
                                           .prefix = source.prefix,
                                           .type = source.content_type,
                                           .has_xml = with_xml && !source.is_text};
    if (conf->template_json.len == 0)
        dialect->like = span_of(REPLY_DIALECT_NAMES[conf->like]);
    dialect->own.content_type = source.content_type;
    const char *sentence = compile_body(&dialect->own, &source, false, arena);
    if (sentence != NULL || !dialect->has_xml)
        return sentence;
    dialect->xml.content_type = SPAN("application/xml; charset=UTF-8" VARY);
    dialect->own.content_type =
        arena_printf(arena, "%.*s" VARY, (int)source.content_type.len, source.content_type.ptr);
    if (dialect->own.content_type.ptr == NULL)
        return "out of memory";
    return compile_body(&dialect->xml, &source, true, arena);
}
