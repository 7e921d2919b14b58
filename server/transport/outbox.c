// SPDX-License-Identifier: Apache-2.0
#include "transport/outbox.h"

#include "base/status.h"
#include "transport/service.h"
#include "transport/transport.h"

#include <assert.h>

// A send of so many bytes takes as long as some small flights.
enum { HEAVY_BYTES = 64 * 1024 };

static void on_work(struct sfl_pump_work *work);

void sfl_outbox_init(struct sfl_outbox *outbox, const struct sfl_outbox_ops *ops,
                     struct sfl_transport *transport, struct sfl_stream *stream)
{
    *outbox = (struct sfl_outbox){.ops = ops, .transport = transport, .stream = stream};
    outbox->work.run = on_work;
    atomic_init(&outbox->references, 1);
    atomic_init(&outbox->renewals_room, 0);
    pthread_mutex_init(&outbox->lock, NULL);
    sfl_list_init(&outbox->ready);
    sfl_link_init(&outbox->in_residents);
}

struct sfl_outbox *sfl_outbox_ref(struct sfl_outbox *outbox)
{
    atomic_fetch_add_explicit(&outbox->references, 1, memory_order_relaxed);
    return outbox;
}

void sfl_outbox_unref(struct sfl_outbox *outbox)
{
    unsigned before = atomic_fetch_sub_explicit(&outbox->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1)
        return;
    sfl_stream_unref(outbox->stream);
    pthread_mutex_destroy(&outbox->lock);
    outbox->ops->free(outbox);
}

struct sfl_outbox_counts sfl_transport_count_outboxes(const struct sfl_transport *transport,
                                                      unsigned pump)
{
    const struct sfl_outbox_tally *tally = &transport->tallies[pump];
    return (struct sfl_outbox_counts){
        .messages = sfl_counter_get(&tally->messages),
        .bytes = sfl_counter_get(&tally->bytes),
        .put_off = sfl_counter_get(&tally->put_off),
    };
}

static void schedule(struct sfl_outbox *outbox)
{
    outbox->is_scheduled = true;
    sfl_outbox_ref(outbox);
    if (sfl_pump_is_current()) {
        if (outbox->is_heavy)
            sfl_pump_defer_crowd(&outbox->work);
        else
            sfl_pump_defer(&outbox->work);
        return;
    }
    sfl_pumps_post(outbox->transport->pumps, &outbox->work);
}

void sfl_outbox_wake_locked(struct sfl_outbox *outbox)
{
    outbox->is_dirty = true;
    if (!outbox->is_busy && !outbox->is_scheduled && !outbox->is_closed)
        schedule(outbox);
}

void sfl_outbox_wake(struct sfl_outbox *outbox)
{
    sfl_outbox_lock(outbox);
    sfl_outbox_wake_locked(outbox);
    sfl_outbox_unlock(outbox);
}

void sfl_outbox_end(struct sfl_outbox *outbox, int code, const struct sfl_fault *fault,
                    bool at_once)
{
    sfl_outbox_lock(outbox);
    if (outbox->end_code == 0) {
        outbox->end_code = code;
        outbox->end_fault = *fault;
        outbox->end_is_at_once = at_once;
    }
    sfl_outbox_wake_locked(outbox);
    sfl_outbox_unlock(outbox);
}

// Begins a turn of sending. False when it is not this thread's turn, or there is nothing to say.
static bool begin(struct sfl_outbox *outbox)
{
    sfl_outbox_lock(outbox);
    outbox->is_scheduled = false;
    bool may_begin = outbox->is_dirty && !outbox->is_busy && !outbox->is_closed;
    if (may_begin) {
        outbox->is_busy = true;
        outbox->is_dirty = false;
    }
    sfl_outbox_unlock(outbox);
    return may_begin;
}

// Ends a turn in which nothing was sent. False when there is something to say meanwhile: go on.
static bool rest(struct sfl_outbox *outbox)
{
    sfl_outbox_lock(outbox);
    bool may_rest = !outbox->is_dirty;
    outbox->is_dirty = false;
    if (may_rest)
        outbox->is_busy = false;
    sfl_outbox_unlock(outbox);
    return may_rest;
}

