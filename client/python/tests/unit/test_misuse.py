# SPDX-License-Identifier: Apache-2.0
"""What is refused before anything goes to the network, with a text that names it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator
from typing import Any

import pytest

from singleflight import Client, InvalidArgumentError, InvalidTypeError, aio
from singleflight._core.model import Settings
from singleflight.options import fingerprint_bytes, read_addresses, read_join, read_timeout

NOBODY = "127.0.0.1:1"


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(NOBODY, connect_timeout=60) as client:
        yield client


async def coroutine(lead: Any) -> int:
    return 1


class Callable:
    async def __call__(self, lead: Any) -> int:
        return 1


def generator(lead: Any) -> Iterator[int]:
    yield 1


def takes_nothing() -> int:
    return 1


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (None, "missing"),
        (5, "int"),
        ("text", "str"),
        (coroutine, "coroutine function"),
        (Callable(), "coroutine function"),
        (functools.partial(coroutine), "coroutine function"),
        (generator, "generator"),
        (takes_nothing, "no argument"),
    ],
)
def test_functions_that_are_none(client: Client, function: Any, text: str) -> None:
    for ask in (client.do, client.start, client.stream):
        with pytest.raises(InvalidArgumentError, match=text):
            ask("k", function)
    assert not list(client._engine.core.seats if client._engine else [])


async def test_functions_that_are_none_with_asyncio() -> None:
    async with aio.Client(NOBODY, connect_timeout=60) as client:
        for function in (None, 5, generator):
            with pytest.raises(InvalidArgumentError, match="function"):
                await client.do("k", function)  # type: ignore[arg-type]
        plain: Any = lambda lead: 1  # noqa: E731  # only its call tells what it is
        with pytest.raises(InvalidTypeError, match="coroutine function"):
            await asyncio.wait_for(client.do("k", plain, fail_open=True), 60)


def test_a_function_that_returns_a_coroutine(client: Client) -> None:
    hidden: Any = lambda lead: coroutine(lead)  # noqa: E731  # only its call tells what it is
    with pytest.raises(InvalidTypeError, match="awaited"):
        client.do("k", hidden, fail_open=True)


@pytest.mark.parametrize(
    "options",
    [
        {"retain": -1},
        {"retain_error": -0.001},
        {"max_age": -1},
        {"lease": -1},
        {"run_limit": float("nan")},
        {"connect_timeout": -1},
        {"stale": -1},
        {"timeout": float("nan")},
        {"timeout": "5"},
        {"retain": "5"},
        {"retain": True},
        {"max_attempts": "3"},
        {"fingerprint": 3},
        {"group": b"bytes"},
        {"retein": 5},
        {"on_leader_loss": 3},
    ],
)
def test_options_that_are_none(client: Client, options: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(options))):
        client.do("k", lambda lead: 1, **options)


def test_wrong_types_are_type_errors_too(client: Client) -> None:
    for options in ({"retein": 5}, {"fingerprint": 3}, {"retain": "5"}):
        with pytest.raises(TypeError):
            client.do("k", lambda lead: 1, **options)


@pytest.mark.parametrize(
    "address",
    [
        "localhost",
        "localhost:0",
        "localhost:65536",
        "localhost:99999",
        "localhost:http",
        "http://localhost:7433",
        "https://localhost",
        "tcp://localhost:7433",
        "dns:///localhost",
        "unix:",
        "unix://",
        ":7433",
        "::1:7433",
        "a b:1",
    ],
)
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        Client([address])
    assert repr(address) in str(caught.value)


def test_addresses_that_are_some() -> None:
    some = ["localhost:1", "[::1]:65535", "unix:/a", "unix:///a", "unix-abstract:a", "dns:///a:1"]
    assert read_addresses(some) == some


@pytest.mark.parametrize("addresses", [5, [5], [b"a:1"], b"a:1"])
def test_addresses_of_wrong_types(addresses: Any) -> None:
    with pytest.raises(InvalidTypeError, match="addresses"):
        Client(addresses)


def test_fingerprints_are_bytes_or_text() -> None:
    assert fingerprint_bytes("é") == "é".encode()
    assert fingerprint_bytes(b"x") == fingerprint_bytes(bytearray(b"x")) == b"x"


def test_timeouts() -> None:
    assert read_timeout(None) is None
    assert read_timeout(float("inf")) is None
    assert read_timeout(-5) == read_timeout(0) == 0
    assert read_timeout(1.5) == 1.5


def test_connect_timeouts() -> None:
    settings = Settings(["a:1"], "me")
    assert read_join(settings, "k", {}).connect_timeout == 30
    assert read_join(settings, "k", {"connect_timeout": 0}).connect_timeout == 0
    assert Client("a:1")._settings.connect_timeout == 30
    assert Client("a:1", connect_timeout=0)._settings.connect_timeout == 0
