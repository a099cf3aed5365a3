/* SPDX-License-Identifier: Apache-2.0 */
/* plan_build.c - takes: the file's text.  Gives: a plan or its faults.  Never: leaves anything behind
 * when it fails. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base_fmt.h"
#include "config/config_hide.h"
#include "plan/plan_draft.h"
#include "store/store_redis_directives.h"

#define PLAN_BYTES_MAX ((size_t)1 << 30)
#define HOST_BYTES_MAX 64

static struct plan_draft *draft_of(struct plan *plan)
{
    return (struct plan_draft *)(void *)plan; /* its first member */
}

static void draft_free(struct plan_draft *draft)
{
    if (draft == NULL)
        return;
    route_table_free(draft->plan.route_table);
    identity_secret_free(draft->plan.secret);
    for (unsigned i = 0; i < draft->plan.identity_count; i++)
        identity_jwt_free((struct identity_jwt *)(uintptr_t)draft->plan.identities[i].jwt);
    for (unsigned i = 0; i < draft->plan.listener_count; i++)
        net_tls_server_free(draft->plan.listeners[i].tls);
    for (unsigned i = 0; i < draft->plan.upstream_count; i++)
        net_tls_free(draft->plan.upstreams[i].tls);
    arena_fini(&draft->plan.arena);
    free(draft);
}

struct plan *plan_ref(struct plan *plan)
{
    atomic_fetch_add_explicit(&plan->refs, 1, memory_order_relaxed);
    return plan;
}

void plan_unref(struct plan **plan)
{
    if (*plan != NULL && atomic_fetch_sub_explicit(&(*plan)->refs, 1, memory_order_acq_rel) == 1) {
        if ((*plan)->living != NULL)
            atomic_fetch_sub_explicit((*plan)->living, 1, memory_order_relaxed);
        draft_free(draft_of(*plan));
    }
    *plan = NULL;
}

void plan_count_in(struct plan *plan, atomic_uint *living)
{
    plan->living = living;
    atomic_fetch_add_explicit(living, 1, memory_order_relaxed);
}

/* The host's name as far as it can stand in a header. */
static bool take_host_name(struct plan *plan)
{
    char name[HOST_BYTES_MAX + 1] = {0};
    if (plan->request_id_host.len != 0)
        return true;
    if (gethostname(name, HOST_BYTES_MAX) != 0 || name[0] == '\0')
        strcpy(name, "localhost");
    for (char *at = name; *at != '\0'; at++) {
        if (!http_is_token((struct span){at, 1}))
            *at = '-';
    }
    plan->request_id_host = arena_copy(&plan->arena, span_of(name));
    return plan->request_id_host.ptr != NULL;
}

/* The fleet's secret; without one it is derived from the prefix, so that a fleet agrees anyway. */
static bool take_secret(struct plan_draft *draft)
{
    struct plan *plan = &draft->plan;
    struct span prefix =
        plan->redis.prefix.len != 0 ? plan->redis.prefix : SPAN(STORE_REDIS_PREFIX);
    struct span secret = draft->subject_secret;
    if (secret.len == 0)
        secret = arena_printf(&plan->arena, "sluice subject secret of prefix %.*s", (int)prefix.len,
                              prefix.ptr);
    plan->secret = secret.ptr == NULL ? NULL : identity_secret_new(secret);
    if (plan->secret == NULL)
        return false;

    /* No source gives a host a name, so no subject shares this value. */
    struct identity_value value = {.kind = IDENTITY_HOST, .source_name = SPAN("fingerprint")};
    uint8_t mac[IDENTITY_KEY_BYTES];
    char text[IDENTITY_TEXT_LEN];
    if (identity_mac(plan->secret, &value, 1, mac) != ERR_OK)
        return false;
    fmt_base64url(text, mac, sizeof(mac));
    plan->redis.secret_fingerprint = arena_copy(&plan->arena, (struct span){text, sizeof(text)});
    return plan->redis.secret_fingerprint.ptr != NULL;
}

static const struct route_rule *first_rule(const struct plan *plan)
{
    return plan->route_count == 0 ? NULL : plan->routes[0].rule; /* they stand in one array */
}

