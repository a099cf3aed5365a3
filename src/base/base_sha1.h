/* SPDX-License-Identifier: Apache-2.0 */
/* base_sha1.h - SHA-1 (FIPS 180-4) of a short text, for protocols that prescribe it.  Takes: bytes.  Gives: 20
 * bytes.  Never for secrets, signatures or keys: collisions can be made. */
#ifndef SLUICE_BASE_SHA1_H
#define SLUICE_BASE_SHA1_H

#include <stddef.h>
#include <stdint.h>

#define SHA1_BYTES 20

void sha1_digest(const void *bytes, size_t len, uint8_t digest[SHA1_BYTES]);

#endif
