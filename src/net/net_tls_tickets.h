/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls_tickets.h - the keys under which clients are given their sessions to keep (RFC 5077, RFC 8446 section 4.6.1).
 * One set for all workers and for every child of the parent, in memory that they share: the parent alone writes.  A key
 * seals tickets until the next one is made, and opens them for as long again; then it is gone, and with it the
 * possibility to read what was recorded of those sessions. */
#ifndef SLUICE_NET_TLS_TICKETS_H
#define SLUICE_NET_TLS_TICKETS_H

#include <stdbool.h>
#include <stdint.h>

#define NET_TLS_TICKET_NAME_BYTES 16
#define NET_TLS_TICKET_KEY_BYTES  32

struct net_tls_ticket_key {
    unsigned char name[NET_TLS_TICKET_NAME_BYTES];
    unsigned char cipher[NET_TLS_TICKET_KEY_BYTES];
    unsigned char mac[NET_TLS_TICKET_KEY_BYTES];
};

/* Owner: the parent.  Freed by: net_tls_tickets_free.  Thread: one writes, any reads, without a lock. */
struct net_tls_tickets;

/* Shared with every child that is forked from here on; has its first key.  NULL: no memory, or no random numbers. */
struct net_tls_tickets *net_tls_tickets_new(void);
void net_tls_tickets_free(struct net_tls_tickets *tickets);

/* Another key seals; the one before last is forgotten.  False: no random numbers, nothing has changed. */
bool net_tls_tickets_rotate(struct net_tls_tickets *tickets);

/* The keys as bytes, for another process that is to go on with them, and back.  False: they cannot be read just now, or
 * these are none; nothing has changed. */
#define NET_TLS_TICKETS_BYTES (2 * sizeof(struct net_tls_ticket_key))
bool net_tls_tickets_export(const struct net_tls_tickets *tickets,
                            unsigned char bytes[NET_TLS_TICKETS_BYTES]);
bool net_tls_tickets_import(struct net_tls_tickets *tickets,
                            const unsigned char bytes[NET_TLS_TICKETS_BYTES]);

/* The key that seals; false when it cannot be read. */
bool net_tls_tickets_newest(const struct net_tls_tickets *tickets, struct net_tls_ticket_key *key);
/* The key of this name; false when there is none (any more).  *is_newest: it still seals. */
bool net_tls_tickets_find(const struct net_tls_tickets *tickets, const unsigned char *name,
                          struct net_tls_ticket_key *key, bool *is_newest);

#endif
