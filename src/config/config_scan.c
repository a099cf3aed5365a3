/* SPDX-License-Identifier: Apache-2.0 */
/* config_scan.c - takes: text without comments.  Gives: the tree.  Never: nests deeper than
 * CONFIG_DEPTH_MAX, or reads past the end (every text it gets is bounded by `end`). */
#include "config/config_scan.h"

#include <ctype.h>

#include "base/base_parse.h"
#include "config/config_decode.h"

struct scan {
    struct config_doc *doc;
    const char *at, *end;
    struct config_node *inside; /* the container being read */
    unsigned depth;
};

static struct config_node *scan_value(struct scan *scan, struct span key_token);

static void fault(struct scan *scan, const char *at, size_t len, const char *sentence)
{
    config_error_at(scan->doc, scan->inside, (size_t)(at - scan->doc->text.ptr), len, "%s",
                    sentence);
}

static void skip_space(struct scan *scan)
{
    while (scan->at < scan->end && memchr(" \t\r\n", *scan->at, 4) != NULL)
        scan->at++;
}

/* The text is over: where, and inside of what. */
static void fault_end(struct scan *scan)
{
    struct config_doc *doc = scan->doc;
    size_t off = (size_t)(scan->end - doc->text.ptr);
    if (scan->inside == NULL)
        config_error_at(doc, NULL, off, 0, "the file ends where a value should begin");
    else
        config_error_at(doc, scan->inside, off, 0,
                        "the file ends inside the %s that begins at line %u",
                        scan->inside->kind == CONFIG_KIND_OBJECT ? "object" : "array",
                        config_line_of(doc, scan->inside->token.ptr));
}

/* A word that is no JSON, named by its likely cause. */
static void fault_word(struct scan *scan)
{
    const char *at = scan->at;
    size_t len = 0;
    while (at + len < scan->end && (isalnum((unsigned char)at[len]) || at[len] == '_'))
        len++;
    struct span word = {at, len};
    if (len > 0 && (isalpha((unsigned char)*at) || *at == '_')) {
        bool is_constant = span_eq_nocase(word, SPAN("true")) ||
                           span_eq_nocase(word, SPAN("false")) ||
                           span_eq_nocase(word, SPAN("null"));
        fault(scan, at, len,
              is_constant ? "true, false and null are written in lower case"
                          : "strings are written in double quotation marks");
    } else if (*at == '\'') {
        fault(scan, at, 1, "strings are written in double quotation marks");
    } else if (*at == '#') {
        fault(scan, at, 1, "comments are written // ... or /* ... */");
    } else if (*at == '/') {
        fault(scan, at, 1, "this is neither a comment nor a value");
    } else if (memchr(",]}:", *at, 4) != NULL) {
        fault(scan, at, 1, "a value is missing here");
    } else {
        fault(scan, at, 1, "a value cannot begin with this character");
    }
}

static int hex4(const char *at)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = parse_hex_digit(at[i]);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* The escape that begins at scan->at (a backslash); moves behind it. */
static bool scan_escape(struct scan *scan)
{
    const char *at = scan->at;
    size_t left = (size_t)(scan->end - at);
    if (left < 2 || memchr("\"\\/bfnrtu", at[1], 9) == NULL) {
        fault(scan, at, left < 2 ? 1 : 2, "no such escape (a backslash itself is written \\\\)");
        return false;
    }
    scan->at += 2;
    if (at[1] != 'u')
        return true;
    int unit = left < 6 ? -1 : hex4(at + 2);
    if (unit <= 0) {
        fault(scan, at, left < 6 ? left : 6,
              unit == 0 ? "NUL is not allowed" : "\\u is followed by four hexadecimal digits");
        return false;
    }
    scan->at += 4;
    if (unit < 0xd800 || unit > 0xdfff)
        return true;
    int low = left < 12 || at[6] != '\\' || at[7] != 'u' ? -1 : hex4(at + 8);
    if (unit > 0xdbff || low < 0xdc00 || low > 0xdfff) {
        fault(scan, at, 6, "half of a surrogate pair");
        return false;
    }
    scan->at += 6;
    return true;
}

