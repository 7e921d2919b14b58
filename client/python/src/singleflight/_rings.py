# SPDX-License-Identifier: Apache-2.0
"""Functions of this process that wait for each other: the call that would close a ring is refused.

Known is what a function waits for in its own thread or task. What it only begins may be waited for
elsewhere, or not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from ._fork import tell_of_forks
from .errors import FailedPreconditionError

if TYPE_CHECKING:
    from ._shell import LeadBase


class Place(NamedTuple):
    """A key, in its group, on its servers."""

    servers: frozenset[str]
    group: str
    key: bytes


class _Rings:
    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        self.lock = threading.Lock()
        self.leads: dict[Place, LeadBase] = {}  # those whose function runs
        self.waits: dict[LeadBase, Place] = {}  # what that function waits for


_rings = _Rings()
tell_of_forks(_rings)


def runner() -> object:
    """Who runs here: a task, or a thread."""
    with contextlib.suppress(RuntimeError):
        task = asyncio.current_task()
        if task is not None:
            return task
    return threading.get_ident()


@contextlib.contextmanager
def running(lead: LeadBase) -> Iterator[None]:
    """While the function of a lead runs."""
    place = lead.place
    with _rings.lock:
        _rings.leads[place] = lead
    try:
        yield
    finally:
        with _rings.lock:
            if _rings.leads.get(place) is lead:
                del _rings.leads[place]


@contextlib.contextmanager
def waiting(lead: LeadBase | None, place: Place) -> Iterator[None]:
    """While the function of ``lead`` waits for a call for ``place``.

    Raises:
        FailedPreconditionError: somebody there waits for this function.
    """
    if lead is None or lead.runner != runner():
        yield
        return
    with _rings.lock:
        if _closes(lead, place):
            raise FailedPreconditionError(
                f"this call would wait for itself: the function that leads the key {place.key!r} "
                "waits, perhaps through others, for the one that this call is made in"
            )
        _rings.waits[lead] = place
    try:
        yield
    finally:
        with _rings.lock:
            _rings.waits.pop(lead, None)


def _closes(lead: LeadBase, place: Place) -> bool:
    around: set[LeadBase] = set()
    outer: LeadBase | None = lead
    while outer is not None:
        around.add(outer)
        outer = outer.outer
    seen: set[LeadBase] = set()
    at = _rings.leads.get(place)
    while at is not None and at not in seen and not at.lost:
        if at in around:
            return True
        seen.add(at)
        waits_for = _rings.waits.get(at)
        at = None if waits_for is None else _rings.leads.get(waits_for)
    return False
