# SPDX-License-Identifier: Apache-2.0
"""The fakes for the tests of programs, used as those would."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from support import PATIENCE

from singleflight import (
    RAW,
    AbortedError,
    Chunk,
    EndedEvent,
    FunctionError,
    Lead,
    NotFoundError,
    Observer,
    PanicError,
    PermissionDeniedError,
    Restart,
    Role,
    UnavailableError,
    aio,
    coalesce,
    current_lead,
)
from singleflight.testing import FakeAioClient, FakeAioLead, FakeClient, FakeLead, RecordedCall


@pytest.fixture
def fake() -> Iterator[FakeClient]:
    with FakeClient() as fake:
        yield fake


def never(lead: object) -> Any:
    pytest.fail("it must not run")


@dataclass
class User:
    name: str


def test_without_a_script_the_function_runs(fake: FakeClient) -> None:
    result = fake.do("key", lambda lead: [lead.token, lead.attempt], retain=5)
    assert (result.value, result.led, result.callers) == ([1, 1], True, 1)
    assert fake.do("key", lambda lead: lead.token, group="g", lease=10).value == 2
    fake.forget("key", group="g")
    assert fake.calls == [
        RecordedCall("do", "key", {"retain": 5}),
        RecordedCall("do", "key", {"group": "g", "lease": 10}),
        RecordedCall("forget", "key", {"group": "g"}),
    ]
    with pytest.raises(ZeroDivisionError):
        fake.do("key", lambda lead: 1 / 0)


def test_somebody_else_has_led(fake: FakeClient) -> None:
    def load(lead: Lead) -> User:
        pytest.fail("it must not run")

    fake.outcome("json", {"a": 1})
    fake.outcome("user", User("Ann"))
    fake.outcome("raw", b"bytes", group="g")
    result = fake.do("json", never)
    assert (result.value, result.led, result.shared, result.callers) == ({"a": 1}, False, True, 2)
    assert fake.do("user", load).value == User("Ann")
    with fake.stream("raw", never, group="g") as stream:
        assert list(stream) == [Chunk(b"bytes")]
    assert fake.do("raw", lambda lead: "mine", timeout=60).value == "mine"  # another group
    fake.lead("json")
    assert fake.do("json", lambda lead: "mine").led


def test_somebody_else_has_failed(fake: FakeClient) -> None:
    fake.outcome("error", error=FunctionError("no such user", code=404))
    fake.outcome("panic", error=AssertionError("broken"))
    fake.outcome("refused", error=PermissionDeniedError("not you"))
    with pytest.raises(FunctionError, match="no such user") as caught:
        fake.do("error", never)
    assert caught.value.code == 404
    with pytest.raises(PanicError, match="AssertionError: broken"):
        fake.do("panic", never)
    with pytest.raises(PermissionDeniedError, match="not you"):
        fake.do("refused", never)


def test_roles_are_those_of_a_server(fake: FakeClient) -> None:
    with pytest.raises(NotFoundError):
        fake.do("key", role=Role.FOLLOW_ONLY)
    fake.outcome("key", 1)
    assert fake.do("key", role=Role.FOLLOW_ONLY).value == 1
    with pytest.raises(AbortedError):
        fake.do("key", never, role=Role.LEAD_ONLY)


def test_a_takeover(fake: FakeClient) -> None:
    fake.takeover("key")
    assert fake.do("key", lambda lead: lead.attempt).value == 2
    fake.takeover("live")
    with fake.stream("live", lambda lead: b"mine") as stream:
        assert [event for event in stream if isinstance(event, Restart)] == []
    assert stream.result.value == b"mine"


@pytest.mark.parametrize("before", [True, False])
def test_a_lead_is_lost(fake: FakeClient, before: bool) -> None:
    seen = []

    def work(lead: Lead) -> int:
        if not before:
            fake.lose("key")
        seen.append(lead.wait_lost(PATIENCE))
        return 1

    if before:
        fake.lose("key")
    with pytest.raises(AbortedError, match="the lead is lost"):
        fake.do("key", work)
    assert seen == [True]


def test_no_server(fake: FakeClient) -> None:
    fake.do("key", lambda lead: 1)
    fake.unavailable()
    with pytest.raises(UnavailableError):
        fake.do("key", never)
    with pytest.raises(UnavailableError):
        fake.forget("key")
    result = fake.do("key", lambda lead: lead.failed_open, fail_open=True)
    assert result.value is True and result.failed_open and result.token == 0
    for _ in range(20):  # it is there for the very next call
        fake.available()
        assert fake.do("key", lambda lead: 1).led
        fake.unavailable()
        with pytest.raises(UnavailableError):
            fake.do("key", never)


FAILING = """
from singleflight import Observer
from singleflight.testing import FakeClient

class Broken(Observer):
    def led(self, event):
        raise RuntimeError("broken observer")

with FakeClient() as client:
    client.do("key", lambda lead: 1)
with FakeClient(observer=Broken()) as client:
    client.do("key", lambda lead: 1)
