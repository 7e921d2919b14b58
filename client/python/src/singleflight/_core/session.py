# SPDX-License-Identifier: Apache-2.0
"""One Session stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from singleflight.v1 import singleflight_pb2 as pb

from . import effects
from .model import LAST_STEPS, REFUSALS, Code
from .seat import Seat

if TYPE_CHECKING:
    from .model import Join
    from .server import Server

MESSAGE_FULL_BYTES = 512 * 1024


class Session:
    """Seats share it; their frames travel together."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.shell: object = None
        self.seats: dict[int, Seat] = {}
        self.up = False  #: the server has taken a join on it
        self.retired = False  #: takes no new seats; ends when those it has are done with
        self.over = False
        self._ready: dict[Seat, None] = {}  # those that have frames to send, in turn
        # Ids of seats that have left, until the server's last word for them. The joins are of those
        # that left with `cancel`: a lead may be on its way to them.
        self._left: dict[int, Join | None] = {}
        self._last_id = 0
        self._sending = False
        self._woken = False
        self._when_sent: list[Callable[[], None]] = []

    # ---- seats

    def add(self, seat: Seat) -> None:
        """Seats ``seat``, with an id of its own, and has its frames sent."""
        assert not self.retired
        self._add(seat)

    def replace(self, seat: Seat, stand_in: Seat) -> None:
        """Puts ``stand_in`` in the place of ``seat``, under the same id."""
        self._take_off(seat)
        self._put(stand_in, seat.id)

    def remove(self, seat: Seat) -> None:
        """Takes ``seat`` off."""
        self._take_off(seat)
        self._wake_if_idle()

    def ready(self, seat: Seat) -> None:
        """``seat`` has frames to send: it gets its turn soon."""
        self._ready[seat] = None
        self._wake()

    def unready(self, seat: Seat) -> None:
        """``seat`` goes to the end of the line when it is ready again."""
        self._ready.pop(seat, None)

    def retire(self) -> None:
        """No new seats; the stream ends with the server's last word for its last one."""
        self.retired = True
        if self.server.current is self:
            self.server.current = None
        self._wake_if_idle()

    def cut(self) -> None:
        """Ends the stream now, whatever is under way."""
        self.retire()
        if not self.over:
            self.server.core.effects.append(effects.CutStream(self))

    def _add(self, seat: Seat) -> None:
        assert not self.over
        self._last_id += 1
        self._put(seat, self._last_id)

    def _put(self, seat: Seat, number: int) -> None:
        seat.session = self
        seat.server = self.server
        seat.id = number
        self.seats[number] = seat
        self.ready(seat)

    def _take_off(self, seat: Seat) -> None:
        assert seat.session is self
        del self.seats[seat.id]
        self._ready.pop(seat, None)
        seat.session = None

    # ---- sending

    def next_message(self) -> pb.SessionRequest | None:
        """Frames of the seats that are ready, one of each in turn, until the message is full.

        The last message, if any, has been sent. None: nothing is to be sent now. The shell half
        closes the stream when there is nothing and ``half_closes``.
        """
        self._woken = False
        self._sending = False
        sent, self._when_sent = self._when_sent, []
        for tell in sent:
            tell()
        if not self._ready:
            return None
        request = pb.SessionRequest()
        size = 0
        while self._ready and size < MESSAGE_FULL_BYTES:
            seat = next(iter(self._ready))
            del self._ready[seat]
            frame_size, more = seat.next_frame(request)
            size += frame_size
            if more:
                self._ready[seat] = None
            if seat.is_gone:
                self._left[seat.id] = None if seat.abandons else seat.join
                seat.destroy()
        if size == 0:
            return None
        self._sending = True
        return request

    def when_sent(self, tell: Callable[[], None]) -> None:
        """Calls ``tell`` when the message that is being made has been sent."""
        self._when_sent.append(tell)

    @property
    def half_closes(self) -> bool:
        """Whether no frame comes any more."""
        return self.over or (self.retired and not self.seats and not self._left)

    def _wake(self) -> None:
        if self._sending or self._woken or self.over:
            return
        self._woken = True
        self.server.core.effects.append(effects.Wake(self))

    def _wake_if_idle(self) -> None:
        if self.half_closes:
            self._wake()

    # ---- receiving

    def on_message(self, response: pb.SessionResponse) -> None:
        """Frames of the server."""
        for frame in response.calls:
            seat = self.seats.get(frame.id)
            if seat is not None:
                seat.on_frame(frame)
            else:
                self._on_frame_of_left(frame)

    def _on_frame_of_left(self, frame: pb.CallResponse) -> None:
        if frame.end.code != Code.UNAVAILABLE:  # that would refuse one that has left
            self.server.on_session_up(self)
        step = frame.WhichOneof("step")
        if step in LAST_STEPS:
            self._left.pop(frame.id, None)
            self._wake_if_idle()
        elif step == "lead" and frame.lead.lease_ms > 0:
            join = self._left.get(frame.id)
            if join is not None:  # the lead has crossed the cancel
                self._left[frame.id] = None
                self._add(Seat.to_give_back(self.server.core, join, frame.lead.token))

    def on_closed(self, code: int, text: str, refused: bool) -> None:
        """The stream is over. ``refused``: nobody listens at the address."""
        if code in REFUSALS:  # the server is there: that is no reason to fail open
            self.server.on_session_up(self)
        self.over = True
        self.retired = True
        self._left.clear()
        self._when_sent.clear()
        self.server.on_session_over(self, text, refused)
        # What happens to one seat may end or move others, so each time the first that is left.
        while self.seats:
            seat = next(iter(self.seats.values()))
            self._take_off(seat)
            seat.on_session_over(code, text)
