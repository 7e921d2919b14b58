# SPDX-License-Identifier: Apache-2.0
"""One server address.

It is reachable as far as known; or failing (since when); or down: failing for the answer timeout.
A server that is down gets health checks instead of sessions, until it answers one. One whose last
try was refused, or that turns joins away because it drains, is asked after all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import effects
from .backoff import Backoff
from .model import ANSWER_TIMEOUT
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
        self.refused = False  #: the last try: nobody listens at the address
        self.turned_away = False  #: it is there, and took the last join with UNAVAILABLE
        self.last_error = ""  #: why it could not be reached
        self._failing = False
        self._probing = False
        self._backoff = Backoff(settings.backoff_min, settings.backoff_max, core.random)
        self._retry_timer = Timer(self._on_retry_timer)  # armed: nothing is tried before
        self._down_timer = Timer(self._on_down_timer)  # armed while failing

    # ---- reachable or not

    @property
    def is_likely(self) -> bool:
        """Whether nothing is known that speaks against a try."""
        return not (self.down or self.refused or self.turned_away)

    @property
    def is_absent(self) -> bool:
        """Whether it is known not to be there."""
        return (self.down or self.refused) and not self.turned_away

    @property
    def is_up(self) -> bool:
        """Whether a session works."""
        return self.current is not None and self.current.up

    def _set_failing(self) -> None:
        if self._failing:
            return
        self._failing = True
        core = self.core
        core.timers.arm(self._down_timer, core.now + core.settings.look_time)

    def _set_reachable(self) -> None:
        self._failing = False
        was_likely = self.is_likely
        self.down = self.refused = self.turned_away = False
        self.last_error = ""
        self.core.timers.disarm(self._down_timer)
        self._backoff.reset()
        if not was_likely:
            self.core.on_server_back(self)

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
            seat.on_server_gone()

    def take_waiting(self) -> list[Seat]:
        """Those who would rather go to another server, now that there is one."""
        if self.is_likely:
            return []
        waiting, self.waiting = self.waiting, {}
        return list(waiting)

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
        if not self.down and waited >= self.core.settings.look_time:
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
        """It turned a join away with UNAVAILABLE, or ended a call so: it drains."""
        session.retire()
        self.last_error = text
        self.refused, self.turned_away = False, True
        self._set_failing()
        self._back_off()

    def on_session_over(self, session: Session, text: str, refused: bool) -> None:
        """It is over; refused: nobody listens at the address."""
        self.sessions.pop(session, None)
        was_current = self.current is session
        if was_current:
            self.current = None
        if self.core.closing or (not was_current and session.up):
            return
        if not session.up:
            if text:
                self.last_error = text
            if refused:
                self.refused, self.turned_away = True, False
            self._set_failing()
        self._back_off()  # also after a good one: many clients may have lost the same server

    # ---- probes

    def _on_retry_timer(self) -> None:
        if self.waiting and not self.down:
            if self.current is None:
                self._open_session()
        elif not self.is_likely and not self._probing:
            self._probing = True
            settings = self.core.settings
            timeout = settings.look_time if settings.connect_timeout else ANSWER_TIMEOUT
            self.core.effects.append(effects.Probe(self, timeout))

    def on_probed(self, serves: bool, text: str, refused: bool) -> None:
        """The answer to a probe; without a text if the server is there, and does not serve."""
        self._probing = False
        if self.core.closing:
            return
        if not serves:
            self.last_error = text or "the server is there, but not ready to serve"
            self.refused, self.turned_away = refused, not text
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
