/* SPDX-License-Identifier: Apache-2.0 */
/* identity_cache.h - what else a worker's cache remembers.  Private to the module. */
#ifndef SLUICE_IDENTITY_CACHE_H
#define SLUICE_IDENTITY_CACHE_H

#include "identity/identity.h"
#include "identity/identity_claims.h"

/* NULL without a cache. */
struct identity_claims *identity_cache_claims(struct identity_cache *cache);

#endif
