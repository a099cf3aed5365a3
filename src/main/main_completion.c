/* SPDX-License-Identifier: Apache-2.0 */
/* main_completion.c - see main_completion.h.  Needs nothing but bash itself. */
#include "main/main_completion.h"

#include <stdbool.h>
#include <string.h>

#include "main/main_options.h"

/* Words of verbs that have some; "@verbs": the names of all verbs; "@files": of files. */
static const struct {
    const char *verb, *words;
} WORDS[] = {
    {"log", "reopen level debug info warn error configured"},
    {"upstreams", "drain ready down"},
    {"completion", "bash"},
    {"explain", "GET HEAD POST PUT DELETE PATCH OPTIONS"},
    {"help", "@verbs"},
    {"diff", "@files"},
};
#define WORD_COUNT (sizeof(WORDS) / sizeof(WORDS[0]))

static void put_names(FILE *out, const struct main_completion_verb *verbs, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        fprintf(out, "%s%s", i == 0 ? "" : " ", verbs[i].name);
}

/* Options, long and short, separated by spaces. */
static void put_options(FILE *out, unsigned allowed)
{
    for (unsigned i = 0; i < MAIN_OPTION_ROW_COUNT; i++) {
        const struct main_option_row *row = &MAIN_OPTION_ROWS[i];
        if ((allowed & row->option) == 0)
            continue;
        if (row->letter != 0)
            fprintf(out, "-%c ", row->letter);
        fprintf(out, "--%s ", row->name);
    }
}

static bool is_file(const struct main_option_row *row)
{
    return row->value != NULL &&
           (strcmp(row->value, "FILE") == 0 || strcmp(row->value, "SOCKET") == 0);
}

/* "-c|--config|": the options whose value is a file, or is not. */
static void put_valued(FILE *out, bool of_files)
{
    const char *join = "";
    for (unsigned i = 0; i < MAIN_OPTION_ROW_COUNT; i++) {
        const struct main_option_row *row = &MAIN_OPTION_ROWS[i];
        if (row->value == NULL || is_file(row) != of_files)
            continue;
        if (row->letter != 0)
            fprintf(out, "%s-%c|--%s", join, row->letter, row->name);
        else
            fprintf(out, "%s--%s", join, row->name);
        join = "|";
    }
}

static void put_verb(FILE *out, const struct main_completion_verb *verb,
                     const struct main_completion_verb *verbs, unsigned count)
{
    const char *words = "";
    for (size_t i = 0; i < WORD_COUNT; i++)
        words = strcmp(WORDS[i].verb, verb->name) == 0 ? WORDS[i].words : words;
    bool has_files = (verb->options & MAIN_OPTION_FILES) != 0 || strcmp(words, "@files") == 0;
    fprintf(out, "    %s)\n        options='", verb->name);
    put_options(out, verb->options | MAIN_OPTION_HELP);
    fputs("'\n        words='", out);
    if (strcmp(words, "@verbs") == 0)
        put_names(out, verbs, count);
    else if (!has_files)
        fputs(words, out);
    fprintf(out, "'\n        files=%d\n        ;;\n", has_files ? 1 : 0);
}

void main_completion_bash(FILE *out, const struct main_completion_verb *verbs, unsigned count)
{
    fputs("# bash completion of sluice; made by `sluice completion bash`\n"
          "_sluice() {\n"
          "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
          "    local options= words= files=0\n"
          "    COMPREPLY=()\n"
          "    if ((COMP_CWORD == 1)); then\n"
          "        mapfile -t COMPREPLY < <(compgen -W '",
          out);
    put_names(out, verbs, count);
    fputs("' -- \"$current\")\n        return\n    fi\n    case $previous in\n    ", out);
    put_valued(out, true);
    fputs(")\n        compopt -o filenames 2>/dev/null\n"
          "        mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
          "        return\n        ;;\n    ",
          out);
    put_valued(out, false);
    fputs(")\n        return\n        ;;\n    esac\n    case ${COMP_WORDS[1]} in\n", out);
    for (unsigned i = 0; i < count; i++)
        put_verb(out, &verbs[i], verbs, count);
    fputs("    *)\n        return\n        ;;\n    esac\n"
          "    if [[ $current == -* ]]; then\n"
          "        mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$current\")\n"
          "    elif ((files)); then\n"
          "        compopt -o filenames 2>/dev/null\n"
          "        mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
          "    else\n"
          "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
          "    fi\n"
          "}\n"
          "complete -F _sluice sluice\n",
          out);
}
