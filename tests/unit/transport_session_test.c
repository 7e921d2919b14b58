// SPDX-License-Identifier: Apache-2.0
// Session: ids, frames that gather, turns, and a peer that does not read.
#include "transport_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SESSION "/singleflight.v1.SingleFlight/Session"
#define PEER "ipv4:127.0.0.1:1000"

#define STEP(name) SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_##name

enum { OK = 0, CANCELLED = 1, INVALID_ARGUMENT = 3, RESOURCE_EXHAUSTED = 8, ABORTED = 10 };

struct story {
    struct fake_world world;
    struct sfl_stream *stream;
    size_t count;
    struct fake_frame frames[FAKE_FRAMES_MAX];
};

static int set_up(void **state)
{
    struct story *story = calloc(1, sizeof(*story));
    assert_non_null(story);
    fake_world_init(&story->world);
    *state = story;
    return 0;
}

static void begin(struct story *story)
{
    fake_world_start(&story->world);
    story->stream = fake_open(&story->world, SESSION, PEER);
}

static int tear_down(void **state)
{
    struct story *story = *state;
    fake_freeze(&story->world, story->stream, false);
    fake_break(&story->world, story->stream);
    fake_release(story->stream);
    fake_world_deinit(&story->world);
    free(story);
    return 0;
}

// --- what the client sends ---

static void join_with(struct story *story, uint64_t id, const char *key, bool live)
{
    Singleflight__V1__Join join = SINGLEFLIGHT__V1__JOIN__INIT;
    Singleflight__V1__CallRequest call = SINGLEFLIGHT__V1__CALL_REQUEST__INIT;
    join.key.data = (uint8_t *)(uintptr_t)key;
    join.key.len = strlen(key);
    join.live = live;
    call.id = id;
    call.step_case = SINGLEFLIGHT__V1__CALL_REQUEST__STEP_JOIN;
    call.join = &join;
    fake_session_send(&story->world, story->stream, &call);
}

static void join(struct story *story, uint64_t id, const char *key)
{
    join_with(story, id, key, false);
}

static void chunk(struct story *story, uint64_t id, uint64_t sequence, size_t size)
{
    Singleflight__V1__Chunk part = SINGLEFLIGHT__V1__CHUNK__INIT;
    Singleflight__V1__CallRequest call = SINGLEFLIGHT__V1__CALL_REQUEST__INIT;
    part.data.data = calloc(1, size + 1);
    assert_non_null(part.data.data);
    part.data.len = size;
    part.sequence = sequence;
    call.id = id;
    call.step_case = SINGLEFLIGHT__V1__CALL_REQUEST__STEP_CHUNK;
    call.chunk = &part;
    fake_session_send(&story->world, story->stream, &call);
    free(part.data.data);
}

static void finish(struct story *story, uint64_t id, const char *value)
{
    Singleflight__V1__Outcome outcome = SINGLEFLIGHT__V1__OUTCOME__INIT;
    Singleflight__V1__Finish end = SINGLEFLIGHT__V1__FINISH__INIT;
    Singleflight__V1__CallRequest call = SINGLEFLIGHT__V1__CALL_REQUEST__INIT;
    outcome.kind = SINGLEFLIGHT__V1__OUTCOME_KIND__OUTCOME_KIND_OK;
    outcome.value.data = (uint8_t *)(uintptr_t)value;
    outcome.value.len = strlen(value);
    end.outcome = &outcome;
    call.id = id;
    call.step_case = SINGLEFLIGHT__V1__CALL_REQUEST__STEP_FINISH;
    call.finish = &end;
    fake_session_send(&story->world, story->stream, &call);
}

static void renew(struct story *story, uint64_t id, uint64_t renewal)
{
    Singleflight__V1__Renew again = SINGLEFLIGHT__V1__RENEW__INIT;
    Singleflight__V1__CallRequest call = SINGLEFLIGHT__V1__CALL_REQUEST__INIT;
    again.id = renewal;
    call.id = id;
    call.step_case = SINGLEFLIGHT__V1__CALL_REQUEST__STEP_RENEW;
    call.renew = &again;
    fake_session_send(&story->world, story->stream, &call);
}

static void cancel(struct story *story, uint64_t id)
{
    Singleflight__V1__Cancel nothing = SINGLEFLIGHT__V1__CANCEL__INIT;
    Singleflight__V1__CallRequest call = SINGLEFLIGHT__V1__CALL_REQUEST__INIT;
    call.id = id;
    call.step_case = SINGLEFLIGHT__V1__CALL_REQUEST__STEP_CANCEL;
    call.cancel = &nothing;
    fake_session_send(&story->world, story->stream, &call);
}

