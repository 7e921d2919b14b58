// SPDX-License-Identifier: Apache-2.0
// The flight table in many threads: shards of it, their locks, and the clock's ticks.
//
// Every function may be called from any thread unless it says otherwise. A function that takes an
// event locks the key's shard, steps the table, tells the sink, unlocks, and delivers what a
// settled flight's followers are to get in batches outside the lock. What callers do comes with its
// time, in ms of the monotonic clock: one reading serves all that one message brings.
#ifndef SFL_ENGINE_ENGINE_H
#define SFL_ENGINE_ENGINE_H

#include "coordinator/coordinator.h"
#include "core/flight_table.h"
#include "engine/quotas.h"
#include "keeper/keeper.h"

struct sfl_engine;
struct sfl_shard;

// A caller as the engine knows it. Embedded in the transport's call; must stay until the sink has
// been told result, refuse or settled for it, or a join has been refused.
struct sfl_member {
    struct sfl_caller caller;
    struct sfl_shard *shard; // set by the join
};

// Where the effects go. All but `settled` are called under the shard's lock, in the order in which
// they hold for a member: they put things in order and return; they send nothing, log nothing, and
// call no engine function. Pointers are borrowed until the call returns; what is to be kept is
// referenced.
struct sfl_engine_sink {
    void (*lead)(void *context, struct sfl_member *member, const struct sfl_lead *lead);
    void (*follow)(void *context, struct sfl_member *member, const struct sfl_follow *follow);
    // A live follower may read `value` up to `value_bytes`; each call replaces the one before, and
    // not every growth is told.
    void (*chunk)(void *context, struct sfl_member *member, struct sfl_value *value,
                  uint64_t value_bytes);
    // A live follower starts over: what it read before is void.
    void (*restart)(void *context, struct sfl_member *member, uint32_t attempt,
                    const struct sfl_bytes *leader);
    void (*audience)(void *context, struct sfl_member *member, const struct sfl_audience *audience);
    // The lead held when the renewal with this id came.
    void (*renewed)(void *context, struct sfl_member *member, uint64_t id);
    // The last word to a member: it is not joined any more. `result` comes with a reference to its
    // outcome, which the sink takes.
    void (*result)(void *context, struct sfl_member *member, const struct sfl_result *result);
    void (*refuse)(void *context, struct sfl_member *member, const struct sfl_refusal *refusal);
    // A flight has ended that is to be remembered: the number under which it is; 0: none. `now_ms`
    // is when. And later, how many callers its retained outcome went to, when that is gone. NULL:
    // nobody asks.
    uint64_t (*ended)(void *context, const struct sfl_flight *flight, const struct sfl_ended *ended,
                      uint64_t now_ms);
    void (*dropped)(void *context, uint64_t run, uint64_t hits);
    // The last word to many (one at least), outside of every lock. The callers are `struct
    // sfl_member`s (sfl_member_of_caller).
    void (*settled)(void *context, const struct sfl_settled *settled);
    // Outside of every lock: whether this thread may tell a batch of the shard's crowd now; it has
    // told `batches` in a row. After false the crowd waits until somebody calls
    // sfl_engine_deliver for this shard, which the sink has to see to.
    bool (*may_tell)(void *context, unsigned shard, unsigned batches);
};

struct sfl_engine_options {
    unsigned shards;                     // a power of two
    const struct sfl_limits *limits;     // borrowed
    struct sfl_coordinator *coordinator; // borrowed; the engine sets its on_answer
    const struct sfl_engine_sink *sink;  // borrowed
    void *sink_context;
    const struct sfl_keeper *keeper; // borrowed; NULL: nothing is kept
    void *keeper_context;
    enum sfl_runs_wanted runs; // which flights the sink is told of when they have ended
    // As in struct sfl_table_options.
    struct sfl_bytes *(*describe)(int32_t code, struct sfl_span message, struct sfl_span type);
    uint64_t first_token;
    // What each group may use; borrowed. NULL: groups have no quotas.
    struct sfl_quotas *quotas;
    // An earlier tick is wanted than sfl_engine_tick last said. Any thread, under a shard's lock.
    void (*on_earlier_tick)(void *context);
    void *tick_context;
};

