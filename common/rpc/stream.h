// SPDX-License-Identifier: Apache-2.0
// One RPC, seen from either side, as a stream of messages. Unary calls are streams of one message.
//
// Threads: the events of one stream are called one at a time, on the pump thread that the stream
// belongs to, never while a lock of this folder is held. The functions may be called from any
// thread, with two rules: one send at a time (from sfl_stream_send until on_sent), and nothing
// after sfl_stream_finish but sfl_stream_cancel, sfl_stream_peer and sfl_stream_unref.
#ifndef SFL_RPC_STREAM_H
#define SFL_RPC_STREAM_H

#include "base/bytes.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct sfl_stream;

enum { SFL_CODES = 17 }; // statuses of an RPC, from 0

// An event whose function is NULL is not told.
struct sfl_stream_events {
    // A whole message. `message` is borrowed until the call returns; reading goes on after it.
    // On a server, none comes after sfl_stream_finish (but one may be under way on the pump thread
    // while another thread calls it).
    void (*on_message)(void *context, struct sfl_span message);
    // The peer sends no more messages, and did so in good order: not called when it cancelled or
    // vanished, nor after sfl_stream_finish. On a client: never called (on_closed tells the end).
    void (*on_half_close)(void *context);
    // The message of the last sfl_stream_send has been taken by the transport (which does not mean
    // that the peer has it): the next may begin. Exactly once for each send that returned SFL_OK,
    // unless the stream ends first: then it does not come, and on_closed does. Not called for the
    // message of sfl_stream_finish.
    void (*on_sent)(void *context);
    // The RPC is over, called exactly once; the stream calls nothing any more after it. On a
    // server: `code` is 0 when our own status was given and gRPC took it, 1 (CANCELLED) when the
    // peer cancelled or vanished, its deadline passed, or sfl_stream_cancel ended it, and another
    // one, which the peer sees too, when a message was too large or could not be decompressed;
    // `text` is empty. On a client: the status that the server or gRPC gave, or that of
    // sfl_stream_cancel; `text` is borrowed until the call returns. Never 0 on a client that
    // cancelled before, or whose deadline has passed: so 0 means that every message has been told.
    void (*on_closed)(void *context, int code, const char *text);
};

// A part of a message to send. The bytes are copied when `release` is NULL; otherwise they are only
// referred to, and release(owner) is called once, on any thread, when they are needed no more: that
// may be before the function that took the piece returns (short pieces are copied in any case).
struct sfl_piece {
    struct sfl_span bytes;
    void (*release)(void *owner);
    void *owner;
};

// Sends one message made of `count` pieces (none: an empty message). The owners of the pieces are
// taken, also on failure. SFL_UNAVAILABLE when the stream is over (on_closed has been or will be
// called; no on_sent comes).
enum sfl_status sfl_stream_send(struct sfl_stream *stream, const struct sfl_piece *pieces,
                                size_t count) SFL_MUST_USE;

// Server only. Ends the RPC with a status, after one last message when `count` is above 0: message
// and status leave in one batch. The owners of the pieces are taken. `text` is copied; NULL for
// none. No send may be under way. on_closed follows, also when the peer has gone already. May be
// called from any event of the stream but on_closed, and from on_call.
void sfl_stream_finish(struct sfl_stream *stream, const struct sfl_piece *pieces, size_t count,
                       int code, const char *text);

// Client only. Says that no more messages come. No send may be under way.
void sfl_stream_half_close(struct sfl_stream *stream);

// Server only, on the stream's thread. From pause, which only on_message may call, no event brings
// a message or the half-close until resume: the peer is slowed by gRPC's flow control. The end of
// the stream is told meanwhile. Resume does nothing when the stream is not paused, or over.
void sfl_stream_pause(struct sfl_stream *stream);
void sfl_stream_resume(struct sfl_stream *stream);

// Ends the RPC at once from this side, whatever is under way; messages that are not on the wire yet
// may be lost. A server's peer sees `code` (not 0) and `text`; a client's sees a cancelled call,
// and `code` and `text` go to the client's own on_closed. `text` is copied. on_closed follows.
// Nothing happens when the end has come already. May be called as long as a reference is held, also
// after sfl_stream_finish, from any thread, at the same time as anything else.
void sfl_stream_cancel(struct sfl_stream *stream, int code, const char *text);

// Milliseconds of the monotonic clock at which the RPC's deadline passes; UINT64_MAX without one.
uint64_t sfl_stream_deadline_ms(const struct sfl_stream *stream);

// One entry of an RPC's initial metadata. Keys are lower case.
struct sfl_metadata {
    const char *key;
    struct sfl_span value;
};

// Server only, while on_call runs: the value that the client sent with this key, the first one when
// there are several; borrowed until on_call returns. `data` is NULL when there is none.
struct sfl_span sfl_stream_metadata(const struct sfl_stream *stream, const char *key);

// The peer's address as gRPC writes it, such as "ipv4:127.0.0.1:5000" or "unix:"; to be freed with
// free(). NULL when there is no memory.
char *sfl_stream_peer(struct sfl_stream *stream);

struct sfl_stream *sfl_stream_ref(struct sfl_stream *stream);

// The owner's reference may be dropped at any time after on_closed, or before, when the context
// outlives on_closed in some other way. All references must be gone before the pumps are destroyed.
void sfl_stream_unref(struct sfl_stream *stream);

#endif
