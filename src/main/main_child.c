/* SPDX-License-Identifier: Apache-2.0 */
/* main_child.c - start, orders and end of the serving process.
 *
 *   parent -- channel --> main thread -- mail --> worker 0..N-1
 *                         |  admin socket, metrics page
 *                         '- log writer thread
 *
 * Takes: struct main_child_env.  Gives: an exit code.  Never handles a signal: orders come by the channel. */
#include "main/main_child.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/base_clock.h"
#include "base/base_fmt.h"
#include "base/base_log.h"
#include "client/client_addresses.h"
#include "exchange/exchange_verified.h"
#include "lease/lease.h"
#include "loop/loop.h"
#include "main/main_ask.h"
#include "main/main_channel.h"
#include "main/main_drain.h"
#include "main/main_exit.h"
#include "main/main_level.h"
#include "main/main_memory.h"
#include "main/main_pulse.h"
#include "main/main_report.h"
#include "plan/plan_difference.h"
#include "plan/plan_names.h"
#include "upstream/upstream_check.h"
#include "upstream/upstream_places.h"
#include "worker/worker.h"

#define CHILD_NAMES_US       1000000 /* that a start or a reload waits for name servers */
#define CHILD_NAMES_AGAIN_US 200000  /* one that takes the place of a serving process that died */
#define CHILD_REASON_MAX     2048

/* Owner: main_child_run.  Thread: the main thread, but for the two counters. */
struct child {
    struct main_child_env *env;
    struct plan *plan;
    struct metrics_registry *registry;
    struct metrics_block *metrics;
    struct loop *loop;
    struct net_lookups *lookups;
    struct lease *lease;
    struct admin *admin;
    struct worker **workers;
    struct event *channel_event;
    struct loop_timer fold_timer, level_timer;
    struct main_level level;
    struct main_memory memory;
    struct main_pulse pulse;
    struct main_drain drain;
    char *buffer; /* of the channel */
    int *fresh;   /* descriptors of the APPLY to come */
    unsigned fresh_count;
    uint64_t started_at_us, config_hash;
    bool is_stale;
    atomic_uint plans;   /* that are in use */
    unsigned unfinished; /* connections, when the drain was over */
    bool is_log_on;
    int exit_code;
    enum admin_reload_result reload;
    uint64_t reload_at_us;
    char *reload_text;
    atomic_uint connections;
    _Atomic uint64_t head_bytes, body_bytes;
    struct client_addresses *addresses;
    struct exchange_verified *verified;
    struct upstream_places *places;
    struct upstream_health *health;
    struct upstream_checker *checker;
};

static bool child_say(struct child *child, enum main_message_kind kind, uint32_t ticket,
                      struct span text)
{
    struct main_message message = {.kind = kind, .ticket = ticket, .text = text};
    enum err err = main_channel_send(child->env->channel, &message);
    if (err != ERR_OK)
        log_error("the parent cannot be told: %s", err_sentence(err));
    return err == ERR_OK;
}

/* --- the plan ------------------------------------------------------------------------------------ */

static struct plan *child_build(struct child *child, struct main_bundle *bundle,
                                uint32_t generation)
{
    struct plan_report report = {0};
    bundle->is_sealed = true;
    struct plan *plan = plan_build(&bundle->files[0], main_bundle_fetch, bundle, child->registry,
                                   generation, &report);
    plan_report_fini(&report);
    if (plan != NULL && plan->limits.connections_max > child->env->connections_cap)
        plan->limits.connections_max = child->env->connections_cap;
    if (plan != NULL) {
        plan_count_in(plan, &child->plans);
        plan_find_names(plan, child->plan, child->lookups,
                        child->plan == NULL && child->env->restarts != 0 ? CHILD_NAMES_AGAIN_US
                                                                         : CHILD_NAMES_US);
    }
    return plan;
}

/* The descriptors of one worker; malloc'ed. */
static int *child_listeners(const struct main_sockets *sockets, const struct plan *plan,
                            unsigned worker)
{
    int *fds = calloc(plan->listener_count + 1, sizeof(*fds));
    for (unsigned i = 0; fds != NULL && i < plan->listener_count; i++)
        fds[i] = sockets->list[i].fds[worker];
    return fds;
}

