// SPDX-License-Identifier: Apache-2.0
// One outgoing message while it is built: small things are copied into one buffer, large ones are
// referred to. Lives on the stack of the thread that sends it.
#ifndef SFL_TRANSPORT_MESSAGE_H
#define SFL_TRANSPORT_MESSAGE_H

#include "rpc/stream.h"
#include "rpc/wire_writer.h"

#include <assert.h>

enum {
    SFL_MESSAGE_BYTES_MAX = 4 * 1024 * 1024, // no message to a client is larger
    SFL_MESSAGE_PIECES = 128,
    SFL_MESSAGE_SCRATCH = 64 * 1024,
    SFL_MESSAGE_COPY_MAX = 2048, // references to less than this are not worth it
    SFL_MESSAGE_ROUND_BYTES = 8 * 1024,
    SFL_STATUS_TEXT_MAX = 512,
};

struct sfl_message {
    size_t piece_count;
    size_t scratch_used;
    size_t run_start;   // scratch from here to scratch_used is in no piece yet
    size_t bytes;       // of the whole message
    bool is_empty;      // nothing was put into it, not even a message of no bytes
    bool may_have_more; // false: after this message there is nothing to say until the next wake
    int code;           // when the stream is to be finished: how
    char text[SFL_STATUS_TEXT_MAX];
    struct sfl_piece pieces[SFL_MESSAGE_PIECES];
    uint8_t scratch[SFL_MESSAGE_SCRATCH];
};

// Makes an empty message.
void sfl_message_init(struct sfl_message *message);

// True while there surely is room for replies of SFL_MESSAGE_ROUND_BYTES in all, and one more of
// any size.
bool sfl_message_has_room(const struct sfl_message *message);

// Where to write the next bytes, at most `size` of them, for which there must be room; what was
// written is added by sfl_message_commit, with the place after it.
static inline uint8_t *sfl_message_room(struct sfl_message *message, size_t size)
{
    assert(size <= SFL_MESSAGE_SCRATCH - message->scratch_used);
    return message->scratch + message->scratch_used;
}

static inline void sfl_message_commit(struct sfl_message *message, const uint8_t *end)
{
    size_t used = (size_t)(end - message->scratch);
    message->bytes += used - message->scratch_used;
    message->scratch_used = used;
    message->is_empty = false;
}

// Adds a copy of bytes, for which there must be room.
void sfl_message_copy(struct sfl_message *message, const void *data, size_t size);

// Adds bytes that `release(owner)` gives back; takes the owner. Short ones are copied.
void sfl_message_refer(struct sfl_message *message, struct sfl_span bytes,
                       void (*release)(void *owner), void *owner);

// Closes the last run of copied bytes: the pieces may be sent now.
void sfl_message_close(struct sfl_message *message);

// Says how the stream is finished. `text` is copied, and cut if it is too long.
void sfl_message_set_status(struct sfl_message *message, int code, const char *text);

#endif
