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
//        fresh join: the one before runs       the one before has ended
//     (nothing) ────────────────────▶ NEXT ────────────────────┐
//         │                             │ all leave            │
//         │ join                        ▼                      │
//         │                          SETTLED                   │
//         │                                                    │
//         │                home_found: a caller may lead       │
//         └────────▶ FINDING_HOME ◀────────────────────────────┘
//                     ▲   │   ▲  └────────────────────────────▶ LED ──────────┐
//                     │   │   │                                │ │ ▲          │ finish
//                     │   │   └────────── the leader is lost ──┘ │ │ resume   │ (or a limit, or
//                     │   │                            stream    ▼ │          │ the loss: HOLD)
//                     │   │                            broke:  ORPHANED       ▼
//                     └───┼──── the lease ran out, and ──────────┘      outcome kept?
//                         │     somebody wants the key ¹                  │       │
//                         │ nobody may lead                           yes │       │ no
//                         ▼                                               ▼       │
//                      SETTLED ◀─────────────────────────────────────RETAINED²    │
//                         ▲                                                       │
//                         └───────────────────────────────────────────────────────┘
//     ¹ Otherwise a LED or ORPHANED flight becomes overdue, and stays what it is: a renewal or a
//       resume restores the lease, and the next caller that may lead takes the lead over.
//     ² Followers that the outcome still has to reach are linked in a retained flight too, until
//       they are taken; a retained flight that is dropped before that becomes a settled one.
//
// state        | what may be trusted in it
// NEXT         | no leader, no token, no value; `beside` is the flight that it waits for, whose
//              | `beside` it is; it has a follower at least; all of them are linked in `live`, for
//              | each is to be told once who leads; it is linked in the table's list of these
// FINDING_HOME | leader is NULL; token is of the attempt before (or 0); there is no value; the
//              | coordinator owes a HOME_FOUND, and until then the flight is not freed, also when
//              | all its callers are gone; `fenced` may be a lost leader that waits for its answer
// LED          | leader is joined; token is current; value is the current attempt's
// ORPHANED     | leader is NULL; token is current; lease_until_ms says for how long; value is good;
//              | a flight that an earlier process left behind begins here (restore.c)
// RETAINED     | no leader; outcome is set; due_ms is the retention's end; followers, if any, only
//              | wait to be taken
// SETTLED      | out of the index; outcome or refusal is what its followers are to get; they are
//              | taken out in batches, and after the last one the flight is freed (not before a
//              | HOME_FOUND that is still owed)
//
// overdue      | of LED and ORPHANED, with a lease that is over: the token is still the current
// one;
//              | no follower may lead, nobody waits in a next flight, and new callers find it;
//              due_ms | is the end of the run_limit; it is linked in the table's list of these
// held loss    | no state of its own: a RETAINED (or SETTLED) flight whose outcome is the loss,
// with
//              | the value that had been posted; its token is the lost leader's, who may come for
//              it
//
// sfl_flight_check asks whether that is so; tests and the simulator do after every step.
#ifndef SFL_CORE_FLIGHT_H
#define SFL_CORE_FLIGHT_H

#include "core/caller.h"
#include "core/reason.h"
#include "core/stats.h"
#include "core/value.h"

enum sfl_flight_state {
    SFL_FLIGHT_NEXT,
    SFL_FLIGHT_FINDING_HOME,
    SFL_FLIGHT_LED,
    SFL_FLIGHT_ORPHANED,
    SFL_FLIGHT_RETAINED,
    SFL_FLIGHT_SETTLED,
};

// What a flight is to those who look for its key.
enum sfl_flight_place {
    SFL_PLACE_RUNNING,   // new callers join it
    SFL_PLACE_NEXT,      // new callers that want a fresh outcome join it
    SFL_PLACE_FORGOTTEN, // its own callers go on; only a resume finds it
    SFL_PLACE_RETAINED,  // new callers get its outcome
    SFL_PLACE_NOWHERE,   // it is not in the table's index
};

// Counters of one group; `stats` comes first so that a flight can reach them in one load. A group
// that has nothing may have to make room for another one (groups.c).
struct sfl_group {
    struct sfl_stats stats;
    uint64_t flights;               // that stand in memory, whatever their state: they point here
    struct sfl_quota_shares *quota; // NULL without quotas
    struct sfl_held held;           // what its values are charged to
    uint64_t hash;
    uint16_t name_size;
    uint8_t name[];
};

// How many lost attempts of a flight are remembered, for those that come back for them.
enum { SFL_LOST_REMEMBERED = 8 };

// What a flight knows of its attempts before the current one; see past.c.
struct sfl_past {
    uint64_t first_led_ms;    // the first attempt
    struct sfl_outcome *kept; // an error that was passed on; it counts when nobody is left
    uint64_t kept_led_ms;     // when its attempt was led
    uint32_t lost_count;      // of all attempts that were lost; the latest are remembered
    struct {
        uint64_t token;
        enum sfl_loss loss;
    } lost[SFL_LOST_REMEMBERED];
};

// Names up to this size stand in the flight itself.
enum { SFL_NEAR_NAMES = 40 };

