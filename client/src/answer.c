// SPDX-License-Identifier: Apache-2.0
#include "src/answer.h"

#include "rpc/wire_reader.h"
#include "singleflight.h"

#define CALLS_FIELD 1 // SessionResponse.calls

// The fields of proto/singleflight/v1/singleflight.proto. Texts are taken as bytes: what the server
// got from somebody else is no reason to end a session.

#define LEAD(member) offsetof(struct sfl_answer_lead, member)
static const struct sfl_field lead_fields[] = {
    {1, SFL_FIELD_U64, LEAD(token), .name = "token"},
    {2, SFL_FIELD_U32, LEAD(attempt), .name = "attempt"},
    {3, SFL_FIELD_U64, LEAD(lease_ms), .name = "lease_ms"},
    {4, SFL_FIELD_U64, LEAD(run_limit_ms), .name = "run_limit_ms"},
    {5, SFL_FIELD_U64, LEAD(next_sequence), .name = "next_sequence"},
    {6, SFL_FIELD_U64, LEAD(silence_ms), .name = "silence_ms"},
    {7, SFL_FIELD_U64, LEAD(result_limit), .name = "result_limit"},
};
static const struct sfl_schema lead_schema = {.name = "Lead", SFL_SCHEMA_FIELDS(lead_fields)};

#define FOLLOW(member) offsetof(struct sfl_answer_follow, member)
static const struct sfl_field follow_fields[] = {
    {1, SFL_FIELD_U32, FOLLOW(attempt), .name = "attempt"},
    {2, SFL_FIELD_BYTES, FOLLOW(leader), .name = "leader"},
    {3, SFL_FIELD_U64, FOLLOW(running_ms), .name = "running_ms"},
};
static const struct sfl_schema follow_schema = {.name = "Follow", SFL_SCHEMA_FIELDS(follow_fields)};

#define CHUNK(member) offsetof(struct sfl_answer_chunk, member)
static const struct sfl_field chunk_fields[] = {
    {1, SFL_FIELD_BYTES, CHUNK(data), .name = "data"},
    {2, SFL_FIELD_U64, CHUNK(sequence), .name = "sequence"},
    {3, SFL_FIELD_U32, CHUNK(attempt), .name = "attempt"},
};
static const struct sfl_schema chunk_schema = {.name = "Chunk", SFL_SCHEMA_FIELDS(chunk_fields)};

#define RESTART(member) offsetof(struct sfl_answer_restart, member)
static const struct sfl_field restart_fields[] = {
    {1, SFL_FIELD_U32, RESTART(attempt), .name = "attempt"},
    {2, SFL_FIELD_BYTES, RESTART(leader), .name = "leader"},
};
static const struct sfl_schema restart_schema = {.name = "Restart",
                                                 SFL_SCHEMA_FIELDS(restart_fields)};

#define AUDIENCE(member) offsetof(struct sfl_answer_audience, member)
static const struct sfl_field audience_fields[] = {
    {1, SFL_FIELD_U32, AUDIENCE(followers), .name = "followers"},
    {2, SFL_FIELD_U64, AUDIENCE(latest_deadline_ms), .name = "latest_deadline_ms"},
};
static const struct sfl_schema audience_schema = {.name = "Audience",
                                                  SFL_SCHEMA_FIELDS(audience_fields)};

#define OUTCOME(member) offsetof(struct sfl_answer_outcome, member)
static const struct sfl_field outcome_fields[] = {
    {1, SFL_FIELD_I32, OUTCOME(kind), .name = "kind"},
    {2, SFL_FIELD_BYTES, OUTCOME(value), .name = "value"},
    {3, SFL_FIELD_I32, OUTCOME(code), .name = "code"},
    {4, SFL_FIELD_BYTES, OUTCOME(message), .name = "message"},
    {5, SFL_FIELD_BYTES, OUTCOME(type), .name = "type"},
    {6, SFL_FIELD_BYTES, OUTCOME(stack), .name = "stack"},
    {7, SFL_FIELD_BYTES, OUTCOME(details), .name = "details"},
};
static const struct sfl_schema outcome_schema = {.name = "Outcome",
                                                 SFL_SCHEMA_FIELDS(outcome_fields)};

