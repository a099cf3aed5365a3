/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the verbs: one table, from which the command line is understood and the help is printed. */
#include <stdio.h>
#include <string.h>

#include "config/config_near.h"
#include "main/main_completion.h"
#include "main/main_exit.h"
#include "main/main_options.h"
#include "main/main_verbs.h"

struct main_verb {
    const char *name;
    int (*run)(const struct main_options *options);
    unsigned options;    /* MAIN_OPTION bits */
    const char *summary; /* one line */
    const char *detail;
};

static int verb_help(const struct main_options *options);
static int verb_completion(const struct main_options *options);

#define SUBJECT_USAGE(words)                                                                       \
    "usage: sluice " words "\n\n"                                                                  \
    "SUBJECT is a name or address of an identity that is shown in clear, or the 22 characters "    \
    "of\n"                                                                                         \
    "log lines and `sluice hash`; where that could be several, IDENTITY:SUBJECT or "               \
    "SOURCE:SUBJECT.\n"                                                                            \
    "For a key of several identities: their values with commas between them.\n\n"

static const struct main_verb VERBS[] = {
    {"run", main_verb_run, MAIN_OPTION_FILE | MAIN_OPTION_SANDBOX, "serve, in the foreground",
     "Signals: TERM, INT and QUIT let responses in progress finish (a second one: stop at once),\n"
     "HUP reloads the configuration, USR1 opens the log files again, USR2 lets the program file as "
     "it "
     "is now\n"
     "take over (as `sluice upgrade`).  Under systemd: notification, watchdog, sockets of a "
     ".socket "
     "unit.\n"},
    {"check", main_verb_check,
     MAIN_OPTION_FILE | MAIN_OPTION_DUMP | MAIN_OPTION_JSON | MAIN_OPTION_ACL | MAIN_OPTION_LIVE,
     "say everything that is wrong with a configuration",
     "Opens no socket, but with --live.  Exit code 0: good; 3: there are errors; 5: a secret "
     "cannot "
     "be had.\n"},
    {"doctor", main_verb_doctor, MAIN_OPTION_FILE | MAIN_OPTION_JSON,
     "look over the store that a configuration names",
     "Connects to Redis as a proxy would: version, role, eviction, persistence, missing rights by "
     "name,\n"
     "clock, latency, and whether the other proxies have the same secret.  Changes nothing.  Exit "
     "code "
     "0:\n"
     "good, perhaps with warnings; 1: something is wrong; 5: it cannot be reached or lets nobody "
     "in.\n"},
    {"explain", main_verb_explain,
     MAIN_OPTION_FILE | MAIN_OPTION_SOCKET | MAIN_OPTION_HEADER | MAIN_OPTION_IP |
         MAIN_OPTION_LISTENER | MAIN_OPTION_NOW | MAIN_OPTION_JSON | MAIN_OPTION_WORDS,
     "say which route, identities and quotas a request would meet",
     "usage: sluice explain METHOD URL [-H FIELD]... [--ip ADDRESS] [--live]\n\n"
     "Reads the configuration alone: nothing is sent, asked or counted, so there is no verdict.  "
     "With\n"
     "--live the running instance says what is used at this moment and what the request would be\n"
     "answered; that consumes nothing either.  Exit code of --live 0: it would be admitted, 1: it\n"
     "would be refused, 6: no instance runs.  URL is http://HOST/PATH or /PATH.  Secret values "
     "show as the\n"
     "22 characters that logs have.\n"},
    {"hash", main_verb_hash, MAIN_OPTION_FILE | MAIN_OPTION_JSON | MAIN_OPTION_WORDS,
     "print what logs and \"members\" call a subject",
     "usage: sluice hash IDENTITY [VALUE]\n\n"
     "IDENTITY is the name of one, or a source such as header:X-Api-Key.  Without VALUE, or with "
     "\"-\",\n"
     "one line is read from the standard input, so that a token need not stand in the list of "
     "processes.\n"},
    {"reload", main_verb_reload, MAIN_OPTION_FILE | MAIN_OPTION_SOCKET | MAIN_OPTION_JSON,
     "let the running instance read its configuration again",
     "Waits for the outcome and prints what changed, or why it was refused (exit code 8; the old\n"
     "configuration stays in force).\n"},
    {"upgrade", main_verb_upgrade,
     MAIN_OPTION_FILE | MAIN_OPTION_SOCKET | MAIN_OPTION_JSON | MAIN_OPTION_DEADLINE,
     "let the installed program take over from the running one",
     "The program file that the service was started by is started again and gets the listening "
     "sockets and\n"
     "the counters.  When it serves, the old one finishes its requests and ends.  Exit code 8: "
     "refused, 9: it\n"
     "did not serve before the deadline (30s); the old one goes on as if nothing had happened.\n"},
    {"diff", main_verb_diff,
     MAIN_OPTION_FILE | MAIN_OPTION_SOCKET | MAIN_OPTION_JSON | MAIN_OPTION_WORD,
     "say what a reload would change",
     "usage: sluice diff [FILE]\n\n"
     "Compares what runs with its file on disk, or with FILE, which is sent; changes nothing.  "
     "Exit "
     "code 0: the\n"
     "same; 1: different; 3: the file is invalid; 6: no running instance.\n"},
    {"drain", main_verb_drain,
     MAIN_OPTION_FILE | MAIN_OPTION_SOCKET | MAIN_OPTION_JSON | MAIN_OPTION_DEADLINE,
     "end the running instance when its requests are finished",
     "As TERM does: for limits.drain_announce it is only not ready, then nobody is accepted any "
     "more and "
     "what is in\n"
     "progress has limits.drain_timeout, or --deadline TIME.  Waits until the instance is gone.  "
     "Exit code "
     "0: all\n"
     "requests were finished; 9: the deadline passed; 8: another process has taken over, or 16 "
     "wait already; "
     "6: none\n"
     "is running; 10: it failed while it ended.\n"},
    {"status", main_verb_status, MAIN_OPTION_FILE | MAIN_OPTION_SOCKET | MAIN_OPTION_JSON,
     "show how the running instance is", ""},
    {"top", main_verb_top,
     MAIN_OPTION_FILE | MAIN_OPTION_SOCKET | MAIN_OPTION_JSON | MAIN_OPTION_QUOTA |
         MAIN_OPTION_WORST,
     "show who takes most of each quota, or is refused most",
     "Of the last 2.5 to 5 minutes, the ten first of each quota.  Exit code 1: there is no quota "
     "of "
     "this name.\n"},
    {"upstreams", main_verb_upstreams,
     MAIN_OPTION_FILE | MAIN_OPTION_SOCKET | MAIN_OPTION_JSON | MAIN_OPTION_FORCE |
         MAIN_OPTION_WORDS,
     "show how servers are, or keep requests away from one",
     "usage: sluice upstreams [UPSTREAM]\n"
     "       sluice upstreams drain|down|ready UPSTREAM/SERVER [--force]\n\n"
     "SERVER is the address as the configuration has it.  drain: it gets no new requests, those in "
     "progress\n"
     "finish; down: the same, and kept connections to it are closed; ready: as checks and failures "
     "say.  An\n"
     "order holds over reloads, restarts and upgrades, as long as the server is configured.  Exit "
     "code 1: there\n"
     "is no such server, or it is the last usable one and --force was not given.\n"},
    {"errors", main_verb_errors, MAIN_OPTION_FILE | MAIN_OPTION_SOCKET | MAIN_OPTION_JSON,
     "show the last messages that were refused as malformed",
     "Up to 64 requests of clients and responses of servers, with the byte at fault.  Values that "
     "no "
     "log\n"
     "shows are masked.\n"},
    {"dashboard", main_verb_dashboard,
     MAIN_OPTION_FILE | MAIN_OPTION_SOCKET | MAIN_OPTION_JSON | MAIN_OPTION_PORT,
     "show the running instance live, in a browser",
     "Prints an address of 127.0.0.1 with a random key in it, and passes on the page and its "
     "numbers "
     "from the\n"
     "admin socket, and nothing else, until ^C.  From another machine: ssh -L 9182:127.0.0.1:9182 "
     "HOST\n"
     "sluice dashboard --port 9182.\n"},
    {"show", main_verb_show,
     MAIN_OPTION_FILE | MAIN_OPTION_SOCKET | MAIN_OPTION_JSON | MAIN_OPTION_QUOTA |
         MAIN_OPTION_WORDS,
     "show what is counted for one subject",
     SUBJECT_USAGE("show SUBJECT [--quota NAME]") "Consumes nothing.  Exit code 1: nothing is "
                                                  "counted for it.\n"},
    {"reset", main_verb_reset,
     MAIN_OPTION_FILE | MAIN_OPTION_SOCKET | MAIN_OPTION_JSON | MAIN_OPTION_QUOTA |
         MAIN_OPTION_WORDS,
     "let all windows of one subject begin anew",
     SUBJECT_USAGE(
         "reset SUBJECT [--quota NAME]") "In all proxies that share the store.  The access log "
                                         "says who did it.  Exit code 1: nothing is\n"
                                         "counted for it, or the name means several.\n"},
    {"grant", main_verb_grant,
     MAIN_OPTION_FILE | MAIN_OPTION_SOCKET | MAIN_OPTION_JSON | MAIN_OPTION_QUOTA |
         MAIN_OPTION_FOR | MAIN_OPTION_WORDS,
     "raise the limits of one subject for a while",
     SUBJECT_USAGE("grant SUBJECT +N --for TIME [--quota NAME]") "Every limit is N higher until "
                                                                 "then; a second grant replaces "
                                                                 "the first, and +0 ends it.\n"},
    {"tail", main_verb_tail,
     MAIN_OPTION_FILE | MAIN_OPTION_SOCKET | MAIN_OPTION_JSON | MAIN_OPTION_QUERY |
         MAIN_OPTION_REFUSED,
     "show lines of the access log as they are written",
     "A sentence for each request and event; with --json the lines as they are.  EXPR: conditions "
     "joined\n"
     "with &, of a field, one of = != > >= < <= and a value, such as\n"
     "'route=search & status>=500 & t_total>100ms' or 'subject=alice|bob'.  Traffic never waits "
     "for "
     "it: a\n"
     "reader that is too slow loses lines and is told how many.\n"},
    {"log", main_verb_log,
     MAIN_OPTION_FILE | MAIN_OPTION_SOCKET | MAIN_OPTION_JSON | MAIN_OPTION_FOR | MAIN_OPTION_WORDS,
     "open the log files again, or raise the error log's level for a while",
     "usage: sluice log reopen\n"
     "       sluice log level LEVEL [--for TIME]\n\n"
     "LEVEL is debug, info, warn or error, for 10m if nothing else is said and 24h at most; then "
     "the "
     "level of\n"
     "the configuration is in force again, as it is behind a reload and with \"configured\".  Exit "
     "code 5: a file\n"
     "cannot be opened (the old one is kept).\n"},
    {"replay", main_verb_replay,
     MAIN_OPTION_FILE | MAIN_OPTION_POLICY | MAIN_OPTION_JSON | MAIN_OPTION_FILES,
     "say whom another configuration would have refused",
     "usage: sluice replay [-c FILE] --policy FILE LOG...\n\n"
     "-c is the configuration that served, --policy the one to try, LOG as for `sluice verify`.  "
     "First the\n"
     "old one is replayed; only if its decisions come out as logged is the new one judged.  Exit "
     "code 1:\n"
     "they do not.\n"},
    {"report", main_verb_report,
     MAIN_OPTION_FILE | MAIN_OPTION_JSON | MAIN_OPTION_HTML | MAIN_OPTION_OUTPUT |
         MAIN_OPTION_FILES,
     "sum up access logs: who was refused by what, and how long it took",
     "usage: sluice report [-c FILE] [--json | --html] [--output FILE] LOG...\n\n"
     "LOG is as for `sluice verify`, and so is -c.  Exit code 0, whatever the logs tell.\n"},
    {"verify", main_verb_verify, MAIN_OPTION_FILE | MAIN_OPTION_JSON | MAIN_OPTION_FILES,
     "prove from access logs that no quota was over-admitted",
     "usage: sluice verify [-c FILE] LOG...\n\n"
     "LOG is an access log of any proxy of the fleet, rotated or not, in any order; \"-\" is the "
     "standard\n"
     "input.  Give all of them.  With -c the configuration tells which identities a quota counts "
     "by.\n"
     "Exit code 0: no window admitted more than its limit and no line is missing; 1: one did, or "
     "lines\n"
     "or charges are missing, or there is no line at all.\n"},
    {"seal", main_verb_seal, MAIN_OPTION_NEW_KEY,
     "make a secret that may stand in the configuration",
     "Reads the secret from the standard input (a newline at its end does not count), encrypts it "
     "with the\n"
     "key in the file that SLUICE_KEY_FILE names, and prints what to write for it: {\"sealed\": "
     "\"...\"}.\n"},
    {"schema", main_verb_schema, 0, "print the JSON Schema of the configuration", ""},
    {"completion", verb_completion, MAIN_OPTION_WORD, "print what a shell needs to complete words",
     "usage: sluice completion bash\n\n"
     "For this shell: source <(sluice completion bash).  For all:\n"
     "sluice completion bash > /usr/share/bash-completion/completions/sluice\n"},
    {"version", main_verb_version, MAIN_OPTION_JSON, "print the version", ""},
    {"help", verb_help, MAIN_OPTION_WORD, "print this, or the help of a verb", ""},
};
#define VERB_COUNT (sizeof(VERBS) / sizeof(VERBS[0]))

