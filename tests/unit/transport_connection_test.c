// SPDX-License-Identifier: Apache-2.0
// What is counted for a connection, by many threads at its limits.
#include "transport/connection.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ROUNDS = 300000 };

struct stage {
    struct sfl_connections connections;
    struct sfl_connection *connection;
    atomic_bool has_ended;
};

static int set_up(void **state)
{
    struct stage *stage = aligned_alloc(64, (sizeof(*stage) + 63) / 64 * 64);
    sfl_connections_init(&stage->connections);
    stage->connection = sfl_connection_open(&stage->connections, "ipv4:127.0.0.1:5000");
    atomic_init(&stage->has_ended, false);
    *state = stage;
    return stage->connection == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    struct stage *stage = *state;
    sfl_connection_close(stage->connection);
    sfl_connections_deinit(&stage->connections);
    free(stage);
    return 0;
}

// Asks for more than there ever is.
static void *ask_in_vain(void *argument)
{
    struct stage *stage = argument;
    while (!atomic_load(&stage->has_ended)) {
        if (sfl_connection_take(stage->connection, 0) ||
            sfl_connection_hold(stage->connection, SFL_CONNECTION_HELD_MAX + 1))
            abort();
    }
    return NULL;
}

static void who_is_refused_takes_no_room_from_others(void **state)
{
    struct stage *stage = *state;
    pthread_t thread;
    unsigned callers = 0;
    unsigned bytes = 0;
    assert_int_equal(pthread_create(&thread, NULL, ask_in_vain, stage), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (sfl_connection_take(stage->connection, 1)) {
            callers++;
            sfl_connection_give(stage->connection, 1);
        }
        if (sfl_connection_hold(stage->connection, SFL_CONNECTION_HELD_MAX)) {
            bytes++;
            sfl_connection_release(stage->connection, SFL_CONNECTION_HELD_MAX);
        }
    }
    atomic_store(&stage->has_ended, true);
    pthread_join(thread, NULL);
    assert_int_equal(callers, ROUNDS);
    assert_int_equal(bytes, ROUNDS);
}

static void no_more_than_the_limit_are_taken(void **state)
{
    struct stage *stage = *state;
    for (unsigned i = 0; i < 3; i++)
        assert_true(sfl_connection_take(stage->connection, 3));
    assert_false(sfl_connection_take(stage->connection, 3));
    sfl_connection_give(stage->connection, 1);
    assert_true(sfl_connection_take(stage->connection, 3));
    sfl_connection_give(stage->connection, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_is_refused_takes_no_room_from_others, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(no_more_than_the_limit_are_taken, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
