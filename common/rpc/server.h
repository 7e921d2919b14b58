// SPDX-License-Identifier: Apache-2.0
// The server side of gRPC: listeners and a table of methods.
#ifndef SFL_RPC_SERVER_H
#define SFL_RPC_SERVER_H

#include "rpc/certificates.h"
#include "rpc/pump.h"
#include "rpc/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sfl_rpc_server;

struct sfl_rpc_server_options {
    struct sfl_pumps *pumps;    // borrowed until the server is destroyed
    uint64_t message_bytes_max; // larger ones end their RPC with RESOURCE_EXHAUSTED; 0 = no limit
    uint64_t keepalive_time_ms; // silence before the server pings a connection; 0 = no pings
    uint64_t keepalive_timeout_ms; // how long it waits for the answer
    // How long a stream may stay without its first message; then it ends with DEADLINE_EXCEEDED.
    // And how long a connection may take to begin as HTTP/2, or TLS and HTTP/2, do; then it is
    // closed. 0 = for ever.
    uint64_t first_message_ms;
    // Streams that one connection may have; 0 = no limit. A peer is told; one that does not listen
    // has RESOURCE_EXHAUSTED on those that last.
    uint64_t connection_streams_max;
    // TLS on every TCP address; borrowed until the server is destroyed. NULL: not encrypted.
    struct sfl_certificates *certificates;
};

// How one method is served.
struct sfl_method {
    const char *path; // "/package.Service/Method", static storage
    // Many RPCs at the same moment are nothing unusual, and the callee sees to how many of them one
    // connection has.
    bool is_crowded;
    // A new RPC, on its pump thread. The callee fills in where its events go and what context they
    // get, and owns one reference to the stream from now on. It cannot fail: to refuse, it sets its
    // events and calls sfl_stream_finish.
    void (*on_call)(void *context, struct sfl_stream *stream,
                    const struct sfl_stream_events **events_out, void **stream_context_out);
    void *context;
};

// Makes a server that does not listen yet. `methods` is copied. RPCs of any other method end with
// UNIMPLEMENTED, naming the method. SFL_INVALID_ARGUMENT when a path is there twice.
enum sfl_status sfl_rpc_server_create(const struct sfl_rpc_server_options *options,
                                      const struct sfl_method *methods, size_t method_count,
                                      struct sfl_rpc_server **server_out) SFL_MUST_USE;

// Takes an address "host:port" (port 0: one that the system picks), before start.
// `bound_out` (at least 300 bytes) gets "host:port" with the real port. On failure a text that says
// what is wrong (taken, not parsable, no such host) and not where goes there instead, and
// SFL_UNAVAILABLE or SFL_INVALID_ARGUMENT is returned. An address that another process listens on
// is always an error.
enum sfl_status sfl_rpc_server_listen(struct sfl_rpc_server *server, const char *address,
                                      char bound_out[static 300]) SFL_MUST_USE;

// The same for a unix socket. A live socket of another process is an error; a stale file is
// replaced; a path that is no socket is an error. The file is removed when the listeners close.
enum sfl_status sfl_rpc_server_listen_unix(struct sfl_rpc_server *server, const char *path,
                                           char bound_out[static 300]) SFL_MUST_USE;

// Begins to serve.
void sfl_rpc_server_start(struct sfl_rpc_server *server);

// Ends in order: closes the listeners, refuses new RPCs, waits at most `grace_ms` for the open ones
// to end by themselves, then cancels what is left. Returns when no RPC is open any more and every
// on_closed has returned, or half a second after it has cancelled. Statuses that were given just
// before need some grace to arrive (up to a second of it is used for that, no more). New RPCs end
// with UNAVAILABLE, but with CANCELLED when they were on the wire at that moment. Once. Not from a
// pump thread. False when something is still open: so many RPCs that their ends take long, or a
// connection whose client does not read what was sent to it. Destroying the server would wait for
// it (at worst until gRPC gives the connection up, keepalive_timeout_ms), and a program that is
// about to end may as well exit without it.
bool sfl_rpc_server_shutdown(struct sfl_rpc_server *server, uint64_t grace_ms);

// After shutdown (or instead of start). Waits for the last connection, and frees the server.
// Streams may still be referred to.
void sfl_rpc_server_destroy(struct sfl_rpc_server *server);

// The RPCs of one method, or of all that are unknown.
struct sfl_method_counts {
    const char *path; // "/package.Service/Method", static; NULL: those that are unknown
    uint64_t started;
    uint64_t handled[SFL_CODES]; // by the status that the peer was given
};

// How many rows there are, and one of them. Any thread.
size_t sfl_rpc_server_method_count(const struct sfl_rpc_server *server);
struct sfl_method_counts sfl_rpc_server_count_method(const struct sfl_rpc_server *server,
                                                     size_t index);

// For people to look at. Any thread.
struct sfl_rpc_server_counts {
    uint64_t streams_now;
    uint64_t silent_now; // streams whose first message does not come
    uint64_t ended;      // those, and others over the limit of a connection, that were ended
};
struct sfl_rpc_server_counts sfl_rpc_server_counts(const struct sfl_rpc_server *server);

#endif
