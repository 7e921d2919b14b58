# SPDX-License-Identifier: Apache-2.0
"""What the two shells share: between exceptions and outcomes, endings and results."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any, Generic, TypeVar, Union

import grpc

from ._core import effects
from ._core.backoff import Backoff
from ._core.lead import Lead as CoreLead
from ._core.model import Ended, Kind, Outcome, Role, Settings
from .codec import JSON, Codec
from .errors import (
    FUNCTION_ERRORS,
    CodecError,
    FunctionError,
    InvalidArgumentError,
    ResourceExhaustedError,
    UsedAfterForkError,
    check_error_fields,
    status_error,
)
from .options import (
    Duration,
    channel_options,
    default_caller,
    milliseconds,
    read_settings,
)
from .results import Audience, Result

T = TypeVar("T")

_TEXT_BYTES_MAX = 64 * 1024

# Of the exceptions that are no Exception these say that the leader goes, not that the work failed.
LEAVING = (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError)

# And of those that are, these say that the program is broken, not that the work failed.
_PANICS = (AssertionError, MemoryError, RecursionError, SystemError)


def clock() -> float:
    """Seconds of a clock that goes on while the machine sleeps, where there is one."""
    return _clock()


if hasattr(time, "CLOCK_BOOTTIME"):

    def _clock() -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:
    _clock = time.monotonic


class ForkGuard:
    """Knows whether this is still the process that made it."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def check(self) -> None:
        """Raises in a child of the process."""
        if os.getpid() != self._pid:
            raise UsedAfterForkError(
                f"this client was made in process {self._pid}, before the fork, and cannot work in "
                f"its child {os.getpid()}: make a client in each process, after the fork"
            )


