/* SPDX-License-Identifier: Apache-2.0 */
/* config_near.h - "did you mean": the name that a mistyped one comes nearest to.  Takes: the wrong name
 * and candidates.  Gives: one candidate or none.  Never copies. */
#ifndef SLUICE_CONFIG_NEAR_H
#define SLUICE_CONFIG_NEAR_H

#include "base/base_span.h"

/* Letters inserted, left out, replaced (case aside) or swapped with the neighbour (optimal string
 * alignment); names above 64 bytes are far from everything. */
#define CONFIG_FAR 255u
unsigned config_distance(struct span a, struct span b);

struct config_near {
    struct span wrong;
    struct span best; /* ptr NULL: none so far */
    unsigned best_score;
};

static inline struct config_near config_near_to(struct span wrong)
{
    return (struct config_near){wrong, SPAN_NONE, CONFIG_FAR};
}

/* is_taken: the candidate stands beside the wrong name already, so it is likelier another. */
void config_near_try(struct config_near *near, struct span candidate, bool is_taken);

#endif
