// SPDX-License-Identifier: Apache-2.0
// The data file: what is written comes back, what is dropped does not, tokens only grow.
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "store_world.h"
#include <cmocka.h>

static void retain(struct store_world *world, const char *key, uint64_t token,
                   struct sfl_span value, uint64_t retain_ms)
{
    assert_true(store_retain(world, key, token, value, retain_ms));
}

static void what_was_retained_comes_back_after_a_restart(void **state)
{
    struct store_world *file = *state;
    static uint8_t value[100000];
    for (size_t i = 0; i < sizeof(value); i++)
        value[i] = (uint8_t)(i * 7);
    retain(file, "key", 11, sfl_span_of(value, sizeof(value)), 60000);
    store_world_reopen(file);
    struct found *found = store_load(file);
    assert_int_equal(found->count, 1);
    assert_int_equal(found->last.token, 11);
    assert_int_equal(found->last.attempt, 2);
    assert_int_equal(found->last.callers, 7);
    assert_int_equal(found->last.kind, SFL_OUTCOME_ERROR);
    assert_int_equal(found->last.value.size, sizeof(value));
    assert_memory_equal(found->value, value, sizeof(value));
    assert_string_equal(found->texts, "texts");
    assert_string_equal(found->key, "key");
    assert_true(found->last.left_ms > 30000 && found->last.left_ms <= 60000);
    // Each is rounded down to a whole ms.
    assert_in_range(found->last.left_ms + found->last.age_ms, 59999, 60000);
}

static void what_was_dropped_does_not_come_back(void **state)
{
    struct store_world *file = *state;
    retain(file, "a", 1, sfl_span_of_text("one"), 60000);
    retain(file, "b", 2, sfl_span_of_text("two"), 60000);
    sfl_store_drop(file->store, 1);
    store_world_reopen(file);
    struct found *found = store_load(file);
    assert_int_equal(found->count, 1);
    assert_int_equal(found->tokens[0], 2);
}

static void what_is_over_is_deleted(void **state)
{
    struct store_world *file = *state;
    retain(file, "over", 1, sfl_span_of_text("one"), 0);
    retain(file, "good", 2, sfl_span_of_text("two"), 60000);
    store_world_reopen(file);
    assert_int_equal(store_load(file)->count, 1);
    assert_int_equal(store_load(file)->count, 1);
}

static bool refuse(void *context, const struct sfl_stored *stored)
{
    unsigned *count = context;
    (void)stored;
    (*count)++;
    return false;
}

static void newer_outcomes_come_first_and_refused_ones_are_deleted(void **state)
{
    struct store_world *file = *state;
    retain(file, "key", 5, sfl_span_of_text("old"), 60000);
    retain(file, "key", 300, sfl_span_of_text("new"), 60000);
    retain(file, "key", 70000, sfl_span_of_text("newest"), 60000);
    store_world_reopen(file);
    struct found *found = store_load(file);
    assert_int_equal(found->count, 3);
    assert_int_equal(found->tokens[0], 70000);
    assert_int_equal(found->tokens[1], 300);
    assert_int_equal(found->tokens[2], 5);
    unsigned refused = 0;
    const struct sfl_store_loader loader = {.outcome = refuse, .context = &refused};
    assert_int_equal(sfl_store_load(file->store, &loader), SFL_OK);
    assert_int_equal(refused, 3);
    assert_true(sfl_store_flush(file->store, UINT64_MAX));
    assert_int_equal(store_load(file)->count, 0);
}

static void tokens_grow_over_restarts(void **state)
{
    struct store_world *file = *state;
    uint64_t last = 0;
    for (unsigned run = 0; run < 5; run++) {
        for (unsigned i = 0; i < 1000; i++) {
            uint64_t token = sfl_store_take_tokens(file->store, 1);
            assert_true(token > last);
            last = token;
        }
        store_world_reopen(file);
    }
}

static void a_second_process_is_refused(void **state)
{
    struct store_world *file = *state;
    struct sfl_store_options options = {.directory = file->directory};
    struct sfl_store *second;
    char error[SFL_STORE_ERROR_MAX];
    assert_int_equal(sfl_store_open(&options, &second, error), SFL_UNAVAILABLE);
    assert_non_null(strstr(error, file->directory));
    assert_non_null(strstr(error, "in use"));
}

static void a_directory_that_cannot_be_made_is_a_clear_error(void **state)
{
    (void)state;
    struct sfl_store_options options = {.directory = "/proc/no/such/place"};
    struct sfl_store *store;
    char error[SFL_STORE_ERROR_MAX];
    assert_int_equal(sfl_store_open(&options, &store, error), SFL_UNAVAILABLE);
    assert_non_null(strstr(error, "/proc/no/such/place: "));
}

static void a_flush_waits_for_what_was_queued(void **state)
{
    struct store_world *file = *state;
    for (uint64_t token = 1; token <= 1000; token++) {
        retain(file, "key", token, sfl_span_of_text("v"), 60000);
        if (token > 1)
            sfl_store_drop(file->store, token - 1);
    }
    assert_true(sfl_store_flush(file->store, UINT64_MAX));
    struct found *found = store_load(file);
    assert_int_equal(found->count, 1);
    assert_int_equal(found->tokens[0], 1000);
    assert_int_equal(sfl_budget_used(&file->held_bytes), 0);
}

