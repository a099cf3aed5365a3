/* SPDX-License-Identifier: Apache-2.0 */
/* plan_link_quotas.c - quotas and the identities they count by.  Takes: keys as written.  Gives: indices
 * of identities; a source that is written directly becomes an identity of that name. */
#include "identity/identity_conf.h"
#include "plan/plan_draft.h"
#include "quota/quota_conf.h"

_Static_assert(QUOTA_KEY_MAX <= IDENTITY_VALUES_MAX, "a whole key fits one subject");

/* Neither an identity nor a source: say which name was meant. */
static void fault_key(struct plan_work *work, const struct config_node *node, struct span text,
                      const char *sentence)
{
    struct config_doc *doc = work->load->doc;
    const struct plan *plan = &work->draft->plan;
    struct span head = {text.ptr, span_find(text, ':')};
    struct config_near near = config_near_to(head);
    bool is_source = false;
    for (const char *const *kind = IDENTITY_CONF_KINDS; *kind != NULL; kind++) {
        is_source = is_source || span_eq(head, span_of(*kind));
        config_near_try(&near, span_of(*kind), false);
    }
    for (unsigned i = 0; i < work->draft->identities.count && doc->report->errors < CONFIG_NEAR_MAX;
         i++)
        config_near_try(&near, plan->identities[i].name, false);
    if (is_source)
        config_error(doc, node, "%s: %s", config_quote(text).text, sentence);
    else
        config_error(doc, node, "no identity or source %s%s", config_quote(text).text,
                     config_suggestion(&near).text);
}

int plan_link_key(struct plan_work *work, const struct config_node *node)
{
    struct plan *plan = &work->draft->plan;
    struct span text = config_text(work->load, node);
    if (text.len == 0)
        return -1;
    int index = plan_name_find(&work->names.identities, text);
    if (index < 0)
        index = plan_name_find(&work->names.sources, text);
    if (index >= 0)
        return index;

    struct identity *identity = &plan->identities[plan->identity_count];
    identity_conf_init(identity, text);
    const char *sentence = identity_conf_add_source(identity, text, work->load->arena);
    if (sentence == NULL && identity->from[0].kind == IDENTITY_JWT)
        sentence = "a token needs an identity with \"keys\"";
    if (sentence != NULL) {
        fault_key(work, node, text, sentence);
        return -1;
    }
    index = (int)plan->identity_count++;
    plan_name_add(work, &work->names.sources, text, (unsigned)index, node, "source");
    return index;
}

static void link_keys(struct plan_work *work, struct quota *quota, const struct config_node *node)
{
    const struct config_node *keys = config_find(node, "key");
    if (keys == NULL || keys->kind != CONFIG_KIND_ARRAY || keys->child_count > QUOTA_KEY_MAX)
        return; /* told already */
    CONFIG_EACH(child, keys)
    {
        int index = child->kind == CONFIG_KIND_STRING ? plan_link_key(work, child) : -1;
        if (index < 0)
            continue;
        for (unsigned i = 0; i < quota->key_count; i++) {
            if (quota->key[i] == index)
                config_error(work->load->doc, child, "listed twice");
        }
        quota->key[quota->key_count++] = (uint16_t)index;
    }
}

static metrics_slot decision_slot(const struct plan_work *work, struct span quota,
                                  const char *decision)
{
    return plan_slot(work, METRICS_FAMILY_QUOTA_DECISIONS, quota, span_of(decision));
}

/* What a quota in shadow would do is counted of the quota as a whole. */
static void link_window_slots(struct plan_work *work, struct quota *quota)
{
    for (unsigned w = 0; w < quota->limit_count; w++) {
        char text[QUOTA_WINDOW_TEXT_MAX];
        quota->slot_window_refused[w] = quota->slot_window_near[w] = METRICS_SLOT_NONE;
        if (quota->mode == QUOTA_SHADOW)
            continue;
        struct span window = {text, quota_window_text(text, &quota->limits[w], false)};
        quota->slot_window_refused[w] =
            plan_slot(work, METRICS_FAMILY_QUOTA_REFUSED, quota->name, window);
        quota->slot_window_near[w] =
            plan_slot(work, METRICS_FAMILY_QUOTA_NEAR, quota->name, window);
    }
}

void plan_link_quotas(struct plan_work *work)
{
    struct plan *plan = &work->draft->plan;
    const struct quota_draft *drafts = work->draft->quotas.items;
    unsigned count = work->draft->quotas.count;
    plan->quotas = arena_take_zeroed(&plan->arena, (size_t)count * sizeof(*plan->quotas));
    if (plan->quotas == NULL) {
        config_out_of_memory(work->load->doc);
        return;
    }
    plan->quota_count = count;
    for (unsigned i = 0; i < plan->quota_count; i++) {
        struct quota *quota = &plan->quotas[i];
        const struct config_node *node = work->draft->quotas.nodes[i];
        *quota = drafts[i].quota;
        plan_name_add(work, &work->names.quotas, quota->name, i, node, "quota");
        identity_quota_id(quota->name, quota->id);
        if (config_find(node, "on_failure") == NULL)
            quota->on_failure = plan->store_is_memory ? QUOTA_FAIL_LOCAL : plan->redis.on_failure;
        link_keys(work, quota, node);
        bool is_shadow = quota->mode == QUOTA_SHADOW;
        quota->slot_allow = decision_slot(work, quota->name, is_shadow ? "shadow_allow" : "allow");
        quota->slot_refuse =
            decision_slot(work, quota->name, is_shadow ? "shadow_refuse" : "refuse");
        quota->slot_degraded =
            decision_slot(work, quota->name, is_shadow ? "shadow_skipped" : "degraded");
        quota->is_folded = plan_slot_is_folded(work, quota->slot_allow);
        quota->slot_top_missing =
            is_shadow || quota->is_folded
                ? METRICS_SLOT_NONE
                : plan_slot(work, METRICS_FAMILY_QUOTA_TOP_MISSING, quota->name, SPAN_NONE);
        link_window_slots(work, quota);
    }
}
