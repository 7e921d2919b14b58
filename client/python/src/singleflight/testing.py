# SPDX-License-Identifier: Apache-2.0
"""For the unit tests of programs: clients without a daemon, and leads without a client.

A :class:`FakeClient` is a real client whose server is a script in this process::

    with FakeClient() as client:
        client.outcome("user:1", {"name": "Ann"})
        assert load(client, 1)["name"] == "Ann"  # somebody else has led

Without a script every call leads. A script holds for its key until there is another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Union

import grpc
import grpc.aio

from singleflight.v1 import singleflight_pb2 as pb

from . import _tasks, _threads, aio, client, decorator
from ._client_base import ClientBase
from ._clock import clock
from ._core.call import Call
from ._core.core import Core
from ._core.lead import Granted
from ._core.lead import Lead as CoreLead
from ._core.model import Code, Join, Kind, Outcome, Role, Settings
from ._core.server import Server
from ._core.session import Session
from ._shell import AskedCall, KeyLike, LeadBase, error_outcome, leading
from .codec import JSON, Codec
from .errors import StatusError
from .observer import Observers, Traceparent
from .options import CallOptions, key_bytes
from .typed import codec_of_value

if TYPE_CHECKING:
    from typing_extensions import Self

_ADDRESS = "127.0.0.1:1"  # nobody ever connects there
_UNAVAILABLE = "connection refused: the script says that there is no server"
_LOST = "the script says that the lead is lost"

_Place = tuple[str, bytes]
_Frames = list[pb.CallResponse]


class RecordedCall(NamedTuple):
    """What the program asked of a client."""

    name: str  #: "do" (``start`` and decorated functions, too), "stream" or "forget"
    key: KeyLike  #: as it was given
    options: dict[str, Any]  #: as they were given


# ---- the script


class _Ends(NamedTuple):
    outcome: pb.Outcome


class _Refuses(NamedTuple):
    code: int
    text: str


_TAKEOVER = "takeover"
_LOSE = "lose"
_Plan = Union[_Ends, _Refuses, str]


class _Script:
    # The server's side. It is entered as the core is: by one thread at a time.

    def __init__(self) -> None:
        self.plans: dict[_Place, _Plan] = {}
        self.calls: list[RecordedCall] = []
        self.is_there = True
        self.streams: dict[_Stream, None] = {}
        self._leads: dict[_Place, tuple[_Stream, int]] = {}
        self._places: dict[tuple[_Stream, int], tuple[_Place, int, int]] = {}
        self._tokens = itertools.count(1)

    def leads(self, place: _Place) -> bool:
        return place in self._leads

    def answer(self, stream: _Stream, request: pb.CallRequest) -> _Frames:
        step = request.WhichOneof("step")
        if step == "join":
            return self._join(stream, request.id, request.join)
        if step == "renew":
            renewed = pb.Renewed(id=request.renew.id, silence_ms=_SILENCE_MS)
            return [pb.CallResponse(id=request.id, renewed=renewed)]
        if step == "finish":
            token, attempt = self._leave(stream, request.id)
            result = pb.Result(led=True, callers=1, attempt=attempt, token=token)
            return [pb.CallResponse(id=request.id, result=result)]
        if step == "cancel":
            self._leave(stream, request.id)
            return [_end(request.id, Code.CANCELLED, "cancelled")]
        return []

    def _leave(self, stream: _Stream, number: int) -> tuple[int, int]:
        place, token, attempt = self._places.pop((stream, number), (("", b""), 0, 0))
        if self._leads.get(place) == (stream, number):
            del self._leads[place]
        return token, attempt

    def _join(self, stream: _Stream, number: int, join: pb.Join) -> _Frames:
        place = (join.group or "default", join.key)
        plan = self.plans.get(place)
        if isinstance(plan, _Refuses):
            return [_end(number, plan.code, plan.text)]
        if isinstance(plan, _Ends):
            return self._follow_to_end(number, join, plan.outcome)
        if join.role == int(Role.FOLLOW_ONLY):
            return [_end(number, Code.NOT_FOUND, "nobody leads, and there is nothing retained")]
        frames, attempt = [], 1
        if plan == _TAKEOVER:
            frames, attempt = [_follow(number)], 2
        if plan == _LOSE:
            stream.after_others(partial(stream.say_soon, partial(self._lose, stream, number)))
        token = join.resume_token or next(self._tokens)
        self._leads[place] = (stream, number)
        self._places[stream, number] = (place, token, attempt)
        lead = pb.Lead(
            token=token,
            attempt=attempt,
            lease_ms=join.lease_ms,
            run_limit_ms=_RUN_LIMIT_MS,
            silence_ms=_SILENCE_MS,
        )
        return [*frames, pb.CallResponse(id=number, lead=lead)]

    def _follow_to_end(self, number: int, join: pb.Join, outcome: pb.Outcome) -> _Frames:
        if join.role == int(Role.LEAD_ONLY):
            return [_end(number, Code.ABORTED, "somebody else leads")]
        result = pb.Result(
            outcome=outcome,
            shared=True,
            callers=2,
            attempt=1,
            token=next(self._tokens),
            value_bytes=len(outcome.value),
        )
        return [_follow(number), pb.CallResponse(id=number, result=result)]

    def lose(self, place: _Place) -> None:
        """The lead of a function that runs; otherwise that of the next one."""
        running = self._leads.get(place)
        if running is None:
            self.plans[place] = _LOSE
        else:
            running[0].say_soon(partial(self._lose, *running))

    def _lose(self, stream: _Stream, number: int) -> _Frames:
        if (stream, number) not in self._places:
            return []  # it has ended
        self._leave(stream, number)
        return [_end(number, Code.ABORTED, _LOST)]

    def answer_probe(self, core: Core, server: Server) -> None:
        """As it is now, not when it was asked."""
        text = "" if self.is_there else _UNAVAILABLE
        core.probed(server, self.is_there, text, not self.is_there)

    def come_back(self, core: Core) -> None:
        """The server is back, and the client knows it."""
        self.is_there = True
        for server in core.servers:
            self.answer_probe(core, server)

    def go(self) -> None:
        """The server is gone."""
        self.is_there = False
        self._leads.clear()
        self._places.clear()
        for stream in list(self.streams):
            stream.break_soon()


_SILENCE_MS = 60_000
_RUN_LIMIT_MS = 86_400_000


def _follow(number: int) -> pb.CallResponse:
    return pb.CallResponse(id=number, follow=pb.Follow(attempt=1, leader="another"))


def _end(number: int, code: int, text: str) -> pb.CallResponse:
    return pb.CallResponse(id=number, end=pb.End(code=code, message=text))


class _Stream:
    # A stream to the script. Everything but wake(), cut() and the like is a step of the core.

    def __init__(self, engine: Any, session: Session, script: _Script) -> None:
        self.closed = threading.Event()
        self._engine = engine
        self._session = session
        self._script = script
        script.streams[self] = None
        if not script.is_there:
            self.break_soon()

    def start(self) -> None:
        pass

    def wake(self) -> None:
        self._engine.soon(self._pump)

    def cut(self) -> None:
        self._engine.soon(partial(self._close, Code.CANCELLED, "the stream was cut"))

    def join(self) -> None:
        self.closed.wait()

    def say_soon(self, frames: Callable[[], _Frames]) -> None:
        self._engine.soon(lambda: self._say(frames()))

    def after_others(self, step: Callable[[], Any]) -> None:
        """After what is due now: a function that was told to lead has begun then."""
        self._engine.soon(step)

    def break_soon(self) -> None:
        self._engine.soon(self._break)

    def _break(self) -> None:
        is_refused = not self._script.is_there  # else it is back already
        self._close(Code.UNAVAILABLE, _UNAVAILABLE, is_refused)

    def _pump(self) -> None:
        if self._session.over:
            return
        message = self._session.next_message()
        if message is not None:
            self._say([x for call in message.calls for x in self._script.answer(self, call)])
            self.wake()
        elif self._session.half_closes:
            self._close(Code.OK, "the stream is at its end")

    def _say(self, frames: _Frames) -> None:
        if frames:
            self._engine.core.received(self._session, pb.SessionResponse(calls=frames))

    def _close(self, code: Code, text: str, refused: bool = False) -> None:
        self._script.streams.pop(self, None)
        self._engine.on_closed(self)
        self._engine.core.closed(self._session, code, text, refused)
        self.closed.set()


# ---- the clients


class _ThreadEngine(_threads.Engine):
    def __init__(self, given: Any, script: _Script) -> None:
        super().__init__(*given)
        self._script = script

    def soon(self, step: Callable[[], Any]) -> None:
        self._steps.put(step)

    def come_back(self) -> None:
        done = threading.Event()
        self.soon(partial(self._script.come_back, self.core))
        self.soon(done.set)
        while not (done.wait(0.01) or self._ended):
            pass

    def on_closed(self, stream: _Stream) -> None:
        self._streams.pop(stream, None)

    def _make_stream(self, session: Session) -> _Stream:
        return _Stream(self, session, self._script)

    def _ask_health(self, server: Server, timeout: float) -> None:
        self.soon(partial(self._script.answer_probe, self.core, server))

    def _forget_once(
        self, server: Server, request: pb.ForgetRequest, timeout: float
    ) -> pb.ForgetResponse:
        if not self._script.is_there:
            raise _Unreachable
        return _forgotten(self._script, request)


class _TaskEngine(_tasks.Engine):
    def __init__(self, given: Any, script: _Script) -> None:
        super().__init__(*given)
        self._script = script

    def soon(self, step: Callable[[], Any]) -> None:
        self.loop.call_soon_threadsafe(self.step, step)

    def come_back(self) -> None:
        self.step(partial(self._script.come_back, self.core))

    def on_closed(self, stream: _Stream) -> None:
        self._streams.pop(stream, None)

    def _make_stream(self, session: Session) -> _Stream:
        return _Stream(self, session, self._script)

    def _ask_health(self, server: Server, timeout: float) -> None:
        self.soon(partial(self._script.answer_probe, self.core, server))

    async def _forget_once(
        self, server: Server, request: pb.ForgetRequest, timeout: float
    ) -> pb.ForgetResponse:
        if not self._script.is_there:
            nothing = grpc.aio.Metadata()
            code = grpc.StatusCode.UNAVAILABLE
            raise grpc.aio.AioRpcError(code, nothing, nothing, _UNAVAILABLE)
        return _forgotten(self._script, request)


class _Unreachable(grpc.RpcError):
    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return _UNAVAILABLE


def _wire(end: Outcome) -> pb.Outcome:
    wire = pb.Outcome(
        code=end.code,
        message=end.message,
        type=end.type,
        stack=end.stack,
        details=end.details,
        value=end.value,
    )
    wire.kind = int(end.kind)  # type: ignore[assignment]  # the numbers are the same
    return wire


def _forgotten(script: _Script, request: pb.ForgetRequest) -> pb.ForgetResponse:
    options = {name.name: value for name, value in request.ListFields() if name.name != "key"}
    key = request.key.decode(errors="surrogateescape")
    script.calls.append(RecordedCall("forget", key, options))
    leads = script.leads((request.group or "default", request.key))
    return pb.ForgetResponse(flight=leads, ended=leads and request.end)


class _Scripted(ClientBase):
    # What a test says to a client, and hears from it.

    _engine: Any

    def __init__(
        self,
        *,
        fail_open: bool = False,
        codec: Codec = JSON,
        observer: Observers = None,
        traceparent: Traceparent | None = None,
        result_limit: int = 0,
    ) -> None:
        super().__init__(
            _ADDRESS,
            caller="fake",
            fail_open=fail_open,
            connect_timeout=0,
            backoff_max=0.001,
            codec=codec,
            observer=observer,
            traceparent=traceparent,
            result_limit=result_limit,
            tls_ca="",
            tls_cert="",
            tls_key="",
            tls_server_name="",
            token_file="",
        )
        self._script = _Script()

    def _ask(
        self,
        settings: Settings,
        key: KeyLike,
        function: object,
        codec: Codec,
        check: bool,
        options: CallOptions,
        live: bool = False,
    ) -> AskedCall:
        given: dict[str, Any] = {**options}
        self.calls.append(RecordedCall("stream" if live else "do", key, given))
        return super()._ask(settings, key, function, codec, check, options, live)

    @property
    def calls(self) -> list[RecordedCall]:
        """What the program asked for, in its order."""
        return self._script.calls

    def outcome(
        self,
        key: KeyLike,
        value: object = None,
        *,
        error: BaseException | None = None,
        group: str = "default",
        codec: Codec | None = None,
    ) -> None:
        """Calls for the key follow, and somebody else has led to this.

        Args:
            key: as in ``do``.
            value: what they get; bytes stay as they are.
            error: what the leader's function has raised, they get a FunctionError; or a
                StatusError, which they get as it is.
            group: as in ``do``.
            codec: that of the call, if it is another than the client's, and not for a dataclass.
        """
        place = (group, key_bytes(key))
        if isinstance(error, StatusError):
            self._script.plans[place] = _Refuses(error.code.value[0], error.message)
            return
        if error is not None:
            end = error_outcome(error)
        else:
            data = value if isinstance(value, bytes) else None
            if data is None:
                data = (codec or codec_of_value(value, self._codec)).encode(value)
            end = Outcome(Kind.OK, data)
        self._script.plans[place] = _Ends(_wire(end))

    def takeover(self, key: KeyLike, *, group: str = "default") -> None:
        """Calls for the key follow first, and lead then, with attempt 2."""
        self._script.plans[group, key_bytes(key)] = _TAKEOVER

    def lose(self, key: KeyLike, *, group: str = "default") -> None:
        """The lead is lost: that of the function that runs, or else of those to come.

        The call ends with AbortedError when its function has.
        """
        self._script.lose((group, key_bytes(key)))

    def lead(self, key: KeyLike, *, group: str = "default") -> None:
        """Calls for the key lead, as they do without a script."""
        self._script.plans.pop((group, key_bytes(key)), None)

    def unavailable(self) -> None:
        """No server can be reached from now on."""
        self._script.go()

    def available(self) -> None:
        """The server is back: the next call finds it."""
        self._script.is_there = True
        if self._engine is not None:
            self._engine.come_back()


class FakeClient(_Scripted, client.Client):
    """A :class:`singleflight.Client` without a daemon.

    Its options are as there. ``connect_timeout`` is 0, so that :meth:`unavailable` takes no time.
    """

    def _make_engine(self) -> _threads.Engine:
        return _ThreadEngine((self._settings_now(), self._options, self._security), self._script)

    @contextlib.contextmanager
    def as_default(self) -> Iterator[FakeClient]:
        """While decorated functions without a client of their own use this one."""
        before, decorator._default = decorator._default, self
        try:
            yield self
        finally:
            decorator._default = before


class FakeAioClient(_Scripted, aio.Client):
    """A :class:`singleflight.aio.Client` without a daemon; otherwise as :class:`FakeClient`."""

    def _make_engine(self) -> _tasks.Engine:
        return _TaskEngine((self._settings_now(), self._options, self._security), self._script)

    @contextlib.contextmanager
    def as_default(self) -> Iterator[FakeAioClient]:
        """While decorated functions without a client of their own use this one, on this loop."""
        loop = asyncio.get_running_loop()
        before = decorator._defaults.get(loop)
        decorator._defaults[loop] = self
        try:
            yield self
        finally:
            del decorator._defaults[loop]
            if before is not None:
                decorator._defaults[loop] = before


# ---- leads


class _LeadEngine:
    # What a lead wants of an engine.

    def __init__(self) -> None:
        self.settings = Settings([_ADDRESS], "fake")
        self.core = Core(self.settings)
        self.lead: Any = None

    def write(self, lead: CoreLead, data: bytes) -> bool:
        return self.step(lambda: self.core.write(lead, data))

    def step(self, step: Callable[[], bool]) -> bool:
        done = step()
        self.lead.sent, self.lead.was_full = len(self.lead.value), False  # as if it were sent
        return done


class _MadeLead(LeadBase):
    # What a test says to a lead, and hears from it.

    @property
    def written(self) -> bytes:
        """What the function has written."""
        return bytes(self._lead.value)

    @property
    def passes_on(self) -> bool:
        """Whether the function wants the next caller to try, if it fails."""
        return self._lead.pass_on

    @property
    def retain(self) -> float | None:
        """The seconds of ``set_retain``; None: the function has not said."""
        return None if self._lead.retain_ms is None else self._lead.retain_ms / 1000

    def set_audience(self, followers: int, seconds_left: float | None = None) -> None:
        """So many others wait; the last of them gives up in so many seconds."""
        lead = self._lead
        lead.followers = followers
        lead.latest_deadline = None if seconds_left is None else clock() + seconds_left
        lead.audience_changes += 1
        self.on_change()

    def lose(self) -> None:
        """The lead is lost."""
        self._lead.lost, self._lead.lost_why = Code.ABORTED, _LOST
        self.on_lost()

    def on_change(self) -> None:
        raise NotImplementedError

    def on_lost(self) -> None:
        self.on_change()

    def __enter__(self) -> Self:
        self._leading = leading(self)
        self._leading.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._leading.__exit__(None, None, None)


def _core_lead(
    key: KeyLike, group: str, attempt: int, token: int, failed_open: bool
) -> tuple[Any, CoreLead]:
    join = Join(group, key_bytes(key), "fake", 0, False, False)
    granted = Granted(0 if failed_open else token, attempt, 0.0)
    nobody: Any = None
    lead = CoreLead(nobody, Call(join, None, None), granted)
    lead.failed_open = failed_open
    engine: Any = _LeadEngine()
    engine.lead = lead
    return engine, lead


class FakeLead(_MadeLead, client.Lead):
    """A :class:`singleflight.Lead` by itself, to test a function alone.

    As a context manager it is the lead that :func:`~singleflight.current_lead` returns.
    """

    def __init__(
        self,
        key: KeyLike = "key",
        *,
        group: str = "default",
        attempt: int = 1,
        token: int = 1,
        failed_open: bool = False,
    ) -> None:
        client.Lead.__init__(self, *_core_lead(key, group, attempt, token, failed_open))

    on_change = client.Lead.on_change


class FakeAioLead(_MadeLead, aio.Lead):
    """A :class:`singleflight.aio.Lead` by itself; otherwise as :class:`FakeLead`.

    ``lose`` cancels ``task`` as a client would, if the test has put the function's task there.
    """

    def __init__(
        self,
        key: KeyLike = "key",
        *,
        group: str = "default",
        attempt: int = 1,
        token: int = 1,
        failed_open: bool = False,
    ) -> None:
        aio.Lead.__init__(self, *_core_lead(key, group, attempt, token, failed_open))

    on_change = aio.Lead.on_change
    on_lost = aio.Lead.on_lost


__all__ = ["FakeAioClient", "FakeAioLead", "FakeClient", "FakeLead", "RecordedCall"]
