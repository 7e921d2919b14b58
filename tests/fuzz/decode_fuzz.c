// SPDX-License-Identifier: Apache-2.0
// Bytes of clients through the decoding of requests. The first byte says which message the rest is.
// What is read must lie within the message; and what protobuf-c makes of the same bytes, written
// anew in its plain form, must be read as the same.
#include "singleflight/v1/singleflight.pb-c.h"
#include "transport/decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "decode_fuzz:%d: %s\n", __LINE__, #condition);                         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static uint64_t touched; // so that every byte of a span is read

static void check_within(struct sfl_span message, struct sfl_span part)
{
    if (part.size == 0)
        return;
    CHECK(part.data >= message.data && part.data + part.size <= message.data + message.size);
    for (size_t i = 0; i < part.size; i++)
        touched += part.data[i];
}

static void check_join(struct sfl_span message, const struct sfl_request *request)
{
    const struct sfl_join *join = &request->join;
    if (join->group.size != strlen("default") || memcmp(join->group.data, "default", 7) != 0)
        check_within(message, join->group);
    check_within(message, join->key);
    check_within(message, join->fingerprint);
    check_within(message, join->name);
    check_within(message, request->traceparent);
    CHECK(join->within_count <= SFL_WITHIN_MAX);
    for (uint32_t i = 0; i < join->within_count; i++) {
        check_within(message, join->within[i].key);
        CHECK(join->within[i].group.size > 0);
        touched += join->within[i].group.data[0];
    }
}

static void check_finish(struct sfl_span message, const struct sfl_posted_finish *finish)
{
    check_within(message, finish->outcome.value);
    check_within(message, finish->outcome.message);
    check_within(message, finish->outcome.type);
    check_within(message, finish->outcome.stack);
    check_within(message, finish->outcome.details);
    struct sfl_bytes *texts = NULL;
    CHECK(sfl_encode_texts(&finish->outcome, &texts));
    // What goes out is the same message Outcome, without kind and value.
    struct sfl_span span = sfl_bytes_span(texts);
    Singleflight__V1__Outcome *outcome =
        singleflight__v1__outcome__unpack(NULL, span.size, span.data);
    CHECK(outcome != NULL);
    CHECK(outcome->code == finish->outcome.code);
    CHECK(outcome->details.len == finish->outcome.details.size);
    CHECK(outcome->value.len == 0 && outcome->kind == 0);
    singleflight__v1__outcome__free_unpacked(outcome, NULL);
    sfl_bytes_unref(texts);
}

static void check_request(struct sfl_span message, const struct sfl_request *request)
{
    char text[SFL_FAULT_TEXT_MAX];
    sfl_fault_text(&request->fault, text);
    CHECK(memchr(text, '\0', sizeof(text)) != NULL);
    switch ((enum sfl_request_type)request->type) {
    case SFL_REQUEST_NONE:
        CHECK(request->fault.what != NULL);
        break;
    case SFL_REQUEST_JOIN:
        check_join(message, request);
        break;
    case SFL_REQUEST_CHUNK:
        check_within(message, request->chunk.data);
        break;
    case SFL_REQUEST_FINISH:
        check_finish(message, &request->finish);
        break;
    case SFL_REQUEST_RENEW:
    case SFL_REQUEST_CANCEL:
        break;
    }
}

// The same, as protobuf-c sees it.

static void same_bytes(struct sfl_span ours, const ProtobufCBinaryData *theirs)
{
    CHECK(ours.size == theirs->len);
    CHECK(ours.size == 0 || memcmp(ours.data, theirs->data, ours.size) == 0);
}

static void same_text(struct sfl_span ours, const char *theirs)
{
    CHECK(sfl_span_equal(ours, sfl_span_of_text(theirs)));
}

