// SPDX-License-Identifier: Apache-2.0
// The tests of golang.org/x/sync/singleflight, told to the core alone (tests/GO_COUNTERPARTS.md).
#include "support/world.h"

static void do_returns_the_value(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    world_finish(w, "A", "OK bar");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "result OK \"\" callers=1 attempt=1 token=1 led");
    world_close(w);
}

static void do_returns_the_error_and_no_value(void **state)
{
    (void)state;
    struct world *w = world_open();
    struct sfl_bytes *texts = sfl_bytes_copy(&sfl_heap, sfl_span_of_text("some error"));
    JOIN(w, "A");
    JOIN(w, "B");
    struct sfl_finish finish = {.kind = SFL_OUTCOME_ERROR, .texts = texts};
    world_finish_with(w, "A", &finish);
    sfl_bytes_unref(texts);
    world_skip(w, "A");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "result ERROR \"\" callers=2 attempt=1 token=1 shared texts=\"some error\"");
    world_close(w);
}

static void duplicates_are_suppressed(void **state)
{
    (void)state;
    static const char *const names[] = {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"};
    struct world *w = world_open();
    for (size_t i = 0; i < 10; i++)
        JOIN(w, names[i]);
    world_pass(w, 100);
    world_finish(w, "1", "OK bar");
    assert_int_equal(world_stats(w).executions, 1);
    for (size_t i = 1; i < 10; i++) {
        HEAR(w, names[i], "follow attempt=1 leader=1 running=0");
        HEAR(w, names[i], "result OK \"bar\" callers=10 attempt=1 token=1 shared");
    }
    world_skip(w, "1");
    world_close(w);
}

static void forget_lets_the_next_caller_start_anew(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "first");
    assert_string_equal(world_forget(w, "k"), "flight");
    JOIN(w, "second");
    JOIN(w, "third");
    world_finish(w, "first", "OK 1");
    world_finish(w, "second", "OK 2");
    HEAR(w, "first", "lead token=1 attempt=1");
    HEAR(w, "first", "result OK \"\" callers=1 attempt=1 token=1 led");
    HEAR(w, "second", "lead token=2 attempt=1");
    HEAR(w, "second", "result OK \"\" callers=2 attempt=1 token=2 shared led");
    HEAR(w, "third", "follow attempt=1 leader=second running=0");
    HEAR(w, "third", "result OK \"2\" callers=2 attempt=1 token=2 shared");
    world_close(w);
}

// DoChan: a caller that does not wait for the answer is a caller like any other.
static void a_caller_may_do_other_things_while_it_waits(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    JOIN_KEY(w, "B2", "another");
    HEAR(w, "B2", "lead token=2 attempt=1");
    world_finish(w, "B2", "OK x");
    HEAR(w, "B2", "result OK \"\" callers=1 attempt=1 token=2 led");
    world_finish(w, "A", "OK bar");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "result OK \"bar\" callers=2 attempt=1 token=1 shared");
    world_skip(w, "A");
    world_close(w);
}

static void a_panic_reaches_every_caller(void **state)
{
    (void)state;
    static const char *const names[] = {"1", "2", "3", "4", "5"};
    struct world *w = world_open();
    for (size_t i = 0; i < 5; i++)
        JOIN(w, names[i]);
    world_finish(w, "1", "PANIC invalid memory address");
    for (size_t i = 1; i < 5; i++) {
        HEAR(w, names[i], "follow attempt=1 leader=1 running=0");
        HEAR(w, names[i],
             "result PANIC \"invalid memory address\" callers=5 attempt=1 token=1 "
             "shared");
    }
    world_skip(w, "1");
    world_close(w);
}

// runtime.Goexit: the function ends without an outcome.
static void a_function_that_ends_without_an_outcome_abandons_the_flight(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    world_finish(w, "A", "ABANDONED");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "result ABANDONED \"\" callers=2 attempt=1 token=1 shared");
    world_skip(w, "A");
    world_close(w);
}

static void a_leader_that_crashes_is_replaced(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    world_leave(w, "A");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "lead token=2 attempt=2");
    world_skip(w, "A");
    world_close(w);
}

static void after_a_panic_the_key_is_free(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    world_finish(w, "A", "PANIC p");
    JOIN(w, "C");
    HEAR(w, "C", "lead token=2 attempt=1");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "result PANIC \"p\" callers=2 attempt=1 token=1 shared");
    world_skip(w, "A");
    world_close(w);
}

static void the_example_gives_one_value_to_both_and_says_that_it_is_shared(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    world_finish(w, "A", "OK func 1");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "result OK \"\" callers=2 attempt=1 token=1 shared led");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "result OK \"func 1\" callers=2 attempt=1 token=1 shared");
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(do_returns_the_value),
        cmocka_unit_test(do_returns_the_error_and_no_value),
        cmocka_unit_test(duplicates_are_suppressed),
        cmocka_unit_test(forget_lets_the_next_caller_start_anew),
        cmocka_unit_test(a_caller_may_do_other_things_while_it_waits),
        cmocka_unit_test(a_panic_reaches_every_caller),
        cmocka_unit_test(a_function_that_ends_without_an_outcome_abandons_the_flight),
        cmocka_unit_test(a_leader_that_crashes_is_replaced),
        cmocka_unit_test(after_a_panic_the_key_is_free),
        cmocka_unit_test(the_example_gives_one_value_to_both_and_says_that_it_is_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
