# SPDX-License-Identifier: Apache-2.0
"""What the parts of the core tell each other, and the shells. Times are seconds, but for ..._ms."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass


class Code(enum.IntEnum):
    """Statuses of the service; the numbers are gRPC's."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


def code_of(number: int) -> Code:
    """The status of a number from the network."""
    try:
        return Code(number)
    except ValueError:
        return Code.UNKNOWN


# How long a call that does not wait for a connection waits for the one try that it makes, and for
# the answer of a server that is known to be there.
ONE_TRY = 0.25
ANSWER_TIMEOUT = 5.0

# The type of an outcome whose value was larger than a limit, and of one that no codec could encode.
LIMIT_EXCEEDED = "singleflight.LimitExceeded"
ENCODE_ERROR = "singleflight.EncodeError"

# The server is there, and does not take this caller.
REFUSALS = frozenset((Code.UNAUTHENTICATED, Code.PERMISSION_DENIED))

# The server's last word for an id is one of these.
LAST_STEPS = frozenset(("result", "end"))


class Kind(enum.IntEnum):
    """How a function ended; the numbers are those of OutcomeKind."""

    OK = 1
    ERROR = 2
    PANIC = 3
    ABANDONED = 4


class Role(enum.IntEnum):
    """What part a caller is ready to play."""

    ANY = 0  #: leads if nobody does, follows otherwise
    LEAD_ONLY = 1  #: ABORTED at once when somebody else leads
    FOLLOW_ONLY = 2  #: NOT_FOUND at once when there is nothing to follow


class LeaderLoss(enum.IntEnum):
    """What happens to a flight when its leader is lost."""

    PROMOTE = 0  #: the oldest follower runs the function anew
    FAIL = 1  #: every follower ends with ABORTED
    HOLD = 2  #: the loss is the outcome, ABANDONED, kept by ``retain_error``: for what may run once


@dataclass(frozen=True)
class LeadRef:
    """A lead that a call is made in."""

    group: str
    key: bytes
    token: int


@dataclass
class Settings:
    """What holds for a whole client."""

    addresses: Sequence[str]
    caller: str
    fail_open: bool = False
    connect_timeout: float = 30.0
    backoff_min: float = 0.05
    backoff_max: float = 2.0
    result_limit: int = 64 * 1024 * 1024
    unsent_limit: int = 1024 * 1024

    @property
    def look_time(self) -> float:
        """How long a server may fail before it counts as down."""
        return min(self.connect_timeout or ONE_TRY, ANSWER_TIMEOUT)


@dataclass(eq=False)
class Join:
    """The options of one call, checked, in the units of the wire."""

    group: str
    key: bytes
    caller: str
    connect_timeout: float
    fail_open: bool
    role: int = 0
    live: bool = False
    audience: bool = False
    retain_ms: int = 0
    retain_error_ms: int = 0
    max_age_ms: int = 0
    lease_ms: int = 0
    run_limit_ms: int = 0
    on_leader_loss: int = 0
    max_attempts: int = 0
    fingerprint: bytes = b""
    resume_token: int = 0
    retain_from_lead: bool = False
    fresh: bool = False
    within: tuple[LeadRef, ...] = ()
    mergeable: bool = True
    traceparent: str = ""

    def merge_key(self) -> tuple[object, ...]:
        """Calls of equal merge keys may share a seat: everything that counts but the timeouts."""
        return (
            self.key,
            self.group,
            self.caller,
            self.fail_open,
            self.audience,
            self.retain_ms,
            self.retain_error_ms,
            self.max_age_ms,
            self.lease_ms,
            self.run_limit_ms,
            self.on_leader_loss,
            self.max_attempts,
            self.fingerprint,
            self.retain_from_lead,
            self.fresh,
        )


@dataclass(frozen=True)
class Outcome:
    """How a function ended. The value: the whole when it comes, its last part when it goes."""

    kind: Kind
    value: bytes = b""
    code: int = 0
    message: str = ""
    type: str = ""
    stack: str = ""
    details: bytes = b""


@dataclass(frozen=True)
class Ended:
    """How a call ended: with a status other than OK and a text, or with an outcome."""

    status: Code
    text: str = ""
    outcome: Outcome | None = None
    led: bool = False
    own: bool = False  #: the outcome is what the call's own function came to
    shared: bool = False
    callers: int = 0
    attempt: int = 0
    token: int = 0
    retained: bool = False
    age_ms: int = 0
    retain_ms: int = 0
    retain_refused: bool = False
    failed_open: bool = False
