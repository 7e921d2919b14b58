# SPDX-License-Identifier: Apache-2.0
"""Timers in virtual time: a heap from which disarmed entries fall out when they come up."""

from __future__ import annotations

import heapq
from typing import Callable

_SWEEP_SIZE_MIN = 64


class Timer:
    """Calls ``fire`` once, at ``at``. Belongs to one :class:`Timers`."""

    __slots__ = ("at", "fire")

    def __init__(self, fire: Callable[[], None]) -> None:
        self.at: float | None = None
        self.fire = fire

    @property
    def armed(self) -> bool:
        """Whether it is going to fire."""
        return self.at is not None


class Timers:
    """All timers of one client."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0
        self._armed = 0

    def arm(self, timer: Timer, at: float) -> None:
        """Has ``timer`` fire at ``at``, and not when it was to fire before."""
        if timer.at is None:
            self._armed += 1
        timer.at = at
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, timer))
        if len(self._heap) > max(_SWEEP_SIZE_MIN, 4 * self._armed):
            self._sweep()

    def disarm(self, timer: Timer) -> None:
        """Keeps ``timer`` from firing."""
        if timer.at is not None:
            timer.at = None
            self._armed -= 1

    def next_at(self) -> float | None:
        """When the next one fires; None: never."""
        while self._heap and self._heap[0][2].at != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def fire(self, now: float) -> None:
        """Fires those whose time has come."""
        while True:
            at = self.next_at()
            if at is None or at > now:
                return
            timer = heapq.heappop(self._heap)[2]
            self.disarm(timer)
            timer.fire()

    def _sweep(self) -> None:
        # A timer that was armed anew for the same time stands here twice; firing it disarms it.
        self._heap = [entry for entry in self._heap if entry[2].at == entry[0]]
        heapq.heapify(self._heap)
