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
};

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
    uint32_t max_attempts; // 0 = no limit
    uint64_t retain_ms;
    uint64_t retain_error_ms;
    uint64_t max_age_ms; // 0 = any age
    uint64_t lease_ms;
    uint64_t run_limit_ms; // 0 = the largest
    uint64_t resume_token; // 0 = not resuming
    uint64_t deadline_ms;  // of the same clock as the event's time; UINT64_MAX = none
    bool ends_at_deadline; // the core ends the caller then; otherwise somebody else does
};

// What a caller has been told of its audience since it leads.
struct sfl_audience_told {
    struct sfl_caller *caller;
    struct sfl_deadline deadline; // of a message that was held back
    uint64_t sent_at_ms;
    uint64_t latest_ms;
    uint32_t followers;
    bool started;
};

// One of these holds for a caller: not joined (flight is NULL), leading (flight->leader is it),
// following (it is linked in flight->followers), or lost the lead and to be told so
// (flight->fenced is it).
struct sfl_caller {
    struct sfl_flight *flight;
    struct sfl_bytes *name;             // NULL when it has none
    struct sfl_audience_told *audience; // NULL when it did not ask
    struct sfl_deadline deadline;       // its time counts for the audience when it is not armed too
    enum sfl_role role : 8;
    bool live;
    bool half_closed;      // sends no more steps, so it can never lead
    bool admitted;         // has been told `lead` or `follow`
    uint32_t told_attempt; // whose chunks a live follower reads
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
