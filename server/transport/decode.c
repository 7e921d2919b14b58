// SPDX-License-Identifier: Apache-2.0
#include "transport/decode.h"

#include "base/local_heap.h"
#include "rpc/wire_reader.h"
#include "rpc/wire_writer.h"
#include "transport/service.h"

#include <assert.h>

// The fields of proto/singleflight/v1/singleflight.proto.

#define REQUEST(member) offsetof(struct sfl_request, member)

#define LEAD_REF(member) offsetof(struct sfl_lead_ref, member)
static const struct sfl_field lead_ref_fields[] = {
    {1, SFL_FIELD_TEXT, LEAD_REF(group), .name = "join.within.group"},
    {2, SFL_FIELD_BYTES, LEAD_REF(key), .name = "join.within.key"},
    {3, SFL_FIELD_U64, LEAD_REF(token), .name = "join.within.token"},
};
static const struct sfl_schema lead_ref_schema = {.name = "LeadRef",
                                                  SFL_SCHEMA_FIELDS(lead_ref_fields)};

#define JOIN(member) offsetof(struct sfl_join, member)
static const struct sfl_field_list within_list = {
    .message = &lead_ref_schema,
    .element_size = sizeof(struct sfl_lead_ref),
    .count_max = SFL_WITHIN_MAX,
    .count_offset = JOIN(within_count),
    .too_many = "has more than 32 elements",
};
static_assert(SFL_WITHIN_MAX == 32, "as the text says");

static const struct sfl_field join_fields[] = {
    {1, SFL_FIELD_TEXT, JOIN(group), .name = "join.group"},
    {2, SFL_FIELD_BYTES, JOIN(key), .name = "join.key"},
    {3, SFL_FIELD_ENUM, JOIN(role), .name = "join.role", .enum_max = SFL_ROLE_FOLLOW_ONLY},
    {4, SFL_FIELD_BOOL, JOIN(live), .name = "join.live"},
    {5, SFL_FIELD_BOOL, JOIN(audience), .name = "join.audience"},
    {6, SFL_FIELD_U64, JOIN(retain_ms), .name = "join.retain_ms"},
    {7, SFL_FIELD_U64, JOIN(retain_error_ms), .name = "join.retain_error_ms"},
    {8, SFL_FIELD_U64, JOIN(max_age_ms), .name = "join.max_age_ms"},
    {9, SFL_FIELD_U64, JOIN(lease_ms), .name = "join.lease_ms"},
    {10, SFL_FIELD_U64, JOIN(run_limit_ms), .name = "join.run_limit_ms"},
    {11, SFL_FIELD_ENUM, JOIN(on_leader_loss), .name = "join.on_leader_loss",
     .enum_max = SFL_LEADER_LOSS_HOLD},
    {12, SFL_FIELD_U32, JOIN(max_attempts), .name = "join.max_attempts"},
    {13, SFL_FIELD_BYTES, JOIN(fingerprint), .name = "join.fingerprint"},
    {14, SFL_FIELD_U64, JOIN(resume_token), .name = "join.resume_token"},
    {15, SFL_FIELD_TEXT, JOIN(name), .name = "join.caller"},
    {16, SFL_FIELD_BOOL, JOIN(detach), .name = "join.detach"},
    {17, SFL_FIELD_BOOL, JOIN(retain_from_lead), .name = "join.retain_from_lead"},
    {18, SFL_FIELD_BOOL, JOIN(fresh), .name = "join.fresh"},
    // They stand beside the union that the join is in.
    {19, SFL_FIELD_LIST, REQUEST(within) - REQUEST(join), .name = "join.within",
     .list = &within_list},
    {20, SFL_FIELD_TEXT, REQUEST(traceparent) - REQUEST(join), .name = "join.traceparent"},
};
static const struct sfl_schema join_schema = {.name = "Join", SFL_SCHEMA_FIELDS(join_fields)};

#define CHUNK(member) offsetof(struct sfl_chunk, member)
static const struct sfl_field chunk_fields[] = {
    {1, SFL_FIELD_BYTES, CHUNK(data), .name = "chunk.data"},
    {2, SFL_FIELD_U64, CHUNK(sequence), .name = "chunk.sequence"},
};
static const struct sfl_schema chunk_schema = {.name = "Chunk", SFL_SCHEMA_FIELDS(chunk_fields)};

