# SPDX-License-Identifier: Apache-2.0
"""The core's shell with asyncio: everything happens on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from functools import partial
from typing import Any, Callable, Protocol, TypeVar

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from singleflight.v1 import singleflight_pb2 as pb
from singleflight.v1 import singleflight_pb2_grpc as pb_grpc

from ._clock import clock
from ._core import effects
from ._core.call import Call
from ._core.core import Core
from ._core.lead import Lead
from ._core.model import Code, Join, Settings
from ._core.server import Server
from ._core.session import Session
from ._network import Tries, is_refusal, serves_health
from ._security import Security
from ._shell import AskedCall, abandoned
from .errors import CallCancelledError
from .observer import News
from .results import Forgotten

T = TypeVar("T")


# What gRPC has begun ends soon after it was cancelled, and gRPC wants the event loop for that. If
# the loop has been closed, gRPC prints a traceback on another one.
_LINGER = 0.05


class CallShell(Protocol):
    """What a call of the program is told."""

    def put(self, event: effects.Effect) -> None:
        """Leads, Follows, Chunk, Restarts or Done."""


class SomeStream(Protocol):
    """A stream of a session."""

    def wake(self) -> None:
        """There is something to send."""

    def cut(self) -> None:
        """Ends it now."""


class Engine:
    """One client's core, its tasks and streams."""

    def __init__(
        self,
        settings: Settings,
        options: list[tuple[str, Any]],
        security: Security,
    ) -> None:
        self.settings = settings
        self.core = Core(settings)
        self._news = News()
        self.loop = asyncio.get_running_loop()
        self._options = [*options, *security.channel_options]
        self.security = security
        self._token = security.token  # that of the sessions
        self._timer: asyncio.TimerHandle | None = None
        self._streams: dict[SomeStream, None] = {}
        self._probes: dict[Server, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.refreshes: set[tuple[str, bytes]] = set()  #: keys whose outcome is brought up to date
        self._closed = asyncio.Event()

    def check(self) -> None:
        """Raises on another event loop."""
        if asyncio.get_running_loop() is not self.loop:
            raise RuntimeError("this client belongs to another event loop: make one in each")

    # ---- what the program asks for

    def begin(self, asked: AskedCall, shell: CallShell) -> Call:
        """Has a call begin."""
        call = Call(asked.join, asked.time_left, shell, asked.watch)
        self.step(partial(self._begin, call))
        return call

    def _begin(self, call: Call) -> None:
        token = self.security.token
        if token != self._token:  # the old one may soon be refused
            self._token = token
            self.core.renew_sessions()
        self.core.begin(call)

    def run_function(self, lead: Lead, function: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs what finishes ``lead``; does it, should the task never begin."""

        def on_done(_: object) -> None:
            if lead.outcome is None:
                function.close()
                lead.pass_on = True
                self.step(partial(self.core.finish, lead, abandoned("the leader left")))

        task = self.spawn(function)
        task.add_done_callback(on_done)
        return task

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Starts a task that closing waits for."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # ---- entering the core

    def step(self, step: Callable[[], T]) -> T:
        """Has the core do something, and does what comes of it."""
        core = self.core
        core.now = clock()
        core.tick()
        result = step()
        self._perform()
        self._arm()
        self._news.spread()
        return result

    def _perform(self) -> None:
        core = self.core
        while core.effects:
            todo, core.effects = core.effects, []
            for effect in todo:
                _PERFORMERS[type(effect)](self, effect)

    def _arm(self) -> None:
        next_at = self.core.timers.next_at()
        if self._timer is not None:
            if next_at is not None and self._timer.when() <= self._when(next_at):
                return  # it comes early enough, and looks again
            self._timer.cancel()
            self._timer = None
        if next_at is not None:
            self._timer = self.loop.call_at(self._when(next_at), self._on_timer)

    def _when(self, at: float) -> float:
        return self.loop.time() + max(0.0, at - self.core.now)

    def _on_timer(self) -> None:
        self._timer = None
        self.step(lambda: None)

    # ---- effects

    def _open_stream(self, effect: effects.OpenStream) -> None:
        session = effect.session
        try:
            stream = self._make_stream(session)
        except Exception as error:  # gRPC cannot make one of the address or credentials
            self.core.closed(session, Code.UNKNOWN, f"no channel can be made: {error}")
            return
        session.shell = stream
        self._streams[stream] = None

    def _make_stream(self, session: Session) -> SomeStream:
        return _Stream(self, session, self.channel(session.server.address))

    def _wake(self, effect: effects.Wake) -> None:
        stream: Any = effect.session.shell
        if stream is not None:
            stream.wake()

    def _cut_stream(self, effect: effects.CutStream) -> None:
        stream: Any = effect.session.shell
        if stream is not None:
            stream.cut()

    def _start_probe(self, effect: effects.Probe) -> None:
        self._ask_health(effect.server, effect.timeout)

    def _ask_health(self, server: Server, timeout: float) -> None:
        self._probes[server] = self.spawn(self._probe(server, timeout))

    def _stop_probe(self, effect: effects.StopProbe) -> None:
        probe = self._probes.get(effect.server)
        if probe is not None:
            probe.cancel()

    def _tell_call(self, effect: Any) -> None:
        self._news.see(effect.call.watch, effect)
        effect.call.shell.put(effect)

    def _tell_lead(self, effect: Any) -> None:
        if effect.lead.shell is not None:
            effect.lead.shell.on_change()

    def _watch_lead(self, effect: Any) -> None:
        self._news.see(effect.lead.call.watch, effect)

    def _lose(self, effect: effects.Lost) -> None:
        self._watch_lead(effect)
        shell: Any = effect.lead.shell
        if shell is not None:
            shell.on_lost()

    # ---- the network

    def on_stream_closed(self, stream: _Stream, code: int, text: str) -> None:
        """A stream is over."""
        self._streams.pop(stream, None)
        refused = code == Code.UNAVAILABLE and is_refusal(text)
        self.step(partial(self.core.closed, stream.session, code, text, refused))

    def channel(self, address: str) -> grpc.aio.Channel:
        """A channel of its own for each stream: the backoff between tries is the core's."""
        credentials = self.security.credentials(address)
        if credentials is None:
            return grpc.aio.insecure_channel(address, options=self._options)
        return grpc.aio.secure_channel(address, credentials, options=self._options)

    async def _probe(self, server: Server, timeout: float) -> None:
        serves, text = False, ""
        try:
            async with self.channel(server.address) as channel:
                stub: Any = health_pb2_grpc.HealthStub(channel)
                answer = await stub.Check(
                    health_pb2.HealthCheckRequest(),
                    timeout=timeout,
                    metadata=self.security.metadata,
                )
                serves = answer.status == health_pb2.HealthCheckResponse.SERVING
        except grpc.aio.AioRpcError as error:
            serves = serves_health(error.code())
            text = error.details() or str(error)
        finally:
            del self._probes[server]
            self.step(partial(self.core.probed, server, serves, text, is_refusal(text)))

    # ---- forget

    async def forget(self, request: pb.ForgetRequest, timeout: float | None) -> Forgotten:
        """Asks the key's home, again and again while it cannot be reached."""
        group, key = request.group, request.key
        servers = self.core.order_of(Join(group, key, "", 0, False, False))
        tries = Tries(self.settings, servers, timeout)
        try:
            while not self._closed.is_set():
                try:
                    answer = await self._forget_once(tries.server, request, tries.left)
                    return Forgotten(answer.flight, answer.retained, answer.ended)
                except grpc.aio.AioRpcError as error:
                    if self._closed.is_set():
                        break
                    wait = tries.wait_after(error.code(), error.details() or "")
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._closed.wait(), wait)
            raise CallCancelledError("the client was closed")
        finally:  # calls that come from now on start anew
            self.step(partial(self.core.stop_merging, group, key))

    async def _forget_once(
        self, server: Server, request: pb.ForgetRequest, timeout: float
    ) -> pb.ForgetResponse:
        async with self.channel(server.address) as channel:
            stub: Any = pb_grpc.SingleFlightStub(channel)
            answer: pb.ForgetResponse = await stub.Forget(
                request, timeout=timeout, metadata=self.security.metadata
            )
            return answer

    # ---- the end

    async def close(self) -> None:
        """Ends everything, and waits until it has ended."""
        self._closed.set()
        self.step(self.core.close)
        while rest := self._tasks - {asyncio.current_task(self.loop)}:
            await asyncio.wait(rest)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


_PERFORMERS: dict[type[Any], Callable[[Engine, Any], None]] = {
    effects.OpenStream: Engine._open_stream,
    effects.Wake: Engine._wake,
    effects.CutStream: Engine._cut_stream,
    effects.Probe: Engine._start_probe,
    effects.StopProbe: Engine._stop_probe,
    effects.Leads: Engine._tell_call,
    effects.Follows: Engine._tell_call,
    effects.Chunk: Engine._tell_call,
    effects.Restarts: Engine._tell_call,
    effects.Done: Engine._tell_call,
    effects.Lost: Engine._lose,
    effects.Unconfirmed: Engine._watch_lead,
    effects.FailedOpen: Engine._watch_lead,
    effects.AudienceChanged: Engine._tell_lead,
    effects.Drained: Engine._tell_lead,
}


class _Stream:
    """One Session stream: a task that reads, and one that writes."""

    def __init__(self, engine: Engine, session: Session, channel: grpc.aio.Channel) -> None:
        self.session = session
        self.wakes = asyncio.Event()
        self._engine = engine
        self._channel = channel
        stub: Any = pb_grpc.SingleFlightStub(self._channel)
        self._call = stub.Session(metadata=engine.security.metadata)
        self._writer = engine.spawn(self._write())
        engine.spawn(self._read())

    def wake(self) -> None:
        """There is something to send."""
        self.wakes.set()

    def cut(self) -> None:
        """Ends the stream now."""
        self._call.cancel()

    async def _write(self) -> None:
        # A stream that is broken is the reader's to tell.
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while True:
                message = self._engine.step(self.session.next_message)
                if message is not None:
                    await self._call.write(message)
                elif self.session.half_closes:
                    await self._call.done_writing()
                    return
                else:
                    await self.wakes.wait()
                    self.wakes.clear()

    async def _read(self) -> None:
        code, text = int(Code.OK), "the server ended the stream"
        lingers = False
        try:
            while (message := await self._call.read()) is not grpc.aio.EOF:
                self._engine.step(partial(self._engine.core.received, self.session, message))
            code, text = (await self._call.code()).value[0], await self._call.details() or text
        except grpc.aio.AioRpcError as error:
            code, text = error.code().value[0], error.details() or str(error)
        except asyncio.CancelledError:  # by cut(), or the event loop ends
            code, text = int(Code.CANCELLED), "the stream was cut"
            lingers = True
        finally:
            self._engine.on_stream_closed(self, code, text)
            self._call.cancel()
            self._writer.cancel()
            await self._channel.close()
            if lingers:
                await asyncio.sleep(_LINGER)