static const struct main_verb *verb_find(const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (strcmp(VERBS[i].name, name) == 0)
            return &VERBS[i];
    return NULL;
}

static void print_options(FILE *out, unsigned allowed)
{
    for (unsigned i = 0; i < MAIN_OPTION_ROW_COUNT; i++) {
        const struct main_option_row *row = &MAIN_OPTION_ROWS[i];
        char words[64];
        if ((allowed & row->option) == 0)
            continue;
        snprintf(words, sizeof(words), "%c%c%c --%s%s%s", row->letter != 0 ? '-' : ' ',
                 row->letter != 0 ? row->letter : ' ', row->letter != 0 ? ',' : ' ', row->name,
                 row->value != NULL ? " " : "", row->value != NULL ? row->value : "");
        fprintf(out, "  %-24s %s\n", words, row->help);
    }
}

static void print_usage(FILE *out)
{
    fputs("Sluice " SLUICE_VERSION
          ": a rate-limiting reverse proxy.\n\nusage: sluice VERB [OPTION...]\n\n",
          out);
    for (size_t i = 0; i < VERB_COUNT; i++)
        fprintf(out, "  %-10s %s\n", VERBS[i].name, VERBS[i].summary);
    fputs("\n`sluice VERB --help` tells more.  Exit codes: 0 good, 2 usage, 3 configuration "
          "invalid,\n"
          "4 cannot listen, 5 a secret, log, state file or the store cannot be had or the instance "
          "is "
          "busy,\n6 no running instance, "
          "7 permission, 8 reload, upgrade or drain refused, 9 deadline, 10 internal, 1 it ran and "
          "the "
          "answer is no.\n",
          out);
}

