# SPDX-License-Identifier: Apache-2.0
"""The client for threads. :mod:`singleflight.aio` is its twin for asyncio."""

from __future__ import annotations

import contextvars
import inspect
import queue
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from ._client_base import ClientBase
from ._clock import clock
from ._core import effects
from ._core.lead import Lead as CoreLead
from ._core.model import Ended
from ._fork import ForkGuard, leave_behind, tell_of_forks
from ._shell import (
    LEAVING,
    AskedCall,
    LeadBase,
    StreamBase,
    leading,
    outcome_of,
    read_forget,
    result_of,
)
from ._threads import Engine
from .codec import RAW, Codec
from .errors import CallCancelledError, DecodeError
from .options import CallOptions, Duration, read_timeout
from .results import Audience, Chunk, Forgotten, Restart, Result

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

T = TypeVar("T")

_start_lock = threading.Lock()  # before the engines of all clients, while they start

#: What is run by the one caller that leads. What it returns is the value.
Function = Callable[["Lead"], T]


class Lead(LeadBase):
    """The lead of one flight, in the hands of the function that runs for it."""

    def __init__(self, engine: Engine, core: CoreLead) -> None:
        super().__init__(core, engine.settings)
        self._engine = engine
        self._changed = threading.Condition()

    def on_change(self) -> None:
        """From the client's threads."""
        with self._changed:
            self._changed.notify_all()

    def _wait_for(self, what: Callable[[], bool], timeout: Duration = None) -> None:
        with self._changed:
            self._changed.wait_for(what, read_timeout(timeout))

    def write(self, data: bytes) -> None:
        """Appends bytes to the value; live followers get them at once.

        Waits while more than 1 MiB is not sent yet.

        Raises:
            StatusError: the lead is lost.
            LimitExceededError: the value is larger than the client's ``result_limit``, or than the
                server takes. Such a flight cannot end well any more.
        """
        self._guard.check()
        self._check_lost()
        self.wrote = True
        if not data:
            return
        data = bytes(data)
        if not self._engine.write(self._lead, data):
            raise self.too_large()
        self.echo(data)
        if self._lead.was_full:
            self._wait_for(lambda: self.was_told or not self._lead.was_full)
            self._check_lost()

    def wait_lost(self, timeout: Duration = None) -> bool:
        """Waits until the lead is lost, or the time is over; whether it is lost."""
        self._wait_for(lambda: self.was_told, timeout)
        return self.lost

    def wait_audience(self, timeout: Duration = None) -> Audience | None:
        """Waits until the audience is another than when it was last asked for.

        Or until the lead is lost, or the time is over.
        """
        lead, seen = self._lead, self._audience_seen
        self._wait_for(lambda: self.was_told or lead.audience_changes != seen, timeout)
        return self.audience


class _Runner:
    """Runs the function of one call when it leads."""

    def __init__(
        self,
        engine: Engine,
        function: Function[Any] | None,
        asked: AskedCall,
    ) -> None:
        self.engine = engine
        self.function = function
        self._asked = asked
        self.own_error: BaseException | None = None

    def run(self, core: CoreLead) -> None:
        """Runs the function, and tells how it ended."""
        lead = Lead(self.engine, core)
        lead.refreshes = self._asked.refreshes
        core.shell = lead
        if core.lost is not None:  # before it was told of its shell
            lead.on_change()
        assert self.function is not None, "calls without one only follow"
        try:
            with leading(lead), self._asked.running():
                value = self.function(lead)
            if inspect.isawaitable(value):
                if inspect.iscoroutine(value):
                    value.close()
                raise lead.refuse_value(
                    "the function returned what must be awaited: use the client of singleflight.aio"
                )
            data = lead.encode(self.engine.core, self._asked.codec, value)
            outcome = lead.success(data)
            lead.echo(outcome.value)
        except BaseException as error:
            self.own_error = error
            outcome = outcome_of(error, lead)
        self.engine.finish(core, outcome)

    def start(self, core: CoreLead, context: contextvars.Context) -> None:
        """Runs the function in a thread of its own, with the caller's context variables."""
        threading.Thread(
            target=context.run, args=(self.run, core), name="singleflight-leader", daemon=True
        ).start()

    def result(self, ended: Ended) -> Result[Any]:
        """The result of the call, or what it raises."""
        error, self.own_error = self.own_error, None
        try:
            return result_of(ended, self._asked, error)
        finally:
            del error  # its traceback leads here


