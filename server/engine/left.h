// SPDX-License-Identifier: Apache-2.0
// A flight that runs as a keeper's record, and back.
#ifndef SFL_ENGINE_LEFT_H
#define SFL_ENGINE_LEFT_H

#include "core/flight_table.h"
#include "keeper/keeper.h"

// The lead of a flight's current attempt (LED, ORPHANED), or, with `token` above 0, the one that
// its next attempt is to have (FINDING_HOME). Spans are those of the flight. Under the shard's
// lock.
struct sfl_kept_lead sfl_left_describe(const struct sfl_flight *flight, uint64_t token,
                                       uint64_t now_ms);

// The join of the flight's opener, as the record says it; its spans are the record's.
struct sfl_join sfl_left_join(const struct sfl_kept_lead *lead);

// Ms since a time of the wall clock; 0 when that went back.
uint64_t sfl_left_ms_since(uint64_t unix_ms);

#endif
