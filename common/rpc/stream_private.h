// SPDX-License-Identifier: Apache-2.0
// Private to common/rpc: what a stream consists of, for the two sides that make streams.
#ifndef SFL_RPC_STREAM_PRIVATE_H
#define SFL_RPC_STREAM_PRIVATE_H

#include "base/counter.h"
#include "rpc/operation_private.h"
#include "rpc/silence_private.h"
#include "rpc/stream.h"

#include <grpc/grpc.h>

#include <stdatomic.h>

// What the maker of a stream wants to know. Either function may be NULL.
struct sfl_stream_owner {
    // The RPC is over, on_closed has returned. Pump thread.
    void (*on_over)(void *owner);
    // Nothing refers to the stream any more. Any thread.
    void (*on_free)(void *owner);
};

// `state` counts the batches under way and carries flags. All batches are done on the pump thread;
// they are started there or, for what is sent, by whoever sends. A batch may be started only while
// the stream is not over, which one compare-and-swap sees to; so once the stream is over the count
// only falls.
//
// While a server reads, `read` tells that the peer has gone: it comes back empty. Only then, or
// when the status is given, does it wait for `close`, if it can in the batch that gives the status:
// Debian's libgrpc looks for every completion's tag among all that are outstanding on its queue, so
// one for each of many callers that wait is enough.
//
// on_closed is called when `close` and the last `read` are done. It does not wait for what is being
// sent, unless that is short and the last: gRPC gives it back only when the write to the socket
// returns, which it does not while the peer's machine is frozen.
//
// Lifetime: one reference is the RPC's own, from its beginning until every batch is done, the
// others are the callers'. The gRPC call lives as long as the stream, so that a late cancel or
// question for the peer is harmless.
struct sfl_stream {
    atomic_uint references;
    atomic_uint state;
    atomic_int cancel_code; // of the first sfl_stream_cancel; 0: none
    bool is_server;
    bool metadata_is_sent; // server; belongs to whoever may send
    grpc_call *call;

    // Pump thread only, once the RPC has begun.
    const struct sfl_stream_events *events;
    void *context;
    bool is_reading; // `read` is under way
    bool is_paused;  // server: the callee wants no message for now
    bool holds_read; // and `read` is not under way for that, but counted
    bool has_ended;  // `close` is done, or a `write` that stands for it
    bool write_awaits_close;
    struct sfl_silence_part silence;  // server
    const grpc_metadata_array *asked; // server, while on_call runs: what came with the RPC

    const struct sfl_stream_owner *owner_calls;
    void *owner;
    uint64_t deadline_ms;
    uint64_t message_bytes_max; // of a message that comes in; 0 = no limit

    struct sfl_operation begin;      // client: RECV_INITIAL_METADATA, SEND_ too without a message
    struct sfl_operation read;       // RECV_MESSAGE
    struct sfl_operation write;      // SEND_MESSAGE; of a server the status, and maybe the end
    struct sfl_operation half_close; // client: SEND_CLOSE_FROM_CLIENT
    struct sfl_operation close;      // the end: RECV_CLOSE_ON_SERVER, RECV_STATUS_ON_CLIENT
    struct sfl_pump_work cleanup;    // once nothing refers to the stream
    grpc_byte_buffer *incoming;      // filled by `read`
    grpc_byte_buffer *outgoing;      // held for `write`

    // What `close` fills in.
    int cancelled;         // server
    int refused_code;      // above 0: a message could not be taken, and so the RPC was ended
    int given_code;        // server: by sfl_stream_finish
    sfl_counter *handled;  // server: where its end is counted, by code
    grpc_status_code code; // client, and what follows
    grpc_slice text;
    grpc_metadata_array initial_metadata; // (by `begin`)
    grpc_metadata_array trailing_metadata;
};

// A stream for an RPC that a server was given. Takes `call` on success; the caller of this calls
// sfl_stream_serve before it leaves the pump thread.
// Two references: the RPC's and the callee's. NULL when there is no memory.
struct sfl_stream *sfl_stream_accept(grpc_call *call, gpr_timespec deadline,
                                     uint64_t message_bytes_max,
                                     const struct sfl_stream_owner *owner_calls, void *owner);

// Sets where the events go, and begins to read. Pump thread.
void sfl_stream_serve(struct sfl_stream *stream, const struct sfl_stream_events *events,
                      void *context);

// What a client says with the beginning of its RPC, in one write.
struct sfl_stream_opening {
    const struct sfl_piece *pieces; // the first message; its owners are taken
    size_t count;
    bool has_message;
    bool is_last;            // no message comes after it
    grpc_metadata *metadata; // which lives as long as the stream
    size_t metadata_count;
};

// A stream for an RPC that a client begins. Takes `call`, also when there is no memory (NULL).
// Two references: the RPC's and the caller's.
struct sfl_stream *sfl_stream_begin(grpc_call *call, uint64_t deadline_ms,
                                    uint64_t message_bytes_max,
                                    const struct sfl_stream_opening *opening,
                                    const struct sfl_stream_events *events, void *context,
                                    const struct sfl_stream_owner *owner_calls, void *owner);

#endif
