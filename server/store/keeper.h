// SPDX-License-Identifier: Apache-2.0
// The data file as the engine's keeper: retained outcomes go out, and come back at start.
#ifndef SFL_STORE_KEEPER_H
#define SFL_STORE_KEEPER_H

#include "engine/engine.h"
#include "store/store.h"

// To be given to the engine with the store as its context.
extern const struct sfl_engine_keeper sfl_store_keeper;

// The token source of a standalone coordinator; `context` is the store.
uint64_t sfl_store_keeper_take_tokens(void *context, uint64_t count);

// Says that an outcome could not be written; as on_lost of a store's options.
void sfl_store_keeper_lost(struct sfl_engine *engine, struct sfl_span group, struct sfl_span key,
                           uint64_t token);

// Puts everything that the store has into the engine, before it serves. `count_out` is how many
// outcomes that were, `dropped_out` how many found no room any more and are dropped.
enum sfl_status sfl_store_keeper_load(struct sfl_store *store, struct sfl_engine *engine,
                                      uint64_t *count_out, uint64_t *dropped_out) SFL_MUST_USE;

#endif
