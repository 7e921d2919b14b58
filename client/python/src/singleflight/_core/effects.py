# SPDX-License-Identifier: Apache-2.0
"""What the core wants done. A shell carries them out in their order, after the step."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Union

if TYPE_CHECKING:
    from .call import Call
    from .lead import Lead
    from .model import Ended
    from .server import Server
    from .session import Session


class OpenStream(NamedTuple):
    """Open a Session stream to ``session.server.address``."""

    session: Session


class Wake(NamedTuple):
    """``session.next_message()`` has something to say, or the stream is to be half-closed."""

    session: Session


class CutStream(NamedTuple):
    """End the stream now. ``Core.closed()`` is to be called when it is over."""

    session: Session


class Probe(NamedTuple):
    """Ask the server for its health. ``Core.probed()`` is to be called with the answer."""

    server: Server
    timeout: float


class StopProbe(NamedTuple):
    """Nobody wants to know any more."""

    server: Server


class Leads(NamedTuple):
    """Run the function of the call; ``Core.finish()`` is to be called when it has ended."""

    call: Call
    lead: Lead


class Lost(NamedTuple):
    """``lead.lost`` was set: the function may stop."""

    lead: Lead


class Unconfirmed(NamedTuple):
    """The same when the function has ended: whether its outcome arrived is not known."""

    lead: Lead


class FailedOpen(NamedTuple):
    """No server on the way: the function goes on for this process alone."""

    lead: Lead


class AudienceChanged(NamedTuple):
    """``lead.followers`` and ``lead.latest_deadline`` were set."""

    lead: Lead


class Drained(NamedTuple):
    """There is room again for what the function writes."""

    lead: Lead


class Follows(NamedTuple):
    """Somebody else leads, here or elsewhere."""

    call: Call
    attempt: int
    leader: str


class Chunk(NamedTuple):
    """Live calls: a piece of the value."""

    call: Call
    data: bytes


class Restarts(NamedTuple):
    """Live calls: the chunks so far are void."""

    call: Call
    attempt: int
    leader: str


class Done(NamedTuple):
    """The call has ended."""

    call: Call
    ended: Ended


Effect = Union[
    OpenStream,
    Wake,
    CutStream,
    Probe,
    StopProbe,
    Leads,
    Lost,
    Unconfirmed,
    FailedOpen,
    AudienceChanged,
    Drained,
    Follows,
    Chunk,
    Restarts,
    Done,
]
