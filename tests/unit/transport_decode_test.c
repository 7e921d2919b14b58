// SPDX-License-Identifier: Apache-2.0
// What clients send: read as the proto file says, and refused where it is not what it says.
#include "transport/decode.h"

#include "singleflight/v1/singleflight.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

// --- the tables against the proto file ---

static bool is_type_of(const struct sfl_field *field, const ProtobufCFieldDescriptor *proto)
{
    switch (field->type) {
    case SFL_FIELD_U64:
        return proto->type == PROTOBUF_C_TYPE_UINT64;
    case SFL_FIELD_U32:
        return proto->type == PROTOBUF_C_TYPE_UINT32;
    case SFL_FIELD_I32: // also an enum that the core checks
        return proto->type == PROTOBUF_C_TYPE_INT32 || proto->type == PROTOBUF_C_TYPE_ENUM;
    case SFL_FIELD_BOOL:
        return proto->type == PROTOBUF_C_TYPE_BOOL;
    case SFL_FIELD_ENUM:
        return proto->type == PROTOBUF_C_TYPE_ENUM &&
               field->enum_max + 1 ==
                   ((const ProtobufCEnumDescriptor *)proto->descriptor)->n_values;
    case SFL_FIELD_BYTES:
        return proto->type == PROTOBUF_C_TYPE_BYTES;
    case SFL_FIELD_TEXT:
        return proto->type == PROTOBUF_C_TYPE_STRING;
    case SFL_FIELD_MESSAGE:
        return proto->type == PROTOBUF_C_TYPE_MESSAGE;
    case SFL_FIELD_LIST:
        return proto->type == PROTOBUF_C_TYPE_MESSAGE && proto->label == PROTOBUF_C_LABEL_REPEATED;
    }
    return false;
}

static const struct sfl_field *field_of(const struct sfl_schema *schema, uint32_t number)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        if (schema->fields[i].number == number)
            return &schema->fields[i];
    }
    return NULL;
}

// Says what differs, by failing.
static void compare(const struct sfl_schema *schema, const ProtobufCMessageDescriptor *proto)
{
    assert_string_equal(schema->name, proto->short_name);
    for (unsigned i = 0; i < proto->n_fields; i++) {
        const ProtobufCFieldDescriptor *expected = &proto->fields[i];
        const struct sfl_field *field = field_of(schema, expected->id);
        if (strcmp(proto->short_name, "Chunk") == 0 && strcmp(expected->name, "attempt") == 0) {
            assert_null(field); // set by the server, ignored from a leader
            continue;
        }
        if (field == NULL || !is_type_of(field, expected)) {
            fail_msg("%s.%s is not in the table as it is in the proto file", proto->short_name,
                     expected->name);
            return;
        }
        const char *dot = strrchr(field->name, '.');
        const char *name = dot == NULL ? field->name : dot + 1;
        assert_string_equal(name, expected->name);
        assert_int_equal(field->choice > 0, (expected->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0);
        if (field->type == SFL_FIELD_MESSAGE)
            compare(field->message, expected->descriptor);
        else if (field->type == SFL_FIELD_LIST)
            compare(field->list->message, expected->descriptor);
    }
}

static void the_tables_say_what_the_proto_file_says(void **state)
{
    (void)state;
    compare(&sfl_do_request_schema, &singleflight__v1__do_request__descriptor);
    compare(&sfl_call_request_schema, &singleflight__v1__call_request__descriptor);
}

// --- what is read ---

static struct sfl_bytes *pack_do(const Singleflight__V1__DoRequest *request)
{
    struct sfl_bytes *bytes =
        sfl_bytes_create(&sfl_heap, singleflight__v1__do_request__get_packed_size(request));
    assert_non_null(bytes);
    singleflight__v1__do_request__pack(request, bytes->data);
    return bytes;
}

static ProtobufCBinaryData binary(const char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)(uintptr_t)text};
}

static bool span_is(struct sfl_span span, const char *text)
{
    return sfl_span_equal(span, sfl_span_of_text(text));
}

