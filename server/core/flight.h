// SPDX-License-Identifier: Apache-2.0
// A flight: one unit of work for a group and key, from its first caller to its outcome, and beyond
// while the outcome is retained.
//
// Three rules carry everything:
//   1. A flight is settled by identity, never by key: Forget may have put another flight there.
//   2. Every chunk belongs to an (attempt, sequence): a new attempt voids what came before.
//   3. Nothing of a leader counts unless its token is the current one. A lost leader is not joined
//      any more, so whatever it still posts finds no flight.
//
//                 join                 home_found: a caller may lead
//     (nothing) ────────▶ FINDING_HOME ─────────────────────────────▶ LED ──────────┐
//                          ▲   │   ▲                                 │ │ ▲          │ finish
//                          │   │   └─────────── the leader is lost ──┘ │ │ resume   │
//                          │   │                            stream     ▼ │          ▼
//                          │   │                            broke:  ORPHANED    outcome kept?
//                          └───┼──────── the lease ran out ────────────┘         │       │
//                              │ nobody may lead                             yes │       │ no
//                              ▼                                                 ▼       │
//                           SETTLED ◀────────────────────────────────────────RETAINED*   │
//                              ▲                                                         │
//                              └─────────────────────────────────────────────────────────┘
//     * Followers that the outcome still has to reach are linked in a retained flight too, until
//       they are taken; a retained flight that is dropped before that becomes a settled one.
//
// state        | what may be trusted in it
// FINDING_HOME | leader is NULL; token and value are of the attempt before (or none); the
//              | coordinator owes a HOME_FOUND, and until then the flight is not freed, also when
//              | all its callers are gone; `fenced` may be a lost leader that waits for its answer
// LED          | leader is joined; token is current; value is the current attempt's
// ORPHANED     | leader is NULL; token is current; lease_until_ms says for how long; value is good
// RETAINED     | no leader; outcome is set; the deadline is the retention's; followers, if any,
//              | only wait to be taken
// SETTLED      | out of every index; outcome or refusal is what its followers are to get; they are
//              | taken out in batches, and after the last one the flight is freed (not before a
//              | HOME_FOUND that is still owed)
#ifndef SFL_CORE_FLIGHT_H
#define SFL_CORE_FLIGHT_H

#include "core/caller.h"
#include "core/value.h"

enum sfl_flight_state {
    SFL_FLIGHT_FINDING_HOME,
    SFL_FLIGHT_LED,
    SFL_FLIGHT_ORPHANED,
    SFL_FLIGHT_RETAINED,
    SFL_FLIGHT_SETTLED,
};

// Which index of the table a flight stands in.
enum sfl_flight_place {
    SFL_PLACE_RUNNING,   // new callers of its key join it
    SFL_PLACE_FORGOTTEN, // its own callers go on; only a resume finds it
    SFL_PLACE_RETAINED,
    SFL_PLACE_NOWHERE,
};
enum { SFL_PLACES = 3 };

// Counters of a group, for statistics.
struct sfl_stats {
    uint64_t calls;
    uint64_t executions;
    uint64_t executions_saved;
    uint64_t retained_hits;
    uint64_t leaders_lost;
    uint64_t fenced;
    uint64_t forgets;
    uint64_t refused;
    uint64_t retain_refused;
    uint64_t flights_now;
    uint64_t callers_now;
    uint64_t retained_now;
    uint64_t bytes_now;
};

struct sfl_group;

struct sfl_flight {
    uint64_t hash;
    enum sfl_flight_state state;
    enum sfl_flight_place place;
    struct sfl_group *group; // its counters; NULL when there are too many groups
    struct sfl_link in_list; // of the table: running, settled or dead flights
    bool home_owed;          // the coordinator has been asked and has not answered

    struct sfl_caller *leader;
    struct sfl_caller *fenced;
    struct sfl_bytes *leader_name; // of the current attempt's leader; NULL when it has none
    struct sfl_list followers;     // oldest first
    struct sfl_list live;          // those of them that read chunks as they come
    uint32_t follower_count;

    // What the opener asked for.
    enum sfl_leader_loss on_leader_loss;
    uint32_t max_attempts;
    uint64_t retain_ms;
    uint64_t retain_error_ms;
    uint64_t lease_ms;
    uint64_t run_limit_ms;

    // The current attempt, or the last one.
    uint32_t attempt;
    uint64_t token;
    uint64_t led_since_ms;
    uint64_t lease_until_ms; // UINT64_MAX without a lease
    uint64_t run_until_ms;
    uint64_t next_sequence;
    struct sfl_value *value; // NULL until something is posted
    enum sfl_loss loss;      // how the last leader was lost

    // A leader's error that it passed on; it counts when nobody is left to try.
    struct sfl_outcome *kept;

    // SETTLED and RETAINED.
    struct sfl_outcome *outcome; // NULL when the flight ended with `refusal`
    struct sfl_refusal refusal;
    uint32_t callers; // those that the outcome went to
    uint64_t ended_at_ms;
    uint64_t retained_until_ms; // 0: it was not retained
    bool retain_refused;

    uint64_t held_bytes; // what the group's statistics count for this flight

    struct sfl_deadline deadline; // the lease or run_limit, or the retention

    // What the leader was told of its audience.
    struct sfl_deadline audience_deadline;
    uint64_t audience_sent_at_ms;
    uint64_t audience_latest_ms;
    uint32_t audience_followers;
    bool audience_started;

    uint16_t group_size;
    uint16_t key_size;
    uint16_t fingerprint_size;
    uint8_t names[]; // group, key, fingerprint
};

static inline struct sfl_span sfl_flight_group(const struct sfl_flight *flight)
{
    return sfl_span_of(flight->names, flight->group_size);
}

static inline struct sfl_span sfl_flight_key(const struct sfl_flight *flight)
{
    return sfl_span_of(flight->names + flight->group_size, flight->key_size);
}

static inline struct sfl_span sfl_flight_fingerprint(const struct sfl_flight *flight)
{
    return sfl_span_of(flight->names + flight->group_size + flight->key_size,
                       flight->fingerprint_size);
}

#endif
