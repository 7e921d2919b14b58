// SPDX-License-Identifier: Apache-2.0
// Values: blocks, cursors, limits, and what they are charged.
#include "core/value.h"
#include "support/choice.h"
#include "support/world.h"

#include <stdlib.h>

enum { BYTES_MAX = 300000 };

struct fixture {
    struct memory memory;
    struct sfl_limits limits;
    struct sfl_budget held_bytes;
    struct sfl_share share;
    struct sfl_held held;
    struct sfl_value *value; // NULL until something is posted
    uint8_t posted[BYTES_MAX];
    size_t posted_size;
};

static int open_fixture(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    memory_init(&f->memory);
    f->limits = sfl_limits_default;
    f->limits.value_bytes_max = BYTES_MAX;
    sfl_budget_init(&f->held_bytes, 64);
    sfl_share_init(&f->share, &f->held_bytes);
    f->held = (struct sfl_held){.all = &f->share};
    *state = f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    sfl_value_unref(f->value);
    assert_int_equal(f->memory.blocks, 0);
    sfl_share_deinit(&f->share);
    sfl_budget_deinit(&f->held_bytes);
    free(f);
    return 0;
}

static enum sfl_reason append(struct fixture *f, struct sfl_span bytes)
{
    if (f->value != NULL)
        return sfl_value_append(f->value, &f->limits, bytes);
    if (bytes.size == 0)
        return SFL_REASON_NONE;
    return sfl_value_create(&f->memory.allocator, &f->held, &f->limits, bytes, &f->value);
}

static uint64_t size_of(const struct fixture *f)
{
    return f->value == NULL ? 0 : f->value->size;
}

static void post(struct fixture *f, struct choice *choice, size_t size)
{
    uint8_t *from = f->posted + f->posted_size;
    for (size_t i = 0; i < size; i++)
        from[i] = (uint8_t)choice_below(choice, 256);
    enum sfl_reason reason = append(f, sfl_span_of(from, size));
    assert_int_equal(reason, SFL_REASON_NONE);
    f->posted_size += size;
    assert_int_equal(size_of(f), f->posted_size);
    assert_int_equal(sfl_budget_used(&f->held_bytes), f->posted_size);
}

// Reads up to `size` in pieces of at most `max`, and compares.
static void read_up_to(const struct fixture *f, struct sfl_value_cursor *cursor, uint64_t size,
                       size_t max)
{
    for (;;) {
        uint64_t from = cursor->position;
        struct sfl_span bytes = sfl_value_read(f->value, size, cursor, max);
        if (bytes.size == 0)
            break;
        assert_true(bytes.size <= max);
        assert_memory_equal(bytes.data, f->posted + from, bytes.size);
        assert_int_equal(cursor->position, from + bytes.size);
    }
    assert_int_equal(cursor->position, size);
}

static void readers_at_any_pace_get_the_bytes_that_were_posted(void **state)
{
    struct fixture *f = *state;
    struct choice choice = choice_of_seed(4);
    struct sfl_value_cursor cursors[5] = {0};
    while (f->posted_size < BYTES_MAX / 2) {
        size_t size = choice_below(&choice, choice_one_in(&choice, 30) ? 70000 : 300);
        if (size > BYTES_MAX - f->posted_size)
            size = BYTES_MAX - f->posted_size;
        post(f, &choice, size);
        struct sfl_value_cursor *cursor = &cursors[choice_below(&choice, 5)];
        uint64_t from = cursor->position;
        uint64_t size_told = from + choice_below(&choice, (uint32_t)(f->posted_size - from + 1));
        read_up_to(f, cursor, size_told, 1 + choice_below(&choice, 100000));
    }
    for (unsigned i = 0; i < 5; i++)
        read_up_to(f, &cursors[i], f->posted_size, SIZE_MAX);
}

static void a_cursor_at_the_end_goes_on_when_more_comes(void **state)
{
    struct fixture *f = *state;
    struct choice choice = choice_of_seed(5);
    struct sfl_value_cursor cursor = {0};
    for (size_t size = 0; size < 2000; size += 37) {
        post(f, &choice, size % 100);
        read_up_to(f, &cursor, f->posted_size, SIZE_MAX);
        assert_int_equal(sfl_value_read(f->value, f->posted_size, &cursor, SIZE_MAX).size, 0);
    }
}

static void nothing_is_read_before_a_reader_was_told_of_anything(void **state)
{
    struct fixture *f = *state;
    struct choice choice = choice_of_seed(3);
    post(f, &choice, 10);
    struct sfl_value_cursor cursor = {0};
    assert_int_equal(sfl_value_read(f->value, 0, &cursor, SIZE_MAX).size, 0);
    assert_int_equal(append(f, sfl_span_of(NULL, 0)), SFL_REASON_NONE);
    assert_int_equal(f->value->size, 10);
}

static void a_value_over_its_limit_is_refused_and_stays_as_it_was(void **state)
{
    struct fixture *f = *state;
    struct choice choice = choice_of_seed(6);
    f->limits.value_bytes_max = 1000;
    post(f, &choice, 999);
    struct sfl_span two = sfl_span_of("ab", 2);
    assert_int_equal(sfl_value_append(f->value, &f->limits, two), SFL_REASON_VALUE_LIMIT);
    assert_int_equal(f->value->size, 999);
    assert_int_equal(sfl_budget_used(&f->held_bytes), 999);
    post(f, &choice, 1);
    struct sfl_span one = sfl_span_of("a", 1);
    assert_int_equal(sfl_value_append(f->value, &f->limits, one), SFL_REASON_VALUE_LIMIT);
    struct sfl_value_cursor cursor = {0};
    read_up_to(f, &cursor, 1000, SIZE_MAX);
}

