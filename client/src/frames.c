// SPDX-License-Identifier: Apache-2.0
#include "src/frames.h"

#include "rpc/wire_writer.h"

#include <stdlib.h>

// A message begins with so much room at least.
#define START_BYTES_MIN 1024

// The fields of proto/singleflight/v1/singleflight.proto.
enum {
    REQUEST_CALLS = 1, // of SessionRequest

    CALL_ID = 1, // of CallRequest
    CALL_JOIN = 2,
    CALL_CHUNK = 3,
    CALL_RENEW = 4,
    CALL_FINISH = 5,
    CALL_CANCEL = 6,
    CALL_TIMEOUT_MS = 15,

    JOIN_AUDIENCE = 5,
    JOIN_RESUME_TOKEN = 14,
    JOIN_DETACH = 16, // from here on two bytes of tag
    JOIN_TRACEPARENT = 20,

    RENEW_ID = 1,

    CHUNK_DATA = 1,
    CHUNK_SEQUENCE = 2,

    FINISH_OUTCOME = 1,
    FINISH_RETENTION = 2,
    FINISH_PASS_ON = 3,

    RETENTION_RETAIN_MS = 1,

    OUTCOME_KIND = 1,
    OUTCOME_VALUE = 2,
    OUTCOME_CODE = 3,
    OUTCOME_MESSAGE = 4,
    OUTCOME_TYPE = 5,
    OUTCOME_STACK = 6,
    OUTCOME_DETAILS = 7,
};

// -------------------------------------------------------------------------------------- building

// What a field takes; a number that is 0 and bytes that are none are not written.
static size_t number_size(uint64_t value)
{
    return value == 0 ? 0 : 1 + sfl_wire_varint_size(value);
}

// A message is written even if it is empty.
static size_t message_size(size_t size)
{
    return 1 + sfl_wire_varint_size(size) + size;
}

static bool make_room(struct sfl_frames *frames, size_t size)
{
    size_t needed = frames->size + size;
    if (needed <= frames->capacity)
        return true;
    size_t capacity = frames->capacity * 2;
    if (frames->capacity == 0)
        capacity = frames->last_size + frames->last_size / 4;
    if (capacity < START_BYTES_MIN)
        capacity = START_BYTES_MIN;
    if (capacity < needed)
        capacity = needed;
    uint8_t *data = realloc(frames->data, capacity);
    if (data == NULL)
        return false;
    frames->data = data;
    frames->capacity = capacity;
    return true;
}

// Begins a frame whose step has `step_bytes` bytes, to be written at *at_out; then `after_bytes`
// of the call's own fields follow. The frame counts as added.
static enum sfl_status begin(struct sfl_frames *frames, uint64_t id, unsigned step,
                             size_t step_bytes, size_t after_bytes, uint8_t **at_out)
{
    size_t body_bytes = number_size(id) + message_size(step_bytes) + after_bytes;
    size_t frame_bytes = message_size(body_bytes);
    if (!make_room(frames, frame_bytes))
        return SFL_NO_MEMORY;
    uint8_t *at = frames->data + frames->size;
    at = sfl_wire_put_length(at, REQUEST_CALLS, body_bytes);
    at = sfl_wire_put_number(at, CALL_ID, id);
    *at_out = sfl_wire_put_length(at, step, step_bytes);
    frames->size += frame_bytes;
    return SFL_OK;
}

// Of a number whose field has a tag of two bytes.
static size_t far_number_size(uint64_t value)
{
    return value == 0 ? 0 : 2 + sfl_wire_varint_size(value);
}

static size_t far_bytes_size(struct sfl_span bytes)
{
    return bytes.size == 0 ? 0 : 2 + sfl_wire_varint_size(bytes.size) + bytes.size;
}

static enum sfl_status add_empty(struct sfl_frames *frames, uint64_t id, unsigned step)
{
    uint8_t *at = NULL;
    return begin(frames, id, step, 0, 0, &at);
}

// ----------------------------------------------------------------------------------------- steps

enum sfl_status sfl_frames_add_join(struct sfl_frames *frames, uint64_t id, struct sfl_span join,
                                    const struct sfl_join_extras *extras)
{
    // Once it leads its time is kept here alone.
    bool detaches = extras->timeout_ms != 0;
    size_t step_bytes = join.size + number_size(extras->resume_token) +
                        number_size(extras->audience) + far_number_size(detaches) +
                        extras->within.size + far_bytes_size(extras->traceparent);
    uint8_t *at = NULL;
    enum sfl_status status =
        begin(frames, id, CALL_JOIN, step_bytes, number_size(extras->timeout_ms), &at);
    if (status != SFL_OK)
        return status;
    memcpy(at, join.data, join.size);
    at = sfl_wire_put_number(at + join.size, JOIN_RESUME_TOKEN, extras->resume_token);
    at = sfl_wire_put_number(at, JOIN_AUDIENCE, extras->audience);
    at = sfl_wire_put_number(at, JOIN_DETACH, detaches);
    if (extras->within.size > 0)
        memcpy(at, extras->within.data, extras->within.size);
    at = sfl_wire_put_bytes(at + extras->within.size, JOIN_TRACEPARENT, extras->traceparent);
    sfl_wire_put_number(at, CALL_TIMEOUT_MS, extras->timeout_ms);
    return SFL_OK;
}