// --- what it has got ---

static void look(struct story *story)
{
    story->count = fake_frames(story->stream, story->frames);
}

// The frame with this number, which must be this step of this call.
static const struct fake_frame *expect(struct story *story, size_t index, uint64_t id,
                                       Singleflight__V1__CallResponse__StepCase step)
{
    look(story);
    assert_true(index < story->count);
    assert_int_equal(story->frames[index].id, id);
    assert_int_equal(story->frames[index].step, step);
    return &story->frames[index];
}

static void expect_end(struct story *story, size_t index, uint64_t id, int code, const char *words)
{
    const struct fake_frame *frame = expect(story, index, id, STEP(END));
    assert_int_equal(frame->code, code);
    assert_non_null(strstr(frame->text, words));
}

static void expect_nothing_after(struct story *story, size_t count)
{
    look(story);
    assert_int_equal(story->count, count);
}

// --- stories ---

static void one_leads_others_follow_and_all_get_the_result(void **state)
{
    struct story *story = *state;
    begin(story);
    join(story, 1, "key");
    join(story, 2, "key");
    join(story, 3, "key");
    finish(story, 1, "value");
    expect(story, 0, 1, STEP(LEAD));
    expect(story, 1, 2, STEP(FOLLOW));
    expect(story, 2, 3, STEP(FOLLOW));
    assert_int_equal(expect(story, 3, 1, STEP(RESULT))->bytes, 0);
    assert_int_equal(expect(story, 4, 2, STEP(RESULT))->bytes, 5);
    assert_int_equal(expect(story, 5, 3, STEP(RESULT))->bytes, 5);
    expect_nothing_after(story, 6);
}

static void what_gathers_during_a_send_travels_in_one_message(void **state)
{
    struct story *story = *state;
    char key[16];
    begin(story);
    fake_freeze(&story->world, story->stream, true);
    for (uint64_t id = 1; id <= 100; id++) {
        snprintf(key, sizeof(key), "key %d", (int)id);
        join(story, id, key);
    }
    assert_int_equal(fake_count(story->stream), 1);
    fake_freeze(&story->world, story->stream, false);
    assert_int_equal(fake_count(story->stream), 2);
    look(story);
    assert_int_equal(story->count, 100);
}

static void every_renewal_is_answered_in_order_however_late_it_is_read(void **state)
{
    struct story *story = *state;
    begin(story);
    join(story, 1, "a");
    fake_freeze(&story->world, story->stream, true);
    for (uint64_t n = 1; n <= 100; n++)
        renew(story, 1, 1000 - n);
    finish(story, 1, "v");
    fake_freeze(&story->world, story->stream, false);
    expect(story, 0, 1, STEP(LEAD));
    for (uint64_t n = 1; n <= 100; n++)
        assert_int_equal(expect(story, n, 1, STEP(RENEWED))->bytes, 1000 - n);
    expect(story, 101, 1, STEP(RESULT));
}

static void a_leader_that_reads_no_answer_to_its_renewals_is_stopped(void **state)
{
    enum { MOST = 1024 };
    struct story *story = *state;
    begin(story);
    join(story, 1, "a");
    fake_freeze(&story->world, story->stream, true);
    for (uint64_t n = 0; n <= MOST + 1; n++) // one is on its way, MOST wait, and one is too many
        renew(story, 1, 1 + n);
    fake_freeze(&story->world, story->stream, false);
    for (uint64_t n = 0; n <= MOST; n++)
        assert_int_equal(expect(story, 1 + n, 1, STEP(RENEWED))->bytes, 1 + n);
    expect_end(story, 2 + MOST, 1, RESOURCE_EXHAUSTED, "renewals: 1024 of this call wait");
}

static void renewals_of_one_stream_are_bounded_together(void **state)
{
    enum { CALLS = 80, OF_EACH = 1024 };
    struct story *story = *state;
    begin(story);
    for (uint64_t id = 1; id <= CALLS; id++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "key-%u", (unsigned)id);
        join(story, id, key);
    }
    fake_freeze(&story->world, story->stream, true);
    for (uint64_t id = 1; id <= CALLS; id++)
        for (uint64_t n = 1; n <= OF_EACH; n++)
            renew(story, id, n);
    struct sfl_stats stats = sfl_engine_stats(story->world.engine, sfl_span_of_text(""));
    assert_in_range(stats.callers_now, 60, 64); // others have ended, and these lead
    fake_freeze(&story->world, story->stream, false);
}

