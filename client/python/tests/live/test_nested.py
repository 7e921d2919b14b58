# SPDX-License-Identifier: Apache-2.0
"""Calls inside functions: no call waits for itself."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support import PATIENCE, ROOT, Daemon

from singleflight import Client, FailedPreconditionError, Lead, Role, aio, coalesce
from singleflight._core.model import LeadRef
from singleflight._environment import environment_of_lead, lead_of_environment

SOURCES = ROOT / "client" / "python" / "src"


@pytest.mark.parametrize("options", [{}, {"timeout": 60}, {"lease": 60}])
@pytest.mark.parametrize(
    "inner", [{}, {"local_merge": False}, {"role": Role.FOLLOW_ONLY}, {"retain": 5}]
)
def test_the_own_key(client: Client, key: str, options: Any, inner: Any) -> None:
    def outer(lead: Lead) -> str:
        with pytest.raises(FailedPreconditionError, match="wait for itself"):
            client.do(key, lambda lead: 1, **inner)
        with pytest.raises(FailedPreconditionError, match="wait for itself"):
            client.start(key, lambda lead: 1, **inner)
        return "done"

    assert client.do(key, outer, **options).value == "done"


def test_the_own_key_further_in(client: Client, key: str) -> None:
    def of_a(lead: Lead) -> Any:
        return client.do(f"{key} b", of_b, timeout=60).value

    def of_b(lead: Lead) -> str:
        with pytest.raises(FailedPreconditionError):
            client.do(f"{key} a", lambda lead: 1)
        return client.do(f"{key} c", lambda lead: "c").value

    assert client.do(f"{key} a", of_a).value == "c"


@pytest.mark.parametrize("way", ["do", "start"])
def test_two_functions_that_wait_for_each_other(client: Client, key: str, way: str) -> None:
    both = threading.Barrier(2)

    def ask(name: str, function: Any) -> Any:
        if way == "do":
            return client.do(name, function).value
        return client.start(name, function).wait().value

    def of(other: str) -> Any:
        def function(lead: Lead) -> str:
            if not both.broken:
                both.wait(PATIENCE)
            try:
                return f"{ask(other, lambda lead: 'nobody led')}!"
            except FailedPreconditionError:
                return "a ring"

        return function

    with ThreadPoolExecutor(2) as pool:
        calls = [
            pool.submit(client.do, f"{key} a", of(f"{key} b")),
            pool.submit(client.do, f"{key} b", of(f"{key} a")),
        ]
        values = sorted(call.result(PATIENCE).value for call in calls)
    assert values == ["a ring", "a ring!"]


async def test_two_coroutines_that_wait_for_each_other(shared_daemon: Daemon, key: str) -> None:
    async with aio.Client(shared_daemon.address) as client:
        entered = [asyncio.Event(), asyncio.Event()]

        def of(number: int) -> Any:
            async def function(lead: aio.Lead) -> str:
                entered[number].set()
                await entered[1 - number].wait()
                try:
                    return f"{(await client.do(f'{key} {1 - number}', function)).value}!"
                except FailedPreconditionError:
                    return "a ring"

            return function

        results = await asyncio.gather(*(client.do(f"{key} {n}", of(n)) for n in (0, 1)))
    assert sorted(result.value for result in results) == ["a ring", "a ring!"]


def test_another_group_is_another_key(client: Client, key: str) -> None:
    def outer(lead: Lead) -> Any:
        return client.do(key, lambda lead: "inner", group="another").value

    assert client.do(key, outer).value == "inner"


def test_a_function_that_has_ended_leads_nothing(client: Client, key: str) -> None:
    go = threading.Event()
    pool = ThreadPoolExecutor(1)

    def later() -> Any:
        go.wait(PATIENCE)
        return client.do(key, lambda lead: "later").value

    def outer(lead: Lead) -> None:
        import contextvars

        futures.append(pool.submit(contextvars.copy_context().run, later))

    futures: list[Any] = []
    client.do(key, outer)
    go.set()
    assert futures[0].result(PATIENCE) == "later"
    pool.shutdown()


def test_a_function_that_calls_itself(client: Client, key: str) -> None:
    @coalesce(key=f"{key}:rec", client=client)
    def recursive(n: int) -> int:
        return 0 if n == 0 else recursive(n - 1)

    with pytest.raises(FailedPreconditionError):
        recursive(3)

    @coalesce(key=key + ":{n}", client=client)
    def fine(n: int) -> int:
        return 1 if n == 0 else n * fine(n - 1)

    assert fine(5) == 120


PROGRAM = """
import sys
import singleflight
with singleflight.Client(sys.argv[1]) as client:
    try:
        print(client.do(sys.argv[2], lambda lead: "ran", timeout=60).value)
    except singleflight.FailedPreconditionError:
        print("would wait for itself")
"""


def test_in_another_program(shared_daemon: Daemon, client: Client, key: str) -> None:
    def outer(lead: Lead, inner: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, shared_daemon.address, inner],
            env={**os.environ, **lead.environment(), "PYTHONPATH": str(SOURCES)},
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=True,
        ).stdout.strip()

    assert client.do(key, lambda lead: outer(lead, key)).value == "would wait for itself"
    assert client.do(key, lambda lead: outer(lead, f"{key} another")).value == "ran"


def test_the_lead_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lead_of_environment() == []
    lead = LeadRef("g", b"\xff k", 7)
    for name, value in environment_of_lead(lead, 1).items():
        monkeypatch.setenv(name, value)
    assert lead_of_environment() == [lead]
    for token in ("", "0", "x", "-1", str(2**64)):
        monkeypatch.setenv("SINGLEFLIGHT_TOKEN", token)
        assert lead_of_environment() == []
    assert "SINGLEFLIGHT_KEY" not in environment_of_lead(LeadRef("g", b"a\0b", 7), 1)


async def test_with_asyncio(shared_daemon: Daemon, key: str) -> None:
    async with aio.Client(shared_daemon.address) as client:

        async def inside(lead: aio.Lead) -> str:
            with pytest.raises(FailedPreconditionError):
                await client.do(key, inside)
            tasks = [asyncio.create_task(client.do(key, inside)) for _ in range(2)]
            for task in tasks:
                with pytest.raises(FailedPreconditionError):
                    await task
            return "done"

        assert (await client.do(key, inside)).value == "done"


async def test_from_asyncio_into_a_thread(shared_daemon: Daemon, client: Client, key: str) -> None:
    async with aio.Client(shared_daemon.address) as outer:

        async def inside(lead: aio.Lead) -> None:
            with pytest.raises(FailedPreconditionError):
                await asyncio.to_thread(client.do, key, lambda lead: 1)

        await outer.do(key, inside)