/* --- reload -------------------------------------------------------------------------------------- */

/* The end of a reload as an event line: what changed, or the errors. */
static void child_reload_event(struct child *child, bool is_applied, struct span text)
{
    char json[LOOP_LOG_EVENT_MAX], *at = json, *end = json + CHILD_REASON_MAX;
    bool is_cut = false, has_bytes = false;
    struct span rest = text, line = SPAN_NONE;
    at = is_applied ? FMT_LIT(at, "\"event\":\"reload\",\"gen\":")
                    : FMT_LIT(at, "\"event\":\"reload_refused\",\"gen\":");
    at = fmt_u64(at, child->plan->generation);
    at = is_applied ? FMT_LIT(at, ",\"changes\":\"") : FMT_LIT(at, ",\"reason\":\"");
    if (is_applied)
        at = fmt_json_text(at, end, text, &is_cut, &has_bytes);
    for (bool is_first = true; !is_applied && main_report_next(&rest, &line); is_first = false) {
        if (!is_first)
            at = fmt_json_text(at, end, SPAN("\n"), &is_cut, &has_bytes);
        at = fmt_json_text(at, end, line, &is_cut, &has_bytes);
    }
    at = FMT_LIT(at, "\"");
    *at = '\0';
    loop_log_event(child->env->log, json);
}

static void child_set_stale(struct child *child, bool is_stale)
{
    child->is_stale = is_stale;
    metrics_set(child->metrics, METRICS_CONFIG_STALE, is_stale);
}

static void child_count_plans(struct child *child)
{
    metrics_set(child->metrics, METRICS_GENERATIONS_ALIVE,
                atomic_load_explicit(&child->plans, memory_order_relaxed));
}

static void child_tell_reload(struct child *child)
{
    bool was_refused = child->reload == ADMIN_RELOAD_REFUSED;
    uint64_t at_us = child->reload == ADMIN_RELOAD_NONE ? child->env->service_started_at_us
                                                        : child->reload_at_us;
    metrics_set(child->metrics, METRICS_CONFIG_GENERATION, child->plan->generation);
    metrics_set(child->metrics, METRICS_CONFIG_RELOAD_SUCCESS, !was_refused);
    metrics_set(child->metrics, METRICS_CONFIG_RELOAD_TIME, at_us / 1000000);
    child_count_plans(child);
}

/* What a serving process before this one has seen of reloads. */
static void child_remember_reload(struct child *child)
{
    const struct main_child_env *env = child->env;
    child->reload_at_us = env->reload_ended_us;
    if (env->reload_ended_us != 0)
        child->reload = env->was_reload_refused ? ADMIN_RELOAD_REFUSED : ADMIN_RELOAD_APPLIED;
    child_set_stale(child, env->is_stale);
    child_tell_reload(child);
}

/* difference: as JSON, NULL when it was refused. */
static void child_reload_ended(struct child *child, uint32_t ticket, struct span text,
                               const char *difference)
{
    const bool is_applied = difference != NULL;
    child->reload = is_applied ? ADMIN_RELOAD_APPLIED : ADMIN_RELOAD_REFUSED;
    child->reload_at_us = clock_wall_us();
    free(child->reload_text);
    child->reload_text = strndup(text.ptr == NULL ? "" : text.ptr, text.len);
    metrics_add(child->metrics, is_applied ? METRICS_RELOADS_APPLIED : METRICS_RELOADS_REFUSED, 1);
    child_tell_reload(child);
    child_reload_event(child, is_applied, text);
    admin_reload_answer(child->admin, ticket, child->plan->generation, text, difference);
}

/* The first `count` workers, which are prepared. */
static void child_settle_workers(struct child *child, unsigned count, bool is_wanted)
{
    for (unsigned i = 0; i < count; i++)
        worker_settle(child->workers[i], is_wanted);
}

