# SPDX-License-Identifier: Apache-2.0
"""A core in virtual time, and a server that says what the test wants it to say."""

from __future__ import annotations

from random import Random
from typing import Any

from singleflight._core import effects
from singleflight._core.call import Call
from singleflight._core.core import Core
from singleflight._core.lead import Lead
from singleflight._core.model import Code, Ended, Join, Kind, Outcome, Settings
from singleflight._core.server import Server
from singleflight._core.session import Session
from singleflight.v1 import singleflight_pb2 as pb


class Net:
    """A core, its clock, and the other ends of its streams."""

    def __init__(self, addresses: tuple[str, ...] = ("a:1",), **settings: Any) -> None:
        self.core = Core(Settings(list(addresses), "me", **settings), Random(7))
        self.streams: list[Session] = []
        self.probes: list[Server] = []
        self.events: list[Any] = []
        self.done: dict[Call, Ended] = {}
        self.cut: list[Session] = []

    def look(self) -> None:
        while self.core.effects:
            todo, self.core.effects = self.core.effects, []
            for effect in todo:
                self.events.append(effect)
                if isinstance(effect, effects.OpenStream):
                    self.streams.append(effect.session)
                elif isinstance(effect, effects.Probe):
                    self.probes.append(effect.server)
                elif isinstance(effect, effects.CutStream):
                    self.cut.append(effect.session)
                elif isinstance(effect, effects.Done):
                    assert effect.call not in self.done, "a call ends once"
                    self.done[effect.call] = effect.ended

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if type(event) is kind]

    def begin(self, timeout: float | None = None, **options: Any) -> Call:
        given: dict[str, Any] = {
            "group": "",
            "key": b"k",
            "caller": "me",
            "connect_timeout": 30.0,
            "fail_open": False,
            **options,
        }
        call = Call(Join(**given), timeout, None)
        self.core.begin(call)
        self.look()
        return call

    def wait(self, seconds: float) -> None:
        """Time passes, and timers fire when they are due."""
        end = self.core.now + seconds
        while (at := self.core.timers.next_at()) is not None and at <= end:
            self.core.now = max(self.core.now, at)
            self.core.tick()
            self.look()
        self.core.now = end

    def sent(self, stream: int = -1) -> list[pb.CallRequest]:
        """The frames of the next message."""
        message = self.streams[stream].next_message()
        self.look()
        return [] if message is None else list(message.calls)

    def say(self, number: int, stream: int = -1, **step: Any) -> None:
        """One frame of the server."""
        frame = pb.CallResponse(id=number, **step)
        self.core.received(self.streams[stream], pb.SessionResponse(calls=[frame]))
        self.look()

    def lead(self, call: Call, number: int = 1, **fields: Any) -> Lead:
        """The call leads."""
        given = {"token": 10, "attempt": 1, "run_limit_ms": 1, **fields}
        self.say(number, lead=pb.Lead(**given))
        lead: Lead = self.of(effects.Leads)[-1].lead
        assert lead.call is call
        return lead

    def finish(self, lead: Lead, value: bytes = b"", **outcome: Any) -> None:
        self.core.finish(lead, Outcome(**{"kind": Kind.OK, "value": value, **outcome}))
        self.look()

    def break_stream(
        self, code: Code = Code.UNAVAILABLE, text: str = "broken", refused: bool = False
    ) -> None:
        self.core.closed(self.streams[-1], code, text, refused)
        self.look()

    def pause(self, seconds: float) -> None:
        """The process does not run for so long; then all timers that are due fire."""
        self.core.now += seconds
        self.core.tick()
        self.look()


def result(value: bytes = b"", **fields: Any) -> pb.Result:
    given: dict[str, Any] = {
        "outcome": pb.Outcome(kind=pb.OUTCOME_KIND_OK, value=value),
        "callers": 1,
        "attempt": 1,
        "token": 10,
        "value_bytes": len(value),
    }
    return pb.Result(**{**given, **fields})


def is_over(core: Core) -> bool:
    return core.is_over


def half_closes(stream: Session) -> bool:
    return stream.half_closes


def is_down(server: Server) -> bool:
    return server.down


def is_lost(lead: Lead) -> bool:
    return lead.lost is not None
