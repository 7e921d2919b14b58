// SPDX-License-Identifier: Apache-2.0
// The client side of gRPC: a channel to one server, on which streams are opened.
#ifndef SFL_RPC_CHANNEL_H
#define SFL_RPC_CHANNEL_H

#include "rpc/pump.h"
#include "rpc/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sfl_channel;

// TLS to the server. Texts in PEM, borrowed; whether they hold together is for the caller to know.
struct sfl_channel_tls {
    const char *ca;   // whom to trust; NULL: whom the system trusts
    const char *cert; // the client's own certificate and its key; NULL: it shows none
    const char *key;
    const char *server_name; // the name that the server's certificate must have; NULL: the target's
};

struct sfl_channel_options {
    struct sfl_pump *pump;               // where the events of its streams are called
    uint64_t message_bytes_max;          // larger incoming messages end their RPC; 0 = no limit
    uint64_t keepalive_time_ms;          // silence before it pings the server; 0 = no pings
    uint64_t keepalive_timeout_ms;       // how long a ping may stay unanswered
    bool own_connection;                 // do not share a connection with an equal channel
    const struct sfl_metadata *metadata; // that every RPC brings; copied
    size_t metadata_count;
    const struct sfl_channel_tls *tls; // NULL: not encrypted
};

// Makes a channel to `target` ("host:port", "unix:/path", any gRPC target name). Connects when the
// first stream asks for it. SFL_INVALID_ARGUMENT for a target that gRPC cannot read, and for
// metadata that HTTP does not carry.
enum sfl_status sfl_channel_create(const char *target, const struct sfl_channel_options *options,
                                   struct sfl_channel **channel_out) SFL_MUST_USE;

// Closes it once its streams are over and released. Any thread.
void sfl_channel_destroy(struct sfl_channel *channel);

// What every RPC brings from now on, instead; copied. SFL_INVALID_ARGUMENT: HTTP does not carry it,
// and nothing has changed. No other thread may open an RPC at the same time.
enum sfl_status sfl_channel_set_metadata(struct sfl_channel *channel,
                                         const struct sfl_metadata *metadata,
                                         size_t count) SFL_MUST_USE;

// Forgets how long gRPC wanted to wait before it connects again.
void sfl_channel_reset_backoff(struct sfl_channel *channel);

// Whether the last try to connect has failed (refused, not to be found, …), and none has succeeded
// since: what ended with UNAVAILABLE then never reached a server. The channel's pump thread.
bool sfl_channel_is_failing(struct sfl_channel *channel);

// Whether a connection is there. The channel's pump thread.
bool sfl_channel_is_connected(struct sfl_channel *channel);

// Opens an RPC. `path` has static storage. `deadline_ms` is of the monotonic clock, UINT64_MAX for
// none. Without a connection it fails soon with UNAVAILABLE through on_closed (no wait-for-ready).
// Returns the caller's reference; NULL when there is no memory. Any thread; on another than the
// channel's pump thread, events may come before this returns.
struct sfl_stream *sfl_channel_open(struct sfl_channel *channel, const char *path,
                                    uint64_t deadline_ms, const struct sfl_stream_events *events,
                                    void *context);

// The same, and the first message goes out with the beginning in one write, which saves one each;
// the half-close too when `is_last` (a unary call). A send is under way then, until on_sent. The
// owners of the pieces are taken, also on failure.
struct sfl_stream *sfl_channel_open_with(struct sfl_channel *channel, const char *path,
                                         uint64_t deadline_ms, const struct sfl_piece *pieces,
                                         size_t count, bool is_last,
                                         const struct sfl_stream_events *events, void *context);

#endif
