/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_probe.h - a real Redis, however many servers that is, looked over as a proxy would use it, for
 * `sluice doctor`.  Takes: a configuration.
 * Gives: findings.  Blocks up to its deadlines; changes nothing in Redis but its cache of scripts. */
#ifndef SLUICE_STORE_REDIS_PROBE_H
#define SLUICE_STORE_REDIS_PROBE_H

#include <stdbool.h>

#include "base/base_err.h"
#include "store/store_redis_conf.h"

#define STORE_REDIS_FINDINGS_MAX 256 /* what is beyond is only counted */
#define STORE_REDIS_FINDING_TEXT 700

enum store_redis_finding_level {
    STORE_REDIS_FINE,
    STORE_REDIS_WARNING,
    STORE_REDIS_PROBLEM,
};

struct store_redis_findings {
    unsigned count, warnings, problems;
    bool is_reached; /* a server that counts let us in */
    struct store_redis_finding {
        enum store_redis_finding_level level;
        const char *check; /* a word */
        char text[STORE_REDIS_FINDING_TEXT];
    } list[STORE_REDIS_FINDINGS_MAX];
};

MUST_USE enum err store_redis_probe(struct store_redis_findings *findings,
                                    const struct store_redis_conf *conf);

#endif
