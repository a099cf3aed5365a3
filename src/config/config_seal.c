/* SPDX-License-Identifier: Apache-2.0 */
/* config_seal.c - see config_seal.h.  Sealed: version 1, the first 4 bytes of the key's SHA-256, a random nonce of 12
 * bytes, the secret's bytes encrypted, the tag of 16; all of it before the secret is authenticated too.  A key may seal
 * some 2^32 secrets before a nonce is likely to come twice (NIST SP 800-38D section 8.3): nobody does. */
#include "config/config_seal.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/base_fmt.h"
#include "base/base_parse.h"
#include "base/base_rng.h"

#define VERSION     1
#define PRINT_BYTES 4
#define NONCE_AT    (1 + PRINT_BYTES)
#define NONCE_BYTES 12
#define SEALED_MAX  (CONFIG_SEAL_HEAD_BYTES + CONFIG_SEAL_SECRET_MAX + CONFIG_SEAL_TAG_BYTES)

_Static_assert(NONCE_AT + NONCE_BYTES == CONFIG_SEAL_HEAD_BYTES, "the head is what stands before");
_Static_assert((SEALED_MAX + 2) / 3 * 4 <= CONFIG_SEAL_TEXT_MAX, "the longest fits");

bool config_seal_key_parse(struct config_seal_key *key, struct span text)
{
    char bytes[PARSE_BASE64_MAX(CONFIG_SEAL_KEY_TEXT)];
    size_t len;
    if (text.len > 0 && text.ptr[text.len - 1] == '\n')
        text.len--;
    if (text.len > 0 && text.ptr[text.len - 1] == '\r')
        text.len--;
    if (text.len != CONFIG_SEAL_KEY_TEXT || !parse_base64(text, bytes, &len) ||
        len != CONFIG_SEAL_KEY_BYTES)
        return false;
    memcpy(key->bytes, bytes, CONFIG_SEAL_KEY_BYTES);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return true;
}

void config_seal_key_wipe(struct config_seal_key *key)
{
    OPENSSL_cleanse(key, sizeof(*key));
}

void config_seal_key_make(char text[CONFIG_SEAL_KEY_TEXT])
{
    struct config_seal_key key;
    rng_secret(key.bytes, sizeof(key.bytes));
    char *end = fmt_base64(text, key.bytes, sizeof(key.bytes));
    assert(end == text + CONFIG_SEAL_KEY_TEXT);
    (void)end;
    OPENSSL_cleanse(&key, sizeof(key));
}

static bool key_print(const struct config_seal_key *key, uint8_t print[PRINT_BYTES])
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    if (EVP_Digest(key->bytes, sizeof(key->bytes), hash, NULL, EVP_sha256(), NULL) != 1)
        return false;
    memcpy(print, hash, PRINT_BYTES);
    return true;
}

static EVP_CIPHER_CTX *cipher_begin(const struct config_seal_key *key, const uint8_t *head,
                                    bool is_sealing)
{
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    int len;
    if (cipher != NULL &&
        EVP_CipherInit_ex(cipher, EVP_aes_256_gcm(), NULL, key->bytes, head + NONCE_AT,
                          is_sealing) == 1 &&
        EVP_CipherUpdate(cipher, NULL, &len, head, CONFIG_SEAL_HEAD_BYTES) == 1)
        return cipher;
    EVP_CIPHER_CTX_free(cipher);
    return NULL;
}

enum err config_seal(const struct config_seal_key *key, struct span secret,
                     char text[CONFIG_SEAL_TEXT_MAX], size_t *len)
{
    uint8_t sealed[SEALED_MAX], *body = sealed + CONFIG_SEAL_HEAD_BYTES;
    int body_len = 0, end_len = 0;
    assert(secret.len > 0 && secret.len <= CONFIG_SEAL_SECRET_MAX);
    sealed[0] = VERSION;
    rng_secret(sealed + NONCE_AT, NONCE_BYTES);
    if (!key_print(key, sealed + 1))
        return ERR_NOMEM;
    EVP_CIPHER_CTX *cipher = cipher_begin(key, sealed, true);
    bool is_good = cipher != NULL &&
                   EVP_CipherUpdate(cipher, body, &body_len, (const unsigned char *)secret.ptr,
                                    (int)secret.len) == 1 &&
                   EVP_CipherFinal_ex(cipher, body + body_len, &end_len) == 1 &&
                   EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, CONFIG_SEAL_TAG_BYTES,
                                       body + secret.len) == 1;
    EVP_CIPHER_CTX_free(cipher);
    if (!is_good)
        return ERR_NOMEM;
    size_t bytes = CONFIG_SEAL_HEAD_BYTES + secret.len + CONFIG_SEAL_TAG_BYTES;
    *len = (size_t)(fmt_base64(text, sealed, bytes) - text);
    return ERR_OK;
}

/* sealed is whole, of this version and of this key. */
static const char *open_body(const struct config_seal_key *key, uint8_t *sealed, size_t len,
                             char secret[CONFIG_SEAL_SECRET_MAX], size_t *secret_len)
{
    uint8_t *body = sealed + CONFIG_SEAL_HEAD_BYTES;
    size_t body_len = len - CONFIG_SEAL_HEAD_BYTES - CONFIG_SEAL_TAG_BYTES;
    int out_len = 0, end_len = 0;
    EVP_CIPHER_CTX *cipher = cipher_begin(key, sealed, false);
    if (cipher == NULL)
        return "out of memory";
    bool is_good =
        EVP_CipherUpdate(cipher, (unsigned char *)secret, &out_len, body, (int)body_len) == 1 &&
        EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, CONFIG_SEAL_TAG_BYTES,
                            body + body_len) == 1 &&
        EVP_CipherFinal_ex(cipher, (unsigned char *)secret + out_len, &end_len) == 1;
    EVP_CIPHER_CTX_free(cipher);
    *secret_len = body_len;
    if (is_good)
        return NULL;
    OPENSSL_cleanse(secret, body_len); /* what did not prove true is nobody's to use */
    return "the sealed secret was changed after it was sealed";
}

const char *config_unseal(const struct config_seal_key *key, struct span text,
                          char secret[CONFIG_SEAL_SECRET_MAX], size_t *len)
{
    uint8_t sealed[PARSE_BASE64_MAX(CONFIG_SEAL_TEXT_MAX)], print[PRINT_BYTES];
    size_t bytes;
    if (text.len > CONFIG_SEAL_TEXT_MAX || !parse_base64(text, (char *)sealed, &bytes) ||
        bytes <= CONFIG_SEAL_HEAD_BYTES + CONFIG_SEAL_TAG_BYTES || bytes > SEALED_MAX)
        return "not what `sluice seal` prints";
    if (sealed[0] != VERSION)
        return "sealed by another version of Sluice";
    if (!key_print(key, print))
        return "out of memory";
    if (memcmp(print, sealed + 1, PRINT_BYTES) != 0)
        return "sealed with another key";
    return open_body(key, sealed, bytes, secret, len);
}
