// SPDX-License-Identifier: Apache-2.0
// One RPC, seen from either side, as a stream of messages. Unary calls are streams of one message.
//
// Threads: the events of one stream are called one at a time, on the pump thread that the stream
// belongs to. The functions may be called from any thread, with two rules: one send at a time (from
// sfl_stream_send until on_sent), and nothing after sfl_stream_finish but sfl_stream_unref.
#ifndef SFL_RPC_STREAM_H
#define SFL_RPC_STREAM_H

#include "base/bytes.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct sfl_stream;

struct sfl_stream_events {
    // A whole message. `message` is borrowed until the call returns; reading goes on after it.
    void (*on_message)(void *context, struct sfl_span message);
    // The peer sends no more messages. On a client: never called (on_closed tells the end).
    void (*on_half_close)(void *context);
    // The send under way is done (or will never be, then on_closed follows): the next may begin.
    void (*on_sent)(void *context);
    // The RPC is over, called exactly once. On a server: `code` is 0 when our own status went out,
    // 1 (CANCELLED) when the peer cancelled, vanished, or its deadline passed. On a client: the
    // status that the server or gRPC gave, `text` borrowed until the call returns.
    // After it the stream calls nothing any more, but an on_sent may still come before it only.
    void (*on_closed)(void *context, int code, const char *text);
};

// A part of a message to send. The bytes are copied when `release` is NULL; otherwise they are only
// referred to, and release(owner) is called once, on any thread, when gRPC needs them no more.
struct sfl_piece {
    struct sfl_span bytes;
    void (*release)(void *owner);
    void *owner;
};

// Sends one message made of `count` pieces. The owners of the pieces are taken, also on failure.
// SFL_UNAVAILABLE when the stream is over (on_closed has been or will be called; no on_sent comes).
enum sfl_status sfl_stream_send(struct sfl_stream *stream, const struct sfl_piece *pieces,
                                size_t count) SFL_MUST_USE;

// Server only. Ends the RPC with a status, after one last message when `count` is above 0: message
// and status leave in one batch. `text` is copied. No send may be under way. on_closed follows.
void sfl_stream_finish(struct sfl_stream *stream, const struct sfl_piece *pieces, size_t count,
                       int code, const char *text);

// Client only. Says that no more messages come. No send may be under way.
void sfl_stream_half_close(struct sfl_stream *stream);

// Ends the RPC at once from this side, whatever is under way; messages that are not on the wire yet
// may be lost. The peer sees `code` and `text` (static storage). on_closed follows. May be called
// at any time before on_closed, also after sfl_stream_finish.
void sfl_stream_cancel(struct sfl_stream *stream, int code, const char *text);

// Milliseconds of the monotonic clock at which the RPC's deadline passes; UINT64_MAX without one.
uint64_t sfl_stream_deadline_ms(const struct sfl_stream *stream);

// The peer's address as gRPC writes it, such as "ipv4:127.0.0.1:5000" or "unix:"; to be freed with
// free(). NULL when there is no memory.
char *sfl_stream_peer(struct sfl_stream *stream);

struct sfl_stream *sfl_stream_ref(struct sfl_stream *stream);

// The owner's reference may be dropped at any time after on_closed.
void sfl_stream_unref(struct sfl_stream *stream);

#endif