static inline struct sfl_member *sfl_member_of_caller(struct sfl_caller *caller)
{
    return SFL_CONTAINER_OF(caller, struct sfl_member, caller);
}

enum sfl_status sfl_engine_create(const struct sfl_engine_options *options,
                                  struct sfl_engine **engine_out) SFL_MUST_USE;

// Replaces the sink's context. Before the first member joins.
void sfl_engine_set_sink_context(struct sfl_engine *engine, void *sink_context);

// Every member must have left before.
void sfl_engine_destroy(struct sfl_engine *engine);

// One of the steps that a message brings: of a member that has joined, or the join of a key.
struct sfl_announced {
    struct sfl_member *member; // NULL: a join
    struct sfl_span group;
    struct sfl_span key;
};
enum { SFL_ANNOUNCED_MAX = 32 };

// True when so much is known that most of it is far from the processor. Only then is it worth while
// to announce steps.
bool sfl_engine_is_large(struct sfl_engine *engine);

// Fetches from memory, all at once, what up to SFL_ANNOUNCED_MAX steps will touch one after the
// other. Everything is borrowed. A hint: the steps themselves may come or not, in any order.
void sfl_engine_announce(struct sfl_engine *engine, const struct sfl_announced *steps,
                         unsigned count);

// Joins a fresh member. Ends in lead, follow, result or refuse, at once or (with a coordinator that
// answers late) later.
void sfl_engine_join(struct sfl_engine *engine, struct sfl_member *member,
                     const struct sfl_join *join, uint64_t now_ms);

// Steps of a member that has joined. When it is not joined any more, nothing happens: its last word
// has been or is being said.
void sfl_engine_chunk(struct sfl_engine *engine, struct sfl_member *member,
                      const struct sfl_chunk *chunk, uint64_t now_ms);
// With an `id` above 0, the sink is told `renewed` before this returns, or the member's last word.
void sfl_engine_renew(struct sfl_engine *engine, struct sfl_member *member, uint64_t id,
                      uint64_t now_ms);
void sfl_engine_finish(struct sfl_engine *engine, struct sfl_member *member,
                       const struct sfl_finish *finish, uint64_t now_ms);
void sfl_engine_half_close(struct sfl_engine *engine, struct sfl_member *member, uint64_t now_ms);

// The member is gone (`broken`), or the transport ends it with an error. If it was joined, the sink
// is told refuse with this reason; if its last word had been said already, nothing happens.
void sfl_engine_leave(struct sfl_engine *engine, struct sfl_member *member, enum sfl_reason reason,
                      bool broken, uint64_t now_ms);

// True when the member leads now. A hint: it may change at any time.
bool sfl_engine_leads(struct sfl_engine *engine, const struct sfl_member *member);

// Goes on with the followers of settled flights where the sink said to stop.
void sfl_engine_deliver(struct sfl_engine *engine, unsigned shard);

struct sfl_forgotten sfl_engine_forget(struct sfl_engine *engine, const struct sfl_forget *forget);

// False when nothing is kept beyond this process. It never changes.
bool sfl_engine_keeps(const struct sfl_engine *engine);

// Has `on_kept` called, on any thread, once it is known whether a restart would show what this
// process does: with a token, that its outcome is retained (or has been dropped since) and its lead
// is over; with 0, all that was forgotten so far. False when too much waits, or memory is short: it
// will not be called. Only for an engine that keeps.
bool sfl_engine_await_kept(struct sfl_engine *engine, uint64_t token,
                           void (*on_kept)(void *argument, bool is_kept),
                           void *argument) SFL_MUST_USE;

