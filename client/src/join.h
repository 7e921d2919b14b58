// SPDX-License-Identifier: Apache-2.0
// What a caller asked for: the options of a Do, copied and checked, shared by all who need them.
#ifndef SFL_CLIENT_JOIN_H
#define SFL_CLIENT_JOIN_H

#include "base/bytes.h"
#include "base/status.h"
#include "singleflight.h"

// Never changed once it is made.
struct sfl_join {
    // As given, but all pointers point to copies, none is NULL, and what the client supplies
    // (caller, which is not copied, connect_timeout_ms, fail_open) is filled in. A traceparent that
    // is none is "".
    struct singleflight_do_options options;
    size_t group_bytes;
    uint64_t young_ms;   // with stale_ms, max_age_ms is that, and this is the max_age_ms given
    bool has_own_caller; // not that of the client
    bool mergeable;
    struct sfl_span wire; // the message Join of the protocol, but for struct sfl_join_extras
};

// What the client supplies.
struct sfl_join_defaults {
    const char *caller;
    uint64_t connect_timeout_ms;
    bool fail_open;
};

// Fills in `join`, but for its `wire`: reads and checks `given`, whatever version of the struct it
// is. What its pointers point to is not copied yet. Bounds that are settings of the server are left
// to the server. SFL_INVALID_ARGUMENT: `join` is unspecified, *problem_out (static) says what is
// wrong.
enum sfl_status sfl_join_read(struct sfl_join *join, const struct singleflight_do_options *given,
                              const struct sfl_join_defaults *defaults,
                              const char **problem_out) SFL_MUST_USE;

// How many bytes the copies take.
size_t sfl_join_copy_bytes(const struct sfl_join *join);

// Copies to `room` what `join` points to so far, and completes it.
void sfl_join_copy(struct sfl_join *join, uint8_t *room);

// A lead inside which a call is made; its token is not 0.
struct sfl_lead_ref {
    struct sfl_span group;
    struct sfl_span key;
    uint64_t token;
};

// Join.within: its size, and writing it.
size_t sfl_join_within_size(const struct sfl_lead_ref *refs, size_t count);
void sfl_join_put_within(uint8_t *at, const struct sfl_lead_ref *refs, size_t count);

// Makes `refresh` of what `join`, which has stale_ms, asks for: an outcome younger than the one
// that was served, whose failure replaces nothing. `room` takes sfl_join_copy_bytes(), and the
// strings of `join` must outlive it.
void sfl_join_refresh(struct sfl_join *refresh, const struct sfl_join *join, uint8_t *room);

static inline struct sfl_span sfl_join_group(const struct sfl_join *join)
{
    return sfl_span_of(join->options.group, join->group_bytes);
}

static inline struct sfl_span sfl_join_key(const struct sfl_join *join)
{
    return sfl_span_of(join->options.key, join->options.key_bytes);
}

// Whether two calls may wait for one and the same answer: see singleflight_do_options.
bool sfl_join_merges(const struct sfl_join *a, const struct sfl_join *b);

// A hash that is equal when sfl_join_merges() says so.
uint64_t sfl_join_hash(const struct sfl_join *join, uint64_t seed);

#endif
