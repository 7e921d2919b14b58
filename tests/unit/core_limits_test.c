// SPDX-License-Identifier: Apache-2.0
// Every limit: who is refused, with which words, and that nobody else notices.
#include "support/world.h"

#include <stdlib.h>

static void a_key_over_its_size_is_invalid(void **state)
{
    (void)state;
    struct world *w = world_open();
    char key[1025];
    memset(key, 'k', sizeof(key));
    JOIN(w, "A", .key = sfl_span_of(key, 1025));
    HEAR(w, "A", "INVALID_ARGUMENT: key: 1025 bytes, must be 1 to 1024");
    JOIN(w, "B", .key = sfl_span_of(key, 0));
    HEAR(w, "B", "INVALID_ARGUMENT: key: 0 bytes, must be 1 to 1024");
    JOIN(w, "C", .key = sfl_span_of(key, 1024));
    HEAR(w, "C", "lead token=1 attempt=1");
    JOIN(w, "D", .key = sfl_span_of(key, 1));
    HEAR(w, "D", "lead token=2 attempt=1");
    world_close(w);
}

static void a_group_over_its_size_or_of_other_bytes_is_invalid(void **state)
{
    (void)state;
    struct world *w = world_open();
    char group[129];
    memset(group, 'g', sizeof(group));
    JOIN(w, "A", .group = sfl_span_of(group, 129));
    HEAR(w, "A", "INVALID_ARGUMENT: group: 129 bytes, must be at most 128");
    JOIN(w, "B", .group = sfl_span_of(group, 128));
    HEAR(w, "B", "lead token=1 attempt=1");
    JOIN(w, "C", .group = sfl_span_of_text("AZaz09._-"));
    HEAR(w, "C", "lead token=2 attempt=1");
    const char *const bad[] = {"a b", "a/b", "a:b", "\xc3\xa4", "a\n", "@", "[", "`", "{"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        JOIN(w, "D", .group = sfl_span_of_text(bad[i]));
        HEAR(w, "D", "INVALID_ARGUMENT: group: may hold only A-Z a-z 0-9 . _ -");
    }
    world_close(w);
}

static void a_fingerprint_over_its_size_is_invalid(void **state)
{
    (void)state;
    struct world *w = world_open();
    char bytes[65];
    memset(bytes, 'f', sizeof(bytes));
    JOIN(w, "A", .fingerprint = sfl_span_of(bytes, 65));
    HEAR(w, "A", "INVALID_ARGUMENT: fingerprint: 65 bytes, must be at most 64");
    JOIN(w, "B", .fingerprint = sfl_span_of(bytes, 64));
    HEAR(w, "B", "lead token=1 attempt=1");
    world_close(w);
}

static void a_caller_name_over_its_size_is_invalid(void **state)
{
    (void)state;
    struct world *w = world_open();
    char name[129];
    memset(name, 'n', sizeof(name));
    JOIN(w, "A", .name = sfl_span_of(name, 129));
    HEAR(w, "A", "INVALID_ARGUMENT: caller: 129 bytes, must be at most 128");
    JOIN(w, "B", .name = sfl_span_of(name, 128));
    HEAR(w, "B", "lead token=1 attempt=1");
    world_close(w);
}

static void durations_outside_their_bounds_are_invalid_never_clamped(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 604800001);
    HEAR(w, "A", "INVALID_ARGUMENT: retain_ms: 604800001, must be at most 604800000");
    JOIN(w, "A", .retain_error_ms = 604800001);
    HEAR(w, "A", "INVALID_ARGUMENT: retain_error_ms: 604800001, must be at most 604800000");
    JOIN(w, "A", .lease_ms = 999);
    HEAR(w, "A", "INVALID_ARGUMENT: lease_ms: 999, must be 0 or at least 1000");
    JOIN(w, "A", .lease_ms = 600001);
    HEAR(w, "A", "INVALID_ARGUMENT: lease_ms: 600001, must be at most 600000");
    JOIN(w, "A", .run_limit_ms = 86400001);
    HEAR(w, "A", "INVALID_ARGUMENT: run_limit_ms: 86400001, must be at most 86400000");
    JOIN(w, "A", .retain_ms = UINT64_MAX, .lease_ms = 1000);
    HEAR(w, "A", "INVALID_ARGUMENT: retain_ms: 18446744073709551615, must be at most 604800000");
    JOIN(w, "B", .retain_ms = 604800000, .retain_error_ms = 604800000, .lease_ms = 600000,
         .run_limit_ms = 86399999);
    HEAR(w, "B", "lead token=1 attempt=1 lease=600000 run_limit=86399999");
    world_close(w);
}

