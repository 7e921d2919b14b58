# SPDX-License-Identifier: Apache-2.0
"""Values and errors on their way from the leader to the others."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import pytest
from support import Gate, merged_calls, never, wait_follows, wait_until

from singleflight import (
    RAW,
    Client,
    CodecError,
    DecodeError,
    EncodeError,
    FunctionError,
    InvalidArgumentError,
    Lead,
    Pending,
    Result,
    Role,
    typed,
)


def test_what_json_cannot_say_is_an_error(client: Client, key: str) -> None:
    with pytest.raises(EncodeError):
        client.do(key, lambda lead: object())


def test_what_the_codec_cannot_read(client: Client, key: str) -> None:
    with pytest.raises(DecodeError):
        client.do(key, lambda lead: 1, codec=Unreadable())
    gate = Gate(b"{")
    leader = client.start(key, gate, codec=RAW)
    gate.entered.wait(60)
    follower = client.start(key, never)
    wait_until(lambda: len(merged_calls(client, key)) == 2)
    gate.leave.set()
    with pytest.raises(DecodeError, match="cannot be decoded"):
        follower.wait()
    assert leader.wait().value == b"{"


class Unreadable:
    """A codec that reads nothing."""

    def encode(self, value: object) -> bytes:
        return b"1"

    def decode(self, data: bytes) -> object:
        raise LookupError("of another version")


def test_a_retained_value_that_cannot_be_decoded_is_not_retained(client: Client, key: str) -> None:
    client.do(key, lambda lead: b"{", codec=RAW, retain=60)
    result = client.do(key, lambda lead: "new", retain=60)
    assert (result.value, result.led) == ("new", True)
    client.do(f"{key} 2", lambda lead: b"{", codec=RAW, retain=60)
    assert client.start(f"{key} 2", lambda lead: "new", retain=60).wait(60).value == "new"
    assert client.do(f"{key} 2", never).value == "new"


def test_such_a_value_is_passed_by_once(client: Client, key: str) -> None:
    client.do(key, lambda lead: 1, retain=60)
    runs = []
    with pytest.raises(DecodeError):
        client.do(key, lambda lead: runs.append(1), codec=Unreadable(), retain=60)
    assert len(runs) == 1


# ---- values of the program's own types


@dataclasses.dataclass
class Profile:
    name: str
    year: int = 1815


def test_a_dataclass_is_one_for_leader_and_follower(
    client: Client, other: Client, key: str
) -> None:
    entered, leave = threading.Event(), threading.Event()

    def load(lead: Lead) -> Profile:
        entered.set()
        leave.wait(60)
        return Profile("Ada")

    leader = client.start(key, load)
    entered.wait(60)
    followers = [other.start(key, load), client.start(key, load)]
    follower: Pending[Profile] = other.start(key, codec=typed(Profile), role=Role.FOLLOW_ONLY)
    wait_follows(followers[0], follower)
    leave.set()
    results: list[Result[Profile]] = [leader.wait(), *(call.wait() for call in followers)]
    for result in [*results, follower.wait()]:
        assert result.value == Profile("Ada")
        assert type(result.value) is Profile


# ---- what cannot be encoded, or is too large, is the same for all


def test_what_the_leader_cannot_encode(client: Client, other: Client, key: str) -> None:
    gate = Gate(object())
    leader = client.start(key, gate)
    gate.entered.wait(60)
    follower = other.start(key, never, role=Role.FOLLOW_ONLY)
    wait_follows(follower)
    gate.leave.set()
    for call in (leader, follower):
        with pytest.raises(EncodeError, match="object") as caught:
            call.wait()
        assert isinstance(caught.value, CodecError)


def test_a_cause_is_carried(client: Client, other: Client, key: str) -> None:
    entered, leave = threading.Event(), threading.Event()

    def fail(lead: Lead) -> None:
        entered.set()
        leave.wait(60)
        try:
            raise OSError("the database is down")
        except OSError as error:
            raise LookupError("no user 7") from error

    leader = client.start(key, fail)
    entered.wait(60)
    follower = other.start(key, never, role=Role.FOLLOW_ONLY)
    wait_follows(follower)
    leave.set()
    with pytest.raises(FunctionError, match="no user 7") as caught:
        follower.wait()
    assert "the database is down" in caught.value.stack
    with pytest.raises(LookupError):
        leader.wait()


# ---- stale outcomes


def test_stale_is_served_at_once_and_refreshed(client: Client, key: str) -> None:
    client.do(key, lambda lead: "old", retain=600)
    wait_until(lambda: client.do(key, never, retain=600).age > 0.002)
    gate = Gate("new")
    options: Any = {"retain": 600, "max_age": 0.001, "stale": 600}
    for _ in range(3):
        result = client.do(key, gate, **options)
        assert (result.value, result.stale, result.retained) == ("old", True, True)
    gate.entered.wait(60)
    assert gate.runs == 1
    gate.leave.set()
    wait_until(lambda: client.do(key, never, retain=600).value == "new")


def test_stale_is_served_when_the_refresh_fails(client: Client, key: str) -> None:
    client.do(key, lambda lead: "old", retain=600)
    wait_until(lambda: client.do(key, never, retain=600).age > 0.002)
    runs: list[int] = []

    def fail(lead: Lead) -> Any:
        lead.set_retain(600)
        runs.append(lead.attempt)
        raise OSError("down")

    options: Any = {"retain": 600, "retain_error": 600, "max_age": 0.001, "stale": 600}
    for count in (1, 2):
        result = client.do(key, fail, **options)
        assert (result.value, result.stale) == ("old", True)
        wait_until(lambda count=count: len(runs) >= count)  # type: ignore[misc]
    assert client.do(key, never, retain=600).value == "old"


def test_what_is_not_stale(client: Client, key: str) -> None:
    client.do(key, lambda lead: "young", retain=600)
    result = client.do(key, never, max_age=500, stale=600)
    assert (result.value, result.stale) == ("young", False)


def test_a_stale_error_is_not_served(client: Client, key: str) -> None:
    gate = Gate(OSError("down"))
    gate.leave.set()
    client.do(key, gate, retain_error=600, check=False)
    wait_until(lambda: client.do(key, never, check=False).age > 0.002)
    options: Any = {"max_age": 0.001, "stale": 600}
    assert client.do(key, lambda lead: "up", **options).value == "up"
    client.do(f"{key} 2", gate, retain_error=600, check=False)
    wait_until(lambda: client.do(f"{key} 2", never, check=False).age > 0.002)
    assert client.start(f"{key} 2", lambda lead: "up", **options).wait(60).value == "up"


def test_stale_is_for_no_stream_and_nothing_fresh(client: Client, key: str) -> None:
    with pytest.raises(InvalidArgumentError, match="stale"):
        client.do(key, never, stale=5, fresh=True)
    with pytest.raises(InvalidArgumentError, match="stale"):
        client.stream(key, never, stale=5)
    with pytest.raises(InvalidArgumentError, match="stale"):
        client.do(key, never, stale=5, role=Role.LEAD_ONLY)
