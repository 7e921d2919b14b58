# SPDX-License-Identifier: Apache-2.0
"""The leader's side of a seat: the lead comes, is renewed, resumed or lost, and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from singleflight.v1 import singleflight_pb2 as pb

from . import effects
from .lead import CHUNK_BYTES_MAX, Granted, Lead
from .model import Code, Ended, Kind, LeaderLoss

if TYPE_CHECKING:
    from .call import Call
    from .seat import Seat

# A renewal goes out every third of the time that a lead holds without an answer.
RENEWALS = 3

# A process that was paused beyond the end of its lead asks the server for at most so long.
ASK_TIME_MAX = 5.0

# A timer that fires so much too late says that the process was paused, and not only busy.
_PAUSE_MAX = 1.0

# What a frame may weigh beside its bytes: names, numbers, tags.
_FRAME_BYTES = 64


# ---- the clock of the lead


def _arm_clock(seat: Seat) -> None:
    lead, timers = seat.lead, seat.core.timers
    end = lead.holds_until if lead is not None else None
    if end is None:
        timers.disarm(seat.clock_timer)
        return
    at = end if seat.asks_until is None else seat.asks_until
    if _is_offered(seat):
        at = seat.renew_at
    elif seat.answered:
        at = min(at, seat.renew_at)
    seat.clock_at = at
    timers.arm(seat.clock_timer, at)


def _is_offered(seat: Seat) -> bool:
    # Nobody has to be told any more: the outcome is on its way as long as the stream lives.
    return seat.answered and seat.lead is not None and seat.lead.outcome is not None


def on_clock_timer(seat: Seat) -> None:
    """Time to renew; or the lead is over."""
    lead, now = seat.lead, seat.core.now
    assert lead is not None
    if _is_offered(seat):
        _renew(seat)
        _arm_clock(seat)
        return
    if seat.asks_until is not None and now >= seat.asks_until:
        over(seat, lead.over_text("while this process did not run"))
        return
    if seat.asks_until is None and lead.is_lost(now):
        if not _was_paused(seat, lead):
            over(seat, lead.over_text(_where(seat, lead)))
            return
        seat.asks_until = now + min(lead.silence, ASK_TIME_MAX)
        seat.renew_at = now
    if seat.answered and now >= seat.renew_at:
        _renew(seat)
    _arm_clock(seat)


def _was_paused(seat: Seat, lead: Lead) -> bool:
    # Only a server that answers can be asked whether the lead holds all the same.
    late = seat.core.now - seat.clock_at
    return lead.answers and late > min(_PAUSE_MAX, lead.silence / RENEWALS)


def _where(seat: Seat, lead: Lead) -> str:
    if not seat.answered:
        return "before the connection to the server was back"
    if seat.core.now - seat.clock_at > min(_PAUSE_MAX, lead.silence / RENEWALS):
        return "while this process did not run"
    return "without an answer of the server" if lead.answers else "before it could be renewed"


def _renew(seat: Seat) -> None:
    assert seat.lead is not None
    assert seat.session is not None
    seat.renew_at = seat.core.now + seat.lead.silence / RENEWALS
    seat.wants_renew = True
    seat.session.ready(seat)


def on_renewal_sent(seat: Seat, sent_at: float) -> None:
    """A renewal that no answer comes to has left."""
    lead = seat.lead
    if lead is not None and seat.answered:
        lead.held_from = max(lead.held_from, sent_at)
        _arm_clock(seat)


def on_renewed(seat: Seat, number: int, silence_ms: int) -> None:
    """The server has answered a renewal."""
    lead = seat.lead
    sent_at = seat.renewals.get(number)
    if lead is None or sent_at is None:
        return
    seat.renewals = {n: at for n, at in seat.renewals.items() if n > number}
    if silence_ms > 0:
        lead.silence = silence_ms / 1000
    lead.held_from = max(lead.held_from, sent_at)
    if not lead.is_lost(seat.core.now):
        seat.asks_until = None
        if seat.confirms:
            seat.confirms = False
            _start(seat)
    _arm_clock(seat)


# ---- the lead comes


def begin(seat: Seat, granted: Granted) -> None:
    """The oldest call leads.

    A lead that comes long after the join was sent (to a follower) may be over when it comes, after
    a pause; so its function waits until the server has confirmed it.
    """
    core = seat.core
    call = seat.first_call()
    assert call is not None and seat.lead is None, "who waits may lead, and leads once"
    lead = Lead(seat, call, granted)
    lead.failed_open = granted.token == 0
    seat.lead = lead
    seat.on_lead()
    seat.is_void = seat.is_void or seat.has_told
    seat.clear_value()
    third = lead.silence / RENEWALS
    seat.renew_at = lead.held_from + third
    seat.confirms = lead.answers and core.now - lead.held_from > third
    if seat.confirms:
        lead.held_from = core.now
        _renew(seat)
    else:
        _start(seat)
    _arm_clock(seat)


def _start(seat: Seat) -> None:
    lead, call = seat.lead, seat.first_call()
    assert lead is not None and call is not None
    lead.call = call
    call.lead = lead
    seat.tell_restart(lead.attempt, call.join.caller)
    seat.core.effects.append(effects.Leads(call, lead))
    seat.tell_follows([other for other in seat.calls if other is not call])
    tell_audience(seat)


def on_written(seat: Seat) -> None:
    """The function has written."""
    if seat.session is not None and seat.answered:
        seat.session.ready(seat)


def on_finished(seat: Seat) -> None:
    """The function has ended."""
    lead = seat.lead
    assert lead is not None
    assert lead.outcome is not None
    passes_on = lead.pass_on and lead.outcome.kind is not Kind.OK
    if seat.is_alone:
        if passes_on:
            seat.split(lead.call)
        _finish_alone(seat, lead)
        return
    seat.on_finish()
    seat.stop_merging()
    if passes_on and seat.join.on_leader_loss == LeaderLoss.PROMOTE:
        if seat.session is not None and seat.answered:
            seat.session.unready(seat)  # else its join may still have to be sent, to resume
        seat.split(lead.call)  # their join travels before the `finish`
    seat.wants_finish = True
    on_written(seat)


def _finish_alone(seat: Seat, lead: Lead) -> None:
    calls = list(seat.calls)
    outcome = lead.whole_outcome()
    for call in calls:
        ended = Ended(
            Code.OK,
            outcome=outcome,
            led=call is lead.call,
            own=call is lead.call,
            shared=len(calls) > 1,
            callers=len(calls),
            attempt=lead.attempt,
            token=lead.token,
            failed_open=True,
        )
        seat.core.end_call(call, ended)
    seat.destroy()


# ---- who waits


def _latest_of(calls: list[Call]) -> float | None:
    latest = 0.0
    for call in calls:
        if call.deadline is None:
            return None
        latest = max(latest, call.deadline)
    return latest


def tell_audience(seat: Seat) -> None:
    """Tells the leader who waits, merged calls included."""
    lead = seat.lead
    if lead is None or not seat.join.audience:
        return
    merged = [call for call in seat.calls if call is not lead.call]
    if seat.followers is None and not merged and lead.followers is None:
        return
    followers = seat.followers or 0
    ends = [_latest_of(merged)] if merged else []
    if followers > 0:
        ends.append(seat.latest_deadline)
    lead.followers = followers + len(merged)
    known = [end for end in ends if end is not None]
    lead.latest_deadline = max(known) if known and len(known) == len(ends) else None
    lead.audience_changes += 1
    seat.core.effects.append(effects.AudienceChanged(lead))


def on_audience(seat: Seat) -> None:
    """Who waits elsewhere has changed. A function that nobody waits for any more is cancelled."""
    if not seat.calls and seat.followers == 0 and seat.leads:
        seat.end(Code.CANCELLED, "nobody waits for the outcome any more")
        return
    tell_audience(seat)


# ---- broken streams


def resume(seat: Seat) -> None:
    """The stream broke while leading."""
    lead = seat.lead
    assert lead is not None
    if lead.lease_ms == 0:
        over(
            seat,
            "the lead is lost: the connection to the server broke, and there is no lease that "
            "would outlive it"
            if lead.outcome is None
            else "the connection broke before the server confirmed the outcome: it may or may not "
            "have reached the followers",
        )
        return
    if seat.confirms:
        _rejoin(seat)
        return
    if lead.outcome is not None:
        lead.held_from = seat.core.now  # it is offered again for as long as a lead would hold
        seat.asks_until = None
    seat.answered = False
    seat.wants_renew = False
    seat.renewals = {}
    seat.rank = 0
    _arm_clock(seat)
    seat.place()


def resumed(seat: Seat, granted: Granted) -> None:
    """The answer to a resume: so many chunks have arrived."""
    lead = seat.lead
    assert lead is not None
    assert seat.session is not None
    seat.set_answered()
    if not lead.rewind(granted.next_sequence):
        seat.end(Code.INTERNAL, "the server resumed the lead at a chunk that was never posted")
        return
    seat.wants_finish = lead.outcome is not None
    seat.asks_until = None
    lead.silence, lead.answers = granted.silence, granted.answers
    lead.held_from = granted.held_from
    seat.renew_at = lead.held_from + lead.silence / RENEWALS
    _arm_clock(seat)
    seat.session.ready(seat)


def over(seat: Seat, why: str) -> None:
    """The server is out of reach, and the lead's time over. With fail_open the function goes on."""
    lead = seat.lead
    assert lead is not None
    if seat.confirms or not seat.join.fail_open:
        lose(seat, Code.ABORTED, why)
        return
    seat.leave_place()
    seat.fail_open()
    lead.failed_open = True
    seat.core.effects.append(effects.FailedOpen(lead))
    _arm_clock(seat)
    if lead.was_full:
        lead.was_full = False
        seat.core.effects.append(effects.Drained(lead))
    if lead.outcome is not None:
        on_finished(seat)


