/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_fmt_memo.c - a number's text is the same whether it is kept or not, whatever came before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base_fmt_memo.h"
#include "base/base_rng.h"

static void check(struct fmt_memo *memo, uint32_t value)
{
    char want[16], *out = malloc(FMT_U64_MAX); /* exactly: the sanitizer sees a byte too many */
    int len = snprintf(want, sizeof(want), "%u", value);
    char *end = fmt_u32_memo(memo, out, value);
    assert_int_equal(end - out, len);
    assert_memory_equal(out, want, (size_t)len);
    free(out);
}

static void test_numbers(void **state)
{
    (void)state;
    struct fmt_memo memo = {0};
    struct rng rng;
    rng_seed(&rng);
    check(&memo, 0); /* an empty entry says 0 too */
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t value = (uint32_t)rng_u64(&rng) >> rng_below(&rng, 32);
        check(&memo, value);
        check(&memo, value);
        check(&memo, UINT32_MAX);
        check(&memo, value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
