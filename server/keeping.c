// SPDX-License-Identifier: Apache-2.0
#include "keeping.h"

struct loading {
    struct sfl_engine *engine;
    uint64_t count;
};

static void retain(void *context, const struct sfl_flight *flight)
{
    sfl_store_retain(context, flight);
}

static void drop(void *context, uint64_t token)
{
    sfl_store_drop(context, token);
}

static bool await(void *context, void (*on_kept)(void *argument), void *argument)
{
    return sfl_store_await(context, on_kept, argument);
}

const struct sfl_engine_keeper sfl_keeping = {retain, drop, await};

uint64_t sfl_keeping_take_tokens(void *context, uint64_t count)
{
    return sfl_store_take_tokens(context, count);
}

static bool restore(void *context, const struct sfl_stored *stored)
{
    struct loading *loading = context;
    const struct sfl_join join = {
        .group = stored->group,
        .key = stored->key,
        .fingerprint = stored->fingerprint,
    };
    const struct sfl_outcome_parts parts = {
        .kind = (enum sfl_outcome_kind)stored->kind,
        .attempt = stored->attempt,
        .token = stored->token,
        .value = stored->value,
        .texts = stored->texts,
    };
    bool restored = sfl_engine_restore(loading->engine, &join, &parts, stored->callers,
                                       stored->age_ms, stored->left_ms);
    if (restored)
        loading->count++;
    return restored;
}

enum sfl_status sfl_keeping_load(struct sfl_store *store, struct sfl_engine *engine,
                                 uint64_t *count_out)
{
    struct loading loading = {.engine = engine};
    enum sfl_status status = sfl_store_load(store, restore, &loading);
    if (status == SFL_OK)
        *count_out = loading.count;
    return status;
}
