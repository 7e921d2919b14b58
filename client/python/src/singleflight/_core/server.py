# SPDX-License-Identifier: Apache-2.0
"""One server address.

It is reachable as far as known; or failing (since when); or down: failing for the connect timeout.
A server that is down gets health checks instead of sessions, until it answers one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import effects
from .backoff import Backoff
from .session import Session
from .timers import Timer

if TYPE_CHECKING:
    from .core import Core
    from .seat import Seat


class Server:
    """See the top of the file."""

    def __init__(self, core: Core, address: str) -> None:
        settings = core.settings
        self.core = core
        self.address = address
        self.sessions: dict[Session, None] = {}  #: open streams, those that retire included
        self.current: Session | None = None  #: the one that new seats go to
        self.waiting: dict[Seat, None] = {}  #: seats that wait for the next session
        self.down = False
        self.last_error = ""  #: why it could not be reached
        self._failing = False
        self._probing = False
        self._backoff = Backoff(settings.backoff_min, settings.backoff_max, core.random)
        self._retry_timer = Timer(self._on_retry_timer)  # armed: nothing is tried before
        self._down_timer = Timer(self._on_down_timer)  # armed while failing

    # ---- reachable or not

    def _set_failing(self) -> None:
        if self._failing:
            return
        self._failing = True
        core = self.core
        core.timers.arm(self._down_timer, core.now + core.settings.connect_timeout)

    def _set_reachable(self) -> None:
        self._failing = False
        self.down = False
        self.last_error = ""
        self.core.timers.disarm(self._down_timer)
        self._backoff.reset()

    def _back_off(self) -> None:
        core = self.core
        if not core.closing and not self._retry_timer.armed:
            core.timers.arm(self._retry_timer, core.now + self._backoff.next())

    def _set_down(self) -> None:
        # A session that has not answered yet is given up; one that works may be all right but
        # slow, and what runs on it goes on.
        self.down = True
        if self.current is not None and not self.current.up:
            self.current.cut()  # its seats look elsewhere once it is over
        self._back_off()
        waiting, self.waiting = self.waiting, {}
        for seat in waiting:
            seat.on_server_down()

    def _on_down_timer(self) -> None:
        current = self.current
        if self.waiting or (current is not None and current.seats):
            self._set_down()
            return
        self._failing = False  # nobody has asked long enough to know
        if current is not None:
            current.cut()

    def on_silence(self, waited: float) -> None:
        """A join has not been answered for so long."""
        if not self.down and waited >= self.core.settings.connect_timeout:
            self.last_error = self.last_error or "the server does not answer"
            self._set_down()

    # ---- sessions

    def _open_session(self) -> None:
        session = Session(self)
        self.sessions[session] = None
        self.current = session
        self.core.effects.append(effects.OpenStream(session))
        self._set_failing()  # until it answers
        waiting, self.waiting = self.waiting, {}
        for seat in waiting:
            session.add(seat)

    def seat(self, seat: Seat) -> None:
        """Puts a seat that is to join on the current session, or lets it wait for the next."""
        if self.current is not None:
            self.current.add(seat)
            return
        self.waiting[seat] = None
        if not self.down and not self._retry_timer.armed:
            self._open_session()

    def on_session_up(self, session: Session) -> None:
        """It works."""
        if session.up or session.retired:
            return
        session.up = True
        self._set_reachable()

    def on_session_refuses(self, session: Session, text: str) -> None:
        """It turned a join away with UNAVAILABLE."""
        session.retire()
        self.last_error = text
        self._set_failing()
        self._back_off()

    def on_session_over(self, session: Session, text: str) -> None:
        """It is over."""
        self.sessions.pop(session, None)
        was_current = self.current is session
        if was_current:
            self.current = None
        if self.core.closing or (not was_current and session.up):
            return
        if not session.up:
            if text:
                self.last_error = text
            self._set_failing()
        self._back_off()  # also after a good one: many clients may have lost the same server

    # ---- probes

    def _on_retry_timer(self) -> None:
        if self.down and not self._probing:
            self._probing = True
            self.core.effects.append(effects.Probe(self, self.core.settings.connect_timeout))
        elif not self.down and self.current is None and self.waiting:
            self._open_session()

    def on_probed(self, serves: bool, text: str) -> None:
        """The answer to a probe."""
        self._probing = False
        if self.core.closing:
            return
        if not serves:
            self.last_error = text or "the server is there, but not ready to serve"
            self._back_off()
            return
        self._set_reachable()
        if self.waiting:
            self._open_session()

    # ---- the end

    def close(self) -> None:
        """Ends what runs by itself, and lets the sessions end when their frames are out."""
        self.core.timers.disarm(self._retry_timer)
        self.core.timers.disarm(self._down_timer)
        if self._probing:
            self.core.effects.append(effects.StopProbe(self))
        for session in list(self.sessions):
            session.retire()

    def cut(self) -> None:
        """Ends the sessions at once."""
        for session in list(self.sessions):
            session.cut()
