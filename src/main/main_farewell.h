/* SPDX-License-Identifier: Apache-2.0 */
/* main_farewell.h - who asked for the end of the service and waits for it.  Takes: their connections to the admin socket, and
 * how it ended.  Gives: an HTTP response to each, as the last thing that the parent does: whoever has it knows that all is
 * saved and closed.  Never waits for a client. */
#ifndef SLUICE_MAIN_FAREWELL_H
#define SLUICE_MAIN_FAREWELL_H

#include <stdbool.h>
#include <stdint.h>

#define MAIN_FAREWELL_MAX 16

/* Owner: whoever embeds it.  Freed by: main_farewell_say.  Thread: the owner's. */
struct main_farewell {
    int fds[MAIN_FAREWELL_MAX]; /* non-blocking */
    unsigned count;
    uint32_t unfinished; /* connections that were owed a response when time was over */
};

/* Takes the descriptor.  One too many is answered at once. */
void main_farewell_add(struct main_farewell *farewell, int fd);
/* Takes the descriptor: 409, and why. */
void main_farewell_refuse(int fd, const char *why);
/* To all.  is_cut: somebody had no more patience. */
void main_farewell_say(struct main_farewell *farewell, int exit_code, bool is_cut);

#endif
