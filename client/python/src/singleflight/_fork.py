# SPDX-License-Identifier: Apache-2.0
"""What a fork does to clients: threads and connections stay behind, and the child starts anew."""

from __future__ import annotations

import os
import weakref
from typing import Protocol

from .errors import UsedAfterForkError


class Forked(Protocol):
    """What is told of forks."""

    def after_fork(self) -> None:
        """In the child, which has no other thread yet."""


_forked: weakref.WeakSet[Forked] = weakref.WeakSet()

# What the parent used. Nothing of it may be touched in the child, not even to free it: gRPC's own
# threads, which it would wait for, are not there.
_left_behind: list[object] = []


def tell_of_forks(what: Forked) -> None:
    """Has ``what`` told of forks, as long as it is there."""
    _forked.add(what)


def leave_behind(what: object) -> None:
    """In the child: keeps what must not be touched any more."""
    _left_behind.append(what)


def _after_fork() -> None:
    for what in list(_forked):
        what.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class ForkGuard:
    """Knows whether this is still the process that made it."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether it is."""
        return os.getpid() == self._pid

    def check(self) -> None:
        """Raises in a child of the process."""
        if not self.is_here:
            raise UsedAfterForkError(
                f"this call was begun in process {self._pid}, before the fork: its child "
                f"{os.getpid()} can only begin calls of its own"
            )
