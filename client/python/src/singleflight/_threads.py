# SPDX-License-Identifier: Apache-2.0
"""The core's shell with threads.

The core is entered by one thread at a time, under a lock. Those threads are the readers (one per
stream), gRPC's own thread that asks each stream for its next message, the clock, and threads of the
program. Not the main thread, though: a KeyboardInterrupt there could cut a step in half, so its
steps are handed to the clock's thread.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any, Callable, Protocol, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from singleflight.v1 import singleflight_pb2 as pb
from singleflight.v1 import singleflight_pb2_grpc as pb_grpc

from ._clock import clock
from ._core import effects
from ._core.call import Call
from ._core.core import Core
from ._core.lead import Lead
from ._core.model import Code, Join, Outcome, Settings
from ._core.server import Server
from ._core.session import Session
from ._fork import ForkGuard
from ._network import Tries, is_refusal, serves_health
from ._security import Security
from ._shell import AskedCall, abandoned
from .errors import CallCancelledError
from .observer import News
from .results import Forgotten

T = TypeVar("T")
Step = Callable[[], Any]

_WAIT_MAX = 3600.0  # a wait that has no other bound


class CallShell(Protocol):
    """What a call of the program is told, under the lock: it must not wait."""

    def put(self, event: effects.Effect) -> None:
        """Leads, Follows, Chunk, Restarts or Done."""


class SomeStream(Protocol):
    """A stream of a session."""

    def start(self) -> None:
        """Opens it."""

    def wake(self) -> None:
        """There is something to send."""

    def cut(self) -> None:
        """Ends it now."""

    def join(self) -> None:
        """Waits for its end."""


class Engine:
    """One client's core, its threads and streams."""

    def __init__(
        self,
        settings: Settings,
        options: list[tuple[str, Any]],
        security: Security,
    ) -> None:
        self.settings = settings
        self.guard = ForkGuard()
        self._options = [*options, *security.channel_options]
        self.security = security
        self._token = security.token  # that of the sessions
        self.core = Core(settings)
        self.news = News()
        self._lock = threading.Lock()
        self._gate = threading.Lock()  # before _steps, so that none is put there after the last
        self._steps: queue.SimpleQueue[Step | None] = queue.SimpleQueue()
        self._armed_for = math.inf  # when the clock's thread looks by itself
        self._streams: dict[SomeStream, None] = {}
        self._probes: dict[Server, _Probe] = {}
        self._ended = False
        self.refreshes: set[tuple[str, bytes]] = set()  #: keys whose outcome is brought up to date
        self.closed = threading.Event()
        self._clock_thread = threading.Thread(
            target=self._run_clock, name="singleflight-clock", daemon=True
        )
        self._clock_thread.start()

    # ---- what the program asks for

    def begin(self, asked: AskedCall, shell: CallShell) -> Call:
        """Has a call begin."""
        call = Call(asked.join, asked.time_left, shell, asked.watch)
        self.post(partial(self._begin, call))
        return call

    def _begin(self, call: Call) -> None:
        token = self.security.token
        if token != self._token:  # the old one may soon be refused
            self._token = token
            self.core.renew_sessions()
        self.core.begin(call)

    def cancel(self, call: Call) -> None:
        """Has a call end."""
        self.post(partial(self.core.cancel, call))

    def abandon(self, call: Call) -> None:
        """Has a call end, and its lead, whose function will not end any more."""
        self.post(partial(self._abandon, call))

    def finish(self, lead: Lead, outcome: Outcome) -> None:
        """The function has ended."""
        self.post(partial(self.core.finish, lead, outcome))

    def _abandon(self, call: Call) -> None:
        self.core.cancel(call)
        lead = call.lead
        if lead is not None and lead.outcome is None:
            lead.pass_on = True
            self.core.finish(lead, abandoned("the leader left"))

    def write(self, lead: Lead, data: bytes) -> bool:
        """Core.write()."""
        return self._ask(partial(self.core.write, lead, data))

    # ---- entering the core

    def post(self, step: Step) -> None:
        """Has a step of the core run: now, or soon by the clock's thread."""
        if threading.current_thread() is not threading.main_thread():
            self._enter(step)
            return
        with self._gate:
            if not self._ended:
                self._steps.put(step)
                return
        self._enter(step)

    def _ask(self, step: Callable[[], T]) -> T:
        if threading.current_thread() is not threading.main_thread():
            return self._enter(step)
        answers: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()

        def answer() -> None:
            try:
                answers.put(step())
            except Exception as error:
                answers.put(error)

        self.post(answer)
        got = answers.get()
        if isinstance(got, BaseException):
            raise got
        return got

    def _enter(self, step: Callable[[], T]) -> T:
        core = self.core
        with self._lock:
            core.now = clock()
            core.tick()
            result = step()
            self._perform()
            next_at = core.timers.next_at()
            if next_at is not None and next_at < self._armed_for:
                self._armed_for = next_at
                self._steps.put(None)
        self.news.spread()
        return result

    def _perform(self) -> None:
        core = self.core
        while core.effects:
            todo, core.effects = core.effects, []
            for effect in todo:
                _PERFORMERS[type(effect)](self, effect)

    def _run_clock(self) -> None:
        core = self.core
        wait = _WAIT_MAX
        while not self._ended:
            try:
                step = self._steps.get(timeout=wait)
            except queue.Empty:
                step = None
            with self._lock:
                core.now = clock()
                core.tick()
                if step is not None:
                    step()
                self._perform()
                next_at = core.timers.next_at()
                self._armed_for = math.inf if next_at is None else next_at
                wait = max(0.0, min(self._armed_for - clock(), _WAIT_MAX))
            self.news.spread()

    # ---- effects; under the lock

    def _open_stream(self, effect: effects.OpenStream) -> None:
        session = effect.session
        try:
            stream = self._make_stream(session)
        except Exception as error:  # gRPC cannot make a channel of the address or credentials
            self.core.closed(session, Code.UNKNOWN, f"no channel can be made: {error}")
            return
        session.shell = stream
        self._streams[stream] = None
        stream.start()

    def _make_stream(self, session: Session) -> SomeStream:
        return _Stream(self, session)

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
        probe = _Probe(self, server, timeout)
        self._probes[server] = probe
        probe.thread.start()

    def _stop_probe(self, effect: effects.StopProbe) -> None:
        probe = self._probes.get(effect.server)
        if probe is not None:
            probe.stop()

    def _tell_call(self, effect: Any) -> None:
        self.news.see(effect.call.watch, effect)
        effect.call.shell.put(effect)

    def _watch_lead(self, effect: Any) -> None:
        self.news.see(effect.lead.call.watch, effect)

    def _lose(self, effect: effects.Lost) -> None:
        self._watch_lead(effect)
        self._tell_lead(effect)

    def _tell_lead(self, effect: Any) -> None:
        if effect.lead.shell is not None:
            effect.lead.shell.on_change()

    # ---- from the streams' threads

    def next_message(self, session: Session) -> pb.SessionRequest | bool:
        """What to send; True: no more; False: nothing now."""
        return self._enter(lambda: session.next_message() or session.half_closes)

    def received(self, session: Session, response: pb.SessionResponse) -> None:
        """A message has come."""
        self._enter(partial(self.core.received, session, response))

    def stream_closed(self, stream: _Stream, code: int, text: str) -> None:
        """A stream is over."""
        refused = code == Code.UNAVAILABLE and is_refusal(text)

        def step() -> None:
            self._streams.pop(stream, None)
            self.core.closed(stream.session, code, text, refused)

        self._enter(step)

    def probed(self, probe: _Probe, serves: bool, text: str) -> None:
        """A probe has ended."""

        def step() -> None:
            del self._probes[probe.server]
            self.core.probed(probe.server, serves, text, is_refusal(text))

        self._enter(step)

    def channel(self, address: str) -> grpc.Channel:
        """A channel of its own for each stream: the backoff between tries is the core's."""
        credentials = self.security.credentials(address)
        if credentials is None:
            return grpc.insecure_channel(address, options=self._options)
        return grpc.secure_channel(address, credentials, options=self._options)

    # ---- forget

    def forget(self, request: pb.ForgetRequest, timeout: float | None) -> Forgotten:
        """Asks the key's home, again and again while it cannot be reached."""
        group, key = request.group, request.key
        servers = self._ask(partial(self.core.order_of, Join(group, key, "", 0, False, False)))
        tries = Tries(self.settings, servers, timeout)
        try:
            while not self.closed.is_set():
                try:
                    answer = self._forget_once(tries.server, request, tries.left)
                    return Forgotten(answer.flight, answer.retained, answer.ended)
                except grpc.RpcError as error:
                    if self.closed.is_set():
                        break
                    problem: Any = error  # a call as well
                    wait = tries.wait_after(problem.code(), problem.details())
                self.closed.wait(wait)
            raise CallCancelledError("the client was closed")
        finally:  # calls that come from now on start anew
            self.post(partial(self.core.stop_merging, group, key))

    def _forget_once(
        self, server: Server, request: pb.ForgetRequest, timeout: float
    ) -> pb.ForgetResponse:
        def _forget(channel: grpc.Channel) -> pb.ForgetResponse:
            stub = pb_grpc.SingleFlightStub(channel)
            return stub.Forget(request, timeout=timeout, metadata=self.security.metadata)

        session = server.current
        stream = session.shell if session is not None and session.up else None
        if isinstance(stream, _Stream):
            with contextlib.suppress(ValueError):  # it has been closed meanwhile
                return _forget(stream.channel)
        with self.channel(server.address) as channel:
            return _forget(channel)

    # ---- the end

    def close(self) -> None:
        """Ends everything, and waits until it has ended."""
        self.closed.set()
        self._ask(self.core.close)
        with self._lock:
            streams, probes = list(self._streams), list(self._probes.values())
        for stream in streams:
            stream.join()
        for probe in probes:
            probe.thread.join()
        with self._gate:
            self._ended = True
            self._steps.put(None)
        if threading.current_thread() is not self._clock_thread:
            self._clock_thread.join()
        self._run_rest()

    def _run_rest(self) -> None:
        while True:
            try:
                step = self._steps.get_nowait()
            except queue.Empty:
                return
            if step is not None:
                self._enter(step)


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
    """One Session stream: a thread that reads; gRPC has one that takes what is to be sent."""

    def __init__(self, engine: Engine, session: Session) -> None:
        self.session = session
        self.channel = engine.channel(session.server.address)
        self._engine = engine
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._call: Any = None
        self.thread = threading.Thread(target=self._run, name="singleflight-reader", daemon=True)

    def start(self) -> None:
        """Opens the stream."""
        self._call = pb_grpc.SingleFlightStub(self.channel).Session(
            self._requests(), metadata=self._engine.security.metadata
        )
        self.thread.start()

    def wake(self) -> None:
        """There is something to send."""
        self._wakes.put(None)

    def cut(self) -> None:
        """Ends the stream now."""
        self._call.cancel()

    def join(self) -> None:
        """Waits for its end."""
        self.thread.join()

    def _requests(self) -> Iterator[pb.SessionRequest]:
        while True:
            message = self._engine.next_message(self.session)
            if message is True:
                return
            if isinstance(message, pb.SessionRequest):
                yield message
            else:
                self._wakes.get()

    def _run(self) -> None:
        code, text = int(Code.OK), "the server ended the stream"
        try:
            for response in self._call:
                self._engine.received(self.session, response)
        except grpc.RpcError as error:
            # The call is its own error.
            code, text = self._call.code().value[0], self._call.details() or str(error)
        finally:
            self._engine.stream_closed(self, code, text)
            self.wake()  # for the thread that sends
            self.channel.close()


class _Probe:
    """One health check, in a thread of its own."""

    def __init__(self, engine: Engine, server: Server, timeout: float) -> None:
        self.server = server
        self._engine = engine
        self._timeout = timeout
        self._stopped = False
        self._future: Any = None
        self.thread = threading.Thread(target=self._run, name="singleflight-probe", daemon=True)

    def stop(self) -> None:
        """Nobody wants to know any more."""
        self._stopped = True
        if self._future is not None:
            self._future.cancel()

    def _run(self) -> None:
        serves, text = False, ""
        with self._engine.channel(self.server.address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest()
            metadata = self._engine.security.metadata
            self._future = stub.Check.future(request, timeout=self._timeout, metadata=metadata)
            if self._stopped:
                self._future.cancel()
            try:
                status = self._future.result().status
                serves = status == health_pb2.HealthCheckResponse.SERVING
            except grpc.RpcError as error:
                serves = serves_health(self._future.code())
                text = self._future.details() or str(error)
            except grpc.FutureCancelledError:
                pass
        self._engine.probed(self, serves, text)
