# SPDX-License-Identifier: Apache-2.0
"""What the server says to a seat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from . import effects, seat_lead
from .lead import Granted
from .model import LAST_STEPS, LIMIT_EXCEEDED, Code, Ended, Kind, Outcome, Role, code_of

if TYPE_CHECKING:
    from singleflight.v1 import singleflight_pb2 as pb

    from .lead import Lead
    from .seat import Seat


def on_frame(seat: Seat, frame: pb.CallResponse) -> None:
    """One step of the server for this seat, which may be gone after it."""
    step = frame.WhichOneof("step")
    handler = _HANDLERS.get(step or "")
    if handler is not None:  # otherwise a step of a later server
        handler(seat, frame)


def on_frame_when_leaving(seat: Seat, frame: pb.CallResponse) -> None:
    """What crosses the last frame of a seat, which has not been sent yet."""
    step = frame.WhichOneof("step")
    if step in LAST_STEPS:
        seat.destroy()
    elif step == "lead" and frame.lead.lease_ms > 0:
        seat.abandons = True


# ---- results


def _end_all(seat: Seat, outcome: Outcome, result: pb.Result, own: bool = False) -> None:
    # All calls end with one outcome; the merged ones count as callers of their own.
    leading_call = None
    if result.led:
        leading_call = seat.lead.call if seat.lead is not None else seat.first_call()
    calls = list(seat.calls)
    callers, shared = result.callers, result.shared
    if not result.retained and len(calls) > 1:
        callers += len(calls) - 1
        shared = True
    for call in calls:
        ended = Ended(
            Code.OK,
            "",
            outcome,
            call is leading_call,
            own and call is leading_call,
            shared,
            callers,
            result.attempt,
            result.token,
            result.retained,
            result.age_ms,
            result.retain_ms,
            result.retain_refused,
        )
        seat.core.end_call(call, ended)
    seat.leave()


def _take_bytes(seat: Seat, data: bytes) -> bool:
    # False: the seat is gone.
    if not data:
        return True
    limit = seat.core.settings.result_limit
    seat.value_bytes += len(data)
    if seat.value_bytes > limit:
        seat.end(
            Code.RESOURCE_EXHAUSTED,
            f"the value is larger than this client takes: result_limit is {limit} bytes; "
            "raise it where the client is made",
        )
        return False
    call = seat.first_call()  # live calls sit alone
    if seat.join.live and call is not None:
        seat.has_told = True
        seat.core.effects.append(effects.Chunk(call, data))
    seat.parts.append(data)
    return True


def _on_result(seat: Seat, frame: pb.CallResponse) -> None:
    result = frame.result
    assert seat.server is not None
    assert seat.session is not None
    seat.server.on_session_up(seat.session)
    seat.session.remove(seat)
    lead = seat.lead
    if lead is not None and lead.outcome is not None and result.led and _is_own(lead, result):
        # The server does not send the leader's own value back.
        _end_all(seat, lead.whole_outcome(), result, own=True)
        return
    if not result.HasField("outcome") or result.outcome.kind not in _KINDS:
        seat.end(Code.INTERNAL, "the server sent a result without an outcome")
        return
    seat.tell_restart(result.attempt, "")
    if not _take_bytes(seat, result.outcome.value):
        return
    if not result.led and result.value_bytes != seat.value_bytes:
        why = f"{seat.value_bytes} bytes of a value of {result.value_bytes} have come"
        seat.end(Code.INTERNAL, why)
        return
    if lead is not None:  # settled without us, while our function runs
        why = result.outcome.message or "the flight has ended without this leader"
        seat.core.lose(lead, Code.ABORTED, why)
    wire = result.outcome
    outcome = Outcome(
        Kind(wire.kind),
        b"".join(seat.parts) if len(seat.parts) != 1 else seat.parts[0],
        wire.code,
        wire.message,
        wire.type,
        wire.stack,
        wire.details,
    )
    _end_all(seat, outcome, result)


_KINDS = frozenset(int(kind) for kind in Kind)


def _is_own(lead: Lead, result: pb.Result) -> bool:
    # Otherwise the server has put another outcome in its place: a limit, a loss that is held.
    assert lead.outcome is not None
    if not result.HasField("outcome"):
        return True
    if result.outcome.type == LIMIT_EXCEEDED and lead.outcome.type != LIMIT_EXCEEDED:
        return False
    return result.outcome.kind == int(lead.outcome.kind)


# ---- ends


def _on_end(seat: Seat, frame: pb.CallResponse) -> None:
    server, session = seat.server, seat.session
    assert server is not None
    assert session is not None
    was_answered = seat.answered
    code, text = code_of(frame.end.code), frame.end.message
    session.remove(seat)
    if code in (Code.UNAVAILABLE, Code.CANCELLED):
        # Draining, or its coordinator is away, or somebody between ends our streams (a seat that
        # was cancelled here does not listen any more): as if the stream had broken.
        if was_answered and code is Code.CANCELLED:
            session.retire()
        else:
            server.on_session_refuses(session, text)
        seat.on_session_over(code, text)
        return
    server.on_session_up(session)
    if code is Code.UNAUTHENTICATED:
        session.retire()  # the next one may come with a better token
    if code is Code.OK:
        code = Code.INTERNAL
    if seat.lead is not None:
        seat_lead.lose(seat, code, text)
    else:
        seat.end(code, text)


# ---- others


def _on_lead(seat: Seat, frame: pb.CallResponse) -> None:
    lead = frame.lead
    if seat.join.role == Role.FOLLOW_ONLY:
        seat.end(Code.INTERNAL, "the server told one to lead that only follows")
    elif seat.lead is None:
        seat.set_answered()
        seat_lead.begin(seat, _granted(seat, lead))
    elif seat.answered:
        return  # it leads already
    elif lead.token == seat.lead.token:
        seat_lead.resumed(seat, _granted(seat, lead))
    else:
        seat.end(Code.INTERNAL, "the server resumed another lead")


def _granted(seat: Seat, lead: pb.Lead) -> Granted:
    # A server of the first edition tells no silence_ms. There the lease counts from the lead.
    answers = lead.silence_ms > 0
    counts_from_join = answers or seat.lead is not None
    return Granted(
        lead.token,
        lead.attempt,
        seat.joined_at if counts_from_join else seat.core.now,
        lead.lease_ms,
        lead.run_limit_ms,
        (lead.silence_ms or lead.lease_ms) / 1000,
        answers,
        lead.next_sequence,
        lead.result_limit,
    )


def _on_renewed(seat: Seat, frame: pb.CallResponse) -> None:
    seat_lead.on_renewed(seat, frame.renewed.id, frame.renewed.silence_ms)


def _on_follow(seat: Seat, frame: pb.CallResponse) -> None:
    if not seat.is_joining:
        return
    follow = frame.follow
    seat.set_answered()
    seat.follow(follow.attempt, follow.leader)


def _on_chunk(seat: Seat, frame: pb.CallResponse) -> None:
    if seat.lead is not None:
        return
    chunk = frame.chunk
    seat.set_answered()
    seat.tell_restart(chunk.attempt, "")
    if chunk.sequence != seat.next_sequence:
        seat.end(Code.INTERNAL, "a chunk of the value is missing")
        return
    seat.next_sequence += 1
    _take_bytes(seat, chunk.data)


def _on_restart(seat: Seat, frame: pb.CallResponse) -> None:
    if seat.lead is not None:
        return
    seat.clear_value()
    seat.is_void = seat.join.live
    seat.follow(frame.restart.attempt, frame.restart.leader)


def _on_audience(seat: Seat, frame: pb.CallResponse) -> None:
    audience = frame.audience
    seat.followers = audience.followers
    latest_ms = audience.latest_deadline_ms
    seat.latest_deadline = None if latest_ms == 0 else seat.core.now + latest_ms / 1000
    seat_lead.on_audience(seat)


_HANDLERS: dict[str, Callable[[Seat, pb.CallResponse], None]] = {
    "lead": _on_lead,
    "follow": _on_follow,
    "chunk": _on_chunk,
    "restart": _on_restart,
    "audience": _on_audience,
    "renewed": _on_renewed,
    "result": _on_result,
    "end": _on_end,
}