static void an_id_that_does_not_grow_ends_with_invalid_argument(void **state)
{
    struct story *story = *state;
    begin(story);
    join(story, 5, "a");
    finish(story, 5, "v");
    join(story, 5, "b");
    join(story, 4, "c");
    expect_end(story, 2, 5, INVALID_ARGUMENT, "id: must be greater");
    expect_end(story, 3, 4, INVALID_ARGUMENT, "id: must be greater");
    join(story, 6, "d");
    expect(story, 4, 6, STEP(LEAD));
}

static void a_second_join_of_a_running_call_ends_it(void **state)
{
    struct story *story = *state;
    begin(story);
    join(story, 1, "a");
    join(story, 1, "a");
    expect_end(story, 1, 1, INVALID_ARGUMENT, "join: this caller has joined already");
    expect_nothing_after(story, 2);
}

static void a_step_for_an_id_that_never_joined_ends_that_id(void **state)
{
    struct story *story = *state;
    begin(story);
    join(story, 5, "a");
    chunk(story, 3, 0, 1); // below, but skipped
    cancel(story, 9);
    expect_end(story, 1, 3, INVALID_ARGUMENT, "never joined");
    expect_end(story, 2, 9, INVALID_ARGUMENT, "never joined");
    assert_int_equal(fake_code(story->stream), -1);
    join(story, 9, "b"); // which may still join
    expect(story, 3, 9, STEP(LEAD));
}

static void steps_for_an_id_that_has_ended_are_ignored(void **state)
{
    struct story *story = *state;
    begin(story);
    join(story, 1, "a");
    finish(story, 1, "v");
    chunk(story, 1, 0, 1);
    finish(story, 1, "v");
    cancel(story, 1);
    expect_nothing_after(story, 2);
}

static void only_the_latest_gaps_are_known_but_no_id_joins_twice(void **state)
{
    struct story *story = *state;
    begin(story);
    for (uint64_t id = 1; id <= 201; id += 2)
        join(story, id, "a");
    look(story);
    size_t before = story->count;
    cancel(story, 200);
    expect_end(story, before, 200, INVALID_ARGUMENT, "never joined");
    cancel(story, 2); // in a gap that is forgotten: taken for a call that has ended
    expect_nothing_after(story, before + 1);
    join(story, 200, "a");
    expect_end(story, before + 1, 200, INVALID_ARGUMENT, "id: must be greater");
}

static void cancel_is_answered_and_its_flight_goes_on(void **state)
{
    struct story *story = *state;
    begin(story);
    join(story, 1, "a");
    join(story, 2, "a");
    cancel(story, 1);
    expect_end(story, 2, 1, CANCELLED, "cancelled");
    assert_int_equal(expect(story, 3, 2, STEP(LEAD))->attempt, 2);
}

static void a_fault_ends_its_own_call_alone(void **state)
{
    struct story *story = *state;
    begin(story);
    join(story, 1, "a");
    join(story, 2, "b");
    chunk(story, 1, 7, 1); // out of sequence
    join(story, 3, "");    // no key
    expect_end(story, 2, 1, INVALID_ARGUMENT, "chunk.sequence: 7, expected 0");
    expect_end(story, 3, 3, INVALID_ARGUMENT, "key: 0 bytes");
    finish(story, 2, "fine");
    expect(story, 4, 2, STEP(RESULT));
}

static void a_join_with_a_fault_takes_its_id(void **state)
{
    static const char bad[] = "\x0a\x0c\x08\x07\x12\x08\x12\x01k\x7a\x03"
                              "a\xff"
                              "b";
    struct story *story = *state;
    begin(story);
    fake_send(&story->world, story->stream, bad, sizeof(bad) - 1);
    expect_end(story, 0, 7, INVALID_ARGUMENT, "join.caller: is not valid UTF-8");
    join(story, 7, "k");
    expect_end(story, 1, 7, INVALID_ARGUMENT, "id: must be greater");
}

