// SPDX-License-Identifier: Apache-2.0
#include "src/frames.h"

#include "rpc/wire.h"

#include <stdlib.h>

#define CALLS_FIELD 1 // SessionRequest.calls

enum sfl_status sfl_frames_add(struct sfl_frames *frames,
                               const Singleflight__V1__CallRequest *frame)
{
    size_t body_bytes = singleflight__v1__call_request__get_packed_size(frame);
    size_t needed = frames->size + 2 * SFL_WIRE_VARINT_MAX + body_bytes;
    if (needed > frames->capacity) {
        size_t capacity = frames->capacity * 2 > needed ? frames->capacity * 2 : needed;
        uint8_t *data = realloc(frames->data, capacity);
        if (data == NULL)
            return SFL_NO_MEMORY;
        frames->data = data;
        frames->capacity = capacity;
    }
    uint8_t *at = sfl_wire_put_length(frames->data + frames->size, CALLS_FIELD, body_bytes);
    at += singleflight__v1__call_request__pack(frame, at);
    frames->size = (size_t)(at - frames->data);
    return SFL_OK;
}

bool sfl_frames_has_room(const struct sfl_frames *frames)
{
    return frames->size < SFL_FRAMES_FULL_BYTES;
}

struct sfl_span sfl_frames_take(struct sfl_frames *frames)
{
    struct sfl_span message = sfl_span_of(frames->data, frames->size);
    *frames = (struct sfl_frames){0};
    return message;
}

void sfl_frames_deinit(struct sfl_frames *frames)
{
    free(frames->data);
    *frames = (struct sfl_frames){0};
}
