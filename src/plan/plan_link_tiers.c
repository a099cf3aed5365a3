/* SPDX-License-Identifier: Apache-2.0 */
/* plan_link_tiers.c - quotas whose limits depend on the subject.  Takes: tiers and lists of subjects as written.  Gives:
 * for each such quota one struct quota per tier, and a table from subjects to tiers.  Never: keeps what members were
 * written as. */
#include "config/config_decode.h"
#include "identity/identity_subject.h"
#include "plan/plan_draft.h"
#include "quota/quota_conf.h"
#include "quota/quota_tier.h"

/* The lists of one quota, being read. */
struct reading {
    struct plan_work *work;
    const struct quota *quota;
    const struct config_node *node;
    struct quota_tiers *tiers;
};

void plan_link_tier_names(struct plan_work *work)
{
    const struct quota_tier_draft *tiers = work->draft->tiers.items;
    for (unsigned i = 0; i < work->draft->tiers.count; i++)
        plan_name_add(work, &work->names.tiers, tiers[i].name, i, work->draft->tiers.nodes[i],
                      "tier");
}

static int find_tier(struct plan_work *work, struct span name, const struct config_node *at)
{
    const struct quota_tier_draft *tiers = work->draft->tiers.items;
    int index = plan_name_find(&work->names.tiers, name);
    struct config_near near = config_near_to(name);
    const bool is_sought = index < 0 && work->load->doc->report->errors < CONFIG_NEAR_MAX;
    for (unsigned i = 0; is_sought && i < work->draft->tiers.count; i++)
        config_near_try(&near, tiers[i].name, false);
    if (index < 0)
        config_error(work->load->doc, at, "no tier has the name %s%s", config_quote(name).text,
                     config_suggestion(&near).text);
    return index;
}

/* ---- members ---- */

static void add_member(struct reading *reading, const struct config_node *node,
                       const uint8_t mac[IDENTITY_KEY_BYTES], uint8_t tier)
{
    int other = quota_members_add(reading->tiers, mac, tier);
    if (other == tier)
        config_error(reading->work->load->doc, node, "listed twice");
    else if (other >= 0)
        config_error(reading->work->load->doc, node,
                     "this subject is a member of the tier %s already",
                     config_quote(reading->tiers->tiers[other].name).text);
}

/* One source that is shown in clear.  An address names whoever has it, and nobody else who calls himself so. */
static const char *add_clear(struct reading *reading, const struct config_node *node,
                             const struct identity *identity, const struct identity_source *source,
                             struct span text, uint8_t tier)
{
    struct plan_work *work = reading->work;
    struct identity_value value;
    uint8_t mac[IDENTITY_KEY_BYTES];
    const char *sentence =
        identity_subject_value(&value, identity, source, text, &work->load->doc->arena);
    if (sentence != NULL)
        return sentence;
    if (identity_mac(work->draft->plan.secret, &value, 1, mac) != ERR_OK)
        config_out_of_memory(work->load->doc);
    else
        add_member(reading, node, mac, tier);
    return NULL;
}

/* The text as each identity of the key would give it.  NULL, or why none does. */
static const char *add_subject(struct reading *reading, const struct config_node *node,
                               struct span text, uint8_t tier)
{
    static const struct identity_source address = {.kind = IDENTITY_IP};
    const struct plan *plan = &reading->work->draft->plan;
    const char *sentence = "no part of the quota's key is shown in clear; write \"hash:\" and what "
                           "`sluice hash` prints";
    struct ip_net net;
    struct ip ip;
    bool is_address = ip_parse(&ip, text) || ip_net_parse(&net, text), is_added = false;
    for (unsigned i = 0; i < reading->quota->key_count; i++) {
        const struct identity *identity = &plan->identities[reading->quota->key[i]];
        bool has_ip = identity->missing == IDENTITY_MISSING_IP;
        for (unsigned j = 0; j < identity->from_count; j++)
            has_ip = has_ip || identity->from[j].kind == IDENTITY_IP;
        for (unsigned j = 0; j <= identity->from_count; j++) {
            bool is_ip = j == identity->from_count;
            const struct identity_source *source = is_ip ? &address : &identity->from[j];
            if (is_ip ? !has_ip : source->kind == IDENTITY_IP || (is_address && has_ip))
                continue;
            if (!identity_is_clear(source->kind))
                continue;
            const char *fault = add_clear(reading, node, identity, source, text, tier);
            is_added = is_added || fault == NULL;
            if (fault != NULL && (!is_ip || identity->from[0].kind == IDENTITY_IP))
                sentence = fault;
        }
    }
    return is_added ? NULL : sentence;
}

