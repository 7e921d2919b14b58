// SPDX-License-Identifier: Apache-2.0
// Sums over the shards, and walks over what they have.
#include "engine/engine_private.h"

#include "base/clock.h"

enum { VISIT_SLOTS = 512 }; // places of a table that a listing looks at under one lock

void sfl_engine_count_refused(struct sfl_engine *engine, enum sfl_reason reason)
{
    atomic_fetch_add_explicit(&engine->refused[reason], 1, memory_order_relaxed);
}

// What belongs to no shard.
static void add_engine(struct sfl_engine *engine, struct sfl_stats *all)
{
    // Bytes of results that are still on their way out belong to no flight any more.
    all->bytes_now = sfl_budget_used(&engine->usage.held_bytes);
    for (unsigned i = 0; i < SFL_REASON_NONE; i++)
        all->refused += atomic_load_explicit(&engine->refused[i], memory_order_relaxed);
}

struct sfl_stats sfl_engine_stats(struct sfl_engine *engine, struct sfl_span group)
{
    struct sfl_stats sum = {0};
    for (unsigned i = 0; i < engine->shard_count; i++) {
        struct sfl_shard *shard = &engine->shards[i];
        pthread_mutex_lock(&shard->lock);
        struct sfl_stats stats = sfl_table_stats(&shard->table, group);
        pthread_mutex_unlock(&shard->lock);
        sfl_stats_add(&sum, &stats);
    }
    if (group.size == 0)
        add_engine(engine, &sum);
    return sum;
}

void sfl_engine_survey(struct sfl_engine *engine, const struct sfl_span *groups, size_t group_count,
                       struct sfl_stats *groups_out, struct sfl_survey *survey_out)
{
    struct sfl_survey survey = {0};
    for (size_t i = 0; i < group_count; i++)
        groups_out[i] = (struct sfl_stats){0};
    for (unsigned i = 0; i < engine->shard_count; i++) {
        struct sfl_shard *shard = &engine->shards[i];
        const struct sfl_table *table = &shard->table;
        pthread_mutex_lock(&shard->lock);
        sfl_stats_add(&survey.all, &table->stats);
        sfl_tally_add(&survey.tally, &table->tally);
        for (size_t j = 0; j < group_count; j++) {
            struct sfl_stats stats = sfl_table_stats(table, groups[j]);
            sfl_stats_add(&groups_out[j], &stats);
        }
        pthread_mutex_unlock(&shard->lock);
    }
    add_engine(engine, &survey.all);
    for (unsigned i = 0; i < SFL_REASON_NONE; i++)
        survey.tally.refused[i] += atomic_load_explicit(&engine->refused[i], memory_order_relaxed);
    survey.retained_bytes = sfl_budget_used(&engine->usage.retained_bytes);
    survey.overdue = atomic_load_explicit(&engine->usage.overdue, memory_order_relaxed);
    *survey_out = survey;
}

bool sfl_engine_visit(struct sfl_engine *engine, struct sfl_engine_cursor *cursor,
                      bool (*visit)(void *context, const struct sfl_flight_view *view),
                      void *context)
{
    while (cursor->shard < engine->shard_count) {
        struct sfl_shard *shard = &engine->shards[cursor->shard];
        pthread_mutex_lock(&shard->lock);
        bool more = sfl_table_visit(&shard->table, sfl_clock_now_ms(), &cursor->table, VISIT_SLOTS,
                                    visit, context);
        pthread_mutex_unlock(&shard->lock);
        if (more)
            return true;
        cursor->shard++;
        cursor->table = (struct sfl_table_cursor){0};
    }
    return false;
}

bool sfl_engine_visit_groups(struct sfl_engine *engine, struct sfl_engine_cursor *cursor,
                             void (*visit)(void *context, struct sfl_span name,
                                           const struct sfl_stats *stats),
                             void *context)
{
    while (cursor->shard < engine->shard_count) {
        struct sfl_shard *shard = &engine->shards[cursor->shard];
        pthread_mutex_lock(&shard->lock);
        bool more =
            sfl_table_visit_groups(&shard->table, &cursor->table, VISIT_SLOTS, visit, context);
        pthread_mutex_unlock(&shard->lock);
        if (more)
            return true;
        cursor->shard++;
        cursor->table = (struct sfl_table_cursor){0};
    }
    return false;
}
