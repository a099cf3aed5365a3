/* SPDX-License-Identifier: Apache-2.0 */
/* route_table.c - takes: rules, then queries.  Gives: the first rule that matches.  Never: allocates
 * while finding, or looks at a rule that cannot match.
 *
 * Each (listener, host) that occurs in the rules has a tree of path segments.  A query walks the few
 * trees that its listener and host select (any, exact, one per wildcard suffix), literal and {name}
 * children alike, and keeps the lowest rule number met; a subtree whose lowest number is not better is
 * left out.  All edges live in one hash table, so a step costs the same with 10 routes and 10,000. */
#include "route/route.h"

#include <assert.h>
#include <stdlib.h>

#include "base/base_ascii.h"
#include "route/route_index.h"
#include "route/route_pattern.h"

#define RULE_NONE UINT32_MAX

/* What the parent of an index entry is; the upper half of it. */
enum space {
    SPACE_LISTENER, /* listener name -> listener number */
    SPACE_HOST,     /* (listener, "example.com") -> tree */
    SPACE_WILD,     /* (listener, ".example.com") -> tree */
    SPACE_SEGMENT,  /* (node, segment) -> node */
    SPACE_METHOD,   /* (node and end, method) -> rule number + 1 */
};

struct node {
    uint32_t lowest;                 /* rule number in this node and below */
    uint32_t name_child;             /* node behind a {name}; 0: none */
    uint32_t any_method[ROUTE_ENDS]; /* lowest rule that ends here and takes every method */
    uint8_t by_method;               /* bit per end: SPACE_METHOD has entries */
    bool has_literals;
};

/* What one listener's rules select; number 0 is that of the rules without a listener. */
struct listener {
    uint32_t any_host;                       /* tree of the rules without host; 0: none */
    uint32_t host_max_bytes, wild_max_bytes; /* longest; 0: none */
};

/* Owner: the plan.  Freed by: route_table_free.  Thread: any, once built. */
struct route_table {
    const struct route_rule *rules; /* borrowed from the plan */
    struct route_index index;
    struct node *nodes; /* [0] is none */
    uint32_t node_count, node_room;
    struct listener *listeners;
    uint32_t listener_count;
    uint32_t depth; /* most segments of a rule */
    uint32_t segment_max_bytes, method_max_bytes;
    bool has_names; /* some rule has {names} */
};

static inline uint64_t parent_of(enum space space, uint32_t number)
{
    return (uint64_t)space << 32 | number;
}

static inline void raise_to(uint32_t *max, size_t value)
{
    if (value > *max)
        *max = (uint32_t)value;
}

/* ---- compiling ---- */

/* The new node's number, 0 without memory. */
static uint32_t add_node(struct route_table *table)
{
    if (table->node_count == table->node_room) {
        uint32_t room = table->node_room * 2 + 64;
        struct node *nodes = realloc(table->nodes, room * sizeof(*nodes));
        if (nodes == NULL)
            return 0;
        table->nodes = nodes;
        table->node_room = room;
    }
    struct node *node = &table->nodes[table->node_count];
    *node = (struct node){.lowest = RULE_NONE};
    for (unsigned end = 0; end < ROUTE_ENDS; end++)
        node->any_method[end] = RULE_NONE;
    return table->node_count++;
}

/* The node that (parent, text) leads to, made when it is not there; 0 without memory. */
static uint32_t child_of(struct route_table *table, uint64_t parent, struct span text)
{
    uint64_t hash = route_index_hash(text);
    uint32_t child = route_index_find(&table->index, parent, text, hash);
    if (child != 0)
        return child;
    child = add_node(table);
    if (child == 0 || route_index_add(&table->index, parent, text, hash, child) != ERR_OK)
        return 0;
    return child;
}

static struct listener *listener_of(struct route_table *table, struct span name, uint32_t *number)
{
    *number = 0;
    if (name.len == 0)
        return &table->listeners[0];
    uint64_t hash = route_index_hash(name);
    *number = route_index_find(&table->index, parent_of(SPACE_LISTENER, 0), name, hash);
    if (*number != 0)
        return &table->listeners[*number];
    *number = table->listener_count;
    if (route_index_add(&table->index, parent_of(SPACE_LISTENER, 0), name, hash, *number) != ERR_OK)
        return NULL;
    return &table->listeners[table->listener_count++];
}

/* The tree for the rule's listener and host; 0 without memory. */
static uint32_t tree_of(struct route_table *table, const struct route_rule *rule)
{
    uint32_t number;
    struct listener *listener = listener_of(table, rule->listener, &number);
    if (listener == NULL)
        return 0;
    struct span host = route_host_plain(rule->host);
    if (host.len == 0) {
        if (listener->any_host == 0)
            listener->any_host = add_node(table);
        return listener->any_host;
    }
    if (!route_host_is_wild(host)) {
        raise_to(&listener->host_max_bytes, host.len);
        return child_of(table, parent_of(SPACE_HOST, number), host);
    }
    struct span suffix = {host.ptr + 1, host.len - 1};
    raise_to(&listener->wild_max_bytes, suffix.len);
    return child_of(table, parent_of(SPACE_WILD, number), suffix);
}

