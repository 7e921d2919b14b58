// SPDX-License-Identifier: Apache-2.0
// Do, and the services beside it: one stream at a time.
#include "transport_fake.h"

#include "grpc/health/v1/health.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DO "/singleflight.v1.SingleFlight/Do"
#define WATCH "/grpc.health.v1.Health/Watch"
#define REFLECTION "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
#define LIST "/singleflight.v1.Admin/ListFlights"
#define PEER "ipv4:127.0.0.1:1000"

#define STEP(name) SINGLEFLIGHT__V1__DO_RESPONSE__STEP_##name

enum { OK = 0, INVALID_ARGUMENT = 3, RESOURCE_EXHAUSTED = 8, UNAVAILABLE = 14 };

static int set_up(void **state)
{
    struct fake_world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    fake_world_init(world);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    fake_world_deinit(*state);
    free(*state);
    return 0;
}

static struct sfl_stream *join(struct fake_world *world, const char *peer, const char *key,
                               bool live)
{
    struct sfl_stream *stream = fake_open(world, DO, peer);
    Singleflight__V1__Join asked = SINGLEFLIGHT__V1__JOIN__INIT;
    Singleflight__V1__DoRequest request = SINGLEFLIGHT__V1__DO_REQUEST__INIT;
    asked.key.data = (uint8_t *)(uintptr_t)key;
    asked.key.len = strlen(key);
    asked.live = live;
    asked.retain_ms = strcmp(key, "retained") == 0 ? 60000 : 0;
    request.step_case = SINGLEFLIGHT__V1__DO_REQUEST__STEP_JOIN;
    request.join = &asked;
    fake_do_send(world, stream, &request);
    return stream;
}

static void chunk(struct fake_world *world, struct sfl_stream *stream, uint64_t sequence,
                  const void *data, size_t size)
{
    Singleflight__V1__Chunk part = SINGLEFLIGHT__V1__CHUNK__INIT;
    Singleflight__V1__DoRequest request = SINGLEFLIGHT__V1__DO_REQUEST__INIT;
    part.data.data = (uint8_t *)(uintptr_t)data;
    part.data.len = size;
    part.sequence = sequence;
    request.step_case = SINGLEFLIGHT__V1__DO_REQUEST__STEP_CHUNK;
    request.chunk = &part;
    fake_do_send(world, stream, &request);
}

static void finish_with(struct fake_world *world, struct sfl_stream *stream, const char *value,
                        const char *text)
{
    Singleflight__V1__Outcome outcome = SINGLEFLIGHT__V1__OUTCOME__INIT;
    Singleflight__V1__Finish end = SINGLEFLIGHT__V1__FINISH__INIT;
    Singleflight__V1__DoRequest request = SINGLEFLIGHT__V1__DO_REQUEST__INIT;
    outcome.kind = SINGLEFLIGHT__V1__OUTCOME_KIND__OUTCOME_KIND_OK;
    outcome.value.data = (uint8_t *)(uintptr_t)value;
    outcome.value.len = strlen(value);
    outcome.message = (char *)(uintptr_t)text;
    end.outcome = &outcome;
    request.step_case = SINGLEFLIGHT__V1__DO_REQUEST__STEP_FINISH;
    request.finish = &end;
    fake_do_send(world, stream, &request);
}

static void finish(struct fake_world *world, struct sfl_stream *stream, const char *value)
{
    finish_with(world, stream, value, "");
}

static void expect_step(const struct sfl_stream *stream, size_t index,
                        Singleflight__V1__DoResponse__StepCase step)
{
    Singleflight__V1__DoResponse *response = fake_do_response(stream, index);
    assert_int_equal(response->step_case, step);
    singleflight__v1__do_response__free_unpacked(response, NULL);
}

