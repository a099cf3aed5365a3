/* SPDX-License-Identifier: Apache-2.0 */
/* main_relay.h - a small server at a port of 127.0.0.1 that passes on what it may from the admin socket.  Takes: who may ask
 * (admin_relay.h), and the admin address.  Gives: the instance's answers as they are.  Bounded in connections, bytes and time. */
#ifndef SLUICE_MAIN_MAIN_RELAY_H
#define SLUICE_MAIN_MAIN_RELAY_H

#include <stdint.h>

#include "admin/admin_relay.h"

/* A listening descriptor at 127.0.0.1; *port 0: any that is free, and it is told.  -1 with errno. */
int main_relay_listen(uint16_t *port);

/* Serve until end_fd is readable.  address: of the instance, which need not be there all the time.  -1 with errno: the descriptors
 * cannot be waited for. */
int main_relay_serve(int listener, int end_fd, const struct admin_relay *rules,
                     const char *address);

#endif
