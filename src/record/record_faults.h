/* SPDX-License-Identifier: Apache-2.0 */
/* record_faults.h - the last messages that were refused because they were malformed or too large.  Takes: the fault, who sent
 * the message, and its bytes.  Gives: a row each, with a window of bytes around the one at fault.  Pure: the time is an
 * argument.  Never: allocates, keeps what no log would show.
 *
 * Bounded: RECORD_FAULTS rows, the oldest gives way; and RECORD_FAULTS_PER_S a second, so that a flood of bad messages costs a
 * comparison each.  Those that were passed over are counted.
 *
 * Of a head the window shows the request line without its query and user, the status line, names of fields, and the values of
 * the few fields that say how a message is framed.  All else but spaces and controls is masked, byte by byte: credentials,
 * cookies and addresses, a line that is no field, and bytes that do not begin like a head, which may be somebody's body. */
#ifndef SLUICE_RECORD_RECORD_FAULTS_H
#define SLUICE_RECORD_RECORD_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_span.h"
#include "http/http_head.h"

#define RECORD_FAULTS            64
#define RECORD_FAULTS_PER_S      32
#define RECORD_FAULTS_WINDOW     64 /* bytes of a message */
#define RECORD_FAULTS_BEFORE     24 /* of them before the one at fault, where there are so many */
#define RECORD_FAULTS_SENDER_MAX 80
#define RECORD_FAULTS_ID         32

struct record_faults_row {
    uint64_t wall_us;
    bool is_response; /* a server's; else a client's request */
    uint16_t fault;   /* enum http_fault_id */
    uint32_t offset;  /* of the byte at fault in the message */
    uint32_t from;    /* what the window begins with; likewise */
    uint8_t len;      /* of the window; 0: there is none, the fault is in a body */
    uint8_t sender_len;
    char bytes[RECORD_FAULTS_WINDOW];
    uint64_t masked; /* a bit for each byte */
    char sender[RECORD_FAULTS_SENDER_MAX];
    char id[RECORD_FAULTS_ID]; /* of the request */
};

/* Zeroed when new.  Owner: a worker.  Thread: the worker's. */
struct record_faults {
    uint64_t count;   /* ever kept; row i is rows[i % RECORD_FAULTS] */
    uint64_t skipped; /* ever passed over */
    uint64_t second;
    uint32_t in_second;
    struct record_faults_row rows[RECORD_FAULTS];
};

/* May one more be kept now?  False: it was counted as passed over. */
bool record_faults_may(struct record_faults *faults, uint64_t wall_us);

/* seen: the message from its first byte on, as far as it is there; empty: the fault is not in a head. */
void record_faults_add(struct record_faults *faults, uint64_t wall_us, bool is_response,
                       const struct http_fault *fault, struct span sender, const char *id,
                       struct span seen);

#endif
