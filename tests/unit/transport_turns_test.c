// SPDX-License-Identifier: Apache-2.0
// What is done for many callers is done in turns, so that nobody else waits for all of it.
#include "transport_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CROWD = 3 * SFL_SETTLED_BATCH };

#define DO "/singleflight.v1.SingleFlight/Do"
#define SESSION "/singleflight.v1.SingleFlight/Session"
#define PEER "ipv4:127.0.0.1:5000"
#define ANOTHER_PEER "ipv4:127.0.0.1:5001"
#define STEP(name) SINGLEFLIGHT__V1__DO_RESPONSE__STEP_##name

static struct sfl_stream *join(struct fake_world *world, const char *peer, const char *key)
{
    Singleflight__V1__Join asked = SINGLEFLIGHT__V1__JOIN__INIT;
    Singleflight__V1__DoRequest request = SINGLEFLIGHT__V1__DO_REQUEST__INIT;
    struct sfl_stream *stream = fake_open(world, DO, peer);
    asked.key.data = (uint8_t *)(uintptr_t)key;
    asked.key.len = strlen(key);
    request.step_case = SINGLEFLIGHT__V1__DO_REQUEST__STEP_JOIN;
    request.join = &asked;
    fake_do_send(world, stream, &request);
    return stream;
}

static void expect_last_step(const struct sfl_stream *stream,
                             Singleflight__V1__DoResponse__StepCase step)
{
    size_t count = fake_count(stream);
    assert_true(count > 0);
    Singleflight__V1__DoResponse *response = fake_do_response(stream, count - 1);
    assert_int_equal(response->step_case, step);
    singleflight__v1__do_response__free_unpacked(response, NULL);
}

static uint64_t callers_now(const struct fake_world *world)
{
    return sfl_engine_stats(world->engine, sfl_span_of_text("")).callers_now;
}

static uint64_t executions(const struct fake_world *world)
{
    return sfl_engine_stats(world->engine, sfl_span_of_text("")).executions;
}

static void what_ends_on_the_clocks_thread_is_told_on_a_pump(void **state)
{
    struct fake_world *world = *state;
    struct sfl_stream *streams[1 + CROWD];
    fake_world_start(world);
    for (unsigned i = 0; i < 1 + CROWD; i++)
        streams[i] = join(world, PEER, "key");
    sfl_engine_shut(world->engine); // as the loop's thread does
    assert_int_equal(callers_now(world), CROWD);
    for (unsigned i = 1; i <= CROWD; i++)
        assert_int_equal(fake_code(streams[i]), -1);
    fake_run(world);
    assert_int_equal(callers_now(world), 0);
    for (unsigned i = 0; i < 1 + CROWD; i++) {
        assert_int_equal(fake_code(streams[i]), 14);
        fake_release(streams[i]);
    }
}

static void a_connection_that_dies_hands_its_leads_to_none_of_its_own(void **state)
{
    struct fake_world *world = *state;
    struct sfl_stream *dying[CROWD];
    fake_world_start(world);
    for (unsigned i = 0; i < CROWD; i++)
        dying[i] = join(world, PEER, "key");
    struct sfl_stream *other = join(world, ANOTHER_PEER, "key");
    expect_last_step(other, STEP(FOLLOW));
    fake_break_many(world, dying, CROWD);
    expect_last_step(other, STEP(LEAD));
    for (unsigned i = 1; i < CROWD; i++)
        expect_last_step(dying[i], STEP(FOLLOW));
    assert_int_equal(executions(world), 2);
    fake_break(world, other);
    fake_release(other);
    for (unsigned i = 0; i < CROWD; i++)
        fake_release(dying[i]);
}

static void a_lost_lead_is_handed_on_soon_however_busy_the_pump_is(void **state)
{
    struct fake_world *world = *state;
    fake_world_start(world);
    struct sfl_stream *leader = join(world, PEER, "key");
    struct sfl_stream *other = join(world, ANOTHER_PEER, "key");
    fake_be_never_drained();
    fake_break(world, leader); // runs until nothing is left to do
    expect_last_step(other, STEP(LEAD));
    fake_break(world, other);
    fake_release(leader);
    fake_release(other);
}

static void add_join(Singleflight__V1__CallRequest *call, Singleflight__V1__Join *asked,
                     uint64_t id, const char *key)
{
    singleflight__v1__join__init(asked);
    singleflight__v1__call_request__init(call);
    asked->key.data = (uint8_t *)(uintptr_t)key;
    asked->key.len = strlen(key);
    call->id = id;
    call->step_case = SINGLEFLIGHT__V1__CALL_REQUEST__STEP_JOIN;
    call->join = asked;
}

static struct sfl_stream *open_session(struct fake_world *world, unsigned count)
{
    struct sfl_stream *stream = fake_open(world, SESSION, PEER);
    Singleflight__V1__CallRequest call;
    Singleflight__V1__Join asked;
    for (unsigned i = 1; i <= count; i++) {
        add_join(&call, &asked, i, "key");
        fake_session_send(world, stream, &call);
    }
    return stream;
}

static void a_session_that_breaks_leaves_in_turns_and_its_leaders_last(void **state)
{
    struct fake_world *world = *state;
    fake_world_start(world);
    struct sfl_stream *session = open_session(world, CROWD);
    struct sfl_stream *other = join(world, ANOTHER_PEER, "key");
    fake_turns_of(10);
    fake_break_without_turns(session);
    assert_int_equal(callers_now(world), CROWD + 1 - 9);
    assert_true(fake_run_turn());
    assert_int_equal(callers_now(world), CROWD + 1 - 19);
    expect_last_step(other, STEP(FOLLOW));
    fake_run(world);
    expect_last_step(other, STEP(LEAD));
    assert_int_equal(callers_now(world), 1);
    assert_int_equal(executions(world), 2);
    fake_break(world, other);
    fake_release(other);
    fake_release(session);
}

static void a_session_learns_of_its_half_close_in_turns(void **state)
{
    struct fake_world *world = *state;
    fake_world_start(world);
    struct sfl_stream *session = open_session(world, CROWD);
    fake_turns_of(10);
    fake_half_close(world, session);
    // Its leader leaves, and no follower may lead.
    assert_int_equal(callers_now(world), 0);
    assert_int_equal(executions(world), 1);
    assert_int_equal(fake_code(session), 0);
    fake_release(session);
}

static int begin(void **state)
{
    struct fake_world *world = malloc(sizeof(*world));
    if (world == NULL)
        return -1;
    fake_world_init(world);
    *state = world;
    return 0;
}

static int end(void **state)
{
    fake_world_deinit(*state);
    free(*state);
    return 0;
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(what_ends_on_the_clocks_thread_is_told_on_a_pump),
        STORY(a_connection_that_dies_hands_its_leads_to_none_of_its_own),
        STORY(a_lost_lead_is_handed_on_soon_however_busy_the_pump_is),
        STORY(a_session_that_breaks_leaves_in_turns_and_its_leaders_last),
        STORY(a_session_learns_of_its_half_close_in_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