// The value that a stream has been told, from its chunks of `attempt` and its result.
static struct sfl_bytes *value_of(const struct sfl_stream *stream, size_t *chunks_out)
{
    static uint8_t value[8 << 20];
    size_t size = 0;
    size_t chunks = 0;
    uint64_t expected = 0;
    for (size_t i = 0; i < fake_count(stream); i++) {
        Singleflight__V1__DoResponse *response = fake_do_response(stream, i);
        const ProtobufCBinaryData *data = NULL;
        if (response->step_case == STEP(RESTART)) {
            size = 0;
            chunks = 0;
        } else if (response->step_case == STEP(CHUNK)) {
            assert_int_equal(response->chunk->sequence, chunks++);
            data = &response->chunk->data;
        } else if (response->step_case == STEP(RESULT)) {
            data = &response->result->outcome->value;
            expected = response->result->value_bytes;
        }
        if (data != NULL && data->len > 0) {
            memcpy(value + size, data->data, data->len);
            size += data->len;
        }
        singleflight__v1__do_response__free_unpacked(response, NULL);
    }
    assert_int_equal(size, expected);
    *chunks_out = chunks;
    struct sfl_bytes *copy = sfl_bytes_copy(&sfl_heap, sfl_span_of(value, size));
    assert_non_null(copy);
    return copy;
}

// --- Do ---

static void a_result_and_the_status_end_the_stream(void **state)
{
    struct fake_world *world = *state;
    fake_world_start(world);
    struct sfl_stream *leader = join(world, PEER, "key", false);
    struct sfl_stream *follower = join(world, PEER, "key", false);
    expect_step(leader, 0, STEP(LEAD));
    expect_step(follower, 0, STEP(FOLLOW));
    finish(world, leader, "value");
    expect_step(leader, 1, STEP(RESULT));
    assert_int_equal(fake_code(leader), OK);
    assert_int_equal(fake_code(follower), OK);
    Singleflight__V1__DoResponse *response = fake_do_response(follower, 1);
    const Singleflight__V1__Result *result = response->result;
    assert_int_equal(result->outcome->value.len, 5);
    assert_int_equal(result->callers, 2);
    assert_true(result->shared);
    assert_false(result->led);
    assert_int_equal(result->attempt, 1);
    assert_int_equal(result->token, 101);
    singleflight__v1__do_response__free_unpacked(response, NULL);
    fake_release(leader);
    fake_release(follower);
}

static void a_leader_waits_until_its_outcome_is_kept_and_nobody_else_does(void **state)
{
    struct fake_world *world = *state;
    world->keeps = true;
    fake_world_start(world);
    struct sfl_stream *leader = join(world, PEER, "retained", false);
    struct sfl_stream *follower = join(world, PEER, "retained", false);
    struct sfl_stream *other = join(world, PEER, "not to be kept", false);
    finish(world, leader, "value");
    finish(world, other, "value");
    assert_int_equal(fake_code(follower), OK);
    assert_int_equal(fake_code(other), OK);
    assert_int_equal(fake_count(leader), 1);
    assert_false(sfl_transport_is_idle(world->transport, 0));
    fake_keep(world);
    expect_step(leader, 1, STEP(RESULT));
    assert_int_equal(fake_code(leader), OK);
    fake_release(leader);
    fake_release(follower);
    fake_release(other);
}

static void a_leader_may_leave_before_its_outcome_is_kept(void **state)
{
    struct fake_world *world = *state;
    world->keeps = true;
    fake_world_start(world);
    struct sfl_stream *leader = join(world, PEER, "retained", false);
    finish(world, leader, "value");
    fake_break(world, leader);
    fake_keep(world);
    assert_int_equal(fake_count(leader), 1);
    fake_release(leader);
}

static void the_first_step_must_be_join(void **state)
{
    struct fake_world *world = *state;
    fake_world_start(world);
    struct sfl_stream *stream = fake_open(world, DO, PEER);
    chunk(world, stream, 0, "x", 1);
    assert_int_equal(fake_code(stream), INVALID_ARGUMENT);
    assert_string_equal(fake_text(stream), "step: the first one must be join");
    fake_release(stream);
}

