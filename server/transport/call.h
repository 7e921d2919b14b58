// SPDX-License-Identifier: Apache-2.0
// One caller: a Do stream, or one call on a Session.
//
// What the caller is still to be told is kept in a form that stays bounded whatever the peer does
// not read: one slot for each kind of step, of which the newest counts, and a place in the value
// from which chunks are cut when there is room for them.
//
// A call is freed when its last word has been said (the engine's reference) and its stream has let
// go of it (the stream's reference). The stream lets go on its own thread, where its events are
// told; so whatever an event calls here needs no reference of its own, and until then the call
// needs none to the outbox.
#ifndef SFL_TRANSPORT_CALL_H
#define SFL_TRANSPORT_CALL_H

#include "engine/engine.h"
#include "transport/decode.h"
#include "transport/outbox.h"
#include "transport/renewals.h"
#include "transport/reply.h"

struct sfl_trace_context;
struct sfl_traced;

// Where a follower is in the value of an attempt.
struct sfl_reader {
    struct sfl_value *value; // a reference; NULL while there is nothing to read
    struct sfl_value_cursor cursor;
    uint64_t visible; // so many bytes may be read
    uint64_t sequence;
    uint32_t attempt;
};

struct sfl_call {
    struct sfl_member member;
    struct sfl_outbox *outbox; // of its stream
    void (*free)(struct sfl_call *call);
    atomic_uint references;
    uint64_t id;               // Session only
    uint64_t deadline_ms;      // of the monotonic clock; UINT64_MAX: none, or gRPC's to keep
    struct sfl_link in_stream; // Session only: among its calls; its thread's alone
    struct sfl_link relying;   // among those of its stream with one right; its thread's alone

    // What the transport itself found wrong; set before the engine is told MALFORMED.
    struct sfl_fault fault;

    // Under the outbox's lock.
    struct sfl_link in_ready; // of the outbox; once it is detached, the stream's to use
    unsigned pending;         // which of the following are to be told
    bool is_detached;         // nothing is told any more
    bool awaits_disk;         // `result` is set, and to be told once it is kept
    bool detaches;            // once it leads, its deadline does not end it
    struct sfl_lead lead;
    struct sfl_reply_follow follow;
    struct sfl_reply_restart restart;
    struct sfl_audience audience;
    struct sfl_reader reader;
    struct sfl_renewals *renewals; // NULL until one has an id
    struct sfl_traced *traced;     // NULL when it is not
    union {
        struct sfl_told_result result;
        struct sfl_reply_end end;
    };
};

// Makes a call with one reference, the stream's. `free` gets it when the engine has the last one.
void sfl_call_init(struct sfl_call *call, struct sfl_outbox *outbox, uint64_t id,
                   void (*free)(struct sfl_call *call));

// The stream lets go of the call, on its thread. True when nobody knows it any more: its memory is
// the stream's then. Otherwise the engine is about to say its last word, and `free` follows.
bool sfl_call_let_go(struct sfl_call *call);

// Ends a call that the engine does not know (yet). `refusal` is borrowed; reason NONE: the fault.
void sfl_call_refuse(struct sfl_call *call, const struct sfl_refusal *refusal,
                     const struct sfl_fault *fault);

// Carries out one step of the caller after its join, which has no fault. `now_ms`, here and below,
// is when its message came.
void sfl_call_step(struct sfl_call *call, struct sfl_engine *engine,
                   const struct sfl_request *request, uint64_t now_ms);

// Joins: from here on the engine has a reference, until it has said the last word. `trace` (may be
// NULL) counts when the request names no trace.
void sfl_call_join(struct sfl_call *call, struct sfl_engine *engine,
                   const struct sfl_request *request, const struct sfl_trace_context *trace,
                   uint64_t now_ms);

// Ends a call that has joined because of a fault of its own step.
void sfl_call_fail(struct sfl_call *call, struct sfl_engine *engine, const struct sfl_fault *fault,
                   uint64_t now_ms);

// Ends a call that has joined and lost the right to it. Its lease does not outlive that.
void sfl_call_revoke(struct sfl_call *call, struct sfl_engine *engine, enum sfl_reason reason,
                     uint64_t now_ms);

// With the outbox's lock held: nothing is told to the call any more.
void sfl_call_detach_locked(struct sfl_call *call);

// With the outbox's lock held: how much of the value may be read and has not been.
static inline uint64_t sfl_call_unread_locked(const struct sfl_call *call)
{
    return call->reader.value == NULL ? 0 : call->reader.visible - call->reader.cursor.position;
}

// With the outbox's lock held: what is to be told, a bit for each type of reply.
static inline unsigned sfl_call_pending_locked(const struct sfl_call *call)
{
    unsigned chunk = sfl_call_unread_locked(call) > 0 ? 1U << SFL_REPLY_CHUNK : 0;
    return call->pending | chunk;
}

// With the outbox's lock held: at least the bytes that the next reply takes; 0 when there is none.
uint64_t sfl_call_next_bytes_locked(const struct sfl_call *call, uint64_t chunk_bytes_max);

// With the outbox's lock held: true when the next reply, which must be there, is a result whose
// value went out as chunks.
bool sfl_call_ends_chunks_locked(const struct sfl_call *call);

// With the outbox's lock held: takes the next reply, which must be there.
void sfl_call_take_locked(struct sfl_call *call, uint64_t chunk_bytes_max,
                          struct sfl_reply *reply_out);

static inline bool sfl_reply_is_last(const struct sfl_reply *reply)
{
    return reply->type == SFL_REPLY_RESULT || reply->type == SFL_REPLY_END;
}

static inline struct sfl_call *sfl_call_of(struct sfl_member *member)
{
    return SFL_CONTAINER_OF(member, struct sfl_call, member);
}

// --- what the engine tells a call ---

// The functions of the engine's sink that are about one caller. The context is not used.
void sfl_call_on_lead(void *context, struct sfl_member *member, const struct sfl_lead *lead);
void sfl_call_on_follow(void *context, struct sfl_member *member, const struct sfl_follow *follow);
void sfl_call_on_chunk(void *context, struct sfl_member *member, struct sfl_value *value,
                       uint64_t value_bytes);
void sfl_call_on_restart(void *context, struct sfl_member *member, uint32_t attempt,
                         const struct sfl_bytes *leader);
void sfl_call_on_audience(void *context, struct sfl_member *member,
                          const struct sfl_audience *audience);
void sfl_call_on_renewed(void *context, struct sfl_member *member, uint64_t id);
void sfl_call_on_result(void *context, struct sfl_member *member, const struct sfl_result *result);
void sfl_call_on_refuse(void *context, struct sfl_member *member,
                        const struct sfl_refusal *refusal);

// With the outbox's lock held: false when its last word has been said, or nobody is there to be
// told: nothing comes after that.
bool sfl_call_is_to_be_told_locked(const struct sfl_call *call);

// With the outbox's lock held: the result is to be told. `said` comes with its references.
void sfl_call_set_result_locked(struct sfl_call *call, const struct sfl_told_result *said);

// The time has come of a call that waits for the disk: a deadline of the transport's `kept`.
void sfl_call_expire(struct sfl_deadline *deadline);

// Drops the engine's reference: its last word has been said. The call may be gone then.
void sfl_call_drop_engines(struct sfl_call *call);

#endif
