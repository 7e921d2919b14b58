// SPDX-License-Identifier: Apache-2.0
// The data file on a disk that is full, fails or hangs: what cannot be written takes nothing else
// with it, and whoever waits is told the truth.
#include "store/store.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "store_world.h"
#include "support/disk.h"
#include <cmocka.h>

static uint8_t large[100000];

static void retain(struct store_world *world, uint64_t token, size_t size)
{
    assert_true(store_retain(world, "key", token, sfl_span_of(large, size), 60000));
}

// Queues while nothing is written, so that all of it becomes one batch.
static void gather(struct store_world *world)
{
    disk_hang();
    retain(world, 999, 1);
    disk_await();
}

static void what_cannot_be_written_takes_nothing_else_with_it(void **state)
{
    struct store_world *world = *state;
    for (uint64_t token = 1; token <= 20; token++)
        retain(world, token, 10);
    assert_true(sfl_store_flush(world->store, UINT64_MAX));
    gather(world);
    disk_refuse_above(sizeof(large));
    for (uint64_t token = 1; token <= 10; token++)
        sfl_store_drop(world->store, token);
    retain(world, 101, 10);
    retain(world, 102, sizeof(large)); // this one
    retain(world, 103, 10);
    for (uint64_t token = 11; token <= 20; token++)
        sfl_store_drop(world->store, token);
    disk_go_on();
    assert_true(store_is_written(world, 0));
    assert_true(store_is_written(world, 101));
    assert_true(store_is_written(world, 103));
    disk_mend();
    assert_int_equal(world->lost_count, 1);
    assert_int_equal(world->lost[0], 102);
    assert_int_equal(sfl_store_state(world->store).lost, 1);
    store_world_reopen(world);
    const struct found *found = store_load(world);
    assert_int_equal(found->count, 3);
    assert_int_equal(found->tokens[0], 999);
    assert_int_equal(found->tokens[1], 103);
    assert_int_equal(found->tokens[2], 101);
}

struct answers {
    unsigned count;
    bool is_written[8];
};

static void on_written(void *context, bool is_written)
{
    struct answers *answers = context;
    answers->is_written[answers->count++] = is_written;
}

static void who_waits_for_what_is_lost_is_told_so(void **state)
{
    struct store_world *world = *state;
    struct answers answers = {0};
    gather(world);
    disk_fail(ENOSPC);
    retain(world, 1, 10);
    assert_true(sfl_store_await(world->store, 1, on_written, &answers));
    // So many that the second question is in another batch than the outcome.
    for (unsigned i = 0; i < 600; i++)
        sfl_store_drop(world->store, 5000 + i);
    assert_true(sfl_store_await(world->store, 1, on_written, &answers));
    disk_go_on();
    assert_true(sfl_store_flush(world->store, UINT64_MAX));
    disk_mend();
    assert_int_equal(answers.count, 2);
    assert_false(answers.is_written[0]);
    assert_false(answers.is_written[1]);
}

static void all_who_wait_for_what_is_lost_are_told_so_in_whatever_order(void **state)
{
    static const uint64_t tokens[] = {5, 3, 8, 1, 7, 2, 6, 4};
    struct store_world *world = *state;
    struct answers answers = {0};
    gather(world);
    disk_fail(ENOSPC);
    for (unsigned i = 0; i < 8; i++)
        retain(world, tokens[i], 10);
    for (unsigned i = 0; i < 600; i++)
        sfl_store_drop(world->store, 5000 + i);
    for (unsigned i = 0; i < 8; i++)
        assert_true(sfl_store_await(world->store, tokens[i], on_written, &answers));
    disk_go_on();
    assert_true(sfl_store_flush(world->store, UINT64_MAX));
    disk_mend();
    assert_int_equal(answers.count, 8);
    for (unsigned i = 0; i < 8; i++)
        assert_false(answers.is_written[i]);
}

static void a_drop_that_fails_is_said_so_and_tried_again(void **state)
{
    struct store_world *world = *state;
    retain(world, 1, 10);
    assert_true(store_is_written(world, 1));
    disk_fail(EIO);
    sfl_store_drop(world->store, 1);
    assert_false(store_is_written(world, 0));
    // Nothing new to be dropped, but not everything is on disk.
    assert_false(store_is_written(world, 0));
    assert_true(sfl_store_state(world->store).failing);
    disk_mend();
    assert_true(store_is_written(world, 0));
    assert_false(store_has(world, 1));
}

