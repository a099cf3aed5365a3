/* SPDX-License-Identifier: Apache-2.0 */
/* config_seal.h - secrets that may stand in a file.  Takes: a key, and a secret or what was made of it.  Gives: the
 * other of the two.  AES-256-GCM; the sealed text tells which key opens it, and any change of it is seen. */
#ifndef SLUICE_CONFIG_SEAL_H
#define SLUICE_CONFIG_SEAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base_err.h"
#include "base/base_span.h"

#define CONFIG_SEAL_SECRET_MAX  4096
#define CONFIG_SEAL_KEY_BYTES   32
#define CONFIG_SEAL_KEY_TEXT    44 /* base64 of a key */
#define CONFIG_SEAL_HEAD_BYTES  17 /* version, 4 bytes of the key's hash, nonce */
#define CONFIG_SEAL_TAG_BYTES   16
#define CONFIG_SEAL_TEXT_MAX    5508 /* base64 of the longest sealed secret */
#define CONFIG_SEAL_KEY_SETTING "SLUICE_KEY_FILE"

struct config_seal_key {
    uint8_t bytes[CONFIG_SEAL_KEY_BYTES];
};

/* What a key file holds: base64 of 32 bytes, one newline at its end at most. */
bool config_seal_key_parse(struct config_seal_key *key, struct span text);
void config_seal_key_wipe(struct config_seal_key *key);
/* A new one, as text without a newline. */
void config_seal_key_make(char text[CONFIG_SEAL_KEY_TEXT]);

/* *len characters of base64; the secret has 1 to CONFIG_SEAL_SECRET_MAX bytes.  ERR_NOMEM. */
MUST_USE enum err config_seal(const struct config_seal_key *key, struct span secret,
                              char text[CONFIG_SEAL_TEXT_MAX], size_t *len);

/* NULL and the secret, or what is wrong. */
const char *config_unseal(const struct config_seal_key *key, struct span text,
                          char secret[CONFIG_SEAL_SECRET_MAX], size_t *len);

#endif
