# SPDX-License-Identifier: Apache-2.0
"""TLS, mutual TLS and tokens, against a server with TLS in this process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from net import Net
from secure import Server, make_certificates

import singleflight
from singleflight import (
    Client,
    InvalidArgumentError,
    InvalidTypeError,
    PermissionDeniedError,
    Role,
    StatusError,
    UnauthenticatedError,
    UnavailableError,
    aio,
)
from singleflight._core.model import Code
from singleflight._security import Security, _is_loopback

ALICE = ["spiffe://prod.example/ns/app/sa/alice", "alice.example"]


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    make_certificates(folder, "elsewhere", "DNS:elsewhere.example")
    return folder


@pytest.fixture
def folder(shared_folder: Path, tmp_path: Path) -> Path:
    """A copy, to be changed."""
    for file in shared_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "token").write_text("  first\n")
    return tmp_path


@pytest.fixture
def secure(shared_folder: Path) -> Iterator[Server]:
    """One that wants a certificate of its client."""
    server = Server(shared_folder, wants_client=True)
    yield server
    server.stop()


@pytest.fixture
def plain() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


def of(folder: Path, name: str = "alice") -> dict[str, Any]:
    """The options of a client with that certificate."""
    return {
        "tls_ca": folder / "ca.pem",
        "tls_cert": folder / f"{name}.pem",
        "tls_key": folder / f"{name}.key",
    }


def replace(file: Path, data: bytes) -> None:
    """As careful writers do."""
    new = file.with_suffix(".new")
    new.write_bytes(data)
    new.replace(file)


class Time:
    """The clock that files are looked at by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("singleflight._security.clock", lambda: self.now)


# ---- the way


def test_both_clients_come_over_mutual_tls_with_their_token(secure: Server, folder: Path) -> None:
    with Client(secure.address, **of(folder), token_file=folder / "token") as client:
        assert client.do("key", lambda lead: "value").value == "value"
        assert client.forget("key").flight
    assert secure.tokens == ["Bearer first"] * 2
    assert [sorted(names) for names in secure.names] == [sorted(ALICE)] * 2


async def test_so_does_that_of_asyncio(secure: Server, folder: Path) -> None:
    async def work(lead: aio.Lead) -> str:
        return "value"

    options = of(folder, "bob")
    async with aio.Client(secure.address, **options, token_file=folder / "token") as client:
        assert (await client.do("key", work)).value == "value"
        assert (await client.forget("key")).flight
    assert secure.tokens == ["Bearer first"] * 2
    assert secure.names == [["bob.example"]] * 2


