/* SPDX-License-Identifier: Apache-2.0 */
/* identity_secret.h - the fleet's secret as HMAC is keyed with it.  Private to the module. */
#ifndef SLUICE_IDENTITY_SECRET_H
#define SLUICE_IDENTITY_SECRET_H

#include "identity/identity.h"

/* 128 bits that stand for the secret: equal for equal secrets, and tell nothing about it. */
struct hash_key identity_secret_print(const struct identity_secret *secret);

#endif
