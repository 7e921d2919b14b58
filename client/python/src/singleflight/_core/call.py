# SPDX-License-Identifier: Apache-2.0
"""One Do of the program. It takes a place on a seat, perhaps beside others, until its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .timers import Timer

if TYPE_CHECKING:
    from .lead import Lead
    from .model import Ended, Join
    from .seat import Seat


class Call:
    """Shells make it, and use ``shell`` and ``watch``; all else is the core's."""

    __slots__ = (
        "deadline",
        "ended",
        "join",
        "lead",
        "pending",
        "seat",
        "shell",
        "timeout",
        "timer",
        "watch",
    )

    def __init__(
        self, join: Join, timeout: float | None, shell: object, watch: object = None
    ) -> None:
        self.join = join
        self.timeout = timeout
        self.shell = shell
        self.watch = watch  #: the shell's, too
        self.deadline: float | None = None
        self.seat: Seat | None = None
        self.lead: Lead | None = None  #: while its function runs
        self.pending: Ended | None = None  #: the lead is lost: the end waits for the function's
        self.ended = False
        self.timer: Timer | None = None