"""


def test_an_observer_that_fails_is_seen_without_any_logging_configured() -> None:
    ended = subprocess.run([sys.executable, "-c", FAILING], capture_output=True, text=True)
    assert ended.returncode == 0
    first, *rest = ended.stderr.splitlines()
    assert first == "an observer failed"
    assert rest[-1] == "RuntimeError: broken observer"
    assert ended.stderr.count("failed") == 1


def test_a_server_that_was_away_unseen_is_there(fake: FakeClient) -> None:
    fake.do("key", lambda lead: 1)
    fake.unavailable()
    fake.available()
    assert fake.do("key", lambda lead: 1).led


def test_the_server_goes_while_a_function_runs() -> None:
    def work(lead: Lead) -> bool:
        client.unavailable()
        return lead.wait_lost(PATIENCE)

    with FakeClient() as client, pytest.raises(AbortedError):
        client.do("key", work)


def test_observers_are_told_before_the_call_returns() -> None:
    class Ends(Observer):
        def ended(self, event: EndedEvent) -> None:
            roles.append(event.role)

    roles: list[str] = []
    with FakeClient(observer=Ends()) as fake:
        fake.do("key", lambda lead: 1)
        assert roles == ["leader"]
        fake.outcome("key", 1)
        fake.do("key", never)
        assert roles == ["leader", "follower"]


def test_decorated_functions_use_it(fake: FakeClient) -> None:
    @coalesce(key="user:{number}")
    def load(number: int) -> User:
        return User(f"{number} by {current_lead().token}")

    with fake.as_default():
        assert load(7) == User("7 by 1")
        fake.outcome("user:8", User("Bob"))
        assert load(8) == User("Bob")
    assert [call.key for call in fake.calls] == ["user:7", "user:8"]


def test_equal_calls_are_merged_and_end_when_it_closes() -> None:
    leave = threading.Event()
    fake = FakeClient()
    entered = threading.Event()

    def work(lead: Lead) -> int:
        entered.set()
        assert leave.wait(PATIENCE)
        return lead.token

    calls = [fake.start("key", work) for _ in range(3)]
    assert entered.wait(PATIENCE)
    leave.set()
    assert [call.wait().value for call in calls] == [1, 1, 1]
    fake.close()


# ---- asyncio


async def test_that_of_asyncio() -> None:
    async def work(lead: aio.Lead) -> list[int]:
        return [lead.token, lead.attempt]

    @coalesce(key="user:{number}")
    async def load(number: int) -> User:
        raise AssertionError("it must not run")

    async with FakeAioClient(fail_open=True) as fake:
        assert (await fake.do("key", work)).value == [1, 1]
        fake.takeover("key")
        assert (await fake.do("key", work)).value == [2, 2]
        fake.outcome("user:8", User("Bob"))
        with fake.as_default():
            assert await load(8) == User("Bob")
        fake.outcome("raw", b"bytes")
        raw: Any = await fake.do("raw", work, codec=RAW)
        assert raw.value == b"bytes"
        fake.unavailable()
        result = await fake.do("key", work)
        assert result.failed_open and result.value == [0, 1]
        with pytest.raises(UnavailableError):
            await fake.forget("key")
        for _ in range(20):
            fake.available()
            assert (await fake.do("key", work, fail_open=False)).led
            fake.unavailable()
            assert (await fake.do("key", work)).failed_open
        fake.available()
        fake.unavailable()
        fake.available()
        assert (await fake.do("key", work, fail_open=False)).led
        assert not (await fake.forget("key", group="g")).flight
    assert fake.calls[-1] == RecordedCall("forget", "key", {"group": "g"})


@pytest.mark.parametrize("before", [True, False])
async def test_a_lost_lead_cancels_the_function_that_has_begun(before: bool) -> None:
    seen: list[bool] = []

    async def work(lead: aio.Lead) -> None:
        try:
            if not before:
                client.lose("key")
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append(lead.lost)
            raise

    async with FakeAioClient() as client:
        if before:
            client.lose("key")
        with pytest.raises(AbortedError):
            await client.do("key", work)
    assert seen == [True]


# ---- leads by themselves


def test_a_lead_by_itself() -> None:
    def work(lead: Lead) -> str:
        lead.write(bytes(2 * 1024 * 1024))
        lead.set_retain(1.5)
        audience = lead.audience
        if lead.wait_lost(0):
            raise RuntimeError(lead.lost_reason)
        return f"{lead.key!r} {lead.group} {lead.token} {lead.attempt} {audience}"

    lead = FakeLead("k", group="g", attempt=2, token=9)
    lead.set_audience(3)
    assert work(lead) == "b'k' g 9 2 Audience(followers=3, latest_deadline=None)"
    assert (len(lead.written), lead.retain, lead.passes_on) == (2 * 1024 * 1024, 1.5, False)
    lead.lose()
    with pytest.raises(AbortedError):
        lead.write(b"more")
    with FakeLead(failed_open=True) as lead:
        assert current_lead() is lead
        assert (lead.token, lead.failed_open, lead.lost) == (0, True, False)
    assert current_lead() is None


async def test_one_of_asyncio() -> None:
    async def work(lead: aio.Lead) -> None:
        await lead.write(b"some")
        begun.set()
        await lead.wait_lost()
        await asyncio.Event().wait()

    begun = asyncio.Event()
    lead = FakeAioLead("k", token=3)
    lead.task = asyncio.create_task(work(lead))
    await begun.wait()
    lead.lose()
    with pytest.raises(asyncio.CancelledError):
        await lead.task
    assert lead.written == b"some" and lead.token == 3