static uint32_t segment_child(struct route_table *table, uint32_t node, struct span segment)
{
    if (http_segment_is_name(segment)) {
        table->has_names = true;
        uint32_t child = table->nodes[node].name_child;
        if (child == 0) {
            child = add_node(table);
            table->nodes[node].name_child = child;
        }
        return child;
    }
    raise_to(&table->segment_max_bytes, segment.len);
    table->nodes[node].has_literals = true;
    return child_of(table, parent_of(SPACE_SEGMENT, node), segment);
}

static enum err end_rule(struct route_table *table, uint32_t number, uint32_t rule_number,
                         enum route_end end)
{
    const struct route_rule *rule = &table->rules[rule_number];
    struct node *node = &table->nodes[number];
    if (rule->methods == NULL) {
        if (rule_number < node->any_method[end])
            node->any_method[end] = rule_number;
        return ERR_OK;
    }
    node->by_method |= (uint8_t)(1u << end);
    for (unsigned i = 0; i < rule->method_count; i++) {
        struct span method = rule->methods[i];
        raise_to(&table->method_max_bytes, method.len);
        /* Rules come in file order, so an entry that is there already is the earlier rule's. */
        enum err err =
            route_index_add(&table->index, parent_of(SPACE_METHOD, number * ROUTE_ENDS + end),
                            method, route_index_hash(method), rule_number + 1);
        if (err != ERR_OK && err != ERR_EXISTS)
            return err;
    }
    return ERR_OK;
}

static enum err add_rule(struct route_table *table, uint32_t rule_number)
{
    const struct route_rule *rule = &table->rules[rule_number];
    if (route_rule_fault(rule) != NULL)
        return ERR_INVALID;
    uint32_t node = tree_of(table, rule);
    struct route_segments segments;
    enum route_end end = route_pattern_of(rule, &segments);
    struct span segment;
    uint32_t depth = 0;
    while (node != 0 && route_segments_next(&segments, &segment)) {
        if (rule_number < table->nodes[node].lowest)
            table->nodes[node].lowest = rule_number;
        node = segment_child(table, node, segment);
        depth++;
    }
    if (node == 0)
        return ERR_NOMEM;
    raise_to(&table->depth, depth);
    if (rule_number < table->nodes[node].lowest)
        table->nodes[node].lowest = rule_number;
    return end_rule(table, node, rule_number, end);
}

struct route_table *route_table_new(const struct route_rule *rules, unsigned count)
{
    struct route_table *table = calloc(1, sizeof(*table));
    if (table == NULL)
        return NULL;
    table->rules = rules;
    table->listeners = calloc((size_t)count + 1, sizeof(*table->listeners));
    table->listener_count = 1;
    if (table->listeners == NULL || route_index_init(&table->index) != ERR_OK)
        goto fail;
    (void)add_node(table); /* number 0 */
    if (table->node_count == 0)
        goto fail;
    for (unsigned i = 0; i < count; i++) {
        if (add_rule(table, i) != ERR_OK)
            goto fail;
    }
    return table;

fail:
    route_table_free(table);
    return NULL;
}

void route_table_free(struct route_table *table)
{
    if (table == NULL)
        return;
    route_index_fini(&table->index);
    free(table->nodes);
    free(table->listeners);
    free(table);
}

/* ---- finding ---- */

struct step {
    struct span text;
    uint64_t hash;
};

struct search {
    const struct route_table *table;
    struct span method;
    uint64_t method_hash;
    bool is_method_known; /* short enough to be in a rule */
    uint32_t best;        /* rule number */
    uint32_t count;       /* of segments; more than the table's depth count as one more */
    struct step steps[ROUTE_SEGMENTS_MAX];
};

static void split(struct search *search, struct span path)
{
    const struct route_table *table = search->table;
    struct route_segments segments = route_segments_of(path);
    struct step *step = search->steps;
    while (search->count < table->depth && route_segments_next(&segments, &step->text)) {
        if (step->text.len <= table->segment_max_bytes)
            step->hash = route_index_hash(step->text);
        search->count++;
        step++;
    }
    if (segments.has_more)
        search->count++;
}

/* Keep the lowest rule that ends at this node in this way and takes the method. */
static inline void consider(struct search *search, uint32_t number, enum route_end end)
{
    const struct node *node = &search->table->nodes[number];
    if (node->any_method[end] < search->best)
        search->best = node->any_method[end];
    if ((node->by_method & 1u << end) == 0 || !search->is_method_known)
        return;
    uint32_t found =
        route_index_find(&search->table->index, parent_of(SPACE_METHOD, number * ROUTE_ENDS + end),
                         search->method, search->method_hash);
    if (found != 0 && found - 1 < search->best)
        search->best = found - 1;
}

/* Look at a node.  Gives the child that the next segment names, and the one behind a {name}; 0: none, or none that could
 * be better. */
