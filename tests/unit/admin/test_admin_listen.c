/* SPDX-License-Identifier: Apache-2.0 */
/* test_admin_listen.c - who may ask depends on what the socket is: where that cannot be told, nobody is served. */
#include "admin/admin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <unistd.h>

#include "store/store_memory.h"

static void test_what_is_no_socket_is_refused(void **state)
{
    struct metrics_registry *registry = metrics_registry_new();
    struct loop *loop = loop_new(metrics_registry_add_block(registry));
    struct store_memory *memory = store_memory_new(16);
    struct lease *lease = lease_new(memory, NULL);
    struct admin *admin =
        admin_new(&(struct admin_env){.loop = loop, .metrics = registry, .lease = lease});
    int pipes[2];
    (void)state;
    assert_int_equal(pipe(pipes), 0);
    assert_int_not_equal(admin_listen(admin, pipes[0], false), ERR_OK);
    admin_free(admin);
    lease_free(lease);
    store_memory_free(memory);
    loop_free(loop);
    metrics_registry_free(registry);
    close(pipes[0]);
    close(pipes[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_is_no_socket_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
