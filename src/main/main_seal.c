/* SPDX-License-Identifier: Apache-2.0 */
/* main_seal.c - `sluice seal`: a secret from the standard input, sealed for the configuration.  Never: takes a secret
 * from the command line, or shows one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_seal.h"
#include "main/main_exit.h"
#include "main/main_verbs.h"

static int print_new_key(void)
{
    char text[CONFIG_SEAL_KEY_TEXT + 2];
    config_seal_key_make(text);
    text[CONFIG_SEAL_KEY_TEXT] = '\n';
    text[CONFIG_SEAL_KEY_TEXT + 1] = '\0';
    int exit_code = main_verb_print(text, MAIN_EXIT_OK);
    explicit_bzero(text, sizeof(text));
    return exit_code;
}

static int read_key(struct config_seal_key *key)
{
    const char *path = getenv(CONFIG_SEAL_KEY_SETTING);
    struct main_bundle bundle;
    char why[256];
    if (path == NULL || *path != '/') {
        fputs("sluice: " CONFIG_SEAL_KEY_SETTING " must name the key file by an absolute path; "
              "`sluice seal --new-key` prints a key for it\n",
              stderr);
        return MAIN_EXIT_UNAVAILABLE;
    }
    if (!main_bundle_read(&bundle, path, why)) {
        fprintf(stderr, "sluice: %s\n", why);
        return MAIN_EXIT_UNAVAILABLE;
    }
    bool is_good = config_seal_key_parse(key, bundle.files[0].text);
    if (!is_good)
        fprintf(stderr, "sluice: %s holds no key as `sluice seal --new-key` prints it\n", path);
    main_bundle_fini(&bundle);
    return is_good ? MAIN_EXIT_OK : MAIN_EXIT_UNAVAILABLE;
}

static int print_sealed(const struct config_seal_key *key, struct span secret)
{
    char text[CONFIG_SEAL_TEXT_MAX + 1], line[CONFIG_SEAL_TEXT_MAX + 32];
    size_t len;
    if (secret.len > 0 && secret.ptr[secret.len - 1] == '\n')
        secret.len--;
    if (secret.len == 0 || secret.len > CONFIG_SEAL_SECRET_MAX) {
        fprintf(stderr, "sluice: the standard input must hold a secret of 1 to %d bytes\n",
                CONFIG_SEAL_SECRET_MAX);
        return MAIN_EXIT_USAGE;
    }
    if (config_seal(key, secret, text, &len) != ERR_OK)
        return main_verb_print(NULL, MAIN_EXIT_INTERNAL);
    snprintf(line, sizeof(line), "{\"sealed\": \"%.*s\"}\n", (int)len, text);
    return main_verb_print(line, MAIN_EXIT_OK);
}

int main_verb_seal(const struct main_options *options)
{
    struct config_seal_key key;
    char secret[CONFIG_SEAL_SECRET_MAX + 2];
    if ((options->given & MAIN_OPTION_NEW_KEY) != 0)
        return print_new_key();
    int exit_code = read_key(&key);
    if (exit_code != MAIN_EXIT_OK)
        return exit_code;
    size_t len = fread(secret, 1, sizeof(secret), stdin);
    exit_code = print_sealed(&key, (struct span){secret, len});
    explicit_bzero(secret, sizeof(secret));
    config_seal_key_wipe(&key);
    return exit_code;
}
