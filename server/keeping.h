// SPDX-License-Identifier: Apache-2.0
// What ties the engine to the data file: retained outcomes go out, and come back at start.
#ifndef SFL_SERVER_KEEPING_H
#define SFL_SERVER_KEEPING_H

#include "engine/engine.h"
#include "store/store.h"

// To be given to the engine with the store as its context.
extern const struct sfl_engine_keeper sfl_keeping;

// The token source of a standalone coordinator; `context` is the store.
uint64_t sfl_keeping_take_tokens(void *context, uint64_t count);

// Puts everything that the store has into the engine, before it serves. Returns how many outcomes
// that were in `count_out`.
enum sfl_status sfl_keeping_load(struct sfl_store *store, struct sfl_engine *engine,
                                 uint64_t *count_out) SFL_MUST_USE;

#endif
