/* SPDX-License-Identifier: Apache-2.0 */
/* heads.h - what must be true of every head, for the targets that parse one. */
#ifndef SLUICE_TESTS_FUZZ_HEADS_H
#define SLUICE_TESTS_FUZZ_HEADS_H

#include "fuzz.h"

#include "http/http_framing.h"

#define HEADS_FIELDS_MAX 64

/* Small, so that inputs reach them. */
extern const struct http_head_limits HEADS_LIMITS;

struct heads_reading {
    struct http_head head;
    struct http_field fields[HEADS_FIELDS_MAX];
    struct http_fault fault;
    enum http_parse parse;
};

/* The reading borrows the bytes. */
void heads_read(struct heads_reading *r, bool is_request, const char *bytes, size_t len,
                size_t *scanned);

/* Runs every property of a head over the bytes: any cut gives the verdict of the whole, the scanners with
 * and without SSE2 agree, slices are clean and lie in order, what is written of it reads the same, llhttp
 * agrees. */
void heads_check(bool is_request, const char *bytes, size_t len, size_t cut);

#endif
