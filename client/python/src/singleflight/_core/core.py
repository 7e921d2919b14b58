# SPDX-License-Identifier: Apache-2.0
"""The whole of one client's protocol: inputs are methods, outputs are in ``effects``.

Before each input the shell sets ``now``; after it, it carries out the effects and looks when
``timers`` want to be fired. One input at a time.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from . import seat_lead
from .effects import Done, Effect, Lost
from .lead import Lead
from .model import Code, Ended, Join, Outcome, Settings
from .rendezvous import order
from .seat import Seat, is_in_time
from .server import Server
from .timers import Timer, Timers

if TYPE_CHECKING:
    from singleflight.v1 import singleflight_pb2 as pb

    from .call import Call
    from .session import Session

# How long closing a client waits for its last frames to go out.
CLOSE_TIME = 0.5


class Core:
    """See the top of the file."""

    def __init__(self, settings: Settings, random: Random | None = None) -> None:
        self.settings = settings
        self.random = random or Random()
        self.now = 0.0
        self.effects: list[Effect] = []
        self.timers = Timers()
        self.seats: dict[Seat, None] = {}
        self.calls: dict[Call, None] = {}
        self.servers = [Server(self, address) for address in settings.addresses]
        self.closing = False
        self._merging: dict[tuple[object, ...], list[Seat]] = {}
        self._close_timer = Timer(self._on_close_timer)

    def order_of(self, join: Join) -> list[Server]:
        """The servers in the order of the key, its home first."""
        if len(self.servers) == 1:
            return self.servers
        places = order(self.settings.addresses, join.group, join.key)
        return [self.servers[place] for place in places]

    # ---- calls

    def begin(self, call: Call) -> None:
        """Puts a call on an equal seat, or on one of its own."""
        self.calls[call] = None
        if self.closing:
            self.end_call(call, Ended(Code.CANCELLED, "the client is closed"))
            return
        if call.timeout is not None and call.timeout <= 0:
            self._on_deadline(call)
            return
        if call.timeout is not None:
            call.deadline = self.now + call.timeout
            call.timer = Timer(lambda: self._on_deadline(call))
            self.timers.arm(call.timer, call.deadline)
        equal = self._find_equal(call) if call.join.mergeable else None
        if equal is not None:
            equal.add(call)
            equal.tell_follows([call])
            seat_lead.tell_audience(equal)
            return
        seat = Seat(self, call.join)
        seat.add(call)
        seat.set_deadline()
        if call.join.mergeable:
            seat.merges = True
            self._merging.setdefault(call.join.merge_key(), []).append(seat)
        seat.place()

    def cancel(self, call: Call, code: Code = Code.CANCELLED, why: str = "") -> None:
        """Only this caller leaves, at once, whatever its function does."""
        if call.ended:
            return
        seat = call.seat
        why = why or "the call was cancelled by its own program"
        if seat is not None:
            seat.calls.pop(call, None)
            call.seat = None
        self._deliver(call, call.pending or Ended(code, why))
        if seat is not None:
            seat.on_call_left(code, why)

    def _on_deadline(self, call: Call) -> None:
        timeout = call.timeout or 0.0
        why = f"the timeout of {timeout:.4g} s is over"
        seat = call.seat
        if seat is not None and seat.is_joining and seat.server is not None:
            server = seat.server
            if server.last_error:  # a handshake that fails looks like this, too
                why += f", and {server.address} was not reached: {server.last_error}"
        self.cancel(call, Code.DEADLINE_EXCEEDED, why)

    def end_call(self, call: Call, ended: Ended) -> None:
        """Takes a call off its seat and ends it: now, or when its function has been told and ended.

        A call whose lead is lost waits for its function, but not beyond its own deadline.
        """
        if call.seat is not None:
            call.seat.calls.pop(call, None)
            call.seat = None
        if call.ended or call.pending is not None:
            return
        if call.lead is not None:
            call.pending = ended
        else:
            self._deliver(call, ended)

    def _deliver(self, call: Call, ended: Ended) -> None:
        call.ended = True
        call.pending = None
        if call.timer is not None:
            self.timers.disarm(call.timer)
        self.calls.pop(call, None)
        self.effects.append(Done(call, ended))

    # ---- merging

    def _find_equal(self, call: Call) -> Seat | None:
        for seat in self._merging.get(call.join.merge_key(), ()):
            if is_in_time(seat, call):
                return seat
        return None

    def forget_merging(self, seat: Seat) -> None:
        """No more calls come to ``seat``."""
        key = seat.join.merge_key()
        seats = self._merging[key]
        seats.remove(seat)
        if not seats:
            del self._merging[key]

    def stop_merging(self, group: str, key: bytes) -> None:
        """A forget begins: calls that come from now on join for themselves."""
        for seat in list(self.seats):
            if seat.join.key == key and (seat.join.group or "default") == (group or "default"):
                seat.stop_merging()

    # ---- leads

    def lose(self, lead: Lead, code: Code, why: str) -> None:
        """The function is told, unless it has ended."""
        if lead.outcome is None and lead.lost is None:
            lead.lost = code
            lead.lost_why = why
            self.effects.append(Lost(lead))

    def write(self, lead: Lead, data: bytes) -> bool:
        """The function writes. False: the value would be too large."""
        if lead.overflow or self.exceeded(lead, len(data)):
            return False
        lead.value += data
        lead.was_full = lead.was_full or lead.unsent > self.settings.unsent_limit
        if lead.seat is not None:
            seat_lead.on_written(lead.seat)
        return True

    def exceeded(self, lead: Lead, more: int) -> int:
        """The limit that the value would pass with so many bytes more; 0: none."""
        limit = min(self.settings.result_limit, lead.within_limit or self.settings.result_limit)
        if len(lead.value) + more > limit:
            lead.overflow = limit
        return lead.overflow

    def finish(self, lead: Lead, outcome: Outcome) -> None:
        """The function has ended; ``outcome.value`` comes after what was written."""
        assert lead.outcome is None, "a function ends once"
        if lead.overflow:  # a value that is not whole must not look like one
            del lead.value[lead.sent :]
        else:
            lead.value += outcome.value
        lead.outcome = outcome
        call = lead.call
        call.lead = None
        if call.pending is not None and not call.ended:
            self._deliver(call, call.pending)
        if lead.seat is not None:
            seat_lead.on_finished(lead.seat)

    # ---- the network

    def renew_sessions(self) -> None:
        """Calls that come from now on go to new sessions; the others stay where they are."""
        for server in self.servers:
            if server.current is not None:
                server.current.retire()

    def received(self, session: Session, response: pb.SessionResponse) -> None:
        """A message has come."""
        if not session.over:
            session.on_message(response)

    def closed(self, session: Session, code: int, text: str, refused: bool = False) -> None:
        """The stream is over. ``refused``: nobody listens at the address, or there is no such."""
        if not session.over:
            session.on_closed(code, text, refused)

    def on_server_back(self, server: Server) -> None:
        """A server that was not there is: those who wait for another may rather go to it."""
        for other in self.servers:
            for seat in other.take_waiting() if other is not server else ():
                seat.on_server_back()

    def probed(self, server: Server, serves: bool, text: str, refused: bool = False) -> None:
        """A health check has ended; with a text, if there was no answer."""
        server.on_probed(serves, text, refused)

    def tick(self) -> None:
        """Fires the timers whose time has come."""
        self.timers.fire(self.now)

    # ---- the end

    def close(self) -> None:
        """Ends all calls; last frames go out in their time."""
        if self.closing:
            return
        for seat in list(self.seats):
            seat.close()
        closed = Ended(Code.CANCELLED, "the client was closed")
        for call in list(self.calls):
            ended = call.pending or closed
            if call.seat is not None:
                call.seat.calls.pop(call, None)
                call.seat = None
            self._deliver(call, ended)  # whatever runs
        self.closing = True
        for server in self.servers:
            server.close()
        self.timers.arm(self._close_timer, self.now + CLOSE_TIME)

    def _on_close_timer(self) -> None:
        for server in self.servers:
            server.cut()

    @property
    def is_over(self) -> bool:
        """Whether it is closing, and no stream is open."""
        return self.closing and not any(server.sessions for server in self.servers)
