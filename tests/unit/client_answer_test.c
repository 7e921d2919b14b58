// SPDX-License-Identifier: Apache-2.0
// What a server says: read as the proto file has it, and never trusted.
#include "src/answer.h"

#include "singleflight/v1/singleflight.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

// --- the tables against the proto file ---

// Texts and enums are read as bytes and numbers: nothing that a server says is refused for them.
static bool is_type_of(const struct sfl_field *field, const ProtobufCFieldDescriptor *proto)
{
    switch (field->type) {
    case SFL_FIELD_U64:
        return proto->type == PROTOBUF_C_TYPE_UINT64;
    case SFL_FIELD_U32:
        return proto->type == PROTOBUF_C_TYPE_UINT32;
    case SFL_FIELD_I32:
        return proto->type == PROTOBUF_C_TYPE_INT32 || proto->type == PROTOBUF_C_TYPE_ENUM;
    case SFL_FIELD_BOOL:
        return proto->type == PROTOBUF_C_TYPE_BOOL;
    case SFL_FIELD_BYTES:
        return proto->type == PROTOBUF_C_TYPE_BYTES || proto->type == PROTOBUF_C_TYPE_STRING;
    case SFL_FIELD_MESSAGE:
        return proto->type == PROTOBUF_C_TYPE_MESSAGE;
    case SFL_FIELD_ENUM:
    case SFL_FIELD_TEXT:
    case SFL_FIELD_LIST:
        return false;
    }
    return false;
}

