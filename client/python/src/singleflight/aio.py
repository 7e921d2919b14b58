# SPDX-License-Identifier: Apache-2.0
"""The client for asyncio. :mod:`singleflight` has its twin for threads."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import AsyncIterator, Awaitable
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from ._client_base import ClientBase
from ._core import effects
from ._core.lead import Lead as CoreLead
from ._core.model import Ended
from ._fork import leave_behind, tell_of_forks
from ._shell import (
    AskedCall,
    LeadBase,
    StreamBase,
    leading,
    outcome_of,
    read_forget,
    result_of,
)
from ._tasks import Engine
from .codec import RAW, Codec
from .errors import CallCancelledError, DecodeError, FailedPreconditionError
from .options import CallOptions, Duration, read_timeout
from .results import Audience, Chunk, Forgotten, Restart, Result

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

T = TypeVar("T")

#: What is run by the one caller that leads. What it returns is the value.
Function = Callable[["Lead"], Awaitable[T]]


class Lead(LeadBase):
    """The lead of one flight, in the hands of the function that runs for it.

    The function runs in a task of its own. When the lead is lost, the task is cancelled.
    """

    def __init__(self, engine: Engine, core: CoreLead) -> None:
        super().__init__(core, engine.settings)
        self._engine = engine
        self._changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def on_change(self) -> None:
        """From the client."""
        self._changed.set()
        self._changed = asyncio.Event()  # for those who wait from now on

    def on_lost(self) -> None:
        """From the client."""
        self.on_change()
        if self.task is not None:
            self.task.cancel()

    async def _wait_for(self, what: Callable[[], bool], timeout: Duration = None) -> None:
        async def wait() -> None:
            while not what():
                await self._changed.wait()

        if what():
            return
        try:
            await asyncio.wait_for(wait(), read_timeout(timeout))
        except asyncio.TimeoutError:
            return

    async def write(self, data: bytes) -> None:
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
        core = self._lead
        if not self._engine.step(partial(self._engine.core.write, core, data)):
            raise self.too_large()
        self.echo(data)
        if core.was_full:
            await self._wait_for(lambda: self.was_told or not core.was_full)
            self._check_lost()

    async def wait_lost(self, timeout: Duration = None) -> bool:
        """Waits until the lead is lost, or the time is over; whether it is lost."""
        await self._wait_for(lambda: self.was_told, timeout)
        return self.lost

    async def wait_audience(self, timeout: Duration = None) -> Audience | None:
        """Waits until the audience is another than when it was last asked for.

        Or until the lead is lost, or the time is over.
        """
        lead, seen = self._lead, self._audience_seen
        await self._wait_for(lambda: self.was_told or lead.audience_changes != seen, timeout)
        return self.audience


class _Pending(StreamBase[T]):
    """A call under way."""

    def __init__(self, engine: Engine, function: Function[T] | None, asked: AskedCall) -> None:
        super().__init__()
        self._engine = engine
        self._function = function
        self._asked = asked
        self._context = contextvars.copy_context()
        self._own_error: BaseException | None = None
        self._ended: asyncio.Future[Ended]
        self._call: Any = None
        self._begin()

    def _begin(self) -> None:
        self._ended = self._engine.loop.create_future()
        self._call = self._engine.begin(self._asked, self)

    def put(self, event: effects.Effect) -> None:
        """From the client."""
        if isinstance(event, effects.Leads):
            core = event.lead
            lead = Lead(self._engine, core)
            lead.refreshes = self._asked.refreshes
            core.shell = lead
            lead.task = self._context.run(self._engine.run_function, core, self._run(lead, core))
        elif isinstance(event, effects.Done) and not self._ended.done():
            self._ended.set_result(event.ended)

    async def _run(self, lead: Lead, core: CoreLead) -> None:
        assert self._function is not None, "calls without one only follow"
        try:
            with leading(lead), self._asked.running():
                work = self._function(lead)
                if not inspect.isawaitable(work):
                    raise lead.refuse_value(
                        "the function returned nothing to await: it must be a coroutine function, "
                        "or the client that of threads"
                    )
                value = await work
            data = lead.encode(self._engine.core, self._asked.codec, value)
            outcome = lead.success(data)
            lead.echo(outcome.value)
        except BaseException as error:
            self._own_error = error
            outcome = outcome_of(error, lead)
        self._engine.step(partial(self._engine.core.finish, core, outcome))

    def cancel(self) -> None:
        """Only this caller leaves."""
        self._engine.step(partial(self._engine.core.cancel, self._call))

    async def wait(self) -> Result[T]:
        """Waits for the end."""
        while True:
            try:
                with self._asked.waited_for():
                    await self._ended
            except FailedPreconditionError:
                self.cancel()
                raise
            except asyncio.CancelledError:
                self.cancel()
                raise
            if self.finish():
                return self.result

    def finish(self) -> bool:
        """Has the result, or raises what the call raises. False: the call has begun again."""
        if self._result is not None:
            return True
        ended = self._ended.result()
        if self._asked.is_too_old(ended):
            self._begin()
            return False
        error, self._own_error = self._own_error, None
        try:
            self._result = result_of(ended, self._asked, error)
        except DecodeError:
            if not self._asked.begins_again(ended):
                raise
            self._begin()
            return False
        finally:
            del error  # its traceback leads here
        if self._asked.is_stale(ended):
            _refresh(self._engine, self._function, self._asked)
        return True


class _Refresh(_Pending[Any]):
    """Brings a stale outcome up to date behind the call that it was served to."""

    def put(self, event: effects.Effect) -> None:
        if isinstance(event, effects.Done):
            join = self._asked.join
            self._engine.refreshes.discard((join.group, join.key))
        super().put(event)


def _refresh(engine: Engine, function: Function[Any] | None, asked: AskedCall) -> None:
    name = (asked.join.group, asked.join.key)
    if name not in engine.refreshes:
        engine.refreshes.add(name)
        _Refresh(engine, function, asked.refresh())


class Stream(_Pending[T]):
    """The value of a call while it is made, piece by piece; made by :meth:`Client.stream`.

    Iterating gives :class:`~singleflight.Chunk` and :class:`~singleflight.Restart`, which says that
    the chunks before it are void. At the end, what the call raises is raised.
    """

    def __init__(self, engine: Engine, function: Function[T] | None, asked: AskedCall) -> None:
        self._events: asyncio.Queue[effects.Effect] = asyncio.Queue()
        super().__init__(engine, function, asked)

    def put(self, event: effects.Effect) -> None:
        """From the client."""
        super().put(event)
        if isinstance(event, (effects.Chunk, effects.Restarts, effects.Done)):
            self._events.put_nowait(event)

    async def __aenter__(self) -> Stream[T]:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def __aiter__(self) -> AsyncIterator[Chunk | Restart]:
        while self._result is None:
            event = await self._events.get()
            if isinstance(event, effects.Chunk):
                yield Chunk(event.data)
            elif isinstance(event, effects.Restarts):
                yield Restart(event.attempt)
            else:
                self._events.put_nowait(event)  # for those who iterate again
                if not self.finish():
                    self._events.get_nowait()
                    yield Restart(1)

    async def aclose(self) -> None:
        """Leaves, unless the stream is at its end.

        The function, if it runs here, goes on as long as anybody else waits for it.
        """
        self.cancel()
        await asyncio.wait({self._ended})


class Client(ClientBase):  # noqa: D101  # it is the next line
    __doc__ = ClientBase.__doc__

    _engine: Engine | None = None
    _closed = False
    _awaits = True

    def after_fork(self) -> None:
        """In a child of the process: the next call starts anew."""
        if self._engine is not None:
            leave_behind(self._engine)
            self._engine = None

    def _started(self) -> Engine:
        if self._closed:
            raise CallCancelledError("the client is closed")
        if self._engine is None:
            self._engine = self._make_engine()
            tell_of_forks(self)
        self._engine.check()
        return self._engine

    def _make_engine(self) -> Engine:
        return Engine(self._settings_now(), self._options, self._security)

    async def do(
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
        see the same. When the task that waits here is cancelled, only this caller leaves, at once.
        The function is cancelled when nobody is left, in this process or in another, who waits.

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
        given = codec or self._codec
        asked = self._ask(engine.settings, key, function, given, check, options)
        return await _Pending(engine, function, asked).wait()

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

        What the function writes, if it runs here, is in the stream.
        """
        engine = self._started()
        asked = self._ask(engine.settings, key, function, codec, check, options, live=True)
        return Stream(engine, function, asked)

    async def forget(
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
        return await engine.forget(request, read_timeout(timeout))

    async def close(self) -> None:
        """Ends all calls with CallCancelledError, cancels functions, and waits for its tasks."""
        self._closed = True
        if self._engine is not None:
            self._engine.check()
            await self._engine.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


__all__ = ["Client", "Lead", "Stream"]
