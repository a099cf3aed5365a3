/* SPDX-License-Identifier: Apache-2.0 */
/* main_dashboard.c - `sluice dashboard`: the live page of the running instance at an address that a browser can open.  Takes: the
 * options.  Gives: the address, and what it shows until a signal comes.  The key is in no argument and no file: other users
 * of the machine do not get to see it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/base_parse.h"
#include "base/base_rng.h"
#include "main/main_exit.h"
#include "main/main_instance.h"
#include "main/main_relay.h"
#include "main/main_verbs.h"

#define DASHBOARD_TIMEOUT_US 5000000

/* Readable once one of the signals that end a verb has come; -1 with errno. */
static int open_end(void)
{
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &ends, NULL) != 0)
        return -1;
    return signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Is there an instance that has something to show?  The exit code. */
static int try_instance(const struct main_options *options)
{
    struct admin_client_reply reply;
    uint64_t file_hash;
    int exit_code =
        main_instance_ask(options, "GET", "/v1/live", DASHBOARD_TIMEOUT_US, &reply, &file_hash);
    if (exit_code != MAIN_EXIT_OK)
        return exit_code;
    if (reply.status != 200)
        exit_code = main_instance_problem(&reply, main_instance_exit(reply.status));
    admin_client_reply_fini(&reply);
    return exit_code;
}

static int print_address(const struct main_options *options, const struct admin_relay *relay)
{
    char line[128];
    const bool is_json = (options->given & MAIN_OPTION_JSON) != 0;
    snprintf(line, sizeof(line), is_json ? "{\"url\":\"http://%s/%s/\"}\n" : "http://%s/%s/\n",
             relay->hosts[0], relay->key);
    const int exit_code = main_verb_print(line, MAIN_EXIT_OK);
    if (exit_code == MAIN_EXIT_OK && !is_json)
        fputs("open it in a browser; ^C ends it\n", stderr);
    return exit_code;
}

static int serve(const struct main_options *options, int listener, uint16_t port)
{
    uint8_t key[ADMIN_RELAY_KEY_BYTES];
    struct admin_relay relay;
    uint64_t file_hash;
    const int end_fd = open_end();
    char *address = end_fd < 0 ? NULL : main_instance_socket(options, &file_hash);
    int exit_code = MAIN_EXIT_INTERNAL;
    if (address == NULL) {
        fprintf(stderr, "sluice: %s\n", strerror(end_fd < 0 ? errno : ENOMEM));
        goto out;
    }
    rng_secret(key, sizeof(key));
    admin_relay_init(&relay, key, port);
    exit_code = print_address(options, &relay);
    if (exit_code == MAIN_EXIT_OK && main_relay_serve(listener, end_fd, &relay, address) != 0) {
        perror("sluice: dashboard");
        exit_code = MAIN_EXIT_INTERNAL;
    }
out:
    free(address);
    if (end_fd >= 0)
        close(end_fd);
    return exit_code;
}

int main_verb_dashboard(const struct main_options *options)
{
    uint64_t number = 0;
    if (options->port != NULL &&
        (!parse_u64(span_of(options->port), &number) || number == 0 || number > UINT16_MAX)) {
        fputs("sluice: --port is a number from 1 to 65535\n", stderr);
        return MAIN_EXIT_USAGE;
    }
    int exit_code = try_instance(options);
    if (exit_code != MAIN_EXIT_OK)
        return exit_code;
    uint16_t port = (uint16_t)number;
    const int listener = main_relay_listen(&port);
    if (listener < 0) {
        fprintf(stderr, "sluice: 127.0.0.1:%u: %s\n", port, strerror(errno));
        return MAIN_EXIT_LISTEN;
    }
    exit_code = serve(options, listener, port);
    close(listener);
    return exit_code;
}
