/* SPDX-License-Identifier: Apache-2.0 */
/* main_options.h - the words of the command line.  Takes: argv and what a verb understands.  Gives: the
 * options, or a sentence with a suggestion.  Pure. */
#ifndef SLUICE_MAIN_OPTIONS_H
#define SLUICE_MAIN_OPTIONS_H

#include <stdbool.h>

#include "base/base_span.h"

/* As bits of a verb's set. */
enum main_option {
    MAIN_OPTION_FILE = 1 << 0,      /* -c FILE, --config FILE */
    MAIN_OPTION_SOCKET = 1 << 1,    /* -s SOCKET, --socket SOCKET */
    MAIN_OPTION_JSON = 1 << 2,      /* --json */
    MAIN_OPTION_DUMP = 1 << 3,      /* --dump */
    MAIN_OPTION_HELP = 1 << 4,      /* -h, --help; every verb has it */
    MAIN_OPTION_WORD = 1 << 5,      /* one word that is no option */
    MAIN_OPTION_WORDS = 1 << 6,     /* up to MAIN_WORDS_MAX of them */
    MAIN_OPTION_NEW_KEY = 1 << 7,   /* --new-key */
    MAIN_OPTION_HEADER = 1 << 8,    /* -H FIELD, --header FIELD; as often as wanted */
    MAIN_OPTION_IP = 1 << 9,        /* --ip ADDRESS */
    MAIN_OPTION_LISTENER = 1 << 10, /* --listener NAME */
    MAIN_OPTION_QUOTA = 1 << 11,    /* --quota NAME */
    MAIN_OPTION_FOR = 1 << 12,      /* --for TIME */
    MAIN_OPTION_ACL = 1 << 13,      /* --acl */
    MAIN_OPTION_LIVE = 1 << 14,     /* --live */
    MAIN_OPTION_FILES = 1 << 15,    /* up to MAIN_FILES_MAX of them; "-" is one */
    MAIN_OPTION_POLICY = 1 << 16,   /* --policy FILE */
    MAIN_OPTION_QUERY = 1 << 17,    /* -q EXPR, --query EXPR */
    MAIN_OPTION_REFUSED = 1 << 18,  /* --refused, of lines */
    MAIN_OPTION_HTML = 1 << 19,     /* --html */
    MAIN_OPTION_OUTPUT = 1 << 20,   /* --output FILE */
    MAIN_OPTION_WORST = 1 << 21,    /* --refused, of subjects */
    MAIN_OPTION_DEADLINE = 1 << 22, /* --deadline TIME */
    MAIN_OPTION_SANDBOX = 1 << 23,  /* --sandbox on|off */
    MAIN_OPTION_FORCE = 1 << 27,    /* --force */
    MAIN_OPTION_NOW = 1 << 28,      /* --live, of a running instance */
    MAIN_OPTION_PORT = 1 << 29,     /* --port PORT */
};

#define MAIN_WORDS_MAX   2
#define MAIN_FILES_MAX   1000
#define MAIN_HEADERS_MAX 100

struct main_options {
    char *const *line; /* all words, from the program on */
    unsigned given;    /* MAIN_OPTION bits */
    const char *file;  /* borrowed from argv, as all that follow but for what is counted */
    const char *socket;
    const char *ip;
    const char *listener;
    const char *quota;
    const char *for_text;
    const char *policy;
    const char *query;
    const char *output;
    const char *deadline;
    const char *sandbox;
    const char *port;
    const char *headers[MAIN_HEADERS_MAX];
    unsigned header_count;
    const char *word; /* the first */
    const char *words[MAIN_WORDS_MAX];
    unsigned word_count;
    const char *files[MAIN_FILES_MAX]; /* words where they are many */
    unsigned file_count;
};

#define MAIN_FAULT_MAX 256

/* argv begins behind the verb.  False: `fault` says what is wrong. */
bool main_options_parse(struct main_options *options, unsigned allowed, int argc, char *const *argv,
                        char fault[MAIN_FAULT_MAX]);

/* An option as it is written and as help shows it. */
struct main_option_row {
    enum main_option option;
    char letter;       /* 0: none */
    const char *name;  /* without dashes */
    const char *value; /* "FILE"; NULL: takes none */
    const char *help;
};
extern const struct main_option_row MAIN_OPTION_ROWS[];
extern const unsigned MAIN_OPTION_ROW_COUNT;

#endif