class Pending(StreamBase[T]):
    """A call under way, made by :meth:`Client.start`. The function runs in a thread of its own."""

    def __init__(self, runner: _Runner, call: AskedCall) -> None:
        super().__init__()
        self._guard = ForkGuard()
        self._runner = runner
        self._asked = call
        self._context = contextvars.copy_context()
        self._events: queue.SimpleQueue[effects.Effect] = queue.SimpleQueue()
        self._done = threading.Event()
        self._lock = threading.Lock()  # before what comes of the end
        self._ended: Ended | None = None
        self._call: Any = None
        self._begin()

    def _begin(self) -> None:
        self._call = self._runner.engine.begin(self._asked, self)

    def put(self, event: effects.Effect) -> None:
        """From the client's threads."""
        if isinstance(event, effects.Leads):
            self._runner.start(event.lead, self._context.copy())
        elif isinstance(event, effects.Done):
            self._ended = event.ended
            self._events.put(event)
            self._done.set()
        elif isinstance(event, (effects.Chunk, effects.Restarts)):
            self._events.put(event)

    def cancel(self) -> None:
        """Only this caller leaves, at once.

        If it leads, its function goes on as long as anybody waits for it, and is told when nobody
        does.
        """
        self._guard.check()
        self._runner.engine.cancel(self._call)

    def done(self) -> bool:
        """Whether :meth:`wait` has nothing to wait for."""
        return self._done.is_set()

    def wait(self, timeout: Duration = None) -> Result[T]:
        """Waits for the end: as :meth:`Client.do`.

        Raises:
            TimeoutError: the time is over; the call goes on.
        """
        self._guard.check()
        limit = read_timeout(timeout)
        end = None if limit is None else clock() + limit
        while True:
            left = None if end is None else max(0.0, end - clock())
            with self._asked.waited_for():
                is_done = self._done.wait(left)
            if not is_done:
                raise TimeoutError("the call has not ended yet")
            if self._finish():
                return self.result

    def _finish(self) -> bool:
        # False: it has begun again.
        self._runner.engine.news.settle()
        with self._lock:
            if not self._done.is_set():
                return False
            assert self._ended is not None
            if self._result is None:
                try:
                    if self._asked.is_too_old(self._ended):
                        return self._begin_again()
                    self._result = self._runner.result(self._ended)
                except DecodeError:
                    if not self._asked.begins_again(self._ended):
                        raise
                    return self._begin_again()
                if self._asked.is_stale(self._ended):
                    _refresh(self._runner, self._asked)
            return True

    def _begin_again(self) -> bool:
        self._done.clear()
        self._begin()
        return False


class _Refresh(Pending[Any]):
    """Brings a stale outcome up to date behind the call that it was served to."""

    def put(self, event: effects.Effect) -> None:
        if isinstance(event, effects.Done):
            join = self._asked.join
            self._runner.engine.refreshes.discard((join.group, join.key))
        super().put(event)


def _refresh(runner: _Runner, call: AskedCall) -> None:
    engine, name = runner.engine, (call.join.group, call.join.key)
    if name not in engine.refreshes:
        engine.refreshes.add(name)
        again = call.refresh()
        _Refresh(_Runner(engine, runner.function, again), again)


class Stream(Pending[T]):
    """The value of a call while it is made, piece by piece; made by :meth:`Client.stream`.

    Iterating gives :class:`~singleflight.Chunk` and :class:`~singleflight.Restart`, which says that
    the chunks before it are void. At the end, what the call raises is raised.
    """

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Chunk | Restart]:
        while self._result is None:
            event = self._events.get()
            if isinstance(event, effects.Chunk):
                yield Chunk(event.data)
            elif isinstance(event, effects.Restarts):
                yield Restart(event.attempt)
            else:
                self._events.put(event)  # for those who iterate again
                if not self._finish():
                    self._events.get()
                    yield Restart(1)

    def close(self) -> None:
        """Leaves, unless the stream is at its end: as :meth:`cancel`."""
        self.cancel()
        self._done.wait()


