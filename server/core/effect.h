// SPDX-License-Identifier: Apache-2.0
// What is to be done after a step. A step has a bounded number of effects, whatever the number of
// callers: those that concern many callers name the flight, and its lists say whom.
#ifndef SFL_CORE_EFFECT_H
#define SFL_CORE_EFFECT_H

#include "core/caller.h"
#include "core/reason.h"
#include "core/value.h"

enum sfl_effect_type {
    SFL_EFFECT_LEAD,         // caller, lead
    SFL_EFFECT_FOLLOW,       // caller, follow
    SFL_EFFECT_CHUNK,        // flight: its value has grown; see sfl_table_take_live
    SFL_EFFECT_RESTART,      // flight: a new attempt leads; see sfl_table_take_live
    SFL_EFFECT_AUDIENCE,     // caller, audience
    SFL_EFFECT_RENEWED,      // caller, renewed_id
    SFL_EFFECT_RESULT,       // caller, result: the caller is not joined any more
    SFL_EFFECT_REFUSE,       // caller, refusal: the caller is not joined (any more)
    SFL_EFFECT_SETTLED,      // the flight ended: fetch its followers with sfl_table_take_settled
    SFL_EFFECT_FORGOTTEN,    // forgotten: the answer to SFL_EVENT_FORGET
    SFL_EFFECT_FIND_HOME,    // flight: ask the coordinator; SFL_EVENT_HOME_FOUND answers
    SFL_EFFECT_RELEASE_HOME, // flight: the coordinator may forget the key (it may be dead)
    SFL_EFFECT_KEEP_LEAD,    // flight: its lead that is kept beyond the process, or is to be, is
                             // forgotten now
    SFL_EFFECT_UNLEAD,       // flight, token: this lead of it, which was kept, is over
    SFL_EFFECT_ENDED,        // flight, ended: it is to be remembered as a run
    SFL_EFFECT_RETAIN,       // flight: its outcome is retained; a data file may keep it
    SFL_EFFECT_DROP,         // flight: its retained outcome is gone (dead flights have no bytes);
                             // it says how often it was served, and as which run it is remembered
};

struct sfl_lead {
    uint64_t token;
    uint32_t attempt;
    uint64_t lease_ms;
    uint64_t run_limit_ms;
    uint64_t next_sequence;
};

struct sfl_follow {
    uint32_t attempt;
    uint64_t running_ms;
    struct sfl_bytes *leader; // borrowed until the effect is carried out; NULL when it has no name
    struct sfl_value
        *value; // for a live caller: what has been posted so far; borrowed, may be NULL
    uint64_t value_bytes;
};

struct sfl_audience {
    uint32_t followers;
    uint64_t latest_deadline_ms; // from now; 0 = somebody waits without one
};

struct sfl_forgotten {
    bool flight;
    bool retained;
    bool ended;
};

// How a flight ended. Everything is borrowed until the effect is carried out; times are of the
// events' clock.
struct sfl_ended {
    const struct sfl_outcome *outcome; // NULL: it ended with `refusal`
    const struct sfl_refusal *refusal;
    uint64_t token; // of the last attempt, or of the outcome's
    uint64_t begun_ms;
    uint64_t led_ms;
    uint32_t attempts;
    uint32_t callers; // in it then, the leader included
};

struct sfl_effect {
    enum sfl_effect_type type;
    struct sfl_caller *caller;
    struct sfl_flight *flight;
    union {
        struct sfl_lead lead;
        struct sfl_follow follow;
        struct sfl_audience audience;
        uint64_t renewed_id;
        struct sfl_result result;
        struct sfl_refusal refusal;
        struct sfl_forgotten forgotten;
        struct sfl_ended ended;
        uint64_t token;
    };
};

enum { SFL_EFFECTS_MAX = 12 };

struct sfl_effects {
    unsigned count;
    bool more; // the same event must be stepped again: more deadlines are due, or flights to shut
    // What the event asks for has not happened for want of this: room is to be made
    // (SFL_EVENT_MAKE_ROOM, in any table), and then the same event is stepped again.
    enum sfl_room needs;
    // With `needs`: it is the quota of this group that is used up, and only its flights can give
    // room. NULL: any may. Lives as long as the table.
    const struct sfl_group *needs_of;
    struct sfl_effect items[SFL_EFFECTS_MAX];
};

#endif