static void it_finds_out_by_itself_that_the_disk_works_again(void **state)
{
    struct store_world *world = *state;
    disk_fail(EIO);
    sfl_store_drop(world->store, 1);
    retain(world, 2, 10);
    assert_false(store_is_written(world, 2));
    assert_true(sfl_store_state(world->store).failing);
    assert_int_equal(world->changes, 1);
    disk_mend();
    while (sfl_store_state(world->store).failing)
        assert_true(store_is_written(world, 0));
    assert_true(store_is_written(world, 0)); // whoever is told of changes has been told
    assert_int_equal(world->changes, 2);
}

static void an_outcome_that_is_dropped_in_the_same_batch_does_not_come_back(void **state)
{
    struct store_world *world = *state;
    gather(world);
    disk_refuse_above(sizeof(large));
    retain(world, 1, 10);
    retain(world, 2, sizeof(large)); // so that the batch is written job by job
    sfl_store_drop(world->store, 1);
    disk_go_on();
    assert_true(store_is_written(world, 0));
    assert_true(store_is_written(world, 1));
    disk_mend();
    store_world_reopen(world);
    assert_int_equal(store_load(world)->count, 1);
}

static void the_map_grows_when_it_is_too_small(void **state)
{
    struct store_world *world = *state;
    // 1 MiB of payload is what the store was told; this is far more than twice that and 64 MiB.
    for (uint64_t token = 1; token <= 1500; token++)
        retain(world, token, sizeof(large));
    assert_true(sfl_store_flush(world->store, UINT64_MAX));
    assert_int_equal(world->lost_count, 0);
    assert_int_equal(store_load(world)->count, 1500);
    store_world_reopen(world);
    assert_int_equal(store_load(world)->count, 1500);
}

static void tokens_are_granted_while_the_disk_fails_until_the_reserve_is_used_up(void **state)
{
    struct store_world *world = *state;
    uint64_t last = sfl_store_take_tokens(world->store, 1);
    disk_fail(ENOSPC);
    uint64_t row;
    while ((row = sfl_store_take_tokens(world->store, 1 << 20)) != 0) {
        assert_true(row > last);
        last = row + (1 << 20) - 1;
    }
    disk_mend();
    while ((row = sfl_store_take_tokens(world->store, 1)) == 0)
        assert_true(sfl_store_flush(world->store, UINT64_MAX));
    assert_true(row > last);
    store_world_reopen(world);
    assert_true(sfl_store_take_tokens(world->store, 1) > row);
}

static void on_written_once(void *context, bool is_written)
{
    bool *answer = context;
    *answer = is_written;
}

static void the_queue_has_a_bound(void **state)
{
    struct store_world *world = *state;
    struct answers answers = {0};
    store_world_close(world);
    world->options.queue_bytes_max = 10000;
    store_world_open(world);
    for (uint64_t token = 1; token <= 3; token++)
        retain(world, token, 10);
    assert_true(sfl_store_flush(world->store, UINT64_MAX));
    gather(world);
    uint64_t token = 1000;
    while (store_retain(world, "key", token, sfl_span_of_text("v"), 60000))
        token++;
    assert_in_range(token, 1010, 1100);
    assert_int_equal(sfl_store_state(world->store).lost, 1);
    assert_in_range(sfl_store_state(world->store).waiting_bytes, 9000, 20000);
    // Whoever could queue something can wait for it; at some time that ends, too.
    assert_true(sfl_store_await(world->store, token - 1, on_written, &answers));
    unsigned waiting = 0;
    bool last;
    while (waiting < 100 && sfl_store_await(world->store, 0, on_written_once, &last))
        waiting++;
    assert_in_range(waiting, 1, 99);
    // But what is to be dropped is dropped.
    for (uint64_t dropped = 1; dropped <= 3; dropped++)
        sfl_store_drop(world->store, dropped);
    disk_go_on();
    assert_true(sfl_store_flush(world->store, UINT64_MAX));
    assert_true(answers.is_written[0]);
    assert_false(store_has(world, 1));
    assert_int_equal(sfl_store_state(world->store).waiting_bytes, 0);
}