static void same_join(const struct sfl_request *request, const Singleflight__V1__Join *theirs)
{
    const struct sfl_join *ours = &request->join;
    same_text(request->traceparent, theirs->traceparent);
    same_text(ours->group, theirs->group[0] == '\0' ? "default" : theirs->group);
    same_bytes(ours->key, &theirs->key);
    same_bytes(ours->fingerprint, &theirs->fingerprint);
    same_text(ours->name, theirs->caller);
    CHECK((int)ours->role == (int)theirs->role);
    CHECK((int)ours->on_leader_loss == (int)theirs->on_leader_loss);
    CHECK(ours->live == theirs->live && ours->audience == theirs->audience);
    CHECK(ours->max_attempts == theirs->max_attempts);
    CHECK(ours->retain_ms == theirs->retain_ms);
    CHECK(ours->retain_error_ms == theirs->retain_error_ms);
    CHECK(ours->max_age_ms == theirs->max_age_ms);
    CHECK(ours->lease_ms == theirs->lease_ms);
    CHECK(ours->run_limit_ms == theirs->run_limit_ms);
    CHECK(ours->resume_token == theirs->resume_token);
    CHECK(ours->detach == theirs->detach && ours->fresh == theirs->fresh);
    CHECK(ours->retain_from_lead == theirs->retain_from_lead);
    CHECK(ours->within_count == theirs->n_within);
    for (uint32_t i = 0; i < ours->within_count; i++) {
        const Singleflight__V1__LeadRef *lead = theirs->within[i];
        same_text(ours->within[i].group, lead->group[0] == '\0' ? "default" : lead->group);
        same_bytes(ours->within[i].key, &lead->key);
        CHECK(ours->within[i].token == lead->token);
    }
}

static void same_chunk(const struct sfl_chunk *ours, const Singleflight__V1__Chunk *theirs)
{
    same_bytes(ours->data, &theirs->data);
    CHECK(ours->sequence == theirs->sequence);
}

static void same_finish(const struct sfl_posted_finish *ours,
                        const Singleflight__V1__Finish *theirs)
{
    static const Singleflight__V1__Outcome none = SINGLEFLIGHT__V1__OUTCOME__INIT;
    const Singleflight__V1__Outcome *outcome = theirs->outcome == NULL ? &none : theirs->outcome;
    CHECK(ours->pass_on == theirs->pass_on);
    CHECK(ours->has_retention == (theirs->retention != NULL));
    CHECK(ours->retention_ms == (theirs->retention == NULL ? 0 : theirs->retention->retain_ms));
    CHECK(ours->outcome.kind == (int)outcome->kind);
    CHECK(ours->outcome.code == outcome->code);
    same_bytes(ours->outcome.value, &outcome->value);
    same_text(ours->outcome.message, outcome->message);
    same_text(ours->outcome.type, outcome->type);
    same_text(ours->outcome.stack, outcome->stack);
    same_bytes(ours->outcome.details, &outcome->details);
}

static void same_do(const struct sfl_request *ours, const Singleflight__V1__DoRequest *theirs)
{
    switch ((int)theirs->step_case) { // protobuf-c has enumerators beside the real ones
    case SINGLEFLIGHT__V1__DO_REQUEST__STEP_JOIN:
        CHECK(ours->type == SFL_REQUEST_JOIN);
        same_join(ours, theirs->join);
        break;
    case SINGLEFLIGHT__V1__DO_REQUEST__STEP_CHUNK:
        CHECK(ours->type == SFL_REQUEST_CHUNK);
        same_chunk(&ours->chunk, theirs->chunk);
        break;
    case SINGLEFLIGHT__V1__DO_REQUEST__STEP_RENEW:
        CHECK(ours->type == SFL_REQUEST_RENEW);
        CHECK(ours->renew.id == theirs->renew->id);
        break;
    case SINGLEFLIGHT__V1__DO_REQUEST__STEP_FINISH:
        CHECK(ours->type == SFL_REQUEST_FINISH);
        same_finish(&ours->finish, theirs->finish);
        break;
    default:
        CHECK(ours->type == SFL_REQUEST_NONE);
        break;
    }
}

