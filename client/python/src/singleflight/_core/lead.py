# SPDX-License-Identifier: Apache-2.0
"""The lead of one flight, in the hands of whoever runs the function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .model import Code, Outcome

if TYPE_CHECKING:
    from .call import Call
    from .seat import Seat

CHUNK_BYTES_MAX = 64 * 1024


class Lead:
    """What was granted, what the function has made so far, and how much of it has been sent."""

    def __init__(
        self, seat: Seat, call: Call, token: int, attempt: int, lease_ms: int, run_limit_ms: int
    ) -> None:
        self.seat: Seat | None = seat  #: None: the seat is gone, nobody wants the rest
        self.call = call
        self.shell: object = None
        self.token = token
        self.attempt = attempt
        self.lease_ms = lease_ms
        self.run_limit_ms = run_limit_ms
        self.lost: Code | None = None  #: the status that the call ends with
        self.lost_why = ""

        self.value = bytearray()
        self.sent = 0
        self.first_sequence = 0  #: above 0: chunks of another process came before
        self.chunk_count = 0
        self.chunk_ends: list[int] = []  #: with a lease: where in the value each chunk ends
        self.was_full = False
        self.overflowed = False

        self.audience_changes = 0
        self.followers: int | None = None  #: None: nobody has waited yet
        self.latest_deadline: float | None = None  #: None: somebody waits without one

        self.outcome: Outcome | None = None  #: set when the function has ended
        self.pass_on = False
        self.retain_ms: int | None = None

    @property
    def unsent(self) -> int:
        """How many bytes are not sent yet."""
        return 0 if self.token == 0 else len(self.value) - self.sent

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