def test_the_environment_stands_in_for_options(
    secure: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SINGLEFLIGHT_TLS_CA", str(folder / "ca.pem"))
    monkeypatch.setenv("SINGLEFLIGHT_TLS_CERT", str(folder / "bob.pem"))
    monkeypatch.setenv("SINGLEFLIGHT_TLS_KEY", str(folder / "bob.key"))
    monkeypatch.setenv("SINGLEFLIGHT_TLS_SERVER_NAME", "localhost")
    monkeypatch.setenv("SINGLEFLIGHT_TOKEN_FILE", str(folder / "token"))
    with Client(secure.address) as client:
        assert client.do("key", lambda lead: 1).led
    with Client(secure.address, **of(folder)) as client:
        assert client.do("key", lambda lead: 1).led
    assert secure.tokens == ["Bearer first"] * 2
    assert [len(names) for names in secure.names] == [1, 2]


@pytest.mark.parametrize("case", ["another CA", "another name", "no certificate"])
def test_who_does_not_fit_does_not_come_in(secure: Server, folder: Path, case: str) -> None:
    options = of(folder)
    if case == "another CA":
        make_certificates(folder / "other")
        options["tls_ca"] = folder / "other" / "ca.pem"
    elif case == "another name":
        options["tls_server_name"] = "elsewhere.example"
    else:
        options = {"tls_ca": folder / "ca.pem"}
    with (
        Client(secure.address, connect_timeout=0.5, **options) as client,
        pytest.raises(UnavailableError),
    ):
        client.do("key", lambda lead: 1)
    assert secure.sessions == 0


def test_the_name_to_verify_may_be_another_than_the_address(folder: Path) -> None:
    for suffix in ("pem", "key"):
        replace(folder / f"server.{suffix}", (folder / f"elsewhere.{suffix}").read_bytes())
    server = Server(folder)
    options: dict[str, Any] = {"tls_ca": folder / "ca.pem", "tls_server_name": "elsewhere.example"}
    with Client(server.address, **options) as client:
        assert client.do("key", lambda lead: 1).led
    server.stop()


def test_credentials_of_the_program_win(secure: Server, folder: Path) -> None:
    files = [(folder / name).read_bytes() for name in ("ca.pem", "alice.key", "alice.pem")]
    credentials = grpc.ssl_channel_credentials(*files)
    options: dict[str, Any] = {"credentials": credentials, "tls_ca": folder / "missing"}
    with Client(secure.address, **options, token_file=folder / "token") as client:
        assert client.do("key", lambda lead: 1).led
    assert secure.tokens == ["Bearer first"]


def test_unix_sockets_stay_plain(folder: Path) -> None:
    security = Security(["unix:/run/s", "db.example:1"], **of(folder))
    assert security.credentials("unix:/run/s") is None
    assert security.credentials("db.example:1") is not None


def test_the_roots_of_the_system_are_found(
    secure: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    with Client(secure.address, **{**of(folder), "tls_ca": "system"}) as client:
        assert client.do("key", lambda lead: 1).led


# ---- what is refused when the client is made


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tls_ca": "ca.pem", "tls_cert": "alice.pem"}, "tls_key is not"),
        ({"tls_ca": "ca.pem", "tls_key": "alice.key"}, "tls_cert is not"),
        ({"tls_cert": "alice.pem", "tls_key": "alice.key"}, "tls_ca is not"),
        ({"tls_ca": "none.pem"}, "none.pem cannot be read: No such file"),
        ({"tls_ca": "token"}, "there is no certificate in"),
        ({"tls_ca": "ca.pem", "tls_cert": "alice.pem", "tls_key": "bob.key"}, "cannot be used"),
        ({"tls_ca": "ca.pem", "tls_cert": "token", "tls_key": "bob.key"}, "cannot be used"),
        ({"token_file": "none"}, "none cannot be read"),
        ({"token_file": "empty"}, "holds no token"),
        ({"token_file": "alice.key"}, "holds no token"),
    ],
)
def test_files_that_cannot_be_used(folder: Path, options: dict[str, str], text: str) -> None:
    (folder / "empty").write_text("\n")
    paths: dict[str, Any] = {name: folder / path for name, path in options.items()}
    for make in (Client, aio.Client):
        with pytest.raises(InvalidArgumentError, match=text):
            make("127.0.0.1:1", **paths)


def test_options_that_make_no_sense(folder: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="tls_server_name is set, but tls_ca is not"):
        Client("127.0.0.1:1", tls_server_name="db.example")
    wrong: Any = 3
    with pytest.raises(InvalidTypeError, match="tls_ca is int"):
        Client("127.0.0.1:1", tls_ca=wrong)


def test_no_token_leaves_the_machine_in_the_clear(folder: Path) -> None:
    token = folder / "token"
    for address in ("db.example:1", "127.0.0.1:1,10.0.0.1:1", "[2001:db8::1]:1"):
        with pytest.raises(InvalidArgumentError, match="in the clear"):
            Client(address, token_file=token)
    Client("db.example:1", token_file=token, tls_ca=folder / "ca.pem").close()
    Client("unix:/run/s,127.8.0.1:1,[::1]:1,localhost:1", token_file=token).close()
    assert not _is_loopback("localhost.example:1")
    assert _is_loopback("dns:///localhost:1")


