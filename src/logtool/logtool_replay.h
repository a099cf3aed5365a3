/* SPDX-License-Identifier: Apache-2.0 */
/* logtool_replay.h - what would another policy have done?  Takes: the configuration that served, another one, and the lines.
 * Gives: how many logged decisions the old one reproduces when it is replayed, and then whom the new one would have refused.
 *
 * Each request is decided again, in the order in which it was decided, by a store in memory whose clock is the log's.  The old
 * side asks the quotas that a line shows, the new side those of the route that the new configuration finds.  A request whose
 * identities were not logged is not judged by the new side, and named. */
#ifndef SLUICE_LOGTOOL_REPLAY_H
#define SLUICE_LOGTOOL_REPLAY_H

#include "logtool/logtool_books.h"
#include "logtool/logtool_names.h"
#include "logtool/logtool_read.h"
#include "logtool/logtool_seq.h"
#include "logtool/logtool_subject.h"

#define LOGTOOL_REQUESTS_MAX  4000000
#define LOGTOOL_ITEMS_MAX     32000000
#define LOGTOOL_REPLAY_TOP    10
#define LOGTOOL_REPLAY_NEEDED 9990 /* of 10,000 decisions must come out as logged */

/* What one quota is asked for one request. */
struct logtool_item {
    uint32_t subject;
    uint16_t quota; /* of the plan; behind them the buckets of its identities */
    uint8_t tier;
    int32_t delta; /* what the response made of the charge */
};

enum logtool_side_id {
    LOGTOOL_OLD,
    LOGTOOL_NEW,
    LOGTOOL_SIDES,
};

struct logtool_request {
    uint64_t at_us, end_us; /* decided, over */
    uint32_t items;         /* the first of the old side; those of the new one follow */
    uint32_t cost[LOGTOOL_SIDES];
    uint8_t item_count[LOGTOOL_SIDES];
    bool is_logged_refused, is_skipped[LOGTOOL_SIDES], is_refused[LOGTOOL_SIDES];
    bool has_place; /* of a window of the old side it is known what had been used: */
    uint8_t place_item;
    uint32_t place_start_s, place_used;
};

/* Why the new side does not judge a request. */
enum logtool_unjudged {
    LOGTOOL_UNJUDGED_NO_HEAD,  /* it had none, or the line was cut */
    LOGTOOL_UNJUDGED_EARLY,    /* it ended before it was decided */
    LOGTOOL_UNJUDGED_DEGRADED, /* it was decided without the store */
    LOGTOOL_UNJUDGED_SLOT,     /* all slots of a quota with in_flight were taken */
    LOGTOOL_UNJUDGED_IDENTITY, /* an identity that was not logged */
    LOGTOOL_UNJUDGED_COUNT,
};

struct logtool_side {
    const struct plan *plan; /* borrowed */
    struct store_memory *store;
    uint64_t overflowed;
    uint64_t *refused; /* by quota; on the old side the buckets of its identities behind them */
};

/* Owner: the verb.  Freed by: logtool_replay_fini. */
struct logtool_replay {
    struct logtool_side sides[LOGTOOL_SIDES];
    struct logtool_names names;
    struct logtool_seq seq;
    struct logtool_books
        bases; /* what windows had used before the log's first line of them: kept */
    struct logtool_request *requests;
    uint32_t request_count, request_room;
    struct logtool_item *items;
    uint32_t item_count, item_room;
    struct hash_key key;
    const char *limit;
    char *room;
    uint64_t unjudged[LOGTOOL_UNJUDGED_COUNT], orders;
    uint64_t *unknown; /* by the new plan's identity: requests that did not show it */

    /* After logtool_replay_run. */
    uint64_t compared, same;
    uint64_t judged, newly_refused, newly_admitted, refused[LOGTOOL_SIDES];
    struct logtool_books
        changes; /* by subject of a new quota: refused is newly refused, near newly admitted */
    uint32_t top[LOGTOOL_REPLAY_TOP];
    unsigned top_count;
};

MUST_USE enum err logtool_replay_init(struct logtool_replay *replay, const struct plan *old,
                                      const struct plan *next);
/* A logtool_line_fn. */
MUST_USE enum err logtool_replay_take(void *replay, const struct logtool_line *line);
/* After the last line. */
MUST_USE enum err logtool_replay_run(struct logtool_replay *replay);
void logtool_replay_fini(struct logtool_replay *replay);

/* Do enough decisions come out as logged? */
bool logtool_replay_is_proved(const struct logtool_replay *replay);

/* The quota of an item, with the limits of its tier; NULL: unlimited. */
const struct quota *logtool_replay_quota(const struct plan *plan, const struct logtool_item *item);

/* malloc'ed; NULL: no memory. */
char *logtool_replay_text(const struct logtool_replay *replay,
                          const struct logtool_reading *reading);
char *logtool_replay_json(const struct logtool_replay *replay,
                          const struct logtool_reading *reading);

#endif
