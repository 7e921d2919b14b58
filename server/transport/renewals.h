// SPDX-License-Identifier: Apache-2.0
// The renewals of one leader that are still to be answered. Every id is given back, once and in
// order, so none replaces another; a peer that does not read its answers is stopped at a bound.
#ifndef SFL_TRANSPORT_RENEWALS_H
#define SFL_TRANSPORT_RENEWALS_H

#include <stdbool.h>
#include <stdint.h>

enum { SFL_RENEWALS_MAX = 1024 };

struct sfl_renewals;

// Makes sure that there is room for one more, and makes *renewals where it is NULL. False when
// there is no memory.
bool sfl_renewals_reserve(struct sfl_renewals **renewals);

// True when as many wait as may.
bool sfl_renewals_are_full(const struct sfl_renewals *renewals);

// Adds one, for which there is room.
void sfl_renewals_add(struct sfl_renewals *renewals, uint64_t id);

// Takes the oldest one, which must be there. `is_last_out`: no other one is left.
uint64_t sfl_renewals_take(struct sfl_renewals *renewals, bool *is_last_out);

// NULL is fine.
void sfl_renewals_destroy(struct sfl_renewals *renewals);

#endif