/* The string that begins at scan->at, with its quotation marks; ptr NULL after a fault. */
static struct span scan_string(struct scan *scan)
{
    const char *begin = scan->at++;
    while (scan->at < scan->end && *scan->at != '"') {
        unsigned char c = (unsigned char)*scan->at;
        if (c == '\n' || c == '\r') {
            fault(scan, begin, (size_t)(scan->at - begin), "the string is not closed on its line");
            return SPAN_NONE;
        }
        if (c < 0x20) {
            fault(scan, scan->at, 1, "a control character in a string must be written as \\u00XX");
            return SPAN_NONE;
        }
        if (c != '\\')
            scan->at++;
        else if (!scan_escape(scan))
            return SPAN_NONE;
    }
    if (scan->at == scan->end) {
        fault(scan, begin, (size_t)(scan->end - begin), "the file ends inside this string");
        return SPAN_NONE;
    }
    scan->at++;
    return (struct span){begin, (size_t)(scan->at - begin)};
}

static size_t skip_digits(struct scan *scan)
{
    const char *begin = scan->at;
    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9')
        scan->at++;
    return (size_t)(scan->at - begin);
}

static bool scan_number(struct scan *scan)
{
    const char *begin = scan->at;
    if (*scan->at == '-')
        scan->at++;
    const char *digits = scan->at;
    size_t count = skip_digits(scan);
    bool is_good = count == 1 || (count > 1 && *digits != '0');
    if (is_good && scan->at < scan->end && *scan->at == '.') {
        scan->at++;
        is_good = skip_digits(scan) > 0;
    }
    if (is_good && scan->at < scan->end && (*scan->at == 'e' || *scan->at == 'E')) {
        scan->at++;
        if (scan->at < scan->end && (*scan->at == '+' || *scan->at == '-'))
            scan->at++;
        is_good = skip_digits(scan) > 0;
    }
    /* "30s" without quotation marks: the commonest slip. */
    const char *word = scan->at;
    while (scan->at < scan->end && (isalnum((unsigned char)*scan->at) || *scan->at == '.'))
        scan->at++;
    if (!is_good || word != scan->at) {
        bool has_unit = is_good && isalpha((unsigned char)*word);
        fault(scan, begin, (size_t)(scan->at - begin),
              has_unit ? "a value with a unit is written in double quotation marks"
                       : "not a number as JSON writes it");
        return false;
    }
    return true;
}

static bool scan_constant(struct scan *scan, struct config_node *node)
{
    static const struct {
        struct span word;
        enum config_kind kind;
    } constants[] = {
        {{"true", 4}, CONFIG_KIND_TRUE},
        {{"false", 5}, CONFIG_KIND_FALSE},
        {{"null", 4}, CONFIG_KIND_NULL},
    };
    struct span rest = {scan->at, (size_t)(scan->end - scan->at)};
    for (size_t i = 0; i < sizeof(constants) / sizeof(constants[0]); i++) {
        size_t len = constants[i].word.len;
        if (!span_starts_with(rest, constants[i].word) ||
            (rest.len > len && (isalnum((unsigned char)rest.ptr[len]) || rest.ptr[len] == '_')))
            continue;
        node->kind = constants[i].kind;
        scan->at += len;
        return true;
    }
    fault_word(scan);
    return false;
}

static struct config_node *new_node(struct scan *scan, struct span key_token)
{
    struct config_doc *doc = scan->doc;
    if (doc->node_count++ == CONFIG_NODES_MAX) {
        fault(scan, scan->at, 1, "the file holds more than 500000 values");
        return NULL;
    }
    struct config_node *node = arena_take_zeroed(&doc->arena, sizeof(*node));
    if (node == NULL) {
        config_out_of_memory(doc);
        return NULL;
    }
    node->parent = scan->inside;
    node->index = node->parent == NULL ? 0 : node->parent->child_count;
    node->key_token = key_token;
    if (key_token.ptr != NULL && !config_decode_text(key_token, &doc->arena, &node->key)) {
        config_out_of_memory(doc);
        return NULL;
    }
    return node;
}

static void add_child(struct config_node *parent, struct config_node *child)
{
    parent->child_count++;
    if (parent->last == NULL)
        parent->first = child;
    else
        parent->last->next = child;
    parent->last = child;
}