static void a_message_that_cannot_be_read_ends_the_stream_and_its_leaders(void **state)
{
    struct story *story = *state;
    begin(story);
    join(story, 1, "a");
    struct sfl_stream *other = fake_open(&story->world, SESSION, PEER);
    struct sfl_stream *mine = story->stream;
    story->stream = other;
    join(story, 1, "a");
    expect(story, 0, 1, STEP(FOLLOW));
    fake_send(&story->world, mine, "\xff", 1);
    assert_int_equal(fake_code(mine), INVALID_ARGUMENT);
    assert_non_null(strstr(fake_text(mine), "malformed"));
    assert_int_equal(expect(story, 1, 1, STEP(LEAD))->attempt, 2);
    fake_release(mine);
}

static void a_stream_that_breaks_takes_its_calls_with_it(void **state)
{
    struct story *story = *state;
    begin(story);
    for (uint64_t id = 1; id <= 50; id++)
        join(story, id, "a");
    fake_break(&story->world, story->stream);
    assert_true(sfl_transport_is_idle(story->world.transport, 0));
    assert_true(sfl_engine_is_idle(story->world.engine));
}

static void after_half_close_the_stream_ends_when_its_calls_have(void **state)
{
    struct story *story = *state;
    begin(story);
    struct sfl_stream *waiting = fake_open(&story->world, SESSION, PEER);
    join(story, 1, "a");
    struct sfl_stream *leading = story->stream;
    story->stream = waiting;
    join(story, 1, "a");
    fake_half_close(&story->world, waiting);
    assert_int_equal(fake_code(waiting), -1);
    story->stream = leading;
    finish(story, 1, "v");
    story->stream = waiting;
    expect(story, 1, 1, STEP(RESULT));
    assert_int_equal(fake_code(waiting), OK);
    fake_half_close(&story->world, leading);
    assert_int_equal(fake_code(leading), OK);
    fake_release(leading);
}

static void a_leader_that_half_closes_without_finish_leaves(void **state)
{
    struct story *story = *state;
    begin(story);
    join(story, 1, "a");
    fake_half_close(&story->world, story->stream);
    expect_end(story, 1, 1, ABORTED, "fenced");
    assert_int_equal(fake_code(story->stream), OK);
}

static void chunks_of_large_values_take_turns(void **state)
{
    enum { SIZE = 1 << 20 };
    struct story *story = *state;
    begin(story);
    join(story, 1, "a");
    join(story, 2, "b");
    join(story, 3, "a");
    join(story, 4, "b");
    chunk(story, 1, 0, SIZE);
    chunk(story, 2, 0, SIZE);
    fake_freeze(&story->world, story->stream, true);
    finish(story, 1, "");
    finish(story, 2, "");
    fake_freeze(&story->world, story->stream, false);
    look(story);
    uint64_t sent[5] = {0};
    for (size_t i = 4; i < story->count; i++) {
        const struct fake_frame *frame = &story->frames[i];
        if (frame->step != STEP(CHUNK))
            continue;
        assert_int_equal(frame->sequence, sent[frame->id] / (64 * 1024));
        sent[frame->id] += frame->bytes;
        // Neither is ever ahead of the other by more than the first message's worth.
        if (sent[3] < SIZE && sent[4] < SIZE)
            assert_true(llabs((long long)sent[3] - (long long)sent[4]) <= 512 * 1024);
    }
    assert_int_equal(sent[3], SIZE);
    assert_int_equal(sent[4], SIZE);
}

static void a_result_after_chunks_begins_a_message(void **state)
{
    struct story *story = *state;
    begin(story);
    join(story, 1, "a");
    join(story, 2, "a");
    chunk(story, 1, 0, 100 * 1024);
    finish(story, 1, "end");
    look(story);
    const struct fake_frame *last = &story->frames[story->count - 1];
    assert_int_equal(last->step, STEP(RESULT));
    assert_int_equal(last->id, 2);
    assert_int_equal(last->bytes, 0);
    assert_true(last->message > story->frames[story->count - 2].message);
}

