# SPDX-License-Identifier: Apache-2.0
"""What calls give back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from ._core.model import Kind

T = TypeVar("T")


@dataclass(frozen=True)
class Result(Generic[T]):
    """What a call ended with, and the facts of its flight. Times are seconds."""

    value: T  #: what the function returned, as the codec reads it; None beside an error
    led: bool = False  #: this very call ran the function whose outcome this is
    shared: bool = False  #: the outcome went to more than one caller; true for the leader, too
    callers: int = 0  #: to how many, the leader and merged callers of this process included
    attempt: int = 0  #: the how-many-eth leader of the flight made it, from 1
    token: int = 0  #: the fencing token of that leader; 0 after failed_open
    retained: bool = False  #: served from a retained outcome: nobody ran anything for this call
    age: float = 0.0  #: of that outcome
    retain: float = 0.0  #: for how long from now the outcome is retained; 0: it is not
    retain_refused: bool = False  #: it should have been retained, but the server had no room
    failed_open: bool = False  #: no server could be reached, and the function ran here, alone
    outcome: Kind = Kind.OK  #: how the function ended
    stale: bool = False  #: by the option ``stale``: served though older than wanted, and refreshed
    error: BaseException | None = None  #: with ``check=False``: the error of the function


class Audience(NamedTuple):
    """Who waits for the outcome of a leader."""

    followers: int
    #: seconds from now until the last of them gives up; None: somebody waits without a deadline
    latest_deadline: float | None


class Forgotten(NamedTuple):
    """What a forget has forgotten."""

    flight: bool
    retained: bool
    ended: bool = False  #: with ``end``: the flight that ran was ended


class Chunk(NamedTuple):
    """A piece of the value of a stream."""

    data: bytes


class Restart(NamedTuple):
    """Another leader took over: the chunks of the stream so far are void."""

    attempt: int
