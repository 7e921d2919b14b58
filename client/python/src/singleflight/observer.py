# SPDX-License-Identifier: Apache-2.0
"""What happens to the calls of a client, for those who want to know."""

from __future__ import annotations

import collections
import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Union

from ._clock import clock
from ._core import effects
from ._core.model import Ended, Join
from ._logging import logger


@dataclass(frozen=True)
class Event:
    """Something that happened to a call."""

    group: str
    key: bytes
    attempt: int = 0  #: the how-many-eth leader of the flight it is about; 0: not known yet
    token: int = 0  #: the fencing token of that leader; 0: not known to this caller, or none


@dataclass(frozen=True)
class EndedEvent(Event):
    """The end of a call."""

    duration: float = 0.0  #: seconds since the program asked
    role: str = "follower"  #: or "leader", "retained" (nobody ran for it), "alone" (failed open)
    status: str = "OK"  #: the name of gRPC's code; with "OK" there is an outcome
    outcome: str = ""  #: "ok", "error", "panic", "abandoned"; "": the call ended without one
    callers: int = 0  #: how many callers had this outcome, as far as known


class Observer:
    """Is told of the calls of a client; override what you want to know.

    The methods are called by the client's threads, or on its event loop, soon after it happened,
    those of one call in their order. They must not block. What they raise is logged and changes
    nothing.
    """

    def led(self, event: Event) -> None:
        """The function of this call starts, as the leader's."""

    def followed(self, event: Event) -> None:
        """Somebody else leads, here or elsewhere. Told for each leader that is followed."""

    def takeover(self, event: Event) -> None:
        """A call that followed was made the leader; ``led`` comes next."""

    def failed_open(self, event: Event) -> None:
        """No server: the function starts without one, or goes on, for this process alone."""

    def lost(self, event: Event) -> None:
        """The lead is lost: while the function ran, or before its outcome was confirmed."""

    def ended(self, event: EndedEvent) -> None:
        """The call has ended. Told once for every call, at its end."""


#: One, or several.
Observers = Union[Observer, Sequence[Observer], None]

#: The W3C ``traceparent`` of what the program does at the moment; None or "": there is none.
Traceparent = Callable[[], Union[str, None]]


class CallObserver(Observer):
    """Is told of one call only: what :meth:`TracingObserver.begin` returns."""

    traceparent = ""  #: what the server is to be told of this call

    def running(self) -> contextlib.AbstractContextManager[None]:
        """While the function of the call runs, where it runs. It is not told how that ended."""
        return contextlib.nullcontext()


class TracingObserver(Observer):
    """One that makes something for each call, in the context of its caller."""

    def begin(self, event: Event) -> CallObserver:
        """A call begins; what is returned is told of it, instead of this object."""
        raise NotImplementedError


class _Log(Observer):
    def led(self, event: Event) -> None:
        _log("led", event)

    def followed(self, event: Event) -> None:
        _log("followed", event)

    def takeover(self, event: Event) -> None:
        _log("takeover", event)

    def failed_open(self, event: Event) -> None:
        _log("failed_open", event)

    def lost(self, event: Event) -> None:
        _log("lost", event)

    def ended(self, event: EndedEvent) -> None:
        more = "duration=%.6f role=%s status=%s outcome=%s"
        _log("ended", event, more, event.duration, event.role, event.status, event.outcome)


def _log(name: str, event: Event, more: str = "", *arguments: object) -> None:
    text = f"{name} group=%s key=%r attempt=%d token=%d {more}".rstrip()
    logger.debug(text, event.group, event.key, event.attempt, event.token, *arguments)


_log_observer = _Log()


@contextlib.contextmanager
def _harmless() -> Iterator[None]:
    try:
        yield
    except Exception:
        logger.warning("an observer failed", exc_info=True)


# ---- one call


