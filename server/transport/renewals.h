// SPDX-License-Identifier: Apache-2.0
// The renewals of one leader that are still to be answered. Every id is given back, once and in
// order, so none replaces another; a peer that does not read its answers is stopped at a bound.
#ifndef SFL_TRANSPORT_RENEWALS_H
#define SFL_TRANSPORT_RENEWALS_H

#include "core/reason.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

// Of a call; and of all calls of a stream together, beyond a few of each.
enum { SFL_RENEWALS_MAX = 1024, SFL_STREAM_RENEWALS_MAX = 65536 };

struct sfl_renewals;

// Makes sure that there is room for one more, and makes *renewals where it is NULL.
// `stream_room` is what all of the stream have room for, beyond a few of each. SFL_REASON_NONE, or
// RENEWALS_LIMIT, STREAM_RENEWALS_LIMIT, NO_MEMORY.
enum sfl_reason sfl_renewals_reserve(struct sfl_renewals **renewals, atomic_uint *stream_room);

// Adds one, for which there is room.
void sfl_renewals_add(struct sfl_renewals *renewals, uint64_t id);

// Takes the oldest one, which must be there. `is_last_out`: no other one is left.
uint64_t sfl_renewals_take(struct sfl_renewals *renewals, bool *is_last_out);

// NULL is fine.
void sfl_renewals_destroy(struct sfl_renewals *renewals, atomic_uint *stream_room);

#endif
