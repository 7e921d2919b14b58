// SPDX-License-Identifier: Apache-2.0
// The sending side of one stream. Whoever has something to say wakes the outbox; it asks its owner
// for the next message as soon as the one before has left. So things to say gather by themselves
// while a send is under way, and the owner holds them in the form that it likes best.
//
// Lock order: a shard's lock, then an outbox's lock. Nothing is sent under either.
#ifndef SFL_TRANSPORT_OUTBOX_H
#define SFL_TRANSPORT_OUTBOX_H

#include "base/counter.h"
#include "base/list.h"
#include "rpc/pump.h"
#include "rpc/schema.h"
#include "transport/message.h"

#include <pthread.h>

struct sfl_outbox;
struct sfl_transport;

enum sfl_fill {
    SFL_FILL_NOTHING, // there is nothing to say now
    SFL_FILL_LATER,   // it takes longer than a turn to find out: ask again in another one
    SFL_FILL_SEND,    // the message is to be sent
    SFL_FILL_FINISH,  // the stream ends with the message's status, after the message if it has one
};

struct sfl_outbox_ops {
    // Builds the next message. Called without the lock, by one thread at a time.
    enum sfl_fill (*fill)(struct sfl_outbox *outbox, struct sfl_message *message);
    // The last reference is gone.
    void (*free)(struct sfl_outbox *outbox);
};

// What one pump has sent. Each has a cache line for itself.
struct sfl_outbox_tally {
    _Alignas(SFL_CACHE_LINE) sfl_counter messages;
    sfl_counter bytes;
    sfl_counter put_off;
};

// Embedded in the owner's own struct.
struct sfl_outbox {
    const struct sfl_outbox_ops *ops;
    struct sfl_transport *transport;
    struct sfl_stream *stream;
    struct sfl_pump_work work;
    atomic_uint references;
    atomic_uint renewals_room; // that its calls have, see renewals.h
    pthread_mutex_t lock;
    // Under the lock.
    struct sfl_list ready; // calls that have something to say (struct sfl_call)
    bool is_scheduled;     // `work` is on its way
    bool is_busy;          // held, or in `fill`, or a message is being sent, or it is over
    bool is_dirty;         // there may be something to say
    bool is_closed;        // the stream is over
    int end_code;          // above 0: the stream is to end so
    bool end_is_at_once;   // whatever is left to say
    struct sfl_fault end_fault;
    // The last message was large: what follows it lets others go first. While the outbox is busy it
    // is the sender's, otherwise under the lock.
    bool is_heavy;
    // Under the transport's lock: among the streams that end only when they are told to.
    struct sfl_link in_residents;
};

// Makes an outbox with one reference, the stream's own. Takes over the caller's reference to the
// stream, which is dropped with the last one of the outbox.
void sfl_outbox_init(struct sfl_outbox *outbox, const struct sfl_outbox_ops *ops,
                     struct sfl_transport *transport, struct sfl_stream *stream);

struct sfl_outbox *sfl_outbox_ref(struct sfl_outbox *outbox);
void sfl_outbox_unref(struct sfl_outbox *outbox);

static inline void sfl_outbox_lock(struct sfl_outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
}

static inline void sfl_outbox_unlock(struct sfl_outbox *outbox)
{
    pthread_mutex_unlock(&outbox->lock);
}

// There is something to say. With the lock held; also under a shard's lock; any thread. The message
// is built later, on a pump thread: on this one when the completions at hand are drained, or, when
// this is none, on one that the transport has. So whoever tells something has nothing to flush.
void sfl_outbox_wake_locked(struct sfl_outbox *outbox);
void sfl_outbox_wake(struct sfl_outbox *outbox);

// For a stream on which nothing gathers: what is said between hold and release is sent by the
// release at once, instead of when its turn comes. Hold is false when a message is being sent
// already; then there is nothing to release. On a pump thread, with no lock held.
bool sfl_outbox_hold(struct sfl_outbox *outbox) SFL_MUST_USE;
void sfl_outbox_release(struct sfl_outbox *outbox);

// The stream is to end with this status: `at_once`, as soon as nothing is being sent, and what has
// not been said yet is not said any more; otherwise as soon as there is nothing left to say. The
// first end counts.
void sfl_outbox_end(struct sfl_outbox *outbox, int code, const struct sfl_fault *fault,
                    bool at_once);

// The stream's events.
void sfl_outbox_on_sent(struct sfl_outbox *outbox);
// The stream is over: nothing is built any more. The stream's reference stays the caller's to drop.
void sfl_outbox_on_closed(struct sfl_outbox *outbox);

#endif
