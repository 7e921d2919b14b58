// SPDX-License-Identifier: Apache-2.0
// What many callers are told at once: in batches, and in turns with everybody else's work.
#ifndef SFL_TRANSPORT_CROWD_H
#define SFL_TRANSPORT_CROWD_H

#include "engine/engine.h"

// What goes on with the crowd of a shard when others have had their turn.
struct sfl_delivery;

// One for each shard; NULL when there is no memory.
struct sfl_delivery *sfl_deliveries_create(struct sfl_engine *engine);
void sfl_deliveries_destroy(struct sfl_delivery *deliveries);

// The function of the engine's sink that tells a batch its last word. The context is not used.
bool sfl_crowd_on_settled(void *context, const struct sfl_settled *settled, unsigned shard);

#endif
