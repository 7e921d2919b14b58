// SPDX-License-Identifier: Apache-2.0
// What the core may use, and what it uses.
#ifndef SFL_CORE_LIMITS_H
#define SFL_CORE_LIMITS_H

#include "base/budget.h"
#include "core/reason.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SFL_INLINE_VALUE_MAX = 64 * 1024, // a value up to this travels inside `result`
    SFL_FINGERPRINT_MAX = 64,
    SFL_CALLER_NAME_MAX = 128,
    SFL_DETAILS_MAX = 64 * 1024,
};

// Set once at start, read by every thread.
struct sfl_limits {
    uint64_t value_bytes_max;    // of one flight's value, all chunks together
    uint64_t texts_bytes_max;    // of an outcome's encoded texts (message, stack, details, …)
    uint64_t held_bytes_max;     // of all values and texts
    uint64_t retained_bytes_max; // the part of it that retained outcomes may take
    uint64_t flights_max;        // flights that run; as many outcomes may be retained beside them
    uint64_t callers_max;
    uint64_t key_bytes_max;
    uint64_t group_bytes_max;
    uint64_t retain_ms_max;
    uint64_t lease_ms_min;
    uint64_t lease_ms_max;
    uint64_t run_limit_ms_max;
};

// The contract's defaults (section 5).
extern const struct sfl_limits sfl_limits_default;

// Of what there may be too little, which overdue leaders then give.
enum sfl_room {
    SFL_ROOM_NONE,
    SFL_ROOM_FLIGHT,
    SFL_ROOM_BYTES,
};

// What all tables of a process use together.
struct sfl_usage {
    struct sfl_budget flights;
    struct sfl_budget callers;
    struct sfl_budget retained;
    struct sfl_budget held_bytes;
    struct sfl_budget retained_bytes;
    _Atomic uint64_t overdue; // leaders that are
};

void sfl_usage_init(struct sfl_usage *usage);

// Nothing may be in use.
void sfl_usage_deinit(struct sfl_usage *usage);

enum { SFL_GROUP_BYTES_MAX = 1024 }; // whatever group_bytes_max is

// One table's shares of it.
struct sfl_shares {
    struct sfl_share flights;
    struct sfl_share callers;
    struct sfl_share retained;
    struct sfl_share held_bytes;
    struct sfl_share retained_bytes;
};

void sfl_shares_init(struct sfl_shares *shares, struct sfl_usage *usage);
void sfl_shares_deinit(struct sfl_shares *shares);

// Checks a group and a key as a Join and a ForgetRequest carry them. Reason NONE when they are
// fine.
struct sfl_refusal sfl_limits_check_key(const struct sfl_limits *limits, struct sfl_span group,
                                        struct sfl_span key);

// Checks a caller's name. Reason NONE when it is fine.
struct sfl_refusal sfl_limits_check_name(struct sfl_span name);

// Checks what a caller asks for. `is_known`: there is a flight of this group and key, so they are
// fine.
struct sfl_join;
struct sfl_refusal sfl_limits_check_join(const struct sfl_limits *limits,
                                         const struct sfl_join *join, bool is_known);

#endif
