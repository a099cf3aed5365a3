/* SPDX-License-Identifier: Apache-2.0 */
/* main_exit.h - the exit codes of every verb.  Documented; scripts and unit files rely on them. */
#ifndef SLUICE_MAIN_EXIT_H
#define SLUICE_MAIN_EXIT_H

enum main_exit {
    MAIN_EXIT_OK = 0,
    MAIN_EXIT_NO = 1, /* it ran, and the answer is no: unknown, ambiguous, not as it should be */
    MAIN_EXIT_USAGE = 2,
    MAIN_EXIT_CONFIG = 3,      /* the configuration is invalid */
    MAIN_EXIT_LISTEN = 4,      /* an address cannot be listened on, or too few descriptors for it */
    MAIN_EXIT_UNAVAILABLE = 5, /* a secret, a log, the state file or the store cannot be had, or
                                  the instance cannot do it just now */
    MAIN_EXIT_NOT_RUNNING = 6, /* no instance answers on the admin socket */
    MAIN_EXIT_PERMISSION = 7,
    MAIN_EXIT_REFUSED = 8, /* reload, upgrade or drain refused, all stays as it was */
    MAIN_EXIT_DEADLINE = 9,
    MAIN_EXIT_INTERNAL = 10,
};

#endif
