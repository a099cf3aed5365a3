/* SPDX-License-Identifier: Apache-2.0 */
/* identity_source.h - the rows of identity_kinds.def.  Private to the module. */
#ifndef SLUICE_IDENTITY_SOURCE_H
#define SLUICE_IDENTITY_SOURCE_H

#include "identity/identity.h"

/* As in identity_kinds.def; part of the subject's mac, so a spelling may never change. */
struct span identity_source_spelling(enum identity_kind kind);

#endif
