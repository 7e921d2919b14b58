# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import Daemon

from singleflight import (
    Client,
    FailedPreconditionError,
    aio,
    coalesce,
    current_lead,
    default_aio_client,
    default_client,
)


def test_a_function_runs_once_for_all(client: Client) -> None:
    runs = []
    entered, leave = threading.Event(), threading.Event()

    @coalesce(key="square:{number}:{exact}", client=client, retain=60)
    def square(number: int, *, exact: bool = True) -> int:
        """Squares."""
        runs.append(current_lead().token)
        entered.set()
        leave.wait(60)
        return number * number

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(square, 7) for _ in range(8)]
        entered.wait(60)
        leave.set()
        assert [future.result() for future in futures] == [49] * 8
    assert square(number=7) == 49
    assert len(runs) == 1
    assert runs[0] > 0
    assert square(7, exact=False) == 49
    assert len(runs) == 2
    assert (square.__name__, square.__doc__) == ("square", "Squares.")
    assert current_lead() is None


async def test_a_coroutine_function_runs_once_for_all(shared_daemon: Daemon) -> None:
    runs = []
    async with aio.Client(shared_daemon.address) as client:

        @coalesce(key=lambda name: f"greet:{name}".encode(), client=client, retain=60)
        async def greet(name: str) -> str:
            runs.append(current_lead().key)
            return f"hello {name}"

        assert await greet("Ada") == "hello Ada"
        assert await greet("Ada") == "hello Ada"
    assert runs == [b"greet:Ada"]


def test_other_arguments_for_the_same_key_are_refused(client: Client) -> None:
    @coalesce(key="order:{number}", client=client, fingerprint_of=True, retain=60)
    def charge(number: int, amount: int) -> int:
        return amount

    assert charge(1, 100) == charge(1, 100) == 100
    with pytest.raises(FailedPreconditionError):
        charge(1, 200)

    @coalesce(key="order:{number}", client=client, fingerprint_of=lambda number, amount: b"same")
    def charge_anyhow(number: int, amount: int) -> int:
        return amount

    assert charge_anyhow(2, 100) == 100


def test_errors_pass_through(client: Client) -> None:
    error = LookupError("nobody")

    @coalesce(key="fails", client=client)
    def fail() -> None:
        raise error

    with pytest.raises(LookupError) as caught:
        fail()
    assert caught.value is error


def test_the_client_fits_the_function(client: Client) -> None:
    with pytest.raises(TypeError, match="aio"):

        @coalesce(key="k", client=client)
        async def coroutine() -> None:
            return None

    with pytest.raises(TypeError, match="Client"):

        @coalesce(key="k", client=aio.Client())
        def function() -> None:
            return None


async def test_default_clients(shared_daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SINGLEFLIGHT_ADDRESS", shared_daemon.address)

    @coalesce(key="default:{number}")
    def double(number: int) -> int:
        return number * 2

    @coalesce(key="aio-default:{number}")
    async def triple(number: int) -> int:
        return number * 3

    assert (double(2), await triple(2)) == (4, 6)
    assert default_client() is default_client()
    assert default_aio_client() is default_aio_client()
    default_client().close()
    await default_aio_client().close()
