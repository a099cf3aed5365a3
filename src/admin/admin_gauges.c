/* SPDX-License-Identifier: Apache-2.0 */
/* admin_gauges.c - see admin_gauges.h. */
#include "admin/admin_gauges.h"

#include "admin/admin_private.h"
#include "admin/admin_process.h"

static void set_process(struct metrics_block *metrics)
{
    struct admin_process process;
    admin_process_read(&process);
    metrics_set(metrics, METRICS_CPU, process.cpu_us);
    if (process.rss_bytes != 0) /* it takes a descriptor to read it */
        metrics_set(metrics, METRICS_RESIDENT, process.rss_bytes);
    metrics_set(metrics, METRICS_DESCRIPTORS, process.fds);
    metrics_set(metrics, METRICS_DESCRIPTORS_MAX, process.fds_max);
}

static void set_store(const struct admin *admin, struct metrics_block *metrics)
{
    uint64_t max, subjects;
    if (admin->env.lease == NULL)
        return;
    subjects = lease_subjects(admin->env.lease, &max);
    metrics_set(metrics, METRICS_STORE_SUBJECTS, subjects);
    metrics_set(metrics, METRICS_STORE_SUBJECTS_MAX, max);
    metrics_set(metrics, METRICS_STORE_CLOCK,
                (uint64_t)lease_clock_ahead_us(admin->env.lease, admin->env.loop));
}

void admin_gauges_set(struct admin *admin)
{
    struct metrics_block *metrics = admin->env.loop->metrics;
    struct admin_facts facts = {0};
    struct loop_log_status log;
    admin->env.hooks.facts(admin->env.hooks.arg, &facts);
    loop_log_get_status(admin->env.log, &log);
    metrics_set(metrics, METRICS_READY, !facts.is_draining);
    metrics_set(metrics, METRICS_WORKERS, facts.workers);
    metrics_set(metrics, METRICS_START_TIME, facts.started_at_us);
    metrics_set(metrics, METRICS_CONNECTIONS_MAX, facts.plan->limits.connections_max);
    metrics_set(metrics, METRICS_CERTIFICATE_EXPIRY, facts.plan->certificates_until_s);
    metrics_set(metrics, METRICS_LOG_BUFFER, log.waiting_bytes);
    set_process(metrics);
    set_store(admin, metrics);
}
