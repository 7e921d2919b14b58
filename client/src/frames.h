// SPDX-License-Identifier: Apache-2.0
// Frames of several calls, gathered into one SessionRequest of bounded size.
//
// They are written by hand, right into the message: protobuf-c would take more time for a frame
// than everything else that a call does here.
#ifndef SFL_CLIENT_FRAMES_H
#define SFL_CLIENT_FRAMES_H

#include "base/bytes.h"
#include "base/status.h"

// A message is full when it has reached the first; a frame is at most about the second plus the
// caps on texts, so a message stays below 1 MiB.
#define SFL_FRAMES_FULL_BYTES ((size_t)512 * 1024)

// All zero is an empty one.
struct sfl_frames {
    uint8_t *data;
    size_t size;
    size_t capacity;
    size_t last_size; // of the message before: the next one will be about as large
};

// All of these add one frame, of the call `id`. SFL_NO_MEMORY: nothing was added.

// What a join says that is not the same for all equal calls.
struct sfl_join_extras {
    uint64_t resume_token; // 0: none
    uint64_t timeout_ms;   // 0: none
    bool audience;
    struct sfl_span within; // fields of Join, written by sfl_join_put_within()
    struct sfl_span traceparent;
};

// `join` is a message Join but for `extras`, which is borrowed.
enum sfl_status sfl_frames_add_join(struct sfl_frames *frames, uint64_t id, struct sfl_span join,
                                    const struct sfl_join_extras *extras) SFL_MUST_USE;

// The caller fills in the `size` bytes at *data_out before it adds another frame.
enum sfl_status sfl_frames_add_chunk(struct sfl_frames *frames, uint64_t id, uint64_t sequence,
                                     size_t size, uint8_t **data_out) SFL_MUST_USE;

// `renew_id` 0: no answer is wanted.
enum sfl_status sfl_frames_add_renew(struct sfl_frames *frames, uint64_t id,
                                     uint64_t renew_id) SFL_MUST_USE;

// What a function ended with.
struct sfl_finish {
    int kind; // of the outcome
    int32_t code;
    struct sfl_span message;
    struct sfl_span type;
    struct sfl_span stack;
    struct sfl_span details;
    size_t value_bytes;
    bool has_retention;
    uint64_t retain_ms;
    bool passes_on;
};

// The caller fills in the value at *value_out before it adds another frame.
enum sfl_status sfl_frames_add_finish(struct sfl_frames *frames, uint64_t id,
                                      const struct sfl_finish *finish,
                                      uint8_t **value_out) SFL_MUST_USE;

enum sfl_status sfl_frames_add_cancel(struct sfl_frames *frames, uint64_t id) SFL_MUST_USE;

// Whether another frame may travel in this message.
bool sfl_frames_has_room(const struct sfl_frames *frames);

// Hands the message over, to be freed with free(); leaves `frames` empty.
struct sfl_span sfl_frames_take(struct sfl_frames *frames);

void sfl_frames_deinit(struct sfl_frames *frames);

#endif
