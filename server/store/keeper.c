// SPDX-License-Identifier: Apache-2.0
#include "store/keeper.h"

static bool lead(void *context, const struct sfl_kept_lead *kept,
                 void (*on_kept)(void *argument, bool is_kept), void *argument)
{
    return sfl_store_lead(context, kept, on_kept, argument);
}

static void unlead(void *context, uint64_t token)
{
    sfl_store_unlead(context, token);
}

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

static void keep_run(void *context, uint64_t number, const struct sfl_run *run, uint64_t removed)
{
    sfl_store_run(context, number, run, removed);
}

static struct sfl_keeper_state state(void *context)
{
    return sfl_store_state(context);
}

const struct sfl_keeper sfl_store_keeper = {
    .lead = lead,
    .unlead = unlead,
    .retain = retain,
    .drop = drop,
    .await = await,
    .run = keep_run,
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
    struct sfl_runs *runs;
    struct sfl_store_loaded loaded;
};

static bool restore_outcome(void *context, const struct sfl_stored *stored)
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
        loading->loaded.outcomes++;
    else
        loading->loaded.dropped++;
    return restored;
}

static bool restore_lead(void *context, const struct sfl_stored_lead *stored)
{
    struct loading *loading = context;
    bool restored = sfl_engine_restore_lead(loading->engine, &stored->lead, stored->error,
                                            stored->error_retain_ms);
    if (restored)
        loading->loaded.leads++;
    else
        loading->loaded.dropped++;
    return restored;
}

static bool restore_run(void *context, uint64_t number, const struct sfl_run *run)
{
    struct loading *loading = context;
    if (loading->runs == NULL || !sfl_runs_restore(loading->runs, number, run))
        return false;
    loading->loaded.runs++;
    return true;
}

enum sfl_status sfl_store_keeper_load(struct sfl_store *store, struct sfl_engine *engine,
                                      struct sfl_runs *runs, struct sfl_store_loaded *loaded_out)
{
    struct loading loading = {.engine = engine, .runs = runs};
    const struct sfl_store_loader loader = {restore_outcome, restore_lead, restore_run, &loading};
    enum sfl_status status = sfl_store_load(store, &loader);
    if (status == SFL_OK)
        *loaded_out = loading.loaded;
    return status;
}
