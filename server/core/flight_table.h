// SPDX-License-Identifier: Apache-2.0
// The flights of one shard: a pure state machine. Events go in, effects come out.
//
// The table never calls out, never reads a clock, never blocks, and allocates only through the
// allocator it was given. It is not thread-safe: its shard's lock guards every function here, and
// effects are carried out, or at least put in order per caller, before that lock is released.
#ifndef SFL_CORE_FLIGHT_TABLE_H
#define SFL_CORE_FLIGHT_TABLE_H

#include "base/hash.h"
#include "core/effect.h"
#include "core/event.h"
#include "core/flight.h"
#include "core/index.h"
#include "core/pages.h"

enum { SFL_GROUPS_MAX = 10000 }; // groups with counters of their own at a time, per table

// Which flights are remembered as runs.
enum sfl_runs_wanted {
    SFL_RUNS_NONE,
    SFL_RUNS_JOBS, // those with a lease, or whose outcome was retained
    SFL_RUNS_ALL,
};

struct sfl_table_options {
    const struct sfl_allocator *allocator; // borrowed; its values may be freed on any thread
    const struct sfl_limits *limits;       // borrowed
    struct sfl_usage *usage;               // borrowed; all tables of the process have shares of it
    uint64_t now_ms;
    uint64_t hash_seed;        // a secret for the hashes of group names
    bool keeps;                // what outlives the process is kept
    enum sfl_runs_wanted runs; // which flights are to be remembered when they have ended
    // Every token that is granted is greater. A smaller one that comes back is of before.
    uint64_t first_token;
    // Encodes what the core says itself, as the texts of an outcome: code, message, type. NULL when
    // there is no memory. May be NULL: then such outcomes have no texts.
    struct sfl_bytes *(*describe)(int32_t code, struct sfl_span message, struct sfl_span type);
    // The quota of a group, a reference; NULL when there is no memory. Called once for each group,
    // and may block only for a moment. NULL: groups have no quotas.
    struct sfl_quota *(*quota_of)(void *context, struct sfl_span group);
    // Gives that reference back. NULL if `quota_of` is.
    void (*quota_done)(void *context, struct sfl_quota *quota);
    void *quota_context;
};

// The greatest first.
struct sfl_tokens {
    uint64_t *items;
    size_t count;
    size_t capacity;
};

struct sfl_table {
    const struct sfl_allocator *allocator;
    const struct sfl_limits *limits;
    struct sfl_shares shares;
    struct sfl_held held; // what values are charged to whose group has no quota
    struct sfl_quota *(*quota_of)(void *context, struct sfl_span group);
    void (*quota_done)(void *context, struct sfl_quota *quota);
    void *quota_context;
    struct sfl_index flights; // by group and key; all that run or are retained
    struct sfl_index groups;
    struct sfl_group *last_group;    // that was asked for; NULL at first
    struct sfl_list next;            // flights that wait for the one before, the longest first
    struct sfl_list overdue;         // flights that are and hold no bytes, the longest first
    struct sfl_list overdue_holders; // flights that are and hold bytes, the longest first
    struct sfl_list settled;         // flights whose followers wait to be taken
    struct sfl_list behind;          // live followers (in_live) who are to be told what is new
    struct sfl_list orphans;         // flights whose leader is gone, and whose lead is kept
    struct sfl_list dead; // flights that the last step's effects may name; the next step frees them
    struct sfl_tokens restored; // of the leads that an earlier process left behind
    struct sfl_pages pages;
    struct sfl_deadlines deadlines;
    struct sfl_stats stats;
    struct sfl_tally tally;
    struct sfl_usage *usage;
    struct sfl_bytes *(*describe)(int32_t code, struct sfl_span message, struct sfl_span type);
    uint64_t hash_seed;
    uint64_t first_token;
    uint64_t now_ms;       // the latest time that an event brought; it never goes back
    uint32_t counts_begun; // of audiences
    uint64_t shut_at;      // where the search for the next flight to shut goes on
    uint64_t evict_at;     // and that for a group to evict
    bool draining;
    bool keeps;
    enum sfl_runs_wanted runs;
};

