/* SPDX-License-Identifier: Apache-2.0 */
/* config_bench.h - reading texts in tests.  Texts are written with ' for ". */
#ifndef SLUICE_TESTS_CONFIG_BENCH_H
#define SLUICE_TESTS_CONFIG_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config_doc.h"

/* A read text.  The bytes are malloc'ed and of exact size, so that ASan sees one read too far. */
struct bench {
    char *bytes;
    size_t len;
    struct config_report report;
    struct config_doc doc;
};

static inline void bench_open_bytes(struct bench *bench, const char *bytes, size_t len)
{
    bench->bytes = malloc(len == 0 ? 1 : len);
    assert_non_null(bench->bytes);
    memcpy(bench->bytes, bytes, len);
    bench->len = len;
    config_report_init(&bench->report);
    config_doc_init(&bench->doc, &bench->report, (struct span){bench->bytes, len});
}

static inline void bench_open(struct bench *bench, const char *text)
{
    char quoted[8192];
    size_t len = strlen(text);
    assert_true(len < sizeof(quoted));
    for (size_t i = 0; i < len; i++)
        quoted[i] = text[i] == '\'' ? '"' : text[i];
    bench_open_bytes(bench, quoted, len);
}

/* What the report says; the caller frees. */
static inline char *bench_text(struct bench *bench)
{
    return config_report_text(&bench->report, SPAN("f"), (struct span){bench->bytes, bench->len});
}

static inline void bench_close(struct bench *bench)
{
    config_doc_fini(&bench->doc);
    config_report_fini(&bench->report);
    free(bench->bytes);
}

#endif