/* All of them or none. */
static enum err child_prepare_workers(struct child *child, struct plan *plan,
                                      const struct main_sockets *sockets)
{
    for (unsigned i = 0; i < child->env->workers; i++) {
        struct worker_listeners listeners = {plan->listener_count,
                                             child_listeners(sockets, plan, i)};
        enum err err =
            listeners.fds == NULL ? ERR_NOMEM : worker_prepare(child->workers[i], plan, &listeners);
        free(listeners.fds);
        if (err != ERR_OK) {
            child_settle_workers(child, i, false);
            return err;
        }
    }
    return ERR_OK;
}

static void child_check_servers(struct child *child)
{
    if (upstream_checker_serve(child->checker, child->plan->upstreams,
                               child->plan->upstream_count) != ERR_OK)
        log_error("out of memory: servers are checked as the configuration before said");
}

static void child_settle_metrics(struct child *child)
{
    unsigned folded = metrics_registry_settle(child->registry);
    metrics_set(child->metrics, METRICS_SERIES_FOLDED, folded);
    if (folded != 0)
        log_warn("%u series of metrics are not shown one by one: see the limits in docs/metrics.md",
                 folded);
}

static void child_adopt_plan(struct child *child, struct plan **plan, struct main_bundle *bundle,
                             struct main_sockets *sockets)
{
    main_sockets_replace(&child->env->sockets, sockets, false);
    plan_unref(&child->plan);
    child->plan = *plan;
    *plan = NULL;
    main_bundle_fini(&child->env->bundle);
    child->env->bundle = *bundle;
    *bundle = (struct main_bundle){0};
    child->env->generation = child->plan->generation;
    child->config_hash = main_bundle_hash(&child->env->bundle);
    child_check_servers(child);
    loop_timer_cancel(&child->level_timer);
    main_level_configure(&child->level, child->plan->log_level);
    loop_log_set_generation(child->env->log, child->plan->generation);
    child_settle_metrics(child);
}

/* NULL when the new plan is in force, else why it is not, and nothing has changed. */
static const char *child_apply(struct child *child, const struct main_message *message,
                               struct plan_difference *difference)
{
    struct main_bundle bundle = {0};
    struct main_sockets sockets = {0};
    struct plan *plan = NULL;
    const char *fault = "the new configuration did not arrive";
    unsigned fresh_count = child->fresh_count;
    child->fresh_count = 0;
    if (message->fd_count > 0 && main_bundle_unpack(&bundle, message->fds[0]) == ERR_OK)
        plan = child_build(child, &bundle, message->value);
    loop_read_clocks(child->loop); /* name servers may have kept us waiting */
    enum err adopted = ERR_INVALID;
    if (plan != NULL)
        adopted = main_sockets_adopt(&sockets, &child->env->sockets, plan, child->env->workers,
                                     child->fresh, fresh_count);
    else
        while (fresh_count > 0)
            close(child->fresh[--fresh_count]);
    if (adopted != ERR_OK)
        goto out;
    fault = "out of memory";
    if (!plan_difference_make(difference, child->plan, plan) ||
        child_prepare_workers(child, plan, &sockets) != ERR_OK)
        goto out;
    bool is_wanted = loop_log_retarget(child->env->log, &plan->log) == ERR_OK;
    child_settle_workers(child, child->env->workers, is_wanted);
    fault = "a log file cannot be opened";
    if (!is_wanted)
        goto out;
    child_adopt_plan(child, &plan, &bundle, &sockets);
    fault = NULL;
out:
    if (fault != NULL)
        main_sockets_abandon(&sockets);
    plan_unref(&plan);
    main_bundle_fini(&bundle);
    return fault;
}

static void child_on_apply(struct child *child, const struct main_message *message)
{
    struct plan_difference difference = {0};
    const char *fault = child_apply(child, message, &difference);
    if (message->fd_count > 0)
        close(message->fds[0]);
    if (fault == NULL) {
        log_info("generation %u is in force", (unsigned)child->plan->generation);
        child_set_stale(child, false);
        child_reload_ended(child, message->ticket, span_of(difference.text), difference.json);
        (void)child_say(child, MAIN_MESSAGE_APPLIED, message->ticket, SPAN_NONE);
    } else {
        log_error("reload refused: %s", fault);
        child_reload_ended(child, message->ticket, span_of(fault), NULL);
        (void)child_say(child, MAIN_MESSAGE_FAULT, message->ticket, span_of(fault));
    }
    plan_difference_fini(&difference);
}

