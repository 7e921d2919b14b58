// SPDX-License-Identifier: Apache-2.0
#include "src/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

// The random numbers that give the longest wait of each bound: bound % (bound + 1) is bound.
static void the_bound_doubles_up_to_the_last_one(void **state)
{
    (void)state;
    struct sfl_backoff backoff = {.min_ms = 50, .max_ms = 300};
    assert_int_equal(sfl_backoff_next_ms(&backoff, 50), 50);
    assert_int_equal(sfl_backoff_next_ms(&backoff, 100), 100);
    assert_int_equal(sfl_backoff_next_ms(&backoff, 200), 200);
    assert_int_equal(sfl_backoff_next_ms(&backoff, 300), 300);
    assert_int_equal(sfl_backoff_next_ms(&backoff, 300), 300);
}

static void each_wait_is_anything_from_none_to_the_bound(void **state)
{
    (void)state;
    for (uint64_t random = 0; random < 1000; random++) {
        struct sfl_backoff backoff = {.min_ms = 50, .max_ms = 300};
        assert_true(sfl_backoff_next_ms(&backoff, random) <= 50);
    }
    struct sfl_backoff backoff = {.min_ms = 50, .max_ms = 300};
    assert_int_equal(sfl_backoff_next_ms(&backoff, 51), 0);
}

static void after_a_success_it_starts_anew(void **state)
{
    (void)state;
    struct sfl_backoff backoff = {.min_ms = 50, .max_ms = 300};
    for (int i = 0; i < 5; i++)
        (void)sfl_backoff_next_ms(&backoff, 0);
    sfl_backoff_reset(&backoff);
    assert_int_equal(sfl_backoff_next_ms(&backoff, 50), 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bound_doubles_up_to_the_last_one),
        cmocka_unit_test(each_wait_is_anything_from_none_to_the_bound),
        cmocka_unit_test(after_a_success_it_starts_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