static void a_peer_that_does_not_read_holds_a_bounded_amount(void **state)
{
    struct story *story = *state;
    begin(story);
    struct sfl_stream *reader = story->stream;
    join(story, 1, "a");
    struct sfl_stream *frozen = fake_open(&story->world, SESSION, "ipv4:127.0.0.1:2000");
    story->stream = frozen;
    join_with(story, 1, "a", true);
    fake_freeze(&story->world, frozen, true);
    story->stream = reader;
    for (uint64_t i = 0; i < 2000; i++)
        chunk(story, 1, i, 100);
    assert_int_equal(fake_count(frozen), 2); // the one that is under way
    finish(story, 1, "");
    fake_freeze(&story->world, frozen, false);
    story->stream = frozen;
    look(story);
    uint64_t bytes = 0;
    for (size_t i = 0; i < story->count; i++)
        bytes += story->frames[i].bytes;
    assert_int_equal(bytes, 200000);
    // Chunks are cut anew: by far not 2000 of them.
    assert_true(story->count < 40);
    assert_int_equal(story->frames[story->count - 1].step, STEP(RESULT));
    fake_break(&story->world, reader);
    fake_release(reader);
}

static void a_connection_has_a_limit_of_callers(void **state)
{
    struct story *story = *state;
    story->world.connection_callers_max = 3;
    begin(story);
    for (uint64_t id = 1; id <= 3; id++)
        join(story, id, "a");
    struct sfl_stream *first = story->stream;
    story->stream = fake_open(&story->world, SESSION, PEER); // the same connection
    join(story, 1, "a");
    expect_end(story, 0, 1, RESOURCE_EXHAUSTED, "the limit of 3 is reached");
    struct sfl_stream *elsewhere = fake_open(&story->world, SESSION, "ipv4:127.0.0.1:2000");
    struct sfl_stream *second = story->stream;
    story->stream = elsewhere;
    join(story, 1, "a");
    expect(story, 0, 1, STEP(FOLLOW));
    story->stream = first;
    cancel(story, 3);
    story->stream = second;
    join(story, 2, "a");
    expect(story, 1, 2, STEP(FOLLOW));
    assert_int_equal(sfl_engine_stats(story->world.engine, sfl_span_of(NULL, 0)).refused, 1);
    fake_break(&story->world, first);
    fake_release(first);
    fake_break(&story->world, elsewhere);
    fake_release(elsewhere);
}

static void closing_ends_a_session_after_what_it_has_to_say(void **state)
{
    struct story *story = *state;
    begin(story);
    fake_freeze(&story->world, story->stream, true);
    join(story, 1, "a");
    join(story, 2, "a");
    sfl_engine_shut(story->world.engine);
    sfl_transport_close(story->world.transport);
    fake_freeze(&story->world, story->stream, false);
    expect(story, 0, 1, STEP(LEAD));
    expect(story, 1, 2, STEP(FOLLOW));
    look(story);
    assert_int_equal(story->count, 4);
    assert_int_equal(story->frames[2].code, 14);
    assert_int_equal(story->frames[3].code, 14);
    assert_int_equal(fake_code(story->stream), 14);
}

// One message: so many callers join, and then all of them finish.
static void send_long(struct story *story, uint64_t first_id, unsigned count)
{
    enum { MOST = 128 };
    static Singleflight__V1__CallRequest calls[MOST];
    static Singleflight__V1__Join joins[MOST];
    static char keys[MOST][16];
    Singleflight__V1__CallRequest *pointers[MOST];
    Singleflight__V1__Outcome outcome = SINGLEFLIGHT__V1__OUTCOME__INIT;
    Singleflight__V1__Finish end = SINGLEFLIGHT__V1__FINISH__INIT;
    Singleflight__V1__SessionRequest request = SINGLEFLIGHT__V1__SESSION_REQUEST__INIT;
    outcome.kind = SINGLEFLIGHT__V1__OUTCOME_KIND__OUTCOME_KIND_OK;
    end.outcome = &outcome;
    assert_true(2 * count <= MOST);
    for (unsigned i = 0; i < 2 * count; i++) {
        singleflight__v1__call_request__init(&calls[i]);
        singleflight__v1__join__init(&joins[i]);
        calls[i].id = first_id + i % count;
        snprintf(keys[i], sizeof(keys[i]), "k%u", (unsigned)calls[i].id);
        joins[i].key.data = (uint8_t *)keys[i];
        joins[i].key.len = strlen(keys[i]);
        calls[i].step_case = i < count ? SINGLEFLIGHT__V1__CALL_REQUEST__STEP_JOIN
                                       : SINGLEFLIGHT__V1__CALL_REQUEST__STEP_FINISH;
        if (i < count)
            calls[i].join = &joins[i];
        else
            calls[i].finish = &end;
        pointers[i] = &calls[i];
    }
    request.calls = pointers;
    request.n_calls = 2 * count;
    static uint8_t packed[64 * MOST];
    size_t size = singleflight__v1__session_request__get_packed_size(&request);
    assert_true(size <= sizeof(packed));
    singleflight__v1__session_request__pack(&request, packed);
    fake_send(&story->world, story->stream, packed, size);
}