static void child_on_sockets(struct child *child, const struct main_message *message)
{
    int *fds = realloc(child->fresh, (child->fresh_count + message->fd_count) * sizeof(*fds));
    for (unsigned i = 0; i < message->fd_count; i++) {
        if (fds == NULL)
            close(message->fds[i]);
        else
            fds[child->fresh_count++] = message->fds[i];
    }
    if (fds != NULL)
        child->fresh = fds;
}

/* --- the end ------------------------------------------------------------------------------------- */

static void child_on_drained(void *arg, unsigned unfinished)
{
    struct child *child = arg;
    child->unfinished = unfinished;
    if (unfinished != 0) {
        const struct main_message message = {.kind = MAIN_MESSAGE_DRAINED, .value = unfinished};
        child->exit_code = MAIN_EXIT_DEADLINE;
        if (main_channel_send(child->env->channel, &message) != ERR_OK)
            log_warn("the parent does not hear how many are unfinished");
    }
    loop_stop(child->loop);
}

static void child_drain(struct child *child, const struct main_message *message)
{
    const struct main_drain_order order = {
        .announce_us = UINT64_C(1000) * message->value,
        .drain_us = message->ticket == 0 ? child->plan->limits.drain_us
                                         : UINT64_C(1000) * (message->ticket - 1),
        .is_own = message->ticket != 0,
    };
    main_drain_begin(&child->drain, child->workers, child->env->workers, &order);
}

/* Clients hear of it with their next response; what is left is told to go by the drain that follows. */
static void child_give_way(struct child *child)
{
    admin_give_way(child->admin);
    for (unsigned i = 0; i < child->env->workers; i++)
        worker_give_way(child->workers[i]);
}

/* Another process served when this one was started, and all were to be left to it until it is known who goes on. */
static void child_go(struct child *child)
{
    log_info("accepting");
    for (unsigned i = 0; i < child->env->workers; i++)
        worker_go(child->workers[i]);
    admin_go(child->admin);
}

static void child_on_pulse(void *arg, uint32_t number)
{
    struct child *child = arg;
    const struct main_message message = {.kind = MAIN_MESSAGE_PONG, .value = number};
    if (main_channel_send(child->env->channel, &message) != ERR_OK)
        log_error("the parent cannot be told that the workers are alive");
}

static void child_on_message(struct child *child, const struct main_message *message)
{
    switch (message->kind) {
    case MAIN_MESSAGE_UPGRADED:
        admin_upgrade_answer(child->admin, message->ticket, message->value, message->text);
        break;
    case MAIN_MESSAGE_DIFF:
        admin_diff_answer(child->admin, message->ticket, message->value, message->text);
        break;
    case MAIN_MESSAGE_FILE:
        child_set_stale(child, message->value != 0);
        break;
    case MAIN_MESSAGE_GIVE_WAY:
        child_give_way(child);
        break;
    case MAIN_MESSAGE_GO:
        child_go(child);
        break;
    case MAIN_MESSAGE_PING:
        main_pulse_ask(&child->pulse, child->workers, child->env->workers, message->value);
        break;
    case MAIN_MESSAGE_SOCKETS:
        child_on_sockets(child, message);
        break;
    case MAIN_MESSAGE_APPLY:
        child_on_apply(child, message);
        break;
    case MAIN_MESSAGE_REFUSED:
        child_reload_ended(child, message->ticket, message->text, NULL);
        break;
    case MAIN_MESSAGE_REOPEN:
        loop_log_reopen(child->env->log);
        break;
    case MAIN_MESSAGE_DRAIN:
        child_drain(child, message);
        break;
    case MAIN_MESSAGE_STOP:
        loop_stop(child->loop);
        break;
    default:
        log_error("the parent sent an order of kind %d that is not known", (int)message->kind);
        break;
    }
}

