// SPDX-License-Identifier: Apache-2.0
// What the files of the engine share. Not for anybody outside of it.
//
//   engine.c   shards and their locks; events in, effects out
//   room.c     what an event does that finds none
//   keeping.c  what outlives the process: what is handed to the keeper, and what comes back
//   left.c     a flight as a keeper's record
//   survey.c   sums over the shards
#ifndef SFL_ENGINE_ENGINE_PRIVATE_H
#define SFL_ENGINE_ENGINE_PRIVATE_H

#include "engine/engine.h"

#include <pthread.h>

struct sfl_shard {
    _Alignas(SFL_CACHE_LINE) pthread_mutex_t lock;
    struct sfl_engine *engine;
    uint64_t tick_ms; // when sfl_engine_tick is expected for this shard
    bool delivers;    // some thread sees to the followers of settled flights, now or later
    struct sfl_list waiting_leads; // that are on their way to the keeper
    struct sfl_table table;
};

struct sfl_engine {
    const struct sfl_engine_sink *sink;
    void *sink_context;
    void (*on_earlier_tick)(void *context);
    void *tick_context;
    struct sfl_coordinator *coordinator;
    const struct sfl_keeper *keeper;
    void *keeper_context;
    const struct sfl_limits *limits;
    struct sfl_hash_secret secret;
    uint64_t started_at_ms;
    unsigned shard_count;
    struct sfl_shard *shards;
    // Every step of every pump reads what stands above. What is below is written now and then.
    _Alignas(SFL_CACHE_LINE) struct sfl_usage usage;
    _Atomic uint64_t refused[SFL_REASON_NONE]; // by the transport
    _Atomic uint64_t leads_unkept;             // beside those that the keeper could not keep
};

static inline struct sfl_shard *sfl_engine_shard_of(struct sfl_engine *engine, uint64_t hash)
{
    // The tables' indexes use the low bits.
    return &engine->shards[(hash >> 40) & (engine->shard_count - 1)];
}

// --- engine.c ---

// One event, for who holds the shard's lock, which is released; and what follows from it. Returns
// true when the same event is to be stepped again.
bool sfl_shard_run_and_unlock(struct sfl_shard *shard, const struct sfl_event *event,
                              struct sfl_forgotten *forgotten_out);

// The same for everybody else.
static inline bool sfl_shard_run(struct sfl_shard *shard, const struct sfl_event *event,
                                 struct sfl_forgotten *forgotten_out)
{
    pthread_mutex_lock(&shard->lock);
    return sfl_shard_run_and_unlock(shard, event, forgotten_out);
}

// The room that an event wants made.
struct sfl_needs {
    enum sfl_room room;
    size_t group_size;                  // of the group whose flights alone can give it; 0: any can
    uint8_t group[SFL_GROUP_BYTES_MAX]; // a copy: it is used without the lock of its table
};

// As sfl_shard_run_and_unlock, but that the room that `needs_out` names is to be made before the
// event is run again.
bool sfl_shard_run_once_and_unlock(struct sfl_shard *shard, const struct sfl_event *event,
                                   struct sfl_forgotten *forgotten_out,
                                   struct sfl_needs *needs_out);

// The answer to FIND_HOME as an event.
void sfl_shard_set_home_found(struct sfl_event *event_out, struct sfl_flight *flight,
                              uint64_t now_ms, const struct sfl_home_answer *answer, bool is_kept);

// --- room.c ---

// Runs an event again for which there was no room, for as long as overdue leaders give their own.
void sfl_shard_run_with_room(struct sfl_shard *shard, const struct sfl_event *event,
                             struct sfl_needs *needs);

// --- keeping.c; all under the shard's lock ---

// Hands a lead with a lease to the keeper before anybody is told to lead. True when that answers
// later, through sfl_shard_run; otherwise the lead is not kept: who leads goes on without, for all
// that is lost is that it would not outlive this process.
bool sfl_shard_keep_lead(struct sfl_shard *shard, struct sfl_flight *flight,
                         const struct sfl_home_answer *answer);

// A lead that is kept, or on its way, has been forgotten.
void sfl_shard_keep_forgotten(struct sfl_shard *shard, const struct sfl_flight *flight);

// Hands a retained outcome to the keeper. False when that will not keep it.
bool sfl_shard_keep_outcome(const struct sfl_shard *shard, const struct sfl_flight *flight);

#endif
