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

// Functions of the engine's sink; the context is the transport. A crowd is told for as long as a
// turn of a pump lasts, and goes on in a later one; on another thread, such as the clock's, a pump
// is given all of it.
void sfl_crowd_on_settled(void *context, const struct sfl_settled *settled);
bool sfl_crowd_may_tell(void *context, unsigned shard, unsigned batches);

#endif