static void every_field_of_join_arrives(void **state)
{
    (void)state;
    Singleflight__V1__Join join = SINGLEFLIGHT__V1__JOIN__INIT;
    join.group = (char[]){"reports"};
    join.key = binary("key");
    join.role = SINGLEFLIGHT__V1__ROLE__ROLE_FOLLOW_ONLY;
    join.live = 1;
    join.audience = 1;
    join.retain_ms = 1;
    join.retain_error_ms = 2;
    join.max_age_ms = UINT64_MAX;
    join.lease_ms = 4;
    join.run_limit_ms = 5;
    join.on_leader_loss = SINGLEFLIGHT__V1__LEADER_LOSS__LEADER_LOSS_HOLD;
    join.max_attempts = UINT32_MAX;
    join.fingerprint = binary("print");
    join.resume_token = 7;
    join.caller = (char[]){"me"};
    join.detach = 1;
    join.retain_from_lead = 1;
    join.fresh = 1;
    join.traceparent = (char[]){"00-trace"};
    Singleflight__V1__LeadRef inner = SINGLEFLIGHT__V1__LEAD_REF__INIT;
    inner.group = (char[]){"nightly"};
    inner.key = binary("report");
    inner.token = UINT64_MAX;
    Singleflight__V1__LeadRef outer = SINGLEFLIGHT__V1__LEAD_REF__INIT;
    outer.key = binary("all");
    Singleflight__V1__LeadRef *within[] = {&inner, &outer};
    join.n_within = 2;
    join.within = within;
    Singleflight__V1__DoRequest message = SINGLEFLIGHT__V1__DO_REQUEST__INIT;
    message.step_case = SINGLEFLIGHT__V1__DO_REQUEST__STEP_JOIN;
    message.join = &join;
    struct sfl_bytes *bytes = pack_do(&message);
    struct sfl_request request;
    assert_true(sfl_decode_do(sfl_bytes_span(bytes), &request));
    assert_null(request.fault.what);
    assert_int_equal(request.type, SFL_REQUEST_JOIN);
    assert_true(span_is(request.join.group, "reports"));
    assert_true(span_is(request.join.key, "key"));
    assert_int_equal(request.join.role, SFL_ROLE_FOLLOW_ONLY);
    assert_true(request.join.live);
    assert_true(request.join.audience);
    assert_int_equal(request.join.retain_ms, 1);
    assert_int_equal(request.join.retain_error_ms, 2);
    assert_true(request.join.max_age_ms == UINT64_MAX);
    assert_int_equal(request.join.lease_ms, 4);
    assert_int_equal(request.join.run_limit_ms, 5);
    assert_int_equal(request.join.on_leader_loss, SFL_LEADER_LOSS_HOLD);
    assert_int_equal(request.join.max_attempts, UINT32_MAX);
    assert_true(span_is(request.join.fingerprint, "print"));
    assert_int_equal(request.join.resume_token, 7);
    assert_true(span_is(request.join.name, "me"));
    assert_true(request.join.detach);
    assert_true(request.join.retain_from_lead);
    assert_true(request.join.fresh);
    assert_int_equal(request.join.within_count, 2);
    assert_true(span_is(request.join.within[0].group, "nightly"));
    assert_true(span_is(request.join.within[0].key, "report"));
    assert_true(request.join.within[0].token == UINT64_MAX);
    assert_true(span_is(request.join.within[1].group, "default"));
    assert_true(span_is(request.join.within[1].key, "all"));
    assert_int_equal(request.join.within[1].token, 0);
    assert_true(span_is(request.traceparent, "00-trace"));
    sfl_bytes_unref(bytes);
}

// It stands beside the union that a step clears.
static void the_trace_context_of_one_join_is_not_that_of_the_next(void **state)
{
    (void)state;
    const uint8_t traced[] = {0x0a, 0x06, 0xa2, 0x01, 0x01, 't', 0x12, 0x00};
    const uint8_t untraced[] = {0x0a, 0x03, 0x12, 0x01, 'k'};
    struct sfl_request request;
    assert_true(sfl_decode_do(sfl_span_of(traced, sizeof(traced)), &request));
    assert_true(span_is(request.traceparent, "t"));
    assert_true(sfl_decode_do(sfl_span_of(untraced, sizeof(untraced)), &request));
    assert_int_equal(request.traceparent.size, 0);
}

