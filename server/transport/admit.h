// SPDX-License-Identifier: Apache-2.0
// The one place that says whether a caller may do what it asks for. Every service that has to do
// with flights asks here before it looks at anything else.
//
// A stream has an `sfl_admit` of its own, which is its thread's. Without a token file and an access
// file everybody may do everything, and that costs one comparison.
//
// When the files have changed, a stream that is open goes over to the new rights with its next
// call, or when its pump comes to it (sfl_transport_rights_changed), whichever is first. What
// relies on a right that is gone is ended then.
#ifndef SFL_TRANSPORT_ADMIT_H
#define SFL_TRANSPORT_ADMIT_H

#include "base/list.h"
#include "core/event.h"
#include "core/reason.h"
#include "rpc/pump.h"
#include "security/identity.h"

#include <stdbool.h>
#include <stdint.h>

struct sfl_stream;
struct sfl_transport;
struct sfl_forgotten;

// The right of some calls of one stream in one group.
struct sfl_grant {
    struct sfl_link link; // in the order of the generations, and then of their age
    struct sfl_list calls;
    uint64_t generation;
    unsigned rights; // that the caller has in the group
    unsigned needs;  // those of them that the calls rely on
    size_t group_size;
    uint8_t group[];
};

enum { SFL_ADMIT_SLOTS = 16 };

struct sfl_admit {
    struct sfl_transport *transport;
    struct sfl_stream *stream;
    struct sfl_identity *identity; // NULL: everybody may do everything, or is_shut
    bool is_shut;                  // nobody may do anything: there was no memory to find out who
    uint64_t generation;           // that `identity` knows of
    const _Atomic uint64_t *in_force;
    // What its calls rely on; see sfl_admit_join.
    struct sfl_list grants;
    struct sfl_grant *current[SFL_ADMIT_SLOTS]; // those of the last joins; see sfl_admit_slot
    // Among the streams of this pump that a reload looks at.
    struct sfl_link in_watched;
    uint64_t checked; // the generation at whose rights all its calls have been looked at
    bool (*recheck)(struct sfl_admit *admit);
};

// Finds out who calls; while on_call runs. When the refusal has a reason the stream is to end with
// it; sfl_admit_close follows in any case.
struct sfl_refusal sfl_admit_open(struct sfl_admit *admit, struct sfl_transport *transport,
                                  struct sfl_stream *stream);

// On the stream's thread, when its events are over.
void sfl_admit_close(struct sfl_admit *admit);

// Has `recheck` called, in a turn of this pump, when the rights have changed. False: the turn is
// over, and it is to be called again. It begins with sfl_admit_renew, and must not close the admit.
void sfl_admit_watch(struct sfl_admit *admit, bool (*recheck)(struct sfl_admit *admit));

// Goes over to the rights that are in force. With a reason, the stream must go on no more.
struct sfl_refusal sfl_admit_renew(struct sfl_admit *admit);

// Whether the caller may do this in the group. What is refused is logged and counted.
struct sfl_refusal sfl_admit_check(struct sfl_admit *admit, enum sfl_right right,
                                   struct sfl_span group);

// The same for what concerns the whole server.
struct sfl_refusal sfl_admit_check_server(struct sfl_admit *admit);

// Whether it may list the group; a question of many, so nothing is logged.
bool sfl_admit_may_list(const struct sfl_admit *admit, struct sfl_span group);

// Where the grant of a group is kept at hand, of joins that would lead (or only follow).
static inline unsigned sfl_admit_slot(struct sfl_span group, bool would_lead)
{
    unsigned end = group.size == 0 ? 0 : group.data[group.size - 1];
    return ((unsigned)group.size * 2 + end * 2 + would_lead) % SFL_ADMIT_SLOTS;
}

bool sfl_admit_join_slowly(struct sfl_admit *admit, struct sfl_join *join, bool would_lead,
                           struct sfl_list **relying_out, struct sfl_refusal *refusal_out);

// Whether the caller may join like that; otherwise `*refusal_out` says why. Without the right to
// lead, one that may lead becomes one that follows. `*relying_out` is the list that the call has to
// join, as long as it relies on the right that it has; NULL: none.
static inline bool sfl_admit_join(struct sfl_admit *admit, struct sfl_join *join,
                                  struct sfl_list **relying_out, struct sfl_refusal *refusal_out)
{
    *relying_out = NULL;
    if (admit->identity == NULL && !admit->is_shut)
        return true;
    bool would_lead = join->role != SFL_ROLE_FOLLOW_ONLY || join->resume_token != 0;
    struct sfl_grant *grant = admit->current[sfl_admit_slot(join->group, would_lead)];
    bool is_known =
        grant != NULL && (grant->rights & SFL_RIGHT_LEAD) != 0 &&
        admit->generation == atomic_load_explicit(admit->in_force, memory_order_acquire) &&
        grant->group_size == join->group.size &&
        memcmp(grant->group, join->group.data, join->group.size) == 0;
    if (!is_known)
        return sfl_admit_join_slowly(admit, join, would_lead, relying_out, refusal_out);
    *relying_out = &grant->calls;
    return true;
}

enum sfl_lost_right {
    SFL_LOST_RIGHT_NONE,  // no call of the stream has lost its right any more
    SFL_LOST_RIGHT_CALL,  // this one has
    SFL_LOST_RIGHT_LATER, // the turn is over
};

// After sfl_admit_renew: takes a call that relies on a right which is gone off its list. It is to
// end with `*reason_out`.
enum sfl_lost_right sfl_admit_take_lost(struct sfl_admit *admit, struct sfl_link **relying_out,
                                        enum sfl_reason *reason_out);

// Something that changes what others see was done: a line for the log.
void sfl_admit_note_forget(const struct sfl_admit *admit, const struct sfl_forget *forget,
                           const struct sfl_forgotten *forgotten);

// Whether some pump is still to look at its streams after a reload. Any thread.
bool sfl_admit_is_reloading(const struct sfl_transport *transport);

// Once, before anything is served; false when there is no memory. Destroyed with the transport.
bool sfl_admit_init(struct sfl_transport *transport);
void sfl_admit_deinit(struct sfl_transport *transport);

#endif
