/* SPDX-License-Identifier: Apache-2.0 */
/* base_err.c - takes: an err.  Gives: its sentence.  Never: formats or allocates. */
#include "base/base_err.h"

static const char *const sentences[] = {
#define ERR(name, sentence) [ERR_##name] = (sentence),
#include "base/base_err.def"
#undef ERR
};

const char *err_sentence(enum err err)
{
    if ((unsigned)err >= sizeof(sentences) / sizeof(sentences[0]))
        return "unknown failure";
    return sentences[err];
}
