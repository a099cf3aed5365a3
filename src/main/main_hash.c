/* SPDX-License-Identifier: Apache-2.0 */
/* main_hash.c - `sluice hash`: the 22 characters that stand for a subject.  Takes: an identity of the configuration and
 * a value.  Never: shows the value. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base_fmt.h"
#include "identity/identity_conf.h"
#include "identity/identity_subject.h"
#include "main/main_exit.h"
#include "main/main_verbs.h"

#define VALUE_BYTES_MAX 65536
#define SOURCE_TEXT_MAX 192

/* Its value under one source. */
struct hashed {
    char source[SOURCE_TEXT_MAX], hash[IDENTITY_TEXT_LEN + 1];
};

/* One line of the standard input, malloc'ed; NULL and a sentence on stderr. */
static char *read_line(size_t *len)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t got = getline(&line, &size, stdin);
    if (got > 0 && line[got - 1] == '\n')
        got--;
    if (got > 0 && line[got - 1] == '\r')
        got--;
    if (got > 0 && got <= VALUE_BYTES_MAX) {
        *len = (size_t)got;
        return line;
    }
    fputs(got > 0 ? "sluice: the value is longer than 64 KiB\n"
                  : "sluice: the standard input has no value\n",
          stderr);
    free(line);
    return NULL;
}

static const struct identity *find_identity(const struct plan *plan, struct span name)
{
    for (unsigned i = 0; i < plan->identity_count; i++) {
        if (span_eq(plan->identities[i].name, name))
            return &plan->identities[i];
    }
    return NULL;
}

static void write_source(char out[SOURCE_TEXT_MAX], const struct identity_source *source)
{
    snprintf(out, SOURCE_TEXT_MAX, "%s%s%.*s", IDENTITY_CONF_KINDS[source->kind],
             source->name.len == 0 ? "" : ":", (int)source->name.len,
             source->name.len == 0 ? "" : source->name.ptr);
}

/* Of each source that can have the value; what is wrong with the last one that cannot. */
static unsigned hash_all(const struct plan *plan, const struct identity *identity, struct span text,
                         struct hashed hashed[IDENTITY_SOURCES_MAX], const char **sentence)
{
    unsigned count = 0;
    struct arena arena;
    arena_init(&arena, NULL, 0, 4 * VALUE_BYTES_MAX);
    for (unsigned i = 0; i < identity->from_count; i++) {
        struct identity_value value;
        uint8_t mac[IDENTITY_KEY_BYTES];
        const char *fault =
            identity_subject_value(&value, identity, &identity->from[i], text, &arena);
        if (fault == NULL && identity_mac(plan->secret, &value, 1, mac) != ERR_OK)
            fault = "out of memory";
        if (fault != NULL) {
            *sentence = fault;
            continue;
        }
        struct hashed *one = &hashed[count++];
        write_source(one->source, &identity->from[i]);
        *fmt_base64url(one->hash, mac, sizeof(mac)) = '\0';
    }
    arena_fini(&arena);
    return count;
}

/* Names of headers, cookies and parameters are short and may be anything. */
static void put_json_text(const char *text)
{
    char out[6 * SOURCE_TEXT_MAX + 1];
    bool cut = false, bytes = false;
    char *end = fmt_json_text(out, out + sizeof(out) - 1, span_of(text), &cut, &bytes);
    printf("\"%.*s\"", (int)(end - out), out);
}

static int print_hashes(const struct main_options *options, const struct identity *identity,
                        const struct hashed *hashed, unsigned count)
{
    if ((options->given & MAIN_OPTION_JSON) != 0) {
        fputs("{\"hashes\":[", stdout);
        for (unsigned i = 0; i < count; i++) {
            printf("%s{\"source\":", i == 0 ? "" : ",");
            put_json_text(hashed[i].source);
            printf(",\"hash\":\"%s\"}", hashed[i].hash);
        }
        return main_verb_print("]}\n", MAIN_EXIT_OK);
    }
    for (unsigned i = 0; i < count; i++) {
        if (identity->from_count == 1)
            puts(hashed[i].hash);
        else
            printf("%s  %s\n", hashed[i].hash, hashed[i].source);
    }
    return main_verb_print("", MAIN_EXIT_OK);
}

static int hash_value(const struct main_options *options, const struct plan *plan, struct span text)
{
    struct span name = span_of(options->words[0]);
    struct hashed hashed[IDENTITY_SOURCES_MAX];
    struct identity made;
    const struct identity *identity = find_identity(plan, name);
    const char *sentence = NULL;
    if (identity == NULL) {
        identity_conf_init(&made, name);
        sentence = identity_source_parse(&made.from[0], name);
        made.from_count = 1;
        identity = &made;
    }
    if (sentence != NULL) {
        fprintf(stderr, "sluice: no identity has the name \"%.100s\", and as a source: %s\n",
                name.ptr, sentence);
        return MAIN_EXIT_USAGE;
    }
    unsigned count = hash_all(plan, identity, text, hashed, &sentence);
    if (count != 0)
        return print_hashes(options, identity, hashed, count);
    fprintf(stderr, "sluice: no source of \"%.100s\" can have this value: %s\n", name.ptr,
            sentence);
    return MAIN_EXIT_USAGE;
}

int main_verb_hash(const struct main_options *options)
{
    struct main_verb_plan file;
    bool is_given = options->word_count == 2 && strcmp(options->words[1], "-") != 0;
    char *line = NULL;
    if (options->word_count == 0) {
        fputs("sluice: hash needs an IDENTITY; `sluice hash --help` tells more\n", stderr);
        return MAIN_EXIT_USAGE;
    }
    int exit_code = main_verb_plan_open(&file, options);
    if (file.plan == NULL && file.report.text != NULL)
        fputs(file.report.text, stderr);
    if (file.plan != NULL) {
        struct span text = is_given ? span_of(options->words[1]) : SPAN_NONE;
        if (!is_given)
            text.ptr = line = read_line(&text.len);
        exit_code = text.ptr == NULL ? MAIN_EXIT_USAGE : hash_value(options, file.plan, text);
    }
    if (line != NULL)
        explicit_bzero(line, strlen(line));
    free(line);
    main_verb_plan_close(&file);
    return exit_code;
}
