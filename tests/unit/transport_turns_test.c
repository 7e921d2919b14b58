// SPDX-License-Identifier: Apache-2.0
// What is done for many callers is done in turns, so that nobody else waits for all of it.
#include "transport_fake.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CROWD = 3 * SFL_SETTLED_BATCH };

#define DO "/singleflight.v1.SingleFlight/Do"
#define SESSION "/singleflight.v1.SingleFlight/Session"
#define LIST_FLIGHTS "/singleflight.v1.Admin/ListFlights"
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

static void send_call(struct fake_world *world, struct sfl_stream *stream,
                      Singleflight__V1__CallRequest *call, uint64_t id)
{
    call->id = id;
    fake_session_send(world, stream, call);
}

// A leader on a Session whose outcome is on its way to the disk.
static struct sfl_stream *finish_on_session(struct fake_world *world, uint64_t timeout_ms)
{
    struct sfl_stream *stream = fake_open(world, SESSION, PEER);
    Singleflight__V1__CallRequest call;
    Singleflight__V1__Join asked;
    Singleflight__V1__Finish finish = SINGLEFLIGHT__V1__FINISH__INIT;
    Singleflight__V1__Outcome outcome = SINGLEFLIGHT__V1__OUTCOME__INIT;
    add_join(&call, &asked, 1, "key");
    asked.retain_ms = 60000;
    call.timeout_ms = timeout_ms;
    fake_session_send(world, stream, &call);
    singleflight__v1__call_request__init(&call);
    call.step_case = SINGLEFLIGHT__V1__CALL_REQUEST__STEP_FINISH;
    call.finish = &finish;
    finish.outcome = &outcome;
    outcome.kind = SINGLEFLIGHT__V1__OUTCOME_KIND__OUTCOME_KIND_OK;
    send_call(world, stream, &call, 1);
    return stream;
}

static struct fake_frame last_frame(const struct sfl_stream *stream)
{
    static struct fake_frame frames[FAKE_FRAMES_MAX];
    size_t count = fake_frames(stream, frames);
    assert_true(count > 0);
    return frames[count - 1];
}

static void a_leader_that_waits_for_the_disk_may_cancel(void **state)
{
    struct fake_world *world = *state;
    world->keeps = true;
    fake_world_start(world);
    struct sfl_stream *stream = finish_on_session(world, 0);
    assert_int_equal(last_frame(stream).step, SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_LEAD);
    Singleflight__V1__CallRequest call = SINGLEFLIGHT__V1__CALL_REQUEST__INIT;
    Singleflight__V1__Cancel cancel = SINGLEFLIGHT__V1__CANCEL__INIT;
    call.step_case = SINGLEFLIGHT__V1__CALL_REQUEST__STEP_CANCEL;
    call.cancel = &cancel;
    send_call(world, stream, &call, 1);
    assert_int_equal(last_frame(stream).code, 1);
    size_t heard = fake_count(stream);
    fake_keep(world); // too late
    assert_int_equal(fake_count(stream), heard);
    fake_break(world, stream);
    fake_release(stream);
}

static void a_leader_that_waits_for_the_disk_has_its_deadline(void **state)
{
    struct fake_world *world = *state;
    world->keeps = true;
    fake_world_start(world);
    struct sfl_stream *stream = finish_on_session(world, 2000);
    assert_int_equal(last_frame(stream).step, SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_LEAD);
    uint64_t due_ms = sfl_transport_tick(world->transport);
    assert_true(due_ms <= sfl_clock_now_ms() + 2000);
    while (last_frame(stream).step == SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_LEAD) {
        assert_true(sfl_transport_tick(world->transport) != UINT64_MAX ||
                    sfl_clock_now_ms() + 1 >= due_ms);
        fake_run(world);
    }
    assert_int_equal(last_frame(stream).code, 4);
    fake_keep(world);
    fake_break(world, stream);
    fake_release(stream);
}

static void a_listing_that_finds_nothing_goes_on_in_turns(void **state)
{
    Singleflight__V1__ListFlightsRequest request = SINGLEFLIGHT__V1__LIST_FLIGHTS_REQUEST__INIT;
    struct fake_world *world = *state;
    fake_world_start(world);
    struct sfl_stream *callers[1000];
    char key[16];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "key %u", i);
        callers[i] = join(world, PEER, key);
    }
    struct sfl_stream *stream = fake_open(world, LIST_FLIGHTS, PEER);
    uint8_t packed[64];
    request.group = (char *)(uintptr_t) "another";
    fake_turns_of(1);
    unsigned before = fake_crowd_count();
    fake_send(world, stream, packed,
              singleflight__v1__list_flights_request__pack(&request, packed));
    assert_int_equal(fake_code(stream), 0);
    assert_int_equal(fake_count(stream), 0);
    assert_true(fake_crowd_count() - before >= 2); // 512 places at a time
    fake_release(stream);
    for (unsigned i = 0; i < 1000; i++) {
        fake_break(world, callers[i]);
        fake_release(callers[i]);
    }
}

static size_t count_ends(const struct sfl_stream *stream)
{
    size_t ends = 0;
    for (size_t i = 0; i < fake_count(stream); i++) {
        Singleflight__V1__SessionResponse *response = fake_session_response(stream, i);
        for (size_t j = 0; j < response->n_calls; j++)
            ends += response->calls[j]->step_case == SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_END;
        singleflight__v1__session_response__free_unpacked(response, NULL);
    }
    return ends;
}