static void same_call(const struct sfl_request *ours, const Singleflight__V1__CallRequest *theirs)
{
    CHECK(ours->id == theirs->id);
    CHECK(ours->timeout_ms == theirs->timeout_ms);
    switch ((int)theirs->step_case) { // protobuf-c has enumerators beside the real ones
    case SINGLEFLIGHT__V1__CALL_REQUEST__STEP_JOIN:
        CHECK(ours->type == SFL_REQUEST_JOIN);
        same_join(ours, theirs->join);
        break;
    case SINGLEFLIGHT__V1__CALL_REQUEST__STEP_CHUNK:
        CHECK(ours->type == SFL_REQUEST_CHUNK);
        same_chunk(&ours->chunk, theirs->chunk);
        break;
    case SINGLEFLIGHT__V1__CALL_REQUEST__STEP_RENEW:
        CHECK(ours->type == SFL_REQUEST_RENEW);
        CHECK(ours->renew.id == theirs->renew->id);
        break;
    case SINGLEFLIGHT__V1__CALL_REQUEST__STEP_FINISH:
        CHECK(ours->type == SFL_REQUEST_FINISH);
        same_finish(&ours->finish, theirs->finish);
        break;
    case SINGLEFLIGHT__V1__CALL_REQUEST__STEP_CANCEL:
        CHECK(ours->type == SFL_REQUEST_CANCEL);
        break;
    default:
        CHECK(ours->type == SFL_REQUEST_NONE);
        break;
    }
}

// The message in its plain form: each field once, in order. The caller frees it.
static struct sfl_span pack(const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = malloc(size + 1);
    CHECK(bytes != NULL);
    CHECK(protobuf_c_message_pack(message, bytes) == size);
    return sfl_span_of(bytes, size);
}

static void fuzz_do(struct sfl_span message)
{
    struct sfl_request request;
    bool is_read = sfl_decode_do(message, &request);
    if (is_read)
        check_request(message, &request);
    else
        CHECK(request.fault.what != NULL);
    if (!is_read)
        return; // protobuf-c takes more than it should, such as a field with the number 0

    Singleflight__V1__DoRequest *theirs =
        singleflight__v1__do_request__unpack(NULL, message.size, message.data);
    if (theirs == NULL)
        return;
    struct sfl_span plain = pack(&theirs->base);
    CHECK(sfl_decode_do(plain, &request));
    if (request.fault.what == NULL || request.type == SFL_REQUEST_NONE)
        same_do(&request, theirs);
    free((void *)plain.data);
    singleflight__v1__do_request__free_unpacked(theirs, NULL);
}

static void fuzz_session(struct sfl_span message)
{
    struct sfl_request request;
    struct sfl_span rest = message;
    size_t left = message.size;
    while (sfl_decode_session_next(&rest, &request)) {
        CHECK(rest.size < left); // so it comes to an end
        left = rest.size;
        check_request(message, &request);
    }
    if (request.fault.what != NULL)
        return; // protobuf-c takes more than it should, such as a field with the number 0

    Singleflight__V1__SessionRequest *theirs =
        singleflight__v1__session_request__unpack(NULL, message.size, message.data);
    if (theirs == NULL)
        return;
    struct sfl_span plain = pack(&theirs->base);
    rest = plain;
    for (size_t i = 0; i < theirs->n_calls; i++) {
        CHECK(sfl_decode_session_next(&rest, &request));
        if (request.fault.what == NULL || request.type == SFL_REQUEST_NONE)
            same_call(&request, theirs->calls[i]);
    }
    CHECK(!sfl_decode_session_next(&rest, &request));
    CHECK(request.fault.what == NULL);
    free((void *)plain.data);
    singleflight__v1__session_request__free_unpacked(theirs, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0)
        return 0;
    if (bytes[0] % 2 == 0)
        fuzz_do(sfl_span_of(bytes + 1, size - 1));
    else
        fuzz_session(sfl_span_of(bytes + 1, size - 1));
    return 0;
}
