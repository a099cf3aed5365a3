/* SPDX-License-Identifier: Apache-2.0 */
/* opinion.h - what llhttp, built strict, reads in a message: the second opinion for the HTTP targets.  Where
 * both accept, they must agree byte for byte; what only one of them accepts stands in a reviewed table
 * (only_llhttp.def, only_sluice.def) or is a finding.  In a build without llhttp every opinion is
 * OPINION_ABSENT and nothing is compared. */
#ifndef SLUICE_TESTS_FUZZ_OPINION_H
#define SLUICE_TESTS_FUZZ_OPINION_H

#include "fuzz.h"

#include "http/http_head.h"

#define OPINION_FIELDS_MAX 256

enum opinion_state {
    OPINION_ABSENT,  /* no llhttp in this build */
    OPINION_MORE,    /* what was asked for is not complete */
    OPINION_DONE,    /* it is, and ends at `bytes` */
    OPINION_REFUSED, /* see `error` */
};

/* What is asked about. */
enum opinion_where {
    OPINION_REQUEST_HEAD = 1,
    OPINION_RESPONSE_HEAD = 2,
    OPINION_HEAD = 3, /* rows of the tables: either */
    OPINION_CHUNKS = 4,
    OPINION_REQUEST = 8, /* the whole message: head, framing, body */
    OPINION_RESPONSE = 16,
    OPINION_MESSAGE = 24,
    OPINION_BODY = 28, /* rows: chunks alone or in a message */
    OPINION_ANY_REQUEST = 9,
};

struct opinion {
    enum opinion_state state;
    bool is_request, is_head_only, is_for_head; /* asked: see opinion_read */
    const char *error;                          /* the name of llhttp's error */
    int error_byte;                             /* before the one that it stopped at; -1 for none */
    size_t bytes;
    struct span method, url, reason, names[OPINION_FIELDS_MAX], values[OPINION_FIELDS_MAX];
    unsigned name_count, value_count;
    unsigned major, minor, status;
    bool has_head, has_fold, is_chunked, has_length;
    uint64_t length_bytes;
    char *data; /* of the body; the caller's, of at least the message's length */
    size_t data_len;
};

/* Read one message, or its head alone.  is_for_head: the response is one to HEAD. */
void opinion_read(struct opinion *o, enum opinion_where where, bool is_for_head, const char *bytes,
                  size_t len, char *data);

/* Both accepted the head: they must have read the same. */
void opinion_check_head(const struct opinion *o, const struct http_head *head);

/* Only llhttp accepted (Sluice found the fault at `offset`): must be a row of only_llhttp.def. */
void opinion_check_only_llhttp(enum opinion_where where, const struct http_fault *fault,
                               const char *bytes, size_t len);

/* Only Sluice accepted: must be a row of only_sluice.def. */
void opinion_check_only_sluice(enum opinion_where where, const struct opinion *o);

#endif