static void child_on_channel(evutil_socket_t fd, short what, void *arg)
{
    struct child *child = arg;
    struct main_message message;
    (void)what;
    loop_touch(child->loop);
    for (;;) {
        enum err err = main_channel_receive(fd, &message, child->buffer);
        if (err == ERR_AGAIN)
            return;
        if (err == ERR_OK) {
            child_on_message(child, &message);
            continue;
        }
        log_error("the parent is gone: stopping");
        event_del(child->channel_event);
        loop_stop(child->loop);
        return;
    }
}

/* --- hooks of the admin socket ------------------------------------------------------------------- */

static void child_facts(void *arg, struct admin_facts *facts)
{
    struct child *child = arg;
    child_count_plans(child);
    *facts = (struct admin_facts){
        .plan = child->plan,
        .config_path = child->env->bundle.files[0].name.ptr,
        .config_hash = child->config_hash,
        .workers = child->env->workers,
        .worker_list = child->workers,
        .restarts = child->env->restarts,
        .connections_open = atomic_load_explicit(&child->connections, memory_order_relaxed),
        .started_at_us = child->started_at_us,
        .service_started_at_us = child->env->service_started_at_us,
        .is_draining = child->drain.state != MAIN_DRAIN_NONE,
        .is_stale = child->is_stale,
        .reload = child->reload,
        .reload_at_us = child->reload_at_us,
        .reload_text = child->reload_text,
        .log_level = child->level.now,
    };
}

static bool child_ask_reload(void *arg, uint32_t ticket)
{
    return child_say(arg, MAIN_MESSAGE_RELOAD_ASK, ticket, SPAN_NONE);
}

static bool child_ask_upgrade(void *arg, uint32_t ticket, uint32_t deadline_ms)
{
    struct child *child = arg;
    const struct main_message message = {
        .kind = MAIN_MESSAGE_UPGRADE_ASK, .ticket = ticket, .value = deadline_ms};
    return main_channel_send(child->env->channel, &message) == ERR_OK;
}

static bool child_ask_drain(void *arg, int fd, int64_t deadline_ms)
{
    struct child *child = arg;
    return main_ask_drain(child->env->channel, fd, deadline_ms);
}

static bool child_ask_diff(void *arg, uint32_t ticket, struct span name, struct span text)
{
    struct child *child = arg;
    return main_ask_diff(child->env->channel, ticket, child->env->bundle.files[0].name, name, text);
}

static bool child_reopen(void *arg, char why[ADMIN_WHY_MAX])
{
    struct child *child = arg;
    const struct loop_log_targets *targets = &child->plan->log;
    char access_why[512], error_why[512];
    const char *access_fault = loop_log_target_try("access", targets->access, access_why);
    const char *error_fault = loop_log_target_try("error", targets->error, error_why);
    loop_log_reopen(child->env->log);
    snprintf(why, ADMIN_WHY_MAX, "%.500s%s%.500s", access_fault == NULL ? "" : access_fault,
             access_fault == NULL || error_fault == NULL ? "" : "; ",
             error_fault == NULL ? "" : error_fault);
    return access_fault == NULL && error_fault == NULL;
}

static void child_on_level_time(void *arg)
{
    struct child *child = arg;
    if (!main_level_on_time(&child->level, child->plan->log_level, child->loop->mono_us)) {
        if (child->level.until_us != 0)
            loop_timer_set(child->loop, &child->level_timer, child->level.until_us);
        return;
    }
    log_info("the level of the error log is the configured one again");
    loop_log_event(child->env->log, "\"event\":\"log_level_over\"");
}

static bool child_set_level(void *arg, unsigned level, uint32_t for_s)
{
    struct child *child = arg;
    const struct main_message message = {
        .kind = MAIN_MESSAGE_LEVEL, .ticket = level, .value = for_s};
    enum err err = main_channel_send(child->env->channel, &message);
    if (err != ERR_OK) {
        log_error("the parent cannot be told: %s", err_sentence(err));
        return false;
    }
    main_level_set(&child->level, level, for_s, child->loop->mono_us);
    loop_timer_cancel(&child->level_timer);
    if (child->level.until_us != 0)
        loop_timer_set(child->loop, &child->level_timer, child->level.until_us);
    return true;
}

/* --- the beginning ------------------------------------------------------------------------------- */

