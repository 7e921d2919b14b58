// SPDX-License-Identifier: Apache-2.0
// Frames of several calls, gathered into one SessionRequest of bounded size.
#ifndef SFL_CLIENT_FRAMES_H
#define SFL_CLIENT_FRAMES_H

#include "base/bytes.h"
#include "base/status.h"
#include "singleflight/v1/singleflight.pb-c.h"

// A message is full when it has reached the first; a frame is at most about the second plus the
// caps on texts, so a message stays below 1 MiB. One chunk is at most the third, so that the chunks
// of several large values take turns.
#define SFL_FRAMES_FULL_BYTES ((size_t)512 * 1024)
#define SFL_FRAMES_DETAILS_BYTES_MAX ((size_t)64 * 1024)
#define SFL_FRAMES_CHUNK_BYTES_MAX ((size_t)64 * 1024)

// All zero is an empty one.
struct sfl_frames {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

// Adds one frame. SFL_NO_MEMORY: nothing was added.
enum sfl_status sfl_frames_add(struct sfl_frames *frames,
                               const Singleflight__V1__CallRequest *frame) SFL_MUST_USE;

// Whether another frame may travel in this message.
bool sfl_frames_has_room(const struct sfl_frames *frames);

// Hands the message over, to be freed with free(); leaves `frames` empty.
struct sfl_span sfl_frames_take(struct sfl_frames *frames);

void sfl_frames_deinit(struct sfl_frames *frames);

#endif
