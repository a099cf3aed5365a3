/* SPDX-License-Identifier: Apache-2.0 */
/* test_exchange_end.c - the table of endings is whole, and every refused message ends with the status that its
 * fault names. */
#include "exchange/exchange_end.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void test_every_row_is_whole_and_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < ENDS; i++) {
        const struct exchange_ending *ending = exchange_ending((enum exchange_end)i);
        assert_true(ending->name.len != 0);
        assert_true(strlen(ending->sentence) > 10);
        assert_true(ending->error < REPLY_ERRORS);
        for (int j = 0; j < i; j++)
            assert_false(span_eq(ending->name, exchange_ending((enum exchange_end)j)->name));
    }
}

/* What a client is told and what the log says must be the same thing. */
static void test_every_fault_ends_with_its_own_status(void **state)
{
    (void)state;
    for (int i = HTTP_FAULT_NONE + 1; i < HTTP_FAULTS; i++) {
        enum http_fault_id fault = (enum http_fault_id)i;
        const struct exchange_ending *ending = exchange_ending(exchange_end_of_fault(fault));
        assert_true(ending->error >= 0);
        assert_false(ending->is_error); /* it is the client's */
        uint16_t status = reply_error_status((enum reply_error_id)ending->error);
        if (status != http_fault_status(fault))
            fail_msg("%s: %u, not %u", http_fault_name(fault), status, http_fault_status(fault));
    }
}

static void test_errors_of_ours_are_5xx_and_the_clients_are_not(void **state)
{
    (void)state;
    for (int i = 0; i < ENDS; i++) {
        const struct exchange_ending *ending = exchange_ending((enum exchange_end)i);
        if (ending->error < 0)
            continue;
        uint16_t status = reply_error_status((enum reply_error_id)ending->error);
        if (ending->is_error)
            assert_true(status >= 500);
        else
            assert_true(status < 500 || status == 501 || status == 503 || status == 505);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_is_whole_and_has_a_name_of_its_own),
        cmocka_unit_test(test_every_fault_ends_with_its_own_status),
        cmocka_unit_test(test_errors_of_ours_are_5xx_and_the_clients_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