// True when the stream is to end now; the message then has its status.
static bool is_to_end(struct sfl_outbox *outbox, bool has_nothing_to_say,
                      struct sfl_message *message)
{
    char text[SFL_FAULT_TEXT_MAX];
    sfl_outbox_lock(outbox);
    int code = outbox->end_is_at_once || has_nothing_to_say ? outbox->end_code : 0;
    struct sfl_fault fault = outbox->end_fault;
    sfl_outbox_unlock(outbox);
    if (code == 0)
        return false;
    sfl_fault_text(&fault, text);
    sfl_message_set_status(message, code, text);
    return true;
}

static enum sfl_fill fill(struct sfl_outbox *outbox, struct sfl_message *message)
{
    sfl_message_init(message);
    if (is_to_end(outbox, false, message))
        return SFL_FILL_FINISH;
    enum sfl_fill what = outbox->ops->fill(outbox, message);
    sfl_message_close(message);
    if (what == SFL_FILL_NOTHING && is_to_end(outbox, true, message))
        return SFL_FILL_FINISH;
    return what;
}

static void mark_dirty(struct sfl_outbox *outbox)
{
    sfl_outbox_lock(outbox);
    outbox->is_dirty = true;
    sfl_outbox_unlock(outbox);
}

// Ends a turn in which nothing was sent, for want of time.
static void go_on_later(struct sfl_outbox *outbox)
{
    sfl_outbox_lock(outbox);
    outbox->is_busy = false;
    outbox->is_heavy = true; // others go first
    sfl_outbox_wake_locked(outbox);
    sfl_outbox_unlock(outbox);
}

static void count(struct sfl_outbox *outbox, enum sfl_fill what, const struct sfl_message *message)
{
    struct sfl_outbox_tally *tally = &outbox->transport->tallies[sfl_pump_index()];
    if (what == SFL_FILL_LATER)
        sfl_counter_add(&tally->put_off, 1);
    if (what == SFL_FILL_LATER || message->piece_count == 0)
        return;
    sfl_counter_add(&tally->messages, 1);
    sfl_counter_add(&tally->bytes, message->bytes);
}

// After a message has been handed over, the outbox stays busy until on_sent or for ever.
static void flush(struct sfl_outbox *outbox)
{
    struct sfl_message message;
    for (;;) {
        enum sfl_fill what = fill(outbox, &message);
        if (what != SFL_FILL_NOTHING)
            count(outbox, what, &message);
        switch (what) {
        case SFL_FILL_NOTHING:
            if (rest(outbox))
                return;
            break;
        case SFL_FILL_LATER:
            go_on_later(outbox);
            return;
        case SFL_FILL_SEND:
            if (message.may_have_more)
                mark_dirty(outbox);
            outbox->is_heavy = message.bytes >= HEAVY_BYTES;
            // When the stream is over, on_closed tells.
            if (sfl_stream_send(outbox->stream, message.pieces, message.piece_count) != SFL_OK)
                return;
            return;
        case SFL_FILL_FINISH:
            sfl_stream_finish(outbox->stream, message.pieces, message.piece_count, message.code,
                              message.text);
            return;
        }
    }
}

static void on_work(struct sfl_pump_work *work)
{
    struct sfl_outbox *outbox = SFL_CONTAINER_OF(work, struct sfl_outbox, work);
    if (begin(outbox))
        flush(outbox);
    sfl_outbox_unref(outbox);
}

bool sfl_outbox_hold(struct sfl_outbox *outbox)
{
    sfl_outbox_lock(outbox);
    bool may_hold = !outbox->is_busy && !outbox->is_closed;
    if (may_hold)
        outbox->is_busy = true;
    sfl_outbox_unlock(outbox);
    return may_hold;
}

void sfl_outbox_release(struct sfl_outbox *outbox)
{
    if (!rest(outbox))
        flush(outbox);
}

void sfl_outbox_on_sent(struct sfl_outbox *outbox)
{
    sfl_outbox_lock(outbox);
    outbox->is_busy = false;
    if (outbox->is_dirty || outbox->end_code > 0)
        sfl_outbox_wake_locked(outbox);
    sfl_outbox_unlock(outbox);
}

void sfl_outbox_on_closed(struct sfl_outbox *outbox)
{
    sfl_outbox_lock(outbox);
    outbox->is_closed = true;
    sfl_outbox_unlock(outbox);
}
