// SPDX-License-Identifier: Apache-2.0
// What can happen to a table. An event carries its own time; spans in it are borrowed for the step.
#ifndef SFL_CORE_EVENT_H
#define SFL_CORE_EVENT_H

#include "core/caller.h"
#include "core/reason.h"
#include "core/value.h"

enum sfl_event_type {
    SFL_EVENT_JOIN,       // caller, join, hash: a caller that is not joined asks to be
    SFL_EVENT_CHUNK,      // caller, chunk: the leader posts a part of the value
    SFL_EVENT_RENEW,      // caller, renew: the leader renews its lease
    SFL_EVENT_FINISH,     // caller, finish: the leader posts the outcome
    SFL_EVENT_HALF_CLOSE, // caller: it will send no more steps
    SFL_EVENT_LEAVE,      // caller, leave: it is gone, or the transport ends it
    SFL_EVENT_FORGET,     // forget, hash
    SFL_EVENT_UNKEPT,     // unkept, hash: a retained outcome cannot be kept beyond the process
    SFL_EVENT_TICK,       // nothing but the time
    SFL_EVENT_HOME_FOUND, // home: the answer to SFL_EFFECT_FIND_HOME
    SFL_EVENT_DRAIN,      // from now on, new callers are refused
    SFL_EVENT_SHUT,       // the drain time is over: what still runs ends
    SFL_EVENT_MAKE_ROOM,  // caller, room: the leader that is overdue for longest gives its room
};

struct sfl_chunk {
    struct sfl_span data;
    uint64_t sequence;
};

struct sfl_renew {
    uint64_t id; // not 0: it is answered
};

struct sfl_finish {
    int kind; // as it came from the wire; checked by the core
    struct sfl_span value;
    struct sfl_bytes *texts; // borrowed; NULL for none
    uint64_t details_bytes;  // the size of `details` within the texts
    bool has_retention;
    uint64_t retention_ms;
    bool pass_on;
};

struct sfl_leave {
    // What the caller is told: CANCELLED, BROKEN, DEADLINE, or the error that the transport found.
    struct sfl_refusal refusal;
    // The stream broke (cancel, deadline, lost connection): a lease outlives that. Otherwise the
    // transport ends the stream with an error, and a leader is lost with or without a lease.
    bool broken;
};

struct sfl_forget {
    struct sfl_span group;
    struct sfl_span key;
    bool if_unshared;
    bool end;             // the flight that runs ends, too
    uint64_t token;       // not 0: nothing is forgotten unless the flight with this token runs
    struct sfl_span name; // of whoever ends it; may be empty
};

// The outcome of this token; nothing happens when it is not retained any more.
struct sfl_unkept {
    struct sfl_span group;
    struct sfl_span key;
    uint64_t token; // not 0
};

struct sfl_home {
    struct sfl_flight *flight; // as the effect named it; it lives at least until this event
    bool found;                // the home is here; otherwise the coordinator cannot be reached
    uint64_t token;            // greater than every token granted before for the key
    bool is_kept;              // the lead with this token is kept beyond the process
};

struct sfl_event {
    enum sfl_event_type type;
    uint64_t now_ms;
    uint64_t hash;             // sfl_hash of group and key, for JOIN, FORGET and UNKEPT
    bool may_ask_for_room;     // JOIN, CHUNK, FINISH: see sfl_effects
    bool is_again;             // JOIN: it is stepped again, now that there is room
    struct sfl_caller *caller; // MAKE_ROOM: who asks for it; its own flight gives none
    struct sfl_span group;     // MAKE_ROOM: whose flights may give it; empty: all
    union {
        const struct sfl_join *join;
        struct sfl_chunk chunk;
        struct sfl_renew renew;
        struct sfl_finish finish;
        struct sfl_leave leave;
        struct sfl_forget forget;
        struct sfl_unkept unkept;
        struct sfl_home home;
        enum sfl_room room;
    };
};

#endif