# ---- the function's end


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
    name, stack, message, code, details = _type_name(error), "", str(error), 0, b""
    if isinstance(error, FunctionError):
        # Perhaps from another flight, that this function waited for: the first stack is the one.
        name, stack, message = error.type or name, error.stack, error.message
        code, details = error.code, error.details
    stack = stack or "".join(traceback.format_exception(type(error), error, error.__traceback__))
    given = lead.given_error
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
        self._audience_seen = 0
        self.given_error: dict[str, Any] = {}
        self.wrote = False

    @property
    def token(self) -> int:
        """The fencing token; 0 when the function runs here because no server could be reached."""
        return self._lead.token

    @property
    def attempt(self) -> int:
        """The how-many-eth leader of the flight this is. Above 1, somebody else has begun."""
        return self._lead.attempt

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

        It may be too late: only what checks the token is safe from a late leader.
        """
        return self._lead.lost is not None

    @property
    def lost_reason(self) -> str:
        """Why the lead is lost, in words."""
        return self._lead.lost_why

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
        if self._lead.lost is not None:
            raise status_error(self._lead.lost, self._lead.lost_why)

    def too_large(self) -> ResourceExhaustedError:
        """What writing more than the limit raises."""
        limit = self._settings.result_limit
        return ResourceExhaustedError(
            f"the value is larger than this client makes: result_limit is {limit} bytes; raise it "
            "where the client is made"
        )

    def echo(self, data: bytes) -> None:
        """A live caller that leads sees its own chunks, as it would those of another leader."""
        call = self._lead.call
        if data and call.join.live:
            call.shell.put(effects.Chunk(call, data))  # type: ignore[attr-defined]

    def encode(self, codec: Codec, value: object) -> bytes:
        """What the function returned; None after it wrote adds nothing."""
        data = b"" if value is None and self.wrote else codec.encode(value)
        if len(self._lead.value) + len(data) > self._settings.result_limit:
            raise self.too_large()
        return data

    def success(self, data: bytes) -> Outcome:
        """The outcome of a function that returned."""
        if self._lead.overflowed:  # a value that is not whole must not look like one
            return Outcome(Kind.ERROR, message=self.too_large().message)
        return Outcome(Kind.OK, data)


#: The lead of the function that runs; see :func:`current_lead`.
lead_variable: contextvars.ContextVar[Any] = contextvars.ContextVar("singleflight_lead")


# ---- the call's end


def result_of(
    ended: Ended, codec: Codec, own_error: BaseException | None, check: bool
) -> Result[Any]:
    """The result of a call that ended; raises instead, if that is what it came to."""
    outcome = ended.outcome
    if outcome is None:
        raise status_error(ended.status, ended.text) from own_error
    error: BaseException | None = None
    value: Any = None
    if outcome.kind is Kind.OK:
        try:
            value = codec.decode(outcome.value)
        except Exception as problem:
            raise CodecError(f"the value cannot be read: {problem}") from problem
    elif ended.led and own_error is not None:
        error = own_error
        if isinstance(error, FunctionError):
            error.value = error.value or outcome.value
    else:
        error = FUNCTION_ERRORS[outcome.kind](
            outcome.message,
            code=outcome.code,
            type=outcome.type,
            stack=outcome.stack,
            details=outcome.details,
            value=outcome.value,
        )
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
        error,
    )
    if isinstance(error, FunctionError):
        error.result = result
    if error is not None and check:
        raise error
    return result


@contextlib.contextmanager
def leading(lead: object) -> Iterator[None]:
    """While the function runs."""
    reset = lead_variable.set(lead)
    try:
        yield
    finally:
        lead_variable.reset(reset)


class ClientBase:
    """Merges equal work of all processes that ask the same servers.

    One client per process is the usual number. It connects when the first call needs it; a client
    that has been used does not work in a child of the process.

    Args:
        addresses: servers, ``"host:port"`` or ``"unix:/path"``, in a list or separated by commas.
            Default: the environment variable ``SINGLEFLIGHT_ADDRESS``, or ``127.0.0.1:7433``. With
            several, each key has one home among them, so all programs must write them alike.
        caller: the name in listings, at most 128 bytes. Default: ``<program>@<host>:<process id>``.
        fail_open: when no server can be reached, run the function here, and say so in the result.
        connect_timeout: how long a call looks for a server before it gives up, or fails open.
        backoff_min: the first bound of the random wait between two tries to connect.
        backoff_max: the last bound; it doubles in between.
        keepalive_time: a ping goes out after so much silence.
        keepalive_timeout: the connection is given up when nothing answers it for so long.
        result_limit: the largest value in bytes that this client makes or takes.
        credentials: gRPC's channel credentials. Default: none, plain text.
        codec: how values become bytes. Default: JSON.

    Raises:
        InvalidArgumentError: an address or an option cannot be read.
    """

    def __init__(
        self,
        addresses: str | Sequence[str] | None = None,
        *,
        caller: str | None = None,
        fail_open: bool = False,
        connect_timeout: Duration = None,
        backoff_min: Duration = None,
        backoff_max: Duration = None,
        keepalive_time: Duration = None,
        keepalive_timeout: Duration = None,
        result_limit: int = 0,
        credentials: grpc.ChannelCredentials | None = None,
        codec: Codec = JSON,
    ) -> None:
        self._settings = read_settings(
            addresses, caller, fail_open, connect_timeout, backoff_min, backoff_max, result_limit
        )
        self._names_itself = caller is None
        self._options = channel_options(keepalive_time, keepalive_timeout)
        self._credentials = credentials
        self._codec = codec

    def _settings_now(self) -> Settings:
        # Perhaps in a child of the process that made it.
        if not self._names_itself:
            return self._settings
        return replace(self._settings, caller=default_caller())


class Tries:
    """A request that is sent again while its server cannot be reached, for a bounded time."""

    def __init__(self, settings: Settings, address: str, timeout: float | None) -> None:
        self._backoff = Backoff(settings.backoff_min, settings.backoff_max, Random())
        self._address = address
        self._deadline = clock() + (timeout or settings.connect_timeout)
        self._unavailable = ""

    @property
    def left(self) -> float:
        """Seconds for the next try."""
        return max(0.001, self._deadline - clock())

    def wait_after(self, code: grpc.StatusCode, text: str) -> float:
        """How long to wait before the next try. Raises when that was the last."""
        if code is grpc.StatusCode.DEADLINE_EXCEEDED and self._unavailable:
            code, text = grpc.StatusCode.UNAVAILABLE, self._unavailable  # that is why
        wait = self._backoff.next()
        again = code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        if not again or clock() + wait >= self._deadline:
            raise status_error(code.value[0], f"{self._address}: {text}")
        self._unavailable = text
        return wait


def check_function(function: object, role: int) -> None:
    """Raises when a call that may lead has nothing to run."""
    if function is None and role != Role.FOLLOW_ONLY:
        raise InvalidArgumentError(
            "the function is missing: only FOLLOW_ONLY calls can do without one"
        )


class StreamBase(Generic[T]):
    """What the streams of both shells share."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
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


KeyLike = Union[str, bytes]
