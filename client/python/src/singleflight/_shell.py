# SPDX-License-Identifier: Apache-2.0
"""What the two shells share: between exceptions and outcomes, endings and results."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar, Union

from singleflight.v1 import singleflight_pb2 as pb

from ._clock import clock
from ._core import effects
from ._core.core import Core
from ._core.lead import Lead as CoreLead
from ._core.model import (
    ENCODE_ERROR,
    LIMIT_EXCEEDED,
    Code,
    Ended,
    Join,
    Kind,
    LeadRef,
    Outcome,
    Role,
    Settings,
)
from ._environment import environment_of_lead, lead_of_environment
from ._fork import ForkGuard
from ._rings import Place, runner, running, waiting
from .codec import Codec
from .errors import (
    FUNCTION_ERRORS,
    DecodeError,
    EncodeError,
    FailedPreconditionError,
    FunctionError,
    InvalidArgumentError,
    InvalidTypeError,
    LimitExceededError,
    check_error_fields,
    status_error,
)
from .observer import Watch
from .options import (
    CallOptions,
    Duration,
    milliseconds,
    read_join,
    read_timeout,
)
from .results import Audience, Result
from .typed import codec_of

T = TypeVar("T")

KeyLike = Union[str, bytes]

_TEXT_BYTES_MAX = 64 * 1024
_WITHIN_MAX = 32

# The shortest max_age on the wire. An outcome that is younger is served again.
_AGE_MS_MIN = 1

# Of the exceptions that are no Exception these say that the leader goes, not that the work failed.
LEAVING = (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError)

# And of those that are, these say that the program is broken, not that the work failed.
_PANICS = (AssertionError, MemoryError, RecursionError, SystemError)


# ---- the function's end


_NOTHING: Mapping[str, Any] = {}


def _text(text: str, keeps_end: bool = False) -> str:
    data = text.encode(errors="replace")
    if len(data) <= _TEXT_BYTES_MAX:
        return text if data == text.encode(errors="surrogatepass") else data.decode()
    data = data[-_TEXT_BYTES_MAX:] if keeps_end else data[:_TEXT_BYTES_MAX]
    return data.decode(errors="ignore")


def _type_name(error: BaseException) -> str:
    cls = type(error)
    module = cls.__module__
    return cls.__qualname__ if module == "builtins" else f"{module}.{cls.__qualname__}"


def kind_of(error: BaseException) -> Kind:
    """What an exception of the function counts as."""
    if isinstance(error, FunctionError):
        return error.kind
    if isinstance(error, LEAVING):
        return Kind.ABANDONED
    if isinstance(error, _PANICS) or not isinstance(error, Exception):
        return Kind.PANIC
    return Kind.ERROR


def outcome_of(error: BaseException, lead: LeadBase) -> Outcome:
    """The outcome of a function that raised ``error``."""
    if isinstance(error, LEAVING):
        lead.pass_on()
    if lead.refreshes:
        lead.forget_retain()
    return error_outcome(error, lead.given_error)


def error_outcome(error: BaseException, given: Mapping[str, Any] = _NOTHING) -> Outcome:
    """What others are told of an exception; ``given`` is what the function has said beside it."""
    name, stack, message, code, details = _type_name(error), "", str(error), 0, b""
    if isinstance(error, EncodeError):
        name = ENCODE_ERROR
    if isinstance(error, FunctionError):
        # Perhaps from another flight, that this function waited for: the first stack is the one.
        name, stack, message = error.type or name, error.stack, error.message
        code, details = error.code, error.details
    stack = stack or "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return Outcome(
        kind_of(error),
        b"",
        given.get("code", code),
        _text(message),
        _text(given.get("type") or name),
        _text(stack, keeps_end=True),
        given.get("details", details),
    )


class LeadBase:
    """What a function that leads may ask and say."""

    def __init__(self, core: CoreLead, settings: Settings) -> None:
        self._lead = core
        self._settings = settings
        self._guard = ForkGuard()
        self._audience_seen = 0
        self.outer: LeadBase | None = None  #: the lead that its call was made in
        self.runner: object = None  #: the thread or task of its function
        self.given_error: dict[str, Any] = {}
        self.wrote = False
        self.refreshes = False  #: behind a call that was served a stale outcome

    @property
    def token(self) -> int:
        """The fencing token; 0 when the function runs here because no server could be reached."""
        return self._lead.token

    @property
    def attempt(self) -> int:
        """The how-many-eth leader of the flight this is. Above 1, somebody else has begun."""
        return self._lead.attempt

    @property
    def place(self) -> Place:
        """Where its flight is."""
        return place_of(self._lead.call.join, self._settings)

    @property
    def key(self) -> bytes:
        """The key of the flight."""
        return self._lead.call.join.key

    @property
    def group(self) -> str:
        """The group of the flight."""
        return self._lead.call.join.group or "default"

    @property
    def lost(self) -> bool:
        """Whether this leads no more: stop then, nobody takes what comes.

        The answer is the clock's at this moment, so it is right after a pause, too. It may be too
        late all the same: only what checks the token is safe from a late leader.
        """
        return self._lead.is_lost(clock())

    @property
    def lost_reason(self) -> str:
        """Why the lead is lost, in words."""
        return self._lead.why_lost(clock())

    @property
    def was_told(self) -> bool:
        # After a pause the server is asked first; until then only who asks hears that it is lost.
        return self._lead.lost is not None

    @property
    def failed_open(self) -> bool:
        """Whether no server could be reached, at the beginning or on the way.

        The function goes on to its end, and its outcome is for the callers of this process.
        """
        return self._lead.failed_open

    @property
    def ended(self) -> bool:
        """Whether the function has ended."""
        return self._lead.outcome is not None

    def environment(self) -> dict[str, str]:
        """Variables that tell another program in which lead it runs, for ``subprocess``.

        They are those that the tool gives to its command, and every client reads them: a call for
        this key in that program would wait for itself, and is refused. A key that no variable can
        hold (it has a zero byte) is not told.
        """
        return environment_of_lead(LeadRef(self.group, self.key, self.token), self.attempt)

    def is_of(self, settings: Settings) -> bool:
        """Whether it is of this process, and of the same servers."""
        return self._guard.is_here and self.place.servers == frozenset(settings.addresses)

    @property
    def audience(self) -> Audience | None:
        """Who waits; None without the option ``audience``, or before anybody has waited."""
        self._audience_seen = self._lead.audience_changes
        followers, latest = self._lead.followers, self._lead.latest_deadline
        if followers is None:
            return None
        return Audience(followers, None if latest is None else max(0.0, latest - clock()))

    def pass_on(self, passes_on: bool = True) -> None:
        """If the function fails now, this failure is its own: let the next caller try."""
        self._lead.pass_on = passes_on

    def set_retain(self, retain: Duration) -> None:
        """Keep this outcome for so long instead of what ``retain`` or ``retain_error`` say."""
        self._lead.retain_ms = milliseconds(retain, "retain")

    def forget_retain(self) -> None:
        """A refresh that fails replaces nothing, whatever its function has asked for."""
        self._lead.retain_ms = None

    def set_error(
        self,
        *,
        code: int | None = None,
        type: str | None = None,
        details: bytes | None = None,
    ) -> None:
        """Says more about the exception that the function is going to raise."""
        check_error_fields(code or 0, details or b"")
        given = {"code": code, "type": type, "details": details}
        self.given_error.update({name: what for name, what in given.items() if what is not None})

    def _check_lost(self) -> None:
        if self.lost:
            raise status_error(self._lead.lost or Code.ABORTED, self.lost_reason)

    def too_large(self) -> LimitExceededError:
        """What writing more than the limit raises."""
        limit = self._lead.overflow
        whose = (
            "this client makes: result_limit is"
            if limit == self._settings.result_limit
            else ("the server takes: its result limit is")
        )
        return LimitExceededError(f"the value is larger than {whose} {limit} bytes")

    def echo(self, data: bytes) -> None:
        """A live caller that leads sees its own chunks, as it would those of another leader."""
        call = self._lead.call
        if data and call.join.live:
            call.shell.put(effects.Chunk(call, data))  # type: ignore[attr-defined]

    def encode(self, core: Core, codec: Codec, value: object) -> bytes:
        """What the function returned; None after it wrote adds nothing."""
        if value is None and self.wrote:
            return b""
        try:
            data = codec.encode(value)
        except Exception as error:
            raise EncodeError(f"the value cannot be encoded: {error}") from error
        if core.exceeded(self._lead, len(data)):
            raise self.too_large()
        return data

    def refuse_value(self, why: str) -> InvalidTypeError:
        """The function is none of this client's: that is this caller's slip, and no outcome."""
        self.pass_on()
        return InvalidTypeError(why)

    def success(self, data: bytes) -> Outcome:
        """The outcome of a function that returned."""
        if self._lead.overflow:  # a value that is not whole must not look like one
            error = self.too_large()
            return Outcome(Kind.ERROR, code=error.code, message=error.message, type=error.type)
        return Outcome(Kind.OK, data)


#: The lead of the function that runs; see :func:`current_lead`.
lead_variable: contextvars.ContextVar[Any] = contextvars.ContextVar("singleflight_lead")


def place_of(join: Join, settings: Settings) -> Place:
    """Where the flight of a call is."""
    return Place(frozenset(settings.addresses), join.group or "default", join.key)


def enter_leads(join: Join, settings: Settings) -> None:
    """Puts the leads that a call is made in into its join.

    Raises:
        FailedPreconditionError: one of them is of its own key: it would wait for itself.
    """
    lead: LeadBase | None = lead_variable.get(None)
    refs = lead_of_environment()
    for ref in refs:
        join.mergeable = join.mergeable and not _is_same(ref, join)
    while lead is not None:
        if not lead.ended and not lead.lost:
            ref = LeadRef(lead.group, lead.key, lead.token)
            same = _is_same(ref, join)
            if same and lead.is_of(settings):
                raise FailedPreconditionError(
                    "this call would wait for itself: it is made inside the function that leads "
                    f"the key {join.key!r}"
                )
            join.mergeable = join.mergeable and not same  # the server knows whether it would
            refs = [*refs, ref] if ref.token else refs
        lead = lead.outer
    join.within = tuple(refs[:_WITHIN_MAX])


def _is_same(ref: LeadRef, join: Join) -> bool:
    return (ref.group, ref.key) == (join.group or "default", join.key)


# ---- the call's end


def result_of(ended: Ended, call: AskedCall, own_error: BaseException | None) -> Result[Any]:
    """The result of a call that ended; raises instead, if that is what it came to."""
    outcome = ended.outcome
    if outcome is None:
        raise status_error(ended.status, ended.text) from own_error
    error: BaseException | None = None
    value: Any = None
    if outcome.kind is Kind.OK:
        try:
            value = call.codec.decode(outcome.value)
        except Exception as problem:
            raise DecodeError(f"the value cannot be decoded: {problem}") from problem
    elif ended.own and own_error is not None:
        error = own_error
        if isinstance(error, FunctionError):
            error.value = error.value or outcome.value
    else:
        error = _error_of(outcome)
    result = Result(
        value,
        ended.led,
        ended.shared,
        ended.callers,
        ended.attempt,
        ended.token,
        ended.retained,
        ended.age_ms / 1000,
        ended.retain_ms / 1000,
        ended.retain_refused,
        ended.failed_open,
        outcome.kind,
        call.is_stale(ended),
        error,
    )
    if isinstance(error, FunctionError):
        error.result = result
    if error is not None and call.check:
        raise error
    return result


def _error_of(outcome: Outcome) -> EncodeError | FunctionError:
    if outcome.type == ENCODE_ERROR:
        return EncodeError(outcome.message)
    cls = FUNCTION_ERRORS[outcome.kind]
    if outcome.type == LIMIT_EXCEEDED:
        cls = LimitExceededError
    return cls(
        outcome.message,
        code=outcome.code,
        type=outcome.type,
        stack=outcome.stack,
        details=outcome.details,
        value=outcome.value,
    )


@contextlib.contextmanager
def leading(lead: LeadBase) -> Iterator[None]:
    """While the function runs."""
    lead.outer = lead_variable.get(None)
    lead.runner = runner()
    reset = lead_variable.set(lead)
    try:
        with running(lead):
            yield
    finally:
        lead_variable.reset(reset)


def check_function(function: object, role: int, awaits: bool) -> None:
    """Raises when a call that may lead has nothing to run, or what its client cannot run."""
    if function is None:
        if role != Role.FOLLOW_ONLY:
            raise InvalidArgumentError(
                "the function is missing: only FOLLOW_ONLY calls can do without one"
            )
        return
    if not callable(function):
        kind = type(function).__name__
        raise InvalidTypeError(f"function is {kind}: a function of the lead is wanted")
    for what in (function,) if inspect.isroutine(function) else (function, type(function).__call__):
        if inspect.isgeneratorfunction(what) or inspect.isasyncgenfunction(what):
            raise InvalidTypeError("function is a generator: one that returns a value is wanted")
        if not awaits and inspect.iscoroutinefunction(what):
            raise InvalidTypeError(
                "function is a coroutine function: this client is for threads, that of "
                "singleflight.aio is for asyncio"
            )
    code: Any = getattr(function, "__code__", None)
    takes_none = code is not None and code.co_argcount == 0
    if takes_none and not code.co_flags & inspect.CO_VARARGS:
        raise InvalidTypeError("function takes no argument: it is called with the lead")


class AskedCall:
    """One call as the program asked for it."""

    def __init__(
        self,
        join: Join,
        place: Place,
        codec: Codec,
        check: bool,
        timeout: float | None,
        stale_ms: int,
    ) -> None:
        self.join = join
        self.watch: Watch | None = None
        self._place = place
        self._lead: LeadBase | None = lead_variable.get(None)
        self.codec = codec
        self.check = check
        self.timeout = timeout
        self._end = None if timeout is None else clock() + timeout
        self._began = False
        self._began_again = False
        self._refreshes = False
        self._stale_ms = stale_ms
        self._wanted_age_ms = join.max_age_ms
        if stale_ms > 0:
            join.max_age_ms = max(stale_ms, self._wanted_age_ms)

    def watch_with(self, watch: Watch | None) -> None:
        """Has it watched."""
        self.watch = watch
        if watch is not None:
            watch.goes_on = self._is_not_worth_it

    def running(self) -> contextlib.AbstractContextManager[None]:
        """While the function runs, where it runs."""
        return contextlib.nullcontext() if self.watch is None else self.watch.running()

    def waited_for(self) -> contextlib.AbstractContextManager[None]:
        """While the program waits for it; refused if the call would wait for itself."""
        return waiting(self._lead, self._place)

    @property
    def refreshes(self) -> bool:
        """Whether it was made by :meth:`refresh`."""
        return self._refreshes

    @property
    def time_left(self) -> float | None:
        """Seconds; None: no timeout."""
        if self._end is None or not self._began:
            self._began = True
            return self.timeout
        return max(0.0, self._end - clock())

    def begins_again(self, ended: Ended) -> bool:
        """Whether the call begins again, because its value cannot be decoded.

        A retained one is as if it were not retained, once: perhaps another version of the program
        made it.
        """
        is_kept = ended.retained and not ended.led
        if not is_kept or (self._began_again and ended.age_ms > _AGE_MS_MIN):
            return False
        self._began_again = True
        self.join = replace(self.join, max_age_ms=_AGE_MS_MIN)
        if self.watch is not None:
            self.watch_with(self.watch.again())
        return True

    def is_stale(self, ended: Ended) -> bool:
        """Whether an outcome is older than wanted."""
        is_kept = ended.retained and not ended.led
        return self._stale_ms > 0 and is_kept and ended.age_ms > self._wanted_age_ms

    def is_too_old(self, ended: Ended) -> bool:
        """Whether the call begins again, because what is stale is not worth being served."""
        if not self._is_not_worth_it(ended):
            return False
        self._stale_ms = 0
        self.join = replace(self.join, max_age_ms=self._wanted_age_ms or _AGE_MS_MIN)
        return True

    def _is_not_worth_it(self, ended: Ended) -> bool:
        outcome = ended.outcome
        return outcome is not None and outcome.kind is not Kind.OK and self.is_stale(ended)

    def refresh(self) -> AskedCall:
        """The call that brings what is stale up to date; when it fails, what is there stays."""
        join = replace(self.join, max_age_ms=self._wanted_age_ms or _AGE_MS_MIN, retain_error_ms=0)
        call = AskedCall(join, self._place, self.codec, False, None, 0)
        call._refreshes = True
        return call


def ask(
    settings: Settings,
    key: KeyLike,
    function: object,
    codec: Codec,
    check: bool,
    options: CallOptions,
    live: bool = False,
    awaits: bool = False,
) -> AskedCall:
    """Checks what the program asks for, before anything goes to the network."""
    timeout = read_timeout(options.get("timeout"))
    join = read_join(settings, key, options, live)
    check_function(function, join.role, awaits)
    try:
        codec = codec_of(function, codec)
    except TypeError as error:
        raise InvalidTypeError(f"what the function returns is no value: {error}") from error
    stale_ms = milliseconds(options.get("stale"), "stale")
    if stale_ms > 0 and (live or join.fresh or join.role != Role.ANY or join.resume_token):
        raise InvalidArgumentError(
            "stale does not go together with a stream, fresh, role or resume_token"
        )
    enter_leads(join, settings)
    return AskedCall(join, place_of(join, settings), codec, check, timeout, stale_ms)


def read_forget(
    settings: Settings, key: KeyLike, group: str, if_unshared: bool, end: bool, caller: str | None
) -> pb.ForgetRequest:
    """Checks what is to be forgotten."""
    join = read_join(settings, key, {"group": group, "caller": caller or settings.caller})
    return pb.ForgetRequest(
        group=join.group,
        key=join.key,
        if_unshared=if_unshared,
        end=end,
        caller=join.caller if end else "",
    )


class StreamBase(Generic[T]):
    """What the streams of both shells share."""

    def __init__(self) -> None:
        self._result: Result[T] | None = None

    @property
    def result(self) -> Result[T]:
        """The result, once the stream is at its end."""
        if self._result is None:
            raise RuntimeError("the stream is not at its end: read it first")
        return self._result


def abandoned(why: str) -> Outcome:
    """The outcome of a function that was never begun."""
    return Outcome(Kind.ABANDONED, message=why)
