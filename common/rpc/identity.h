// SPDX-License-Identifier: Apache-2.0
// Who calls, as far as the connection and the RPC's metadata show it: plain strings. What they are
// worth, others decide.
#ifndef SFL_RPC_IDENTITY_H
#define SFL_RPC_IDENTITY_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>

struct sfl_stream;

enum {
    SFL_STREAM_NAMES_MAX = 32,
    SFL_STREAM_NAMES_BYTES_MAX = 4096, // all of them together
};

struct sfl_stream_identity {
    bool is_tls;
    bool is_unix;
    bool is_loopback; // TCP from this machine
    // What came as `authorization`. The token is borrowed until on_call returns.
    bool has_bearer;
    bool is_bearer_readable; // one value, "Bearer TOKEN"
    struct sfl_span bearer;
    // The DNS names and URIs of a verified certificate, as "dns:NAME" and "uri:URI".
    struct sfl_span names[SFL_STREAM_NAMES_MAX];
    size_t name_count;
    bool are_names_whole; // false: there are more, longer, or such as are no text
    size_t bytes_used;
    char bytes[SFL_STREAM_NAMES_BYTES_MAX]; // what `names` refers to
};

// Server only, while on_call runs. False when there is no memory.
bool sfl_stream_identify(struct sfl_stream *stream, struct sfl_stream_identity *identity_out);

#endif