// Just below, at and just above what is read at a time, and more.
static void play_long_messages(struct story *story)
{
    static const unsigned callers[] = {1, 15, 16, 17, 31, 32, 33, 60};
    uint64_t id = 1;
    size_t at = 0;
    for (size_t n = 0; n < sizeof(callers) / sizeof(callers[0]); n++) {
        unsigned count = callers[n];
        send_long(story, id, count);
        for (unsigned i = 0; i < count; i++) {
            expect(story, at + i, id + i, STEP(LEAD));
            expect(story, at + count + i, id + i, STEP(RESULT));
        }
        id += count;
        at += 2 * count;
    }
    expect_nothing_after(story, at);
}

static void steps_of_a_long_message_are_carried_out_in_order(void **state)
{
    struct story *story = *state;
    begin(story);
    play_long_messages(story);
}

static void so_are_those_that_are_announced_to_a_large_table(void **state)
{
    struct story *story = *state;
    begin(story);
    struct sfl_outcome_parts parts = {.kind = SFL_OUTCOME_OK, .attempt = 1, .token = 1};
    for (unsigned i = 0; !sfl_engine_is_large(story->world.engine); i++) {
        char key[16];
        snprintf(key, sizeof(key), "r%u", i);
        struct sfl_join join = {.group = sfl_span_of_text("default"), .key = sfl_span_of_text(key)};
        assert_true(sfl_engine_restore(story->world.engine, &join, &parts, 1, 0, 600000));
    }
    play_long_messages(story);
    look(story);
    size_t count = story->count;
    join(story, 1000, "r7");
    expect(story, count, 1000, STEP(RESULT));
}

static void what_stands_before_a_malformed_part_of_a_long_message_counts(void **state)
{
    struct story *story = *state;
    begin(story);
    uint8_t message[40 * 11 + 1];
    size_t size = 0;
    for (uint8_t id = 1; id <= 40; id++) {
        const uint8_t frame[] = {0x0a, 9,   0x08,          id,           0x12, 5, 0x12,
                                 3,    'k', '0' + id / 10, '0' + id % 10};
        memcpy(message + size, frame, sizeof(frame));
        size += sizeof(frame);
    }
    message[size++] = 0xff;
    fake_send(&story->world, story->stream, message, size);
    assert_int_equal(fake_code(story->stream), INVALID_ARGUMENT);
    assert_int_equal(sfl_engine_stats(story->world.engine, sfl_span_of(NULL, 0)).executions, 40);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(one_leads_others_follow_and_all_get_the_result),
        STORY(what_gathers_during_a_send_travels_in_one_message),
        STORY(every_renewal_is_answered_in_order_however_late_it_is_read),
        STORY(a_leader_that_reads_no_answer_to_its_renewals_is_stopped),
        STORY(renewals_of_one_stream_are_bounded_together),
        STORY(an_id_that_does_not_grow_ends_with_invalid_argument),
        STORY(a_second_join_of_a_running_call_ends_it),
        STORY(a_step_for_an_id_that_never_joined_ends_that_id),
        STORY(steps_for_an_id_that_has_ended_are_ignored),
        STORY(only_the_latest_gaps_are_known_but_no_id_joins_twice),
        STORY(cancel_is_answered_and_its_flight_goes_on),
        STORY(a_fault_ends_its_own_call_alone),
        STORY(a_join_with_a_fault_takes_its_id),
        STORY(a_message_that_cannot_be_read_ends_the_stream_and_its_leaders),
        STORY(a_stream_that_breaks_takes_its_calls_with_it),
        STORY(after_half_close_the_stream_ends_when_its_calls_have),
        STORY(a_leader_that_half_closes_without_finish_leaves),
        STORY(chunks_of_large_values_take_turns),
        STORY(a_result_after_chunks_begins_a_message),
        STORY(a_peer_that_does_not_read_holds_a_bounded_amount),
        STORY(a_connection_has_a_limit_of_callers),
        STORY(closing_ends_a_session_after_what_it_has_to_say),
        STORY(steps_of_a_long_message_are_carried_out_in_order),
        STORY(so_are_those_that_are_announced_to_a_large_table),
        STORY(what_stands_before_a_malformed_part_of_a_long_message_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
