/* SPDX-License-Identifier: Apache-2.0 */
/* plan_link_errors.c - dialects of error bodies.  Takes: what the file says of them.  Gives: the built-in ones
 * and the file's, compiled, and the one that routes have that name none. */
#include "plan/plan_draft.h"

/* One more dialect; its fault is told at the node (built-in ones have none but want of memory). */
static void add_dialect(struct plan_work *work, const struct reply_dialect_conf *conf,
                        const struct config_node *node)
{
    struct plan *plan = &work->draft->plan;
    unsigned index = plan->dialect_count;
    bool with_xml = work->draft->errors.with_xml;
    const struct config_node *template = config_find(node, "template");
    const char *sentence =
        reply_dialect_compile(&plan->dialects[index], conf, with_xml, work->load->arena);
    if (sentence != NULL && template == NULL)
        config_out_of_memory(work->load->doc);
    else if (sentence != NULL)
        config_error(work->load->doc, template, "%s", sentence);
    plan->dialect_count++;
    plan_name_add(work, &work->names.dialects, conf->name, index, node, "dialect of errors");
}

void plan_link_errors(struct plan_work *work)
{
    struct plan *plan = &work->draft->plan;
    const struct reply_errors_conf *errors = &work->draft->errors;
    const struct reply_dialect_conf *own = errors->dialects.items;
    const struct config_node *node = config_find(work->load->doc->root, "errors");
    const struct config_node *fallback = config_find(node, "default");
    size_t room = REPLY_DIALECTS + (size_t)errors->dialects.count;
    plan->dialects = arena_take_zeroed(&plan->arena, room * sizeof(*plan->dialects));
    if (plan->dialects == NULL) {
        config_out_of_memory(work->load->doc);
        return;
    }
    for (unsigned i = 0; i < REPLY_DIALECTS; i++) {
        const struct reply_dialect_conf conf = {
            .name = span_of(REPLY_DIALECT_NAMES[i]), .like = i, .with_request_id = true};
        add_dialect(work, &conf, NULL);
    }
    for (unsigned i = 0; i < errors->dialects.count; i++)
        add_dialect(work, &own[i], errors->dialects.nodes[i]);
    plan->errors = &plan->dialects[REPLY_DIALECT_APIG];
    if (fallback != NULL)
        plan->errors = plan_find_dialect(work, fallback);
}
