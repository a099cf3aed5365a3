/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_again.h - requests that repeat, byte for byte, one that a quota refused a moment ago.  Who does not heed a
 * refusal mostly sends the very same request again, and a flood of refusals is what an attack costs.
 *
 * Takes: the bytes of a head.  Gives: what was made of them then (the parsed head, the route, the quotas' keys), so that
 * only the quota is asked anew.  Never: decides, keeps a byte of a request, allocates after exchange_again_new.
 *
 * An entry is found by a keyed tag of 256 bits over the head, the client's address, the listener and the generation of
 * the configuration (base_nh.h): two that differ have the same tag with a chance of at most 2^-128.  Kept are only
 * requests whose way depends on nothing else: no body, no trusted proxy, no token that expires, no look-up in a store,
 * no tier, exemption or slot. */
#ifndef SLUICE_EXCHANGE_EXCHANGE_AGAIN_H
#define SLUICE_EXCHANGE_EXCHANGE_AGAIN_H

#include "base/base_ip.h"
#include "http/http_framing.h"

#define EXCHANGE_AGAIN_BYTES_MAX 2048 /* of a head */

struct exchange;
struct exchange_env;
struct plan_listener;
struct exchange_again;
struct exchange_again_memo;

/* NULL: no memory. */
struct exchange_again_memo *exchange_again_new(void);
void exchange_again_free(struct exchange_again_memo *memo);

/* A whole head, and nothing behind it, of a client on no Unix socket.  NULL: it is not known; *number is for the
 * exchange that is made of it, and remembers the head if it is refused before the next question. */
struct exchange_again *exchange_again_find(struct exchange_env *env, struct span bytes,
                                           const struct plan_listener *listener,
                                           const struct ip *peer_ip, uint32_t *number);

/* The head as http_head_parse_request would give it of these bytes, its framing and its target.  The head is the
 * entry's: valid until the next exchange. */
const struct http_head *exchange_again_read(struct exchange_again *again, const char *bytes,
                                            struct http_framing *framing,
                                            struct http_target *target);

/* A new exchange with such a head goes on where the quota decides.  False: no memory, and it begins at the beginning. */
bool exchange_again_apply(struct exchange *x, const struct exchange_again *again);

/* A quota has refused this exchange: remember it, if its head was asked for and its way may be kept. */
void exchange_again_learn(struct exchange *x);

#endif
