/* SPDX-License-Identifier: Apache-2.0 */
/* main_ask.c - see main_ask.h. */
#include "main/main_ask.h"

#include <unistd.h>

#include "main/main_bundle.h"
#include "main/main_channel.h"

bool main_ask_drain(int channel, int fd, int64_t deadline_ms)
{
    const struct main_message message = {
        .kind = MAIN_MESSAGE_DRAIN_ASK,
        .value = deadline_ms < 0 ? 0 : (uint32_t)deadline_ms + 1,
        .fds = {fd},
        .fd_count = 1,
    };
    return main_channel_send(channel, &message) == ERR_OK;
}

bool main_ask_diff(int channel, uint32_t ticket, struct span beside, struct span name,
                   struct span text)
{
    struct main_message message = {.kind = MAIN_MESSAGE_DIFF_ASK, .ticket = ticket};
    struct plan_file file = {beside, text};
    const struct main_bundle bundle = {.files = &file, .count = 1};
    if (text.len > 0) {
        message.text = name;
        message.fds[0] = main_bundle_pack(&bundle);
        if (message.fds[0] < 0)
            return false;
        message.fd_count = 1;
    }
    enum err err = main_channel_send(channel, &message);
    if (message.fd_count > 0)
        close(message.fds[0]);
    return err == ERR_OK;
}