static void a_refused_join_leaves_the_running_flight_alone(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B", .lease_ms = 1);
    HEAR(w, "B", "INVALID_ARGUMENT: lease_ms: 1, must be 0 or at least 1000");
    assert_string_equal(world_list(w, "k"),
                        "LED attempt=1 token=1 leader=A callers=1 running=0 value=0");
    world_skip(w, "A");
    world_close(w);
}

static void over_the_limit_of_flights_a_new_key_is_refused(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_limits(w)->flights_max = 2;
    JOIN_KEY(w, "A", "a");
    JOIN_KEY(w, "B", "b");
    JOIN_KEY(w, "C", "c");
    HEAR(w, "C", "RESOURCE_EXHAUSTED: flights: the limit of 2 is reached");
    JOIN_KEY(w, "D", "a"); // a flight that runs may be joined
    HEAR(w, "D", "follow attempt=1 leader=A running=0");
    world_forget(w, "b"); // it still runs
    JOIN_KEY(w, "C", "c");
    HEAR(w, "C", "RESOURCE_EXHAUSTED: flights: the limit of 2 is reached");
    world_finish(w, "B", "OK");
    JOIN_KEY(w, "C", "c");
    HEAR(w, "C", "lead token=3 attempt=1");
    assert_int_equal(world_stats(w).refused, 2);
    world_skip(w, "A");
    world_skip(w, "B");
    world_close(w);
}

static void over_the_limit_of_callers_a_join_is_refused(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_limits(w)->callers_max = 2;
    JOIN(w, "A");
    JOIN(w, "B");
    world_skip(w, "A");
    JOIN(w, "C");
    HEAR(w, "C", "RESOURCE_EXHAUSTED: callers: the limit of 2 is reached");
    JOIN_KEY(w, "C", "other");
    HEAR(w, "C", "RESOURCE_EXHAUSTED: callers: the limit of 2 is reached");
    SILENCE(w, "A");
    assert_int_equal(sfl_budget_used(&world_usage(w)->flights), 1);
    world_leave(w, "B");
    JOIN(w, "C");
    HEAR(w, "C", "follow attempt=1 leader=A running=0");
    assert_int_equal(world_stats(w).refused, 2);
    world_skip(w, "B");
    world_close(w);
}

#define TOO_LARGE "8 singleflight.LimitExceeded: result: larger than the limit of 10 bytes"
#define TOO_MUCH "8 singleflight.LimitExceeded: bytes held for results: the limit of 10 is reached"

static void a_result_over_its_limit_is_the_outcome_for_everybody(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_limits(w)->value_bytes_max = 10;
    JOIN(w, "A");
    JOIN(w, "B");
    world_chunk(w, "A", 0, "0123456789");
    world_chunk(w, "A", 1, "!");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A",
         "result ERROR \"\" callers=2 attempt=1 token=1 shared led texts=\"" TOO_LARGE "\"");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "result ERROR \"\" callers=2 attempt=1 token=1 shared texts=\"" TOO_LARGE "\"");
    assert_int_equal(world_stats(w).refused, 1);
    assert_int_equal(world_stats(w).leaders_lost, 0);
    assert_int_equal(sfl_budget_used(&world_usage(w)->held_bytes), 0);
    world_close(w);
}

