// SPDX-License-Identifier: Apache-2.0
// Room for an event that found none: overdue leaders give theirs.
#include "engine/engine_private.h"

// The shard with the leader that is overdue for longest, but for `asker`; NULL: there is none.
static struct sfl_shard *find_overdue(struct sfl_engine *engine, enum sfl_room room,
                                      struct sfl_span group, const struct sfl_caller *asker)
{
    struct sfl_shard *found = NULL;
    uint64_t longest_ms = UINT64_MAX;
    if (atomic_load_explicit(&engine->usage.overdue, memory_order_relaxed) == 0)
        return NULL;
    for (unsigned i = 0; i < engine->shard_count; i++) {
        struct sfl_shard *shard = &engine->shards[i];
        pthread_mutex_lock(&shard->lock);
        uint64_t since_ms = sfl_table_overdue_since_ms(&shard->table, room, group, asker);
        pthread_mutex_unlock(&shard->lock);
        if (since_ms >= longest_ms)
            continue;
        longest_ms = since_ms;
        found = shard;
    }
    return found;
}

// What one gives may be too little, or taken by somebody else.
void sfl_shard_run_with_room(struct sfl_shard *shard, const struct sfl_event *event,
                             struct sfl_needs *needs)
{
    struct sfl_event again = *event;
    again.is_again = true;
    while (needs->room != SFL_ROOM_NONE) {
        struct sfl_span group = sfl_span_of(needs->group, needs->group_size);
        struct sfl_shard *overdue = find_overdue(shard->engine, needs->room, group, event->caller);
        if (overdue != NULL) {
            const struct sfl_event make_room = {.type = SFL_EVENT_MAKE_ROOM,
                                                .now_ms = event->now_ms,
                                                .caller = event->caller,
                                                .group = group,
                                                .room = needs->room};
            pthread_mutex_lock(&overdue->lock);
            (void)sfl_shard_run_once_and_unlock(overdue, &make_room, NULL, needs);
        }
        again.may_ask_for_room = overdue != NULL;
        pthread_mutex_lock(&shard->lock);
        (void)sfl_shard_run_once_and_unlock(shard, &again, NULL, needs);
    }
}
