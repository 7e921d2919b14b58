// SPDX-License-Identifier: Apache-2.0
// When memory is given back after a storm.
#include "base/trim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MIB = 1 << 20 };

static bool look(struct sfl_trim *trim, uint64_t open, uint64_t calls, uint64_t mib)
{
    const struct sfl_trim_look now = {.open = open, .calls = calls, .resident_bytes = mib * MIB};
    return sfl_trim_is_due(trim, &now);
}

// How often it is due in so many looks that find the same.
static unsigned dues(struct sfl_trim *trim, uint64_t open, uint64_t calls, uint64_t mib)
{
    unsigned count = 0;
    for (unsigned i = 0; i < 100; i++)
        count += look(trim, open, calls, mib);
    return count;
}

static void memory_is_given_back_once_a_storm_is_over(void **state)
{
    (void)state;
    struct sfl_trim trim = {0};
    assert_false(look(&trim, 0, 0, 14));
    assert_false(look(&trim, 40000, 40000, 480));
    assert_int_equal(dues(&trim, 30000, 40000, 480), 0); // most of them still wait
    assert_false(look(&trim, 3, 40000, 480));
    assert_true(look(&trim, 3, 40000, 480));
    assert_int_equal(dues(&trim, 3, 40000, 14), 0);
}

static void what_was_freed_late_is_given_back_too_and_what_is_in_use_left_alone(void **state)
{
    (void)state;
    struct sfl_trim trim = {0};
    assert_false(look(&trim, 0, 0, 14));
    assert_int_equal(dues(&trim, 3, 40000, 480), 2);
    assert_int_equal(dues(&trim, 3, 40000, 490), 0);
}

static void a_storm_between_two_looks_is_one(void **state)
{
    (void)state;
    struct sfl_trim trim = {0};
    assert_false(look(&trim, 0, 0, 14));
    assert_int_equal(dues(&trim, 0, 0, 72), 2);
}

static void nobody_who_calls_just_now_has_to_wait_for_it(void **state)
{
    (void)state;
    struct sfl_trim trim = {0};
    assert_false(look(&trim, 0, 0, 14));
    for (uint64_t calls = 1; calls < 100; calls++)
        assert_false(look(&trim, 0, calls, 480));
}

static void what_is_no_storm_leaves_nothing_to_give_back(void **state)
{
    (void)state;
    struct sfl_trim trim = {0};
    assert_false(look(&trim, 0, 0, 14));
    assert_int_equal(dues(&trim, 0, 900, 40), 0);
}

static void a_look_that_saw_nothing_counts_for_nothing(void **state)
{
    (void)state;
    struct sfl_trim trim = {0};
    assert_false(look(&trim, 0, 0, 14));
    assert_false(look(&trim, 40000, 40000, 0)); // no descriptor was left to look with
    assert_int_equal(dues(&trim, 3, 40000, 480), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_given_back_once_a_storm_is_over),
        cmocka_unit_test(what_was_freed_late_is_given_back_too_and_what_is_in_use_left_alone),
        cmocka_unit_test(a_storm_between_two_looks_is_one),
        cmocka_unit_test(nobody_who_calls_just_now_has_to_wait_for_it),
        cmocka_unit_test(what_is_no_storm_leaves_nothing_to_give_back),
        cmocka_unit_test(a_look_that_saw_nothing_counts_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