static void a_live_follower_that_got_chunks_of_it_starts_over_in_the_same_attempt(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_limits(w)->value_bytes_max = 10;
    JOIN(w, "A");
    JOIN(w, "B", .live = true);
    world_chunk(w, "A", 0, "01234");
    world_finish(w, "A", "OK 56789!");
    world_skip(w, "A");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "chunk \"01234\"");
    HEAR(w, "B", "restart attempt=1 leader=A");
    HEAR(w, "B", "result ERROR \"\" callers=2 attempt=1 token=1 shared texts=\"" TOO_LARGE "\"");
    JOIN(w, "C");
    JOIN(w, "D", .live = true);
    world_finish(w, "C", "OK 0123456789!"); // nobody has read anything
    world_skip(w, "C");
    HEAR(w, "D", "follow attempt=1 leader=C running=0");
    HEAR(w, "D", "result ERROR \"\" callers=2 attempt=1 token=2 shared texts=\"" TOO_LARGE "\"");
    world_close(w);
}

static void the_outcome_over_a_limit_is_retained_as_an_error_and_not_passed_on(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_limits(w)->value_bytes_max = 10;
    JOIN(w, "A", .retain_ms = 1, .retain_error_ms = 500);
    JOIN(w, "B");
    world_pass_on(w, "A", "ERROR 0123456789!");
    world_skip(w, "A");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B",
         "result ERROR \"\" callers=2 attempt=1 token=1 shared retain=500 texts=\"" TOO_LARGE "\"");
    world_pass(w, 500);
    JOIN(w, "C", .retain_error_ms = 500);
    world_finish_retain(w, "C", "OK 0123456789!", 70); // what `finish` says is obeyed
    HEAR(w, "C", "lead token=2 attempt=1");
    HEAR(w, "C",
         "result ERROR \"\" callers=1 attempt=1 token=2 led retain=70 texts=\"" TOO_LARGE "\"");
    world_close(w);
}

static void without_room_for_a_result_that_is_the_outcome(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_limits(w)->held_bytes_max = 10;
    JOIN_KEY(w, "A", "a");
    JOIN_KEY(w, "B", "b");
    world_chunk(w, "A", 0, "012345");
    world_chunk(w, "B", 0, "01234");
    HEAR(w, "B", "lead token=2 attempt=1");
    HEAR(w, "B", "result ERROR \"\" callers=1 attempt=1 token=2 led texts=\"" TOO_MUCH "\"");
    world_chunk(w, "A", 1, "6789"); // A does not notice
    HEAR(w, "A", "lead token=1 attempt=1");
    SILENCE(w, "A");
    world_finish(w, "A", "OK");
    world_skip(w, "A");
    assert_int_equal(sfl_budget_used(&world_usage(w)->held_bytes), 0);
    world_close(w);
}

static void texts_over_their_limit_are_the_outcome_too(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_limits(w)->texts_bytes_max = 5;
    struct sfl_bytes *five = sfl_bytes_copy(&sfl_heap, sfl_span_of_text("12345"));
    struct sfl_bytes *six = sfl_bytes_copy(&sfl_heap, sfl_span_of_text("123456"));
    JOIN(w, "A");
    struct sfl_finish finish = {.kind = SFL_OUTCOME_ERROR, .texts = six};
    world_finish_with(w, "A", &finish);
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A",
         "result ERROR \"\" callers=1 attempt=1 token=1 led texts=\"8 "
         "singleflight.LimitExceeded: outcome: message, type, stack and details are larger than "
         "the limit of 5 bytes\"");
    JOIN(w, "B");
    finish.texts = five;
    world_finish_with(w, "B", &finish);
    HEAR(w, "B", "lead token=2 attempt=1");
    HEAR(w, "B", "result ERROR \"\" callers=1 attempt=1 token=2 led texts=\"12345\"");
    sfl_bytes_unref(five);
    sfl_bytes_unref(six);
    world_close(w);
}

