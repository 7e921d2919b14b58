// SPDX-License-Identifier: Apache-2.0
// SingleFlight.Forget.
#include "rpc/wire_writer.h"
#include "transport/decode.h"
#include "transport/unary.h"

#define FORGET(member) offsetof(struct sfl_forget, member)
static const struct sfl_field fields[] = {
    {1, SFL_FIELD_TEXT, FORGET(group), .name = "group"},
    {2, SFL_FIELD_BYTES, FORGET(key), .name = "key"},
    {3, SFL_FIELD_BOOL, FORGET(if_unshared), .name = "if_unshared"},
    {4, SFL_FIELD_BOOL, FORGET(end), .name = "end"},
    {5, SFL_FIELD_TEXT, FORGET(name), .name = "caller"},
};
static const struct sfl_schema schema = {.name = "ForgetRequest", SFL_SCHEMA_FIELDS(fields)};

static void handle(struct sfl_transport *transport, struct sfl_admit *admit,
                   struct sfl_span request, struct sfl_answer *answer)
{
    struct sfl_forget forget = {.if_unshared = false};
    struct sfl_fault fault = {0};
    if (!sfl_schema_read(&schema, request, &forget, &fault) || fault.what != NULL) {
        sfl_answer_fault(answer, &fault);
        return;
    }
    forget.group = sfl_group_or_default(forget.group);
    struct sfl_refusal refusal =
        sfl_admit_check(admit, forget.end ? SFL_RIGHT_END : SFL_RIGHT_FORGET, forget.group);
    if (refusal.reason == SFL_REASON_NONE)
        refusal = sfl_limits_check_key(transport->limits, forget.group, forget.key);
    if (refusal.reason == SFL_REASON_NONE)
        refusal = sfl_limits_check_name(forget.name);
    if (refusal.reason != SFL_REASON_NONE) {
        sfl_answer_refusal(answer, &refusal);
        return;
    }
    struct sfl_forgotten forgotten = sfl_engine_forget(transport->engine, &forget);
    sfl_admit_note_forget(admit, &forget, &forgotten);
    uint8_t *at = sfl_wire_put_number(answer->message, 1, forgotten.flight);
    at = sfl_wire_put_number(at, 2, forgotten.retained);
    at = sfl_wire_put_number(at, 3, forgotten.ended);
    answer->size = (size_t)(at - answer->message);
    // Also when nothing was retained: somebody else may have forgotten it a moment ago.
    answer->is_to_last = true;
}

void sfl_forget_on_call(void *context, struct sfl_stream *stream,
                        const struct sfl_stream_events **events_out, void **stream_context_out)
{
    sfl_unary_serve(context, handle, true, stream, events_out, stream_context_out);
}
