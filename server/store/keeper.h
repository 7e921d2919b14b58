// SPDX-License-Identifier: Apache-2.0
// The data file as a keeper: what outlives the process goes out, and comes back at start.
#ifndef SFL_STORE_KEEPER_H
#define SFL_STORE_KEEPER_H

#include "engine/engine.h"
#include "runs/runs.h"
#include "store/store.h"

// To be given to the engine with the store as its context.
extern const struct sfl_keeper sfl_store_keeper;

// The token source of a standalone coordinator; `context` is the store.
uint64_t sfl_store_keeper_take_tokens(void *context, uint64_t count);

// Says that an outcome could not be written; as on_lost of a store's options.
void sfl_store_keeper_lost(struct sfl_engine *engine, struct sfl_span group, struct sfl_span key,
                           uint64_t token);

struct sfl_store_loaded {
    uint64_t outcomes;
    uint64_t leads;
    uint64_t runs;
    uint64_t dropped; // outcomes and leads that found no room any more
};

// Puts everything that the store has into the engine and the runs (NULL: they are not remembered,
// and deleted), before it serves.
enum sfl_status sfl_store_keeper_load(struct sfl_store *store, struct sfl_engine *engine,
                                      struct sfl_runs *runs,
                                      struct sfl_store_loaded *loaded_out) SFL_MUST_USE;

#endif