static void texts_are_charged_to_what_is_held(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_limits(w)->held_bytes_max = 10;
    struct sfl_bytes *texts = sfl_bytes_copy(&sfl_heap, sfl_span_of_text("123456"));
    JOIN(w, "A", .retain_error_ms = 100);
    struct sfl_finish finish = {
        .kind = SFL_OUTCOME_ERROR, .texts = texts, .value = sfl_span_of_text("1234")};
    world_finish_with(w, "A", &finish);
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "result ERROR \"\" callers=1 attempt=1 token=1 led retain=100 texts=\"123456\"");
    assert_int_equal(sfl_budget_used(&world_usage(w)->held_bytes), 10);
    assert_int_equal(world_stats(w).bytes_now, 10);
    JOIN_KEY(w, "B", "other");
    world_finish_with(w, "B",
                      &(struct sfl_finish){.kind = SFL_OUTCOME_OK, .value = sfl_span_of_text("1")});
    HEAR(w, "B", "lead token=2 attempt=1");
    HEAR(w, "B", "result ERROR \"\" callers=1 attempt=1 token=2 led texts=\"" TOO_MUCH "\"");
    sfl_bytes_unref(texts);
    world_close(w);
}

static void details_over_their_size_are_invalid(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    struct sfl_finish finish = {.kind = SFL_OUTCOME_ERROR, .details_bytes = 65537};
    world_finish_with(w, "A", &finish);
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "INVALID_ARGUMENT: outcome.details: 65537 bytes, must be at most 65536");
    world_close(w);
}

static void a_large_value_arrives_whole(void **state)
{
    (void)state;
    enum { SIZE = 900000, PIECE = 70001 };
    struct world *w = world_open();
    uint8_t *bytes = malloc(SIZE);
    assert_non_null(bytes);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(1 + (i * 31 + i / 251) % 255);
    JOIN(w, "A");
    JOIN(w, "F");
    JOIN(w, "L", .live = true);
    uint64_t sequence = 0;
    for (size_t at = 0; at < SIZE; at += PIECE)
        world_chunk_bytes(w, "A", sequence++, bytes + at, SIZE - at < PIECE ? SIZE - at : PIECE);
    world_finish(w, "A", "OK");
    assert_memory_equal(world_value(w, "F"), bytes, SIZE);
    assert_memory_equal(world_value(w, "L"), bytes, SIZE);
    assert_int_equal(strlen(world_value(w, "L")), SIZE);
    free(bytes);
    world_skip(w, "A");
    world_skip(w, "F");
    world_skip(w, "L");
    world_close(w);
}

static void without_memory_a_finish_costs_the_lead_and_the_next_one_tries(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    world_skip(w, "A");
    world_skip(w, "B");
    memory_fail(world_memory(w), 1, 1);
    world_finish(w, "A", "OK v");
    memory_fail_never(world_memory(w));
    HEAR(w, "A", "NO_MEMORY: out of memory");
    HEAR(w, "B", "lead token=2 attempt=2");
    memory_fail(world_memory(w), 1, 1);
    world_chunk(w, "B", 0, "v");
    HEAR(w, "B", "NO_MEMORY: out of memory");
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_over_its_size_is_invalid),
        cmocka_unit_test(a_group_over_its_size_or_of_other_bytes_is_invalid),
        cmocka_unit_test(a_fingerprint_over_its_size_is_invalid),
        cmocka_unit_test(a_caller_name_over_its_size_is_invalid),
        cmocka_unit_test(durations_outside_their_bounds_are_invalid_never_clamped),
        cmocka_unit_test(a_refused_join_leaves_the_running_flight_alone),
        cmocka_unit_test(over_the_limit_of_flights_a_new_key_is_refused),
        cmocka_unit_test(over_the_limit_of_callers_a_join_is_refused),
        cmocka_unit_test(a_result_over_its_limit_is_the_outcome_for_everybody),
        cmocka_unit_test(a_live_follower_that_got_chunks_of_it_starts_over_in_the_same_attempt),
        cmocka_unit_test(the_outcome_over_a_limit_is_retained_as_an_error_and_not_passed_on),
        cmocka_unit_test(without_room_for_a_result_that_is_the_outcome),
        cmocka_unit_test(texts_over_their_limit_are_the_outcome_too),
        cmocka_unit_test(texts_are_charged_to_what_is_held),
        cmocka_unit_test(details_over_their_size_are_invalid),
        cmocka_unit_test(a_large_value_arrives_whole),
        cmocka_unit_test(without_memory_a_finish_costs_the_lead_and_the_next_one_tries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