/* Between two items: true when another follows.  *is_closed when the container ends here. */
static bool scan_separator(struct scan *scan, const char *item_end, bool *is_closed)
{
    char close = scan->inside->kind == CONFIG_KIND_OBJECT ? '}' : ']';
    skip_space(scan);
    *is_closed = false;
    if (scan->at == scan->end) {
        fault_end(scan);
        return false;
    }
    if (*scan->at == close) {
        scan->at++;
        *is_closed = true;
        return false;
    }
    if (*scan->at == ',') {
        scan->at++;
        return true;
    }
    bool is_next = close == '}'
                       ? *scan->at == '"'
                       : isalnum((unsigned char)*scan->at) || memchr("\"{[-", *scan->at, 4);
    if (is_next) {
        fault(scan, item_end, 1, "a comma is missing here");
        return true;
    }
    config_error_at(scan->doc, scan->inside, (size_t)(scan->at - scan->doc->text.ptr), 1,
                    "expected \",\" or \"%c\" (the %s begins at line %u)", close,
                    close == '}' ? "object" : "array",
                    config_line_of(scan->doc, scan->inside->token.ptr));
    return false;
}

/* A key and the colon behind it. */
static bool scan_key(struct scan *scan, struct span *key)
{
    if (*scan->at != '"') {
        bool is_word = isalpha((unsigned char)*scan->at) || *scan->at == '_' || *scan->at == '\'';
        fault(scan, scan->at, 1,
              is_word ? "keys are written in double quotation marks" : "a key is missing here");
        return false;
    }
    *key = scan_string(scan);
    if (key->ptr == NULL)
        return false;
    const char *key_end = scan->at;
    skip_space(scan);
    if (scan->at == scan->end) {
        fault_end(scan);
        return false;
    }
    if (*scan->at == ':') {
        scan->at++;
    } else if (*scan->at == ',' || *scan->at == '}') {
        fault(scan, key->ptr, key->len, "a key without a value");
        return false;
    } else {
        fault(scan, key_end, 1, "a colon is missing behind the key");
    }
    return true;
}

static bool scan_children(struct scan *scan, struct config_node *node)
{
    bool is_object = node->kind == CONFIG_KIND_OBJECT, is_closed = false;
    scan->at++;
    skip_space(scan);
    if (scan->at < scan->end && *scan->at == (is_object ? '}' : ']')) {
        scan->at++;
        return true;
    }
    for (;;) {
        struct span key = SPAN_NONE;
        skip_space(scan);
        if (scan->at == scan->end) {
            fault_end(scan);
            return false;
        }
        if (is_object && !scan_key(scan, &key))
            return false;
        struct config_node *child = scan_value(scan, key);
        if (child == NULL)
            return false;
        add_child(node, child);
        if (!scan_separator(scan, child->token.ptr + child->token.len, &is_closed))
            return is_closed;
    }
}

static bool scan_container(struct scan *scan, struct config_node *node)
{
    if (scan->depth == CONFIG_DEPTH_MAX) {
        fault(scan, scan->at, 1, "nested deeper than 32 levels");
        return false;
    }
    node->kind = *scan->at == '{' ? CONFIG_KIND_OBJECT : CONFIG_KIND_ARRAY;
    node->token = (struct span){scan->at, 1}; /* for messages from inside */
    scan->inside = node;
    scan->depth++;
    bool is_good = scan_children(scan, node);
    scan->depth--;
    if (is_good)
        scan->inside = node->parent;
    return is_good;
}

static struct config_node *scan_value(struct scan *scan, struct span key_token)
{
    skip_space(scan);
    if (scan->at == scan->end) {
        fault_end(scan);
        return NULL;
    }
    struct config_node *node = new_node(scan, key_token);
    if (node == NULL)
        return NULL;
    const char *begin = scan->at;
    bool is_good;
    if (*begin == '{' || *begin == '[') {
        is_good = scan_container(scan, node);
    } else if (*begin == '"') {
        node->kind = CONFIG_KIND_STRING;
        is_good = scan_string(scan).ptr != NULL;
    } else if (*begin == '-' || (*begin >= '0' && *begin <= '9')) {
        node->kind = CONFIG_KIND_NUMBER;
        is_good = scan_number(scan);
    } else {
        is_good = scan_constant(scan, node);
    }
    node->token = (struct span){begin, (size_t)(scan->at - begin)};
    return is_good ? node : NULL;
}

struct config_node *config_scan(struct config_doc *doc, struct span text)
{
    struct scan scan = {.doc = doc, .at = text.ptr, .end = text.ptr + text.len};
    struct config_node *root = scan_value(&scan, SPAN_NONE);
    if (root == NULL)
        return NULL;
    skip_space(&scan);
    if (scan.at != scan.end) {
        fault(&scan, scan.at, 1, "text behind the end of the configuration");
        return NULL;
    }
    return root;
}
