// SPDX-License-Identifier: Apache-2.0
// What the client writes by hand is what the proto file says: protobuf-c reads it back.
#include "src/frames.h"

#include "src/constants.h"

#include "singleflight/v1/singleflight.pb-c.h"
#include "src/join.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static Singleflight__V1__SessionRequest *read_back(struct sfl_frames *frames)
{
    struct sfl_span message = sfl_frames_take(frames);
    Singleflight__V1__SessionRequest *request =
        singleflight__v1__session_request__unpack(NULL, message.size, message.data);
    assert_non_null(request);
    // Nothing stands in it that protobuf would write otherwise.
    assert_int_equal(singleflight__v1__session_request__get_packed_size(request), message.size);
    free((void *)message.data);
    assert_int_equal(frames->size, 0);
    return request;
}

static void release(Singleflight__V1__SessionRequest *request)
{
    singleflight__v1__session_request__free_unpacked(request, NULL);
}

static bool is_text(ProtobufCBinaryData bytes, const char *text)
{
    return sfl_span_equal(sfl_span_of(bytes.data, bytes.len), sfl_span_of_text(text));
}

static void add_chunk(struct sfl_frames *frames, uint64_t id, size_t size)
{
    uint8_t *data = NULL;
    assert_int_equal(sfl_frames_add_chunk(frames, id, id + 1000, size, &data), SFL_OK);
    memset(data, 'x', size);
}

static void what_is_gathered_is_one_session_request_in_order(void **state)
{
    (void)state;
    struct sfl_frames frames = {0};
    for (uint64_t id = 1; id <= 300; id++)
        add_chunk(&frames, id, (size_t)id);
    Singleflight__V1__SessionRequest *request = read_back(&frames);
    assert_int_equal(request->n_calls, 300);
    for (uint64_t i = 0; i < 300; i++) {
        const Singleflight__V1__CallRequest *call = request->calls[i];
        assert_int_equal(call->id, i + 1);
        assert_int_equal(call->step_case, SINGLEFLIGHT__V1__CALL_REQUEST__STEP_CHUNK);
        assert_int_equal(call->chunk->data.len, i + 1);
        assert_int_equal(call->chunk->data.data[i], 'x');
        assert_int_equal(call->chunk->sequence, i + 1001);
    }
    release(request);
}

static void a_message_of_the_largest_chunks_stays_below_a_mebibyte(void **state)
{
    (void)state;
    struct sfl_frames frames = {0};
    while (sfl_frames_has_room(&frames))
        add_chunk(&frames, 1, SFL_CHUNK_BYTES_MAX);
    assert_true(frames.size >= SFL_FRAMES_FULL_BYTES);
    assert_true(frames.size < 1024 * 1024);
    sfl_frames_deinit(&frames);
}

// Adds a join with these options.
static void add_join(struct sfl_frames *frames, const struct singleflight_do_options *options,
                     uint64_t id, const struct sfl_join_extras *extras)
{
    static const struct sfl_join_defaults defaults = {.caller = "me@here:1"};
    struct sfl_join join;
    const char *problem = NULL;
    assert_int_equal(sfl_join_read(&join, options, &defaults, &problem), SFL_OK);
    uint8_t *copies = malloc(sfl_join_copy_bytes(&join));
    assert_non_null(copies);
    sfl_join_copy(&join, copies);
    assert_int_equal(sfl_frames_add_join(frames, id, join.wire, extras), SFL_OK);
    free(copies);
}