class Watch:
    """One call, as its observers see it."""

    def __init__(self, observers: Sequence[Observer], event: Event) -> None:
        self._observers: list[Observer] = []
        self._given = observers
        self._event = event
        self._began = clock()
        self._followed = False
        self._role = "follower"
        self._attempt = 0
        self._token = 0
        self._over = False
        self.goes_on: Callable[[Ended], bool] = lambda ended: False
        for observer in observers:
            with _harmless():
                if isinstance(observer, TracingObserver):
                    observer = observer.begin(event)
                self._observers.append(observer)

    def again(self) -> Watch:
        """That of a call which is made again."""
        return Watch(self._given, self._event)

    @property
    def traceparent(self) -> str:
        """Of the first observer that has one."""
        of_calls = [one for one in self._observers if isinstance(one, CallObserver)]
        return next((one.traceparent for one in of_calls if one.traceparent), "")

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """While the function runs."""
        entered: list[contextlib.AbstractContextManager[None]] = []
        for observer in self._observers:
            if isinstance(observer, CallObserver):
                with _harmless():
                    context = observer.running()
                    context.__enter__()
                    entered.append(context)
        try:
            yield
        finally:
            for context in reversed(entered):
                with _harmless():
                    context.__exit__(None, None, None)

    def see(self, effect: effects.Effect, news: News) -> None:
        """Something happened to the call."""
        handler = _HANDLERS.get(type(effect))
        if handler is not None and not self._over:
            handler(self, effect, news)

    def _tell(self, name: str, news: News, event: Event | None = None) -> None:
        if event is None:
            event = Event(self._event.group, self._event.key, self._attempt, self._token)
        for observer in self._observers:
            news.add(getattr(observer, name), event)

    def _on_leads(self, effect: effects.Leads, news: News) -> None:
        self._attempt, self._token = effect.lead.attempt, effect.lead.token
        if effect.lead.failed_open:
            self._on_failed_open(effect, news)
            return
        self._role = "leader"
        if self._followed:
            self._tell("takeover", news)
        self._tell("led", news)

    def _on_follows(self, effect: effects.Follows, news: News) -> None:
        self._followed = True
        self._attempt = effect.attempt
        self._tell("followed", news)

    def _on_failed_open(self, effect: Any, news: News) -> None:
        self._role = "alone"
        self._tell("failed_open", news)

    def _on_lost(self, effect: Any, news: News) -> None:
        self._tell("lost", news)

    def _on_done(self, effect: effects.Done, news: News) -> None:
        ended = effect.ended
        if self.goes_on(ended):
            return
        self._over = True
        role = "alone" if ended.failed_open else self._role
        if ended.retained and not ended.led:
            role = "retained"
        event = EndedEvent(
            self._event.group,
            self._event.key,
            ended.attempt or self._attempt,
            ended.token or self._token,
            clock() - self._began,
            role,
            ended.status.name,
            "" if ended.outcome is None else ended.outcome.kind.name.lower(),
            ended.callers,
        )
        self._tell("ended", news, event)


_HANDLERS: dict[type[Any], Callable[[Watch, Any, News], None]] = {
    effects.Leads: Watch._on_leads,
    effects.Follows: Watch._on_follows,
    effects.FailedOpen: Watch._on_failed_open,
    effects.Lost: Watch._on_lost,
    effects.Unconfirmed: Watch._on_lost,
    effects.Done: Watch._on_done,
}


# ---- one client


class News:
    """What observers are to be told: in order, by one thread at a time, outside of all locks."""

    def __init__(self) -> None:
        self._waiting: collections.deque[tuple[Callable[[Any], None], Event]] = collections.deque()
        self._telling = threading.Lock()
        self._teller = 0

    def add(self, tell: Callable[[Any], None], event: Event) -> None:
        """Has an observer told soon."""
        self._waiting.append((tell, event))

    def see(self, watch: object, effect: effects.Effect) -> None:
        """What an effect means to the call's observers, if it has any."""
        if isinstance(watch, Watch):
            watch.see(effect, self)

    def spread(self) -> None:
        """Tells what waits, unless somebody is at it; then it is told there."""
        while self._waiting and self._telling.acquire(blocking=False):
            try:
                self._teller = threading.get_ident()
                while self._waiting:
                    tell, event = self._waiting.popleft()
                    with _harmless():
                        tell(event)
            finally:
                self._teller = 0
                self._telling.release()

    def settle(self) -> None:
        """Returns when all is told that waited; but not in an observer, where it is told later."""
        if self._teller != threading.get_ident():
            with self._telling:
                pass
            self.spread()


class Observing:
    """Who is told of a client's calls."""

    def __init__(self, observers: Observers, traceparent: Traceparent | None) -> None:
        if observers is None:
            observers = ()
        elif not isinstance(observers, Sequence):
            observers = (observers,)
        self._observers: Sequence[Observer] = tuple(observers)
        self._traceparent = traceparent

    def watch(self, join: Join) -> Watch | None:
        """Begins to watch a call, if anybody wants to; and has the server told its traceparent."""
        observers = self._observers
        if logger.isEnabledFor(logging.DEBUG):
            observers = (*observers, _log_observer)
        watch = None
        if observers:
            watch = Watch(observers, Event(join.group or "default", join.key))
            join.traceparent = watch.traceparent
        if self._traceparent is not None:
            with _harmless():
                join.traceparent = str(self._traceparent() or join.traceparent)
        return watch
