// SPDX-License-Identifier: Apache-2.0
// One participant. Its storage belongs to the transport; while it is joined, its fields belong to
// the core, under the lock of the shard that its key falls into.
#ifndef SFL_CORE_CALLER_H
#define SFL_CORE_CALLER_H

#include "base/bytes.h"
#include "base/list.h"
#include "core/deadlines.h"

enum sfl_role {
    SFL_ROLE_ANY = 0,
    SFL_ROLE_LEAD_ONLY = 1,
    SFL_ROLE_FOLLOW_ONLY = 2,
};

enum sfl_leader_loss {
    SFL_LEADER_LOSS_PROMOTE = 0,
    SFL_LEADER_LOSS_FAIL = 1,
    SFL_LEADER_LOSS_HOLD = 2,
};

// A lead that somebody holds.
struct sfl_lead_ref {
    struct sfl_span group; // never empty: the transport writes "default"
    struct sfl_span key;
    uint64_t token; // 0 stands for none
};

enum { SFL_WITHIN_MAX = 32 };

// What a caller asks for. Everything in it is borrowed until the step returns.
struct sfl_join {
    struct sfl_span group; // never empty: the transport writes "default"
    struct sfl_span key;
    struct sfl_span fingerprint;
    struct sfl_span name;
    enum sfl_role role;
    enum sfl_leader_loss on_leader_loss;
    bool live;
    bool audience;
    bool detach;           // its deadline does not end it while it leads
    bool retain_from_lead; // the retention counts from the winning attempt's lead
    bool fresh;            // takes nothing of a flight that was led before
    uint32_t max_attempts; // 0 = no limit
    uint32_t within_count;
    const struct sfl_lead_ref *within; // the leads inside which it joins
    uint64_t retain_ms;
    uint64_t retain_error_ms;
    uint64_t max_age_ms; // 0 = any age
    uint64_t lease_ms;
    uint64_t run_limit_ms; // 0 = the largest
    uint64_t resume_token; // 0 = not resuming
    uint64_t deadline_ms;  // of the same clock as the event's time; UINT64_MAX = none
    bool ends_at_deadline; // the core ends the caller then; otherwise somebody else does
};

// What a leader that asked for its audience has been told, and how far its followers' deadlines
// have been looked at. See audience.c.
struct sfl_audience_told {
    struct sfl_caller *caller;
    struct sfl_deadline deadline; // of a message that was held back, or a count that goes on
    uint64_t free_at_ms;          // nothing is sent before
    uint64_t told_latest_ms;
    uint32_t told_followers;
    bool started;
    bool counting; // a message waits for the count to be complete

    uint32_t count_id;     // the followers that carry it have been counted; 0: it does not lead yet
    uint32_t latest_count; // so many of them have the latest deadline
    uint64_t latest_ms;
    struct sfl_link *last_counted; // they are the oldest ones, up to here; or the list's head
};

// One of these holds for a caller: not joined (flight is NULL), leading (flight->leader is it),
// following (it is linked in flight->followers), or lost the lead and to be told so
// (flight->fenced is it).
struct sfl_caller {
    struct sfl_flight *flight;
    struct sfl_bytes *name;             // NULL when it has none
    struct sfl_audience_told *audience; // NULL when it did not ask
    struct sfl_deadline deadline;       // its time counts for the audience when it is not armed too
    enum sfl_role role : 2;
    bool live : 1;
    bool half_closed : 1;   // sends no more steps, so it can never lead
    bool admitted : 1;      // has been told `lead` or `follow`
    bool detaches : 1;      // while it leads, its deadline does not end it
    uint32_t count_id : 26; // of the leader's count of its audience that it is in; 0: of none
    // Whose chunks a live follower reads; 0: it waits in a next flight, and is to be told who leads
    // that one.
    uint32_t told_attempt;
    uint32_t joined_ms; // the low bits of when
    struct sfl_link in_followers;
    struct sfl_link in_live; // of its flight, or of the table's who are behind
};

// Makes a caller that is not joined.
void sfl_caller_init(struct sfl_caller *caller);

static inline bool sfl_caller_is_joined(const struct sfl_caller *caller)
{
    return caller->flight != NULL;
}

#endif