enum sfl_status sfl_frames_add_chunk(struct sfl_frames *frames, uint64_t id, uint64_t sequence,
                                     size_t size, uint8_t **data_out)
{
    uint8_t *at = NULL;
    size_t step_bytes = number_size(sequence) + message_size(size);
    enum sfl_status status = begin(frames, id, CALL_CHUNK, step_bytes, 0, &at);
    if (status != SFL_OK)
        return status;
    at = sfl_wire_put_number(at, CHUNK_SEQUENCE, sequence);
    *data_out = sfl_wire_put_length(at, CHUNK_DATA, size);
    return SFL_OK;
}

enum sfl_status sfl_frames_add_renew(struct sfl_frames *frames, uint64_t id, uint64_t renew_id)
{
    uint8_t *at = NULL;
    enum sfl_status status = begin(frames, id, CALL_RENEW, number_size(renew_id), 0, &at);
    if (status == SFL_OK)
        sfl_wire_put_number(at, RENEW_ID, renew_id);
    return status;
}

enum sfl_status sfl_frames_add_cancel(struct sfl_frames *frames, uint64_t id)
{
    return add_empty(frames, id, CALL_CANCEL);
}

// A negative number is written as the 64 bits that it is.
static uint64_t wire_code(const struct sfl_finish *finish)
{
    return (uint64_t)(int64_t)finish->code;
}

static size_t outcome_size(const struct sfl_finish *finish)
{
    return number_size((uint64_t)finish->kind) + sfl_wire_bytes_size(finish->value_bytes) +
           number_size(wire_code(finish)) + sfl_wire_bytes_size(finish->message.size) +
           sfl_wire_bytes_size(finish->type.size) + sfl_wire_bytes_size(finish->stack.size) +
           sfl_wire_bytes_size(finish->details.size);
}

// Leaves the value's bytes to be filled in at *value_out, and returns the place after all.
static uint8_t *put_outcome(uint8_t *at, const struct sfl_finish *finish, uint8_t **value_out)
{
    at = sfl_wire_put_number(at, OUTCOME_KIND, (uint64_t)finish->kind);
    if (finish->value_bytes > 0)
        at = sfl_wire_put_length(at, OUTCOME_VALUE, finish->value_bytes);
    *value_out = at;
    at += finish->value_bytes;
    at = sfl_wire_put_number(at, OUTCOME_CODE, wire_code(finish));
    at = sfl_wire_put_bytes(at, OUTCOME_MESSAGE, finish->message);
    at = sfl_wire_put_bytes(at, OUTCOME_TYPE, finish->type);
    at = sfl_wire_put_bytes(at, OUTCOME_STACK, finish->stack);
    return sfl_wire_put_bytes(at, OUTCOME_DETAILS, finish->details);
}

enum sfl_status sfl_frames_add_finish(struct sfl_frames *frames, uint64_t id,
                                      const struct sfl_finish *finish, uint8_t **value_out)
{
    uint8_t *at = NULL;
    size_t outcome_bytes = outcome_size(finish);
    size_t retention_bytes = number_size(finish->retain_ms);
    size_t step_bytes = message_size(outcome_bytes) + number_size(finish->passes_on) +
                        (finish->has_retention ? message_size(retention_bytes) : 0);
    enum sfl_status status = begin(frames, id, CALL_FINISH, step_bytes, 0, &at);
    if (status != SFL_OK)
        return status;
    at = sfl_wire_put_length(at, FINISH_OUTCOME, outcome_bytes);
    at = put_outcome(at, finish, value_out);
    if (finish->has_retention) {
        at = sfl_wire_put_length(at, FINISH_RETENTION, retention_bytes);
        at = sfl_wire_put_number(at, RETENTION_RETAIN_MS, finish->retain_ms);
    }
    sfl_wire_put_number(at, FINISH_PASS_ON, finish->passes_on);
    return SFL_OK;
}

// ------------------------------------------------------------------------------------ the message

bool sfl_frames_has_room(const struct sfl_frames *frames)
{
    return frames->size < SFL_FRAMES_FULL_BYTES;
}

struct sfl_span sfl_frames_take(struct sfl_frames *frames)
{
    struct sfl_span message = sfl_span_of(frames->data, frames->size);
    *frames = (struct sfl_frames){.last_size = message.size};
    return message;
}

void sfl_frames_deinit(struct sfl_frames *frames)
{
    free(frames->data);
    *frames = (struct sfl_frames){0};
}