void sfl_table_init(struct sfl_table *table, const struct sfl_table_options *options);

// Frees the retained outcomes and everything else. No caller may be joined, no HOME_FOUND owed.
void sfl_table_deinit(struct sfl_table *table);

// Carries out one event. `effects` is overwritten; flights named in it may be read until the next
// step. SFL_EFFECT_FIND_HOME is always the last effect, so that its answer may be stepped at once.
// When effects->more is set, the caller carries the effects out and then steps the same event
// (TICK, DRAIN or SHUT) again. See also effects->needs.
void sfl_table_step(struct sfl_table *table, const struct sfl_event *event,
                    struct sfl_effects *effects);

// How far ahead of its step an event is.
enum sfl_ahead {
    SFL_AHEAD_FAR,  // fetches what the event names: the flight of its caller, the place of its key
    SFL_AHEAD_NEAR, // fetches what that leads to: the flight of the key, what its end touches
    SFL_AHEAD_NEXT, // fetches what that leads to: the retained outcome of the key
};

// Let the processor fetch from memory what an event will touch: a JOIN or FORGET of a key, or any
// other event of a caller. Who has many events in hand asks FAR for all of them, then NEAR for all
// of them, then NEXT for all of them, then steps each; in a large table that is several times as
// fast. Nothing changes.
void sfl_table_prefetch_key(const struct sfl_table *table, uint64_t hash, enum sfl_ahead ahead);
void sfl_table_prefetch_caller(const struct sfl_table *table, const struct sfl_caller *caller,
                               enum sfl_ahead ahead);

// Since when the leader is overdue that gives its room first; UINT64_MAX: none is. The one that
// `asker` leads (may be NULL) does not count, and with a `group` no other group's.
uint64_t sfl_table_overdue_since_ms(const struct sfl_table *table, enum sfl_room room,
                                    struct sfl_span group, const struct sfl_caller *asker);

// When the next TICK is due, in ms of the events' clock; it may be early. UINT64_MAX for never.
uint64_t sfl_table_next_deadline_ms(const struct sfl_table *table);

enum { SFL_LIVE_BATCH = 32 };

// Some followers who are behind: for live ones, a chunk or a new attempt came since they were told
// last; those who waited in a next flight are to be told who leads it.
struct sfl_live {
    bool more; // others are behind
    unsigned count;
    struct {
        struct sfl_caller *caller; // joined; what is new stands in its flight: attempt and value
        bool restarts;             // another attempt than it reads of leads
        bool follows;              // it has waited in a next flight, which is led now
    } items[SFL_LIVE_BATCH];
};

// Takes the next batch, the longest behind first. False when nobody is behind. They stay joined: so
// they are told before the shard's lock is released.
bool sfl_table_take_live(struct sfl_table *table, struct sfl_live *live_out);

enum { SFL_SETTLED_BATCH = 32 };

// Some followers of one settled flight. They are not joined any more.
struct sfl_settled {
    bool refused;               // they get `refusal`; otherwise `result`
    struct sfl_result result;   // one reference to result.outcome for the whole batch
    struct sfl_refusal refusal; // one reference to refusal.name for the whole batch
    struct sfl_bytes
        *leader;       // the name that goes with `restarts`, `follows`; one reference, or NULL
    bool more;         // others wait, of this flight or of another
    unsigned count;    // 0 when they have all left meanwhile
    uint32_t restarts; // a bit for each caller that is to start over before the result
    uint32_t follows;  // and for each that is to be told first who led
    struct sfl_caller *callers[SFL_SETTLED_BATCH];
};

// Takes the next batch: a flight's oldest followers, and the flights in turn. False when no
// follower waits. The receiver delivers it outside the shard's lock and drops the references.
bool sfl_table_take_settled(struct sfl_table *table, struct sfl_settled *settled_out);

