/* SPDX-License-Identifier: Apache-2.0 */
/* base_err.h - the failures that functions return.  Bugs are asserts, endings of exchanges are in
 * exchange/endings.def; this is the third kind only. */
#ifndef SLUICE_BASE_ERR_H
#define SLUICE_BASE_ERR_H

#define MUST_USE __attribute__((warn_unused_result))

enum err {
#define ERR(name, sentence) ERR_##name,
#include "base/base_err.def"
#undef ERR
};

/* The sentence of the row, a static string. */
const char *err_sentence(enum err err);

#endif
