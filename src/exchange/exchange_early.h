/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_early.h - callers that a quota has refused in this very second and that ask again: refused without an exchange.
 * Who does not heed a refusal sends request after request, and a flood of refusals is what an attack costs.
 *
 * Takes: a request whose head, framing and target are good.  Gives: the whole response, and the log line and the counters
 * that an exchange would have left.  Never: refuses whom the quota would let pass, skips a check that makes a request
 * malformed, allocates after exchange_early_new.
 *
 * What is kept is a refusal: for one caller (by its keyed mac) on one route of one generation of the configuration, until the
 * second is over.  It is kept only where nothing but time can make room: one quota of the calendar that nobody corrects, in
 * the embedded store, without tiers, exemptions, slots, buckets and shadows; and where the response depends on nothing else in
 * the request. */
#ifndef SLUICE_EXCHANGE_EXCHANGE_EARLY_H
#define SLUICE_EXCHANGE_EXCHANGE_EARLY_H

#include <stdbool.h>

#include "base/base_span.h"

struct exchange;
struct exchange_env;
struct exchange_request;
struct exchange_early;

/* NULL: no memory. */
struct exchange_early *exchange_early_new(void);
void exchange_early_free(struct exchange_early *early);

/* A GET or the like over TCP, HTTP/1.1, without a body, on a connection that goes on.  True: the caller of this function
 * sends *response, which is valid until the next call; all else is done.  False: nothing has happened. */
bool exchange_early_refuse(struct exchange_env *env, const struct exchange_request *request,
                           struct span *response);

/* A quota has refused this exchange, and these are the fields and the body of its response: keep that, if it may be. */
void exchange_early_learn(struct exchange *x, struct span fields, struct span body);

#endif
