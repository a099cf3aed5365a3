/* SPDX-License-Identifier: Apache-2.0 */
/* loop_testing.h - a loop in a thread of its own, and functions of the test that run on it, one at a time,
 * while the test waits.  So a test reads from top to bottom. */
#ifndef TESTS_STORE_LOOP_TESTING_H
#define TESTS_STORE_LOOP_TESTING_H

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base_log.h"
#include "loop/loop.h"
#include "metrics/metrics.h"

struct loop_testing {
    struct loop *loop;
    struct metrics_registry *registry;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    void (*fn)(void *arg);
    void *arg;
    bool is_done;
};

static inline void *loop_testing_run(void *arg)
{
    struct loop_testing *rig = arg;
    loop_run(rig->loop);
    return NULL;
}

static inline void loop_testing_start(struct loop_testing *rig)
{
    memset(rig, 0, sizeof(*rig));
    pthread_mutex_init(&rig->lock, NULL);
    pthread_cond_init(&rig->wake, NULL);
    rig->registry = metrics_registry_new();
    rig->loop = loop_new(metrics_registry_add_block(rig->registry));
    if (rig->loop == NULL || pthread_create(&rig->thread, NULL, loop_testing_run, rig) != 0)
        abort();
}

static inline void loop_testing_letter(void *arg)
{
    struct loop_testing *rig = arg;
    loop_touch(rig->loop);
    rig->fn(rig->arg);
    pthread_mutex_lock(&rig->lock);
    rig->is_done = true;
    pthread_cond_signal(&rig->wake);
    pthread_mutex_unlock(&rig->lock);
}

/* Run fn(arg) on the loop's thread and wait for its end. */
static inline void loop_testing_call(struct loop_testing *rig, void (*fn)(void *arg), void *arg)
{
    rig->fn = fn;
    rig->arg = arg;
    rig->is_done = false;
    if (loop_post(rig->loop, loop_testing_letter, rig) != ERR_OK)
        abort();
    pthread_mutex_lock(&rig->lock);
    while (!rig->is_done)
        pthread_cond_wait(&rig->wake, &rig->lock);
    pthread_mutex_unlock(&rig->lock);
}

static inline uint64_t loop_testing_metric(struct loop_testing *rig, metrics_slot slot)
{
    return metrics_registry_sum(rig->registry, slot);
}

static inline void loop_testing_end(struct loop_testing *rig)
{
    loop_stop(rig->loop);
    pthread_join(rig->thread, NULL);
    loop_free(rig->loop);
    metrics_registry_free(rig->registry);
    pthread_cond_destroy(&rig->wake);
    pthread_mutex_destroy(&rig->lock);
}

/* Wait until is_so(arg), called on the loop's thread, sets *arg's answer; false after 10 s. */
struct loop_testing_wait {
    bool (*is_so)(void *arg);
    void *arg;
    bool answer;
};

static inline void loop_testing_look(void *arg)
{
    struct loop_testing_wait *wait = arg;
    wait->answer = wait->is_so(wait->arg);
}

static inline bool loop_testing_until(struct loop_testing *rig, bool (*is_so)(void *arg), void *arg)
{
    const struct timespec nap = {0, 2000000};
    struct loop_testing_wait wait = {is_so, arg, false};
    for (unsigned i = 0; i < 5000 && !wait.answer; i++) {
        loop_testing_call(rig, loop_testing_look, &wait);
        if (!wait.answer)
            nanosleep(&nap, NULL);
    }
    return wait.answer;
}

/* What was told, to be searched. */
struct told_testing {
    pthread_mutex_t lock;
    char text[65536];
    size_t len;
};

/* A store_redis_event_fn. */
static inline void told_testing_add(void *arg, const char *json)
{
    struct told_testing *told = arg;
    size_t len = strlen(json);
    pthread_mutex_lock(&told->lock);
    if (len + 2 < sizeof(told->text) - told->len) {
        memcpy(told->text + told->len, json, len);
        told->len += len;
        told->text[told->len++] = '\n';
        told->text[told->len] = '\0';
    }
    pthread_mutex_unlock(&told->lock);
}

static inline unsigned told_testing_count(struct told_testing *told, const char *text)
{
    unsigned count = 0;
    pthread_mutex_lock(&told->lock);
    for (const char *at = told->text; *text != '\0' && (at = strstr(at, text)) != NULL; at++)
        count++;
    pthread_mutex_unlock(&told->lock);
    return count;
}

static inline void told_testing_begin(struct told_testing *told)
{
    pthread_mutex_init(&told->lock, NULL);
    told->len = 0;
    told->text[0] = '\0';
}

static inline void log_testing_sink(void *arg, enum log_level level, const char *line, size_t len)
{
    (void)arg;
    (void)level;
    (void)line;
    (void)len;
}

/* Tests that make hundreds of warnings keep them to themselves. */
static inline void log_testing_off(void)
{
    log_set_sink(log_testing_sink, NULL);
}

#endif
