/* SPDX-License-Identifier: Apache-2.0 */
/* main_notify.c - see main_notify.h.  The protocol is one datagram to $NOTIFY_SOCKET. */
#include "main/main_notify.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base_clock.h"

void main_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = path == NULL ? 0 : strlen(path);
    if (len < 2 || len >= sizeof(address.sun_path))
        return;
    memcpy(address.sun_path, path, len);
    if (address.sun_path[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
    close(fd);
}

void main_notify_ready(uint32_t generation)
{
    char state[160];
    snprintf(state, sizeof(state), "READY=1\nSTATUS=version %s serves generation %" PRIu32,
             SLUICE_VERSION, generation);
    main_notify(state);
}

void main_notify_stopping(uint64_t longest_us)
{
    char state[128];
    snprintf(state, sizeof(state),
             "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64 "\nSTATUS=finishing requests in progress",
             longest_us);
    main_notify(state);
}

void main_notify_reloading(void)
{
    char state[96];
    snprintf(state, sizeof(state),
             "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading its configuration",
             clock_mono_us());
    main_notify(state);
}
