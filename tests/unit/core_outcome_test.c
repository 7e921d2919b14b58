// SPDX-License-Identifier: Apache-2.0
// How a flight ends with an outcome, and what everybody then gets.
#include "support/world.h"

static void leader_finishes_any_kind_of_outcome_every_follower_gets_result(void **state)
{
    (void)state;
    static const struct {
        const char *finish;
        const char *leader;
        const char *follower;
    } kinds[] = {
        {"OK v", "result OK \"\" callers=3 attempt=1 token=1 shared led",
         "result OK \"v\" callers=3 attempt=1 token=1 shared"},
        {"ERROR v", "result ERROR \"\" callers=3 attempt=1 token=1 shared led",
         "result ERROR \"v\" callers=3 attempt=1 token=1 shared"},
        {"PANIC v", "result PANIC \"\" callers=3 attempt=1 token=1 shared led",
         "result PANIC \"v\" callers=3 attempt=1 token=1 shared"},
        {"ABANDONED v", "result ABANDONED \"\" callers=3 attempt=1 token=1 shared led",
         "result ABANDONED \"v\" callers=3 attempt=1 token=1 shared"},
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct world *w = world_open();
        JOIN(w, "A");
        JOIN(w, "B");
        JOIN(w, "C", .live = true);
        world_skip(w, "A");
        world_skip(w, "B");
        world_skip(w, "C");
        world_finish(w, "A", kinds[i].finish);
        HEAR(w, "A", kinds[i].leader);
        HEAR(w, "B", kinds[i].follower);
        HEAR(w, "C", kinds[i].follower);
        JOIN(w, "D"); // the key is free
        HEAR(w, "D", "lead token=2 attempt=1");
        world_close(w);
    }
}

static void value_and_error_stand_side_by_side(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    struct sfl_bytes *texts = sfl_bytes_copy(&sfl_heap, sfl_span_of_text("message"));
    struct sfl_finish finish = {
        .kind = SFL_OUTCOME_ERROR, .value = sfl_span_of_text("half"), .texts = texts};
    world_finish_with(w, "A", &finish);
    sfl_bytes_unref(texts);
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "result ERROR \"\" callers=2 attempt=1 token=1 shared led texts=\"message\"");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "result ERROR \"half\" callers=2 attempt=1 token=1 shared texts=\"message\"");
    world_close(w);
}

static void an_outcome_of_no_known_kind_costs_the_lead(void **state)
{
    (void)state;
    const int kinds[] = {0, 5, -1, 1000};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct world *w = world_open();
        JOIN(w, "A");
        JOIN(w, "B");
        world_skip(w, "A");
        world_skip(w, "B");
        struct sfl_finish finish = {.kind = kinds[i]};
        world_finish_with(w, "A", &finish);
        HEAR(w, "A", "INVALID_ARGUMENT: outcome.kind: must be OK, ERROR, PANIC or ABANDONED");
        HEAR(w, "B", "lead token=2 attempt=2");
        world_close(w);
    }
}

static void a_single_caller_is_not_shared(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    world_fail(w, "B", SFL_REASON_CANCELLED);
    world_finish(w, "A", "OK v");
    world_skip(w, "B");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "result OK \"\" callers=1 attempt=1 token=1 led");
    world_close(w);
}

static void sit_down(struct world *w, struct sfl_caller *callers, unsigned count, const char *key)
{
    struct sfl_effects effects;
    struct sfl_join join = {
        .group = sfl_span_of_text("g"), .key = sfl_span_of_text(key), .deadline_ms = UINT64_MAX};
    for (unsigned i = 0; i < count; i++) {
        sfl_caller_init(&callers[i]);
        struct sfl_event event = {.type = SFL_EVENT_JOIN,
                                  .caller = &callers[i],
                                  .hash = world_hash("g", key),
                                  .join = &join};
        sfl_table_step(world_table(w), &event, &effects);
        assert_int_equal(effects.count, 1);
        assert_int_equal(effects.items[0].type, SFL_EFFECT_FOLLOW);
    }
}

