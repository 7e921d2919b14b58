# SPDX-License-Identifier: Apache-2.0
"""Calls inside functions: no call waits for itself."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support import PATIENCE, Daemon

from singleflight import Client, FailedPreconditionError, Lead, Role, aio, coalesce


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
