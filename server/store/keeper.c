// SPDX-License-Identifier: Apache-2.0
#include "store/keeper.h"

static bool retain(void *context, const struct sfl_kept *kept)
{
    return sfl_store_retain(context, kept);
}

static void drop(void *context, uint64_t token)
{
    sfl_store_drop(context, token);
}

static bool await(void *context, uint64_t token, void (*on_kept)(void *argument, bool is_kept),
                  void *argument)
{
    return sfl_store_await(context, token, on_kept, argument);
}

static struct sfl_keeper_state state(void *context)
{
    struct sfl_store_state of_store = sfl_store_state(context);
    return (struct sfl_keeper_state){
        .failing = of_store.failing,
        .waiting_bytes = of_store.waiting_bytes,
        .lost = of_store.lost,
    };
}

const struct sfl_engine_keeper sfl_store_keeper = {
    .retain = retain,
    .drop = drop,
    .await = await,
    .state = state,
};

uint64_t sfl_store_keeper_take_tokens(void *context, uint64_t count)
{
    return sfl_store_take_tokens(context, count);
}

void sfl_store_keeper_lost(struct sfl_engine *engine, struct sfl_span group, struct sfl_span key,
                           uint64_t token)
{
    const struct sfl_unkept unkept = {group, key, token};
    sfl_engine_unkeep(engine, &unkept);
}

struct loading {
    struct sfl_engine *engine;
    uint64_t count;
    uint64_t dropped;
};

static bool restore(void *context, const struct sfl_stored *stored)
{
    struct loading *loading = context;
    const struct sfl_join join = {
        .group = stored->group,
        .key = stored->key,
        .fingerprint = stored->fingerprint,
    };
    const struct sfl_outcome_parts parts = {
        .kind = stored->kind,
        .attempt = stored->attempt,
        .token = stored->token,
        .value = stored->value,
        .texts = stored->texts,
    };
    bool restored = sfl_engine_restore(loading->engine, &join, &parts, stored->callers,
                                       stored->age_ms, stored->left_ms);
    if (restored)
        loading->count++;
    else
        loading->dropped++;
    return restored;
}

enum sfl_status sfl_store_keeper_load(struct sfl_store *store, struct sfl_engine *engine,
                                      uint64_t *count_out, uint64_t *dropped_out)
{
    struct loading loading = {.engine = engine};
    enum sfl_status status = sfl_store_load(store, restore, &loading);
    if (status != SFL_OK)
        return status;
    *count_out = loading.count;
    *dropped_out = loading.dropped;
    return SFL_OK;
}