// A join inside so many leads; what is wrong with it, or NULL.
static const char *fault_within(unsigned leads, uint32_t *count_out)
{
    Singleflight__V1__LeadRef lead = SINGLEFLIGHT__V1__LEAD_REF__INIT;
    lead.key = binary("k");
    lead.token = 1;
    Singleflight__V1__LeadRef *within[SFL_WITHIN_MAX + 1];
    for (unsigned i = 0; i < leads; i++)
        within[i] = &lead;
    Singleflight__V1__Join join = SINGLEFLIGHT__V1__JOIN__INIT;
    join.key = binary("key");
    join.n_within = leads;
    join.within = within;
    Singleflight__V1__DoRequest message = SINGLEFLIGHT__V1__DO_REQUEST__INIT;
    message.step_case = SINGLEFLIGHT__V1__DO_REQUEST__STEP_JOIN;
    message.join = &join;
    struct sfl_bytes *bytes = pack_do(&message);
    struct sfl_request request;
    assert_true(sfl_decode_do(sfl_bytes_span(bytes), &request));
    *count_out = request.join.within_count;
    sfl_bytes_unref(bytes);
    return request.fault.where;
}

static void a_join_is_made_inside_32_leads_at_most(void **state)
{
    (void)state;
    uint32_t count = 0;
    assert_null(fault_within(SFL_WITHIN_MAX, &count));
    assert_int_equal(count, SFL_WITHIN_MAX);
    assert_string_equal(fault_within(SFL_WITHIN_MAX + 1, &count), "join.within");
    assert_int_equal(count, SFL_WITHIN_MAX);
}

// Two joins in one message are one, as protobuf has it; another step between them begins anew.
static void the_leads_of_a_join_that_comes_twice_are_those_of_both(void **state)
{
    (void)state;
    const uint8_t within[] = {0x0a, 0x08, 0x9a, 0x01, 0x05, 0x12, 0x01, 'k', 0x18, 0x07};
    const uint8_t renew[] = {0x1a, 0x00};
    uint8_t message[2 * sizeof(within) + sizeof(renew)];
    struct sfl_request request;
    memcpy(message, within, sizeof(within));
    memcpy(message + sizeof(within), within, sizeof(within));
    assert_true(sfl_decode_do(sfl_span_of(message, 2 * sizeof(within)), &request));
    assert_int_equal(request.join.within_count, 2);
    assert_int_equal(request.join.within[1].token, 7);
    memcpy(message + sizeof(within), renew, sizeof(renew));
    memcpy(message + sizeof(within) + sizeof(renew), within, sizeof(within));
    assert_true(sfl_decode_do(sfl_span_of(message, sizeof(message)), &request));
    assert_int_equal(request.join.within_count, 1);
}

static void a_renewal_may_have_an_id(void **state)
{
    (void)state;
    const uint8_t message[] = {0x1a, 0x02, 0x08, 0x07};
    struct sfl_request request;
    assert_true(sfl_decode_do(sfl_span_of(message, sizeof(message)), &request));
    assert_int_equal(request.type, SFL_REQUEST_RENEW);
    assert_int_equal(request.renew.id, 7);
}

static void every_field_of_finish_arrives(void **state)
{
    (void)state;
    Singleflight__V1__Outcome outcome = SINGLEFLIGHT__V1__OUTCOME__INIT;
    outcome.kind = SINGLEFLIGHT__V1__OUTCOME_KIND__OUTCOME_KIND_PANIC;
    outcome.value = binary("value");
    outcome.code = -7;
    outcome.message = (char[]){"it broke"};
    outcome.type = (char[]){"Error"};
    outcome.stack = (char[]){"here"};
    outcome.details = binary("more");
    Singleflight__V1__Retention retention = SINGLEFLIGHT__V1__RETENTION__INIT;
    Singleflight__V1__Finish finish = SINGLEFLIGHT__V1__FINISH__INIT;
    finish.outcome = &outcome;
    finish.retention = &retention;
    finish.pass_on = 1;
    Singleflight__V1__DoRequest message = SINGLEFLIGHT__V1__DO_REQUEST__INIT;
    message.step_case = SINGLEFLIGHT__V1__DO_REQUEST__STEP_FINISH;
    message.finish = &finish;
    struct sfl_bytes *bytes = pack_do(&message);
    struct sfl_request request;
    assert_true(sfl_decode_do(sfl_bytes_span(bytes), &request));
    assert_null(request.fault.what);
    assert_int_equal(request.type, SFL_REQUEST_FINISH);
    assert_int_equal(request.finish.outcome.kind, SFL_OUTCOME_PANIC);
    assert_int_equal(request.finish.outcome.code, -7);
    assert_true(span_is(request.finish.outcome.value, "value"));
    assert_true(span_is(request.finish.outcome.message, "it broke"));
    assert_true(span_is(request.finish.outcome.type, "Error"));
    assert_true(span_is(request.finish.outcome.stack, "here"));
    assert_true(span_is(request.finish.outcome.details, "more"));
    assert_true(request.finish.has_retention); // although it says 0
    assert_int_equal(request.finish.retention_ms, 0);
    assert_true(request.finish.pass_on);
    sfl_bytes_unref(bytes);
}