static void nobody_but_who_waits_for_it_waits_for_a_disk_that_hangs(void **state)
{
    struct store_world *world = *state;
    bool is_written = false;
    gather(world);
    retain(world, 1, 10);
    sfl_store_drop(world->store, 1);
    assert_true(sfl_store_take_tokens(world->store, 1000) > 0);
    assert_true(sfl_store_await(world->store, 0, on_written_once, &is_written));
    assert_false(is_written);
    disk_go_on();
    assert_true(sfl_store_flush(world->store, UINT64_MAX));
    assert_true(is_written);
}

static void on_a_full_disk_it_does_not_start_and_says_why(void **state)
{
    struct store_world *world = *state;
    store_world_close(world);
    disk_fail(ENOSPC);
    assert_non_null(strstr(store_world_refused(world, SFL_UNAVAILABLE), "No space left on device"));
    disk_mend();
    store_world_open(world);
}

static void a_lead_that_is_lost_is_counted(void **state)
{
    struct store_world *world = *state;
    disk_fail(ENOSPC);
    assert_true(store_lead(world, "key", 1, false, NULL));
    assert_true(sfl_store_flush(world->store, UINT64_MAX));
    assert_int_equal(sfl_store_state(world->store).lost_leads, 1);
    assert_int_equal(sfl_store_state(world->store).lost, 0);
    assert_int_equal(world->lost_count, 0); // of outcomes
    disk_mend();
    assert_true(store_is_written(world, 0));
    assert_false(store_has_lead(world, 1));
}

static void a_lead_that_is_forgotten_is_tried_until_the_disk_takes_it(void **state)
{
    struct store_world *world = *state;
    assert_true(store_lead(world, "key", 1, false, NULL));
    assert_true(store_is_written(world, 1));
    disk_fail(ENOSPC);
    assert_true(store_lead(world, "key", 1, true, NULL));
    assert_false(store_is_written(world, 0)); // so Forget is not answered with yes
    assert_false(store_is_written(world, 0));
    disk_mend();
    assert_true(store_is_written(world, 0));
    const struct found *found = store_load(world);
    assert_int_equal(found->lead_count, 1);
    assert_true(found->lead_forgotten[0]);
}

// What is tried again is what the disk has, not what it never took.
static void what_the_disk_never_took_is_not_taken_back_for_ever(void **state)
{
    struct store_world *world = *state;
    assert_true(store_lead(world, "key", 1, false, NULL));
    assert_true(store_is_written(world, 1));
    disk_fail(ENOSPC);
    sfl_store_unlead(world->store, 1);
    for (uint64_t token = 2; token <= 1000; token++) {
        assert_true(store_lead(world, "key", token, false, NULL));
        retain(world, 10000 + token, 1);
        sfl_store_drop(world->store, 10000 + token); // as the engine does when it is lost
    }
    assert_false(store_is_written(world, 0));
    assert_int_equal(sfl_store_state(world->store).stuck, 1);
    disk_mend();
    assert_true(store_is_written(world, 0));
    assert_int_equal(sfl_store_state(world->store).stuck, 0);
    assert_int_equal(store_load(world)->lead_count, 0);
    assert_int_equal(store_load(world)->count, 0);
}

// The flight was forgotten before this attempt: it has no record yet that this one replaces.
static void who_waits_for_a_lead_that_is_lost_is_told_so(void **state)
{
    struct store_world *world = *state;
    assert_true(store_new_lead_is_written(world, 1, false));
    assert_true(store_new_lead_is_written(world, 2, true));
    disk_fail(ENOSPC);
    assert_false(store_new_lead_is_written(world, 3, false));
    assert_false(store_new_lead_is_written(world, 4, true));
    assert_int_equal(sfl_store_state(world->store).lost_leads, 2);
    disk_mend();
    assert_true(store_is_written(world, 0));
    assert_int_equal(store_load(world)->lead_count, 2);
}

