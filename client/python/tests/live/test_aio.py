# SPDX-License-Identifier: Apache-2.0
"""What is asyncio's own: tasks, cancellation, async iterators. The core is tested with threads."""

from __future__ import annotations

import asyncio
import contextvars
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from support import PATIENCE, ROOT, Daemon, Proxy

from singleflight import (
    RAW,
    AbortedError,
    CallCancelledError,
    Chunk,
    DeadlineExceededError,
    FunctionError,
    LimitExceededError,
    Restart,
    Role,
    UnavailableError,
    current_lead,
)
from singleflight._core.seat import State
from singleflight.aio import Client, Lead


@pytest_asyncio.fixture
async def client(shared_daemon: Daemon) -> AsyncIterator[Client]:
    async with Client(shared_daemon.address) as client:
        yield client


@pytest_asyncio.fixture
async def other(shared_daemon: Daemon) -> AsyncIterator[Client]:
    async with Client(shared_daemon.address, caller="other") as client:
        yield client


async def until(what: Any) -> None:
    async def poll() -> None:
        while not what():
            await asyncio.sleep(0.002)

    await asyncio.wait_for(poll(), PATIENCE)


def states(client: Client, key: str) -> list[State]:
    engine = client._engine
    if engine is None:
        return []
    return [seat.state for seat in engine.core.seats if seat.join.key == key.encode()]


async def follows(client: Client, key: str, count: int = 1) -> None:
    await until(lambda: states(client, key).count(State.FOLLOWING) == count)


def waiting(client: Client, key: str) -> int:
    engine = client._engine
    assert engine is not None
    return sum(len(seat.calls) for seat in engine.core.seats if seat.join.key == key.encode())


class Gate:
    """A function that says when it runs, and ends when it is let."""

    def __init__(self, value: object = "value") -> None:
        self.entered = asyncio.Event()
        self.leave = asyncio.Event()
        self.cancelled = False
        self.value = value
        self.runs = 0

    async def __call__(self, lead: Lead) -> object:
        self.runs += 1
        self.entered.set()
        try:
            await self.leave.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


async def never(lead: Lead) -> Any:
    raise RuntimeError("this must not run")