static void a_stream_that_ends_without_a_join_is_told_so(void **state)
{
    struct fake_world *world = *state;
    fake_world_start(world);
    struct sfl_stream *stream = fake_open(world, DO, PEER);
    fake_half_close(world, stream);
    assert_int_equal(fake_code(stream), INVALID_ARGUMENT);
    fake_release(stream);
}

static void a_malformed_step_loses_the_lead(void **state)
{
    struct fake_world *world = *state;
    fake_world_start(world);
    struct sfl_stream *leader = join(world, PEER, "key", false);
    struct sfl_stream *follower = join(world, PEER, "key", false);
    fake_send(world, leader, "\xff", 1);
    assert_int_equal(fake_code(leader), INVALID_ARGUMENT);
    assert_string_equal(fake_text(leader), "DoRequest: malformed message");
    expect_step(follower, 1, STEP(LEAD));
    fake_break(world, follower);
    fake_release(leader);
    fake_release(follower);
}

static void a_live_follower_that_read_everything_gets_it_once(void **state)
{
    struct fake_world *world = *state;
    fake_world_start(world);
    struct sfl_stream *leader = join(world, PEER, "key", false);
    struct sfl_stream *live = join(world, PEER, "key", true);
    struct sfl_stream *calm = join(world, PEER, "key", false);
    size_t chunks = 0;
    chunk(world, leader, 0, "all ", 4);
    chunk(world, leader, 1, "of it", 5);
    finish(world, leader, "");
    struct sfl_bytes *value = value_of(live, &chunks);
    assert_true(sfl_span_equal(sfl_bytes_span(value), sfl_span_of_text("all of it")));
    assert_int_equal(chunks, 2);
    sfl_bytes_unref(value);
    value = value_of(calm, &chunks);
    assert_true(sfl_span_equal(sfl_bytes_span(value), sfl_span_of_text("all of it")));
    assert_int_equal(chunks, 0);
    sfl_bytes_unref(value);
    fake_release(leader);
    fake_release(live);
    fake_release(calm);
}

static void what_was_posted_before_the_end_comes_as_a_chunk(void **state)
{
    struct fake_world *world = *state;
    fake_world_start(world);
    struct sfl_stream *leader = join(world, PEER, "key", false);
    struct sfl_stream *live = join(world, PEER, "key", true);
    size_t chunks = 0;
    fake_freeze(world, live, true);
    chunk(world, leader, 0, "posted, ", 8);
    chunk(world, leader, 1, "not read, ", 10);
    finish(world, leader, "ended");
    fake_freeze(world, live, false);
    struct sfl_bytes *value = value_of(live, &chunks);
    assert_true(sfl_span_equal(sfl_bytes_span(value), sfl_span_of_text("posted, not read, ended")));
    assert_true(chunks >= 1);
    sfl_bytes_unref(value);
    fake_release(leader);
    fake_release(live);
}

static void a_restart_that_was_not_read_is_not_told_to_the_new_leader(void **state)
{
    struct fake_world *world = *state;
    fake_world_start(world);
    struct sfl_stream *first = join(world, PEER, "key", false);
    struct sfl_stream *second = join(world, PEER, "key", false);
    struct sfl_stream *live = join(world, PEER, "key", true);
    fake_freeze(world, live, true);
    chunk(world, first, 0, "void", 4); // under way
    fake_break(world, first);
    fake_break(world, second);
    fake_freeze(world, live, false);
    expect_step(live, 0, STEP(FOLLOW));
    expect_step(live, 1, STEP(CHUNK));
    expect_step(live, 2, STEP(LEAD));
    assert_int_equal(fake_count(live), 3);
    fake_break(world, live);
    fake_release(first);
    fake_release(second);
    fake_release(live);
}

