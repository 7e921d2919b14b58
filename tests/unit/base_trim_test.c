// SPDX-License-Identifier: Apache-2.0
// When memory is given back after a storm.
#include "base/trim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

// How often it is due in so many looks that find the same.
static unsigned dues(struct sfl_trim *trim, uint64_t open, uint64_t calls, unsigned looks)
{
    unsigned count = 0;
    for (unsigned i = 0; i < looks; i++)
        count += sfl_trim_is_due(trim, open, calls);
    return count;
}

static void memory_is_given_back_once_a_storm_is_over(void **state)
{
    (void)state;
    struct sfl_trim trim = {0};
    assert_false(sfl_trim_is_due(&trim, 0, 0));
    assert_false(sfl_trim_is_due(&trim, 40000, 40000));
    assert_false(sfl_trim_is_due(&trim, 30000, 40000)); // most of them still wait
    assert_int_equal(dues(&trim, 3, 40000, 100), 2);    // soon, and again for what was freed late
}

static void nobody_who_calls_just_now_has_to_wait_for_it(void **state)
{
    (void)state;
    struct sfl_trim trim = {0};
    assert_false(sfl_trim_is_due(&trim, 40000, 40000));
    assert_false(sfl_trim_is_due(&trim, 1, 40001));
    assert_false(sfl_trim_is_due(&trim, 0, 40002));
    assert_false(sfl_trim_is_due(&trim, 0, 40002));
    assert_true(sfl_trim_is_due(&trim, 0, 40002));
    assert_false(sfl_trim_is_due(&trim, 0, 40003));
    assert_int_equal(dues(&trim, 0, 40003, 100), 2);
}

static void what_is_no_storm_leaves_nothing_to_give_back(void **state)
{
    (void)state;
    struct sfl_trim trim = {0};
    assert_false(sfl_trim_is_due(&trim, 900, 900));
    assert_int_equal(dues(&trim, 0, 900, 100), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_given_back_once_a_storm_is_over),
        cmocka_unit_test(nobody_who_calls_just_now_has_to_wait_for_it),
        cmocka_unit_test(what_is_no_storm_leaves_nothing_to_give_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