#define RESULT(member) offsetof(struct sfl_answer_result, member)
#define ANSWER(member) offsetof(struct sfl_answer, member)
static const struct sfl_field result_fields[] = {
    {1, SFL_FIELD_MESSAGE, RESULT(outcome), .name = "outcome", .message = &outcome_schema,
     .presence = RESULT(has_outcome)},
    {2, SFL_FIELD_BOOL, RESULT(led), .name = "led"},
    {3, SFL_FIELD_BOOL, RESULT(shared), .name = "shared"},
    {4, SFL_FIELD_U32, RESULT(callers), .name = "callers"},
    {5, SFL_FIELD_U32, RESULT(attempt), .name = "attempt"},
    {6, SFL_FIELD_U64, RESULT(token), .name = "token"},
    {7, SFL_FIELD_BOOL, RESULT(retained), .name = "retained"},
    {8, SFL_FIELD_U64, RESULT(age_ms), .name = "age_ms"},
    {9, SFL_FIELD_U64, RESULT(retain_ms), .name = "retain_ms"},
    {10, SFL_FIELD_U64, RESULT(value_bytes), .name = "value_bytes"},
    {11, SFL_FIELD_BOOL, RESULT(retain_refused), .name = "retain_refused"},
};
static const struct sfl_schema result_schema = {.name = "Result", SFL_SCHEMA_FIELDS(result_fields)};

#define END(member) offsetof(struct sfl_answer_end, member)
static const struct sfl_field end_fields[] = {
    {1, SFL_FIELD_I32, END(code), .name = "code"},
    {2, SFL_FIELD_BYTES, END(message), .name = "message"},
};
static const struct sfl_schema end_schema = {.name = "End", SFL_SCHEMA_FIELDS(end_fields)};

#define RENEWED(member) offsetof(struct sfl_answer_renewed, member)
static const struct sfl_field renewed_fields[] = {
    {1, SFL_FIELD_U64, RENEWED(id), .name = "id"},
    {2, SFL_FIELD_U64, RENEWED(silence_ms), .name = "silence_ms"},
};
static const struct sfl_schema renewed_schema = {.name = "Renewed",
                                                 SFL_SCHEMA_FIELDS(renewed_fields)};

#define STEP(field_number, step_name, step_choice)                                                 \
    {                                                                                              \
        field_number, SFL_FIELD_MESSAGE, ANSWER(step_name),                                        \
            .name = #step_name, .choice = SFL_ANSWER_##step_choice, .message = &step_name##_schema \
    }
static const struct sfl_field answer_fields[] = {
    {1, SFL_FIELD_U64, ANSWER(id), .name = "id"},
    STEP(2, lead, LEAD),
    STEP(3, follow, FOLLOW),
    STEP(4, chunk, CHUNK),
    STEP(5, restart, RESTART),
    STEP(6, audience, AUDIENCE),
    STEP(7, result, RESULT),
    STEP(8, end, END),
    STEP(9, renewed, RENEWED),
};
const struct sfl_schema sfl_answer_schema = {
    .name = "CallResponse",
    SFL_SCHEMA_FIELDS(answer_fields),
    .choice_offset = ANSWER(type),
    .union_offset = ANSWER(lead),
    .union_size = sizeof(struct sfl_answer) - ANSWER(lead),
};

bool sfl_answer_next(struct sfl_span *rest, struct sfl_answer *answer_out)
{
    while (rest->size > 0) {
        struct sfl_span before = *rest;
        struct sfl_wire_field field;
        struct sfl_fault fault = {0};
        bool is_field = sfl_wire_next(rest, &field);
        if (is_field && (field.number != CALLS_FIELD || field.type != SFL_WIRE_TYPE_BYTES))
            continue;
        // The step is zeroed when it is known which one it is.
        answer_out->id = 0;
        answer_out->type = SFL_ANSWER_NONE;
        if (is_field && sfl_schema_read(&sfl_answer_schema, field.bytes, answer_out, &fault))
            return true;
        *rest = before;
        return false;
    }
    return false;
}

void sfl_answer_text(struct sfl_span text, char *text_out, size_t size)
{
    size_t kept = text.size;
    if (kept > size - 1) {
        kept = size - 1;
        while (kept > 0 && (text.data[kept] & 0xC0) == 0x80)
            kept--;
    }
    if (kept > 0)
        memcpy(text_out, text.data, kept);
    text_out[kept] = 0;
}

bool sfl_answer_refuses(const struct sfl_answer *answer)
{
    return answer->type == SFL_ANSWER_END && answer->end.code == SINGLEFLIGHT_UNAVAILABLE;
}
