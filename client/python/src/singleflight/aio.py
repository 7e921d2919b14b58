# SPDX-License-Identifier: Apache-2.0
"""The client for asyncio. :mod:`singleflight` has its twin for threads."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from ._core import effects
from ._core.lead import Lead as CoreLead
from ._core.model import Ended
from ._shell import (
    ClientBase,
    LeadBase,
    StreamBase,
    check_function,
    leading,
    outcome_of,
    result_of,
)
from ._tasks import Engine
from .codec import RAW, Codec
from .errors import CallCancelledError
from .options import CallOptions, Duration, key_bytes, read_join, read_timeout, seconds
from .results import Audience, Chunk, Forgotten, Restart, Result

if TYPE_CHECKING:
    from typing_extensions import Unpack

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

        try:
            await asyncio.wait_for(wait(), seconds(timeout, "timeout", 0) or None)
        except asyncio.TimeoutError:
            return

    async def write(self, data: bytes) -> None:
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
        core = self._lead
        if not self._engine.step(partial(self._engine.core.write, core, data)):
            raise self.too_large()
        self.echo(data)
        if core.was_full:
            await self._wait_for(lambda: self.lost or not core.was_full)
            self._check_lost()

    async def wait_lost(self, timeout: Duration = None) -> bool:
        """Waits until the lead is lost, or the time is over; whether it is lost."""
        await self._wait_for(lambda: self.lost, timeout)
        return self.lost

    async def wait_audience(self, timeout: Duration = None) -> Audience | None:
        """Waits until the audience is another than when it was last asked for.

        Or until the lead is lost, or the time is over.
        """
        lead, seen = self._lead, self._audience_seen
        await self._wait_for(lambda: self.lost or lead.audience_changes != seen, timeout)
        return self.audience


class _Pending(StreamBase[T]):
    """A call under way."""

    def __init__(
        self, engine: Engine, function: Function[T] | None, codec: Codec, check: bool
    ) -> None:
        super().__init__(codec)
        self._engine = engine
        self._function = function
        self._check = check
        self._context = contextvars.copy_context()
        self._ended: asyncio.Future[Ended] = engine.loop.create_future()
        self._own_error: BaseException | None = None
        self._lead: Lead | None = None
        self._call: Any = None

    def begin(self, join: Any, timeout: float | None) -> None:
        """Begins it."""
        self._call = self._engine.begin(join, timeout, self)

    def put(self, event: effects.Effect) -> None:
        """From the client."""
        if isinstance(event, effects.Leads):
            core = event.lead
            lead = Lead(self._engine, core)
            core.shell = self._lead = lead
            lead.task = self._context.run(self._engine.run_function, core, self._run(lead, core))
        elif isinstance(event, effects.Done) and not self._ended.done():
            self._ended.set_result(event.ended)

    async def _run(self, lead: Lead, core: CoreLead) -> None:
        assert self._function is not None, "calls without one only follow"
        try:
            with leading(lead):
                value = await self._function(lead)
            data = lead.encode(self._codec, value)
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
        try:
            await self._ended
            await self.wait_function()
        except asyncio.CancelledError:
            self.cancel()
            if self._lead is not None and self._lead.lost:  # nobody waits for it any more
                await self.wait_function()
            raise
        return self.finish()

    async def wait_function(self) -> None:
        """Waits until the function of this call has ended, if it runs."""
        task = self._lead.task if self._lead is not None else None
        if task is not None and not task.done():
            await asyncio.wait({task})

    def finish(self) -> Result[T]:
        """The result, or what the call raises."""
        if self._result is None:
            error, self._own_error = self._own_error, None
            try:
                self._result = result_of(self._ended.result(), self._codec, error, self._check)
            finally:
                del error  # its traceback leads here
        return self._result


class Stream(_Pending[T]):
    """The value of a call while it is made, piece by piece; made by :meth:`Client.stream`.

    Iterating gives :class:`~singleflight.Chunk` and :class:`~singleflight.Restart`, which says that
    the chunks before it are void. At the end, what the call raises is raised.
    """

    def __init__(
        self, engine: Engine, function: Function[T] | None, codec: Codec, check: bool
    ) -> None:
        super().__init__(engine, function, codec, check)
        self._events: asyncio.Queue[effects.Effect] = asyncio.Queue()

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
                await self.wait_function()
                self.finish()

    async def aclose(self) -> None:
        """Leaves, unless the stream is at its end, and waits until its function has ended."""
        self.cancel()
        await self.wait_function()
        await asyncio.wait({self._ended})


class Client(ClientBase):  # noqa: D101  # it is the next line
    __doc__ = ClientBase.__doc__

    _engine: Engine | None = None
    _closed = False

    def _started(self) -> Engine:
        if self._closed:
            raise CallCancelledError("the client is closed")
        if self._engine is None:
            self._engine = Engine(self._settings_now(), self._options, self._credentials)
        self._engine.check()
        return self._engine

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
        see the same. When the task that waits here is cancelled, only this caller leaves; when
        nobody of this process is left, the function is cancelled as well.

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
        pending = _Pending(engine, function, codec or self._codec, check)
        pending.begin(join, read_timeout(options))
        return await pending.wait()

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
        join = read_join(engine.settings, key, options, live=True)
        check_function(function, join.role)
        stream = Stream(engine, function, codec, check)
        stream.begin(join, read_timeout(options))
        return stream

    async def forget(
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
        return await engine.forget(group, key_bytes(key), if_unshared, limit)

    async def close(self) -> None:
        """Ends all calls with CallCancelledError, cancels functions, and waits for its tasks."""
        self._closed = True
        if self._engine is not None:
            self._engine.check()
            await self._engine.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


__all__ = ["Client", "Lead", "Stream"]
