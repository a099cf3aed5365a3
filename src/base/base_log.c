/* SPDX-License-Identifier: Apache-2.0 */
/* base_log.c - takes: a format and its arguments.  Gives: one clean, folded line to the sink.  Never:
 * allocates, fails, or lets a line feed through. */
#include "base/base_log.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "base/base_clock.h"
#include "base/base_fmt.h"
#include "base/base_hash.h"
#include "base/base_span.h"

#define TAIL_MAX 48 /* " (4294967295 like it not shown)" and the newline */

static void write_stderr(void *arg, enum log_level level, const char *line, size_t len)
{
    (void)arg;
    (void)level;
    while (len > 0) {
        ssize_t put = write(STDERR_FILENO, line, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return; /* there is nowhere left to say so */
        line += put;
        len -= (size_t)put;
    }
}

/* The one mutable state of base: set before threads run, but for the level and the list. */
static log_sink_fn log_sink = write_stderr;
static void *log_sink_arg;
static _Atomic int log_level = LOG_LEVEL_INFO;
static _Atomic(struct log_site *) log_sites; /* that have folded a line; never taken out */

void log_set_sink(log_sink_fn sink, void *arg)
{
    log_sink = sink == NULL ? write_stderr : sink;
    log_sink_arg = arg;
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

bool log_is_on(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&log_level, memory_order_relaxed);
}

static bool fold_alone(struct log_site *site, struct span text, unsigned *folded)
{
    static const struct hash_key key = {UINT64_C(0x6c6f67), UINT64_C(0x666f6c64)};
    uint64_t now_us = clock_mono_us(), hash = hash_sip64(key, text.ptr, text.len);
    uint64_t began_us = atomic_load_explicit(&site->last_us, memory_order_relaxed);
    bool is_new = began_us == 0 || now_us - began_us >= LOG_FOLD_US;
    if (is_new) {
        atomic_store_explicit(&site->last_us, now_us, memory_order_relaxed);
        atomic_store_explicit(&site->written, 0, memory_order_relaxed);
    } else if (hash == atomic_load_explicit(&site->last_hash, memory_order_relaxed) ||
               atomic_load_explicit(&site->written, memory_order_relaxed) >= LOG_SITE_BURST) {
        atomic_fetch_add_explicit(&site->folded, 1, memory_order_relaxed);
        return true;
    }
    atomic_store_explicit(&site->last_hash, hash, memory_order_relaxed);
    atomic_fetch_add_explicit(&site->written, 1, memory_order_relaxed);
    *folded = atomic_exchange_explicit(&site->folded, 0, memory_order_relaxed);
    return false;
}

/* Is this line to be folded?  If not, *folded is how many were since the site's last line. */
static bool fold(struct log_site *site, struct span text, unsigned *folded)
{
    while (atomic_exchange_explicit(&site->is_busy, true, memory_order_acquire))
        sched_yield();
    const bool is_folded = fold_alone(site, text, folded);
    atomic_store_explicit(&site->is_busy, false, memory_order_release);
    return is_folded;
}

static void list_site(struct log_site *site, enum log_level level, const char *module,
                      const char *format)
{
    if (atomic_exchange_explicit(&site->is_listed, true, memory_order_relaxed))
        return;
    site->module = module;
    site->format = format;
    site->level = level;
    site->next = atomic_load_explicit(&log_sites, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&log_sites, &site->next, site,
                                                  memory_order_release, memory_order_relaxed))
        continue;
}

static void write_line(enum log_level level, const char *module, struct span text, unsigned folded)
{
    static const struct span names[] = {
        [LOG_LEVEL_DEBUG] = {"debug ", 6},
        [LOG_LEVEL_INFO] = {"info  ", 6},
        [LOG_LEVEL_WARN] = {"warn  ", 6},
        [LOG_LEVEL_ERROR] = {"error ", 6},
    };
    char line[LOG_LINE_MAX];
    const char *end = line + sizeof(line) - TAIL_MAX;
    char *next = fmt_rfc3339_ms(line, clock_wall_us());
    *next++ = ' ';
    next = fmt_span(next, names[level]);
    next = fmt_clean(next, end, span_of(module));
    next = FMT_LIT(next, ": ");
    next = fmt_clean(next, end, text);
    if (folded > 0) {
        next = FMT_LIT(next, " (");
        next = fmt_u64(next, folded);
        next = FMT_LIT(next, " like it not shown)");
    }
    *next++ = '\n';
    log_sink(log_sink_arg, level, line, (size_t)(next - line));
}

void log_write(struct log_site *site, enum log_level level, const char *module, const char *format,
               ...)
{
    int saved_errno = errno;
    char text[LOG_LINE_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    size_t fit = len < 0 ? 0 : (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1;
    struct span whole = {text, fit};

    unsigned folded = 0;
    if (site != NULL && fold(site, whole, &folded))
        list_site(site, level, module, format);
    else
        write_line(level, module, whole, folded);
    errno = saved_errno;
}

void log_flush_folded(void)
{
    int saved_errno = errno;
    uint64_t now_us = clock_mono_us();
    struct log_site *site = atomic_load_explicit(&log_sites, memory_order_acquire);
    for (; site != NULL; site = site->next) {
        uint64_t began_us = atomic_load_explicit(&site->last_us, memory_order_relaxed);
        if (now_us - began_us < LOG_FOLD_US)
            continue;
        unsigned folded = atomic_exchange_explicit(&site->folded, 0, memory_order_relaxed);
        if (folded == 0)
            continue;
        /* The values of the last line are gone; its form says which one it was. */
        write_line(site->level, site->module, span_of(site->format), folded);
    }
    errno = saved_errno;
}