static void restarts_that_were_not_read_become_one(void **state)
{
    struct fake_world *world = *state;
    fake_world_start(world);
    struct sfl_stream *leaders[5];
    for (size_t i = 0; i < 5; i++)
        leaders[i] = join(world, PEER, "key", false);
    struct sfl_stream *live = join(world, PEER, "key", true);
    fake_freeze(world, live, true);
    chunk(world, leaders[0], 0, "void", 4);
    for (size_t i = 0; i < 4; i++)
        fake_break(world, leaders[i]);
    chunk(world, leaders[4], 0, "good", 4);
    finish(world, leaders[4], "");
    fake_freeze(world, live, false);
    size_t chunks = 0;
    struct sfl_bytes *value = value_of(live, &chunks);
    assert_true(sfl_span_equal(sfl_bytes_span(value), sfl_span_of_text("good")));
    size_t restarts = 0;
    for (size_t i = 0; i < fake_count(live); i++) {
        Singleflight__V1__DoResponse *response = fake_do_response(live, i);
        if (response->step_case == STEP(RESTART)) {
            assert_int_equal(response->restart->attempt, 5);
            restarts++;
        }
        singleflight__v1__do_response__free_unpacked(response, NULL);
    }
    assert_int_equal(restarts, 1);
    sfl_bytes_unref(value);
    for (size_t i = 0; i < 5; i++)
        fake_release(leaders[i]);
    fake_release(live);
}

static void values_around_the_inline_bound_arrive_whole(void **state)
{
    static uint8_t value[300 * 1024];
    const size_t sizes[] = {0, 1, 2047, 2048, 2049, 65535, 65536, 65537, sizeof(value)};
    struct fake_world *world = *state;
    fake_world_start(world);
    for (size_t i = 0; i < sizeof(value); i++)
        value[i] = (uint8_t)(i * 7 + i / 251);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        // One follower gets a result of its own, two share one; one of them reads as it comes.
        for (size_t followers = 1; followers <= 3; followers++) {
            struct sfl_stream *leader = join(world, PEER, "key", false);
            struct sfl_stream *others[3];
            for (size_t j = 0; j < followers; j++)
                others[j] = join(world, PEER, "key", j == 2);
            // In odd parts, so that the value's blocks are of many sizes.
            uint64_t sequence = 0;
            for (size_t at = 0; at < sizes[i]; sequence++) {
                size_t part = 1 + at / 2 > sizes[i] - at ? sizes[i] - at : 1 + at / 2;
                chunk(world, leader, sequence, value + at, part);
                at += part;
            }
            finish(world, leader, "");
            for (size_t j = 0; j < followers; j++) {
                size_t chunks = 0;
                struct sfl_bytes *got = value_of(others[j], &chunks);
                assert_true(sfl_span_equal(sfl_bytes_span(got), sfl_span_of(value, sizes[i])));
                if (j < 2 && sizes[i] <= SFL_INLINE_VALUE_MAX)
                    assert_int_equal(chunks, 0);
                sfl_bytes_unref(got);
                fake_release(others[j]);
            }
            fake_release(leader);
        }
    }
}

static void what_follows_a_large_message_lets_others_go_first(void **state)
{
    static const uint8_t value[600 * 1024];
    const size_t sizes[] = {100, 32 * 1024, 256 * 1024, sizeof(value)};
    struct fake_world *world = *state;
    fake_world_start(world);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        fake_be_pump();
        struct sfl_stream *leader = join(world, PEER, "key", false);
        struct sfl_stream *follower = join(world, PEER, "key", false);
        chunk(world, leader, 0, value, sizes[i]);
        finish(world, leader, "");
        size_t chunks = 0;
        struct sfl_bytes *got = value_of(follower, &chunks);
        assert_int_equal(got->size, sizes[i]);
        sfl_bytes_unref(got);
        assert_int_equal(fake_crowd_count(), chunks);
        assert_true(sizes[i] <= SFL_INLINE_VALUE_MAX || chunks > 0);
        fake_release(leader);
        fake_release(follower);
    }
}