class Client(ClientBase):  # noqa: D101  # it is the next line
    __doc__ = ClientBase.__doc__

    _engine: Engine | None = None
    _closed = False

    def after_fork(self) -> None:
        """In a child of the process: the next call starts anew."""
        global _start_lock
        _start_lock = threading.Lock()  # a thread of the parent may have had it
        if self._engine is not None:
            leave_behind(self._engine)
            self._engine = None

    def _started(self) -> Engine:
        engine = self._engine
        if engine is None or self._closed:
            with _start_lock:
                if self._closed:
                    raise CallCancelledError("the client is closed")
                if self._engine is None:
                    self._engine = self._make_engine()
                    tell_of_forks(self)
                engine = self._engine
        return engine

    def _make_engine(self) -> Engine:
        return Engine(self._settings_now(), self._options, self._security)

    def do(
        self,
        key: str | bytes,
        function: Function[T] | None = None,
        *,
        check: bool = True,
        codec: Codec | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[T]:
        """Asks for the work: runs ``function`` here if this caller leads, or waits for who does.

        What the function returns goes through the codec, for the leader too, so that all callers
        see the same.

        Without ``timeout`` the function runs in the thread of the caller. With one it runs in a
        thread of its own, so that the caller can go when its time is over: context variables are
        those of the caller, but thread-locals (a database connection of the thread, say) are not.

        Args:
            key: the identity of the work, 1 to 1,024 bytes; text is UTF-8.
            function: gets the :class:`Lead`. May be left out with ``role=Role.FOLLOW_ONLY``.
            check: False: an error of the function is in ``result.error`` and not raised.
            codec: instead of the client's.
            options: see :class:`~singleflight.CallOptions`.

        Raises:
            FunctionError: the leader's function failed. If it is the one that was given here, and
                ran here, its own exception is raised instead.
            StatusError: the service could not do it; the subclass and the text say why.
        """
        engine = self._started()
        call = self._ask(engine.settings, key, function, codec or self._codec, check, options)
        runner = _Runner(engine, function, call)
        while True:
            with call.waited_for():
                ended = self._wait(engine, call, runner)
            if call.is_too_old(ended):
                continue
            engine.news.settle()
            if call.is_stale(ended):
                _refresh(runner, call)
            try:
                return runner.result(ended)
            except DecodeError:
                if not call.begins_again(ended):
                    raise

    def _wait(self, engine: Engine, asked: AskedCall, runner: _Runner) -> Ended:
        events: queue.SimpleQueue[effects.Effect] = queue.SimpleQueue()
        call = engine.begin(asked, events)
        runs_here = False
        try:
            while True:
                event = events.get()
                if isinstance(event, effects.Done):
                    return event.ended
                if isinstance(event, effects.Leads) and asked.timeout is not None:
                    # It must be possible to go while the function runs.
                    runner.start(event.lead, contextvars.copy_context())
                elif isinstance(event, effects.Leads):
                    runs_here = True
                    runner.run(event.lead)
                    if isinstance(runner.own_error, LEAVING):
                        raise runner.own_error
        except BaseException:  # KeyboardInterrupt, while it waits or while its function runs
            if runs_here:
                engine.abandon(call)
            else:
                engine.cancel(call)
            raise

    def start(
        self,
        key: str | bytes,
        function: Function[T] | None = None,
        *,
        check: bool = True,
        codec: Codec | None = None,
        **options: Unpack[CallOptions],
    ) -> Pending[T]:
        """As :meth:`do`, but returns at once. The function, if it runs, has a thread of its own."""
        engine = self._started()
        call = self._ask(engine.settings, key, function, codec or self._codec, check, options)
        return Pending(_Runner(engine, function, call), call)

    def stream(
        self,
        key: str | bytes,
        function: Function[T] | None = None,
        *,
        check: bool = True,
        codec: Codec = RAW,
        **options: Unpack[CallOptions],
    ) -> Stream[T]:
        """Gets the value while the leader still writes it. Such calls are never merged.

        The function, if it runs here, has a thread of its own, and what it writes is in the stream.
        """
        engine = self._started()
        call = self._ask(engine.settings, key, function, codec, check, options, live=True)
        return Stream(_Runner(engine, function, call), call)

    def forget(
        self,
        key: str | bytes,
        *,
        group: str = "",
        if_unshared: bool = False,
        end: bool = False,
        caller: str | None = None,
        timeout: Duration = None,
    ) -> Forgotten:
        """Has the next caller of the key start a new flight, and drops its retained outcome.

        Args:
            key: as in :meth:`do`.
            group: as in :meth:`do`.
            if_unshared: forget the flight only if it has no followers.
            end: end the flight that runs: its leader is told, its followers get AbortedError.
            caller: who ends it, for people to read. Default: the client's.
            timeout: default: the client's ``connect_timeout``.
        """
        engine = self._started()
        request = read_forget(engine.settings, key, group, if_unshared, end, caller)
        return engine.forget(request, read_timeout(timeout))

    def close(self) -> None:
        """Ends all calls with CallCancelledError, and the client's threads.

        Functions that run are told that they lost the lead, and end in their own time.
        """
        with _start_lock:
            self._closed = True
            engine = self._engine
        if engine is not None:
            engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


__all__ = ["Client", "Lead", "Pending", "Stream"]
