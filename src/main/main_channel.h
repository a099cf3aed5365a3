/* SPDX-License-Identifier: Apache-2.0 */
/* main_channel.h - what parent and child say to each other: whole messages over a SOCK_SEQPACKET pair,
 * with descriptors.  Large things travel as descriptors of memory. */
#ifndef SLUICE_MAIN_CHANNEL_H
#define SLUICE_MAIN_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_err.h"
#include "base/base_span.h"

#define MAIN_CHANNEL_FDS_MAX  200 /* the kernel takes 253 in one message */
#define MAIN_CHANNEL_TEXT_MAX 49152

enum main_message_kind {
    /* child to parent */
    MAIN_MESSAGE_READY,       /* it serves, or could: see GO */
    MAIN_MESSAGE_RELOAD_ASK,  /* ticket: of the one who asks */
    MAIN_MESSAGE_APPLIED,     /* the answer to APPLY */
    MAIN_MESSAGE_FAULT,       /* the answer to APPLY; text: why not */
    MAIN_MESSAGE_UPGRADE_ASK, /* ticket: of the one who asks */
    MAIN_MESSAGE_PONG,        /* value: of the PING that main thread and workers have answered */
    MAIN_MESSAGE_LEVEL,       /* ticket: enum log_level; value: for so many seconds, 0: always */
    MAIN_MESSAGE_DRAIN_ASK,   /* value: as the ticket of DRAIN; fds: [0] who asks */
    MAIN_MESSAGE_DIFF_ASK, /* ticket: of the one who asks; fds: [0] a bundle, none: the file on disk; text:
                              what it is called */
    MAIN_MESSAGE_DRAINED, /* value: connections whose requests are not finished */
    /* parent to child */
    MAIN_MESSAGE_SOCKETS, /* descriptors that belong to the next APPLY */
    MAIN_MESSAGE_APPLY,   /* value: generation; fds: [0] the bundle */
    MAIN_MESSAGE_REFUSED, /* a reload was refused before it got to you; text: the report */
    MAIN_MESSAGE_REOPEN,
    MAIN_MESSAGE_DRAIN, /* value: for how many ms to be unready only, before that; ticket: how many ms
                              requests have then, and 1; 0: as configured */
    MAIN_MESSAGE_STOP,     /* now */
    MAIN_MESSAGE_UPGRADED, /* the answer to UPGRADE_ASK; value: HTTP status; text: JSON, or why not */
    MAIN_MESSAGE_DIFF, /* the answer to DIFF_ASK; value: HTTP status; text: JSON, or the report */
    MAIN_MESSAGE_FILE, /* value: 1 when the file on disk is not what runs */
    MAIN_MESSAGE_GIVE_WAY, /* another process serves; the next order is DRAIN */
    MAIN_MESSAGE_PING,
    MAIN_MESSAGE_GO, /* to who was started while another process served: accept from here on */
    /* from one parent to the other, see main_takeover.h; which may be of another version, so these numbers stay */
    MAIN_MESSAGE_TAKEOVER_READY = 1000, /* it could serve, and waits for GO; text: its version */
    MAIN_MESSAGE_TAKEOVER_FAULT,        /* it cannot, whatever it said before; text: why */
    MAIN_MESSAGE_TAKEOVER_DONE,         /* it alone serves what comes from here on */
    MAIN_MESSAGE_TAKEOVER_GO,           /* its child may accept beside ours */
    MAIN_MESSAGE_TAKEOVER_SERVES,       /* the answer: it does */
};

struct main_message {
    enum main_message_kind kind;
    uint32_t ticket; /* 0: nobody waits for an answer */
    uint32_t value;
    struct span text; /* valid until the next message is received */
    int fds[MAIN_CHANNEL_FDS_MAX];
    unsigned fd_count; /* the receiver owns them */
};

/* Both ends close-on-exec and non-blocking. */
MUST_USE enum err main_channel_open(int fds[2]);

/* Text beyond the maximum is cut.  ERR_AGAIN: the other side does not read. */
MUST_USE enum err main_channel_send(int fd, const struct main_message *message);

/* ERR_AGAIN: nothing there; ERR_CLOSED: the other side is gone; ERR_INVALID: not a message. */
MUST_USE enum err main_channel_receive(int fd, struct main_message *message, char *buffer);
#define MAIN_CHANNEL_BUFFER_BYTES (MAIN_CHANNEL_TEXT_MAX + 64)

#endif
