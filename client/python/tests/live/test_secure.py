# SPDX-License-Identifier: Apache-2.0
"""A daemon that wants certificates and tokens, and has rights."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from secure import make_certificates
from support import PATIENCE, Daemon, wait_until

from singleflight import (
    Client,
    NotFoundError,
    PermissionDeniedError,
    StatusError,
    UnauthenticatedError,
    UnavailableError,
    aio,
)

RIGHTS = """
[who]
alice = uri:spiffe://prod.example/ns/app/sa/* token:ours
bob = dns:bob.example

[group open]
do = alice bob
lead = alice
forget = alice
"""


def line(name: str, token: str) -> str:
    return f"{name} {hashlib.sha256(token.encode()).hexdigest()}\n"


def put(file: Path, text: str) -> None:
    """As careful writers do."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


class Place:
    """A daemon and the files of its clients."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_certificates(folder)
        (folder / "tokens").write_text(line("ours", "first"))
        (folder / "rights").write_text(RIGHTS)
        (folder / "token").write_text("first\n")
        flags = {
            "tls-cert": "server.pem",
            "tls-key": "server.key",
            "tls-client-ca": "ca.pem",
            "token-file": "tokens",
            "access-file": "rights",
        }
        given = [f"--{flag}={folder / name}" for flag, name in flags.items()]
        self.daemon = Daemon("--tls-client-auth=optional", *given)

    def of(self, name: str = "", token: str = "") -> dict[str, Any]:
        """The options of a client with that certificate, and that token."""
        options: dict[str, Any] = {"tls_ca": self.folder / "ca.pem"}
        if name:
            options["tls_cert"] = self.folder / f"{name}.pem"
            options["tls_key"] = self.folder / f"{name}.key"
        if token:
            options["token_file"] = self.folder / token
        return options

    def client(self, name: str = "", token: str = "", **options: Any) -> Client:
        return Client(self.daemon.address, **self.of(name, token), **options)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.daemon.stop()


def test_who_may_what(place: Place, key: str) -> None:
    with place.client("alice") as alice, place.client("", "token") as ours:
        for client in (alice, ours):
            assert client.do(key, lambda lead: 1, group="open").led
            assert not client.forget(key, group="open").flight
            with pytest.raises(PermissionDeniedError):
                client.do(key, lambda lead: 1, group="closed")
    with place.client("bob", fail_open=True) as bob:
        with pytest.raises(NotFoundError):  # may follow, and nobody leads
            bob.do(key, lambda lead: 1, group="open")
        with pytest.raises(PermissionDeniedError):
            bob.forget(key, group="open")


def test_who_is_not_known(place: Place, key: str) -> None:
    (place.folder / "wrong").write_text("wrong")
    with place.client("", "wrong", fail_open=True) as client:
        for _ in range(3):
            with pytest.raises(UnauthenticatedError):
                client.do(key, lambda lead: pytest.fail("it must not run"), group="open")
    with Client(place.daemon.address, connect_timeout=1) as plain, pytest.raises(UnavailableError):
        plain.do(key, lambda lead: 1, group="open")


async def test_that_of_asyncio(place: Place, key: str) -> None:
    async def work(lead: aio.Lead) -> int:
        return 1

    async with aio.Client(place.daemon.address, **place.of("alice")) as client:
        assert (await client.do(key, work, group="open")).led
        with pytest.raises(PermissionDeniedError):
            await client.do(key, work, group="closed")
        assert not (await client.forget(key, group="open")).flight


def test_a_token_is_exchanged_without_a_failed_call(place: Place, key: str) -> None:
    tokens = place.folder / "tokens"
    stop = threading.Event()
    failures: list[StatusError] = []
    done = [0]

    def load() -> None:
        while not stop.is_set():
            try:
                client.do(f"{key} {done[0]}", lambda lead: 1, group="open")
            except StatusError as error:
                failures.append(error)
            done[0] += 1

    def is_known(token: str) -> bool:
        (place.folder / token).write_text(token)
        with place.client("", token) as asks:
            try:
                return asks.do(key, lambda lead: 1, group="open").led
            except UnauthenticatedError:
                return False

    with place.client("", "token") as client:
        thread = threading.Thread(target=load)
        thread.start()
        put(tokens, line("ours", "first") + line("ours", "second"))
        wait_until(lambda: is_known("second"))
        opened = client._engine
        assert opened is not None
        put(place.folder / "token", "second")
        wait_until(lambda: opened._token == "second")
        before = done[0]
        wait_until(lambda: done[0] > before + 2)
        put(tokens, line("ours", "second"))
        wait_until(lambda: not is_known("first"))
        before = done[0]
        wait_until(lambda: done[0] > before + 2)
        stop.set()
        thread.join(PATIENCE)
        assert failures == []


def test_a_token_that_is_taken_away_is_refused_on_an_open_session(place: Place, key: str) -> None:
    def is_refused() -> bool:
        try:
            client.do(key, lambda lead: 1, group="open")
        except UnauthenticatedError:
            return True
        return False

    with place.client("", "token", fail_open=True) as client:
        assert not is_refused()
        put(place.folder / "tokens", line("ours", "another"))
        wait_until(is_refused)
        put(place.folder / "token", "another")
        wait_until(lambda: not is_refused())


def test_certificates_are_exchanged_on_both_sides(place: Place, key: str) -> None:
    with place.client("alice") as client:
        assert client.do(key, lambda lead: 1, group="open").led
        names = ("DNS:localhost", "IP:127.0.0.1")
        make_certificates(place.folder, "server", *names)
        for suffix in ("pem", "key"):
            put(place.folder / f"alice.{suffix}", (place.folder / f"bob.{suffix}").read_text())
        assert client.do(key, lambda lead: 1, group="open").led  # the connection is the old one
        place.daemon.kill()
        place.daemon.start()
        with pytest.raises(NotFoundError):  # it is bob now, who only follows
            client.do(key, lambda lead: 1, group="open", connect_timeout=PATIENCE)