static void no_message_passes_the_bound_even_with_the_largest_texts(void **state)
{
    static uint8_t value[SFL_INLINE_VALUE_MAX];
    struct fake_world *world = *state;
    fake_world_start(world);
    size_t size = world->limits.texts_bytes_max - 16;
    char *text = malloc(size + 1);
    assert_non_null(text);
    memset(text, 't', size);
    text[size] = '\0';
    struct sfl_stream *leader = join(world, PEER, "retained", false);
    struct sfl_stream *follower = join(world, PEER, "retained", false);
    chunk(world, leader, 0, value, sizeof(value));
    finish_with(world, leader, "", text); // transport_fake.c looks at every message's size
    size_t chunks = 0;
    struct sfl_bytes *got = value_of(follower, &chunks);
    assert_int_equal(got->size, sizeof(value));
    assert_true(chunks > 0);
    sfl_bytes_unref(got);
    struct sfl_stream *late = join(world, PEER, "retained", false);
    got = value_of(late, &chunks);
    assert_int_equal(got->size, sizeof(value));
    sfl_bytes_unref(got);
    free(text);
    fake_release(leader);
    fake_release(follower);
    fake_release(late);
}

static void do_streams_of_one_connection_have_a_limit(void **state)
{
    struct fake_world *world = *state;
    world->connection_callers_max = 2;
    fake_world_start(world);
    struct sfl_stream *a = join(world, PEER, "key", false);
    struct sfl_stream *b = join(world, PEER, "key", false);
    struct sfl_stream *c = join(world, PEER, "key", false);
    assert_int_equal(fake_code(c), RESOURCE_EXHAUSTED);
    assert_non_null(strstr(fake_text(c), "limit of 2"));
    struct sfl_stream *unix_a = join(world, "unix:", "key", false);
    struct sfl_stream *unix_b = join(world, "unix:", "key", false);
    struct sfl_stream *unix_c = join(world, "unix:", "key", false);
    expect_step(unix_c, 0, STEP(FOLLOW));
    struct sfl_stream *all[] = {a, b, c, unix_a, unix_b, unix_c};
    for (size_t i = 0; i < 6; i++) {
        fake_break(world, all[i]);
        fake_release(all[i]);
    }
}

// --- beside Do ---

static unsigned watched(const struct sfl_stream *stream, size_t index)
{
    struct sfl_span message = fake_message(stream, index);
    Grpc__Health__V1__HealthCheckResponse *response =
        grpc__health__v1__health_check_response__unpack(NULL, message.size, message.data);
    assert_non_null(response);
    unsigned status = response->status;
    grpc__health__v1__health_check_response__free_unpacked(response, NULL);
    return status;
}

static void watchers_learn_of_the_drain(void **state)
{
    enum { SERVING = 1, NOT_SERVING = 2, SERVICE_UNKNOWN = 3 };
    struct fake_world *world = *state;
    fake_world_start(world);
    struct sfl_stream *watch = fake_open(world, WATCH, PEER);
    struct sfl_stream *unknown = fake_open(world, WATCH, PEER);
    fake_send(world, watch, "", 0);
    fake_send(world, unknown, "\x0a\x01x", 3);
    assert_int_equal(watched(watch, 0), SERVING);
    assert_int_equal(watched(unknown, 0), SERVICE_UNKNOWN);
    sfl_transport_drain(world->transport);
    fake_run(world);
    assert_int_equal(fake_count(watch), 2);
    assert_int_equal(watched(watch, 1), NOT_SERVING);
    assert_int_equal(fake_count(unknown), 1);
    sfl_transport_close(world->transport);
    fake_run(world);
    assert_int_equal(fake_code(watch), UNAVAILABLE);
    assert_int_equal(fake_code(unknown), UNAVAILABLE);
    fake_release(watch);
    fake_release(unknown);
}