static inline uint32_t visit(struct search *search, uint32_t number, uint32_t depth,
                             uint32_t *name_child)
{
    const struct route_table *table = search->table;
    const struct node *node = &table->nodes[number];
    *name_child = 0;
    if (node->lowest >= search->best)
        return 0;
    consider(search, number, ROUTE_END_PREFIX);
    if (depth == search->count) {
        consider(search, number, ROUTE_END_EXACT);
        return 0;
    }
    consider(search, number, ROUTE_END_BELOW);
    if (depth == table->depth)
        return 0;
    const struct step *step = &search->steps[depth];
    if (step->text.len > 0)
        *name_child = node->name_child;
    if (!node->has_literals || step->text.len > table->segment_max_bytes)
        return 0;
    return route_index_find(&table->index, parent_of(SPACE_SEGMENT, number), step->text,
                            step->hash);
}

/* Walk what is below the root of a tree.  A node leaves at most its {name} child on the stack, so that never holds more
 * than one for each level. */
static __attribute__((noinline)) void walk_below(struct search *search, uint32_t child,
                                                 uint32_t name_child)
{
    struct {
        uint32_t node, depth;
    } stack[ROUTE_SEGMENTS_MAX + 1];
    unsigned height = 0;
    uint32_t depth = 1;
    for (;;) {
        if (child != 0 && name_child != 0) {
            stack[height].node = name_child;
            stack[height++].depth = depth;
        }
        uint32_t number = child != 0 ? child : name_child;
        if (number == 0) {
            if (height == 0)
                return;
            number = stack[--height].node;
            depth = stack[height].depth;
        }
        child = visit(search, number, depth, &name_child);
        depth++;
    }
}

/* Walk one tree.  Many have but a root: those take no call. */
static inline void walk(struct search *search, uint32_t tree)
{
    uint32_t name_child, child = visit(search, tree, 0, &name_child);
    if ((child | name_child) != 0)
        walk_below(search, child, name_child);
}

static void walk_host(struct search *search, enum space space, uint32_t listener, struct span host)
{
    uint32_t tree = route_index_find(&search->table->index, parent_of(space, listener), host,
                                     route_index_hash(host));
    if (tree != 0)
        walk(search, tree);
}

/* Walk the trees of one listener's rules that name the host.  Not inlined: many plans name none, and its frame would
 * burden them. */
static __attribute__((noinline)) void walk_hosts(struct search *search, uint32_t number,
                                                 struct span host)
{
    const struct listener *listener = &search->table->listeners[number];
    /* The end of the host in lower case: no rule has a longer one. */
    char lower[ROUTE_HOST_MAX_BYTES];
    size_t len = host.len < sizeof(lower) ? host.len : sizeof(lower);
    const char *tail = host.ptr + host.len - len;
    ascii_copy_lower(lower, tail, len);

    if (host.len <= listener->host_max_bytes)
        walk_host(search, SPACE_HOST, number, (struct span){lower, len});
    /* From the right, at each dot that has a byte before it. */
    size_t first = len == host.len ? 1 : 0;
    for (size_t i = len; i-- > first && len - i <= listener->wild_max_bytes;) {
        if (lower[i] == '.')
            walk_host(search, SPACE_WILD, number, (struct span){lower + i, len - i});
    }
}

/* Walk the trees that one listener's rules have for the host. */
static inline void walk_listener(struct search *search, uint32_t number, struct span host)
{
    const struct listener *listener = &search->table->listeners[number];
    if (listener->any_host != 0)
        walk(search, listener->any_host);
    if (host.len != 0 && (listener->host_max_bytes | listener->wild_max_bytes) != 0)
        walk_hosts(search, number, host);
}

static void fill_names(struct route_match *match, const struct route_rule *rule, struct span path)
{
    struct route_segments ours, theirs = route_segments_of(path);
    struct span segment, value;
    (void)route_pattern_of(rule, &ours);
    while (route_segments_next(&ours, &segment) && route_segments_next(&theirs, &value)) {
        if (!http_segment_is_name(segment))
            continue;
        assert(match->name_count < ROUTE_NAMES_MAX);
        match->names[match->name_count++] = (struct span_pair){
            .name = {segment.ptr + 1, segment.len - 2},
            .value = value,
        };
    }
}

bool route_table_find(const struct route_table *table, const struct route_query *query,
                      struct route_match *match)
{
    struct search search;
    search.table = table;
    search.method = query->method;
    search.is_method_known = query->method.len <= table->method_max_bytes;
    search.method_hash = search.is_method_known ? route_index_hash(query->method) : 0;
    search.best = RULE_NONE;
    search.count = 0;
    split(&search, query->path);

    struct span host = route_host_plain(query->host);
    walk_listener(&search, 0, host);
    if (table->listener_count > 1 && query->listener.len > 0) {
        uint32_t number = route_index_find(&table->index, parent_of(SPACE_LISTENER, 0),
                                           query->listener, route_index_hash(query->listener));
        if (number != 0)
            walk_listener(&search, number, host);
    }
    if (search.best == RULE_NONE)
        return false;

    match->index = search.best;
    match->name_count = 0;
    if (table->has_names)
        fill_names(match, &table->rules[search.best], query->path);
    return true;
}