static void add_text(struct reading *reading, const struct config_node *node, uint8_t tier)
{
    uint8_t mac[IDENTITY_KEY_BYTES];
    struct config_load *load = reading->work->load;
    struct span text = SPAN_NONE;
    const char *sentence = NULL;
    if (!config_decode_text(node->token, &load->doc->arena, &text)) {
        config_out_of_memory(load->doc);
        return;
    }
    if (identity_subject_hash(text, mac))
        add_member(reading, node, mac, tier);
    else if (span_starts_with(text, SPAN(IDENTITY_HASH_PREFIX)))
        sentence = "behind \"hash:\" stand 22 characters, as `sluice hash` prints them";
    else
        sentence = add_subject(reading, node, text, tier);
    if (sentence != NULL)
        config_error(load->doc, node, "%s: %s", config_quote(text).text, sentence);
}

/* Room for `count` members under every source that may show them. */
static bool make_room(struct reading *reading, const struct config_node *members, uint64_t count)
{
    const struct plan *plan = &reading->work->draft->plan;
    struct config_load *load = reading->work->load;
    uint64_t sources = 1;
    for (unsigned i = 0; i < reading->quota->key_count; i++)
        sources += plan->identities[reading->quota->key[i]].from_count;
    if (count > QUOTA_MEMBERS_MAX) {
        config_error(load->doc, members, "at most %u members are allowed, found %llu",
                     QUOTA_MEMBERS_MAX, (unsigned long long)count);
        return false;
    }
    uint32_t room = quota_members_room((uint32_t)(count * sources));
    reading->tiers->members = arena_take_zeroed(load->arena, room * sizeof(struct quota_member));
    reading->tiers->mask = room - 1;
    if (reading->tiers->members == NULL)
        config_out_of_memory(load->doc);
    return reading->tiers->members != NULL;
}

static void link_members(struct reading *reading)
{
    const struct config_node *members = config_find(reading->node, "members");
    uint64_t count = 0;
    if (members != NULL && span_eq(members->token, SPAN("\"" QUOTA_CONF_LIVE "\""))) {
        reading->tiers->is_live = true;
        if (reading->work->draft->plan.store_is_memory)
            config_error(reading->work->load->doc, members,
                         "members live in Redis: only with a store of \"type\": \"redis\"");
        return;
    }
    CONFIG_EACH(list, members)
    {
        count += list->child_count;
    }
    if (members == NULL || members->kind != CONFIG_KIND_OBJECT ||
        !make_room(reading, members, count))
        return;
    CONFIG_EACH(list, members)
    {
        int tier = list->is_duplicate ? -1 : find_tier(reading->work, list->key, list);
        if (tier < 0 || list->kind != CONFIG_KIND_ARRAY)
            continue;
        CONFIG_EACH(member, list)
        {
            if (member->kind == CONFIG_KIND_STRING)
                add_text(reading, member, (uint8_t)tier);
        }
    }
}

/* Which addresses are exempt. */
static void link_exempt_addresses(struct plan_work *work, struct quota_exempt *exempt,
                                  const struct config_node *node)
{
    unsigned count = exempt->net_count;
    if (count == 0)
        return;
    struct ip_marked *nets = arena_take(work->load->arena, count * sizeof(*nets));
    for (unsigned i = 0; nets != NULL && i < count; i++)
        nets[i] = (struct ip_marked){exempt->nets[i], 1};
    const struct ip_net *twice = nets == NULL ? NULL : ip_ranges_twice(nets, count);
    if (twice != NULL) {
        char text[IP_TEXT_MAX + 1];
        text[ip_format(text, &twice->ip)] = '\0';
        config_error(work->load->doc, config_find(config_find(node, "exempt"), "addresses"),
                     "the network of %s stands here twice", text);
    } else if (nets == NULL ||
               ip_ranges_make(&exempt->addresses, nets, count, 0, work->load->arena) != ERR_OK) {
        config_out_of_memory(work->load->doc);
    }
}

