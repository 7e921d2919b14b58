# SPDX-License-Identifier: Apache-2.0
"""The client for threads. :mod:`singleflight.aio` is its twin for asyncio."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from ._core import effects
from ._core.lead import Lead as CoreLead
from ._core.model import Ended
from ._shell import (
    LEAVING,
    ClientBase,
    LeadBase,
    StreamBase,
    check_function,
    leading,
    outcome_of,
    result_of,
)
from ._threads import Engine
from .codec import RAW, Codec
from .errors import CallCancelledError
from .options import (
    CallOptions,
    Duration,
    key_bytes,
    read_join,
    read_timeout,
    seconds,
)
from .results import Audience, Chunk, Forgotten, Restart, Result

if TYPE_CHECKING:
    from typing_extensions import Unpack

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

    def write(self, data: bytes) -> None:
        """Appends bytes to the value; live followers get them at once.

        Waits while more than 1 MiB is not sent yet.

        Raises:
            StatusError: the lead is lost.
            ResourceExhaustedError: the value is larger than the client's ``result_limit``. Such a
                flight cannot end well any more.
        """
        self._check_lost()
        self.wrote = True
        if not data:
            return
        data = bytes(data)
        if not self._engine.write(self._lead, data):
            raise self.too_large()
        self.echo(data)
        if self._lead.was_full:
            with self._changed:
                self._changed.wait_for(lambda: self.lost or not self._lead.was_full)
            self._check_lost()

    def wait_lost(self, timeout: Duration = None) -> bool:
        """Waits until the lead is lost, or the time is over; whether it is lost."""
        with self._changed:
            return self._changed.wait_for(lambda: self.lost, seconds(timeout, "timeout", 0) or None)

    def wait_audience(self, timeout: Duration = None) -> Audience | None:
        """Waits until the audience is another than when it was last asked for.

        Or until the lead is lost, or the time is over.
        """
        lead, seen = self._lead, self._audience_seen
        limit = seconds(timeout, "timeout", 0) or None
        with self._changed:
            self._changed.wait_for(lambda: self.lost or lead.audience_changes != seen, limit)
        return self.audience


class _Runner:
    """Runs the function of one call when it leads."""

    def __init__(self, engine: Engine, function: Function[Any] | None, codec: Codec) -> None:
        self.engine = engine
        self.function = function
        self.codec = codec
        self.own_error: BaseException | None = None

    def run(self, core: CoreLead) -> None:
        """Runs the function, and tells how it ended. Raises what says that this caller goes."""
        lead = Lead(self.engine, core)
        core.shell = lead
        if core.lost is not None:  # before it was told of its shell
            lead.on_change()
        assert self.function is not None, "calls without one only follow"
        try:
            with leading(lead):
                value = self.function(lead)
            data = lead.encode(self.codec, value)
            outcome = lead.success(data)
            lead.echo(outcome.value)
        except BaseException as error:
            self.own_error = error
            outcome = outcome_of(error, lead)
        self.engine.post(partial(self.engine.core.finish, core, outcome))

    def result(self, ended: Ended, check: bool) -> Result[Any]:
        """The result of the call, or what it raises."""
        error, self.own_error = self.own_error, None
        try:
            return result_of(ended, self.codec, error, check)
        finally:
            del error  # its traceback leads here


class Pending(StreamBase[T]):
    """A call under way, made by :meth:`Client.start`. The function runs in a thread of its own."""

    def __init__(self, runner: _Runner, check: bool) -> None:
        super().__init__(runner.codec)
        self._runner = runner
        self._check = check
        self._events: queue.SimpleQueue[effects.Effect] = queue.SimpleQueue()
        self._done = threading.Event()
        self._ended: Ended | None = None
        self._thread: threading.Thread | None = None
        self._call: Any = None

    def _begin(self, join: Any, timeout: float | None) -> None:
        self._call = self._runner.engine.begin(join, timeout, self)

    def put(self, event: effects.Effect) -> None:
        """From the client's threads."""
        if isinstance(event, effects.Leads):
            self._thread = threading.Thread(
                target=self._runner.run, args=(event.lead,), name="singleflight-leader", daemon=True
            )
            self._thread.start()
        elif isinstance(event, effects.Done):
            self._ended = event.ended
            self._events.put(event)
            self._done.set()
        elif isinstance(event, (effects.Chunk, effects.Restarts)):
            self._events.put(event)

    def cancel(self) -> None:
        """Only this caller leaves. If it leads, its function is told, and may take its time."""
        self._runner.engine.cancel(self._call)

    def done(self) -> bool:
        """Whether :meth:`wait` has nothing to wait for."""
        return self._done.is_set()

    def wait(self, timeout: Duration = None) -> Result[T]:
        """Waits for the end: as :meth:`Client.do`.

        Raises:
            TimeoutError: the time is over; the call goes on.
        """
        if not self._done.wait(seconds(timeout, "timeout", 0) or None):
            raise TimeoutError("the call has not ended yet")
        return self._finish()

    def _finish(self) -> Result[T]:
        if self._thread is not None:
            self._thread.join()
        assert self._ended is not None
        if self._result is None:
            self._result = self._runner.result(self._ended, self._check)
        return self._result


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
        while True:
            if self._result is not None:
                return
            event = self._events.get()
            if isinstance(event, effects.Chunk):
                yield Chunk(event.data)
            elif isinstance(event, effects.Restarts):
                yield Restart(event.attempt)
            else:
                self._events.put(event)  # for those who iterate again
                self._finish()
                return

    def close(self) -> None:
        """Leaves, unless the stream is at its end, and waits until its function has ended."""
        self.cancel()
        self._done.wait()
        if self._thread is not None:
            self._thread.join()