static void every_field_of_join_arrives(void **state)
{
    (void)state;
    struct singleflight_do_options options = SINGLEFLIGHT_DO_OPTIONS_INIT;
    options.group = "reports";
    options.key = "a\0b";
    options.key_bytes = 3;
    options.role = SINGLEFLIGHT_ROLE_FOLLOW_ONLY;
    options.live = true;
    options.audience = true;
    options.retain_ms = 1;
    options.retain_error_ms = 2;
    options.max_age_ms = UINT64_MAX;
    options.lease_ms = 4000;
    options.run_limit_ms = 5;
    options.on_leader_loss = SINGLEFLIGHT_LEADER_LOSS_HOLD;
    options.fresh = true;
    options.retain_from_lead = true;
    options.max_attempts = UINT32_MAX;
    options.fingerprint = "print";
    options.fingerprint_bytes = 5;
    options.caller = "somebody";
    struct sfl_frames frames = {0};
    const struct sfl_join_extras extras = {.resume_token = 8, .timeout_ms = 9};
    add_join(&frames, &options, 7, &extras);
    Singleflight__V1__SessionRequest *request = read_back(&frames);
    assert_int_equal(request->n_calls, 1);
    assert_int_equal(request->calls[0]->id, 7);
    assert_int_equal(request->calls[0]->timeout_ms, 9);
    const Singleflight__V1__Join *wire = request->calls[0]->join;
    assert_string_equal(wire->group, "reports");
    assert_memory_equal(wire->key.data, "a\0b", 3);
    assert_int_equal(wire->key.len, 3);
    assert_int_equal(wire->role, SINGLEFLIGHT__V1__ROLE__ROLE_FOLLOW_ONLY);
    assert_true(wire->live);
    assert_true(wire->audience);
    assert_int_equal(wire->retain_ms, 1);
    assert_int_equal(wire->retain_error_ms, 2);
    assert_true(wire->max_age_ms == UINT64_MAX);
    assert_int_equal(wire->lease_ms, 4000);
    assert_int_equal(wire->run_limit_ms, 5);
    assert_int_equal(wire->on_leader_loss, SINGLEFLIGHT__V1__LEADER_LOSS__LEADER_LOSS_HOLD);
    assert_true(wire->fresh);
    assert_true(wire->retain_from_lead);
    assert_true(wire->detach);
    assert_int_equal(wire->max_attempts, UINT32_MAX);
    assert_true(is_text(wire->fingerprint, "print"));
    assert_int_equal(wire->resume_token, 8);
    assert_string_equal(wire->caller, "somebody");
    release(request);
}

static void a_plain_join_says_no_more_than_it_must(void **state)
{
    (void)state;
    struct singleflight_do_options options = SINGLEFLIGHT_DO_OPTIONS_INIT;
    options.key = "k";
    options.key_bytes = 1;
    struct sfl_frames frames = {0};
    const struct sfl_join_extras extras = {0};
    add_join(&frames, &options, 1, &extras);
    Singleflight__V1__SessionRequest *request = read_back(&frames);
    assert_true(is_text(request->calls[0]->join->key, "k"));
    assert_string_equal(request->calls[0]->join->caller, "me@here:1");
    assert_false(request->calls[0]->join->audience);
    assert_false(request->calls[0]->join->detach);
    assert_int_equal(request->calls[0]->join->n_within, 0);
    release(request);
}

static void what_one_of_equal_calls_says_beside_arrives(void **state)
{
    (void)state;
    struct singleflight_do_options options = SINGLEFLIGHT_DO_OPTIONS_INIT;
    options.key = "k";
    options.key_bytes = 1;
    const struct sfl_lead_ref refs[] = {
        {sfl_span_of_text("reports"), sfl_span_of("a\0b", 3), UINT64_MAX},
        {sfl_span_of_text("default"), sfl_span_of_text("outer"), 5},
    };
    uint8_t within[128];
    size_t within_bytes = sfl_join_within_size(refs, 2);
    assert_in_range(within_bytes, 1, sizeof(within));
    sfl_join_put_within(within, refs, 2);
    const struct sfl_join_extras extras = {.audience = true,
                                           .within = sfl_span_of(within, within_bytes),
                                           .traceparent = sfl_span_of_text("00-1-2-01")};
    struct sfl_frames frames = {0};
    add_join(&frames, &options, 1, &extras);
    Singleflight__V1__SessionRequest *request = read_back(&frames);
    const Singleflight__V1__Join *wire = request->calls[0]->join;
    assert_true(wire->audience);
    assert_int_equal(wire->n_within, 2);
    assert_string_equal(wire->traceparent, "00-1-2-01");
    assert_string_equal(wire->within[0]->group, "reports");
    assert_int_equal(wire->within[0]->key.len, 3);
    assert_true(wire->within[0]->token == UINT64_MAX);
    assert_true(is_text(wire->within[1]->key, "outer"));
    assert_int_equal(wire->within[1]->token, 5);
    release(request);
}