// The keeper could not keep the retained outcome of this token: it is not retained any more. For
// the keeper's own thread, without a lock of its own.
void sfl_engine_unkeep(struct sfl_engine *engine, const struct sfl_unkept *unkept);

// Nothing but zeroes for an engine that keeps nothing.
struct sfl_keeper_state sfl_engine_keeper_state(const struct sfl_engine *engine);

// Carries out what is due now. Returns when to call it next at the latest, in ms of the monotonic
// clock; the first call is due right after the engine is made. One thread only (the loop's).
uint64_t sfl_engine_tick(struct sfl_engine *engine);

// Puts in a retained outcome that was kept elsewhere. `join` gives group, key and fingerprint.
// False when it is out of bounds, there is no room, or a newer one is there.
bool sfl_engine_restore(struct sfl_engine *engine, const struct sfl_join *join,
                        const struct sfl_outcome_parts *parts, uint32_t callers, uint64_t age_ms,
                        uint64_t left_ms);

// Puts in a lead that an earlier process left behind: the flight is orphaned, with a whole lease
// from now on. `error` (NULL: none) stands for lead->error, which is not looked at, and
// `error_retain_ms` is how long its leader wanted it retained. False when it is out of bounds,
// there is no room, or the key has its flight or the lead its outcome already: so outcomes are put
// in first, and leads with a greater token before others.
bool sfl_engine_restore_lead(struct sfl_engine *engine, const struct sfl_kept_lead *lead,
                             const struct sfl_outcome_parts *error, uint64_t error_retain_ms);

// From now on new callers are refused; resumes, retained outcomes and Forget are served.
void sfl_engine_drain(struct sfl_engine *engine);

// Ends every flight that still runs with UNAVAILABLE.
void sfl_engine_shut(struct sfl_engine *engine);

unsigned sfl_engine_shards(const struct sfl_engine *engine);

// True when no flight runs.
bool sfl_engine_is_idle(struct sfl_engine *engine);

// True when no flight runs but such as outlive the process, whose leaders are not here.
// `callers_out` is how many follow those.
bool sfl_engine_is_at_rest(struct sfl_engine *engine, uint64_t *callers_out);

// Counts a call that the transport refused over a limit of its own.
void sfl_engine_count_refused(struct sfl_engine *engine, enum sfl_reason reason);

struct sfl_stats sfl_engine_stats(struct sfl_engine *engine, struct sfl_span group);

// All that is counted. The groups' are counted in `all`, too.
struct sfl_survey {
    struct sfl_stats all;
    struct sfl_tally tally;
    uint64_t retained_bytes; // of all, those of retained outcomes
    uint64_t overdue;        // leaders that are
};

// `groups_out` has a place for each of the `groups`, of which none is empty.
void sfl_engine_survey(struct sfl_engine *engine, const struct sfl_span *groups, size_t group_count,
                       struct sfl_stats *groups_out, struct sfl_survey *survey_out);

// Ms since the engine was made.
uint64_t sfl_engine_uptime_ms(const struct sfl_engine *engine);

// How often the retained outcome of this token has been served; 0 when it is not retained any more.
uint64_t sfl_engine_hits(struct sfl_engine *engine, struct sfl_span group, struct sfl_span key,
                         uint64_t token);

// A listing in pieces: `cursor` starts as {0}. Looks at a bounded number of places under one
// shard's lock and calls `visit` for the flights among them. False at the end.
struct sfl_engine_cursor {
    unsigned shard;
    struct sfl_table_cursor table;
};
bool sfl_engine_visit(struct sfl_engine *engine, struct sfl_engine_cursor *cursor,
                      bool (*visit)(void *context, const struct sfl_flight_view *view),
                      void *context);

// The same for groups: each shard tells what it has counted of a group, under its lock.
bool sfl_engine_visit_groups(struct sfl_engine *engine, struct sfl_engine_cursor *cursor,
                             void (*visit)(void *context, struct sfl_span name,
                                           const struct sfl_stats *stats),
                             void *context);

#endif