static const struct sfl_field renew_fields[] = {
    {1, SFL_FIELD_U64, offsetof(struct sfl_renew, id), .name = "renew.id"},
};
static const struct sfl_schema renew_schema = {.name = "Renew", SFL_SCHEMA_FIELDS(renew_fields)};
static const struct sfl_schema cancel_schema = {.name = "Cancel"};

#define OUTCOME(member) offsetof(struct sfl_posted_outcome, member)
static const struct sfl_field outcome_fields[] = {
    // The core tells what is wrong with a kind, and it knows of no number but the right ones.
    {1, SFL_FIELD_I32, OUTCOME(kind), .name = "outcome.kind"},
    {2, SFL_FIELD_BYTES, OUTCOME(value), .name = "outcome.value"},
    {3, SFL_FIELD_I32, OUTCOME(code), .name = "outcome.code"},
    {4, SFL_FIELD_TEXT, OUTCOME(message), .name = "outcome.message"},
    {5, SFL_FIELD_TEXT, OUTCOME(type), .name = "outcome.type"},
    {6, SFL_FIELD_TEXT, OUTCOME(stack), .name = "outcome.stack"},
    {7, SFL_FIELD_BYTES, OUTCOME(details), .name = "outcome.details"},
};
static const struct sfl_schema outcome_schema = {.name = "Outcome",
                                                 SFL_SCHEMA_FIELDS(outcome_fields)};

static const struct sfl_field retention_fields[] = {
    {1, SFL_FIELD_U64, 0, .name = "retention.retain_ms"},
};
static const struct sfl_schema retention_schema = {.name = "Retention",
                                                   SFL_SCHEMA_FIELDS(retention_fields)};

#define FINISH(member) offsetof(struct sfl_posted_finish, member)
static const struct sfl_field finish_fields[] = {
    {1, SFL_FIELD_MESSAGE, FINISH(outcome), .name = "finish.outcome", .message = &outcome_schema},
    {2, SFL_FIELD_MESSAGE, FINISH(retention_ms), .name = "finish.retention",
     .message = &retention_schema, .presence = FINISH(has_retention)},
    {3, SFL_FIELD_BOOL, FINISH(pass_on), .name = "finish.pass_on"},
};
static const struct sfl_schema finish_schema = {.name = "Finish", SFL_SCHEMA_FIELDS(finish_fields)};

// A member of the oneof `step`. Cancel has no fields, so its place does not matter.
#define STEP(field_number, step_name, step_choice, place)                                          \
    {                                                                                              \
        field_number, SFL_FIELD_MESSAGE, REQUEST(place), .name = #step_name,                       \
                                                         .choice = SFL_REQUEST_##step_choice,      \
                                                         .message = &step_name##_schema            \
    }
#define STEP_UNION                                                                                 \
    .choice_offset = REQUEST(type), .union_offset = REQUEST(join),                                 \
    .union_size = REQUEST(within) - REQUEST(join)

static const struct sfl_field do_request_fields[] = {
    STEP(1, join, JOIN, join),
    STEP(2, chunk, CHUNK, chunk),
    STEP(3, renew, RENEW, renew),
    STEP(4, finish, FINISH, finish),
};
const struct sfl_schema sfl_do_request_schema = {
    .name = "DoRequest", SFL_SCHEMA_FIELDS(do_request_fields), STEP_UNION};

static const struct sfl_field call_request_fields[] = {
    {1, SFL_FIELD_U64, REQUEST(id), .name = "id"},
    STEP(2, join, JOIN, join),
    STEP(3, chunk, CHUNK, chunk),
    STEP(4, renew, RENEW, renew),
    STEP(5, finish, FINISH, finish),
    STEP(6, cancel, CANCEL, join),
    {15, SFL_FIELD_U64, REQUEST(timeout_ms), .name = "timeout_ms"},
};
const struct sfl_schema sfl_call_request_schema = {
    .name = "CallRequest", SFL_SCHEMA_FIELDS(call_request_fields), STEP_UNION};

struct sfl_span sfl_group_or_default(struct sfl_span group)
{
    return group.size == 0 ? sfl_span_of_text("default") : group;
}