static void a_settled_flight_wakes_more_followers_than_a_batch_takes_oldest_first(void **state)
{
    (void)state;
    enum { CROWD = SFL_SETTLED_BATCH + 40 };
    static struct sfl_caller crowd[CROWD];
    struct world *w = world_open();
    JOIN(w, "A");
    sit_down(w, crowd, CROWD, "k");
    world_settled_late(w, true);
    world_finish(w, "A", "OK v");
    unsigned woken = 0;
    struct sfl_settled settled;
    while (sfl_table_take_settled(world_table(w), &settled)) {
        assert_true(settled.count > 0 && settled.count <= SFL_SETTLED_BATCH);
        assert_int_equal(settled.more, woken + settled.count < CROWD);
        assert_int_equal(settled.result.callers, CROWD + 1);
        for (unsigned i = 0; i < settled.count; i++)
            assert_ptr_equal(settled.callers[i], &crowd[woken++]);
        sfl_outcome_unref(settled.result.outcome);
    }
    assert_int_equal(woken, CROWD);
    world_skip(w, "A");
    world_close(w);
}

static void settled_flights_take_turns_so_that_a_crowd_holds_up_no_other(void **state)
{
    (void)state;
    enum { CROWD = 3 * SFL_SETTLED_BATCH };
    static struct sfl_caller crowd[CROWD];
    static struct sfl_caller small[2];
    struct world *w = world_open();
    world_settled_late(w, true);
    JOIN(w, "A");
    sit_down(w, crowd, CROWD, "k");
    JOIN(w, "B", .key = sfl_span_of_text("other"));
    sit_down(w, small, 2, "other");
    world_finish(w, "A", "OK v");
    world_finish(w, "B", "OK v");
    static const unsigned counts[] = {SFL_SETTLED_BATCH, 2, SFL_SETTLED_BATCH, SFL_SETTLED_BATCH};
    struct sfl_settled settled;
    for (unsigned i = 0; i < 4; i++) {
        assert_true(sfl_table_take_settled(world_table(w), &settled));
        assert_int_equal(settled.count, counts[i]);
        sfl_outcome_unref(settled.result.outcome);
    }
    assert_false(sfl_table_take_settled(world_table(w), &settled));
    world_skip(w, "A");
    world_skip(w, "B");
    world_close(w);
}

static void a_follower_that_leaves_before_it_is_woken_hears_only_that(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 100);
    JOIN(w, "B");
    JOIN(w, "C", .deadline_ms = 50);
    world_skip(w, "B");
    world_skip(w, "C");
    world_settled_late(w, true);
    world_finish(w, "A", "OK v");
    world_leave(w, "B");
    HEAR(w, "B", "CANCELLED: the stream broke");
    world_pass(w, 60); // its result is on the way, so its deadline means nothing
    SILENCE(w, "C");
    world_chunk(w, "C", 0, "x");
    SILENCE(w, "C");
    world_take_settled(w);
    HEAR(w, "C", "result OK \"v\" callers=3 attempt=1 token=1 shared retain=100");
    world_skip(w, "A");
    world_close(w);
}

static void a_settled_flight_and_a_new_one_of_its_key_do_not_mix(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    world_skip(w, "B");
    world_settled_late(w, true);
    world_finish(w, "A", "OK old");
    JOIN(w, "C");
    JOIN(w, "D");
    world_finish(w, "C", "OK new");
    world_take_settled(w);
    HEAR(w, "B", "result OK \"old\" callers=2 attempt=1 token=1 shared");
    HEAR(w, "D", "follow attempt=1 leader=C running=0");
    HEAR(w, "D", "result OK \"new\" callers=2 attempt=1 token=2 shared");
    world_skip(w, "A");
    world_skip(w, "C");
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leader_finishes_any_kind_of_outcome_every_follower_gets_result),
        cmocka_unit_test(value_and_error_stand_side_by_side),
        cmocka_unit_test(an_outcome_of_no_known_kind_costs_the_lead),
        cmocka_unit_test(a_single_caller_is_not_shared),
        cmocka_unit_test(a_settled_flight_wakes_more_followers_than_a_batch_takes_oldest_first),
        cmocka_unit_test(a_follower_that_leaves_before_it_is_woken_hears_only_that),
        cmocka_unit_test(settled_flights_take_turns_so_that_a_crowd_holds_up_no_other),
        cmocka_unit_test(a_settled_flight_and_a_new_one_of_its_key_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