static void compare(const struct sfl_schema *schema, const ProtobufCMessageDescriptor *proto)
{
    assert_string_equal(schema->name, proto->short_name);
    assert_int_equal(schema->field_count, proto->n_fields);
    for (unsigned i = 0; i < proto->n_fields; i++) {
        const ProtobufCFieldDescriptor *expected = &proto->fields[i];
        const struct sfl_field *field = &schema->fields[i];
        assert_int_equal(field->number, expected->id);
        assert_string_equal(field->name, expected->name);
        assert_true(is_type_of(field, expected));
        assert_int_equal(field->choice > 0, (expected->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0);
        if (field->type == SFL_FIELD_MESSAGE)
            compare(field->message, expected->descriptor);
    }
}

static void the_tables_say_what_the_proto_file_says(void **state)
{
    (void)state;
    compare(&sfl_answer_schema, &singleflight__v1__call_response__descriptor);
}

// --- what is read ---

// Packs a response of one frame; to be freed.
static struct sfl_span pack(Singleflight__V1__CallResponse *frame)
{
    Singleflight__V1__SessionResponse response = SINGLEFLIGHT__V1__SESSION_RESPONSE__INIT;
    Singleflight__V1__CallResponse *frames[] = {frame};
    response.n_calls = 1;
    response.calls = frames;
    size_t size = singleflight__v1__session_response__get_packed_size(&response);
    uint8_t *bytes = malloc(size + 1);
    assert_non_null(bytes);
    singleflight__v1__session_response__pack(&response, bytes);
    return sfl_span_of(bytes, size);
}

static bool span_is(struct sfl_span span, const char *text)
{
    return sfl_span_equal(span, sfl_span_of_text(text));
}

static void every_field_of_a_result_arrives(void **state)
{
    (void)state;
    Singleflight__V1__Outcome outcome = SINGLEFLIGHT__V1__OUTCOME__INIT;
    outcome.kind = SINGLEFLIGHT__V1__OUTCOME_KIND__OUTCOME_KIND_ERROR;
    outcome.value = (ProtobufCBinaryData){5, (uint8_t *)(char[]){"value"}};
    outcome.code = -7;
    outcome.message = (char[]){"it broke"};
    outcome.type = (char[]){"Error"};
    outcome.stack = (char[]){"here"};
    outcome.details = (ProtobufCBinaryData){4, (uint8_t *)(char[]){"more"}};
    Singleflight__V1__Result result = SINGLEFLIGHT__V1__RESULT__INIT;
    result.outcome = &outcome;
    result.led = result.shared = result.retained = result.retain_refused = 1;
    result.callers = 2;
    result.attempt = 3;
    result.token = UINT64_MAX;
    result.age_ms = 5;
    result.retain_ms = 6;
    result.value_bytes = 7;
    Singleflight__V1__CallResponse frame = SINGLEFLIGHT__V1__CALL_RESPONSE__INIT;
    frame.id = 300;
    frame.step_case = SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_RESULT;
    frame.result = &result;
    struct sfl_span message = pack(&frame);

    struct sfl_span rest = message;
    struct sfl_answer answer;
    assert_true(sfl_answer_next(&rest, &answer));
    assert_int_equal(answer.id, 300);
    assert_int_equal(answer.type, SFL_ANSWER_RESULT);
    const struct sfl_answer_result *read = &answer.result;
    assert_true(read->has_outcome && read->led && read->shared && read->retained);
    assert_true(read->retain_refused);
    assert_int_equal(read->callers, 2);
    assert_int_equal(read->attempt, 3);
    assert_true(read->token == UINT64_MAX);
    assert_int_equal(read->age_ms, 5);
    assert_int_equal(read->retain_ms, 6);
    assert_int_equal(read->value_bytes, 7);
    assert_int_equal(read->outcome.kind, SINGLEFLIGHT__V1__OUTCOME_KIND__OUTCOME_KIND_ERROR);
    assert_int_equal(read->outcome.code, -7);
    assert_true(span_is(read->outcome.value, "value"));
    assert_true(span_is(read->outcome.message, "it broke"));
    assert_true(span_is(read->outcome.type, "Error"));
    assert_true(span_is(read->outcome.stack, "here"));
    assert_true(span_is(read->outcome.details, "more"));
    assert_false(sfl_answer_next(&rest, &answer));
    assert_int_equal(rest.size, 0);
    free((void *)message.data);
}

static void a_result_without_an_outcome_says_so(void **state)
{
    (void)state;
    Singleflight__V1__Result result = SINGLEFLIGHT__V1__RESULT__INIT;
    Singleflight__V1__CallResponse frame = SINGLEFLIGHT__V1__CALL_RESPONSE__INIT;
    frame.step_case = SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_RESULT;
    frame.result = &result;
    struct sfl_span message = pack(&frame);
    struct sfl_span rest = message;
    struct sfl_answer answer;
    assert_true(sfl_answer_next(&rest, &answer));
    assert_int_equal(answer.type, SFL_ANSWER_RESULT);
    assert_false(answer.result.has_outcome);
    free((void *)message.data);
}

// A message written by hand. Strings of bytes, so that each test shows what is on the wire.
#define WIRE(text) sfl_span_of(text, sizeof(text) - 1)

static void what_a_later_server_says_is_skipped(void **state)
{
    (void)state;
    // A field of the message, and a frame of call 5 with a step that does not exist yet.
    struct sfl_span rest = WIRE("\x12\x01x\x0a\x05\x08\x05\x7a\x01x\x0a\x04\x08\x06\x1a\x00");
    struct sfl_answer answer;
    assert_true(sfl_answer_next(&rest, &answer));
    assert_int_equal(answer.id, 5);
    assert_int_equal(answer.type, SFL_ANSWER_NONE);
    assert_true(sfl_answer_next(&rest, &answer));
    assert_int_equal(answer.id, 6);
    assert_int_equal(answer.type, SFL_ANSWER_FOLLOW);
    assert_false(sfl_answer_next(&rest, &answer));
    assert_int_equal(rest.size, 0);
}

static void what_cannot_be_read_is_told_apart_from_the_end(void **state)
{
    (void)state;
    struct sfl_answer answer;
    struct sfl_span torn_frame = WIRE("\x0a\x04\x08\x06\x1a\x01");
    assert_false(sfl_answer_next(&torn_frame, &answer));
    assert_true(torn_frame.size > 0);
    struct sfl_span torn_message = WIRE("\x0a\x7fx");
    assert_false(sfl_answer_next(&torn_message, &answer));
    assert_true(torn_message.size > 0);
    struct sfl_span torn_tag = WIRE("\x0a");
    assert_false(sfl_answer_next(&torn_tag, &answer));
    assert_true(torn_tag.size > 0);
}

static void texts_are_cut_between_characters(void **state)
{
    (void)state;
    char text[8];
    sfl_answer_text(sfl_span_of_text("caf\xc3\xa9"), text, sizeof(text));
    assert_string_equal(text, "caf\xc3\xa9");
    sfl_answer_text(sfl_span_of_text("caf\xc3\xa9"), text, 5);
    assert_string_equal(text, "caf");
    sfl_answer_text(sfl_span_of(NULL, 0), text, sizeof(text));
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tables_say_what_the_proto_file_says),
        cmocka_unit_test(every_field_of_a_result_arrives),
        cmocka_unit_test(a_result_without_an_outcome_says_so),
        cmocka_unit_test(what_a_later_server_says_is_skipped),
        cmocka_unit_test(what_cannot_be_read_is_told_apart_from_the_end),
        cmocka_unit_test(texts_are_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
