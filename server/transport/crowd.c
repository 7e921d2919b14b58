// SPDX-License-Identifier: Apache-2.0
#include "transport/crowd.h"

#include "transport/call.h"
#include "transport/transport.h"

#include <stdlib.h>

// What goes on with the crowd of a shard when others have had their turn.
struct sfl_delivery {
    struct sfl_pump_work work;
    struct sfl_engine *engine;
    unsigned shard;
};

static void deliver(struct sfl_pump_work *work)
{
    struct sfl_delivery *delivery = SFL_CONTAINER_OF(work, struct sfl_delivery, work);
    sfl_engine_deliver(delivery->engine, delivery->shard);
}

struct sfl_delivery *sfl_deliveries_create(struct sfl_engine *engine)
{
    unsigned count = sfl_engine_shards(engine);
    struct sfl_delivery *deliveries = calloc(count, sizeof(deliveries[0]));
    for (unsigned i = 0; deliveries != NULL && i < count; i++) {
        deliveries[i].work.run = deliver;
        deliveries[i].engine = engine;
        deliveries[i].shard = i;
    }
    return deliveries;
}

void sfl_deliveries_destroy(struct sfl_delivery *deliveries)
{
    free(deliveries);
}

bool sfl_crowd_may_tell(void *context, unsigned shard, unsigned batches)
{
    struct sfl_transport *transport = context;
    struct sfl_pump_work *later = &transport->deliveries[shard].work;
    if (!sfl_pump_is_current()) {
        sfl_pumps_post(transport->pumps, later);
        return false;
    }
    if (batches == 0 || !sfl_pump_should_yield())
        return true;
    sfl_pump_defer_crowd(later);
    return false;
}

// Says one result to those at the front of `callers` that are on the same stream, under one lock,
// and returns how many they are. `said` is borrowed; whoever is told gets references of its own.
static unsigned say_result_to_stream(struct sfl_caller *const *callers, unsigned count,
                                     const struct sfl_told_result *said)
{
    struct sfl_outbox *outbox = sfl_call_of(sfl_member_of_caller(callers[0]))->outbox;
    unsigned told = 0;
    unsigned at = 0;
    sfl_outbox_lock(outbox);
    for (; at < count; at++) {
        struct sfl_call *call = sfl_call_of(sfl_member_of_caller(callers[at]));
        if (call->outbox != outbox)
            break;
        if (sfl_call_is_to_be_told_locked(call)) {
            sfl_call_set_result_locked(call, said);
            told++;
        }
    }
    // They are counted before anybody can take them.
    sfl_told_result_share(said, told);
    sfl_outbox_unlock(outbox);
    for (unsigned i = 0; i < at; i++)
        sfl_call_drop_engines(sfl_call_of(sfl_member_of_caller(callers[i])));
    return at;
}

static void say_results(const struct sfl_settled *settled)
{
    struct sfl_told_result said = {.result = settled->result};
    sfl_outcome_ref(said.result.outcome);
    const struct sfl_follow follow = {.attempt = settled->result.outcome->attempt,
                                      .leader = settled->leader};
    for (uint32_t left = settled->follows; left != 0; left &= left - 1)
        sfl_call_on_follow(NULL, sfl_member_of_caller(settled->callers[__builtin_ctz(left)]),
                           &follow);
    for (uint32_t left = settled->restarts; left != 0; left &= left - 1)
        sfl_call_on_restart(NULL, sfl_member_of_caller(settled->callers[__builtin_ctz(left)]),
                            settled->result.outcome->attempt, settled->leader);
    // Without memory for what is shared, each call's own message is made from the outcome.
    if (settled->count > 1)
        said.shared = sfl_shared_result_create(&said.result);
    for (unsigned at = 0; at < settled->count;)
        at += say_result_to_stream(settled->callers + at, settled->count - at, &said);
    sfl_told_result_release(&said);
}

void sfl_crowd_on_settled(void *context, const struct sfl_settled *settled)
{
    (void)context;
    if (!settled->refused) {
        say_results(settled);
        return;
    }
    for (unsigned i = 0; i < settled->count; i++)
        sfl_call_on_refuse(NULL, sfl_member_of_caller(settled->callers[i]), &settled->refusal);
}
