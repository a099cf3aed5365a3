/* SPDX-License-Identifier: Apache-2.0 */
/* load.h - what the load generator is asked to do, and one request of it.  Same seed, same requests. */
#ifndef SLUICE_TESTS_CHAOS_LOAD_H
#define SLUICE_TESTS_CHAOS_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define LOAD_PORTS_MAX 8

struct load_plan {
    unsigned ports[LOAD_PORTS_MAX], port_count;
    unsigned connections; /* per port */
    double rate_per_s;    /* over all ports; 0: as fast as the connections go */
    double seconds;
    uint64_t seed;
    const char *file;
    const char *path;       /* of plain requests */
    unsigned users;         /* X-User is one of so many */
    double *shares;         /* of the users together with those before them; NULL: all the same */
    unsigned hot_permille;  /* ... or "hot" in so many cases */
    unsigned post_permille; /* requests with a body */
    unsigned chunked_permille; /* bodies in chunks, of requests and of responses */
    size_t body_max; /* sizes of both are up to this, small ones more often; 0: plain requests */
    unsigned abort_permille; /* requests that are given up half way */
    unsigned close_permille; /* requests that ask for the connection's end */
    unsigned burst_period_s; /* around each multiple of it: as fast as the connections go */
    unsigned burst_before_ms, burst_after_ms;
    unsigned timeout_ms;
    uint64_t requests_max; /* ends after so many; 0: when its time is over */
    bool has_ids;          /* the how manieth request it is stands in X-Id */
};

/* Fills the plan from the command line; false after telling what is wrong. */
bool load_plan_read(struct load_plan *plan, int argc, char **argv);

/* Where a request is given up on purpose. */
enum load_abort {
    LOAD_ABORT_NOT,
    LOAD_ABORT_HALF_SENT,
    LOAD_ABORT_SENT,
    LOAD_ABORT_HALF_READ,
    LOAD_ABORTS
};

/* Owner: its connection.  Freed by: load_request_free. */
struct load_request {
    char *bytes;
    size_t len, sent;
    size_t body_bytes;
    int user; /* -1: the hot one */
    enum load_abort abort;
};

/* The next request, the id-th; the state of the generator of random numbers is *rng.  False without memory. */
bool load_request_make(struct load_request *request, const struct load_plan *plan, uint64_t *rng,
                       uint64_t id);
void load_request_free(struct load_request *request);

#endif
