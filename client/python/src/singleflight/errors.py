# SPDX-License-Identifier: Apache-2.0
"""What a call may raise.

An error of the *function* is a :class:`FunctionError`; the leader's own caller gets the very
exception that its function raised. What the *service* did not do is a :class:`StatusError`. What
the *codec* could not do is a :class:`CodecError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from ._core.model import LIMIT_EXCEEDED, Code, Kind

if TYPE_CHECKING:
    from .results import Result


_DETAILS_BYTES_MAX = 64 * 1024


class SingleflightError(Exception):
    """The base of everything that this package raises by itself."""


class CodecError(SingleflightError, ValueError):
    """The codec could not do its part, for the leader or for a follower; ``message`` says why."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class EncodeError(CodecError):
    """What the leader's function returned is no value that its codec can carry without loss."""


class DecodeError(CodecError):
    """A value came, but the codec cannot read it."""


class UsedAfterForkError(SingleflightError, RuntimeError):
    """A call, stream or lead of the parent process was used in its child, after a fork."""


def check_error_fields(code: int, details: bytes) -> None:
    """Raises ValueError for what cannot travel."""
    if not isinstance(code, int) or not -(2**31) <= code < 2**31:
        raise ValueError(f"code is {code!r}: a number of 32 bits is wanted")
    if not isinstance(details, bytes) or len(details) > _DETAILS_BYTES_MAX:
        raise ValueError("details are not at most 64 KiB of bytes")


class FunctionError(SingleflightError):
    """What the leader's function ended with, for everybody but the leader's own caller.

    A function may raise it as well, to say more than an exception of its own could::

        raise FunctionError("no such user", code=404)

    Attributes:
        message: the error in words.
        kind: ERROR, PANIC or ABANDONED.
        type: the type of the exception, such as ``"ValueError"`` or ``"app.errors.NotFound"``.
        stack: the leader's traceback as text; also in the notes of this exception.
        code: the function's own error code, 0 if it has none.
        details: anything that the function added, at most 64 KiB.
        value: bytes that the function had made before it failed, as they are on the wire.
        result: the facts of the flight; None before there is one.
    """

    kind = Kind.ERROR

    def __init__(
        self,
        message: str,
        *,
        code: int = 0,
        type: str = "",
        stack: str = "",
        details: bytes = b"",
        value: bytes = b"",
    ) -> None:
        check_error_fields(code, details)
        super().__init__(message)
        self.message = message
        self.code = code
        self.type = type
        self.stack = stack
        self.details = details
        self.value = value
        self.result: Result[Any] | None = None
        if stack and hasattr(self, "add_note"):
            self.add_note(f"The leader's traceback:\n{stack.rstrip()}")

    def __str__(self) -> str:
        text = f"{self.type}: {self.message}" if self.type else self.message
        if self.stack and not hasattr(self, "add_note"):  # Python before 3.11
            text += f"\n\nThe leader's traceback:\n{self.stack.rstrip()}"
        return text

    def __reduce__(self) -> Any:
        keywords = {
            name: getattr(self, name) for name in ("code", "type", "stack", "details", "value")
        }
        return _rebuild, (type(self), self.message, keywords)


def _rebuild(cls: type[FunctionError], message: str, keywords: dict[str, Any]) -> FunctionError:
    return cls(message, **keywords)


class PanicError(FunctionError):
    """The leader's function crashed: see the README for what counts as a crash."""

    kind = Kind.PANIC


class AbandonedError(FunctionError):
    """The leader's function ended without an outcome: it gave up, or was told to stop."""

    kind = Kind.ABANDONED


class LimitExceededError(FunctionError):
    """The value is larger than a limit, which the text names: of the server, or of the leader."""

    def __init__(self, message: str, **keywords: Any) -> None:
        keywords.setdefault("code", int(Code.RESOURCE_EXHAUSTED))
        keywords.setdefault("type", LIMIT_EXCEEDED)
        super().__init__(message, **keywords)


FUNCTION_ERRORS: dict[Kind, type[FunctionError]] = {
    Kind.ERROR: FunctionError,
    Kind.PANIC: PanicError,
    Kind.ABANDONED: AbandonedError,
}


class StatusError(SingleflightError):
    """The service could not do what was asked. ``code`` is gRPC's, the text says what to do."""

    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN

    def __init__(self, message: str, code: grpc.StatusCode | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"

    def __reduce__(self) -> Any:
        return type(self), (self.message, self.code)


class CallCancelledError(StatusError):
    """The call was cancelled by this program, or its client was closed."""

    code = grpc.StatusCode.CANCELLED


class InvalidArgumentError(StatusError, ValueError):
    """An option is out of its bounds; the text says which."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class InvalidTypeError(InvalidArgumentError, TypeError):
    """An option is of a wrong type, or there is none of that name."""


class DeadlineExceededError(StatusError, TimeoutError):
    """The call's timeout is over."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class NotFoundError(StatusError):
    """FOLLOW_ONLY, and there is nothing to follow."""

    code = grpc.StatusCode.NOT_FOUND


class ResourceExhaustedError(StatusError):
    """A limit, which the text names with its value."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class FailedPreconditionError(StatusError):
    """The key is in use with another fingerprint; or the call would wait for itself."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class AbortedError(StatusError):
    """The leader was lost and nobody may try; or this leader was replaced; or somebody leads."""

    code = grpc.StatusCode.ABORTED


class UnavailableError(StatusError):
    """No server could be reached, or it shuts down: try again later."""

    code = grpc.StatusCode.UNAVAILABLE


class UnauthenticatedError(StatusError):
    """The server wants to know who calls, and was not told, or not by a token that is good."""

    code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDeniedError(StatusError):
    """The server knows who calls, and does not allow it."""

    code = grpc.StatusCode.PERMISSION_DENIED


_STATUS_ERRORS: dict[grpc.StatusCode, type[StatusError]] = {
    cls.code: cls
    for cls in (
        CallCancelledError,
        InvalidArgumentError,
        DeadlineExceededError,
        NotFoundError,
        ResourceExhaustedError,
        FailedPreconditionError,
        AbortedError,
        UnavailableError,
        UnauthenticatedError,
        PermissionDeniedError,
    )
}

_GRPC_CODES = {code.value[0]: code for code in grpc.StatusCode}


def status_error(code: int, text: str) -> StatusError:
    """The exception of a status."""
    status = _GRPC_CODES.get(code, grpc.StatusCode.UNKNOWN)
    if code == Code.UNIMPLEMENTED:
        text = (
            f"the server does not know what this client asks for ({text}): it is older than the "
            "client, or no singleflightd; update the server"
        )
    cls = _STATUS_ERRORS.get(status, StatusError)
    return cls(text, status)
