// SPDX-License-Identifier: Apache-2.0
#include "coordinator/coordinator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { LANES = 4, FLIGHTS = 1000 };

static struct sfl_coordinator *create(const struct sfl_standalone_options *options)
{
    struct sfl_coordinator *coordinator;
    assert_int_equal(sfl_standalone_create(options, &coordinator), SFL_OK);
    return coordinator;
}

// The next token of a lane; 0: there is none.
static uint64_t next(struct sfl_coordinator *coordinator, unsigned lane)
{
    const struct sfl_home_question question = {.lane = lane};
    struct sfl_home_answer answer;
    assert_true(coordinator->ops->find_home(coordinator, &question, &answer));
    assert_true(answer.found == (answer.token > 0));
    return answer.token;
}

static void the_tokens_of_a_lane_grow_and_no_two_lanes_have_the_same(void **state)
{
    (void)state;
    const uint64_t first = 5000;
    static bool seen[2 * LANES * FLIGHTS];
    uint64_t last[LANES] = {0};
    struct sfl_coordinator *coordinator =
        create(&(struct sfl_standalone_options){.lanes = LANES, .first_token = first});
    for (unsigned i = 0; i < LANES * FLIGHTS; i++) {
        unsigned lane = i * i % 7 % LANES;
        uint64_t token = next(coordinator, lane);
        assert_true(token > first && token > last[lane]);
        assert_true(token - first < sizeof(seen));
        assert_false(seen[token - first]);
        seen[token - first] = true;
        last[lane] = token;
    }
    coordinator->ops->destroy(coordinator);
}

// Tokens start from the wall clock in microseconds: what lies unused must not run ahead of it.
static void no_more_tokens_lie_unused_than_were_granted(void **state)
{
    (void)state;
    struct sfl_coordinator *coordinator =
        create(&(struct sfl_standalone_options){.lanes = LANES, .first_token = 0});
    uint64_t greatest = 0;
    for (unsigned granted = 1; granted <= FLIGHTS; granted++) {
        uint64_t token = next(coordinator, granted % LANES);
        greatest = token > greatest ? token : greatest;
        assert_true(greatest <= 2 * granted + LANES);
        assert_true(greatest <= granted + LANES * 64);
    }
    coordinator->ops->destroy(coordinator);
}

struct source {
    uint64_t last;
    uint64_t end;
    unsigned asked;
};

static uint64_t take_tokens(void *context, uint64_t count)
{
    struct source *source = context;
    source->asked++;
    if (source->end - source->last < count)
        return 0;
    uint64_t first = source->last + 1;
    source->last += count;
    return first;
}

static void a_source_of_tokens_is_asked_for_blocks(void **state)
{
    (void)state;
    struct source source = {.last = 100, .end = UINT64_MAX};
    struct sfl_coordinator *coordinator = create(&(struct sfl_standalone_options){
        .lanes = LANES, .take_tokens = take_tokens, .context = &source});
    for (uint64_t i = 0; i < FLIGHTS; i++)
        assert_int_equal(next(coordinator, 2), 101 + i);
    assert_true(source.asked < FLIGHTS / 64 + 8);
    coordinator->ops->destroy(coordinator);
}

static void without_tokens_there_is_no_home_until_there_are_some(void **state)
{
    (void)state;
    struct source source = {.last = 100, .end = 100};
    struct sfl_coordinator *coordinator = create(&(struct sfl_standalone_options){
        .lanes = LANES, .take_tokens = take_tokens, .context = &source});
    assert_int_equal(next(coordinator, 1), 0);
    assert_int_equal(next(coordinator, 1), 0);
    source.end = UINT64_MAX;
    assert_int_equal(next(coordinator, 1), 101);
    coordinator->ops->destroy(coordinator);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tokens_of_a_lane_grow_and_no_two_lanes_have_the_same),
        cmocka_unit_test(no_more_tokens_lie_unused_than_were_granted),
        cmocka_unit_test(a_source_of_tokens_is_asked_for_blocks),
        cmocka_unit_test(without_tokens_there_is_no_home_until_there_are_some),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