static bool child_start_log(struct child *child)
{
    struct metrics_block *block = metrics_registry_add_block(child->registry);
    loop_log_set_generation(child->env->log, child->env->generation);
    child->is_log_on =
        block != NULL && loop_log_start(child->env->log, &child->plan->log, block) == ERR_OK;
    return child->is_log_on;
}

static bool child_start_admin(struct child *child)
{
    const struct admin_env env = {
        .loop = child->loop,
        .metrics = child->registry,
        .log = child->env->log,
        .lease = child->lease,
        .health = child->health,
        .verified = child->verified,
        .hooks = {child_facts, child_ask_reload, child_ask_upgrade, child_reopen, child_set_level,
                  child, .drain = child_ask_drain, .diff = child_ask_diff},
        .is_held = child->env->is_held,
    };
    child->admin = admin_new(&env);
    for (unsigned i = 0; child->admin != NULL && i < child->env->sockets.count; i++) {
        const struct main_socket *socket = &child->env->sockets.list[i];
        if (socket->role != MAIN_SOCKET_TRAFFIC &&
            admin_listen(child->admin, socket->fds[0], socket->role == MAIN_SOCKET_METRICS) !=
                ERR_OK)
            return false;
    }
    return child->admin != NULL;
}

static bool child_start_workers(struct child *child)
{
    const struct worker_env env = {
        .metrics = child->registry,
        .log = child->env->log,
        .lease = child->lease,
        .connections = &child->connections,
        .head_bytes = &child->head_bytes,
        .body_bytes = &child->body_bytes,
        .addresses = child->addresses,
        .verified = child->verified,
        .places = child->places,
        .health = child->health,
        .tickets = child->env->tickets,
        .is_held = child->env->is_held,
    };
    child->workers = calloc(child->env->workers, sizeof(struct worker *));
    for (unsigned i = 0; child->workers != NULL && i < child->env->workers; i++) {
        struct worker_listeners listeners = {child->plan->listener_count,
                                             child_listeners(&child->env->sockets, child->plan, i)};
        if (listeners.fds != NULL)
            child->workers[i] = worker_start(i, &env, child->plan, &listeners);
        free(listeners.fds);
        if (child->workers[i] == NULL)
            return false;
    }
    return child->workers != NULL;
}

/* Troubles that are over leave the count of their folded lines, and their memory. */
static void child_on_fold_time(void *arg)
{
    struct child *child = arg;
    unsigned living = atomic_load_explicit(&child->plans, memory_order_relaxed);
    log_flush_folded();
    main_memory_look(&child->memory,
                     atomic_load_explicit(&child->connections, memory_order_relaxed),
                     child->plan == NULL ? 0 : child->plan->generation - living);
    loop_timer_set(child->loop, &child->fold_timer, child->loop->mono_us + LOG_FOLD_US);
}

static bool child_start_loop(struct child *child)
{
    child->buffer = malloc(MAIN_CHANNEL_BUFFER_BYTES);
    child->metrics = metrics_registry_add_block(child->registry);
    child->loop = child->metrics == NULL ? NULL : loop_new(child->metrics);
    if (child->buffer == NULL || child->loop == NULL)
        return false;
    loop_timer_init(&child->fold_timer, child_on_fold_time, child);
    child_on_fold_time(child);
    loop_timer_init(&child->level_timer, child_on_level_time, child);
    child->level = child->env->level;
    child_on_level_time(child);
    child->channel_event = event_new(child->loop->base, child->env->channel, EV_READ | EV_PERSIST,
                                     child_on_channel, child);
    return child->channel_event != NULL &&
           main_drain_init(&child->drain, child->loop, child_on_drained, child) == ERR_OK &&
           main_pulse_init(&child->pulse, child->loop, child_on_pulse, child) == ERR_OK &&
           event_add(child->channel_event, NULL) == 0;
}

static void child_on_store_event(void *arg, const char *json)
{
    loop_log_event(arg, json);
}

