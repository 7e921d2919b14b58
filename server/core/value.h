// SPDX-License-Identifier: Apache-2.0
// The bytes that one attempt posts, and the outcome that they are part of.
#ifndef SFL_CORE_VALUE_H
#define SFL_CORE_VALUE_H

#include "base/bytes.h"
#include "core/limits.h"
#include "core/quota.h"
#include "core/reason.h"

enum sfl_outcome_kind {
    SFL_OUTCOME_OK = 1,
    SFL_OUTCOME_ERROR = 2,
    SFL_OUTCOME_PANIC = 3,
    SFL_OUTCOME_ABANDONED = 4,
};

// What stands in the outcome of a value that met a limit.
enum { SFL_LIMIT_CODE = 8 };
#define SFL_LIMIT_TYPE "singleflight.LimitExceeded"

struct sfl_value;

// What values and texts are charged to. It stays until the last of their bytes is given back.
struct sfl_held {
    struct sfl_share *all;          // of held_bytes
    struct sfl_quota_shares *quota; // of the group; NULL without one
};

// What the sink leaves on an outcome when its leader is told, for those who get it later: the core
// does not look at it. All zero: nothing.
enum { SFL_ORIGIN_BYTES = 24 };
struct sfl_origin {
    uint8_t bytes[SFL_ORIGIN_BYTES];
};

// How an attempt ended. Never changed once made; shared by all that receive it, from any thread. It
// stands in the memory of its value, if it has one, so that both are made and found together.
struct sfl_outcome {
    atomic_uint references;
    const struct sfl_allocator *allocator;
    struct sfl_held *held; // charged with the texts
    enum sfl_outcome_kind kind;
    uint32_t attempt;
    uint64_t token;
    uint64_t retain_ms; // how long its leader wants it retained, until the flight ends: then, for
                        // how long it is; 0 = not
    uint64_t value_bytes;
    struct sfl_value *value; // its first value_bytes bytes; NULL when there are none
    struct sfl_bytes *texts; // code, message, type, stack, details as the transport encoded them
    struct sfl_origin origin;
};

// A part of a value. All blocks but the last are full.
struct sfl_block {
    struct sfl_block *next;
    uint64_t start; // the offset of data[0] in the value
    size_t capacity;
    uint8_t data[];
};

// Grows at its end only, under its shard's lock. A reader that was told (under a lock) that the
// value has `size` bytes may read those without any lock for as long as it holds a reference.
struct sfl_value {
    struct sfl_outcome outcome; // of the attempt, once there is one
    atomic_uint references;     // the outcome has one
    const struct sfl_allocator *allocator;
    struct sfl_held *held; // charged with every byte until the value is freed
    uint64_t size;
    struct sfl_block *last;
    struct sfl_block first;
};

// Charges bytes. SFL_REASON_NONE, or HELD_LIMIT, HELD_QUOTA: then nothing is charged. Any thread.
enum sfl_reason sfl_held_take(struct sfl_held *held, const struct sfl_limits *limits,
                              uint64_t bytes);
void sfl_held_give(struct sfl_held *held, uint64_t bytes);

// A value of `bytes`, which are not empty, with one reference. SFL_REASON_NONE, or VALUE_LIMIT,
// HELD_LIMIT, HELD_QUOTA, NO_MEMORY.
enum sfl_reason sfl_value_create(const struct sfl_allocator *allocator, struct sfl_held *held,
                                 const struct sfl_limits *limits, struct sfl_span bytes,
                                 struct sfl_value **value_out);

// Takes one more reference. Any thread. NULL stays NULL.
struct sfl_value *sfl_value_ref(struct sfl_value *value);

// Drops a reference. Any thread. NULL is fine.
void sfl_value_unref(struct sfl_value *value);

// Copies `bytes` to the end. SFL_REASON_NONE, or VALUE_LIMIT, HELD_LIMIT, HELD_QUOTA, NO_MEMORY:
// then the value is as before.
enum sfl_reason sfl_value_append(struct sfl_value *value, const struct sfl_limits *limits,
                                 struct sfl_span bytes);

// A place in a value from which to read on.
struct sfl_value_cursor {
    const struct sfl_block *block; // NULL before the first read
    uint64_t position;
};

// The next bytes that lie side by side, at most `max`, of a value that is known to have `size`
// bytes; empty at its end. Moves the cursor.
struct sfl_span sfl_value_read(const struct sfl_value *value, uint64_t size,
                               struct sfl_value_cursor *cursor, size_t max);

// An outcome that was kept elsewhere, with one reference. SFL_REASON_NONE, or HELD_LIMIT,
// HELD_QUOTA, VALUE_LIMIT, NO_MEMORY.
struct sfl_outcome_parts {
    enum sfl_outcome_kind kind;
    uint32_t attempt;
    uint64_t token;
    struct sfl_span value;
    struct sfl_span texts;
};
enum sfl_reason sfl_outcome_restore(const struct sfl_allocator *allocator, struct sfl_held *held,
                                    const struct sfl_limits *limits,
                                    const struct sfl_outcome_parts *parts,
                                    struct sfl_outcome **outcome_out);

struct sfl_outcome *sfl_outcome_ref(struct sfl_outcome *outcome);
void sfl_outcome_unref(struct sfl_outcome *outcome);

// Makes the outcome of an attempt with one reference; takes over the reference to `value` (which
// has no outcome yet, and may be NULL) and one more to `texts` on success. SFL_REASON_NONE, or
// HELD_LIMIT, HELD_QUOTA, NO_MEMORY.
enum sfl_reason sfl_outcome_create(const struct sfl_allocator *allocator, struct sfl_held *held,
                                   const struct sfl_limits *limits, struct sfl_value *value,
                                   struct sfl_bytes *texts, struct sfl_outcome **outcome_out);

// What an outcome takes of held_bytes.
uint64_t sfl_outcome_held_bytes(const struct sfl_outcome *outcome);

// What one receiver is told beside the outcome. The outcome is a reference that the receiver of the
// effect drops.
struct sfl_result {
    struct sfl_outcome *outcome;
    bool led;
    bool shared;
    bool retained;
    bool retain_refused;
    bool lead_was_kept; // beyond the process; it is told when it is not any more
    uint32_t callers;
    uint64_t age_ms;
    uint64_t retain_ms;
};

#endif