static void a_listing_keeps_to_its_limit(void **state)
{
    struct fake_world *world = *state;
    fake_world_start(world);
    struct sfl_stream *leaders[5];
    static const char *const keys[] = {"a1", "a2", "a3", "b1", "b2"};
    for (size_t i = 0; i < 5; i++)
        leaders[i] = join(world, PEER, keys[i], false);
    struct sfl_stream *all = fake_open(world, LIST, PEER);
    fake_send(world, all, "", 0);
    assert_int_equal(fake_count(all), 5);
    struct sfl_stream *two = fake_open(world, LIST, PEER);
    fake_send(world, two, "\x18\x02", 2);
    assert_int_equal(fake_count(two), 2);
    struct sfl_stream *prefix = fake_open(world, LIST, PEER);
    fake_send(world, prefix,
              "\x12\x01"
              "b",
              3);
    assert_int_equal(fake_count(prefix), 2);
    struct sfl_stream *none = fake_open(world, LIST, PEER);
    fake_send(world, none, "\x0a\x05other", 7);
    assert_int_equal(fake_count(none), 0);
    struct sfl_stream *lists[] = {all, two, prefix, none};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(fake_code(lists[i]), OK);
        fake_release(lists[i]);
    }
    for (size_t i = 0; i < 5; i++) {
        fake_break(world, leaders[i]);
        fake_release(leaders[i]);
    }
}

static void reflection_answers_in_order_and_says_what_it_was_asked(void **state)
{
    struct fake_world *world = *state;
    fake_world_start(world);
    struct sfl_stream *stream = fake_open(world, REFLECTION, PEER);
    static const struct {
        const char *bytes;
        size_t size;
        Grpc__Reflection__V1__ServerReflectionResponse__MessageResponseCase answer;
    } cases[] = {
        {"\x3a\x00", 2,
         GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE},
        {"\x22\x1c"
         "singleflight.v1.SingleFlight",
         30,
         GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE},
        {"\x22\x1f"
         "singleflight.v1.SingleFlight.Do",
         33,
         GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE},
        {"\x22\x22"
         "singleflight.v1.Flight.State.OTHER",
         36, GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE},
        {"\x22\x20"
         "singleflight.v1.Flight.STATE_LED",
         34,
         GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE},
        {"\x1a\x01x", 3,
         GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE},
        {"\x32\x14"
         "singleflight.v1.Join",
         22,
         GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE},
        {"\x2a\x00", 2,
         GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE},
        {"", 0, GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE},
    };
    enum { CASES = sizeof(cases) / sizeof(cases[0]) };
    for (size_t i = 0; i < CASES; i++)
        fake_send(world, stream, cases[i].bytes, cases[i].size);
    assert_int_equal(fake_count(stream), CASES);
    for (size_t i = 0; i < CASES; i++) {
        struct sfl_span message = fake_message(stream, i);
        Grpc__Reflection__V1__ServerReflectionResponse *response =
            grpc__reflection__v1__server_reflection_response__unpack(NULL, message.size,
                                                                     message.data);
        assert_non_null(response);
        assert_int_equal(response->message_response_case, cases[i].answer);
        grpc__reflection__v1__server_reflection_response__free_unpacked(response, NULL);
    }
    fake_half_close(world, stream);
    assert_int_equal(fake_code(stream), OK);
    fake_release(stream);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_result_and_the_status_end_the_stream),
        STORY(a_leader_waits_until_its_outcome_is_kept_and_nobody_else_does),
        STORY(a_leader_may_leave_before_its_outcome_is_kept),
        STORY(the_first_step_must_be_join),
        STORY(a_stream_that_ends_without_a_join_is_told_so),
        STORY(a_malformed_step_loses_the_lead),
        STORY(a_live_follower_that_read_everything_gets_it_once),
        STORY(what_was_posted_before_the_end_comes_as_a_chunk),
        STORY(a_restart_that_was_not_read_is_not_told_to_the_new_leader),
        STORY(restarts_that_were_not_read_become_one),
        STORY(values_around_the_inline_bound_arrive_whole),
        STORY(no_message_passes_the_bound_even_with_the_largest_texts),
        STORY(what_follows_a_large_message_lets_others_go_first),
        STORY(do_streams_of_one_connection_have_a_limit),
        STORY(watchers_learn_of_the_drain),
        STORY(a_listing_keeps_to_its_limit),
        STORY(reflection_answers_in_order_and_says_what_it_was_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
