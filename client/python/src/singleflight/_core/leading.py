# SPDX-License-Identifier: Apache-2.0
"""The leader's side of a seat: the lead comes, is renewed, resumed or lost, and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from singleflight.v1 import singleflight_pb2 as pb

from . import effects
from .lead import CHUNK_BYTES_MAX, Lead
from .model import Code, Ended, Kind, LeaderLoss

if TYPE_CHECKING:
    from .call import Call
    from .seat import Seat

RENEWALS_PER_LEASE = 3

# What a frame may weigh beside its bytes: names, numbers, tags.
_FRAME_BYTES = 64


# ---- leases


def _arm_lease_timer(seat: Seat, part: int) -> None:
    lead = seat.lead
    if lead is not None and lead.lease_ms > 0:
        seat.core.timers.arm(seat.lease_timer, seat.renewed + lead.lease_ms / 1000 / part)


def on_lease_timer(seat: Seat) -> None:
    """Time to renew; or the lease is over."""
    lead, core = seat.lead, seat.core
    assert lead is not None
    assert seat.server is not None
    if core.now - seat.renewed >= lead.lease_ms / 1000:
        where = (
            "while this process did not run"
            if seat.answered
            else "before the connection to the server was back"
        )
        lose(seat, Code.ABORTED, f"the lease of {lead.lease_ms} ms ran out {where}")
        return
    assert seat.answered and seat.session is not None, "else it is armed for the lease's end"
    if not seat.wants_renew:  # else the last one has not even been sent
        seat.wants_renew = True
        seat.renewed = core.now
    lease_end = seat.renewed + lead.lease_ms / 1000
    next_at = core.now + lead.lease_ms / 1000 / RENEWALS_PER_LEASE
    core.timers.arm(seat.lease_timer, min(next_at, lease_end))
    seat.session.ready(seat)


# ---- the lead comes


def begin(
    seat: Seat, token: int, attempt: int, lease_ms: int, run_limit_ms: int, first_sequence: int = 0
) -> None:
    """Hands the lead to the oldest call."""
    core = seat.core
    call = seat.first_call()
    assert call is not None and seat.lead is None, "who waits may lead, and leads once"
    lead = Lead(seat, call, token, attempt, lease_ms, run_limit_ms)
    lead.first_sequence = first_sequence
    seat.lead = lead
    call.lead = lead
    seat.on_lead()
    seat.is_void = seat.is_void or seat.has_told
    seat.clear_value()
    seat.renewed = core.now
    _arm_lease_timer(seat, RENEWALS_PER_LEASE)
    seat.tell_restart(attempt, call.join.caller)
    core.effects.append(effects.Leads(call, lead))
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
    if passes_on and seat.join.on_leader_loss != LeaderLoss.FAIL:
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
            shared=len(calls) > 1,
            callers=len(calls),
            attempt=1,
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


# ---- broken streams


def resume(seat: Seat) -> None:
    """The stream broke while leading."""
    lead = seat.lead
    assert lead is not None
    if lead.lease_ms == 0:
        lose(
            seat,
            Code.ABORTED,
            "the lead is lost: the connection to the server broke, and there is no lease that "
            "would outlive it"
            if lead.outcome is None
            else "the connection broke before the server confirmed the outcome: it may or may not "
            "have reached the followers",
        )
        return
    seat.answered = False
    seat.wants_renew = False
    seat.rank = 0
    _arm_lease_timer(seat, 1)
    seat.place()


def resumed(seat: Seat, next_sequence: int) -> None:
    """The answer to a resume: so many chunks have arrived."""
    lead = seat.lead
    assert lead is not None
    assert seat.session is not None
    seat.set_answered()
    if not lead.rewind(next_sequence):
        seat.end(Code.INTERNAL, "the server resumed the lead at a chunk that was never posted")
        return
    seat.wants_finish = lead.outcome is not None
    seat.renewed = seat.core.now
    _arm_lease_timer(seat, RENEWALS_PER_LEASE)
    seat.session.ready(seat)


def lose(seat: Seat, code: Code, why: str) -> None:
    """The lead is lost: its call ends so; after ABORTED, the others join anew."""
    assert seat.lead is not None
    if code is Code.ABORTED:
        seat.split(seat.lead.call)
    seat.end(code, why)


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
        seat.wants_renew = False
        frame = request.calls.add()
        frame.id = seat.id
        frame.renew.SetInParent()
        return _FRAME_BYTES, True
    limit = CHUNK_BYTES_MAX if seat.wants_finish else 0
    if lead.unsent > limit:
        return _add_chunk(seat, lead, request), True
    return (_add_finish(seat, lead, request) if seat.wants_finish else 0), False


def _add_join(seat: Seat, request: pb.SessionRequest) -> int:
    seat.wants_join = False
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
        if seat.lead is not None or seat.abandons:
            return _FRAME_BYTES + len(join.key)  # only these are looked at
    for name in _JOIN_FIELDS:
        value = getattr(join, name)
        if value:
            setattr(wire, name, value)
    if seat.deadline is not None and not resume_token:
        frame.timeout_ms = max(1, int((seat.deadline - seat.core.now) * 1000))
    return _FRAME_BYTES + len(join.key) + len(join.fingerprint)


_JOIN_FIELDS = (
    "role",
    "live",
    "audience",
    "retain_ms",
    "retain_error_ms",
    "max_age_ms",
    "lease_ms",
    "run_limit_ms",
    "on_leader_loss",
    "max_attempts",
    "fingerprint",
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