static void a_lead_whose_replacement_is_stuck_is_not_kept(void **state)
{
    struct store_world *world = *state;
    struct answers answers = {0};
    const struct sfl_kept_lead lead = {
        .group = sfl_span_of_text("group"), .key = sfl_span_of_text("key"), .token = 1};
    gather(world);
    disk_fail(ENOSPC);
    assert_true(sfl_store_lead(world->store, &lead, on_written, &answers));
    assert_true(store_lead(world, "key", 1, true, NULL));
    disk_go_on();
    assert_true(sfl_store_flush(world->store, UINT64_MAX));
    assert_int_equal(answers.count, 1);
    assert_false(answers.is_written[0]);
    sfl_store_unlead(world->store, 1); // as the engine does then
    disk_mend();
    assert_true(store_is_written(world, 0));
    assert_false(store_has_lead(world, 1));
}

static void a_lead_that_is_over_in_the_same_batch_does_not_come_back(void **state)
{
    struct store_world *world = *state;
    gather(world);
    disk_refuse_above(sizeof(large));
    assert_true(store_lead(world, "key", 1, false, NULL));
    retain(world, 1, 10);            // its outcome stays
    retain(world, 2, sizeof(large)); // so that the batch is written job by job
    sfl_store_unlead(world->store, 1);
    disk_go_on();
    assert_true(store_is_written(world, 0));
    disk_mend();
    store_world_reopen(world);
    assert_false(store_has_lead(world, 1));
    assert_true(store_has(world, 1));
}

// The disk took the head of the file and said that it did not, so the record is there.
static void what_was_said_to_be_lost_is_taken_back_when_the_disk_has_it(void **state)
{
    struct store_world *world = *state;
    retain(world, 1, 10);
    assert_true(store_is_written(world, 1));
    disk_break_in_the_head();
    retain(world, 2, 10);
    assert_true(sfl_store_flush(world->store, UINT64_MAX));
    assert_int_equal(world->lost_count, 1);
    disk_mend();
    assert_true(store_is_written(world, 0));
    store_world_reopen(world);
    assert_true(store_has(world, 1));
    assert_false(store_has(world, 2));
}

static void a_disk_that_hangs_is_not_waited_for_longer_than_asked(void **state)
{
    struct store_world *world = *state;
    gather(world);
    assert_false(sfl_store_flush(world->store, 20));
    assert_false(sfl_store_close(world->store, 20));
    disk_go_on();
    // It goes on by itself, so that it can be closed after all.
    assert_true(sfl_store_close(world->store, UINT64_MAX));
    world->store = NULL;
}

static int tear_down(void **state)
{
    disk_mend();
    disk_go_on();
    return store_world_tear_down(state);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, store_world_set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(what_cannot_be_written_takes_nothing_else_with_it),
        STORY(who_waits_for_what_is_lost_is_told_so),
        STORY(all_who_wait_for_what_is_lost_are_told_so_in_whatever_order),
        STORY(a_drop_that_fails_is_said_so_and_tried_again),
        STORY(it_finds_out_by_itself_that_the_disk_works_again),
        STORY(an_outcome_that_is_dropped_in_the_same_batch_does_not_come_back),
        STORY(the_map_grows_when_it_is_too_small),
        STORY(tokens_are_granted_while_the_disk_fails_until_the_reserve_is_used_up),
        STORY(the_queue_has_a_bound),
        STORY(nobody_but_who_waits_for_it_waits_for_a_disk_that_hangs),
        STORY(on_a_full_disk_it_does_not_start_and_says_why),
        STORY(a_lead_that_is_lost_is_counted),
        STORY(a_lead_that_is_forgotten_is_tried_until_the_disk_takes_it),
        STORY(what_the_disk_never_took_is_not_taken_back_for_ever),
        STORY(who_waits_for_a_lead_that_is_lost_is_told_so),
        STORY(a_lead_whose_replacement_is_stuck_is_not_kept),
        STORY(a_lead_that_is_over_in_the_same_batch_does_not_come_back),
        STORY(what_was_said_to_be_lost_is_taken_back_when_the_disk_has_it),
        STORY(a_disk_that_hangs_is_not_waited_for_longer_than_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