async def test_leader_and_followers(client: Client, other: Client, key: str) -> None:
    gate = Gate()
    leader = asyncio.create_task(client.do(key, gate))
    await gate.entered.wait()
    merged = [asyncio.create_task(client.do(key, never)) for _ in range(3)]
    follower = asyncio.create_task(other.do(key, never))
    await follows(other, key)
    gate.leave.set()
    results = await asyncio.gather(leader, follower, *merged)
    assert {result.value for result in results} == {"value"}
    assert [result.led for result in results] == [True, False, False, False, False]
    assert gate.runs == 1


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 5 * 1024 * 1024])
async def test_values(client: Client, other: Client, key: str, size: int) -> None:
    value = bytes(size)
    gate = asyncio.Event()

    async def write(lead: Lead) -> bytes:
        await gate.wait()
        await lead.write(value[: size // 2])
        return value[size // 2 :]

    leader = asyncio.create_task(client.do(key, write, codec=RAW))
    await until(lambda: State.LEADING in states(client, key))
    follower = asyncio.create_task(other.do(key, never, codec=RAW))
    await follows(other, key)
    gate.set()
    assert (await leader).value == (await follower).value == value


async def test_errors_keep_their_identity(client: Client, other: Client, key: str) -> None:
    error = LookupError("nobody")
    gate = Gate(error)
    leader = asyncio.create_task(client.do(key, gate))
    await gate.entered.wait()
    follower = asyncio.create_task(other.do(key, never))
    await follows(other, key)
    gate.leave.set()
    with pytest.raises(LookupError) as own:
        await leader
    assert own.value is error
    with pytest.raises(FunctionError, match="nobody") as carried:
        await follower
    assert "in __call__" in carried.value.stack


async def test_cancelling_the_last_caller_cancels_the_function(client: Client, key: str) -> None:
    gate = Gate()
    task = asyncio.create_task(client.do(key, gate))
    await gate.entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: gate.cancelled)
    assert (await client.do(key, lambda lead: asyncio.sleep(0, "next"))).value == "next"


async def test_cancelling_one_of_two_goes_on(client: Client, key: str) -> None:
    gate = Gate()
    first = asyncio.create_task(client.do(key, gate))
    await gate.entered.wait()
    second = asyncio.create_task(client.do(key, never))
    await until(lambda: waiting(client, key) == 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    gate.leave.set()
    assert (await second).value == "value"
    assert not gate.cancelled


async def test_a_leader_that_leaves_takes_nothing_from_those_elsewhere(
    client: Client, other: Client, key: str
) -> None:
    gate = Gate("kept")
    leader = asyncio.create_task(client.do(key, gate))
    await gate.entered.wait()
    follower = asyncio.create_task(other.do(key, never))
    await follows(other, key)
    engine = client._engine
    assert engine is not None
    await until(lambda: [seat for seat in engine.core.seats if seat.followers])
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    gate.leave.set()
    assert (await follower).value == "kept"
    assert not gate.cancelled


async def test_a_leader_goes_whatever_its_function_does(client: Client, key: str) -> None:
    leave = asyncio.Event()

    async def deaf(lead: Lead) -> None:
        while not leave.is_set():
            try:
                await leave.wait()
            except asyncio.CancelledError:
                continue

    with pytest.raises(DeadlineExceededError):
        await client.do(key, deaf, timeout=0.1)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(client.do(key, deaf), 0.1)
    leave.set()


async def test_a_function_that_is_cancelled_lets_the_next_try(
    client: Client, other: Client, key: str
) -> None:
    entered = asyncio.Event()
    leave = asyncio.Event()

    async def cancels_itself(lead: Lead) -> None:
        entered.set()
        await leave.wait()
        raise asyncio.CancelledError

    leader = asyncio.create_task(client.do(key, cancels_itself))
    await entered.wait()
    follower = asyncio.create_task(other.do(key, lambda lead: asyncio.sleep(0, lead.attempt)))
    await follows(other, key)
    leave.set()
    with pytest.raises(asyncio.CancelledError):
        await leader
    assert (await follower).value == 2


async def test_timeouts(client: Client, key: str) -> None:
    gate = Gate()
    with pytest.raises(DeadlineExceededError):
        await client.do(key, gate, timeout=0.05)
    await until(lambda: gate.cancelled or gate.runs == 0)  # on a slow day it had not begun
    gate = Gate()
    patient = asyncio.create_task(client.do(key, gate))
    await gate.entered.wait()
    with pytest.raises(DeadlineExceededError):
        await client.do(key, never, timeout=0.05)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(client.do(key, never), 0.05)
    gate.leave.set()
    assert (await patient).value == "value"


async def test_context_variables_reach_the_function(client: Client, key: str) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("mine")

    async def read(lead: Lead) -> str:
        assert current_lead() is lead
        return variable.get()

    assert (await client.do(key, read)).value == "mine"
    assert current_lead() is None


async def test_stream(client: Client, other: Client, key: str) -> None:
    step = asyncio.Event()

    async def write(lead: Lead) -> bytes:
        await lead.write(b"one ")
        await step.wait()
        await lead.write(b"two ")
        return b"three"

    async def read(client: Client, function: Any) -> bytes:
        data = b""
        async with client.stream(key, function) as stream:
            async for event in stream:
                assert isinstance(event, Chunk)
                data += event.data
                if data == b"one " and client is other:
                    step.set()
            assert stream.result.value == data
        return data

    leader = asyncio.create_task(read(client, write))
    await until(lambda: State.LEADING in states(client, key))
    assert await read(other, never) == b"one two three"
    assert await leader == b"one two three"


async def test_stream_restarts(client: Client, other: Client, key: str) -> None:
    gives_up = asyncio.Event()

    async def write(lead: Lead) -> None:
        await lead.write(b"void")
        await gives_up.wait()
        lead.pass_on()
        raise OSError("only here")

    async def write_again(lead: Lead) -> bytes:
        await lead.write(b"the ")
        return b"value"

    events: list[Any] = []
    leader = asyncio.create_task(client.do(key, write))
    await until(lambda: State.LEADING in states(client, key))
    async with other.stream(key, write_again) as stream:
        async for event in stream:
            events.append(event)
            if event == Chunk(b"void"):
                gives_up.set()
        assert stream.result.led
    with pytest.raises(OSError, match="only here"):
        await leader
    assert events == [Chunk(b"void"), Restart(2), Chunk(b"the "), Chunk(b"value")]


async def test_leaving_a_stream_cancels_the_function(client: Client, key: str) -> None:
    gate = Gate()
    async with client.stream(key, gate):
        await gate.entered.wait()
    await until(lambda: gate.cancelled)


async def test_lost_lead(shared_daemon: Daemon, key: str) -> None:
    proxy = Proxy(shared_daemon.address)
    try:
        async with Client(proxy.address) as client:
            gate = Gate()
            task = asyncio.create_task(client.do(key, gate))
            await gate.entered.wait()
            proxy.cut()
            with pytest.raises(AbortedError, match="connection"):
                await task
            assert gate.cancelled
    finally:
        proxy.close()


async def test_a_leader_that_is_cut_off_is_cancelled_in_time(
    shared_daemon: Daemon, other: Client, key: str
) -> None:
    proxy = Proxy(shared_daemon.address)
    try:
        async with Client(proxy.address) as client:
            gate = Gate()
            leader = asyncio.create_task(client.do(key, gate, lease=1))
            await gate.entered.wait()
            begun = time.monotonic()
            proxy.swallow()
            with pytest.raises(AbortedError, match="lease"):
                await leader
            assert gate.cancelled
            assert time.monotonic() - begun < 15, "25 s: when the connection is found dead"
    finally:
        proxy.close()


async def test_a_lease_survives_a_broken_connection(shared_daemon: Daemon, key: str) -> None:
    proxy = Proxy(shared_daemon.address)
    try:
        async with Client(proxy.address) as client, Client(shared_daemon.address) as other:
            go = asyncio.Event()

            async def write(lead: Lead) -> bytes:
                await lead.write(b"before ")
                await go.wait()
                return b"after"

            leader = asyncio.create_task(client.do(key, write, codec=RAW, lease=30))
            await until(lambda: State.LEADING in states(client, key))
            follower = asyncio.create_task(other.do(key, never, codec=RAW, lease=30))
            await follows(other, key)
            proxy.cut()
            go.set()
            proxy.mend()
            assert (await leader).value == (await follower).value == b"before after"
            assert (await leader).attempt == 1
    finally:
        proxy.close()


async def test_unreachable(key: str) -> None:
    async with Client("127.0.0.1:1", connect_timeout=0.2) as client:
        with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1.*SINGLEFLIGHT_ADDRESS"):
            await client.do(key, never)
        with pytest.raises(UnavailableError):
            await client.forget(key, timeout=0.2)
        result = await client.do(key, lambda lead: asyncio.sleep(0, lead.token), fail_open=True)
        assert (result.value, result.failed_open) == (0, True)


async def test_what_grpc_cannot_use_is_told(shared_daemon: Daemon, key: str) -> None:
    wrong: Any = "no credentials"
    async with Client(shared_daemon.address, credentials=wrong, connect_timeout=0.2) as client:
        with pytest.raises(UnavailableError, match="no channel can be made"):
            await client.do(key, never)


async def test_daemon_comes_back(daemon: Daemon, key: str) -> None:
    async with Client(daemon.address, connect_timeout=1, backoff_max=0.1) as client:
        await client.do(key, lambda lead: asyncio.sleep(0))
        daemon.kill()
        with pytest.raises(UnavailableError):
            await client.do(key, never)
        daemon.start()
        result = await client.do(
            key, lambda lead: asyncio.sleep(0, "back"), connect_timeout=PATIENCE
        )
        assert result.value == "back"


async def test_forget(client: Client, key: str) -> None:
    await client.do(key, lambda lead: asyncio.sleep(0, 1), retain=60)
    assert await client.forget(key) == (False, True, False)
    assert await client.forget(key) == (False, False, False)


async def test_limits(shared_daemon: Daemon, key: str) -> None:
    async with Client(shared_daemon.address, result_limit=100) as client:

        async def write(lead: Lead) -> None:
            await lead.write(b"x" * 101)

        with pytest.raises(LimitExceededError, match="result_limit is 100"):
            await client.do(key, write)


async def test_writing_waits_for_the_network(client: Client, other: Client, key: str) -> None:
    async def write(lead: Lead) -> None:
        for _ in range(64):
            await lead.write(b"x" * 256 * 1024)
            assert lead._lead.unsent <= 2 * 1024 * 1024

    value: Any = (await client.do(key, write, codec=RAW)).value
    assert len(value) == 16 * 1024 * 1024


async def test_audience(client: Client, other: Client, key: str) -> None:
    async def function(lead: Lead) -> int:
        while (audience := await lead.wait_audience()) is None or audience.followers == 0:
            pass
        return audience.followers

    leader = asyncio.create_task(client.do(key, function, audience=True))
    await until(lambda: State.LEADING in states(client, key))
    follower = asyncio.create_task(other.do(key, never, role=Role.FOLLOW_ONLY))
    assert (await leader).value == (await follower).value == 1


async def test_close_leaves_nothing(shared_daemon: Daemon, key: str) -> None:
    threads = set(threading.enumerate())
    client = Client(shared_daemon.address)
    gate = Gate()
    call = asyncio.create_task(client.do(key, gate))
    await gate.entered.wait()
    follower = asyncio.create_task(client.do(key, never, local_merge=False))
    await follows(client, key)
    await client.close()
    await client.close()
    for task in (call, follower):
        with pytest.raises(CallCancelledError):
            await task
    with pytest.raises(CallCancelledError):
        await client.do(key, never)
    assert gate.cancelled
    assert asyncio.all_tasks() == {asyncio.current_task()}
    names = [thread.name for thread in set(threading.enumerate()) - threads]
    assert not [name for name in names if name.startswith("singleflight")]


def test_one_event_loop(shared_daemon: Daemon, key: str) -> None:
    client = Client(shared_daemon.address)

    async def do() -> None:
        await client.do(key, lambda lead: asyncio.sleep(0))

    async def do_and_close() -> None:
        await do()
        await client.close()

    asyncio.run(do_and_close())
    client = Client(shared_daemon.address)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(do())
    with pytest.raises(RuntimeError, match="event loop"):
        asyncio.run(do())
    loop.run_until_complete(client.close())
    loop.close()


def test_loops_that_come_and_go(shared_daemon: Daemon) -> None:
    """As in a program with an asyncio.run() here and there, and the default client."""
    program = (
        "import asyncio, singleflight\n"
        "@singleflight.coalesce(key='k{n}')\n"
        "async def work(n: int) -> int: return n\n"
        "for n in range(60): assert asyncio.run(work(n)) == n\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "SINGLEFLIGHT_ADDRESS": shared_daemon.address, "PYTHONPATH": "src"},
        cwd=ROOT / "client" / "python",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.stderr, done.returncode) == ("", 0)


def test_a_loop_that_ends_without_close(shared_daemon: Daemon, key: str) -> None:
    """As in a program that forgets: asyncio.run() cancels what is left, and nothing hangs."""

    async def main() -> None:
        client = Client(shared_daemon.address)
        await client.do(key, lambda lead: asyncio.sleep(0))
        gate = Gate()
        task = asyncio.create_task(client.do(key, gate))
        await gate.entered.wait()
        assert not task.done()

    asyncio.run(main())
