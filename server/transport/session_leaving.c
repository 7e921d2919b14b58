// SPDX-License-Identifier: Apache-2.0
// The calls of a Session leave, or learn that the client sends no more: all of them, in turns.
#include "base/clock.h"
#include "transport/session_private.h"

void sfl_session_defer_turn(struct sfl_session *session)
{
    if (session->has_turn)
        return;
    session->has_turn = true;
    sfl_outbox_ref(&session->outbox);
    sfl_pump_defer_crowd(&session->turn);
}

static void move(struct sfl_call *call, struct sfl_list *to)
{
    sfl_link_remove(&call->in_stream);
    sfl_list_append(to, &call->in_stream);
}

bool sfl_session_leads(const struct sfl_session *session, const struct sfl_call *call)
{
    return sfl_engine_leads(session->outbox.transport->engine, &call->member);
}

static void leave(struct sfl_session *session, struct sfl_call *call)
{
    sfl_engine_leave(session->outbox.transport->engine, &call->member, session->reason,
                     session->broken, sfl_clock_now_ms());
    sfl_session_put_away(session, call);
}

// Takes calls of a list until the turn is over. False then; true when the list is empty.
static bool take_calls(struct sfl_session *session, struct sfl_list *calls,
                       void (*take)(struct sfl_session *session, struct sfl_call *call))
{
    uint64_t before = session->index.count;
    struct sfl_link *link = NULL;
    bool is_turn_over = false;
    while (!is_turn_over && (link = sfl_list_first(calls)) != NULL) {
        take(session, SFL_CONTAINER_OF(link, struct sfl_call, in_stream));
        is_turn_over = sfl_pump_should_yield();
    }
    sfl_connection_give(session->connection, before - session->index.count);
    sfl_session_count(session, sfl_session_calls_now(session));
    return link == NULL;
}

// A call that leads waits until the others have left: it must not hand over to one of them.
static void leave_or_wait(struct sfl_session *session, struct sfl_call *call)
{
    sfl_outbox_lock(&session->outbox);
    sfl_call_detach_locked(call);
    sfl_outbox_unlock(&session->outbox);
    if (sfl_session_leads(session, call))
        move(call, &session->leaders);
    else
        leave(session, call);
}

// Those that lead leave, and when nothing is left of the session, it goes.
static void leave_last(struct sfl_session *session)
{
    if (!take_calls(session, &session->leaders, leave)) {
        sfl_session_defer_turn(session);
        return;
    }
    session->is_leaving = false;
    if (!session->is_closed)
        return;
    sfl_transport_remove_resident(session->outbox.transport, &session->outbox);
    sfl_admit_close(&session->admit);
    sfl_outbox_unref(&session->outbox);
}

void sfl_session_on_loss(struct sfl_lost *loss)
{
    leave_last(SFL_CONTAINER_OF(loss, struct sfl_session, loss));
}

void sfl_session_go_on_leaving(struct sfl_session *session)
{
    // A turn that was on its way when the stream broke; on_loss goes on.
    if (sfl_link_is_linked(&session->loss.link))
        return;
    if (!take_calls(session, &session->calls, leave_or_wait)) {
        sfl_session_defer_turn(session);
    } else if ((session->broken || session->is_denied) && !session->waits_for_others &&
               !sfl_list_is_empty(&session->leaders)) {
        session->waits_for_others = true;
        sfl_losses_add(session->outbox.transport, &session->loss);
    } else {
        leave_last(session);
    }
}

void sfl_session_drop_held(struct sfl_session *session)
{
    if (session->held == NULL)
        return;
    sfl_connection_release(session->connection, session->held->size);
    sfl_bytes_unref(session->held);
    session->held = NULL;
}

void sfl_session_leave_all(struct sfl_session *session, enum sfl_reason reason, bool broken)
{
    if (session->is_leaving)
        return;
    sfl_session_drop_held(session);
    session->is_leaving = true;
    session->reason = reason;
    session->broken = broken;
    sfl_list_append_all(&session->calls, &session->unaware);
    sfl_list_append_all(&session->calls, &session->leaders);
    sfl_session_go_on_leaving(session);
}

// --- the half-close ---

static void half_close(struct sfl_session *session, struct sfl_call *call)
{
    move(call, &session->calls);
    sfl_engine_half_close(session->outbox.transport->engine, &call->member, sfl_clock_now_ms());
}

// A leader that half-closes leaves, and must not hand over to one who is about to learn of it.
static void half_close_or_wait(struct sfl_session *session, struct sfl_call *call)
{
    if (sfl_session_leads(session, call))
        move(call, &session->leaders);
    else
        half_close(session, call);
}

void sfl_session_go_on_half_closing(struct sfl_session *session)
{
    if (!take_calls(session, &session->unaware, half_close_or_wait) ||
        !take_calls(session, &session->leaders, half_close))
        sfl_session_defer_turn(session);
}
