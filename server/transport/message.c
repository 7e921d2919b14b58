// SPDX-License-Identifier: Apache-2.0
#include "transport/message.h"

#include <assert.h>
#include <stdio.h>

enum {
    // What a round of small replies and one large one may take. Of the large one: its head, the
    // parts that are copied (the small blocks of an inline value, and texts), and for each other
    // part a piece, and a run before it.
    ROOM_SCRATCH = 16 * 1024,
    ROOM_PIECES = 56,
};

void sfl_message_init(struct sfl_message *message)
{
    message->piece_count = 0;
    message->scratch_used = 0;
    message->run_start = 0;
    message->bytes = 0;
    message->is_empty = true;
    message->may_have_more = true;
    message->code = 0;
    message->text[0] = '\0';
}

bool sfl_message_has_room(const struct sfl_message *message)
{
    return message->scratch_used <= SFL_MESSAGE_SCRATCH - ROOM_SCRATCH &&
           message->piece_count <= SFL_MESSAGE_PIECES - ROOM_PIECES;
}

static void add_piece(struct sfl_message *message, struct sfl_piece piece)
{
    assert(message->piece_count < SFL_MESSAGE_PIECES);
    message->pieces[message->piece_count++] = piece;
}

static void close_run(struct sfl_message *message)
{
    size_t size = message->scratch_used - message->run_start;
    if (size > 0)
        add_piece(message, (struct sfl_piece){
                               .bytes = sfl_span_of(message->scratch + message->run_start, size)});
    message->run_start = message->scratch_used;
}

void sfl_message_copy(struct sfl_message *message, const void *data, size_t size)
{
    uint8_t *at = sfl_message_room(message, size);
    if (size > 0)
        memcpy(at, data, size);
    sfl_message_commit(message, at + size);
}

void sfl_message_refer(struct sfl_message *message, struct sfl_span bytes,
                       void (*release)(void *owner), void *owner)
{
    if (bytes.size <= SFL_MESSAGE_COPY_MAX) {
        sfl_message_copy(message, bytes.data, bytes.size);
        release(owner);
        return;
    }
    message->is_empty = false;
    close_run(message);
    add_piece(message, (struct sfl_piece){.bytes = bytes, .release = release, .owner = owner});
    message->bytes += bytes.size;
}

void sfl_message_close(struct sfl_message *message)
{
    close_run(message);
    // A message of no bytes is a message too.
    if (message->piece_count == 0 && !message->is_empty)
        add_piece(message, (struct sfl_piece){.bytes = sfl_span_of(message->scratch, 0)});
}

void sfl_message_set_status(struct sfl_message *message, int code, const char *text)
{
    message->code = code;
    snprintf(message->text, sizeof(message->text), "%s", text);
}
