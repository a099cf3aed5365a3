/* SPDX-License-Identifier: Apache-2.0 */
/* plan_rewrite.c - takes: header rules and the values of one exchange.  Gives: header lines. */
#include "plan/plan_rewrite.h"

#include "base/base_ascii.h"
#include "base/base_fmt.h"

static const struct {
    struct span name;
    size_t max_bytes;
} variables[PLAN_REWRITE_VARIABLES] = {
#define VARIABLE(id, name, max, is_late, what)                                                     \
    [PLAN_REWRITE_##id] = {{name, sizeof(name) - 1}, max},
#include "plan/plan_rewrite_variables.def"
#undef VARIABLE
};

struct span plan_rewrite_name(enum plan_rewrite_variable variable)
{
    return variables[variable].name;
}

size_t plan_rewrite_max(unsigned value)
{
    return value < PLAN_REWRITE_VARIABLES ? variables[value].max_bytes : PLAN_REWRITE_IDENTITY_MAX;
}

/* Is it a value that can stand in a header as it is? */
static bool is_good(struct span text, unsigned value)
{
    return text.len != 0 && text.len <= plan_rewrite_max(value) && http_is_value(text);
}

/* Credentials have letters, of whatever alphabet, or digits; what only separates values has none. */
static char *put_hidden(char *out, struct span text)
{
    bool is_telling = false;
    for (size_t i = 0; i < text.len; i++)
        is_telling |= ascii_is_word(text.ptr[i]) || (unsigned char)text.ptr[i] >= 0x80;
    if (!is_telling)
        return fmt_span(out, text);
    return fmt_span(out, (struct span){"***", text.len < 3 ? text.len : 3});
}

static inline __attribute__((always_inline)) char *
put_line(char *out, const struct plan_rewrite_line *line, const struct span *values, bool is_hidden)
{
    bool has_any = line->part_count == 1; /* it names no value */
    char *at = fmt_span(out, line->name);
    for (unsigned i = 0; i < line->part_count; i++) {
        const struct plan_rewrite_part *part = &line->parts[i];
        at = is_hidden ? put_hidden(at, part->before) : fmt_span(at, part->before);
        if (part->value == PLAN_REWRITE_VALUES || !is_good(values[part->value], part->value))
            continue;
        at = fmt_span(at, values[part->value]);
        has_any = true;
    }
    return has_any ? FMT_LIT(at, "\r\n") : out;
}

char *plan_rewrite_write(char *out, const struct plan_rewrite_rules *rules,
                         const struct span values[PLAN_REWRITE_VALUES])
{
    for (unsigned i = 0; i < rules->line_count; i++)
        out = put_line(out, &rules->lines[i], values, false);
    return out;
}

char *plan_rewrite_show(char *out, const struct plan_rewrite_rules *rules,
                        const struct span values[PLAN_REWRITE_VALUES])
{
    for (unsigned i = 0; i < rules->line_count; i++)
        out = put_line(out, &rules->lines[i], values, true);
    return out;
}