/* Who is exempt: members of the one tier of a table of their own. */
static void link_exempt(struct plan_work *work, struct quota *quota, const struct config_node *node)
{
    static const struct quota_tier exempt = {{"exempt", 6}, NULL};
    const struct config_node *subjects = config_find(config_find(node, "exempt"), "subjects");
    if (subjects == NULL || subjects->kind != CONFIG_KIND_ARRAY)
        return;
    struct quota_tiers *tiers = arena_take_zeroed(work->load->arena, sizeof(*tiers));
    struct reading reading = {work, quota, node, tiers};
    if (tiers == NULL) {
        config_out_of_memory(work->load->doc);
        return;
    }
    tiers->tiers = &exempt;
    tiers->count = 1;
    if (!make_room(&reading, subjects, subjects->child_count))
        return;
    CONFIG_EACH(subject, subjects)
    {
        if (subject->kind == CONFIG_KIND_STRING)
            add_text(&reading, subject, 0);
    }
    quota->exempt.subjects = tiers;
}

/* ---- quotas ---- */

/* The quota once for each tier; NULL when out of memory. */
static struct quota_tiers *make_tiers(struct plan_work *work, const struct quota *quota,
                                      const struct config_node *node)
{
    const struct quota_tier_draft *drafts = work->draft->tiers.items;
    unsigned count = work->draft->tiers.count;
    struct arena *arena = work->load->arena;
    struct quota_tiers *tiers = arena_take_zeroed(arena, sizeof(*tiers));
    struct quota_tier *rows = arena_take_zeroed(arena, count * sizeof(*rows));
    struct quota *quotas = arena_take_zeroed(arena, count * sizeof(*quotas));
    if (tiers == NULL || rows == NULL || quotas == NULL) {
        config_out_of_memory(work->load->doc);
        return NULL;
    }
    for (unsigned i = 0; i < count; i++) {
        rows[i].name = drafts[i].name;
        if (drafts[i].is_unlimited)
            continue;
        quotas[i] = *quota;
        quotas[i].limit_count = drafts[i].limits.limit_count;
        memcpy(quotas[i].limits, drafts[i].limits.limits, sizeof(quotas[i].limits));
        if (drafts[i].limits.in_flight != 0)
            quotas[i].in_flight = drafts[i].limits.in_flight;
        rows[i].quota = &quotas[i];
        const char *sentence = quota_conf_fault(&quotas[i]);
        if (sentence != NULL)
            config_error(work->load->doc, node, "tier %s: %s", config_quote(rows[i].name).text,
                         sentence);
    }
    tiers->tiers = rows;
    tiers->count = (uint8_t)count;
    return tiers;
}

static void link_tiers(struct plan_work *work, struct quota *quota, const struct quota_draft *draft,
                       const struct config_node *node)
{
    struct config_doc *doc = work->load->doc;
    const struct config_node *otherwise = config_find(node, "default_tier");
    if (otherwise == NULL || draft->default_tier.len == 0) {
        if (otherwise == NULL)
            config_missing_error(doc, node,
                                 "\"default_tier\" is missing: the tier of who is no member");
        return;
    }
    int index = find_tier(work, draft->default_tier, otherwise);
    struct quota_tiers *tiers = make_tiers(work, quota, node);
    if (tiers == NULL)
        return;
    struct reading reading = {work, quota, node, tiers};
    tiers->otherwise = (uint8_t)(index < 0 ? 0 : index);
    link_members(&reading);
    quota->tiers = tiers;
}

void plan_link_tiers(struct plan_work *work)
{
    static const char *const keys[] = {"default_tier", "members"};
    struct plan *plan = &work->draft->plan;
    const struct quota_draft *drafts = work->draft->quotas.items;
    for (unsigned i = 0; i < plan->quota_count; i++) {
        const struct config_node *node = work->draft->quotas.nodes[i];
        link_exempt_addresses(work, &plan->quotas[i].exempt, node);
        link_exempt(work, &plan->quotas[i], node);
        if (drafts[i].is_by_tier)
            link_tiers(work, &plan->quotas[i], &drafts[i], node);
        for (unsigned k = 0; k < 2 && !drafts[i].is_by_tier; k++) {
            const struct config_node *at = config_find(node, keys[k]);
            if (at != NULL)
                config_key_error(work->load->doc, at, "only with \"limits\": \"tier\"");
        }
    }
}