static void complete_join(struct sfl_request *request)
{
    request->join.group = sfl_group_or_default(request->join.group);
    request->join.within = request->within;
    for (uint32_t i = 0; i < request->join.within_count; i++)
        request->within[i].group = sfl_group_or_default(request->within[i].group);
}

static bool decode_request(const struct sfl_schema *schema, struct sfl_span message,
                           struct sfl_request *request)
{
    if (!sfl_schema_read(schema, message, request, &request->fault))
        return false;
    if (request->type == SFL_REQUEST_NONE && request->fault.what == NULL)
        request->fault =
            (struct sfl_fault){"step", "none is set, or one that this server does not know"};
    if (request->type == SFL_REQUEST_JOIN)
        complete_join(request);
    return true;
}

// The union is cleared when a step comes.
static void clear(struct sfl_request *request)
{
    request->id = 0;
    request->timeout_ms = 0;
    request->type = SFL_REQUEST_NONE;
    request->fault = (struct sfl_fault){NULL, NULL};
    request->traceparent = (struct sfl_span){NULL, 0};
}

bool sfl_decode_do(struct sfl_span message, struct sfl_request *request_out)
{
    clear(request_out);
    return decode_request(&sfl_do_request_schema, message, request_out);
}

bool sfl_decode_session_next(struct sfl_span *rest, struct sfl_request *request_out)
{
    clear(request_out);
    while (rest->size > 0) {
        struct sfl_wire_field field;
        if (!sfl_wire_next(rest, &field)) {
            request_out->fault = (struct sfl_fault){"SessionRequest", "malformed message"};
            return false;
        }
        if (field.number == 1 && field.type == SFL_WIRE_TYPE_BYTES)
            return decode_request(&sfl_call_request_schema, field.bytes, request_out);
    }
    return false;
}

bool sfl_encode_texts(const struct sfl_posted_outcome *outcome, struct sfl_bytes **texts_out)
{
    // A negative int32 is written as the 64-bit number that it is.
    uint64_t code = (uint64_t)(int64_t)outcome->code;
    size_t size =
        (code == 0 ? 0 : 1 + sfl_wire_varint_size(code)) +
        sfl_wire_bytes_size(outcome->message.size) + sfl_wire_bytes_size(outcome->type.size) +
        sfl_wire_bytes_size(outcome->stack.size) + sfl_wire_bytes_size(outcome->details.size);
    if (size == 0) {
        *texts_out = NULL;
        return true;
    }
    struct sfl_bytes *texts = sfl_bytes_create(&sfl_local_heap, size);
    if (texts == NULL)
        return false;
    uint8_t *at = sfl_wire_put_number(texts->data, 3, code);
    at = sfl_wire_put_bytes(at, 4, outcome->message);
    at = sfl_wire_put_bytes(at, 5, outcome->type);
    at = sfl_wire_put_bytes(at, 6, outcome->stack);
    sfl_wire_put_bytes(at, 7, outcome->details);
    *texts_out = texts;
    return true;
}

struct sfl_bytes *sfl_transport_describe(int32_t code, struct sfl_span message,
                                         struct sfl_span type)
{
    const struct sfl_posted_outcome outcome = {.code = code, .message = message, .type = type};
    struct sfl_bytes *texts = NULL;
    return sfl_encode_texts(&outcome, &texts) ? texts : NULL;
}

// Texts were checked when they came; to look at them all again takes long, and this is asked under
// a shard's lock.
static const struct sfl_field read_fields[] = {
    {3, SFL_FIELD_I32, offsetof(struct sfl_posted_outcome, code), .name = "code"},
    {4, SFL_FIELD_BYTES, offsetof(struct sfl_posted_outcome, message), .name = "message"},
};
static const struct sfl_schema read_schema = {.name = "Outcome", SFL_SCHEMA_FIELDS(read_fields)};

void sfl_read_texts(const struct sfl_bytes *texts, int32_t *code_out, struct sfl_span *message_out)
{
    struct sfl_posted_outcome outcome = {.kind = 0};
    struct sfl_fault fault = {0};
    (void)sfl_schema_read(&read_schema, sfl_bytes_span(texts), &outcome, &fault);
    *code_out = outcome.code;
    *message_out = outcome.message;
}