# ---- files that change


def test_a_new_token_is_for_new_calls_and_a_broken_one_is_not_taken(
    plain: Server, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    time, token = Time(monkeypatch), folder / "token"
    with Client(plain.address, token_file=token) as client:
        client.do("key", lambda lead: 1)
        replace(token, b"second")
        client.do("key", lambda lead: 1)
        time.now = 1.5
        client.do("key", lambda lead: 1)
        client.do("key", lambda lead: 1)
        assert plain.tokens == ["Bearer first", "Bearer second"]
        replace(token, b"\n")
        time.now = 3
        client.do("key", lambda lead: 1)
        client.forget("key")
        token.unlink()
        time.now = 4.5
        client.forget("key")
    assert plain.tokens[2:] == ["Bearer second"] * 2
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "holds no token" in caplog.text


async def test_asyncio_takes_a_new_token_too(
    plain: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(lead: aio.Lead) -> int:
        return 1

    time, token = Time(monkeypatch), folder / "token"
    async with aio.Client(plain.address, token_file=token) as client:
        await client.do("key", work)
        replace(token, b"second")
        time.now = 1.5
        await client.do("key", work)
    assert plain.tokens == ["Bearer first", "Bearer second"]


def test_new_connections_have_new_certificates(
    secure: Server, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    time = Time(monkeypatch)
    with Client(secure.address, **of(folder), token_file=folder / "token") as client:
        client.do("key", lambda lead: 1)
        for number, suffixes in enumerate((("pem",), ("pem", "key"))):  # first it does not fit
            for suffix in suffixes:
                replace(folder / f"alice.{suffix}", (folder / f"bob.{suffix}").read_bytes())
            (folder / "token").write_text(f"for another connection {number}".replace(" ", "-"))
            time.now += 1.5
            client.do("key", lambda lead: 1)
    assert [len(names) for names in secure.names] == [2, 2, 1]
    assert "cannot be used" in caplog.text


# ---- answers


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, UnauthenticatedError),
        (grpc.StatusCode.PERMISSION_DENIED, PermissionDeniedError),
    ],
)
def test_a_refusal_is_an_answer(
    plain: Server, code: grpc.StatusCode, error: type[StatusError]
) -> None:
    plain.refuses = code
    with Client(plain.address, fail_open=True, backoff_max=0.001) as client:
        with pytest.raises(error, match="the door is closed"):
            client.do("key", lambda lead: pytest.fail("it must not run"))
        assert plain.sessions == 1
        with pytest.raises(error):
            client.forget("key")
        assert len(plain.tokens) == 2
        plain.refuses = None
        assert client.do("key", lambda lead: 1).led


def test_a_server_that_refuses_never_counts_as_gone() -> None:
    net = Net(("a:1",), fail_open=True, connect_timeout=0.1)
    for _ in range(50):
        call = net.begin(fail_open=True, connect_timeout=0.1)
        if not net.streams or net.streams[-1].over:
            net.wait(0.05)
        net.break_stream(Code.UNAUTHENTICATED, "no")
        assert net.done[call].status is Code.UNAUTHENTICATED
        net.wait(0.04)
    assert net.probes == []


def test_a_timeout_says_that_no_server_was_reached() -> None:
    net = Net()
    call = net.begin(timeout=1)
    net.break_stream(text="Socket closed")
    net.wait(1)
    text = "the timeout of 1 s is over, and a:1 was not reached: Socket closed"
    assert (net.done[call].status, net.done[call].text) == (Code.DEADLINE_EXCEEDED, text)


def test_so_is_a_refusal_of_one_call() -> None:
    net = Net(("a:1", "b:1"), fail_open=True)
    call = net.begin(fail_open=True, role=Role.ANY)
    net.sent()
    net.say(1, end=singleflight.v1.singleflight_pb2.End(code=7, message="not here"))
    assert net.done[call].status is Code.PERMISSION_DENIED
    assert len(net.streams) == 1
