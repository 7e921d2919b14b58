# SPDX-License-Identifier: Apache-2.0
"""A seat: one call on a session, for one or more equal calls of this program.

It finds a server, joins there, follows or leads, and survives broken streams. This file is its
life; ``listening`` reads what the server says to it, ``leading`` is about the lead.

What may be trusted in each state:

* JOINING: nothing is known yet; it waits for a session, or for the answer to its join
* FOLLOWING: somebody else leads; ``parts`` is what has come of the attempt's value so far
* LEADING: ``lead`` is set, its function runs; while ``answered`` is false its stream is broken, and
  it tries to resume the lead until the lease runs out
* FINISHING: the same, but the function has ended: its outcome is not confirmed yet
* ALONE: no server could be reached; ``lead`` is set, its token is 0
* LEAVING: no calls; it is only here to send its last frames

A flight's calls may be gone from a seat that still leads or finishes for others.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING

from . import effects, leading, listening
from .model import Code, Ended, Join
from .timers import Timer

if TYPE_CHECKING:
    from singleflight.v1 import singleflight_pb2 as pb

    from .call import Call
    from .core import Core
    from .lead import Lead
    from .server import Server
    from .session import Session

# On the wire every deadline is a part of the timeout later than the call's own, so that the call
# is ended here, where a lease is given back, and not by the server, which would keep the flight
# for a leader that may come back. Equal calls that come a little later take up to half of it.
WIRE_SLACK_MIN = 1.0
WIRE_SLACK_DIVISOR = 4

# Statuses of a stream that no second try mends.
FINAL_CODES = frozenset((Code.PERMISSION_DENIED, Code.UNAUTHENTICATED, Code.UNIMPLEMENTED))


class State(enum.Enum):
    """See the top of the file."""

    JOINING = enum.auto()
    FOLLOWING = enum.auto()
    LEADING = enum.auto()
    FINISHING = enum.auto()
    ALONE = enum.auto()
    LEAVING = enum.auto()


class Seat:
    """See the top of the file."""

    def __init__(self, core: Core, join: Join) -> None:
        self.core = core
        self.join = join
        self.state = State.JOINING
        self.calls: dict[Call, None] = {}  #: those that wait here, the oldest first
        self.merges = False  #: in core.merging, more calls may come
        self.deadline: float | None = None  #: what the server is told

        # Where it is: on a server's waiting list, or on a session.
        self.server: Server | None = None
        self.session: Session | None = None
        self.id = 0
        self.rank = 0  #: place of its server in the key's order
        self.look_timer = Timer(self._on_look_timer)  #: armed while it looks for a server
        self.look_is_over = False
        self.answered = False  #: the server has answered the join on this session

        # Frames that are to be sent, in this order; chunks come before `finish`.
        self.wants_join = False
        self.wants_cancel = False
        self.wants_renew = False
        self.wants_finish = False
        self.abandons = False  #: LEAVING with a lease: `finish` that passes on, not `cancel`

        # As a follower.
        self.parts: list[bytes] = []
        self.value_bytes = 0
        self.next_sequence = 0
        self.has_told = False  #: live: chunks were handed out since the last restart
        self.is_void = False  #: live: those chunks are void, and nobody has been told yet

        # As a leader.
        self.lead: Lead | None = None
        self.lease_timer = Timer(lambda: leading.on_lease_timer(self))
        self.renewed = 0.0
        self.followers: int | None = None  #: elsewhere; None: nobody has waited yet
        self.latest_deadline: float | None = None
        core.seats[self] = None

    @classmethod
    def to_give_back(cls, core: Core, join: Join, token: int) -> Seat:
        """One that takes a lead with a lease only to pass it on.

        The lead came to a seat that had sent its `cancel`: for the server it is one whose leader
        may come back, and others would wait until the lease is over.
        """
        seat = cls(core, dataclasses.replace(join, resume_token=token))
        seat.state = State.LEAVING
        seat.wants_join = True
        seat.wants_cancel = True
        seat.abandons = True
        return seat

    # ---- calls

    def first_call(self) -> Call | None:
        """The oldest call; None when all have left."""
        return next(iter(self.calls), None)

    def add(self, call: Call) -> None:
        """Takes a call in."""
        call.seat = self
        self.calls[call] = None

    def split(self, stays: Call | None) -> None:
        """Moves all calls but ``stays`` to a seat of their own.

        It joins as a follower, in front of whatever this seat sends next.
        """
        others = [call for call in self.calls if call is not stays]
        if not others:
            return
        new = Seat(self.core, self.join)
        new.deadline = self.deadline
        for call in others:
            del self.calls[call]
            new.add(call)
        new.place()

    def on_call_left(self, code: Code, why: str) -> None:
        """One of its calls was taken off, and ends so."""
        if self.calls:
            leading.tell_audience(self)
        elif self.state is not State.FINISHING:  # the flight's other callers wait for the outcome
            self.end(code, why)

    def stop_merging(self) -> None:
        """No more calls share this seat."""
        if self.merges:
            self.merges = False
            self.core.forget_merging(self)

    # ---- looking for a server

    def place(self) -> None:
        """Finds a server and joins, or resumes, there; or gives up."""
        servers = self.core.order_of(self.join)
        for rank in range(self.rank, len(servers)):
            if not servers[rank].down:
                self.rank = rank
                self._enter(servers[rank])
                return
        self.rank = len(servers)
        # Every server is down. Leaders wait for as long as their lease lasts, and some calls wait
        # because they were told to.
        if self.lead is not None or (self.join.waits_when_down and not self.look_is_over):
            self._enter(servers[0])
        else:
            self._give_up(servers[0])

    def _enter(self, server: Server) -> None:
        self.server = server
        self.answered = False
        self.wants_join = True
        looks = self.lead is None and not self.look_is_over
        if looks and not self.look_timer.armed:
            core = self.core
            core.timers.arm(self.look_timer, core.now + self.join.connect_timeout)
        server.seat(self)

    def _give_up(self, tried: Server) -> None:
        self.core.timers.disarm(self.look_timer)
        if self.join.fail_open:
            self.state = State.ALONE
            leading.begin(self, token=0, attempt=1, lease_ms=0, run_limit_ms=0)
            return
        count = len(self.core.servers) - 1
        others = f" (and {count} other servers)" if count > 0 else ""
        why = tried.last_error or "it does not answer"
        self.end(
            Code.UNAVAILABLE,
            f"no server can be reached at {tried.address}{others}: {why}. Start singleflightd "
            "there, or name its address in SINGLEFLIGHT_ADDRESS; or let calls fail open",
        )

    def _on_look_timer(self) -> None:
        server = self.server
        assert server is not None, "it looks for one"
        self._leave_place()
        server.on_silence(self.join.connect_timeout)
        self.rank += 1
        if self.rank >= len(self.core.servers):
            self.look_is_over = True
            self._give_up(server)
        else:
            self.place()

    def on_server_down(self) -> None:
        """Its server is down; the seat is off its waiting list already."""
        if self.lead is None and not self.join.waits_when_down:
            self.core.timers.disarm(self.look_timer)
        self.place()

    def set_answered(self) -> None:
        """The server has answered the join."""
        if self.answered:
            return
        assert self.server is not None
        assert self.session is not None
        self.answered = True
        self.look_is_over = False
        self.rank = 0
        self.core.timers.disarm(self.look_timer)
        self.server.on_session_up(self.session)

    def on_session_over(self, code: int, text: str) -> None:
        """Its session is over; the seat is off it already."""
        if self.state is State.LEAVING or self.core.closing:
            self.destroy()
        elif code in FINAL_CODES:
            self.end(Code(code), text)
        elif self.lead is not None:
            leading.resume(self)
        else:
            self.state = State.JOINING
            self.is_void = self.is_void or self.has_told
            self.clear_value()
            self.place()

    # ---- ends

    def _leave_place(self) -> None:
        # One that has sent its join, and was not told the end, leaves a stand-in behind that tells
        # the server.
        if self.server is not None:
            self.server.waiting.pop(self, None)
        session = self.session
        if session is None:
            return
        if self.wants_join:
            session.remove(self)
            return
        stand_in = Seat(self.core, self.join)
        stand_in.state = State.LEAVING
        stand_in.wants_cancel = True
        stand_in.abandons = self.lead is not None and self.answered and self.lead.lease_ms > 0
        session.replace(self, stand_in)

    def leave(self) -> None:
        """Ends the seat, which has no calls any more. The server is told if need be."""
        self._leave_place()
        self.destroy()

    def end(self, code: Code, why: str) -> None:
        """Ends every call so, loses the lead if its function runs, and leaves."""
        if self.lead is not None:
            self.core.lose(self.lead, code, why)
        for call in list(self.calls):
            self.core.end_call(call, Ended(code, why))
        self.leave()

    def destroy(self) -> None:
        """Takes the seat out of everything that knows it."""
        core = self.core
        core.timers.disarm(self.look_timer)
        core.timers.disarm(self.lease_timer)
        self.stop_merging()
        core.seats.pop(self, None)
        if self.server is not None:
            self.server.waiting.pop(self, None)
        if self.session is not None:
            self.session.remove(self)
        if self.lead is not None:
            self.lead.seat = None

    def close(self) -> None:
        """The client closes. Outcomes that are on their way still go out."""
        if self.state not in (State.LEAVING, State.FINISHING):
            self.end(Code.CANCELLED, "the client was closed")

    # ---- frames

    def on_frame(self, frame: pb.CallResponse) -> None:
        """The server says something to this seat."""
        if self.state is State.LEAVING:
            listening.on_frame_when_leaving(self, frame)
        else:
            listening.on_frame(self, frame)

    def next_frame(self, request: pb.SessionRequest) -> tuple[int, bool]:
        """Adds the next frame, if there is one: its size, roughly, and whether there are more."""
        return leading.next_frame(self, request)

    @property
    def is_gone(self) -> bool:
        """Whether the last frame of a seat that leaves was taken."""
        return self.state is State.LEAVING and not self.wants_cancel

    # ---- small things

    @property
    def is_joining(self) -> bool:
        """Whether nothing is known yet."""
        return self.state is State.JOINING

    @property
    def is_alone(self) -> bool:
        """Whether no server could be reached."""
        return self.state is State.ALONE

    def follow(self) -> None:
        """Somebody else leads."""
        self.state = State.FOLLOWING

    def on_lead(self) -> None:
        """One of its calls leads."""
        if self.state is not State.ALONE:
            self.state = State.LEADING

    def on_finish(self) -> None:
        """The function of its leading call has ended."""
        self.state = State.FINISHING

    def clear_value(self) -> None:
        """Throws away what has come of the value."""
        self.parts.clear()
        self.value_bytes = 0
        self.next_sequence = 0
        self.has_told = False

    def tell_restart(self, attempt: int, leader: str) -> None:
        """Live calls learn that what they got is void, if it is and they do not know it."""
        if not self.is_void:
            return
        self.is_void = False
        call = self.first_call()  # live calls sit alone
        if call is not None:
            self.core.effects.append(effects.Restarts(call, attempt, leader))


def wire_slack(call: Call) -> float:
    """How much later the call's deadline is on the wire."""
    return max((call.timeout or 0.0) / WIRE_SLACK_DIVISOR, WIRE_SLACK_MIN)


def is_in_time(seat: Seat, call: Call) -> bool:
    """Whether the server's patience with the seat is enough for one more call."""
    if seat.deadline is None or call.deadline is None:
        return seat.deadline is None
    return call.deadline + wire_slack(call) / 2 <= seat.deadline
