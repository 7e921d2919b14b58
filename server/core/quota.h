// SPDX-License-Identifier: Apache-2.0
// What one group may use of the process, beside the limits that all groups have together. A group
// that has used up its own is refused; nobody else notices.
#ifndef SFL_CORE_QUOTA_H
#define SFL_CORE_QUOTA_H

#include "base/budget.h"
#include "base/bytes.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SFL_QUOTA_NONE UINT64_MAX

// SFL_QUOTA_NONE where there is none.
struct sfl_quota_limits {
    uint64_t flights_max; // that run
    uint64_t callers_max;
    uint64_t held_bytes_max; // of values and texts, until the last reader has them
    uint64_t retained_bytes_max;
    uint64_t joins_per_second;
};

extern const struct sfl_quota_limits sfl_quota_unlimited;

// The use of one group in all tables of the process. The limits may be changed at any time, by any
// thread; what is in use already stays.
struct sfl_quota {
    _Atomic uint64_t flights_max;
    _Atomic uint64_t callers_max;
    _Atomic uint64_t held_bytes_max;
    _Atomic uint64_t retained_bytes_max;
    _Atomic uint64_t joins_per_second;
    struct sfl_budget flights;
    struct sfl_budget callers;
    struct sfl_budget held_bytes;
    struct sfl_budget retained_bytes;
    _Atomic uint64_t joins_due_ns; // when the joins so far would have come at the rate allowed
};

void sfl_quota_init(struct sfl_quota *quota, const struct sfl_quota_limits *limits);

// Nothing may be in use.
void sfl_quota_deinit(struct sfl_quota *quota);

void sfl_quota_set(struct sfl_quota *quota, const struct sfl_quota_limits *limits);
struct sfl_quota_limits sfl_quota_get(const struct sfl_quota *quota);

// Counts one more join at `now_ms` of the events' clock. False: the group has had as many within a
// second as it may, by the generic cell rate algorithm (ITU-T I.371) with a second's worth at once.
bool sfl_quota_take_join(struct sfl_quota *quota, uint64_t now_ms);

// Whether no byte is held and no join counts at `now_ms`. Nothing more can be held when no flight
// of the group is left in any table. Any thread.
bool sfl_quota_has_nothing(struct sfl_quota *quota, uint64_t now_ms);

// One table's shares of it.
struct sfl_quota_shares {
    struct sfl_quota *quota;
    struct sfl_share flights;
    struct sfl_share callers;
    struct sfl_share held_bytes;
    struct sfl_share retained_bytes;
};

void sfl_quota_shares_init(struct sfl_quota_shares *shares, struct sfl_quota *quota);
void sfl_quota_shares_deinit(struct sfl_quota_shares *shares);

// Take one, or so many bytes; false when the quota is used up. A NULL `shares` has no quota. Any
// thread.
bool sfl_quota_take_flight(struct sfl_quota_shares *shares);
bool sfl_quota_take_caller(struct sfl_quota_shares *shares);
bool sfl_quota_take_retained(struct sfl_quota_shares *shares, uint64_t bytes);
bool sfl_quota_take_held(struct sfl_quota_shares *shares, uint64_t bytes);

// Takes one that was there before the quota was.
void sfl_quota_add_flight(struct sfl_quota_shares *shares);

// Give back what was taken.
void sfl_quota_give_flight(struct sfl_quota_shares *shares);
void sfl_quota_give_caller(struct sfl_quota_shares *shares);
void sfl_quota_give_retained(struct sfl_quota_shares *shares, uint64_t bytes);
void sfl_quota_give_held(struct sfl_quota_shares *shares, uint64_t bytes);

#endif