static void every_field_of_finish_arrives(void **state)
{
    (void)state;
    const struct sfl_finish finish = {
        .kind = SINGLEFLIGHT_OUTCOME_PANIC,
        .code = -7,
        .message = sfl_span_of_text("it broke"),
        .type = sfl_span_of_text("Error"),
        .stack = sfl_span_of_text("here"),
        .details = sfl_span_of_text("more"),
        .value_bytes = 5,
        .has_retention = true,
        .retain_ms = 300,
        .passes_on = true,
    };
    struct sfl_frames frames = {0};
    uint8_t *value = NULL;
    assert_int_equal(sfl_frames_add_finish(&frames, 1, &finish, &value), SFL_OK);
    memcpy(value, "value", 5);
    Singleflight__V1__SessionRequest *request = read_back(&frames);
    assert_int_equal(request->n_calls, 1);
    const Singleflight__V1__Finish *wire = request->calls[0]->finish;
    assert_non_null(wire);
    assert_int_equal(wire->outcome->kind, SINGLEFLIGHT__V1__OUTCOME_KIND__OUTCOME_KIND_PANIC);
    assert_int_equal(wire->outcome->code, -7);
    assert_string_equal(wire->outcome->message, "it broke");
    assert_string_equal(wire->outcome->type, "Error");
    assert_string_equal(wire->outcome->stack, "here");
    assert_true(is_text(wire->outcome->details, "more"));
    assert_true(is_text(wire->outcome->value, "value"));
    assert_int_equal(wire->retention->retain_ms, 300);
    assert_true(wire->pass_on);
    release(request);
}

static void a_retention_of_nothing_is_said_all_the_same(void **state)
{
    (void)state;
    struct sfl_finish finish = {.kind = SINGLEFLIGHT_OUTCOME_OK};
    struct sfl_frames frames = {0};
    uint8_t *value = NULL;
    assert_int_equal(sfl_frames_add_finish(&frames, 1, &finish, &value), SFL_OK);
    finish.has_retention = true;
    assert_int_equal(sfl_frames_add_finish(&frames, 2, &finish, &value), SFL_OK);
    Singleflight__V1__SessionRequest *request = read_back(&frames);
    assert_null(request->calls[0]->finish->retention);
    assert_non_null(request->calls[1]->finish->retention);
    assert_int_equal(request->calls[1]->finish->retention->retain_ms, 0);
    release(request);
}

static void renewals_and_cancels_arrive(void **state)
{
    (void)state;
    struct sfl_frames frames = {0};
    assert_int_equal(sfl_frames_add_renew(&frames, 1, 0), SFL_OK);
    assert_int_equal(sfl_frames_add_cancel(&frames, 2), SFL_OK);
    assert_int_equal(sfl_frames_add_renew(&frames, 3, 300), SFL_OK);
    Singleflight__V1__SessionRequest *request = read_back(&frames);
    assert_int_equal(request->n_calls, 3);
    assert_int_equal(request->calls[0]->step_case, SINGLEFLIGHT__V1__CALL_REQUEST__STEP_RENEW);
    assert_int_equal(request->calls[2]->renew->id, 300);
    assert_int_equal(request->calls[1]->step_case, SINGLEFLIGHT__V1__CALL_REQUEST__STEP_CANCEL);
    assert_int_equal(request->calls[1]->id, 2);
    release(request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_gathered_is_one_session_request_in_order),
        cmocka_unit_test(a_message_of_the_largest_chunks_stays_below_a_mebibyte),
        cmocka_unit_test(every_field_of_join_arrives),
        cmocka_unit_test(a_plain_join_says_no_more_than_it_must),
        cmocka_unit_test(every_field_of_finish_arrives),
        cmocka_unit_test(a_retention_of_nothing_is_said_all_the_same),
        cmocka_unit_test(renewals_and_cancels_arrive),
        cmocka_unit_test(what_one_of_equal_calls_says_beside_arrives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
