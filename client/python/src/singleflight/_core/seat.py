# SPDX-License-Identifier: Apache-2.0
"""A seat: one call on a session, for one or more equal calls of this program.

It finds a server, joins there, follows or leads, and survives broken streams. This file is its
life; ``seat_frames`` reads what the server says to it, ``seat_lead`` is about the lead.

What may be trusted in each state:

* JOINING: nothing is known yet; it waits for a session, or for the answer to its join
* FOLLOWING: somebody else leads; ``parts`` is what has come of the attempt's value so far
* LEADING: ``lead`` is set, its function runs (or, while ``confirms``, waits for the server's word
  that the lead still holds); while ``answered`` is false its stream is broken, and it tries to
  resume the lead until the lease runs out; while ``asks_until`` is set the process was paused
  beyond the end of its lead, and the server is asked whether it holds all the same
* FINISHING: the same, but the function has ended: its outcome is not confirmed yet
* ALONE: no server could be reached, then or while it led; ``lead`` is set, ``failed_open`` in it
* LEAVING: no calls; it is only here to send its last frames

All calls may be gone from a seat that leads for those who wait elsewhere, or finishes.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING

from . import effects, seat_frames, seat_lead
from .lead import Granted
from .model import ANSWER_TIMEOUT, ONE_TRY, REFUSALS, Code, Ended, Join
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
FINAL_CODES = REFUSALS | {Code.UNIMPLEMENTED}


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
        self.look_time = 0.0  #: what it was armed with
        self.look_until: float | None = None  #: None: it has not begun to look
        self.look_is_over = False
        self.answered = False  #: the server has answered the join on this session

        # Frames that are to be sent, in this order; chunks come before `finish`.
        self.wants_join = False
        self.wants_cancel = False
        self.wants_renew = False
        self.wants_finish = False
        self.abandons = False  #: LEAVING with a lease: `finish` that passes on, not `cancel`

        # As a follower.
        self.leader = (0, "")  #: the attempt that it follows, and whose it is
        self.parts: list[bytes] = []
        self.value_bytes = 0
        self.next_sequence = 0
        self.has_told = False  #: live: chunks were handed out since the last restart
        self.is_void = False  #: live: those chunks are void, and nobody has been told yet

        # As a leader.
        self.lead: Lead | None = None
        self.joined_at = 0.0  #: when the join, or resume, was sent
        self.clock_timer = Timer(lambda: seat_lead.on_clock_timer(self))
        self.clock_at = 0.0  #: when it should have fired
        self.renew_at = 0.0
        self.last_renewal = 0
        self.renewals: dict[int, float] = {}  #: those without an answer, and when they were sent
        self.asks_until: float | None = None
        self.confirms = False
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
        for call in others:
            del self.calls[call]
            new.add(call)
        new.set_deadline()
        new.place()

    def on_call_left(self, code: Code, why: str) -> None:
        """One of its calls was taken off, and ends so."""
        if self.calls or (self.state is State.LEADING and self.followers):
            seat_lead.tell_audience(self)
        elif self.state is not State.FINISHING:  # the flight's other callers wait for the outcome
            self.end(code, why)

    def set_deadline(self) -> None:
        """What the server is to be told: the last of its calls, and some slack."""
        ends = [None if c.deadline is None else c.deadline + wire_slack(c) for c in self.calls]
        known = [end for end in ends if end is not None]
        self.deadline = max(known) if known and len(known) == len(ends) else None

    def stop_merging(self) -> None:
        """No more calls share this seat."""
        if self.merges:
            self.merges = False
            self.core.forget_merging(self)

    # ---- looking for a server

    def place(self) -> None:
        """Finds a server and joins, or resumes, there; or gives up."""
        core = self.core
        servers = core.order_of(self.join)
        if self.lead is not None and self.server is not None and not self.server.down:
            self._enter(self.server)  # the one that knows the lead
            return
        for rank in range(self.rank, len(servers)):
            if servers[rank].is_likely:
                self.rank = rank
                self._enter(servers[rank])
                return
        # No server is known to be there. Leaders wait for as long as their lease lasts, and calls
        # for a server that may come back; unless they would rather run here.
        may_wait = self.lead is not None or (
            not self.look_is_over and self.join.connect_timeout > 0
        )
        if self.lead is None and self.join.fail_open and all(s.is_absent for s in servers):
            may_wait = False
        waits_for = next((server for server in servers if not server.down), None)
        if may_wait and waits_for is None:
            waits_for = servers[0]
        self.rank = 0
        if may_wait and waits_for is not None:
            self._enter(waits_for)
        else:
            self._give_up(servers)

    def _enter(self, server: Server) -> None:
        self.server = server
        self.answered = False
        self.wants_join = True
        looks = self.lead is None and not self.look_is_over
        if looks and not self.look_timer.armed:
            core = self.core
            if self.look_until is None:
                self.look_until = core.now + self.join.connect_timeout
            self.look_time = self._look_time(server, self.look_until - core.now)
            core.timers.arm(self.look_timer, core.now + self.look_time)
        server.seat(self)

    def _look_time(self, server: Server, left: float) -> float:
        # "Do not wait" is about a connection that is not there: one try takes its time, too, and
        # so does the answer of a server that is known to be there.
        if self.join.connect_timeout <= 0:
            return ANSWER_TIMEOUT if server.is_up else ONE_TRY
        whole = min(self.join.connect_timeout, ANSWER_TIMEOUT)
        return min(whole, left) if left > 0 else whole  # a next server has a time of its own

    def _give_up(self, servers: list[Server]) -> None:
        self.core.timers.disarm(self.look_timer)
        if self.join.fail_open and not any(server.turned_away for server in servers):
            self.fail_open()
            seat_lead.begin(self, Granted(token=0, attempt=1, held_from=self.core.now))
            return
        tried = next((server for server in servers if server.last_error), servers[0])
        count = len(servers) - 1
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
        self.leave_place()
        server.on_silence(self.look_time)
        servers = self.core.order_of(self.join)
        self.rank = servers.index(server) + 1
        # Silent ones have their time each; those that refuse, or turn away, have it together.
        if not any(server.is_likely for server in servers[self.rank :]):
            assert self.look_until is not None, "it has begun to look"
            self.rank = 0  # one may be back
            self.look_is_over = self.core.now >= self.look_until
        if self.look_is_over:
            self._give_up(servers)
        else:
            self.place()

    def on_server_gone(self) -> None:
        """Its server is not there, or down; the seat is off its waiting list already."""
        down = self.server is not None and self.server.down
        if down and self.lead is None:
            self.core.timers.disarm(self.look_timer)  # the next one has a time of its own
        self.place()

    def on_server_back(self) -> None:
        """Another server than the one it waits for has come back; it is off that one's list."""
        self.rank = 0
        self.place()

    def set_answered(self) -> None:
        """The server has answered the join."""
        if self.answered:
            return
        assert self.server is not None
        assert self.session is not None
        self.answered = True
        self.look_is_over = False
        self.look_until = None
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
            seat_lead.resume(self)
        else:
            self.state = State.JOINING
            self.is_void = self.is_void or self.has_told
            self.clear_value()
            self.place()

    # ---- ends

    def leave_place(self) -> None:
        """Leaves its server, and tells it if need be.

        One that has sent its join, and was not told the end, leaves a stand-in behind for that.
        """
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
        self.leave_place()
        self.destroy()

    def end(self, code: Code, why: str) -> None:
        """Ends every call so, loses the lead if its function runs, and leaves."""
        if self.lead is not None:
            if self.lead.outcome is not None:
                self.core.effects.append(effects.Unconfirmed(self.lead))
            self.core.lose(self.lead, code, why)
        for call in list(self.calls):
            self.core.end_call(call, Ended(code, why))
        self.leave()

    def destroy(self) -> None:
        """Takes the seat out of everything that knows it."""
        core = self.core
        core.timers.disarm(self.look_timer)
        core.timers.disarm(self.clock_timer)
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
            seat_frames.on_frame_when_leaving(self, frame)
        else:
            seat_frames.on_frame(self, frame)

    def next_frame(self, request: pb.SessionRequest) -> tuple[int, bool]:
        """Adds the next frame, if there is one: its size, roughly, and whether there are more."""
        return seat_lead.next_frame(self, request)

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

    def follow(self, attempt: int, leader: str) -> None:
        """Somebody else leads."""
        self.state = State.FOLLOWING
        self.leader = (attempt, leader)
        self.tell_restart(attempt, leader)
        self.tell_follows(list(self.calls))

    def tell_follows(self, calls: list[Call]) -> None:
        """Tells calls of the seat whom they follow, if that is known."""
        attempt, leader = self.leader
        if self.lead is not None and not self.confirms:
            attempt, leader = self.lead.attempt, self.lead.call.join.caller
        elif self.state is not State.FOLLOWING:
            return
        for call in calls:
            self.core.effects.append(effects.Follows(call, attempt, leader))

    def on_lead(self) -> None:
        """One of its calls leads."""
        if self.state is not State.ALONE:
            self.state = State.LEADING

    @property
    def leads(self) -> bool:
        """Whether it leads, and its function has not ended."""
        return self.state is State.LEADING

    def fail_open(self) -> None:
        """No server can be reached: what runs here is for the calls of this program only."""
        self.state = State.ALONE

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
    if seat.lead is not None and (seat.lead.answers or seat.lead.failed_open):
        return True  # no deadline ends it while it leads
    if seat.deadline is None or call.deadline is None:
        return seat.deadline is None
    return call.deadline + wire_slack(call) / 2 <= seat.deadline