def lose(seat: Seat, code: Code, why: str) -> None:
    """The lead is lost: its call ends so; after ABORTED, the others join anew."""
    assert seat.lead is not None
    if seat.confirms:
        _rejoin(seat)
        return
    if code is Code.ABORTED:
        seat.split(seat.lead.call)
    seat.end(code, why)


def _rejoin(seat: Seat) -> None:
    # A lead that was over before its function began.
    seat.split(None)
    seat.leave()


# ---- frames to send


def next_frame(seat: Seat, request: pb.SessionRequest) -> tuple[int, bool]:
    """Adds the next frame, if there is one: its size, roughly, and whether there are more."""
    if seat.wants_join:
        return _add_join(seat, request), seat.wants_cancel
    if seat.wants_cancel:
        return _add_leave(seat, request), False
    lead = seat.lead
    if lead is None or not seat.answered:
        return 0, False
    if seat.wants_renew:
        return _add_renew(seat, lead, request), True
    limit = CHUNK_BYTES_MAX if seat.wants_finish else 0
    if lead.unsent > limit:
        return _add_chunk(seat, lead, request), True
    return (_add_finish(seat, lead, request) if seat.wants_finish else 0), False


def _add_renew(seat: Seat, lead: Lead, request: pb.SessionRequest) -> int:
    seat.wants_renew = False
    frame = request.calls.add()
    frame.id = seat.id
    frame.renew.SetInParent()
    now = seat.core.now
    if lead.answers:
        seat.last_renewal += 1
        frame.renew.id = seat.last_renewal
        seat.renewals[seat.last_renewal] = now
    elif seat.session is not None:
        seat.session.when_sent(lambda: on_renewal_sent(seat, now))
    return _FRAME_BYTES