// Puts a retained outcome in that a data file kept. Takes over `outcome`'s reference on success.
// False when there is no room, or a newer one is there.
bool sfl_table_restore(struct sfl_table *table, const struct sfl_join *join, uint64_t hash,
                       struct sfl_outcome *outcome, uint32_t callers, uint64_t ended_at_ms,
                       uint64_t retained_until_ms, uint64_t now_ms);

// A lead that an earlier process left behind. Spans are borrowed.
struct sfl_left_lead {
    const struct sfl_join *join; // of the opener; with the leader's name
    uint64_t token;
    uint32_t attempt;
    bool forgotten;
    uint64_t led_for_ms;       // since the lead of the attempt
    uint64_t begun_for_ms;     // and since that of the first one
    struct sfl_outcome *error; // that was passed on before; NULL: none was
    uint64_t error_led_for_ms; // since the lead of its attempt
};

// Puts in a flight that is orphaned, with a whole lease from `now_ms` on. Takes over the reference
// to the error on success. False when there is no room, the key has a flight already, or what it
// led to is retained. Those with a greater token are put in first.
bool sfl_table_restore_lead(struct sfl_table *table, const struct sfl_left_lead *lead,
                            uint64_t hash, uint64_t now_ms);

// True when nothing runs but what outlives the process as it is: orphaned flights whose lead is
// kept. `callers_out` is how many follow those.
bool sfl_table_is_at_rest(const struct sfl_table *table, uint64_t *callers_out);

// What an outcome of this group is charged to that sfl_table_restore or _restore_lead is to get.
struct sfl_held *sfl_table_held(struct sfl_table *table, struct sfl_span name);

// How often the retained outcome of this token has been served; 0 when it is not retained any more.
uint64_t sfl_table_hits(const struct sfl_table *table, uint64_t hash, struct sfl_span group,
                        struct sfl_span key, uint64_t token);

// One flight as Admin.ListFlights shows it. Spans are borrowed until the visit returns.
struct sfl_flight_view {
    struct sfl_span group;
    struct sfl_span key;
    struct sfl_span leader;
    enum sfl_flight_state state;
    bool forgotten;
    uint64_t token;
    uint32_t attempt;
    uint32_t callers;
    uint64_t running_ms;
    uint64_t value_bytes;
    uint64_t expires_ms;
    bool overdue;
    const struct sfl_outcome *outcome; // RETAINED; otherwise NULL
    uint64_t ended_ms_ago;             // RETAINED
};

// Where a listing goes on; starts as {0}.
struct sfl_table_cursor {
    uint64_t slot;
};

// Looks at up to `slots` places of the table and calls `visit` for each flight among them, until it
// returns false. False when the end is reached. A listing that runs while the table changes may
// miss a flight or see it twice.
bool sfl_table_visit(const struct sfl_table *table, uint64_t now_ms,
                     struct sfl_table_cursor *cursor, uint64_t slots,
                     bool (*visit)(void *context, const struct sfl_flight_view *view),
                     void *context);

// Looks at up to `slots` places of the table's groups and calls `visit` for each one among them.
// False when the end is reached.
bool sfl_table_visit_groups(const struct sfl_table *table, struct sfl_table_cursor *cursor,
                            uint64_t slots,
                            void (*visit)(void *context, struct sfl_span name,
                                          const struct sfl_stats *stats),
                            void *context);

// Whether every flight is what its state says, stands where it is to be found, and is counted.
// NULL: they are; otherwise the rule that does not hold. Walks over the whole table: for tests.
const char *sfl_table_check(const struct sfl_table *table);

// The counters of one group, or of all for an empty span. A group without counters of its own (see
// SFL_GROUPS_MAX), or that had to make room, has zeroes.
struct sfl_stats sfl_table_stats(const struct sfl_table *table, struct sfl_span group);

#endif
