# SPDX-License-Identifier: Apache-2.0
"""How long to wait before the next try."""

from __future__ import annotations

from random import Random


class Backoff:
    """Full jitter: a random wait between 0 and a bound that doubles."""

    def __init__(self, shortest: float, longest: float, random: Random) -> None:
        self._shortest = shortest
        self._longest = max(longest, shortest)
        self._bound = shortest
        self._random = random

    def next(self) -> float:
        """The next wait in seconds."""
        bound = self._bound
        self._bound = min(bound * 2, self._longest)
        return self._random.uniform(0, bound)

    def reset(self) -> None:
        """Begins again with the shortest bound."""
        self._bound = self._shortest