// Four cache lines, the busiest first. Only a page makes one (pages.h).
struct sfl_flight {
    uint64_t hash;
    struct sfl_group *group; // NULL when there are too many groups
    struct sfl_caller *leader;
    struct sfl_value *value; // of the current attempt; NULL until something is posted
    uint64_t token;          // of the current attempt, or the last one
    uint64_t due_ms;         // the lease or run_limit, or the retention; UINT64_MAX: none
    enum sfl_flight_state state : 8;
    enum sfl_flight_place place : 8;
    enum sfl_leader_loss on_leader_loss : 8;
    enum sfl_loss loss : 8; // how the last leader was lost
    bool home_owed;         // the coordinator has been asked and has not answered
    bool retain_refused : 1;
    bool lead_kept : 1;        // LED and ORPHANED: the lead is kept beyond the process
    bool retain_from_lead : 1; // what the opener asked for
    bool overdue : 1;
    bool voids_chunks : 1;   // an outcome without the chunks that live followers have read
    bool was_next : 1;       // those who waited in it have been told of no leader
    bool refusal_named : 1;  // `refusal` has a reference to its name
    bool told_when_dead : 1; // SETTLED: an effect names the outcome, and nobody else holds it
    bool kept_won : 1;       // its outcome is an earlier attempt's than the last leader's
    uint8_t fingerprint_size;
    uint32_t follower_count;
    uint32_t attempt; // the current one, or the last one

    union {
        struct sfl_outcome *outcome; // SETTLED and RETAINED; NULL when it ended with `refusal`
        struct sfl_flight *beside;   // NEXT: the one before; otherwise: the next one, or NULL
    };
    struct sfl_past *past; // NULL until an attempt is lost
    struct sfl_caller *fenced;
    struct sfl_bytes *leader_name; // of the current attempt's leader; NULL when it has none
    struct sfl_list followers;     // oldest first
    struct sfl_list live;          // those of them that read chunks, and know all there is

    struct sfl_link in_list; // of the table: next, overdue, settled, dead, or orphaned flights
                             // whose lead is kept
    uint64_t held_bytes;     // what the group's statistics count for this flight
    uint32_t max_attempts;
    uint16_t key_size;
    uint16_t group_size; // 0 when the group's name stands in `group`
    union {
        struct { // what the opener asked for, until the flight is SETTLED or RETAINED
            uint64_t retain_ms;
            uint64_t retain_error_ms;
            uint64_t lease_ms;
            uint64_t run_limit_ms;
        };
        struct sfl_refusal refusal; // SETTLED without an outcome
        uint64_t run; // RETAINED: the number under which it is remembered; 0: it is not
    };

    union {
        struct { // LED and ORPHANED
            uint64_t led_since_ms;
            uint64_t lease_until_ms; // UINT64_MAX without a lease
            uint64_t next_sequence;
        };
        struct { // with an outcome
            uint64_t ended_at_ms;
            uint64_t retained_until_ms; // 0: it was not retained
            uint32_t callers;           // those that the outcome went to
            uint32_t hits;              // and those that it went to later
        };
    };
    union { // group, key, fingerprint
        uint8_t near_names[SFL_NEAR_NAMES];
        uint8_t *far_names;
    };
};

_Static_assert(sizeof(struct sfl_flight) == 256, "four cache lines");

// Whether the flight, between two steps, is what its state says. NULL: it is; otherwise the rule
// that does not hold. Walks over all its followers: for tests.
const char *sfl_flight_check(const struct sfl_flight *flight);

// The oldest follower that may lead; NULL when there is none.
struct sfl_caller *sfl_flight_candidate(const struct sfl_flight *flight);

static inline size_t sfl_flight_names_size(const struct sfl_flight *flight)
{
    return (size_t)flight->group_size + flight->key_size + flight->fingerprint_size;
}

static inline const uint8_t *sfl_flight_names(const struct sfl_flight *flight)
{
    return sfl_flight_names_size(flight) <= SFL_NEAR_NAMES ? flight->near_names : flight->far_names;
}

// True when somebody leads it, or may come back to.
static inline bool sfl_flight_has_attempt(const struct sfl_flight *flight)
{
    return flight->state == SFL_FLIGHT_LED || flight->state == SFL_FLIGHT_ORPHANED;
}

static inline bool sfl_flight_has_ended(const struct sfl_flight *flight)
{
    return flight->state == SFL_FLIGHT_SETTLED || flight->state == SFL_FLIGHT_RETAINED;
}

// When the current attempt's run_limit is over. One that was led before the clock began to count
// has a led_since_ms that is below 0.
static inline uint64_t sfl_flight_run_until_ms(const struct sfl_flight *flight)
{
    uint64_t until_ms = flight->led_since_ms + flight->run_limit_ms;
    return until_ms <= INT64_MAX ? until_ms : 0;
}

static inline struct sfl_span sfl_flight_group(const struct sfl_flight *flight)
{
    if (flight->group != NULL)
        return sfl_span_of(flight->group->name, flight->group->name_size);
    return sfl_span_of(sfl_flight_names(flight), flight->group_size);
}

static inline struct sfl_span sfl_flight_key(const struct sfl_flight *flight)
{
    return sfl_span_of(sfl_flight_names(flight) + flight->group_size, flight->key_size);
}

static inline struct sfl_span sfl_flight_fingerprint(const struct sfl_flight *flight)
{
    return sfl_span_of(sfl_flight_names(flight) + flight->group_size + flight->key_size,
                       flight->fingerprint_size);
}

#endif
