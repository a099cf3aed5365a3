/* SPDX-License-Identifier: Apache-2.0 */
/* store_redis_operate.h - an operator's orders about one subject, as they are carried out in Redis.  Takes: an order.
 * Gives: the argument of a script, and what its answer says.  Pure: no socket.
 *
 * The value is the one of store_redis_script.h.  A reset raises its generation, so that what proxies still know of the
 * time before, and give back late, is passed over; its TTL stays.  A grant writes {extra, expires} and lets the value
 * live until then.  Both are told on `<prefix>:recall` as a message that has proxies ask again at once. */
#ifndef SLUICE_STORE_REDIS_OPERATE_H
#define SLUICE_STORE_REDIS_OPERATE_H

#include <stdbool.h>

#include "base/base_span.h"
#include "store/store_subject.h"

#define STORE_REDIS_ORDER_BYTES 12

/* Lua.  KEYS: the subject; ARGV: its order.  Answers the clock (second, microsecond; 4 bytes each), and behind it the
 * value as it stood before, if there is one. */
extern const char STORE_REDIS_OPERATE_LUA[];

void store_redis_order_write(char out[STORE_REDIS_ORDER_BYTES], const struct store_order *order);

/* False: it cannot be an answer.  *is_found: there is a value. */
bool store_redis_order_read(struct store_subject *subject, bool *is_found, struct span answer);

#endif
