/* SPDX-License-Identifier: Apache-2.0 */
/* admin_relay.h - who may see the dashboard at a port of 127.0.0.1 that an operator has opened for it.  Takes: the bytes of a
 * request.  Gives: what to ask the running instance for, or how to refuse.  Pure.
 *
 * Every user of the machine, and every web page in the operator's browser, can reach such a port.  So the path begins with a key
 * that only the operator was shown, Host has to be this port (a name that was made to mean our address is another one: DNS
 * rebinding), and what a browser sends for a page of somebody else is refused.  Whatever the key, nothing can be asked for but the
 * page and its numbers. */
#ifndef SLUICE_ADMIN_ADMIN_RELAY_H
#define SLUICE_ADMIN_ADMIN_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADMIN_RELAY_KEY_BYTES 16
#define ADMIN_RELAY_KEY_TEXT  (2 * ADMIN_RELAY_KEY_BYTES)
#define ADMIN_RELAY_HEAD_MAX  8192

struct admin_relay {
    char key[ADMIN_RELAY_KEY_TEXT + 1];
    char hosts[2][sizeof("127.0.0.1:65535")]; /* by address and as localhost */
};

enum admin_relay_verdict {
    ADMIN_RELAY_MORE, /* the head is not whole */
    ADMIN_RELAY_PAGE,
    ADMIN_RELAY_LIVE,
    ADMIN_RELAY_MALFORMED,
    ADMIN_RELAY_OF_A_PAGE, /* of somebody else */
    ADMIN_RELAY_OTHER_HOST,
    ADMIN_RELAY_NOTHING, /* the wrong key, or the wrong path behind it */
    ADMIN_RELAY_METHOD,
};

/* key: random bytes. */
void admin_relay_init(struct admin_relay *relay, const uint8_t key[ADMIN_RELAY_KEY_BYTES],
                      uint16_t port);

/* bytes: from the first one that came on, ADMIN_RELAY_HEAD_MAX at most; *scanned is 0 at first and kept by the caller.
 * *is_head: HEAD was asked. */
enum admin_relay_verdict admin_relay_judge(const struct admin_relay *relay, const char *bytes,
                                           size_t len, size_t *scanned, bool *is_head);

/* What the instance is asked for; NULL: nothing, the answer is the next two. */
const char *admin_relay_path(enum admin_relay_verdict verdict);
unsigned admin_relay_status(enum admin_relay_verdict verdict);
const char *admin_relay_sentence(enum admin_relay_verdict verdict);

#endif
