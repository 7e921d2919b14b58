# SPDX-License-Identifier: Apache-2.0
"""What a home knows of one flight."""

from dataclasses import dataclass, field

LINGER = 5.0  # s: an outcome stays known for callers that come back with their flight
ADOPTED = 5.0  # s: so long at least a flight that has moved waits for its callers


@dataclass
class Options:
    """Of the caller that opened the flight."""

    lease: float = 0.0
    holds: bool = False  # on_leader_loss = HOLD
    keeps: bool = False  # retained, long enough for etcd

    @property
    def is_recorded(self):
        return self.lease > 0 or self.holds


@dataclass
class Seat:
    """A caller of a flight: where it is heard, and what it says is the same in each of its tries."""

    stream: object
    call: int
    nonce: int
    tried: int  # how often the call has joined, this time included


@dataclass
class Flight:
    key: str
    options: Options
    id: int = 0  # the token of its first lead; 0 before
    token: int = 0
    attempt: int = 0
    leader: Seat = None  # None: nobody, or it may come back
    nonce: int = 0  # of the caller that was granted the token
    led_until: float = 0.0  # by the home's clock: the lease, or the time for a leader to come back
    awaits_until: float = 0.0  # after a move: so long its followers may be on their way
    is_forgotten: bool = False
    is_settling: bool = False  # a record of it is being written; events wait
    is_abandoned: bool = False  # what it holds ends without an outcome; its leader is not renewed
    followers: list = field(default_factory=list)
    waiting: list = field(default_factory=list)  # events that wait for the record

    def without_callers(self):
        """As it travels to another home."""
        return Flight(self.key, self.options, self.id, self.token, self.attempt, nonce=self.nonce,
                      is_forgotten=self.is_forgotten)


@dataclass
class Outcome:
    flight: int
    token: int
    value: str  # "ok TOKEN", "abandoned", or None: all its callers had left
    nonce: int = 0
    until: float = 0.0