def _add_join(seat: Seat, request: pb.SessionRequest) -> int:
    seat.wants_join = False
    seat.joined_at = seat.core.now
    if seat.join.fresh:
        seat.stop_merging()  # who comes from now on may not take what begins now
    frame = request.calls.add()
    frame.id = seat.id
    join, wire = seat.join, frame.join
    wire.key = join.key
    wire.caller = join.caller
    if join.group:
        wire.group = join.group
    resume_token = join.resume_token if seat.lead is None else seat.lead.token
    if resume_token:
        wire.resume_token = resume_token
        wire.audience = not seat.abandons
        if seat.lead is not None or seat.abandons:
            return _FRAME_BYTES + len(join.key)  # only these are looked at
    wire.audience = True
    wire.detach = True
    for name in _JOIN_FIELDS:
        value = getattr(join, name)
        if value:
            setattr(wire, name, value)
    for lead in join.within:
        wire.within.add(group=lead.group, key=lead.key, token=lead.token)
    if seat.deadline is not None and not resume_token:
        frame.timeout_ms = max(1, int((seat.deadline - seat.core.now) * 1000))
    return _FRAME_BYTES + len(join.key) + len(join.fingerprint)


_JOIN_FIELDS = (
    "role",
    "live",
    "retain_ms",
    "retain_error_ms",
    "max_age_ms",
    "lease_ms",
    "run_limit_ms",
    "on_leader_loss",
    "max_attempts",
    "fingerprint",
    "retain_from_lead",
    "fresh",
    "traceparent",
)


def _add_chunk(seat: Seat, lead: Lead, request: pb.SessionRequest) -> int:
    frame = request.calls.add()
    frame.id = seat.id
    sequence, data = lead.take_chunk()
    frame.chunk.sequence = sequence
    frame.chunk.data = data
    _on_taken(seat, lead)
    return _FRAME_BYTES + len(data)


def _on_taken(seat: Seat, lead: Lead) -> None:
    if lead.was_full and lead.unsent <= seat.core.settings.unsent_limit // 2:
        lead.was_full = False
        seat.core.effects.append(effects.Drained(lead))


def _add_finish(seat: Seat, lead: Lead, request: pb.SessionRequest) -> int:
    # What is left of the value, at most one chunk, travels with the outcome.
    end = lead.outcome
    assert end is not None
    seat.wants_finish = False
    frame = request.calls.add()
    frame.id = seat.id
    finish = frame.finish
    outcome = finish.outcome
    outcome.kind = end.kind  # type: ignore[assignment]  # the numbers are the same
    outcome.code = end.code
    outcome.message = end.message
    outcome.type = end.type
    outcome.stack = end.stack
    outcome.details = end.details
    outcome.value = lead.take(lead.unsent)
    if lead.retain_ms is not None:
        finish.retention.retain_ms = lead.retain_ms
    finish.pass_on = lead.pass_on and end.kind is not Kind.OK
    texts = len(end.message) + len(end.stack) + len(end.type) + len(end.details)
    return _FRAME_BYTES + texts + len(outcome.value)


def _add_leave(seat: Seat, request: pb.SessionRequest) -> int:
    # The last frame of a stand-in: a plain leave, or what gives a lease back at once.
    seat.wants_cancel = False
    frame = request.calls.add()
    frame.id = seat.id
    if seat.abandons:
        frame.finish.outcome.kind = pb.OUTCOME_KIND_ABANDONED
        frame.finish.outcome.message = "the leader left"
        frame.finish.pass_on = True
    else:
        frame.cancel.SetInParent()
    return _FRAME_BYTES
