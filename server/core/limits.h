// SPDX-License-Identifier: Apache-2.0
// What the core may use, and what it uses. All tables of a process share one of each.
#ifndef SFL_CORE_LIMITS_H
#define SFL_CORE_LIMITS_H

#include "core/reason.h"

#include <stdatomic.h>
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

// What is in use. Any thread may take and give.
struct sfl_usage {
    _Atomic uint64_t flights;
    _Atomic uint64_t callers;
    _Atomic uint64_t retained;
    _Atomic uint64_t held_bytes;
    _Atomic uint64_t retained_bytes;
};

// Adds `amount` unless that would pass `max`. False: nothing was added.
bool sfl_usage_take(_Atomic uint64_t *used, uint64_t amount, uint64_t max);

// Gives back what was taken.
void sfl_usage_give(_Atomic uint64_t *used, uint64_t amount);

// Checks a group and a key as a Join and a ForgetRequest carry them. Reason NONE when they are
// fine.
struct sfl_refusal sfl_limits_check_key(const struct sfl_limits *limits, struct sfl_span group,
                                        struct sfl_span key);

// Checks what a caller asks for. `is_known`: there is a flight of this group and key, so they are
// fine.
struct sfl_join;
struct sfl_refusal sfl_limits_check_join(const struct sfl_limits *limits,
                                         const struct sfl_join *join, bool is_known);

#endif