// One message with so many joins of one key, with ids from `id` on; its turns are yet to come.
static void send_joins_without_turns(struct sfl_stream *stream, uint64_t id, unsigned count)
{
    Singleflight__V1__SessionRequest request = SINGLEFLIGHT__V1__SESSION_REQUEST__INIT;
    Singleflight__V1__CallRequest *calls = calloc(count, sizeof(*calls));
    Singleflight__V1__Join *asked = calloc(count, sizeof(*asked));
    request.calls = calloc(count, sizeof(request.calls[0]));
    request.n_calls = count;
    assert_true(calls != NULL && asked != NULL && request.calls != NULL);
    for (unsigned i = 0; i < count; i++) {
        add_join(&calls[i], &asked[i], id + i, "key");
        request.calls[i] = &calls[i];
    }
    size_t size = singleflight__v1__session_request__get_packed_size(&request);
    uint8_t *packed = malloc(size);
    assert_non_null(packed);
    singleflight__v1__session_request__pack(&request, packed);
    fake_send_without_turns(stream, packed, size);
    free(packed);
    free(request.calls);
    free(asked);
    free(calls);
}

static void send_joins(struct fake_world *world, struct sfl_stream *stream, unsigned count)
{
    send_joins_without_turns(stream, 1, count);
    fake_run(world);
}

static void a_client_far_over_its_limit_is_refused_call_by_call(void **state)
{
    enum { LIMIT = 100, JOINS = 100000 };
    struct fake_world *world = *state;
    world->connection_callers_max = LIMIT;
    fake_world_start(world);
    struct sfl_stream *stream = fake_open(world, SESSION, PEER);
    send_joins(world, stream, JOINS);
    assert_int_equal(fake_code(stream), -1);
    assert_int_equal(callers_now(world), LIMIT);
    assert_int_equal(count_ends(stream), JOINS - LIMIT);
    fake_break(world, stream);
    fake_release(stream);
}

static void a_client_that_reads_no_refusals_is_not_read_either(void **state)
{
    enum { LIMIT = 100, JOINS = 100000 };
    struct fake_world *world = *state;
    world->connection_callers_max = LIMIT;
    fake_world_start(world);
    struct sfl_stream *stream = fake_open(world, SESSION, PEER);
    struct sfl_stream *beside = fake_open(world, SESSION, PEER);
    fake_freeze(world, stream, true);
    send_joins(world, stream, JOINS);
    assert_true(fake_is_paused(stream));
    assert_int_equal(callers_now(world), LIMIT);
    // Its sibling on the connection gets its answers, a few at a time.
    send_joins(world, beside, 1000);
    assert_int_equal(count_ends(beside), 1000);
    assert_false(fake_is_paused(beside));
    fake_freeze(world, stream, false);
    assert_false(fake_is_paused(stream));
    assert_int_equal(count_ends(stream), JOINS - LIMIT);
    fake_break(world, stream);
    fake_break(world, beside);
    fake_release(stream);
    fake_release(beside);
}

static void a_stream_that_breaks_while_it_is_not_read_leaves_nothing(void **state)
{
    struct fake_world *world = *state;
    world->connection_callers_max = 100;
    fake_world_start(world);
    struct sfl_stream *stream = fake_open(world, SESSION, PEER);
    fake_freeze(world, stream, true);
    send_joins(world, stream, 100000);
    assert_true(fake_is_paused(stream));
    assert_false(sfl_transport_is_idle(world->transport, 0));
    fake_break(world, stream);
    assert_true(sfl_transport_is_idle(world->transport, 0));
    fake_release(stream);
}

static void a_session_that_breaks_in_the_middle_of_a_message_goes_once(void **state)
{
    enum { JOINS = 10000 };
    struct fake_world *world = *state;
    world->connection_callers_max = JOINS;
    fake_world_start(world);
    struct sfl_stream *session = open_session(world, 1);
    struct sfl_stream *other = join(world, ANOTHER_PEER, "key");
    send_joins_without_turns(session, 2, JOINS);
    assert_true(fake_is_paused(session));
    fake_break_without_turns(session);
    fake_run(world);
    expect_last_step(other, STEP(LEAD));
    fake_break(world, other);
    fake_release(other);
    fake_release(session);
}

static void a_message_with_many_steps_is_taken_in_turns(void **state)
{
    enum { JOINS = 10000 };
    struct fake_world *world = *state;
    world->connection_callers_max = JOINS;
    fake_world_start(world);
    struct sfl_stream *stream = fake_open(world, SESSION, PEER);
    send_joins(world, stream, JOINS);
    assert_int_equal(callers_now(world), JOINS);
    assert_true(fake_crowd_count() >= 2);
    assert_false(fake_is_paused(stream));
    fake_break(world, stream);
    fake_release(stream);
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
        STORY(a_leader_that_waits_for_the_disk_may_cancel),
        STORY(a_leader_that_waits_for_the_disk_has_its_deadline),
        STORY(a_listing_that_finds_nothing_goes_on_in_turns),
        STORY(a_client_far_over_its_limit_is_refused_call_by_call),
        STORY(a_client_that_reads_no_refusals_is_not_read_either),
        STORY(a_stream_that_breaks_while_it_is_not_read_leaves_nothing),
        STORY(a_session_that_breaks_in_the_middle_of_a_message_goes_once),
        STORY(a_message_with_many_steps_is_taken_in_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