static void who_waits_is_called_when_what_came_before_is_on_disk(void **state)
{
    struct store_world *file = *state;
    retain(file, "a", 1, sfl_span_of_text("one"), 60000);
    retain(file, "b", 2, sfl_span_of_text("two"), 60000);
    assert_true(store_is_written(file, 2));
    assert_int_equal(store_load(file)->count, 2);
    sfl_store_drop(file->store, 1);
    assert_true(store_is_written(file, 0));
    assert_int_equal(store_load(file)->count, 1);
    assert_true(store_is_written(file, 1)); // it was; that it has been dropped since is no loss
}

static void tokens_can_be_taken_in_rows(void **state)
{
    struct store_world *file = *state;
    uint64_t first = sfl_store_take_tokens(file->store, 1000);
    assert_int_equal(sfl_store_take_tokens(file->store, 1), first + 1000);
}

static void leads_come_back_after_a_restart_newest_first(void **state)
{
    struct store_world *file = *state;
    struct sfl_outcome *error = store_outcome(file, 9, sfl_span_of_text("partial"), 777);
    assert_true(store_lead(file, "a", 11, false, NULL));
    assert_true(store_lead(file, "b", 300, false, error));
    assert_true(store_lead(file, "c", 70000, false, NULL));
    sfl_outcome_unref(error);
    assert_true(store_is_written(file, 70000));
    sfl_store_unlead(file->store, 70000);
    assert_true(store_is_written(file, 0));
    store_world_reopen(file);
    const struct found *found = store_load(file);
    assert_int_equal(found->lead_count, 2);
    assert_int_equal(found->lead_tokens[0], 300);
    assert_int_equal(found->lead_tokens[1], 11);
    assert_int_equal(found->lead_error_tokens[0], 9);
    assert_int_equal(found->lead_error_tokens[1], 0);
    assert_string_equal(found->lead_error_texts, "texts");
}

static void a_lead_that_is_forgotten_replaces_what_was_written(void **state)
{
    struct store_world *file = *state;
    assert_true(store_lead(file, "a", 11, false, NULL));
    assert_true(store_lead(file, "a", 11, true, NULL));
    store_world_reopen(file);
    const struct found *found = store_load(file);
    assert_int_equal(found->lead_count, 1);
    assert_true(found->lead_forgotten[0]);
}

static void a_lead_and_its_outcome_stand_side_by_side(void **state)
{
    struct store_world *file = *state;
    assert_true(store_lead(file, "a", 11, false, NULL));
    retain(file, "a", 11, sfl_span_of_text("v"), 60000);
    sfl_store_unlead(file->store, 11);
    store_world_reopen(file);
    const struct found *found = store_load(file);
    assert_int_equal(found->lead_count, 0);
    assert_int_equal(found->count, 1);
}

static bool refuse_lead(void *context, const struct sfl_stored_lead *stored)
{
    (void)context;
    (void)stored;
    return false;
}

static void leads_that_nobody_takes_are_deleted(void **state)
{
    struct store_world *file = *state;
    const struct sfl_store_loader loader = {.lead = refuse_lead};
    assert_true(store_lead(file, "a", 11, false, NULL));
    store_world_reopen(file);
    assert_int_equal(sfl_store_load(file->store, &loader), SFL_OK);
    assert_true(sfl_store_flush(file->store, UINT64_MAX));
    assert_int_equal(store_load(file)->lead_count, 0);
}

static void runs_come_back_newest_first_without_those_that_made_room(void **state)
{
    struct store_world *file = *state;
    for (uint64_t number = 1; number <= 300; number++) {
        const struct sfl_run run = {.group = sfl_span_of_text("g"),
                                    .key = sfl_span_of_text("key"),
                                    .leader = sfl_span_of_text("leader"),
                                    .message = sfl_span_of_text("message"),
                                    .ended_unix_ms = number * 10,
                                    .code = -7};
        sfl_store_run(file->store, number, &run, number > 250 ? number - 250 : 0);
    }
    store_world_reopen(file);
    const struct found *found = store_load(file);
    assert_int_equal(found->run_count, 250);
    assert_int_equal(found->run_numbers[0], 300);
    assert_int_equal(found->run_numbers[249], 51);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, store_world_set_up, store_world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(what_was_retained_comes_back_after_a_restart),
        STORY(what_was_dropped_does_not_come_back),
        STORY(what_is_over_is_deleted),
        STORY(newer_outcomes_come_first_and_refused_ones_are_deleted),
        STORY(tokens_grow_over_restarts),
        STORY(a_second_process_is_refused),
        STORY(a_directory_that_cannot_be_made_is_a_clear_error),
        STORY(a_flush_waits_for_what_was_queued),
        STORY(who_waits_is_called_when_what_came_before_is_on_disk),
        STORY(tokens_can_be_taken_in_rows),
        STORY(leads_come_back_after_a_restart_newest_first),
        STORY(a_lead_that_is_forgotten_replaces_what_was_written),
        STORY(a_lead_and_its_outcome_stand_side_by_side),
        STORY(leads_that_nobody_takes_are_deleted),
        STORY(runs_come_back_newest_first_without_those_that_made_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
