// SPDX-License-Identifier: Apache-2.0
// What a caller asked for: the options of a Do, copied and checked, shared by all who need them.
#ifndef SFL_CLIENT_JOIN_H
#define SFL_CLIENT_JOIN_H

#include "base/bytes.h"
#include "base/status.h"
#include "singleflight.h"

// Never changed once it is made.
struct sfl_join {
    atomic_uint references;
    // As given, but all pointers point into this very allocation, none is NULL, and what the client
    // supplies (caller, connect_timeout_ms, fail_open) is filled in.
    struct singleflight_do_options options;
    size_t group_bytes;
    bool waits_when_down; // connect_timeout_ms was given for this call
    bool mergeable;
    size_t wire_bytes;
    uint8_t wire[]; // the message Join of the protocol, but for its resume_token
};

// What the client supplies.
struct sfl_join_defaults {
    const char *caller;
    uint64_t connect_timeout_ms;
    bool fail_open;
};

// Copies and checks `given`, whatever version of the struct it is. Bounds that are settings of
// the server are left to the server. SFL_INVALID_ARGUMENT: *problem_out (static) says what is
// wrong.
enum sfl_status sfl_join_create(const struct singleflight_do_options *given,
                                const struct sfl_join_defaults *defaults,
                                struct sfl_join **join_out, const char **problem_out) SFL_MUST_USE;

struct sfl_join *sfl_join_ref(struct sfl_join *join);
void sfl_join_unref(struct sfl_join *join);

static inline struct sfl_span sfl_join_group(const struct sfl_join *join)
{
    return sfl_span_of(join->options.group, join->group_bytes);
}

static inline struct sfl_span sfl_join_key(const struct sfl_join *join)
{
    return sfl_span_of(join->options.key, join->options.key_bytes);
}

// The message Join of the protocol, but for its resume_token.
static inline struct sfl_span sfl_join_wire(const struct sfl_join *join)
{
    return sfl_span_of(join->wire, join->wire_bytes);
}

// Whether two calls may wait for one and the same answer: see singleflight_do_options.
bool sfl_join_merges(const struct sfl_join *a, const struct sfl_join *b);

// A hash that is equal when sfl_join_merges() says so.
uint64_t sfl_join_hash(const struct sfl_join *join, uint64_t seed);

#endif