// A message written by hand. Strings of bytes, so that each test shows what is on the wire.
#define WIRE(text) sfl_span_of(text, sizeof(text) - 1)

static void the_empty_group_is_the_group_default(void **state)
{
    (void)state;
    struct sfl_request request;
    assert_true(sfl_decode_do(WIRE("\x0a\x03\x12\x01k"), &request));
    assert_null(request.fault.what);
    assert_true(span_is(request.join.group, "default"));
}

static void unknown_fields_of_every_wire_type_are_skipped(void **state)
{
    (void)state;
    struct sfl_request request;
    // Fields 100 to 103 as varint, fixed64, bytes, fixed32; then renew; then a group in a group.
    assert_true(sfl_decode_do(WIRE("\xa0\x06\x05"
                                   "\xa9\x06"
                                   "12345678"
                                   "\xb2\x06\x02hi"
                                   "\xbd\x06"
                                   "1234"
                                   "\x1a\x00"
                                   "\xc3\x06\xcb\x06\x08\x01\xcc\x06\xc4\x06"),
                              &request));
    assert_null(request.fault.what);
    assert_int_equal(request.type, SFL_REQUEST_RENEW);
}

static void a_known_field_of_another_wire_type_is_an_unknown_field(void **state)
{
    (void)state;
    struct sfl_request request;
    assert_true(sfl_decode_do(WIRE("\x0a\x05\x10\x07\x12\x01k"), &request));
    assert_null(request.fault.what);
    assert_true(span_is(request.join.key, "k"));
}

static void of_two_steps_the_last_counts_and_equal_ones_are_merged(void **state)
{
    (void)state;
    struct sfl_request request;
    // chunk{sequence 5}, then join{key k}, then join{live}.
    assert_true(sfl_decode_do(WIRE("\x12\x02\x10\x05"
                                   "\x0a\x03\x12\x01k"
                                   "\x0a\x02\x20\x01"),
                              &request));
    assert_null(request.fault.what);
    assert_int_equal(request.type, SFL_REQUEST_JOIN);
    assert_true(span_is(request.join.key, "k"));
    assert_true(request.join.live);
    assert_int_equal(request.join.max_attempts, 0);
}

// --- what is refused ---

struct refused {
    struct sfl_span message;
    const char *where;
    const char *what;
};