/* What is made once everything is known to be right; false when out of memory. */
static bool finish(struct plan_work *work, struct span text)
{
    struct plan_draft *draft = work->draft;
    struct plan *plan = &draft->plan;
    plan->route_table = route_table_new(first_rule(plan), plan->route_count);
    draft->text = arena_copy(&plan->arena, text);
    draft->secrets = work->load->secrets;
    /* Nodes go with the file. */
    draft->listeners.nodes = draft->upstreams.nodes = draft->identities.nodes = NULL;
    draft->tiers.nodes = draft->quotas.nodes = draft->routes.nodes = NULL;
    draft->errors.dialects.nodes = NULL;
    return plan->route_table != NULL && draft->text.ptr != NULL && take_host_name(plan);
}

static void names_init(struct plan_names *names)
{
    map_init(&names->listeners);
    map_init(&names->upstreams);
    map_init(&names->identities);
    map_init(&names->sources);
    map_init(&names->tiers);
    map_init(&names->quotas);
    map_init(&names->routes);
    map_init(&names->dialects);
}

static void names_fini(struct plan_names *names)
{
    map_fini(&names->listeners);
    map_fini(&names->upstreams);
    map_fini(&names->identities);
    map_fini(&names->sources);
    map_fini(&names->tiers);
    map_fini(&names->quotas);
    map_fini(&names->routes);
    map_fini(&names->dialects);
}

static bool build(struct plan_work *work, struct span text)
{
    struct config_doc *doc = work->load->doc;
    if (doc->root == NULL)
        return false;
    names_init(&work->names);
    config_load_table(work->load, &PLAN_TABLE, doc->root, work->draft);
    /* Members are looked for by their macs. */
    if (!doc->report->is_out_of_memory && !take_secret(work->draft))
        doc->report->is_out_of_memory = true;
    if (!doc->report->is_out_of_memory)
        plan_link(work);
    if (!doc->report->is_out_of_memory)
        plan_check(work);
    names_fini(&work->names);
    if (doc->report->errors != 0 || doc->report->is_out_of_memory)
        return false;
    if (!finish(work, text))
        doc->report->is_out_of_memory = true;
    return !doc->report->is_out_of_memory;
}

static void fill_report(struct plan_report *report, struct config_report *found, struct span name,
                        struct span text)
{
    if (found->note_count != 0)
        config_hide_secrets(found, &PLAN_TABLE, text);
    *report = (struct plan_report){.errors = found->errors,
                                   .secret_errors = found->secret_errors,
                                   .warnings = found->warnings};
    report->text = config_report_text(found, name, text);
    report->json = config_report_json(found, name, text);
    if (!found->is_out_of_memory)
        return;
    report->errors++;
    free(report->text);
    report->text = strdup("error: there is no memory to read the configuration\n");
}

struct plan *plan_build(const struct plan_file *file, plan_read_fn read, void *arg,
                        struct metrics_registry *registry, uint32_t generation,
                        struct plan_report *report)
{
    struct plan_draft *draft = calloc(1, sizeof(*draft));
    if (draft == NULL) {
        *report = (struct plan_report){.errors = 1};
        return NULL;
    }
    struct plan *plan = &draft->plan;
    atomic_init(&plan->refs, 1);
    plan->generation = generation;
    arena_init(&plan->arena, NULL, 0, PLAN_BYTES_MAX);

    /* The reader may move the array that `file` stands in. */
    struct span name = file->name, text = file->text.ptr == NULL ? SPAN("") : file->text;
    struct config_report found;
    struct config_doc doc;
    struct config_load load;
    config_report_init(&found);
    config_doc_init(&doc, &found, text);
    config_load_init(&load, &doc, &plan->arena, read, arg);
    struct plan_work work = {.draft = draft, .load = &load, .registry = registry};
    if (registry != NULL)
        metrics_registry_begin(registry);
    bool is_good = build(&work, text);
    fill_report(report, &found, name, text);
    config_doc_fini(&doc);
    config_report_fini(&found);
    if (is_good)
        return plan;
    draft_free(draft);
    return NULL;
}

void plan_report_fini(struct plan_report *report)
{
    free(report->text);
    free(report->json);
    *report = (struct plan_report){0};
}
