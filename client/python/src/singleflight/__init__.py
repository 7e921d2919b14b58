# SPDX-License-Identifier: Apache-2.0
"""singleflight across processes: callers that ask for the same work share one execution of it."""

from __future__ import annotations

from . import aio
from ._core.model import Kind, LeaderLoss, Role
from ._shell import KeyLike
from ._version import __version__
from .client import Client, Lead, Pending, Stream
from .codec import JSON, RAW, Codec
from .decorator import coalesce, current_lead, default_aio_client, default_client
from .errors import (
    AbandonedError,
    AbortedError,
    CallCancelledError,
    CodecError,
    DeadlineExceededError,
    DecodeError,
    EncodeError,
    FailedPreconditionError,
    FunctionError,
    InvalidArgumentError,
    InvalidTypeError,
    LimitExceededError,
    NotFoundError,
    PanicError,
    PermissionDeniedError,
    ResourceExhaustedError,
    SingleflightError,
    StatusError,
    UnauthenticatedError,
    UnavailableError,
    UsedAfterForkError,
)
from .observer import EndedEvent, Event, Observer
from .options import CallOptions, Duration
from .results import Audience, Chunk, Forgotten, Restart, Result
from .typed import typed

__all__ = [
    "JSON",
    "RAW",
    "AbandonedError",
    "AbortedError",
    "Audience",
    "CallCancelledError",
    "CallOptions",
    "Chunk",
    "Client",
    "Codec",
    "CodecError",
    "DeadlineExceededError",
    "DecodeError",
    "Duration",
    "EncodeError",
    "EndedEvent",
    "Event",
    "FailedPreconditionError",
    "Forgotten",
    "FunctionError",
    "InvalidArgumentError",
    "InvalidTypeError",
    "KeyLike",
    "Kind",
    "Lead",
    "LeaderLoss",
    "LimitExceededError",
    "NotFoundError",
    "Observer",
    "PanicError",
    "Pending",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "Restart",
    "Result",
    "Role",
    "SingleflightError",
    "StatusError",
    "Stream",
    "UnauthenticatedError",
    "UnavailableError",
    "UsedAfterForkError",
    "__version__",
    "aio",
    "coalesce",
    "current_lead",
    "default_aio_client",
    "default_client",
    "typed",
]
