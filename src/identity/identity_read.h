/* SPDX-License-Identifier: Apache-2.0 */
/* identity_read.h - finding one named value in the text of a header or a query.  Private to the module. */
#ifndef SLUICE_IDENTITY_READ_H
#define SLUICE_IDENTITY_READ_H

#include "identity/identity.h"

enum identity_read {
    IDENTITY_READ_MISSING,
    IDENTITY_READ_FOUND,
    IDENTITY_READ_REPEATED,
    IDENTITY_READ_EXHAUSTED,
};

/* Text that such a value can be. */
bool identity_is_user(struct span text);
bool identity_is_access_key(struct span text);

/* The token of "Bearer TOKEN". */
enum identity_read identity_read_bearer(struct span authorization, struct span *token);

/* The user of "Basic base64(user:password)", decoded into the arena; EXHAUSTED when that has no room. */
enum identity_read identity_read_basic_user(struct span authorization, struct arena *arena,
                                            struct span *user);

/* The access key of "SDK-HMAC-SHA256 Access=AK, ..." or "... Credential=AK/...". */
enum identity_read identity_read_access_key(struct span authorization, struct span *key);

/* How often `name` occurs in one Cookie line is added to *count; *value is the first's when it was 0. */
void identity_read_cookie(struct span line, struct span name, struct span *value, unsigned *count);

/* The parameter `name` of a query, as it is written there. */
enum identity_read identity_read_query(struct span query, struct span name, struct span *value);

/* Percent-escapes decoded, and "+" to a space when is_form; a broken escape stays.  The text itself when
 * nothing has to change; else into the arena, and EXHAUSTED when that has no room. */
enum identity_read identity_read_decoded(struct span text, bool is_form, struct arena *arena,
                                         struct span *value);

#endif
