# SPDX-License-Identifier: Apache-2.0
"""The lead of one flight, in the hands of whoever runs the function."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .model import Code, Outcome

if TYPE_CHECKING:
    from .call import Call
    from .seat import Seat

CHUNK_BYTES_MAX = 64 * 1024


class Granted(NamedTuple):
    """What the server grants with a lead. Without a server: the token is 0."""

    token: int
    attempt: int
    held_from: float
    lease_ms: int = 0
    run_limit_ms: int = 0
    silence: float = 0.0
    answers: bool = False
    next_sequence: int = 0
    result_limit: int = 0


class Lead:
    """What was granted, what the function has made so far, and how much of it has been sent."""

    def __init__(self, seat: Seat, call: Call, granted: Granted) -> None:
        self.seat: Seat | None = seat  #: None: the seat is gone, nobody wants the rest
        self.call = call
        self.shell: object = None
        self.token = granted.token
        self.attempt = granted.attempt
        self.lease_ms = granted.lease_ms
        self.run_limit_ms = granted.run_limit_ms
        self.result_limit = granted.result_limit  #: bytes that the server takes; 0: it did not say
        self.lost: Code | None = None  #: the function has been told, or need not be
        self.lost_why = ""
        self.failed_open = False  #: no server: the outcome is for the callers of this process only

        # The clock of the lead. It holds until ``held_from + silence``.
        self.silence = granted.silence  #: seconds; 0: it holds as long as the stream
        self.answers = granted.answers  #: the server answers renewals
        self.held_from = granted.held_from

        self.value = bytearray()
        self.sent = 0
        self.first_sequence = granted.next_sequence  #: chunks of another process came before
        self.chunk_count = 0
        self.chunk_ends: list[int] = []  #: with a lease: where in the value each chunk ends
        self.was_full = False
        self.overflow = 0  #: above 0: the value is larger than this limit

        self.audience_changes = 0
        self.followers: int | None = None  #: None: nobody has waited yet
        self.latest_deadline: float | None = None  #: None: somebody waits without one

        self.outcome: Outcome | None = None  #: set when the function has ended
        self.pass_on = False
        self.retain_ms: int | None = None

    @property
    def holds_until(self) -> float | None:
        """When the lead is over without another answer; None: when its stream is."""
        if self.silence == 0 or self.failed_open:
            return None
        return self.held_from + self.silence

    def is_lost(self, now: float) -> bool:
        """Whether it leads no more, by the clock, whether or not anybody has told."""
        end = self.holds_until
        return self.lost is not None or (end is not None and now >= end)

    def why_lost(self, now: float) -> str:
        """The reason in words; empty while it holds."""
        if self.lost is not None or not self.is_lost(now):
            return self.lost_why
        return self.over_text("while this process did not run")

    def over_text(self, where: str) -> str:
        """What is said of a lead whose time is over."""
        if self.lease_ms > 0:
            return f"the lease of {self.lease_ms} ms ran out {where}"
        return (
            f"the server has not answered for {self.silence * 1000:.0f} ms, and there is no lease"
        )

    @property
    def within_limit(self) -> int:
        """How many bytes the value may have; 0: as many as this client makes."""
        return 0 if self.failed_open else self.result_limit

    @property
    def unsent(self) -> int:
        """How many bytes are not sent yet."""
        return 0 if self.failed_open else len(self.value) - self.sent

    def take(self, size: int) -> bytes:
        """The next bytes to send."""
        with memoryview(self.value) as view:
            part = bytes(view[self.sent : self.sent + size])
        self.sent += size
        return part

    def take_chunk(self) -> tuple[int, bytes]:
        """The next chunk to send, with its sequence."""
        sequence = self.first_sequence + self.chunk_count
        part = self.take(min(self.unsent, CHUNK_BYTES_MAX))
        self.chunk_count += 1
        if self.lease_ms > 0:
            self.chunk_ends.append(self.sent)
        return sequence, part

    def rewind(self, next_sequence: int) -> bool:
        """After a resume: sends again what has not arrived. False: no such chunk was posted."""
        arrived = next_sequence - self.first_sequence
        if not 0 <= arrived <= self.chunk_count:
            return False
        self.chunk_count = arrived
        del self.chunk_ends[arrived:]
        self.sent = self.chunk_ends[-1] if self.chunk_ends else 0
        return True

    def whole_outcome(self) -> Outcome:
        """The outcome with the whole value: what was written, and what came with the end."""
        end = self.outcome
        assert end is not None, "the function has ended"
        return Outcome(
            end.kind,
            bytes(self.value),
            end.code,
            end.message,
            end.type,
            end.stack,
            end.details,
        )