class Client(ClientBase):  # noqa: D101  # it is the next line
    __doc__ = ClientBase.__doc__

    _engine: Engine | None = None
    _closed = False

    def _started(self) -> Engine:
        engine = self._engine
        if engine is not None:
            engine.guard.check()
        if engine is None or self._closed:
            with _start_lock:
                if self._closed:
                    raise CallCancelledError("the client is closed")
                if self._engine is None:
                    self._engine = Engine(self._settings_now(), self._options, self._credentials)
                engine = self._engine
        return engine

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
        join = read_join(engine.settings, key, options)
        check_function(function, join.role)
        runner = _Runner(engine, function, codec or self._codec)
        events: queue.SimpleQueue[effects.Effect] = queue.SimpleQueue()
        call = engine.begin(join, read_timeout(options), events)
        try:
            while True:
                event = events.get()
                if isinstance(event, effects.Done):
                    break
                if isinstance(event, effects.Leads):
                    runner.run(event.lead)
                    if isinstance(runner.own_error, LEAVING):
                        raise runner.own_error
        except BaseException:  # KeyboardInterrupt, while it waits or while its function runs
            engine.abandon(call)
            raise
        return runner.result(event.ended, check)

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
        join = read_join(engine.settings, key, options)
        check_function(function, join.role)
        pending: Pending[T] = Pending(_Runner(engine, function, codec or self._codec), check)
        pending._begin(join, read_timeout(options))
        return pending

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
        join = read_join(engine.settings, key, options, live=True)
        check_function(function, join.role)
        stream: Stream[T] = Stream(_Runner(engine, function, codec), check)
        stream._begin(join, read_timeout(options))
        return stream

    def forget(
        self,
        key: str | bytes,
        *,
        group: str = "",
        if_unshared: bool = False,
        timeout: Duration = None,
    ) -> Forgotten:
        """Has the next caller of the key start a new flight, and drops its retained outcome.

        Args:
            key: as in :meth:`do`.
            group: as in :meth:`do`.
            if_unshared: forget the flight only if it has no followers.
            timeout: default: the client's ``connect_timeout``.
        """
        engine = self._started()
        limit = seconds(timeout, "timeout", 0) or None
        return engine.forget(group, key_bytes(key), if_unshared, limit)

    def close(self) -> None:
        """Ends all calls with CallCancelledError, and the client's threads.

        Functions that run are told that they lost the lead, and end in their own time.
        """
        with _start_lock:
            self._closed = True
            engine = self._engine
        if engine is not None:
            engine.guard.check()
            engine.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


__all__ = ["Client", "Lead", "Pending", "Stream"]
