/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_refusal.h - a connection that is refused before it has said anything: what it is told, and what is
 * logged.  Takes: where it came from and how it ends.  Gives: one response for the caller to send or not.  Keeps
 * nothing, allocates nothing. */
#ifndef SLUICE_EXCHANGE_REFUSAL_H
#define SLUICE_EXCHANGE_REFUSAL_H

#include "exchange/exchange_env.h"
#include "record/record.h"

struct exchange_refusal {
    const struct plan_listener *listener;
    struct ip peer_ip;
    bool peer_is_unix;
    enum exchange_end end; /* one with an answer */
    struct record_id id;   /* made by exchange_refusal_write, or by who writes nothing */
};

/* The whole response, with "Connection: close"; valid until env composes another one. */
struct span exchange_refusal_write(struct exchange_env *env, struct exchange_refusal *refusal);

/* A line in the access log, and the ending's counter.  sent_bytes of the response went out; 0: the client was told
 * nothing. */
void exchange_refusal_record(struct exchange_env *env, const struct exchange_refusal *refusal,
                             size_t sent_bytes);

#endif