static void faults_name_the_field(void **state)
{
    (void)state;
    const struct refused cases[] = {
        {WIRE(""), "step", "none is set, or one that this server does not know"},
        {WIRE("\x2a\x00"), "step", "none is set, or one that this server does not know"},
        {WIRE("\x0a\x03\x0a\x01\xff"), "join.group", "is not valid UTF-8"},
        {WIRE("\x0a\x04\x7a\x02\xc0\x80"), "join.caller", "is not valid UTF-8"},
        {WIRE("\x0a\x02\x18\x03"), "join.role", "has a value that is not known"},
        {WIRE("\x0a\x0b\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "join.role",
         "has a value that is not known"},
        {WIRE("\x0a\x02\x58\x03"), "join.on_leader_loss", "has a value that is not known"},
        {WIRE("\x0a\x06\x9a\x01\x03\x0a\x01\xff"), "join.within.group", "is not valid UTF-8"},
        {WIRE("\x22\x05\x0a\x03\x22\x01\xff"), "outcome.message", "is not valid UTF-8"},
        {WIRE("\x22\x05\x0a\x03\x2a\x01\xff"), "outcome.type", "is not valid UTF-8"},
        {WIRE("\x22\x05\x0a\x03\x32\x01\xff"), "outcome.stack", "is not valid UTF-8"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sfl_request request;
        assert_true(sfl_decode_do(cases[i].message, &request));
        assert_non_null(request.fault.what);
        assert_string_equal(request.fault.where, cases[i].where);
        assert_string_equal(request.fault.what, cases[i].what);
    }
}

static void a_string_is_not_cut_at_a_nul(void **state)
{
    (void)state;
    struct sfl_request request;
    assert_true(sfl_decode_do(WIRE("\x0a\x05\x0a\x03"
                                   "a\0b"),
                              &request));
    assert_null(request.fault.what);
    assert_int_equal(request.join.group.size, 3); // and the core refuses such a group
}

static void bytes_that_are_no_message_are_malformed(void **state)
{
    (void)state;
    const struct sfl_span cases[] = {
        WIRE("\x0a"),         // a tag alone
        WIRE("\x0a\x05\x12"), // shorter than its length
        WIRE("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
        WIRE("\x02\x00"),                                     // field number 0
        WIRE("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), // no end of a varint
        WIRE("\x0e"),                                         // wire type 6
        WIRE("\x0c"),                                         // the end of a group that never began
        WIRE("\xc3\x06\x08\x01"),                             // a group without an end
        WIRE("\xc3\x06\xcc\x06"),                             // a group with the end of another
        WIRE("\x0a\x03\x12\x05k"),                            // the same inside of join
        WIRE("\xa9\x06"
             "1234567"), // a fixed64 of seven bytes
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sfl_request request;
        assert_false(sfl_decode_do(cases[i], &request));
        assert_string_equal(request.fault.what, "malformed message");
    }
}

static void groups_are_not_followed_without_a_bound(void **state)
{
    (void)state;
    uint8_t deep[4096];
    struct sfl_request request;
    memset(deep, 0x0b, sizeof(deep)); // group 1 in group 1 in …
    assert_false(sfl_decode_do(sfl_span_of(deep, sizeof(deep)), &request));
}

static void a_session_message_is_read_frame_by_frame(void **state)
{
    (void)state;
    // {id 1, join{key a}, timeout 9}, an unknown field, {id 2}, {id 3, cancel}
    struct sfl_span rest = WIRE("\x0a\x09\x08\x01\x12\x03\x12\x01"
                                "a\x78\x09"
                                "\x10\x07"
                                "\x0a\x02\x08\x02"
                                "\x0a\x04\x08\x03\x32\x00");
    struct sfl_request request;
    assert_true(sfl_decode_session_next(&rest, &request));
    assert_int_equal(request.id, 1);
    assert_int_equal(request.type, SFL_REQUEST_JOIN);
    assert_int_equal(request.timeout_ms, 9);
    assert_null(request.fault.what);
    assert_true(sfl_decode_session_next(&rest, &request));
    assert_int_equal(request.id, 2);
    assert_string_equal(request.fault.where, "step");
    assert_true(sfl_decode_session_next(&rest, &request));
    assert_int_equal(request.id, 3);
    assert_int_equal(request.type, SFL_REQUEST_CANCEL);
    assert_false(sfl_decode_session_next(&rest, &request));
    assert_null(request.fault.what);
}

static void a_frame_that_is_malformed_fails_the_message(void **state)
{
    (void)state;
    struct sfl_span rest = WIRE("\x0a\x02\x08\x01\x0a\x03\x08\x01\x12");
    struct sfl_request request;
    assert_true(sfl_decode_session_next(&rest, &request));
    assert_false(sfl_decode_session_next(&rest, &request));
    assert_string_equal(request.fault.what, "malformed message");
}

// --- texts ---

static void texts_are_encoded_as_they_stand_in_an_outcome(void **state)
{
    (void)state;
    const struct sfl_posted_outcome posted = {
        .code = -1,
        .message = sfl_span_of_text("m"),
        .type = sfl_span_of_text("t"),
        .stack = sfl_span_of_text("s"),
        .details = sfl_span_of_text("d"),
        .value = sfl_span_of_text("not among the texts"),
    };
    struct sfl_bytes *texts = NULL;
    assert_true(sfl_encode_texts(&posted, &texts));
    Singleflight__V1__Outcome *outcome =
        singleflight__v1__outcome__unpack(NULL, texts->size, texts->data);
    assert_non_null(outcome);
    assert_int_equal(outcome->code, -1);
    assert_string_equal(outcome->message, "m");
    assert_string_equal(outcome->type, "t");
    assert_string_equal(outcome->stack, "s");
    assert_int_equal(outcome->details.len, 1);
    assert_int_equal(outcome->value.len, 0);
    singleflight__v1__outcome__free_unpacked(outcome, NULL);
    sfl_bytes_unref(texts);
}

static void no_texts_take_no_memory(void **state)
{
    (void)state;
    const struct sfl_posted_outcome posted = {.kind = SFL_OUTCOME_OK};
    struct sfl_bytes *texts = NULL;
    assert_true(sfl_encode_texts(&posted, &texts));
    assert_null(texts);
}

// Texts whose message is in memory that nobody may look at: it is long, and was checked before.
static void what_texts_say_is_found_without_a_look_at_all_of_them(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *pages =
        mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(pages != MAP_FAILED);
    uint8_t head[8] = {3 << 3, 7, 4 << 3 | 2};
    size_t head_size = 3;
    for (size_t left = page; left > 0; left >>= 7)
        head[head_size++] = (uint8_t)((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
    size_t before = (sizeof(struct sfl_bytes) + head_size + 7) / 8 * 8 + 64;
    uint8_t *from = pages + page - before;
    size_t unknown = before - sizeof(struct sfl_bytes) - head_size - 2; // a field to fill the page
    assert_in_range(unknown, 0, 127);
    from -= (uintptr_t)from % 8;
    struct sfl_bytes *texts = (struct sfl_bytes *)(void *)from;
    texts->data[0] = 15 << 3 | 2;
    texts->data[1] = (uint8_t)unknown;
    memcpy(pages + page - head_size, head, head_size);
    texts->size = (size_t)(pages + 2 * page - texts->data);
    assert_int_equal(mprotect(pages + page, page, PROT_NONE), 0);
    int32_t code = 0;
    struct sfl_span message = {NULL, 0};
    sfl_read_texts(texts, &code, &message);
    assert_int_equal(code, 7);
    assert_ptr_equal(message.data, pages + page);
    assert_int_equal(message.size, page);
    munmap(pages, 2 * page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tables_say_what_the_proto_file_says),
        cmocka_unit_test(every_field_of_join_arrives),
        cmocka_unit_test(the_trace_context_of_one_join_is_not_that_of_the_next),
        cmocka_unit_test(a_join_is_made_inside_32_leads_at_most),
        cmocka_unit_test(the_leads_of_a_join_that_comes_twice_are_those_of_both),
        cmocka_unit_test(a_renewal_may_have_an_id),
        cmocka_unit_test(every_field_of_finish_arrives),
        cmocka_unit_test(what_texts_say_is_found_without_a_look_at_all_of_them),
        cmocka_unit_test(the_empty_group_is_the_group_default),
        cmocka_unit_test(unknown_fields_of_every_wire_type_are_skipped),
        cmocka_unit_test(a_known_field_of_another_wire_type_is_an_unknown_field),
        cmocka_unit_test(of_two_steps_the_last_counts_and_equal_ones_are_merged),
        cmocka_unit_test(faults_name_the_field),
        cmocka_unit_test(a_string_is_not_cut_at_a_nul),
        cmocka_unit_test(bytes_that_are_no_message_are_malformed),
        cmocka_unit_test(groups_are_not_followed_without_a_bound),
        cmocka_unit_test(a_session_message_is_read_frame_by_frame),
        cmocka_unit_test(a_frame_that_is_malformed_fails_the_message),
        cmocka_unit_test(texts_are_encoded_as_they_stand_in_an_outcome),
        cmocka_unit_test(no_texts_take_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
