/* SPDX-License-Identifier: Apache-2.0 */
/* base_log.h - the error log: one levelled line per event.  Where lines go is set once at start
 * (stderr until then).  The module's name is put in front by the build (SLUICE_MODULE).  Never
 * blocks a worker once a ring is set as sink; never gets a secret. */
#ifndef SLUICE_BASE_LOG_H
#define SLUICE_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARN,
    LOG_LEVEL_ERROR,
};

#define LOG_LINE_MAX 2048

/* Takes one whole line with its newline.  Called from any thread. */
typedef void (*log_sink_fn)(void *arg, enum log_level level, const char *line, size_t len);

/* Before any other thread runs, or with the world stopped. */
void log_set_sink(log_sink_fn sink, void *arg);
void log_set_level(enum log_level level);
bool log_is_on(enum log_level level);

/* Lines of one call site that repeat the one before within 10 s are folded: not written, but counted
 * at the end of the site's next line.  Differing lines of one site are folded from the
 * LOG_SITE_BURST-th within 10 s on, so that what a client writes cannot flood the log. */
#define LOG_FOLD_US    10000000u
#define LOG_SITE_BURST 20u

/* Owner: the call site (static: it is remembered for log_flush_folded).  Thread: any; races lose a count
 * at most. */
struct log_site {
    _Atomic unsigned long long last_us;   /* monotonic: when the present 10 s began; 0 never */
    _Atomic unsigned long long last_hash; /* of the line that was written last */
    _Atomic unsigned written;             /* in the present 10 s */
    _Atomic unsigned folded;              /* since the line that was written last */
    _Atomic bool is_busy;                 /* one thread decides about a line */
    _Atomic bool is_listed;
    /* Set once, before is_listed is seen by log_flush_folded. */
    struct log_site *next;
    const char *module, *format;
    enum log_level level;
};

/* "2026-11-22T14:02:11.482Z warn  module: text\n", cut at LOG_LINE_MAX.  Control bytes and bytes that
 * are not UTF-8 are written as \xNN: one event is one line, whatever a client sent.  Keeps errno. */
void log_write(struct log_site *site, enum log_level level, const char *module, const char *format,
               ...) __attribute__((format(printf, 4, 5)));

/* Say how many lines were folded at sites that have been quiet for 10 s since: a trouble that ends with its
 * last repetition leaves its count, too.  Call it now and then, from one thread at a time. */
void log_flush_folded(void);

#define LOG_AT(level, ...)                                                                         \
    do {                                                                                           \
        static struct log_site log_site_;                                                          \
        if (log_is_on(level))                                                                      \
            log_write(&log_site_, level, SLUICE_MODULE, __VA_ARGS__);                              \
    } while (0)
#define log_debug(...) LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)  LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...)  LOG_AT(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) LOG_AT(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
