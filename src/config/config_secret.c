/* SPDX-License-Identifier: Apache-2.0 */
/* config_secret.c - takes: the four spellings of a secret, or a file's name.  Gives: a copy in the load's arena.  Never:
 * accepts an empty one (a forgotten variable must not become a known key). */
#include "config/config_secret.h"

#include <stdio.h>
#include <stdlib.h>

#include "config/config_seal.h"

#define SECRET_BYTES_MAX 4096

/* It is named rightly but cannot be had. */
static void fault_absent(struct config_load *load, const struct config_node *node, const char *what,
                         struct span name, const char *why)
{
    load->doc->report->secret_errors++;
    config_error(load->doc, node, "the %s %s %s", what, config_quote(name).text, why);
}

static struct span from_env(struct config_load *load, const struct config_node *node,
                            struct span name)
{
    const char *value = getenv(name.ptr);
    if (value == NULL || *value == '\0')
        fault_absent(load, node, "environment variable", name,
                     value == NULL ? "is not set" : "is empty");
    return span_of(value);
}

static struct span read_file(struct config_load *load, const struct config_node *node,
                             const char *what, struct span name)
{
    char why[256] = "files cannot be read here", sentence[300];
    struct span text = SPAN_NONE;
    if (load->read == NULL || !load->read(load->arg, name, &text, why)) {
        snprintf(sentence, sizeof(sentence), "cannot be read: %s", why);
        fault_absent(load, node, what, name, sentence);
        return SPAN_NONE;
    }
    if (text.len > 0 && text.ptr[text.len - 1] == '\n')
        text.len--;
    if (text.len == 0)
        fault_absent(load, node, what, name, "is empty");
    return text;
}

static struct span from_file(struct config_load *load, const struct config_node *node,
                             struct span name)
{
    return read_file(load, node, "secret file", name);
}

/* The key that sealed secrets are opened with; false and why not. */
static bool read_key(struct config_load *load, struct config_seal_key *key, char why[320])
{
    char reason[256] = "key files cannot be read here";
    const char *path = getenv(CONFIG_SEAL_KEY_SETTING);
    struct span text = SPAN_NONE;
    if (path == NULL || *path == '\0')
        snprintf(why, 320, "%s is not set; it names the file of the key that opens it",
                 CONFIG_SEAL_KEY_SETTING);
    else if (*path != '/')
        snprintf(why, 320, "%s must be an absolute path", CONFIG_SEAL_KEY_SETTING);
    else if (load->read == NULL || !load->read(load->arg, span_of(path), &text, reason))
        snprintf(why, 320, "the key file cannot be read: %s", reason);
    else if (!config_seal_key_parse(key, text))
        snprintf(why, 320, "the key file %.200s holds no key as `sluice seal --new-key` prints it",
                 path);
    else
        return true;
    return false;
}

static struct span from_sealed(struct config_load *load, const struct config_node *node,
                               struct span text)
{
    struct config_seal_key key;
    char why[320], *secret = arena_take(load->arena, CONFIG_SEAL_SECRET_MAX);
    size_t len = 0;
    if (secret == NULL) {
        config_out_of_memory(load->doc);
        return SPAN_NONE;
    }
    if (!read_key(load, &key, why)) {
        load->doc->report->secret_errors++;
        config_error(load->doc, node, "the sealed secret cannot be opened: %s", why);
        return SPAN_NONE;
    }
    const char *sentence = config_unseal(&key, text, secret, &len);
    config_seal_key_wipe(&key);
    if (sentence == NULL)
        return (struct span){secret, len};
    config_error(load->doc, node, "%s", sentence);
    return SPAN_NONE;
}

static struct span from_object(struct config_load *load, const struct config_node *node)
{
    static const struct {
        const char *key;
        struct span (*take)(struct config_load *, const struct config_node *, struct span);
    } sources[] = {{"env", from_env}, {"file", from_file}, {"sealed", from_sealed}};

    if (node->child_count != 1) {
        config_error(load->doc, node,
                     "expected {\"env\": NAME}, {\"file\": PATH} or {\"sealed\": TEXT}");
        return SPAN_NONE;
    }
    const struct config_node *child = node->first;
    struct config_near near = config_near_to(child->key);
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        config_near_try(&near, span_of(sources[i].key), false);
        if (!span_eq(child->key, span_of(sources[i].key)))
            continue;
        struct span name = config_text(load, child);
        if (name.len == 0) {
            if (child->kind == CONFIG_KIND_STRING)
                config_error(load->doc, child, "must not be empty");
            return SPAN_NONE;
        }
        return sources[i].take(load, child, name);
    }
    config_key_error(load->doc, child, "unknown key %s: expected \"env\", \"file\" or \"sealed\"%s",
                     config_quote(child->key).text, config_suggestion(&near).text);
    return SPAN_NONE;
}

/* A copy that stays, and is compared when the configuration is read again. */
static struct span keep(struct config_load *load, const struct config_node *node, struct span bytes)
{
    struct span copy = arena_copy(load->arena, bytes);
    struct config_secret *seen = arena_take_zeroed(load->arena, sizeof(*seen));
    if (copy.ptr == NULL || seen == NULL) {
        config_out_of_memory(load->doc);
        return SPAN_NONE;
    }
    seen->off = (size_t)(node->token.ptr - load->doc->text.ptr);
    seen->value = copy;
    seen->next = load->secrets;
    load->secrets = seen;
    return copy;
}

struct span config_secret_file(struct config_load *load, const struct config_node *node)
{
    struct span name = config_text(load, node);
    if (name.len == 0) {
        if (node->kind == CONFIG_KIND_STRING)
            config_error(load->doc, node, "must not be empty");
        return SPAN_NONE;
    }
    struct span text = read_file(load, node, "file", name);
    return text.len == 0 ? SPAN_NONE : keep(load, node, text);
}

struct span config_secret_take(struct config_load *load, const struct config_node *node)
{
    struct span secret = SPAN_NONE;
    if (node->kind == CONFIG_KIND_OBJECT) {
        secret = from_object(load, node);
    } else if (node->kind == CONFIG_KIND_STRING) {
        secret = config_text(load, node);
        if (secret.len == 0)
            config_error(load->doc, node, "the secret is empty");
        else
            config_warning(load->doc, node,
                           "a secret in plain text: better {\"env\": NAME}, {\"file\": PATH} or "
                           "what `sluice seal` prints");
    } else {
        config_error(load->doc, node,
                     "expected {\"env\": NAME}, {\"file\": PATH} or {\"sealed\": TEXT}, found %s",
                     config_found(node).text);
    }
    if (secret.len == 0)
        return SPAN_NONE;
    if (secret.len > SECRET_BYTES_MAX) {
        config_error(load->doc, node, "the secret is longer than 4096 bytes");
        return SPAN_NONE;
    }
    return keep(load, node, secret);
}