static void print_verb_help(const struct main_verb *verb)
{
    printf("sluice %s: %s\n\n", verb->name, verb->summary);
    if (verb->detail[0] != '\0')
        printf("%s\n", verb->detail);
    print_options(stdout, verb->options | MAIN_OPTION_HELP);
}

static int unknown_verb(const char *name)
{
    struct config_near near = config_near_to(span_of(name));
    for (size_t i = 0; i < VERB_COUNT; i++)
        config_near_try(&near, span_of(VERBS[i].name), false);
    fprintf(stderr, "sluice: unknown verb \"%.100s\"", name);
    if (near.best.ptr != NULL)
        fprintf(stderr, " (did you mean \"%.*s\"?)", (int)near.best.len, near.best.ptr);
    fputs("; `sluice help` lists them\n", stderr);
    return MAIN_EXIT_USAGE;
}

static int verb_help(const struct main_options *options)
{
    if (options->word == NULL) {
        print_usage(stdout);
        return MAIN_EXIT_OK;
    }
    const struct main_verb *verb = verb_find(options->word);
    if (verb == NULL)
        return unknown_verb(options->word);
    print_verb_help(verb);
    return MAIN_EXIT_OK;
}

static int verb_completion(const struct main_options *options)
{
    struct main_completion_verb verbs[VERB_COUNT];
    if (options->word == NULL || strcmp(options->word, "bash") != 0) {
        fputs("sluice: the name of a shell is needed: bash\n", stderr);
        return MAIN_EXIT_USAGE;
    }
    for (size_t i = 0; i < VERB_COUNT; i++)
        verbs[i] = (struct main_completion_verb){VERBS[i].name, VERBS[i].options};
    main_completion_bash(stdout, verbs, VERB_COUNT);
    return main_verb_print("", MAIN_EXIT_OK);
}

/* The spellings that people try first. */
static const char *verb_alias(const char *word)
{
    static const char *const aliases[][2] = {
        {"-h", "help"},    {"--help", "help"},       {"-v", "version"},
        {"-V", "version"}, {"--version", "version"},
    };
    for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
        if (strcmp(word, aliases[i][0]) == 0)
            return aliases[i][1];
    return word;
}

int main(int argc, char **argv)
{
    struct main_options options;
    char fault[MAIN_FAULT_MAX];
    if (argc < 2) {
        print_usage(stderr);
        return MAIN_EXIT_USAGE;
    }
    const struct main_verb *verb = verb_find(verb_alias(argv[1]));
    if (verb == NULL)
        return unknown_verb(argv[1]);
    if (!main_options_parse(&options, verb->options, argc - 2, argv + 2, fault)) {
        fprintf(stderr, "sluice: %s; `sluice %s --help` tells more\n", fault, verb->name);
        return MAIN_EXIT_USAGE;
    }
    if ((options.given & MAIN_OPTION_HELP) != 0) {
        print_verb_help(verb);
        return MAIN_EXIT_OK;
    }
    options.line = argv;
    return verb->run(&options);
}