/* NULL, or what could not be started. */
static const char *child_start(struct child *child)
{
    struct main_child_env *env = child->env;
    child->registry = metrics_registry_new();
    if (child->registry == NULL)
        return "the counters";
    child->lookups = net_lookups_new();
    if (child->lookups == NULL)
        return "the lookups of names";
    child->plan = child_build(child, &env->bundle, env->generation);
    if (child->plan == NULL)
        return "the configuration";
    child->config_hash = main_bundle_hash(&env->bundle);
    if (!child_start_log(child))
        return "the log";
    if (!child_start_loop(child))
        return "the main loop";
    child->lease = lease_new(env->memory, env->memory == NULL ? &child->plan->redis : NULL);
    if (child->lease == NULL)
        return "the store";
    lease_on_event(child->lease, child_on_store_event, env->log);
    child->addresses = client_addresses_new();
    if (child->addresses == NULL)
        return "the table of addresses";
    child->verified = exchange_verified_new(EXCHANGE_VERIFIED_PAIRS);
    if (child->verified == NULL)
        return "the table of verified callers";
    child->places = upstream_places_new();
    if (child->places == NULL)
        return "the counts of connections";
    child->health = upstream_health_new(env->orders);
    if (child->health != NULL)
        child->checker = upstream_checker_new(child->loop, env->log, child->health);
    if (child->checker == NULL)
        return "the checks of servers";
    if (main_sockets_spread(&env->sockets, env->workers) != ERR_OK)
        return "the listeners";
    child_check_servers(child); /* first: a failure counts from the first request on */
    if (!child_start_workers(child))
        return "the workers";
    if (!child_start_admin(child))
        return "the admin socket";
    child_remember_reload(child);
    metrics_set(child->metrics, METRICS_CHILD_RESTARTS, env->restarts);
    metrics_set(child->metrics,
                metrics_registry_slot(child->registry, METRICS_FAMILY_BUILD,
                                      span_of(SLUICE_VERSION), SPAN_NONE),
                1);
    child_settle_metrics(child);
    return NULL;
}

static void child_stop_event(struct child *child)
{
    char json[LOOP_LOG_EVENT_MAX], *at = FMT_LIT(json, "\"event\":\"stop\"");
    if (child->exit_code == MAIN_EXIT_DEADLINE) {
        at = FMT_LIT(at, ",\"unfinished\":");
        at = fmt_u64(at, child->unfinished);
    } else if (child->exit_code != MAIN_EXIT_OK) {
        at = FMT_LIT(at, ",\"failed\":true");
    }
    *at = '\0';
    loop_log_event(child->env->log, json);
}

static void child_end(struct child *child)
{
    struct main_child_env *env = child->env;
    for (unsigned i = 0; child->workers != NULL && i < env->workers; i++)
        if (child->workers[i] != NULL)
            worker_stop(&child->workers[i]);
    free(child->workers);
    client_addresses_free(child->addresses);
    exchange_verified_free(child->verified);
    upstream_places_free(child->places);
    upstream_checker_free(child->checker);
    upstream_health_free(child->health);
    admin_free(child->admin);
    lease_free(child->lease);
    if (child->channel_event != NULL)
        event_free(child->channel_event);
    main_drain_fini(&child->drain);
    main_pulse_fini(&child->pulse);
    loop_free(child->loop);
    if (child->is_log_on) {
        child_stop_event(child);
        loop_log_stop(env->log);
    }
    net_lookups_free(child->lookups);
    plan_unref(&child->plan);
    metrics_registry_free(child->registry);
    free(child->buffer);
    free(child->fresh);
    free(child->reload_text);
    close(env->channel);
}

int main_child_run(struct main_child_env *env)
{
    struct child child = {.env = env, .started_at_us = clock_wall_us()};
    const char *fault = child_start(&child);
    if (fault == NULL) {
        log_info("%s: version %s, generation %u, %u workers",
                 env->is_held ? "ready to take over" : "serving", SLUICE_VERSION,
                 (unsigned)env->generation, env->workers);
        if (!child_say(&child, MAIN_MESSAGE_READY, 0, SPAN_NONE))
            fault = "the service";
    }
    if (fault == NULL) {
        loop_run(child.loop);
    } else {
        log_error("cannot start %s: %s", fault, strerror(errno));
        child.exit_code = MAIN_EXIT_INTERNAL;
    }
    child_end(&child);
    return child.exit_code;
}
