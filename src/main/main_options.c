/* SPDX-License-Identifier: Apache-2.0 */
/* main_options.c - see main_options.h.  "-c FILE", "-cFILE", "--config FILE" and "--config=FILE" are the
 * same; "--" ends the options. */
#include "main/main_options.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "config/config_near.h"

const struct main_option_row MAIN_OPTION_ROWS[] = {
    {MAIN_OPTION_FILE, 'c', "config", "FILE",
     "the configuration (default /etc/sluice/sluice.json, else conf/sluice.json)"},
    {MAIN_OPTION_SOCKET, 's', "socket", "SOCKET",
     "the admin socket of the running instance (default: as the configuration says)"},
    {MAIN_OPTION_JSON, 0, "json", NULL, "print JSON"},
    {MAIN_OPTION_DUMP, 0, "dump", NULL, "print the effective configuration with all defaults"},
    {MAIN_OPTION_HEADER, 'H', "header", "FIELD",
     "a header of the request, such as 'X-Api-Key: abc'"},
    {MAIN_OPTION_IP, 0, "ip", "ADDRESS", "who connects (default 127.0.0.1)"},
    {MAIN_OPTION_LISTENER, 0, "listener", "NAME", "where (default: the first listener)"},
    {MAIN_OPTION_QUOTA, 0, "quota", "NAME", "of this quota only (default: of all)"},
    {MAIN_OPTION_FOR, 0, "for", "TIME", "how long, such as 30m or 2h"},
    {MAIN_OPTION_DEADLINE, 0, "deadline", "TIME", "how long it may take, such as 10s"},
    {MAIN_OPTION_POLICY, 0, "policy", "FILE", "the configuration to try"},
    {MAIN_OPTION_QUERY, 'q', "query", "EXPR", "only lines such as 'route=search & status>=500'"},
    {MAIN_OPTION_REFUSED, 0, "refused", NULL, "only what a quota refused"},
    {MAIN_OPTION_HTML, 0, "html", NULL, "print a page for a browser"},
    {MAIN_OPTION_OUTPUT, 0, "output", "FILE", "write it into this file instead"},
    {MAIN_OPTION_ACL, 0, "acl", NULL, "print the user that Redis must have for it"},
    {MAIN_OPTION_LIVE, 0, "live", NULL, "ask the store too, as `sluice doctor` does"},
    {MAIN_OPTION_NOW, 0, "live", NULL, "ask the running instance: what is used, and the verdict"},
    {MAIN_OPTION_WORST, 0, "refused", NULL, "those first who were refused most"},
    {MAIN_OPTION_NEW_KEY, 0, "new-key", NULL, "print a new key for SLUICE_KEY_FILE instead"},
    {MAIN_OPTION_SANDBOX, 0, "sandbox", "on|off",
     "what the serving process may ask of the kernel is limited (default on); off to debug"},
    {MAIN_OPTION_FORCE, 0, "force", NULL, "even if no server is left to take requests"},
    {MAIN_OPTION_PORT, 0, "port", "PORT", "listen on this port (default: any that is free)"},
    {MAIN_OPTION_HELP, 'h', "help", NULL, "print this help"},
};
const unsigned MAIN_OPTION_ROW_COUNT = sizeof(MAIN_OPTION_ROWS) / sizeof(MAIN_OPTION_ROWS[0]);

static const struct main_option_row *options_by_letter(unsigned allowed, char letter)
{
    for (unsigned i = 0; i < MAIN_OPTION_ROW_COUNT; i++)
        if (MAIN_OPTION_ROWS[i].letter == letter && (allowed & MAIN_OPTION_ROWS[i].option) != 0)
            return &MAIN_OPTION_ROWS[i];
    return NULL;
}

static const struct main_option_row *options_by_name(unsigned allowed, struct span name)
{
    for (unsigned i = 0; i < MAIN_OPTION_ROW_COUNT; i++)
        if ((allowed & MAIN_OPTION_ROWS[i].option) != 0 &&
            span_eq(span_of(MAIN_OPTION_ROWS[i].name), name))
            return &MAIN_OPTION_ROWS[i];
    return NULL;
}

static void options_unknown(unsigned allowed, const char *given, struct span name, char *fault)
{
    struct config_near near = config_near_to(name);
    for (unsigned i = 0; i < MAIN_OPTION_ROW_COUNT; i++)
        if ((allowed & MAIN_OPTION_ROWS[i].option) != 0)
            config_near_try(&near, span_of(MAIN_OPTION_ROWS[i].name), false);
    if (near.best.ptr == NULL)
        snprintf(fault, MAIN_FAULT_MAX, "unknown option \"%.100s\"", given);
    else
        snprintf(fault, MAIN_FAULT_MAX, "unknown option \"%.100s\" (did you mean \"--%.*s\"?)",
                 given, (int)near.best.len, near.best.ptr);
}