static void bytes_over_what_may_be_held_are_refused_and_not_charged(void **state)
{
    struct fixture *f = *state;
    struct choice choice = choice_of_seed(7);
    f->limits.held_bytes_max = 100;
    post(f, &choice, 60);
    struct sfl_span bytes = sfl_span_of(f->posted, 41);
    assert_int_equal(sfl_value_append(f->value, &f->limits, bytes), SFL_REASON_HELD_LIMIT);
    assert_int_equal(sfl_budget_used(&f->held_bytes), 60);
    post(f, &choice, 40);
}

static void a_value_that_is_too_large_at_once_is_not_made(void **state)
{
    struct fixture *f = *state;
    struct sfl_span bytes = sfl_span_of(f->posted, 101);
    f->limits.value_bytes_max = 100;
    assert_int_equal(append(f, bytes), SFL_REASON_VALUE_LIMIT);
    f->limits.value_bytes_max = 101;
    f->limits.held_bytes_max = 100;
    assert_int_equal(append(f, bytes), SFL_REASON_HELD_LIMIT);
    assert_null(f->value);
    assert_int_equal(sfl_budget_used(&f->held_bytes), 0);
}

static void without_memory_an_append_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct choice choice = choice_of_seed(8);
    for (unsigned n = 0; n < 200; n++) {
        size_t size = 1 + choice_below(&choice, 500);
        uint64_t failures = f->memory.failures;
        memory_fail(&f->memory, 1, 1);
        struct sfl_span bytes = sfl_span_of(f->posted, size);
        enum sfl_reason reason = append(f, bytes);
        if (f->memory.failures == failures) {
            // It fitted into the last block; the same bytes are what was posted, then.
            assert_int_equal(reason, SFL_REASON_NONE);
            memmove(f->posted + f->posted_size, f->posted, size);
            f->posted_size += size;
        } else {
            assert_int_equal(reason, SFL_REASON_NO_MEMORY);
        }
        memory_fail_never(&f->memory);
        assert_int_equal(size_of(f), f->posted_size);
        assert_int_equal(sfl_budget_used(&f->held_bytes), f->posted_size);
        post(f, &choice, size);
    }
    struct sfl_value_cursor cursor = {0};
    read_up_to(f, &cursor, f->posted_size, SIZE_MAX);
}

static void the_last_reference_gives_the_charge_back(void **state)
{
    struct fixture *f = *state;
    struct choice choice = choice_of_seed(9);
    post(f, &choice, 100);
    struct sfl_value *again = sfl_value_ref(f->value);
    sfl_value_unref(f->value);
    assert_int_equal(sfl_budget_used(&f->held_bytes), 100);
    sfl_value_unref(again);
    assert_int_equal(sfl_budget_used(&f->held_bytes), 0);
    f->value = NULL;
    assert_null(sfl_value_ref(NULL));
    sfl_value_unref(NULL);
    sfl_outcome_unref(NULL);
    assert_null(sfl_outcome_ref(NULL));
}

static void a_value_is_read_on_when_its_outcome_is_gone(void **state)
{
    struct fixture *f = *state;
    struct choice choice = choice_of_seed(10);
    post(f, &choice, 100);
    uint64_t blocks = f->memory.blocks;
    struct sfl_value *reading = sfl_value_ref(f->value);
    struct sfl_outcome *outcome = NULL;
    assert_int_equal(
        sfl_outcome_create(&f->memory.allocator, &f->held, &f->limits, f->value, NULL, &outcome),
        SFL_REASON_NONE);
    assert_int_equal(f->memory.blocks, blocks); // one for both
    sfl_outcome_unref(outcome);
    struct sfl_value_cursor cursor = {0};
    read_up_to(f, &cursor, 100, SIZE_MAX);
    assert_int_equal(sfl_budget_used(&f->held_bytes), 100);
    sfl_value_unref(reading);
    assert_int_equal(sfl_budget_used(&f->held_bytes), 0);
    assert_int_equal(f->memory.blocks, blocks - 1);
    f->value = NULL;
}

static void an_outcome_outlives_the_last_reader_of_its_value(void **state)
{
    struct fixture *f = *state;
    struct choice choice = choice_of_seed(11);
    post(f, &choice, 100);
    struct sfl_value *reading = sfl_value_ref(f->value);
    struct sfl_outcome *outcome = NULL;
    assert_int_equal(
        sfl_outcome_create(&f->memory.allocator, &f->held, &f->limits, f->value, NULL, &outcome),
        SFL_REASON_NONE);
    sfl_value_unref(reading);
    struct sfl_value_cursor cursor = {0};
    read_up_to(f, &cursor, 100, SIZE_MAX);
    assert_int_equal(outcome->value_bytes, 100);
    sfl_outcome_unref(outcome);
    assert_int_equal(sfl_budget_used(&f->held_bytes), 0);
    f->value = NULL;
}

int main(void)
{
#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, open_fixture, close_fixture)
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(readers_at_any_pace_get_the_bytes_that_were_posted),
        WITH_FIXTURE(a_cursor_at_the_end_goes_on_when_more_comes),
        WITH_FIXTURE(nothing_is_read_before_a_reader_was_told_of_anything),
        WITH_FIXTURE(a_value_over_its_limit_is_refused_and_stays_as_it_was),
        WITH_FIXTURE(bytes_over_what_may_be_held_are_refused_and_not_charged),
        WITH_FIXTURE(a_value_that_is_too_large_at_once_is_not_made),
        WITH_FIXTURE(without_memory_an_append_changes_nothing),
        WITH_FIXTURE(the_last_reference_gives_the_charge_back),
        WITH_FIXTURE(a_value_is_read_on_when_its_outcome_is_gone),
        WITH_FIXTURE(an_outcome_outlives_the_last_reader_of_its_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
