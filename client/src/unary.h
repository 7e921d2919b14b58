// SPDX-License-Identifier: Apache-2.0
// One request that is not a Do: one message there, any number back.
#ifndef SFL_CLIENT_UNARY_H
#define SFL_CLIENT_UNARY_H

#include "rpc/stream.h"
#include "src/backoff.h"
#include "src/client.h"

struct sfl_server;

// Made and filled in by any thread, run by the client's thread. Of the functions, `on_message` may
// be NULL. They are called on the client's thread.
struct sfl_unary {
    struct singleflight_client *client;
    struct sfl_server *server;
    const char *path;        // "/package.Service/Method", static storage
    struct sfl_span request; // owned by who made it, until on_done
    uint64_t deadline_ms;    // of the monotonic clock
    bool retries;            // while the server is UNAVAILABLE, until the deadline
    void (*on_message)(struct sfl_unary *unary, struct sfl_span message);
    // The end, exactly once; `text` is borrowed. The unary may be freed in it.
    void (*on_done)(struct sfl_unary *unary, int code, const char *text);
    void *context;

    // Its own.
    struct sfl_link link;
    struct sfl_stream *stream;
    struct sfl_backoff backoff;
    struct sfl_timer timer; // the next try
    bool answered;          // a message has come: it is not tried again
    bool cancelled;         // from this side
};

// Starts it. Client's thread.
void sfl_unary_start(struct sfl_unary *unary);

// Ends it with CANCELLED soon. Client's thread.
void sfl_unary_cancel(struct sfl_unary *unary);

#endif