/* Where the value of an option that may be given once is kept. */
static const struct options_place {
    enum main_option option;
    size_t at;
} OPTIONS_PLACES[] = {
    {MAIN_OPTION_FILE, offsetof(struct main_options, file)},
    {MAIN_OPTION_SOCKET, offsetof(struct main_options, socket)},
    {MAIN_OPTION_IP, offsetof(struct main_options, ip)},
    {MAIN_OPTION_LISTENER, offsetof(struct main_options, listener)},
    {MAIN_OPTION_QUOTA, offsetof(struct main_options, quota)},
    {MAIN_OPTION_FOR, offsetof(struct main_options, for_text)},
    {MAIN_OPTION_DEADLINE, offsetof(struct main_options, deadline)},
    {MAIN_OPTION_POLICY, offsetof(struct main_options, policy)},
    {MAIN_OPTION_QUERY, offsetof(struct main_options, query)},
    {MAIN_OPTION_OUTPUT, offsetof(struct main_options, output)},
    {MAIN_OPTION_SANDBOX, offsetof(struct main_options, sandbox)},
    {MAIN_OPTION_PORT, offsetof(struct main_options, port)},
};

/* False: there are too many of them. */
static bool options_store(struct main_options *options, enum main_option option, const char *value)
{
    options->given |= option;
    for (size_t i = 0; i < sizeof(OPTIONS_PLACES) / sizeof(OPTIONS_PLACES[0]); i++)
        if (OPTIONS_PLACES[i].option == option)
            memcpy((char *)options + OPTIONS_PLACES[i].at, &value, sizeof(value));
    if (option != MAIN_OPTION_HEADER)
        return true;
    if (options->header_count == MAIN_HEADERS_MAX)
        return false;
    options->headers[options->header_count++] = value;
    return true;
}

/* One argument that begins with "-".  *value is what stands behind "=" or the letter, NULL when nothing
 * does. */
static const struct main_option_row *options_row(unsigned allowed, const char *argument,
                                                 const char **value, char *fault)
{
    const struct main_option_row *row;
    *value = NULL;
    if (argument[1] != '-') {
        row = options_by_letter(allowed, argument[1]);
        if (row != NULL && argument[2] != '\0')
            *value = argument + 2;
        if (row == NULL)
            options_unknown(allowed, argument, span_of(argument + 1), fault);
        return row;
    }
    struct span name = span_of(argument + 2);
    size_t equals = span_find(name, '=');
    if (equals < name.len)
        *value = argument + 2 + equals + 1;
    name.len = equals;
    row = options_by_name(allowed, name);
    if (row == NULL)
        options_unknown(allowed, argument, name, fault);
    return row;
}

static bool options_word(struct main_options *options, unsigned allowed, const char *argument,
                         char *fault)
{
    if ((allowed & MAIN_OPTION_FILES) != 0 && options->file_count < MAIN_FILES_MAX) {
        options->given |= MAIN_OPTION_FILES;
        options->files[options->file_count++] = argument;
        return true;
    }
    unsigned most = (allowed & MAIN_OPTION_WORDS) != 0  ? MAIN_WORDS_MAX
                    : (allowed & MAIN_OPTION_WORD) != 0 ? 1
                                                        : 0;
    if (options->word_count == most) {
        snprintf(fault, MAIN_FAULT_MAX, "unexpected argument \"%.100s\"", argument);
        return false;
    }
    options->given |= most > 1 ? MAIN_OPTION_WORDS : MAIN_OPTION_WORD;
    options->words[options->word_count++] = argument;
    options->word = options->words[0];
    return true;
}

bool main_options_parse(struct main_options *options, unsigned allowed, int argc, char *const *argv,
                        char fault[MAIN_FAULT_MAX])
{
    bool is_words_only = false;
    *options = (struct main_options){0};
    allowed |= MAIN_OPTION_HELP;
    for (int i = 0; i < argc; i++) {
        const char *argument = argv[i], *value;
        if (is_words_only || argument[0] != '-' || argument[1] == '\0') {
            if (!options_word(options, allowed, argument, fault))
                return false;
            continue;
        }
        if (strcmp(argument, "--") == 0) {
            is_words_only = true;
            continue;
        }
        const struct main_option_row *row = options_row(allowed, argument, &value, fault);
        if (row == NULL)
            return false;
        if (row->value == NULL && value != NULL) {
            snprintf(fault, MAIN_FAULT_MAX, "option \"--%s\" takes no value", row->name);
            return false;
        }
        if (row->value != NULL && value == NULL)
            value = ++i < argc ? argv[i] : NULL;
        if (row->value != NULL && (value == NULL || value[0] == '\0')) {
            snprintf(fault, MAIN_FAULT_MAX, "option \"--%s\" needs a %s", row->name, row->value);
            return false;
        }
        if (!options_store(options, row->option, value)) {
            snprintf(fault, MAIN_FAULT_MAX, "too many options \"--%s\"", row->name);
            return false;
        }
    }
    return true;
}
